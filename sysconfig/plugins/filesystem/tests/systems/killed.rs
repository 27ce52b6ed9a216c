//! The plugin's process ends in the middle of everything that takes more than one command; then another one goes on.

use crate::support::{Fixture, illumos_with_tank, linux, linux_with_zfs};
use plugin_testing::killed;
use std::collections::BTreeSet;
use sysconfig_plugin::Risk;
use sysconfig_plugin_filesystem::{Change, FilesystemPlugin};

// The operations of the plugin: who adds one adds it here, and then a way that kills it.
plugin_testing::operations!(Change, besides Leave: Create Set MountDataset Destroy Mount Remount Unmount Row Forget);

/// A way from one configuration to another, and what somebody does in between.
struct Way {
    machine: fn() -> Fixture,
    from: &'static str,
    meanwhile: fn(&Fixture),
    to: &'static str,
}

const fn way(machine: fn() -> Fixture, from: &'static str, to: &'static str) -> Way {
    Way { machine, from, meanwhile: |_| (), to }
}

impl Way {
    fn start(&self) -> Fixture {
        let mut fixture = (self.machine)();
        fixture.converge(self.from);
        (self.meanwhile)(&fixture);
        fixture
    }
}

fn linux_with_server() -> Fixture {
    let fixture = linux();
    fixture.machine.storage(|storage| storage.shares.extend(["server:/one".to_owned(), "server:/two".to_owned()]));
    fixture
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
const PLACED: &str = "[[storage.dataset]]\nname = \"tank/a\"\nproperties = { mountpoint = \"/srv\" }\n";
const CHANGED: &str = "[[storage.dataset]]\nname = \"tank/a\"\nproperties = { mountpoint = \"/srv\", quota = \"1 GiB\", atime = false }\n\
    [[storage.dataset]]\nname = \"tank/a/l\"\nproperties = { mountpoint = \"legacy\", readonly = true }\n\
    [[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/srv/legacy\"\ntype = \"tmpfs\"\n";
const HOME: &str = "[[storage.dataset]]\nname = \"tank/home\"\nproperties = { mountpoint = \"/srv\", canmount = \"on\" }\n\
    [[storage.dataset]]\nname = \"tank/home/a\"\nproperties = { quota = \"1 GiB\" }\n\
    [[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/srv/a/in\"\ntype = \"tmpfs\"\n";
const MOVED: &str = "[[storage.dataset]]\nname = \"tank/home\"\nproperties = { mountpoint = \"/home\" }\n\
    [[storage.dataset]]\nname = \"tank/home/a\"\n\
    [[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/home/a/in\"\ntype = \"tmpfs\"\n";
const DISK: &str = "[[storage.mount]]\ndevice = \"server:/one\"\nmountpoint = \"/scratch\"\ntype = \"nfs\"\n";
const OTHER_DISK: &str = "[[storage.mount]]\ndevice = \"server:/two\"\nmountpoint = \"/scratch\"\ntype = \"nfs\"\n\
    options = [\"ro\"]\n";
const GONE: &str = "[[storage.dataset]]\nname = \"tank/a\"\nabsent = true\nallow-destructive = true\n\
    [[storage.dataset]]\nname = \"tank/a/l\"\nabsent = true\nallow-destructive = true\n\
    [storage]\nmount = []\n";

const WAYS: &[Way] = &[
    way(illumos_with_tank, NOTHING, TMPFS),
    way(illumos_with_tank, TMPFS, LARGER),
    way(illumos_with_tank, TMPFS, NOTHING),
    way(illumos_with_tank, NOTHING, NESTED),
    way(illumos_with_tank, NESTED, CHANGED),
    way(illumos_with_tank, NESTED, GONE),
    way(linux_with_zfs, NOTHING, NESTED),
    way(linux_with_zfs, NESTED, CHANGED),
    way(linux, TMPFS, BIND),
    way(linux, BIND, LARGER),
    // A file system moves with what comes along and what lies in it, and loses what no other one gives it.
    way(illumos_with_tank, HOME, MOVED),
    way(linux_with_zfs, HOME, MOVED),
    // The mount, and its row, which is edited in its place.
    way(linux_with_server, DISK, OTHER_DISK),
    // With snapshots, which go one by one.
    Way { meanwhile: snapshots, ..way(illumos_with_tank, NESTED, GONE) },
    Way { meanwhile: snapshots, ..way(linux_with_zfs, NESTED, GONE) },
    // Somebody has unmounted what is of ZFS, and what is not.
    Way { meanwhile: unmount, ..way(illumos_with_tank, PLACED, PLACED) },
    Way {
        meanwhile: |fixture| fixture.machine.storage(|storage| storage.drop_mount("/scratch")),
        ..way(linux, TMPFS, NOTHING)
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
        storage.datasets.iter().map(|(name, dataset)| format!("{name} {:?}", dataset.properties)).collect()
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
