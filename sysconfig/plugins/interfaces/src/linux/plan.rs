//! From what is there to what is wanted. Pure.

use super::State;
use super::change::{Change, Expected, is_over};
use crate::config::{Config, Wanted};
use crate::select::{Selected, Selection};
use crate::steps::{Waiting, absences, choice};
use std::collections::BTreeSet;
use sysconfig_platform::dhcpcd::{self, Family};
use sysconfig_platform::networkd::{self, NetworkFile};
use sysconfig_platform::stack::{LinuxLink, is_on_link};
use sysconfig_platform::{IpNet, Route, lease};
use sysconfig_plugin::{PlannedStep, PluginError, Risk};

type Step = PlannedStep<Change>;

/// The steps in the order: take away, links, addresses, routes, waiting, routes that need a lease.
pub(crate) fn plan(config: &Config, state: &State) -> Result<Vec<Step>, PluginError> {
    let selection = state.select(config);
    let mut planner = Planner {
        state,
        selection: &selection,
        steps: Vec::new(),
        waits: Vec::new(),
        after_leases: Vec::new(),
        released: BTreeSet::new(),
        removed: Vec::new(),
    };
    planner.steps.extend(choice(&selection, &state.record, choose));
    planner.stale_files();
    planner.stale_clients();
    planner.stale_routes();
    planner.stale_addresses();
    if state.has_networkd {
        selection.present.iter().for_each(|selected| planner.networkd(selected));
        // An older file would set the size again.
        planner.stale_links();
    } else {
        planner.stale_links();
        for selected in &selection.present {
            planner.kernel(selected)?;
        }
    }
    let absences = absences(&selection, &state.link_names(), Change::Wait);
    Ok(planner.steps.into_iter().chain(absences).chain(planner.waits).chain(planner.after_leases).collect())
}

fn choose(link: Option<String>, previous: Option<String>) -> Change {
    Change::Choose { link, previous }
}

struct Planner<'a> {
    state: &'a State,
    selection: &'a Selection,
    steps: Vec<Step>,
    waits: Vec<Step>,
    /// Routes over gateways that can be reached only with a lease.
    after_leases: Vec<Step>,
    /// Clients that are ended, which takes their addresses away.
    released: BTreeSet<(String, Family)>,
    /// Networks whose addresses go, and routes over their gateways with them.
    removed: Vec<IpNet>,
}

