//! A fake daemon, and answers that show everything there is to show.

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use sysconfig_protocol::admin::{ApplyReport, PlanReport, PluginsReport, StatusReport, UndoReport};
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::{ErrorObject, LineDecoder, Message, Response};
use tempfile::TempDir;

/// What a run of the program has left behind.
pub(crate) struct Ran {
    pub(crate) code: u8,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the program in this process.
pub(crate) fn sysconfigctl(socket: &Path, arguments: &[&str]) -> Ran {
    sysconfigctl_at(socket, arguments, false)
}

/// Runs the program in this process; with a person at a terminal, or without.
pub(crate) fn sysconfigctl_at(socket: &Path, arguments: &[&str], is_terminal: bool) -> Ran {
    let socket = socket.to_str().unwrap();
    let fixed = ["sysconfigctl", "--socket", socket];
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let streams = sysconfigctl::Streams { out: &mut out, err: &mut err, is_terminal };
    let exit = sysconfigctl::run(fixed.iter().chain(arguments), streams);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: exit.code(), out: text(out), err: text(err) }
}

/// Runs the program with a standard output that takes nothing; answers the exit status and what was said of it.
pub(crate) fn to_writer(socket: &Path, arguments: &[&str], error: std::io::ErrorKind) -> (u8, String) {
    struct Failing(std::io::ErrorKind);
    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let fixed = ["sysconfigctl", "--socket", socket.to_str().unwrap()];
    let mut err = Vec::new();
    let streams = sysconfigctl::Streams { out: &mut Failing(error), err: &mut err, is_terminal: false };
    let exit = sysconfigctl::run(fixed.iter().chain(arguments), streams);
    (exit.code(), String::from_utf8(err).unwrap())
}

/// Listens on a socket in a directory of its own until it is dropped.
pub(crate) struct Daemon {
    directory: TempDir,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
    connections: Arc<AtomicUsize>,
}

impl Daemon {
    /// A daemon that gives one answer to every request.
    pub(crate) fn start(answer: Result<Value, ErrorObject>) -> Self {
        Self::with_handler(move |stream, requests| answer_all(stream, &answer, requests))
    }

    /// A daemon that takes requests and never answers.
    pub(crate) fn silent() -> Self {
        Self::with_handler(|mut stream, _| drop(stream.read_to_end(&mut Vec::new())))
    }

    /// Refuses the first `crowd` who connect, before they have asked anything, then answers.
    pub(crate) fn crowded(crowd: usize, answer: Value) -> Self {
        let refused = AtomicUsize::new(0);
        Self::with_handler(move |mut stream, requests| {
            if refused.fetch_add(1, Ordering::Relaxed) >= crowd {
                return answer_all(stream, &Ok(answer.clone()), requests);
            }
            let error = ErrorObject::new(code::TOO_MANY_CONNECTIONS, "there are 32 connections already");
            // Who has only looked whether somebody listens is gone.
            let _ = stream.write_all(&Message::Response(Response { id: None, result: Err(error) }).to_line());
        })
    }

    /// Somebody who says this to whoever connects, after one read, and hangs up.
    pub(crate) fn saying(words: &'static [u8]) -> Self {
        Self::with_handler(move |mut stream, _| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(words);
        })
    }

    fn with_handler(handler: impl Fn(UnixStream, &Mutex<Vec<(String, Value)>>) + Send + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("sock")).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&requests);
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                counted.fetch_add(1, Ordering::Relaxed);
                handler(stream.unwrap(), &theirs);
            }
        });
        Self { directory, requests, connections }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("sock")
    }

    /// How often somebody has connected.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Method and parameters of the requests so far.
    pub(crate) fn requests(&self) -> Vec<(String, Value)> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer_all(mut stream: UnixStream, answer: &Result<Value, ErrorObject>, requests: &Mutex<Vec<(String, Value)>>) {
    let mut decoder = LineDecoder::new();
    let mut chunk = [0; 512];
    loop {
        while let Some(line) = decoder.next_line().unwrap() {
            let Message::Request(request) = Message::parse(&line).unwrap() else {
                panic!("a client sends requests only");
            };
            requests.lock().unwrap().push((request.method, request.params));
            let response = Response { id: Some(request.id), result: answer.clone() };
            stream.write_all(&Message::Response(response).to_line()).unwrap();
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(count) => decoder.push(&chunk[..count]),
        }
    }
}

/// The time that the answers below are made for.
pub(crate) const NOW: u64 = 1_800_000_000_000;

