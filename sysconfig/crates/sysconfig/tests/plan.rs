//! What is only planned is not applied later, whatever happens to the plugins meanwhile.

mod common;

use common::{Bench, Daemon};
use serde_json::{Value, json};
use sysconfig_protocol::Digest;
use sysconfig_protocol::admin::{Apply, Health, PluginRestart, PluginState, Reload};
use sysconfig_protocol::envelope::code;

fn listener(version: &str) -> Value {
    json!({ "after": ["z"], "subscribe": ["lease"], "version": version })
}

/// A plugin `z` that says what is in the file `word`, and a plugin `a` that appends it to its text.
fn start(bench: &Bench, daemon_keys: &str) -> impl Fn(&str) {
    bench.install("z", &json!({ "emit_file": ["lease", bench.path("word")] }));
    bench.install("a", &listener("1.0.0"));
    move |text| bench.configure(&format!("{daemon_keys}{}{}", bench.wants("a", text), bench.wants("z", "z")))
}

fn text(bench: &Bench) -> String {
    bench.text("a").unwrap()
}

/// Does to the plugin `a` everything that makes the daemon apply by itself.
fn is_left_alone(daemon: &Daemon<'_>, before: &str) {
    let bench = daemon.bench;
    assert_eq!(text(bench), before, "at once");
    let told = daemon.problems().join("\n");
    assert!(told.contains("not in force: 1 step planned"), "{told}");

    let pid = daemon.plugin("a").pid.unwrap();
    let process = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    daemon.wait_for_plugin("a", "the plugin after a fault", |plugin| {
        plugin.state == PluginState::Running && plugin.pid != Some(pid)
    });
    daemon.request(&PluginRestart { name: "a".to_owned() }).unwrap();
    assert_eq!(text(bench), before, "after a fault and a restart");

    bench.install("a", &listener("2.0.0"));
    daemon.wait_for_plugin("a", "the new build", |plugin| plugin.version.as_deref() == Some("2.0.0"));
    daemon.request(&PluginRestart { name: "a".to_owned() }).unwrap();
    assert_eq!(text(bench), before, "by a new build");

    // A look at the machine is what makes the speaker speak.
    std::fs::write(bench.path("word"), "news").unwrap();
    daemon.request(&PluginRestart { name: "z".to_owned() }).unwrap();
    let heard = format!("{before}\"news\"");
    daemon.wait_for("the event", |daemon| text(daemon.bench) == heard);
}

#[test]
fn a_plan_is_not_applied_later() {
    let bench = Bench::new();
    let want = start(&bench, "");
    want("one");
    let daemon = bench.start();
    want("two");
    assert_eq!(daemon.plan().plugins[1].steps[0].changes[0].to, "two");
    is_left_alone(&daemon, "one");
    assert!(daemon.apply().is_success());
    assert_eq!(text(&bench), "two\"news\"");
    assert_eq!(daemon.status().health, Health::Ok, "{:?}", daemon.problems());

    want("three");
    daemon.plan();
    assert!(daemon.request(&Reload {}).unwrap().changed, "what was planned is still new");
    assert_eq!(text(&bench), "three\"news\"");
    want("four");
    daemon.plan();
    want("three");
    assert!(daemon.plan().plugins.iter().all(|plugin| plugin.steps.is_empty()));
    assert_eq!(daemon.status().health, Health::Ok, "the files were put back: {:?}", daemon.problems());
    daemon.stop();
}

#[test]
fn a_dry_run_is_not_applied_later_and_its_plan_can_be() {
    let bench = Bench::new();
    let want = start(&bench, "");
    want("one");
    let daemon = bench.start();
    want("two");
    let report = daemon.request(&Apply { dry_run: true, ..Apply::default() }).unwrap();
    assert!(report.dry_run && report.plugins[1].steps.len() == 1);
    is_left_alone(&daemon, "one");
    let plan = Some(daemon.plan().digest);
    assert!(daemon.request(&Apply { plan, ..Apply::default() }).unwrap().is_success());
    assert_eq!(text(&bench), "two\"news\"");
    assert_eq!(daemon.status().health, Health::Ok, "{:?}", daemon.problems());
    daemon.stop();
}

