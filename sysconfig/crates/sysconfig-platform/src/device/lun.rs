//! Disks that several paths lead to. On Linux each path has a device of its own, `/dev/sda` and `/dev/sdb`, and multipathd makes one of
//! the device mapper over them; whoever writes on one has written on all. Loop devices of one file are like that, too. So is
//! illumos where its own multipathing is off (`mpxio-disable` in scsi_vhci(4D)); there `devid` tells.

use super::devid::Identity;
use super::identity::{Names, mapped_number, others};
use crate::mount_table::{self, may_wait};
use crate::{Host, files};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt as _;

/// What multipathd puts before the identity of a disk.
const MULTIPATH: &str = "mpath-";
/// Stands here before what illumos calls a disk.
const DEVID: &str = "devid-";

/// Which disk it is that several paths may lead to, and which partition of it; 0 for the whole disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lun {
    id: String,
    part: u32,
    /// Size and serial number, or what was read: cheap disks have the same identifier, though it should be unique in the world.
    #[serde(default)]
    unit: Option<String>,
    /// Whether the kernel has this from multipathd, or knows it by itself.
    #[serde(default)]
    is_certain: bool,
}

impl Lun {
    /// Of the partition with this number on a disk of the kernel's name.
    pub(super) fn of(host: &Host, disk: &str, part: u32) -> Option<Self> {
        let mapped = || {
            let (id, map) = map_over(host, disk)?;
            let all = [disk.to_owned()].into_iter().chain(others(host, &map, "slaves"));
            Some(Self { id, part, unit: all.into_iter().find_map(|disk| unit(host, &disk)), is_certain: true })
        };
        let by_wwid = || {
            // Without a serial number two disks look as one that has two paths.
            let unit = Some(unit(host, disk)?);
            Some(Self { id: wwid(host, disk)?, part, unit, is_certain: false })
        };
        let by_file = || Some(Self { id: file(host, disk)?, part, unit: None, is_certain: true });
        mapped().or_else(by_wwid).or_else(by_file)
    }

    /// Of the disk of illumos with this identity, whatever part of it.
    pub(super) fn of_devid(identity: &Identity) -> Self {
        Self { id: format!("{DEVID}{}", identity.devid), part: 0, unit: identity.unit.clone(), is_certain: true }
    }

    /// Whether both are the same; a whole disk is its first partition, where ZFS has its data.
    pub(super) fn same(&self, other: &Self) -> bool {
        let is_it = self.part == other.part || matches!((self.part, other.part), (0, 1) | (1, 0));
        is_it && self.has_part() && self.is_on_disk_of(other)
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let is_it = self.part == other.part || self.part == 0 || other.part == 0;
        is_it && self.has_part() && self.is_on_disk_of(other)
    }

    /// Whether it says which part of the disk it is; on illumos the names do.
    fn has_part(&self) -> bool {
        !self.id.starts_with(DEVID)
    }

    pub(super) fn is_on_disk_of(&self, other: &Self) -> bool {
        let units = self.unit.as_ref().zip(other.unit.as_ref());
        // What could not be read, as by a path that is down, is no proof of two disks.
        let is_certain =
            self.is_certain && other.is_certain && (self.has_part() || units.is_none_or(|(one, other)| one == other));
        self.id == other.id && (is_certain || units.is_some_and(|(one, other)| one == other))
    }

    /// What makes it one disk, in words.
    pub(super) fn describe(&self) -> String {
        match self.id.strip_prefix(MULTIPATH).or_else(|| self.id.strip_prefix(DEVID)) {
            Some(id) => format!("by the identifier {id}"),
            None => "of the same file".to_owned(),
        }
    }
}

/// The size of a disk, and the serial number that it gives.
fn unit(host: &Host, disk: &str) -> Option<String> {
    let size = files::read_text(&host.root, format!("/sys/block/{disk}/size")).ok().flatten()?;
    let of_nvme = || files::read_text(&host.root, format!("/sys/block/{disk}/device/serial")).ok().flatten();
    let serial = serial_of_scsi(host, disk).or_else(of_nvme)?.trim_matches([' ', '\0', '\n']).to_owned();
    (!serial.is_empty()).then(|| format!("{} {serial}", size.trim()))
}

