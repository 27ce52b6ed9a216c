//! Going over what a device holds.
//!
//! Every command is tried without `-f` first. Only when ZFS asks for it, and each of its objections is about a device for
//! which both permissions are there, about something that the plan has named as lost, and does not mean that somebody uses
//! it, the command is given once more with it: `-f` answers all objections at once, so they have to be read before.

use super::Approved;
use crate::error::zfs_error;
use sysconfig_platform::StorageError;
use sysconfig_platform::device::{self, LabelState, names};
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

/// Runs a command, without force.
pub(super) fn run(host: &Host, invocation: &Invocation, operation: &str) -> Result<(), PluginError> {
    let completed = host.run(invocation).map_err(StorageError::command(operation.trim_start_matches("cannot ")));
    completed.map(drop).map_err(|error| zfs_error(operation, error))
}

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
        Some(line) => Err(PluginError::new(operation).source(format!("ZFS objects: {line}")).help(
            "the plan did not name it as lost; if nothing uses it or needs it, take it away by hand (a pool: zpool \
                 labelclear, anything else: overwrite it), and plan anew",
        )),
    }
}

/// The lines about what ZFS does not want, without those that introduce them.
fn objections(said: &str) -> impl Iterator<Item = &str> {
    said.lines().filter(|line| !line.trim().is_empty() && !line.contains("'-f'") && *line != INTRODUCTION)
}

/// Whether the permission to lose what devices hold answers an objection: it is about one of them, by any of its names or
/// as a part of it, and about something that the plan has named as lost.
fn is_permitted(host: &Host, devices: &[Approved], line: &str) -> bool {
    // Each begins with what it is about.
    let Some((path, what)) = line.trim().split_once(' ').filter(|(path, _)| path.starts_with('/')) else {
        return false;
    };
    let path = path.trim_end_matches(':');
    let named = names(host, path);
    let is_it = |device: &&Approved| {
        let own = names(host, &device.path);
        // Its slices and partitions are lost with a whole disk.
        let is_whole = own.any_disk.as_ref() == Some(&own.own);
        named.same(&own) || (is_whole && named.overlaps_disk(&own))
    };
    let Some(device) = devices.iter().filter(|device| device.holds.is_some()).find(is_it) else { return false };
    let rest = what.replace(EITHER, "");
    if VETOES.iter().any(|veto| rest.contains(veto)) {
        return false;
    }
    match () {
        () if what.contains("pool") => is_planned_pool(host, device, path),
        () if what.starts_with("contains ") => is_planned_content(host, device, path),
        // Volumes of others, and what is not known.
        () => false,
    }
}

/// Whether the pool at a path was let go of, and is the one that the plan has named. illumos says the same of one that
/// another machine may have, and another slice may be a member of another pool: the label at that very path tells.
fn is_planned_pool(host: &Host, device: &Approved, path: &str) -> bool {
    device::label_at(host, path)
        .is_some_and(|label| label.state == LabelState::Exported && device.pool_guid == Some(label.pool_guid))
}

