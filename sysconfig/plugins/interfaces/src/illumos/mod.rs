//! illumos: `ipadm`, `dladm` and `route`.
//!
//! Address objects of ours are known by their labels, so what somebody else made is left alone, and serves when it
//! is what is wanted.

mod change;
mod label;
mod plan;

pub use change::Change;
pub(crate) use plan::plan;

use crate::config::Config;
use crate::record::{Record, forget};
use crate::select::{LinkFacts, Selected, Selection, select};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use sysconfig_platform::ipadm::{Address, Interface, Protocol};
use sysconfig_platform::route::{self, BoundRoute};
use sysconfig_platform::{Host, dladm, files, ipadm, lease, nwam};
use sysconfig_plugin::{Context, Level, PluginError};

use crate::error::{file_error, network_error, smf_error};

/// What the machine is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    links: Vec<dladm::Link>,
    interfaces: Vec<Interface>,
    addresses: Vec<Address>,
    /// The kept routes.
    kept: Vec<BoundRoute>,
    /// The gateways that the kernel has for the destinations of wanted routes.
    live: BTreeMap<String, Option<IpAddr>>,
    /// Every route over a gateway that the kernel has, of families with a wanted one.
    listed: BTreeSet<BoundRoute>,
    /// The largest packets of IPv4 and IPv6, of interfaces that are there and wanted.
    mtus: BTreeMap<String, [u32; 2]>,
    /// The least and the largest packet of links that are to carry larger ones, where their drivers tell.
    possible_mtus: BTreeMap<String, RangeInclusive<u32>>,
    /// The links that are to have a DHCPv6 lease, and have one.
    leased6: BTreeSet<String>,
    record: Record,
}

impl State {
    pub(crate) fn select(&self, config: &Config) -> Selection {
        select(config, &facts(&self.links), &self.record.chosen())
    }

    /// The size of packets that is wanted of a link and larger than those that it carries; and what it carries now.
    fn larger_than_link(&self, selected: &Selected) -> Option<(u32, u32)> {
        let link = self.links.iter().find(|link| link.name == selected.link)?;
        let mtu = selected.wanted.mtu.filter(|mtu| link.mtu != 0 && *mtu > link.mtu)?;
        Some((mtu, link.mtu))
    }

    pub(crate) fn link_names(&self) -> Vec<String> {
        self.links.iter().map(|link| link.name.clone()).collect()
    }
}

/// What there is to match, of all links.
pub(crate) fn facts(links: &[dladm::Link]) -> Vec<LinkFacts<'_>> {
    let facts = links.iter().map(|link| LinkFacts {
        name: &link.name,
        mac: link.mac,
        up: link.up,
        can_carry_ip: dladm::can_carry_ip(link, links),
        port_of: dladm::aggregation_of(link, links),
        over: link.over.iter().map(String::as_str).collect(),
    });
    facts.collect()
}