#[test]
fn what_a_refused_request_would_have_applied_is_not_applied_later() {
    let refused = [
        (Apply { plan: Some(Digest("00".to_owned())), ..Apply::default() }, code::PLAN_CHANGED),
        // These plugins cannot undo.
        (Apply { confirm_within_ms: Some(3_600_000), ..Apply::default() }, code::CANNOT_UNDO),
    ];
    for (request, reason) in refused {
        let bench = Bench::new();
        let want = start(&bench, "");
        want("one");
        let daemon = bench.start();
        want("two");
        assert_eq!(daemon.request(&request).unwrap_err().code, reason);
        is_left_alone(&daemon, "one");
        assert!(daemon.apply().is_success());
        assert_eq!(text(&bench), "two\"news\"");
        daemon.stop();
    }
}

#[test]
fn changed_files_that_are_only_planned_are_not_applied_later() {
    let bench = Bench::new();
    let want = start(&bench, "[daemon]\nwatch-configuration = true\n");
    want("one");
    let edit = |old: &str, new: &str| {
        let config = std::fs::read_to_string(bench.path("sysconfig.toml")).unwrap();
        std::fs::write(bench.path("new"), config.replace(old, new)).unwrap();
        std::fs::rename(bench.path("new"), bench.path("sysconfig.toml")).unwrap();
    };
    edit("reload-applies = true", "");
    let daemon = bench.start();
    std::fs::write(bench.path("conf.d/10.toml"), bench.wants("z", "other").replace("[test.z]", "[test.b]")).unwrap();
    daemon
        .wait_for("the new file", |daemon| daemon.problems().iter().any(|problem| problem.contains("no step planned")));
    std::fs::remove_file(bench.path("conf.d/10.toml")).unwrap();
    daemon.wait_for("its end", |daemon| daemon.status().health == Health::Ok);

    edit("\"one\"", "\"two\"");
    daemon.wait_for("the plan", |daemon| daemon.problems().iter().any(|problem| problem.contains("1 step planned")));
    is_left_alone(&daemon, "one");
    assert!(daemon.apply().is_success());
    assert_eq!(text(&bench), "two\"news\"");
    daemon.stop();
}

/// A plugin that is asked about files that are not in force tells what it sees; who listens would act on it.
#[test]
fn what_a_plugin_says_while_it_plans_is_heard_by_nobody() {
    let bench = Bench::new();
    drop(start(&bench, ""));
    std::fs::write(bench.path("word"), "news").unwrap();
    let alone = bench.wants("a", "one");
    bench.configure(&alone);
    let daemon = bench.start();
    bench.configure(&format!("{alone}{}", bench.wants("z", "z")));
    assert_eq!(daemon.plan().plugins[0].steps.len(), 1, "z is to write its file");
    daemon.request(&PluginRestart { name: "a".to_owned() }).unwrap();
    assert!(daemon.status().problems.len() == 1, "{:?}", daemon.problems());
    assert_eq!(text(&bench), "one");
    daemon.apply();
    daemon.wait_for("the event", |daemon| text(daemon.bench) == "one\"news\"");
    daemon.stop();
}

#[test]
fn what_a_new_build_only_plans_is_not_applied_by_an_event() {
    let bench = Bench::new();
    let want = start(&bench, "");
    want("one");
    let config = std::fs::read_to_string(bench.path("sysconfig.toml")).unwrap();
    std::fs::write(bench.path("sysconfig.toml"), config.replace("reload-applies = true", "")).unwrap();
    let daemon = bench.start();
    bench.install("a", &json!({ "after": ["z"], "subscribe": ["lease"], "prefix": "new " }));
    daemon.wait_for("the plan", |daemon| daemon.problems().iter().any(|problem| problem.contains("1 step planned")));
    std::fs::write(bench.path("word"), "news").unwrap();
    daemon.request(&PluginRestart { name: "z".to_owned() }).unwrap();
    daemon.wait_for("the event", |daemon| daemon.log().contains("plugin a: told of lease"));
    daemon.request(&PluginRestart { name: "a".to_owned() }).unwrap();
    assert_eq!(text(&bench), "one");
    let log = daemon.log();
    assert!(!log.contains("events come too fast"), "the event is planned for once: {log}");
    assert!(daemon.apply().is_success());
    assert_eq!(text(&bench), "new one\"news\"");
    daemon.stop();
}
