//! Words and exit statuses. Results go to standard output, everything else to standard error.

use dev_vm::accelerator::ProbeError;
use dev_vm::hypervisor::Hypervisor;
use dev_vm::image::ImageError;
use dev_vm::{
    ControlError, GuestError, LaunchError, Progress, Service, SnapshotInfo, State, StateError, Status, VmName,
};
use miette::{Diagnostic, Report};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use workspace_location::LocationError;

/// The exit statuses; documented in `--help`.
pub(super) mod exit {
    pub(crate) const OK: u8 = 0;
    pub(crate) const FAILED: u8 = 1;
    pub(crate) const NOT_RUNNING: u8 = 3;
    pub(crate) const NO_VM: u8 = 4;
    pub(crate) const NOT_INSTALLED: u8 = 5;
    pub(crate) const NOT_READY: u8 = 6;
    pub(crate) const DIED: u8 = 7;
    pub(crate) const IMAGE_CHANGED: u8 = 8;
    pub(crate) const RUNS_ALREADY: u8 = 9;
    pub(crate) const UNHEALTHY: u8 = 10;
}

/// Says something to the person at the terminal.
pub(super) fn say(message: &str) {
    // Nobody can be told when standard error is gone.
    let _ = writeln!(std::io::stderr(), "{message}");
}

