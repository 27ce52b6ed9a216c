//! What an engine is made of, and what earlier daemons have left for it.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use super::confirm::Confirming;
use super::events::EventBook;
use super::latest::Latest;
use super::proposal::Trial;
use super::unwritten::Unwritten;
use super::{Engine, Event};
use crate::board::Board;
use crate::clock;
use crate::config::{Assignment, Configuration, Fingerprint, Sources};
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
            Self::State(_) | Self::Thread(_) => None,
        }
    }
}

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
            state,
            log,
            board,
            readiness,
            plugin_input,
            stop,
            events,
        } = parts;
        let (sender, receiver) = events;
        let store = Arc::new(CopyStore::open(state.directory())?);
        let (fingerprints, damaged_key) = Fingerprints::load(state.directory())?;
        let (applied, damaged) = Applied::load(state.directory())?;
        let (mut confirmation, lost) = Confirmation::load(state.directory())?;
        let is_any_held = fingerprints.is_new && confirmation.hold_whatever_is_configured();
        let journal = Journal::closed(state.directory());
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
            state,
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
            fingerprints,
            applied,
            journal,
            in_doubt: Vec::new(),
            book: EventBook::default(),
            confirming: Confirming::new(confirmation),
            damaged: damaged.into_iter().chain(lost).chain(damaged_key).collect(),
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
        engine.tell_damage();
        let is_lost_for_good = engine.damaged.iter().any(Damaged::is_not_kept);
        if is_any_held || (engine.confirming.state.is_lost && !is_lost_for_good) {
            engine.store_confirmation();
        } else {
            engine.keep_key();
        }
        engine.write_results();
        Ok(engine)
    }
}
