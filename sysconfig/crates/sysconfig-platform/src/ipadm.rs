//! illumos' IP interfaces and addresses: `ipadm`.
//!
//! Changes are persistent; `ipmgmtd` keeps them in a file of its own. There is
//! no way to change an address object, only to delete it and make another.

use crate::network::NetworkError;
use crate::parsable::{self, RowError};
use crate::{CommandError, Completed, Host, Invocation};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

const IPADM: &str = "/usr/sbin/ipadm";

/// Longest name of an address object in bytes, interface and slash included.
pub const LONGEST_OBJECT: usize = 32;

/// An IP interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name, which is the name of its datalink.
    pub name: String,
    /// `ok`, `offline`, `failed`, `down` or `disabled`.
    pub state: String,
    /// Whether it is there after the next boot.
    pub persistent: bool,
}

/// One row of an address object; an `addrconf` object has one for each prefix, all under one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The name, `INTERFACE/NAME`; `INTERFACE/?` for one that was not made by `ipadm` and cannot be managed.
    pub object: String,
    /// `static`, `dhcp`, `addrconf` or `from-gz`.
    pub kind: String,
    /// `ok`, `down`, `disabled`, `duplicate`, `inaccessible` or `tentative`.
    pub state: String,
    /// Whether it is there after the next boot.
    pub persistent: bool,
    /// The address; none when there is none yet.
    pub address: Option<IpNet>,
}

impl Address {
    /// The interface that the address is on.
    #[must_use]
    pub fn interface(&self) -> &str {
        self.object.split('/').next().unwrap_or_default()
    }

    /// Whether it is a fixed address, of this zone's making or the global zone's.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.kind == "static" || self.is_from_global_zone()
    }

    /// Whether the global zone has set it, so that it can be changed only there.
    #[must_use]
    pub fn is_from_global_zone(&self) -> bool {
        self.kind == "from-gz"
    }

    /// Whether it is in operation, and there is an address.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.state == "ok" && self.address.is_some()
    }

    /// Whether it is in operation with an IPv6 address that is good for more than the link.
    #[must_use]
    pub fn has_global_v6(&self) -> bool {
        let is_global = |net: IpNet| matches!(net, IpNet::V6(net) if !net.addr().is_unicast_link_local());
        self.state == "ok" && self.address.is_some_and(is_global)
    }

    /// The part of the name behind the slash.
    #[must_use]
    pub fn label(&self) -> &str {
        self.object.split_once('/').map_or("", |(_, label)| label)
    }
}

/// What an address object is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum AddressSpec {
    /// A fixed address.
    Static {
        /// With its prefix length.
        address: IpNet,
    },
    /// DHCP for IPv4.
    Dhcp,
    /// IPv6 autoconfiguration, which also makes the link-local address.
    Addrconf {
        /// What to take from the router's advertisements; the system's default when there is nothing here.
        take: Option<Take>,
    },
}

/// What IPv6 autoconfiguration takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Take {
    /// Addresses from a DHCPv6 server, when the router says that there is one.
    pub stateful: bool,
    /// Addresses in the prefixes that the router advertises.
    pub stateless: bool,
}

impl fmt::Display for AddressSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static { address } => write!(f, "{address}"),
            Self::Dhcp => f.write_str("DHCP"),
            Self::Addrconf { take: Some(Take { stateful: false, stateless: false }) } => {
                f.write_str("an IPv6 link-local address")
            }
            Self::Addrconf { take: Some(Take { stateless: false, .. }) } => f.write_str("DHCPv6"),
            Self::Addrconf { .. } => f.write_str("IPv6 autoconfiguration"),
        }
    }
}

/// The protocols that have a largest packet of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Protocol {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

fn ipadm<const N: usize>(args: [&str; N]) -> Invocation {
    Invocation::new(IPADM, args)
}

/// The command that lists the interfaces.
#[must_use]
pub fn show_interfaces() -> Invocation {
    ipadm(["show-if", "-p", "-o", "ifname,state,persistent"])
}

/// The command that lists the addresses.
#[must_use]
pub fn show_addresses() -> Invocation {
    ipadm(["show-addr", "-p", "-o", "addrobj,type,state,persistent,addr"])
}

/// The command that tells the largest packet of a protocol on an interface. With one field nothing is escaped.
#[must_use]
pub fn show_mtu(interface: &str, protocol: Protocol) -> Invocation {
    ipadm(["show-ifprop", "-c", "-o", "current", "-p", "mtu", "-m", protocol.as_str(), interface])
}

/// The command that sets the largest packet of a protocol on an interface.
#[must_use]
pub fn set_mtu(interface: &str, protocol: Protocol, mtu: u32) -> Invocation {
    ipadm(["set-ifprop", "-m", protocol.as_str(), "-p", &format!("mtu={mtu}"), interface])
}

/// The command that makes an interface.
#[must_use]
pub fn create_interface(name: &str) -> Invocation {
    ipadm(["create-if", name])
}

/// The command that deletes an interface with its addresses.
#[must_use]
pub fn delete_interface(name: &str) -> Invocation {
    ipadm(["delete-if", name])
}

