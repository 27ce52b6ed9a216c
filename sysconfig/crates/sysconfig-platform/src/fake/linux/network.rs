//! The network of the simulated Linux machine: the kernel's stack, networkd and dhcpcd.

mod networkd;

use super::super::{failed, lock, printed};
use super::Machine;
use crate::network::Route;
use crate::stack::{LinuxAddress, LinuxLink, LinuxRoute, NetworkStack, OtherRoute, SavedRoute, is_on_link};
use crate::{Completed, IpNet, Root};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::net::IpAddr;

/// What a DHCP server on a link tells.
#[derive(Clone, Debug)]
pub struct Server {
    /// The address for this machine.
    pub address: IpNet,
    /// The router.
    pub router: Option<IpAddr>,
    /// What dhcpcd dumps, and networkd writes into its lease file, each in its own words.
    pub dump: (String, String),
}

/// The network.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// The links, in the order of their numbers.
    pub links: Vec<LinuxLink>,
    /// The addresses, in the order in which they came.
    pub addresses: Vec<LinuxAddress>,
    /// The routes.
    pub routes: Vec<LinuxRoute>,
    /// The routes that do not lead over one gateway.
    pub other_routes: Vec<OtherRoute>,
    /// The DHCP servers by link.
    pub servers: BTreeMap<String, Server>,
    /// The DHCPv6 servers by link.
    pub servers6: BTreeMap<String, Server>,
    /// Addresses of other machines, which the kernel's check finds for IPv6, and arping for IPv4.
    pub neighbours: Vec<IpAddr>,
    /// Whether systemd-networkd runs.
    pub has_networkd: bool,
    /// How many of the next calls of `networkctl` fail.
    pub networkctl_fails: u32,
    /// How many of the next units that are told to read their configuration do not.
    pub reloads_fail: u32,
    /// The units that do not run although they could.
    pub stopped_units: BTreeSet<&'static str>,
    /// The states that systemd tells of networkd, one for each question, before it tells that it is active.
    pub networkd_changes: VecDeque<&'static str>,
    /// Whether systemd answers no question.
    pub systemd_is_dumb: bool,
    /// Whether dhcpcd is installed.
    pub has_dhcpcd: bool,
    /// How many of its next starts fail.
    pub dhcpcd_fails: u32,
    /// Whether the arping of iputils is installed.
    pub has_arping: bool,
    /// The names of links whose cables are not plugged in: they get no signal when they are switched on.
    pub unplugged: BTreeSet<String>,
    /// The files that networkd has read, by link.
    loaded: BTreeMap<String, String>,
    /// What networkd has put there: link and address.
    by_networkd: Vec<(u32, IpNet)>,
    /// Routes of networkd's.
    routes_by_networkd: Vec<LinuxRoute>,
    /// The process id of the last client.
    last_pid: u32,
}

fn errno<T>(errno: Errno) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(errno.raw_os_error()))
}

impl Network {
    /// Adds a link without a name server, switched off; the last byte of its address is its number.
    pub fn add_link(&mut self, name: &str) -> u32 {
        let index = u32::try_from(self.links.len() + 2).expect("there are few links");
        let last = u8::try_from(index).expect("there are few links");
        self.links.push(LinuxLink {
            index,
            name: name.to_owned(),
            mac: Some(crate::mac::MacAddress([0x52, 0x54, 0, 0x12, 0x34, last])),
            up: false,
            running: false,
            loopback: false,
            port_of: None,
            over: None,
            mtu: 1500,
            min_mtu: 68,
            max_mtu: 9000,
        });
        index
    }

    /// Every address with the name of its link.
    #[must_use]
    pub fn shown(&self) -> Vec<String> {
        let name =
            |index: u32| self.links.iter().find(|link| link.index == index).map_or("?", |link| link.name.as_str());
        self.addresses.iter().map(|address| format!("{} {}", name(address.index), address.address)).collect()
    }

    fn link(&mut self, index: u32) -> io::Result<&mut LinuxLink> {
        match self.links.iter_mut().find(|link| link.index == index) {
            Some(link) => Ok(link),
            None => errno(Errno::NODEV),
        }
    }

    fn put_address(&mut self, index: u32, address: IpNet, dynamic: bool) {
        if self.addresses.iter().any(|other| other.index == index && other.address == address) {
            return;
        }
        let duplicate = address.addr().is_ipv6() && self.neighbours.contains(&address.addr());
        let fixed = LinuxAddress::fixed(index, address);
        self.addresses.push(LinuxAddress { dynamic, tentative: duplicate, duplicate, ..fixed });
    }

