//! Linux: disks that several paths lead to. Each path has a device of its own, `/dev/sda` and `/dev/sdb`, and multipathd makes one of
//! the device mapper over them; whoever writes on one has written on all. Loop devices of one file are like that, too.

use super::identity::{Names, mapped_number, others};
use crate::{Host, files};
use serde::{Deserialize, Serialize};

/// What multipathd puts before the identity of a disk.
const MULTIPATH: &str = "mpath-";

/// Which disk it is that several paths may lead to, and which partition of it; 0 for the whole disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lun {
    id: String,
    part: u32,
}

impl Lun {
    /// Of the partition with this number on a disk of the kernel's name.
    pub(super) fn of(host: &Host, disk: &str, part: u32) -> Option<Self> {
        let id = map_over(host, disk).map(|(id, _)| id).or_else(|| by_wwid(host, disk)).or_else(|| by_file(host, disk));
        id.map(|id| Self { id, part })
    }

    /// Whether both are the same; a whole disk is its first partition, where ZFS has its data.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.id == other.id && (self.part == other.part || self.part + other.part == 1)
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.id == other.id && (self.part == other.part || self.part == 0 || other.part == 0)
    }
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

/// As multipathd would make it: of the designators of SCSI, NAA (3) and EUI-64 (2) are unique in the world.
fn by_wwid(host: &Host, disk: &str) -> Option<String> {
    let wwid = files::read_text(&host.root, format!("/sys/block/{disk}/device/wwid")).ok().flatten()?;
    let (kind, number) = wwid.trim().split_once('.')?;
    let kind = match kind {
        "naa" => 3,
        "eui" => 2,
        _ => return None,
    };
    // A controller that has none says so in zeros.
    number.bytes().any(|byte| byte != b'0').then(|| format!("{MULTIPATH}{kind}{number}"))
}

/// The file of a loop device, and which part of it that is.
fn by_file(host: &Host, disk: &str) -> Option<String> {
    let read = |name: &str| files::read_text(&host.root, format!("/sys/block/{disk}/loop/{name}")).ok().flatten();
    let number = |name: &str| read(name).map(|text| text.trim().to_owned()).unwrap_or_default();
    let file = read("backing_file")?;
    Some(format!("file {} {} {}", number("offset"), number("sizelimit"), file.trim_end_matches('\n')))
}

/// What multipathd has made of the disk that a device is only one path to, `/dev/mapper/NAME`.
pub(super) fn map_instead(host: &Host, names: &Names) -> Option<String> {
    let disk = names.any_disk.as_deref()?.strip_prefix("/dev/")?;
    let (_, map) = map_over(host, disk).filter(|(_, map)| map != disk)?;
    let name = files::read_text(&host.root, format!("/sys/block/{map}/dm/name")).ok().flatten();
    Some(name.map_or_else(|| format!("/dev/{map}"), |name| format!("/dev/mapper/{}", name.trim())))
}

/// The nodes of a device by the other paths to its disk.
pub(super) fn other_paths(host: &Host, names: &Names) -> Vec<String> {
    let Some(lun) = &names.lun else { return Vec::new() };
    let entries = std::fs::read_dir(host.root.locate("/sys/block")).into_iter().flatten();
    let disks = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_it = |disk: &String| Lun::of(host, disk, lun.part).as_ref() == Some(lun);
    let node = |disk: String| match lun.part {
        0 => Some(disk),
        number if uuid(host, &disk).is_some() => {
            let is_part = |other: &String| mapped_number(host, other) == Some(number);
            others(host, &disk, "holders").into_iter().find(is_part)
        }
        number if disk.ends_with(|end: char| end.is_ascii_digit()) => Some(format!("{disk}p{number}")),
        number => Some(format!("{disk}{number}")),
    };
    let nodes = disks.filter(is_it).filter_map(node).map(|name| format!("/dev/{name}"));
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

    /// Two disks with two paths each; of the first, `sda` and `sdb`, multipathd has made `dm-0` with two partitions.
    fn machine() -> (tempfile::TempDir, Host) {
        let (directory, host, _machine) = Machine::start(System::Linux);
        for (disk, wwid) in [("sda", "naa.5000c500a"), ("sdb", "naa.5000c500a"), ("sdc", "eui.1"), ("sdd", "eui.1")] {
            write(&host, &format!("/sys/block/{disk}/device/wwid"), &format!("{wwid}\n"));
        }
        for disk in ["sda", "sdb"] {
            write(&host, &format!("/sys/block/{disk}/holders/dm-0"), "");
            write(&host, &format!("/sys/block/dm-0/slaves/{disk}"), "");
        }
        write(&host, "/sys/block/dm-0/dm/uuid", "mpath-35000c500a\n");
        write(&host, "/sys/block/dm-0/dm/name", "mpatha\n");
        for (part, number) in [("dm-1", 1), ("dm-2", 2)] {
            write(&host, &format!("/sys/block/{part}/dm/uuid"), &format!("part{number}-mpath-35000c500a\n"));
            write(&host, &format!("/sys/block/{part}/slaves/dm-0"), "");
            write(&host, &format!("/sys/block/dm-0/holders/{part}"), "");
        }
        for (disk, file) in [("loop1", "/srv/a"), ("loop2", "/srv/a"), ("loop3", "/srv/b")] {
            write(&host, &format!("/sys/block/{disk}/loop/backing_file"), &format!("{file}\n"));
            write(&host, &format!("/sys/block/{disk}/loop/offset"), "0\n");
        }
        write(&host, "/sys/block/loop4/loop/backing_file", "/srv/a\n");
        write(&host, "/sys/block/loop4/loop/offset", "1048576\n");
        for (disk, wwid) in [("sde", "t10.ATA same"), ("sdf", "t10.ATA same"), ("sdg", "naa.0"), ("sdh", "naa.0")] {
            write(&host, &format!("/sys/block/{disk}/device/wwid"), wwid);
        }
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
            // What is not unique in the world tells nothing.
            ("sde", "sdf", false, false),
            ("sdg", "sdh", false, false),
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
        assert_eq!(of("sda"), (map.clone(), "/dev/dm-0 /dev/sdb".to_owned()));
        assert_eq!(of("sda2"), (map, "/dev/dm-2 /dev/sdb2".to_owned()));
        assert_eq!(of("dm-0"), (None, "/dev/sda /dev/sdb".to_owned()));
        assert_eq!(of("sdd1"), (None, "/dev/sdc1".to_owned()));
        assert_eq!(of("loop2p1"), (None, "/dev/loop1p1".to_owned()));
        assert_eq!(of("sde"), (None, String::new()));
    }
}
