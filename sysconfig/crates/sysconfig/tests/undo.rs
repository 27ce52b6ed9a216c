//! Taking back what nobody confirmed, also where that does not work at once.

mod common;

use std::io::Write;

use common::confirming::{LONG_MS, apply_within, both, texts, two_plugins, want};
use common::{Bench, Daemon};
use serde_json::json;
use sysconfig_protocol::admin::{Apply, Confirm, Failure, Health, PluginRestart, PluginState, StepResult, UndoChange};
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::{Call, Id, Message, Request};

/// Whoever was cut off cannot ask for another try, and is not to be told that all is as it was.
#[test]
fn what_cannot_be_undone_is_told_kept_and_tried_again() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    apply_within(&daemon, LONG_MS);
    let obstacle = bench.path("undo-fails");
    std::fs::write(&obstacle, "b").unwrap();
    let report = daemon.request(&UndoChange {}).unwrap();
    assert!(!report.is_success() && report.steps.len() == 2, "{report:?}");
    assert_eq!(texts(&bench), [Some("old".to_owned()), Some("new".to_owned())], "it disturbs no other step");
    let told = |daemon: &Daemon<'_>| {
        let problems = daemon.problems().join("\n");
        assert!(problems.contains("plugin b: cannot be undone: write"), "{problems}");
        assert!(problems.contains("plugin b: its last change was not undone in whole"), "{problems}");
        assert!(problems.contains("plugin a: its last change was undone"), "{problems}");
        let planned = daemon.plan().problems;
        assert!(planned.iter().any(|problem| problem.message.starts_with("cannot be undone: write")), "{planned:?}");
    };
    told(&daemon);
    let journal = bench.text("state/journal.jsonl").unwrap();
    assert!(journal.contains("\"result\":\"failed\",\"error\":\"undo: cannot undo\""), "{journal}");
    // The next daemon knows of it, too.
    daemon.stop();
    let daemon = bench.start();
    told(&daemon);
    assert!(!daemon.request(&UndoChange {}).unwrap().is_success());
    std::fs::remove_file(&obstacle).unwrap();
    daemon.wait_for("another try", |_| texts(&bench) == both("old"));
    daemon.wait_for("the news of it", |daemon| !daemon.problems().join("\n").contains("cannot be undone"));
    assert!(daemon.problems().join("\n").contains("plugin b: its last change was undone"), "{:?}", daemon.problems());
    assert_eq!(daemon.request(&UndoChange {}).unwrap_err().code, code::NOTHING_TO_CONFIRM);
    daemon.stop();
}

#[test]
fn what_could_not_be_undone_is_undone_on_request_and_forgotten_when_something_else_is_applied() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    let obstacle = bench.path("undo-fails");
    let fail = || {
        want(&bench, "new");
        apply_within(&daemon, LONG_MS);
        std::fs::write(&obstacle, "a b").unwrap();
        assert!(!daemon.request(&UndoChange {}).unwrap().is_success());
        assert_eq!(texts(&bench), both("new"));
        std::fs::remove_file(&obstacle).unwrap();
    };
    fail();
    let report = daemon.request(&UndoChange {}).unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(texts(&bench), both("old"));
    fail();
    assert!(daemon.apply().is_success());
    assert_eq!(daemon.status().health, Health::Ok, "{:?}", daemon.problems());
    assert!(!bench.path("state/confirmation.json").exists());
    assert_eq!(texts(&bench), both("new"));
    daemon.stop();
}

