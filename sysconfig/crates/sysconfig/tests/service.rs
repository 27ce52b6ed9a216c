//! The daemon as a service: options, readiness, single instance, the admin socket.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use common::{Bench, Daemon, PATIENCE, program, scripted_plugin};
use serde_json::{Value, json};
use sysconfig_protocol::admin::{Events, HappeningKind, History, Logs, Ping, PluginRestart, Plugins, StepResult};

#[test]
fn self_check_prints_one_line_and_touches_nothing() {
    let output = program(env!("CARGO_BIN_EXE_sysconfig").as_ref()).arg("--self-check").output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1);
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(line["protocol"], json!({ "min": 1, "max": 1 }));
}

#[test]
fn a_faulty_configuration_ends_the_daemon_with_a_report_and_status_96() {
    let bench = Bench::new();
    bench.configure_with("reload-aplies = true", "");
    for arguments in [&[][..], &["--smf"]] {
        let status = bench.command().args(arguments).status().unwrap();
        assert_eq!(status.code(), Some(96), "{arguments:?}");
        let log = bench.log();
        assert!(
            log.contains("unknown key plugins.reload-aplies") && log.contains("did you mean \"reload-applies\"?"),
            "{log}"
        );
        assert!(!bench.path("state").exists(), "nothing was touched");
    }
}

