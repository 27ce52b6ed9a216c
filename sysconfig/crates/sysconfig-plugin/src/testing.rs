//! Drives a plugin in tests as the daemon does: over a socket, through the same code as in production.
//!
//! ```no_run
//! # use sysconfig_plugin::testing::Harness;
//! # fn check<P: sysconfig_plugin::Plugin + Send + 'static>(my_plugin: P) {
//! let mut harness = Harness::start(my_plugin);
//! harness.configure(serde_json::json!({ "system.hostname": "dev" }));
//! let first = harness.converge().expect("the plugin applies");
//! assert_eq!(first.steps.len(), 1);
//! assert!(harness.plan().expect("the plugin plans").is_empty(), "the second plan is empty");
//! # }
//! ```

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;
use sysconfig_protocol::method::{
    Apply, Check, ClaimedConfig, Configure, Hello, Log, MakePlan, Notice, Observe, Shutdown, Undo, Validate, Verify,
};
use sysconfig_protocol::{
    Call, Description, Diagnostic, Digest, ErrorObject, Event, Id, LineDecoder, Message, Notification, Outcome,
    ProtocolRange, Request, Step,
};

use crate::plugin::Plugin;
use crate::serve::serve;

/// The deadline that requests carry, in milliseconds.
const DEADLINE_MS: u64 = 60_000;

/// A plugin that says nothing for so long makes the test fail instead of hang.
const SILENCE_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// A plugin that runs on a thread of the test, and the daemon's end of its connection.
///
/// Methods panic when the plugin breaks the protocol: in a test that is the failure. What the plugin *answers*,
/// errors included, is returned.
#[derive(Debug)]
pub struct Harness {
    stream: UnixStream,
    decoder: LineDecoder,
    next_id: u64,
    notifications: Vec<Notification>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What [`Harness::converge`] saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Converged {
    /// The steps in order, with what each of them did.
    pub steps: Vec<(Step, Outcome)>,
    /// What `verify` found afterwards.
    pub diagnostics: Vec<Diagnostic>,
}

/// Serves the daemon that has started this process, whatever the arguments are: for a test program that takes the part of a
/// plugin of another crate.
///
/// # Panics
///
/// When no daemon has started it.
pub fn serve_daemon<P: Plugin>(plugin: P) {
    let stream = inherited_fd::take_unix_stream(sysconfig_protocol::PLUGIN_FD_VARIABLE).expect("the daemon starts it");
    serve(plugin, stream, None).expect("the plugin serves");
}

impl Harness {
    /// Starts the plugin and says hello.
    ///
    /// # Panics
    ///
    /// When the plugin does not answer `hello`.
    pub fn start<P: Plugin + Send + 'static>(plugin: P) -> Self {
        let (stream, theirs) = UnixStream::pair().expect("a socket pair can be made");
        stream.set_read_timeout(Some(SILENCE_LIMIT)).expect("a timeout can be set");
        let thread = std::thread::spawn(move || {
            serve(plugin, theirs, None).expect("the plugin serves");
        });
        let mut harness =
            Self { stream, decoder: LineDecoder::new(), next_id: 0, notifications: Vec::new(), thread: Some(thread) };
        harness.describe();
        harness
    }

    /// Sends one request and waits for its answer.
    ///
    /// # Errors
    ///
    /// What the plugin answers.
    ///
    /// # Panics
    ///
    /// When the plugin breaks the protocol or ends.
    pub fn call<C: Call>(&mut self, call: &C) -> Result<C::Answer, ErrorObject> {
        self.next_id += 1;
        let id = Id::Number(self.next_id);
        let params = serde_json::to_value(call).expect("a call serialises");
        let request = Message::Request(Request { id: id.clone(), method: C::METHOD.to_owned(), params });
        self.stream.write_all(&request.to_line()).expect("the plugin reads");
        loop {
            match self.read_message() {
                Message::Notification(notification) => self.notifications.push(notification),
                Message::Response(response) => {
                    assert_eq!(response.id, Some(id), "the answer belongs to the request");
                    return response
                        .result
                        .map(|value| serde_json::from_value(value).expect("the answer has the method's shape"));
                }
                Message::Request(request) => {
                    panic!("a plugin must not send requests, and sent {request:?}")
                }
            }
        }
    }

