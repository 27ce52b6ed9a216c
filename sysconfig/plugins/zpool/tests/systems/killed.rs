//! The plugin is killed before, in the middle of, and after every single command of a change, and the next run ends as if
//! nothing had been.

use crate::support::{DISK, Fixture, SYSTEMS, config, disk, tank};
use plugin_testing::killed;
use std::collections::BTreeSet;
use sysconfig_platform::System;
use sysconfig_plugin_zpool::{Change, ZpoolPlugin};

// The operations of the plugin: who adds one adds it here, and then a way that kills it.
plugin_testing::operations!(Change, besides Refuse: Create Import Add Attach Replace Online Expand Set MountAll Mount);

/// What somebody did before, and what is configured. Disks are written `#N`.
struct Way {
    before: &'static [&'static str],
    /// A disk that is gone when the pool is looked at, and then is back; one that has grown.
    lost: Option<usize>,
    grown: Option<usize>,
    wanted: &'static str,
}

const fn way(before: &'static [&'static str], wanted: &'static str) -> Way {
    Way { before, lost: None, grown: None, wanted }
}

const EVERYTHING: &str = r##"vdevs = [{ mirror = ["#0", "#1"] }, { mirror = ["#2", "#3"] }]
    log = [{ mirror = ["#4", "#5"] }]
    cache = ["#6"]
    spares = ["#7"]
    properties = { autoexpand = "on", comment = "x" }
    root-properties = { compression = "lz4", atime = "off", mountpoint = "/data" }"##;
const TAKEN: &str = "vdevs = [\"#0\"]\nallow-destructive = [\"#0\"]\nproperties = { autoexpand = \"on\" }";
const MIRROR: &str = "vdevs = [{ mirror = [\"#0\", \"#1\"] }]";
const RAIDZ: &str = "vdevs = [{ raidz1 = [\"#3\", \"#4\", \"#2\"] }]";

const WAYS: &[Way] = &[
    way(&[], EVERYTHING),
    way(&["zpool create tank #0"], EVERYTHING),
    way(&["zpool create tank mirror #8 #1", "zpool export tank"], EVERYTHING),
    way(&["zpool create tank raidz #0 #1 #2"], RAIDZ),
    way(&["zpool create old #0", "zpool export old"], TAKEN),
    way(&["zpool create old #0", "zpool destroy old"], TAKEN),
    // By its guid, and so under another name than before.
    way(&["zpool create old #0", "zpool export old"], "guid = \"GUID\"\nproperties = { autoexpand = \"on\" }"),
    // Somebody has unmounted it.
    way(
        &["zpool create -m /data tank #0", "zfs unmount tank"],
        "vdevs = [\"#0\"]\nroot-properties = { mountpoint = \"/data\" }",
    ),
    Way { lost: Some(1), ..way(&["zpool create tank mirror #0 #1"], MIRROR) },
    Way {
        grown: Some(0),
        ..way(&["zpool create -o autoexpand=on tank #0"], "vdevs = [\"#0\"]\nproperties = { autoexpand = \"on\" }")
    },
];

/// No test, but the process that is killed.
#[test]
#[ignore = "the other tests start it"]
fn killed_process() {
    plugin_testing::killed::process(ZpoolPlugin::new);
}

/// With the paths of a system.
fn long(system: System, text: &str) -> String {
    (0..13).rev().fold(text.to_owned(), |text, number| text.replace(&format!("#{number}"), &disk(system, number)))
}

impl Way {
    fn start(&self, system: System) -> (Fixture, String) {
        let fixture = Fixture::start(system);
        for line in self.before {
            fixture.machine.type_in(&long(system, line));
        }
        if let Some(at) = self.lost {
            fixture.machine.storage(|storage| storage.pull(&disk(system, at), false));
            fixture.machine.type_in("zpool status -P");
            fixture.machine.storage(|storage| storage.pull(&disk(system, at), true));
        }
        if let Some(at) = self.grown {
            fixture.machine.storage(|storage| storage.grow(&disk(system, at), 2 * DISK));
        }
        let guid = fixture.machine.storage(|storage| storage.exported.first().map_or(0, |pool| pool.guid));
        (fixture, tank(&long(system, self.wanted)).replace("GUID", &guid.to_string()))
    }
}

#[test]
fn after_a_kill_anywhere_the_next_apply_converges() {
    let mut killed = BTreeSet::new();
    for (way, system) in WAYS.iter().flat_map(|way| SYSTEMS.map(|system| (way, system))) {
        let (mut whole, text) = way.start(system);
        whole.converge_destructively(&text);
        let look = |fixture: &Fixture| (fixture.drawing(), fixture.machine.storage(|storage| storage.mounted()));
        let expected = look(&whole);
        let changes = killed::at_commands(|kill| {
            let (mut fixture, text) = way.start(system);
            let killed = killed::apply(&fixture.machine, &fixture.host, &config(&text), kill)?;
            fixture.converge_again(&text);
            let now = look(&fixture);
            assert_eq!(now.0, expected.0, "{kill:?} of\n{text}");
            // Where it is not configured to be anywhere, nobody misses it.
            assert!(now.1 == expected.1 || !text.contains("mountpoint"), "{kill:?} of\n{text}{now:?}");
            Ok(killed)
        });
        killed.extend(changes.iter().filter_map(operation));
    }
    killed::all_were_killed(OPERATIONS, &[], &killed);
}

/// The step in doubt is carried out once more by a daemon that does not know better.
#[test]
fn every_step_is_right_to_repeat() {
    for (way, system) in WAYS.iter().flat_map(|way| SYSTEMS.map(|system| (way, system))) {
        let (mut fixture, text) = way.start(system);
        let steps = fixture.plan(&text);
        for step in &steps {
            fixture.harness.apply(step).unwrap();
            let commands = fixture.commands().len();
            assert_eq!(fixture.harness.apply(step), Ok(sysconfig_plugin::Outcome::AlreadySo), "{}", step.summary);
            assert_eq!(fixture.commands().len(), commands, "{}", step.summary);
        }
    }
}
