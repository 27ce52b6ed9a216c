//! What can be wrong with a configuration.

use crate::config::{AddressEntry, Config, Interface, KEY, Selector, parse_seconds};
use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::net::IpAddr;
use sysconfig_platform::mac::MacAddress;
use sysconfig_platform::{IpNet, System, dladm, ipadm, parse_net, stack};
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
    let own = config.interfaces.iter().flat_map(|interface| interface.wanted().statics).collect();
    let mut seen = Seen { own, ..Seen::default() };
    for (at, interface) in config.interfaces.iter().enumerate() {
        let key = format!("{KEY}[{at}]");
        found.extend(selector_faults(&key, &interface.selector, system, &mut seen));
        let of_addresses = address_faults(&key, interface, &mut seen);
        // Of one address on two links, that they are in one network is no news.
        if of_addresses.is_empty() {
            found.extend(network_faults(&key, interface, &mut seen));
        }
        found.extend(of_addresses);
        found.extend(gateway_faults(&key, interface, &mut seen));
        found.extend(route_faults(&key, interface, &mut seen));
        found.extend(mtu_fault(&key, interface));
        found.extend(deadline_fault(&key, interface));
    }
    found
}

/// What was seen in earlier interfaces, with its key.
#[derive(Default)]
struct Seen {
    /// The fixed addresses of all interfaces, the later ones too.
    own: Vec<IpNet>,
    selectors: BTreeMap<String, String>,
    /// Those that are good for a link only with the key of their interface.
    addresses: BTreeMap<(IpAddr, Option<String>), String>,
    networks: BTreeMap<IpNet, String>,
    /// By whether it is for IPv6.
    defaults: BTreeMap<bool, String>,
    destinations: BTreeMap<IpNet, String>,
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
        Selector { mac: Some(mac), .. } => match mac_identity(&key, mac) {
            Ok(identity) => identity,
            Err(fault) => return vec![fault],
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

/// A link-layer address in its one form.
fn mac_identity(key: &str, mac: &str) -> Result<String, Diagnostic> {
    let fault = |message: String| Diagnostic::error(format!("{key}.mac"), message);
    let Ok(address) = mac.parse::<MacAddress>() else {
        let help = "six hexadecimal bytes with colons between them, for example 02:08:20:ab:01:0f";
        return Err(fault(format!("{mac:?} is not a link-layer address")).help(help));
    };
    // The lowest bit of the first byte makes it the address of a group (IEEE 802, 8.2).
    if address.0[0] & 1 != 0 || address.0 == [0; 6] {
        return Err(fault(format!("{mac} is the address of no single link")));
    }
    Ok(format!("mac {address}"))
}

fn name_fault(name: &str, system: System) -> Option<String> {
    let loopback = match system {
        System::Linux => "lo",
        System::Illumos => "lo0",
    };
    if name == loopback {
        return Some("it leads to the machine itself, and the system sets it up".to_owned());
    }
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
    let of_interface = key;
    for (index, text) in interface.addresses.iter().enumerate() {
        let key = format!("{of_interface}.addresses[{index}]");
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
            continue;
        }
        // The same link-local address can be on every link.
        let scope = stack::is_link_local(net.addr()).then(|| of_interface.to_owned());
        match seen.addresses.entry((net.addr(), scope)) {
            Entry::Occupied(before) => {
                let message = format!("{} is also set in {}", net.addr(), before.get());
                found.push(Diagnostic::error(key, message));
            }
            Entry::Vacant(entry) => drop(entry.insert(key)),
        }
    }
    if interface.addresses.len() > MOST_ADDRESSES {
        let key = format!("{of_interface}.addresses");
        found.push(Diagnostic::error(key, format!("more than {MOST_ADDRESSES} addresses")));
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
    if net.prefix_len() == 0 {
        return Some("a prefix length of 0 would put the whole world on the link".to_owned());
    }
    if !is_of_a_machine(net.addr()) {
        return Some("it is not the address of a single machine on a link".to_owned());
    }
    reserved_in(net, net.addr()).or_else(|| {
        // The routers of a network have that one together (RFC 4291, 2.6.1), unless it has two addresses only (RFC 6164).
        let is_of_routers = net.addr().is_ipv6() && net.prefix_len() < 127 && net.addr() == net.network();
        is_of_routers.then(|| format!("it is the address of the network {}", net.trunc()))
    })
}

/// Whether an address can be that of a single machine on a link.
fn is_of_a_machine(address: IpAddr) -> bool {
    let is_special = match address {
        // 0.0.0.0/8 is "this network" (RFC 1122, 3.2.1.3).
        IpAddr::V4(address) => address.is_broadcast() || address.octets()[0] == 0,
        // That is how programs write an IPv4 address, and none is sent so (RFC 4291, 2.5.5.2).
        IpAddr::V6(address) => address.to_ipv4_mapped().is_some(),
    };
    !is_special && !address.is_unspecified() && !address.is_multicast() && !address.is_loopback()
}

/// Why no machine in a network of IPv4 has an address of it.
fn reserved_in(net: IpNet, address: IpAddr) -> Option<String> {
    // Networks of one or two addresses have neither (RFC 3021).
    if address.is_ipv6() || net.prefix_len() >= 31 {
        return None;
    }
    if address == net.network() {
        return Some(format!("it is the address of the network {}", net.trunc()));
    }
    (address == net.broadcast()).then(|| format!("it is the broadcast address of {}", net.trunc()))
}

/// Two links in one network: the system sends over one of them, and does not say over which.
fn network_faults(key: &str, interface: &Interface, seen: &mut Seen) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let networks: BTreeSet<IpNet> = interface.wanted().statics.iter().map(IpNet::trunc).collect();
    for network in networks.into_iter().filter(|network| !stack::is_link_local(network.addr())) {
        match seen.networks.entry(network) {
            Entry::Occupied(before) => {
                let before = before.get();
                let message = format!("{network} is also a network of {before}, and packets to it leave over one link");
                let help = "put the addresses of one network on one link, unless both links are meant to be in it";
                found.push(Diagnostic::warning(format!("{key}.addresses"), message).help(help));
            }
            Entry::Vacant(entry) => drop(entry.insert(key.to_owned())),
        }
    }
    found
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
        found.extend(via_fault(&key, interface, via, &seen.own));
        match seen.defaults.entry(via.is_ipv6()) {
            Entry::Occupied(before) => {
                let family = if via.is_ipv6() { "IPv6" } else { "IPv4" };
                let message = format!("a second default router for {family}; {} is the first", before.get());
                found.push(Diagnostic::error(key, message));
            }
            Entry::Vacant(entry) => drop(entry.insert(key)),
        }
    }
    found
}