    fn read_message(&mut self) -> Message {
        let mut chunk = [0; 4096];
        loop {
            if let Some(line) = self.decoder.next_line().expect("the plugin's lines are short enough") {
                return Message::parse(&line).expect("the plugin speaks JSON-RPC 2.0");
            }
            let count = match self.stream.read(&mut chunk) {
                // With a timeout a read is not taken up again after a signal.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                result => result.expect("the connection can be read"),
            };
            assert_ne!(count, 0, "the plugin ended without an answer");
            self.decoder.push(&chunk[..count]);
        }
    }

    /// What the plugin says about itself.
    ///
    /// # Panics
    ///
    /// When it refuses the daemon's protocol version.
    pub fn describe(&mut self) -> Description {
        let hello = Hello { protocol: ProtocolRange::SUPPORTED, daemon: env!("CARGO_PKG_VERSION").to_owned() };
        self.call(&hello).expect("the plugin answers hello")
    }

    /// Gives the plugin its configuration, a map from claimed key to value.
    ///
    /// # Panics
    ///
    /// When `config` is not a map, or the plugin does not take it.
    pub fn configure(&mut self, config: Value) {
        self.call(&Configure { config: claimed(config) }).expect("configure succeeds");
    }

    /// What the plugin thinks of a configuration.
    ///
    /// # Panics
    ///
    /// When `config` is not a map, or the plugin does not answer with findings.
    pub fn validate(&mut self, config: Value) -> Vec<Diagnostic> {
        self.call(&Validate { config: claimed(config) }).expect("validate succeeds").diagnostics
    }

    /// What in a configuration does not fit the machine.
    ///
    /// # Errors
    ///
    /// What the plugin answers.
    ///
    /// # Panics
    ///
    /// When `config` is not a map.
    pub fn check(&mut self, config: Value) -> Result<Vec<Diagnostic>, ErrorObject> {
        let call = Check { config: claimed(config), deadline_ms: DEADLINE_MS };
        self.call(&call).map(|findings| findings.diagnostics)
    }

    /// The state that the plugin sees.
    ///
    /// # Errors
    ///
    /// What the plugin answers.
    pub fn observe(&mut self) -> Result<Value, ErrorObject> {
        self.call(&Observe { deadline_ms: DEADLINE_MS }).map(|observed| observed.state)
    }

    /// Observes, then plans.
    ///
    /// # Errors
    ///
    /// What the plugin answers.
    pub fn plan(&mut self) -> Result<Vec<Step>, ErrorObject> {
        let state = self.observe()?;
        self.call(&MakePlan { state }).map(|planned| planned.steps)
    }

    /// Carries out one step.
    ///
    /// # Errors
    ///
    /// What the plugin answers.
    pub fn apply(&mut self, step: &Step) -> Result<Outcome, ErrorObject> {
        let call = Apply { plan: digest(), step: step.clone(), deadline_ms: DEADLINE_MS };
        self.call(&call).map(|applied| applied.outcome)
    }

    /// Takes one step back.
    ///
    /// # Errors
    ///
    /// What the plugin answers.
    pub fn undo(&mut self, step: &Step) -> Result<Outcome, ErrorObject> {
        let call = Undo { plan: digest(), step: step.clone(), deadline_ms: DEADLINE_MS };
        self.call(&call).map(|applied| applied.outcome)
    }

    /// Observes, then asks what is not as configured.
    ///
    /// # Errors
    ///
    /// What the plugin answers.
    pub fn verify(&mut self) -> Result<Vec<Diagnostic>, ErrorObject> {
        let state = self.observe()?;
        self.call(&Verify { state }).map(|findings| findings.diagnostics)
    }

