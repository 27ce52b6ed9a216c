//! Which names mean the same device.
//!
//! A pool that was given a whole disk keeps its data in the first slice or partition, which is what the status
//! shows: `c1t0d0` becomes `/dev/dsk/c1t0d0s0`, `/dev/sdb` becomes `/dev/sdb1`.

use super::{Looks, Lun};
use crate::{Host, System, files};
use serde::{Deserialize, Serialize};
use std::io;

/// What a device is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The device itself.
    pub own: String,
    /// The whole disk whose first slice or partition it is, or that it is itself; none for files and other slices.
    pub disk: Option<String>,
    /// Any disk that it is a part of.
    pub any_disk: Option<String>,
    /// Which one that is, by whatever path.
    #[serde(default)]
    pub lun: Option<Lun>,
}

impl Names {
    /// Whether both are the same device, one of them perhaps named as a whole disk.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.same_by_path(other)
            || match self.by_own_path(other) {
                Some(other) => self.same_by_path(&other),
                None => self.lun.as_ref().zip(other.lun.as_ref()).is_some_and(|(one, other)| one.same(other)),
            }
    }

    /// As [`Self::same`], and by the same path to it.
    #[must_use]
    pub fn same_by_path(&self, other: &Self) -> bool {
        let is_disk = |names: &Self| names.disk.as_deref() == Some(&names.own);
        self.own == other.own || (self.disk.is_some() && self.disk == other.disk && (is_disk(self) || is_disk(other)))
    }

    /// Whether they have any sector in common, as far as names tell. On illumos the slices of a disk lie in one of its fdisk
    /// partitions, and no name tells in which.
    #[must_use]
    pub fn overlaps_disk(&self, other: &Self) -> bool {
        if let Some(other) = self.by_own_path(other) {
            return self.overlaps_disk(&other);
        }
        let whole = |names: &Self| names.any_disk.as_deref() == Some(&names.own);
        self.own == other.own
            || self.lun.as_ref().zip(other.lun.as_ref()).is_some_and(|(one, other)| one.overlaps(other))
            || (self.any_disk.is_some()
                && self.any_disk == other.any_disk
                && (whole(self) || whole(other) || self.may_contain(other) || other.may_contain(self)))
    }

    /// On illumos, what a device would be called by the path that this one has to the disk of both; nothing where they have one path,
    /// or are not on one disk.
    fn by_own_path(&self, other: &Self) -> Option<Self> {
        let (own_disk, other_disk) = (self.any_disk.as_deref()?, other.any_disk.as_deref()?);
        let is_other_path = own_disk != other_disk && !own_disk.starts_with('/');
        let part = other.own.strip_prefix(other_disk).filter(|_| is_other_path)?;
        self.lun.as_ref()?.is_on_disk_of(other.lun.as_ref()?).then(|| Self {
            own: format!("{own_disk}{part}"),
            disk: other.disk.as_ref().map(|_| own_disk.to_owned()),
            any_disk: self.any_disk.clone(),
            lun: None,
        })
    }

    /// Whether the other may lie in this fdisk partition of illumos: a slice in any, a logical drive (`p5` and up, fdisk(8)) in
    /// a primary one.
    fn may_contain(&self, other: &Self) -> bool {
        match (self.fdisk_partition(), other.fdisk_partition()) {
            (Some(_), None) => true,
            (Some(own), Some(others)) => own < 5 && others >= 5,
            (None, _) => false,
        }
    }

    /// The number of an fdisk partition of illumos, whose names are those in its directory; paths are Linux'.
    fn fdisk_partition(&self) -> Option<u32> {
        let part = self.own.strip_prefix(self.any_disk.as_deref()?)?;
        part.strip_prefix('p').filter(|_| !self.own.starts_with('/'))?.parse().ok()
    }
}

/// The names of the device at a path.
#[must_use]
pub fn names(host: &Host, path: &str) -> Names {
    Looks::new(host).names(path)
}

pub(super) fn found(looks: &Looks<'_>, path: &str) -> Names {
    match looks.host.system() {
        System::Illumos => illumos(looks, path),
        System::Linux => linux(looks, path),
    }
}

