//! What the kernel is told.

use super::super::{ipv6_number, ipv6_path};
use crate::error::{file_error, network_error};
use crate::record::remember;
use std::io::ErrorKind;
use sysconfig_platform::route::BoundRoute;
use sysconfig_platform::stack::{LinuxAddress, LinuxLink, LinuxRoute, NetworkStack};
use sysconfig_platform::{Host, IpNet, NetworkError, Route, files};
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

/// Sets one of the kernel's values of IPv6 for a link, where it has that.
pub(super) fn set_ipv6(host: &Host, link: &str, name: &str, value: u8) -> Result<Outcome, PluginError> {
    let operation = "cannot change what is made of router advertisements";
    let present = ipv6_number(host, link, name).map_err(|error| file_error(operation, error))?;
    if present.is_none_or(|present| present == value) {
        return Ok(Outcome::AlreadySo);
    }
    // Not replaced by renaming: it is no file, but a value of the kernel.
    let path = ipv6_path(link, name);
    std::fs::write(host.root.locate(&path), format!("{value}\n"))
        .map_err(|error| PluginError::new(format!("cannot write {path}")).source(error))?;
    Ok(Outcome::Changed)
}

pub(super) fn add_address(host: &Host, link: &str, address: IpNet) -> Result<Outcome, PluginError> {
    if has_address(host, link, address)? {
        return Ok(Outcome::AlreadySo);
    }
    remember(host, |record| {
        record.taken.remove(&(link.to_owned(), address));
        record.addresses.insert((link.to_owned(), address))
    })?;
    kernel(host, link, &format!("put {address} on it"), |stack, found| stack.add_address(found.index, address))
}

pub(super) fn delete_address(host: &Host, link: &str, address: IpNet) -> Result<Outcome, PluginError> {
    let outcome = match has_address(host, link, address)? {
        true => keeping_others(
            host,
            link,
            |known| known.address == address,
            || {
                kernel(host, link, &format!("take {address} off it"), |stack, found| {
                    stack.delete_address(found.index, address)
                })
            },
        )?,
        false => Outcome::AlreadySo,
    };
    remember(host, |record| record.addresses.remove(&(link.to_owned(), address)))?;
    Ok(outcome)
}

/// With the first IPv4 address of a network the kernel takes its others off as well, whoever has set them, unless it is told to put
/// the next one in its place (Linux, `ip-sysctl`: `promote_secondaries`), as it is while addresses are `going`.
pub(super) fn keeping_others(
    host: &Host,
    link: &str,
    going: impl Fn(&LinuxAddress) -> bool,
    change: impl FnOnce() -> Result<Outcome, PluginError>,
) -> Result<Outcome, PluginError> {
    let path = format!("/proc/sys/net/ipv4/conf/{link}/promote_secondaries");
    let index = index(host, link)?;
    let mut here = host.addresses().map_err(|error| network_error("cannot look at the addresses", error))?;
    here.retain(|known| Some(known.index) == index && known.address.addr().is_ipv4());
    let (going, staying): (Vec<_>, Vec<_>) = here.into_iter().partition(going);
    let is_beside = |known: &&LinuxAddress| going.iter().any(|going| going.address.trunc() == known.address.trunc());
    let Some(other) = staying.iter().find(is_beside) else { return change() };
    let present = files::read_text(&host.root, &path).map_err(|error| file_error("cannot read a setting", error))?;
    if present.as_deref().map(str::trim) != Some("0") {
        return change();
    }
    // Not replaced by renaming: it is no file, but a value of the kernel.
    let set = |value: &str| std::fs::write(host.root.locate(&path), value);
    set("1\n").map_err(|error| {
        let message = format!("cannot take an address off {link}: {} would go with it", other.address);
        PluginError::new(message).source(error).help(format!("write 1 into {path}, and apply again"))
    })?;
    let outcome = change();
    set("0\n").map_err(|error| PluginError::new(format!("cannot write 0 into {path} again")).source(error))?;
    outcome
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