#[test]
fn under_smf_the_first_process_returns_when_the_daemon_is_ready() {
    let bench = Bench::new();
    bench.install("a", &json!({ "observe_sleep_ms": 300 }));
    bench.configure(&bench.wants("a", "text"));
    let status = bench.command().arg("--smf").status().unwrap();
    assert!(status.success());
    assert_eq!(bench.text("a").as_deref(), Some("text"), "the configuration is in force when the method returns");
    let lock = bench.text("run/lock").unwrap();
    let pid = rustix::process::Pid::from_raw(lock.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let give_up = std::time::Instant::now() + PATIENCE;
    while bench.path("run/sysconfig.sock").exists() {
        assert!(std::time::Instant::now() < give_up, "{}", bench.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whoever was started by hand in a session whose output goes to the journal has the variable, and its own output elsewhere.
#[test]
fn lines_have_a_time_wherever_the_journal_adds_none() {
    let bench = Bench::new();
    let log = bench.path("log");
    std::fs::write(&log, "").unwrap();
    let metadata = std::fs::metadata(&log).unwrap();
    let run = |stream: String| {
        std::fs::write(&log, "").unwrap();
        let mut daemon =
            Daemon { bench: &bench, child: Some(bench.command().env("JOURNAL_STREAM", stream).spawn().unwrap()) };
        daemon.wait_for("ready", |daemon| daemon.log().contains("sysconfig: ready: "));
        daemon.signal(rustix::process::Signal::TERM);
        assert!(daemon.wait().success());
        bench.log()
    };
    let (device, inode) =
        (std::os::unix::fs::MetadataExt::dev(&metadata), std::os::unix::fs::MetadataExt::ino(&metadata));
    let elsewhere = run(format!("{device}:{}", inode + 1));
    assert!(elsewhere.lines().all(|line| line.starts_with("20") || line.starts_with("    ")), "{elsewhere}");
    let journal = run(format!("{device}:{inode}"));
    assert!(journal.starts_with("info  sysconfig: version"), "{journal}");
}

#[test]
fn systemd_is_told_when_the_daemon_is_ready_and_when_it_stops() {
    let bench = Bench::new();
    let address = bench.path("notify");
    let socket = UnixDatagram::bind(&address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut child = bench.command().env("NOTIFY_SOCKET", &address).spawn().unwrap();
    let mut datagram = [0; 4096];
    let mut receive = || {
        let length = socket.recv(&mut datagram).unwrap();
        String::from_utf8_lossy(&datagram[..length]).into_owned()
    };
    let ready = receive();
    assert!(ready.starts_with("READY=1\nSTATUS=0 plugins running"), "{ready}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    assert!(receive().starts_with("STOPPING=1"));
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_second_daemon_refuses_and_names_the_first() {
    let bench = Bench::new();
    let daemon = bench.start();
    let output = bench.command().stderr(std::process::Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let pid = daemon.pid().as_raw_nonzero();
    assert!(text.contains(&format!("runs already as process {pid}")) && text.contains("help: stop it first"), "{text}");
    assert!(daemon.request(&Ping {}).is_ok(), "the first one is undisturbed");
    daemon.stop();
}

#[test]
fn a_killed_daemon_leaves_nothing_in_the_way_of_the_next() {
    let bench = Bench::new();
    bench.start().kill();
    assert!(bench.path("run/sysconfig.sock").exists(), "it could not clean up");
    std::fs::remove_file(bench.path("log")).unwrap();
    let daemon = bench.start();
    assert!(daemon.request(&Ping {}).is_ok());
    daemon.stop();
}

/// Nobody could reach the daemon any more until it was restarted.
#[test]
fn a_socket_that_is_removed_or_replaced_is_made_anew() {
    let bench = Bench::new();
    let daemon = bench.start();
    let answers = |daemon: &Daemon<'_>| UnixStream::connect(daemon.socket()).is_ok();
    std::fs::remove_file(daemon.socket()).unwrap();
    daemon.wait_for("the socket", answers);
    assert!(daemon.request(&Ping {}).is_ok());
    std::fs::remove_file(daemon.socket()).unwrap();
    let stranger = std::os::unix::net::UnixListener::bind(daemon.socket()).unwrap();
    daemon.wait_for("the warning", |daemon| daemon.log().matches("was removed or replaced").count() == 2);
    assert!(daemon.request(&Ping {}).is_ok());
    drop(stranger);
    std::fs::remove_dir_all(bench.path("run")).unwrap();
    daemon.wait_for("the socket in a directory of its own", answers);
    assert!(daemon.request(&Ping {}).is_ok());
    let socket = daemon.socket();
    daemon.stop();
    assert!(!socket.exists());
}

#[test]
fn only_the_owner_can_reach_the_socket_and_the_state() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure(&bench.wants("a", "text"));
    let daemon = bench.start();
    for (name, expected) in [
        ("run", 0o700),
        ("run/sysconfig.sock", 0o600),
        ("state", 0o700),
        ("state/applied.json", 0o600),
        ("state/key.json", 0o600),
        ("state/journal.jsonl", 0o600),
    ] {
        let mode = std::fs::metadata(bench.path(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, expected, "{name}: {mode:o}");
    }
    daemon.stop();
}

/// Names the socket to `other_process`, which is the stranger's.
const STRANGERS_SOCKET: &str = "STRANGERS_SOCKET";

/// The user that is used for nobody in particular.
const STRANGER: u32 = 65534;

/// The socket's modes keep strangers out; when somebody relaxed them, the daemon still asks the system who it is.
#[test]
fn a_stranger_at_the_socket_is_refused_whatever_its_mode() {
    if !rustix::process::geteuid().is_root() {
        return test_judge::skip("only root can be somebody else");
    }
    let bench = Bench::new();
    let daemon = bench.start();
    // Others may not be able to reach where the test was built.
    let copy = bench.path("client");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    for (name, mode) in [("", 0o755), ("client", 0o755), ("run", 0o755), ("run/sysconfig.sock", 0o666)] {
        std::fs::set_permissions(bench.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let ask = |user: u32| {
        let mut client = program(&copy);
        client.args(["--exact", "other_process", "--ignored", "--nocapture"]);
        let output = client.env(STRANGERS_SOCKET, daemon.socket()).uid(user).gid(user).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let refused = ask(STRANGER);
    assert!(refused.contains("user 65534 may not administer this system") && !refused.contains("version"), "{refused}");
    daemon.wait_for("a word in the log", |daemon| daemon.log().contains("refused a connection: user 65534"));
    assert!(ask(0).contains("\"version\""), "it is the user that matters");
    assert!(daemon.request(&Ping {}).is_ok());
    daemon.stop();
}

/// Connects and prints everything that the daemon says.
#[test]
#[ignore = "run by a_stranger_at_the_socket_is_refused_whatever_its_mode as another user"]
#[expect(clippy::print_stdout, reason = "the other process reads it")]
fn other_process() {
    let socket = std::env::var_os(STRANGERS_SOCKET).expect("the other test names the socket");
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The daemon may have hung up already.
    drop(stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n"));
    let mut answer = String::new();
    drop(BufReader::new(stream).read_line(&mut answer));
    println!("{answer}");
}

#[test]
fn bad_clients_are_answered_or_dropped_and_disturb_nobody() {
    let bench = Bench::new();
    let daemon = bench.start();
    let mut stream = daemon.connect();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut ask = |line: &str| {
        stream.write_all(line.as_bytes()).unwrap();
        stream.write_all(b"\n").unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()
    };
    for (line, code) in [
        ("no json", -32700),
        ("{}", -32600),
        (r#"{"jsonrpc":"2.0","method":"status"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"reboot"}"#, -32601),
        (r#"{"jsonrpc":"2.0","id":1,"method":"apply","params":{"force":true}}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"plugin-restart","params":{"name":"x"}}"#, -32012),
    ] {
        assert_eq!(ask(line)["error"]["code"], code, "{line}");
    }
    let pong = ask(r#"{"jsonrpc":"2.0","id":"text","method":"ping"}"#);
    assert_eq!((&pong["id"], &pong["result"]["version"]), (&json!("text"), &json!(env!("CARGO_PKG_VERSION"))));

    let mut long = daemon.connect();
    // The daemon may hang up while the rest is still being written.
    drop(long.write_all(&vec![b'x'; 200 * 1024]));
    let mut answer = Vec::new();
    drop(long.read_to_end(&mut answer));
    let idle: Vec<_> = (0..12).map(|_| daemon.connect()).collect();
    let plugins = daemon.request(&Plugins {}).unwrap();
    assert_eq!(plugins.path, [bench.path("plugins").display().to_string()]);
    drop(idle);
    daemon.stop();
}

#[test]
fn a_plugin_by_hand_explains_itself() {
    let run = |argument: &[&str]| {
        program(&scripted_plugin()).args(argument).env_remove("SYSCONFIG_PLUGIN_FD").output().unwrap()
    };
    let bare = run(&[]);
    assert_eq!(bare.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&bare.stderr).contains("is a plugin of the system configuration daemon"));
    let described = run(&["--describe"]);
    let description: Value = serde_json::from_slice(&described.stdout).unwrap();
    assert_eq!(description["protocol"], json!({ "min": 1, "max": 1 }));
    assert!(run(&["--version"]).status.success());
    assert_eq!(run(&["--frobnicate"]).status.code(), Some(2));
}

/// Whoever comes is answered, though a place may only just become free.
fn fresh_connection_is_served(daemon: &Daemon<'_>) {
    let came = Instant::now();
    while daemon.request(&Ping {}).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(came.elapsed() < PATIENCE, "{:?}", came.elapsed());
}

/// Clients that send as fast as they can and never read: each is cut off, and the others are served meanwhile.
#[test]
fn clients_that_never_read_are_cut_off_and_keep_nobody_out() {
    let bench = Bench::new();
    let daemon = bench.start();
    let request = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\n".repeat(64);
    let mut stream = daemon.connect();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut is_served = || {
        stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n").unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        line.contains("version")
    };
    std::thread::scope(|scope| {
        let floods: Vec<_> = (0..12)
            .map(|_| {
                let mut stream = daemon.connect();
                stream.set_write_timeout(Some(PATIENCE)).unwrap();
                let request = &request;
                scope.spawn(move || while stream.write_all(request).is_ok() {})
            })
            .collect();
        for _ in 0..20 {
            assert!(is_served());
            fresh_connection_is_served(&daemon);
        }
        for flood in floods {
            flood.join().unwrap();
        }
    });
    assert!(is_served());
    daemon.stop();
}

#[test]
fn one_connection_too_many_is_told_so() {
    let bench = Bench::new();
    let daemon = bench.start();
    let held: Vec<_> = (0..32).map(|_| daemon.connect()).collect();
    // Every place is taken once its connection is served.
    for stream in &held {
        let mut stream = stream;
        stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n").unwrap();
        let mut answer = [0; 1];
        stream.read_exact(&mut answer).unwrap();
    }
    // It is told before it asks; a question could cross with the end of the connection.
    let mut refusal = String::new();
    BufReader::new(daemon.connect()).read_line(&mut refusal).unwrap();
    assert!(refusal.contains("32 connections"), "{refusal}");
    drop(held);
    daemon.wait_for("a free place", |daemon| {
        let mut stream = daemon.connect();
        drop(stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n"));
        let mut line = String::new();
        drop(BufReader::new(stream).read_line(&mut line));
        line.contains("version")
    });
    daemon.stop();
}

/// As `logadm` and `logrotate` do it: the file is moved away, the daemon gets SIGHUP and goes on in a new one.
#[test]
fn a_log_file_that_was_moved_away_is_opened_anew_on_sighup() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure("");
    let text = bench.text("sysconfig.toml").unwrap();
    let output = format!("output = \"{}\"", bench.path("log").display());
    std::fs::write(bench.path("sysconfig.toml"), text.replace("output = \"console\"", &output)).unwrap();
    let daemon = bench.start();
    let restart = || daemon.request(&PluginRestart { name: "a".to_owned() }).unwrap().pid.unwrap().to_string();
    let count = |name: &str| bench.text(name).unwrap_or_default().matches("plugin a: running: ").count();
    std::fs::rename(bench.path("log"), bench.path("log.0")).unwrap();
    restart();
    assert_eq!((count("log.0"), bench.path("log").exists()), (2, false), "until then it writes where it wrote");
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_for("the new file", |daemon| daemon.bench.path("log").exists());
    restart();
    daemon.wait_for("a line in it", |_| count("log") == 1);
    assert_eq!(count("log.0"), 2, "and nothing more in the old one");
    daemon.stop();
}

/// The answer was as if nothing had been said.
#[test]
fn the_log_of_a_plugin_that_is_not_there_is_refused() {
    let bench = Bench::new();
    bench.install("hostname", &json!({}));
    let daemon = bench.start();
    let logs = |name: &str| daemon.request(&Logs { plugin: Some(name.to_owned()), ..Logs::default() });
    assert!(!logs("hostname").unwrap().lines.is_empty());
    let refusal = logs("hostnmae").unwrap_err();
    assert_eq!(refusal.code, sysconfig_protocol::envelope::code::NO_SUCH_PLUGIN);
    assert_eq!(refusal.message, "there is no plugin \"hostnmae\"");
    assert_eq!(refusal.advice(), Some("did you mean hostname? plugins are: hostname"));
    assert_eq!(logs("nope").unwrap_err().advice(), Some("plugins are: hostname"));
    daemon.stop();
}

#[test]
fn what_happened_and_what_was_logged_can_be_asked_for() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure(&bench.wants("a", "text"));
    let daemon = bench.start();
    let events = daemon.request(&Events::default()).unwrap();
    let kinds: Vec<_> = events.events.iter().map(|event| event.kind).collect();
    let expected = [HappeningKind::PluginStarted, HappeningKind::Step, HappeningKind::Cycle, HappeningKind::Ready];
    assert_eq!(kinds, expected, "{events:?}");
    assert_eq!(events.events[1].plugin.as_deref(), Some("a"));
    let newer = daemon.request(&Events { after: events.last, limit: None }).unwrap();
    assert_eq!((newer.events.len(), newer.last), (0, events.last));
    let logs = daemon.request(&Logs { plugin: Some("a".to_owned()), limit: Some(2), ..Logs::default() }).unwrap();
    assert!(logs.lines.len() == 2 && logs.lines.iter().all(|line| line.subject == "plugin a"), "{logs:?}");
    let history = daemon.request(&History { limit: None }).unwrap();
    assert_eq!(history.steps.len(), 1);
    assert_eq!(history.steps[0].result, Some(StepResult::Changed));
    daemon.stop();
}

/// Whoever looks for what is wrong, as `sysconfigctl doctor` does, has to look there.
#[test]
fn the_daemon_says_what_its_command_line_made_it_use() {
    let bench = Bench::new();
    bench.configure("");
    let daemon = bench.start();
    let paths = daemon.status().paths.expect("paths");
    let told = [paths.config, paths.config_dir, paths.state_dir, paths.run_dir];
    for path in &told {
        assert!(std::path::Path::new(path).is_absolute() && bench.arguments().contains(path), "{told:?}");
    }
    daemon.stop();
}
