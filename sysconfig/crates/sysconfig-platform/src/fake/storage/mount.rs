//! `mount`, `umount`, `fuser` and `ps`.

use super::super::{failed, printed};
use super::Storage;
use crate::mount_table::{Mount, holding, is_below, place_of};
use crate::mounting::mounted_at;
use crate::{Completed, System};
use std::path::PathBuf;

/// What illumos has programs for below `/usr/lib/fs`.
const ILLUMOS_TYPES: &[&str] = &["zfs", "ufs", "nfs", "tmpfs", "lofs", "pcfs", "hsfs", "udfs", "smbfs", "ctfs", "fd"];
/// What the simulated Linux' kernel knows.
const LINUX_TYPES: &[&str] = &["zfs", "ext4", "xfs", "btrfs", "nfs", "tmpfs", "vfat", "iso9660", "squashfs"];
/// Options about times of access.
const TIMES: &[&str] = &["noatime", "relatime", "strictatime", "atime"];
const USAGE: &str = "Usage:\nmount [-v | -p]\nmount [-F FSType] [-o options] [-O] [-g] special mount_point\n";

#[derive(Default)]
struct Asked {
    fstype: Option<String>,
    options: Vec<String>,
    overlay: bool,
    places: Vec<String>,
}

impl Asked {
    fn parse(args: &[&str], type_flag: &str, overlay_flag: Option<&str>) -> Option<Self> {
        let mut asked = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match *arg {
                flag if flag == type_flag => asked.fstype = Some((*args.next()?).to_owned()),
                "-o" => asked.options = args.next()?.split(',').map(str::to_owned).collect(),
                flag if Some(flag) == overlay_flag => asked.overlay = true,
                flag if flag.starts_with('-') => return None,
                place => asked.places.push(place.to_owned()),
            }
        }
        Some(asked)
    }

    fn takes(&mut self, word: &str) -> bool {
        let before = self.options.len();
        self.options.retain(|option| option != word);
        self.options.len() < before
    }
}

/// Removes the directories below one that hold nothing.
pub(super) fn prune(directory: &std::path::Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            prune(&entry.path());
            // One that holds something stays.
            let _ = std::fs::remove_dir(entry.path());
        }
    }
}

impl Storage {
    /// Where what a file system in memory covers is kept meanwhile.
    fn covered(&self, mount: &Mount) -> Option<(PathBuf, PathBuf)> {
        let (number, _) = mount.place.as_ref().filter(|_| mount.fstype == "tmpfs")?;
        Some((self.root.locate(&mount.mount_point), self.root.locate(format!("/.covered/{number}"))))
    }

    /// Puts an empty directory where a file system in memory is mounted; of the others the contents are not simulated.
    pub(super) fn cover(&self, mount: &Mount) {
        let Some((point, covered)) = self.covered(mount) else { return };
        if std::fs::read_dir(&point).is_ok_and(|mut entries| entries.next().is_some()) {
            std::fs::create_dir_all(covered.parent().expect("it lies in a directory"))
                .expect("the root can be written");
            std::fs::rename(&point, &covered).expect("the root can be written");
            std::fs::create_dir(&point).expect("the root can be written");
        }
    }

    /// Takes away what is in a file system in memory, and shows again what it has covered.
    pub(super) fn uncover(&self, mount: &Mount) {
        let Some((point, covered)) = self.covered(mount) else { return };
        // A test that is over takes its root away.
        let _ = std::fs::remove_dir_all(&point);
        if std::fs::rename(&covered, &point).is_err() {
            let _ = std::fs::create_dir(&point);
        }
    }

