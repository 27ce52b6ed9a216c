//! The life of a change: applied at the start, planned, applied on request, recorded, reloaded.

mod common;

use common::Bench;
use serde_json::json;
use sysconfig_protocol::admin::{Apply, Health, PluginRestart, PluginState, Reload, StepResult};
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::{Digest, Severity};

#[test]
fn the_configuration_is_in_force_when_the_daemon_is_ready() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.install("idle", &json!({}));
    bench.configure(&bench.wants("a", "hello"));
    let daemon = bench.start();
    assert_eq!(bench.text("a").as_deref(), Some("hello"));
    let status = daemon.status();
    assert_eq!(status.health, Health::Ok, "{:?}", status.problems);
    assert_eq!(status.last_cycle.unwrap().changed, 1);
    let plugin = daemon.plugin("a");
    assert_eq!(plugin.state, PluginState::Running);
    assert_eq!(plugin.path, bench.plugin_file("a").display().to_string());
    assert_eq!(plugin.claims, ["test.a"]);
    assert!(plugin.applied_unix_ms.is_some() && plugin.configured);
    let copy = plugin.private_copy.unwrap();
    assert!(copy.starts_with(&bench.path("state/plugins").display().to_string()), "{copy}");
    assert!(copy.contains(&plugin.build_id.unwrap()), "the build id is the contents' hash");
    assert!(!daemon.plugin("idle").configured);

    assert!(daemon.plan().plugins[0].steps.is_empty(), "there is nothing left to do");
    let again = daemon.apply();
    assert!(again.is_success() && again.plugins[0].steps.is_empty());
    daemon.stop();
}

#[test]
fn a_deviation_is_planned_shown_and_mended_on_request_only() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure(&bench.wants("a", "right"));
    let daemon = bench.start();
    std::fs::write(bench.path("a"), "wrong").unwrap();
    let plan = daemon.plan();
    let change = &plan.plugins[0].steps[0].changes[0];
    assert_eq!((&change.from, &change.to), (&json!("wrong"), &json!("right")));
    assert!(plan.plugins[0].steps[0].data.is_null(), "the plugin's own data is nobody's business");
    assert_eq!(bench.text("a").as_deref(), Some("wrong"), "a plan changes nothing");
    assert_eq!(daemon.status().health, Health::Degraded);

    let dry = daemon.request(&Apply { dry_run: true, ..Apply::default() }).unwrap();
    assert_eq!(dry.plugins[0].steps[0].result, StepResult::NotRun);
    assert_eq!(dry.digest, plan.digest, "the same plan has the same digest");
    assert_eq!(bench.text("a").as_deref(), Some("wrong"), "a dry run changes nothing");

    let other = Apply { plan: Some(Digest("00".to_owned())), ..Apply::default() };
    assert_eq!(daemon.request(&other).unwrap_err().code, code::PLAN_CHANGED);
    assert_eq!(bench.text("a").as_deref(), Some("wrong"), "another plan than the approved one is not applied");

    let approved = Apply { plan: Some(plan.digest), ..Apply::default() };
    let report = daemon.request(&approved).unwrap();
    assert_eq!(report.plugins[0].steps[0].result, StepResult::Changed);
    assert_eq!(bench.text("a").as_deref(), Some("right"));
    assert_eq!(daemon.status().health, Health::Ok);
    daemon.stop();
}

#[test]
fn destructive_steps_need_the_permission_of_their_resource_and_of_the_administrator() {
    let bench = Bench::new();
    bench.install("a", &json!({ "destructive": true }));
    bench.configure(&bench.wants("a", "gone"));
    let daemon = bench.start();
    assert_eq!(bench.text("a"), None, "the start destroys nothing");
    let problem = daemon.status().problems.into_iter().find(|problem| problem.subject == "plugin a").unwrap();
    assert_eq!(problem.message, "the step is destructive, and its configuration does not allow that");
    let text = std::fs::read_to_string(bench.path("sysconfig.toml")).unwrap();
    let line = text.lines().position(|line| line == "[test.a]").unwrap() + 1;
    let help = problem.help.unwrap();
    assert!(help.contains("set allow-destructive in test.a ("), "{help}");
    assert!(help.contains(&format!("sysconfig.toml:{line})")), "{help}");
    let request = || daemon.request(&Apply { allow_destructive: true, ..Apply::default() }).unwrap();
    assert_eq!(request().plugins[0].steps[0].result, StepResult::Refused, "the request alone is not enough");

    bench.configure(&format!("{}allow-destructive = true\n", bench.wants("a", "gone")));
    let report = daemon.apply();
    assert_eq!(report.plugins[0].steps[0].result, StepResult::Refused, "neither is the configuration");
    assert!(!report.is_success());
    assert_eq!(bench.text("a"), None);
    let problems = daemon.problems().join("\n");
    assert!(problems.contains("plugin a: the step is destructive, and that was not allowed"), "{problems}");
    assert_eq!(request().plugins[0].steps[0].result, StepResult::Changed);
    assert_eq!(bench.text("a").as_deref(), Some("gone"));
    daemon.stop();
}

