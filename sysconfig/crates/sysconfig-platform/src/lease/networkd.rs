//! Linux with systemd-networkd: its lease files, `KEY=VALUE` in each line.
//!
//! The files call themselves private. They are read all the same, as
//! cloud-init does, because the ways that are not private need D-Bus or a
//! systemd newer than the distributions' that are in use.

use super::Lease;
use crate::network::NetworkError;
use crate::{Host, files};

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

pub(super) fn leases(host: &Host) -> Result<Vec<Lease>, NetworkError> {
    let mut leases = Vec::new();
    for link in host.links()? {
        let path = format!("{LEASES}/{}", link.index);
        // A lease that cannot be read is as good as none: it may be gone in the next moment.
        if let Ok(Some(content)) = files::read_text(&host.root, path) {
            leases.push(parse_lease(&link.name, &content));
        }
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
    fn a_hostile_server_gets_nothing_through() {
        let lease =
            parse_lease("eth0", "DNS=x; 0.0.0.0 ::1 224.0.0.1\nDOMAINNAME=a\u{7f}b ../x -y\nHOSTNAME=$(reboot)\n");
        assert_eq!(lease.servers, ["::1".parse::<std::net::IpAddr>().unwrap()]);
        assert!(lease.search.is_empty() && lease.hostname.is_none(), "{lease:?}");
    }
}
