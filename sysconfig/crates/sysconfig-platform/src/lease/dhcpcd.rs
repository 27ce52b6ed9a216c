//! Linux with dhcpcd: what `dhcpcd --dumplease` prints, variables in shell syntax, and the lease files, which may be looked at
//! while there is no lease.

use super::Lease;
use crate::dhcpcd::{self, Family};
use crate::network::NetworkError;
use crate::stack::LinuxAddress;
use crate::{Host, IpNet, files};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where dhcpcd keeps its leases: the server's last message as it came.
const LEASES: &str = "/var/lib/dhcpcd";

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

/// Whether an address is one that a DHCP server gave. (A client of ours without one must not be asked for its
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

/// Whether a client of ours on a link has leased this address, by its lease file.
pub(super) fn has_leased(host: &Host, link: &str, address: IpNet) -> bool {
    let family = if address.addr().is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
    // A file that cannot be read is no sign of ours, nor of a lease.
    let runs = dhcpcd::ours(host, link, family).ok().flatten().is_some();
    runs && lease_files(host, link, family).iter().any(|file| match family {
        Family::Ipv4 => parse_leased4(file).map(IpAddr::V4) == Some(address.addr()),
        Family::Ipv6 => parse_leased6(file).into_iter().any(|leased| IpAddr::V6(leased) == address.addr()),
    })
}

/// The lease files of a link; a radio has one for each network, whose name stands behind a dash.
fn lease_files(host: &Host, link: &str, family: Family) -> Vec<Vec<u8>> {
    let suffix = match family {
        Family::Ipv4 => ".lease",
        Family::Ipv6 => ".lease6",
    };
    let is_of_link = |name: &str| {
        let network = name.strip_prefix(link).and_then(|rest| rest.strip_suffix(suffix));
        network.is_some_and(|network| network.is_empty() || network.starts_with('-'))
    };
    let entries = std::fs::read_dir(host.root.locate(LEASES)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| is_of_link(name));
    names.filter_map(|name| files::read(&host.root, format!("{LEASES}/{name}")).ok().flatten()).collect()
}

/// The address that a DHCP message gives (`yiaddr`; RFC 2131, figure 1 and section 3).
#[must_use]
pub fn parse_leased4(message: &[u8]) -> Option<Ipv4Addr> {
    const MAGIC_COOKIE: [u8; 4] = [99, 130, 83, 99];
    message.get(236..240).filter(|cookie| *cookie == MAGIC_COOKIE)?;
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(message.get(16..20)?).ok()?))
}

/// The addresses that a DHCPv6 message gives (RFC 8415, sections 8, 21.4 and 21.6).
#[must_use]
pub fn parse_leased6(message: &[u8]) -> Vec<Ipv6Addr> {
    const REPLY: u8 = 7;
    const IA_NA: u16 = 3;
    const IA_ADDR: u16 = 5;
    // Before the options: the kind and the number of the message; the identity and two times.
    let Some((_, options)) = message.split_at_checked(4).filter(|(header, _)| header[0] == REPLY) else {
        return Vec::new();
    };
    let associations = options6(options, IA_NA).into_iter().filter_map(|option| option.get(12..));
    let addresses = associations.flat_map(|options| options6(options, IA_ADDR));
    addresses.filter_map(|option| Some(Ipv6Addr::from(<[u8; 16]>::try_from(option.get(..16)?).ok()?))).collect()
}

/// The contents of the options of a kind, up to one that is cut off.
fn options6(mut rest: &[u8], kind: u16) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some((&[a, b, c, d], after)) = rest.split_first_chunk() {
        let Some((content, next)) = after.split_at_checked(usize::from(u16::from_be_bytes([c, d]))) else { break };
        if u16::from_be_bytes([a, b]) == kind {
            found.push(content);
        }
        rest = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message4(address: &str) -> Vec<u8> {
        let mut message = vec![0; 240];
        message[0] = 2;
        message[16..20].copy_from_slice(&address.parse::<Ipv4Addr>().unwrap().octets());
        message[236..].copy_from_slice(&[99, 130, 83, 99]);
        message
    }

    fn option6(kind: u16, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap();
        [&kind.to_be_bytes(), &length.to_be_bytes(), content].concat()
    }

    fn message6(address: &str) -> Vec<u8> {
        let mut given = address.parse::<Ipv6Addr>().unwrap().octets().to_vec();
        given.extend([0xff; 8]);
        let association = [&[0, 0, 0, 1][..], &[0xff; 8], &option6(5, &given)].concat();
        [&[7, 1, 2, 3][..], &option6(1, b"client"), &option6(3, &association)].concat()
    }

    #[test]
    fn what_a_message_gives() {
        assert_eq!(parse_leased4(&message4("192.0.2.57")), Some(Ipv4Addr::new(192, 0, 2, 57)));
        assert_eq!(parse_leased4(&message4("192.0.2.57")[..239]), None);
        let message = message6("2001:db8::57");
        assert_eq!(parse_leased6(&message), ["2001:db8::57".parse::<Ipv6Addr>().unwrap()]);
        for end in 0..message.len() {
            assert_eq!(parse_leased6(&message[..end]), [0_u128; 0].map(Ipv6Addr::from), "{end}");
        }
        assert_eq!(parse_leased6(&[&[2], &message[1..]].concat()), [0_u128; 0].map(Ipv6Addr::from), "an offer");
    }

    /// NetworkManager and administrators set the same flags.
    #[cfg(feature = "fake")]
    #[test]
    fn a_lease_for_ever_is_known_by_the_file_of_our_client() {
        let (_directory, host, machine) = crate::fake::linux::Machine::start();
        let index = machine.network(|network| network.add_link("eth0"));
        let write = |path: &str, content: &[u8]| {
            let path = host.root.locate(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };
        machine.network(|network| {
            for address in ["192.0.2.57/24", "192.0.2.10/24", "2001:db8::57/128", "2001:db8::10/128"] {
                let fixed = LinuxAddress::fixed(index, address.parse().unwrap());
                network.addresses.push(LinuxAddress { noprefixroute: true, ..fixed });
            }
        });
        let marked = || host.addresses().unwrap().into_iter().map(|address| address.dynamic).collect::<Vec<_>>();
        write("/var/lib/dhcpcd/eth0.lease", &message4("192.0.2.57"));
        write("/var/lib/dhcpcd/eth0.lease6", &message6("2001:db8::57"));
        assert_eq!(marked(), [false; 4], "the client that was told so does not run");
        write("/proc/1/status", b"");
        write("/run/dhcpcd/eth0-4.pid", b"1\n");
        write("/run/dhcpcd/eth0-6.pid", b"1\n");
        assert_eq!(marked(), [false; 4], "nor is it ours");
        write(&dhcpcd::configuration_path("eth0", Family::Ipv4), b"");
        assert_eq!(marked(), [true, false, false, false]);
        write(&dhcpcd::configuration_path("eth0", Family::Ipv6), b"");
        assert_eq!(marked(), [true, false, true, false]);
        machine.network(|network| network.addresses[0].noprefixroute = false);
        assert_eq!(marked(), [false, false, true, false], "an old lease's address that is set by hand");
        machine.network(|network| network.addresses[0].noprefixroute = true);
        write("/var/lib/dhcpcd/eth0.lease", &message4("192.0.2.58"));
        write("/var/lib/dhcpcd/eth0-home.lease", &message4("192.0.2.57"));
        assert_eq!(marked(), [true, false, true, false], "by the network's name");
    }

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
