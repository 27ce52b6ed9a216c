//! Going over what a device holds.
//!
//! Every command is tried without `-f` first. Only when ZFS asks for it, both permissions are there, and none of its
//! objections means that somebody uses the device, the command is given once more with it: `-f` answers all objections at
//! once, so they have to be read before.

use super::apply::run;
use sysconfig_platform::StorageError;
use sysconfig_platform::{Host, Invocation};
use sysconfig_plugin::PluginError;

/// Words of objections to which two permissions are no answer: somebody uses the device now, or may; or the vdev itself is
/// not what ZFS wants.
const VETOES: &[&str] = &[
    "active",
    "currently mounted",
    "mounted on",
    "currently used",
    "in use",
    "reserved as a hot spare",
    "dump device",
    "swap",
    "replication",
    "different sizes",
];

/// Runs a command; by force only where that is permitted and asked for.
///
/// # Errors
/// What ZFS says, or which of its objections stands.
pub(super) fn run_permitted(
    host: &Host,
    permitted: bool,
    command: impl Fn(bool) -> Invocation,
    operation: &str,
) -> Result<(), PluginError> {
    let plain = command(false);
    if !permitted {
        return run(host, &plain, operation);
    }
    let failed = |source| {
        PluginError::new(operation).source(StorageError::command(operation.trim_start_matches("cannot "))(source))
    };
    let completed = host.run_any(&plain).map_err(failed)?;
    if completed.code == 0 {
        return Ok(());
    }
    let said = completed.stderr.clone();
    if !said.contains("use '-f' to override") {
        return completed.success(&plain).map(drop).map_err(failed);
    }
    match said.lines().find(|line| !line.contains("'-f'") && VETOES.iter().any(|veto| line.contains(veto))) {
        None => run(host, &command(true), operation),
        Some(line) => Err(PluginError::new(operation)
            .source(format!("ZFS objects: {line}"))
            .help("if the device is not used, take what is on it away by hand: zpool labelclear")),
    }
}
