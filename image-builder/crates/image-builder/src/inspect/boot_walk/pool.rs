//! What loader, kernel and `beadm` want of the pool itself.
//!
//! Facts: illumos-gate's `boot/libsa/zfs/zfsimpl.c`, `vdev_disk.c` and libbe. Features that a loader does not read are not read
//! here either, so that such a pool is refused before.

use std::collections::BTreeMap;

use zfs_format::nvlist::NvList;
use zfs_image::reader::{Pool, ReadError};

use crate::inspect::verify::Findings;

const UUID: &str = "org.opensolaris.libbe:uuid";
const UUID_CHARACTERS: usize = 36;

/// Looks at the label and at the properties of the boot environment.
pub(super) fn check(pool: &Pool<'_>, environment: &str, findings: &mut Findings) -> Result<(), ReadError> {
    let mut problems = in_label(pool.label_config());
    let directory = pool.directories()?.into_iter().find(|directory| directory.name == environment);
    if let Some(directory) = directory {
        let properties = pool.properties(&directory)?;
        problems.extend(in_environment(&properties).into_iter().map(|problem| format!("{environment} {problem}")));
    }
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
