//! A plugin that does not take its part of the configuration at all: it is tried again, because what keeps it from that may go.

mod common;

use common::Bench;
use common::confirming::LONG_MS;
use serde_json::json;
use sysconfig_protocol::admin::{Apply, Confirm, Events, HappeningKind, Health, PluginState, Reload, UndoChange};

/// Answers `validate` with an error as long as the configuration has a `bad` in it, or there is a file `away`. Makes a file `done`, and
/// cannot undo that.
fn install_picky(bench: &Bench) {
    let script = r#"#!/bin/sh
while read -r line <&3; do
    id=${line#*\"id\":}; id=${id%%,*}
    answer='"result":{}'
    case $line in
    *'"method":"hello"'*)
        answer='"result":{"name":"picky","version":"1.0.0","protocol":{"min":1,"max":1},"claims":[{"key":"test.picky"}]}';;
    *'"method":"validate"'*bad*) answer='"error":{"code":-32001,"message":"it is bad"}';;
    *'"method":"validate"'*)
        answer='"result":{"diagnostics":[]}'
        if [ -e 'AWAY' ]; then answer='"error":{"code":-32001,"message":"the server is away"}'; fi;;
    *'"method":"observe"'*) answer='"result":{"state":null}';;
    *'"method":"plan"'*)
        step='{"id":"1","action":"set","resource":"p","summary":"make it","changes":[],"risk":"safe","key":"test.picky","data":null}'
        if [ -e 'DONE' ]; then step=; fi
        answer='"result":{"steps":['$step']}';;
    *'"method":"apply"'*) : >'DONE'; answer='"result":{"outcome":"changed"}';;
    *'"method":"verify"'*) answer='"result":{"diagnostics":[]}';;
    *'"method":"shutdown"'*) printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$answer" >&3; exit 0;;
    esac
    printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$answer" >&3
done
"#;
    let path = |name: &str| bench.path(name).to_str().unwrap().to_owned();
    let script = script.replace("AWAY", &path("away")).replace("DONE", &path("done"));
    bench.install_bytes("picky", script.as_bytes());
}

/// Each try wrote the same error into the log, for ever, and a mended configuration had to wait for the next one.
#[test]
fn a_plugin_that_refuses_its_part_is_told_of_once_and_started_when_its_part_changes() {
    let bench = Bench::new();
    install_picky(&bench);
    bench.configure("[test]\npicky = \"bad\"\n");
    let daemon = bench.start();
    daemon.wait_for_plugin("picky", "four tries", |plugin| plugin.restarts >= 4);
    let plugin = daemon.plugin("picky");
    assert!(plugin.last_error.as_ref().unwrap().contains("it is bad"), "{plugin:?}");
    assert_eq!(daemon.status().health, Health::Degraded);
    let log = daemon.log();
    let told = log.lines().filter(|line| line.contains("error plugin picky: ")).count();
    assert_eq!(told, 1, "{log}");
    let happenings = daemon.request(&Events::default()).unwrap().events;
    let failures = happenings.iter().filter(|happening| happening.kind == HappeningKind::PluginFailed);
    assert_eq!(failures.count(), 1, "{happenings:?}");

    bench.configure("[test]\npicky = \"good\"\n");
    let report = daemon.request(&Reload {}).unwrap();
    assert!(report.apply.unwrap().is_success());
    assert_eq!(daemon.plugin("picky").state, PluginState::Running, "at once");
    assert_eq!(daemon.problems(), Vec::<String>::new());
    daemon.stop();
}

/// It may also be the machine that has to change.
#[test]
fn a_plugin_that_refuses_its_part_for_a_while_is_started_by_itself() {
    let bench = Bench::new();
    install_picky(&bench);
    std::fs::write(bench.path("away"), "").unwrap();
    bench.configure("[test]\npicky = \"good\"\n");
    let daemon = bench.start();
    assert!(daemon.plugin("picky").last_error.unwrap().contains("the server is away"));
    std::fs::remove_file(bench.path("away")).unwrap();
    daemon.wait_for_plugin("picky", "another try", |plugin| plugin.state == PluginState::Running);
    daemon.wait_for("its part", |daemon| daemon.status().health == Health::Ok);
    daemon.stop();
}

/// It ran when the files were put in force, was in no part of the change, and was applied as soon as that was over.
#[test]
fn what_starts_with_the_files_of_a_guarded_change_is_part_of_it() {
    for is_approved in [false, true] {
        let bench = Bench::new();
        install_picky(&bench);
        bench.install("a", &json!({ "undo": true }));
        bench.configure(&format!("{}[test]\npicky = \"bad\"\n", bench.wants("a", "old")));
        let daemon = bench.start();
        bench.configure(&format!("{}[test]\npicky = \"good\"\n", bench.wants("a", "new")));
        let plan = is_approved.then(|| daemon.plan().digest);
        let request = Apply { plan, confirm_within_ms: Some(LONG_MS), ..Apply::default() };
        assert!(
            !daemon.request(&request).unwrap().is_success(),
            "it is told of what cannot be undone, or nobody has seen"
        );
        assert_eq!((bench.text("a").as_deref(), bench.text("done")), (Some("new"), None));
        assert!(daemon.request(&UndoChange {}).unwrap().is_success());
        assert_eq!((bench.text("a").as_deref(), bench.text("done")), (Some("old"), None));
        let problems = daemon.problems().join("\n");
        assert!(problems.contains("plugin picky: its change was to be confirmed"), "{problems}");
        daemon.stop();
        let daemon = bench.start();
        assert_eq!(bench.text("done"), None);
        assert!(daemon.apply().is_success());
        assert!(bench.text("done").is_some());
        daemon.stop();
    }
}

/// It was started with settings that somebody had changed, of which nothing is applied, and so was never applied at all.
#[test]
fn changed_settings_do_not_keep_a_plugin_from_its_part() {
    let bench = Bench::new();
    install_picky(&bench);
    std::fs::write(bench.path("away"), "").unwrap();
    bench.configure("[test]\npicky = \"good\"\n[daemon]\nwatch-configuration = true\n");
    let edit = |from: &str, to: &str| {
        let text = std::fs::read_to_string(bench.path("sysconfig.toml")).unwrap();
        std::fs::write(bench.path("sysconfig.new"), text.replace(from, to)).unwrap();
        std::fs::rename(bench.path("sysconfig.new"), bench.path("sysconfig.toml")).unwrap();
    };
    edit("reload-applies = true", "reload-applies = false");
    let daemon = bench.start();
    std::fs::remove_file(bench.path("away")).unwrap();
    edit("level = \"trace\"", "level = \"debug\"");
    daemon.wait_for("its part", |daemon| bench.text("done").is_some() && daemon.status().health == Health::Ok);
    daemon.stop();
}

/// A change of something else held its key, because nobody owned it.
#[test]
fn a_guarded_change_does_not_stop_a_plugin_that_is_not_in_it() {
    let bench = Bench::new();
    install_picky(&bench);
    bench.install("a", &json!({ "undo": true }));
    std::fs::write(bench.path("away"), "").unwrap();
    let configure = |text: &str| bench.configure(&format!("{}[test]\npicky = \"good\"\n", bench.wants("a", text)));
    configure("old");
    let daemon = bench.start();
    configure("new");
    let request = Apply { confirm_within_ms: Some(LONG_MS), ..Apply::default() };
    daemon.request(&request).unwrap();
    daemon.request(&Confirm {}).unwrap();
    std::fs::remove_file(bench.path("away")).unwrap();
    daemon.wait_for("its part", |daemon| bench.text("done").is_some() && daemon.status().health == Health::Ok);
    daemon.stop();
}
