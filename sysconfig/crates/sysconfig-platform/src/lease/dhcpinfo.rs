//! illumos: `dhcpinfo`, for every interface with an address object of the kind `dhcp`.

use super::Lease;
use crate::network::NetworkError;
use crate::{Host, Invocation, ipadm};
use std::collections::BTreeSet;

/// Exit status when there is no lease.
const UNSUCCESSFUL: i32 = 2;
/// Exit status when the client does not answer in time.
const TIMED_OUT: i32 = 4;

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
    let addresses = ipadm::addresses(host)?;
    let bound = addresses.iter().filter(|row| row.kind == "dhcp" && row.state == "ok" && row.address.is_some());
    let interfaces: BTreeSet<&str> = bound.map(ipadm::Address::interface).collect();
    interfaces.into_iter().map(|interface| lease(host, interface)).collect()
}

fn lease(host: &Host, interface: &str) -> Result<Lease, NetworkError> {
    let mut lease = Lease { interface: interface.to_owned(), ..Lease::default() };
    for server in values(host, interface, "DNSserv")? {
        lease.add_server(&server);
    }
    for domain in values(host, interface, "DNSdmain")? {
        lease.add_domain(&domain);
    }
    if let Some(name) = values(host, interface, "Hostname")?.first() {
        lease.set_hostname(name);
    }
    Ok(lease)
}

fn values(host: &Host, interface: &str, option: &str) -> Result<Vec<String>, NetworkError> {
    let operation = || format!("ask for the DHCP option {option} of {interface}");
    let command = dhcpinfo_command(interface, 4, option);
    let completed = host.run_any(&command).map_err(NetworkError::command(operation()))?;
    if matches!(completed.code, UNSUCCESSFUL | TIMED_OUT) {
        return Ok(Vec::new());
    }
    let output = completed.success(&command).map_err(NetworkError::command(operation()))?.stdout;
    Ok(parse_values(&output).into_iter().map(str::to_owned).collect())
}
