//! What is done to links themselves.

use crate::error::network_error;
use crate::record::{Originals, give_back};
use crate::steps::find_up;
use sysconfig_platform::ipadm::{self, Protocol};
use sysconfig_platform::{Host, Invocation, NetworkError, dladm};
use sysconfig_plugin::{Context, PluginError};

/// The sizes of packets that links had before.
pub(super) const MTUS: Originals<u32> = |record| &mut record.mtus;

/// Gives a protocol its size back. The two of a link have one original, which is forgotten when both have it.
pub(super) fn give_mtu_back(
    host: &Host,
    link: &str,
    protocol: Protocol,
    mtu: u32,
    operation: &str,
) -> Result<(), PluginError> {
    let failed = |error| network_error(operation, error);
    set_mtu(host, link, protocol, mtu, operation).map_err(failed)?;
    for other in [Protocol::Ipv4, Protocol::Ipv6] {
        if ipadm::mtu(host, link, other).map_err(failed)? != mtu {
            return Ok(());
        }
    }
    give_back(host, MTUS, (link, mtu), || Ok(()))
}

/// Most drivers know of a signal only while IP uses the link, so it does for that time.
pub(super) fn look(host: &Host, context: &Context, links: &[String], off: &[String]) -> Result<(), PluginError> {
    let operation = "cannot look which link has a signal";
    // One that cannot be used has no signal, and is not the one.
    let run = |command: &Invocation| ipadm::run(host, command, operation).is_ok();
    let used: Vec<_> = off.iter().filter(|link| run(&ipadm::create_interface_until_boot(link))).collect();
    let found = find_up(host, context, links, || {
        let links = dladm::links(host).map_err(|error| network_error(operation, error))?;
        Ok(links.into_iter().filter(|link| link.up).map(|link| link.name).collect())
    });
    for link in used {
        run(&ipadm::delete_interface(link));
    }
    found.map(drop)
}

pub(super) fn set_link_mtu(host: &Host, link: &str, mtu: u32, operation: &str) -> Result<(), NetworkError> {
    if dladm::links(host)?.iter().any(|known| known.name == link && known.mtu == mtu) {
        return Ok(());
    }
    ipadm::run(host, &dladm::set_mtu(link, mtu), operation).map(drop)
}

pub(super) fn set_mtu(
    host: &Host,
    link: &str,
    protocol: Protocol,
    mtu: u32,
    operation: &str,
) -> Result<(), NetworkError> {
    if ipadm::mtu(host, link, protocol)? == mtu {
        return Ok(());
    }
    ipadm::run_as_lasting_as_possible(host, &ipadm::set_mtu(link, protocol, mtu), operation)
}
