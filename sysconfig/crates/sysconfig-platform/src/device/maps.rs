//! Linux: maps of the device mapper over the same sectors. It holds what they lie on for all of them together, so that the kernel
//! lets everybody write on one while another one is mounted.

use super::Names;
use super::identity::{all_others, mapped_number};
use crate::{Host, Invocation, files};
use std::io;

/// The maps, by the kernel's names, that have sectors in common with the one that a device is, or is a part of; each with what
/// both lie on.
///
/// # Errors
/// When the kernel does not tell what lies on what.
pub(super) fn over_the_same(host: &Host, names: &Names) -> io::Result<Vec<(String, String)>> {
    let Some(own) = names.own.strip_prefix("/dev/").filter(|own| own.starts_with("dm-")) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for below in all_others(host, own, "slaves")? {
        let maps = all_others(host, &below, "holders")?.into_iter().filter(|map| map != own && map.starts_with("dm-"));
        let shared = maps.filter(|map| !are_apart(host, own, map, &below));
        found.extend(shared.map(|map| (map, below.clone())));
    }
    found.sort();
    found.dedup_by(|one, other| one.0 == other.0);
    Ok(found)
}

/// Whether two maps over one device are known to have none of its sectors in common.
fn are_apart(host: &Host, one: &str, other: &str, below: &str) -> bool {
    let uuid = |name: &str| files::read_text(&host.root, format!("/sys/block/{name}/dm/uuid")).ok().flatten();
    let is_of_lvm = |name: &str| uuid(name).is_some_and(|uuid| uuid.starts_with("LVM-"));
    if is_of_lvm(one) && is_of_lvm(other) {
        // Volumes are apart, but a volume and its snapshots have one device of LVM below them.
        return !uuid(below).is_some_and(|uuid| uuid.starts_with("LVM-") && uuid.trim_end().ends_with("-real"));
    }
    if let (Some(one), Some(other)) = (mapped_number(host, one), mapped_number(host, other)) {
        return one != other;
    }
    let table = |name: &str| {
        let name = files::read_text(&host.root, format!("/sys/block/{name}/dm/name")).ok().flatten()?;
        host.run(&Invocation::new("/usr/sbin/dmsetup", ["table", name.trim()])).ok().map(|table| table.stdout)
    };
    match (table(one), table(other)) {
        (Some(one), Some(other)) => tables_are_apart(&one, &other),
        _ => false,
    }
}

/// As [`are_apart`], by what `dmsetup table` says.
fn tables_are_apart(one: &str, other: &str) -> bool {
    let (Some(one), Some(other)) = (extents(one), extents(other)) else { return false };
    let meet = |one: &Extent<'_>, other: &Extent<'_>| {
        one.device == other.device && one.from < other.from + other.sectors && other.from < one.from + one.sectors
    };
    !one.iter().any(|one| other.iter().any(|other| meet(one, other)))
}

/// Sectors of a device.
struct Extent<'a> {
    device: &'a str,
    from: u64,
    sectors: u64,
}

/// What a map lies on; nothing for one that is not simply a row of pieces.
fn extents(table: &str) -> Option<Vec<Extent<'_>>> {
    let row = |line| match *str::split_whitespace(line).collect::<Vec<_>>() {
        [_, sectors, "linear", device, from] => {
            Some(Extent { device, from: from.parse().ok()?, sectors: sectors.parse().ok()? })
        }
        _ => None,
    };
    let rows: Option<Vec<_>> = table.lines().map(row).collect();
    rows.filter(|rows| !rows.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;
    use crate::System;
    use crate::fake::Machine;

    #[test]
    fn maps_over_one_device() {
        let (_root, host, _machine) = Machine::start(System::Linux);
        let write = |path: String, text: &str| {
            let path = host.root.locate(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        for (map, uuid, below) in [
            // Two volumes, a third one with a snapshot, and two maps of somebody, one of them with a key.
            ("dm-0", "LVM-aaaabbbb", "sda"),
            ("dm-1", "LVM-aaaacccc", "sda"),
            ("dm-2", "LVM-aaaadddd-real", "sda"),
            ("dm-3", "LVM-aaaadddd", "dm-2"),
            ("dm-4", "LVM-aaaaeeee", "dm-2"),
            ("dm-5", "", "sdb"),
            ("dm-6", "CRYPT-LUKS2-f00-x", "sdb"),
            ("dm-7", "part1-mpath-3500", "dm-9"),
            ("dm-8", "part2-mpath-3500", "dm-9"),
            ("dm-10", "", "sda2"),
            ("dm-11", "", "sda2"),
        ] {
            write(format!("/sys/block/{map}/dm/uuid"), &format!("{uuid}\n"));
            write(format!("/sys/class/block/{map}/slaves/{below}"), "");
            write(format!("/sys/class/block/{below}/holders/{map}"), "");
        }
        let found = |name: &str| {
            let found = over_the_same(&host, &names(&host, &format!("/dev/{name}"))).unwrap().into_iter();
            found.map(|(map, below)| format!("{map} on {below}")).collect::<Vec<_>>().join(" ")
        };
        for (name, expected) in [
            ("dm-0", ""),
            ("dm-3", "dm-4 on dm-2"),
            ("dm-4", "dm-3 on dm-2"),
            ("dm-5", "dm-6 on sdb"),
            ("dm-6", "dm-5 on sdb"),
            ("dm-7", ""),
            ("dm-10", "dm-11 on sda2"),
            ("dm-11", "dm-10 on sda2"),
            ("sdb", ""),
        ] {
            assert_eq!(found(name), expected, "{name}");
        }
        std::fs::remove_dir_all(host.root.locate("/sys/class/block/sda2/holders")).unwrap();
        let error = over_the_same(&host, &names(&host, "/dev/dm-10")).unwrap_err().to_string();
        assert!(error.contains("/sys/class/block/sda2/holders"), "{error}");
    }

    #[test]
    fn tables_tell_which_sectors() {
        let first = "0 2048 linear 8:16 0\n2048 2048 linear 8:32 4096\n";
        for (other, expected) in [
            ("0 2048 linear 8:16 2048\n", true),
            ("0 2049 linear 8:16 2047\n", false),
            ("0 10 linear 8:32 6143\n", false),
            ("0 10 linear 8:32 6144\n", true),
            ("0 10 linear 8:48 0\n", true),
            ("0 10 crypt aes-xts-plain64 :64:logon:x 0 8:48 0\n", false),
            ("", false),
        ] {
            assert_eq!(tables_are_apart(first, other), expected, "{other}");
            assert_eq!(tables_are_apart(other, first), expected, "{other}");
        }
    }
}
