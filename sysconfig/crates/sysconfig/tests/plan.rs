//! What is only planned is not applied later, whatever happens to the plugins meanwhile.

mod common;

use common::{Bench, Daemon};
use serde_json::{Value, json};
use sysconfig_protocol::admin::{Apply, Health, PluginRestart, PluginState, Reload, Status, UndoChange};
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::{Call, Digest};

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

/// As log rotation does: what people changed is theirs until somebody applies.
#[test]
fn a_reload_of_the_same_files_reverts_nothing() {
    let bench = Bench::new();
    let want = start(&bench, "");
    want("one");
    let daemon = bench.start();
    std::fs::write(bench.path("a"), "by hand").unwrap();
    daemon.plan();
    assert!(!daemon.problems().is_empty(), "steps are planned");
    let report = daemon.request(&Reload {}).unwrap();
    assert!(!report.changed, "{report:?}");
    assert_eq!(text(&bench), "by hand");
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

/// What an administrator has seen is the plan of a build, and another one may want something else.
#[test]
fn a_plan_of_a_build_that_was_replaced_is_not_applied_and_the_same_plan_of_another_one_is() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure(&bench.wants("a", "text"));
    let config = std::fs::read_to_string(bench.path("sysconfig.toml")).unwrap();
    std::fs::write(bench.path("sysconfig.toml"), config.replace("reload-applies = true", "")).unwrap();
    let daemon = bench.start();
    std::fs::write(bench.path("a"), "drifted").unwrap();
    let seen = daemon.plan().digest;
    let exchange = |version: &str, prefix: &str| {
        bench.install("a", &json!({ "version": version, "prefix": prefix }));
        daemon.wait_for_plugin("a", "the new build", |plugin| plugin.version.as_deref() == Some(version));
    };
    let request = Apply { plan: Some(seen), ..Apply::default() };
    exchange("2.0.0", "other ");
    assert_eq!(daemon.request(&request).unwrap_err().code, code::PLAN_CHANGED);
    assert_eq!(text(&bench), "drifted");
    exchange("3.0.0", "");
    assert!(daemon.request(&request).unwrap().is_success());
    assert_eq!((text(&bench), daemon.problems()), ("text".to_owned(), Vec::new()));
    daemon.stop();
}

/// `plan` said that the machine was as configured while the files said something else.
#[test]
fn the_files_are_planned_for_while_a_change_waits_too() {
    let bench = Bench::new();
    bench.install("a", &json!({ "undo": true }));
    bench.configure(&bench.wants("a", "one"));
    let daemon = bench.start();
    bench.configure(&bench.wants("a", "two"));
    let request = Apply { confirm_within_ms: Some(3_600_000), ..Apply::default() };
    assert!(daemon.request(&request).unwrap().is_success());
    bench.configure(&bench.wants("a", "three"));
    let plan = daemon.plan();
    assert_eq!(plan.plugins[0].steps.len(), 1, "{plan:?}");
    let dry_run = daemon.request(&Apply { dry_run: true, ..Apply::default() }).unwrap();
    assert_eq!(dry_run.digest, plan.digest);
    assert_eq!(bench.text("a").as_deref(), Some("two"));
    assert!(daemon.problems().join("\n").contains("the files say something new"), "{:?}", daemon.problems());
    daemon.request(&UndoChange {}).unwrap();
    assert_eq!(bench.text("a").as_deref(), Some("one"), "what waited is undone all the same");
    let prefix = |length: usize| Some(Digest(daemon.plan().digest.0[..length].to_owned()));
    let too_short = Apply { plan: prefix(7), ..Apply::default() };
    assert_eq!(daemon.request(&too_short).unwrap_err().code, code::PLAN_CHANGED);
    assert!(daemon.request(&Apply { plan: prefix(12), ..Apply::default() }).unwrap().is_success());
    assert_eq!(bench.text("a").as_deref(), Some("three"));
    daemon.stop();
}