/// Writes a result.
pub(super) fn write_out(text: &str) {
    // A reader that has seen enough, such as `head`, is not a failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Writes a result for programs.
pub(super) fn write_json<T: Serialize>(value: &T) {
    let text = serde_json::to_string_pretty(value).expect("these types have text keys only");
    write_out(&format!("{text}\n"));
}

/// An error on its way to the terminal.
pub(super) struct Failure {
    code: u8,
    /// Raw lines that are shown before the error, each block with a title.
    quoted: Vec<(&'static str, Vec<String>)>,
    error: Report,
}

impl Failure {
    fn new(code: u8, error: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { code, quoted: Vec::new(), error: Report::new(error) }
    }

    pub(super) fn launch(mut error: LaunchError) -> Self {
        let code = launch_code(&error);
        let mut quoted = Vec::new();
        match &mut error {
            LaunchError::Rejected { said, .. } => quoted.push((QEMU, std::mem::take(said))),
            LaunchError::Died { said, console, .. } => {
                quoted.push((CONSOLE, std::mem::take(console)));
                quoted.push((QEMU, std::mem::take(said)));
            }
            LaunchError::NotReady { console, .. } => {
                quoted.push((CONSOLE, std::mem::take(console)));
            }
            _ => {}
        }
        let error = Report::new(error);
        Self { code, quoted, error }
    }

    /// The same, with the exit status that shells give to a process which a signal ended, when one ended the waiting.
    pub(super) fn by_signal(mut self, progress: &StderrProgress) -> Self {
        if let Some(signal) = progress.signal() {
            self.code = 128 + signal;
        }
        self
    }

    pub(super) fn code(&self) -> u8 {
        self.code
    }

    pub(super) fn report(&self) {
        for (title, lines) in &self.quoted {
            if !lines.is_empty() {
                say(&format!("--- {title}:\n{}\n---", lines.join("\n")));
            }
        }
        say(&format!("{:?}", self.error));
    }
}

const CONSOLE: &str = "the last lines of the guest's console";
const QEMU: &str = "the last lines that QEMU wrote";

fn launch_code(error: &LaunchError) -> u8 {
    match error {
        LaunchError::State(error) => state_code(error),
        LaunchError::Image(ImageError::Changed { .. }) => exit::IMAGE_CHANGED,
        LaunchError::Firmware(_) | LaunchError::Probe(ProbeError::NoQemu { .. }) => exit::NOT_INSTALLED,
        LaunchError::Key(error) | LaunchError::Start(error) | LaunchError::Foreign { source: error, .. }
            if error.is_not_found() =>
        {
            exit::NOT_INSTALLED
        }
        LaunchError::Unmet { .. } => exit::NOT_INSTALLED,
        LaunchError::NotReady { .. } => exit::NOT_READY,
        LaunchError::Died { .. } | LaunchError::Rejected { .. } | LaunchError::Bhyve { .. } => exit::DIED,
        LaunchError::AlreadyRunning { .. } => exit::RUNS_ALREADY,
        _ => exit::FAILED,
    }
}

fn state_code(error: &StateError) -> u8 {
    match error {
        StateError::NoVm { .. } => exit::NO_VM,
        StateError::NotRunning { .. } => exit::NOT_RUNNING,
        StateError::Running { .. } => exit::RUNS_ALREADY,
        StateError::SnapshotStale { .. } => exit::IMAGE_CHANGED,
        _ => exit::FAILED,
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Self::new(state_code(&error), error)
    }
}

impl From<LocationError> for Failure {
    fn from(error: LocationError) -> Self {
        Self::new(exit::FAILED, WrongLocation(error))
    }
}

/// What `-d` names is no place for machines.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct WrongLocation(LocationError);

impl Diagnostic for WrongLocation {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.0.help().map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        let code = match &error {
            ControlError::State(error) => state_code(error),
            _ => exit::FAILED,
        };
        Self::new(code, error)
    }
}

impl From<GuestError> for Failure {
    fn from(mut error: GuestError) -> Self {
        let code = match &error {
            GuestError::State(error) => state_code(error),
            GuestError::NotBack { .. } => exit::NOT_READY,
            GuestError::Ssh(error) | GuestError::Gdb(error) if error.is_not_found() => exit::NOT_INSTALLED,
            _ => exit::FAILED,
        };
        let console = match &mut error {
            GuestError::NotBack { console, .. } => std::mem::take(console),
            _ => Vec::new(),
        };
        let mut failure = Self::new(code, error);
        failure.quoted.push((CONSOLE, console));
        failure
    }
}

/// Progress on standard error: one line that counts on a terminal, few lines in a log.
#[derive(Default)]
pub(super) struct StderrProgress {
    shown: Option<Instant>,
    line_open: bool,
    /// From when on there is something to wait for, a signal only ends the waiting. Until then it ends the process.
    signal: Option<Arc<AtomicUsize>>,
}

impl StderrProgress {
    /// The signal that ended the waiting.
    fn signal(&self) -> Option<u8> {
        let signal = self.signal.as_ref()?.load(Ordering::Acquire);
        u8::try_from(signal).ok().filter(|signal| *signal != 0)
    }

    /// Ends the line that counts.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.line_open) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Progress for StderrProgress {
    fn note(&mut self, message: &str) {
        self.end();
        say(message);
    }

    fn waiting(&mut self, elapsed: Duration) -> ControlFlow<()> {
        if self.signal.is_none() {
            self.signal = Some(watch_signals());
            if !std::io::stderr().is_terminal() {
                say("waiting for the guest");
            }
        }
        if self.signal().is_some() {
            return ControlFlow::Break(());
        }
        let terminal = std::io::stderr().is_terminal();
        let pause = Duration::from_secs(if terminal { 1 } else { 30 });
        let shown = *self.shown.get_or_insert_with(Instant::now);
        if shown.elapsed() < pause {
            return ControlFlow::Continue(());
        }
        self.shown = Some(Instant::now());
        if terminal {
            self.line_open = true;
            let _ = write!(std::io::stderr(), "\rwaiting for the guest: {} s", elapsed.as_secs());
        } else {
            say(&format!("still waiting for the guest: {} s", elapsed.as_secs()));
        }
        ControlFlow::Continue(())
    }
}

/// The number of the signal that came, 0 until one comes.
fn watch_signals() -> Arc<AtomicUsize> {
    let came = Arc::new(AtomicUsize::new(0));
    for signal in [SIGINT, SIGTERM] {
        // Where it cannot be watched, the signal ends the process as it always did.
        let _ = flag::register_usize(signal, Arc::clone(&came), usize::try_from(signal).unwrap_or(0));
    }
    came
}

impl Drop for StderrProgress {
    fn drop(&mut self) {
        self.end();
    }
}

/// Tells what is wrong with the guest's services, and where to look; answers the exit status.
pub(super) fn tell_services(services: &[Service]) -> u8 {
    let mut code = exit::OK;
    for service in services.iter().filter(|service| !service.healthy) {
        code = exit::UNHEALTHY;
        let [log, now] = service.commands();
        say(&format!("but the guest's service {} is {}:", service.name, service.state));
        say(&format!("  dev-vm exec -- {log}"));
        say(&format!("  dev-vm exec -- {now}"));
    }
    code
}

/// `status` for people.
pub(super) fn status_text(status: &Status) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    let running = status.state == State::Ready;
    let ready = status.ready_after_seconds.filter(|_| running);
    let ready = ready.map(|s| format!(" (after {s:.1} s)"));
    line("name", status.name.clone());
    line("state", format!("{}{}", status.state.as_str(), ready.unwrap_or_default()));
    if !status.services.is_empty() {
        let word = |service: &Service| format!("{} {}", service.name, service.state);
        let words: Vec<String> = status.services.iter().map(word).collect();
        line("services", format!("{} (when it became ready)", words.join(", ")));
    }
    if let Some(hypervisor) = status.hypervisor.filter(|hypervisor| *hypervisor != Hypervisor::Qemu) {
        line("hypervisor", hypervisor.to_string());
    }
    if let Some(unusual) = status.run_state.as_ref().filter(|state| *state != "running") {
        line("processors", unusual.clone());
    }
    if let Some(pid) = status.pid {
        line("process", pid.to_string());
    }
    if let Some(port) = status.ssh_port {
        line("ssh", format!("root@127.0.0.1 port {port}"));
    }
    line("image", status.image.display().to_string());
    if let Some(change) = &status.image_changed {
        line("", format!("the disk does not fit it any more: {change}"));
    }
    line("machine", format!("{} MiB, {} processors", status.memory_mib, status.cpus));
    if let (Some(accelerator), Some(reason)) = (status.accelerator, &status.accelerator_reason) {
        line("accelerator", format!("{accelerator} ({reason})"));
    }
    let share = status.share.as_ref().map(|share| {
        let mode = if share.writable { "writable" } else { "read-only" };
        format!("{} ({mode})", share.path.display())
    });
    line("share", share.unwrap_or_else(|| "none".to_owned()));
    line("directory", status.directory.display().to_string());
    line("settings", status.private_directory.display().to_string());
    if !status.snapshots.is_empty() {
        line("snapshots", status.snapshots.join(", "));
    }
    text
}

