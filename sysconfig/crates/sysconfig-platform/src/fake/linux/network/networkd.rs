//! systemd-networkd on the simulated Linux machine: what it does with files of ours, and to what others have set.

use super::super::super::{failed, printed};
use super::Network;
use crate::network::Route;
use crate::stack::{LinuxAddress, LinuxRoute};
use crate::{Completed, IpNet, Root, networkd};
use std::fs;
use std::net::IpAddr;

impl Network {
    pub(in super::super) fn networkctl(&mut self, args: &[&str], root: &Root) -> Completed {
        if self.networkctl_fails > 0 {
            self.networkctl_fails -= 1;
            return failed(1, "Failed to reload network settings: Connection timed out\n");
        }
        match args {
            ["reload"] => {
                self.read_files(root);
                self.apply_files(root);
                printed("")
            }
            // It reads no file for that.
            ["reconfigure", _] => {
                self.apply_files(root);
                printed("")
            }
            ["--json=short", "status", index] => self.described(index),
            _ => failed(1, "Unknown operation.\n"),
        }
    }

    fn read_files(&mut self, root: &Root) {
        self.loaded.clear();
        let directory = root.locate(networkd::DIRECTORY);
        for name in fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name()) {
            let name = name.to_string_lossy().into_owned();
            if let Some(link) = networkd::link_of(&name) {
                let text = fs::read_to_string(root.locate(networkd::path(link))).unwrap_or_default();
                self.loaded.insert(link.to_owned(), text);
            }
        }
    }

    fn apply_files(&mut self, root: &Root) {
        self.take_back_networkds();
        for (link, text) in self.loaded.clone() {
            self.apply_file(&link, &text, root);
        }
    }

    /// The addresses of a link in JSON, and where each is from.
    fn described(&self, index: &str) -> Completed {
        let here = self.addresses.iter().filter(|known| known.index.to_string() == index);
        let addresses: Vec<_> = here
            .map(|known| {
                let is_leased = self.servers6.values().any(|server| server.address == known.address);
                let source = match self.by_networkd.contains(&(known.index, known.address)) {
                    true if is_leased => "DHCPv6",
                    true => "static",
                    false => "foreign",
                };
                let bytes = match known.address.addr() {
                    IpAddr::V4(address) => address.octets().to_vec(),
                    IpAddr::V6(address) => address.octets().to_vec(),
                };
                serde_json::json!({ "Address": bytes, "ConfigSource": source })
            })
            .collect();
        printed(serde_json::json!({ "Addresses": addresses }).to_string())
    }

    fn take_back_networkds(&mut self) {
        for (index, address) in std::mem::take(&mut self.by_networkd) {
            self.take_address(index, address, true);
        }
        for route in std::mem::take(&mut self.routes_by_networkd) {
            self.routes.retain(|other| *other != route);
        }
    }

    fn apply_file(&mut self, link: &str, text: &str, root: &Root) {
        let Some(index) = self.index_of(link) else { return };
        let _ = self.set_up_flag(index, true);
        self.drop_foreign(index, text);
        let has_signal = self.links.iter().any(|link| link.index == index && link.running);
        let mut destination = None;
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "MTUBytes" => drop(self.link(index).map(|link| link.mtu = value.parse().unwrap_or(link.mtu))),
                // `ConfigureWithoutCarrier=` is no by default.
                _ if !has_signal => {}
                "Address" => {
                    let Ok(address) = value.parse() else { continue };
                    self.put_address(index, address, false);
                    self.by_networkd.push((index, address));
                }
                "DHCP" => {
                    let asks = |family: &str| value == family || value == "yes";
                    self.lease_by_networkd(link, "4", asks("ipv4"), root, crate::lease::LEASES);
                    self.lease_by_networkd(link, "6", asks("ipv6"), root, crate::networkd::LINKS);
                }
                "Destination" => destination = value.parse::<IpNet>().ok(),
                "Gateway" => {
                    let (Some(to), Ok(via)) = (destination, value.parse()) else { continue };
                    let (route, metric) = (Route { to, via }, if via.is_ipv6() { 1024 } else { 0 });
                    if self.append_route(index, route, metric).is_ok() {
                        self.routes_by_networkd.push(LinuxRoute {
                            route,
                            index,
                            metric,
                            advertised: false,
                            source: None,
                        });
                    }
                }
                _ => {}
            }
        }
    }

    /// What networkd removes of a link that it begins to configure: all that its file does not name, but for link-local
    /// addresses, which the kernel makes, and for routes that are advertised.
    fn drop_foreign(&mut self, index: u32, file: &str) {
        let is_named = |known: &LinuxAddress| {
            let line = format!("Address={}", known.address);
            !known.dynamic && file.lines().any(|named| named == line)
        };
        let is_kept = |known: &LinuxAddress| crate::stack::is_link_local(known.address.addr()) || is_named(known);
        let foreign = self.addresses.iter().filter(|known| known.index == index && !is_kept(known));
        for address in foreign.map(|known| known.address).collect::<Vec<_>>() {
            self.take_address(index, address, true);
        }
        self.routes.retain(|route| route.index != index || route.advertised);
    }

    /// Plugs a cable in; networkd configures the link then.
    pub fn plug_in(&mut self, name: &str, root: &Root) {
        self.unplugged.remove(name);
        for link in self.links.iter_mut().filter(|link| link.name == name) {
            link.running = link.up;
        }
        if self.has_networkd {
            self.networkctl(&["reload"], root);
        }
    }

    /// What a server tells goes into the file of the lease, or into that of the link, depending on the family.
    fn lease_by_networkd(&mut self, link: &str, digit: &str, take: bool, root: &Root, directory: &str) {
        let servers = if digit == "4" { &self.servers } else { &self.servers6 };
        let (Some(index), server) = (self.index_of(link), servers.get(link).cloned()) else { return };
        let file = root.locate(format!("{directory}/{index}"));
        match server.filter(|_| take) {
            Some(server) => {
                self.lease(link, digit, true, root);
                self.by_networkd.push((index, server.address));
                let is_of_lease = |known: &&LinuxRoute| {
                    known.index == index && known.metric == 1000 + index && Some(known.route.via) == server.router
                };
                let told = self.routes.iter().find(is_of_lease).cloned();
                self.routes_by_networkd.extend(told);
                drop(fs::create_dir_all(root.locate(directory)));
                drop(fs::write(file, server.dump.1));
            }
            None => drop(fs::remove_file(file)),
        }
    }
}