    pub(super) fn mount_illumos(&mut self, args: &[&str]) -> Completed {
        let Some(mut asked) = Asked::parse(args, "-F", Some("-O")) else { return failed(2, USAGE) };
        let (Some(fstype), [device, point]) = (asked.fstype.clone(), &asked.places[..]) else {
            return failed(2, USAGE);
        };
        let (device, point) = (device.clone(), self.resolved(point));
        if !ILLUMOS_TYPES.contains(&fstype.as_str()) {
            return failed(1, format!("mount: FSType {fstype} has no mount program\n"));
        }
        if asked.takes("remount") {
            return self.remount(&device, &point, &fstype, &asked);
        }
        if let Some(answer) = self.refuse_place("mount", &point) {
            return answer;
        }
        if mounted_at(&self.mounts, &point).is_some() && !asked.overlay {
            return failed(16, format!("mount: {device} is already mounted or {point} is busy\n"));
        }
        if let Some(answer) = self.refuse_device(&device, &fstype) {
            return answer;
        }
        if let Some(dataset) = self.datasets.get_mut(&device) {
            dataset.mounted = true;
        }
        let point = self.mounts_elsewhere.clone().unwrap_or(point);
        self.push_mount(&device, &point, &fstype, asked.options, None);
        printed("")
    }

    pub(super) fn mount_linux(&mut self, args: &[&str]) -> Completed {
        let Some(mut asked) = Asked::parse(args, "-t", None) else {
            return failed(1, "mount: invalid option\nTry 'mount --help' for more information.\n");
        };
        let [device, point] = &asked.places[..] else { return failed(1, "mount: bad usage\n") };
        let (device, point) = (device.clone(), self.resolved(point));
        let is_bind = asked.takes("bind");
        if asked.takes("remount") {
            let fstype = asked.fstype.clone().unwrap_or_default();
            return self.remount(&device, &point, &fstype, &asked);
        }
        if let Some(answer) = self.refuse_place(&format!("mount: {point}"), &point) {
            return answer;
        }
        if is_bind {
            let source = self.resolved(&device);
            let Some(place) =
                self.root.exists(&device).ok().filter(|there| *there).and(place_of(&self.mounts, &source))
            else {
                return failed(32, format!("mount: {point}: special device {device} does not exist.\n"));
            };
            let source = holding(&self.mounts, &source).cloned().expect("a place lies in a mount");
            self.push_mount(&source.device, &point, &source.fstype, asked.options, Some(place));
            self.end_by_systemd(&point);
            return printed("");
        }
        let Some(fstype) = asked.fstype.clone().filter(|fstype| LINUX_TYPES.contains(&fstype.as_str())) else {
            return failed(32, format!("mount: {point}: unknown filesystem type '{:?}'.\n", asked.fstype));
        };
        if let Some(answer) = self.refuse_device(&device, &fstype) {
            return answer;
        }
        if let Some(dataset) = self.datasets.get_mut(&device) {
            dataset.mounted = true;
        }
        let options = self.as_shown(&fstype, &asked.options);
        let point = self.mounts_elsewhere.clone().unwrap_or(point);
        self.push_mount(&device, &point, &fstype, options, None);
        self.end_by_systemd(&point);
        printed("")
    }

    /// The options of a new mount as the table shows them. Linux shows what is switched off and never what is not, one word about
    /// times of access, numbers for names, memory in whole pages, and of servers what was agreed on.
    fn as_shown(&self, fstype: &str, options: &[String]) -> Vec<String> {
        if self.system == System::Illumos {
            return options.to_vec();
        }
        let has = |word: &str| options.iter().any(|option| option == word);
        let mut shown = vec![if has("ro") { "ro" } else { "rw" }.to_owned()];
        if !has("noatime") && !has("strictatime") {
            shown.push("relatime".to_owned());
        }
        let is_silent = |option: &str| {
            crate::mounting::is_for_boot_only(option)
                || ["ro", "rw", "suid", "exec", "dev", "atime", "relatime", "strictatime", "diratime", "async", "loop"]
                    .contains(&option)
        };
        shown.extend(options.iter().filter(|option| !is_silent(option)).map(|option| self.value_shown(fstype, option)));
        shown
    }

