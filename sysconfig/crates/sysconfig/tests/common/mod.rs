//! A daemon of one's own: directories, plugins, configuration, and a connection to its admin socket.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod accidents;
pub(crate) mod confirming;
pub(crate) mod hostile;
pub(crate) mod operations;
pub(crate) mod world;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sysconfig_protocol::admin::{
    Apply, ApplyReport, Events, History, Logs, Plan, PlanReport, PluginStatus, Plugins, Status, StatusReport,
};
use sysconfig_protocol::{Call, ErrorObject, Id, MAX_LINE_BYTES, Message, Request};

/// Longer than anything takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Directories of a daemon that is not started yet.
pub(crate) struct Bench {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) state: PathBuf,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let bench = Self { directory: tempfile::tempdir().unwrap(), state: PathBuf::from("state") };
        for name in ["plugins", "deps", "conf.d"] {
            std::fs::create_dir(bench.path(name)).unwrap();
            std::fs::set_permissions(bench.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        bench.configure("");
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The text of a file that plugins write, if there is one.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path(name)).ok()
    }

    /// `test.NAME` for a plugin, which writes `text` into the file NAME.
    pub(crate) fn wants(&self, name: &str, text: &str) -> String {
        format!("[test.{name}]\nfile = \"{}\"\ntext = \"{text}\"\n", self.path(name).display())
    }

    /// Writes the configuration: what every test needs, and the rest.
    pub(crate) fn configure(&self, machine: &str) {
        self.configure_with("", machine);
    }

    /// As `configure`, with further keys in `[plugins]`.
    pub(crate) fn configure_with(&self, plugins: &str, machine: &str) {
        let plugins = format!(
            "[plugins]\npath = \"{}\"\npoll-interval = \"25ms\"\nreload-applies = true\n{plugins}\n",
            self.path("plugins").display()
        );
        let logging = "[logging]\nlevel = \"trace\"\noutput = \"console\"\n";
        // As an editor does it: a daemon that watches the file never sees half of it.
        std::fs::write(self.path("sysconfig.new"), format!("{plugins}{logging}{machine}")).unwrap();
        std::fs::rename(self.path("sysconfig.new"), self.path("sysconfig.toml")).unwrap();
    }

    /// Puts a build of the scripted plugin in place as Cargo does: written elsewhere, unlinked, hard-linked.
    pub(crate) fn install(&self, name: &str, script: &Value) {
        self.install_padded(name, 0, script);
    }

    /// The same with so many bytes more.
    pub(crate) fn install_padded(&self, name: &str, padding: usize, script: &Value) {
        let mut bytes = loaded_part(&scripted_plugin());
        bytes.resize(bytes.len() + padding, 0);
        bytes.extend_from_slice(format!("SCRIPT{script}").as_bytes());
        self.install_bytes(name, &bytes);
    }

    /// The same with a real plugin, which is to act on a simulated machine.
    pub(crate) fn install_simulated(&self, name: &str, machine: &Value) {
        let mut bytes = loaded_part(&example("simulated-plugin"));
        bytes.extend_from_slice(format!("MACHINE{machine}").as_bytes());
        self.install_bytes(name, &bytes);
    }

    pub(crate) fn install_bytes(&self, name: &str, bytes: &[u8]) {
        let dep = self.path(&format!("deps/{name}"));
        drop(std::fs::remove_file(&dep));
        std::fs::write(&dep, bytes).unwrap();
        std::fs::set_permissions(&dep, std::fs::Permissions::from_mode(0o755)).unwrap();
        self.uninstall(name);
        std::fs::hard_link(dep, self.plugin_file(name)).unwrap();
    }

    pub(crate) fn uninstall(&self, name: &str) {
        drop(std::fs::remove_file(self.plugin_file(name)));
    }

    pub(crate) fn plugin_file(&self, name: &str) -> PathBuf {
        self.path(&format!("plugins/sysconfig-plugin-{name}"))
    }

    /// The daemon's command line.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let state = self.state.to_str().unwrap();
        [("config", "sysconfig.toml"), ("config-dir", "conf.d"), ("state-dir", state), ("run-dir", "run")]
            .into_iter()
            .flat_map(|(option, name)| [format!("--{option}"), self.path(name).display().to_string()])
            .chain(["--beside-service".to_owned()])
            .collect()
    }

    pub(crate) fn command(&self) -> Command {
        let log = std::fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = program(Path::new(env!("CARGO_BIN_EXE_sysconfig")));
        command.args(self.arguments()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM");
        command
    }

    /// Starts the daemon without waiting.
    pub(crate) fn spawn(&self) -> Daemon<'_> {
        Daemon { bench: self, child: Some(self.command().spawn().unwrap()) }
    }

    /// Starts the daemon and waits until it is ready.
    pub(crate) fn start(&self) -> Daemon<'_> {
        let ready = || self.log().matches("sysconfig: ready: ").count();
        let before = ready();
        let daemon = self.spawn();
        daemon.wait_for("ready", |_| ready() > before);
        daemon
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The steps that the journal has begun and not ended, by what it shows of them. A line that is cut off counts as
    /// none.
    pub(crate) fn open_steps(&self) -> Vec<String> {
        let mut open = BTreeMap::new();
        for line in self.text("state/journal.jsonl").unwrap_or_default().lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            let sequence = line["sequence"].as_u64().unwrap();
            if line["kind"] == "intent" {
                open.insert(sequence, line["step"]["summary"].as_str().unwrap().to_owned());
            } else {
                open.remove(&sequence);
            }
        }
        open.into_values().collect()
    }

    /// The processes that run from this bench's private copies.
    pub(crate) fn plugin_processes(&self) -> Vec<u32> {
        let state = self.path("state");
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let running = entries.filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let command = std::fs::read(entry.path().join("cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command).into_owned();
            let executable = std::fs::read_link(entry.path().join("exe")).unwrap_or_default();
            (executable.starts_with(&state) || command.contains(&*state.to_string_lossy())).then_some((pid, command))
        });
        // The daemon itself has the directory on its command line.
        running.filter(|(_, command)| !command.contains("--state-dir")).map(|(pid, _)| pid).collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "the tests start the daemon as a service manager would")]
