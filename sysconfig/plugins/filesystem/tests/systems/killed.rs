//! The plugin's process ends in the middle of everything that takes more than one command; then another one goes on.

use crate::support::{Fixture, illumos_with_tank, linux, linux_with_zfs};
use sysconfig_plugin::Risk;
use sysconfig_plugin_filesystem::FilesystemPlugin;

/// A way from one configuration to another.
struct Way {
    machine: fn() -> Fixture,
    from: &'static str,
    to: &'static str,
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
const CHANGED: &str = "[[storage.dataset]]\nname = \"tank/a\"\nproperties = { mountpoint = \"/srv\", quota = \"1 GiB\", atime = false }\n\
    [[storage.dataset]]\nname = \"tank/a/l\"\nproperties = { mountpoint = \"legacy\", readonly = true }\n\
    [[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/srv/legacy\"\ntype = \"tmpfs\"\n";
const GONE: &str = "[[storage.dataset]]\nname = \"tank/a\"\nabsent = true\nallow-destructive = true\n\
    [[storage.dataset]]\nname = \"tank/a/l\"\nabsent = true\nallow-destructive = true\n\
    [storage]\nmount = []\n";

const WAYS: &[Way] = &[
    Way { machine: illumos_with_tank, from: NOTHING, to: TMPFS },
    Way { machine: illumos_with_tank, from: TMPFS, to: LARGER },
    Way { machine: illumos_with_tank, from: TMPFS, to: NOTHING },
    Way { machine: illumos_with_tank, from: NOTHING, to: NESTED },
    Way { machine: illumos_with_tank, from: NESTED, to: CHANGED },
    Way { machine: illumos_with_tank, from: NESTED, to: GONE },
    Way { machine: linux_with_zfs, from: NOTHING, to: NESTED },
    Way { machine: linux_with_zfs, from: NESTED, to: CHANGED },
    Way { machine: linux, from: TMPFS, to: BIND },
    Way { machine: linux, from: BIND, to: LARGER },
];

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
fn after_a_kill_at_any_command_the_next_apply_converges() {
    for (number, way) in WAYS.iter().enumerate() {
        let mut whole = (way.machine)();
        whole.converge(way.from);
        whole.converge_up_to(way.to, Risk::Destructive);
        let expected = look(&whole);
        for takes_effect in [false, true] {
            let mut kills = 0;
            loop {
                let mut fixture = (way.machine)();
                fixture.converge(way.from);
                if !fixture.apply_until_killed(way.to, (kills, takes_effect)) {
                    break;
                }
                fixture.restart(way.to);
                fixture.converge_again(way.to);
                assert_eq!(look(&fixture), expected, "way {number}, killed at {kills}");
                kills += 1;
            }
            assert!(kills > 0, "way {number} takes no command");
        }
    }
}