    fn value_shown(&self, fstype: &str, option: &str) -> String {
        let Some((key, value)) = option.split_once('=') else { return option.to_owned() };
        let bytes = crate::storage::parse_size(value);
        match (key, bytes) {
            ("size", _) if value.ends_with('%') => {
                let share = value.trim_end_matches('%').parse::<u64>().unwrap_or_default();
                format!("size={}k", self.memory / 100 * share / 4096 * 4)
            }
            ("size", Some(bytes)) => format!("size={}k", bytes.div_ceil(4096) * 4),
            ("nr_inodes", Some(number)) => format!("nr_inodes={number}"),
            ("mode", _) => format!("mode={}", value.trim_start_matches('0')),
            ("vers" | "nfsvers", _) if value == "4" => "vers=4.2".to_owned(),
            ("nfsvers", _) => format!("vers={value}"),
            // What the server is ready for.
            ("rsize" | "wsize", Some(bytes)) if fstype == "nfs" => format!("{key}={}", bytes.min(self.server_block)),
            ("uid" | "gid", _) => format!("{key}={}", self.id(key, value)),
            ("compress", _) if value == "zstd" => "compress=zstd:3".to_owned(),
            ("subvol", _) => format!("subvol=/{}", value.trim_start_matches('/')),
            _ => option.to_owned(),
        }
    }

    fn id(&self, key: &str, name: &str) -> String {
        let list = self.root.locate(if key == "uid" { "/etc/passwd" } else { "/etc/group" });
        let list = std::fs::read_to_string(list).unwrap_or_default();
        let mut rows = list.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let number = rows.find(|row| row[0] == name).and_then(|row| row.get(2).map(|number| (*number).to_owned()));
        number.unwrap_or_else(|| name.to_owned())
    }

    /// What the boot makes of a row: systemd mounts some only when somebody comes.
    pub(super) fn boot_mount(&mut self, row: &crate::boot_table::BootRow, point: &str) {
        if self.system == System::Linux && row.is_automount() {
            return self.push_mount("systemd-1", point, "autofs", vec!["rw".to_owned(), "relatime".to_owned()], None);
        }
        let options = self.as_shown(&row.fstype, &row.options);
        self.push_mount(&row.device, point, &row.fstype, options, None);
    }

    fn refuse_place(&self, prefix: &str, point: &str) -> Option<Completed> {
        let is_directory = std::fs::metadata(self.root.locate(point)).is_ok_and(|metadata| metadata.is_dir());
        (!is_directory).then(|| failed(32, format!("{prefix}: mount point does not exist.\n")))
    }

    fn refuse_device(&self, device: &str, fstype: &str) -> Option<Completed> {
        let refuse = |text: String| Some(failed(32, format!("mount: {text}\n")));
        match fstype {
            "tmpfs" | "fd" | "ctfs" => None,
            "lofs" => match self.root.exists(device) {
                Ok(true) => None,
                _ => refuse(format!("{device}: No such file or directory")),
            },
            "nfs" if self.shares.contains(device) => None,
            "nfs" => refuse(format!("{device}: NFS server is not responding")),
            "zfs" => match self.datasets.get(device) {
                Some(dataset) if dataset.local("mountpoint") == Some("legacy") => None,
                Some(_) => refuse(format!(
                    "filesystem '{device}' cannot be mounted using 'mount -F zfs'\nUse 'zfs set mountpoint=legacy'"
                )),
                None => refuse(format!("filesystem '{device}' cannot be opened: dataset does not exist")),
            },
            _ => match self.devices.get(device) {
                Some(found) if found.content.as_deref() == Some(fstype) => None,
                Some(_) if self.system == System::Illumos => refuse(format!("{device} is not this fstype")),
                Some(_) => refuse(format!("wrong fs type, bad option, bad superblock on {device}")),
                None => refuse(format!("{device}: No such file or directory")),
            },
        }
    }

    fn remount(&mut self, device: &str, point: &str, fstype: &str, asked: &Asked) -> Completed {
        let mut options = self.as_shown(fstype, &asked.options);
        let mut found = self.mounts.iter_mut().rev().filter(|mount| mount.mount_point == point);
        let Some(mount) = found.next() else { return failed(32, format!("mount: {point} not mounted\n")) };
        if !fstype.is_empty() && (mount.fstype != fstype || (fstype != "tmpfs" && mount.device != device)) {
            return failed(32, format!("mount: {point}: something else is mounted\n"));
        }
        // What has a value keeps it until it is given another one: tmpfs(4), mount_tmpfs(8).
        let key = |option: &String| option.split_once('=').map(|(key, _)| key.to_owned());
        let is_given = |option: &String| options.iter().any(|other| key(other) == key(option));
        let kept: Vec<String> =
            mount.options.iter().filter(|option| option.contains('=') && !is_given(option)).cloned().collect();
        // Of times of access, nothing changes unless something is said: mount(2).
        let is_about_times = |option: &String| TIMES.contains(&option.as_str());
        if self.system == System::Linux && !asked.options.iter().any(is_about_times) {
            options.retain(|option| !is_about_times(option));
            options.splice(1..1, mount.options.iter().filter(|option| is_about_times(option)).cloned());
        }
        mount.options = [options, kept].concat();
        printed("")
    }

