//! Changes that are undone unless somebody confirms them.

mod common;

use common::{Bench, Daemon};
use serde_json::json;
use sysconfig_protocol::admin::{Apply, ApplyReport, Confirm, Health, Reload, StepResult, UndoChange};
use sysconfig_protocol::envelope::code;

/// Longer than any test takes.
const LONG_MS: u64 = 3_600_000;

fn apply_within(daemon: &Daemon<'_>, milliseconds: u64) -> ApplyReport {
    let request = Apply { confirm_within_ms: Some(milliseconds), ..Apply::default() };
    daemon.request(&request).unwrap()
}

/// Plugins `a` and `b`, in this order, that can undo, with the text `old` in force.
fn two_plugins(bench: &Bench) -> Daemon<'_> {
    bench.install("a", &json!({ "undo": true }));
    bench.install("b", &json!({ "undo": true, "after": ["a"] }));
    want(bench, "old");
    bench.start()
}

fn want(bench: &Bench, text: &str) {
    bench.configure(&format!("{}{}", bench.wants("a", text), bench.wants("b", text)));
}

fn texts(bench: &Bench) -> [Option<String>; 2] {
    [bench.text("a"), bench.text("b")]
}

fn both(text: &str) -> [Option<String>; 2] {
    [Some(text.to_owned()), Some(text.to_owned())]
}

#[test]
fn a_confirmed_change_stays() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    let report = apply_within(&daemon, LONG_MS);
    assert!(report.is_success() && report.confirm_by_unix_ms.is_some(), "{report:?}");
    assert_eq!(texts(&bench), both("new"));
    let status = daemon.status();
    assert_eq!(status.confirmation.unwrap().steps, 2);
    assert_eq!(status.health, Health::Ok, "a change that waits is in force");
    assert_eq!(daemon.request(&Confirm {}).unwrap().steps, 2);
    assert!(daemon.status().confirmation.is_none());
    assert!(!bench.path("state/confirmation.json").exists());
    for error in [daemon.request(&Confirm {}).unwrap_err(), daemon.request(&UndoChange {}).unwrap_err()] {
        assert_eq!(error.code, code::NOTHING_TO_CONFIRM);
    }
    assert!(apply_within(&daemon, 1).confirm_by_unix_ms.is_none(), "there was nothing to do, so nothing to confirm");
    daemon.stop();
}

#[test]
fn a_change_that_nobody_confirms_is_undone_from_its_end_and_stays_undone() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    assert!(apply_within(&daemon, 50).is_success());
    daemon.wait_for("the undoing", |daemon| daemon.status().confirmation.is_none());
    assert_eq!(texts(&bench), both("old"));
    let log = daemon.log();
    assert!(log.find("plugin b: undone: write").unwrap() < log.find("plugin a: undone: write").unwrap(), "{log}");
    let status = daemon.status();
    assert_eq!(status.health, Health::Degraded);
    assert!(daemon.problems().join("\n").contains("plugin a: its last change was undone"), "{:?}", status.problems);
    assert_eq!(daemon.plugin("a").applied_unix_ms, None);
    daemon.stop();

    // The files still ask for it; whoever starts the machine again is not locked out again.
    let daemon = bench.start();
    assert_eq!(texts(&bench), both("old"));
    daemon.stop();
    let [state, kept] = [bench.path("state"), bench.path("kept")];
    let copy = |name: &str| std::fs::copy(state.join(name), kept.join(name)).unwrap();
    std::fs::create_dir(&kept).unwrap();
    copy("key.json");
    copy("confirmation.json");
    // Nor when the state has lost the key that says which part it was.
    std::fs::remove_file(state.join("key.json")).unwrap();
    for _ in 0..2 {
        bench.start().stop();
        assert_eq!(texts(&bench), both("old"));
    }
    for name in ["key.json", "confirmation.json"] {
        std::fs::rename(kept.join(name), state.join(name)).unwrap();
    }
    let daemon = bench.start();
    bench.install("a", &json!({ "undo": true, "version": "2.0.0" }));
    daemon.wait_for_plugin("a", "the new build", |plugin| plugin.version.as_deref() == Some("2.0.0"));
    assert_eq!(texts(&bench), both("old"), "a new build does not apply it either");
    bench.configure(&format!("{}{}", bench.wants("a", "other"), bench.wants("b", "new")));
    daemon.request(&Reload {}).unwrap();
    assert_eq!(texts(&bench), [Some("other".to_owned()), Some("old".to_owned())], "a changed part is another matter");
    assert!(daemon.apply().is_success(), "and so is a request");
    assert_eq!(bench.text("b").as_deref(), Some("new"));
    assert_eq!(daemon.status().health, Health::Ok);
    daemon.stop();
}