/// The page 0x80 of SCSI's vital product data.
fn serial_of_scsi(host: &Host, disk: &str) -> Option<String> {
    let page = files::read(&host.root, format!("/sys/block/{disk}/device/vpd_pg80")).ok().flatten()?;
    let [_, 0x80, high, low, rest @ ..] = &page[..] else { return None };
    let serial = &rest[..usize::from(u16::from_be_bytes([*high, *low])).min(rest.len())];
    Some(String::from_utf8_lossy(serial).into_owned())
}

fn uuid(host: &Host, name: &str) -> Option<String> {
    let uuid = files::read_text(&host.root, format!("/sys/block/{name}/dm/uuid")).ok().flatten()?;
    Some(uuid.trim().to_owned()).filter(|uuid| uuid.starts_with(MULTIPATH))
}

/// The identity of the device that multipathd has made of a disk, and the kernel's name of that device: of the disk itself, when it
/// is that device.
fn map_over(host: &Host, disk: &str) -> Option<(String, String)> {
    let all = [disk.to_owned()].into_iter().chain(others(host, disk, "holders"));
    all.into_iter().find_map(|name| Some((uuid(host, &name)?, name)))
}

/// As multipathd would make it: of the designators of SCSI, NAA (3) and EUI-64 (2) are meant to be unique in the world.
fn wwid(host: &Host, disk: &str) -> Option<String> {
    if let Some(namespace) = wwid_of_nvme(host, disk) {
        return Some(namespace);
    }
    let wwid = files::read_text(&host.root, format!("/sys/block/{disk}/device/wwid")).ok().flatten()?;
    let (kind, number) = wwid.trim().split_once('.')?;
    // What stands before the part that the vendor numbers: the format and its own number in the register of the IEEE.
    let (kind, before) = match kind {
        "naa" if number.starts_with('2') => (3, 10),
        "naa" => (3, 7),
        "eui" if number.len() == 32 => (2, 22),
        "eui" => (2, 6),
        _ => return None,
    };
    // A controller that has no number says so in zeros, or counts from there.
    let numbered = number.as_bytes().get(before..number.len().saturating_sub(1))?;
    numbered.iter().any(|byte| *byte != b'0').then(|| format!("{MULTIPATH}{kind}{number}"))
}

/// Of a namespace of NVMe, which multipathd calls as the kernel does: by its EUI-64, NGUID or UUID, or else by vendor, serial
/// number, model and its own number.
fn wwid_of_nvme(host: &Host, disk: &str) -> Option<String> {
    let wwid = files::read_text(&host.root, format!("/sys/block/{disk}/wwid")).ok().flatten()?;
    let wwid = wwid.trim();
    let number = ["eui.", "uuid.", "nvme."].iter().find_map(|kind| wwid.strip_prefix(kind))?;
    number.bytes().any(|byte| !matches!(byte, b'0' | b'-')).then(|| format!("{MULTIPATH}{wwid}"))
}

/// The file of a loop device, by whatever name, and which part of it that is.
fn file(host: &Host, disk: &str) -> Option<String> {
    let read = |name: &str| files::read_text(&host.root, format!("/sys/block/{disk}/loop/{name}")).ok().flatten();
    let number = |name: &str| read(name).map(|text| text.trim().to_owned()).unwrap_or_default();
    let path = read("backing_file")?;
    let path = path.trim_end_matches('\n');
    // One that was removed is another one than the next by its name, and nobody can tell the two apart.
    if path.ends_with(" (deleted)") {
        return None;
    }
    let mounts = mount_table::mounts(host).ok()?;
    let file = match mount_table::holding(&mounts, path).is_some_and(may_wait) {
        // Whoever looks there may wait for a server for ever.
        true => path.to_owned(),
        false => {
            std::fs::metadata(host.root.locate(path)).map(|found| format!("{}:{}", found.dev(), found.ino())).ok()?
        }
    };
    Some(format!("file {} {} {file}", number("offset"), number("sizelimit")))
}

