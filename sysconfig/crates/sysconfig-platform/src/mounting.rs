//! Mounting and unmounting, by the systems' own programs: they know the helpers for NFS, loop devices and checks that
//! a system call does not.

use crate::mount_table::{self, Mount};
use crate::places::is_remote;
use crate::storage::StorageError;
use crate::{CommandError, Host, Invocation, System, files, swap};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
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

/// A process that keeps a file system from being unmounted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its program's name, or what else is known.
    pub name: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// The processes that use files below a mount point; as far as that can be found out, since it only explains.
#[must_use]
pub fn holders(host: &Host, mount_point: &str) -> Vec<Holder> {
    let mut found = match host.system() {
        System::Illumos => illumos_holders(host, mount_point).unwrap_or_default(),
        System::Linux => linux_holders(host, mount_point),
    };
    found.sort();
    found.dedup();
    found
}

/// What else keeps a file system from being unmounted, as far as that can be found out: files in it that are swap or lie behind
/// a loop device, and what is mounted in it.
#[must_use]
pub fn others(host: &Host, mount_point: &str) -> Vec<String> {
    let is_in = |path: &str| mount_table::is_below(path, mount_point);
    let swap = swap::areas(host).unwrap_or_default().into_iter().filter(|area| is_in(&area.path));
    let loops = loops(host).into_iter().filter(|(_, file)| is_in(file));
    let mounts = mount_table::mounts(host).unwrap_or_default().into_iter().filter(|mount| is_in(&mount.mount_point));
    let swap = swap.map(|area| format!("the swap file {}", area.path));
    let loops = loops.map(|(device, file)| format!("{device}, behind which {file} lies"));
    swap.chain(loops).chain(mounts.map(|mount| format!("what is mounted at {}", mount.mount_point))).collect()
}

/// The first of some places that is used, and what uses it: processes, and what lies or is mounted in it.
#[must_use]
pub fn users<'a>(host: &Host, places: &[&'a str]) -> Option<(&'a str, String)> {
    let users = |place: &&str| -> Vec<String> {
        holders(host, place).iter().map(ToString::to_string).chain(others(host, place)).collect()
    };
    let used = places.iter().map(|place| (*place, users(place))).find(|(_, users)| !users.is_empty());
    used.map(|(place, users)| (place, users.join(", ")))
}

/// The loop devices, with the files behind them.
fn loops(host: &Host) -> Vec<(String, String)> {
    match host.system() {
        System::Illumos => {
            let answer = host.run_any(&Invocation::new("/usr/sbin/lofiadm", Vec::<String>::new()));
            parse_lofiadm(&answer.map(|answer| answer.stdout).unwrap_or_default())
        }
        System::Linux => {
            let devices = std::fs::read_dir(host.root.locate("/sys/block")).into_iter().flatten().flatten();
            let names = devices.filter_map(|device| device.file_name().into_string().ok());
            let file = |name: String| Some((format!("/dev/{name}"), backing_file(host, &name)?));
            names.filter_map(file).collect()
        }
    }
}

/// What illumos' `lofiadm` lists: a device, a file and its options, with blanks between, below a title.
#[must_use]
pub fn parse_lofiadm(text: &str) -> Vec<(String, String)> {
    let row = |line: &str| {
        let (device, rest) = line.split_once([' ', '\t'])?;
        let rest = rest.trim();
        // The options come last, and the name of a file may hold blanks.
        let file = rest.rsplit_once([' ', '\t']).map_or(rest, |(file, _)| file.trim_end());
        (device.starts_with("/dev/lofi/") && file.starts_with('/')).then(|| (device.to_owned(), file.to_owned()))
    };
    text.lines().filter_map(row).collect()
}

/// The file behind a loop device of Linux.
fn backing_file(host: &Host, name: &str) -> Option<String> {
    let file = files::read_text(&host.root, format!("/sys/block/{name}/loop/backing_file")).ok().flatten()?;
    Some(file.trim_end_matches('\n').to_owned())
}

fn illumos_holders(host: &Host, mount_point: &str) -> Result<Vec<Holder>, CommandError> {
    let answer = host.run_any(&Invocation::new("/usr/sbin/fuser", ["-c", mount_point]))?;
    let pids = parse_fuser(&answer.stdout);
    if pids.is_empty() {
        return Ok(Vec::new());
    }
    let list = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let names = host.run_any(&Invocation::new("/usr/bin/ps", ["-o", "pid=,comm=", "-p", &list]))?;
    let names = parse_names(&names.stdout);
    let name = |pid: u32| names.iter().find(|holder| holder.pid == pid).map(|holder| holder.name.clone());
    let unknown = || "a process".to_owned();
    Ok(pids.into_iter().map(|pid| Holder { pid, name: name(pid).unwrap_or_else(unknown) }).collect())
}

/// What illumos' `fuser` writes to standard output: numbers, between blanks. The letters that say how a process uses
/// the file go to standard error, but are passed over here too.
#[must_use]
pub fn parse_fuser(text: &str) -> Vec<u32> {
    let numbers = text.split_whitespace().map(|word| word.trim_end_matches(|letter: char| letter.is_ascii_lowercase()));
    numbers.filter_map(|number| number.parse().ok()).collect()
}

/// What `ps -o pid=,comm=` writes: a number and a program.
#[must_use]
pub fn parse_names(text: &str) -> Vec<Holder> {
    let line = |line: &str| {
        let (pid, program) = line.trim().split_once([' ', '\t'])?;
        let program = program.trim();
        let name = program.rsplit('/').next().unwrap_or(program).to_owned();
        Some(Holder { pid: pid.parse().ok()?, name })
    };
    text.lines().filter_map(line).collect()
}