    /// The whole cycle: observe, plan, apply every step, verify.
    ///
    /// # Errors
    ///
    /// The plugin's first error.
    pub fn converge(&mut self) -> Result<Converged, ErrorObject> {
        let mut steps = Vec::new();
        for step in self.plan()? {
            let outcome = self.apply(&step)?;
            steps.push((step, outcome));
        }
        Ok(Converged { steps, diagnostics: self.verify()? })
    }

    /// Tells the plugin of an event.
    ///
    /// # Panics
    ///
    /// When the plugin does not acknowledge it.
    pub fn event(&mut self, event: &Event) {
        self.call(event).expect("an event is acknowledged");
    }

    /// The log lines that the plugin has sent with its answers so far.
    pub fn logs(&self) -> Vec<Log> {
        self.notices()
    }

    /// The events that the plugin has emitted with its answers so far.
    pub fn emitted(&self) -> Vec<Event> {
        self.notices()
    }

    fn notices<N: Notice>(&self) -> Vec<N> {
        let of_kind = self.notifications.iter().filter(|notification| notification.method == N::METHOD);
        of_kind.map(|notice| serde_json::from_value(notice.params.clone()).expect("a notice has its shape")).collect()
    }

    /// Goes on with bare lines, to see what is really on the wire.
    pub fn into_wire(self) -> Wire {
        Wire { stream: self.stream, decoder: self.decoder }
    }

    /// Ends the plugin as the daemon does, and waits for it.
    ///
    /// # Panics
    ///
    /// When the plugin does not end well.
    pub fn shutdown(mut self) {
        self.call(&Shutdown {}).expect("shutdown is answered");
        self.thread.take().expect("only shutdown takes the thread").join().expect("the plugin did not panic");
    }
}

/// The connection to a plugin as bare lines; see [`Harness::into_wire`].
#[derive(Debug)]
pub struct Wire {
    stream: UnixStream,
    decoder: LineDecoder,
}

impl Wire {
    /// Sends one line; the newline is added.
    ///
    /// # Panics
    ///
    /// When the plugin is gone.
    pub fn send(&mut self, line: &[u8]) {
        self.stream.write_all(line).and_then(|()| self.stream.write_all(b"\n")).expect("the plugin reads");
    }

    /// The next line, without its newline.
    ///
    /// # Panics
    ///
    /// When the plugin ends instead, or the line is not UTF-8.
    pub fn receive(&mut self) -> String {
        let line = self.next_line().expect("the plugin says something");
        String::from_utf8(line).expect("the plugin speaks UTF-8")
    }

    /// Waits until the plugin closes the connection; answers whether it did so without another word.
    pub fn is_closed(&mut self) -> bool {
        self.next_line().is_none()
    }

    /// Whether nothing comes for a while.
    ///
    /// # Panics
    ///
    /// When the socket cannot be used.
    pub fn stays_silent_for(&mut self, time: std::time::Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).expect("a timeout can be set");
        let mut byte = [0];
        let result = self.stream.read(&mut byte);
        self.stream.set_read_timeout(Some(SILENCE_LIMIT)).expect("a timeout can be set");
        if let Ok(count) = result {
            self.decoder.push(&byte[..count]);
            return false;
        }
        true
    }

    fn next_line(&mut self) -> Option<Vec<u8>> {
        let mut chunk = [0; 4096];
        loop {
            if let Some(line) = self.decoder.next_line().expect("the plugin's lines are short enough") {
                return Some(line);
            }
            match self.stream.read(&mut chunk).expect("the plugin says something or closes") {
                0 => return None,
                count => self.decoder.push(&chunk[..count]),
            }
        }
    }
}

fn claimed(config: Value) -> ClaimedConfig {
    match config {
        Value::Object(map) => map,
        other => panic!("a configuration is a map from claimed key to value, not {other}"),
    }
}

fn digest() -> Digest {
    Digest("0".repeat(64))
}
