//! What `validate` refuses, and at which key.

use crate::support::{config, illumos, linux};

const DATASETS: &[(&str, &str, &str)] = &[
    ("name = \"/tank\"", "name", "a component is empty"),
    ("name = \"tank/a b\"", "name", "' ' cannot be part of it"),
    ("name = \"tank@s\"", "name", "'@' cannot be part of it"),
    ("name = \"tank/a\"\nproperties = { used = 1 }", "properties.used", "the system computes it"),
    ("name = \"tank/a\"\nproperties = { \"sysconfig:owner\" = \"me\" }", "properties.sysconfig:owner", "own notes"),
    ("name = \"tank/a\"\nproperties = { \"userquota@joe\" = \"1G\" }", "properties.userquota@joe", "users and groups"),
    (
        "name = \"tank/a\"\nproperties = { \"Comp ression\" = \"on\" }",
        "properties.Comp ression",
        "not the name of a property",
    ),
    ("name = \"tank/a\"\nproperties = { quota = \"ten\" }", "properties.quota", "it is no size"),
    (
        "name = \"tank/a\"\nproperties = { quota = \"1G\", reservation = \"2G\" }",
        "properties.reservation",
        "more than quota allows",
    ),
    ("name = \"tank/a\"\nproperties = { compress = \"lz4\" }", "properties.compress", "its whole name is compression"),
    ("name = \"tank/a\"\nproperties = { mountpoint = \"data\" }", "properties.mountpoint", "no absolute path"),
    ("name = \"tank/a\"\nproperties = { mountpoint = \"/a/../b\" }", "properties.mountpoint", "roundabout"),
    (
        "name = \"tank/a\"\nproperties = { canmount = true, mountpoint = \"/a\", canmont = \"x\\n\" }",
        "properties.canmont",
        "control character",
    ),
    ("name = \"tank/a\"\nabsent = true", "absent", "needs permission"),
    ("name = \"tank\"\nabsent = true\nallow-destructive = true", "absent", "is a pool"),
    ("name = \"tank/a\"\nproperty = {}", "", "unknown field `property`"),
    ("name = \"tank/a\"\nproperties = { quota = 1.5 }", "properties.quota", "expected a text"),
];

const MOUNTS: &[(&str, &str, &str, &str)] = &[
    ("both", "device = \"swap\"\nmountpoint = \"tmp\"\ntype = \"tmpfs\"", "mountpoint", "no absolute path"),
    ("both", "device = \"swap\"\nmountpoint = \"/tmp/\"\ntype = \"tmpfs\"", "mountpoint", "ends with a slash"),
    ("both", "device = \"swap\"\nmountpoint = \"/\"\ntype = \"tmpfs\"", "mountpoint", "belongs to the system"),
    ("both", "device = \"swap\"\nmountpoint = \"/proc/x\"\ntype = \"tmpfs\"", "mountpoint", "belongs to the system"),
    ("both", "device = \"swap\"\nmountpoint = \"/tmp\"\ntype = \"swap\"", "type", "no type of file system"),
    ("both", "device = \"server\"\nmountpoint = \"/m\"\ntype = \"nfs\"", "device", "server:/path"),
    (
        "both",
        "device = \"swap\"\nmountpoint = \"/m\"\ntype = \"tmpfs\"\noptions = [\"a\", \"ro,nosuid\"]",
        "options[1]",
        "holds a comma",
    ),
    (
        "both",
        "device = \"swap\"\nmountpoint = \"/m\"\ntype = \"tmpfs\"\noptions = [\"noauto\"]",
        "options[0]",
        "at boot",
    ),
    (
        "both",
        "device = \"swap\"\nmountpoint = \"/m\"\ntype = \"tmpfs\"\noptions = [\"ro\", \"ro\"]",
        "options[1]",
        "listed twice",
    ),
    ("both", "device = \"swap\"\nmountpoint = \"/m\"\ntype = \"tmpfs\"\noption = []", "", "unknown field `option`"),
    ("both", "device = \"swap\"\nmountpoint = \"/m\"", "", "missing field `type`"),
    ("both", "device = \"1tank\"\nmountpoint = \"/m\"\ntype = \"zfs\"", "device", "begins with a letter"),
    ("illumos", "device = \"/dev/sdb1\"\nmountpoint = \"/m\"\ntype = \"vfat\"", "type", "illumos has no type vfat"),
    ("illumos", "device = \"/dev/sdb1\"\nmountpoint = \"/m\"\ntype = \"ext4\"", "type", "illumos has no type ext4"),
    ("illumos", "device = \"/a\"\nmountpoint = \"/m\"\ntype = \"9p\"", "type", "illumos has no type 9p"),
    (
        "illumos",
        "device = \"/dev/rdsk/c1t0d0s0\"\nmountpoint = \"/m\"\ntype = \"ufs\"",
        "device",
        "mounted is /dev/dsk/c1t0d0s0",
    ),
    ("illumos", "device = \"swap\"\nmountpoint = \"/a b\"\ntype = \"tmpfs\"", "", "vfstab cannot express spaces"),
    (
        "linux",
        "device = \"/dev/disk/by-id/b-part1\"\nmountpoint = \"/m\"\ntype = \"pcfs\"",
        "type",
        "Linux has no type pcfs",
    ),
    ("linux", "device = \"sdb1\"\nmountpoint = \"/m\"\ntype = \"ext4\"", "device", "no absolute path"),
    ("linux", "device = \"/m/x\"\nmountpoint = \"/m\"\ntype = \"bind\"", "device", "below its own mount point"),
];

