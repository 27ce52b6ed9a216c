//! What the kernel is told.

use super::super::{NO_IPV6_HELP, accept_ra_path, accept_ra_value, is_without_ipv6, no_ipv6};
use crate::error::{file_error, network_error};
use crate::record::remember;
use std::io::ErrorKind;
use sysconfig_platform::route::BoundRoute;
use sysconfig_platform::stack::{LinuxLink, LinuxRoute, NetworkStack};
use sysconfig_platform::{Host, IpNet, NetworkError, Route};
use sysconfig_plugin::{Outcome, PluginError};

/// Finds the link and lets the kernel do something with it.
pub(super) fn kernel(
    host: &Host,
    link: &str,
    what: &str,
    change: impl FnOnce(&dyn NetworkStack, &LinuxLink) -> std::io::Result<()>,
) -> Result<Outcome, PluginError> {
    let operation = format!("cannot change {link}");
    let failed = |error| network_error(&operation, error);
    let links = host.links().map_err(failed)?;
    let Some(found) = links.iter().find(|known| known.name == link) else {
        return Err(PluginError::new(format!("{operation}: the link is gone")));
    };
    change(host.stack(), found).map_err(|source| {
        let operation = what.to_owned();
        network_error(&format!("cannot change {link}"), NetworkError::Kernel { operation, source })
    })?;
    Ok(Outcome::Changed)
}

pub(super) fn index(host: &Host, link: &str) -> Result<Option<u32>, PluginError> {
    let links = host.links().map_err(|error| network_error("cannot look at the links", error))?;
    Ok(links.iter().find(|known| known.name == link).map(|known| known.index))
}

pub(super) fn has_address(host: &Host, link: &str, address: IpNet) -> Result<bool, PluginError> {
    let index = index(host, link)?;
    let addresses = host.addresses().map_err(|error| network_error("cannot look at the addresses", error))?;
    Ok(addresses.iter().any(|known| Some(known.index) == index && known.address == address))
}

/// Whether there is a route over a link that `serves`.
pub(super) fn has_route(
    host: &Host,
    link: &str,
    route: &Route,
    serves: impl Fn(&LinuxRoute) -> bool,
) -> Result<bool, PluginError> {
    let index = index(host, link)?;
    let routes = host.routes().map_err(|error| network_error("cannot look at the routes", error))?;
    Ok(routes.iter().any(|known| Some(known.index) == index && known.route == *route && serves(known)))
}

pub(super) fn set_mtu(host: &Host, link: &str, mtu: u32) -> Result<Outcome, PluginError> {
    let mut outcome = Outcome::Changed;
    kernel(host, link, &format!("set its MTU to {mtu}"), |stack, found| match found.mtu == mtu {
        true => {
            outcome = Outcome::AlreadySo;
            Ok(())
        }
        false => stack.set_mtu(found.index, mtu),
    })?;
    Ok(outcome)
}

pub(super) fn accept_ra(host: &Host, link: &str, value: u8) -> Result<Outcome, PluginError> {
    let operation = "cannot change whether router advertisements are listened to";
    let present = accept_ra_value(host, link).map_err(|error| file_error(operation, error))?;
    if present.is_none_or(|present| present == value) {
        return Ok(Outcome::AlreadySo);
    }
    // Not replaced by renaming: it is no file, but a value of the kernel.
    let path = accept_ra_path(link);
    std::fs::write(host.root.locate(&path), format!("{value}\n"))
        .map_err(|error| PluginError::new(format!("cannot write {path}")).source(error))?;
    Ok(Outcome::Changed)
}

pub(super) fn add_address(host: &Host, link: &str, address: IpNet) -> Result<Outcome, PluginError> {
    if has_address(host, link, address)? {
        return Ok(Outcome::AlreadySo);
    }
    refuse_without_ipv6(host, link, address)?;
    remember(host, |record| {
        record.taken.remove(&(link.to_owned(), address));
        record.addresses.insert((link.to_owned(), address))
    })?;
    kernel(host, link, &format!("put {address} on it"), |stack, found| stack.add_address(found.index, address))
}

/// The kernel says the same as when one has no right to change anything.
fn refuse_without_ipv6(host: &Host, link: &str, address: IpNet) -> Result<(), PluginError> {
    let operation = format!("cannot put {address} on {link}");
    let is_refused =
        address.addr().is_ipv6() && is_without_ipv6(host, link).map_err(|error| file_error(&operation, error))?;
    match is_refused {
        true => Err(PluginError::new(format!("{operation}: {}", no_ipv6(link))).help(NO_IPV6_HELP)),
        false => Ok(()),
    }
}

pub(super) fn delete_address(host: &Host, link: &str, address: IpNet) -> Result<Outcome, PluginError> {
    let outcome = match has_address(host, link, address)? {
        true => kernel(host, link, &format!("take {address} off it"), |stack, found| {
            stack.delete_address(found.index, address)
        })?,
        false => Outcome::AlreadySo,
    };
    remember(host, |record| record.addresses.remove(&(link.to_owned(), address)))?;
    Ok(outcome)
}

/// Adds a route; nothing comes of it where the gateway cannot be reached, as while a lease is missing, or an address that another
/// machine has. That is no failure, because it is left over then, and other links have routes, too.
pub(super) fn add_route(host: &Host, link: &str, route: &Route) -> Result<Option<Outcome>, PluginError> {
    if has_route(host, link, route, |known| known.is_plain() && !known.advertised)? {
        return Ok(Some(Outcome::AlreadySo));
    }
    let ours = BoundRoute { route: *route, interface: Some(link.to_owned()) };
    let mut is_new = false;
    remember(host, |record| is_new = record.routes.insert(ours.clone()))?;
    let mut is_unreachable = false;
    let outcome = kernel(host, link, &format!("add the route {route}"), |stack, found| {
        let result = stack.add_route(found.index, route);
        is_unreachable = result.as_ref().is_err_and(|error| {
            // Of IPv6 the kernel says that the host cannot be reached, and of a link that is off that the network is down.
            use ErrorKind::{HostUnreachable, NetworkDown, NetworkUnreachable};
            matches!(error.kind(), NetworkUnreachable | HostUnreachable | NetworkDown)
        });
        if is_unreachable { Ok(()) } else { result }
    })?;
    if !is_unreachable {
        return Ok(Some(outcome));
    }
    if is_new {
        remember(host, |record| record.routes.remove(&ours))?;
    }
    Ok(None)
}

pub(super) fn delete_route(host: &Host, link: &str, route: &Route) -> Result<Outcome, PluginError> {
    let outcome = match has_route(host, link, route, LinuxRoute::may_be_ours)? {
        true => kernel(host, link, &format!("delete the route {route}"), |stack, found| {
            stack.delete_route(found.index, route)
        })?,
        false => Outcome::AlreadySo,
    };
    remember(host, |record| record.routes.retain(|ours| !is_over(ours, link) || ours.route != *route))?;
    Ok(outcome)
}

/// Whether a route of ours leads over a link.
pub(in super::super) fn is_over(ours: &BoundRoute, link: &str) -> bool {
    ours.interface.as_deref().is_none_or(|interface| interface == link)
}
