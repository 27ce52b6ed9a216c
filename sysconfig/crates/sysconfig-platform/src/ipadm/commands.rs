//! The command lines.

use super::{AddressSpec, Protocol};
use crate::Invocation;
use std::time::Duration;

const IPADM: &str = "/usr/sbin/ipadm";

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

/// The command that makes an interface that the next boot does not know.
#[must_use]
pub fn create_interface_until_boot(name: &str) -> Invocation {
    ipadm(["create-if", "-t", name])
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

#[cfg(test)]
mod tests {
    use super::super::Take;
    use super::*;

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
}
