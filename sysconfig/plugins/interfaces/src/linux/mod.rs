//! Linux: the kernel over route netlink and dhcpcd for leases, or systemd-networkd where that runs.
//!
//! A link has one manager. Where networkd runs, it is told in files and nothing is done beside it. A link that
//! another program manages is refused by name.

mod change;
mod duplicate;
mod manager;
mod plan;

pub use change::Change;
pub(crate) use plan::plan;

use crate::config::Config;
use crate::error::{file_error, network_error};
use crate::record::{Record, forget};
use crate::select::{LinkFacts, Selection, select};
use change::is_over;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use sysconfig_platform::dhcpcd::{self, Family};
use sysconfig_platform::route::BoundRoute;
use sysconfig_platform::stack::{LinuxAddress, LinuxLink, LinuxRoute, OtherRoute};
use sysconfig_platform::{FileError, Host, IpNet, files, networkd};
use sysconfig_plugin::{Context, Level, PluginError};

/// What the machine is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    links: Vec<LinuxLink>,
    addresses: Vec<LinuxAddress>,
    routes: Vec<LinuxRoute>,
    other_routes: Vec<OtherRoute>,
    /// Whether systemd-networkd runs the links.
    has_networkd: bool,
    /// Our files for networkd, by link.
    files: BTreeMap<String, String>,
    /// The configurations of our DHCP clients that run, by link, for IPv4 and IPv6.
    clients: BTreeMap<String, [Option<String>; 2]>,
    /// The kernel's `accept_ra`, by link; nothing for a kernel without IPv6.
    accept_ra: BTreeMap<String, u8>,
    /// The links between which and others the kernel forwards packets of IPv6.
    forwarding: BTreeSet<String>,
    /// The links on which IPv6 is switched off.
    without_ipv6: BTreeSet<String>,
    /// The kernel's values [`OF_PREFIXES`], as `eth0/autoconf`.
    prefix_values: BTreeMap<String, u8>,
    record: Record,
}

impl State {
    pub(crate) fn select(&self, config: &Config) -> Selection {
        let mut chosen = self.record.chosen();
        // They outlive a reboot, which the record does not.
        chosen
            .links
            .extend(self.files.iter().filter(|(_, file)| networkd::is_first_up(file)).map(|(link, _)| link.as_str()));
        select(config, &facts(&self.links), &chosen)
    }

    pub(crate) fn link_names(&self) -> Vec<String> {
        self.links.iter().filter(|link| !link.loopback).map(|link| link.name.clone()).collect()
    }

    fn link(&self, name: &str) -> Option<&LinuxLink> {
        self.links.iter().find(|link| link.name == name)
    }

    fn is_too_small(&self, name: &str) -> bool {
        self.link(name).is_some_and(|link| link.mtu < SMALLEST_OF_IPV6)
    }
}

/// What there is to match, of all links.
pub(crate) fn facts(links: &[LinuxLink]) -> Vec<LinkFacts<'_>> {
    let name = |index: u32| links.iter().find(|link| link.index == index).map(|link| link.name.as_str());
    let usable = links.iter().filter(|link| !link.loopback);
    let facts = usable.map(|link| LinkFacts {
        name: &link.name,
        mac: link.mac,
        up: link.running,
        can_carry_ip: true,
        port_of: link.port_of.map(|index| name(index).unwrap_or("another link")),
        over: link.over.and_then(name).into_iter().collect(),
    });
    facts.collect()
}

