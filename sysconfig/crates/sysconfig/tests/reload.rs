//! Plugin files that change under a running daemon.

mod common;

use common::Bench;
use serde_json::json;
use sysconfig_protocol::Severity;
use sysconfig_protocol::admin::{Health, PluginState, Plugins, Reload, ReloadResult};

/// Many polls. Nothing is to happen meanwhile, so that a slow machine cannot make a test fail.
fn wait_for_nothing() {
    std::thread::sleep(std::time::Duration::from_millis(300));
}

#[test]
fn a_relinked_build_is_live_and_applied_and_the_old_copy_goes() {
    let bench = Bench::new();
    bench.install("a", &json!({ "version": "1.0.0" }));
    bench.configure(&bench.wants("a", "text"));
    let daemon = bench.start();
    let before = daemon.plugin("a");
    assert!(before.reload.is_none());
    bench.install("a", &json!({ "version": "2.0.0", "prefix": "new " }));
    daemon.wait_for("the new behaviour", |daemon| daemon.bench.text("a").as_deref() == Some("new text"));
    daemon.wait_for_plugin("a", "the new build", |plugin| plugin.version.as_deref() == Some("2.0.0"));
    let after = daemon.plugin("a");
    assert_ne!(after.build_id, before.build_id);
    assert_ne!(after.pid, before.pid);
    assert_eq!(after.restarts, 0, "a reload is no restart");
    let reload = after.reload.unwrap();
    assert_eq!(reload.result, ReloadResult::Live);
    assert_eq!(reload.build_id, after.build_id);
    assert!(reload.latency_ms.is_some_and(|latency| latency < 30_000), "{reload:?}");
    assert!(reload.since_change, "the file system of the tests tells when it was linked: {reload:?}");
    let old = before.pid.unwrap();
    daemon.wait_for("the old process to end", |daemon| !daemon.bench.plugin_processes().contains(&old));

    bench.install("a", &json!({ "version": "3.0.0", "prefix": "newer " }));
    daemon.wait_for_plugin("a", "the third build", |plugin| plugin.version.as_deref() == Some("3.0.0"));
    let copies = || std::fs::read_dir(bench.path("state/plugins")).unwrap().count();
    daemon.wait_for("old copies to be collected", |_| copies() <= 2);
    assert_eq!(daemon.status().health, Health::Ok);
    daemon.stop();
}

#[test]
fn without_reload_applies_a_new_build_only_plans() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    let text = bench.wants("a", "text");
    bench.configure(&text);
    let config = std::fs::read_to_string(bench.path("sysconfig.toml")).unwrap();
    std::fs::write(bench.path("sysconfig.toml"), config.replace("reload-applies = true", "")).unwrap();
    let daemon = bench.start();
    bench.install("a", &json!({ "prefix": "new " }));
    daemon.wait_for("the plan", |daemon| daemon.problems().iter().any(|problem| problem.contains("1 step planned")));
    assert_eq!(bench.text("a").as_deref(), Some("text"));
    assert!(daemon.apply().is_success());
    assert_eq!(bench.text("a").as_deref(), Some("new text"));
    daemon.stop();
}