fn illumos(looks: &Looks<'_>, path: &str) -> Names {
    let directories = ["/dev/dsk/", "/dev/rdsk/"];
    let Some(name) = directories.iter().find_map(|directory| path.strip_prefix(directory)) else {
        return file(looks, path);
    };
    // A drive of pcfs has its letter or number behind the name of what it is on (mount_pcfs(8)).
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    let (own, disk, any_disk) = match disk_and_part(name) {
        // Slice 2 is the whole disk by custom, and p0 by definition.
        Some((disk, "p0" | "s2")) => (disk, Some(disk), disk),
        Some((disk, "s0")) => (name, Some(disk), disk),
        Some((disk, _)) => (name, None, disk),
        None => (name, Some(name), name),
    };
    let lun = looks.devid(any_disk).map(Lun::of_devid);
    Names { own: own.to_owned(), disk: disk.map(str::to_owned), any_disk: Some(any_disk.to_owned()), lun }
}

/// Cuts `c1t0d0s3` into `c1t0d0` and `s3`; `None` for a whole disk.
pub(super) fn disk_and_part(name: &str) -> Option<(&str, &str)> {
    let at = name.rfind(['s', 'p'])?;
    let (disk, part) = name.split_at(at);
    let is_number = part.len() > 1 && part[1..].bytes().all(|byte| byte.is_ascii_digit());
    (is_number && disk.starts_with('c') && disk.contains('d')).then_some((disk, part))
}

fn file(looks: &Looks<'_>, path: &str) -> Names {
    let resolved = match path.starts_with("/dev/") {
        true => looks.host.root.resolve(path).ok().map(|resolved| resolved.display().to_string()),
        // Elsewhere it may lie where whoever follows links waits for a server.
        false => looks.places().ok().map(|places| places.resolve(path)),
    };
    Names { own: resolved.unwrap_or_else(|| path.to_owned()), disk: None, any_disk: None, lun: None }
}

fn linux(looks: &Looks<'_>, path: &str) -> Names {
    let (host, names) = (looks.host, file(looks, path));
    let Some(name) = names.own.strip_prefix("/dev/") else { return names };
    // The link of a disk that is gone is gone, too, and the name itself has to do.
    let stable = path.strip_prefix("/dev/disk/").filter(|_| names.own.starts_with("/dev/disk/"));
    let part = match stable {
        Some(_) => name.rsplit_once("-part").map(|(disk, part)| (disk.to_owned(), part.to_owned())),
        None => kernel_partition(name).or_else(|| mapped_partition(host, name)),
    };
    let of = |disk: &str| Some(format!("/dev/{disk}"));
    match part {
        Some((disk, part)) => Names {
            disk: (part == "1").then(|| of(&disk)).flatten(),
            any_disk: of(&disk),
            lun: part.parse().ok().and_then(|part| Lun::of(host, &disk, part)),
            ..names
        },
        None => Names { disk: of(name), any_disk: of(name), lun: Lun::of(host, name, 0), ..names },
    }
}

/// Cuts `sdb1`, `vda12`, `nvme0n1p1`, `mmcblk0p2` into disk and number.
fn kernel_partition(name: &str) -> Option<(String, String)> {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (before, number) = name.split_at(name.len() - digits);
    if number.is_empty() {
        return None;
    }
    if let Some(disk) = before.strip_suffix('p').filter(|disk| disk.ends_with(|c: char| c.is_ascii_digit())) {
        return Some((disk.to_owned(), number.to_owned()));
    }
    let letters = ["sd", "vd", "hd", "xvd"].iter().any(|kind| {
        before
            .strip_prefix(kind)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_lowercase()))
    });
    letters.then(|| (before.to_owned(), number.to_owned()))
}

/// Disk and number of a partition that the device mapper has made of a disk with several paths: `kpartx` and `multipath` call it
/// `partN-` and the name of the disk.
fn mapped_partition(host: &Host, name: &str) -> Option<(String, String)> {
    let number = mapped_number(host, name)?.to_string();
    match &others(host, name, "slaves")[..] {
        [disk] => Some((disk.clone(), number)),
        _ => None,
    }
}

pub(super) fn mapped_number(host: &Host, name: &str) -> Option<u32> {
    let uuid = files::read_text(&host.root, format!("/sys/block/{name}/dm/uuid")).ok().flatten()?;
    uuid.strip_prefix("part")?.split_once('-')?.0.parse().ok()
}

