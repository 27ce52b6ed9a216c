//! Looking at the machine: what it costs, and what it does not wait for.

use crate::support::{DISK, Fixture, SYSTEMS, disk, summaries, tank};
use sysconfig_platform::System;

/// Each disk is read, but nobody is asked anything for each of them.
#[test]
fn many_disks_take_no_more_commands_than_few() {
    for system in SYSTEMS {
        let mut counts = Vec::new();
        for number in [2, 12] {
            let mut fixture = Fixture::start(system);
            let disks: Vec<String> = (0..number).map(|at| format!("/srv/disks/{at}")).collect();
            fixture.machine.storage(|storage| disks.iter().for_each(|disk| storage.add_file(disk, DISK)));
            let list = disks.iter().map(|disk| format!("\"{disk}\"")).collect::<Vec<_>>().join(", ");
            let before = fixture.machine.commands().len();
            let steps = fixture.plan(&tank(&format!("vdevs = [{{ raidz1 = [{list}] }}]")));
            assert_eq!(steps.len(), 1);
            counts.push(fixture.machine.commands().len() - before);
        }
        assert_eq!(counts[0], counts[1], "{system}");
    }
}

/// The files of one pool lie on a server that is away: the others are seen to all the same, and whoever looks waits for it once.
#[test]
fn a_server_that_is_away_holds_up_no_other_pool() {
    for system in SYSTEMS {
        let mut fixture = Fixture::start(system);
        fixture.machine.storage(|storage| {
            storage.add_file("/srv/one", DISK);
            ["two", "three", "four"].iter().for_each(|name| storage.add_file(&format!("/mnt/nfs/{name}"), DISK));
            storage.add_mount("server:/x", "/mnt/nfs", "nfs", &[]);
            storage.away.insert("server:/x".to_owned());
        });
        let files = "vdevs = [\"/mnt/nfs/two\", \"/mnt/nfs/three\"]\nspares = [\"/mnt/nfs/four\"]";
        let other = tank(files).replace("tank", "other");
        let third = "[[storage.pool]]\nname = \"third\"\nguid = \"7\"\nsearch = [\"/mnt/nfs\"]\n";
        let placed = tank("vdevs = [\"/srv/one\"]\nroot-properties = { mountpoint = \"/mnt/nfs/place\" }");
        let steps = fixture.plan(&format!("{other}{third}{placed}"));
        assert_eq!(fixture.machine.commands().iter().filter(|line| line.contains("ls -d")).count(), 1, "{system}");
        let silent = |what: &str| format!("cannot look at {what}: it lies in /mnt/nfs, and server:/x does not answer");
        assert_eq!(
            summaries(&steps),
            [
                "not done: pool other: it cannot be looked for: server:/x does not answer, which has what is in /mnt/nfs".to_owned(),
                "not done: pool third: it cannot be looked for: server:/x does not answer, which has what is in /mnt/nfs".to_owned(),
                format!(
                    "not done: pool tank: its root dataset cannot be mounted at /mnt/nfs/place: {}",
                    silent("/mnt/nfs/place")
                ),
            ]
        );
        let steps = fixture.plan(&format!("{other}{third}{}", tank("vdevs = [\"/srv/one\"]")));
        assert_eq!(summaries(&steps)[0], "create the pool tank of /srv/one");
        fixture.harness.apply(&steps[0]).unwrap();
    }
}