/// What a service manager does to a daemon may come in the middle of an undoing.
#[test]
fn an_undoing_that_is_interrupted_goes_on() {
    for how in ["told to end", "killed"] {
        let bench = Bench::new();
        bench.install("a", &json!({ "undo": true }));
        bench.install("b", &json!({ "undo": true, "after": ["a"] }));
        bench.configure_with(
            "[plugins.deadlines]\nstop = \"300ms\"",
            &format!("{}{}", bench.wants("a", "old"), bench.wants("b", "old")),
        );
        let daemon = bench.start();
        bench.configure_with(
            "[plugins.deadlines]\nstop = \"300ms\"",
            &format!("{}{}", bench.wants("a", "new"), bench.wants("b", "new")),
        );
        let stalls = bench.path("undo-stalls");
        std::fs::write(&stalls, "").unwrap();
        assert!(apply_within(&daemon, 1).is_success());
        daemon.wait_for("the step in the middle", |_| bench.path("undo-has-stalled").exists());
        assert!(daemon.problems().join("\n").contains("confirmation: the last change is being undone"), "{how}");
        if how == "killed" {
            daemon.kill();
        } else {
            daemon.stop();
        }
        assert_eq!(texts(&bench), both("new"), "{how}: it was the first of them");
        std::fs::remove_file(&stalls).unwrap();
        let daemon = bench.start();
        daemon.wait_for("the rest of it", |daemon| daemon.status().confirmation.is_none());
        assert_eq!(texts(&bench), both("old"), "{how}");
        let problems = daemon.problems().join("\n");
        assert!(!problems.contains("nobody knows"), "{how}: {problems}");
        assert!(bench.log().contains("undoing the last change: going on with what was interrupted"), "{how}");
        daemon.stop();
    }
}

/// Whoever is cut off waits for one plugin at most, and not for all that are asked for their plans.
#[test]
fn a_plan_does_not_hold_up_the_undoing() {
    let bench = Bench::new();
    bench.install("a", &json!({ "undo": true }));
    let slow = ["s1", "s2", "s3", "s4", "s5", "s6"];
    for name in slow {
        bench.install(name, &json!({ "observe_sleep_ms": 1000, "after": ["a"] }));
    }
    let rest: String = slow.map(|name| bench.wants(name, "same")).concat();
    bench.configure(&format!("{}{rest}", bench.wants("a", "old")));
    let daemon = bench.start();
    bench.configure(&format!("{}{rest}", bench.wants("a", "new")));
    let report = apply_within(&daemon, 1500);
    assert!(report.is_success(), "{report:?}\n{}", daemon.log());
    let plan = daemon.plan();
    let is_left = |error: &Failure| error.message.contains("it is undone first");
    let left = plan.plugins.iter().filter(|part| part.error.as_ref().is_some_and(is_left)).count();
    assert!((1..=6).contains(&left), "{plan:?}");
    daemon.wait_for("the undoing", |daemon| daemon.bench.text("a").as_deref() == Some("old"));
    let plan = daemon.plan();
    assert!(plan.plugins.iter().all(|part| part.error.is_none()), "{plan:?}");
    let problems = daemon.problems().join("\n");
    assert!(!problems.contains("undone first"), "{problems}");
    daemon.stop();
}

