//! The plugin's process ends in the middle of everything that takes more than one command; then another one goes on.

use crate::support::{Fixture, illumos, linux, linux_with_zfs};
use sysconfig_plugin_swap::SwapPlugin;

/// A way from one configuration to another.
struct Way {
    machine: fn() -> Fixture,
    from: &'static str,
    to: &'static str,
    used: &'static [&'static str],
}

const NOTHING: &str = "[storage]\nswap = []\n";
const VOLUME: &str = "[[storage.swap]]\nvolume = \"rpool/swap1\"\nsize = \"2 GiB\"\n";
const LARGER: &str = "[[storage.swap]]\nvolume = \"rpool/swap1\"\nsize = \"3 GiB\"\n";
const FILE: &str = "[[storage.swap]]\nfile = \"/var/swap\"\nsize = \"64 MiB\"\n";
const LARGER_FILE: &str = "[[storage.swap]]\nfile = \"/var/swap\"\nsize = \"96 MiB\"\npriority = 3\n";
const ENCRYPTED: &str =
    "[[storage.swap]]\nvolume = \"rpool/swap1\"\nsize = \"2 GiB\"\nencrypted = true\nallow-destructive = true\n";
const GONE: &str = "[[storage.swap]]\nvolume = \"rpool/swap1\"\nabsent = true\nallow-destructive = true\n";

const WAYS: &[Way] = &[
    Way { machine: illumos, from: NOTHING, to: VOLUME, used: &["/dev/zvol/dsk/rpool/swap1 2048"] },
    Way { machine: illumos, from: VOLUME, to: LARGER, used: &["/dev/zvol/dsk/rpool/swap1 3072"] },
    Way { machine: illumos, from: LARGER, to: VOLUME, used: &["/dev/zvol/dsk/rpool/swap1 2048"] },
    Way { machine: illumos, from: VOLUME, to: NOTHING, used: &[] },
    Way { machine: illumos, from: VOLUME, to: ENCRYPTED, used: &["/dev/zvol/dsk/rpool/swap1 2048"] },
    Way { machine: illumos, from: VOLUME, to: GONE, used: &[] },
    Way { machine: linux_with_zfs, from: NOTHING, to: VOLUME, used: &["/dev/zvol/rpool/swap1 2048"] },
    Way { machine: linux_with_zfs, from: VOLUME, to: LARGER, used: &["/dev/zvol/rpool/swap1 3072"] },
    Way { machine: linux, from: NOTHING, to: FILE, used: &["/var/swap 64"] },
    Way { machine: linux, from: FILE, to: LARGER_FILE, used: &["/var/swap 96"] },
    Way { machine: linux, from: FILE, to: NOTHING, used: &[] },
];

/// No test, but the process that is killed.
#[test]
#[ignore = "the other test starts it"]
fn killed_process() {
    plugin_testing::killed::process(SwapPlugin::new);
}

#[test]
fn after_a_kill_at_any_command_the_next_apply_converges() {
    for (number, way) in WAYS.iter().enumerate() {
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
                assert_eq!(fixture.used(), way.used, "way {number}, killed at {kills}");
                let key = fixture.host.root.locate("/var/run/sysconfig/swap-key");
                assert!(!key.exists(), "the key is thrown away, way {number}, killed at {kills}");
                kills += 1;
            }
            assert!(kills > 0, "way {number} takes no command");
        }
    }
}
