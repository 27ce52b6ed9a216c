//! Linux with systemd-networkd: its lease files, `KEY=VALUE` in each line.
//!
//! The files call themselves private. They are read all the same, as
//! cloud-init does, because the ways that are not private need D-Bus or a
//! systemd newer than the distributions' that are in use.

use super::Lease;
use crate::network::NetworkError;
use crate::stack::LinuxAddress;
use crate::{Host, Invocation, IpNet, files, networkd};
use std::net::{IpAddr, Ipv6Addr};

/// Where the leases are, each under the index of its link.
pub const LEASES: &str = "/run/systemd/netif/leases";

/// Parses a lease file.
#[must_use]
pub fn parse_lease(interface: &str, content: &str) -> Lease {
    let mut lease = Lease { interface: interface.to_owned(), ..Lease::default() };
    for (key, value) in content.lines().filter_map(|line| line.split_once('=')) {
        match key {
            "DNS" => value.split_whitespace().for_each(|server| lease.add_server(server)),
            "DOMAINNAME" | "DOMAIN_SEARCH_LIST" => value.split_whitespace().for_each(|domain| lease.add_domain(domain)),
            "HOSTNAME" => lease.set_hostname(value),
            _ => {}
        }
    }
    lease
}

/// Adds what the state of a link says of name servers and domains that networkd uses. There is no file for a DHCPv6
/// lease; of a link that [`crate::networkd::NetworkFile`] configures, these come from there alone.
pub fn parse_link(lease: &mut Lease, content: &str) {
    for (key, value) in content.lines().filter_map(|line| line.split_once('=')) {
        match key {
            "DNS" => value.split_whitespace().for_each(|server| lease.add_server(server)),
            "DOMAINS" => value.split_whitespace().for_each(|domain| lease.add_domain(domain)),
            _ => {}
        }
    }
}

/// Whether networkd has leased an IPv4 address, by its lease file.
pub(super) fn has_leased4(host: &Host, address: &LinuxAddress) -> bool {
    let ip = address.address.addr();
    // What cannot be read is as good as not there: it may be gone in the next moment.
    let lease = || files::read_text(&host.root, format!("{LEASES}/{}", address.index)).ok().flatten();
    ip.is_ipv4() && lease().is_some_and(|lease| leased_address(&lease) == Some(ip))
}

fn leased_address(lease: &str) -> Option<IpAddr> {
    lease.lines().find_map(|line| line.strip_prefix("ADDRESS="))?.trim().parse().ok()
}

/// Whether networkd has leased an IPv6 address on a link whose file of ours asks for that. There is no file for a DHCPv6
/// lease, so networkd itself is asked. One that does not say where an address is from (252 does) is taken to be the one that has
/// set it: what is not its own it takes away when it configures the link.
pub(super) fn has_leased6(host: &Host, link: &str, address: &LinuxAddress) -> bool {
    let IpNet::V6(net) = address.address else { return false };
    let file = files::read_text(&host.root, networkd::path(link)).ok().flatten();
    let asks = |file: String| {
        let is_fixed = file.lines().any(|line| line == format!("Address={net}"));
        file.contains(networkd::DHCP6) && !is_fixed
    };
    if net.prefix_len() != 128 || !file.is_some_and(asks) || !networkd::is_in_charge(host).unwrap_or(false) {
        return false;
    }
    let status = host.run_any(&status_command(address.index)).ok().filter(|status| status.code == 0);
    status.and_then(|status| source_of(&status.stdout, net.addr())).is_none_or(|source| source == "DHCPv6")
}

/// The command that has networkd describe a link, in JSON.
#[must_use]
pub fn status_command(index: u32) -> Invocation {
    Invocation::new("/usr/bin/networkctl", ["--json=short", "status", &index.to_string()])
}

/// Where an address is from by the output of [`status_command`] (systemd, `networkd-json.c`); `None` where that is not told.
fn source_of(status: &str, address: Ipv6Addr) -> Option<String> {
    let status: serde_json::Value = serde_json::from_str(status).ok()?;
    let bytes = serde_json::json!(address.octets());
    let found = status["Addresses"].as_array()?.iter().find(|known| known["Address"] == bytes)?;
    found["ConfigSource"].as_str().map(str::to_owned)
}