/// It was applied as soon as its plugin came back, and nobody would have been asked for a confirmation of that.
#[test]
fn what_a_change_to_be_confirmed_had_not_come_to_is_not_applied_by_itself() {
    for (is_alone, is_confirmed) in [(true, false), (false, false), (false, true)] {
        let bench = Bench::new();
        let lethal = bench.path("lethal");
        bench.install("a", &json!({ "undo": true }));
        bench.install("b", &json!({ "undo": true, "after": ["a"], "die_at_start_while": lethal }));
        want(&bench, "old");
        let daemon = bench.start();
        std::fs::write(&lethal, "").unwrap();
        let pid = i32::try_from(daemon.plugin("b").pid.unwrap()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        daemon.wait_for_plugin("b", "its end", |plugin| plugin.state == PluginState::Quarantined);
        let a = if is_alone { "old" } else { "new" };
        bench.configure(&format!("{}{}", bench.wants("a", a), bench.wants("b", "new")));
        let report = apply_within(&daemon, LONG_MS);
        assert!(!report.is_success() && report.confirm_by_unix_ms.is_some() != is_alone, "{report:?}");
        if is_confirmed {
            daemon.request(&Confirm {}).unwrap();
        } else if !is_alone {
            assert!(daemon.request(&UndoChange {}).unwrap().is_success());
        }
        std::fs::remove_file(&lethal).unwrap();
        daemon.request(&PluginRestart { name: "b".to_owned() }).unwrap();
        let problems = daemon.problems().join("\n");
        // What nobody has seen was not confirmed.
        let expected = [Some(if is_confirmed { "new" } else { "old" }.to_owned()), Some("old".to_owned())];
        assert_eq!(texts(&bench), expected, "{is_alone}, {is_confirmed}: {problems}");
        let told =
            "plugin b: its change was to be confirmed, was not carried out to its end, and is not applied by itself";
        assert!(problems.contains(told), "{problems}");
        let is_undone = !is_alone && !is_confirmed;
        assert_eq!(problems.contains("plugin a: its last change was undone"), is_undone, "{problems}");
        assert!(daemon.apply().is_success());
        assert_eq!(bench.text("b").as_deref(), Some("new"));
        assert_eq!(daemon.problems(), Vec::<String>::new());
        daemon.stop();
    }
}

/// A build that cannot undo took the place of the one that had to.
#[test]
fn a_build_that_cannot_undo_waits_until_nothing_has_to_be_undone() {
    for is_running in [true, false] {
        let bench = Bench::new();
        let lethal = bench.path("lethal");
        bench.install("a", &json!({ "undo": true, "die_at_start_while": lethal }));
        bench.install("b", &json!({ "undo": true, "after": ["a"] }));
        want(&bench, "old");
        let daemon = bench.start();
        want(&bench, "new");
        apply_within(&daemon, LONG_MS);
        if !is_running {
            std::fs::write(&lethal, "").unwrap();
            let pid = i32::try_from(daemon.plugin("a").pid.unwrap()).unwrap();
            rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL)
                .unwrap();
            daemon.wait_for_plugin("a", "its end", |plugin| plugin.state == PluginState::Quarantined);
        }
        bench.install("a", &json!({ "version": "2.0.0" }));
        daemon.wait_for_plugin("a", "the refusal", |plugin| {
            let error = plugin.reload.as_ref().and_then(|reload| reload.error.as_deref()).unwrap_or_default();
            error == "a change of plugin a waits for its confirmation, and this build could not undo it"
        });
        assert_eq!(daemon.plugin("a").version.as_deref(), Some("1.0.0"));
        drop(std::fs::remove_file(&lethal));
        let report = daemon.request(&UndoChange {}).unwrap();
        assert!(report.is_success(), "{report:?}");
        assert_eq!(texts(&bench), both("old"));
        daemon.wait_for_plugin("a", "the build that waited", |plugin| plugin.version.as_deref() == Some("2.0.0"));
        assert_eq!(texts(&bench), both("old"), "and what was undone stays so");
        daemon.stop();
    }
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

/// What was undone is asked for once more, and the daemon ends before it has a step of that.
#[test]
fn what_was_undone_is_held_until_the_change_that_asks_for_it_again_is_noted() {
    let bench = Bench::new();
    for (name, after) in [("a", json!([])), ("b", json!(["a"]))] {
        bench.install(name, &json!({ "undo": true, "after": after, "observe_sleep_ms": 300 }));
    }
    want(&bench, "old");
    let daemon = bench.start();
    want(&bench, "new");
    apply_within(&daemon, LONG_MS);
    assert!(daemon.request(&UndoChange {}).unwrap().is_success());
    let record = || bench.text("state/confirmation.json");
    let held = record();
    assert!(held.is_some());
    let request = Apply { confirm_within_ms: Some(1), ..Apply::default() };
    let request = Request { id: Id::Number(1), method: Apply::METHOD.to_owned(), params: json!(request) };
    daemon.connect().write_all(&Message::Request(request).to_line()).unwrap();
    daemon.wait_for("the record", |_| record() != held);
    daemon.kill();
    let daemon = bench.start();
    daemon.wait_for("the undoing", |daemon| daemon.status().confirmation.is_none());
    let problems = daemon.problems().join("\n");
    assert_eq!(texts(&bench), both("old"), "{problems}");
    assert!(problems.contains("is not applied"), "{problems}");
    daemon.stop();
}

/// It was undone, and its plugin, as one from a share that is mounted late, is not there when everything is applied with a guard.
#[test]
fn what_was_undone_stays_held_where_a_change_to_be_confirmed_has_not_come_to_it() {
    for is_confirmed in [true, false] {
        let bench = Bench::new();
        let daemon = two_plugins(&bench);
        want(&bench, "new");
        apply_within(&daemon, LONG_MS);
        assert!(daemon.request(&UndoChange {}).unwrap().is_success());
        daemon.stop();
        let (file, aside) = (bench.path("plugins/sysconfig-plugin-b"), bench.path("aside"));
        std::fs::rename(&file, &aside).unwrap();
        let daemon = bench.start();
        let report = apply_within(&daemon, LONG_MS);
        assert_eq!(bench.text("a").as_deref(), Some("new"), "{report:?}");
        if is_confirmed {
            daemon.request(&Confirm {}).unwrap();
        } else {
            assert!(daemon.request(&UndoChange {}).unwrap().is_success());
        }
        std::fs::rename(&aside, &file).unwrap();
        daemon.wait_for("plugin b", |daemon| {
            daemon.status().plugins.iter().any(|plugin| plugin.name == "b" && plugin.pid.is_some())
        });
        daemon.wait_for("its hold", |daemon| {
            daemon.problems().iter().any(|problem| problem.starts_with("plugin b: its last change was undone"))
        });
        assert_eq!(bench.text("b").as_deref(), Some("old"), "{is_confirmed}: {:?}", daemon.problems());
        assert!(daemon.apply().is_success());
        assert_eq!(texts(&bench), both("new"));
        daemon.stop();
    }
}

/// A step that fails may have cut the network before it did.
#[test]
fn what_a_failed_step_has_done_is_undone_too() {
    let bench = Bench::new();
    let fails = bench.path("fails");
    bench.install("a", &json!({ "undo": true, "fail_after_writing_while": fails }));
    bench.configure(&bench.wants("a", "old"));
    let daemon = bench.start();
    std::fs::write(fails, "").unwrap();
    bench.configure(&bench.wants("a", "new"));
    let report = apply_within(&daemon, 50);
    assert_eq!(report.plugins[0].steps.first().map(|step| step.result), Some(StepResult::Failed), "{report:?}");
    assert!(report.confirm_by_unix_ms.is_some(), "{report:?}");
    daemon.wait_for("the undoing", |daemon| daemon.status().confirmation.is_none());
    assert_eq!(bench.text("a").as_deref(), Some("old"));
    daemon.stop();
}

/// What was undone must stay so where its plugin comes later than the daemon, as from a share that is mounted late.
#[test]
fn what_was_undone_stays_so_when_its_plugin_comes_late() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    apply_within(&daemon, LONG_MS);
    assert!(daemon.request(&UndoChange {}).unwrap().is_success());
    daemon.stop();
    let share = bench.path("share");
    std::fs::rename(bench.path("plugins"), &share).unwrap();
    let daemon = bench.start();
    std::fs::rename(&share, bench.path("plugins")).unwrap();
    daemon.wait_for("the plugins", |daemon| {
        ["a", "b"].iter().all(|name| {
            let problem = format!("plugin {name}: its last change was undone");
            daemon.problems().iter().any(|told| told.starts_with(&problem))
        })
    });
    assert_eq!(texts(&bench), both("old"));
    daemon.stop();
}

