//! From what is there to what is wanted. Pure.

mod routes;

use super::State;
use super::change::Change;
use super::label;
use crate::config::{Config, Wanted};
use crate::select::{Selected, Selection};
use crate::steps::{Waiting, absences, choice, endings, look};
use std::collections::BTreeSet;
use sysconfig_platform::dhcpcd::Family;
use sysconfig_platform::ipadm::{Address, AddressSpec, Protocol, Take};
use sysconfig_platform::{IpNet, stack};
use sysconfig_plugin::{PlannedStep, PluginError, Risk};

type Step = PlannedStep<Change>;

/// The steps in the order: take away, links, interfaces, addresses, routes, leases, routes that need one, other waiting.
pub(crate) fn plan(config: &Config, state: &State) -> Result<Vec<Step>, PluginError> {
    let selection = state.select(config);
    let mut planner = Planner::new(state, &selection);
    planner.removals.extend(choice(&selection, &state.record, choose));
    for link in planner.links_with_objects() {
        planner.clear(&link);
    }
    for selected in &selection.present {
        planner.link(selected)?;
    }
    for selected in &selection.present {
        planner.interface(selected)?;
    }
    planner.stale_mtus();
    planner.routes();
    Ok(planner.finish())
}

fn choose(link: Option<String>, previous: Option<String>) -> Change {
    Change::Choose { link, previous }
}

struct Planner<'a> {
    state: &'a State,
    selection: &'a Selection,
    removals: Vec<Step>,
    additions: Vec<Step>,
    waits: Vec<Waiting>,
    /// Routes over gateways that can be reached only with a lease.
    after_leases: Vec<Step>,
    /// Objects that are gone after the removals.
    gone: BTreeSet<String>,
    /// Interfaces that are made anew.
    remade: BTreeSet<String>,
}

impl<'a> Planner<'a> {
    fn new(state: &'a State, selection: &'a Selection) -> Self {
        Self {
            state,
            selection,
            removals: Vec::new(),
            additions: Vec::new(),
            waits: Vec::new(),
            after_leases: Vec::new(),
            gone: BTreeSet::new(),
            remade: BTreeSet::new(),
        }
    }

    fn finish(self) -> Vec<Step> {
        let mut waits = self.waits;
        waits.extend(absences(self.selection, &self.state.link_names()));
        let is_plumbed = |link: &String| self.state.interfaces.iter().any(|known| known.name == *link);
        let looking = look(self.selection, |links| {
            let off = links.iter().filter(|link| !is_plumbed(link)).cloned().collect();
            Change::Look { off, links }
        });
        let first = self.removals.into_iter().chain(self.additions).chain(looking);
        first.chain(endings(waits, self.after_leases, Change::Wait)).collect()
    }

    fn links_with_objects(&self) -> BTreeSet<String> {
        self.state.addresses.iter().map(|row| row.interface().to_owned()).collect()
    }

