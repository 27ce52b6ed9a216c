//! illumos: `dhcpinfo`, for every interface with an address that a DHCP server may have given.

use super::Lease;
use crate::network::NetworkError;
use crate::{Host, Invocation, ipadm};
use std::collections::BTreeSet;

/// Exit status when there is no lease.
const UNSUCCESSFUL: i32 = 2;
/// Exit status when the client does not answer in time.
const TIMED_OUT: i32 = 4;
/// The options of DHCPv6 by their codes (RFC 8415, RFC 3646): the server's identifier, which no lease is without, name
/// servers, and domains to search.
const SERVER_ID6: &str = "2";
const NAME_SERVERS6: &str = "23";
const SEARCH6: &str = "24";

/// The command that prints the values of an option, one in each line; nothing when the server did not send it.
#[must_use]
pub fn dhcpinfo_command(interface: &str, version: u8, option: &str) -> Invocation {
    Invocation::new("/sbin/dhcpinfo", ["-i", interface, "-v", &version.to_string(), option])
}

/// Parses the output of [`dhcpinfo_command`].
#[must_use]
pub fn parse_values(output: &str) -> Vec<&str> {
    output.lines().flat_map(str::split_whitespace).collect()
}

pub(super) fn leases(host: &Host) -> Result<Vec<Lease>, NetworkError> {
    let rows = ipadm::addresses(host)?;
    let interfaces: BTreeSet<&str> = rows.iter().map(ipadm::Address::interface).collect();
    interfaces.into_iter().map(|interface| lease(host, interface, &rows)).collect()
}

fn lease(host: &Host, interface: &str, rows: &[ipadm::Address]) -> Result<Lease, NetworkError> {
    let mut lease = Lease { interface: interface.to_owned(), ..Lease::default() };
    let mut here = rows.iter().filter(|row| row.interface() == interface);
    if here.clone().any(|row| row.kind == "dhcp" && row.is_usable()) {
        let told = |option| values(host, interface, 4, option);
        told("DNSserv")?.iter().for_each(|server| lease.add_server(server));
        told("DNSdmain")?.iter().for_each(|domain| lease.add_domain(domain));
        if let Some(name) = told("Hostname")?.first() {
            lease.set_hostname(name);
        }
    }
    if here.any(is_of_dhcp6) {
        let told = |option| values(host, interface, 6, option);
        told(NAME_SERVERS6)?.iter().for_each(|server| lease.add_server(server));
        told(SEARCH6)?.iter().for_each(|domain| lease.add_domain(domain));
    }
    Ok(lease)
}

/// Whether an address may be one of a DHCPv6 server: autoconfiguration takes those, and shows them as its own.
fn is_of_dhcp6(row: &ipadm::Address) -> bool {
    row.kind == "addrconf" && row.has_global_v6()
}

/// Whether an interface with these addresses has a DHCPv6 lease. Its address alone does not tell, because one in an advertised
/// prefix looks the same.
///
/// # Errors
/// [`NetworkError::Command`].
pub fn has_dhcp6(host: &Host, interface: &str, rows: &[ipadm::Address]) -> Result<bool, NetworkError> {
    let may_be = rows.iter().any(|row| row.interface() == interface && is_of_dhcp6(row));
    Ok(may_be && !values(host, interface, 6, SERVER_ID6)?.is_empty())
}

/// What the server told of an option. A client that does not answer in time is no lease that says nothing: name servers and a
/// host name would be given up for it.
fn values(host: &Host, interface: &str, version: u8, option: &str) -> Result<Vec<String>, NetworkError> {
    let operation = || format!("ask for the DHCP option {option} of {interface}");
    let command = dhcpinfo_command(interface, version, option);
    let completed = host.run_any(&command).map_err(NetworkError::command(operation()))?;
    match completed.code {
        UNSUCCESSFUL => return Ok(Vec::new()),
        TIMED_OUT => return Err(NetworkError::NoAnswer { operation: operation() }),
        _ => {}
    }
    let output = completed.success(&command).map_err(NetworkError::command(operation()))?.stdout;
    Ok(parse_values(&output).into_iter().map(str::to_owned).collect())
}