#[test]
fn a_destructive_step_that_belongs_to_no_resource_is_never_carried_out() {
    let bench = Bench::new();
    bench.install("a", &json!({ "destructive": true, "keyless": true }));
    bench.configure(&format!("{}allow-destructive = true\n", bench.wants("a", "gone")));
    let daemon = bench.start();
    let report = daemon.request(&Apply { allow_destructive: true, ..Apply::default() }).unwrap();
    assert_eq!(report.plugins[0].steps[0].result, StepResult::Refused);
    let error = report.plugins[0].steps[0].error.clone().unwrap();
    assert_eq!(error.message, "the step is destructive, and nothing in the configuration allows it");
    assert_eq!(bench.text("a"), None);
    daemon.stop();
}

#[test]
fn what_a_plugin_claims_to_have_done_is_verified() {
    let bench = Bench::new();
    bench.install("a", &json!({ "lie": true }));
    bench.configure(&bench.wants("a", "never written"));
    let daemon = bench.start();
    let problems = daemon.problems().join("\n");
    assert!(problems.contains("plugin a: still to do: write"), "{problems}");
    assert_eq!(daemon.status().health, Health::Degraded);
    assert_eq!(daemon.plugin("a").applied_unix_ms, None, "nothing is recorded as applied");
    daemon.stop();
}

/// `apply` and `status` said that everything was in force, and a moment later `plan` had the very same step.
#[test]
fn what_a_plugin_believes_is_not_believed_while_it_plans_steps() {
    let bench = Bench::new();
    bench.install("a", &json!({ "lie": true, "believe": true }));
    bench.configure(&bench.wants("a", "never written"));
    let daemon = bench.start();
    let report = daemon.apply();
    let error = report.plugins[0].error.as_ref().unwrap();
    assert!(error.message.contains("not in force") && error.message.contains("planned still: write"), "{error:?}");
    assert!(!report.is_success());
    assert_eq!(daemon.status().health, Health::Degraded);
    assert!(daemon.problems().join("\n").contains("plugin a: not in force"), "{:?}", daemon.problems());
    assert_eq!(daemon.plugin("a").applied_unix_ms, None, "nothing is recorded as applied");
    daemon.stop();
}

/// A script that tried again saw success.
#[test]
fn a_reload_that_did_not_work_does_not_work_when_it_is_repeated() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure(&bench.wants("a", "fine"));
    let daemon = bench.start();
    let reload = || daemon.request(&Reload {}).unwrap();
    assert!(reload().apply.is_none(), "there is nothing new");
    bench.configure(&format!("{}[plugin]\nhot-reload = true\n", bench.wants("a", "fine")));
    for is_new in [true, false] {
        let report = reload();
        assert!(report.accepted && report.changed == is_new, "{report:?}");
        let problems = report.apply.filter(|apply| !apply.is_success()).unwrap().problems;
        assert_eq!(problems[0].help.as_deref(), Some("did you mean plugins.hot-reload?"), "{problems:?}");
    }
    daemon.stop();
}

#[test]
fn a_log_that_cannot_be_written_where_it_is_to_go_is_told() {
    let bench = Bench::new();
    let nowhere = bench.path("none/log");
    let config = std::fs::read_to_string(bench.path("sysconfig.toml")).unwrap();
    let config = config.replace("\"console\"", &format!("\"{}\"", nowhere.display()));
    std::fs::write(bench.path("sysconfig.toml"), config).unwrap();
    let daemon = bench.spawn();
    daemon.wait_for("the start", |daemon| daemon.socket().exists() && daemon.status().health != Health::Starting);
    let problems = daemon.problems().join("\n");
    assert!(problems.contains("cannot open log file") && problems.contains("No such file"), "{problems}");
    std::fs::create_dir(nowhere.parent().unwrap()).unwrap();
    daemon.request(&Reload {}).unwrap();
    assert_eq!(daemon.status().health, Health::Ok, "{:?}", daemon.problems());
    daemon.stop();
}

