//! The example plugin in Python, driven over the real wire: any language will do for a plugin.

use command_fds::{CommandFdExt, FdMapping};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::method::{Apply, Configure, Hello, MakePlan, Observe, Shutdown, Undo, Validate, Verify};
use sysconfig_protocol::{
    Call, Description, Digest, ErrorObject, Event, Id, LineDecoder, Message, Outcome, PLUGIN_FD_VARIABLE,
    ProtocolRange, Request, Severity, Step,
};
use tempfile::TempDir;

const DEADLINE_MS: u64 = 20_000;

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../examples/sysconfig-plugin-motd")
}

/// The plugin as a process, on a root of its own.
struct Plugin {
    root: TempDir,
    stream: UnixStream,
    decoder: LineDecoder,
    child: Child,
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // A test that failed half-way must not leave the process behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Plugin {
    #[expect(clippy::disallowed_methods, reason = "the runner cannot hand a descriptor to a program")]
    fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        let (stream, theirs) = UnixStream::pair().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut command = std::process::Command::new(example());
        command.arg("--root").arg(root.path()).stdin(Stdio::null());
        // The daemon gives a plugin no more than this.
        command.env_clear().env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C");
        command.env(PLUGIN_FD_VARIABLE, "3");
        let mapping = FdMapping { parent_fd: theirs.into(), child_fd: 3 };
        command.fd_mappings(vec![mapping]).unwrap();
        let child = command.spawn().expect("the example needs python3: apt-get install python3");
        Self { root, stream, decoder: LineDecoder::new(), child }
    }

    fn motd(&self) -> PathBuf {
        self.root.path().join("etc/motd")
    }

    fn request(&mut self, method: &str, params: Value) -> Result<Value, ErrorObject> {
        let id = Id::Number(1);
        let request = Request { id: id.clone(), method: method.to_owned(), params };
        self.stream.write_all(&Message::Request(request).to_line()).unwrap();
        self.response(Some(&id))
    }

    fn response(&mut self, id: Option<&Id>) -> Result<Value, ErrorObject> {
        let mut chunk = [0; 4096];
        let line = loop {
            if let Some(line) = self.decoder.next_line().unwrap() {
                break line;
            }
            let count = self.stream.read(&mut chunk).unwrap();
            assert_ne!(count, 0, "the plugin ended without an answer");
            self.decoder.push(&chunk[..count]);
        };
        match Message::parse(&line).unwrap() {
            Message::Response(response) => {
                assert_eq!(response.id.as_ref(), id);
                response.result
            }
            other => panic!("the answer to a request is a response, not {other:?}"),
        }
    }

    fn call<C: Call>(&mut self, call: &C) -> Result<C::Answer, ErrorObject> {
        let value = self.request(C::METHOD, serde_json::to_value(call).unwrap())?;
        Ok(serde_json::from_value(value).expect("the answer has the method's shape"))
    }

    fn configure(&mut self, motd: &str) {
        let config = json!({ "config": { "system.motd": motd } });
        self.call(&serde_json::from_value::<Configure>(config).unwrap()).unwrap();
    }

    fn observe(&mut self) -> Value {
        self.call(&Observe { deadline_ms: DEADLINE_MS }).unwrap().state
    }

    fn plan(&mut self) -> Vec<Step> {
        let state = self.observe();
        self.call(&MakePlan { state }).unwrap().steps
    }

    fn apply(&mut self, step: &Step) -> Outcome {
        let plan = Digest("0".repeat(64));
        let call = Apply { plan, step: step.clone(), deadline_ms: DEADLINE_MS };
        self.call(&call).unwrap().outcome
    }

    fn undo(&mut self, step: &Step) -> Outcome {
        let plan = Digest("0".repeat(64));
        let call = Undo { plan, step: step.clone(), deadline_ms: DEADLINE_MS };
        self.call(&call).unwrap().outcome
    }
}

#[test]
fn it_introduces_itself() {
    let mut plugin = Plugin::start();
    let hello = Hello { protocol: ProtocolRange::SUPPORTED, daemon: "0.1.0".to_owned() };
    let description = plugin.call(&hello).unwrap();
    assert_eq!(description.name, "motd");
    assert_eq!(description.claims[0].key, "system.motd");
    assert!(description.protocol.common_with(ProtocolRange::SUPPORTED).is_some());
    plugin.call(&Shutdown {}).unwrap();
    assert!(plugin.child.wait().unwrap().success());
}

