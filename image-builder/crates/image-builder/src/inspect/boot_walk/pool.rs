//! What loader, kernel and `beadm` want of the pool itself.
//!
//! Facts: illumos-gate's `boot/libsa/zfs/zfsimpl.c`, `vdev_disk.c` and libbe. Features that a loader does not read are not read
//! here either, so that such a pool is refused before.

use std::collections::BTreeMap;

use disk_image::gpt::{Table, types};
use disk_image::illumos::unlike_zpool_create;
use zfs_format::nvlist::NvList;
use zfs_image::reader::{Pool, ReadError};

use crate::inspect::findings::Findings;

const UUID: &str = "org.opensolaris.libbe:uuid";
const UUID_CHARACTERS: usize = 36;
/// What the boot environment may have inherited as these, and what the loader can read of each.
const READABLE: [(&str, &[&str]); 3] = [
    // `on` is one of the others, whichever the pool has.
    ("compression", &["off", "on", "lzjb", "gzip", "zle", "lz4"]),
    ("dnodesize", &["legacy"]),
    ("encryption", &["off"]),
];

/// Looks at the label and at the properties of the boot environment.
pub(super) fn check(
    pool: &Pool<'_>,
    environment: &str,
    table: Option<&Table>,
    findings: &mut Findings,
) -> Result<(), ReadError> {
    let mut problems = in_label(pool.label_config());
    // It boots nevertheless.
    findings.good.extend(
        table
            .iter()
            .flat_map(|table| unlike_zpool_create(table))
            .map(|told| format!("boot: the partition table is not as zpool create makes it: {told}")),
    );
    if pool.pool_properties()?.get("autoexpand").is_some_and(|value| value == "on") {
        let told = keeps_from_growing(pool.label_config(), table).into_iter();
        findings.good.extend(told.map(|told| format!("boot: {told}")));
    }
    // A directory stands before those that are in it.
    let (mut effective, mut own) = (BTreeMap::new(), None);
    for directory in pool.directories()? {
        if environment == directory.name || is_above(&directory.name, environment) {
            let properties = pool.properties(&directory)?;
            effective.extend(properties.clone());
            own = Some(properties).filter(|_| environment == directory.name);
        }
    }
    let of_environment = own.iter().flat_map(in_environment).chain(not_readable(&effective));
    problems.extend(of_environment.map(|problem| format!("{environment} {problem}")));
    findings.good.extend(of_machine(pool.label_config()).map(|told| format!("boot: {told}")));
    if problems.is_empty() {
        findings.good.push(format!("boot: the pool is one to boot from, and {environment} a boot environment"));
    }
    findings.bad.extend(problems.into_iter().map(|problem| format!("boot: {problem}")));
    Ok(())
}

fn in_label(label: &NvList) -> Vec<String> {
    let mut problems = Vec::new();
    if label.u64("vdev_children") != Some(1) {
        problems.push("the pool has several top-level vdevs, and the kernel boots from one only".to_owned());
    }
    let Some(tree) = label.list("vdev_tree") else {
        problems.push("the pool's label has no vdev_tree".to_owned());
        return problems;
    };
    let leaves = tree.lists("children").unwrap_or(std::slice::from_ref(tree));
    for leaf in leaves {
        if leaf.string("type") == Some("file") {
            problems.push("the pool's label says that it is in a file, which the loader refuses".to_owned());
        }
        if !leaf.string("path").is_some_and(|path| path.starts_with('/')) {
            problems.push(
                "the pool's label has no absolute path of the disk, without which the kernel refuses it".to_owned(),
            );
        }
    }
    problems
}

/// The kernel writes where it found the disk. Elsewhere that leads nowhere, and it looks for the pool on all disks, as it does
/// without.
fn of_machine(label: &NvList) -> Option<String> {
    let tree = label.list("vdev_tree")?;
    let leaves = tree.lists("children").unwrap_or(std::slice::from_ref(tree));
    let names = ["devid", "phys_path"].into_iter();
    let names: Vec<_> = names.filter(|name| leaves.iter().any(|leaf| leaf.string(name).is_some())).collect();
    let told =
        |names: String| format!("the pool ran on a machine, and has its {names}; another one looks on all disks");
    (!names.is_empty()).then(|| told(names.join(" and ")))
}