/// The command that enables an interface that is disabled until the next boot; there is no other way of enabling.
#[must_use]
pub fn enable_interface(name: &str) -> Invocation {
    ipadm(["enable-if", "-t", name])
}

/// The command that makes an address object. `wait` is how long `ipadm` waits for a DHCP lease; it goes on without
/// one, with exit status 0.
#[must_use]
pub fn create_address(object: &str, spec: &AddressSpec, wait: Duration) -> Invocation {
    let mut args = vec!["create-addr".to_owned(), "-T".to_owned()];
    let yes_no = |yes: bool| if yes { "yes" } else { "no" };
    match spec {
        AddressSpec::Static { address } => {
            args.extend(["static".to_owned(), "-a".to_owned(), format!("local={address}")]);
        }
        AddressSpec::Dhcp => args.extend(["dhcp".to_owned(), "-w".to_owned(), wait.as_secs().max(1).to_string()]),
        AddressSpec::Addrconf { take: None } => args.push("addrconf".to_owned()),
        AddressSpec::Addrconf { take: Some(take) } => {
            let take = format!("stateful={},stateless={}", yes_no(take.stateful), yes_no(take.stateless));
            args.extend(["addrconf".to_owned(), "-p".to_owned(), take]);
        }
    }
    args.push(object.to_owned());
    let mut invocation = Invocation::new(IPADM, args);
    invocation.deadline += wait;
    invocation
}

/// The command that deletes an address object; a lease is given back with it.
#[must_use]
pub fn delete_address(object: &str, release: bool) -> Invocation {
    match release {
        true => ipadm(["delete-addr", "-r", object]),
        false => ipadm(["delete-addr", object]),
    }
}

/// The command that enables an address object that is disabled until the next boot.
#[must_use]
pub fn enable_address(object: &str) -> Invocation {
    ipadm(["enable-addr", "-t", object])
}

/// The command that marks an address as up.
#[must_use]
pub fn up_address(object: &str) -> Invocation {
    ipadm(["up-addr", object])
}

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

/// Runs a command of this module, `operation` saying what it is for. What it was to make may be there already.
///
/// # Errors
/// [`NetworkError::Command`]; early in the boot, when the daemons behind `ipadm` do not answer yet, only after
/// repeated tries.
pub fn run(host: &Host, command: &Invocation, operation: &str) -> Result<Completed, NetworkError> {
    const TRIES: u32 = 20;
    let failed = |source| NetworkError::Command { operation: operation.to_owned(), source };
    let mut tries = 0;
    loop {
        tries += 1;
        let completed = host.run_any(command).map_err(failed)?;
        if completed.code == 0 || !is_early(&completed) || tries == TRIES {
            return completed.success(command).map_err(failed);
        }
        std::thread::sleep(host.poll_interval);
    }
}

/// As [`run`], for a change of something that may have been made until the next boot only: then the change, too, is
/// made until then, because there is no other way.
///
/// # Errors
/// As [`run`].
pub fn run_as_lasting_as_possible(host: &Host, command: &Invocation, operation: &str) -> Result<(), NetworkError> {
    match run(host, command, operation) {
        Err(error) if says(&error, TEMPORARY) => {
            let mut temporarily = command.clone();
            temporarily.args.insert(1, "-t".to_owned());
            run(host, &temporarily, operation).map(drop)
        }
        result => result.map(drop),
    }
}

/// Whether it failed because a daemon behind `ipadm` does not answer yet.
fn is_early(completed: &Completed) -> bool {
    ["Could not communicate with ipmgmtd", "Could not communicate with dhcpagent", "Could not start dhcpagent"]
        .iter()
        .any(|text| completed.stderr.contains(text))
}

/// Makes an interface; one that is there is as good.
///
/// # Errors
/// [`NetworkError::Command`].
pub fn ensure_interface(host: &Host, name: &str) -> Result<(), NetworkError> {
    match run(host, &create_interface(name), &format!("create the interface {name}")) {
        Err(error) if says(&error, "Interface already exists") => Ok(()),
        result => result.map(drop),
    }
}

/// Makes an address object.
///
/// # Errors
/// [`NetworkError::Duplicate`] and [`NetworkError::Command`]; also when an object of that name is there, because
/// it may be another one.
pub fn make_address(host: &Host, object: &str, spec: &AddressSpec, wait: Duration) -> Result<(), NetworkError> {
    let operation = format!("create the address object {object} for {spec}");
    let result = run(host, &create_address(object, spec, wait), &operation);
    match (result, spec) {
        (Err(error), AddressSpec::Static { address })
            if says(&error, "Duplicate address detected") || says(&error, "Address already in use") =>
        {
            let link = object.split('/').next().unwrap_or_default().to_owned();
            Err(NetworkError::Duplicate { address: address.addr().to_string(), link })
        }
        // The daemon behind it is at work for this interface already, under whatever name: a list tells.
        (Err(error), AddressSpec::Addrconf { .. }) if says(&error, "Addrconf already in progress") => Ok(()),
        (result, _) => result.map(drop),
    }
}