/// A machine in the list: one that cannot be read must not hide the others.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Row {
    Status(Box<Status>),
    Unreadable { name: String, state: &'static str, error: String },
}

impl Row {
    pub(super) fn unreadable(name: &VmName, error: &StateError) -> Self {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            let _ = write!(text, ": {inner}");
            cause = inner.source();
        }
        Self::Unreadable { name: name.to_string(), state: "unreadable", error: text }
    }
}

/// `list` for people.
pub(super) fn list_text(all: &[Row]) -> String {
    let mut text = String::new();
    for row in all {
        let status = match row {
            Row::Status(status) => status,
            Row::Unreadable { name, state, error } => {
                let _ = writeln!(text, "{name:<16} {state} {error}");
                continue;
            }
        };
        let port = status.ssh_port.map_or("-".to_owned(), |port| port.to_string());
        let state = status.state.as_str();
        let image = status.image.display();
        let _ = writeln!(text, "{:<16} {state:<8} {port:>5}  {image}", status.name);
    }
    text
}

/// `snapshot` without a name, for people.
pub(super) fn snapshots_text(all: &[SnapshotInfo]) -> String {
    let mut text = String::new();
    for snapshot in all {
        let mib = snapshot.bytes >> 20;
        let _ = write!(text, "{:<16} {mib:>6} MiB", snapshot.name);
        if let Some(parent) = &snapshot.parent {
            let _ = write!(text, "  on {parent}");
        }
        if let Some(change) = &snapshot.image_changed {
            let _ = write!(text, "  (cannot be restored: {change})");
        }
        text.push('\n');
    }
    text
}