#[test]
fn a_build_that_is_linked_in_the_middle_of_an_apply_waits_for_its_end() {
    let bench = Bench::new();
    let steps = 4;
    bench.install("a", &json!({ "version": "1.0.0", "files": steps, "apply_sleep_ms": 300 }));
    bench.configure(&bench.wants("a", "one"));
    let daemon = bench.start();
    let old = daemon.plugin("a").pid;
    let written = |daemon: &common::Daemon<'_>| daemon.log().matches("plugin a: changed: write").count();
    let before = written(&daemon);
    bench.configure(&bench.wants("a", "two"));
    std::thread::scope(|scope| {
        let apply = scope.spawn(|| daemon.apply());
        daemon.wait_for("the first step", |daemon| written(daemon) > before);
        // It is found, and could be started, long before the other steps are done.
        bench.install("a", &json!({ "version": "2.0.0", "files": steps, "prefix": "new " }));
        let report = apply.join().unwrap();
        assert!(report.is_success() && report.plugins[0].steps.len() == steps, "{report:?}");
    });
    daemon.wait_for("the new build's own apply", |daemon| written(daemon) == before + 2 * steps);
    let log = daemon.log();
    let (until, _) = log.split_once(" is live, ").unwrap();
    assert_eq!(
        until.matches("plugin a: changed: write").count(),
        before + steps,
        "no step of the apply is left: {log}"
    );
    let new = daemon.plugin("a");
    assert_eq!((new.version.as_deref(), bench.text("a").as_deref()), (Some("2.0.0"), Some("new two")));
    assert!(new.pid != old && new.restarts == 0, "{new:?}");
    daemon.stop();
}

#[test]
fn a_broken_build_leaves_the_old_one_running_and_status_says_why() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure(&bench.wants("a", "text"));
    let daemon = bench.start();
    let before = daemon.plugin("a");
    let unchanged = || {
        let now = daemon.plugin("a");
        assert_eq!((now.pid, &now.build_id, now.state), (before.pid, &before.build_id, PluginState::Running));
        let status = daemon.status();
        assert_eq!(status.health, Health::Ok, "everything configured is in force: {:?}", status.problems);
        assert!(status.problems.iter().all(|problem| problem.severity == Severity::Warning));
    };
    let kept = |reason: &str| {
        daemon.wait_for_plugin("a", reason, |plugin| {
            plugin.last_error.as_ref().is_some_and(|error| error.contains(reason))
                && plugin.reload.as_ref().is_some_and(|reload| reload.result == ReloadResult::Kept)
        });
        unchanged();
    };
    bench.install_bytes("a", b"garbage\n");
    kept("neither an ELF executable nor a script");
    bench.install_bytes("a", b"#!/bin/sh\necho no protocol >&3; sleep 60\n");
    kept("sent something that is not the protocol");
    bench.install_bytes("a", b"#!/no/such/interpreter\n");
    kept("cannot start");
    bench.install("a", &json!({ "die_at_start": true }));
    kept("exit status 9");
    bench.install("a", &json!({ "name": "b" }));
    kept("says that it is plugin \"b\"");
    bench.install("a", &json!({ "refuse": true }));
    kept("refuses the configuration in force: test.a: this build refuses everything");

    bench.install("a", &json!({}));
    daemon.wait_for_plugin("a", "the good build to be recognised", |plugin| plugin.last_error.is_none());
    unchanged();
    bench.uninstall("a");
    daemon.wait_for("the absence", |daemon| daemon.problems().iter().any(|problem| problem.contains("is gone")));
    unchanged();
    daemon.stop();
}

#[test]
fn a_plugin_that_comes_later_applies_its_part() {
    let bench = Bench::new();
    bench.configure(&bench.wants("a", "late"));
    let daemon = bench.start();
    assert_eq!(daemon.status().health, Health::Degraded, "its key has no owner yet");
    bench.install("a", &json!({}));
    daemon.wait_for("the newcomer", |daemon| daemon.bench.text("a").as_deref() == Some("late"));
    daemon.wait_for("health", |daemon| daemon.status().health == Health::Ok);
    daemon.stop();
}

