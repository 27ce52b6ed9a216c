//! The log: one line per event, with level and subject.
//!
//! Lines go to standard error, to the system log or to a file; when the daemon runs as a service and logs to the console, warnings
//! and errors also go to the system console, where somebody looks who cannot log in. Multi-line messages (reports
//! with advice) are indented, so that every line that starts in column one is an event.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::OFlags;
use sysconfig_protocol::Level;
use sysconfig_protocol::admin::{LogLine, Logs, LogsReport};
use system_log::SystemLog;

use crate::clock;
use crate::config::{LogOutput, LoggingSettings};
use crate::ring::Ring;
use crate::text::{cut, escaped};

/// Where a service's warnings go besides its log.
pub const SYSTEM_CONSOLE: &str =
    if cfg!(any(target_os = "illumos", target_os = "solaris")) { "/dev/msglog" } else { "/dev/console" };

/// A handle to the log; clones write to the same place.
#[derive(Debug, Clone)]
pub struct Log(Arc<Mutex<State>>);

/// Where lines go.
#[derive(Debug)]
enum Sink {
    StandardError,
    Syslog(SystemLog),
    File(File, PathBuf),
}

#[derive(Debug)]
struct State {
    level: Level,
    sink: Sink,
    /// Whether lines carry the time; the journal adds its own.
    timestamps: bool,
    system_console: Option<PathBuf>,
    /// The last line could not be written to the file.
    is_failing: bool,
    /// A piece of it was, which the next one must not be joined to.
    is_cut: bool,
    /// For whoever cannot read where lines go.
    recent: Ring<LogLine>,
}

/// So many lines are remembered.
const RECENT_LINES: usize = 1000;

/// Longer messages are remembered cut.
const RECENT_LINE_BYTES: usize = 4096;

/// The log file cannot be used; lines go to standard error.
#[derive(Debug, thiserror::Error)]
#[error("cannot open log file {}", path.display())]
pub struct LogError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

impl Log {
    /// A log to standard error at level info.
    ///
    /// `system_console` is where warnings go besides, for a daemon that runs as a service.
    pub fn to_stderr(system_console: Option<&Path>) -> Self {
        let timestamps = !is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref(), std::io::stderr());
        let system_console = system_console.map(Path::to_owned);
        let recent = Ring::new(RECENT_LINES);
        Self(Arc::new(Mutex::new(State {
            level: Level::Info,
            sink: Sink::StandardError,
            timestamps,
            system_console,
            is_failing: false,
            is_cut: false,
            recent,
        })))
    }

    /// Takes over the settings; with the same settings again, opens the file anew.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened. Standard error is used then.
    pub fn configure(&self, settings: &LoggingSettings) -> Result<(), LogError> {
        let opened = match &settings.output {
            LogOutput::Console => Ok(Sink::StandardError),
            LogOutput::Syslog => Ok(Sink::Syslog(SystemLog::open())),
            LogOutput::File(path) => match open(path) {
                Ok(file) => Ok(Sink::File(file, path.clone())),
                Err(source) => Err(LogError { path: path.clone(), source }),
            },
        };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.level = settings.level;
        let (sink, result) = match opened {
            Ok(sink) => (sink, Ok(())),
            Err(error) => (Sink::StandardError, Err(error)),
        };
        state.sink = sink;
        state.is_failing = false;
        result
    }

    /// The last lines.
    pub fn recent(&self, request: &Logs) -> LogsReport {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let subject = request.plugin.as_ref().map(|plugin| format!("plugin {plugin}"));
        let wanted = |line: &LogLine| {
            subject.as_ref().is_none_or(|subject| line.subject == *subject)
                && request.level.is_none_or(|level| line.level <= level)
        };
        let lines = state.recent.select(request.after, request.limit.unwrap_or(RECENT_LINES), wanted);
        LogsReport { lines, last: state.recent.last() }
    }

    /// Whether a line of this level is written.
    pub fn takes(&self, level: Level) -> bool {
        level <= self.0.lock().unwrap_or_else(PoisonError::into_inner).level
    }

    /// Something that was asked for did not happen.
    pub fn error(&self, subject: &str, message: impl Display) {
        self.write(Level::Error, subject, message);
    }

    /// Something is odd and may need a person.
    pub fn warn(&self, subject: &str, message: impl Display) {
        self.write(Level::Warn, subject, message);
    }

    /// What the operator wants to read.
    pub fn info(&self, subject: &str, message: impl Display) {
        self.write(Level::Info, subject, message);
    }

    /// What the developer of a plugin wants to read.
    pub fn debug(&self, subject: &str, message: impl Display) {
        self.write(Level::Debug, subject, message);
    }

    /// Every message and every decision.
    pub fn trace(&self, subject: &str, message: impl Display) {
        self.write(Level::Trace, subject, message);
    }

    /// Writes one event; `subject` is `sysconfig` or `plugin NAME`.
    pub fn write(&self, level: Level, subject: &str, message: impl Display) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if level > state.level {
            return;
        }
        let text = message.to_string();
        state.write(level, subject, &escaped(text.trim_end()));
    }
}