/// What `file` answers, as where a loop device begins in its file, where it ends, and which file that is.
fn range(file: &str) -> Option<(u64, u64, &str)> {
    let mut words = file.strip_prefix("file ")?.splitn(3, ' ');
    // Where the kernel says neither, it is all of the file.
    let mut number = || words.next()?.parse::<u64>().ok();
    let (from, most) = (number().unwrap_or(0), number().unwrap_or(0));
    let file = words.next()?;
    Some((from, if most == 0 { u64::MAX } else { u64::saturating_add(from, most) }, file))
}

/// The other loop devices that have a part of a loop device's file in common with it.
pub(super) fn loops_of_the_same_file(host: &Host, names: &Names) -> Vec<String> {
    let disk = names.any_disk.as_deref().and_then(|disk| disk.strip_prefix("/dev/"));
    let Some((disk, own)) = disk.and_then(|disk| Some((disk, file(host, disk)?))) else { return Vec::new() };
    let Some((from, to, own)) = range(&own) else { return Vec::new() };
    let meets = |other: &String| {
        other != disk
            && file(host, other).is_some_and(|other| {
                range(&other).is_some_and(|(begin, end, other)| other == own && begin < to && from < end)
            })
    };
    let mut found: Vec<String> = disks(host).filter(meets).map(|name| format!("/dev/{name}")).collect();
    found.sort();
    found
}

fn disks(host: &Host) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(host.root.locate("/sys/block")).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

/// What multipathd has made of the disk that a device is only one path to, `/dev/mapper/NAME`.
pub(super) fn map_instead(host: &Host, names: &Names) -> Option<String> {
    let disk = names.any_disk.as_deref()?.strip_prefix("/dev/")?;
    let (_, map) = map_over(host, disk).filter(|(_, map)| map != disk)?;
    let name = files::read_text(&host.root, format!("/sys/block/{map}/dm/name")).ok().flatten();
    Some(name.map_or_else(|| format!("/dev/{map}"), |name| format!("/dev/mapper/{}", name.trim())))
}

