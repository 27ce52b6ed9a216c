//! Linux with systemd-networkd: its lease files, `KEY=VALUE` in each line.
//!
//! The files call themselves private. They are read all the same, as
//! cloud-init does, because the ways that are not private need D-Bus or a
//! systemd newer than the distributions' that are in use.

use super::Lease;
use crate::network::NetworkError;
use crate::{Host, files, networkd};

/// Where the leases are, each under the index of its link.
pub const LEASES: &str = "/run/systemd/netif/leases";
/// Where the states of the links are, each under the index of the link.
pub const LINKS: &str = "/run/systemd/netif/links";

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
        if let Some(content) = read(format!("{LINKS}/{}", link.index)).filter(|_| asks_dhcp6) {
            parse_link(&mut lease, &content);
        }
        leases.push(lease);
    }
    Ok(leases)
}

#[cfg(test)]
mod tests {
    use super::*;

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
