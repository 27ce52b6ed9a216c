//! What others can make the daemon hold, wait for, or say has limits.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Bench, Daemon, PATIENCE, program};
use rustix::process::{Pid, Signal};
use serde_json::json;
use sysconfig_protocol::admin::{Apply, History, Plan, PluginState, Problem, Reload, StepResult, UndoChange};
use sysconfig_protocol::{Call, Id, MAX_LINE_BYTES, Message, Request};

/// The most memory that the daemon has held, in KiB.
fn peak_kib(daemon: &Daemon<'_>) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid().as_raw_pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A shell plugin that says hello, and then does something.
fn install_script(bench: &Bench, name: &str, then: &str) {
    let script = format!(
        r#"#!/bin/sh
read -r line <&3
echo '{{"jsonrpc":"2.0","id":1,"result":{{"name":"{name}","version":"1.0.0","protocol":{{"min":1,"max":1}},"claims":[{{"key":"test.{name}"}}]}}}}' >&3
{then}
"#
    );
    bench.install_bytes(name, script.as_bytes());
}

/// Each event waited in the queue until the engine came to it, and it may be in one call for minutes.
#[test]
fn what_plugins_say_during_a_long_step_does_not_pile_up() {
    let bench = Bench::new();
    let said = bench.path("said");
    let event = r#"{"jsonrpc":"2.0","method":"event","params":{"topic":"x","data":"%060000d"}}\n"#;
    let talk = format!(
        "while :; do for i in $(seq 1 90); do printf '{event}' $i >&3; done; echo x >> {}; sleep 1; done",
        said.display()
    );
    install_script(&bench, "talks", &talk);
    bench.install("slow", &json!({ "apply_sleep_ms": 6000 }));
    bench.configure(&bench.wants("slow", "done"));
    let daemon = bench.spawn();
    daemon.wait_for("the long step", |daemon| daemon.log().contains("calling apply"));
    let before = peak_kib(&daemon);
    let rounds = || bench.text("said").unwrap_or_default().lines().count();
    let first = rounds();
    daemon.wait_for("its end", |daemon| daemon.bench.text("slow").is_some());
    let said_kib = u64::try_from(rounds() - first).unwrap() * 90 * 60;
    let grown = peak_kib(&daemon) - before;
    assert!(said_kib > 10_000, "{said_kib} KiB were said");
    assert!(grown < said_kib / 4, "{grown} KiB more for {said_kib} KiB");
    daemon.stop();
}

/// As long as something went into its socket now and then, nobody gave the plugin up.
#[test]
fn a_plugin_that_reads_its_requests_by_drops_is_given_up_in_time() {
    let bench = Bench::new();
    install_script(&bench, "drips", "while :; do dd bs=4096 count=1 <&3 >/dev/null 2>&1; sleep 0.2; done");
    let text = "x".repeat(3 * 1024 * 1024);
    let deadlines = "[plugins.deadlines]\nanswer = \"700ms\"\nstop = \"300ms\"";
    bench.configure_with(deadlines, &format!("[test.drips]\ntext = \"{text}\"\n"));
    let daemon = bench.spawn();
    // To read all of the request takes it longer than this waits.
    daemon.wait_for("the fault", |daemon| daemon.log().contains("it does not read its requests"));
    daemon.stop();
}

/// Answers that are valid one by one, and together more than a line: `sysconfigctl` took the daemon for broken.
#[test]
fn however_much_plugins_say_every_answer_fits_into_a_line() {
    let bench = Bench::new();
    let names = ["a", "b", "c", "d", "e", "f"];
    for name in names {
        bench.install(name, &json!({ "warnings": 500, "files": 4 }));
    }
    // Twice in each step, which takes a fourth of a line for each plugin.
    let text = "x".repeat(200_000);
    let wants: String = names.map(|name| bench.wants(name, &text)).concat();
    let claims: Vec<_> = (0..500).map(|number| format!("test.x{number}.{}", "y".repeat(50))).collect();
    bench.install("greedy", &json!({ "claims": claims }));
    bench.configure(&wants);
    let daemon = bench.start();
    assert!(
        daemon.plugin("greedy").last_error.unwrap().contains("its description takes"),
        "{:?}",
        daemon.plugin("greedy")
    );
    let problems = daemon.problems();
    assert!(problems.iter().any(|problem| problem.contains("400 of 500 findings are not shown")), "{problems:?}");
    let written = || {
        names.iter().flat_map(|name| {
            (0..4).map(move |number| match number {
                0 => (*name).to_owned(),
                number => format!("{name}.{number}"),
            })
        })
    };
    written().for_each(|file| std::fs::remove_file(bench.path(&file)).unwrap());
    let plan = daemon.plan();
    assert_eq!(plan.plugins.len(), names.len());
    for part in &plan.plugins {
        assert_eq!((part.steps.len(), part.error.as_ref()), (4, None), "{}", part.plugin);
        assert!(part.steps[0].changes[0].to.as_str().unwrap().ends_with("x…"), "it is cut");
    }
    let report = daemon.request(&Apply { plan: Some(plan.digest), ..Apply::default() }).unwrap();
    assert!(report.is_success(), "what is applied is not cut");
    assert!(written().all(|file| bench.text(&file).as_ref() == Some(&text)));
    let history = daemon.request(&History { limit: Some(1000) }).unwrap();
    assert!(history.steps.len() > 3 && history.steps.iter().all(|step| step.result == Some(StepResult::Changed)));
    daemon.everything_that_is_told();
    daemon.stop();
}

/// The plugin was given a line that it had to end of, again and again, and nobody said why; the files were in force.
#[test]
fn a_part_that_fits_into_no_line_is_refused_and_does_not_end_its_owner() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure(&bench.wants("a", "short"));
    let daemon = bench.start();
    let process = daemon.plugin("a").pid;
    bench.configure(&bench.wants("a", &"x".repeat(MAX_LINE_BYTES)));
    let report = daemon.request(&Reload {}).unwrap();
    let [problem] = &*report.problems else { panic!("{:?}", report.problems) };
    assert!(!report.accepted && problem.subject == "plugin a", "{problem:?}");
    assert!(problem.message.contains("the request is longer than a line of the protocol may be"), "{problem:?}");
    assert!(problem.help.as_ref().unwrap().contains("what the configuration says to this plugin"), "{problem:?}");
    assert_eq!(daemon.plugin("a").pid, process);
    daemon.stop();
    // At a start there is nothing that was in force before.
    let daemon = bench.start();
    let plugin = daemon.plugin("a");
    assert!(plugin.last_error.as_ref().unwrap().contains("longer than a line of the protocol"), "{plugin:?}");
    // The plugin has not failed, so it waits for a better configuration however often it is tried.
    daemon.wait_for("many tries", |daemon| daemon.log().matches("plugin a: starting again in").count() >= 6);
    assert_eq!(daemon.plugin("a").state, PluginState::Backoff);
    bench.configure(&bench.wants("a", "short again"));
    assert!(daemon.request(&Reload {}).unwrap().accepted);
    daemon.wait_for("the plugin", |daemon| daemon.bench.text("a").as_deref() == Some("short again"));
    daemon.stop();
}

