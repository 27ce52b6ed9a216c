//! The plugin's process ends in the middle of everything that takes more than one command; then another one goes on.

use crate::support::{Fixture, illumos_with_tank, linux, linux_with_zfs};
use plugin_testing::killed;
use std::collections::BTreeSet;
use sysconfig_plugin::Risk;
use sysconfig_plugin_filesystem::{Change, FilesystemPlugin};

// The operations of the plugin: who adds one adds it here, and then a way that kills it.
plugin_testing::operations!(Change, besides Leave: Create Set MountDataset Destroy Mount Remount Unmount Row Tell Forget);

type Way = killed::Way<FilesystemPlugin>;

fn linux_with_server() -> Fixture {
    let fixture = linux();
    fixture.machine.storage(|storage| storage.shares.extend(["server:/one".to_owned(), "server:/two".to_owned()]));
    fixture
}

fn linux_with_systemd() -> Fixture {
    let fixture = linux();
    fixture.machine.storage(|storage| {
        for name in ["one", "two"] {
            storage.add_device(&format!("/dev/disk/by-uuid/{name}"), 64 << 20, Some("ext4"));
        }
        storage.start_systemd();
    });
    fixture
}

/// The disk of our row is replaced.
fn lose_disk(fixture: &Fixture) {
    std::fs::remove_file(fixture.host.root.locate("/dev/disk/by-uuid/one")).unwrap();
    fixture.machine.storage(|storage| {
        storage.devices.remove("/dev/disk/by-uuid/one");
        storage.drop_mount("/scratch");
    });
}

const NOTHING: &str = "[storage]\nmount = []\n";
const TMPFS: &str =
    "[[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/scratch\"\ntype = \"tmpfs\"\noptions = [\"size=512m\"]\n";
const LARGER: &str =
    "[[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/scratch\"\ntype = \"tmpfs\"\noptions = [\"size=1g\"]\n";
const BIND: &str = "[[storage.mount]]\ndevice = \"/var\"\nmountpoint = \"/scratch\"\ntype = \"bind\"\n";
const NESTED: &str = "[[storage.dataset]]\nname = \"tank/a\"\nproperties = { mountpoint = \"/srv\", compression = \"lz4\" }\n\
    [[storage.dataset]]\nname = \"tank/a/l\"\nproperties = { mountpoint = \"legacy\" }\n\
    [[storage.mount]]\ndevice = \"tank/a/l\"\nmountpoint = \"/srv/legacy\"\ntype = \"zfs\"\n";
const SHARED: &str =
    "[[storage.dataset]]\nname = \"tank/a\"\nproperties = { mountpoint = \"/srv\", sharenfs = \"ro\" }\n";
const CHANGED: &str = "[[storage.dataset]]\nname = \"tank/a\"\nproperties = { mountpoint = \"/srv\", quota = \"1 GiB\", atime = false }\n\
    [[storage.dataset]]\nname = \"tank/a/l\"\nproperties = { mountpoint = \"legacy\", readonly = true }\n\
    [[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/srv/legacy\"\ntype = \"tmpfs\"\n";
const HOME: &str = "[[storage.dataset]]\nname = \"tank/home\"\nproperties = { mountpoint = \"/srv\", canmount = \"on\" }\n\
    [[storage.dataset]]\nname = \"tank/home/a\"\nproperties = { quota = \"1 GiB\" }\n\
    [[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/srv/a/in\"\ntype = \"tmpfs\"\n";
const MOVED: &str = "[[storage.dataset]]\nname = \"tank/home\"\nproperties = { mountpoint = \"/home\" }\n\
    [[storage.dataset]]\nname = \"tank/home/a\"\n\
    [[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/home/a/in\"\ntype = \"tmpfs\"\n";
const EXT4: &str =
    "[[storage.mount]]\ndevice = \"/dev/disk/by-uuid/one\"\nmountpoint = \"/scratch\"\ntype = \"ext4\"\n";
const OTHER_EXT4: &str =
    "[[storage.mount]]\ndevice = \"/dev/disk/by-uuid/two\"\nmountpoint = \"/scratch\"\ntype = \"ext4\"\n";
const DISK: &str = "[[storage.mount]]\ndevice = \"server:/one\"\nmountpoint = \"/scratch\"\ntype = \"nfs\"\n";
const OTHER_DISK: &str = "[[storage.mount]]\ndevice = \"server:/two\"\nmountpoint = \"/scratch\"\ntype = \"nfs\"\n\
    options = [\"ro\"]\n";
