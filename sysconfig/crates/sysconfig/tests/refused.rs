//! A plugin that does not take its part of the configuration at all: it is tried again, because what keeps it from that may go.

mod common;

use common::Bench;
use sysconfig_protocol::admin::{Events, HappeningKind, Health, PluginState, Reload};

/// Answers `validate` with an error as long as the configuration has a `bad` in it, or there is a file `away`.
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
    *'"method":"plan"'*) answer='"result":{"steps":[]}';;
    *'"method":"shutdown"'*) printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$answer" >&3; exit 0;;
    esac
    printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$answer" >&3
done
"#;
    bench.install_bytes("picky", script.replace("AWAY", bench.path("away").to_str().unwrap()).as_bytes());
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