pub(crate) fn plugins_report() -> PluginsReport {
    serde_json::from_value(json!({
        "path": ["/repo/sysconfig/target/release"],
        "hot_reload": true,
        "plugins": [
            {
                "name": "dns", "path": "/repo/sysconfig/target/release/sysconfig-plugin-dns",
                "private_copy": "/var/lib/sysconfig/plugins/0123456789ab/sysconfig-plugin-dns",
                "version": "0.1.0", "build_id": "0123456789ab", "state": "running", "pid": 812,
                "claims": ["network.dns"], "configured": true, "since_unix_ms": NOW - 3_000,
                "reload": { "at_unix_ms": NOW - 3_000, "result": "live", "latency_ms": 640, "build_id": "0123456789ab" },
                "restarts": 1,
            },
            {
                "name": "hostname", "path": "/repo/sysconfig/target/release/sysconfig-plugin-hostname",
                "version": "0.1.0", "build_id": "ba9876543210", "state": "running", "pid": 813,
                "claims": ["system.hostname"], "configured": true, "since_unix_ms": NOW - 7_300_000,
                "last_error": "not an executable: its first bytes are neither ELF nor #!",
                "reload": {
                    "at_unix_ms": NOW - 400, "result": "kept", "build_id": "ffffffffffff",
                    "error": "not an executable: its first bytes are neither ELF nor #!",
                },
            },
            {
                "name": "zpool", "path": "/repo/sysconfig/target/release/sysconfig-plugin-zpool",
                "state": "quarantined", "claims": [], "since_unix_ms": NOW - 61_000, "restarts": 5,
                "last_error": "ended by signal 11\nfive times in ten minutes",
                "help": "`sysconfigctl plugin restart zpool` tries again",
            },
        ],
    }))
    .unwrap()
}

pub(crate) fn busy_status() -> StatusReport {
    serde_json::from_value(json!({
        "version": "0.1.0", "pid": 800, "executable": "/usr/lib/sysconfig",
        "started_unix_ms": NOW - 86_400_000,
        "health": "degraded",
        "activity": { "kind": "calling", "plugin": "dns", "method": "apply", "since_unix_ms": NOW - 1_500 },
        "config": {
            "files": ["/etc/sysconfig.toml", "/etc/sysconfig.d/10-dev.toml"],
            "loaded_unix_ms": NOW - 7_200_000,
            "rejected": "/etc/sysconfig.toml:3:1: unknown key plugins.pth",
        },
        "last_cycle": {
            "trigger": "reload of plugin dns", "started_unix_ms": NOW - 2_000, "duration_ms": 41, "applied": true,
            "changed": 2, "already_so": 0, "failed": 1, "pending": 0,
        },
        "plugins": plugins_report().plugins,
        "problems": [
            {
                "subject": "config", "message": "no plugin owns storage.pool", "help": "build the plugin zpool",
                "place": { "file": "/etc/sysconfig.d/10-dev.toml", "line": 7, "column": 3 }, "severity": "error",
            },
            { "subject": "plugin dns", "message": "192.0.2.1 is listed twice", "severity": "warning" },
        ],
    }))
    .unwrap()
}

fn steps() -> Value {
    json!([
        {
            "id": "1", "action": "write", "resource": "/etc/hostname",
            "summary": "keep the host name dev for the next boot", "risk": "safe",
            "changes": [{ "field": "hostname", "from": null, "to": "dev" }],
        },
        {
            "id": "2", "action": "destroy", "resource": "tank/old",
            "summary": "destroy the dataset\u{1b}[2K", "risk": "destructive",
            "changes": [{ "field": "key", "from": "***", "to": null, "sensitive": true }],
        },
    ])
}

pub(crate) fn plan_report() -> PlanReport {
    serde_json::from_value(json!({
        "digest": "4f2d",
        "plugins": [
            { "plugin": "dns", "steps": [], "error": {
                "message": "the resolver's configuration belongs to NetworkManager",
                "help": "configure the name servers there",
            } },
            { "plugin": "hostname", "steps": steps(), "diagnostics": [
                { "key": "system.hostname", "message": "the name is odd", "help": "take another", "severity": "warning" },
            ] },
            { "plugin": "swap", "steps": [] },
        ],
        "problems": [{ "subject": "config", "message": "no plugin owns storage.pool", "severity": "error" }],
    }))
    .unwrap()
}

pub(crate) fn apply_report() -> ApplyReport {
    let steps = steps();
    let refused = json!({ "message": "destructive steps are not allowed" });
    serde_json::from_value(json!({
        "digest": "4f2d", "dry_run": false,
        "plugins": [
            { "plugin": "hostname", "steps": [
                { "step": steps[0], "result": "changed", "duration_ms": 12 },
                { "step": steps[1], "result": "refused", "error": refused },
            ] },
            { "plugin": "dns", "steps": [
                { "step": steps[0], "result": "failed", "duration_ms": 2100, "error": {
                    "message": "cannot replace /etc/resolv.conf: No space left on device",
                    "help": "make room on the file system",
                } },
                { "step": steps[0], "result": "not-run" },
            ], "diagnostics": [{ "key": "", "message": "still to do: ask 192.0.2.1" }] },
            { "plugin": "swap", "steps": [] },
        ],
        "problems": [],
    }))
    .unwrap()
}

pub(crate) fn undo_report() -> UndoReport {
    let steps = steps();
    serde_json::from_value(json!({ "steps": [
        { "plugin": "dns", "undone": { "step": steps[1], "result": "failed", "error": {
            "message": "the plugin is not running", "help": "see to it by hand",
        } } },
        { "plugin": "hostname", "undone": { "step": steps[0], "result": "changed", "duration_ms": 12 } },
    ] }))
    .unwrap()
}
