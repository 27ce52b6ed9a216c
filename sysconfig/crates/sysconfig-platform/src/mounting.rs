//! Mounting and unmounting, by the systems' own programs: they know the helpers for NFS, loop devices and checks that
//! a system call does not.

mod users;

pub use users::{Holder, parse_fuser, parse_names, users};

use crate::mount_table::{Mount, is_remote};
use crate::storage::StorageError;
use crate::{Host, Invocation, System};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::FileTypeExt;
use std::time::Duration;

/// How long mounting and unmounting may take: a journal is replayed, or what was not written yet goes to a slow disk, and no
/// signal ends that. The daemon gives a step a little more.
const PATIENCE: Duration = Duration::from_secs(240);
/// How long a server may take to agree to a mount.
const SERVERS_PATIENCE: Duration = Duration::from_secs(30);

/// A mount as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRequest {
    /// What to mount.
    pub device: String,
    /// Where.
    pub mount_point: String,
    /// The type, in the system's own word; `bind` on Linux shows a directory in a second place.
    pub fstype: String,
    /// Options.
    pub options: Vec<String>,
    /// Whether the mount may cover files that are there: illumos' `-O`.
    pub overlay: bool,
}

/// The command that mounts; `remount` changes the options of what is mounted.
#[must_use]
pub fn mount_command(system: System, request: &MountRequest, remount: bool) -> Invocation {
    let mut options = request.options.clone();
    let mut args: Vec<String> = Vec::new();
    match system {
        System::Illumos => {
            args.extend(["-F".to_owned(), request.fstype.clone()]);
            if request.overlay && !remount {
                args.push("-O".to_owned());
            }
        }
        System::Linux if request.fstype == "bind" => options.insert(0, "bind".to_owned()),
        System::Linux => args.extend(["-t".to_owned(), request.fstype.clone()]),
    }
    if remount {
        options.insert(0, "remount".to_owned());
    }
    // Words of the boot table that mean nothing now.
    options.retain(|option| !is_for_boot_only(option));
    if !options.is_empty() {
        args.extend(["-o".to_owned(), options.join(",")]);
    }
    args.extend([request.device.clone(), request.mount_point.clone()]);
    let program = match system {
        System::Illumos => "/usr/sbin/mount",
        System::Linux => "/usr/bin/mount",
    };
    Invocation { deadline: patience(&request.fstype), ..Invocation::new(program, args) }
}

/// How long it may take until something of a type is mounted or unmounted.
fn patience(fstype: &str) -> Duration {
    if is_remote(fstype) { SERVERS_PATIENCE } else { PATIENCE }
}

/// Options that only what reads the boot table looks at. Others that no kernel knows, mount(8) acts on: `users` forbids programs,
/// `x-mount.subdir` shows another directory.
#[must_use]
pub fn is_for_boot_only(option: &str) -> bool {
    let words = ["auto", "noauto", "nofail", "_netdev", "defaults"];
    let beginnings = ["x-systemd.", "x-initrd.", "x-gvfs-", "comment="];
    words.contains(&option) || beginnings.iter().any(|beginning| option.starts_with(beginning))
}

/// The command that unmounts. Never by force: who still writes would lose data.
#[must_use]
pub fn unmount_command(system: System, mount_point: &str, fstype: &str) -> Invocation {
    let program = match system {
        System::Illumos => "/usr/sbin/umount",
        System::Linux => "/usr/bin/umount",
    };
    Invocation { deadline: patience(fstype), ..Invocation::new(program, [mount_point]) }
}

/// Mounts, or changes the options of what is mounted.
///
/// # Errors
/// [`StorageError::Command`].
pub fn mount(host: &Host, request: &MountRequest, remount: bool) -> Result<(), StorageError> {
    let verb = if remount { "change the options of" } else { "mount" };
    let operation = format!("{verb} {} on {}", request.device, request.mount_point);
    host.run(&mount_command(host.system(), request, remount)).map_err(StorageError::command(operation)).map(drop)
}

/// Unmounts what is of the type `fstype`.
///
/// # Errors
/// [`StorageError::Command`]; [`is_busy`] tells whether somebody uses it.
pub fn unmount(host: &Host, mount_point: &str, fstype: &str) -> Result<(), StorageError> {
    let operation = format!("unmount {mount_point}");
    host.run(&unmount_command(host.system(), mount_point, fstype)).map_err(StorageError::command(operation)).map(drop)
}

/// Whether something failed because somebody uses the file system.
#[must_use]
pub fn is_busy(error: &StorageError) -> bool {
    error.said().to_ascii_lowercase().contains("busy")
}

/// Whether a path is a block device.
#[must_use]
pub fn is_block_device(host: &Host, path: &str) -> bool {
    let located = host.root.resolve(path).map(|resolved| host.root.locate(resolved));
    located.is_ok_and(|path| std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_block_device()))
}

/// The mount at a mount point that is seen: the last one.
#[must_use]
pub fn mounted_at<'a>(mounts: &'a [Mount], mount_point: &str) -> Option<&'a Mount> {
    mounts.iter().rev().find(|mount| mount.mount_point == mount_point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_both_systems() {
        let request = |fstype: &str, options: &[&str]| MountRequest {
            device: "swap".to_owned(),
            mount_point: "/tmp".to_owned(),
            fstype: fstype.to_owned(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            overlay: false,
        };
        let shown = |system, request: &MountRequest, remount| mount_command(system, request, remount).to_string();
        let tmpfs = request("tmpfs", &["size=512m", "nofail"]);
        assert_eq!(shown(System::Illumos, &tmpfs, false), "/usr/sbin/mount -F tmpfs -o size=512m swap /tmp");
        assert_eq!(shown(System::Linux, &tmpfs, true), "/usr/bin/mount -t tmpfs -o remount,size=512m swap /tmp");
        assert_eq!(shown(System::Linux, &request("bind", &[]), false), "/usr/bin/mount -o bind swap /tmp");
        let over = MountRequest { overlay: true, ..request("tmpfs", &[]) };
        assert_eq!(shown(System::Illumos, &over, false), "/usr/sbin/mount -F tmpfs -O swap /tmp");
    }
}
