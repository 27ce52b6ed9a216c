//! From what is there to what is wanted. Pure.

mod ipv6;
mod routes;
mod told;
mod waits;

use super::SMALLEST_OF_IPV6;
use super::State;
use super::change::{Change, Expected};
use crate::config::{Config, Wanted};
use crate::select::{Selected, Selection};
use crate::steps::{Waiting, absences, choice, endings, look};
use std::collections::BTreeSet;
use sysconfig_platform::dhcpcd::{self, Family};
use sysconfig_platform::stack::{LinuxAddress, LinuxLink, is_link_local};
use sysconfig_platform::{IpNet, lease, networkd};
use sysconfig_plugin::{PlannedStep, PluginError, Risk};

type Step = PlannedStep<Change>;

/// The steps in the order: take away, links, addresses, routes, leases, routes that need one, other waiting.
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
        replaced: Vec::new(),
    };
    planner.steps.extend(choice(&selection, &state.record, choose));
    planner.stale_files();
    let first = planner.steps.len();
    planner.stale_clients();
    planner.stale_addresses();
    planner.name_routes_that_go();
    planner.stale_routes(first);
    if state.has_networkd {
        for selected in &selection.present {
            planner.networkd(selected)?;
        }
        // An older file would set the size again.
        planner.stale_links();
    } else {
        planner.stale_links();
        for selected in &selection.present {
            planner.kernel(selected)?;
        }
    }
    let Planner { mut steps, mut waits, after_leases, .. } = planner;
    order_deletions(&mut steps);
    steps.extend(look(&selection, |links| {
        let off = state.links.iter().filter(|link| !link.up && links.contains(&link.name));
        Change::Look { off: off.map(|link| link.name.clone()).collect(), links }
    }));
    waits.extend(absences(&selection, &state.link_names()));
    steps.extend(endings(waits, after_leases, Change::Wait));
    Ok(steps)
}

/// Tells of the addresses that go which are not the first ones of their links.
fn order_deletions(steps: &mut [Step]) {
    let mut seen = BTreeSet::new();
    for step in steps {
        if let Change::DeleteAddress { link, follows, .. } = &mut step.change {
            *follows = !seen.insert(link.clone());
        }
    }
}

fn choose(link: Option<String>, previous: Option<String>) -> Change {
    Change::Choose { link, previous }
}

