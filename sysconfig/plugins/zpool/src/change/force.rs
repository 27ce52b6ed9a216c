//! Going over what a device holds.
//!
//! Every command is tried without `-f` first. Only when ZFS asks for it, and each of its objections is about a device for
//! which both permissions are there and does not mean that somebody uses it, the command is given once more with it: `-f`
//! answers all objections at once, so they have to be read before.

use super::Approved;
use super::apply::run;
use sysconfig_platform::StorageError;
use sysconfig_platform::device::{self, LabelState, Names};
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

/// How a refusal begins.
const INTRODUCTION: &str = "invalid vdev specification";
/// What illumos says of a device with a label that no imported pool has (libdiskmgt, `inuse_zpool.c`).
const EITHER: &str = "exported or potentially active";

/// Runs a command; by force only where that is permitted and asked for.
///
/// # Errors
/// What ZFS says, or which of its objections stands.
pub(super) fn run_permitted(
    host: &Host,
    devices: &[Approved],
    command: impl Fn(bool) -> Invocation,
    operation: &str,
) -> Result<(), PluginError> {
    let plain = command(false);
    if devices.iter().all(|device| device.holds.is_none()) {
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
    match objections(&said).find(|line| !is_permitted(host, devices, line)) {
        None => run(host, &command(true), operation),
        Some(line) => Err(PluginError::new(operation)
            .source(format!("ZFS objects: {line}"))
            .help("if the device is not used, take what is on it away by hand: zpool labelclear")),
    }
}

/// The lines about what ZFS does not want, without those that introduce them.
fn objections(said: &str) -> impl Iterator<Item = &str> {
    said.lines().filter(|line| !line.trim().is_empty() && !line.contains("'-f'") && *line != INTRODUCTION)
}

/// Whether the permission to lose what devices hold answers an objection: it names one of them, by any of its names, and
/// says that it holds something, not that it is used.
fn is_permitted(host: &Host, devices: &[Approved], line: &str) -> bool {
    let named = |device: &&Approved| {
        let names = device::names(host, &device.path);
        // Its slices and partitions are lost with a whole disk.
        let is_whole = names.any_disk.as_ref() == Some(&names.own);
        let is_it = |other: &Names| other.same(&names) || (is_whole && other.overlaps_disk(&names));
        paths(line).any(|path| is_it(&device::names(host, path)))
    };
    let Some(device) = devices.iter().filter(|device| device.holds.is_some()).find(named) else { return false };
    // illumos says the same of a pool that was let go of, and of one that another machine may have: the label tells.
    let is_exported =
        || device::member_label(host, &device.path).is_some_and(|label| label.state == LabelState::Exported);
    let line = match line.contains(EITHER) && is_exported() {
        true => line.replace(EITHER, ""),
        false => line.to_owned(),
    };
    !VETOES.iter().any(|veto| line.contains(veto))
}

/// The paths in a line.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
        .map(|word| word.trim_matches(['\'', '"', ',', '.', ':']))
        .filter(|word| word.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sysconfig_platform::System;
    use sysconfig_platform::fake::Machine;

    fn approved(path: &str, holds: Option<&str>) -> Approved {
        Approved { path: path.to_owned(), fingerprint: String::new(), holds: holds.map(str::to_owned) }
    }

    #[test]
    fn every_objection_has_to_be_about_a_device_that_may_be_lost() {
        let (_root, host, _machine) = Machine::start(System::Illumos);
        let devices = [approved("/dev/dsk/c1t0d0", Some("a UFS file system")), approved("/dev/dsk/c1t1d0", None)];
        let all = |said: &str| objections(said).all(|line| is_permitted(&host, &devices, line));
        let begin = "invalid vdev specification\nuse '-f' to override the following errors:\n";
        let permitted = "/dev/dsk/c1t0d0s0 contains a ufs filesystem.\n";
        assert!(all(&format!("{begin}{permitted}")));
        assert!(all(&format!("{begin}{permitted}/dev/dsk/c1t0d0s3 contains a ufs filesystem.\n")));
        for other in [
            "/dev/dsk/c1t1d0s0 contains a ufs filesystem.\n",
            "/dev/dsk/c1t0d01 contains a ufs filesystem.\n",
            "something is odd\n",
            "mismatched replication level: different vdevs are present\n",
            "/dev/dsk/c1t0d0s0 is currently mounted on /x. Please see umount(8).\n",
            "/dev/dsk/c1t0d0s0 is part of exported or potentially active ZFS pool x. Please see zpool(8).\n",
        ] {
            assert!(!all(&format!("{begin}{permitted}{other}")), "{other}");
            assert!(!all(&format!("{begin}{other}{permitted}")), "{other}");
        }
    }
}