#[test]
fn two_owners_of_a_key_are_both_refused_until_one_goes() {
    let bench = Bench::new();
    let script = json!({ "claims": ["test.a"] });
    bench.install("a", &script);
    std::thread::sleep(std::time::Duration::from_millis(20));
    bench.install("new-name", &script);
    bench.configure(&bench.wants("a", "text"));
    let daemon = bench.start();
    let older = bench.plugin_file("a").display().to_string();
    for (name, rival) in [("a", "new-name"), ("new-name", "a")] {
        let plugin = daemon.plugin(name);
        assert_eq!(plugin.state, PluginState::Refused);
        let error = plugin.last_error.unwrap();
        assert!(error.contains("claims test.a") && error.contains(&format!("plugin {rival} ")), "{error}");
        assert!(plugin.help.unwrap().contains(&older), "the older file is named");
    }
    assert_eq!(bench.text("a"), None);
    bench.uninstall("a");
    daemon.wait_for("the other one", |daemon| daemon.bench.text("a").as_deref() == Some("text"));
    daemon.wait_for("the status to follow", |daemon| daemon.status().plugins.len() == 1);
    daemon.stop();
}

/// A stray file took the plugin down that had the key, at the next boot: with `network` the machine came up without one.
#[test]
fn who_owned_a_key_keeps_it_when_another_one_claims_it_at_the_start() {
    let bench = Bench::new();
    let script = json!({ "claims": ["test.a"] });
    bench.install("a", &script);
    bench.configure(&bench.wants("a", "text"));
    bench.start().stop();
    bench.install("stray", &script);
    let daemon = bench.start();
    assert_eq!(daemon.plugin("a").state, PluginState::Running);
    assert!(daemon.status().problems.iter().all(|problem| problem.subject != "plugin a"), "{:?}", daemon.problems());
    let stray = daemon.plugin("stray");
    assert_eq!(stray.state, PluginState::Refused);
    assert!(stray.last_error.unwrap().contains("so does plugin a ("));
    let help = stray.help.unwrap();
    assert!(help.starts_with(&format!("delete {} if", bench.plugin_file("stray").display())), "{help}");
    daemon.stop();
}

#[test]
fn a_renamed_plugin_takes_over_when_the_old_file_is_deleted() {
    let bench = Bench::new();
    let script = json!({ "claims": ["test.a"] });
    bench.install("old", &script);
    bench.configure(&bench.wants("a", "text"));
    let daemon = bench.start();
    assert_eq!(bench.text("a").as_deref(), Some("text"));
    bench.install("new", &json!({ "claims": ["test.a"], "prefix": "new " }));
    daemon.wait_for_plugin("new", "the refusal", |plugin| plugin.state == PluginState::Refused);
    assert_eq!(daemon.plugin("old").state, PluginState::Running, "the owner stays");
    bench.uninstall("old");
    daemon.wait_for("the successor", |daemon| daemon.bench.text("a").as_deref() == Some("new text"));
    let names: Vec<_> = daemon.status().plugins.into_iter().map(|plugin| plugin.name).collect();
    assert_eq!(names, ["new"]);
    daemon.stop();
}

/// A plugin was renamed, and its first build under the new name was a bad one: the old process was dismissed as soon
/// as the new one had said hello, before anybody knew whether it would take the configuration. Nothing was at work
/// then, though a good build was running a moment before.
#[test]
fn a_renamed_plugin_that_does_not_work_leaves_the_old_one_at_work() {
    let bench = Bench::new();
    bench.install("old", &json!({ "claims": ["test.a"] }));
    bench.configure(&bench.wants("a", "text"));
    let daemon = bench.start();
    let before = daemon.plugin("old");
    let kept = |reason: &str| {
        daemon.wait_for_plugin("new", reason, |plugin| {
            plugin.last_error.as_ref().is_some_and(|error| error.contains(reason))
        });
        let now = daemon.plugin("old");
        assert_eq!((now.pid, now.build_id, now.state), (before.pid, before.build_id.clone(), PluginState::Running));
        // Not only alive: it still owns its key.
        std::fs::write(bench.path("a"), "spoilt").unwrap();
        assert!(daemon.apply().is_success(), "{}", daemon.log());
        assert_eq!(bench.text("a").as_deref(), Some("text"));
    };
    bench.uninstall("old");
    bench.install("new", &json!({ "claims": ["test.a"], "die_in_validate": true, "prefix": "new " }));
    kept("ended unexpectedly");
    bench.install("new", &json!({ "claims": ["test.a"], "die_at_start": true }));
    kept("exit status 9");
    bench.install("new", &json!({ "claims": ["test.a"], "refuse": true, "prefix": "new " }));
    kept("refuses the configuration in force: test.a: this build refuses everything");

    bench.install("new", &json!({ "claims": ["test.a"], "prefix": "new " }));
    daemon.wait_for("the successor", |daemon| daemon.bench.text("a").as_deref() == Some("new text"));
    daemon.wait_for("the status to follow", |daemon| daemon.status().plugins.len() == 1);
    let old = before.pid.unwrap();
    daemon.wait_for("the old process to end", |daemon| !daemon.bench.plugin_processes().contains(&old));
    assert_eq!(daemon.status().health, Health::Ok, "{:?}", daemon.problems());
    daemon.stop();
}

