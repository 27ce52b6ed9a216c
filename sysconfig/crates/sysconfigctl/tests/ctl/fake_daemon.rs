//! The whole program against a fake daemon that speaks the real wire.

use crate::support::{
    Daemon, Ran, apply_report, busy_status, plan_report, plugins_report, sysconfigctl, to_writer, undo_report,
};
use serde_json::{Value, json};
use sysconfig_protocol::admin::{Apply, Place, Problem, ReloadReport};
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::{Digest, ErrorObject, Severity};

/// Runs the program against a daemon that gives this answer; also returns what the daemon was asked.
fn with_answer(answer: Result<Value, ErrorObject>, arguments: &[&str]) -> (Ran, Vec<(String, Value)>) {
    let daemon = Daemon::start(answer);
    let ran = sysconfigctl(&daemon.socket(), arguments);
    (ran, daemon.requests())
}

fn value(answer: impl serde::Serialize) -> Result<Value, ErrorObject> {
    Ok(serde_json::to_value(answer).unwrap())
}

#[test]
fn each_command_is_its_request() {
    let pong = json!({ "version": "0.1.0", "pid": 7 });
    let (ran, requests) = with_answer(Ok(pong), &["ping"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "sysconfig 0.1.0 answers, process 7\n"));
    assert_eq!(requests, [("ping".to_owned(), json!({}))]);

    let arguments = ["apply", "--dry-run", "--allow-destructive", "--plan", "00ff00ff"];
    let (_, requests) = with_answer(value(apply_report()), &arguments);
    let asked: Apply = serde_json::from_value(requests[0].1.clone()).unwrap();
    let plan = Some(Digest("00ff00ff".to_owned()));
    let wanted = Apply { dry_run: true, allow_destructive: true, plan, confirm_within_ms: None };
    assert_eq!(asked, wanted);

    let (_, requests) = with_answer(value(apply_report()), &["apply", "--confirm-within", "5m"]);
    assert_eq!(requests[0].1["confirm_within_ms"], 300_000);
    let (ran, requests) = with_answer(Ok(json!({ "steps": 2 })), &["confirm"]);
    assert_eq!((ran.code, requests[0].0.as_str()), (0, "confirm"));
    let (ran, requests) = with_answer(value(undo_report()), &["undo"]);
    assert_eq!((ran.code, requests[0].0.as_str()), (1, "undo"), "a step could not be undone");

    let (_, requests) = with_answer(value(&plugins_report().plugins[0]), &["plugin", "restart", "dns"]);
    assert_eq!(requests, [("plugin-restart".to_owned(), json!({ "name": "dns" }))]);
}

#[test]
fn json_is_the_daemons_answer() {
    for (arguments, answer) in [
        (["status", "--json"], value(busy_status())),
        (["plugins", "--json"], value(plugins_report())),
        (["plan", "--json"], value(plan_report())),
        (["apply", "--json"], value(apply_report())),
    ] {
        let (ran, _) = with_answer(answer.clone(), &arguments);
        let printed: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(printed, answer.unwrap(), "{arguments:?}");
        assert_eq!(ran.err, "");
    }
}

#[test]
fn status_tells_degraded_apart() {
    let (ran, _) = with_answer(value(busy_status()), &["status"]);
    assert_eq!(ran.code, 4);
    let mut fine = busy_status();
    fine.health = sysconfig_protocol::admin::Health::Ok;
    let (ran, _) = with_answer(value(fine), &["status"]);
    assert_eq!(ran.code, 0);
}

