//! The engine: owns the configuration and the plugins, and does one thing at a time.
//!
//! It runs on the main thread and takes everything that happens from one queue: requests of the admin socket,
//! changed files, words and deaths of plugins, signals. So no two cycles overlap, a plugin is never exchanged in
//! the middle of one, and there is no lock around the machine's state. Whoever must not wait reads the [`Board`].
//!
//! * `queue`: everything that can happen; `latest`: what waits elsewhere until it is asked for;
//! * `commands`: what administrators ask for;
//! * `start`: bringing plugins up, at the beginning and after a fault;
//! * `findings`: what is watched, and what becomes of files that come, change and go;
//! * `exchange`: whether a new process may take the place of old ones, and the change of places;
//! * `cycle`: observe → plan → apply → verify;
//! * `record`: what is taken down of that;
//! * `destruction`: who allows what cannot be brought back;
//! * `confirm`: changes that are undone unless somebody confirms them;
//! * `undo`: taking such a change back; `retry`: when that is tried again;
//! * `held`: parts that stay as they are until somebody asks;
//! * `drift`: looking whether the machine is still as configured;
//! * `events`: what plugins tell each other;
//! * `intake`: limits of what plugins say;
//! * `proposal`: planning for files that are not in force;
//! * `reconfigure`: taking over changed configuration files;
//! * `unwritten`: what memory has and the disk has not;
//! * `report`: what goes onto the board;
//! * `ending`: the end of one process, and of all.

mod backoff;
mod commands;
mod confirm;
mod cycle;
mod destruction;
mod drift;
mod ending;
mod events;
mod exchange;
mod findings;
mod held;
mod intake;
mod latest;
mod managed;
mod order;
mod proposal;
mod queue;
mod reconfigure;
mod record;
mod report;
mod retry;
mod start;
mod undo;
mod unwritten;

pub use queue::{Answer, Command, Event, Reply, Turn, Turns};
pub(crate) use reconfigure::reading_files;
pub(crate) use report::{unowned_problem, within};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use sysconfig_protocol::admin::{Activity, CycleReport, HappeningKind, Problem};
use sysconfig_protocol::{Call, Event as PluginEvent};

use crate::board::Board;
use crate::clock;
use crate::config::{Assignment, Configuration, Fingerprint, Sources};
use crate::discovery::{CopyStore, Finding, FindingKey, Watch};
use crate::log::Log;
use crate::plugin::{CallError, Fault, Launcher, Report, Stop};
use crate::service::instance::InstanceError;
use crate::service::readiness::Readiness;
use crate::service::signals;
use crate::state::applied::Applied;
use crate::state::confirmation::Confirmation;
use crate::state::fingerprint::Fingerprints;
use crate::state::journal::{InDoubt, Journal};
use crate::state::{Damaged, StateError};
use confirm::Confirming;
use events::{EventBook, Subject};
use latest::Latest;
use managed::Managed;
use proposal::Trial;
use reconfigure::Unread;
use unwritten::{Part, Unwritten};

/// What the engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where the configuration is read from.
    pub sources: Sources,
    /// The configuration as it was read.
    pub config: Configuration,
    /// The files as they were before they were read.
    pub config_seen: Fingerprint,
    /// Takes the place of `[plugins] path` when it is not empty.
    pub plugin_path: Vec<PathBuf>,
    /// The state directory.
    pub state_directory: PathBuf,
    /// The log.
    pub log: Log,
    /// The status.
    pub board: Board,
    /// Whom to tell when ready.
    pub readiness: Readiness,
    /// The standard input of plugins; see [`crate::service::instance::await_former_plugins`].
    pub plugin_input: File,
    /// Ends calls in progress when the daemon is to end.
    pub stop: Stop,
    /// The queue's ends.
    pub events: (Sender<Event>, Receiver<Event>),
}