pub(crate) fn observe(host: &Host, config: &Config, context: &Context) -> Result<State, PluginError> {
    let failed = |error| network_error("cannot look at the network", error);
    refuse_other_owners(host)?;
    let links = dladm::links(host).map_err(failed)?;
    if links.is_empty() {
        return Err(PluginError::unsupported("this machine has no datalinks")
            .help("a zone that shares the global zone's network gets its addresses there"));
    }
    let record = Record::load(host).map_err(|error| file_error("cannot read what was done before", error))?;
    let mut state = State {
        links,
        interfaces: ipadm::interfaces(host).map_err(failed)?,
        addresses: ipadm::addresses(host).map_err(failed)?,
        kept: route::kept(host).map_err(failed)?,
        live: BTreeMap::new(),
        listed: BTreeSet::new(),
        mtus: BTreeMap::new(),
        possible_mtus: BTreeMap::new(),
        leased6: BTreeSet::new(),
        record,
    };
    let selection = state.select(config);
    for selected in &selection.present {
        for route in &selected.wanted.routes {
            let gateway = route::gateway_to(host, &route.to).map_err(failed)?;
            state.live.insert(route.to.to_string(), gateway);
        }
    }
    for v6 in [false, true] {
        let mut wanted = selection.present.iter().flat_map(|selected| &selected.wanted.routes);
        if wanted.any(|route| route.via.is_ipv6() == v6) {
            state.listed.extend(route::listed(host, v6).map_err(failed)?);
        }
    }
    for selected in &selection.present {
        if selected.wanted.dhcp6 && lease::has_dhcp6(host, &selected.link, &state.addresses).map_err(failed)? {
            state.leased6.insert(selected.link.clone());
        }
        if state.larger_than_link(selected).is_some() {
            let possible = dladm::possible_mtu(host, &selected.link).map_err(failed)?;
            state.possible_mtus.extend(possible.map(|possible| (selected.link.clone(), possible)));
        }
    }
    let names: Vec<String> = state.interfaces.iter().map(|interface| interface.name.clone()).collect();
    for name in names.into_iter().filter(|name| wants_mtu(&selection, &state.record, name)) {
        let v4 = ipadm::mtu(host, &name, Protocol::Ipv4).map_err(failed)?;
        let v6 = ipadm::mtu(host, &name, Protocol::Ipv6).map_err(failed)?;
        state.mtus.insert(name, [v4, v6]);
    }
    warn_of_default_router(host, &selection, context)?;
    forget_what_is_gone(host, context, &mut state, &selection);
    Ok(state)
}

fn forget_what_is_gone(host: &Host, context: &Context, state: &mut State, selection: &Selection) {
    let State { addresses, kept, mtus, .. } = &*state;
    let gone = |record: &mut Record| {
        record.routes.retain(|route| kept.contains(route));
        record.cut.retain(|route| kept.contains(route));
        record.taken.retain(|(link, address)| {
            let is_there = |row: &Address| row.interface() == link && row.is_fixed() && row.address == Some(*address);
            let is_wanted = selection.of(link).is_some_and(|wanted| wanted.statics.contains(address));
            is_wanted && !addresses.iter().any(is_there)
        });
        record.mtus.retain(|link, original| {
            let is_wanted = selection.of(link).is_some_and(|wanted| wanted.mtu.is_some());
            is_wanted || mtus.get(link) != Some(&[*original; 2])
        });
    };
    let mut record = state.record.clone();
    forget(host, context, &mut record, gone);
    state.record = record;
}

fn wants_mtu(selection: &Selection, record: &Record, link: &str) -> bool {
    selection.of(link).is_some_and(|wanted| wanted.mtu.is_some()) || record.mtus.contains_key(link)
}

/// The automatic network would undo what we do.
fn refuse_other_owners(host: &Host) -> Result<(), PluginError> {
    let owned = nwam::owns_network(host).map_err(|error| smf_error("cannot find out who owns the network", error))?;
    if owned {
        return Err(PluginError::new("the network belongs to NWAM, the automatic network, which would undo changes")
            .help(format!("turn it off: {}", nwam::TURN_OFF)));
    }
    Ok(())
}

/// The older way to set a default router works beside ours, and against it.
fn warn_of_default_router(host: &Host, selection: &Selection, context: &Context) -> Result<(), PluginError> {
    let content = files::read_text(&host.root, route::DEFAULT_ROUTER)
        .map_err(|error| file_error("cannot look at the default router", error))?;
    let routers = route::parse_default_router(&content.unwrap_or_default());
    let wanted =
        selection.present.iter().flat_map(|selected| &selected.wanted.routes).filter(|route| route.is_default());
    for route in wanted.filter(|route| route.via.is_ipv4()) {
        for router in routers.iter().filter(|router| **router != route.via.to_string()) {
            let file = route::DEFAULT_ROUTER;
            let message =
                format!("{file} names the router {router}, and the configuration {}: remove the file", route.via);
            context.log(Level::Warn, message);
        }
    }
    Ok(())
}