    /// The objects on a link, one row for each, that are still there. What was not made by `ipadm` shares one name.
    fn objects(&self, link: &str) -> Vec<&'a Address> {
        let mut seen = BTreeSet::new();
        let here = self.state.addresses.iter().filter(|row| row.interface() == link);
        here.filter(|row| !self.gone.contains(&row.object) && (row.is_nameless() || seen.insert(&row.object))).collect()
    }

    /// Takes away what is ours and not wanted. Fixed addresses go before the link-local one that they depend on.
    fn clear(&mut self, link: &str) {
        let wanted = self.selection.of(link);
        let mut stale: Vec<&Address> = self.objects(link);
        stale.retain(|row| label::is_ours(row.label()) && !wanted.is_some_and(|wanted| self.serves(wanted, row)));
        stale.sort_by_key(|row| row.kind == "addrconf");
        // The link-local address goes with the object that made it, and the fixed ones depend on it.
        let loses_link_local = stale.iter().any(|row| row.kind == "addrconf") && self.foreign_v6(link).is_none();
        if loses_link_local {
            let is_v6 = |row: &Address| row.address.is_some_and(|net| net.addr().is_ipv6());
            let fixed = self.objects(link).into_iter().filter(|row| row.kind == "static" && is_v6(row));
            let others: Vec<_> = fixed.filter(|row| !stale.contains(row)).collect();
            stale.splice(0..0, others);
        }
        for row in stale {
            if row.kind != "addrconf" || loses_link_local {
                self.remove(row);
            }
        }
    }

    /// A fixed IPv6 address of somebody else.
    fn foreign_v6(&self, link: &str) -> Option<&'a Address> {
        self.objects(link).into_iter().find(|row| {
            let is_v6 = row.address.is_some_and(|net| net.addr().is_ipv6());
            is_v6 && row.kind == "static" && !label::is_ours(row.label())
        })
    }

    fn remove(&mut self, row: &Address) {
        let object = row.object.clone();
        self.gone.insert(object.clone());
        let Some(spec) = label::spec_of(row.label(), row.address) else { return };
        let summary = format!("delete {spec} from {}", row.interface());
        let from = spec.to_string();
        let change = Change::Delete { object: object.clone(), spec };
        let step = Step::new("delete", object, summary, Risk::Disruptive, change);
        self.removals.push(step.field("address", from, None::<String>));
    }

    /// Whether an object of ours is what some entry wants, in usable form.
    fn serves(&self, wanted: &Wanted, row: &Address) -> bool {
        let specs = specs(wanted);
        row.persistent && specs.iter().any(|spec| is(row, spec, true))
    }

    /// What has to be done to the link itself for a larger packet.
    fn link(&mut self, selected: &Selected) -> Result<(), PluginError> {
        let Some((mtu, previous)) = self.state.larger_than_link(selected) else { return Ok(()) };
        let link = &selected.link;
        // Once addresses are taken away for it, it is too late to learn that the driver refuses.
        if let Some(possible) = self.state.possible_mtus.get(link).filter(|possible| !possible.contains(&mtu)) {
            let message = format!("the driver of {link} does not allow an MTU of {mtu}");
            let help = format!("it allows {} to {}", possible.start(), possible.end());
            return Err(PluginError::new(message).help(help));
        }
        if self.state.interfaces.iter().any(|interface| interface.name == *link) {
            self.unplumb(link, mtu)?;
        }
        let summary = format!("let {link} carry packets of {mtu} bytes");
        let change = Change::LinkMtu { link: link.clone(), mtu, previous };
        let step = Step::new("set", link.clone(), summary, Risk::Disruptive, change);
        self.removals.push(step.field("mtu", previous, mtu));
        Ok(())
    }

    /// Drivers refuse another size while the link is in use by IP.
    fn unplumb(&mut self, link: &str, mtu: u32) -> Result<(), PluginError> {
        let mut objects = self.objects(link);
        objects.sort_by_key(|row| row.kind == "addrconf");
        if let Some(foreign) = objects.iter().find(|row| !label::is_ours(row.label())) {
            let message =
                format!("{link} cannot carry {mtu} bytes while {} is on it, which is not ours", foreign.object);
            let how = match foreign.is_nameless() {
                true => remove_nameless(foreign),
                false => format!("ipadm delete-addr {}", foreign.object),
            };
            return Err(PluginError::new(message).help(format!("delete it: {how}")));
        }
        for row in objects {
            self.remove(row);
        }
        self.remade.insert(link.to_owned());
        let summary = format!("unplumb {link} to change its MTU");
        let change = Change::DeleteInterface { link: link.to_owned() };
        self.removals.push(Step::new("delete", link, summary, Risk::Disruptive, change));
        Ok(())
    }

    fn interface(&mut self, selected: &Selected) -> Result<(), PluginError> {
        let link = selected.link.as_str();
        let known = self.state.interfaces.iter().find(|known| known.name == link);
        let is_new = known.is_none() || self.remade.contains(link);
        if is_new {
            let change = Change::CreateInterface { link: link.to_owned() };
            self.additions.push(Step::new("create", link, format!("make the IP interface {link}"), Risk::Safe, change));
        } else if known.is_some_and(|known| known.state == "disabled") {
            let change = Change::EnableInterface { link: link.to_owned() };
            self.additions.push(Step::new("enable", link, format!("enable the interface {link}"), Risk::Safe, change));
        }
        self.mtu(selected, is_new);
        for spec in specs(&selected.wanted) {
            self.address(selected, &spec)?;
        }
        Ok(())
    }

    fn mtu(&mut self, selected: &Selected, is_new: bool) {
        let Some(mtu) = selected.wanted.mtu else { return };
        let link = &selected.link;
        let of_link = self.state.links.iter().find(|known| known.name == *link).map_or(0, |known| known.mtu).max(mtu);
        let present = match self.state.mtus.get(link) {
            Some(present) if !is_new => *present,
            _ => [of_link; 2],
        };
        // IPv6 is not used with less than it needs.
        let protocols = if mtu < 1280 { &[Protocol::Ipv4][..] } else { &[Protocol::Ipv4, Protocol::Ipv6] };
        for (protocol, present) in protocols.iter().zip(present) {
            if present != mtu {
                self.additions.push(set_mtu(link, *protocol, present, mtu, true));
            }
        }
    }

    /// Gives links back their size when nothing is said of it any more.
    fn stale_mtus(&mut self) {
        for (link, previous) in &self.state.record.mtus {
            let is_wanted = self.selection.of(link).is_some_and(|wanted| wanted.mtu.is_some());
            let present = self.state.mtus.get(link).filter(|_| !is_wanted && !self.remade.contains(link));
            for (protocol, present) in
                [Protocol::Ipv4, Protocol::Ipv6].into_iter().zip(present.copied().unwrap_or_default())
            {
                if present != 0 && present != *previous {
                    self.additions.push(set_mtu(link, protocol, present, *previous, false));
                }
            }
        }
    }

    fn address(&mut self, selected: &Selected, spec: &AddressSpec) -> Result<(), PluginError> {
        let link = selected.link.as_str();
        let present = self.objects(link).into_iter().find(|row| is(row, spec, false));
        let Some(row) = present else {
            if let AddressSpec::Static { address } = spec {
                self.refuse_conflict(link, *address)?;
            }
            self.create(selected, spec);
            return Ok(());
        };
        if matches!(spec, AddressSpec::Addrconf { .. }) {
            self.refuse_other_form(row, spec)?;
        }
        match row.state.as_str() {
            "disabled" => self.revive(row, spec, Change::Enable { object: row.object.clone() }),
            "down" if matches!(spec, AddressSpec::Static { .. }) => {
                self.revive(row, spec, Change::Up { object: row.object.clone() });
            }
            "duplicate" => self.wait(selected, Waiting::Duplicate { link: link.to_owned(), address: spec.to_string() }),
            _ => self.wait_for_lease(selected, spec, row.is_usable()),
        }
        Ok(())
    }

    /// An `addrconf` object takes another form only by being made anew, and with it goes the link-local address, on which fixed IPv6
    /// addresses depend. Ours are made anew, too; those of somebody else are theirs.
    fn refuse_other_form(&self, row: &Address, spec: &AddressSpec) -> Result<(), PluginError> {
        if !label::is_ours(row.label()) || is(row, spec, true) {
            return Ok(());
        }
        let Some(foreign) = self.foreign_v6(row.interface()) else { return Ok(()) };
        let (link, object, foreign) = (row.interface(), &row.object, &foreign.object);
        let message = format!(
            "{link} is to have {spec}, for which {object} is made anew, and {foreign}, which is not ours, needs that"
        );
        let help = format!("delete it, apply, and make it again: ipadm delete-addr {foreign}");
        Err(PluginError::new(message).help(help))
    }

    fn revive(&mut self, row: &Address, spec: &AddressSpec, change: Change) {
        let summary = format!("put {spec} on {} into operation", row.interface());
        let step = Step::new("enable", row.object.clone(), summary, Risk::Safe, change);
        self.additions.push(step.field("state", row.state.clone(), "ok"));
    }

    /// An address that somebody else has put elsewhere, or with another prefix, is theirs to move.
    fn refuse_conflict(&self, link: &str, address: IpNet) -> Result<(), PluginError> {
        // Another link can have the same link-local address.
        let meets = |row: &Address| row.interface() == link || !stack::is_link_local(address.addr());
        let same = |row: &&Address| row.address.is_some_and(|net| net.addr() == address.addr()) && meets(row);
        let mut rows = self.state.addresses.iter().filter(|row| !self.gone.contains(&row.object));
        let Some(row) = rows.find(same) else { return Ok(()) };
        let present = row.address.map(|net| net.to_string()).unwrap_or_default();
        let message = format!("{address} is wanted on {link}, and {} has {present}", row.object);
        let help = match row.kind.as_str() {
            _ if row.is_from_global_zone() => "the global zone sets it, and only there it can be changed".to_owned(),
            "dhcp" | "addrconf" => "the network gives it there: take another one here".to_owned(),
            _ if row.is_nameless() => format!("if it is not needed: {}", remove_nameless(row)),
            _ => format!("if it is not needed: ipadm delete-addr {}", row.object),
        };
        Err(PluginError::new(message).help(help))
    }

    fn create(&mut self, selected: &Selected, spec: &AddressSpec) {
        let link = selected.link.as_str();
        let taken: BTreeSet<&str> = self.objects(link).iter().map(|row| row.label()).collect();
        let planned: BTreeSet<String> = self.additions.iter().map(|step| step.resource.clone()).collect();
        let is_free = |label: &String| !taken.contains(label.as_str()) && !planned.contains(&format!("{link}/{label}"));
        let object = (1..).map(|number| label::label_for(spec, number)).take(200).find(is_free);
        // Only fixed addresses are numbered; another label that is taken is that of a row with the same meaning.
        let Some(label) = object else { return };
        let object = format!("{link}/{label}");
        let wait_s = selected.wanted.lease_deadline.as_secs();
        let change = Change::Create { object: object.clone(), spec: spec.clone(), wait_s };
        let is_taken = matches!(spec, AddressSpec::Static { address }
            if self.state.record.taken.contains(&(link.to_owned(), *address)));
        let whose = if is_taken { ", which another machine had" } else { "" };
        let step = Step::new("create", object, format!("put {spec} on {link}{whose}"), Risk::Disruptive, change);
        self.additions.push(step.field("address", None::<String>, spec.to_string()));
        self.wait_for_lease(selected, spec, false);
    }

    /// Waits for what a server gives for an object; `is_usable` is whether it has an address.
    fn wait_for_lease(&mut self, selected: &Selected, spec: &AddressSpec, is_usable: bool) {
        let link = &selected.link;
        let family = match spec {
            AddressSpec::Dhcp if !is_usable => Family::Ipv4,
            // Its addresses may all be of advertised prefixes.
            AddressSpec::Addrconf { .. }
                if selected.wanted.dhcp6 && !(is_usable && self.state.leased6.contains(link)) =>
            {
                Family::Ipv6
            }
            _ => return,
        };
        let deadline_s = selected.wanted.lease_deadline.as_secs();
        self.wait(selected, Waiting::Lease { link: link.clone(), family, deadline_s, is_over: false });
    }

    fn wait(&mut self, selected: &Selected, waiting: Waiting) {
        if !selected.wanted.optional {
            self.waits.push(waiting);
        }
    }
}

