//! What can be wrong with a configuration.

use crate::config::{AddressEntry, Config, Interface, KEY, Selector, parse_seconds};
use std::collections::BTreeMap;
use std::net::IpAddr;
use sysconfig_platform::{IpNet, Route, System, dladm, ipadm, stack};
use sysconfig_plugin::Diagnostic;

/// The smallest largest packet: of IPv4 (RFC 791), and of IPv6 (RFC 8200).
const SMALLEST_MTU: (u32, u32) = (68, 1280);
/// The largest: the length field of IPv4.
const LARGEST_MTU: u32 = 65_535;
/// More on one link is a mistake, and would need longer names of address objects.
const MOST_ADDRESSES: usize = 99;
/// The longest label of an address object of ours.
const LONGEST_LABEL: usize = "scv6dhcp".len();

/// Everything that is wrong.
pub(crate) fn faults(config: &Config, system: System) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut seen = Seen::default();
    for (at, interface) in config.interfaces.iter().enumerate() {
        let key = format!("{KEY}[{at}]");
        found.extend(selector_faults(&key, &interface.selector, system, &mut seen));
        found.extend(address_faults(&key, interface, &mut seen));
        found.extend(gateway_faults(&key, interface, &mut seen));
        found.extend(route_faults(&key, interface));
        found.extend(mtu_fault(&key, interface));
        found.extend(deadline_fault(&key, interface));
    }
    found
}

/// What was seen in earlier interfaces, with its key.
#[derive(Default)]
struct Seen {
    selectors: BTreeMap<String, String>,
    addresses: BTreeMap<IpAddr, String>,
    /// By whether it is for IPv6.
    defaults: BTreeMap<bool, String>,
}

fn selector_faults(key: &str, selector: &Selector, system: System, seen: &mut Seen) -> Vec<Diagnostic> {
    let key = format!("{key}.match");
    let given = [selector.name.is_some(), selector.mac.is_some(), selector.first_up.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        let help = "write one of name = \"net0\", mac = \"02:08:20:ab:01:0f\", first-up = true";
        return vec![Diagnostic::error(key, "a link is matched in exactly one way").help(help)];
    }
    let mut found = Vec::new();
    let identity = match selector {
        Selector { name: Some(name), .. } => {
            found.extend(name_fault(name, system).map(|fault| {
                Diagnostic::error(format!("{key}.name"), format!("{name:?} is not the name of a link: {fault}"))
            }));
            format!("name {name}")
        }
        Selector { mac: Some(mac), .. } => match selector.mac_address() {
            Some(address) => format!("mac {address}"),
            None => {
                let message = format!("{mac:?} is not a link-layer address");
                let help = "six hexadecimal bytes with colons between them, for example 02:08:20:ab:01:0f";
                return vec![Diagnostic::error(format!("{key}.mac"), message).help(help)];
            }
        },
        Selector { first_up: Some(false), .. } => {
            return vec![Diagnostic::error(format!("{key}.first-up"), "this matches nothing").help("write true")];
        }
        _ => "first-up".to_owned(),
    };
    if let Some(before) = seen.selectors.insert(identity, key.clone()) {
        let message = format!("the same link as in {before}");
        found.push(Diagnostic::error(key, message).help("put everything about one link into one interface"));
    }
    found
}

fn name_fault(name: &str, system: System) -> Option<String> {
    match system {
        System::Linux => stack::name_fault(name),
        System::Illumos => dladm::name_fault(name).or_else(|| {
            let longest = ipadm::LONGEST_OBJECT - 1 - LONGEST_LABEL;
            (name.len() > longest).then(|| {
                format!("it has more than {longest} characters, which leaves no room in the names of address objects")
            })
        }),
    }
}

fn address_faults(key: &str, interface: &Interface, seen: &mut Seen) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (index, text) in interface.addresses.iter().enumerate() {
        let key = format!("{key}.addresses[{index}]");
        let Some(entry) = AddressEntry::parse(text) else {
            found.push(unreadable_address(&key, text));
            continue;
        };
        if interface.addresses[..index].contains(text) {
            found.push(Diagnostic::error(key, format!("{text} is listed twice")));
            continue;
        }
        let AddressEntry::Static(net) = entry else { continue };
        if let Some(fault) = host_fault(net) {
            found.push(Diagnostic::error(key, format!("{text} cannot be an address of this machine: {fault}")));
        } else if let Some(before) = seen.addresses.insert(net.addr(), key.clone()) {
            found.push(Diagnostic::error(key, format!("{} is also set in {before}", net.addr())));
        }
    }
    if interface.addresses.len() > MOST_ADDRESSES {
        found.push(Diagnostic::error(format!("{key}.addresses"), format!("more than {MOST_ADDRESSES} addresses")));
    }
    found
}

fn unreadable_address(key: &str, text: &str) -> Diagnostic {
    if let Ok(address) = text.parse::<IpAddr>() {
        let prefix = if address.is_ipv4() { 24 } else { 64 };
        return Diagnostic::error(key, format!("the prefix length of {text} is missing"))
            .help(format!("write how long the network's part is, for example {text}/{prefix}"));
    }
    if let Some((address, prefix)) = text.split_once('/') {
        if let Ok(address) = address.parse::<IpAddr>() {
            let longest = if address.is_ipv4() { 32 } else { 128 };
            return Diagnostic::error(key, format!("{prefix:?} is not a prefix length"))
                .help(format!("a number from 1 to {longest}, for example {address}/{}", longest * 3 / 4));
        }
    }
    Diagnostic::error(key, format!("{text:?} is no address"))
        .help("write dhcp, dhcp6, addrconf, or an address with its prefix length such as 192.0.2.10/24")
}