impl Planner<'_> {
    /// What is wanted of the kernel on a link; nothing where networkd does it.
    fn of_kernel(&self, link: &str) -> Option<&Wanted> {
        self.selection.of(link).filter(|_| !self.state.has_networkd)
    }

    fn index(&self, link: &str) -> Option<u32> {
        self.state.link(link).map(|link| link.index)
    }

    /// Our files for links that are not configured any more, or of a networkd that does not run.
    fn stale_files(&mut self) {
        for (link, content) in &self.state.files {
            if self.selection.of(link).is_some() && self.state.has_networkd {
                continue;
            }
            let change = Change::File {
                link: link.clone(),
                content: None,
                previous: Some(content.clone()),
                expected: Expected::default(),
            };
            let summary = format!("tell systemd-networkd nothing of {link} any more");
            self.steps.push(Step::new("delete", networkd::path(link), summary, Risk::Disruptive, change));
        }
    }

    fn stale_clients(&mut self) {
        for (link, clients) in &self.state.clients {
            for (family, client) in Family::ALL.into_iter().zip(clients) {
                let wanted = self.of_kernel(link).and_then(|wanted| configuration(wanted, family));
                let Some(previous) = client.clone().filter(|_| wanted.is_none()) else { continue };
                self.released.insert((link.clone(), family));
                let index = self.index(link);
                let leased = self.state.addresses.iter().filter(|known| Some(known.index) == index);
                self.removed.extend(leased.filter(|known| lease::is_leased(known, family)).map(|known| known.address));
                let change = Change::Release { link: link.clone(), family, previous };
                let summary = format!("end {family} on {link}");
                self.steps.push(Step::new("stop", format!("dhcpcd on {link}"), summary, Risk::Disruptive, change));
            }
        }
    }

    fn stale_routes(&mut self) {
        // One with a priority is somebody else's, such as a DHCP client's.
        for known in self.state.routes.iter().filter(|known| is_plain(known)) {
            let route = known.route;
            let Some(link) = self.state.links.iter().find(|link| link.index == known.index) else { continue };
            let is_ours = self.state.record.routes.iter().any(|ours| ours.route == route && is_over(ours, &link.name));
            if !is_ours || self.of_kernel(&link.name).is_some_and(|wanted| wanted.routes.contains(&route)) {
                continue;
            }
            let change = Change::DeleteRoute { link: link.name.clone(), route };
            let step = Step::new(
                "delete",
                format!("route {}", route.to),
                format!("delete the route {route}"),
                Risk::Disruptive,
                change,
            );
            self.steps.push(step.field("gateway", route.via.to_string(), None::<String>));
        }
    }

    fn stale_addresses(&mut self) {
        for (link, address) in &self.state.record.addresses {
            let is_wanted = self.of_kernel(link).is_some_and(|wanted| wanted.statics.contains(address));
            if is_wanted || !self.has_address(link, *address) {
                continue;
            }
            self.removed.push(*address);
            let change = Change::DeleteAddress { link: link.clone(), address: *address };
            let step = Step::new(
                "delete",
                format!("{address} on {link}"),
                format!("take {address} off {link}"),
                Risk::Disruptive,
                change,
            );
            self.steps.push(step.field("address", address.to_string(), None::<String>));
        }
    }

    fn has_address(&self, link: &str, address: IpNet) -> bool {
        let index = self.index(link);
        self.state.addresses.iter().any(|known| Some(known.index) == index && known.address == address)
    }

    /// Gives links that are not configured any more back what they had.
    fn stale_links(&mut self) {
        for (name, previous) in &self.state.record.mtus {
            let Some(link) = self.state.link(name) else { continue };
            let is_wanted = self.selection.of(name).is_some_and(|wanted| wanted.mtu.is_some());
            if !is_wanted && link.mtu != *previous {
                self.steps.push(set_mtu(link, *previous, false));
            }
        }
        for (name, previous) in &self.state.record.accept_ra {
            let present = self.state.accept_ra.get(name);
            if self.of_kernel(name).is_none() && present.is_some_and(|present| present != previous) {
                self.steps.push(listen(name, *previous, false));
            }
        }
    }

    fn networkd(&mut self, selected: &Selected) {
        let (link, wanted) = (&selected.link, &selected.wanted);
        let file = NetworkFile {
            link: link.clone(),
            addresses: wanted.statics.clone(),
            routes: wanted.routes.clone(),
            dhcp4: wanted.dhcp,
            dhcp6: wanted.dhcp6,
            addrconf: wanted.addrconf,
            mtu: wanted.mtu,
        };
        let content = file.format();
        let previous = self.state.files.get(link).cloned();
        let is_new = previous.as_deref() != Some(content.as_str());
        let expected = self.expected(selected, is_new);
        let missing = self.missing(link, &expected);
        if is_new || !missing.is_empty() {
            let summary = match is_new {
                true => format!("tell systemd-networkd to configure {link}"),
                false => format!("make systemd-networkd put {} on {link} again", missing.join(" and ")),
            };
            let from = previous.clone();
            let change = Change::File { link: link.clone(), content: Some(content.clone()), previous, expected };
            let step = Step::new("write", networkd::path(link), summary, Risk::Disruptive, change);
            self.steps.push(step.field("content", from, content));
        }
        self.duplicates(selected);
        self.leases(selected);
    }

    /// What has to come of a file for networkd. A route over a network of which a server tells is expected once an
    /// address in it is there; with a new file, those that are there may go.
    fn expected(&self, selected: &Selected, is_new: bool) -> Expected {
        let Selected { link, wanted, .. } = selected;
        let index = self.index(link);
        let present = self.state.addresses.iter().filter(|known| !is_new && Some(known.index) == index);
        let networks: Vec<_> = wanted.statics.iter().copied().chain(present.map(|known| known.address)).collect();
        let routes = wanted.routes.iter().filter(|route| is_on_link(route.via, &networks));
        Expected {
            addresses: wanted.statics.clone(),
            routes: routes.copied().collect(),
            mtu: wanted.mtu,
            asks_servers: wanted.dhcp || wanted.dhcp6 || wanted.addrconf,
        }
    }

    /// What of that is not there, in words.
    fn missing(&self, link: &str, expected: &Expected) -> Vec<String> {
        let found = self.state.link(link);
        let addresses = expected.addresses.iter().filter(|address| !self.has_address(link, **address));
        let routes = expected.routes.iter().filter(|route| !found.is_some_and(|link| self.has_route(link, route)));
        let mtu = expected.mtu.filter(|mtu| found.is_some_and(|link| link.mtu != *mtu));
        let addresses = addresses.map(ToString::to_string);
        let routes = routes.map(|route| format!("the route {route}"));
        addresses.chain(routes).chain(mtu.map(|mtu| format!("the MTU {mtu}"))).collect()
    }

    fn has_route(&self, link: &LinuxLink, route: &Route) -> bool {
        let mut routes = self.state.routes.iter();
        routes.any(|known| known.route == *route && known.index == link.index && is_plain(known))
    }

    fn kernel(&mut self, selected: &Selected) -> Result<(), PluginError> {
        let Some(link) = self.state.link(&selected.link) else { return Ok(()) };
        if let Some(mtu) = selected.wanted.mtu.filter(|mtu| *mtu != link.mtu) {
            refuse_size(link, mtu)?;
            self.steps.push(set_mtu(link, mtu, true));
        }
        self.listen(selected);
        if !link.up {
            let change = Change::Up { link: link.name.clone() };
            self.steps.push(Step::new("set", &link.name, format!("switch {} on", link.name), Risk::Safe, change));
        }
        self.addresses(selected)?;
        self.clients(selected);
        self.routes(selected, link);
        self.duplicates(selected);
        self.leases(selected);
        Ok(())
    }

    /// The kernel listens to routers unless it is told not to; where a DHCPv6 client runs, that does it.
    fn listen(&mut self, selected: &Selected) {
        let wanted = selected.wanted.addrconf && !selected.wanted.dhcp6;
        if self.state.accept_ra.get(&selected.link).is_some_and(|present| *present != wanted) {
            self.steps.push(listen(&selected.link, wanted, true));
        }
    }

    fn addresses(&mut self, selected: &Selected) -> Result<(), PluginError> {
        let link = &selected.link;
        let index = self.index(link);
        for address in &selected.wanted.statics {
            let present: Vec<_> =
                self.state.addresses.iter().filter(|known| known.address.addr() == address.addr()).collect();
            let released = self.released.contains(&(link.clone(), Family::Ipv4));
            let stays = |known: &&&sysconfig_platform::stack::LinuxAddress| {
                let goes = known.dynamic && released || self.is_removed(known.index, known.address);
                !goes
            };
            match present.iter().find(stays) {
                Some(known) if Some(known.index) == index && known.address == *address => continue,
                Some(known) => return Err(conflict(self.state, link, *address, known)),
                None => {}
            }
            let change = Change::AddAddress { link: link.clone(), address: *address };
            let step = Step::new(
                "create",
                format!("{address} on {link}"),
                format!("put {address} on {link}"),
                Risk::Disruptive,
                change,
            );
            self.steps.push(step.field("address", None::<String>, address.to_string()));
        }
        Ok(())
    }

    fn is_removed(&self, index: u32, address: IpNet) -> bool {
        self.steps.iter().any(|step| match &step.change {
            Change::DeleteAddress { link, address: gone } => *gone == address && self.index(link) == Some(index),
            _ => false,
        })
    }

    fn clients(&mut self, selected: &Selected) {
        let link = &selected.link;
        for (at, family) in Family::ALL.into_iter().enumerate() {
            let Some(content) = configuration(&selected.wanted, family) else { continue };
            let present = self.state.clients.get(link).and_then(|clients| clients[at].clone());
            if present.as_ref() == Some(&content) {
                continue;
            }
            let change = Change::Start { link: link.clone(), family, content, previous: present };
            let summary = format!("start {family} on {link}");
            self.steps.push(Step::new("start", format!("dhcpcd on {link}"), summary, Risk::Disruptive, change));
        }
    }

    fn routes(&mut self, selected: &Selected, link: &LinuxLink) {
        for route in &selected.wanted.routes {
            let is_there = self.has_route(link, route);
            let staying = self.staying(link);
            let is_cut = self.removed.iter().any(|net| net.contains(&route.via)) && !is_on_link(route.via, &staying);
            if is_there && link.up && !is_cut {
                continue;
            }
            let is_reachable = is_on_link(route.via, &selected.wanted.statics) || is_on_link(route.via, &staying);
            if !is_reachable && selected.wanted.optional {
                // Its lease need not come. When it does, the plugin hears of it.
                continue;
            }
            let change = Change::AddRoute { link: link.name.clone(), route: *route };
            let step = Step::new(
                "add",
                format!("route {}", route.to),
                format!("add the route {route}"),
                Risk::Disruptive,
                change,
            );
            let step = step.field("gateway", None::<String>, route.via.to_string());
            if is_reachable { self.steps.push(step) } else { self.after_leases.push(step) }
        }
    }

    /// The networks of addresses that are on a link before the steps, and after them.
    fn staying(&self, link: &LinuxLink) -> Vec<IpNet> {
        let here = self.state.addresses.iter().filter(|known| known.index == link.index);
        here.map(|known| known.address).filter(|address| !self.removed.contains(address)).collect()
    }

    fn duplicates(&mut self, selected: &Selected) {
        let index = self.index(&selected.link);
        let found = self.state.addresses.iter().filter(|known| known.duplicate && Some(known.index) == index);
        for known in found.filter(|known| selected.wanted.statics.contains(&known.address)) {
            let waiting = Waiting::Duplicate { link: selected.link.clone(), address: known.address.to_string() };
            self.waits.push(waiting.step(Change::Wait));
        }
    }

    /// The leases that are wanted and not there yet.
    fn leases(&mut self, selected: &Selected) {
        let Selected { link, wanted, .. } = selected;
        let index = self.index(link);
        for (family, is_wanted) in [(Family::Ipv4, wanted.dhcp), (Family::Ipv6, wanted.dhcp6)] {
            let released = self.released.contains(&(link.clone(), family));
            let mut here = self.state.addresses.iter().filter(|known| Some(known.index) == index);
            let has_lease = !released && here.any(|known| lease::is_leased(known, family));
            if is_wanted && !wanted.optional && !has_lease {
                let deadline_s = wanted.lease_deadline.as_secs();
                self.waits.push(Waiting::Lease { link: link.clone(), family, deadline_s }.step(Change::Wait));
            }
        }
    }
}