/// What a device lies on (`slaves`), or what lies on it (`holders`), as far as that is told.
pub(super) fn others(host: &Host, name: &str, which: &str) -> Vec<String> {
    all_others(host, name, which).unwrap_or_default()
}

/// As [`others`], where what is not told would count as nothing. Partitions have no directory of their own in `/sys/block`.
pub(super) fn all_others(host: &Host, name: &str, which: &str) -> io::Result<Vec<String>> {
    let directory = format!("/sys/class/block/{name}/{which}");
    let told = |error: io::Error| io::Error::new(error.kind(), format!("cannot read {directory}: {error}"));
    let entries = std::fs::read_dir(host.root.locate(&directory)).map_err(told)?;
    entries.map(|entry| Ok(entry.map_err(told)?.file_name().to_string_lossy().into_owned())).collect()
}

/// Below `/dev`, what names a device by what it is, or by where it is attached; with the names of illumos.
const LASTING: &[&str] = &[
    "disk/by-id/",
    "disk/by-path/",
    "disk/by-partlabel/",
    "disk/by-partuuid/",
    "disk/by-uuid/",
    "disk/by-vdev/",
    "mapper/",
    "zvol/",
    "dsk/",
    "rdsk/",
];

/// Whether a name may mean another device after a reboot, because the kernel gives it in the order in which it finds them
/// (`/dev/sda`, `/dev/zd16`), or because it is not known that it does not.
#[must_use]
pub fn is_kernel_name(path: &str) -> bool {
    path.strip_prefix("/dev/").is_some_and(|name| !LASTING.iter().any(|lasting| name.starts_with(lasting)))
}

/// Where a device is read as a whole: on illumos through its character device, which bypasses caches.
pub(super) fn places(host: &Host, path: &str) -> Vec<String> {
    if host.system() == System::Linux {
        return vec![path.to_owned()];
    }
    if let Some(volume) = path.strip_prefix("/dev/zvol/dsk/") {
        return vec![format!("/dev/zvol/rdsk/{volume}")];
    }
    let Some(name) = path.strip_prefix("/dev/dsk/") else { return vec![path.to_owned()] };
    match disk_and_part(name) {
        Some(_) => vec![format!("/dev/rdsk/{name}")],
        // The first that there is: x86 has p0, and only a disk with an EFI label has a node of its own name.
        None => ["p0", "", "s2"].iter().map(|part| format!("/dev/rdsk/{name}{part}")).collect(),
    }
}

