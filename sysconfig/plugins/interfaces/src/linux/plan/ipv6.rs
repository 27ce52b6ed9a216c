//! Links that have no IPv6, or would lose it.

use super::Planner;
use crate::linux::{SMALLEST_OF_IPV6, ipv6_fault};
use crate::select::Selected;
use sysconfig_platform::stack::{LinuxAddress, LinuxLink, is_link_local};
use sysconfig_plugin::PluginError;

impl Planner<'_> {
    /// The step would fail, and all that are behind it would not be carried out.
    pub(super) fn refuse_without_ipv6(&self, selected: &Selected, link: &LinuxLink) -> Result<(), PluginError> {
        let Selected { wanted, .. } = selected;
        let given_back = self.state.record.mtus.get(&link.name).copied();
        let mtu = wanted.mtu.or(given_back).unwrap_or(link.mtu);
        let is_off = self.state.without_ipv6.contains(&link.name);
        match ipv6_fault(&link.name, mtu, is_off).filter(|_| wanted.wants_v6()) {
            Some((reason, help)) => {
                Err(PluginError::new(format!("cannot configure IPv6 on {}: {reason}", link.name)).help(help))
            }
            None => Ok(()),
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
