//! The engine: owns the configuration and the plugins, and does one thing at a time.
//!
//! It runs on the main thread and takes everything that happens from one queue: requests of the admin socket,
//! changed files, words and deaths of plugins, signals. So no two cycles overlap, a plugin is never exchanged in
//! the middle of one, and there is no lock around the machine's state. Whoever must not wait reads the [`Board`].
//!
//! * `assembly`: what an engine is made of;
//! * `queue`: everything that can happen; `latest`: what waits elsewhere until it is asked for;
//! * `commands`: what administrators ask for;
//! * `start`: bringing plugins up, at the beginning and after a fault; `again`: when that is;
//! * `findings`: what is watched, and what becomes of files that come, change and go;
//! * `exchange`: whether a new process may take the place of old ones, and the change of places;
//! * `cycle`: observe → plan, and what follows; `carry_out`: apply → verify;
//! * `record`: what is taken down of that;
//! * `destruction`: who allows what cannot be brought back;
//! * `confirm`: changes that are undone unless somebody confirms them;
//! * `more`: what such a change turns out to need on its way;
//! * `undo`: taking such a change back; `retry`: when that is tried again;
//! * `held`: parts that stay as they are until somebody asks;
//! * `doubts`: steps of which nobody knows what they did;
//! * `drift`: looking whether the machine is still as configured;
//! * `events`: what plugins tell each other;
//! * `intake`: limits of what plugins say;
//! * `proposal`: planning for files that are not in force;
//! * `reconfigure`: taking over changed configuration files;
//! * `unwritten`: what memory has and the disk has not;
//! * `report`: what goes onto the board;
//! * `ending`: the end of one process, and of all.

mod again;
mod assembly;
mod backoff;
mod carry_out;
mod commands;
mod confirm;
mod cycle;
mod destruction;
mod doubts;
mod drift;
mod ending;
mod events;
mod exchange;
mod findings;
mod held;
mod intake;
mod latest;
mod managed;
mod more;
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

pub use assembly::{EngineError, Parts};
pub(crate) use intake::fitting;
pub use queue::{Answer, Command, Event, Reply, Turn, Turns};
pub(crate) use reconfigure::reading_files;
pub(crate) use report::{unowned_problem, within};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
use crate::plugin::{CallError, Fault, Launcher, Stop};
use crate::service::instance::InstanceError;
use crate::service::lease::StateLease;
use crate::service::readiness::Readiness;
use crate::service::signals;
use crate::state::Damaged;
use crate::state::applied::Applied;
use crate::state::fingerprint::Fingerprints;
use crate::state::journal::{InDoubt, Journal};
use confirm::Confirming;
use events::{EventBook, Subject};
use latest::Latest;
use managed::Managed;
use proposal::Trial;
use reconfigure::Unread;
use unwritten::Unwritten;

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
    /// The files had faults at the start, and nothing of them is in force: the daemon is there to undo a change. What the machine
    /// should look like is not known.
    is_stand_in: bool,
    /// The files are being read still, because their file system does not answer.
    config_unread: Option<Unread>,
    state: StateLease,
    /// Another daemon has taken the state directory, so this one ends.
    dispossessed: Option<InstanceError>,
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
    /// Files of the state that made no sense at the start.
    damaged: Vec<Damaged>,
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
    /// Starts everything, does the first cycle, reports readiness, and serves until the daemon is to end.
    ///
    /// # Errors
    ///
    /// When a thread cannot be started, or another daemon has taken the state directory.
    pub fn run(mut self) -> Result<(), EngineError> {
        self.reopen_log();
        self.publish_search();
        self.start_watching()?;
        let findings = self.first_findings();
        self.start_all(findings);
        if !self.confirming.is_waiting() {
            self.act_on_news();
        }
        self.collect_copies();
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
        self.dispossessed.map_or(Ok(()), |error| Err(EngineError::Dispossessed(error)))
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
        self.pass_on_holds();
        if self.hold_by_keys() {
            self.store_confirmation();
        }
    }

    /// Every claimed key with its owner.
    fn claims(&self) -> Vec<(String, String)> {
        let owners = self.plugins.iter().filter(|(_, managed)| managed.owns_claims());
        owners.flat_map(|(name, managed)| managed.claims().into_iter().map(|key| (name.clone(), key))).collect()
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
