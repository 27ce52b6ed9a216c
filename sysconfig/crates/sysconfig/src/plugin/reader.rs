//! The thread that reads from a plugin: answers and notifications on its socket, lines on its output.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use sysconfig_protocol::method::{Log as LogLine, Notice, Progress};
use sysconfig_protocol::shape::{self, ShapeError};
use sysconfig_protocol::{
    Event, Level, LineDecoder, MAX_EVENT_BYTES, MAX_EVENT_TOPICS, Message, Notification, Response,
};

use super::output::{PluginLog, PrintedLines};
use super::{Fault, Report};
use crate::text::chain;

/// How long output is still read after the connection ended: a last message, perhaps of a panic. A child of the
/// plugin that keeps the pipe open must not keep the thread.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// As much of it is read, each time at most; that is more than a pipe holds. What prints without end must not keep it either.
const LAST_WORDS_BYTES: usize = 1024 * 1024;

/// As much of the output is read at once.
const CHUNK_BYTES: usize = 4096;

/// Events of one plugin within a second; each can make others work.
const EVENTS_PER_SECOND: u32 = 100;

/// As much of a name that a plugin made up as a message shows.
const SHOWN_CHARS: usize = 40;

pub(super) type Reporter = Arc<dyn Fn(Report) + Send + Sync>;

pub(super) struct Reader {
    pub(super) plugin: String,
    pub(super) instance: u64,
    pub(super) stream: UnixStream,
    pub(super) output: File,
    pub(super) responses: SyncSender<Result<Response, Fault>>,
    pub(super) reporter: Reporter,
    pub(super) log: PluginLog,
    pub(super) events: EventRate,
}

/// Counts the events of the present second, and the topics of all times.
#[derive(Debug)]
pub(super) struct EventRate {
    second_began: Instant,
    count: u32,
    topics: BTreeSet<String>,
}

impl EventRate {
    pub(super) fn new() -> Self {
        Self { second_began: Instant::now(), count: 0, topics: BTreeSet::new() }
    }

    /// Counts one more.
    fn count(&mut self, topic: &str) -> Result<(), Fault> {
        if self.second_began.elapsed() >= Duration::from_secs(1) {
            self.second_began = Instant::now();
            self.count = 0;
        }
        self.count += 1;
        self.topics.insert(topic.to_owned());
        if self.topics.len() > MAX_EVENT_TOPICS {
            return Err(Fault::TooManyTopics { limit: MAX_EVENT_TOPICS });
        }
        if self.count > EVENTS_PER_SECOND { Err(Fault::EventFlood { limit: EVENTS_PER_SECOND }) } else { Ok(()) }
    }
}

/// Which of the two has something to read.
struct Ready {
    stream: bool,
    output: bool,
}

impl Reader {
    pub(super) fn run(mut self) {
        let mut printed = PrintedLines::default();
        let mut output_open = true;
        let read = || self.read_until_fault(&mut printed, &mut output_open);
        // Without this the plugin would count as running, and nobody would read what it says.
        let fault = catch_unwind(AssertUnwindSafe(read)).unwrap_or(Fault::Unread);
        self.read_last_words(&mut printed, &mut output_open, Duration::ZERO);
        // Whoever waits for an answer hears of it first; nobody may be waiting.
        drop(self.responses.try_send(Err(fault.clone())));
        (self.reporter)(Report::Ended { plugin: self.plugin.clone(), instance: self.instance, fault });
        self.read_last_words(&mut printed, &mut output_open, LAST_WORDS);
        printed.flush(|line| self.log.write(Level::Info, line));
        self.log.tell_dropped();
    }