#[test]
fn a_step_that_fails_is_reported_with_cause_and_advice_and_stops_nobody_else() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.install("b", &json!({}));
    let unwritable = format!("[test.a]\nfile = \"{}/none/x\"\ntext = \"t\"\n", bench.directory.path().display());
    bench.configure(&format!("{unwritable}{}", bench.wants("b", "fine")));
    let daemon = bench.start();
    assert_eq!(bench.text("b").as_deref(), Some("fine"));
    let problem = daemon.status().problems.into_iter().find(|problem| problem.subject == "plugin a").unwrap();
    assert!(problem.message.contains("cannot write") && problem.message.contains("No such file"), "{problem:?}");
    assert_eq!(problem.help.as_deref(), Some("make its directory"));
    daemon.stop();
}

#[test]
fn plugins_are_applied_in_the_declared_order_and_hear_each_others_events() {
    let bench = Bench::new();
    bench.install("a", &json!({ "after": ["z"], "subscribe": ["lease"] }));
    bench.install("z", &json!({ "emit": "lease" }));
    bench.configure(&format!("{}{}", bench.wants("a", "a"), bench.wants("z", "z")));
    let daemon = bench.start();
    let report = daemon.apply();
    let order: Vec<_> = report.plugins.iter().map(|plugin| plugin.plugin.as_str()).collect();
    assert_eq!(order, ["z", "a"]);
    let log = daemon.log();
    assert!(log.find("plugin z: changed").unwrap() < log.find("plugin a: changed").unwrap(), "{log}");
    // The event of z's step makes a write more than was configured.
    daemon.wait_for("the event to have its effect", |daemon| daemon.bench.text("a").as_deref() == Some("a\"news\""));
    daemon.stop();
}

#[test]
fn an_unowned_key_is_named_with_its_place_and_the_rest_is_applied() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure(&format!("{}[tets]\nb = 1\n[test.aa]\nx = 1\n", bench.wants("a", "fine")));
    let daemon = bench.start();
    assert_eq!(bench.text("a").as_deref(), Some("fine"));
    let status = daemon.status();
    assert_eq!(status.health, Health::Degraded);
    let text = std::fs::read_to_string(bench.path("sysconfig.toml")).unwrap();
    let line = text.lines().position(|line| line == "b = 1").unwrap() + 1;
    let problem = &status.problems.iter().find(|problem| problem.message.contains("tets.b")).unwrap();
    assert_eq!(problem.message, "no plugin owns the key tets.b");
    let place = problem.place.as_ref().unwrap();
    assert_eq!((place.line, place.column), (line, 1));
    assert_eq!(problem.severity, Severity::Error);
    let near = status.problems.iter().find(|problem| problem.message.contains("test.aa.x")).unwrap();
    assert_eq!(near.help.as_deref(), Some("did you mean test.a?"));
    assert!(!daemon.apply().is_success(), "an apply that leaves a key out is no success");
    daemon.stop();
}

#[test]
fn a_changed_configuration_is_applied_and_a_bad_one_changes_nothing() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure(&bench.wants("a", "one"));
    let daemon = bench.start();
    let same = daemon.request(&Reload {}).unwrap();
    assert!(same.accepted && !same.changed && same.apply.is_none());

    bench.configure(&bench.wants("a", "two"));
    let changed = daemon.request(&Reload {}).unwrap();
    assert!(changed.accepted && changed.changed && changed.apply.unwrap().is_success());
    assert_eq!(bench.text("a").as_deref(), Some("two"));

    bench.configure(&bench.wants("a", "forbidden"));
    let refused = daemon.request(&Reload {}).unwrap();
    let report = refused.error.unwrap();
    assert!(!refused.accepted && report.contains("test.a.text: the text is forbidden"), "{report}");
    assert!(report.contains("sysconfig.toml:") && report.contains("help: write another text"), "{report}");

    bench.configure("[plugins]\n");
    assert!(!daemon.request(&Reload {}).unwrap().accepted, "the same table twice in a file is no TOML");
    let status = daemon.status();
    assert!(status.config.rejected.is_some());
    assert_eq!(status.health, Health::Degraded);
    assert!(daemon.plan().plugins[0].steps.is_empty(), "the old configuration is still in force");

    bench.configure(&bench.wants("a", "three"));
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_for("SIGHUP to reload", |daemon| daemon.bench.text("a").as_deref() == Some("three"));
    daemon.wait_for("health", |daemon| daemon.status().health == Health::Ok);
    daemon.stop();
}

