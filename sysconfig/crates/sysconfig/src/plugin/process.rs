//! Starting a plugin, calling it, and making sure that it ends.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::method::{Cancel, Configure, Notice, Shutdown, Validate};
use sysconfig_protocol::{
    Call, ErrorObject, Id, MAX_LINE_BYTES, Message, Notification, PLUGIN_FD_VARIABLE, Request, Response, shape,
};

use super::fault::{CallError, Fault, StartError};
use super::interpreter;
use super::output::PluginLog;
use super::reader::{EventRate, Reader, Reporter};
use crate::log::Log;

/// The descriptor of a plugin's connection in the plugin.
const PLUGIN_FD: i32 = 3;

/// The commands of the system; a plugin gets no other environment than this and its language.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// How soon a wait for a plugin notices that the daemon is to end.
const SLICE: Duration = Duration::from_millis(100);

/// How long a plugin that was told to cancel has for an answer before signals.
const CANCEL_GRACE: Duration = Duration::from_secs(1);

/// How long a process has to end after its connection did, before it is killed.
const END_GRACE: Duration = Duration::from_millis(500);

/// How long a killed process may take to end. One that waits for a device or a server in the kernel ends no sooner than that
/// answers, and nobody is to wait for it.
const KILL_GRACE: Duration = Duration::from_secs(1);

/// Answers that may wait unread; one is awaited at a time.
const RESPONSES: usize = 4;

/// Says that the daemon is to end: calls in progress get only the stop deadline from then on.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks the daemon to end.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the daemon is to end.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Starts plugins, all in the same way.
#[derive(Clone)]
pub struct Launcher {
    log: Log,
    input: Arc<File>,
    reporter: Reporter,
    stop: Stop,
    stop_deadline: Duration,
}

impl fmt::Debug for Launcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Launcher").finish_non_exhaustive()
    }
}

impl Launcher {
    /// `reporter` hears what processes tell unasked, from their threads. `input` is everybody's standard input. Whatever this
    /// process was started with stays its own.
    pub fn new(
        log: Log,
        input: File,
        stop: Stop,
        stop_deadline: Duration,
        reporter: impl Fn(super::Report) + Send + Sync + 'static,
    ) -> Self {
        inherited_fd::close_all_on_exec();
        Self { log, input: Arc::new(input), reporter: Arc::new(reporter), stop, stop_deadline }
    }

    /// Starts `executable` as the plugin `name`.
    ///
    /// # Errors
    ///
    /// When the process, its socket, its pipe or its thread cannot be made.
    pub fn start(&self, name: &str, executable: &Path) -> Result<PluginProcess, StartError> {
        static INSTANCES: AtomicU64 = AtomicU64::new(1);
        let instance = INSTANCES.fetch_add(1, Ordering::Relaxed);
        let error = |source| StartError { path: executable.to_owned(), source };
        let (stream, theirs) = UnixStream::pair().map_err(error)?;
        let (output, printing) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|errno| error(errno.into()))?;
        stream.set_write_timeout(Some(SLICE)).map_err(error)?;
        let reading = stream.try_clone().map_err(error)?;
        let child = spawn(executable, &self.input, OwnedFd::from(theirs), printing)
            .map_err(|source| error(interpreter::explain(executable, source)))?;
        let (sender, responses) = sync_channel(RESPONSES);
        let process = PluginProcess {
            instance,
            pid: Pid::from_child(&child),
            child: Some(child),
            stream,
            responses,
            last_id: 0,
            stop: self.stop.clone(),
            stop_deadline: self.stop_deadline,
        };
        let subject = format!("plugin {name}");
        let reader = Reader {
            plugin: name.to_owned(),
            instance,
            stream: reading,
            output: output.into(),
            responses: sender,
            reporter: self.reporter.clone(),
            log: PluginLog::new(self.log.clone(), subject.clone()),
            events: EventRate::new(),
        };
        std::thread::Builder::new().name(subject).spawn(move || reader.run()).map_err(error)?;
        Ok(process)
    }
}