struct Planner<'a> {
    state: &'a State,
    selection: &'a Selection,
    steps: Vec<Step>,
    waits: Vec<Waiting>,
    /// Routes over gateways that can be reached only with a lease.
    after_leases: Vec<Step>,
    /// Clients that are ended, which takes their addresses away.
    released: BTreeSet<(String, Family)>,
    /// Addresses that go, by the number of the link.
    removed: Vec<(u32, IpNet)>,
    /// Those of them that go only when another one is on their link, with the steps for that.
    replaced: Vec<(u32, Step)>,
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
                expected: Expected { mtu_before: self.state.record.mtus.get(link).copied(), ..Expected::default() },
            };
            self.steps.push(tell_nothing(link, change));
        }
        let is_gone = |link: &&String| !self.state.files.contains_key(*link) && self.selection.of(link).is_none();
        for link in self.state.record.untold.iter().filter(is_gone) {
            let expected = Expected { mtu_before: self.state.record.mtus.get(link).copied(), ..Expected::default() };
            let change = Change::File { link: link.clone(), content: None, previous: None, expected };
            self.steps.push(tell_nothing(link, change));
        }
    }

    fn stale_clients(&mut self) {
        for (link, clients) in &self.state.clients {
            for (family, client) in Family::ALL.into_iter().zip(clients) {
                let wanted = self.of_kernel(link).and_then(|wanted| configuration(wanted, family));
                let Some(previous) = client.clone().filter(|_| wanted.is_none()) else { continue };
                self.released.insert((link.clone(), family));
                let index = self.index(link);
                let here = self.state.addresses.iter().filter(|known| Some(known.index) == index);
                let leased = here.filter(|known| lease::is_leased(known, family));
                self.removed.extend(leased.map(|known| (known.index, known.address)));
                let change = Change::Release { link: link.clone(), family, previous };
                let summary = format!("end {family} on {link}");
                self.steps.push(Step::new("stop", format!("dhcpcd on {link}"), summary, Risk::Disruptive, change));
            }
        }
    }

    fn stale_addresses(&mut self) {
        for (link, address) in &self.state.record.addresses {
            let is_wanted = self.of_kernel(link).is_some_and(|wanted| wanted.statics.contains(address));
            if is_wanted || !self.has_address(link, *address) {
                continue;
            }
            let Some(index) = self.index(link) else { continue };
            self.removed.push((index, *address));
            let is_replaced = self.is_replaced(link, *address);
            let wanted = self.of_kernel(link).into_iter().flat_map(|wanted| &wanted.statics);
            let after = wanted.filter(|other| is_replaced && other.addr().is_ipv4()).copied().collect();
            let change = Change::DeleteAddress { link: link.clone(), address: *address, follows: false, after };
            let step = Step::new(
                "delete",
                format!("{address} on {link}"),
                format!("take {address} off {link}"),
                Risk::Disruptive,
                change,
            );
            let step = step.field("address", address.to_string(), None::<String>);
            match is_replaced {
                true => self.replaced.push((index, step)),
                false => self.steps.push(step),
            }
        }
    }

    /// Whether an address can go after another one has come to its link, so that the kernel has no reason to take routes off, whoever
    /// has set them. One that is wanted in another form or at another place has to go before.
    fn is_replaced(&self, link: &str, address: IpNet) -> bool {
        let wanted = |link: &str| self.of_kernel(link).map(|wanted| wanted.statics.as_slice()).unwrap_or_default();
        let mut all = self.selection.present.iter().flat_map(|selected| wanted(&selected.link));
        let comes = |other: &IpNet| other.addr().is_ipv4() && !self.has_address(link, *other);
        let is_in_the_way = all.any(|other| other.addr() == address.addr());
        address.addr().is_ipv4() && !is_in_the_way && wanted(link).iter().any(comes)
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
            let is_planned =
                self.steps.iter().any(|step| matches!(&step.change, Change::SetMtu { link, .. } if link == name));
            if !is_wanted && !is_planned && link.mtu != *previous {
                self.steps.push(set_mtu(link, *previous, false));
            }
        }
        for (name, previous) in &self.state.record.accept_ra_values {
            let Some(present) = self.state.accept_ra.get(name) else { continue };
            if self.of_kernel(name).is_none() && present != previous {
                self.steps.push(listen(name, *present, *previous, false));
            }
        }
        self.stale_prefixes();
    }

    fn kernel(&mut self, selected: &Selected) -> Result<(), PluginError> {
        let Some(link) = self.state.link(&selected.link) else { return Ok(()) };
        self.refuse_without_ipv6(selected, link)?;
        if let Some(mtu) = selected.wanted.mtu.filter(|mtu| *mtu != link.mtu) {
            refuse_size(link, mtu)?;
            self.refuse_end_of_ipv6(link, mtu)?;
            self.steps.push(set_mtu(link, mtu, true));
        }
        self.take_prefixes(selected);
        self.listen(selected);
        if !link.up {
            let change = Change::Up { link: link.name.clone() };
            self.steps.push(Step::new("set", &link.name, format!("switch {} on", link.name), Risk::Safe, change));
        }
        self.addresses(selected)?;
        let replaced = self.replaced.iter().filter(|(index, _)| *index == link.index);
        self.steps.extend(replaced.map(|(_, step)| step.clone()));
        self.clients(selected);
        self.routes(selected, link)?;
        self.duplicates(selected);
        self.leases(selected);
        Ok(())
    }

    /// The kernel listens to routers unless it is told not to; where a DHCPv6 client runs, that does it.
    fn listen(&mut self, selected: &Selected) {
        let wanted = ipv6::is_by_kernel(&selected.wanted);
        let Some(present) = self.state.accept_ra.get(&selected.link).copied() else { return };
        if self.mtu_in_the_end(selected) < SMALLEST_OF_IPV6 {
            return;
        }
        // Where packets are forwarded, only 2 means to listen.
        let least = if self.state.forwarding.contains(&selected.link) { 2 } else { 1 };
        let serves = if wanted { present >= least } else { present == 0 };
        if !serves {
            // One that listened although it forwards packets does so again.
            let before = self.state.record.accept_ra_values.get(&selected.link).copied();
            let value = if wanted { before.filter(|before| *before >= least).unwrap_or(least) } else { 0 };
            self.steps.push(listen(&selected.link, present, value, true));
        }
    }

    fn addresses(&mut self, selected: &Selected) -> Result<(), PluginError> {
        let link = &selected.link;
        let index = self.index(link);
        for address in &selected.wanted.statics {
            // Another link can have the same link-local address.
            let meets = |known: &&LinuxAddress| {
                known.address.addr() == address.addr() && (Some(known.index) == index || !is_link_local(address.addr()))
            };
            let present: Vec<_> = self.state.addresses.iter().filter(meets).collect();
            let stays = |known: &&&LinuxAddress| {
                let goes = self.is_released(known) || self.removed.contains(&(known.index, known.address));
                !goes
            };
            match present.iter().find(stays) {
                Some(known) if Some(known.index) == index && known.address == *address => continue,
                Some(known) => return Err(conflict(self.state, link, *address, known)),
                None => {}
            }
            let change = Change::AddAddress { link: link.clone(), address: *address };
            let is_taken = self.state.record.taken.contains(&(link.clone(), *address));
            let whose = if is_taken { ", which another machine had" } else { "" };
            let step = Step::new(
                "create",
                format!("{address} on {link}"),
                format!("put {address} on {link}{whose}"),
                Risk::Disruptive,
                change,
            );
            self.steps.push(step.field("address", None::<String>, address.to_string()));
        }
        Ok(())
    }

    /// Whether it is of a lease whose client is ended.
    fn is_released(&self, known: &LinuxAddress) -> bool {
        self.released
            .iter()
            .any(|(link, family)| self.index(link) == Some(known.index) && lease::is_leased(known, *family))
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
}