    fn read_until_fault(&mut self, printed: &mut PrintedLines, output_open: &mut bool) -> Fault {
        let mut decoder = LineDecoder::new();
        let mut chunk = [0; 16 * 1024];
        loop {
            let ready = match self.wait(true, *output_open, self.log.next_count()) {
                Ok(ready) => ready,
                Err(errno) => return Fault::Connection(errno.to_string()),
            };
            self.log.tell_dropped_when_due();
            if ready.output {
                *output_open = self.read_output(printed);
            }
            if !ready.stream {
                continue;
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Fault::Ended,
                Ok(count) => decoder.push(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Fault::Ended,
                Err(error) => return Fault::Connection(error.to_string()),
            }
            loop {
                match decoder.next_line() {
                    Ok(None) => break,
                    Ok(Some(line)) => {
                        if let Err(fault) = self.take(&line) {
                            return fault;
                        }
                    }
                    Err(error) => return Fault::LineTooLong { limit: error.limit },
                }
            }
        }
    }

    /// Waits until the socket or the output can be read, or for `limit`.
    fn wait(&self, stream: bool, output: bool, limit: Option<Duration>) -> rustix::io::Result<Ready> {
        let timeout = limit.and_then(|limit| Timespec::try_from(limit).ok());
        loop {
            let mut fds = Vec::with_capacity(2);
            if stream {
                fds.push(PollFd::new(&self.stream, PollFlags::IN));
            }
            if output {
                fds.push(PollFd::new(&self.output, PollFlags::IN));
            }
            match rustix::event::poll(&mut fds, timeout.as_ref()) {
                Ok(_) => (),
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            }
            let mut readable = fds.iter().map(|fd| !fd.revents().is_empty());
            let stream = stream && readable.next().unwrap_or_default();
            return Ok(Ready { stream, output: readable.next().unwrap_or_default() });
        }
    }

    /// Reads what was printed; answers whether more can come.
    fn read_output(&mut self, printed: &mut PrintedLines) -> bool {
        let mut chunk = [0; CHUNK_BYTES];
        match self.output.read(&mut chunk) {
            Ok(0) => false,
            Ok(count) => {
                printed.push(&chunk[..count], |line| self.log.write(Level::Info, line));
                true
            }
            Err(error) => error.kind() == ErrorKind::Interrupted,
        }
    }

    fn read_last_words(&mut self, printed: &mut PrintedLines, output_open: &mut bool, limit: Duration) {
        let end = Instant::now() + limit;
        for _ in 0..LAST_WORDS_BYTES / CHUNK_BYTES {
            if !*output_open {
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.wait(false, true, Some(left)) {
                Ok(Ready { output: true, .. }) => *output_open = self.read_output(printed),
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn take(&mut self, line: &[u8]) -> Result<(), Fault> {
        let garbage = |reason: String| garbage(reason, line);
        match Message::parse(line) {
            Ok(Message::Response(response)) => match self.responses.try_send(Ok(response)) {
                // Nobody listens any more: the process is being stopped.
                Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
                Err(TrySendError::Full(_)) => Err(Fault::Unasked),
            },
            Ok(Message::Notification(notification)) => {
                if notification.method == <Event as Notice>::METHOD {
                    return self.take_event(notification.params, line);
                }
                self.note(notification).map_err(garbage)
            }
            Ok(Message::Request(_)) => Err(garbage("a plugin must not send requests".to_owned())),
            Err(error) => Err(garbage(chain(&error))),
        }
    }

    /// Passes an event on. The daemon remembers the last one of each topic, so their number and size have limits.
    fn take_event(&mut self, params: serde_json::Value, line: &[u8]) -> Result<(), Fault> {
        let mut event: Event =
            shape::from_value(params).map_err(|error| garbage(format!("parameters of event: {error}"), line))?;
        if line.len() >= MAX_EVENT_BYTES {
            return Err(Fault::EventTooLarge { topic: shown(&event.topic), limit: MAX_EVENT_BYTES });
        }
        self.events.count(&event.topic)?;
        event.source = Some(self.plugin.clone());
        (self.reporter)(Report::Event { plugin: self.plugin.clone(), event });
        Ok(())
    }

    fn note(&mut self, notification: Notification) -> Result<(), String> {
        let Notification { method, params } = notification;
        let read_error = |error: ShapeError| format!("parameters of {method}: {error}");
        match method.as_str() {
            LogLine::METHOD => {
                let line: LogLine = shape::from_value(params).map_err(read_error)?;
                self.log.write(line.level, &line.message);
            }
            Progress::METHOD => {
                let progress: Progress = shape::from_value(params).map_err(read_error)?;
                let percent = progress.percent.map(|percent| format!(" ({percent} %)")).unwrap_or_default();
                self.log.write(Level::Debug, &format!("{}{percent}", progress.message));
            }
            other => return Err(format!("no notification is named {:?}", shown(other))),
        }
        Ok(())
    }
}

/// A line that is no message, told without being shown.
fn garbage(reason: String, line: &[u8]) -> Fault {
    let kind = match std::str::from_utf8(line) {
        Ok(text) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => "JSON",
        Ok(text) if !text.chars().any(|char| char.is_control() && char != '\t') => "text",
        _ => "binary data",
    };
    Fault::Garbage { reason, length: line.len(), kind }
}

/// The beginning of a name.
fn shown(name: &str) -> String {
    match name.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel, sync_channel};
    use std::thread::JoinHandle;

    use super::*;
    use crate::log::Log;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A reader at work, what it reports, and where answers come from.
    struct Bench {
        plugin: UnixStream,
        faults: Receiver<Fault>,
        responses: Receiver<Result<Response, Fault>>,
        thread: JoinHandle<()>,
    }

    /// Panics at the first event.
    fn read(output: File) -> Bench {
        let (stream, plugin) = UnixStream::pair().unwrap();
        let (told, faults) = channel();
        let (sender, responses) = sync_channel(4);
        let report = move |report| match report {
            Report::Ended { fault, .. } => told.send(fault).unwrap(),
            Report::Event { .. } => panic!("a fault of the daemon, for the test"),
        };
        let reader = Reader {
            plugin: "x".to_owned(),
            instance: 1,
            stream,
            output,
            responses: sender,
            reporter: Arc::new(report),
            log: PluginLog::new(Log::to_stderr(None), "plugin x".to_owned()),
            events: EventRate::new(),
        };
        Bench { plugin, faults, responses, thread: std::thread::spawn(move || reader.run()) }
    }

    /// Its last words were read to their end, so that nobody heard that it had closed its connection.
    #[test]
    fn a_plugin_that_prints_without_end_ends_when_its_connection_does() {
        let bench = read(File::open("/dev/zero").unwrap());
        drop(bench.plugin);
        assert_eq!(bench.faults.recv_timeout(PATIENCE), Ok(Fault::Ended));
        let give_up = Instant::now() + PATIENCE;
        while !bench.thread.is_finished() {
            assert!(Instant::now() < give_up, "nothing is read for ever");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The plugin counted as running, and nobody read what it said.
    #[test]
    fn a_panic_while_something_is_read_is_told() {
        let mut bench = read(File::open("/dev/null").unwrap());
        let event = "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"topic\":\"x\"}}\n";
        std::io::Write::write_all(&mut bench.plugin, event.as_bytes()).unwrap();
        assert_eq!(bench.faults.recv_timeout(PATIENCE), Ok(Fault::Unread));
        assert!(matches!(bench.responses.recv_timeout(PATIENCE), Ok(Err(Fault::Unread))));
        bench.thread.join().unwrap();
    }
}