pub(crate) fn observe(host: &Host, config: &Config, context: &Context) -> Result<State, PluginError> {
    let failed = |error| network_error("cannot look at the network", error);
    let unreadable = |error| file_error("cannot look at the network's configuration", error);
    let has_networkd = is_in_charge(host)?;
    let mut state = State {
        links: host.links().map_err(failed)?,
        addresses: host.addresses().map_err(failed)?,
        routes: host.routes().map_err(failed)?,
        other_routes: host.other_routes().map_err(failed)?,
        has_networkd,
        files: our_files(host).map_err(unreadable)?,
        clients: BTreeMap::new(),
        accept_ra: BTreeMap::new(),
        forwarding: BTreeSet::new(),
        without_ipv6: BTreeSet::new(),
        prefix_values: BTreeMap::new(),
        record: Record::load(host).map_err(unreadable)?,
    };
    // It outlives a reboot, which the record does not.
    for (link, file) in &state.files {
        if let Some(before) = networkd::mtu_before(file) {
            state.record.mtus.entry(link.clone()).or_insert(before);
        }
    }
    for link in state.link_names() {
        let clients = clients(host, &link).map_err(unreadable)?;
        if clients.iter().any(Option::is_some) {
            state.clients.insert(link.clone(), clients);
        }
        if is_set(host, &link, "disable_ipv6").map_err(unreadable)? {
            state.without_ipv6.insert(link.clone());
        }
        if is_set(host, &link, "forwarding").map_err(unreadable)? {
            state.forwarding.insert(link.clone());
        }
        let is_too_small = state.is_too_small(&link);
        if let Some(accepts) = ipv6_number_in_the_end(host, &link, "accept_ra", is_too_small).map_err(unreadable)? {
            state.accept_ra.insert(link.clone(), accepts);
        }
        for name in OF_PREFIXES {
            if let Some(value) = ipv6_number_in_the_end(host, &link, name, is_too_small).map_err(unreadable)? {
                state.prefix_values.insert(prefix_key(&link, name), value);
            }
        }
    }
    let present = state.select(config).present;
    let managers = manager::Managers::look(host);
    for selected in &present {
        let index = state.link(&selected.link).map_or(0, |link| link.index);
        managers.refuse_other(host, &selected.link, index)?;
        if state.has_networkd {
            manager::refuse_lost_join(host, &selected.link, index)?;
        }
    }
    state.addresses = duplicate::checked(host, context, state.addresses, |known| {
        let link = state.links.iter().find(|link| link.index == known.index && link.running);
        let selected = present.iter().find(|selected| link.is_some_and(|link| link.name == selected.link));
        selected.is_some_and(|selected| selected.wanted.statics.contains(&known.address))
    })
    .map_err(failed)?;
    forget_what_is_gone(host, context, &mut state, config);
    Ok(state)
}

fn forget_what_is_gone(host: &Host, context: &Context, state: &mut State, config: &Config) {
    let selection = state.select(config);
    let State { links, addresses, routes, accept_ra, prefix_values, files, has_networkd, .. } = &*state;
    let link = |name: &str| links.iter().find(|link| link.name == name);
    let has_address = |name: &str, address: IpNet| {
        let on =
            |found: &LinuxLink| addresses.iter().any(|known| known.index == found.index && known.address == address);
        link(name).is_some_and(on)
    };
    let has_route = |ours: &BoundRoute| {
        let is_it = |known: &LinuxRoute| {
            let over = links.iter().find(|link| link.index == known.index);
            known.route == ours.route && known.may_be_ours() && over.is_some_and(|over| is_over(ours, &over.name))
        };
        routes.iter().any(is_it)
    };
    let wanted = |name: &str| selection.of(name);
    let gone = |record: &mut Record| {
        record.addresses.retain(|(name, address)| has_address(name, *address));
        record.routes.retain(has_route);
        // Whoever has put the address there again has seen to what leads over it, unless that is who undoes it and was cut short.
        record.lost.retain(|lost| lost.is_coming || !has_address(&lost.link, lost.address));
        record.taken.retain(|(name, address)| {
            wanted(name).is_some_and(|wanted| wanted.statics.contains(address)) && !has_address(name, *address)
        });
        record.mtus.retain(|name, original| {
            // One that is as it was is the link's own again, and whoever changes it then is not to be undone.
            let is_in_file = files.get(name).is_some_and(|file| networkd::mtu_before(file).is_some());
            let is_wanted = wanted(name).is_some_and(|wanted| wanted.mtu.is_some()) || is_in_file;
            link(name).is_some_and(|link| is_wanted || link.mtu != *original)
        });
        // One that is started reads all of them.
        record.untold.retain(|_| *has_networkd);
        record.accept_ra_values.retain(|name, original| {
            let is_wanted = wanted(name).is_some() && !has_networkd;
            accept_ra.get(name).is_some_and(|present| is_wanted || present != original)
        });
        record.prefix_values.retain(|key, original| prefix_values.get(key).is_some_and(|present| present != original));
    };
    let mut record = state.record.clone();
    forget(host, context, &mut record, gone);
    forget_ended_clients(host, context, state, &selection);
    state.record = record;
}

/// One that is wanted may only just be starting, and gets another configuration if it does not.
fn forget_ended_clients(host: &Host, context: &Context, state: &State, selection: &Selection) {
    for link in state.link_names() {
        for family in Family::ALL {
            let wanted = selection.of(&link).and_then(|wanted| plan::configuration(wanted, family));
            let forgotten = if wanted.is_none() { dhcpcd::forget(host, &link, family) } else { Ok(()) };
            if let Err(error) = forgotten {
                context.log(Level::Warn, format!("an old configuration of {family} on {link} stays: {error}"));
            }
        }
    }
}

