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
use crate::record::Record;
use crate::select::{LinkFacts, Selection, select};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use sysconfig_platform::dhcpcd::{self, Family};
use sysconfig_platform::stack::{LinuxAddress, LinuxLink, LinuxRoute};
use sysconfig_platform::{FileError, Host, files, networkd};
use sysconfig_plugin::{Context, PluginError};

/// What the machine is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    links: Vec<LinuxLink>,
    addresses: Vec<LinuxAddress>,
    routes: Vec<LinuxRoute>,
    /// Whether systemd-networkd runs the links.
    has_networkd: bool,
    /// Our files for networkd, by link.
    files: BTreeMap<String, String>,
    /// The configurations of our DHCP clients that run, by link, for IPv4 and IPv6.
    clients: BTreeMap<String, [Option<String>; 2]>,
    /// The kernel's `accept_ra`, by link; nothing for a kernel without IPv6.
    accept_ra: BTreeMap<String, u8>,
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
    let has_networkd = networkd::is_in_charge(host)
        .map_err(|error| PluginError::new("cannot find out whether systemd-networkd runs").source(error))?;
    let mut state = State {
        links: host.links().map_err(failed)?,
        addresses: host.addresses().map_err(failed)?,
        routes: host.routes().map_err(failed)?,
        has_networkd,
        files: our_files(host).map_err(unreadable)?,
        clients: BTreeMap::new(),
        accept_ra: BTreeMap::new(),
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
        if let Some(accepts) = accept_ra_value(host, &link).map_err(unreadable)? {
            state.accept_ra.insert(link, accepts);
        }
    }
    let present = state.select(config).present;
    for selected in &present {
        let index = state.link(&selected.link).map_or(0, |link| link.index);
        manager::refuse_other(host, &selected.link, index)?;
    }
    state.addresses = duplicate::checked(host, context, state.addresses, |known| {
        let link = state.links.iter().find(|link| link.index == known.index && link.running);
        let selected = present.iter().find(|selected| link.is_some_and(|link| link.name == selected.link));
        selected.is_some_and(|selected| selected.wanted.statics.contains(&known.address))
    })
    .map_err(failed)?;
    Ok(state)
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

fn accept_ra_path(link: &str) -> String {
    format!("/proc/sys/net/ipv6/conf/{link}/accept_ra")
}

/// What to do about a link of which [`no_ipv6`] is true.
pub(crate) const NO_IPV6_HELP: &str = "set it to 0 with sysctl, or configure no IPv6 for the link";

/// That the kernel has no IPv6 on a link.
pub(crate) fn no_ipv6(link: &str) -> String {
    format!("IPv6 is switched off there: net.ipv6.conf.{link}.disable_ipv6 is 1")
}

/// Whether the kernel has no IPv6 on a link (`disable_ipv6`, Linux, `ip-sysctl`). It refuses addresses then, as if one had no
/// right to set any.
pub(crate) fn is_without_ipv6(host: &Host, link: &str) -> Result<bool, FileError> {
    let content = files::read_text(&host.root, format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6"))?;
    Ok(content.is_some_and(|content| content.trim() != "0"))
}

/// Whether the kernel makes addresses from router advertisements: 0 for no, 1 for yes unless it forwards packets, 2 for yes
/// (Linux, `ip-sysctl`).
fn accept_ra_value(host: &Host, link: &str) -> Result<Option<u8>, FileError> {
    let content = files::read_text(&host.root, accept_ra_path(link))?;
    Ok(content.and_then(|content| content.trim().parse().ok()))
}