/// A running plugin grows by the key of one that was deleted, and that build does not work either.
#[test]
fn a_build_that_takes_over_another_plugins_key_and_does_not_work_displaces_nobody() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.install("b", &json!({}));
    bench.configure(&format!("{}{}", bench.wants("a", "text"), bench.wants("b", "fine")));
    let daemon = bench.start();
    let pids = [daemon.plugin("a").pid, daemon.plugin("b").pid];
    bench.uninstall("b");
    daemon.wait_for("the absence", |daemon| daemon.problems().iter().any(|problem| problem.contains("is gone")));
    bench.install("a", &json!({ "claims": ["test.a", "test.b"], "refuse": true }));
    daemon.wait_for_plugin("a", "the refusal", |plugin| {
        plugin.last_error.as_ref().is_some_and(|error| error.contains("refuses the configuration in force"))
    });
    assert_eq!([daemon.plugin("a").pid, daemon.plugin("b").pid], pids);
    assert!(daemon.apply().is_success(), "{}", daemon.log());
    daemon.stop();
}

/// What a running plugin's file can be replaced with by accident; each is told, and none disturbs what runs.
#[test]
fn a_file_that_becomes_something_else_is_refused_and_the_old_build_stays() {
    use std::os::unix::fs::PermissionsExt;

    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure(&bench.wants("a", "text"));
    let daemon = bench.start();
    let before = daemon.plugin("a");
    let file = bench.plugin_file("a");
    let told = |what: &str, words: &str| {
        daemon
            .wait_for_plugin("a", what, |plugin| plugin.last_error.as_ref().is_some_and(|error| error.contains(words)));
        assert_eq!((daemon.plugin("a").pid, daemon.status().health), (before.pid, Health::Ok), "{what}");
    };
    bench.install_bytes("a", &common::hostile::foreign_build());
    told("another system's binary", "is built for ");
    let help = daemon.plugin("a").help.unwrap_or_default();
    assert!(help.starts_with("build it with `cargo build --release --target "), "{help}");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    told("a directory", "not a regular file");
    std::fs::remove_dir(&file).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", &file).unwrap();
    told("a dangling link", "cannot be opened");
    bench.install("a", &json!({ "version": "2.0.0" }));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o777)).unwrap();
    told("a file that everybody can write", "is writable by others (mode 777)");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    daemon.wait_for_plugin("a", "the good build", |plugin| plugin.version.as_deref() == Some("2.0.0"));
    daemon.stop();
}

/// As on a machine whose share is mounted late, or not at all.
#[test]
fn a_plugin_directory_that_is_not_there_is_told_until_it_appears() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure(&bench.wants("a", "text"));
    let share = bench.path("share");
    std::fs::rename(bench.path("plugins"), &share).unwrap();
    let daemon = bench.start();
    let problem = daemon.status().problems.into_iter().find(|problem| problem.subject == "plugins").unwrap();
    assert_eq!(problem.severity, Severity::Warning);
    let plugins = bench.path("plugins").display().to_string();
    assert!(problem.message.contains(&plugins) && problem.message.contains("No such file"), "{problem:?}");
    std::fs::rename(&share, bench.path("plugins")).unwrap();
    daemon.wait_for("the plugin", |daemon| daemon.bench.text("a").as_deref() == Some("text"));
    daemon.wait_for("the end of the warning", |daemon| daemon.status().health == Health::Ok);
    assert!(daemon.problems().is_empty(), "{:?}", daemon.problems());
    daemon.stop();
}