#[expect(clippy::disallowed_methods, reason = "plugins are started here and nowhere else")]
fn spawn(executable: &Path, input: &File, socket: OwnedFd, printing: OwnedFd) -> std::io::Result<Child> {
    let mut command = Command::new(executable);
    if let Some(name) = executable.file_name() {
        command.arg0(name);
    }
    command.env_clear().env("PATH", PATH).env("LANG", "C").env(PLUGIN_FD_VARIABLE, PLUGIN_FD.to_string());
    command.current_dir("/").process_group(0).stdin(Stdio::from(input.try_clone()?));
    command.stdout(Stdio::from(printing.try_clone()?)).stderr(Stdio::from(printing));
    let mapping = FdMapping { parent_fd: socket, child_fd: PLUGIN_FD };
    command.fd_mappings(vec![mapping]).expect("one mapping cannot collide");
    // A copy that was written a moment ago may still be open for writing in a process that another thread is just
    // starting, between its fork and its exec. That passes by itself.
    let give_up = Instant::now() + Duration::from_secs(1);
    loop {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

/// A running plugin. Dropping it kills it with everything that it started.
#[derive(Debug)]
pub struct PluginProcess {
    instance: u64,
    pid: Pid,
    /// None when it has ended, or nobody waits for that any more.
    child: Option<Child>,
    stream: UnixStream,
    responses: Receiver<Result<Response, Fault>>,
    last_id: u64,
    stop: Stop,
    stop_deadline: Duration,
}

impl PluginProcess {
    /// Tells this process from earlier and later ones of the same plugin.
    pub fn instance(&self) -> u64 {
        self.instance
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_pid().unsigned_abs()
    }

    /// Sends a request and waits for its answer, at most until the deadline.
    ///
    /// After a [`CallError::Fault`] the process is of no further use.
    ///
    /// # Errors
    ///
    /// What the plugin answers, or its fault.
    pub fn call<C: Call>(&mut self, call: &C, deadline: Duration) -> Result<C::Answer, CallError> {
        self.last_id += 1;
        let id = Id::Number(self.last_id);
        let params = serde_json::to_value(call).expect("calls have text keys only, so they serialise");
        let mut limit = Limit::new(deadline, self.stop_deadline);
        let line = Message::Request(Request { id: id.clone(), method: C::METHOD.to_owned(), params }).to_line();
        if line.len() > MAX_LINE_BYTES {
            return Err(CallError::Refused(too_long(C::METHOD, line.len())));
        }
        self.send(&line, &mut limit)?;
        let response = self.await_response(C::METHOD, &id, limit, deadline)?;
        match response.result {
            Ok(value) => shape::from_value(value)
                .map_err(|error| CallError::Fault(Fault::BadAnswer { method: C::METHOD, reason: error.to_string() })),
            Err(object) => Err(CallError::Refused(object)),
        }
    }

    /// Why the process ended, when it has.
    pub fn ending(&mut self) -> Option<Fault> {
        self.ends_within(Duration::ZERO).then(|| self.fault_so_far())
    }

    /// Hands a line over, as long as the call has time.
    fn send(&mut self, line: &[u8], limit: &mut Limit) -> Result<(), Fault> {
        let mut rest = line;
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => (),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => return Err(self.fault_so_far()),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                        if self.ends_within(Duration::ZERO) {
                            return Err(self.fault_so_far());
                        }
                        if limit.left(&self.stop).is_zero() {
                            return Err(Fault::Connection("it does not read its requests".to_owned()));
                        }
                    }
                    _ => return Err(Fault::Connection(error.to_string())),
                },
            }
        }
        Ok(())
    }

    /// Why a process whose connection is closed closed it: the reader may have found worse than an end.
    fn fault_so_far(&self) -> Fault {
        match self.responses.recv_timeout(Duration::from_millis(100)) {
            Ok(Err(fault)) => fault,
            Ok(Ok(_)) | Err(_) => Fault::Ended,
        }
    }

    /// Waits for the answer, then for what the plugin says when it is told to cancel. `deadline` is what it was given.
    fn await_response(
        &mut self,
        method: &'static str,
        id: &Id,
        mut limit: Limit,
        deadline: Duration,
    ) -> Result<Response, Fault> {
        let mut is_cancelled = false;
        loop {
            let is_late = |limit: &mut Limit, stop: &Stop| limit.left(stop).is_zero();
            match self.responses.recv_timeout(limit.left(&self.stop).min(SLICE)) {
                Ok(Ok(response)) if response.id.as_ref() == Some(id) => return Ok(response),
                Ok(Ok(response)) => return Err(wrong_id(response, id)),
                Ok(Err(fault)) => return Err(fault),
                Err(RecvTimeoutError::Disconnected) => return Err(Fault::Ended),
                Err(RecvTimeoutError::Timeout) if !is_late(&mut limit, &self.stop) => {
                    if self.ends_within(Duration::ZERO) {
                        // What it said before it ended may still be on its way.
                        return self.last_word(id);
                    }
                }
                Err(RecvTimeoutError::Timeout) if is_cancelled => return Err(Fault::Late { method, after: deadline }),
                Err(RecvTimeoutError::Timeout) => {
                    is_cancelled = true;
                    limit = Limit::new(CANCEL_GRACE, CANCEL_GRACE);
                    let params = serde_json::to_value(Cancel { id: id.clone() });
                    let params = params.expect("a cancellation has text keys only, so it serialises");
                    let cancel = Notification { method: Cancel::METHOD.to_owned(), params };
                    self.send(&Message::Notification(cancel).to_line(), &mut limit)?;
                }
            }
        }
    }

    /// The answer of a process that has ended, or why there is none.
    fn last_word(&mut self, id: &Id) -> Result<Response, Fault> {
        match self.responses.recv_timeout(END_GRACE) {
            Ok(Ok(response)) if response.id.as_ref() == Some(id) => Ok(response),
            Ok(Ok(response)) => Err(wrong_id(response, id)),
            Ok(Err(fault)) => Err(fault),
            Err(_) => Err(Fault::Ended),
        }
    }

    /// Lets the plugin end by itself, then with SIGTERM, then with SIGKILL; each way has `grace`.
    pub fn stop(mut self, grace: Duration) {
        // Whatever the answer is: what counts is that the process ends.
        drop(self.call(&Shutdown {}, grace));
        drop(self.stream.shutdown(std::net::Shutdown::Both));
        if !self.ends_within(grace) {
            self.signal(Signal::TERM);
            self.ends_within(grace);
        }
        self.finish();
    }

    /// Ends a plugin after a fault, and says how it ended when it did so by itself.
    pub fn end_after_fault(mut self) -> Option<String> {
        drop(self.stream.shutdown(std::net::Shutdown::Both));
        let by_itself = self.ends_within(END_GRACE);
        if !by_itself {
            self.signal(Signal::TERM);
            self.ends_within(END_GRACE);
        }
        let status = self.finish();
        status.filter(|_| by_itself).map(describe)
    }

    /// Whether the process ends within the time. It is not reaped yet: its id must stay its own until the whole
    /// group was killed.
    fn ends_within(&self, limit: Duration) -> bool {
        let give_up = Instant::now() + limit;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        loop {
            if !matches!(rustix::process::waitid(WaitId::Pid(self.group()), options), Ok(None)) {
                return true;
            }
            if Instant::now() >= give_up {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills what is left of the process and its children, and reaps it. One that does not end even so is left to a thread
    /// that waits for nothing else.
    fn finish(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        self.signal(Signal::KILL);
        if self.ends_within(KILL_GRACE) {
            return child.wait().ok();
        }
        // Without a thread it stays a zombie until the daemon ends.
        drop(std::thread::Builder::new().name("reaper".to_owned()).spawn(move || drop(child.wait())));
        None
    }

    /// Signals the process with everything that it started, also where it has left its group. It is not reaped yet, so its id
    /// is its own.
    fn signal(&self, signal: Signal) {
        // The only failure is that none of it is left.
        let _ = rustix::process::kill_process_group(self.group(), signal);
        if rustix::process::getpgid(Some(self.pid)) != Ok(self.group()) {
            let _ = rustix::process::kill_process(self.pid, signal);
        }
    }

    fn group(&self) -> Pid {
        self.pid
    }
}

impl Drop for PluginProcess {
    fn drop(&mut self) {
        self.finish();
    }
}

/// How long a call may take; less when the daemon is told to end meanwhile.
struct Limit {
    give_up: Instant,
    /// How long from then on.
    hurry: Duration,
    is_hurried: bool,
}

impl Limit {
    fn new(deadline: Duration, hurry: Duration) -> Self {
        Self { give_up: Instant::now() + deadline, hurry, is_hurried: false }
    }

    /// How long it may still take.
    fn left(&mut self, stop: &Stop) -> Duration {
        let now = Instant::now();
        if !self.is_hurried && stop.is_requested() {
            self.is_hurried = true;
            self.give_up = self.give_up.min(now + self.hurry);
        }
        self.give_up.saturating_duration_since(now)
    }
}

/// What a plugin would have to end of is not sent to it: its part of the configuration, or what it has seen itself.
fn too_long(method: &str, bytes: usize) -> ErrorObject {
    let message =
        format!("the request is longer than a line of the protocol may be: {bytes} of {MAX_LINE_BYTES} bytes");
    let help = match [Configure::METHOD, Validate::METHOD].contains(&method) {
        true => "shorten what the configuration says to this plugin",
        false => "the plugin sees more on this machine than it may answer: tell its author",
    };
    ErrorObject::new(code::FAILED, message).help(help)
}

fn wrong_id(response: Response, expected: &Id) -> Fault {
    let text = |id: &Id| match id {
        Id::Number(number) => number.to_string(),
        // The daemon gives numbers; a text is the plugin's own, and may be anything.
        Id::Text(text) => format!("\"…\" of {} bytes", text.len()),
    };
    match (response.id, response.result) {
        (Some(found), _) => Fault::WrongId { found: text(&found), expected: text(expected) },
        (None, Err(error)) => Fault::Connection(format!("it could not read a request: {}", error.chain())),
        (None, Ok(_)) => Fault::WrongId { found: "null".to_owned(), expected: text(expected) },
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}
