//! Plugins that misbehave, and a daemon that goes on.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use common::{Bench, PATIENCE};
use rustix::process::Signal;
use serde_json::json;
use sysconfig_protocol::admin::{Activity, Health, PluginRestart, PluginState, StepResult};

/// Shell plugins that read the first request and then do something wrong, with the words that tell it.
const FAULTS: [(&str, &str, &str); 20] = [
    ("silent", "sleep 600", "did not answer hello within 0.5 s"),
    ("garbage", "echo '{}' >&3; sleep 600", "not the protocol: not a JSON-RPC"),
    ("spills", "echo 'password: hunter2' >&3; sleep 600", "line 1 column 1, in 17 bytes of text"),
    ("badlog", r#"echo '{"jsonrpc":"2.0","method":"log","params":{"level":"hunter2"}}' >&3; sleep 600"#, "of JSON"),
    ("textid", r#"echo '{"jsonrpc":"2.0","id":"hunter2","result":{}}' >&3; sleep 600"#, "of 7 bytes instead of 1"),
    (
        "value",
        r#"echo '{"jsonrpc":"2.0","id":1,"result":{"name":"value","version":"1.0.0","protocol":{"min":1,"max":1},"claims":"hunter2"}}' >&3; sleep 600"#,
        "an answer of the wrong shape: invalid type: string, expected a sequence",
    ),
    ("wrongid", r#"echo '{"jsonrpc":"2.0","id":77,"result":{}}' >&3; sleep 600"#, "answered request 77 instead of 1"),
    ("shape", r#"echo '{"jsonrpc":"2.0","id":1,"result":[]}' >&3; sleep 600"#, "an answer of the wrong shape"),
    ("half", r#"printf '{"jsonrpc":"2.0",' >&3; exit 3"#, "ended unexpectedly (exit status 3)"),
    ("stalls", r#"printf '{"jsonrpc":"2.0",' >&3; sleep 600"#, "did not answer hello within 0.5 s"),
    ("deaf", "trap '' TERM; sleep 600 & while :; do sleep 1; done", "did not answer hello within 0.5 s"),
    ("long", "head -c 10000000 /dev/zero >&3; sleep 600", "a line longer than 4194304 bytes"),
    ("asks", r#"echo '{"jsonrpc":"2.0","id":1,"method":"hello"}' >&3; sleep 600"#, "must not send requests"),
    (
        "events",
        r#"while :; do echo '{"jsonrpc":"2.0","method":"event","params":{"topic":"x"}}'; done >&3"#,
        "more than 100 events within a second",
    ),
    (
        "version",
        r#"echo '{"jsonrpc":"2.0","id":1,"result":{"name":"version","version":"1.0.0","protocol":{"min":2,"max":3},"claims":[]}}' >&3; sleep 600"#,
        "it speaks protocol versions 2 to 3 only",
    ),
    (
        "nocommon",
        r#"echo '{"jsonrpc":"2.0","id":1,"error":{"code":-32004,"message":"not this version"}}' >&3; sleep 600"#,
        "not this version",
    ),
    ("forks", "for i in 1 2 3 4 5; do sleep 600 & done; setsid sleep 5 & exit 4", "ended unexpectedly (exit status 4)"),
    (
        "topics",
        r#"for i in $(seq 1 40); do echo '{"jsonrpc":"2.0","method":"event","params":{"topic":"'$i'"}}'; done >&3; sleep 600"#,
        "events on more than 32 topics",
    ),
    (
        "huge",
        r#"printf '{"jsonrpc":"2.0","method":"event","params":{"topic":"x","data":"%070000d"}}\n' 0 >&3; sleep 600"#,
        "an event on \"x\" of more than 65536 bytes",
    ),
    ("signal", "kill -SEGV $$", "killed by signal 11"),
];

#[test]
fn every_fault_is_told_and_disturbs_nobody() {
    let bench = Bench::new();
    bench.install("good", &json!({}));
    for (name, action, _) in FAULTS {
        let script = format!("#!/bin/sh\nread request <&3\n{action}\n");
        bench.install_bytes(name, script.as_bytes());
    }
    bench.configure_with("[plugins.deadlines]\nstart = \"500ms\"\nstop = \"500ms\"", &bench.wants("good", "fine"));
    let daemon = bench.start();
    assert_eq!(bench.text("good").as_deref(), Some("fine"));
    for (name, _, words) in FAULTS {
        let plugin = daemon.plugin(name);
        assert!(plugin.last_error.as_ref().is_some_and(|error| error.contains(words)), "{name}: {plugin:?}");
        let down = [PluginState::Backoff, PluginState::Starting, PluginState::Refused, PluginState::Quarantined];
        assert!(down.contains(&plugin.state), "{name}: {plugin:?}");
    }
    assert_eq!(daemon.status().health, Health::Degraded);
    let answers = daemon.everything_that_is_told();
    daemon.stop();
    assert!(!answers.contains("hunter"), "what a plugin sends by mistake may be a secret: {answers}");
    assert!(!bench.log().contains("hunter"), "{}", bench.log());
}

#[test]
fn a_plugin_that_fails_too_often_is_quarantined_until_its_file_changes() {
    let bench = Bench::new();
    bench.install("a", &json!({ "die_at_start": true }));
    bench.configure(&bench.wants("a", "text"));
    let daemon = bench.start();
    daemon.wait_for_plugin("a", "quarantine", |plugin| plugin.state == PluginState::Quarantined);
    let plugin = daemon.plugin("a");
    assert_eq!(plugin.restarts, 4, "five starts in all");
    assert!(plugin.help.unwrap().contains("sysconfigctl plugin restart a"));
    bench.install("a", &json!({}));
    daemon.wait_for("the mended plugin", |daemon| daemon.bench.text("a").as_deref() == Some("text"));
    assert_eq!(daemon.plugin("a").state, PluginState::Running);
    daemon.stop();
}

#[test]
fn a_quarantine_is_lifted_by_the_administrator_too() {
    let bench = Bench::new();
    let lethal = bench.path("lethal");
    std::fs::write(&lethal, "").unwrap();
    bench.install("a", &json!({ "die_at_start_while": lethal }));
    bench.configure(&bench.wants("a", "text"));
    let daemon = bench.start();
    daemon.wait_for_plugin("a", "quarantine", |plugin| plugin.state == PluginState::Quarantined);
    std::fs::remove_file(&lethal).unwrap();
    let up = daemon.request(&PluginRestart { name: "a".to_owned() }).unwrap();
    assert!(up.state == PluginState::Running && up.pid.is_some(), "{up:?}");
    daemon.wait_for("its part", |daemon| daemon.bench.text("a").as_deref() == Some("text"));
    daemon.wait_for("health", |daemon| daemon.status().health == Health::Ok);
    daemon.stop();
}

#[test]
fn a_plugin_that_dies_in_a_step_is_started_again_and_finishes() {
    let bench = Bench::new();
    let lethal = bench.path("lethal");
    std::fs::write(&lethal, "").unwrap();
    bench.install("a", &json!({ "die_in_apply_while": lethal }));
    bench.install("b", &json!({ "after": ["a"] }));
    bench.configure(&format!("{}{}", bench.wants("a", "text"), bench.wants("b", "fine")));
    let daemon = bench.start();
    assert_eq!(bench.text("b").as_deref(), Some("fine"), "the others go on");
    let error = daemon.plugin("a").last_error.unwrap_or_default();
    assert!(error.contains("exit status 7"), "{error}");
    assert!(daemon.log().contains("plugin a: in doubt: write"), "{}", daemon.log());
    std::fs::remove_file(&lethal).unwrap();
    daemon.wait_for("the second try", |daemon| daemon.bench.text("a").as_deref() == Some("text"));
    daemon.wait_for("health", |daemon| daemon.status().health == Health::Ok);
    assert!(daemon.plugin("a").restarts >= 1);
    daemon.stop();
}

#[test]
fn a_plugin_that_dies_while_it_is_idle_is_started_again() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    let daemon = bench.start();
    let pid = daemon.plugin("a").pid.unwrap();
    let raw = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(raw, Signal::KILL).unwrap();
    daemon.wait_for_plugin("a", "the restart", |plugin| {
        plugin.state == PluginState::Running && plugin.pid != Some(pid) && plugin.restarts == 1
    });
    assert!(daemon.log().contains("killed by signal 9"));
    daemon.stop();
}

#[test]
fn status_is_answered_while_a_plugin_sleeps() {
    let bench = Bench::new();
    bench.install("a", &json!({ "observe_sleep_ms": 5000 }));
    bench.configure(&bench.wants("a", "text"));
    let daemon = bench.spawn();
    daemon.wait_for("the call", |daemon| daemon.log().contains("plugin a: calling observe"));
    let before = Instant::now();
    let status = daemon.status();
    assert!(before.elapsed() < Duration::from_secs(4), "the plugin still sleeps");
    assert_eq!(status.health, Health::Starting);
    let is_observing =
        matches!(&status.activity, Activity::Calling { plugin, method, .. } if plugin == "a" && method == "observe");
    assert!(is_observing, "{:?}", status.activity);
    daemon.stop();
}

#[test]
fn a_plugin_that_is_too_slow_is_cancelled_and_stopped_with_its_children() {
    let bench = Bench::new();
    // Answers everything but `observe`, ignores SIGTERM, and has a child that does so too.
    let script = r#"#!/bin/sh
trap '' TERM
sleep 500 &
while read -r line <&3; do
    id=${line#*\"id\":}; id=${id%%,*}
    case $line in
    *'"method":"hello"'*) answer='{"name":"slow","version":"1.0.0","protocol":{"min":1,"max":1},"claims":[{"key":"test.slow"}]}';;
    *'"method":"configure"'*) answer='{}';;
    *'"method":"validate"'*) answer='{"diagnostics":[]}';;
    *) echo "got $line"; continue;;
    esac
    printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$answer" >&3
done
sleep 500
"#;
    bench.install_bytes("slow", script.as_bytes());
    bench.configure_with("[plugins.deadlines]\nobserve = \"300ms\"\nstop = \"300ms\"", "[test]\nslow = 1\n");
    let daemon = bench.start();
    let error = daemon.plugin("slow").last_error.unwrap();
    assert_eq!(error, "did not answer observe within 0.3 s");
    let log = daemon.log();
    assert!(log.contains(r#"plugin slow: got {"jsonrpc":"2.0","method":"cancel","params":{"id":4}}"#), "{log}");
    daemon.stop();
}

#[test]
fn a_step_in_progress_is_finished_when_the_service_is_stopped() {
    let bench = Bench::new();
    bench.install("a", &json!({ "apply_sleep_ms": 1500 }));
    bench.install("b", &json!({ "after": ["a"] }));
    bench.configure(&format!("{}{}", bench.wants("a", "done"), bench.wants("b", "not begun")));
    let mut daemon = bench.spawn();
    daemon.wait_for("the step", |daemon| daemon.log().contains("plugin a: calling apply"));
    // SMF signals every process of the service at the same moment.
    for pid in bench.plugin_processes() {
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
    }
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());
    assert_eq!(bench.text("a").as_deref(), Some("done"));
    assert_eq!(bench.text("b"), None);
    let journal = bench.text("state/journal.jsonl").unwrap();
    assert_eq!(journal.lines().count(), 2, "the step is answered: {journal}");
    assert_eq!(bench.plugin_processes(), [0_u32; 0]);
}

#[test]
fn after_a_killed_daemon_the_step_in_doubt_is_named_and_the_machine_brought_in_line() {
    let bench = Bench::new();
    bench.install("a", &json!({ "apply_sleep_ms": 400 }));
    bench.configure(&bench.wants("a", "text"));
    let daemon = bench.spawn();
    daemon.wait_for("the step", |daemon| daemon.log().contains("plugin a: calling apply"));
    daemon.kill();
    let give_up = Instant::now() + PATIENCE;
    while !bench.plugin_processes().is_empty() {
        assert!(Instant::now() < give_up, "the plugin notices that its daemon is gone");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::fs::remove_file(bench.path("log")).unwrap();

    let daemon = bench.start();
    let problems = daemon.problems().join("\n");
    assert!(problems.contains("plugin a: nobody knows whether this step was done"), "{problems}");
    assert_eq!(daemon.status().health, Health::Ok, "what was in doubt was looked at: {problems}");
    assert_eq!(bench.text("a").as_deref(), Some("text"));
    let again = daemon.apply();
    assert!(again.is_success() && again.plugins[0].steps.is_empty(), "the second apply is empty");
    assert_eq!(daemon.problems(), [""; 0], "the doubt is over");
    daemon.stop();
    std::fs::remove_file(bench.path("log")).unwrap();
    let daemon = bench.start();
    assert_eq!(daemon.problems(), [""; 0], "and is not told again");
    daemon.stop();
}

#[test]
fn a_flood_of_output_is_cut_and_nothing_waits_for_it() {
    let bench = Bench::new();
    let line = "spam ".repeat(10);
    bench.install_bytes("loud", format!("#!/bin/sh\nwhile :; do echo {line}; done\n").as_bytes());
    bench.install("good", &json!({ "print": "a word on standard error" }));
    bench.configure_with("[plugins.deadlines]\nstart = \"1500ms\"", &bench.wants("good", "fine"));
    let daemon = bench.start();
    assert_eq!(bench.text("good").as_deref(), Some("fine"));
    daemon.wait_for("the plugin's own words", |daemon| daemon.log().contains("plugin good: a word on standard error"));
    daemon.wait_for("the count", |daemon| daemon.log().contains("lines of its output were left out"));
    daemon.stop();
    let spam = bench.log().matches("plugin loud: spam").count();
    assert!(spam < 20_000, "{spam} lines got through");
}

#[test]
fn an_unknown_step_is_reported_as_such() {
    let bench = Bench::new();
    let lethal = bench.path("lethal");
    bench.install("a", &json!({ "die_in_apply_while": &lethal }));
    bench.configure(&bench.wants("a", "text"));
    let daemon = bench.start();
    std::fs::write(&lethal, "").unwrap();
    std::fs::write(bench.path("a"), "changed").unwrap();
    let report = daemon.apply();
    assert_eq!(report.plugins[0].steps[0].result, StepResult::Unknown);
    assert!(!report.is_success());
    drop(std::fs::remove_file(&lethal));
    daemon.stop();
}

/// What cannot be started at all, and what is told of it.
const REFUSED: [(&str, &str); 5] = [
    ("foreign", "is built for "),
    ("folder", "not a regular file"),
    ("link", "cannot be opened"),
    ("open", "is writable by others (mode 777)"),
    ("rival", "test.dies"),
];

/// Puts everything of [`REFUSED`] in place.
fn install_refused(bench: &Bench) {
    let mut foreign = std::fs::read(common::scripted_plugin()).unwrap();
    // e_machine is at offset 18; 183 is AArch64, 62 is x86-64.
    foreign[18] = if foreign[18] == 62 { 183 } else { 62 };
    bench.install_bytes("foreign", &foreign);
    std::fs::create_dir(bench.plugin_file("folder")).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", bench.plugin_file("link")).unwrap();
    bench.install("open", &json!({}));
    std::fs::set_permissions(bench.plugin_file("open"), std::fs::Permissions::from_mode(0o777)).unwrap();
    bench.install("rival", &json!({ "claims": ["test.dies"] }));
}

/// The plugins of the tables above, those that flood both outputs, one that dies in its step, and one that sleeps in every
/// request, all at once: whoever asks for the status has it at once.
#[test]
fn status_is_answered_through_all_of_it() {
    let bench = Bench::new();
    for (name, action, _) in FAULTS {
        bench.install_bytes(name, format!("#!/bin/sh\nread request <&3\n{action}\n").as_bytes());
    }
    for (name, stream) in [("out", 1), ("err", 2)] {
        let script = format!("#!/bin/sh\nwhile :; do echo spam spam spam spam >&{stream}; done\n");
        bench.install_bytes(name, script.as_bytes());
    }
    install_refused(&bench);
    let lethal = bench.path("lethal");
    std::fs::write(&lethal, "").unwrap();
    bench.install("mortal", &json!({ "die_in_apply_while": lethal }));
    bench.install("dies", &json!({}));
    bench.install("slow", &json!({ "observe_sleep_ms": 2000, "apply_sleep_ms": 2000, "after": ["mortal"] }));
    let machine = format!("{}{}", bench.wants("mortal", "never"), bench.wants("slow", "done"));
    bench.configure_with("[plugins.deadlines]\nstart = \"2s\"\nstop = \"500ms\"", &machine);
    let daemon = bench.spawn();
    // The file is there a moment before somebody listens.
    daemon.wait_for("the socket", |daemon| UnixStream::connect(daemon.socket()).is_ok());
    let (mut worst, mut asked) = (Duration::ZERO, 0);
    let give_up = Instant::now() + PATIENCE;
    while daemon.bench.text("slow").as_deref() != Some("done") {
        assert!(Instant::now() < give_up, "{}", daemon.log());
        let before = Instant::now();
        daemon.status();
        worst = worst.max(before.elapsed());
        asked += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    // 100 ms is the budget, which a bench measures; a loaded machine gets more, and less than any of the sleeps.
    assert!(asked > 10 && worst < Duration::from_millis(1900), "the worst of {asked} answers took {worst:?}");
    for (name, words) in REFUSED {
        let plugin = daemon.plugin(name);
        assert_eq!(plugin.state, PluginState::Refused, "{plugin:?}");
        assert!(plugin.last_error.as_ref().is_some_and(|error| error.contains(words)), "{plugin:?}");
    }
    assert!(daemon.log().contains("plugin mortal: in doubt: write"), "{}", daemon.log());
    daemon.stop();
}

/// A plugin ended and left a child that held its connection; nobody read an end, and the plugin counted as running.
#[test]
fn a_plugin_whose_child_holds_the_connection_is_missed_all_the_same() {
    let bench = Bench::new();
    let script = r#"#!/bin/sh
read -r line <&3
echo '{"jsonrpc":"2.0","id":1,"result":{"name":"parent","version":"1.0.0","protocol":{"min":1,"max":1},"claims":[]}}' >&3
sleep 600 &
sleep 1
exit 5
"#;
    bench.install_bytes("parent", script.as_bytes());
    let daemon = bench.start();
    daemon.wait_for_plugin("parent", "its end", |plugin| {
        plugin.last_error.as_ref().is_some_and(|error| error == "ended unexpectedly (exit status 5)")
    });
    bench.uninstall("parent");
    daemon.stop();
}