#[test]
fn hot_reload_can_be_switched_on_and_off() {
    for watch in [false, true] {
        let bench = Bench::new();
        bench.install("a", &json!({ "version": "1.0.0" }));
        let machine = format!("[daemon]\nwatch-configuration = {watch}\n{}", bench.wants("a", "text"));
        let switch = |on: bool| bench.configure_with(&format!("hot-reload = {on}"), &machine);
        switch(false);
        let daemon = bench.start();
        let is = |version: &str| daemon.plugin("a").version.as_deref() == Some(version);
        let switched = |on: bool| {
            switch(on);
            daemon.request(&Reload {}).unwrap();
            assert_eq!(daemon.request(&Plugins {}).unwrap().hot_reload, on);
        };
        bench.install("a", &json!({ "version": "2.0.0" }));
        wait_for_nothing();
        assert!(is("1.0.0"), "hot reload is off, watch {watch}");
        switched(true);
        daemon.wait_for("the build that came while it was off", |_| is("2.0.0"));
        bench.install("a", &json!({ "version": "3.0.0" }));
        daemon.wait_for("a build that comes while it is on", |_| is("3.0.0"));
        switched(false);
        bench.install("a", &json!({ "version": "4.0.0" }));
        wait_for_nothing();
        assert!(is("3.0.0"), "hot reload is off again, watch {watch}");
        switched(true);
        daemon.wait_for("the last build", |_| is("4.0.0"));
        daemon.stop();
    }
}

#[test]
fn watching_the_configuration_can_be_switched_on_and_off() {
    for hot_reload in [false, true] {
        let bench = Bench::new();
        bench.install("a", &json!({}));
        let configure = |watch: bool, text: &str| {
            let machine = format!("[daemon]\nwatch-configuration = {watch}\n{}", bench.wants("a", text));
            bench.configure_with(&format!("hot-reload = {hot_reload}"), &machine);
        };
        configure(false, "one");
        let daemon = bench.start();
        let is = |text: &str| bench.text("a").as_deref() == Some(text);
        configure(true, "two");
        wait_for_nothing();
        assert!(is("one"), "nothing is watched, hot reload {hot_reload}");
        daemon.request(&Reload {}).unwrap();
        assert!(is("two"));
        configure(true, "three");
        daemon.wait_for("the change", |_| is("three"));
        configure(false, "four");
        daemon.wait_for("the change that ends it", |_| is("four"));
        configure(true, "five");
        wait_for_nothing();
        assert!(is("four"), "nothing is watched any more, hot reload {hot_reload}");
        daemon.stop();
    }
}

/// A machine that is to look at nothing is not woken up four times a second.
#[test]
fn a_daemon_that_watches_nothing_sleeps() {
    let bench = Bench::new();
    bench.configure_with("hot-reload = false", "");
    let daemon = bench.start();
    let tasks = format!("/proc/{}/task", daemon.pid().as_raw_nonzero());
    let switches = || {
        let tasks = std::fs::read_dir(&tasks).unwrap().flatten();
        let statuses = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
        let watch = statuses.into_iter().find(|status| status.starts_with("Name:\twatch\n"))?;
        watch
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
            .map(|count| count.trim().to_owned())
    };
    let asleep = || {
        let before = switches();
        wait_for_nothing();
        before.is_some() && switches() == before
    };
    daemon.wait_for("the thread to sleep", |_| asleep());
    daemon.stop();
}