/// Why a machine cannot have the address.
fn host_fault(net: IpNet) -> Option<String> {
    let address = net.addr();
    if net.prefix_len() == 0 {
        return Some("a prefix length of 0 would put the whole world on the link".to_owned());
    }
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
        return Some("it is not the address of a single machine on a link".to_owned());
    }
    if let IpNet::V4(net) = net {
        // Networks of one or two addresses have neither (RFC 3021).
        if net.prefix_len() < 31 && net.addr() == net.network() {
            return Some(format!("it is the address of the network {}", net.trunc()));
        }
        if net.prefix_len() < 31 && net.addr() == net.broadcast() {
            return Some(format!("it is the broadcast address of {}", net.trunc()));
        }
    }
    None
}

fn gateway_faults(key: &str, interface: &Interface, seen: &mut Seen) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (index, text) in interface.gateway.items() {
        let key = format!("{key}.gateway{index}");
        let Ok(via) = text.parse::<IpAddr>() else {
            let help = "write the router's address, without a prefix length";
            found.push(Diagnostic::error(key, format!("{text:?} is not an address")).help(help));
            continue;
        };
        found.extend(via_fault(&key, interface, via));
        if let Some(before) = seen.defaults.insert(via.is_ipv6(), key.clone()) {
            let family = if via.is_ipv6() { "IPv6" } else { "IPv4" };
            found.push(Diagnostic::error(key, format!("a second default router for {family}; {before} is the first")));
        }
    }
    found
}

/// Why the machine cannot reach a gateway over this interface.
fn via_fault(key: &str, interface: &Interface, via: IpAddr) -> Option<Diagnostic> {
    let wanted = interface.wanted();
    if via.is_unspecified() || via.is_multicast() || via.is_loopback() {
        return Some(Diagnostic::error(key, format!("{via} is not the address of a router")));
    }
    if wanted.statics.iter().any(|net| net.addr() == via) {
        return Some(Diagnostic::error(key, format!("{via} is this machine's own address")));
    }
    let networks: Vec<IpNet> =
        wanted.statics.iter().copied().filter(|net| net.addr().is_ipv6() == via.is_ipv6()).collect();
    // What network an address from a server is in shows only when it is there.
    let is_open = if via.is_ipv6() { wanted.addrconf || wanted.dhcp6 } else { wanted.dhcp };
    if stack::is_on_link(via, &networks) && !networks.is_empty() || is_open {
        return None;
    }
    let message = match networks.first() {
        Some(network) => format!("the gateway {via} is off-link: it is not in {}", network.trunc()),
        None => format!("the gateway {via} is off-link: the interface has no address of its family"),
    };
    Some(Diagnostic::error(key, message).help("a gateway is in the network of one of the interface's addresses"))
}

fn route_faults(key: &str, interface: &Interface) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut seen: Vec<IpNet> = Vec::new();
    for (index, entry) in interface.routes.iter().enumerate() {
        let key = format!("{key}.routes[{index}]");
        let (Ok(to), Ok(via)) = (entry.to.parse::<IpNet>(), entry.via.parse::<IpAddr>()) else {
            let (field, text) = match entry.to.parse::<IpNet>() {
                Ok(_) => ("via", &entry.via),
                Err(_) => ("to", &entry.to),
            };
            let help = "for example { to = \"10.0.0.0/8\", via = \"192.0.2.2\" }";
            let what = if field == "to" { "network with its prefix length" } else { "address" };
            found.push(Diagnostic::error(format!("{key}.{field}"), format!("{text:?} is no {what}")).help(help));
            continue;
        };
        let to_key = format!("{key}.to");
        if to.trunc() != to {
            let message = format!("{to} is an address and no network");
            found.push(Diagnostic::error(to_key, message).help(format!("write {}", to.trunc())));
        } else if (Route { to, via }).is_default() {
            found.push(Diagnostic::error(to_key, "this is the default route").help("write it as gateway"));
        } else if seen.contains(&to) {
            found.push(Diagnostic::error(to_key, format!("there is another route to {to}")));
        } else if to.addr().is_ipv6() != via.is_ipv6() {
            found.push(Diagnostic::error(key.clone(), "destination and gateway are of different families"));
        } else {
            found.extend(via_fault(&format!("{key}.via"), interface, via));
        }
        seen.push(to);
    }
    found
}

fn mtu_fault(key: &str, interface: &Interface) -> Option<Diagnostic> {
    let mtu = interface.mtu?;
    let (smallest, family) =
        if interface.wanted().wants_v6() { (SMALLEST_MTU.1, "IPv6") } else { (SMALLEST_MTU.0, "IPv4") };
    if mtu < smallest {
        let message = format!("{mtu} is less than {family} needs, {smallest}");
        return Some(Diagnostic::error(format!("{key}.mtu"), message));
    }
    (mtu > LARGEST_MTU).then(|| {
        let message = format!("{mtu} is more than a packet can have, {LARGEST_MTU}");
        Diagnostic::error(format!("{key}.mtu"), message).help("1500 is usual, and 9000 for jumbo frames")
    })
}

fn deadline_fault(key: &str, interface: &Interface) -> Option<Diagnostic> {
    let text = interface.lease_deadline.as_ref()?;
    let key = format!("{key}.lease-deadline");
    if parse_seconds(text).is_some() {
        return None;
    }
    Some(Diagnostic::error(key, format!("{text:?} is not a time from 1s to 2m")).help("for example 10s or 1m"))
}