#[test]
fn a_part_that_its_plugin_refuses_is_not_applied_and_the_others_are() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.install("b", &json!({}));
    bench.configure(&format!("{}{}", bench.wants("a", "forbidden"), bench.wants("b", "fine")));
    let daemon = bench.start();
    assert_eq!((bench.text("a"), bench.text("b").as_deref()), (None, Some("fine")));
    let problem = daemon.status().problems.into_iter().find(|problem| problem.subject == "plugin a").unwrap();
    assert_eq!(problem.message, "test.a.text: the text is forbidden");
    let text = std::fs::read_to_string(bench.path("sysconfig.toml")).unwrap();
    let line = text.lines().position(|line| line.contains("forbidden")).unwrap() + 1;
    assert_eq!(problem.place.map(|place| place.line), Some(line));
    assert!(!daemon.apply().is_success());
    bench.configure(&format!("{}{}", bench.wants("a", "allowed"), bench.wants("b", "fine")));
    assert!(daemon.request(&Reload {}).unwrap().apply.unwrap().is_success());
    assert_eq!(bench.text("a").as_deref(), Some("allowed"));
    daemon.stop();
}

#[test]
fn a_restart_keeps_what_was_applied() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure(&bench.wants("a", "kept"));
    let daemon = bench.start();
    let applied = daemon.plugin("a").applied_unix_ms.unwrap();
    daemon.stop();
    let written = std::fs::metadata(bench.path("a")).unwrap().modified().unwrap();
    std::fs::remove_file(bench.path("log")).unwrap();

    let daemon = bench.start();
    let cycle = daemon.status().last_cycle.unwrap();
    assert_eq!((cycle.changed, cycle.failed, cycle.pending), (0, 0, 0));
    assert_eq!(std::fs::metadata(bench.path("a")).unwrap().modified().unwrap(), written, "the machine was left alone");
    assert_eq!(daemon.plugin("a").applied_unix_ms, Some(applied), "what is so already is not recorded again");
    let recorded = std::fs::metadata(bench.path("state/applied.json")).unwrap().modified().unwrap();
    assert!(daemon.apply().is_success());
    let again = std::fs::metadata(bench.path("state/applied.json")).unwrap().modified().unwrap();
    assert_eq!(again, recorded, "an apply that has nothing to do writes nothing");

    std::fs::write(bench.path("a"), "changed").unwrap();
    let plan = daemon.plan().digest;
    daemon.request(&PluginRestart { name: "a".to_owned() }).unwrap();
    std::fs::write(bench.path("a"), "changed").unwrap();
    assert_eq!(daemon.plan().digest, plan, "the same plan has the same digest");
    daemon.stop();
}

#[test]
fn a_plugin_can_be_restarted_by_name() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    let daemon = bench.start();
    let before = daemon.plugin("a").pid;
    let after = daemon.request(&PluginRestart { name: "a".to_owned() }).unwrap();
    assert_eq!((after.state, after.restarts), (PluginState::Running, 1));
    assert_ne!(after.pid, before);
    let error = daemon.request(&PluginRestart { name: "b".to_owned() }).unwrap_err();
    assert_eq!(error.code, code::NO_SUCH_PLUGIN);
    assert_eq!(error.advice(), Some("did you mean a? plugins are: a"));
    daemon.stop();
}