/// The share with the plugins may come later than the end of the time: then they undo, and apply nothing before.
#[test]
fn what_cannot_be_undone_because_its_plugin_is_not_there_is_undone_when_it_comes() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    apply_within(&daemon, 3000);
    daemon.kill();
    let share = bench.path("share");
    std::fs::rename(bench.path("plugins"), &share).unwrap();
    std::fs::create_dir(bench.path("plugins")).unwrap();
    let daemon = bench.start();
    daemon.wait_for("the end of the time", |daemon| {
        daemon.problems().iter().any(|problem| problem.contains("cannot be undone: write"))
    });
    std::fs::remove_dir(bench.path("plugins")).unwrap();
    std::fs::rename(&share, bench.path("plugins")).unwrap();
    daemon.wait_for("the undoing", |_| texts(&bench) == both("old"));
    daemon.wait_for("its report", |daemon| {
        daemon.problems().iter().any(|problem| problem.starts_with("plugin a: its last change was undone"))
    });
    assert_eq!(texts(&bench), both("old"));
    daemon.stop();
}

/// With the record of what was in force went the one of who owns which key.
#[test]
fn who_owned_a_key_keeps_it_when_his_change_was_undone() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    apply_within(&daemon, LONG_MS);
    assert!(daemon.request(&UndoChange {}).unwrap().is_success());
    assert_eq!(daemon.plugin("a").applied_unix_ms, None, "what the files say is not in force");
    daemon.stop();
    bench.install("stray", &json!({ "claims": ["test.a"] }));
    let daemon = bench.start();
    assert_eq!(daemon.plugin("a").state, PluginState::Running, "{:?}", daemon.problems());
    assert_eq!(daemon.plugin("stray").state, PluginState::Refused);
    daemon.stop();
}

