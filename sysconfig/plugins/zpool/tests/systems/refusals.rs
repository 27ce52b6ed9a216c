//! What is refused: configurations with their place, devices that hold something, and what ZFS would only do by force.

use crate::support::{DISK, Fixture, config, summaries, tank};
use sysconfig_plugin::Risk;

#[test]
fn bad_configurations_are_refused_with_their_place() {
    // (what is below the pool, the key, part of the message)
    let cases = [
        (r#"vdevs = ["c0t0d0"]"#, "storage.pool[0].vdevs[0]", "not absolute"),
        (r#"vdevs = ["/dev/rdsk/c0t0d0"]"#, "storage.pool[0].vdevs[0]", "block device"),
        (r#"vdevs = ["/dev/dsk/../x"]"#, "storage.pool[0].vdevs[0]", "shortest form"),
        (r#"vdevs = [{ mirror = ["/a"] }]"#, "storage.pool[0].vdevs[0]", "needs 2 devices"),
        (r#"vdevs = [{ raidz3 = ["/a", "/b", "/c"] }]"#, "storage.pool[0].vdevs[0]", "needs 4 devices"),
        (
            r#"vdevs = [{ mirror = ["/a", "/b"], raidz1 = ["/c", "/d"] }]"#,
            "storage.pool[0].vdevs[0]",
            "exactly one kind",
        ),
        (r#"vdevs = [{}]"#, "storage.pool[0].vdevs[0]", "exactly one kind"),
        (r#"vdevs = [{ mirror = ["/a", "/a"] }]"#, "storage.pool[0].vdevs[0].mirror[1]", "/a is also in"),
        ("vdevs = [\"/a\"]\nlog = [{ raidz1 = [\"/b\", \"/c\"] }]", "storage.pool[0].log[0]", "cannot be a raidz"),
        (r#"vdevs = ["/dev/zvol/dsk/tank/a"]"#, "storage.pool[0].vdevs[0]", "a volume of this very pool"),
        ("spares = [\"/b\"]", "storage.pool[0].spares", "not named"),
        ("vdevs = [\"/a\"]\nguid = \"x\"", "storage.pool[0].guid", "not the guid"),
        ("vdevs = [\"/a\"]\nguid = \"18446744073709551616\"", "storage.pool[0].guid", "not the guid"),
        ("vdevs = [\"/a\"]\nsearch = [\"var\"]", "storage.pool[0].search[0]", "absolute"),
        (
            "vdevs = [\"/a\"]\nallow-destructive = [\"/b\"]",
            "storage.pool[0].allow-destructive[0]",
            "not a device of this pool",
        ),
        ("vdevs = [\"/a\"]\nproperties = { size = 1 }", "storage.pool[0].properties", "not set but found out"),
        (
            "vdevs = [\"/a\"]\nproperties = { autoexpnd = \"on\" }",
            "storage.pool[0].properties",
            "no property autoexpnd",
        ),
        ("vdevs = [\"/a\"]\nproperties = { autoexpand = true }", "storage.pool[0].properties", "text or a number"),
        ("vdevs = [\"/a\"]\nproperties = { autoexpand = \"yes\" }", "storage.pool[0].properties", "one of on, off"),
        ("vdevs = [\"/a\"]\nproperties = { ashift = 40 }", "storage.pool[0].properties", "9 to 16"),
        (
            "vdevs = [\"/a\"]\nproperties = { \"feature@x\" = \"on\" }",
            "storage.pool[0].properties",
            "enabled or disabled",
        ),
        (
            "vdevs = [\"/a\"]\nroot-properties = { compresion = \"on\" }",
            "storage.pool[0].root-properties",
            "compression",
        ),
        ("vdevs = [\"/a\"]\nroot-properties = { used = 1 }", "storage.pool[0].root-properties", "read-only"),
        (
            "vdevs = [\"/a\"]\nroot-properties = { mountpoint = \"data\" }",
            "storage.pool[0].root-properties",
            "absolute",
        ),
        ("vdevs = [\"/a\"]\nroot-properties = { encryption = \"on\" }", "storage.pool[0].root-properties", "encrypted"),
    ];
    let mut fixture = Fixture::illumos();
    for (text, key, part) in cases {
        let found = fixture.harness.validate(config(&tank(text)));
        let errors: Vec<_> = found.iter().filter(|found| found.is_error()).collect();
        assert!(errors.iter().any(|error| error.key == key && error.message.contains(part)), "{text}\n{found:#?}");
    }
}

#[test]
fn names_of_pools() {
    let mut fixture = Fixture::illumos();
    for name in ["log", "mirror", "mirrors", "raidz2", "spare1", "c0", "c9t0d0", "1tank", "", "a/b", "a b", "a@b"] {
        let text = format!("[[storage.pool]]\nname = \"{name}\"\n");
        let found = fixture.harness.validate(config(&text));
        assert!(
            found.iter().any(|found| found.is_error() && found.key == "storage.pool[0].name"),
            "{name:?}: {found:?}"
        );
    }
    let twice = "[[storage.pool]]\nname = \"a\"\nguid = \"7\"\n[[storage.pool]]\nname = \"a\"\nguid = \"7\"\n";
    let keys: Vec<_> = fixture.harness.validate(config(twice)).into_iter().map(|found| found.key).collect();
    assert_eq!(keys, ["storage.pool[1].name", "storage.pool[1].guid"]);
}

#[test]
fn names_that_change_are_warned_of_and_never_permit_anything() {
    let mut fixture = Fixture::linux();
    let text = tank("vdevs = [\"/dev/sdb\"]\nallow-destructive = [\"/dev/sdb\"]");
    let found = fixture.harness.validate(config(&text));
    let severities: Vec<_> = found.iter().map(|found| (found.key.as_str(), found.is_error())).collect();
    assert_eq!(severities, [("storage.pool[0].vdevs[0]", false), ("storage.pool[0].allow-destructive[0]", true)]);
}

#[test]
fn a_configuration_of_illumos_can_be_checked_on_linux() {
    let mut fixture = Fixture::linux();
    let found = fixture.harness.validate(config(&tank(r#"vdevs = ["c#0t0d0"]"#)));
    let severities: Vec<_> = found.iter().map(|found| (found.key.as_str(), found.is_error())).collect();
    assert_eq!(severities, [("storage.pool[0].vdevs[0]", false)]);
}

/// Contents as a test writes them; those that real tools make are in `foreign`.
const CONTENTS: &[(&str, u64, &[u8], &str)] = &[
    ("ext4", 1080, &[0x53, 0xef], "an ext2, ext3 or ext4 file system (at byte 1080)"),
    ("ufs", 8192 + 1372, &[0x54, 0x19, 0x01, 0], "a UFS file system (at byte 9564)"),
    ("text", 0, b"Dear reader, this is all there is.", "text (at byte 0)"),
    ("one byte at the end", DISK - 1, &[1], "something unknown (at byte 134217727)"),
    ("one byte in the first MiB", (1 << 20) - 1, &[1], "something unknown (at byte 1048575)"),
    ("a copy of a partition table", DISK - 512, b"EFI PART", "the copy of a GUID partition table (at byte 134217216)"),
];

#[test]
fn a_device_that_holds_anything_is_refused_until_it_is_permitted_twice() {
    for (name, at, bytes, what) in CONTENTS {
        let mut fixture = Fixture::illumos();
        fixture.machine.storage(|storage| storage.scribble("/dev/dsk/c0t1d0", *at, bytes));
        let before = fixture.machine.storage(|storage| storage.bytes_of("/dev/dsk/c0t1d0"));
        let text = r#"vdevs = [{ mirror = ["c#0t0d0", "c#0t1d0"] }]"#;
        assert_eq!(fixture.refusals(&tank(text)), [format!("/dev/dsk/c0t1d0 holds {what}")], "{name}");
        // The permission for another device is none for this one.
        let other = tank(&format!("{text}\nallow-destructive = [\"c#0t0d0\"]"));
        assert_eq!(fixture.refusals(&other).len(), 1, "{name}");
        assert_eq!(fixture.commands(), [""; 0], "{name}");
        assert!(
            fixture.machine.storage(|storage| storage.bytes_of("/dev/dsk/c0t1d0")) == before,
            "{name}: not one byte changes"
        );
        let permitted = tank(&format!("{text}\nallow-destructive = [\"c#0t1d0\"]"));
        let steps = fixture.plan(&permitted);
        assert_eq!((steps.len(), steps[0].risk), (1, Risk::Destructive), "{name}");
        assert!(steps[0].summary.ends_with(&format!("/dev/dsk/c0t1d0 loses {what}")), "{}", steps[0].summary);
        fixture.converge_destructively(&permitted);
        assert_eq!(fixture.drawing(), "mirror(c0t0d0s0 c0t1d0s0)", "{name}");
    }
}

#[test]
fn a_device_that_changes_between_plan_and_apply_is_left_alone() {
    let mut fixture = Fixture::illumos();
    let text = tank(r#"vdevs = ["c#0t0d0"]"#);
    let steps = fixture.plan(&text);
    fixture.machine.storage(|storage| storage.scribble("/dev/dsk/c0t0d0", 1080, &[0x53, 0xef]));
    let error = fixture.harness.apply(&steps[0]).unwrap_err();
    assert!(error.chain().contains("has changed since the plan; it holds an ext2"), "{}", error.chain());
    assert_eq!(fixture.commands(), [""; 0]);
    // Also when something may be lost there, it is only what was seen.
    let permitted = tank("vdevs = [\"c#0t0d0\"]\nallow-destructive = [\"c#0t0d0\"]");
    let steps = fixture.plan(&permitted);
    fixture.machine.storage(|storage| storage.scribble("/dev/dsk/c0t0d0", 0, b"LUKS\xba\xbe"));
    let error = fixture.harness.apply(&steps[0]).unwrap_err();
    assert!(error.chain().contains("has changed since the plan"), "{}", error.chain());
    assert_eq!(fixture.commands(), [""; 0]);
}

#[test]
fn what_is_in_use_is_refused_whatever_is_permitted() {
    let mut fixture = Fixture::illumos();
    fixture.machine.type_in("zpool create other /dev/dsk/c0t0d0");
    let permitted = |disk: &str| tank(&format!("vdevs = [\"c#{disk}\"]\nallow-destructive = [\"c#{disk}\"]"));
    for disk in ["0t0d0", "0t0d0s0", "0t0d0p0"] {
        assert_eq!(
            fixture.refusals(&permitted(disk)),
            [format!("/dev/dsk/c{disk} is part of the imported pool other")]
        );
    }
    fixture.machine.storage(|storage| storage.add_mount("/dev/dsk/c0t1d0s3", "/export", "ufs", &[]));
    let refusals = fixture.refusals(&permitted("0t1d0"));
    assert_eq!(refusals, ["/dev/dsk/c0t1d0 is in use: /dev/dsk/c0t1d0s3 is mounted on /export"]);
    // A drive of pcfs has its letter behind the name of the disk.
    fixture.machine.storage(|storage| storage.add_mount("/dev/dsk/c0t2d0p0:c", "/mnt/stick", "pcfs", &[]));
    for disk in ["0t2d0", "0t2d0p1", "0t2d0s0"] {
        fixture.machine.storage(|storage| storage.add_file(&format!("/dev/rdsk/c{disk}"), DISK));
        let said = format!("/dev/dsk/c{disk} is in use: /dev/dsk/c0t2d0p0:c is mounted on /mnt/stick");
        assert_eq!(fixture.refusals(&permitted(disk)), [said]);
    }
    assert_eq!(fixture.commands(), ["zpool create other /dev/dsk/c0t0d0"]);
}

#[test]
fn a_pool_that_another_machine_may_use_is_neither_imported_nor_overwritten() {
    let mut fixture = Fixture::illumos();
    fixture.machine.type_in("zpool create tank /dev/dsk/c0t0d0");
    fixture.machine.type_in("zpool export tank");
    fixture.machine.storage(|storage| storage.exported[0].foreign = true);
    let text = tank(r#"vdevs = ["c#0t0d0"]"#);
    let refusals = fixture.refusals(&text);
    assert!(refusals[0].starts_with("it can be imported by force only"), "{refusals:?}");
    // Under another name the device only holds something; ZFS itself has the last word.
    let other = "[[storage.pool]]\nname = \"other\"\nvdevs = [\"/dev/dsk/c0t0d0\"]\nallow-destructive = [\"/dev/dsk/c0t0d0\"]\n";
    let steps = fixture.plan(other);
    assert_eq!(steps[0].risk, Risk::Destructive);
    fixture.machine.storage(|storage| storage.relabel("/dev/dsk/c0t0d0", 0));
    let steps_now = fixture.plan(other);
    assert!(fixture.harness.apply(&steps[0]).unwrap_err().chain().contains("has changed since the plan"));
    let error = fixture.harness.apply(&steps_now[0]).unwrap_err();
    assert!(error.chain().contains("is part of exported or potentially active ZFS pool tank"), "{}", error.chain());
    assert!(!fixture.commands().iter().any(|line| line.contains(" -f")), "{:?}", fixture.commands());
}

/// illumos objects to both in the same words, and the label tells them apart.
#[test]
fn a_disk_of_an_exported_pool_is_taken_with_both_permissions() {
    let mut fixture = Fixture::illumos();
    fixture.machine.type_in("zpool create old /dev/dsk/c0t0d0");
    fixture.machine.type_in("zpool export old");
    let permitted = tank("vdevs = [\"c#0t0d0\"]\nallow-destructive = [\"c#0t0d0\"]");
    let steps = fixture.plan(&permitted);
    fixture.harness.apply(&steps[0]).unwrap();
    assert!(fixture.commands().iter().any(|line| line.contains("create -f")), "{:?}", fixture.commands());
    assert_eq!(fixture.plan(&permitted), []);
}

#[test]
fn the_pool_that_holds_the_root_keeps_its_layout_also_without_bootfs() {
    let mut fixture = Fixture::illumos();
    fixture.machine.type_in("zpool create tank /dev/dsk/c0t0d0");
    let text = tank("vdevs = [{ mirror = [\"c#0t0d0\", \"c#0t1d0\"] }]");
    fixture.machine.storage(|storage| {
        storage.drop_mount("/");
        storage.add_mount("tank/ROOT/be", "/", "zfs", &["rw"]);
    });
    let refusals = fixture.refusals(&text);
    assert!(refusals[0].starts_with("it is the pool that the machine boots from"), "{refusals:?}");
}

#[test]
fn a_mount_between_plan_and_apply_is_noticed() {
    let mut fixture = Fixture::illumos();
    fixture.machine.type_in("zpool create old /dev/dsk/c0t0d0");
    fixture.machine.type_in("zpool export old");
    let permitted = tank("vdevs = [\"c#0t0d0\"]\nallow-destructive = [\"c#0t0d0\"]");
    let steps = fixture.plan(&permitted);
    assert!(steps[0].summary.contains("loses a member of the exported pool old"), "{}", steps[0].summary);
    fixture.machine.storage(|storage| storage.add_mount("/dev/dsk/c0t0d0s0", "/x", "ufs", &[]));
    let error = fixture.harness.apply(&steps[0]).unwrap_err();
    assert!(error.chain().contains("is mounted on /x"), "{}", error.chain());
    assert!(!fixture.commands().iter().any(|line| line.contains(" -f")));
}

#[test]
fn what_is_missing_or_cannot_be_looked_at_is_refused() {
    let mut fixture = Fixture::illumos();
    fixture.machine.storage(|storage| storage.add_file("/var/tmp/small", (64 << 20) - 1));
    fixture.machine.storage(|storage| storage.add_disk("c9t0d0", 512 << 20));
    std::fs::create_dir(fixture.host.root.locate("/var/tmp/directory")).unwrap();
    let cases = [
        (r#"vdevs = ["c#7t7d7"]"#, "there is no device /dev/dsk/c7t7d7"),
        (r#"vdevs = ["/dev/zvol/dsk/rpool/later"]"#, "there is no device /dev/zvol/dsk/rpool/later"),
        (r#"vdevs = ["/var/tmp/small"]"#, "/var/tmp/small is too small: 67108863 bytes"),
        (
            r#"vdevs = ["/var/tmp/directory"]"#,
            "/var/tmp/directory cannot be looked at: it is neither a disk nor a file",
        ),
        (r#"vdevs = [{ mirror = ["c#0t0d0", "c#9t0d0"] }]"#, "the devices of a vdev differ in size"),
        (
            r#"vdevs = ["c#0t0d0", { mirror = ["c#0t1d0", "c#0t2d0"] }]"#,
            "ZFS makes a pool by force only when a vdev is unlike the first one, a single device of 1",
        ),
    ];
    for (text, what) in cases {
        let refusals = fixture.refusals(&tank(text));
        assert!(refusals.iter().any(|refusal| refusal.starts_with(what)), "{text}: {refusals:?}");
    }
    fixture.machine.storage(|storage| storage.add_file("/var/tmp/a", DISK));
    let mixed = fixture.refusals(&tank(r#"vdevs = [{ mirror = ["c#0t0d0", "/var/tmp/a"] }]"#));
    assert!(mixed[0].starts_with("a vdev is made of files or of disks"), "{mixed:?}");
    assert_eq!(fixture.commands(), [""; 0]);
}

#[test]
fn a_refused_pool_does_not_hold_up_another_one() {
    let mut fixture = Fixture::illumos();
    let text = tank(r#"vdevs = ["c#7t7d7"]"#) + &tank(r#"vdevs = ["c#0t0d0"]"#).replace("tank", "other");
    let steps = fixture.plan(&text);
    assert_eq!(
        summaries(&steps),
        ["create the pool other of /dev/dsk/c0t0d0", "not done: pool tank: there is no device /dev/dsk/c7t7d7"]
    );
}

/// The daemon ends at a destructive step that it is not told to carry out, as at every boot.
#[test]
fn what_loses_something_comes_after_other_pools() {
    let mut fixture = Fixture::illumos();
    fixture.machine.type_in("zpool create third /dev/dsk/c0t2d0");
    for disk in ["c0t0d0", "c0t3d0"] {
        fixture.machine.storage(|storage| storage.scribble(&format!("/dev/dsk/{disk}"), 1080, &[0x53, 0xef]));
    }
    let third = "vdevs = [{ mirror = [\"c#0t2d0\", \"c#0t3d0\"] }]\nallow-destructive = [\"c#0t3d0\"]\n\
                 root-properties = { atime = \"off\" }";
    let text = tank("vdevs = [\"c#0t0d0\"]\nallow-destructive = [\"c#0t0d0\"]")
        + &tank(r#"vdevs = ["c#0t1d0"]"#).replace("tank", "other")
        + &tank(third).replace("tank", "third");
    let steps = fixture.plan(&text);
    let actions: Vec<_> = steps.iter().map(|step| (step.action.as_str(), step.resource.as_str())).collect();
    assert_eq!(actions, [("create", "other"), ("set", "third"), ("create", "tank"), ("attach", "third")]);
}

#[test]
fn a_file_that_a_device_is_made_of_is_refused_whatever_is_permitted() {
    let mut fixture = Fixture::illumos();
    fixture.machine.storage(|storage| {
        storage.add_file("/var/tmp/disk", DISK);
        storage.add_loop(1, "/var/tmp/disk");
    });
    let text = tank("vdevs = [\"/var/tmp/disk\"]\nallow-destructive = [\"/var/tmp/disk\"]");
    assert_eq!(fixture.refusals(&text), ["/var/tmp/disk is in use: /dev/lofi/1 is made of it"]);
}

#[test]
fn a_suspended_pool_is_reported_and_left_alone() {
    let mut fixture = Fixture::illumos();
    fixture.converge(&tank(r#"vdevs = ["c#0t0d0"]"#));
    fixture.machine.storage(|storage| storage.suspended = true);
    let refusals = fixture.refusals(&tank(
        r#"vdevs = ["c#0t0d0"]
        properties = { autoexpand = "on" }
        root-properties = { atime = "off" }"#,
    ));
    assert!(refusals[0].starts_with("it is SUSPENDED"), "{refusals:?}");
    assert_eq!(fixture.commands().len(), 1);
    let asked = fixture.machine.commands().into_iter().filter(|line| line.contains("zfs get")).count();
    assert_eq!(asked, 0, "whoever asks for its datasets may wait for ever");
}

#[test]
fn without_zfs_the_error_says_what_to_do() {
    let (_directory, host, _machine) = sysconfig_platform::fake::linux::Machine::start();
    let mut harness = sysconfig_plugin::testing::Harness::start(sysconfig_plugin_zpool::ZpoolPlugin::new(host));
    harness.configure(config(&tank(r#"vdevs = ["/a"]"#)));
    let error = harness.plan().unwrap_err();
    assert!(error.data.unwrap().help.unwrap().contains("install ZFS"));
}
