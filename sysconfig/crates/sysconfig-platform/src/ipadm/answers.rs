//! What the program answers.

use super::commands::{show_addresses, show_interfaces, show_mtu};
use super::{Address, Interface, Protocol};
use crate::Host;
use crate::network::NetworkError;
use crate::parsable::{self, RowError};
use ipnet::IpNet;

/// Parses the output of [`show_interfaces`].
///
/// # Errors
/// [`RowError`].
pub fn parse_interfaces(output: &str) -> Result<Vec<Interface>, RowError> {
    let rows = parsable::rows::<3>(output)?.into_iter();
    Ok(rows.map(|[name, state, flags]| Interface { name, state, persistent: has_flags(&flags) }).collect())
}

/// Parses the output of [`show_addresses`].
///
/// # Errors
/// [`RowError`].
pub fn parse_addresses(output: &str) -> Result<Vec<Address>, RowError> {
    let rows = parsable::rows::<5>(output)?.into_iter();
    let address = |[object, kind, state, flags, address]: [String; 5]| Address {
        object,
        kind,
        state,
        persistent: has_flags(&flags),
        address: parse_address(&address),
    };
    Ok(rows.map(address).collect())
}

/// Whether a column of flags holds one: flags that are not set are `-`, and the column can be empty.
fn has_flags(column: &str) -> bool {
    column.chars().any(|c| c.is_ascii_alphanumeric())
}

/// Parses a printed address: with `%SCOPE` before the slash for link-local ones, `A->B` for point to point, `?` or
/// nothing where there is none yet.
fn parse_address(printed: &str) -> Option<IpNet> {
    let local = printed.split("->").next()?;
    let without_scope = match (local.split_once('%'), local.split_once('/')) {
        (Some((address, _)), Some((_, prefix))) => format!("{address}/{prefix}"),
        (Some((address, _)), None) => address.to_owned(),
        (None, _) => local.to_owned(),
    };
    // The ends of a point-to-point link are printed without prefix length.
    without_scope.parse().ok().or_else(|| without_scope.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}

/// The interfaces.
///
/// # Errors
/// [`NetworkError::Command`] and [`NetworkError::Rows`].
pub fn interfaces(host: &Host) -> Result<Vec<Interface>, NetworkError> {
    let operation = "list the IP interfaces";
    let output = host.run(&show_interfaces()).map_err(NetworkError::command(operation))?.stdout;
    parse_interfaces(&output).map_err(NetworkError::rows(operation))
}

/// The addresses.
///
/// # Errors
/// [`NetworkError::Command`] and [`NetworkError::Rows`].
pub fn addresses(host: &Host) -> Result<Vec<Address>, NetworkError> {
    let operation = "list the addresses";
    let output = host.run(&show_addresses()).map_err(NetworkError::command(operation))?.stdout;
    parse_addresses(&output).map_err(NetworkError::rows(operation))
}

/// The largest packet of a protocol on an interface.
///
/// # Errors
/// [`NetworkError::Command`] and [`NetworkError::Answer`].
pub fn mtu(host: &Host, interface: &str, protocol: Protocol) -> Result<u32, NetworkError> {
    let operation = format!("find out the MTU of {interface}");
    let output = host.run(&show_mtu(interface, protocol)).map_err(NetworkError::command(operation.clone()))?.stdout;
    output.trim().parse().map_err(|_| NetworkError::Answer { operation, answer: output })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_every_printed_form() {
        let output = "lo0/v4:static:ok:---:127.0.0.1/8\nlo0/v6:static:ok::\\:\\:1/128\nnet0/dhcp:dhcp:down:U--:?\n\
                      net0/scv6:addrconf:ok:U--:fe80\\:\\:8\\:20ff\\:fed0\\:8687%net0/10\nnet0/scv6:addrconf:ok:U--:2001\\:db8\\:\\:5/64\n\
                      net1/?:static:ok::192.0.2.1->192.0.2.2\nnet2/x:static:disabled:U--:\n";
        let found = parse_addresses(output).unwrap();
        let printed: Vec<_> =
            found.iter().map(|row| row.address.map_or("-".to_owned(), |address| address.to_string())).collect();
        assert_eq!(
            printed,
            ["127.0.0.1/8", "::1/128", "-", "fe80::8:20ff:fed0:8687/10", "2001:db8::5/64", "192.0.2.1/32", "-"]
        );
        assert_eq!((found[3].interface(), found[3].label()), ("net0", "scv6"));
        let persistent: Vec<_> = found.iter().map(|row| row.persistent).collect();
        assert_eq!(persistent, [false, false, true, true, true, false, true]);
        assert!(parse_addresses("net0/v4:static:ok:10.0.2.15/24\n").is_err(), "a column is missing");
    }

    #[test]
    fn interfaces_with_and_without_flags() {
        let found = parse_interfaces("lo0:ok:---\nnet0:down:-46\nnet1:ok:\n").unwrap();
        let summary: Vec<_> = found.iter().map(|row| (row.name.as_str(), row.persistent)).collect();
        assert_eq!(summary, [("lo0", false), ("net0", true), ("net1", false)]);
    }
}
