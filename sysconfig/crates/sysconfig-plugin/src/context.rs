//! What a plugin can tell the daemon while it works.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use sysconfig_protocol::method::{Event, Level, Log, Notice, Progress};
use sysconfig_protocol::{Id, Message, Notification};

/// Where notifications go.
pub(crate) type Sink = Arc<dyn Fn(&Message) + Send + Sync>;

/// The ids of requests whose answer is no longer wanted, shared with the reader thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancellations(Arc<Mutex<Vec<Id>>>);

impl Cancellations {
    pub(crate) fn add(&self, id: Id) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    pub(crate) fn contains(&self, id: &Id) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// Forgets a request that was answered.
    pub(crate) fn remove(&self, id: &Id) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| other != id);
    }
}

/// The connection to the daemon during one request.
pub struct Context {
    sink: Sink,
    deadline: Option<Instant>,
    request: Option<(Id, Cancellations)>,
}

impl fmt::Debug for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Context").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Context {
    pub(crate) fn for_request(sink: Sink, id: Id, cancellations: Cancellations, deadline: Option<Duration>) -> Self {
        let deadline = deadline.and_then(|time| Instant::now().checked_add(time));
        Self { sink, deadline, request: Some((id, cancellations)) }
    }

    /// A context without a daemon: what is said in it is dropped, and nothing has a deadline. For unit tests.
    pub fn detached() -> Self {
        Self { sink: Arc::new(|_| ()), deadline: None, request: None }
    }

    /// Writes a line to the daemon's log, under the plugin's name. Never pass secrets.
    pub fn log(&self, level: Level, message: impl Into<String>) {
        self.notify(&Log { level, message: cut(message.into()) });
    }

    /// Tells how far the request in progress is; `percent` goes from 0 to 100.
    pub fn progress(&self, message: impl Into<String>, percent: Option<u8>) {
        self.notify(&Progress { message: cut(message.into()), percent });
    }

    /// Tells the plugins that subscribed to `topic` what is so now. The daemon remembers the last word on a topic and
    /// tells it to later subscribers too, so `data` is the whole truth about the topic and no difference; saying the
    /// same again does nothing, and `null` takes it back. At most [`sysconfig_protocol::MAX_EVENT_TOPICS`] topics,
    /// and [`sysconfig_protocol::MAX_EVENT_BYTES`] each.
    pub fn emit(&self, topic: impl Into<String>, data: impl Into<Value>) {
        self.notify(&Event { topic: topic.into(), source: None, data: data.into() });
    }

    /// A way to emit events and log lines that outlives the request and may go to another thread, for a plugin that
    /// watches something.
    pub fn emitter(&self) -> Emitter {
        Emitter { sink: self.sink.clone() }
    }

    /// When the daemon gives up waiting for this request; none when it waits as long as it takes. A program that is
    /// started for the request should be given no more time than this.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The time that is left until the deadline; zero when it is over.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Whether the daemon no longer wants the answer. Work that can stop half-way without harm should stop with
    /// [`crate::PluginError::cancelled`]; a step that cannot should go on to its end.
    pub fn is_cancelled(&self) -> bool {
        self.request.as_ref().is_some_and(|(id, cancellations)| cancellations.contains(id))
    }

    fn notify<N: Notice>(&self, notice: &N) {
        notify(&self.sink, notice);
    }
}

/// More of a message the daemon does not show, and one that is longer than a line would end the plugin.
const MESSAGE_BYTES: usize = 64 * 1024;

fn cut(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES {
        message.truncate((0..=MESSAGE_BYTES).rev().find(|end| message.is_char_boundary(*end)).unwrap_or_default());
        message.push('…');
    }
    message
}

fn notify<N: Notice>(sink: &Sink, notice: &N) {
    let params = serde_json::to_value(notice).expect("notices have text keys only, so they always serialise");
    sink(&Message::Notification(Notification { method: N::METHOD.to_owned(), params }));
}

/// Emits events at any time, from any thread; see [`Context::emitter`]. What is said after the daemon is gone is
/// dropped.
#[derive(Clone)]
pub struct Emitter {
    sink: Sink,
}

impl fmt::Debug for Emitter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Emitter").finish_non_exhaustive()
    }
}

impl Emitter {
    /// As [`Context::emit`].
    pub fn emit(&self, topic: impl Into<String>, data: impl Into<Value>) {
        notify(&self.sink, &Event { topic: topic.into(), source: None, data: data.into() });
    }

    /// As [`Context::log`].
    pub fn log(&self, level: Level, message: impl Into<String>) {
        notify(&self.sink, &Log { level, message: cut(message.into()) });
    }
}