/// The nodes of a device by the other paths to its disk. What multipathd has made of some does not count these: it holds them all
/// the time.
pub(super) fn other_paths(host: &Host, names: &Names) -> Vec<String> {
    let Some(lun) = &names.lun else { return Vec::new() };
    let own = names.any_disk.as_deref().and_then(|disk| disk.strip_prefix("/dev/")).unwrap_or_default();
    let is_held = |disk: &String| others(host, disk, "holders").iter().any(|holder| holder == own);
    let is_it =
        |disk: &String| !is_held(disk) && Lun::of(host, disk, lun.part).is_some_and(|other| lun.is_on_disk_of(&other));
    let node = |disk: String| match lun.part {
        0 => Some(disk),
        number if uuid(host, &disk).is_some() => {
            let is_part = |other: &String| mapped_number(host, other) == Some(number);
            others(host, &disk, "holders").into_iter().find(is_part)
        }
        number if disk.ends_with(|end: char| end.is_ascii_digit()) => Some(format!("{disk}p{number}")),
        number => Some(format!("{disk}{number}")),
    };
    let nodes = disks(host).filter(is_it).filter_map(node).map(|name| format!("/dev/{name}"));
    let mut nodes: Vec<String> = nodes.filter(|node| *node != names.own).collect();
    nodes.sort();
    nodes
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;
    use crate::System;
    use crate::fake::Machine;

    fn write(host: &Host, path: &str, text: &str) {
        let path = host.root.locate(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn disk(host: &Host, name: &str, wwid: &str, size: &str, serial: &str) {
        write(host, &format!("/sys/block/{name}/device/wwid"), &format!("{wwid}\n"));
        write(host, &format!("/sys/block/{name}/size"), &format!("{size}\n"));
        if !serial.is_empty() {
            let page = [&[0, 0x80, 0, u8::try_from(serial.len()).unwrap()], serial.as_bytes()].concat();
            std::fs::write(host.root.locate(format!("/sys/block/{name}/device/vpd_pg80")), page).unwrap();
        }
    }

    /// Two disks with several paths each; of two to the first, `sda` and `sdb`, multipathd has made `dm-0` with two partitions.
    fn machine() -> (tempfile::TempDir, Host) {
        let (directory, host, _machine) = Machine::start(System::Linux);
        for name in ["sda", "sdb", "sdz"] {
            disk(&host, name, "naa.5000c500a1b2c3d4", "8192", " S1 ");
        }
        for name in ["sdc", "sdd"] {
            disk(&host, name, "eui.0025385b71b0a1c2", "8192", "S2");
        }
        for disk in ["sda", "sdb"] {
            write(&host, &format!("/sys/class/block/{disk}/holders/dm-0"), "");
            write(&host, &format!("/sys/class/block/dm-0/slaves/{disk}"), "");
        }
        write(&host, "/sys/block/dm-0/dm/uuid", "mpath-35000c500a1b2c3d4\n");
        write(&host, "/sys/block/dm-0/dm/name", "mpatha\n");
        for (part, number) in [("dm-1", 1), ("dm-2", 2)] {
            write(&host, &format!("/sys/block/{part}/dm/uuid"), &format!("part{number}-mpath-35000c500a1b2c3d4\n"));
            write(&host, &format!("/sys/class/block/{part}/slaves/dm-0"), "");
            write(&host, &format!("/sys/class/block/dm-0/holders/{part}"), "");
        }
        write(&host, "/srv/a", "");
        std::fs::hard_link(host.root.locate("/srv/a"), host.root.locate("/srv/too")).unwrap();
        for (disk, file, offset) in [
            ("loop1", "/srv/a", 0),
            ("loop2", "/srv/too", 0),
            ("loop3", "/srv/b", 0),
            ("loop4", "/srv/a", 1 << 20),
            ("loop5", "/srv/gone (deleted)", 0),
            ("loop6", "/srv/gone (deleted)", 0),
            ("loop7", "/srv/b", 0),
        ] {
            write(&host, &format!("/sys/block/{disk}/loop/backing_file"), &format!("{file}\n"));
            write(&host, &format!("/sys/block/{disk}/loop/offset"), &format!("{offset}\n"));
        }
        let real = "naa.5000c500a1b2c3d5";
        for (name, wwid, size, serial) in [
            ("sde", "t10.ATA same", "8192", "S3"),
            ("sdf", "t10.ATA same", "8192", "S3"),
            ("sdg", "naa.5000000000000001", "8192", "S3"),
            ("sdh", "naa.5000000000000001", "8192", "S3"),
            ("sdi", "eui.8ce38e0000000000", "8192", "S3"),
            ("sdj", "eui.8ce38e0000000000", "8192", "S3"),
            ("sdk", real, "8192", ""),
            ("sdl", real, "8192", ""),
            ("sdm", real, "8192", "S4"),
            ("sdn", real, "8192", "S5"),
            ("sdo", real, "4096", "S5"),
        ] {
            disk(&host, name, wwid, size, serial);
        }
        // One namespace by two controllers, of one of which multipathd has made a disk; another one; and cheap ones.
        for (name, wwid, serial) in [
            ("nvme0n1", "eui.0025385b71b0a1c2", "N1"),
            ("nvme1n1", "eui.0025385b71b0a1c2", "N1"),
            ("nvme0n2", "uuid.0f4e4a2c-93ae-4e6d-8c55-5f2f8f0a5b11", "N1"),
            ("nvme2n1", "eui.0000000000000000", "N2"),
            ("nvme3n1", "eui.0000000000000000", "N2"),
            ("nvme4n1", "eui.0100000001000000", "N3"),
            ("nvme5n1", "eui.0100000001000000", "N4"),
            ("nvme6n1", "nvme.144d-533131-4d31-00000001", "N5"),
            ("nvme7n1", "nvme.144d-533131-4d31-00000001", "N5"),
        ] {
            write(&host, &format!("/sys/block/{name}/wwid"), &format!("{wwid}\n"));
            write(&host, &format!("/sys/block/{name}/size"), "8192\n");
            write(&host, &format!("/sys/block/{name}/device/serial"), &format!("{serial}              \n"));
        }
        write(&host, "/sys/block/dm-7/dm/uuid", "mpath-eui.0025385b71b0a1c2\n");
        write(&host, "/sys/class/block/dm-7/slaves/nvme1n1", "");
        write(&host, "/sys/class/block/nvme1n1/holders/dm-7", "");
        (directory, host)
    }

    #[test]
    fn a_disk_is_one_by_whatever_path() {
        let (_directory, host) = machine();
        for (one, other, same, overlaps) in [
            ("sda", "sdb", true, true),
            ("sda", "dm-0", true, true),
            ("sda", "dm-1", true, true),
            ("sdb1", "dm-1", true, true),
            ("sdb1", "dm-2", false, false),
            ("sdb2", "dm-2", true, true),
            ("sda", "sdb2", false, true),
            ("dm-0", "sdb2", false, true),
            ("sdc", "sdd1", true, true),
            ("sdc1", "sdd2", false, false),
            ("sda", "sdc", false, false),
            ("loop1", "loop2", true, true),
            ("loop1", "loop2p1", true, true),
            ("loop1p2", "loop2p1", false, false),
            ("loop1", "loop3", false, false),
            ("loop1", "loop4", false, false),
            ("loop5", "loop6", false, false),
            // Of what cannot be seen from here, as in another namespace, the name says nothing.
            ("loop3", "loop7", false, false),
            ("sdz1", "dm-1", true, true),
            // What is not unique in the world tells nothing.
            ("sde", "sdf", false, false),
            ("sdg", "sdh", false, false),
            ("sdi", "sdj", false, false),
            // And what should be is not always.
            ("sdk", "sdl", false, false),
            ("sdk", "sdm", false, false),
            ("sdm", "sdn", false, false),
            ("sdn", "sdo", false, false),
            ("nvme0n1", "nvme1n1", true, true),
            ("nvme0n1p1", "nvme1n1", true, true),
            ("nvme0n1p1", "nvme1n1p2", false, false),
            ("nvme0n1", "dm-7", true, true),
            ("nvme0n1", "nvme0n2", false, false),
            ("nvme2n1", "nvme3n1", false, false),
            ("nvme4n1", "nvme5n1", false, false),
            ("nvme6n1", "nvme7n1p1", true, true),
        ] {
            let names = |name: &str| names(&host, &format!("/dev/{name}"));
            let (one_names, other_names) = (names(one), names(other));
            assert_eq!(one_names.same(&other_names), same, "{one} {other}");
            assert_eq!(other_names.same(&one_names), same, "{other} {one}");
            assert_eq!(one_names.overlaps_disk(&other_names), overlaps, "{one} {other}");
            assert_eq!(other_names.overlaps_disk(&one_names), overlaps, "{other} {one}");
        }
    }

    #[test]
    fn a_path_is_known_as_one() {
        let (_directory, host) = machine();
        let of = |name: &str| {
            let names = names(&host, &format!("/dev/{name}"));
            (map_instead(&host, &names), other_paths(&host, &names).join(" "))
        };
        let map = Some("/dev/mapper/mpatha".to_owned());
        assert_eq!(of("sda"), (map.clone(), "/dev/dm-0 /dev/sdb /dev/sdz".to_owned()));
        assert_eq!(of("sda2"), (map, "/dev/dm-2 /dev/sdb2 /dev/sdz2".to_owned()));
        // The map holds its own paths; one that it has not is somebody's.
        assert_eq!(of("dm-0"), (None, "/dev/sdz".to_owned()));
        assert_eq!(of("dm-1"), (None, "/dev/sdz1".to_owned()));
        std::fs::remove_dir_all(host.root.locate("/sys/block/sdz")).unwrap();
        assert_eq!(of("dm-0"), (None, String::new()));
        assert_eq!(of("dm-1"), (None, String::new()));
        assert_eq!(of("sdd1"), (None, "/dev/sdc1".to_owned()));
        assert_eq!(of("loop2p1"), (None, "/dev/loop1p1".to_owned()));
        assert_eq!(of("sde"), (None, String::new()));
        let loops = |name: &str| loops_of_the_same_file(&host, &names(&host, &format!("/dev/{name}"))).join(" ");
        assert_eq!(loops("loop1p1"), "/dev/loop2 /dev/loop4");
        assert_eq!((loops("loop3").as_str(), loops("loop5").as_str(), loops("sda").as_str()), ("", "", ""));
        assert_eq!(of("nvme6n1p2"), (None, "/dev/nvme7n1p2".to_owned()));
        assert_eq!(of("nvme0n1"), (None, "/dev/dm-7 /dev/nvme1n1".to_owned()));
    }
}