/// Whether what a path holds was read when its device was. The first slice of a disk may begin where the disk does; what
/// lies in any other, the plan did not see.
fn is_planned_content(host: &Host, device: &Approved, path: &str) -> bool {
    let (named, own) = (names(host, path), names(host, &device.path));
    if named.own == own.own {
        return true;
    }
    let (part, whole) = (device::look(host, path), device::look(host, &device.path));
    let (Some(part), Some(whole)) = (part.content(), whole.content()) else { return false };
    let mut found = part.recognised().peekable();
    // What the plan has told of the first partition, it has told in that one's own places.
    let first = whole.parts.iter().filter(|part| part.is_first()).flat_map(|part| &part.findings);
    let named_as_lost: Vec<_> = whole.findings.iter().chain(first).collect();
    named.same(&own) && found.peek().is_some() && found.all(|finding| named_as_lost.contains(&finding))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;
    use sysconfig_platform::System;
    use sysconfig_platform::fake::Machine;

    fn approved(path: &str, holds: Option<&str>, pool_guid: Option<u64>) -> Approved {
        Approved {
            path: path.to_owned(),
            fingerprint: String::new(),
            holds: holds.map(str::to_owned),
            pool_guid,
            left: false,
        }
    }

    const BEGIN: &str = "invalid vdev specification\nuse '-f' to override the following errors:\n";
    const UFS: &[u8] = &[0x54, 0x19, 0x01, 0];
    const UFS_AT: u64 = 8192 + 1372;

    /// The pool `name` on a slice, exported; answers its guid.
    fn exported(machine: &Machine, name: &str, slice: &str) -> u64 {
        machine.storage(|storage| storage.add_file(&slice.replace("/dsk/", "/rdsk/"), 128 << 20));
        machine.type_in(&format!("zpool create {name} {slice}"));
        machine.type_in(&format!("zpool export {name}"));
        machine.storage(|storage| storage.exported.iter().find(|pool| pool.name == name).unwrap().guid)
    }

    #[test]
    fn every_objection_has_to_be_about_a_device_that_may_be_lost() {
        let (_root, host, machine) = Machine::start(System::Illumos);
        machine.storage(|storage| {
            storage.add_disk("c1t0d0", 128 << 20);
            storage.scribble("/dev/dsk/c1t0d0", UFS_AT, UFS);
            for slice in ["s0", "s3"] {
                storage.add_file(&format!("/dev/rdsk/c1t0d0{slice}"), 64 << 20);
                storage.scribble(&format!("/dev/dsk/c1t0d0{slice}"), UFS_AT, UFS);
            }
        });
        let devices =
            [approved("/dev/dsk/c1t0d0", Some("a UFS file system"), None), approved("/dev/dsk/c1t1d0", None, None)];
        let all = |said: &str| objections(said).all(|line| is_permitted(&host, &devices, line));
        let permitted = "/dev/dsk/c1t0d0s0 contains a ufs filesystem.\n";
        assert!(all(&format!("{BEGIN}{permitted}")));
        assert!(all(&format!("{BEGIN}{permitted}/dev/dsk/c1t0d0p0 contains a ufs filesystem.\n")));
        for other in [
            // It looks the same, and is another one.
            "/dev/dsk/c1t0d0s3 contains a ufs filesystem.\n",
            "/dev/dsk/c1t1d0s0 contains a ufs filesystem.\n",
            "/dev/dsk/c1t0d01 contains a ufs filesystem.\n",
            "something is odd\n",
            "mismatched replication level: different vdevs are present\n",
            "/dev/dsk/c1t0d0s0 is currently mounted on /x. Please see umount(8).\n",
            "/dev/dsk/c1t0d0s0 contains an SVM mdb. Please see metadb(8).\n/dev/dsk/c1t0d0s3 is part of SVM volume x.\n",
            "/dev/dsk/c1t0d0s0 is part of exported or potentially active ZFS pool x. Please see zpool(8).\n",
        ] {
            assert!(!all(&format!("{BEGIN}{permitted}{other}")), "{other}");
            assert!(!all(&format!("{BEGIN}{other}{permitted}")), "{other}");
        }
        // What the slice holds is not what was read at the beginning of the disk.
        machine.storage(|storage| storage.scribble("/dev/dsk/c1t0d0", UFS_AT, &[0; 4]));
        assert!(!all(&format!("{BEGIN}{permitted}")));
    }

    /// illumos says the same words of both, and force would go over both.
    #[test]
    fn only_the_exported_pool_that_the_plan_has_named_is_gone_over() {
        let (_root, host, machine) = Machine::start(System::Illumos);
        let planned = exported(&machine, "old", "/dev/dsk/c1t0d0s0");
        exported(&machine, "other", "/dev/dsk/c1t0d0s3");
        let devices = [approved("/dev/dsk/c1t0d0", Some("a member of the exported pool old"), Some(planned))];
        let line = |slice: &str, pool: &str| {
            format!(
                "/dev/dsk/c1t0d0{slice} is part of exported or potentially active ZFS pool {pool}. Please see zpool(8)."
            )
        };
        let is_permitted = |line: &str| is_permitted(&host, &devices, line);
        assert!(is_permitted(&line("s0", "old")));
        assert!(!is_permitted(&line("s3", "other")), "the plan did not name it, exported or not");
        machine.storage(|storage| storage.relabel("/dev/dsk/c1t0d0s3", 0));
        assert!(!is_permitted(&line("s3", "other")), "the label of the first slice says nothing of this one");
        machine.storage(|storage| storage.relabel("/dev/dsk/c1t0d0s0", 0));
        assert!(!is_permitted(&line("s0", "old")), "another machine may have it now");
        // A plan that has named no pool permits none.
        machine.storage(|storage| storage.relabel("/dev/dsk/c1t0d0s0", 1));
        let unnamed = [approved("/dev/dsk/c1t0d0", Some("a GUID partition table"), None)];
        assert!(!super::is_permitted(&host, &unnamed, &line("s0", "old")));
    }

    /// The plan has told what the first partition holds, so two permissions are for that as well.
    #[test]
    fn what_the_plan_has_named_in_the_first_partition_is_gone_over() {
        let (_root, host, machine) = Machine::start(System::Linux);
        machine.storage(|storage| {
            storage.add_file("/dev/sdb", 128 << 20);
            storage.add_file("/dev/sdb1", 64 << 20);
            storage.add_file("/dev/sdb9", 8 << 20);
        });
        let put = |path: &str, at: u64, bytes: &[u8]| {
            let file = std::fs::OpenOptions::new().write(true).open(host.root.locate(path)).unwrap();
            file.write_all_at(bytes, at).unwrap();
        };
        let (number, size) = (1_u32.to_le_bytes(), 128_u32.to_le_bytes());
        let (table, first, last) = (2_u64.to_le_bytes(), 256_u64.to_le_bytes(), 131_071_u64.to_le_bytes());
        let header: [(u64, &[u8]); 4] = [(512, b"EFI PART"), (584, &table), (592, &number), (596, &size)];
        let entry: [(u64, &[u8]); 3] = [(1024, &[1; 16]), (1056, &first), (1064, &last)];
        header.into_iter().chain(entry).for_each(|(at, bytes)| put("/dev/sdb", at, bytes));
        for (path, from) in [("/dev/sdb", 256 << 9), ("/dev/sdb1", 0), ("/dev/sdb9", 0)] {
            put(path, from + 1024 + 56, &[0x53, 0xef]);
        }
        let holds = device::look(&host, "/dev/sdb").content().and_then(device::Content::description);
        assert!(holds.as_ref().is_some_and(|holds| holds.contains("in partition 1 an ext2")), "{holds:?}");
        let devices = [approved("/dev/sdb", holds.as_deref(), None)];
        let line = |part: &str| format!("/dev/sdb{part} contains a filesystem of type 'ext4'");
        assert!(is_permitted(&host, &devices, &line("1")));
        assert!(!is_permitted(&host, &devices, &line("9")));
        put("/dev/sdb1", 1024 + 56, &[0; 2]);
        put("/dev/sdb1", 0, b"XFSB");
        assert!(!is_permitted(&host, &devices, &line("1")), "it holds something else than the plan has told");
    }

    #[test]
    fn a_pool_in_a_partition_is_not_gone_over_for_the_table_around_it() {
        let (_root, host, machine) = Machine::start(System::Linux);
        machine.storage(|storage| {
            storage.has_zfs = true;
            storage.add_file("/dev/sdb", 128 << 20);
            storage.add_file("/dev/sdb2", 64 << 20);
        });
        machine.type_in("zpool create x /dev/sdb2");
        machine.type_in("zpool export x");
        let devices = [approved("/dev/sdb", Some("a GUID partition table (at byte 512)"), None)];
        assert!(!is_permitted(&host, &devices, "/dev/sdb2 is part of exported pool 'x'"));
        assert!(!is_permitted(&host, &devices, "/dev/sdb2 contains a filesystem of type 'ext4'"));
        assert!(is_permitted(&host, &devices, "/dev/sdb contains a corrupt primary EFI label."));
    }
}
