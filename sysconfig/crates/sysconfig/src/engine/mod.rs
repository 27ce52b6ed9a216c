//! The engine: owns the configuration and the plugins, and does one thing at a time.
//!
//! It runs on the main thread and takes everything that happens from one queue: requests of the admin socket,
//! changed files, words and deaths of plugins, signals. So no two cycles overlap, a plugin is never exchanged in
//! the middle of one, and there is no lock around the machine's state. Whoever must not wait reads the [`Board`].
//!
//! * `start`: bringing plugins up, at the beginning, after a fault, and when a file changed;
//! * `exchange`: whether a new process may take the place of old ones, and the change of places;
//! * `cycle`: observe → plan → apply → verify → record;
//! * `destruction`: who allows what cannot be brought back;
//! * `confirm`: changes that are undone unless somebody confirms them;
//! * `drift`: looking whether the machine is still as configured;
//! * `events`: what plugins tell each other;
//! * `proposal`: planning for files that are not in force;
//! * `reconfigure`: taking over changed configuration files;
//! * `report`: what goes onto the board.

mod backoff;
mod confirm;
mod cycle;
mod destruction;
mod drift;
mod events;
mod exchange;
mod managed;
mod order;
mod proposal;
mod reconfigure;
mod report;
mod start;

pub(crate) use report::{unowned_problem, within};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sysconfig_protocol::admin::{
    Activity, Apply, ApplyReport, ConfirmReport, CycleReport, HappeningKind, Health, PlanReport, PluginStatus, Problem,
    ReloadReport, UndoReport,
};
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::{Call, ErrorObject, Severity};

use crate::board::Board;
use crate::clock;
use crate::config::{Assignment, ConfigWatch, Configuration, Sources};
use crate::discovery::{Attention, CopyStore, Finding, Scanner, Search, System, Watch, watch};
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
use events::EventBook;
use managed::Managed;
use proposal::Trial;

/// Where an answer goes.
pub type Reply<T> = SyncSender<Result<T, ErrorObject>>;

/// What the admin socket asks for, as far as the engine is needed for it.
#[derive(Debug)]
pub enum Command {
    /// Observe and plan.
    Plan(Reply<PlanReport>),
    /// Apply.
    Apply(Apply, Reply<ApplyReport>),
    /// Keep the change that waits for its confirmation.
    Confirm(Reply<ConfirmReport>),
    /// Take it back.
    UndoChange(Reply<UndoReport>),
    /// Read the configuration again.
    Reload(Reply<ReloadReport>),
    /// Stop and start a plugin.
    PluginRestart(String, Reply<PluginStatus>),
}

/// Everything that can happen.
#[derive(Debug)]
pub enum Event {
    /// An administrator asks for something.
    Command(Command),
    /// A plugin file changed.
    Finding(Finding),
    /// A plugin said something, or died.
    Plugin(Report),
    /// A signal came.
    Signal(signals::Request),
}

