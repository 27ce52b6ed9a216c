//! What an engine is made of, and what earlier daemons have left for it.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use super::confirm::Confirming;
use super::events::{EventBook, Subject};
use super::latest::Latest;
use super::proposal::Trial;
use super::unwritten::Unwritten;
use super::{Engine, Event, PluginEvent};
use crate::board::Board;
use crate::clock;
use crate::config::{Assignment, ConfigErrors, Configuration, Fingerprint, Sources};
use crate::discovery::CopyStore;
use crate::log::Log;
use crate::plugin::{Launcher, Report, Stop};
use crate::service::instance::InstanceError;
use crate::service::lease::StateLease;
use crate::service::readiness::Readiness;
use crate::state::applied::Applied;
use crate::state::confirmation::Confirmation;
use crate::state::fingerprint::Fingerprints;
use crate::state::journal::Journal;
use crate::state::{Damaged, StateError};

/// What the engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where the configuration is read from.
    pub sources: Sources,
    /// The configuration as it was read.
    pub config: Configuration,
    /// The files as they were before they were read.
    pub config_seen: Fingerprint,
    /// Why the configuration stands in for what the files say, where it does.
    pub faults: Option<ConfigErrors>,
    /// Takes the place of `[plugins] path` when it is not empty.
    pub plugin_path: Vec<PathBuf>,
    /// The state directory.
    pub state: StateLease,
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
    /// Another daemon has the state directory, which this one could not lock when it started.
    #[error("the state directory is not this daemon's any more")]
    Dispossessed(#[source] InstanceError),
    /// The state is not usable.
    #[error("cannot open the state")]
    State(#[from] StateError),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

impl EngineError {
    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Store(error) | Self::Dispossessed(error) => error.help(),
            Self::State(error) => Some(error.help()),
            Self::Thread(_) => None,
        }
    }
}

/// What earlier daemons have left in the state directory.
struct Remembered {
    fingerprints: Fingerprints,
    applied: Applied,
    confirmation: Confirmation,
    damaged: Vec<Damaged>,
    /// Parts are held whatever is configured, and their file has to say so before the new key is written.
    is_any_held: bool,
    /// What the file of the confirmation said is lost.
    is_lost: bool,
}

impl Remembered {
    fn read(directory: &Path) -> Result<Self, StateError> {
        let (fingerprints, damaged_key) = Fingerprints::load(directory)?;
        let (applied, damaged) = Applied::load(directory);
        let (mut confirmation, lost) = Confirmation::load(directory);
        let is_any_held = fingerprints.is_new && confirmation.hold_whatever_is_configured();
        let is_lost = lost.is_some();
        let damaged = damaged.into_iter().chain(lost).chain(damaged_key).collect();
        Ok(Self { fingerprints, applied, confirmation, damaged, is_any_held, is_lost })
    }
}

/// Takes what plugins say to the engine, each about the same thing once.
fn reporter(sender: Sender<Event>, said: Latest<Subject, PluginEvent>) -> impl Fn(Report) + Send + Sync + 'static {
    move |report| match report {
        Report::Event { plugin, event } => {
            if said.put((plugin, event.topic.clone()), event) {
                drop(sender.send(Event::Said));
            }
        }
        Report::Ended { plugin, instance, fault } => drop(sender.send(Event::Ended { plugin, instance, fault })),
    }
}

impl Engine {
    /// Puts the engine together; nothing runs yet.
    ///
    /// # Errors
    ///
    /// When the state directory cannot be used.
    pub fn new(mut parts: Parts) -> Result<Self, EngineError> {
        let directory = parts.state.directory();
        let store = Arc::new(CopyStore::open(directory)?);
        let remembered = Remembered::read(directory)?;
        let (is_any_held, is_lost) = (remembered.is_any_held, remembered.is_lost);
        let faults = parts.faults.take();
        let mut engine = Self::assemble(parts, store, remembered);
        engine.take_up(is_any_held, is_lost);
        if let Some(faults) = faults {
            engine.stand_in(&faults);
        }
        Ok(engine)
    }

    fn assemble(parts: Parts, store: Arc<CopyStore>, remembered: Remembered) -> Self {
        let (sender, events) = parts.events;
        let said = Latest::new();
        let grace = parts.config.settings.plugins.deadlines.stop;
        let report = reporter(sender.clone(), said.clone());
        let launcher = Launcher::new(parts.log.clone(), parts.plugin_input, parts.stop.clone(), grace, report);
        Self {
            sources: parts.sources,
            plugin_path: parts.plugin_path,
            config: parts.config,
            config_seen: parts.config_seen,
            config_loaded_unix_ms: clock::unix_ms(),
            config_rejected: None,
            is_stand_in: false,
            config_unread: None,
            journal: Journal::closed(parts.state.directory()),
            state: parts.state,
            dispossessed: None,
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
            fingerprints: remembered.fingerprints,
            applied: remembered.applied,
            in_doubt: Vec::new(),
            book: EventBook::default(),
            confirming: Confirming::new(remembered.confirmation),
            damaged: remembered.damaged,
            lasting_problems: Vec::new(),
            missing_directories: BTreeMap::new(),
            last_cycle: None,
            farewells: Vec::new(),
            log: parts.log,
            board: parts.board,
            readiness: parts.readiness,
            is_ready: false,
            stop: parts.stop,
            sender,
            events,
            backlog: VecDeque::new(),
            said,
            found: Latest::new(),
        }
    }

    /// Tells what earlier daemons have left, and writes down what does not hold any more.
    fn take_up(&mut self, is_any_held: bool, is_lost: bool) {
        self.tell_damage();
        if is_any_held || is_lost {
            self.store_confirmation();
        } else {
            self.keep_key();
        }
        self.write_results();
    }
}