#[test]
fn every_refusal_names_its_key() {
    for (name, mut fixture) in [("illumos", illumos()), ("linux", linux())] {
        let datasets = DATASETS.iter().map(|(text, key, part)| ("dataset", text, key, part));
        let mounts = MOUNTS.iter().filter(|(on, ..)| [name, "both"].contains(on));
        let mounts = mounts.map(|(_, text, key, part)| ("mount", text, key, part));
        for (table, text, key, part) in datasets.chain(mounts) {
            let text = format!("[[storage.{table}]]\n{text}\n");
            let found = fixture.harness.validate(config(&text));
            assert_eq!(found.len(), 1, "{name} {text}{found:?}");
            let key = if key.is_empty() { String::new() } else { format!(".{key}") };
            assert!(found[0].key.starts_with(&format!("storage.{table}[0]{key}")), "{text}{found:?}");
            assert!(found[0].message.contains(part), "{text}{found:?}");
        }
    }
}

#[test]
fn contradictions_between_entries() {
    for (text, key, part) in [
        (
            "[[storage.dataset]]\nname = \"tank/a\"\n[[storage.dataset]]\nname = \"tank/a\"\n",
            "storage.dataset[1].name",
            "the same dataset",
        ),
        (
            "[[storage.dataset]]\nname = \"tank/a\"\nproperties = { mountpoint = \"/a\" }\n\
             [[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/a\"\ntype = \"tmpfs\"\n",
            "storage.mount[0].mountpoint",
            "storage.dataset[0] is mounted there",
        ),
        (
            "[[storage.dataset]]\nname = \"tank/a\"\n\
             [[storage.mount]]\ndevice = \"tank/a\"\nmountpoint = \"/a\"\ntype = \"zfs\"\n",
            "storage.mount[0].device",
            "not a legacy file system",
        ),
        (
            "[[storage.dataset]]\nname = \"tank/a\"\nproperties = { mountpoint = \"/x/y\" }\n\
             [[storage.dataset]]\nname = \"tank/a/b\"\nproperties = { mountpoint = \"/x\" }\n",
            "storage.dataset",
            "each of tank/a, tank/a/b has to be there before another",
        ),
    ] {
        let found = illumos().harness.validate(config(text));
        assert_eq!(found.len(), 1, "{text}{found:?}");
        assert!(found[0].key == key && found[0].message.contains(part), "{text}{found:?}");
    }
}

#[test]
fn a_name_that_may_be_another_disk_is_warned_of() {
    let warned = |device: &str| {
        let text = format!("[[storage.mount]]\ndevice = \"{device}\"\nmountpoint = \"/srv\"\ntype = \"ext4\"\n");
        let found = crate::support::linux().harness.validate(crate::support::config(&text));
        found.iter().map(|found| (found.key.clone(), found.is_error())).collect::<Vec<_>>()
    };
    assert_eq!(warned("/dev/sdb1"), [("storage.mount[0].device".to_owned(), false)]);
    assert_eq!([warned("UUID=0f5c2e9b"), warned("/dev/disk/by-id/ata-x-part1"), warned("/dev/mapper/a")].concat(), []);
}