pub(crate) fn program(path: &Path) -> Command {
    Command::new(path)
}

pub(crate) fn scripted_plugin() -> PathBuf {
    example("scripted-plugin")
}

/// The example programs are built beside the test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is built with the tests", path.display());
    path
}

/// An executable without what is there for debuggers, which is most of it and comes last. A daemon reads all of its plugins at
/// each start, and the tests start many.
fn loaded_part(path: &Path) -> Vec<u8> {
    let mut bytes = std::fs::read(path).unwrap();
    let number = |at: usize, length: usize| {
        let mut number = [0; 8];
        number[..length].copy_from_slice(&bytes[at..at + length]);
        usize::try_from(u64::from_le_bytes(number)).unwrap()
    };
    // The places of the fields are those of Elf64_Ehdr and Elf64_Phdr, elf(5).
    let (table, entry, count) = (number(32, 8), number(54, 2), number(56, 2));
    let segments = (0..count).map(|index| table + index * entry);
    let end = segments.map(|segment| number(segment + 8, 8) + number(segment + 32, 8)).max().unwrap();
    bytes.truncate(end);
    // There is no section table any more: e_shoff, e_shnum, e_shstrndx.
    bytes[40..48].fill(0);
    bytes[60..64].fill(0);
    bytes
}

/// A running daemon; killed when dropped.
pub(crate) struct Daemon<'a> {
    pub(crate) bench: &'a Bench,
    pub(crate) child: Option<Child>,
}