#[test]
fn secrets_are_in_no_answer_no_log_and_no_file() {
    let bench = Bench::new();
    bench.install("a", &json!({ "sensitive": true }));
    bench.configure(&bench.wants("a", "first"));
    let daemon = bench.start();
    std::fs::write(bench.path("a"), "hunter1").unwrap();
    bench.configure(&bench.wants("a", "hunter2"));
    let report = daemon.request(&Reload {}).unwrap().apply.unwrap();
    let change = &report.plugins[0].steps[0].step.changes[0];
    assert_eq!((&change.from, &change.to), (&json!("***"), &json!("***")));
    assert_eq!(bench.text("a").as_deref(), Some("hunter2"));
    std::fs::write(bench.path("a"), "hunter3").unwrap();
    let mut told = json!(report).to_string() + &daemon.everything_that_is_told();

    // Whatever is wrong on the secret's line or next to it is told without it.
    let good = bench.wants("a", "hunter4");
    for (wrong, words) in [
        (good.replace("\"hunter4\"", "hunter4"), "invalid TOML"),
        (format!("{good}text = \"hunter5\"\n"), "duplicate key"),
        (format!("{good}txet = \"hunter5\"\n"), "the configuration has the wrong shape"),
        (good.replace("\"hunter4\"", "7465616981127465616"), "the configuration has the wrong shape"),
        (format!("{good}[plugin]\ntext = \"hunter5\"\n"), ""),
    ] {
        bench.configure(&wrong);
        let report = daemon.request(&Reload {}).unwrap();
        told += &json!(report).to_string();
        told += &daemon.everything_that_is_told();
        let error = report.error.unwrap_or_default();
        assert!(error.contains(words) && (words.is_empty() || error.contains("sysconfig.toml:")), "{wrong}: {error}");
    }
    std::fs::write(bench.path("conf.d/10.toml"), "[test.a]\ntext = \"hunter6\"\n").unwrap();
    let report = daemon.request(&Reload {}).unwrap();
    assert!(report.error.as_ref().is_some_and(|error| error.contains("test.a.text is set twice")), "{report:?}");
    told += &(json!(report).to_string() + &daemon.everything_that_is_told());
    daemon.stop();
    assert!(!bench.command().status().unwrap().success(), "a daemon does not start with such files");

    std::fs::remove_file(bench.path("conf.d/10.toml")).unwrap();
    bench.configure(&good.replace("\"hunter4\"", "7465616981127465616"));
    let daemon = bench.start();
    told += &daemon.everything_that_is_told();
    assert!(told.contains("a secret has to be a string"), "the plugin is asked about a value of the wrong type");
    daemon.stop();
    let files = ["log", "state/journal.jsonl", "state/applied.json", "state/confirmation.json"];
    let files = files.map(|name| (name, bench.text(name).unwrap_or_default()));
    assert!(files[..3].iter().all(|(_, text)| !text.is_empty()));
    for (what, text) in files.into_iter().chain([("an answer", told)]) {
        assert!(!text.contains("hunter") && !text.contains("7465616981127465616"), "{what}: {text}");
    }
}

#[test]
fn drift_is_seen_told_and_left_alone() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure(&format!("[daemon]\ndrift-interval = \"1s\"\n{}", bench.wants("a", "right")));
    let daemon = bench.start();
    assert_eq!(daemon.status().health, Health::Ok);
    std::fs::write(bench.path("a"), "wrong").unwrap();
    daemon.wait_for("the drift", |daemon| daemon.status().health == Health::Degraded);
    assert!(daemon.problems().join("\n").contains("plugin a: 1 step planned"), "{:?}", daemon.problems());
    assert!(daemon.log().contains("plugin a: the machine is no longer as configured"), "{}", daemon.log());
    assert_eq!(bench.text("a").as_deref(), Some("wrong"), "the daemon does not fight with people");
    std::fs::write(bench.path("a"), "right").unwrap();
    daemon.wait_for("the end of the drift", |daemon| daemon.status().health == Health::Ok);
    daemon.stop();
}

#[test]
fn what_happens_to_one_plugin_does_not_keep_the_daemon_from_looking_at_another() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.install("busy", &json!({}));
    let machine = format!("{}{}", bench.wants("a", "right"), bench.wants("busy", "text"));
    bench.configure(&format!("[daemon]\ndrift-interval = \"1s\"\n{machine}"));
    let daemon = bench.start();
    std::fs::write(bench.path("a"), "wrong").unwrap();
    daemon.wait_for("the drift", |daemon| {
        // A cycle about this plugin, again and again.
        daemon.request(&PluginRestart { name: "busy".to_owned() }).unwrap();
        daemon.problems().contains(&"plugin a: 1 step planned and not carried out".to_owned())
    });
    daemon.stop();
}
