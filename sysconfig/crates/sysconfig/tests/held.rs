//! What was undone, or could not be, is known and left alone whatever becomes of its plugin.

mod common;

use common::confirming::{LONG_MS, apply_within, both, texts, two_plugins, want};
use common::{Bench, Daemon};
use serde_json::json;
use sysconfig_protocol::admin::{PluginRestart, PluginState, UndoChange};

fn kill(daemon: &Daemon<'_>, plugin: &str) {
    let pid = i32::try_from(daemon.plugin(plugin).pid.unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// It was forgotten by a change to be confirmed that had not come to it, because its plugin was down: it stayed in force, and nobody
/// was told.
#[test]
fn what_could_not_be_undone_is_kept_by_a_change_that_does_not_come_to_it() {
    let bench = Bench::new();
    let (lethal, obstacle) = (bench.path("lethal"), bench.path("undo-fails"));
    bench.install("a", &json!({ "undo": true }));
    bench.install("b", &json!({ "undo": true, "after": ["a"], "die_at_start_while": lethal }));
    want(&bench, "old");
    let daemon = bench.start();
    want(&bench, "new");
    apply_within(&daemon, LONG_MS);
    std::fs::write(&obstacle, "b").unwrap();
    assert!(!daemon.request(&UndoChange {}).unwrap().is_success());
    std::fs::write(&lethal, "").unwrap();
    kill(&daemon, "b");
    daemon.wait_for_plugin("b", "its end", |plugin| plugin.state == PluginState::Quarantined);
    let told = |daemon: &Daemon<'_>| {
        let problems = daemon.problems().join("\n");
        assert!(problems.contains("plugin b: cannot be undone: write"), "{problems}");
        assert!(problems.contains("plugin b: its last change was not undone in whole"), "{problems}");
    };
    apply_within(&daemon, LONG_MS);
    assert_eq!(texts(&bench), both("new"), "{:?}", daemon.problems());
    told(&daemon);
    assert!(daemon.request(&UndoChange {}).unwrap().is_success());
    told(&daemon);
    std::fs::remove_file(&lethal).unwrap();
    std::fs::remove_file(&obstacle).unwrap();
    daemon.request(&PluginRestart { name: "b".to_owned() }).unwrap();
    daemon.wait_for("the rest of the undoing", |_| texts(&bench) == both("old"));
    daemon.stop();
}

/// Its plugin has another name now, and the same part: that was applied again by itself.
#[test]
fn what_was_undone_stays_so_when_its_plugin_is_renamed() {
    for is_running in [true, false] {
        let bench = Bench::new();
        let daemon = two_plugins(&bench);
        want(&bench, "new");
        apply_within(&daemon, LONG_MS);
        assert!(daemon.request(&UndoChange {}).unwrap().is_success());
        let rename = || {
            bench.uninstall("a");
            bench.install("renamed", &json!({ "undo": true, "claims": ["test.a"] }));
        };
        let daemon = if is_running {
            rename();
            daemon
        } else {
            daemon.stop();
            rename();
            bench.start()
        };
        daemon.wait_for_plugin("renamed", "the plugin", |plugin| plugin.state == PluginState::Running);
        // Whatever its start brings about comes before the plan.
        daemon.plan();
        let problems = daemon.problems();
        assert_eq!(texts(&bench), both("old"), "{is_running}: {problems:?}");
        let held = "plugin renamed: its last change was undone, and is not applied again by itself";
        assert!(problems.iter().any(|problem| problem == held), "{is_running}: {problems:?}");
        assert!(daemon.apply().is_success());
        assert_eq!(texts(&bench), both("new"));
        assert_eq!(daemon.problems(), Vec::<String>::new());
        daemon.stop();
    }
}

/// A build that owns one key more has another part, though nobody has changed the configuration.
#[test]
fn what_was_undone_stays_so_when_a_new_build_owns_other_keys() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    let further = "[test.further]\nkey = 1\n";
    bench.configure(&format!("{}{}{further}", bench.wants("a", "new"), bench.wants("b", "new")));
    apply_within(&daemon, LONG_MS);
    assert!(daemon.request(&UndoChange {}).unwrap().is_success());
    let build = json!({ "undo": true, "version": "2.0.0", "claims": ["test.a", "test.further"] });
    bench.install("a", &build);
    daemon.wait_for_plugin("a", "the new build", |plugin| plugin.version.as_deref() == Some("2.0.0"));
    daemon.plan();
    let problems = daemon.problems();
    assert_eq!(texts(&bench), both("old"), "{problems:?}");
    let held = "plugin a: its last change was undone, and is not applied again by itself";
    assert!(problems.iter().any(|problem| problem == held), "{problems:?}");
    daemon.stop();
    let daemon = bench.start();
    assert_eq!(texts(&bench), both("old"), "nor by the next daemon: {:?}", daemon.problems());
    assert!(daemon.apply().is_success());
    assert_eq!(texts(&bench), both("new"));
    daemon.stop();
}
