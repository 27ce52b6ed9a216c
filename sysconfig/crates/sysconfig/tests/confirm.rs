//! Changes that are undone unless somebody confirms them.

mod common;

use std::io::Write;

use common::Bench;
use common::confirming::{LONG_MS, apply_within, both, texts, two_plugins, want};
use serde_json::json;
use sysconfig_protocol::admin::{Apply, Confirm, Health, Reload, StepResult, UndoChange};
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::{Call, Id, Message, Request};

const NOT_DONE: &str = "its change was to be confirmed, was not carried out to its end, and is not applied by itself";

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
fn a_confirmation_that_cannot_be_kept_is_none() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    apply_within(&daemon, LONG_MS);
    let record = bench.path("state/confirmation.json");
    let kept = std::fs::read(&record).unwrap();
    std::fs::remove_file(&record).unwrap();
    std::fs::create_dir_all(record.join("in the way")).unwrap();
    let error = daemon.request(&Confirm {}).unwrap_err();
    assert!(error.message.contains("still waits"), "{error:?}");
    assert!(error.advice().unwrap().contains("in its place"), "{error:?}");
    assert_eq!(daemon.status().confirmation.unwrap().steps, 2);
    std::fs::remove_dir_all(&record).unwrap();
    std::fs::write(&record, kept).unwrap();
    assert_eq!(daemon.request(&Confirm {}).unwrap().steps, 2);
    assert_eq!(texts(&bench), both("new"));
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
    let report = apply_within(&daemon, LONG_MS);
    let warning = &report.problems[0].message;
    assert!(warning.contains("only as long as this daemon runs"), "{report:?}");
    assert!(daemon.problems().join("\n").contains(warning));
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

/// The record of the change was damaged: nobody knew of it any more, so it stayed as if it had been confirmed, and what had
/// been undone was applied again.
#[test]
fn a_change_whose_record_is_lost_is_not_taken_for_confirmed() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    apply_within(&daemon, LONG_MS);
    daemon.kill();
    let record = bench.path("state/confirmation.json");
    let half = std::fs::read_to_string(&record).unwrap().split_off(40);
    std::fs::write(&record, &half).unwrap();
    want(&bench, "newer");
    for _ in 0..2 {
        let daemon = bench.start();
        assert_eq!(texts(&bench), both("new"), "nothing is applied by itself");
        let status = daemon.status();
        assert_eq!(status.health, Health::Degraded);
        let problem = status.problems.iter().find(|problem| problem.subject == "confirmation").unwrap();
        assert!(problem.message.contains("a change that nobody has confirmed may be in force"), "{problem:?}");
        assert!(problem.help.as_ref().unwrap().contains("sysconfigctl history"), "{problem:?}");
        let error = daemon.request(&Confirm {}).unwrap_err();
        assert!(error.advice().unwrap().contains("the record of one may be lost"), "{error:?}");
        daemon.stop();
    }
    assert!(bench.log().contains("confirmation.json was damaged, and what it held is kept as"), "{}", bench.log());
    assert_eq!(bench.text("state/confirmation.json.damaged").unwrap(), half);
    let daemon = bench.start();
    assert!(daemon.apply().is_success());
    assert_eq!(texts(&bench), both("newer"));
    assert_eq!(daemon.status().health, Health::Ok, "{:?}", daemon.problems());
    daemon.stop();
    assert!(!record.exists());
}

/// What the files said by then was held in the place of what had been undone, and nothing but a request applied it.
#[test]
fn files_that_were_mended_before_the_undoing_are_not_held() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    apply_within(&daemon, LONG_MS);
    daemon.kill();
    bench.configure(&format!("{}{}", bench.wants("a", "mended"), bench.wants("b", "new")));
    let daemon = bench.start();
    assert_eq!(texts(&bench), both("new"), "it waits still");
    assert!(daemon.request(&UndoChange {}).unwrap().is_success());
    let problems = daemon.problems().join("\n");
    assert_eq!(texts(&bench), [Some("mended".to_owned()), Some("old".to_owned())], "{problems}");
    assert!(problems.contains("plugin b: its last change was undone"), "{problems}");
    assert!(!problems.contains("plugin a: "), "{problems}");
    daemon.stop();
}

/// Nobody can tell then which files it was undone for.
#[test]
fn without_the_key_all_that_was_undone_is_held() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    apply_within(&daemon, LONG_MS);
    daemon.kill();
    std::fs::remove_file(bench.path("state/key.json")).unwrap();
    bench.start().stop();
    let daemon = bench.start();
    assert!(daemon.request(&UndoChange {}).unwrap().is_success());
    assert_eq!(texts(&bench), both("old"), "{:?}", daemon.problems());
    daemon.stop();
    bench.start().stop();
    assert_eq!(texts(&bench), both("old"));
}