/// The file system with the files of one pool is not mounted, so that not even their directory is there.
#[test]
fn a_directory_that_is_missing_holds_up_no_other_pool() {
    for system in SYSTEMS {
        let mut fixture = Fixture::start(system);
        fixture.machine.storage(|storage| storage.add_file("/srv/one", DISK));
        let missing = tank(r#"vdevs = ["/mnt/later/a"]"#);
        let other = tank(&format!("vdevs = [\"{}\"]", disk(system, 0))).replace("tank", "other");
        let steps = fixture.plan(&format!("{missing}{other}"));
        let refused = "not done: pool tank: there is no device /mnt/later/a".to_owned();
        assert_eq!(summaries(&steps), [format!("create the pool other of {}", disk(system, 0)), refused]);
        // Where one of several is there, it is looked into.
        fixture.machine.type_in("zpool create third /srv/one");
        fixture.machine.type_in("zpool export third");
        let text = "[[storage.pool]]\nname = \"third\"\nsearch = [\"/mnt/later\", \"/srv\"]\n";
        assert_eq!(fixture.plan(text)[0].action, "import", "{system}");
        // None is made while it may be in the one that is not there.
        let vdevs = format!("vdevs = [\"{}\"]\n", disk(system, 0));
        let refusals = fixture.refusals(&tank(&format!("{vdevs}search = [\"/mnt/later\", \"/srv\"]")));
        assert_eq!(refusals, ["it cannot be looked for in /mnt/later, which is not there"], "{system}");
        assert_eq!(fixture.plan(&tank(&format!("{vdevs}search = [\"/srv\"]")))[0].action, "create", "{system}");
    }
}

/// A table may say that there are a thousand partitions, each as large as the disk.
#[test]
fn a_hostile_table_is_looked_into_for_a_while_only() {
    let mut fixture = Fixture::start(System::Illumos);
    fixture.machine.storage(|storage| {
        storage.scribble("/dev/dsk/c0t0d0", 512, b"EFI PART");
        let (first, count, size) = (2_u64.to_le_bytes(), 1024_u32.to_le_bytes(), 128_u32.to_le_bytes());
        for (at, bytes) in [(72, &first[..]), (80, &count), (84, &size)] {
            storage.scribble("/dev/dsk/c0t0d0", 512 + at, bytes);
        }
        for at in 0..1024 {
            let mut entry = [1; 48];
            entry[32..40].copy_from_slice(&1_u64.to_le_bytes());
            entry[40..].copy_from_slice(&(DISK / 512 - 1).to_le_bytes());
            storage.scribble("/dev/dsk/c0t0d0", 1024 + 128 * at, &entry);
        }
    });
    let refusals = fixture.refusals(&tank("vdevs = [\"c#0t0d0\"]"));
    assert_eq!(refusals[0].matches("in slice ").count(), 32, "{refusals:?}");
    assert!(refusals[0].contains("in 992 more partitions what was not looked at"), "{refusals:?}");
}

/// One file system is to lie in what a server has that is away: those behind it are mounted all the same, and the server is waited
/// for once.
#[test]
fn a_server_that_is_away_keeps_no_other_file_system_unmounted() {
    for system in SYSTEMS {
        let mut fixture = Fixture::start(system);
        fixture.machine.type_in(&format!("zpool create tank {}", disk(system, 0)));
        for line in ["mountpoint=/mnt/nfs/a tank/a", "mountpoint=/mnt/nfs/b tank/b", "mountpoint=/srv tank/c"] {
            fixture.machine.type_in(&format!("zfs create -o {line}"));
        }
        fixture.machine.type_in("zpool export tank");
        fixture.machine.storage(|storage| {
            storage.add_mount("server:/x", "/mnt/nfs", "nfs", &[]);
            storage.away.insert("server:/x".to_owned());
        });
        let text = tank(&format!("vdevs = [\"{}\"]", disk(system, 0)));
        let steps = fixture.plan(&text);
        fixture.harness.apply(&steps[0]).unwrap();
        let before = fixture.machine.commands().len();
        let error = fixture.harness.apply(&steps[1]).unwrap_err();
        let silent = |name: &str| {
            let place = format!("/mnt/nfs/{name}");
            let why = "it lies in /mnt/nfs, and server:/x does not answer";
            format!("tank/{name} at {place}: cannot look at {place}: {why}")
        };
        let said = format!("{}; {}", silent("a"), silent("b"));
        assert!(error.chain().contains(&said), "{}", error.chain());
        let mounted = fixture.machine.storage(|storage| storage.mounted());
        let is_mounted = |name: &str| mounted.iter().any(|mount| mount.starts_with(&format!("{name} ")));
        assert_eq!(["tank", "tank/a", "tank/b", "tank/c"].map(is_mounted), [true, false, false, true], "{mounted:?}");
        let asked = fixture.machine.commands().split_off(before);
        assert_eq!(asked.iter().filter(|line| line.contains("ls -d")).count(), 1, "{asked:?}");
    }
}

/// One disk by two names, or by two paths: ZFS would write on it twice, and of paths not even the kernel knows it.
#[test]
fn a_disk_by_two_names_or_paths_is_given_to_no_pool_twice() {
    let mut fixture = Fixture::linux();
    let at = |path: &str| {
        let path = fixture.host.root.locate(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    let wwid = "naa.5000c500a1b2c3d4";
    // Disks that only have the same identifier are not one.
    for (name, serial) in [("sda", "S1"), ("sdb", "S1"), ("sdc", "S2")] {
        fixture.machine.storage(|storage| storage.add_device(&format!("/dev/{name}"), DISK, None));
        std::fs::write(at(&format!("/sys/block/{name}/device/wwid")), wwid).unwrap();
        std::fs::write(at(&format!("/sys/block/{name}/size")), "8192\n").unwrap();
        let page = [b"\0\x80\0\x02", serial.as_bytes()].concat();
        std::fs::write(at(&format!("/sys/block/{name}/device/vpd_pg80")), page).unwrap();
    }
    for (link, name) in [("by-id/a", "sda"), ("by-uuid/a", "sda"), ("by-path/b", "sdb"), ("by-path/c", "sdc")] {
        std::os::unix::fs::symlink(format!("../../{name}"), at(&format!("/dev/disk/{link}"))).unwrap();
    }
    let mirror = |other: &str| format!("vdevs = [{{ mirror = [\"/dev/disk/by-id/a\", \"/dev/disk/{other}\"] }}]");
    for other in ["by-uuid/a", "by-path/b"] {
        let other_pool = tank(&format!("vdevs = [\"/dev/disk/{other}\"]")).replace("tank", "other");
        for text in [tank(&mirror(other)), format!("{}{other_pool}", tank("vdevs = [\"/dev/disk/by-id/a\"]"))] {
            let refusals = fixture.refusals(&text);
            let said = format!("/dev/disk/by-id/a is /dev/disk/{other}, which is configured as well");
            assert!(refusals.len() == 2 && refusals[0].contains(&said), "{refusals:?}");
        }
    }
    assert_eq!(fixture.plan(&tank(&mirror("by-path/c"))).iter().filter(|step| step.action == "create").count(), 1);
}