impl State {
    fn write(&mut self, level: Level, subject: &str, text: &str) {
        let at_unix_ms = clock::unix_ms();
        self.recent.push(|number| {
            let (subject, message) = (subject.to_owned(), cut(text, RECENT_LINE_BYTES));
            LogLine { number, at_unix_ms, level, subject, message }
        });
        let text = text.replace('\n', "\n    ");
        let event = format!("{:5} {subject}: {text}\n", level.as_str());
        let stamp = clock::rfc3339(at_unix_ms);
        match &mut self.sink {
            Sink::File(file, path) => {
                let line = format!("{}{stamp} {event}", if self.is_cut { "\n" } else { "" });
                let (written, result) = write_whole(file, line.as_bytes());
                self.is_cut = result.is_err() && (written > 0 || self.is_cut);
                let fails_now = result.is_err() && !self.is_failing;
                self.is_failing = result.is_err();
                if let Err(error) = result {
                    let path = path.display().to_string();
                    self.to_standard_error(level, &stamp, &event);
                    if fails_now {
                        self.write(
                            Level::Error,
                            "log",
                            &format!("cannot write to {path}, so lines go to standard error: {error}"),
                        );
                    }
                }
            }
            Sink::Syslog(log) => log.write(level, &event),
            Sink::StandardError => self.to_standard_error(level, &stamp, &event),
        }
    }

    /// A log that cannot be written here either has nowhere to say so.
    fn to_standard_error(&self, level: Level, stamp: &str, event: &str) {
        let stamp = if self.timestamps { format!("{stamp} ") } else { String::new() };
        drop(std::io::stderr().write_all(format!("{stamp}{event}").as_bytes()));
        if let Some(console) = self.system_console.as_ref().filter(|_| level <= Level::Warn) {
            write_to_console(console, &format!("sysconfig: {event}"));
        }
    }
}

/// Whether a stream goes to the journal. The variable that says so names device and inode of the one that does, because it is
/// inherited, also by whoever writes elsewhere.
fn is_journal(variable: Option<&str>, stream: impl AsFd) -> bool {
    let Some((device, inode)) = variable.and_then(|named| named.split_once(':')) else { return false };
    let is = |number: &str, found: u64| number.parse() == Ok(found);
    rustix::fs::fstat(stream).is_ok_and(|found| is(device, found.st_dev) && is(inode, found.st_ino))
}