const GONE: &str = "[[storage.dataset]]\nname = \"tank/a\"\nabsent = true\nallow-destructive = true\n\
    [[storage.dataset]]\nname = \"tank/a/l\"\nabsent = true\nallow-destructive = true\n\
    [storage]\nmount = []\n";

const WAYS: &[Way] = &[
    Way::new(illumos_with_tank, NOTHING, TMPFS),
    Way::new(illumos_with_tank, TMPFS, LARGER),
    Way::new(illumos_with_tank, TMPFS, NOTHING),
    Way::new(illumos_with_tank, NOTHING, NESTED),
    Way::new(illumos_with_tank, NESTED, CHANGED),
    Way::new(illumos_with_tank, NESTED, GONE),
    Way::new(linux_with_zfs, NOTHING, NESTED),
    Way::new(linux_with_zfs, NESTED, CHANGED),
    Way::new(linux, TMPFS, BIND),
    Way::new(linux, BIND, LARGER),
    // A file system moves with what comes along and what lies in it, and loses what no other one gives it.
    Way::new(illumos_with_tank, HOME, MOVED),
    Way::new(linux_with_zfs, HOME, MOVED),
    // The mount, and its row, which is edited in its place.
    Way::new(linux_with_server, DISK, OTHER_DISK),
    // The row of a disk that is gone makes room, and systemd hears of each change.
    Way { meanwhile: lose_disk, ..Way::new(linux_with_systemd, EXT4, OTHER_EXT4) },
    Way { meanwhile: killed::leave_untold, ..Way::new(linux_with_systemd, EXT4, EXT4) },
    // With snapshots, which go one by one.
    Way { meanwhile: snapshots, ..Way::new(illumos_with_tank, NESTED, GONE) },
    Way { meanwhile: snapshots, ..Way::new(linux_with_zfs, NESTED, GONE) },
    // Somebody has unmounted what is of ZFS, which is shared again, and what is not.
    Way { meanwhile: unmount, ..Way::new(illumos_with_tank, SHARED, SHARED) },
    Way {
        meanwhile: |fixture| fixture.machine.storage(|storage| storage.drop_mount("/scratch")),
        ..Way::new(linux, TMPFS, NOTHING)
    },
];

fn unmount(fixture: &Fixture) {
    fixture.machine.type_in("zfs unmount tank/a");
}

fn snapshots(fixture: &Fixture) {
    for name in ["tank/a@one", "tank/a@two", "tank/a/l@one"] {
        fixture.machine.type_in(&format!("zfs snapshot {name}"));
    }
}

/// No test, but the process that is killed.
#[test]
#[ignore = "the other test starts it"]
fn killed_process() {
    plugin_testing::killed::process(FilesystemPlugin::new);
}

/// What can be seen afterwards.
fn look(fixture: &Fixture) -> (Vec<String>, Vec<String>, String) {
    let table = sysconfig_platform::boot_table::path(fixture.machine.storage(|storage| storage.system()));
    let datasets = fixture.machine.storage(|storage| {
        let is_shared = |name: &String| storage.shared.contains(name);
        let datasets = storage.datasets.iter();
        datasets.map(|(name, dataset)| format!("{name} {} {:?}", is_shared(name), dataset.properties)).collect()
    });
    let mut mounted = fixture.mounted();
    mounted.sort();
    (datasets, mounted, fixture.read(table))
}

#[test]
fn after_a_kill_anywhere_the_next_apply_converges() {
    let mut killed = BTreeSet::new();
    for (number, way) in WAYS.iter().enumerate() {
        let mut whole = way.start();
        whole.converge_up_to(way.to, Risk::Destructive);
        let expected = look(&whole);
        let changes = killed::everywhere(|kill| {
            let mut fixture = way.start();
            let killed = fixture.apply_until_killed(way.to, kill)?;
            fixture.restart(way.to);
            fixture.converge_again(way.to);
            assert_eq!(look(&fixture), expected, "way {number}, killed at {kill:?}");
            Ok(killed)
        });
        killed.extend(changes.iter().filter_map(operation));
    }
    killed::all_were_killed(OPERATIONS, &["Row", "Forget"], &killed);
}