/// A step of it found more to do, and that was carried out as well, though nobody had seen it.
#[test]
fn no_more_is_carried_out_than_was_approved_of_by_its_digest() {
    for is_confirmed in [true, false] {
        let bench = Bench::new();
        bench.install("a", &json!({ "undo": true, "subscribe": ["look"], "emit": "look" }));
        let daemon = bench.start();
        bench.configure(&bench.wants("a", "new"));
        let plan = Some(daemon.plan().digest);
        let request = Apply { plan, confirm_within_ms: Some(LONG_MS), ..Apply::default() };
        let report = daemon.request(&request).unwrap();
        assert_eq!(bench.text("a").as_deref(), Some("new"), "{report:?}");
        let part = &report.plugins[0];
        let results: Vec<_> = part.steps.iter().map(|step| step.result).collect();
        assert_eq!(results, [StepResult::Changed, StepResult::NotRun], "{report:?}");
        assert!(part.error.as_ref().unwrap().message.contains("nobody has approved of it"), "{report:?}");
        assert_eq!(daemon.status().health, Health::Degraded);
        match is_confirmed {
            true => assert_eq!(daemon.request(&Confirm {}).unwrap().steps, 1),
            false => assert!(daemon.request(&UndoChange {}).unwrap().is_success()),
        }
        // Whatever that brings about comes before the plan.
        daemon.plan();
        assert_eq!(bench.text("a").as_deref(), is_confirmed.then_some("new"));
        let problems = daemon.problems().join("\n");
        assert_eq!(problems.contains(NOT_DONE), is_confirmed, "{problems}");
        assert!(daemon.apply().is_success());
        assert_eq!(bench.text("a").as_deref(), Some("new\"news\""));
        assert_eq!(daemon.problems(), Vec::<String>::new());
        daemon.stop();
    }
}

/// The configuration was the one that had been in force, so the rest of the change was taken for done, and carried out unguarded.
#[test]
fn what_is_left_of_a_confirmed_change_against_drift_is_not_applied_by_itself() {
    let bench = Bench::new();
    bench.install("a", &json!({ "undo": true, "files": 2 }));
    bench.configure(&bench.wants("a", "right"));
    let daemon = bench.start();
    let second = bench.path("a.1");
    std::fs::write(bench.path("a"), "drifted").unwrap();
    std::fs::remove_file(&second).unwrap();
    std::os::unix::fs::symlink(bench.path("nowhere/file"), &second).unwrap();
    let report = apply_within(&daemon, LONG_MS);
    let results: Vec<_> = report.plugins[0].steps.iter().map(|step| step.result).collect();
    assert_eq!(results, [StepResult::Changed, StepResult::Failed], "{report:?}");
    assert_eq!(daemon.request(&Confirm {}).unwrap().steps, 2);
    daemon.stop();
    std::fs::remove_file(&second).unwrap();
    let daemon = bench.start();
    assert_eq!((bench.text("a").as_deref(), bench.text("a.1")), (Some("right"), None));
    assert!(daemon.problems().contains(&format!("plugin a: {NOT_DONE}")), "{:?}", daemon.problems());
    assert!(daemon.apply().is_success());
    assert_eq!(bench.text("a.1").as_deref(), Some("right"));
    daemon.stop();
}

/// Nor is what the daemon had planned and not come to when it was killed.
#[test]
fn what_a_change_against_drift_had_not_come_to_is_not_applied_by_itself() {
    for is_confirmed in [true, false] {
        let bench = Bench::new();
        let stalls = bench.path("stalls");
        bench.install("a", &json!({ "undo": true, "stall_in_apply_while": stalls }));
        bench.install("b", &json!({ "undo": true, "after": ["a"] }));
        want(&bench, "right");
        let daemon = bench.start();
        for name in ["a", "b"] {
            std::fs::write(bench.path(name), "drifted").unwrap();
        }
        std::fs::write(&stalls, "").unwrap();
        let applies = || daemon.log().matches("plugin a: calling apply").count();
        let before = applies();
        let request = Apply { confirm_within_ms: Some(LONG_MS), ..Apply::default() };
        let request = Request { id: Id::Number(1), method: Apply::METHOD.to_owned(), params: json!(request) };
        daemon.connect().write_all(&Message::Request(request).to_line()).unwrap();
        daemon.wait_for("the step", |_| applies() > before);
        daemon.kill();
        std::fs::remove_file(&stalls).unwrap();
        let daemon = bench.start();
        match is_confirmed {
            true => assert_eq!(daemon.request(&Confirm {}).unwrap().steps, 1),
            false => assert!(daemon.request(&UndoChange {}).unwrap().is_success()),
        }
        assert_eq!(bench.text("b").as_deref(), Some("drifted"), "{is_confirmed}: {:?}", daemon.problems());
        assert!(daemon.problems().contains(&format!("plugin b: {NOT_DONE}")), "{:?}", daemon.problems());
        assert!(daemon.apply().is_success());
        assert_eq!(texts(&bench), both("right"));
        daemon.stop();
    }
}