#[test]
fn an_administrator_can_undo_at_once() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    apply_within(&daemon, LONG_MS);
    // Somebody else has put this one back already.
    std::fs::write(bench.path("a"), "old").unwrap();
    let report = daemon.request(&UndoChange {}).unwrap();
    let results: Vec<_> = report.steps.iter().map(|step| (step.plugin.as_str(), step.undone.result)).collect();
    assert_eq!(results, [("b", StepResult::Changed), ("a", StepResult::AlreadySo)]);
    assert!(report.is_success());
    assert_eq!(texts(&bench), both("old"));
    let journal = bench.text("state/journal.jsonl").unwrap();
    assert_eq!(journal.matches("\"undo\":true").count(), 2, "{journal}");
    daemon.stop();
}

#[test]
fn what_cannot_be_undone_is_not_begun() {
    let bench = Bench::new();
    bench.install("a", &json!({ "undo": true }));
    bench.install("b", &json!({}));
    want(&bench, "old");
    let daemon = bench.start();
    want(&bench, "new");
    let request = Apply { confirm_within_ms: Some(LONG_MS), ..Apply::default() };
    let error = daemon.request(&request).unwrap_err();
    assert_eq!(error.code, code::CANNOT_UNDO);
    assert!(error.chain().contains("plugin b: the plugin cannot undo: write"), "{error:?}");
    assert_eq!(texts(&bench), both("old"));
    assert!(daemon.status().confirmation.is_none());
    daemon.stop();
}

#[test]
fn while_a_change_waits_nothing_else_is_applied() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    apply_within(&daemon, LONG_MS);
    for error in [daemon.request(&Apply::default()).unwrap_err(), daemon.request(&Reload {}).unwrap_err()] {
        assert_eq!(error.code, code::CONFIRMATION_PENDING);
        assert!(error.advice().unwrap().contains("sysconfigctl confirm"));
    }
    want(&bench, "later");
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_for("the signal", |daemon| daemon.log().contains("and the reload for that"));
    bench.install("a", &json!({ "undo": true, "version": "2.0.0", "prefix": "more " }));
    daemon.wait_for_plugin("a", "the new build", |plugin| plugin.version.as_deref() == Some("2.0.0"));
    daemon.plan();
    assert_eq!(texts(&bench), both("new"));
    daemon.request(&Confirm {}).unwrap();
    assert_eq!(texts(&bench), [Some("more later".to_owned()), Some("later".to_owned())]);
    daemon.stop();
}

#[test]
fn a_killed_daemon_is_followed_by_one_that_undoes() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    apply_within(&daemon, 3000);
    daemon.kill();
    let daemon = bench.start();
    daemon.wait_for("the undoing", |daemon| daemon.status().confirmation.is_none());
    assert_eq!(texts(&bench), both("old"));
    daemon.stop();
}

#[test]
fn a_killed_daemon_is_followed_by_one_that_can_be_told_to_keep_the_change() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    apply_within(&daemon, LONG_MS);
    daemon.kill();
    let daemon = bench.start();
    assert_eq!(daemon.request(&Confirm {}).unwrap().steps, 2);
    assert_eq!(texts(&bench), both("new"));
    assert_eq!(daemon.status().health, Health::Ok, "{:?}", daemon.problems());
    daemon.stop();
}

#[test]
fn a_failure_to_undo_is_told_and_disturbs_no_other_step() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    apply_within(&daemon, LONG_MS);
    std::fs::write(bench.path("undo-fails"), "").unwrap();
    let report = daemon.request(&UndoChange {}).unwrap();
    assert!(!report.is_success() && report.steps.len() == 2, "{report:?}");
    let problems = daemon.problems().join("\n");
    assert!(problems.contains("plugin b: cannot be undone: write"), "{problems}");
    daemon.apply();
    assert_eq!(daemon.status().health, Health::Ok, "{:?}", daemon.problems());
    daemon.stop();
}

#[test]
fn secrets_are_undone_from_memory_and_not_from_the_disk() {
    let bench = Bench::new();
    let script = json!({ "undo": true, "sensitive": true });
    bench.install("a", &script);
    bench.configure(&bench.wants("a", "hunter1"));
    let daemon = bench.start();
    bench.configure(&bench.wants("a", "hunter2"));
    apply_within(&daemon, LONG_MS);
    assert!(!bench.text("state/confirmation.json").unwrap().contains("hunter"));
    assert!(daemon.request(&UndoChange {}).unwrap().is_success());
    assert_eq!(bench.text("a").as_deref(), Some("hunter1"));
    apply_within(&daemon, LONG_MS);
    daemon.kill();
    let daemon = bench.start();
    let report = daemon.request(&UndoChange {}).unwrap();
    assert_eq!(report.steps[0].undone.result, StepResult::Failed);
    let problems = daemon.problems().join("\n");
    assert!(problems.contains("secret, and was gone with the daemon"), "{problems}");
    daemon.stop();
}
