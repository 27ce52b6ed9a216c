//! Where systemd-networkd runs: what it is told of a link, and what has to come of that.

use super::{Change, Expected, Planner, Step, conflict, refuse_size};
use crate::select::Selected;
use crate::steps::Waiting;
use sysconfig_platform::networkd::{self, NetworkFile};
use sysconfig_platform::stack::{LinuxAddress, is_link_local, is_on_link};
use sysconfig_platform::{IpNet, Route};
use sysconfig_plugin::{PluginError, Risk};

impl Planner<'_> {
    pub(super) fn networkd(&mut self, selected: &Selected) -> Result<(), PluginError> {
        let (link, wanted) = (&selected.link, &selected.wanted);
        self.refuse_what_networkd_would(selected)?;
        refuse_pattern(link)?;
        self.enlarge_for_ipv6(selected);
        let file = NetworkFile {
            link: link.clone(),
            mac: wanted.mac,
            addresses: wanted.statics.clone(),
            routes: wanted.routes.clone(),
            dhcp4: wanted.dhcp,
            dhcp6: wanted.dhcp6,
            addrconf: wanted.addrconf,
            mtu: wanted.mtu,
            mtu_before: self.mtu_before(selected).filter(|_| wanted.mtu.is_some()),
            // A guess is not to outlive the boot.
            first_up: self.selection.first_up.as_ref() == Some(link) && !self.state.record.is_guess(link),
        };
        let content = file.format();
        let previous = self.state.files.get(link).cloned();
        let is_new = previous.as_deref() != Some(content.as_str()) || self.state.record.untold.contains(link);
        let expected = self.expected(selected, is_new);
        let missing = self.missing(link, &expected);
        if is_new || !missing.is_empty() {
            let taken =
                self.state.record.taken.iter().filter(|(over, net)| over == link && wanted.statics.contains(net));
            let taken: Vec<_> = taken.map(|(_, net)| net.addr().to_string()).collect();
            let summary = match is_new {
                true if !taken.is_empty() => {
                    format!("tell systemd-networkd to configure {link}, where another machine had {}", taken.join(", "))
                }
                true => format!("tell systemd-networkd to configure {link}"),
                false => format!("make systemd-networkd put {} on {link} again", missing.join(" and ")),
            };
            let removed = self.removed_by_networkd(selected, previous.as_deref());
            let from = previous.clone();
            let change = Change::File { link: link.clone(), content: Some(content.clone()), previous, expected };
            let step = Step::new("write", networkd::path(link), summary, Risk::Disruptive, change);
            let step = step.field("content", from, content);
            let step = removed.into_iter().fold(step, |step, (what, which)| step.field(what, which, None::<String>));
            self.steps.push(step);
        }
        if !wanted.optional && self.lacks_signal(link) {
            self.waits.push(Waiting::Signal { link: link.clone() });
        }
        self.duplicates(selected);
        self.leases(selected);
        Ok(())
    }

    /// What somebody else has put on a link, and networkd takes away as it configures that: it keeps nothing that its files do
    /// not name.
    fn removed_by_networkd(
        &self,
        Selected { link, wanted, .. }: &Selected,
        previous: Option<&str>,
    ) -> Vec<(&'static str, String)> {
        let Some(index) = self.index(link) else { return Vec::new() };
        let is_named = |line: String| previous.is_some_and(|file| file.lines().any(|known| known == line));
        let is_of_server =
            |is_ipv4: bool| previous.is_some() || if is_ipv4 { wanted.dhcp } else { wanted.dhcp6 || wanted.addrconf };
        let here = self.state.addresses.iter().filter(|known| known.index == index);
        let addresses = here.filter(|known| {
            let address = known.address;
            let stays = wanted.statics.contains(&address) || is_link_local(address.addr());
            let is_ours = self.fixed_by_file(link).any(|known| known == address)
                || self.removed.iter().any(|(_, gone)| *gone == address);
            let is_leased = known.dynamic && is_of_server(address.addr().is_ipv4());
            !(stays || is_ours || is_leased)
        });
        let routes = self.state.routes.iter().filter(|known| known.index == index && !known.advertised);
        let routes = routes.filter(|known| {
            let Route { to, via } = known.route;
            let is_ours = is_named(format!("Gateway={via}")) && is_named(format!("Destination={to}"))
                || self.state.record.routes.iter().any(|ours| ours.route == known.route);
            let is_leased = known.metric != 0 && is_of_server(via.is_ipv4());
            !is_ours && !is_leased && !wanted.routes.contains(&known.route)
        });
        let addresses = addresses.map(|known| ("address", known.address.to_string()));
        addresses.chain(routes.map(|known| ("route", known.route.to_string()))).collect()
    }

    /// Whether a link is switched on and has no signal. networkd puts no addresses on it until it has one.
    fn lacks_signal(&self, link: &str) -> bool {
        self.state.link(link).is_some_and(|link| link.up && !link.running)
    }

    /// networkd would say in its log that the driver refuses a size, and put an address on two links. What it has put on
    /// another link by a file of ours goes with that file.
    fn refuse_what_networkd_would(&self, selected: &Selected) -> Result<(), PluginError> {
        let Some(link) = self.state.link(&selected.link) else { return Ok(()) };
        self.refuse_without_ipv6(selected, link)?;
        if let Some(mtu) = selected.wanted.mtu.filter(|mtu| *mtu != link.mtu) {
            refuse_size(link, mtu)?;
        }
        for address in selected.wanted.statics.iter().filter(|address| !is_link_local(address.addr())) {
            let others = self.state.addresses.iter().filter(|known| known.index != link.index);
            let mut same = others.filter(|known| known.address.addr() == address.addr());
            if let Some(known) = same.find(|known| self.stays(known)) {
                return Err(conflict(self.state, &link.name, *address, known));
            }
        }
        Ok(())
    }

    /// Whether an address stays on its link: a fixed one goes with a file of ours that has it, and a leased one with the file,
    /// or with the wish for one.
    fn stays(&self, known: &LinuxAddress) -> bool {
        let Some(link) = self.state.links.iter().find(|link| link.index == known.index) else { return false };
        let file = self.state.files.get(&link.name);
        match self.selection.of(&link.name) {
            _ if !known.dynamic => {
                let line = format!("Address={}", known.address);
                !file.is_some_and(|file| file.lines().any(|known| known == line))
            }
            Some(wanted) if known.address.addr().is_ipv4() => wanted.dhcp,
            Some(wanted) => wanted.dhcp6 || wanted.addrconf,
            None => file.is_none(),
        }
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
            gone: self.fixed_by_file(link).filter(|address| !wanted.statics.contains(address)).collect(),
            routes: routes.copied().collect(),
            mtu: wanted.mtu,
            mtu_before: self.mtu_before(selected),
            asks_servers: wanted.dhcp || wanted.dhcp6 || wanted.addrconf,
        }
    }

    /// The MTU that a link has without us: as it was noted, or as it is now, unless a file of ours has set that.
    fn mtu_before(&self, Selected { link, wanted, .. }: &Selected) -> Option<u32> {
        let noted = self.state.record.mtus.get(link).copied();
        let is_ours = self.state.files.get(link).is_some_and(|file| file.contains("\nMTUBytes="));
        let present = self.state.link(link).filter(|_| wanted.mtu.is_some() && !is_ours).map(|link| link.mtu);
        noted.or(present)
    }

    /// The fixed addresses of our file for a link.
    fn fixed_by_file(&self, link: &str) -> impl Iterator<Item = IpNet> + '_ {
        let lines = self.state.files.get(link).map(|file| file.lines()).into_iter().flatten();
        lines.filter_map(|line| line.strip_prefix("Address=")?.parse().ok())
    }

    /// What of that is not there, in words.
    fn missing(&self, link: &str, expected: &Expected) -> Vec<String> {
        let found = self.state.link(link);
        let has_signal = !self.lacks_signal(link);
        let addresses = expected.addresses.iter().filter(|address| has_signal && !self.has_address(link, **address));
        let routes =
            expected.routes.iter().filter(|route| has_signal && !found.is_some_and(|link| self.has_route(link, route)));
        let mtu = expected.mtu.filter(|mtu| found.is_some_and(|link| link.mtu != *mtu));
        let addresses = addresses.map(ToString::to_string);
        let routes = routes.map(|route| format!("the route {route}"));
        addresses.chain(routes).chain(mtu.map(|mtu| format!("the MTU {mtu}"))).collect()
    }
}

/// networkd would take the file for that of every link whose name fits.
fn refuse_pattern(link: &str) -> Result<(), PluginError> {
    match link.contains(['*', '?', '[', '!', '\\']) {
        true => {
            let message = format!("systemd-networkd would take the name {link} for a pattern of several links' names");
            Err(PluginError::new(message).help(format!("give the link another name: ip link set {link} name NAME")))
        }
        false => Ok(()),
    }
}
