//! Taking areas into use, and out of use.

use super::{Target, remember, seen};
use crate::change::Seen;
use crate::marks;
use crate::record::Ours;
use crate::storage_error;
use std::time::Duration;
use sysconfig_platform::{Host, swap, zfs};
use sysconfig_plugin::{Context, Outcome, PluginError};

/// How long moving what is in an area elsewhere may take where the step has no deadline.
const PATIENCE: Duration = Duration::from_secs(300);
/// What of a step's time is left for what comes after that.
const RESERVE: Duration = Duration::from_secs(60);

/// How long moving what is in an area elsewhere may take: what still has to be done, and told, is done in the step's time as well.
fn patience(context: &Context) -> Duration {
    context.remaining().map_or(PATIENCE, |left| left.saturating_sub(RESERVE).max(left / 2))
}

/// The priority that can be asked for; the kernel gives others itself.
pub(super) fn usable(priority: Option<i32>) -> Option<i32> {
    priority.filter(|priority| *priority >= 0)
}

pub(super) fn start(host: &Host, target: &Target, seen: &Seen, priority: Option<i32>) -> Result<Outcome, PluginError> {
    let path = target.path();
    let is_used = swap::is_used(host, path).map_err(storage_error)?;
    if !is_used {
        if let Target::Volume { .. } = target {
            zfs::wait_for_node(host, path, None).map_err(storage_error)?;
        }
        // The record tells what was left there, so this comes before it is changed.
        seen.check(host, target)?;
    }
    let what = what(host, target)?;
    let mut was = Ours::default();
    remember(host, path, |ours| {
        was = ours.clone();
        (ours.used, ours.what, ours.left) = (true, what, None);
    })?;
    if is_used {
        return Ok(Outcome::AlreadySo);
    }
    let added = swap::add(host, path, usable(priority)).map_err(storage_error);
    if added.is_err() {
        // What was never in use is not known to be swap. The first error is the one to report.
        let _ = remember(host, path, |ours| (ours.used, ours.what, ours.left) = (was.used, was.what, was.left));
    }
    added.map(|()| Outcome::Changed)
}

/// Tells what is at a path from what may be there later.
pub(super) fn what(host: &Host, target: &Target) -> Result<Option<String>, PluginError> {
    match target {
        Target::Volume { name, .. } => {
            Ok(seen::volume(host, name)?.as_ref().and_then(|present| marks::guid_of(present).cloned()))
        }
        Target::File { path } => Ok(marks::what(host, path)),
        Target::Device { .. } => Ok(None),
    }
}

pub(super) fn stop(host: &Host, path: &str, context: &Context) -> Result<Outcome, PluginError> {
    let stopped = stop_if_used(host, path, context)?;
    // Only this will tell that nobody has put it to another use. It is out of use also where it cannot be read.
    let left = stopped.then(|| crate::state::read(host, path).ok().flatten()).flatten();
    remember(host, path, |ours| {
        ours.stop();
        ours.left = left.map(|content| content.fingerprint).or(ours.left.take());
    })?;
    Ok(if stopped { Outcome::Changed } else { Outcome::AlreadySo })
}

pub(super) fn stop_if_used(host: &Host, path: &str, context: &Context) -> Result<bool, PluginError> {
    if !swap::is_used(host, path).map_err(storage_error)? {
        return Ok(false);
    }
    swap::remove(host, path, patience(context)).map_err(|error| {
        storage_error(error)
            .help("what is in it has to go elsewhere; end what needs much memory, or add other swap first")
    })?;
    Ok(true)
}