/// Why the machine cannot reach a gateway over this interface; `own` are the addresses of all of them.
fn via_fault(key: &str, interface: &Interface, via: IpAddr, own: &[IpNet]) -> Option<Diagnostic> {
    let wanted = interface.wanted();
    if !is_of_a_machine(via) {
        return Some(Diagnostic::error(key, format!("{via} is not the address of a router")));
    }
    let own = if stack::is_link_local(via) { &wanted.statics } else { own };
    if own.iter().any(|net| net.addr() == via) {
        return Some(Diagnostic::error(key, format!("{via} is this machine's own address")));
    }
    if let Some(fault) = wanted.statics.iter().find_map(|net| reserved_in(*net, via)) {
        return Some(Diagnostic::error(key, format!("{via} cannot be the address of a router: {fault}")));
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

fn route_faults(key: &str, interface: &Interface, seen: &mut Seen) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (index, entry) in interface.routes.iter().enumerate() {
        let key = format!("{key}.routes[{index}]");
        let (Some(to), Ok(via)) = (parse_net(&entry.to), entry.via.parse::<IpAddr>()) else {
            let (field, text) = match parse_net(&entry.to) {
                Some(_) => ("via", &entry.via),
                None => ("to", &entry.to),
            };
            let help = "for example { to = \"10.0.0.0/8\", via = \"192.0.2.2\" }";
            let what = if field == "to" { "network with its prefix length" } else { "address" };
            found.push(Diagnostic::error(format!("{key}.{field}"), format!("{text:?} is no {what}")).help(help));
            continue;
        };
        let to_key = format!("{key}.to");
        if let Some(fault) = destination_fault(to_key, to, seen) {
            found.push(fault);
        } else if to.addr().is_ipv6() != via.is_ipv6() {
            found.push(Diagnostic::error(key.clone(), "destination and gateway are of different families"));
        } else {
            found.extend(via_fault(&format!("{key}.via"), interface, via, &seen.own));
        }
        seen.destinations.entry(to).or_insert(key);
    }
    found
}

/// Why there can be no route to a network over a gateway.
fn destination_fault(key: String, to: IpNet, seen: &Seen) -> Option<Diagnostic> {
    if to.trunc() != to {
        let message = format!("{to} is an address and no network");
        return Some(Diagnostic::error(key, message).help(format!("write {}", to.trunc())));
    }
    if to.prefix_len() == 0 {
        return Some(Diagnostic::error(key, "this is the default route").help("write it as gateway"));
    }
    if to.network().is_loopback() || to.network().is_multicast() {
        return Some(Diagnostic::error(key, format!("{to} is no network of other machines")));
    }
    if let Some(before) = seen.destinations.get(&to) {
        return Some(Diagnostic::error(key, format!("there is another route to {to}, {before}")));
    }
    let own = seen.own.iter().find(|net| net.trunc() == to)?;
    let message = format!("{to} is the network of {}, and is reached without a gateway", own.addr());
    Some(Diagnostic::error(key, message).help("leave the route out"))
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