/// The build that was to help was forgotten when it did not start at the first try.
#[test]
fn a_build_that_does_not_start_while_a_change_waits_is_tried_again_afterwards() {
    let bench = Bench::new();
    let [old_dies, new_dies] = ["old-dies", "new-dies"].map(|name| bench.path(name));
    bench.install("a", &json!({ "undo": true, "die_at_start_while": old_dies }));
    bench.configure(&bench.wants("a", "old"));
    let daemon = bench.start();
    bench.configure(&bench.wants("a", "new"));
    apply_within(&daemon, LONG_MS);
    std::fs::write(&old_dies, "").unwrap();
    std::fs::write(&new_dies, "").unwrap();
    let pid = i32::try_from(daemon.plugin("a").pid.unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
    daemon.wait_for_plugin("a", "its end", |plugin| plugin.state == PluginState::Quarantined);
    bench.install("a", &json!({ "undo": true, "version": "2.0.0", "die_at_start_while": new_dies }));
    daemon.wait_for_plugin("a", "the new build's end", |plugin| {
        plugin.reload.as_ref().is_some_and(|reload| reload.error.is_some())
    });
    std::fs::remove_file(&old_dies).unwrap();
    std::fs::remove_file(&new_dies).unwrap();
    let report = daemon.request(&UndoChange {}).unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(bench.text("a").as_deref(), Some("old"));
    daemon.wait_for_plugin("a", "the new build", |plugin| plugin.version.as_deref() == Some("2.0.0"));
    daemon.stop();
}

/// A build that can undo is taken at once, applies nothing before the change is confirmed or undone, and undoes.
#[test]
fn a_new_build_of_a_plugin_whose_change_waits_is_live_and_applies_nothing_yet() {
    for is_confirmed in [false, true] {
        let bench = Bench::new();
        let daemon = two_plugins(&bench);
        want(&bench, "new");
        apply_within(&daemon, LONG_MS);
        bench.install("a", &json!({ "undo": true, "version": "2.0.0", "prefix": "two " }));
        daemon.wait_for_plugin("a", "the new build", |plugin| {
            plugin.version.as_deref() == Some("2.0.0") && plugin.reload.is_some()
        });
        // The plan comes after whatever the new build brought about.
        let plan = daemon.plan();
        assert_eq!(plan.plugins[0].steps.len(), 1, "{plan:?}");
        assert_eq!(texts(&bench), both("new"));
        if is_confirmed {
            daemon.request(&Confirm {}).unwrap();
            assert_eq!(texts(&bench), [Some("two new".to_owned()), Some("new".to_owned())]);
        } else {
            assert!(daemon.request(&UndoChange {}).unwrap().is_success());
            assert_eq!(texts(&bench), both("old"), "and what was undone stays so");
        }
        daemon.stop();
    }
}