/// Where the label of ZFS is: on a whole disk in the first slice or partition.
pub(super) fn label_places(looks: &Looks<'_>, path: &str) -> Vec<String> {
    let (host, names) = (looks.host, looks.names(path));
    if names.disk.as_deref() != Some(&names.own) {
        return places(host, path);
    }
    match host.system() {
        System::Illumos => vec![format!("/dev/rdsk/{}s0", names.own)],
        System::Linux if names.own.starts_with("/dev/dm-") => {
            let name = &names.own["/dev/".len()..];
            let is_first = |other: &String| mapped_number(host, other) == Some(1);
            let first = others(host, name, "holders").into_iter().find(is_first).map(|first| format!("/dev/{first}"));
            first.into_iter().chain([path.to_owned()]).collect()
        }
        System::Linux => {
            let separator = if names.own.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
            let partition = format!("{}{separator}1", names.own);
            vec![partition, path.to_owned()]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_the_kernel() {
        let cases = [
            ("sdb1", Some(("sdb", "1"))),
            ("sdb", None),
            ("vda12", Some(("vda", "12"))),
            ("nvme0n1", None),
            ("nvme0n1p1", Some(("nvme0n1", "1"))),
            ("mmcblk0p2", Some(("mmcblk0", "2"))),
            ("mapper/vg-lv1", None),
            ("loop0", None),
            ("md127", None),
        ];
        for (name, expected) in cases {
            let expected = expected.map(|(disk, part)| (disk.to_owned(), part.to_owned()));
            assert_eq!(kernel_partition(name), expected, "{name}");
        }
    }

    #[test]
    fn parts_of_illumos() {
        for (name, expected) in [
            ("c1t0d0s0", Some(("c1t0d0", "s0"))),
            ("c0t600A0B8000s1d0p3", Some(("c0t600A0B8000s1d0", "p3"))),
            ("c1t0d0", None),
            ("c2d0", None),
            ("disks0", None),
        ] {
            assert_eq!(disk_and_part(name), expected, "{name}");
        }
    }

    #[test]
    fn the_same_device_by_other_names() {
        let (_directory, illumos, _) = crate::fake::Machine::start(System::Illumos);
        let (_directory, linux, _) = crate::fake::Machine::start(System::Linux);
        let same = |host: &Host, one: &str, other: &str| names(host, one).same(&names(host, other));
        for (one, other, expected) in [
            ("/dev/dsk/c1t0d0", "/dev/dsk/c1t0d0s0", true),
            ("/dev/dsk/c1t0d0", "/dev/dsk/c1t0d0p0", true),
            ("/dev/dsk/c1t0d0s0", "/dev/rdsk/c1t0d0s0", true),
            ("/dev/dsk/c1t0d0", "/dev/dsk/c1t0d0s3", false),
            ("/dev/dsk/c1t0d0", "/dev/dsk/c1t0d1", false),
            ("/dev/dsk/c1t0d0s0", "/dev/dsk/c1t0d0s1", false),
            ("/var/tmp/a", "/var/tmp/../tmp/a", true),
        ] {
            assert_eq!(same(&illumos, one, other), expected, "{one} {other}");
        }
        let overlaps = |one: &str, other: &str| names(&illumos, one).overlaps_disk(&names(&illumos, other));
        assert!(
            overlaps("/dev/dsk/c1t0d0", "/dev/dsk/c1t0d0s3") && !overlaps("/dev/dsk/c1t0d0s0", "/dev/dsk/c1t0d0s3")
        );
        for (one, other, expected) in [
            ("c1t0d0p1", "c1t0d0s0", true),
            ("c1t0d0s7", "c1t0d0p2", true),
            ("c1t0d0p1", "c1t0d0p2", false),
            ("c1t0d0p1", "c1t0d0p5", true),
            ("c1t0d0p5", "c1t0d0p6", false),
            ("c1t0d0p1", "c1t1d0s0", false),
            ("c1t0d0p0", "c1t0d0p3", true),
            ("c1t0d0p0:c", "c1t0d0p2", true),
            ("c1t0d0p0:1", "c1t0d0s7", true),
            ("c1t0d0p1:c", "c1t0d0p2", false),
            ("c1t0d0p0:c", "c1t1d0", false),
        ] {
            assert_eq!(overlaps(&format!("/dev/dsk/{one}"), &format!("/dev/dsk/{other}")), expected, "{one} {other}");
        }
        let of_linux = |path: &str| names(&linux, path);
        assert!(!of_linux("/dev/nvme0n1p1").overlaps_disk(&of_linux("/dev/nvme0n1p2")));
        for (one, other, expected) in [
            ("/dev/sdb", "/dev/sdb1", true),
            ("/dev/sdb", "/dev/sdb2", false),
            ("/dev/nvme0n1", "/dev/nvme0n1p1", true),
            ("/dev/disk/by-id/ata-X", "/dev/disk/by-id/ata-X-part1", true),
            ("/dev/disk/by-id/ata-X", "/dev/disk/by-id/ata-X-part9", false),
            ("/dev/mapper/a", "/dev/mapper/a1", false),
        ] {
            assert_eq!(same(&linux, one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn names_that_last() {
        let of_the_kernel =
            ["sda", "vdb1", "nvme0n1", "zd16", "nbd0", "rbd0p1", "bcache0", "pmem0", "dasda1", "ublkb0"];
        for name in of_the_kernel.iter().chain(&["disk/by-diskseq/3", "block/8:16"]) {
            assert!(is_kernel_name(&format!("/dev/{name}")), "{name}");
        }
        for path in
            ["/dev/disk/by-id/x", "/dev/disk/by-partuuid/x", "/dev/mapper/a", "/dev/zvol/tank/a", "/var/sda", "UUID=x"]
        {
            assert!(!is_kernel_name(path), "{path}");
        }
    }
}
