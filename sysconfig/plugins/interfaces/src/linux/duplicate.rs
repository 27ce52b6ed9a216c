//! Whether another machine has an address. The kernel checks those of IPv6 itself, when they are there; for IPv4
//! somebody has to ask before.

use crate::error::network_error;
use crate::record::remember;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use sysconfig_platform::stack::LinuxAddress;
use sysconfig_platform::{Host, IpNet, NetworkError, arping};
use sysconfig_plugin::{Context, Level, PluginError};

/// How long a link may take from being switched on to its signal.
const SIGNAL_COMES_WITHIN: Duration = Duration::from_secs(3);

/// Whether another machine on the link answers for an IPv4 address, which is remembered, so that the plan tells it: that is no
/// reason to leave other links alone, so it is no failure of the step. Where arping is not installed, nobody looks.
pub(super) fn is_taken(host: &Host, link: &str, net: IpNet, context: &Context) -> Result<bool, PluginError> {
    let IpAddr::V4(address) = net.addr() else { return Ok(false) };
    let operation = format!("cannot put {address} on {link}");
    let failed = |error| network_error(&operation, error);
    if !arping::is_there(host).map_err(failed)? {
        context.log(Level::Debug, format!("without arping nobody checks whether another machine has {address}"));
        return Ok(false);
    }
    if !has_signal(host, link, context).map_err(failed)? {
        return Ok(false);
    }
    match arping::refuse_duplicate(host, link, address) {
        Ok(()) => Ok(false),
        Err(error @ NetworkError::Duplicate { .. }) => {
            let help = error.help().unwrap_or_default();
            context.log(Level::Error, format!("{operation}: {error}: {help}"));
            remember(host, |record| record.taken.insert((link.to_owned(), net)))?;
            Ok(true)
        }
        Err(error) => Err(failed(error)),
    }
}

/// How long the kernel's check of an IPv6 address takes at most: a second for each question that is asked, and as much before the
/// first one (RFC 4862, section 5.4; `dad_transmits` is 1). A link with a signal has it within this time.
const CHECK_ENDS_WITHIN: Duration = Duration::from_secs(4);

/// The addresses, once the kernel has checked those that are `wanted`: before, nobody knows whether another machine has them. One
/// that it does not get done with is left as it is.
pub(super) fn checked(
    host: &Host,
    context: &Context,
    mut addresses: Vec<LinuxAddress>,
    wanted: impl Fn(&LinuxAddress) -> bool,
) -> Result<Vec<LinuxAddress>, NetworkError> {
    let until = Instant::now() + context.remaining().map_or(CHECK_ENDS_WITHIN, |left| left.min(CHECK_ENDS_WITHIN));
    let is_under_way = |known: &LinuxAddress| known.tentative && !known.duplicate && wanted(known);
    while addresses.iter().any(is_under_way) && Instant::now() < until && !context.is_cancelled() {
        std::thread::sleep(host.poll_interval);
        addresses = host.addresses()?;
    }
    Ok(addresses)
}

/// Whether a link has a signal now.
pub(super) fn has_signal_now(host: &Host, link: &str) -> Result<bool, PluginError> {
    let links = host.links().map_err(|error| network_error("cannot look at the links", error))?;
    Ok(links.iter().any(|known| known.name == link && known.running))
}

/// Whether a link has a signal, which takes some time after it was switched on. Without one there is nobody to ask.
fn has_signal(host: &Host, link: &str, context: &Context) -> Result<bool, NetworkError> {
    let until = Instant::now() + context.remaining().map_or(SIGNAL_COMES_WITHIN, |left| left.min(SIGNAL_COMES_WITHIN));
    loop {
        let is_running = host.links()?.iter().any(|known| known.name == link && known.running);
        if is_running || Instant::now() >= until || context.is_cancelled() {
            return Ok(is_running);
        }
        std::thread::sleep(host.poll_interval);
    }
}