fn is_above(directory: &str, environment: &str) -> bool {
    environment.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

/// Why a pool that is to grow with its disk would not: libefi moves the last entry of the table, which has to be the reserved one,
/// and gives its room to the one before.
fn keeps_from_growing(label: &NvList, table: Option<&Table>) -> Vec<String> {
    let mut reasons = Vec::new();
    let whole = label.list("vdev_tree").and_then(|tree| tree.u64("whole_disk"));
    if whole == Some(0) {
        reasons.push("the pool's label says that the disk is not all its own (whole_disk)".to_owned());
    }
    if let Some(table) = table {
        let is_last = table
            .partitions
            .last()
            .is_some_and(|last| last.slot + 1 == table.entry_count && last.type_guid == types::ILLUMOS_RESERVED);
        if !is_last {
            let count = table.entry_count;
            reasons.push(format!("the last of the {count} entries of the partition table is not the reserved one"));
        }
    }
    reasons.into_iter().map(|reason| format!("autoexpand is on, and the pool cannot grow: {reason}")).collect()
}

/// What the loader cannot read although no feature of the pool says so.
fn not_readable(properties: &BTreeMap<String, String>) -> Vec<String> {
    let wrong = READABLE.iter().filter_map(|(name, readable)| {
        let value = properties.get(*name)?;
        let known = value.split_once('-').map_or(value.as_str(), |(kind, _)| kind);
        (!readable.contains(&known)).then(|| format!("has {value} as {name}, which the loader does not read"))
    });
    wrong.collect()
}

fn in_environment(properties: &BTreeMap<String, String>) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, wanted) in [("mountpoint", "/"), ("canmount", "noauto")] {
        let found = properties.get(name).map_or("nothing", String::as_str);
        if found != wanted {
            problems.push(format!("has {found} as {name} instead of {wanted}"));
        }
    }
    if properties.get(UUID).map(String::len) != Some(UUID_CHARACTERS) {
        problems.push(format!("has no {UUID}, by which beadm knows a boot environment"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk_image::Guid;
    use disk_image::gpt::{Partition, SectorSize};

    fn disk() -> NvList {
        NvList::new().with("type", "disk").with("path", "/dev/dsk/c1t0d0s1")
    }

    fn label(tree: NvList) -> NvList {
        NvList::new().with("vdev_children", 1_u64).with("vdev_tree", tree)
    }

    #[test]
    fn labels_that_do_not_boot_are_told() {
        assert_eq!(in_label(&label(disk())), [""; 0]);
        let mirror = NvList::new().with("type", "mirror").with("children", vec![disk(), disk()]);
        assert_eq!(in_label(&label(mirror)), [""; 0]);
        let file = NvList::new().with("type", "file").with("path", "pool.img");
        let found = in_label(&label(file));
        assert!(
            found[0].contains("in a file") && found[1].contains("no absolute path") && found.len() == 2,
            "{found:?}"
        );
        let striped = label(disk()).with("vdev_children", 2_u64);
        assert!(in_label(&striped)[0].contains("several top-level vdevs"));
        assert_eq!(in_label(&NvList::new().with("vdev_children", 1_u64)), ["the pool's label has no vdev_tree"]);
    }

    #[test]
    fn a_pool_that_ran_somewhere_is_told_and_no_damage() {
        let elsewhere = disk().with("devid", "id1,sd@x/b").with("phys_path", "/pci@0,0/disk@1,0:b");
        assert_eq!(in_label(&label(elsewhere.clone())), [""; 0]);
        assert_eq!(of_machine(&label(disk())), None);
        assert!(of_machine(&label(elsewhere)).is_some_and(|told| told.contains("its devid and phys_path")));
    }

    #[test]
    fn pools_that_cannot_grow_although_they_shall_are_told() {
        let table = |entry_count, slots: &[(u32, Guid)]| {
            let partition = |(slot, type_guid): &(u32, Guid)| Partition {
                slot: *slot,
                type_guid: *type_guid,
                guid: Guid::from_u128(u128::from(*slot) + 1),
                first_lba: 0,
                last_lba: 0,
                attributes: 0,
                name: String::new(),
            };
            let partitions = slots.iter().map(partition).collect();
            let (sector_size, disk_guid) = (SectorSize::B512, Guid::from_u128(1));
            Table { sector_size, disk_sectors: 0, disk_guid, entry_count, partitions }
        };
        let good = [(1, types::ILLUMOS_USR), (8, types::ILLUMOS_RESERVED)];
        let whole = label(disk().with("whole_disk", 1_u64));
        assert_eq!(keeps_from_growing(&whole, None), [""; 0]);
        assert_eq!(keeps_from_growing(&whole, Some(&table(9, &good))), [""; 0]);
        for other in [table(128, &good), table(9, &good[..1])] {
            let found = keeps_from_growing(&whole, Some(&other));
            assert!(found[0].contains("entries of the partition table") && found.len() == 1, "{found:?}");
        }
        let part = label(disk().with("whole_disk", 0_u64));
        assert!(keeps_from_growing(&part, None)[0].contains("whole_disk"));
    }

    #[test]
    fn what_the_loader_does_not_read_is_told() {
        let of = |name: &str, value: &str| not_readable(&BTreeMap::from([(name.to_owned(), value.to_owned())]));
        for (name, value) in
            [("compression", "lz4"), ("compression", "gzip-9"), ("dnodesize", "legacy"), ("atime", "on")]
        {
            assert_eq!(of(name, value), [""; 0]);
        }
        for (name, value) in [("compression", "zstd-3"), ("dnodesize", "auto"), ("encryption", "aes-256-gcm")] {
            assert_eq!(of(name, value), [format!("has {value} as {name}, which the loader does not read")]);
        }
        assert!(is_above("rpool/ROOT", "rpool/ROOT/be") && !is_above("rpool/ROOT/b", "rpool/ROOT/be"));
    }

    #[test]
    fn datasets_that_are_no_boot_environments_are_told() {
        let uuid = "00000000-0000-4000-8000-000000000000";
        let good = [("mountpoint", "/"), ("canmount", "noauto"), (UUID, uuid)];
        let of = |list: &[(&str, &str)]| {
            in_environment(&list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        assert_eq!(of(&good), [""; 0]);
        assert_eq!(
            of(&[("mountpoint", "/rpool"), (UUID, "x")]),
            [
                "has /rpool as mountpoint instead of /",
                "has nothing as canmount instead of noauto",
                "has no org.opensolaris.libbe:uuid, by which beadm knows a boot environment"
            ]
        );
    }
}