    /// With the first IPv4 address of a network its others go, unless the kernel `promotes` the next one.
    fn take_address(&mut self, index: u32, address: IpNet, promotes: bool) {
        let shares = |other: &LinuxAddress| other.index == index && other.address.trunc() == address.trunc();
        let is_first = self.addresses.iter().find(|other| shares(other)).is_some_and(|first| first.address == address);
        let takes_all = is_first && address.addr().is_ipv4() && !promotes;
        self.addresses
            .retain(|other| !(takes_all && shares(other)) && (other.index != index || other.address != address));
        // Routes of IPv4 that name an address go with it, and all of them with the last address of the link; those of IPv6 stay.
        let (source, addresses) = (address.addr(), &self.addresses);
        let is_gone =
            |source: IpAddr| source.is_ipv4() && !addresses.iter().any(|other| other.address.addr() == source);
        if is_gone(source) {
            self.routes.retain(|known| known.source != Some(source));
            self.other_routes.retain(|known| known.source != Some(source));
        }
        if address.addr().is_ipv4() && !self.networks(index).iter().any(|other| other.addr().is_ipv4()) {
            self.routes.retain(|known| known.index != index || known.route.via.is_ipv6());
            self.other_routes.retain(|known| known.index != Some(index) || known.to.addr().is_ipv6());
        }
    }

    /// With packets of less than 1280 bytes there is no IPv6 on a link.
    fn end_ipv6_if_too_small(&mut self, index: u32) {
        if self.links.iter().any(|link| link.index == index && link.mtu < 1280) {
            self.addresses.retain(|known| known.index != index || known.address.addr().is_ipv4());
            self.routes.retain(|known| known.index != index || known.route.via.is_ipv4());
        }
    }

    fn networks(&self, index: u32) -> Vec<IpNet> {
        self.addresses.iter().filter(|address| address.index == index).map(|address| address.address).collect()
    }

    /// Adds a route, unless another one of its priority leads to the destination.
    fn put_route(&mut self, index: u32, route: Route, metric: u32) -> io::Result<()> {
        let is_other = |known: &LinuxRoute| known.index != index || known.route.via != route.via;
        let mut same = self.routes.iter().filter(|known| known.route.to == route.to && known.metric == metric);
        let is_in_the_way = |known: &OtherRoute| known.to == route.to && known.metric == metric;
        match same.any(is_other) || self.other_routes.iter().any(is_in_the_way) {
            true => errno(Errno::EXIST),
            false => self.append_route(index, route, metric),
        }
    }

    /// Adds a route whatever else leads to the destination (`NLM_F_APPEND`).
    fn append_route(&mut self, index: u32, route: Route, metric: u32) -> io::Result<()> {
        if !self.link(index)?.up {
            return errno(Errno::NETDOWN);
        }
        let leads_to = |known: &OtherRoute| known.index == Some(index) && known.to.contains(&route.via);
        if !is_on_link(route.via, &self.networks(index)) && !self.other_routes.iter().any(leads_to) {
            return errno(if route.via.is_ipv6() { Errno::HOSTUNREACH } else { Errno::NETUNREACH });
        }
        let wanted = LinuxRoute { route, index, metric, advertised: false, source: None };
        if !self.routes.contains(&wanted) {
            self.routes.push(wanted);
        }
        Ok(())
    }

    fn index_of(&self, name: &str) -> Option<u32> {
        self.links.iter().find(|link| link.name == name).map(|link| link.index)
    }

    /// Takes or gives back the lease of a link; `digit` names the family.
    fn lease(&mut self, name: &str, digit: &str, take: bool, root: &Root) {
        let servers = if digit == "4" { &self.servers } else { &self.servers6 };
        let (Some(index), Some(server)) = (self.index_of(name), servers.get(name).cloned()) else { return };
        if !take {
            // The client takes its own route with it.
            let is_of_lease = |known: &LinuxRoute| {
                known.index == index && known.metric == 1000 + index && Some(known.route.via) == server.router
            };
            self.routes.retain(|known| !is_of_lease(known));
            self.take_address(index, server.address, promotes(root, name));
            return;
        }
        self.put_address(index, server.address, true);
        if let Some(router) = server.router {
            // The metric keeps it apart from routes that somebody has set, and from those of other links.
            drop(self.put_route(index, Route::default_over(router), 1000 + index));
        }
    }