pub(super) fn leases(host: &Host) -> Result<Vec<Lease>, NetworkError> {
    let mut leases = Vec::new();
    for link in host.links()? {
        // What cannot be read is as good as not there: it may be gone in the next moment.
        let read = |path: String| files::read_text(&host.root, path).ok().flatten();
        let mut lease = match read(format!("{LEASES}/{}", link.index)) {
            Some(content) => parse_lease(&link.name, &content),
            None => Lease { interface: link.name.clone(), ..Lease::default() },
        };
        let asks_dhcp6 = read(networkd::path(&link.name)).is_some_and(|file| file.contains(networkd::DHCP6));
        if let Some(content) = read(format!("{}/{}", networkd::LINKS, link.index)).filter(|_| asks_dhcp6) {
            parse_link(&mut lease, &content);
        }
        leases.push(lease);
    }
    Ok(leases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "fake")]
    #[test]
    fn a_lease_for_ever_is_known_by_its_file() {
        let (_directory, host, machine) = crate::fake::linux::Machine::start();
        machine.network(|network| {
            let index = network.add_link("eth0");
            for address in ["192.0.2.57/24", "192.0.2.10/24"] {
                network.addresses.push(LinuxAddress::fixed(index, address.parse().unwrap()));
            }
            std::fs::create_dir_all(host.root.locate(LEASES)).unwrap();
            std::fs::write(host.root.locate(format!("{LEASES}/{index}")), "ADDRESS=192.0.2.57\n").unwrap();
        });
        let marked: Vec<_> = host.addresses().unwrap().into_iter().map(|address| address.dynamic).collect();
        assert_eq!(marked, [true, false]);
    }

    #[test]
    fn where_an_address_is_from() {
        let address = "2001:db8::190".parse().unwrap();
        let of = |source: &str| format!("{{\"Family\":10,\"Address\":{:?}{source}}}", Ipv6Addr::octets(&address));
        let status = |source: &str| format!("{{\"Index\":3,\"Addresses\":[{}]}}", of(source));
        let told = |status: &str| source_of(status, address);
        assert_eq!(told(&status(",\"ConfigSource\":\"DHCPv6\"")).as_deref(), Some("DHCPv6"));
        assert_eq!(told(&status(",\"ConfigSource\":\"foreign\"")).as_deref(), Some("foreign"));
        for unsaid in [&*status(""), "{\"Index\":3}", "[]", "", "Unknown operation."] {
            assert_eq!(told(unsaid), None, "{unsaid}");
        }
    }

    #[test]
    fn a_lease() {
        let content = "# This is private data. Do not parse.\nADDRESS=192.0.2.57\nROUTER=192.0.2.1\nDNS=192.0.2.53 192.0.2.54\n\
                       DOMAINNAME=example.org\nDOMAIN_SEARCH_LIST=lan example.org\nHOSTNAME=Client1\n";
        let lease = parse_lease("eth0", content);
        assert_eq!(lease.servers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.53", "192.0.2.54"]);
        assert_eq!(lease.search, ["example.org", "lan"]);
        assert_eq!(lease.hostname.as_deref(), Some("client1"));
    }

    #[test]
    fn the_state_of_a_link_adds_what_dhcp6_told() {
        let mut lease = parse_lease("eth0", "DNS=192.0.2.53\nDOMAINNAME=example.org\n");
        let content = "# This is private data. Do not parse.\nADMIN_STATE=configured\nDNS=2001:db8::53 192.0.2.53\n\
                       DOMAINS=example.org v6.example.org\nDNSSEC=no\n";
        parse_link(&mut lease, content);
        assert_eq!(lease.servers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.53", "2001:db8::53"]);
        assert_eq!(lease.search, ["example.org", "v6.example.org"]);
    }

    #[test]
    fn a_hostile_server_gets_nothing_through() {
        let lease =
            parse_lease("eth0", "DNS=x; 0.0.0.0 ::1 224.0.0.1\nDOMAINNAME=a\u{7f}b ../x -y\nHOSTNAME=$(reboot)\n");
        assert_eq!(lease.servers, ["::1".parse::<std::net::IpAddr>().unwrap()]);
        assert!(lease.search.is_empty() && lease.hostname.is_none(), "{lease:?}");
    }
}