/// An answer of 22 MB came to `reload` and `apply`, which nobody can read.
#[test]
fn however_much_is_wrong_with_the_files_every_answer_fits_into_a_line() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure(&bench.wants("a", "text"));
    let daemon = bench.start();
    let keys: String = (0..40_000).map(|number| format!("some-key-that-nobody-has-heard-of-{number} = 1\n")).collect();
    bench.configure(&format!("{}[unowned]\n{keys}", bench.wants("a", "new text")));
    let reload = daemon.request(&Reload {}).unwrap();
    let is_told = |problems: &[Problem]| problems.iter().any(|one| one.message.contains("problems are not shown"));
    assert!(reload.accepted && is_told(&reload.apply.unwrap().problems));
    assert_eq!(bench.text("a").as_deref(), Some("new text"), "what has an owner is applied");
    assert!(is_told(&daemon.request(&Apply::default()).unwrap().problems));
    assert!(is_told(&daemon.plan().problems) && is_told(&daemon.status().problems));
    daemon.stop();
}

/// The daemon ended, or found no plugin from then on, because its threads did.
#[test]
fn privileged_a_daemon_that_gets_no_more_threads_goes_on_with_what_it_has() {
    if !rustix::process::geteuid().is_root() {
        return test_judge::skip("only root can be a user whose processes are counted apart");
    }
    // Nobody else's, so that nothing else counts against the limit.
    let user = 61_000 + std::process::id() % 4000;
    let bench = Bench::new();
    for number in 0..10 {
        bench.install(&format!("p{number}"), &json!({}));
    }
    std::fs::copy(env!("CARGO_BIN_EXE_sysconfig"), bench.path("daemon")).unwrap();
    std::os::unix::fs::chown(bench.directory.path(), Some(user), Some(user)).unwrap();
    for limit in [7, 9, 12] {
        drop(std::fs::remove_file(bench.path("log")));
        let log = std::fs::File::create(bench.path("log")).unwrap();
        let mut command = program(Path::new("prlimit"));
        command.arg(format!("--nproc={limit}")).arg(bench.path("daemon")).args(bench.arguments());
        command.env_remove("NOTIFY_SOCKET").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut daemon = command.uid(user).gid(user).spawn().unwrap();
        let give_up = Instant::now() + PATIENCE;
        while !bench.log().contains("sysconfig: ready: ") {
            assert!(daemon.try_wait().unwrap().is_none() && Instant::now() < give_up, "{limit}: {}", bench.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(bench.log().contains("found 10 plugins"), "{limit}: {}", bench.log());
        rustix::process::kill_process(Pid::from_child(&daemon), Signal::TERM).unwrap();
        assert!(daemon.wait().unwrap().success(), "{limit}: {}", bench.log());
        assert!(!bench.log().contains("panicked"), "{limit}: {}", bench.log());
    }
}

/// Sends a request and does not wait for its answer.
fn ask<C: Call>(daemon: &Daemon<'_>, call: &C) -> UnixStream {
    let mut stream = daemon.connect();
    let params = serde_json::to_value(call).unwrap();
    let request = Request { id: Id::Number(1), method: C::METHOD.to_owned(), params };
    stream.write_all(&Message::Request(request).to_line()).unwrap();
    stream
}

fn client_threads(daemon: &Daemon<'_>) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid().as_raw_pid())).unwrap().flatten();
    tasks.filter(|task| std::fs::read(task.path().join("comm")).is_ok_and(|name| name == b"client\n")).count()
}

/// During a long step 16 clients that waited for their turn kept out whoever wanted to know what it was, and a client that
/// had given up kept its place.
#[test]
fn status_is_answered_however_many_wait_and_nobody_waits_for_who_has_gone() {
    let bench = Bench::new();
    bench.install("slow", &json!({ "undo": true }));
    bench.configure(&bench.wants("slow", "old"));
    let daemon = bench.start();
    bench.configure(&bench.wants("slow", "new"));
    let within = Apply { confirm_within_ms: Some(1), ..Apply::default() };
    std::fs::write(bench.path("undo-stalls"), "").unwrap();
    assert!(daemon.request(&within).unwrap().is_success());
    daemon.wait_for("the long step", |_| bench.path("undo-has-stalled").exists());
    let waiting: Vec<_> = (0..16).map(|_| ask(&daemon, &Plan {})).collect();
    daemon.wait_for("all of them", |daemon| client_threads(daemon) >= 16);
    // Each has its place, or gets it now.
    let refused = (0..2).map(|_| ask(&daemon, &Plan {})).any(|stream| {
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).is_ok() && answer.contains("16 requests wait already")
    });
    assert!(refused);
    for _ in 0..20 {
        assert_eq!(daemon.status().plugins[0].state, PluginState::Running);
    }
    // What must not be lost has room.
    let undo = ask(&daemon, &UndoChange {});
    drop(waiting);
    daemon.wait_for("their end", |daemon| client_threads(daemon) == 1);
    std::fs::remove_file(bench.path("undo-stalls")).unwrap();
    let mut answer = String::new();
    BufReader::new(undo).read_line(&mut answer).unwrap();
    assert!(answer.contains("no change waits for a confirmation"), "{answer}");
    assert_eq!(daemon.log().matches("who asked for a plan has gone away").count(), 16, "{}", daemon.log());
    daemon.stop();
}