/// What the engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where the configuration is read from.
    pub sources: Sources,
    /// The configuration as it was read.
    pub config: Configuration,
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
    config_loaded_unix_ms: u64,
    config_rejected: Option<String>,
    /// The steps that were planned for files that say something new, which is not in force.
    proposed_steps: Option<usize>,
    trial: Trial,
    assignment: Assignment,
    plugins: BTreeMap<String, Managed>,
    launcher: Launcher,
    store: Arc<CopyStore>,
    scanner: Option<Scanner>,
    watch: Option<Watch>,
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
    /// What came out of the queue while it was searched for events of plugins.
    backlog: VecDeque<Event>,
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
        let Parts { sources, config, plugin_path, state_directory, log, board, readiness, plugin_input, stop, events } =
            parts;
        let (sender, receiver) = events;
        let store = Arc::new(CopyStore::open(&state_directory)?);
        let (fingerprints, damaged_key) = Fingerprints::load(&state_directory)?;
        let (applied, damaged) = Applied::load(&state_directory)?;
        let (mut confirmation, damaged_confirmation) = Confirmation::load(&state_directory)?;
        if fingerprints.is_new {
            confirmation.hold_whatever_is_configured()?;
            // Whoever is interrupted before this finds no key the next time, and holds them again.
            fingerprints.keep(&state_directory)?;
        }
        let (journal, in_doubt) = Journal::open(&state_directory)?;
        let reports = sender.clone();
        let reporter = move |report| drop(reports.send(Event::Plugin(report)));
        let launcher =
            Launcher::new(log.clone(), plugin_input, stop.clone(), config.settings.plugins.deadlines.stop, reporter);
        let mut engine = Self {
            sources,
            plugin_path,
            config,
            config_loaded_unix_ms: clock::unix_ms(),
            config_rejected: None,
            proposed_steps: None,
            trial: Trial::default(),
            assignment: Assignment::default(),
            plugins: BTreeMap::new(),
            launcher,
            store: store.clone(),
            scanner: None,
            watch: None,
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
        };
        for damaged in damaged.into_iter().chain(damaged_confirmation).chain(damaged_key) {
            engine.remember_damage(&damaged);
        }
        engine.scanner = Some(Scanner::new(engine.search(), System::detect(), store));
        Ok(engine)
    }

    /// Starts everything, does the first cycle, reports readiness, and serves until the daemon is to end.
    ///
    /// # Errors
    ///
    /// When a thread cannot be started.
    pub fn run(mut self) -> Result<(), EngineError> {
        self.publish_search();
        self.start_all();
        if !self.confirming.is_waiting() {
            self.act_on_news();
        }
        self.store.collect();
        self.start_watching()?;
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
            self.retry_due();
            self.undo_when_due();
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
            Event::Finding(finding) => self.take_finding(finding),
            Event::Plugin(Report::Ended { plugin, instance, fault }) => self.plugin_ended(&plugin, instance, &fault),
            Event::Plugin(Report::Event { plugin, event }) => self.note_event(&plugin, event),
            Event::Signal(signals::Request::Reload) => {
                self.log.info(SELF, "SIGHUP: reading the configuration again");
                self.reload_on_signal();
            }
            Event::Signal(signals::Request::ChildEnded) => self.look_for_ended(),
            // The flag that ends the loop was set before the event was sent.
            Event::Signal(signals::Request::Stop) => (),
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Plan(reply) => {
                let report = self.plan();
                self.answer(&reply, Ok(report));
            }
            Command::Apply(request, reply) => {
                let result = self.apply(&request);
                self.answer(&reply, result);
            }
            Command::Confirm(reply) => {
                let result = self.confirm();
                self.answer(&reply, result);
            }
            Command::UndoChange(reply) => {
                let result = self.undo_on_request();
                self.answer(&reply, result);
            }
            Command::Reload(reply) => {
                let result = self.nothing_waits().map(|()| self.reload_config());
                self.answer(&reply, result);
            }
            Command::PluginRestart(name, reply) => {
                let result = self.restart_plugin(&name);
                self.answer(&reply, result);
            }
        }
    }

    /// The board is brought up to date first: whoever has an answer must not read an older status after it.
    fn answer<T>(&self, reply: &Reply<T>, result: Result<T, ErrorObject>) {
        self.publish();
        // A client that went away gets no answer.
        drop(reply.send(result));
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

    fn start_watching(&mut self) -> Result<(), EngineError> {
        let Some(scanner) = self.scanner.take() else { return Ok(()) };
        let sender = self.sender.clone();
        let deliver = move |finding| sender.send(Event::Finding(finding)).is_ok();
        let config = ConfigWatch::new(self.sources.clone());
        self.watch = Some(watch(scanner, config, self.attention(), deliver).map_err(EngineError::Thread)?);
        Ok(())
    }

    fn attention(&self) -> Attention {
        let settings = &self.config.settings;
        Attention {
            search: self.search(),
            plugins: settings.plugins.hot_reload,
            configuration: settings.daemon.watch_configuration,
            interval: settings.plugins.poll_interval,
        }
    }

    fn search(&self) -> Search {
        let settings = &self.config.settings.plugins;
        let path = if self.plugin_path.is_empty() { settings.path.clone() } else { self.plugin_path.clone() };
        Search { path, allow_untrusted_owner: settings.allow_untrusted_owner }
    }

    fn publish_search(&self) {
        let path = self.search().path.iter().map(|path| path.display().to_string()).collect();
        self.board.set_search(path, self.config.settings.plugins.hot_reload);
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

    fn remember_damage(&mut self, damaged: &Damaged) {
        self.log.warn(SELF, damaged);
        self.lasting_problems.push(Problem {
            subject: "state".to_owned(),
            message: damaged.to_string(),
            help: Some("nothing needs to be done: the machine is observed anew".to_owned()),
            place: None,
            severity: Severity::Warning,
        });
    }

    /// Ends every plugin, all at the same time.
    fn shut_down(&mut self) {
        self.log.info(SELF, "stopping");
        self.board.update(|status| status.health = Health::Stopping);
        self.readiness.stopping();
        self.watch = None;
        let grace = self.config.settings.plugins.deadlines.stop;
        let lives: Vec<_> = self.plugins.values_mut().filter_map(|managed| managed.live.take()).collect();
        std::thread::scope(|scope| {
            for live in lives {
                scope.spawn(move || live.process.stop(grace));
            }
        });
        for farewell in self.farewells.drain(..) {
            drop(farewell.join());
        }
        self.refuse_waiting_commands();
        self.log.info(SELF, "stopped");
    }

    fn refuse_waiting_commands(&mut self) {
        fn refuse<T>(reply: &Reply<T>) {
            drop(reply.send(Err(ErrorObject::new(code::STOPPING, "the daemon is stopping"))));
        }
        let backlog = std::mem::take(&mut self.backlog);
        for event in backlog.into_iter().chain(self.events.try_iter()) {
            match event {
                Event::Command(Command::Plan(reply)) => refuse(&reply),
                Event::Command(Command::Apply(_, reply)) => refuse(&reply),
                Event::Command(Command::Confirm(reply)) => refuse(&reply),
                Event::Command(Command::UndoChange(reply)) => refuse(&reply),
                Event::Command(Command::Reload(reply)) => refuse(&reply),
                Event::Command(Command::PluginRestart(_, reply)) => refuse(&reply),
                Event::Finding(_) | Event::Plugin(_) | Event::Signal(_) => (),
            }
        }
    }

    fn time_to_next_retry(&self) -> Duration {
        /// The queue wakes the engine for everything else.
        const IDLE: Duration = Duration::from_secs(3600);
        let times = |managed: &Managed| [managed.retry_at, managed.pace.waits_until];
        let next = self
            .plugins
            .values()
            .flat_map(times)
            .flatten()
            .chain(self.confirming.deadline())
            .chain(self.drift_due())
            .min();
        next.map_or(IDLE, |at| at.saturating_duration_since(Instant::now()))
    }

    /// Sees an old process off, without making anybody wait for it.
    fn dismiss(&mut self, live: managed::Live) {
        let grace = self.config.settings.plugins.deadlines.stop;
        self.farewells.retain(|farewell| !farewell.is_finished());
        let farewell = move || {
            let managed::Live { process, copy } = live;
            process.stop(grace);
            drop(copy);
        };
        // Without a thread, dropping the process kills it, which is ruder and as final.
        if let Ok(thread) = std::thread::Builder::new().name("farewell".to_owned()).spawn(farewell) {
            self.farewells.push(thread);
        }
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
