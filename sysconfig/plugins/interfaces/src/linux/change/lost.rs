//! Routes of others that the kernel takes off with an address of ours: remembered before, and given back when that is undone.

use super::kernel::{add_address, delete_address, index};
use crate::error::{file_error, network_error};
use crate::record::{Lost, Record, remember};
use sysconfig_platform::{Host, IpNet, NetworkError};
use sysconfig_plugin::{Context, Level, Outcome, PluginError};

/// Deletes an address, and notes before what goes with it.
pub(super) fn delete_keeping_routes(host: &Host, link: &str, address: IpNet) -> Result<Outcome, PluginError> {
    if let Some(index) = index(host, link)? {
        let failed = |source| {
            let operation = format!("list the routes that go with {address}");
            network_error(&format!("cannot take {address} off {link}"), NetworkError::Kernel { operation, source })
        };
        let routes = host.stack().routes_with(index, address).map_err(failed)?;
        remember(host, |record| {
            record.lost.retain(|lost| !lost.is_of(link, address));
            record.lost.extend(routes.into_iter().map(|route| Lost { link: link.to_owned(), address, route }));
        })?;
    }
    delete_address(host, link, address)
}

/// Puts a deleted address on its link again, and the routes that went with it. One that the kernel does not take is told, and no
/// reason to leave the others away.
pub(super) fn put_back(host: &Host, link: &str, address: IpNet, context: &Context) -> Result<Outcome, PluginError> {
    let outcome = add_address(host, link, address)?;
    let record = Record::load(host).map_err(|error| file_error("cannot read what is remembered", error))?;
    for lost in record.lost.iter().filter(|lost| lost.is_of(link, address)) {
        if let Err(error) = host.stack().restore_route(&lost.route) {
            context.log(Level::Warn, format!("a route that went with {address} on {link} is not there again: {error}"));
        }
    }
    remember(host, |record| record.lost.retain(|lost| !lost.is_of(link, address)))?;
    Ok(outcome)
}