    /// `ls -d DIRECTORY/.` waits for what is mounted at the directory.
    pub(super) fn ls(&self, args: &[&str]) -> Completed {
        let ["-d", path] = args else { return failed(2, "usage: ls -aAbcCdeEfFghHiklLmnopqrRstuvVx1@ [file]...\n") };
        let point = path.trim_end_matches("/.");
        match mounted_at(&self.mounts, point).filter(|mount| self.away.contains(&mount.device)) {
            Some(_) => failed(2, format!("{path}: Connection timed out\n")),
            None => printed(format!("{path}\n")),
        }
    }

    pub(super) fn umount(&mut self, args: &[&str]) -> Completed {
        let [point] = args else { return failed(2, "Usage: umount [-f] special | mount-point\n") };
        let point = self.resolved(point);
        let point = point.as_str();
        if mounted_at(&self.mounts, point).is_none() {
            return failed(1, format!("umount: {point}: not mounted\n"));
        }
        let covers = self.mounts.iter().any(|mount| is_below(&mount.mount_point, point))
            || self.swaps.iter().any(|area| is_below(&area.path, point));
        if covers || self.users.get(point).is_some_and(|users| !users.is_empty()) {
            return match self.system {
                System::Illumos => failed(1, format!("umount: {point} busy\n")),
                System::Linux => failed(32, format!("umount: {point}: target is busy.\n")),
            };
        }
        let seen = mounted_at(&self.mounts, point);
        if seen.is_some_and(|mount| self.away.contains(&mount.device)) {
            return failed(1, format!("umount: {point}: Connection timed out\n"));
        }
        let is_in_memory = seen.is_some_and(|mount| mount.fstype == "tmpfs");
        self.drop_mount(point);
        // What was made below it lay in what was mounted, and went with that.
        if !is_in_memory {
            prune(&self.root.locate(point));
        }
        printed("")
    }

    /// Puts a process into a mount point, or takes all out.
    ///
    /// # Panics
    /// When the root cannot be written.
    pub fn set_users(&mut self, point: &str, users: &[(u32, &str)]) {
        for (pid, name) in users {
            let process = self.root.locate(format!("/proc/{pid}"));
            if self.system == System::Linux && !process.exists() {
                std::fs::create_dir_all(process.join("fd")).expect("the root can be written");
                std::fs::write(process.join("comm"), format!("{name}\n")).expect("the root can be written");
                std::os::unix::fs::symlink(format!("{point}/x"), process.join("fd/3"))
                    .expect("the root can be written");
            }
        }
        self.users.insert(point.to_owned(), users.iter().map(|(pid, name)| (*pid, (*name).to_owned())).collect());
    }

    pub(super) fn fuser(&self, args: &[&str]) -> Completed {
        let ["-c", point] = args else {
            return failed(1, "Usage: fuser [-[c|d|f]kun[sw]] files\n");
        };
        let users = self.users.get(*point).cloned().unwrap_or_default();
        let numbers: String = users.iter().map(|(pid, _)| format!("{pid:>8}")).collect();
        // Numbers go to one stream, and everything else to the other.
        Completed { code: 0, stdout: numbers, stderr: format!("{point}: {}\n", "c".repeat(users.len())) }
    }

    pub(super) fn ps(&self, args: &[&str]) -> Completed {
        let ["-o", "pid=,comm=", "-p", list] = args else { return failed(1, "usage: ps [ -aAdefHlcjLPyZ ]\n") };
        let wanted: Vec<&str> = list.split(',').collect();
        let known = self.users.values().flatten().filter(|(pid, _)| wanted.contains(&pid.to_string().as_str()));
        printed(known.map(|(pid, name)| format!("{pid:>5} /usr/bin/{name}\n")).collect::<String>())
    }
}