/// The engine cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The store of private copies is not usable.
    #[error("cannot open the store of plugin copies")]
    Store(#[from] InstanceError),
    /// The state is not usable.
    #[error("cannot open the state")]
    State(#[from] StateError),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// See the module.
#[derive(Debug)]
pub struct Engine {
    sources: Sources,
    plugin_path: Vec<PathBuf>,
    config: Configuration,
    /// The files as they were when they were read at the start; the board knows later ones.
    config_seen: Fingerprint,
    config_loaded_unix_ms: u64,
    config_rejected: Option<String>,
    /// The files are being read still, because their file system does not answer.
    config_unread: Option<Unread>,
    state_directory: PathBuf,
    unwritten: Unwritten,
    /// Why the log does not go where it is to go.
    log_trouble: Option<String>,
    /// The steps that were planned for files that say something new, which is not in force.
    proposed_steps: Option<usize>,
    trial: Trial,
    assignment: Assignment,
    plugins: BTreeMap<String, Managed>,
    launcher: Launcher,
    store: Arc<CopyStore>,
    watch: Option<Watch>,
    /// The plugin directories have not answered yet, so nobody knows which plugins there are.
    awaits_first_look: bool,
    fingerprints: Fingerprints,
    applied: Applied,
    journal: Journal,
    in_doubt: Vec<InDoubt>,
    book: EventBook,
    confirming: Confirming,
    /// Problems that stay for the daemon's life.
    lasting_problems: Vec<Problem>,
    /// What of the plugin path cannot be looked at, and why.
    missing_directories: BTreeMap<PathBuf, String>,
    last_cycle: Option<CycleReport>,
    /// Threads that see old processes off.
    farewells: Vec<JoinHandle<()>>,
    log: Log,
    board: Board,
    readiness: Readiness,
    is_ready: bool,
    stop: Stop,
    sender: Sender<Event>,
    events: Receiver<Event>,
    /// What came out of the queue while it was searched for a confirmation.
    backlog: VecDeque<Event>,
    /// What plugins have said and nobody has taken down, by who said it and the topic.
    said: Latest<Subject, PluginEvent>,
    /// What was found and nobody has acted on.
    found: Latest<FindingKey, Finding>,
}

/// The subject of log lines that are about no plugin.
const SELF: &str = "sysconfig";

impl Engine {
    /// Puts the engine together; nothing runs yet.
    ///
    /// # Errors
    ///
    /// When the state directory cannot be used.
    pub fn new(parts: Parts) -> Result<Self, EngineError> {
        let Parts {
            sources,
            config,
            config_seen,
            plugin_path,
            state_directory,
            log,
            board,
            readiness,
            plugin_input,
            stop,
            events,
        } = parts;
        let (sender, receiver) = events;
        let store = Arc::new(CopyStore::open(&state_directory)?);
        let (mut fingerprints, damaged_key) = Fingerprints::load(&state_directory)?;
        let (applied, damaged) = Applied::load(&state_directory)?;
        let (mut confirmation, lost) = Confirmation::load(&state_directory)?;
        let mut unwritten = Vec::new();
        if fingerprints.is_new {
            let held = confirmation.hold_whatever_is_configured();
            // Whoever is interrupted before this finds no key the next time, and holds them again.
            let kept = if held.is_ok() { fingerprints.keep(&state_directory) } else { Ok(()) };
            unwritten.extend([(Part::Confirmation, held), (Part::Key, kept)]);
        }
        let (journal, in_doubt, unreadable) = match Journal::open(&state_directory) {
            Ok(opened) => opened,
            Err(error) => {
                unwritten.push((Part::Journal, Err(error)));
                let (journal, in_doubt) = Journal::closed(&state_directory);
                (journal, in_doubt, None)
            }
        };
        let said = Latest::new();
        let (reports, words) = (sender.clone(), said.clone());
        let reporter = move |report| match report {
            Report::Event { plugin, event } => {
                if words.put((plugin, event.topic.clone()), event) {
                    drop(reports.send(Event::Said));
                }
            }
            Report::Ended { plugin, instance, fault } => drop(reports.send(Event::Ended { plugin, instance, fault })),
        };
        let launcher =
            Launcher::new(log.clone(), plugin_input, stop.clone(), config.settings.plugins.deadlines.stop, reporter);
        let mut engine = Self {
            sources,
            plugin_path,
            config,
            config_seen,
            config_loaded_unix_ms: clock::unix_ms(),
            config_rejected: None,
            config_unread: None,
            state_directory,
            unwritten: Unwritten::default(),
            log_trouble: None,
            proposed_steps: None,
            trial: Trial::default(),
            assignment: Assignment::default(),
            plugins: BTreeMap::new(),
            launcher,
            store,
            watch: None,
            awaits_first_look: true,
            fingerprints,
            applied,
            journal,
            in_doubt,
            book: EventBook::default(),
            confirming: Confirming::new(confirmation),
            lasting_problems: Vec::new(),
            missing_directories: BTreeMap::new(),
            last_cycle: None,
            farewells: Vec::new(),
            log,
            board,
            readiness,
            is_ready: false,
            stop,
            sender,
            events: receiver,
            backlog: VecDeque::new(),
            said,
            found: Latest::new(),
        };
        for (part, written) in unwritten {
            engine.note_written(part, written);
        }
        if lost.as_ref().is_some_and(Damaged::is_kept) {
            engine.store_confirmation();
        }
        for damaged in damaged.into_iter().chain(lost).chain(damaged_key) {
            engine.remember_damage(&damaged);
        }
        if let Some(unreadable) = unreadable {
            engine.remember_unreadable(&unreadable);
        }
        Ok(engine)
    }

    /// Starts everything, does the first cycle, reports readiness, and serves until the daemon is to end.
    ///
    /// # Errors
    ///
    /// When a thread cannot be started.
    pub fn run(mut self) -> Result<(), EngineError> {
        self.reopen_log();
        self.publish_search();
        self.start_watching()?;
        let findings = self.first_findings();
        self.start_all(findings);
        if !self.confirming.is_waiting() {
            self.act_on_news();
        }
        self.store.collect();
        self.is_ready = true;
        self.publish();
        // A service that is stopped while it starts never was ready.
        if !self.stop.is_requested() {
            let status = self.summary();
            self.log.info(SELF, format!("ready: {status}"));
            self.board.note(HappeningKind::Ready, None, &*status);
            self.readiness.ready(&status);
        }
        while !self.stop.is_requested() {
            match self.next_event() {
                Ok(event) => self.handle(event),
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.write_when_due();
            self.see_whether_files_answer();
            self.retry_due();
            self.undo_when_due();
            self.undo_left_when_due();
            self.look_for_drift_when_due();
            if !self.confirming.is_waiting() {
                self.act_on_news();
            }
            self.publish();
        }
        self.shut_down();
        Ok(())
    }

    fn next_event(&mut self) -> Result<Event, RecvTimeoutError> {
        match self.backlog.pop_front() {
            Some(event) => Ok(event),
            // What was said during the last cycle of a round is nobody's turn yet, and no event wakes for it.
            None if !self.confirming.is_waiting() && self.has_news() => self.events.recv_timeout(Duration::ZERO),
            None => self.events.recv_timeout(self.time_to_next_retry()),
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Command(command) => self.obey(command),
            Event::Found => self.take_next_finding(),
            Event::Said => drop(self.take_waiting_events()),
            Event::Ended { plugin, instance, fault } => self.plugin_ended(&plugin, instance, &fault),
            Event::Signal(signals::Request::Reload) => {
                self.log.info(SELF, "SIGHUP: reading the configuration again");
                self.reload_on_signal();
            }
            Event::Signal(signals::Request::ChildEnded) => self.look_for_ended(),
            // The flag that ends the loop was set before the event was sent.
            Event::Signal(signals::Request::Stop) => (),
        }
    }

    /// Sends a request to a running plugin; a fault ends its process.
    fn call<C: Call>(&mut self, name: &str, call: &C, deadline: Duration) -> Result<C::Answer, CallError> {
        let Some(live) = self.plugins.get_mut(name).and_then(|managed| managed.live.as_mut()) else {
            return Err(CallError::Fault(Fault::Ended));
        };
        self.board.set_activity(Activity::Calling {
            plugin: name.to_owned(),
            method: C::METHOD.to_owned(),
            since_unix_ms: clock::unix_ms(),
        });
        self.log.trace(&subject(name), format!("calling {}", C::METHOD));
        let result = live.process.call(call, deadline);
        self.board.set_activity(Activity::Idle);
        if let Err(CallError::Fault(fault)) = &result {
            self.fail(name, fault);
        }
        result
    }

    /// Hands the configuration to its owners anew; needed whenever an owner comes or goes.
    fn reassign(&mut self) {
        self.assignment = crate::config::assign(&self.config.machine, &self.claims());
    }

    /// Every claimed key with its owner.
    fn claims(&self) -> Vec<(String, String)> {
        let owners = self.plugins.iter().filter(|(_, managed)| managed.owns_claims());
        owners.flat_map(|(name, managed)| managed.claims().into_iter().map(|key| (name.clone(), key))).collect()
    }

    /// The plugins that have something to do, in the order in which they do it.
    fn configured_in_order(&self) -> Vec<String> {
        let orders = self.assignment.parts.keys().map(|name| {
            let description = self.plugins.get(name).and_then(|managed| managed.description.as_ref());
            (name.clone(), description.map(|description| description.order.clone()).unwrap_or_default())
        });
        let sorted = order::sort(&orders.collect());
        if !sorted.circle.is_empty() {
            let names = sorted.circle.join(", ");
            self.log.warn(SELF, format!("plugins {names} want to come before each other; they come by name"));
        }
        sorted.names
    }

    /// The names of the plugins that run.
    fn running(&self) -> BTreeSet<String> {
        let live = self.plugins.iter().filter(|(_, managed)| managed.live.is_some());
        live.map(|(name, _)| name.clone()).collect()
    }
}

/// The subject of a plugin's log lines and problems.
fn subject(name: &str) -> String {
    format!("plugin {name}")
}

/// A path as messages show it.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
