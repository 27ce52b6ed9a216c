//! `events`, `logs` and `history`.

use crate::support::{Daemon, NOW, sysconfigctl};
use serde_json::{Value, json};

#[test]
fn events_are_lines_or_the_daemons_answer() {
    let answer = json!({ "last": 9, "events": [
        { "number": 8, "at_unix_ms": NOW, "kind": "config-changed", "message": "the configuration was taken over" },
        { "number": 9, "at_unix_ms": NOW + 1, "kind": "from-the-future", "plugin": "dns", "message": "a\u{1b}[2Jb\nc" },
    ] });
    let daemon = Daemon::start(Ok(answer.clone()));
    let ran = sysconfigctl(&daemon.socket(), &["events", "-n", "2"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        ran.out,
        "2027-01-15T08:00:00.000Z sysconfig: the configuration was taken over\n\
         2027-01-15T08:00:00.001Z plugin dns: a\u{fffd}[2Jb\n    c\n"
    );
    assert_eq!(daemon.requests()[0], ("events".to_owned(), json!({ "after": 0, "limit": 2 })));
    let ran = sysconfigctl(&daemon.socket(), &["--json", "events"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        report["events"][0],
        json!({
            "number": 8, "at_unix_ms": NOW, "kind": "config-changed", "plugin": null, "message": "the configuration was taken over",
        })
    );
    assert_eq!(report["events"][1]["kind"], "other", "an event that this version does not know");
}

#[test]
fn logs_are_asked_for_by_plugin_and_level() {
    let answer = json!({ "last": 1, "lines": [
        { "number": 1, "at_unix_ms": NOW, "level": "warn", "subject": "plugin dns", "message": "one\ntwo" },
    ] });
    let daemon = Daemon::start(Ok(answer));
    let ran = sysconfigctl(&daemon.socket(), &["logs", "dns", "--level", "warn"]);
    assert_eq!(ran.out, "2027-01-15T08:00:00.000Z warn  plugin dns: one\n    two\n", "{}", ran.err);
    assert_eq!(daemon.requests()[0].1, json!({ "after": 0, "plugin": "dns", "level": "warn" }));
    let ran = sysconfigctl(&daemon.socket(), &["logs", "--level", "loud"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("error, warn, info, debug and trace"), "{}", ran.err);
}

/// A follower ends when its daemon does; what came until then was shown.
#[test]
fn a_follower_shows_what_comes_and_ends_with_the_daemon() {
    let daemon = Daemon::saying(
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"last\":1,\"lines\":[{\"number\":1,\"at_unix_ms\":0,\
          \"level\":\"info\",\"subject\":\"sysconfig\",\"message\":\"ready\"}]}}\n",
    );
    let socket = daemon.socket();
    let follower = std::thread::spawn(move || sysconfigctl(&socket, &["logs", "--follow", "--json"]));
    // It has asked for the first time when it is taken away its socket.
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while daemon.connections() < 2 {
        assert!(std::time::Instant::now() < give_up, "the follower does not ask again");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    std::fs::remove_file(daemon.socket()).unwrap();
    let ran = follower.join().unwrap();
    assert_eq!(ran.code, 3, "{}", ran.err);
    let first: Value = serde_json::from_str(ran.out.lines().next().unwrap()).unwrap();
    assert_eq!(first["message"], "ready");
}

#[test]
fn history_tells_what_came_of_each_step() {
    let step = json!({
        "id": "1", "action": "write", "resource": "/etc/hostname", "summary": "keep the name", "risk": "safe",
        "changes": [],
    });
    let past = |sequence: u64, result: Value, error: Value, undo: bool| {
        json!({
            "sequence": sequence, "at_unix_ms": NOW, "duration_ms": 12, "plugin": "hostname", "undo": undo, "step": step,
            "result": result, "error": error,
        })
    };
    let answer = json!({ "steps": [
        past(1, json!("changed"), Value::Null, false),
        past(2, json!("failed"), json!("no space"), true),
        past(3, Value::Null, Value::Null, false),
    ] });
    let daemon = Daemon::start(Ok(answer));
    let ran = sysconfigctl(&daemon.socket(), &["history"]);
    assert_eq!(
        ran.out,
        "2027-01-15T08:00:00.000Z changed     hostname: write /etc/hostname: keep the name (12 ms)\n\
         2027-01-15T08:00:00.000Z failed      hostname: undo write /etc/hostname: keep the name (12 ms)\n    no space\n\
         2027-01-15T08:00:00.000Z open        hostname: write /etc/hostname: keep the name\n",
        "{}",
        ran.err
    );
    let daemon = Daemon::start(Ok(json!({ "steps": [] })));
    assert_eq!(sysconfigctl(&daemon.socket(), &["history"]).out, "No step was carried out yet.\n");
}