/// A route without a priority, as we make them.
fn is_plain(known: &sysconfig_platform::stack::LinuxRoute) -> bool {
    const IPV6_DEFAULT: u32 = 1024;
    known.metric == if known.route.via.is_ipv6() { IPV6_DEFAULT } else { 0 } || known.metric == 0
}

/// The configuration of the DHCP client for a family, when one is wanted.
fn configuration(wanted: &Wanted, family: Family) -> Option<String> {
    let is_wanted = match family {
        Family::Ipv4 => wanted.dhcp,
        Family::Ipv6 => wanted.dhcp6,
    };
    is_wanted.then(|| dhcpcd::configuration(family, wanted.addrconf))
}

fn conflict(state: &State, link: &str, address: IpNet, known: &sysconfig_platform::stack::LinuxAddress) -> PluginError {
    let other = state.links.iter().find(|link| link.index == known.index).map_or("?", |link| link.name.as_str());
    let message = format!("{address} is wanted on {link}, and {other} has {}", known.address);
    let help = format!("if it is not needed: ip address del {} dev {other}", known.address);
    PluginError::new(message).help(help)
}

fn refuse_size(link: &LinuxLink, mtu: u32) -> Result<(), PluginError> {
    if mtu >= link.min_mtu && (link.max_mtu == 0 || mtu <= link.max_mtu) {
        return Ok(());
    }
    let message = format!("the driver of {} does not allow an MTU of {mtu}", link.name);
    Err(PluginError::new(message).help(format!("it allows {} to {}", link.min_mtu, link.max_mtu)))
}

fn set_mtu(link: &LinuxLink, mtu: u32, is_ours: bool) -> Step {
    let summary = format!("send packets of at most {mtu} bytes over {}", link.name);
    let change = Change::SetMtu { link: link.name.clone(), mtu, previous: link.mtu, is_ours };
    Step::new("set", &link.name, summary, Risk::Disruptive, change).field("mtu", link.mtu, mtu)
}

fn listen(link: &str, accept: bool, is_ours: bool) -> Step {
    let summary = match accept {
        true => format!("listen to router advertisements on {link}"),
        false => format!("ignore router advertisements on {link}"),
    };
    let change = Change::AcceptRa { link: link.to_owned(), accept, is_ours };
    Step::new("set", link, summary, Risk::Disruptive, change).field("accept-ra", !accept, accept)
}