fn clients(host: &Host, link: &str) -> Result<[Option<String>; 2], FileError> {
    Ok([dhcpcd::ours(host, link, Family::Ipv4)?, dhcpcd::ours(host, link, Family::Ipv6)?])
}

fn our_files(host: &Host) -> Result<BTreeMap<String, String>, FileError> {
    let mut found = BTreeMap::new();
    // Without the directory there are none.
    let entries = std::fs::read_dir(host.root.locate(networkd::DIRECTORY)).into_iter().flatten().flatten();
    for name in entries.map(|entry| entry.file_name()) {
        let Some(link) = name.to_str().and_then(networkd::link_of) else { continue };
        if let Some(content) = files::read_text(&host.root, networkd::path(link))? {
            found.insert(link.to_owned(), content);
        }
    }
    Ok(found)
}

/// The kernel's values without which it listens to router advertisements and makes no addresses (Linux, `ip-sysctl`). dhcpcd up to 7
/// leaves 0 behind, and so does ifupdown.
const OF_PREFIXES: [&str; 2] = ["autoconf", "accept_ra_pinfo"];

/// The name under which such a value of a link is kept. No link has a slash in its name.
fn prefix_key(link: &str, name: &str) -> String {
    format!("{link}/{name}")
}

fn ipv6_path(link: &str, name: &str) -> String {
    format!("/proc/sys/net/ipv6/conf/{link}/{name}")
}

/// The least size of packets with which the kernel has IPv6 on a link (RFC 8200).
const SMALLEST_OF_IPV6: u32 = 1280;

/// Why the kernel has no IPv6 on a link that is to have it, and what to do about that. It refuses addresses then, as if one had no
/// right to set any. `mtu` is what the link has in the end.
pub(crate) fn ipv6_fault(link: &str, mtu: u32, is_off: bool) -> Option<(String, &'static str)> {
    if is_off {
        let message = format!("IPv6 is switched off there: net.ipv6.conf.{link}.disable_ipv6 is 1");
        return Some((message, "set it to 0 with sysctl, or configure no IPv6 for the link"));
    }
    (mtu < SMALLEST_OF_IPV6).then(|| {
        let message = format!("{link} has an MTU of {mtu}, and there is no IPv6 with less than {SMALLEST_OF_IPV6}");
        (message, "write a larger mtu, or configure no IPv6 for the link")
    })
}

/// The same of a link of this machine. systemd-networkd switches IPv6 on where its files want it.
pub(crate) fn ipv6_fault_of(
    host: &Host,
    link: &LinuxLink,
    mtu: Option<u32>,
) -> Result<Option<(String, &'static str)>, PluginError> {
    let failed = |error| file_error("cannot look at the links", error);
    let is_off = is_set(host, &link.name, "disable_ipv6").map_err(failed)? && !is_in_charge(host)?;
    let mtu = match mtu {
        Some(mtu) => mtu,
        None => Record::load(host).map_err(failed)?.mtus.get(&link.name).copied().unwrap_or(link.mtu),
    };
    Ok(ipv6_fault(&link.name, mtu, is_off))
}

fn is_in_charge(host: &Host) -> Result<bool, PluginError> {
    networkd::is_in_charge(host)
        .map_err(|error| PluginError::new("cannot find out whether systemd-networkd runs").source(error))
}

/// Whether a value of the kernel's IPv6 is set for a link (Linux, `ip-sysctl`).
fn is_set(host: &Host, link: &str, value: &str) -> Result<bool, FileError> {
    Ok(ipv6_value(host, link, value)?.is_some_and(|value| value != "0"))
}

fn ipv6_value(host: &Host, link: &str, value: &str) -> Result<Option<String>, FileError> {
    let content = files::read_text(&host.root, ipv6_path(link, value))?;
    Ok(content.map(|content| content.trim().to_owned()))
}

/// A value that is a number. Of them, `accept_ra` is 0 to ignore router advertisements, 1 to listen unless packets are
/// forwarded, and 2 to listen (Linux, `ip-sysctl`).
fn ipv6_number(host: &Host, link: &str, name: &str) -> Result<Option<u8>, FileError> {
    Ok(ipv6_value(host, link, name)?.and_then(|value| value.parse().ok()))
}

/// The same once there is IPv6 on the link. Where packets are too small for that it has no values of its own until they are larger,
/// and those of new links then.
fn ipv6_number_in_the_end(host: &Host, link: &str, name: &str, is_too_small: bool) -> Result<Option<u8>, FileError> {
    match ipv6_number(host, link, name)? {
        None if is_too_small => ipv6_number(host, "default", name),
        found => Ok(found),
    }
}