/// Deletes an address object. Programs have said in three ways that there is none, one of them without a word, so
/// the list decides.
///
/// # Errors
/// [`NetworkError::Command`] when it is there afterwards.
pub fn remove_address(host: &Host, object: &str, release: bool) -> Result<(), NetworkError> {
    match run(host, &delete_address(object, release), &format!("delete the address object {object}")) {
        Err(error) => match addresses(host)?.iter().any(|address| address.object == object) {
            true => Err(error),
            false => Ok(()),
        },
        Ok(_) => Ok(()),
    }
}

/// What is said of a change that was to last, to something that was made with `-t`.
pub(crate) const TEMPORARY: &str = "Persistent operation on temporary object";

fn says(error: &NetworkError, text: &str) -> bool {
    matches!(error, NetworkError::Command { source: CommandError::Failed { tail, .. }, .. } if tail.contains(text))
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

    #[test]
    fn commands() {
        let wait = Duration::from_secs(5);
        let created = |spec: &AddressSpec| create_address("net0/x", spec, wait).to_string();
        let address = AddressSpec::Static { address: "192.0.2.10/24".parse().unwrap() };
        assert_eq!(created(&address), "/usr/sbin/ipadm create-addr -T static -a local=192.0.2.10/24 net0/x");
        assert_eq!(created(&AddressSpec::Dhcp), "/usr/sbin/ipadm create-addr -T dhcp -w 5 net0/x");
        assert_eq!(created(&AddressSpec::Addrconf { take: None }), "/usr/sbin/ipadm create-addr -T addrconf net0/x");
        let take = Some(Take { stateful: true, stateless: false });
        assert_eq!(
            created(&AddressSpec::Addrconf { take }),
            "/usr/sbin/ipadm create-addr -T addrconf -p stateful=yes,stateless=no net0/x"
        );
        assert_eq!(
            show_mtu("net0", Protocol::Ipv4).to_string(),
            "/usr/sbin/ipadm show-ifprop -c -o current -p mtu -m ipv4 net0"
        );
    }

    /// A machine on which every program fails with the same words.
    #[derive(Debug)]
    struct Failing(&'static str);

    impl crate::Runner for Failing {
        fn run(&self, _: &Invocation) -> Result<Completed, CommandError> {
            Ok(Completed { code: 1, stdout: String::new(), stderr: format!("ipadm: {}\n", self.0) })
        }
    }

    /// What the programs say (illumos-gate, `libipadm`), what becomes of it, and the advice.
    #[test]
    fn errors_in_their_variants() {
        let dhcp = AddressSpec::Dhcp;
        let fixed = AddressSpec::Static { address: "192.0.2.10/24".parse().unwrap() };
        let automatic = AddressSpec::Addrconf { take: None };
        let cases = [
            (&fixed, "Could not create address: Address object already exists", "cannot create", ""),
            (
                &fixed,
                "Could not create address: Address already in use",
                "192.0.2.10 is in use by another machine",
                "another address",
            ),
            (
                &fixed,
                "Could not create address: Duplicate address detected",
                "192.0.2.10 is in use by another machine",
                "another address",
            ),
            (&fixed, "Could not create address: Interface does not exist", "cannot create", ""),
            (&fixed, "Could not create address: Datalink does not exist", "cannot create", "dladm show-link"),
            (&fixed, "Could not create address: Could not open DLPI link", "cannot create", "dladm show-link"),
            (&fixed, "Could not create address: Permission denied", "cannot create", "root"),
            (
                &fixed,
                "Could not create address: Insufficient user authorizations",
                "cannot create",
                "solaris.network.interface.config",
            ),
            (
                &fixed,
                "Could not create address: Persistent operation on temporary object",
                "cannot create",
                "made with -t",
            ),
            (&fixed, "Could not create address: Operation not supported on disabled object", "cannot create", "enable"),
            (&automatic, "Could not create address: Addrconf already in progress", "", ""),
            (
                &automatic,
                "Could not create address: IPv6 autoconf daemon in.ndpd not running",
                "cannot create",
                "routing/ndp",
            ),
            (&dhcp, "Could not create address: Could not start dhcpagent", "cannot create", "dhcpagent"),
            (&dhcp, "Could not create address: Could not communicate with dhcpagent", "cannot create", "dhcpagent"),
            (
                &dhcp,
                "Could not create address: Could not communicate with ipmgmtd",
                "cannot create",
                "ip-interface-management",
            ),
            (&dhcp, "Could not create address: Interface already in use", "cannot create", ""),
        ];
        for (spec, said, error, help) in cases {
            let root = crate::Root::new("/nonexistent");
            let name = std::sync::Arc::new(crate::hostname::KernelNodeName);
            let host = Host::assembled(crate::System::Illumos, root, std::sync::Arc::new(Failing(said)), name);
            match make_address(&host, "net0/x", spec, Duration::ZERO) {
                Ok(()) => assert_eq!(error, "", "{said}"),
                Err(found) => {
                    assert!(!error.is_empty() && found.to_string().contains(error), "{said}: {found}");
                    let found = found.help().unwrap_or_default();
                    assert!(found.contains(help) && found.is_empty() == help.is_empty(), "{said}: {found:?}");
                }
            }
        }
    }
}
