//! Links that have no IPv6, or would lose it.

use super::{Planner, Step, set_mtu};
use crate::config::Wanted;
use crate::linux::change::Change;
use crate::linux::{OF_PREFIXES, SMALLEST_OF_IPV6, ipv6_fault, prefix_key};
use crate::select::Selected;
use sysconfig_platform::stack::{LinuxAddress, LinuxLink, is_link_local};
use sysconfig_plugin::{PluginError, Risk};

impl Planner<'_> {
    /// The step would fail, and all that are behind it would not be carried out.
    pub(super) fn refuse_without_ipv6(&self, selected: &Selected, link: &LinuxLink) -> Result<(), PluginError> {
        // networkd switches it on.
        let is_off = self.state.without_ipv6.contains(&link.name) && !self.state.has_networkd;
        let fault = ipv6_fault(&link.name, self.mtu_in_the_end(selected), is_off);
        match fault.filter(|_| selected.wanted.wants_v6()) {
            Some((reason, help)) => {
                Err(PluginError::new(format!("cannot configure IPv6 on {}: {reason}", link.name)).help(help))
            }
            None => Ok(()),
        }
    }

    /// The kernel makes addresses only where it takes prefixes; networkd and dhcpcd make them themselves.
    pub(super) fn take_prefixes(&mut self, selected: &Selected) {
        if !is_by_kernel(&selected.wanted) || self.mtu_in_the_end(selected) < SMALLEST_OF_IPV6 {
            return;
        }
        for name in OF_PREFIXES {
            if self.state.prefix_values.get(&prefix_key(&selected.link, name)) == Some(&0) {
                self.steps.push(prefixes(&selected.link, name, (0, 1), true));
            }
        }
    }

    /// Gives back what is not needed any more.
    pub(super) fn stale_prefixes(&mut self) {
        for (key, previous) in &self.state.record.prefix_values {
            let (Some((link, name)), Some(present)) = (key.split_once('/'), self.state.prefix_values.get(key)) else {
                continue;
            };
            if !self.of_kernel(link).is_some_and(is_by_kernel) && present != previous {
                self.steps.push(prefixes(link, name, (*present, *previous), false));
            }
        }
    }

    /// The size of packets that a link has when all is done.
    pub(super) fn mtu_in_the_end(&self, Selected { link, wanted }: &Selected) -> u32 {
        let given_back = self.state.record.mtus.get(link).copied();
        let present = || self.state.link(link).map(|link| link.mtu);
        wanted.mtu.or(given_back).or_else(present).unwrap_or(SMALLEST_OF_IPV6)
    }

    /// networkd finds no IPv6 on a link whose packets are too small for it, and makes them larger too late.
    pub(super) fn enlarge_for_ipv6(&mut self, selected: &Selected) {
        let Some(link) = self.state.link(&selected.link) else { return };
        if selected.wanted.wants_v6() && link.mtu < SMALLEST_OF_IPV6 {
            let mtu = self.mtu_in_the_end(selected);
            self.steps.push(set_mtu(link, mtu, selected.wanted.mtu.is_some()));
        }
    }

    /// With smaller packets the kernel takes every IPv6 address off a link, whoever has set it, and gives none back.
    pub(super) fn refuse_end_of_ipv6(&self, link: &LinuxLink, mtu: u32) -> Result<(), PluginError> {
        let stays = |known: &&LinuxAddress| {
            let address = known.address.addr();
            let goes = self.is_released(known) || self.removed.contains(&(known.index, known.address));
            known.index == link.index && address.is_ipv6() && !is_link_local(address) && !goes
        };
        let found = self.state.addresses.iter().find(stays).filter(|_| mtu < SMALLEST_OF_IPV6);
        let Some(LinuxAddress { address, .. }) = found else { return Ok(()) };
        let name = &link.name;
        let message =
            format!("{name} cannot have an MTU of {mtu}: {address} is on it, which is not ours, and would be lost");
        let help =
            format!("write {SMALLEST_OF_IPV6} or more; if it is not needed: ip address del {address} dev {name}");
        Err(PluginError::new(message).help(help))
    }
}

/// Whether the kernel makes the addresses of router advertisements; a DHCPv6 client does that itself.
pub(super) fn is_by_kernel(wanted: &Wanted) -> bool {
    wanted.addrconf && !wanted.dhcp6
}

fn prefixes(link: &str, name: &str, (previous, value): (u8, u8), is_ours: bool) -> Step {
    let summary = match value {
        0 => format!("make no addresses of router advertisements on {link} ({name})"),
        _ => format!("make addresses of router advertisements on {link} ({name})"),
    };
    let change = Change::Prefixes { link: link.to_owned(), name: name.to_owned(), value, previous, is_ours };
    Step::new("set", link, summary, Risk::Disruptive, change).field(name, previous, value)
}
