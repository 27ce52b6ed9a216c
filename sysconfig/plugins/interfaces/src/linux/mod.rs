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
    /// Whether systemd-networkd runs.
    has_networkd: bool,
    /// Our files for networkd, by link.
    files: BTreeMap<String, String>,
    /// The configurations of our DHCP clients that run, by link, for IPv4 and IPv6.
    clients: BTreeMap<String, [Option<String>; 2]>,
    /// Whether router advertisements are listened to, by link; nothing for a kernel without IPv6.
    accept_ra: BTreeMap<String, bool>,
    record: Record,
}

impl State {
    pub(crate) fn select(&self, config: &Config) -> Selection {
        let usable = self.links.iter().filter(|link| !link.loopback);
        let facts: Vec<_> =
            usable.map(|link| LinkFacts { name: &link.name, mac: link.mac, up: link.running }).collect();
        select(config, &facts, self.record.first_up.as_deref())
    }

    pub(crate) fn link_names(&self) -> Vec<String> {
        self.links.iter().filter(|link| !link.loopback).map(|link| link.name.clone()).collect()
    }

    fn link(&self, name: &str) -> Option<&LinuxLink> {
        self.links.iter().find(|link| link.name == name)
    }
}

pub(crate) fn observe(host: &Host, config: &Config, _context: &Context) -> Result<State, PluginError> {
    let failed = |error| network_error("cannot look at the network", error);
    let unreadable = |error| file_error("cannot look at the network's configuration", error);
    let has_networkd = networkd::is_active(host)
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
    for link in state.link_names() {
        let clients = clients(host, &link).map_err(unreadable)?;
        if clients.iter().any(Option::is_some) {
            state.clients.insert(link.clone(), clients);
        }
        if let Some(accepts) = accepts_ra(host, &link).map_err(unreadable)? {
            state.accept_ra.insert(link, accepts);
        }
    }
    for selected in state.select(config).present {
        let index = state.link(&selected.link).map_or(0, |link| link.index);
        manager::refuse_other(host, &selected.link, index)?;
    }
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

/// Whether the kernel makes addresses from router advertisements.
fn accepts_ra(host: &Host, link: &str) -> Result<Option<bool>, FileError> {
    let content = files::read_text(&host.root, accept_ra_path(link))?;
    Ok(content.map(|content| content.trim() != "0"))
}
