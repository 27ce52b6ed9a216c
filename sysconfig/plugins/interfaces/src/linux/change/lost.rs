//! Routes of others that the kernel takes off with an address of ours: remembered before, and given back when that is undone.

use super::kernel::{add_address, delete_address, index};
use crate::error::{file_error, network_error};
use crate::record::{Lost, Record, remember};
use sysconfig_platform::{Host, IpNet, NetworkError};
use sysconfig_plugin::{Context, Level, Outcome, PluginError};

/// Deletes an address, and notes before what goes with it. `follows` says that it is not the first one of its link.
pub(super) fn delete_keeping_routes(
    host: &Host,
    link: &str,
    address: IpNet,
    follows: bool,
) -> Result<Outcome, PluginError> {
    if let Some(index) = index(host, link)? {
        let failed = |source| {
            let operation = format!("list the routes that go with {address}");
            network_error(&format!("cannot take {address} off {link}"), NetworkError::Kernel { operation, source })
        };
        let routes = host.stack().routes_with(index, address).map_err(failed)?;
        remember(host, |record| {
            // With the first one, whoever was giving something back does so no more.
            let is_over = |lost: &Lost| lost.link == link && lost.is_coming && !follows;
            record.lost.retain(|lost| !lost.is_of(link, address) && !is_over(lost));
            let lost = |route| Lost { link: link.to_owned(), address, route, is_coming: false };
            record.lost.extend(routes.into_iter().map(lost));
        })?;
    }
    delete_address(host, link, address)
}

/// Puts a deleted address on its link again, and the routes that went with it, or with one that came back before it: what their
/// gateways are reached over may come only now. What is still missing when the last address is back, which is the one that `follows`
/// none, is told, and no reason to fail.
pub(super) fn put_back(
    host: &Host,
    link: &str,
    address: IpNet,
    follows: bool,
    context: &Context,
) -> Result<Outcome, PluginError> {
    remember(host, |record| {
        record.lost.iter_mut().filter(|lost| lost.is_of(link, address)).for_each(|lost| lost.is_coming = true);
    })?;
    let outcome = add_address(host, link, address)?;
    let record = Record::load(host).map_err(|error| file_error("cannot read what is remembered", error))?;
    let coming = record.lost.into_iter().filter(|lost| lost.link == link && lost.is_coming).collect();
    let missing = restore(host, coming);
    let stays = |lost: &Lost| follows && missing.iter().any(|(missing, _)| missing == lost);
    remember(host, |record| record.lost.retain(|lost| lost.link != link || !lost.is_coming || stays(lost)))?;
    if !follows {
        for (lost, error) in &missing {
            let address = lost.address;
            context.log(Level::Warn, format!("a route that went with {address} on {link} is not there again: {error}"));
        }
    }
    Ok(outcome)
}

/// Restores routes until none comes any more, because one may lead to the gateway of another; answers those that are missing.
fn restore(host: &Host, lost: Vec<Lost>) -> Vec<(Lost, std::io::Error)> {
    let try_one = |lost: Lost| host.stack().restore_route(&lost.route).err().map(|error| (lost, error));
    let count = lost.len();
    let missing: Vec<_> = lost.into_iter().filter_map(try_one).collect();
    match missing.len() < count {
        true => restore(host, missing.into_iter().map(|(lost, _)| lost).collect()),
        false => missing,
    }
}
