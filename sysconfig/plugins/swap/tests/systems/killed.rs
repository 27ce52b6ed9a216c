//! The plugin's process ends in the middle of everything that takes more than one command; then another one goes on.

use crate::support::{Fixture, illumos, linux, linux_with_zfs, summaries};
use sysconfig_plugin::{Context, Plugin, Risk};
use sysconfig_plugin_swap::{Config, SwapPlugin};

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

/// Applies until the process is killed; whether it was. The plugin is called in this thread, which stands for its
/// process and ends with it.
fn apply_until_killed(fixture: &Fixture, text: &str) -> bool {
    let attempt = std::panic::AssertUnwindSafe(|| {
        let (mut plugin, context) = (SwapPlugin::new(fixture.host.clone()), Context::detached());
        let config: Config = serde_json::from_value(crate::support::config(text)).unwrap();
        let state = plugin.observe(&config, &context).unwrap();
        for step in plugin.plan(&config, &state).unwrap() {
            plugin.apply(&step.change, &context).unwrap();
        }
    });
    match std::panic::catch_unwind(attempt) {
        Ok(()) => false,
        Err(panic) if panic.downcast_ref::<&str>() == Some(&"killed") => true,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

#[test]
fn after_a_kill_at_any_command_the_next_apply_converges() {
    for (number, way) in WAYS.iter().enumerate() {
        for takes_effect in [false, true] {
            let mut kills = 0;
            loop {
                let mut fixture = (way.machine)();
                fixture.converge(way.from);
                fixture.machine.storage(|storage| storage.kill = Some((kills, takes_effect)));
                let was_killed = apply_until_killed(&fixture, way.to);
                fixture.machine.storage(|storage| storage.kill = None);
                if !was_killed {
                    break;
                }
                fixture.restart(way.to);
                fixture.converge_again(way.to, number, kills);
                assert_eq!(fixture.used(), way.used, "way {number}, killed at {kills}");
                kills += 1;
            }
            assert!(kills > 0, "way {number} takes no command");
        }
    }
}

impl Fixture {
    /// As `converge`, for steps of which part may be done already.
    fn converge_again(&mut self, text: &str, way: usize, kills: usize) {
        let steps = self.plan(text);
        for step in &steps {
            assert!(step.risk <= Risk::Destructive && step.action != "leave", "way {way}, {kills}: {step:?}");
            self.harness.apply(step).unwrap_or_else(|error| panic!("way {way}, {kills}: {}: {error:?}", step.summary));
        }
        let left = self.plan(text);
        assert_eq!(summaries(&left), [""; 0], "way {way}, {kills}, after {:?}", summaries(&steps));
    }
}
