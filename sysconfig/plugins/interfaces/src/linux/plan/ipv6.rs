//! Links that have no IPv6, or would lose it.

use super::{Planner, set_mtu};
use crate::linux::{SMALLEST_OF_IPV6, ipv6_fault};
use crate::select::Selected;
use sysconfig_platform::stack::{LinuxAddress, LinuxLink, is_link_local};
use sysconfig_plugin::PluginError;

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
            None => self.refuse_without_autoconf(selected),
        }
    }

    /// Nothing would ever come of advertisements, and the plan would call that good. networkd and dhcpcd make addresses themselves.
    fn refuse_without_autoconf(&self, Selected { link, wanted }: &Selected) -> Result<(), PluginError> {
        let is_by_kernel = wanted.addrconf && !wanted.dhcp6 && !self.state.has_networkd;
        if !is_by_kernel || !self.state.without_autoconf.contains(link) {
            return Ok(());
        }
        let setting = format!("net.ipv6.conf.{link}.autoconf");
        let message = format!(
            "cannot configure addrconf on {link}: the kernel makes no addresses from advertisements of routers there: \
             {setting} is 0"
        );
        Err(PluginError::new(message).help(format!("sysctl {setting}=1, also in /etc/sysctl.d; or leave addrconf out")))
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
            let goes = self.is_released(known) || self.is_removed(known.index, known.address);
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
