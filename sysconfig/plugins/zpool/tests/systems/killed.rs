//! The plugin is killed before and after every single command of a change, and the next run ends as if nothing had been.

use crate::support::{DISK, Fixture, config, tank};
use sysconfig_plugin_zpool::ZpoolPlugin;

/// (what somebody did before, what is configured)
fn changes() -> Vec<(Vec<&'static str>, String)> {
    let everything = r#"vdevs = [{ mirror = ["c#0t0d0", "c#0t1d0"] }, { mirror = ["c#0t2d0", "c#0t3d0"] }]
        log = [{ mirror = ["c#0t4d0", "c#0t5d0"] }]
        cache = ["c#0t6d0"]
        spares = ["c#0t7d0"]
        properties = { autoexpand = "on", comment = "x" }
        root-properties = { compression = "lz4", atime = "off" }"#;
    vec![
        (vec![], tank(everything)),
        (vec!["zpool create tank /dev/dsk/c0t0d0"], tank(everything)),
        (vec!["zpool create tank mirror /dev/dsk/c0t8d0 /dev/dsk/c0t1d0", "zpool export tank"], tank(everything)),
        (
            vec!["zpool create tank raidz /dev/dsk/c0t0d0 /dev/dsk/c0t1d0 /dev/dsk/c0t2d0"],
            tank(r#"vdevs = [{ raidz1 = ["c#0t3d0", "c#0t4d0", "c#0t2d0"] }]"#),
        ),
        (
            vec!["zpool create old /dev/dsk/c0t0d0", "zpool export old"],
            tank("vdevs = [\"c#0t0d0\"]\nallow-destructive = [\"c#0t0d0\"]\nproperties = { autoexpand = \"on\" }"),
        ),
        (
            vec!["zpool create old /dev/dsk/c0t0d0", "zpool destroy old"],
            tank("vdevs = [\"c#0t0d0\"]\nallow-destructive = [\"c#0t0d0\"]\nproperties = { autoexpand = \"on\" }"),
        ),
    ]
}

fn start(before: &[&str]) -> Fixture {
    let fixture = Fixture::illumos();
    for line in before {
        fixture.machine.type_in(line);
    }
    fixture
}

/// No test, but the process that is killed.
#[test]
#[ignore = "the other tests start it"]
fn killed_process() {
    plugin_testing::killed::process(ZpoolPlugin::new);
}

fn run_until_killed(fixture: &Fixture, text: &str, kill: (usize, bool)) {
    let was_killed = plugin_testing::killed::apply(&fixture.machine, &fixture.host, &config(text), kill);
    assert!(was_killed, "{kill:?} of\n{text}");
}

#[test]
fn after_a_kill_anywhere_the_next_apply_converges() {
    for (before, text) in changes() {
        let mut whole = start(&before);
        let earlier = whole.commands().len();
        whole.converge_destructively(&text);
        let (commands, drawing) = (whole.commands().len() - earlier, whole.drawing());
        assert!(commands > 0);
        for (at, takes_effect) in (0..commands).flat_map(|at| [(at, false), (at, true)]) {
            let mut fixture = start(&before);
            run_until_killed(&fixture, &text, (at, takes_effect));
            fixture.converge_destructively(&text);
            assert_eq!(fixture.drawing(), drawing, "killed at command {at}, effect {takes_effect}, of\n{text}");
        }
    }
}

#[test]
fn a_kill_while_a_pool_grows() {
    let text = tank("vdevs = [{ mirror = [\"c#0t0d0\", \"c#0t1d0\"] }]\nproperties = { autoexpand = \"on\" }");
    for (at, takes_effect) in [(0, false), (0, true), (1, false), (1, true)] {
        let mut fixture = Fixture::illumos();
        fixture.converge(&text);
        for disk in ["/dev/dsk/c0t0d0", "/dev/dsk/c0t1d0"] {
            fixture.machine.storage(|storage| storage.grow(disk, 2 * DISK));
        }
        run_until_killed(&fixture, &text, (at, takes_effect));
        fixture.converge(&text);
    }
}

/// The step in doubt is carried out once more by a daemon that does not know better.
#[test]
fn every_step_is_right_to_repeat() {
    for (before, text) in changes() {
        let mut fixture = start(&before);
        let steps = fixture.plan(&text);
        for step in &steps {
            fixture.harness.apply(step).unwrap();
            let commands = fixture.commands().len();
            assert_eq!(fixture.harness.apply(step), Ok(sysconfig_plugin::Outcome::AlreadySo), "{}", step.summary);
            assert_eq!(fixture.commands().len(), commands, "{}", step.summary);
        }
    }
}