fn linux_holders(host: &Host, mount_point: &str) -> Vec<Holder> {
    // Processes come and go while they are looked at; one that cannot be read holds nothing any more.
    let entries = std::fs::read_dir(host.root.locate("/proc")).into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let uses = |pid: &u32| {
        let process = host.root.locate(format!("/proc/{pid}"));
        let mut links: Vec<PathBuf> = ["cwd", "root", "exe"].map(|name| process.join(name)).to_vec();
        let open = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        links.extend(open.map(|entry| entry.path()));
        links.iter().any(|link| {
            let target = std::fs::read_link(link).unwrap_or_default();
            let target = target.to_string_lossy();
            target == mount_point || mount_table::is_below(&target, mount_point)
        }) || maps(&process, mount_point)
    };
    pids.filter(uses).map(|pid| Holder { pid, name: linux_name(host, pid) }).collect()
}

/// Whether a process has mapped a file below a mount point.
fn maps(process: &Path, mount_point: &str) -> bool {
    let text = std::fs::read(process.join("maps")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]))
        .any(|path| mount_table::is_below(path, mount_point))
}

fn linux_name(host: &Host, pid: u32) -> String {
    let name = std::fs::read_to_string(host.root.locate(format!("/proc/{pid}/comm"))).unwrap_or_default();
    match name.trim() {
        "" => "a process".to_owned(),
        name => name.to_owned(),
    }
}

/// The name under which the mount table shows a device: [`node`], and a loop device is the file behind it.
#[must_use]
pub fn identity(host: &Host, device: &str) -> String {
    let node = node(host, device);
    match node.strip_prefix("/dev/loop").filter(|_| host.system() == System::Linux) {
        Some(number) => backing_file(host, &format!("loop{number}")).unwrap_or(node),
        None => node,
    }
}

/// The name of a device itself, as the list of swap areas has it: links are followed, and `UUID=` and the like are looked up.
/// What cannot be found stays as it is written.
#[must_use]
pub fn node(host: &Host, device: &str) -> String {
    if host.system() == System::Illumos {
        // Its table shows what was given.
        return device.to_owned();
    }
    let path = spelled_out(device);
    match path.starts_with('/').then(|| host.root.exists(&*path)) {
        Some(Ok(true)) => host.root.resolve(&*path).map_or(path.into_owned(), |path| path.display().to_string()),
        _ => device.to_owned(),
    }
}

/// Linux: the path by which udev shows what `UUID=` and the like name; anything else as it is.
#[must_use]
pub fn spelled_out(device: &str) -> Cow<'_, str> {
    match device.split_once('=') {
        Some((tag @ ("UUID" | "LABEL" | "PARTUUID" | "PARTLABEL"), value)) => {
            let value = value.trim_matches('"');
            Cow::Owned(format!("/dev/disk/by-{}/{}", tag.to_ascii_lowercase(), udev_escape(value)))
        }
        _ => Cow::Borrowed(device),
    }
}

/// udev's names of links write everything but letters, digits and a few marks as `\x20`.
fn udev_escape(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"#+-.:=@_".contains(&byte) || byte >= 0x80;
    let mut escaped = Vec::new();
    for byte in value.bytes() {
        match plain(byte) {
            true => escaped.push(byte),
            false => escaped.extend(format!("\\x{byte:02x}").into_bytes()),
        }
    }
    String::from_utf8_lossy(&escaped).into_owned()
}

/// What is at a place where something is to be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountPoint {
    /// Nothing.
    Missing,
    /// An empty directory.
    Empty,
    /// A directory with something in it.
    Filled,
    /// No directory.
    NoDirectory,
}

/// Looks at a mount point. On a system with an automounter or a dead server this would wait, so it is only asked where
/// nothing is mounted.
///
/// # Errors
/// [`StorageError::File`] and [`StorageError::Kernel`].
pub fn mount_point(host: &Host, path: &str) -> Result<MountPoint, StorageError> {
    let operation = format!("look at {path}");
    let resolved = host.root.resolve(path).map_err(StorageError::file(operation.clone()))?;
    let located = host.root.locate(resolved);
    match std::fs::symlink_metadata(&located) {
        Ok(metadata) if metadata.is_dir() => {
            let mut entries = std::fs::read_dir(located).map_err(StorageError::kernel(operation))?;
            Ok(if entries.next().is_none() { MountPoint::Empty } else { MountPoint::Filled })
        }
        Ok(_) => Ok(MountPoint::NoDirectory),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(MountPoint::Missing),
        Err(error) => Err(StorageError::kernel(operation)(error)),
    }
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

    #[test]
    fn loop_devices_of_illumos() {
        let text = "Block Device             File                           Options\n\
                    /dev/lofi/1              /export/x.iso                  -\n\
                    /dev/lofi/2              /export/a b                    Encrypted\nrubbish\n";
        let found = parse_lofiadm(text);
        let found: Vec<_> = found.iter().map(|(device, file)| (device.as_str(), file.as_str())).collect();
        assert_eq!(found, [("/dev/lofi/1", "/export/x.iso"), ("/dev/lofi/2", "/export/a b")]);
    }

    #[test]
    fn answers_about_processes() {
        assert_eq!(parse_fuser("    1234c    5678o  77\n"), [1234, 5678, 77]);
        assert_eq!(parse_fuser(""), [0; 0]);
        let names = parse_names("  1234 /usr/bin/bash\n 5678 vi\nrubbish\n");
        assert_eq!(
            names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["bash (process 1234)", "vi (process 5678)"]
        );
    }
}