/// How to take away an address that was made with `ifconfig`, of which `ipadm` knows no name.
fn remove_nameless(row: &Address) -> String {
    let family = if row.address.is_some_and(|net| net.addr().is_ipv6()) { " inet6" } else { "" };
    let address = row.address.map(|net| net.addr().to_string()).unwrap_or_default();
    format!("ifconfig {}{family} removeif {address}", row.interface())
}

/// The address objects that an interface needs, in the order in which they are made.
fn specs(wanted: &Wanted) -> Vec<AddressSpec> {
    let mut specs = Vec::new();
    match (wanted.addrconf, wanted.dhcp6) {
        (true, false) => specs.push(AddressSpec::Addrconf { take: None }),
        (true, true) => specs.push(AddressSpec::Addrconf { take: Some(Take { stateful: true, stateless: true }) }),
        (false, true) => specs.push(AddressSpec::Addrconf { take: Some(Take { stateful: true, stateless: false }) }),
        // A fixed IPv6 address needs a link-local one first.
        (false, false) if wanted.wants_v6() => {
            specs.push(AddressSpec::Addrconf { take: Some(Take { stateful: false, stateless: false }) });
        }
        (false, false) => {}
    }
    if wanted.dhcp {
        specs.push(AddressSpec::Dhcp);
    }
    specs.extend(wanted.statics.iter().map(|address| AddressSpec::Static { address: *address }));
    specs
}

/// Whether an object is what a spec asks for. There can be only one `addrconf`, and how somebody else's was made cannot
/// be seen; ours say it by their label, which counts when it is asked `exactly`.
fn is(row: &Address, spec: &AddressSpec, exactly: bool) -> bool {
    match spec {
        AddressSpec::Static { address } => row.is_fixed() && row.address == Some(*address),
        AddressSpec::Dhcp => row.kind == "dhcp",
        AddressSpec::Addrconf { .. } if exactly => label::spec_of(row.label(), None).as_ref() == Some(spec),
        AddressSpec::Addrconf { .. } => row.kind == "addrconf",
    }
}

fn set_mtu(link: &str, protocol: Protocol, previous: u32, mtu: u32, is_ours: bool) -> Step {
    let summary = format!("send packets of at most {mtu} bytes over {link}");
    let change = Change::SetMtu { link: link.to_owned(), protocol, mtu, previous, is_ours };
    Step::new("set", link, summary, Risk::Disruptive, change).field("mtu", previous, mtu)
}
