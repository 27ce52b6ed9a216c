//! Pools are made, imported and extended.

use crate::support::{Fixture, SYSTEMS, disk, summaries, tank};

#[test]
fn every_kind_of_vdev_is_made_with_one_command() {
    let cases = [
        (r#"vdevs = ["c#0t0d0"]"#, "c0t0d0s0"),
        (r#"vdevs = ["c#0t0d0", "c#0t1d0"]"#, "c0t0d0s0 c0t1d0s0"),
        (r#"vdevs = [{ mirror = ["c#0t0d0", "c#0t1d0"] }]"#, "mirror(c0t0d0s0 c0t1d0s0)"),
        (
            r#"vdevs = [{ mirror = ["c#0t0d0", "c#0t1d0"] }, { mirror = ["c#0t2d0", "c#0t3d0"] }]"#,
            "mirror(c0t0d0s0 c0t1d0s0) mirror(c0t2d0s0 c0t3d0s0)",
        ),
        (r#"vdevs = [{ raidz = ["c#0t0d0", "c#0t1d0", "c#0t2d0"] }]"#, "raidz1(c0t0d0s0 c0t1d0s0 c0t2d0s0)"),
        (r#"vdevs = [{ raidz2 = ["c#0t0d0", "c#0t1d0", "c#0t2d0"] }]"#, "raidz2(c0t0d0s0 c0t1d0s0 c0t2d0s0)"),
        (
            r#"vdevs = [{ raidz3 = ["c#0t0d0", "c#0t1d0", "c#0t2d0", "c#0t3d0"] }]"#,
            "raidz3(c0t0d0s0 c0t1d0s0 c0t2d0s0 c0t3d0s0)",
        ),
        (
            r#"vdevs = ["c#0t0d0"]
            log = [{ mirror = ["c#0t1d0", "c#0t2d0"] }, "c#0t3d0"]
            cache = ["c#0t4d0"]
            spares = ["c#0t5d0", "c#0t6d0"]"#,
            "c0t0d0s0 log:c0t3d0s0 log:mirror(c0t1d0s0 c0t2d0s0) cache:c0t4d0s0 spare:c0t5d0s0 spare:c0t6d0s0",
        ),
    ];
    for (text, drawing) in cases {
        let mut fixture = Fixture::illumos();
        fixture.converge(&tank(text));
        assert_eq!(fixture.drawing(), drawing, "{text}");
        let commands = fixture.commands();
        assert_eq!(commands.len(), 1, "{commands:?}");
        assert!(!commands[0].contains(" -f"), "{commands:?}");
    }
}

#[test]
fn properties_come_with_the_pool() {
    let mut fixture = Fixture::illumos();
    let text = tank(
        r#"vdevs = ["c#0t0d0"]
        properties = { autoexpand = "on", comment = "of the tests", "feature@lz4_compress" = "enabled" }
        root-properties = { compression = "lz4", mountpoint = "/data", quota = "10G", "org.example:x" = "1" }"#,
    );
    fixture.converge(&text);
    fixture.machine.storage(|storage| {
        let root = &storage.datasets["tank"];
        assert_eq!(storage.pools["tank"].properties["autoexpand"], "on");
        assert_eq!((root.local("mountpoint"), root.local("quota")), (Some("/data"), Some("10737418240")));
        assert!(root.mounted);
    });
    assert_eq!(
        fixture.commands(),
        ["zpool create -o autoexpand=on -o 'comment=of the tests' -o feature@lz4_compress=enabled -O compression=lz4 \
          -m /data -O org.example:x=1 -O quota=10G tank /dev/dsk/c0t0d0"]
    );
}

#[test]
fn a_pool_of_disks_is_made_on_linux_and_found_again() {
    let mut fixture = Fixture::linux();
    let text = tank(r#"vdevs = [{ mirror = ["/dev/disk/by-id/d0", "/dev/disk/by-id/d1"] }]"#);
    fixture.converge(&text);
    assert_eq!(fixture.drawing(), "mirror(d0-part1 d1-part1)");
    // By another name it is the same disk.
    fixture.converge(&tank(r#"vdevs = [{ mirror = ["/dev/sdc", "/dev/disk/by-id/d0"] }]"#));
    assert_eq!(fixture.commands().len(), 1);
}

/// Some versions end with success when there is nothing to import, others do not.
#[test]
fn nothing_to_import_is_no_failure() {
    for status in [0, 1] {
        let mut fixture = Fixture::illumos();
        fixture.machine.storage(|storage| storage.nothing_to_import = status);
        fixture.converge(&tank(r#"vdevs = ["c#0t0d0"]"#));
        assert_eq!(fixture.refusals("[[storage.pool]]\nname = \"other\"\n").len(), 1);
    }
}

#[test]
fn files_are_vdevs_too() {
    let mut fixture = Fixture::illumos();
    for name in ["a", "b"] {
        fixture.machine.storage(|storage| storage.add_file(&format!("/var/tmp/{name}"), 64 << 20));
    }
    let text = tank(r#"vdevs = [{ mirror = ["/var/tmp/a", "/var/tmp/b"] }]"#);
    fixture.converge(&text);
    fixture.machine.type_in("zpool export tank");
    assert_eq!(fixture.converge(&text).len(), 2, "it is looked for where its files are");
    assert!(fixture.commands().iter().any(|line| line.starts_with("zpool import -d /var/tmp ")));
}

/// On illumos they are found only when their directory is named.
#[test]
fn volumes_of_another_pool_are_vdevs_too() {
    let mut fixture = Fixture::illumos();
    fixture.machine.storage(|storage| storage.add_file("/dev/zvol/dsk/rpool/a", 64 << 20));
    let node = |kind: &str| fixture.host.root.locate(format!("/dev/zvol/{kind}/rpool"));
    std::fs::create_dir_all(node("rdsk")).unwrap();
    std::fs::hard_link(node("dsk").join("a"), node("rdsk").join("a")).unwrap();
    let text = tank(r#"vdevs = ["/dev/zvol/dsk/rpool/a"]"#);
    fixture.converge(&text);
    fixture.machine.type_in("zpool export tank");
    let done = fixture.converge(&text);
    assert!(done[0].starts_with("import the pool tank"), "{done:?}");
}

#[test]
fn what_was_exported_behind_our_back_is_imported() {
    let mut fixture = Fixture::illumos();
    let text = tank(
        r#"vdevs = [{ mirror = ["c#0t0d0", "c#0t1d0"] }]
        properties = { autoexpand = "on" }
        root-properties = { compression = "lz4" }"#,
    );
    fixture.converge(&text);
    let guid = fixture.machine.storage(|storage| storage.pools["tank"].guid);
    fixture.machine.type_in("zpool export tank");
    let done = fixture.converge(&text);
    assert_eq!(done[0], format!("import the pool tank (guid {guid})"));
    assert_eq!(fixture.machine.storage(|storage| storage.pools["tank"].guid), guid);
}

#[test]
fn a_pool_without_vdevs_is_imported_by_name_or_by_guid() {
    for by_guid in [false, true] {
        let mut fixture = Fixture::illumos();
        fixture.machine.type_in("zpool create old mirror /dev/dsk/c0t0d0 /dev/dsk/c0t1d0");
        let guid = fixture.machine.storage(|storage| storage.pools["old"].guid);
        fixture.machine.type_in("zpool export old");
        let text = match by_guid {
            true => tank(&format!("guid = \"{guid}\"")),
            false => "[[storage.pool]]\nname = \"old\"\n".to_owned(),
        };
        let done = fixture.converge(&text);
        assert_eq!(done.len(), 2, "{done:?}");
        let name = if by_guid { "tank" } else { "old" };
        assert_eq!(fixture.machine.storage(|storage| storage.pools[name].guid), guid);
        assert_eq!(done[0].contains("called old"), by_guid, "{done:?}");
    }
}

#[test]
fn a_pool_grows_with_its_devices() {
    let mut fixture = Fixture::illumos();
    let text = tank(
        r#"vdevs = ["c#0t0d0"]
        properties = { autoexpand = "on" }"#,
    );
    fixture.converge(&text);
    fixture.machine.storage(|storage| storage.grow("/dev/dsk/c0t0d0", 512 << 20));
    let done = fixture.converge(&text);
    assert!(done[0].starts_with("use 402653184 bytes more"), "{done:?}");
    assert_eq!(fixture.commands().last().unwrap(), "zpool online -e tank /dev/dsk/c0t0d0s0");
    // Without the property nobody has asked for it.
    fixture.machine.storage(|storage| storage.grow("/dev/dsk/c0t0d0", 1 << 30));
    assert_eq!(fixture.converge(&tank(r#"vdevs = ["c#0t0d0"]"#)).len(), 0);
}

#[test]
fn replacing_all_devices_by_larger_ones_makes_the_pool_larger() {
    let mut fixture = Fixture::illumos();
    for disk in ["c9t0d0", "c9t1d0"] {
        fixture.machine.storage(|storage| storage.add_disk(disk, 512 << 20));
    }
    fixture.machine.storage(|storage| storage.resilver_looks = 4);
    let mirror = |one: &str, other: &str| {
        tank(&format!(
            r#"vdevs = [{{ mirror = ["c#{one}", "c#{other}"] }}]
            properties = {{ autoexpand = "on" }}"#
        ))
    };
    fixture.converge(&mirror("0t0d0", "0t1d0"));
    assert_eq!(
        fixture.converge(&mirror("9t0d0", "0t1d0")),
        ["replace /dev/dsk/c0t0d0s0 of the pool tank by /dev/dsk/c9t0d0"]
    );
    fixture.converge(&mirror("9t0d0", "9t1d0"));
    assert_eq!(fixture.drawing(), "mirror(c9t0d0s0 c9t1d0s0)");
}

#[test]
fn a_disk_that_was_changed_in_its_slot_is_replaced_and_one_that_came_back_is_used() {
    let text = tank(r#"vdevs = [{ mirror = ["c#0t0d0", "c#0t1d0"] }]"#);
    let mut fixture = Fixture::illumos();
    fixture.converge(&text);
    fixture.machine.storage(|storage| storage.pull("/dev/dsk/c0t1d0", false));
    assert_eq!(fixture.converge(&text), [""; 0], "a missing disk cannot be conjured up");
    let warnings = fixture.warnings();
    assert!(warnings.iter().any(|line| line.contains("DEGRADED")), "{warnings:?}");
    assert!(warnings.iter().any(|line| line == "pool tank: /dev/dsk/c0t1d0 is missing"), "{warnings:?}");
    fixture.machine.storage(|storage| storage.pull("/dev/dsk/c0t1d0", true));
    assert_eq!(fixture.converge(&text), ["use /dev/dsk/c0t1d0 in the pool tank again"]);
    fixture.machine.storage(|storage| storage.pull("/dev/dsk/c0t1d0", false));
    fixture.converge(&text);
    fixture.machine.storage(|storage| storage.add_disk("c0t1d0", 128 << 20));
    let done = fixture.converge(&text);
    assert_eq!(done, ["replace /dev/dsk/c0t1d0s0 of the pool tank by /dev/dsk/c0t1d0"]);
    assert_eq!(fixture.drawing(), "mirror(c0t0d0s0 c0t1d0s0)");
}

/// The disk that failed is never seen again; the new one is in another place.
#[test]
fn a_member_for_which_a_spare_stands_in_is_replaced_by_any_disk() {
    for system in SYSTEMS {
        let mut fixture = Fixture::start(system);
        let [one, lost, new, spare] = [0, 1, 5, 9].map(|number| disk(system, number));
        let text =
            |other: &str| tank(&format!("vdevs = [{{ mirror = [\"{one}\", \"{other}\"] }}]\nspares = [\"{spare}\"]"));
        fixture.converge(&text(&lost));
        fixture.machine.storage(|storage| {
            storage.pull(&lost, false);
            storage.stand_in("tank", &lost, &spare);
        });
        let shown = fixture.machine.type_in("zpool status -P");
        assert!(shown.contains("spare-1") && shown.contains("INUSE"), "{shown}");
        assert_eq!(fixture.converge(&text(&lost)), [""; 0], "it is missed, and nothing can be done");
        let done = fixture.converge(&text(&new));
        assert!(
            done.len() == 1 && done[0].starts_with("replace ") && done[0].ends_with(&format!(" by {new}")),
            "{done:?}"
        );
        let shown = fixture.machine.type_in("zpool status -P");
        assert!(!shown.contains("spare-1") && shown.contains("AVAIL"), "{shown}");
    }
}

#[test]
fn changes_are_undone_as_far_as_that_loses_nothing() {
    let mut fixture = Fixture::illumos();
    let before = tank(r#"vdevs = ["c#0t0d0"]"#);
    let after = tank(
        r#"vdevs = [{ mirror = ["c#0t0d0", "c#0t1d0"] }]
        log = [{ mirror = ["c#0t2d0", "c#0t3d0"] }]
        cache = ["c#0t4d0"]
        spares = ["c#0t5d0"]
        properties = { failmode = "continue" }
        root-properties = { compression = "lz4" }"#,
    );
    let creation = fixture.plan(&before);
    fixture.converge(&before);
    let steps = fixture.plan(&after);
    fixture.converge(&after);
    for step in steps.iter().rev().chain(steps.iter().rev()) {
        fixture.harness.undo(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
    }
    assert_eq!(fixture.drawing(), "c0t0d0s0");
    // What the pool has left on disks that were blank is nobody's.
    assert_eq!(summaries(&fixture.plan(&after)), summaries(&steps));
    let failmode = fixture.machine.storage(|storage| storage.pools["tank"].properties["failmode"].clone());
    assert_eq!(failmode, "wait");
    fixture.harness.undo(&creation[0]).unwrap();
    let left = fixture.machine.storage(|storage| (storage.pools.contains_key("tank"), storage.exported.len()));
    assert_eq!(left, (false, 1), "let go of, not destroyed");
    let commands = fixture.commands();
    assert!(!commands.iter().any(|line| line.contains("destroy") || line.contains(" -f")), "{commands:?}");
}

#[test]
fn other_plugins_hear_how_the_pools_are() {
    let mut fixture = Fixture::illumos();
    fixture.converge(&tank(r#"vdevs = ["c#0t0d0"]"#));
    fixture.harness.observe().unwrap();
    let last = fixture.harness.emitted().pop().unwrap();
    assert_eq!((last.topic.as_str(), &last.data[0]["health"]), ("zfs.pools", &serde_json::json!("ONLINE")));
}

/// ZFS calls a pool ONLINE, too, that has lost data.
#[test]
fn what_the_system_says_of_a_pool_is_told_also_when_it_is_online() {
    let mut fixture = Fixture::illumos();
    let text = tank(r#"vdevs = [{ mirror = ["c#0t0d0", "c#0t1d0"] }]"#);
    fixture.converge(&text);
    assert_eq!(fixture.warnings(), [""; 0], "that it could be upgraded is no fault");
    fixture.machine.storage(|storage| storage.damaged.extend(["tank".to_owned()]));
    fixture.plan(&text);
    let warnings = fixture.warnings();
    assert!(
        warnings[0].starts_with("pool tank is ONLINE: One or more devices has experienced an error"),
        "{warnings:?}"
    );
    fixture.machine.storage(|storage| storage.resilver_looks = 9);
    fixture.machine.type_in("zpool replace tank /dev/dsk/c0t1d0s0 /dev/dsk/c0t2d0");
    let warnings = fixture.warnings();
    assert!(warnings.contains(&"pool tank: a resilver is under way, 25.00% done".to_owned()), "{warnings:?}");
}