#[test]
fn plan_and_apply_and_reload_fail_when_anything_in_them_failed() {
    let (ran, _) = with_answer(value(plan_report()), &["plan"]);
    assert_eq!(ran.code, 1, "one plugin has no plan");
    let mut sound = plan_report();
    sound.plugins.retain(|plugin| plugin.error.is_none());
    sound.problems.clear();
    let (ran, _) = with_answer(value(sound), &["plan"]);
    assert_eq!(ran.code, 0);

    let (ran, _) = with_answer(value(apply_report()), &["apply"]);
    assert_eq!(ran.code, 1);
    let rejected = ReloadReport {
        accepted: false,
        changed: false,
        error: Some("line 3: no".into()),
        problems: Vec::new(),
        apply: None,
    };
    let (ran, _) = with_answer(value(rejected), &["reload"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("line 3: no"), "{}", ran.out);
    let same = ReloadReport { accepted: true, changed: false, error: None, problems: Vec::new(), apply: None };
    let (ran, _) = with_answer(value(same), &["reload"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "The configuration is the same as before.\n"));
    let broken =
        ReloadReport { accepted: true, changed: true, error: None, problems: Vec::new(), apply: Some(apply_report()) };
    let (ran, _) = with_answer(value(broken), &["reload"]);
    assert_eq!(ran.code, 1);
}

#[test]
fn a_restarted_plugin_that_stays_down_is_a_failure() {
    let (ran, _) = with_answer(value(&plugins_report().plugins[0]), &["plugin", "restart", "dns"]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    let (ran, _) = with_answer(value(&plugins_report().plugins[2]), &["plugin", "restart", "zpool"]);
    assert_eq!(ran.code, 1, "{}", ran.out);
}

#[test]
fn a_refusal_shows_causes_and_help() {
    let refusal = ErrorObject::new(code::NO_SUCH_PLUGIN, "no plugin is named \"dsn\"")
        .causes(vec!["it was never found".into()])
        .help("did you mean dns?");
    let (ran, _) = with_answer(Err(refusal.clone()), &["plugin", "restart", "dsn"]);
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.err,
        "sysconfigctl: no plugin is named \"dsn\"\n  because: it was never found\n  help: did you mean dns?\n"
    );
    let (ran, _) = with_answer(Err(refusal), &["--json", "plugin", "restart", "dsn"]);
    let error: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(error["error"]["code"], code::NO_SUCH_PLUGIN);
    assert_eq!(error["error"]["help"], "did you mean dns?");
    assert_eq!(ran.out, "");
    let bare = ErrorObject::new(code::PLAN_CHANGED, "the plan has changed");
    let (ran, _) = with_answer(Err(bare), &["apply", "--plan", "00"]);
    assert!(ran.err.contains("sysconfigctl plan"), "there is advice of our own: {}", ran.err);
}

/// Their places were in a text among the causes.
#[test]
fn a_refusal_because_of_the_files_tells_each_fault_with_its_place() {
    let fault = Problem {
        subject: "config".to_owned(),
        message: "unknown key logging.levle".to_owned(),
        help: Some("did you mean level?".to_owned()),
        place: Some(Place { file: "/etc/sysconfig.toml".to_owned(), line: 3, column: 5 }),
        severity: Severity::Error,
    };
    let refusal = ErrorObject::new(code::FAILED, "the configuration files have faults, so nothing was done")
        .problems(vec![fault.clone()])
        .help("mend the files and try again");
    let (ran, _) = with_answer(Err(refusal.clone()), &["--json", "apply"]);
    let error: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(error["error"]["problems"], json!([fault]));
    assert_eq!((&error["error"]["causes"], ran.code), (&json!([]), 1));
    let (ran, _) = with_answer(Err(refusal), &["apply"]);
    assert_eq!(
        ran.err,
        "sysconfigctl: the configuration files have faults, so nothing was done\n  help: mend the files and try again\n\n\
         error: config: unknown key logging.levle\n  at /etc/sysconfig.toml:3:5\n  help: did you mean level?\n"
    );
}

/// A daemon takes so many connections at once, and sees a moment later that one of them has ended.
#[test]
fn a_crowd_is_waited_for_and_then_told() {
    let daemon = Daemon::crowded(1, json!({ "version": "1", "pid": 7 }));
    assert_eq!(sysconfigctl(&daemon.socket(), &["ping"]).code, 0);
    assert_eq!(daemon.connections(), 2);
    let daemon = Daemon::crowded(usize::MAX, Value::Null);
    let ran = sysconfigctl(&daemon.socket(), &["ping", "--timeout", "60"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("there are 32 connections already") && ran.err.contains("end some of"), "{}", ran.err);
}

#[test]
fn an_absent_daemon_is_named_by_its_socket() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("no.sock");
    let ran = sysconfigctl(&socket, &["status"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains(&socket.display().to_string()), "{}", ran.err);
    assert!(ran.err.contains("help: start it with"), "{}", ran.err);
    // A socket file that a killed daemon has left behind.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let ran = sysconfigctl(&socket, &["ping"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("does not run"), "{}", ran.err);
}

/// The advice was to start the daemon.
#[test]
fn what_is_no_socket_is_told_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let ran = sysconfigctl(directory.path(), &["ping"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("is no socket") && ran.err.contains("help: give --socket"), "{}", ran.err);
}

#[test]
fn wrong_numbers_are_told_with_what_to_write() {
    for (arguments, said) in [
        (&["logs", "-n", "x"][..], "write a whole number"),
        (&["events", "-n", "-1"], "write a whole number"),
        (&["ping", "--timeout", "x"], "write whole seconds, from 1 to 86400"),
        (&["ping", "--timeout", "86401"], "write whole seconds, from 1 to 86400"),
    ] {
        let ran = sysconfigctl(std::path::Path::new("unused"), arguments);
        assert!(ran.code == 2 && ran.err.contains(said), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn silence_nonsense_and_a_closed_connection_are_told_apart() {
    let daemon = Daemon::silent();
    let ran = sysconfigctl(&daemon.socket(), &["ping", "--timeout", "1"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("did not answer ping within 1 s") && ran.err.contains("at once"), "{}", ran.err);
    let ran = sysconfigctl(&daemon.socket(), &["plan", "--timeout", "1"]);
    assert!(ran.code == 3 && ran.err.contains("allow more with --timeout"), "{}", ran.err);

    let daemon = Daemon::saying(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let ran = sysconfigctl(&daemon.socket(), &["ping"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("not a daemon's"), "{}", ran.err);

    let daemon = Daemon::saying(b"");
    let ran = sysconfigctl(&daemon.socket(), &["ping"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("broke during ping"), "{}", ran.err);

    let (ran, _) = with_answer(Ok(json!({ "version": 7 })), &["ping"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("not a daemon's"), "{}", ran.err);
}

/// Whatever answered, it ended there.
#[test]
fn doctor_looks_at_everything_also_where_something_else_listens() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("main.toml");
    std::fs::write(&config, format!("[plugins]\npath = {:?}\n", directory.path())).unwrap();
    let daemon = Daemon::saying(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let ran =
        sysconfigctl(&daemon.socket(), &["doctor", "--config", config.to_str().unwrap(), "--config-dir", "/nowhere"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let said = "WRONG  daemon: the answer to status is not a daemon's";
    assert!(ran.out.contains(said) && ran.out.contains("plugins: none was found"), "{}", ran.out);
}

/// It judged those that `--config` names or defaults to, and called a machine sound whose daemon reads others.
#[test]
fn doctor_judges_the_files_of_the_daemon_that_runs() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(path("theirs.toml"), "[logging]\nlevle = \"info\"\n").unwrap();
    std::fs::write(path("asked.toml"), "").unwrap();
    let mut answer = serde_json::to_value(busy_status()).unwrap();
    let others = json!({
        "path": [], "hot_reload": true, "lines": [], "last": 0,
        "paths": {
            "config": path("theirs.toml"), "config_dir": path("d"), "state_dir": "/scratch/state", "run_dir": "/scratch/run",
        },
    });
    answer.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
    let daemon = Daemon::start(Ok(answer));
    let doctor = |config: &str| {
        sysconfigctl(&daemon.socket(), &["doctor", "--config", &path(config), "--config-dir", &path("d")]).out
    };
    let said = doctor("asked.toml");
    let differs = format!("odd    files of the daemon: the daemon reads {}", path("theirs.toml"));
    assert!(said.contains(&differs) && said.contains("unknown key logging.levle"), "{said}");
    assert!(said.contains("remembers in /scratch/state"), "{said}");
    let advice = format!("config check --config {} --config-dir {} shows the lines", path("theirs.toml"), path("d"));
    assert!(said.contains(&advice), "{said}");
    let said = doctor("theirs.toml");
    assert!(!said.contains("files of the daemon") && said.contains("unknown key logging.levle"), "{said}");
}

/// `sysconfigctl apply | head` said that all was well, whatever came of it.
#[test]
fn a_reader_that_has_seen_enough_changes_nothing_about_the_exit_status() {
    for (answer, arguments, code) in [
        (value(apply_report()), &["apply"][..], 1),
        (value(busy_status()), &["status"], 4),
        (value(busy_status()), &["status", "--json"], 4),
        (Ok(json!({ "version": "0.1.0", "pid": 7 })), &["ping"], 0),
        (Ok(json!({ "events": [], "last": 0 })), &["events", "--help"], 0),
        (
            Ok(json!({ "lines": [{
            "number": 1, "at_unix_ms": 0, "level": "info", "subject": "sysconfig", "message": "m",
        }], "last": 1 })),
            &["logs", "--follow"],
            0,
        ),
    ] {
        let daemon = Daemon::start(answer);
        let err = to_writer(&daemon.socket(), arguments, std::io::ErrorKind::BrokenPipe);
        assert_eq!(err, (code, String::new()), "{arguments:?}");
    }
    for arguments in [&["ping"][..], &["--help"]] {
        let daemon = Daemon::start(Ok(json!({ "version": "0.1.0", "pid": 7 })));
        let (code, err) = to_writer(&daemon.socket(), arguments, std::io::ErrorKind::StorageFull);
        assert!(code == 1 && err.contains("cannot write the "), "{arguments:?}: {err}");
    }
    let daemon = Daemon::start(Ok(json!({ "version": "0.1.0", "pid": 7 })));
    let (code, err) = to_writer(&daemon.socket(), &["ping", "--json"], std::io::ErrorKind::StorageFull);
    let error: Value = serde_json::from_str(&err).unwrap();
    assert_eq!((code, &error["error"]["message"]), (1, &json!("cannot write the answer")));
}

#[test]
fn wrong_usage_is_status_2_and_help_is_not() {
    let socket = std::path::Path::new("unused");
    for arguments in [
        &["stauts"][..],
        &["plugin"],
        &["apply", "now"],
        &["apply", "--confirm-within", "60"],
        &["apply", "--plan", "00ff"],
        &["apply", "--plan", "latest-one"],
        &["ping", "--timeout", "0"],
        &[],
    ] {
        let ran = sysconfigctl(socket, arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}");
    }
    let ran = sysconfigctl(socket, &["stauts"]);
    assert!(ran.err.contains("'status'"), "it proposes the nearest: {}", ran.err);
    let ran = sysconfigctl(socket, &["--help"]);
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("Exit status: 0 done"), "{}", ran.out);
}