/// An apply told the faults of the files as a text, and a reload as objects.
#[test]
fn an_apply_that_the_files_keep_from_anything_tells_each_fault_with_its_place() {
    let bench = Bench::new();
    let write = start(&bench, "");
    write("one");
    let daemon = bench.start();
    let main = std::fs::read_to_string(bench.path("sysconfig.toml")).unwrap();
    let last = main.lines().count();
    for (wrong, line) in [
        (format!("{main}[daemon]\nnonsense = 1\n"), last + 2),
        (format!("{main}[test.c\n"), last + 1),
        // What a plugin says.
        (main.replace("text = \"z\"", "text = \"forbidden\""), last),
    ] {
        std::fs::write(bench.path("new"), wrong).unwrap();
        std::fs::rename(bench.path("new"), bench.path("sysconfig.toml")).unwrap();
        let refusals = [false, true].map(|dry_run| {
            let refusal = daemon.request(&Apply { dry_run, ..Apply::default() }).unwrap_err();
            assert_eq!(refusal.code, code::FAILED);
            refusal.data.unwrap()
        });
        let reload = daemon.request(&Reload {}).unwrap();
        assert!(!reload.accepted && !reload.problems.is_empty(), "{reload:?}");
        for data in refusals {
            assert_eq!((&data.problems, &data.causes), (&reload.problems, &Vec::new()));
            let place = data.problems[0].place.as_ref().unwrap();
            assert_eq!((&*place.file, place.line), (bench.path("sysconfig.toml").to_str().unwrap(), line), "{data:?}");
        }
    }
    assert_eq!(text(&bench), "one");
    daemon.stop();
}

/// "Everything configured is in force" was believed, not known.
#[test]
fn files_that_nobody_has_read_since_they_changed_are_told() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure(&bench.wants("a", "one"));
    let daemon = bench.start();
    let is_told = || daemon.problems().iter().any(|problem| problem.contains("the files changed since they were read"));
    assert!(!is_told());
    bench.configure(&bench.wants("a", "two"));
    assert!(is_told());
    daemon.plan();
    assert!(!is_told(), "they were read");
    std::fs::write(bench.path("conf.d/10.toml"), "not TOML").unwrap();
    assert!(is_told());
    daemon.plan();
    assert!(!is_told(), "they were read, and told to be faulty: {:?}", daemon.problems());
    std::fs::remove_file(bench.path("conf.d/10.toml")).unwrap();
    daemon.apply();
    assert!(!is_told());
    daemon.stop();
}

/// Asks again where all places are taken: a slow machine has not noticed yet that those are gone who had them.
fn ask_in_turn<C: Call>(daemon: &Daemon<'_>, call: &C) -> C::Answer {
    loop {
        match daemon.request(call) {
            Ok(answer) => return answer,
            Err(refusal) => assert!(refusal.message.contains("connections already"), "{refusal:?}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Each of them wants to know whether the files have changed.
#[test]
fn many_who_ask_for_the_status_disturb_nobody() {
    let bench = Bench::new();
    start(&bench, "")("one");
    let daemon = bench.start();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| (0..10).for_each(|_| assert_eq!(ask_in_turn(&daemon, &Status {}).problems, [])));
        }
        (0..10).for_each(|_| assert!(ask_in_turn(&daemon, &Apply::default()).is_success()));
    });
    daemon.stop();
}

/// A build that was not taken is no reason to apply anything; what people had changed was overwritten, also when such a build
/// was tried again after a change of others.
#[test]
fn a_build_that_is_not_taken_leaves_alone_what_people_changed() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure(&bench.wants("a", "text"));
    let daemon = bench.start();
    std::fs::write(bench.path("a"), "by hand").unwrap();
    bench.install("a", &json!({ "die_at_start": true }));
    daemon.wait_for_plugin("a", "the refusal", |plugin| plugin.reload.is_some());
    assert_eq!(daemon.plan().plugins[0].steps.len(), 1);
    assert_eq!(bench.text("a").as_deref(), Some("by hand"));
    bench.install("a", &json!({ "version": "2.0.0" }));
    daemon.wait_for("the next build", |daemon| daemon.bench.text("a").as_deref() == Some("text"));
    daemon.stop();
}
