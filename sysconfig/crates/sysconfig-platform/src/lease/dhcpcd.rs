//! Linux with dhcpcd: what `dhcpcd --dumplease` prints, variables in shell syntax.

use super::Lease;
use crate::Host;
use crate::dhcpcd::{self, Family};
use crate::network::NetworkError;
use crate::stack::LinuxAddress;

/// Parses the output of [`dhcpcd::dump_command`]. Values may stand in single quotes, and a list has blanks.
#[must_use]
pub fn parse_dump(interface: &str, output: &str) -> Lease {
    let mut lease = Lease { interface: interface.to_owned(), ..Lease::default() };
    for (key, value) in output.lines().filter_map(|line| line.split_once('=')) {
        let value = value.trim().trim_matches(['\'', '"']);
        match key {
            "domain_name_servers" | "dhcp6_name_servers" => {
                value.split_whitespace().for_each(|server| lease.add_server(server));
            }
            // A router's word, numbered by advertisement: nd1_rdnss1_servers.
            key if key.starts_with("nd") && key.ends_with("_servers") => {
                value.split_whitespace().for_each(|server| lease.add_server(server));
            }
            "domain_name" | "domain_search" | "dhcp6_domain_search" => {
                value.split_whitespace().for_each(|domain| lease.add_domain(domain));
            }
            "host_name" => lease.set_hostname(value),
            _ => {}
        }
    }
    lease
}

pub(super) fn leases(host: &Host) -> Result<Vec<Lease>, NetworkError> {
    let addresses = host.addresses()?;
    let mut leases = Vec::new();
    for link in host.links()? {
        let mut words = String::new();
        for family in Family::ALL {
            let has_lease = addresses.iter().any(|address| address.index == link.index && is_leased(address, family));
            // A file that cannot be read is no sign of ours.
            if has_lease && dhcpcd::ours(host, &link.name, family).ok().flatten().is_some() {
                let operation = format!("ask for the lease of {}", link.name);
                // When it was lost in this moment, the program fails.
                let asked = host.run_any(&dhcpcd::dump_command(&link.name, family));
                words += &asked.map_err(NetworkError::command(operation))?.stdout;
            }
        }
        leases.push(parse_dump(&link.name, &words));
    }
    Ok(leases)
}

/// Whether an address is one that a DHCP server gave: it ends by itself. (A client of ours without one must not be asked for its
/// lease: dhcpcd 9.4 answers nobody any more after it was.)
#[must_use]
pub fn is_leased(address: &LinuxAddress, family: Family) -> bool {
    let of_family = match family {
        Family::Ipv4 => address.address.addr().is_ipv4(),
        // Those of router advertisements have the prefix length of their network.
        Family::Ipv6 => address.address.addr().is_ipv6() && address.address.prefix_len() == 128,
    };
    // Nor while its address is checked: its lease is none before.
    address.dynamic && !address.tentative && of_family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_of_both_families() {
        let output = "reason=BOUND\ninterface=eth0\nip_address=192.0.2.57\ndomain_name_servers='192.0.2.53 192.0.2.54'\n\
                      domain_name=example.org\nhost_name=client1\ndhcp6_name_servers=2001:db8::53\ndhcp6_domain_search='lan example.org.'\n";
        let lease = parse_dump("eth0", output);
        let servers: Vec<_> = lease.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.53", "192.0.2.54", "2001:db8::53"]);
        assert_eq!(lease.search, ["example.org", "lan"]);
        assert_eq!(lease.hostname.as_deref(), Some("client1"));
    }
}