    fn set_up_flag(&mut self, index: u32, up: bool) -> io::Result<()> {
        let unplugged = self.unplugged.clone();
        let link = self.link(index)?;
        link.up = up;
        link.running = up && !unplugged.contains(&link.name);
        if !up {
            self.routes.retain(|route| route.index != index);
        }
        Ok(())
    }

    pub(super) fn arping(&self, args: &[&str]) -> Completed {
        match args {
            ["-V"] => printed("arping from iputils 20221126\n"),
            ["-D", "-q", "-c", _, "-w", _, "-I", link, address] => {
                let is_up = self.links.iter().any(|known| known.name == *link && known.up);
                match address.parse() {
                    Ok(address) if is_up && self.neighbours.contains(&IpAddr::V4(address)) => failed(1, ""),
                    Ok(_) if is_up => printed(""),
                    Ok(_) => failed(2, format!("arping: Interface \"{link}\" is down\n")),
                    Err(_) => failed(2, format!("arping: {address}: Name or service not known\n")),
                }
            }
            _ => failed(2, "\nUsage:\n  arping [options] <destination>\n"),
        }
    }

    pub(super) fn dhcpcd(&mut self, args: &[&str], root: &Root) -> Completed {
        let family =
            |option: &str| option.strip_prefix('-').filter(|digit| ["4", "6"].contains(digit)).map(str::to_owned);
        match args {
            [option, "--background", "--quiet", "--config", file, link] => match family(option) {
                Some(digit) if root.exists(file).unwrap_or(false) => self.start_client(&digit, link, root),
                Some(_) => failed(1, format!("dhcpcd: cannot read {file}\n")),
                None => failed(1, "usage: dhcpcd\n"),
            },
            [option, "--release", link] => match family(option) {
                Some(digit) => self.end_client(&digit, link, root),
                None => failed(1, "usage: dhcpcd\n"),
            },
            [option, "--dumplease", link] => match family(option) {
                Some(digit) if root.exists(pid_file(&digit, link)).unwrap_or(false) => {
                    let servers = if digit == "4" { &self.servers } else { &self.servers6 };
                    printed(servers.get(*link).map(|server| server.dump.0.clone()).unwrap_or_default())
                }
                Some(_) => failed(1, "dhcpcd is not running\n"),
                None => failed(1, "usage: dhcpcd\n"),
            },
            _ => failed(1, "usage: dhcpcd\n"),
        }
    }

    fn start_client(&mut self, digit: &str, link: &str, root: &Root) -> Completed {
        if self.dhcpcd_fails > 0 {
            self.dhcpcd_fails -= 1;
            return failed(1, "dhcpcd: fork: Resource temporarily unavailable\n");
        }
        if self.index_of(link).is_none() {
            return failed(1, format!("{link}: interface not found\n"));
        }
        self.last_pid += 1;
        let pid = 100_000 + self.last_pid;
        let write = || -> io::Result<()> {
            fs::create_dir_all(root.locate("/run/dhcpcd"))?;
            fs::create_dir_all(root.locate(format!("/proc/{pid}")))?;
            fs::write(root.locate(pid_file(digit, link)), format!("{pid}\n"))
        };
        write().expect("the root can be written");
        self.lease(link, digit, true, root);
        printed("")
    }

    fn end_client(&mut self, digit: &str, link: &str, root: &Root) -> Completed {
        let file = root.locate(pid_file(digit, link));
        let Ok(pid) = fs::read_to_string(&file) else { return failed(1, "dhcpcd is not running\n") };
        drop(fs::remove_dir(root.locate(format!("/proc/{}", pid.trim()))));
        drop(fs::remove_file(file));
        self.lease(link, digit, false, root);
        printed("")
    }
}

/// Whether `promote_secondaries` is set for a link; a machine without that value is as most distributions set it.
fn promotes(root: &Root, link: &str) -> bool {
    let value = fs::read_to_string(root.locate(format!("/proc/sys/net/ipv4/conf/{link}/promote_secondaries")));
    value.map_or(true, |value| value.trim() != "0")
}

fn pid_file(digit: &str, link: &str) -> String {
    format!("/run/dhcpcd/{link}-{digit}.pid")
}

impl NetworkStack for Machine {
    fn links(&self) -> io::Result<Vec<LinuxLink>> {
        Ok(lock(&self.inner).network.links.clone())
    }