#[test]
fn it_observes_plans_applies_verifies_and_undoes() {
    let mut plugin = Plugin::start();
    plugin.configure("Grüße");
    let steps = plugin.plan();
    assert_eq!(steps.len(), 1);
    assert_eq!(plugin.apply(&steps[0]), Outcome::Changed);
    assert_eq!(fs::read_to_string(plugin.motd()).unwrap(), "Grüße\n");
    assert_eq!(plugin.apply(&steps[0]), Outcome::AlreadySo, "a step is right to repeat");
    assert_eq!(plugin.plan(), [], "the second plan is empty");
    let state = plugin.observe();
    assert_eq!(plugin.call(&Verify { state }).unwrap().diagnostics, []);
    let other = plugin.call(&Verify { state: Value::Null }).unwrap().diagnostics;
    assert_eq!(other.len(), 1, "verify sees a difference");

    assert_eq!(plugin.undo(&steps[0]), Outcome::Changed);
    assert!(!plugin.motd().exists(), "there was no file before");
    fs::write(plugin.motd(), "before\n").unwrap();
    let steps = plugin.plan();
    plugin.apply(&steps[0]);
    plugin.undo(&steps[0]);
    assert_eq!(fs::read_to_string(plugin.motd()).unwrap(), "before\n");
}

#[test]
fn it_finds_faults_and_refuses_on_the_wire() {
    let mut plugin = Plugin::start();
    let mut validate = |config: Value| {
        let call: Validate = serde_json::from_value(json!({ "config": config })).unwrap();
        plugin.call(&call).unwrap().diagnostics
    };
    assert_eq!(validate(json!({ "system.motd": "hello\n" })), []);
    assert_eq!(validate(json!({ "system.motd": "\u{1b}[1mhello" }))[0].severity, Severity::Warning);
    assert!(validate(json!({ "system.motd": 7 }))[0].is_error());

    let error = plugin.call(&MakePlan { state: Value::Null }).unwrap_err();
    assert_eq!(error.code, code::NOT_CONFIGURED);
    let error = plugin.request("dance", json!({})).unwrap_err();
    assert_eq!(error.code, code::METHOD_NOT_FOUND);
    fs::create_dir(plugin.motd()).unwrap();
    let error = plugin.call(&Observe { deadline_ms: DEADLINE_MS }).unwrap_err();
    assert_eq!(error.code, code::FAILED);
    assert!(!error.data.unwrap().causes.is_empty());
    let error = plugin.request("validate", json!({ "x": 1 })).unwrap_err();
    assert_eq!(error.code, code::INVALID_PARAMS);
    for (line, expected) in [("no json\n", code::PARSE_ERROR), ("[]\n", code::INVALID_REQUEST)] {
        plugin.stream.write_all(line.as_bytes()).unwrap();
        assert_eq!(plugin.response(None).unwrap_err().code, expected, "{line}");
    }
    let hello = Hello { protocol: ProtocolRange { min: 7, max: 9 }, daemon: "9.0.0".to_owned() };
    assert_eq!(plugin.call(&hello).unwrap_err().code, code::NO_COMMON_VERSION);
    // It goes on after each of them.
    let event = Event { topic: "x".to_owned(), source: None, data: Value::Null };
    plugin.call(&event).unwrap();
}

#[test]
fn it_ends_with_the_daemon() {
    let mut plugin = Plugin::start();
    plugin.configure("hello");
    plugin.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(plugin.child.wait().unwrap().success());
}

/// A service manager signals daemon and plugins at once. What is in progress is done, and answered.
#[test]
fn it_ends_at_sigterm_and_not_in_the_middle_of_something() {
    let terminate = |plugin: &Plugin| {
        let pid = rustix::process::Pid::from_child(&plugin.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    };
    let mut idle = Plugin::start();
    idle.configure("hello");
    terminate(&idle);
    assert!(idle.child.wait().unwrap().success());

    let mut busy = Plugin::start();
    busy.configure("hello");
    let pipe = busy.motd();
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let params = json!({ "deadline_ms": DEADLINE_MS });
    let request = Request { id: Id::Number(1), method: "observe".to_owned(), params };
    busy.stream.write_all(&Message::Request(request).to_line()).unwrap();
    // Returns when the plugin has opened it for reading, and so is in the middle of the request.
    let mut writing = fs::File::options().write(true).open(&pipe).unwrap();
    terminate(&busy);
    writing.write_all(b"from a pipe").unwrap();
    drop(writing);
    assert_eq!(busy.response(Some(&Id::Number(1))).unwrap(), json!({ "state": "from a pipe" }));
    assert!(busy.child.wait().unwrap().success());
}

#[test]
fn by_hand_it_describes_and_explains_itself() {
    let run = |arguments: &[&str]| process_runner::Command::new(example()).args(arguments).run_any().unwrap();
    let described = run(&["--describe"]);
    let description: Description = serde_json::from_slice(&described.stdout).unwrap();
    assert_eq!(description.name, "motd");
    let explained = run(&[]);
    assert!(!explained.success());
    assert!(explained.stderr_text().contains("SYSCONFIG_PLUGIN_FD"));
}
