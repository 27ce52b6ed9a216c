//! The DHCP clients.

use super::kernel::keeping_others;
use sysconfig_platform::dhcpcd::{self, DhcpcdError, Family};
use sysconfig_platform::stack::LinuxAddress;
use sysconfig_platform::{Host, lease};
use sysconfig_plugin::{Outcome, PluginError};

pub(super) fn start(host: &Host, link: &str, family: Family, content: &str) -> Result<Outcome, PluginError> {
    let ours = dhcpcd::ours(host, link, family).map_err(|error| dhcp_error(link, family, error.into()))?;
    if ours.as_deref() == Some(content) {
        return Ok(Outcome::AlreadySo);
    }
    keeping_others(host, link, is_leased(family), || {
        dhcpcd::start(host, link, family, content).map_err(|error| dhcp_error(link, family, error))?;
        Ok(Outcome::Changed)
    })
}

pub(super) fn release(host: &Host, link: &str, family: Family) -> Result<Outcome, PluginError> {
    let ours = dhcpcd::ours(host, link, family).map_err(|error| dhcp_error(link, family, error.into()))?;
    if ours.is_none() {
        return Ok(Outcome::AlreadySo);
    }
    keeping_others(host, link, is_leased(family), || {
        dhcpcd::release(host, link, family).map_err(|error| dhcp_error(link, family, error))?;
        Ok(Outcome::Changed)
    })
}

/// What a client that ends takes off its link.
fn is_leased(family: Family) -> impl Fn(&LinuxAddress) -> bool {
    move |known| lease::is_leased(known, family)
}

fn dhcp_error(link: &str, family: Family, error: DhcpcdError) -> PluginError {
    let is_missing = matches!(error, DhcpcdError::Missing);
    let plugin_error = PluginError::new(format!("cannot run {family} on {link}")).source(error);
    match is_missing {
        true => plugin_error.help("install dhcpcd (Debian: dhcpcd-base), or let systemd-networkd run"),
        false => plugin_error,
    }
}
