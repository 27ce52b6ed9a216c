//! illumos: `dhcpinfo`, for every interface with an address that a DHCP server may have given.
//!
//! What it prints and how it ends is in illumos-gate: `cmd/cmd-inet/sbin/dhcpinfo/dhcpinfo.c`, the exit statuses in
//! `lib/libdhcpagent/common/dhcpagent_ipc.h`, what it says of a failure in `dhcp_ipc_strerror` beside that; the options that it
//! knows, in `cmd/cmd-inet/etc/dhcp/inittab` and `inittab6`. A domain of DHCPv6 is printed with a dot at its end.

use super::Lease;
use crate::network::NetworkError;
use crate::{Host, Invocation, ipadm};
use std::collections::BTreeSet;

/// Exit status when there is no lease, and for all else that the client does not do.
const UNSUCCESSFUL: i32 = 2;
/// What the program says then where that is no word about the lease: the client is busy, or ends and is started again.
const PASSING: [&str; 4] = ["might work later", "try later", "ipc connection closed", "out of memory"];
/// Exit status when the client does not answer in time.
const TIMED_OUT: i32 = 4;
/// The options of DHCPv6 by their codes (RFC 8415, RFC 3646), which `inittab6` has for `dhcpinfo` (the letter `i`): the server's
/// identifier, which no lease is without, name servers, and domains to search.
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
/// prefix looks the same; nor does the server's identifier, which a client has as well that was told by the router to ask for
/// nothing but information.
///
/// # Errors
/// [`NetworkError::Command`] and [`NetworkError::NoAnswer`].
pub fn has_dhcp6(host: &Host, interface: &str, rows: &[ipadm::Address]) -> Result<bool, NetworkError> {
    let may_be = rows.iter().any(|row| row.interface() == interface && is_of_dhcp6(row));
    Ok(may_be && !values(host, interface, 6, SERVER_ID6)?.is_empty() && !asks_for_information_only(host, interface)?)
}

/// The command that prints the states of the DHCPv6 client on an interface.
#[must_use]
pub fn client6_command(interface: &str) -> Invocation {
    Invocation::new("/usr/bin/netstat", ["-D", "-I", interface, "-f", "inet6"])
}

/// The state of the client on an interface in the output of [`client6_command`]: below the words `Interface State …`, the first two
/// of a row (illumos-gate, `lib/libdhcpagent/common/dhcpagent_util.c`, `DHCP_STATUS_STR`).
#[must_use]
pub fn parse_client_state<'a>(interface: &str, output: &'a str) -> Option<&'a str> {
    output.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| *word == interface)?;
        words.next()
    })
}

/// Only what says so counts: without a word about the client, the server's identifier stands.
fn asks_for_information_only(host: &Host, interface: &str) -> Result<bool, NetworkError> {
    let operation = format!("ask for the state of the DHCP client of {interface}");
    let completed = host.run_any(&client6_command(interface)).map_err(NetworkError::command(operation))?;
    Ok(matches!(parse_client_state(interface, &completed.stdout), Some("INFORMATION" | "INFORM_SENT")))
}

/// What the server told of an option. A client that does not answer now is no lease that says nothing: name servers and a
/// host name would be given up for it.
fn values(host: &Host, interface: &str, version: u8, option: &str) -> Result<Vec<String>, NetworkError> {
    let operation = || format!("ask for the DHCP option {option} of {interface}");
    let command = dhcpinfo_command(interface, version, option);
    let completed = host.run_any(&command).map_err(NetworkError::command(operation()))?;
    match completed.code {
        UNSUCCESSFUL if PASSING.iter().any(|passing| completed.stderr.contains(passing)) => {
            return Err(NetworkError::NoAnswer { operation: operation() });
        }
        UNSUCCESSFUL => return Ok(Vec::new()),
        TIMED_OUT => return Err(NetworkError::NoAnswer { operation: operation() }),
        _ => {}
    }
    let output = completed.success(&command).map_err(NetworkError::command(operation()))?.stdout;
    Ok(parse_values(&output).into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_client() {
        let output = "Interface  State         Sent  Recv  Declined  Flags\n\
                      net0       INFORMATION      1     1         0  [V6]\nnet10      BOUND            2     2         0  [V6]\n\
                      (Began, Expires, Renew) = (11/27/2026 10:18, 11/27/2026 10:38, 11/27/2026 10:28)\n";
        assert_eq!(parse_client_state("net0", output), Some("INFORMATION"));
        assert_eq!(parse_client_state("net10", output), Some("BOUND"));
        assert_eq!(parse_client_state("net1", output), None);
        assert_eq!(parse_client_state("net0", "netstat: net0\nnet0\n"), None);
    }
}
