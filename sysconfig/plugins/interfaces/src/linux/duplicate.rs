//! Whether another machine has an address. The kernel checks those of IPv6 itself, when they are there; for IPv4
//! somebody has to ask before.

use crate::error::network_error;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use sysconfig_platform::{Host, IpNet, NetworkError, arping};
use sysconfig_plugin::{Context, Level, PluginError};

/// How long a link may take from being switched on to its signal.
const SIGNAL_COMES_WITHIN: Duration = Duration::from_secs(3);

/// Refuses an IPv4 address that another machine on the link answers for. Where arping is not installed, nobody looks.
pub(super) fn refuse(host: &Host, link: &str, address: IpNet, context: &Context) -> Result<(), PluginError> {
    let IpAddr::V4(address) = address.addr() else { return Ok(()) };
    let operation = format!("cannot put {address} on {link}");
    let failed = |error| network_error(&operation, error);
    if !arping::is_there(host).map_err(failed)? {
        context.log(Level::Debug, format!("without arping nobody checks whether another machine has {address}"));
        return Ok(());
    }
    if has_signal(host, link, context).map_err(failed)? {
        arping::refuse_duplicate(host, link, address).map_err(failed)?;
    }
    Ok(())
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
