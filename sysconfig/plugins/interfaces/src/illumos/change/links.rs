//! What is done to links themselves.

use crate::error::network_error;
use crate::record::{Originals, give_back};
use crate::steps::find_up;
use sysconfig_platform::ipadm::{self, Address, Protocol};
use sysconfig_platform::{Host, Invocation, NetworkError, dladm};
use sysconfig_plugin::{Context, Outcome, PluginError};

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
        // What somebody has put there meanwhile is theirs, and tells nothing of a signal.
        drop(delete_interface(host, link, operation));
    }
    found.map(drop)
}

/// Unplumbs an interface, unless something is on it: that would go with it, and is somebody else's, since the plan knew of nothing.
pub(super) fn delete_interface(host: &Host, link: &str, operation: &str) -> Result<Outcome, PluginError> {
    let failed = |error| network_error(operation, error);
    if !ipadm::interfaces(host).map_err(failed)?.iter().any(|known| known.name == link) {
        return Ok(Outcome::AlreadySo);
    }
    if let Some(object) = object_on(host, link).map_err(failed)? {
        let message = format!("{operation}: {object} has appeared on it meanwhile");
        return Err(PluginError::new(message).help(format!("if it is not needed: ipadm delete-addr {object}")));
    }
    ipadm::run(host, &ipadm::delete_interface(link), operation).map_err(failed)?;
    Ok(Outcome::Changed)
}

/// An address object on an interface. One that is plumbed and nothing else may be listed with no address at all.
pub(super) fn object_on(host: &Host, link: &str) -> Result<Option<String>, NetworkError> {
    let is_bare = |row: &Address| row.is_nameless() && row.address.is_none_or(|net| net.addr().is_unspecified());
    let mut rows = ipadm::addresses(host)?.into_iter();
    Ok(rows.find(|row| row.interface() == link && !is_bare(row)).map(|row| row.object))
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
