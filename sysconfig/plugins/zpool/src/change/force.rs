//! What ZFS itself says before it is told to go over what a device holds.

use super::apply::run;
use sysconfig_platform::{Host, Invocation};
use sysconfig_plugin::PluginError;
use zfs_commands::ZfsError;

/// Words of objections to which two permissions are no answer: somebody uses the device now, or may.
const VETOES: &[&str] = &[
    "active",
    "currently mounted",
    "mounted on",
    "currently used",
    "in use",
    "reserved as a hot spare",
    "dedicated dump device",
    "swap",
];

/// Asks ZFS what it would object to. `-f` answers all objections at once, so the ones that matter are read before.
///
/// # Errors
/// With the objection that stands.
pub(super) fn objections(host: &Host, dry_run: &Invocation, operation: &str) -> Result<(), PluginError> {
    let completed = host.run_any(dry_run).map_err(|source| {
        PluginError::new(operation).source(ZfsError::command("ask ZFS what it objects to")(source))
    })?;
    if completed.code == 0 {
        return Ok(());
    }
    let said = completed.stderr.trim();
    if !said.contains("use '-f' to override") {
        // It fails for another reason, and says it once more.
        return run(host, dry_run, operation);
    }
    let mut objections =
        said.lines().filter(|line| !line.contains("use '-f'") && !line.contains("invalid vdev specification"));
    match objections.find(|line| {
        VETOES.iter().any(|veto| line.contains(veto)) || line.contains("replication") || line.contains("sizes")
    }) {
        None => Ok(()),
        Some(line) => Err(PluginError::new(operation)
            .source(format!("ZFS objects: {line}"))
            .help("this is done by nobody but you: see zpool labelclear")),
    }
}
