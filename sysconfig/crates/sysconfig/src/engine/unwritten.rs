//! What memory has and the disk has not: a state directory that is full or read-only does not end the daemon.
//!
//! What must be on the disk first, as the intent of a step, is refused while it cannot be; only an undoing does not wait for it. The
//! rest is told in the status, and written as soon as that works.

use std::time::{Duration, Instant};

use sysconfig_protocol::admin::{Failure, Problem, StepResult};
use sysconfig_protocol::{Digest, Severity, Step};

use super::{Engine, SELF};
use crate::state::journal::Found;
use crate::state::{Damaged, StateError};
use crate::text::chain;

/// Between two tries to write what could not be written.
const PAUSE: Duration = Duration::from_secs(2);

/// A part of the record that is not on the disk as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Key,
    Applied,
    Confirmation,
    Journal,
}

impl Part {
    fn meaning(self) -> &'static str {
        match self {
            Self::Key => "the next daemon will take every part of the configuration for a changed one",
            Self::Applied => "what is in force is not remembered",
            Self::Confirmation => "which changes wait for their confirmation, and which were undone, is not remembered",
            Self::Journal => "what came of steps is not remembered",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Unwritten {
    parts: Vec<(Part, Failure)>,
    /// Results that the journal lacks.
    results: Vec<(u64, StepResult, Option<String>)>,
    /// When that is tried again.
    pub(super) again: Option<Instant>,
}

impl Unwritten {
    fn lacks(&self, part: Part) -> bool {
        self.parts.iter().any(|(other, _)| *other == part)
    }
}

impl Engine {
    /// Takes down whether a part of the record could be written.
    pub(super) fn note_written(&mut self, part: Part, written: Result<(), StateError>) {
        let failed = written.err().map(|error| state_failure(&error));
        let before = self.unwritten.parts.iter().position(|(other, _)| *other == part);
        match (before, failed) {
            (Some(at), None) => {
                self.unwritten.parts.remove(at);
                self.log.info(SELF, "the state that could not be written is on the disk now");
            }
            (Some(at), Some(failure)) => self.unwritten.parts[at].1 = failure,
            (None, Some(failure)) => {
                self.log.error(SELF, format!("{}: {}", part.meaning(), failure.message));
                self.unwritten.parts.push((part, failure));
            }
            (None, None) => (),
        }
        self.unwritten.again = (!self.unwritten.parts.is_empty()).then(|| Instant::now() + PAUSE);
    }

    /// Writes down what came of a step.
    pub(super) fn journal_result(&mut self, sequence: u64, result: StepResult, message: Option<String>) {
        self.unwritten.results.push((sequence, result, message));
        self.write_results();
    }

    /// Writes down that a step is about to be carried out, or taken back; the result needs the number.
    ///
    /// # Errors
    ///
    /// When that cannot be stored. The step must not be carried out then; it may be taken back.
    pub(super) fn journal_intent(
        &mut self,
        plugin: &str,
        plan: &Digest,
        step: &Step,
        undo: bool,
    ) -> Result<u64, Failure> {
        let opened = self.open_journal();
        let sequence = opened.and_then(|()| match undo {
            true => self.journal.undo_intent(plugin, &plan.0, step),
            false => self.journal.intent(plugin, &plan.0, step),
        });
        sequence.map_err(|error| state_failure(&error))
    }

    /// Whether the state may be written. Where another daemon got it first, this one ends, as it would have at its start.
    pub(super) fn hold_state(&mut self) -> Result<(), StateError> {
        if let Err(error) = self.state.ensure() {
            let use_it = |source| StateError::new("use", self.state.directory(), source);
            if !error.is_of_another() {
                return Err(use_it(std::io::Error::other(error)));
            }
            let failed = use_it(std::io::Error::other(chain(&error)));
            self.dispossessed = Some(error);
            self.stop.request();
            return Err(failed);
        }
        for damaged in &mut self.damaged {
            if damaged.keep() {
                self.log.warn(SELF, &*damaged);
            }
        }
        Ok(())
    }

    /// What earlier daemons have left in doubt is told as soon as it can be read.
    fn open_journal(&mut self) -> Result<(), StateError> {
        let opened = self.hold_state().and_then(|()| self.journal.ensure_open());
        if opened.is_err() {
            self.journal.read_closed();
        }
        let Found { in_doubt, unreadable } = self.journal.take_found();
        self.in_doubt.extend(in_doubt);
        if let Some(unreadable) = unreadable {
            self.remember_unreadable(&unreadable);
        }
        opened
    }

    pub(super) fn store_applied(&mut self) {
        let written = self.hold_state().and_then(|()| self.applied.store());
        self.note_written(Part::Applied, written);
    }

    pub(super) fn store_confirmation(&mut self) {
        let written = self.write_confirmation();
        // A new key comes behind what is held because of it: whoever finds no key the next time holds it again.
        let is_keys_turn = written.is_ok();
        self.note_written(Part::Confirmation, written);
        if is_keys_turn {
            self.keep_key();
        }
    }

    pub(super) fn write_confirmation(&mut self) -> Result<(), StateError> {
        self.hold_state()?;
        // A file that makes no sense says as much, and stays where nothing else keeps what it held.
        if self.confirming.state.is_only_lost() && self.damaged.iter().any(Damaged::is_last_confirmation) {
            return Ok(());
        }
        self.damaged.iter_mut().filter(|damaged| damaged.is_last_confirmation()).for_each(Damaged::make_way);
        self.confirming.state.store()?;
        // What lies there from now on is this daemon's.
        let is_lost = self.confirming.state.is_lost;
        self.damaged.retain(|damaged| !damaged.is_last_confirmation() && (is_lost || !damaged.is_of_confirmation()));
        Ok(())
    }

    pub(super) fn keep_key(&mut self) {
        if self.fingerprints.is_new {
            let kept = self.hold_state().and_then(|()| self.fingerprints.keep(self.state.directory()));
            self.note_written(Part::Key, kept);
        }
    }

    pub(super) fn write_results(&mut self) {
        let mut written = self.open_journal();
        while let (Ok(()), Some((sequence, result, message))) = (&written, self.unwritten.results.first().cloned()) {
            written = self.journal.result(sequence, result, message);
            if written.is_ok() {
                self.unwritten.results.remove(0);
            }
        }
        self.note_written(Part::Journal, written);
    }

    /// Writes all of the record again where somebody has removed or replaced it while the daemon runs: a step, and a
    /// confirmation, need one that is found. Of the journal that is what is in doubt.
    pub(super) fn see_to_record(&mut self) {
        if self.journal.is_in_place() && !self.state.is_lost() {
            return;
        }
        let directory = self.state.directory().display();
        self.log.warn(SELF, format!("the record in {directory} was removed or replaced, and is made anew"));
        self.journal.let_go();
        self.state.let_go_of_lost();
        self.fingerprints.is_new = true;
        self.store_confirmation();
        self.store_applied();
        self.write_results();
    }

    /// Removes the private copies that nobody needs; those of a directory that is not this daemon's are not its to judge.
    pub(super) fn collect_copies(&self) {
        if self.state.is_whole() {
            self.store.collect();
        }
    }

    /// Tries again what could not be written, when its time has come.
    pub(super) fn write_when_due(&mut self) {
        if self.unwritten.again.is_none_or(|at| at > Instant::now()) {
            return;
        }
        self.see_to_record();
        for (part, _) in self.unwritten.parts.clone() {
            match part {
                // It comes behind that.
                Part::Key if self.unwritten.lacks(Part::Confirmation) => (),
                Part::Key => self.keep_key(),
                Part::Applied => self.store_applied(),
                Part::Confirmation => self.store_confirmation(),
                Part::Journal => self.write_results(),
            }
        }
    }

    pub(super) fn unwritten_problems(&self) -> impl Iterator<Item = Problem> {
        let problem = |message, help| Problem {
            subject: "state".to_owned(),
            message,
            help,
            place: None,
            severity: Severity::Warning,
        };
        let unread = self.journal.unread().map(|error| {
            let message = format!("whether a step of the daemon before is in doubt is not known: {}", chain(error));
            problem(message, Some("it is read as soon as it can be; until then: sysconfigctl plan".to_owned()))
        });
        let lacking = move |(part, failure): &(Part, Failure)| {
            problem(format!("{}: {}", part.meaning(), failure.message), failure.help.clone())
        };
        self.unwritten.parts.iter().map(lacking).chain(unread)
    }
}

pub(super) fn state_failure(error: &StateError) -> Failure {
    Failure { message: chain(error), help: Some(error.help().to_owned()) }
}