impl Daemon<'_> {
    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(self.child.as_ref().unwrap())
    }

    pub(crate) fn log(&self) -> String {
        self.bench.log()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.bench.path("run/sysconfig.sock")
    }

    pub(crate) fn connect(&self) -> UnixStream {
        let give_up = Instant::now() + PATIENCE;
        // The file is there a moment before somebody listens.
        let stream = loop {
            match UnixStream::connect(self.socket()) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused && Instant::now() < give_up => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                connected => break connected.unwrap(),
            }
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends one request over a connection of its own.
    pub(crate) fn request<C: Call>(&self, call: &C) -> Result<C::Answer, ErrorObject> {
        let mut stream = self.connect();
        let params = serde_json::to_value(call).unwrap();
        let request = Request { id: Id::Number(1), method: C::METHOD.to_owned(), params };
        // Who is refused is told so before he has asked; then this fails, and the reason is there to be read.
        let sent = stream.write_all(&Message::Request(request).to_line());
        assert!(sent.as_ref().map_or_else(|error| error.kind() == ErrorKind::BrokenPipe, |()| true), "{sent:?}");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        assert!(line.len() <= MAX_LINE_BYTES, "an answer to {} of {} bytes", C::METHOD, line.len());
        match Message::parse(line.as_bytes()).unwrap() {
            Message::Response(response) => response.result.map(|value| serde_json::from_value(value).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    /// The daemon takes so many connections at once, and sees a while later that one has ended: who is refused asks again.
    fn ask<C: Call>(&self, call: &C) -> C::Answer {
        let give_up = Instant::now() + PATIENCE;
        loop {
            match self.request(call) {
                Err(error) if error.message.ends_with("connections already") && Instant::now() < give_up => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                answer => return answer.unwrap(),
            }
        }
    }

    pub(crate) fn status(&self) -> StatusReport {
        self.ask(&Status {})
    }

    pub(crate) fn plugin(&self, name: &str) -> PluginStatus {
        let status = self.status();
        status.plugins.into_iter().find(|plugin| plugin.name == name).unwrap_or_else(|| panic!("no plugin {name}"))
    }

    pub(crate) fn plan(&self) -> PlanReport {
        self.ask(&Plan {})
    }

    pub(crate) fn apply(&self) -> ApplyReport {
        self.ask(&Apply::default())
    }

    /// Every answer that tells something, as it is sent.
    pub(crate) fn everything_that_is_told(&self) -> String {
        let plan = self.request(&Plan {}).map_or_else(|error| json!(error), |plan| json!(plan));
        let (logs, events) = (Logs { limit: Some(10_000), ..Logs::default() }, Events::default());
        let told = [
            json!(self.status()),
            json!(self.request(&Plugins {}).unwrap()),
            plan,
            json!(self.request(&History { limit: None }).unwrap()),
            json!(self.request(&logs).unwrap()),
            json!(self.request(&events).unwrap()),
        ];
        json!(told).to_string()
    }

    /// The messages of the problems, with their subjects.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.status().problems.into_iter().map(|problem| format!("{}: {}", problem.subject, problem.message)).collect()
    }

    pub(crate) fn wait_for(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let give_up = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(Instant::now() < give_up, "waited in vain for: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn wait_for_plugin(&self, name: &str, what: &str, condition: impl Fn(&PluginStatus) -> bool) {
        self.wait_for(what, |daemon| {
            daemon.status().plugins.iter().any(|plugin| plugin.name == name && condition(plugin))
        });
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().unwrap()?;
        self.child = None;
        Some(status)
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > give_up {
                drop(child.kill());
                panic!("the daemon does not end\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the daemon as a service manager does, and sees that nothing is left of it.
    pub(crate) fn stop(mut self) {
        self.signal(rustix::process::Signal::TERM);
        let status = self.wait();
        assert!(status.success(), "{status}\n{}", self.log());
        assert_eq!(self.bench.plugin_processes(), [0_u32; 0], "no plugin outlives the daemon");
        assert!(!self.socket().exists(), "the socket is gone");
    }

    /// Ends the daemon as nobody should.
    pub(crate) fn kill(mut self) {
        self.signal(rustix::process::Signal::KILL);
        self.wait();
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // TERM first, so that a failing test does not leave plugins behind.
            let _ =
                rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM);
            let give_up = Instant::now() + Duration::from_secs(20);
            while Instant::now() < give_up && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
            drop(child.kill());
            drop(child.wait());
        }
    }
}