    fn addresses(&self) -> io::Result<Vec<LinuxAddress>> {
        Ok(lock(&self.inner).network.addresses.clone())
    }

    fn routes(&self) -> io::Result<Vec<LinuxRoute>> {
        Ok(lock(&self.inner).network.routes.clone())
    }

    fn other_routes(&self) -> io::Result<Vec<OtherRoute>> {
        Ok(lock(&self.inner).network.other_routes.clone())
    }

    fn set_up(&self, index: u32, up: bool) -> io::Result<()> {
        lock(&self.inner).network.set_up_flag(index, up)
    }

    fn set_mtu(&self, index: u32, mtu: u32) -> io::Result<()> {
        let mut inner = lock(&self.inner);
        let link = inner.network.link(index)?;
        if mtu < link.min_mtu || mtu > link.max_mtu {
            return errno(Errno::INVAL);
        }
        link.mtu = mtu;
        inner.network.end_ipv6_if_too_small(index);
        Ok(())
    }

    fn add_address(&self, index: u32, address: IpNet) -> io::Result<()> {
        let mut inner = lock(&self.inner);
        inner.network.link(index)?;
        inner.network.put_address(index, address, false);
        Ok(())
    }

    fn delete_address(&self, index: u32, address: IpNet) -> io::Result<()> {
        let mut inner = lock(&self.inner);
        let link = inner.network.links.iter().find(|link| link.index == index);
        let promotes = link.is_none_or(|link| promotes(&self.root, &link.name));
        inner.network.take_address(index, address, promotes);
        Ok(())
    }

    fn add_route(&self, index: u32, route: &Route) -> io::Result<()> {
        lock(&self.inner).network.put_route(index, *route, LinuxRoute::metric_of(route))
    }

    fn delete_route(&self, index: u32, route: &Route) -> io::Result<()> {
        // Without a metric in the request, as for IPv4, the kernel deletes the first that fits, and has them in the order of their
        // metrics.
        let mut inner = lock(&self.inner);
        let routes = &mut inner.network.routes;
        let metric = LinuxRoute::metric_of(route);
        let fits = |other: &LinuxRoute| {
            other.index == index && other.route == *route && (metric == 0 || other.metric == metric)
        };
        let fitting = routes.iter().enumerate().filter(|(_, other)| fits(other));
        if let Some((at, _)) = fitting.min_by_key(|(_, other)| other.metric) {
            routes.remove(at);
        }
        Ok(())
    }

    fn routes_with(&self, index: u32, address: IpNet) -> io::Result<Vec<SavedRoute>> {
        let network = &lock(&self.inner).network;
        let mut others = network.networks(index).into_iter().filter(|other| *other != address);
        let is_last = !others.any(|other| other.addr().is_ipv4());
        let goes = |source: Option<IpAddr>, over: Option<u32>| {
            address.addr().is_ipv4() && (source == Some(address.addr()) || is_last && over == Some(index))
        };
        let is_v4 = |known: &&LinuxRoute| known.route.via.is_ipv4() && known.metric != 1000 + index;
        let routes = network.routes.iter().filter(is_v4).filter(|known| goes(known.source, Some(known.index)));
        let others = network.other_routes.iter().filter(|known| known.to.addr().is_ipv4());
        let others = others.filter(|known| goes(known.source, known.index));
        let saved = routes.cloned().map(Saved::Route).chain(others.cloned().map(Saved::Other));
        Ok(saved.map(|saved| serde_json::to_vec(&saved).map(SavedRoute)).collect::<Result<_, _>>()?)
    }

    fn restore_route(&self, route: &SavedRoute) -> io::Result<()> {
        let network = &mut lock(&self.inner).network;
        let known = match serde_json::from_slice(&route.0)? {
            Saved::Route(known) if network.routes.contains(&known) => return Ok(()),
            Saved::Route(known) => known,
            Saved::Other(known) => {
                if !network.other_routes.contains(&known) {
                    network.other_routes.push(known);
                }
                return Ok(());
            }
        };
        network.put_route(known.index, known.route, known.metric)?;
        let is_it = |other: &&mut LinuxRoute| {
            (other.route, other.index, other.metric) == (known.route, known.index, known.metric)
        };
        network.routes.iter_mut().filter(is_it).for_each(|other| other.source = known.source);
        Ok(())
    }
}

/// A route that goes with an address.
#[derive(serde::Serialize, serde::Deserialize)]
enum Saved {
    Route(LinuxRoute),
    Other(OtherRoute),
}