/// How much of it could be written; a pipe that is full takes a piece.
fn write_whole(to: &mut impl Write, bytes: &[u8]) -> (usize, std::io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match to.write(&bytes[written..]) {
            Ok(0) => return (written, Err(std::io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => (),
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// Opens a log file, which may be a device or a pipe: nobody who does not read must stop the daemon.
fn open(path: &Path) -> std::io::Result<File> {
    without_waiting().create(true).mode(0o640).open(path).map_err(|error| {
        let is_unread_pipe = error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error());
        if is_unread_pipe { std::io::Error::other("it is a pipe or socket that nobody reads") } else { error }
    })
}

fn without_waiting() -> OpenOptions {
    let flags = i32::try_from((OFlags::NOCTTY | OFlags::NONBLOCK).bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    options.append(true).custom_flags(flags);
    options
}

/// A console may have flow control.
fn write_to_console(console: &Path, line: &str) {
    if let Ok(mut file) = without_waiting().open(console) {
        drop(file.write_all(line.replace('\n', "\r\n").as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_is_important_enough_and_opens_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let settings = LoggingSettings { level: Level::Info, output: LogOutput::File(path.clone()) };
        let log = Log::to_stderr(None);
        log.configure(&settings).unwrap();
        log.info("sysconfig", "one\ntwo");
        log.debug("sysconfig", "not this");
        std::fs::rename(&path, directory.path().join("log.old")).unwrap();
        log.configure(&settings).unwrap();
        log.error("plugin x", "three");
        let old = std::fs::read_to_string(directory.path().join("log.old")).unwrap();
        assert!(old.ends_with("Z info  sysconfig: one\n    two\n"), "{old}");
        assert_eq!(old.lines().count(), 2);
        let new = std::fs::read_to_string(&path).unwrap();
        assert!(new.ends_with("Z error plugin x: three\n"), "{new}");
    }

    /// A reader that is too slow gets a piece of a line.
    #[test]
    fn a_line_that_was_cut_is_not_joined_to_the_next_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        let mut reader = without_waiting().read(true).open(&path).unwrap();
        let log = Log::to_stderr(None);
        log.configure(&LoggingSettings { level: Level::Info, output: LogOutput::File(path) }).unwrap();
        log.info("sysconfig", "x".repeat(1 << 20));
        let mut read = || {
            let (mut bytes, mut piece) = (Vec::new(), vec![0; 1 << 16]);
            while let Ok(more @ 1..) = std::io::Read::read(&mut reader, &mut piece) {
                bytes.extend_from_slice(&piece[..more]);
            }
            String::from_utf8(bytes).unwrap()
        };
        assert!(!read().contains('\n'), "a piece");
        log.info("sysconfig", "next");
        log.info("sysconfig", "and another");
        let lines = read();
        assert!(lines.starts_with('\n') && lines.lines().count() == 3, "{lines:?}");
    }

    #[test]
    fn the_last_lines_can_be_asked_for_by_subject_and_level() {
        let log = Log::to_stderr(None);
        log.info("sysconfig", "one");
        log.warn("plugin x", "two\n");
        log.info("plugin x", "ö".repeat(RECENT_LINE_BYTES));
        log.debug("plugin x", "not important enough");
        let ask = |plugin: Option<&str>, level| {
            let request = Logs { plugin: plugin.map(str::to_owned), level, ..Logs::default() };
            log.recent(&request).lines.into_iter().map(|line| line.message).collect::<Vec<_>>()
        };
        assert_eq!(ask(None, Some(Level::Warn)), ["two"]);
        let of_x = ask(Some("x"), None);
        assert_eq!((of_x.len(), of_x[1].len()), (2, RECENT_LINE_BYTES + "…".len()));
        assert_eq!(log.recent(&Logs { after: 3, ..Logs::default() }), LogsReport { lines: Vec::new(), last: 3 });
    }

    #[test]
    fn what_is_written_is_no_command_for_a_terminal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let log = Log::to_stderr(None);
        log.configure(&LoggingSettings { level: Level::Info, output: LogOutput::File(path.clone()) }).unwrap();
        log.info("plugin x", "\x1b]0;owned\x07\rinfo  sysconfig: fine\n");
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(written.ends_with("plugin x: \\u{1b}]0;owned\\u{7}\\rinfo  sysconfig: fine\n"), "{written}");
        assert!(!log.recent(&Logs::default()).lines[0].message.contains('\x1b'));
    }

    /// The daemon waited for ever, and could not even be told to end.
    #[test]
    fn a_pipe_that_nobody_reads_is_no_log() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        let output = LogOutput::File(path.clone());
        let settings = LoggingSettings { level: Level::Info, output };
        let (sender, receiver) = std::sync::mpsc::channel();
        let log = Log::to_stderr(None);
        let (ours, theirs) = (settings.clone(), log.clone());
        std::thread::spawn(move || sender.send(theirs.configure(&ours)));
        let error = receiver.recv_timeout(std::time::Duration::from_secs(60)).unwrap().unwrap_err();
        assert_eq!(error.source.to_string(), "it is a pipe or socket that nobody reads");
        // One whose reader has seen enough is written as far as that goes.
        let _reader = without_waiting().read(true).open(&path).unwrap();
        log.configure(&settings).unwrap();
        for _ in 0..100 {
            log.info("sysconfig", "x".repeat(20_000));
        }
        let told = log.recent(&Logs { level: Some(Level::Error), ..Logs::default() }).lines;
        assert!(told.iter().any(|line| line.message.contains("cannot write to")), "{told:?}");
    }

    #[test]
    fn a_pipe_whose_reader_has_gone_is_told_and_written_again_for_the_next_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        let reader = without_waiting().read(true).append(false).open(&path).unwrap();
        let log = Log::to_stderr(None);
        log.configure(&LoggingSettings { level: Level::Info, output: LogOutput::File(path.clone()) }).unwrap();
        drop(reader);
        log.info("sysconfig", "for nobody");
        log.info("sysconfig", "nor this");
        let told = log.recent(&Logs { level: Some(Level::Error), ..Logs::default() }).lines;
        assert!(matches!(&*told, [line] if line.message.contains("cannot write to")), "once: {told:?}");
        let mut reader = without_waiting().read(true).append(false).open(&path).unwrap();
        log.info("sysconfig", "for somebody");
        let mut bytes = [0; 4096];
        let count = std::io::Read::read(&mut reader, &mut bytes).unwrap();
        let line = String::from_utf8_lossy(&bytes[..count]);
        assert!(line.ends_with("sysconfig: for somebody\n") && line.lines().count() == 1, "{line}");
    }

    #[test]
    fn a_log_on_a_full_disk_is_told_once_where_somebody_may_see_it() {
        let directory = tempfile::tempdir().unwrap();
        let console = directory.path().join("console");
        File::create(&console).unwrap();
        let log = Log::to_stderr(Some(&console));
        let output = LogOutput::File(PathBuf::from("/dev/full"));
        log.configure(&LoggingSettings { level: Level::Info, output }).unwrap();
        log.warn("sysconfig", "one");
        log.warn("sysconfig", "two");
        let told = std::fs::read_to_string(&console).unwrap();
        assert_eq!(
            told.matches("log: cannot write to /dev/full, so lines go to standard error: ").count(),
            1,
            "{told}"
        );
        assert!(told.contains("sysconfig: one") && told.contains("sysconfig: two"), "{told}");
    }

    /// Lines had no time in the terminal of whoever was in a session of the journal.
    #[test]
    fn a_stream_is_the_journal_only_if_it_is_the_one_that_is_named() {
        use std::os::unix::fs::MetadataExt;
        let stream = tempfile::tempfile().unwrap();
        let metadata = stream.metadata().unwrap();
        let (device, inode) = (metadata.dev(), metadata.ino());
        assert!(is_journal(Some(&format!("{device}:{inode}")), &stream));
        for other in
            [format!("{device}:{}", inode + 1), format!("{}:{inode}", device + 1), "8".to_owned(), String::new()]
        {
            assert!(!is_journal(Some(&other), &stream), "{other}");
        }
        assert!(!is_journal(None, &stream));
    }

    #[test]
    fn warnings_reach_the_system_console() {
        let directory = tempfile::tempdir().unwrap();
        let console = directory.path().join("console");
        File::create(&console).unwrap();
        let log = Log::to_stderr(Some(&console));
        log.info("sysconfig", "quiet");
        log.warn("sysconfig", "loud");
        let written = std::fs::read_to_string(&console).unwrap();
        assert_eq!(written, "sysconfig: warn  sysconfig: loud\r\n");
    }
}