fn tell_nothing(link: &str, change: Change) -> Step {
    let summary = format!("tell systemd-networkd nothing of {link} any more");
    Step::new("delete", networkd::path(link), summary, Risk::Disruptive, change)
}

/// The configuration of the DHCP client for a family, when one is wanted.
pub(super) fn configuration(wanted: &Wanted, family: Family) -> Option<String> {
    let is_wanted = match family {
        Family::Ipv4 => wanted.dhcp,
        Family::Ipv6 => wanted.dhcp6,
    };
    is_wanted.then(|| dhcpcd::configuration(family, wanted.addrconf))
}

fn conflict(state: &State, link: &str, address: IpNet, known: &LinuxAddress) -> PluginError {
    let other = state.links.iter().find(|link| link.index == known.index).map_or("?", |link| link.name.as_str());
    let message = format!("{address} is wanted on {link}, and {other} has {}", known.address);
    if known.dynamic {
        // One that ends by itself is not the fixed one.
        let help = "a server or router gives it there for a while: take another one here, or leave it to them";
        return PluginError::new(message).help(help);
    }
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

fn listen(link: &str, previous: u8, value: u8, is_ours: bool) -> Step {
    let summary = match value {
        0 => format!("ignore router advertisements on {link}"),
        _ => format!("listen to router advertisements on {link}"),
    };
    let change = Change::AcceptRa { link: link.to_owned(), value, previous, is_ours };
    Step::new("set", link, summary, Risk::Disruptive, change).field("accept-ra", previous, value)
}
