//! What memory has and the disk has not: a state directory that is full or read-only does not end the daemon.
//!
//! What must be on the disk first, as the intent of a step, is refused while it cannot be. The rest is told in the status, and
//! written as soon as that works.

use std::time::{Duration, Instant};

use sysconfig_protocol::Severity;
use sysconfig_protocol::admin::{Failure, Problem, StepResult};

use super::{Engine, SELF};
use crate::service::instance::prepare_directory;
use crate::state::StateError;

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
        let failed = written.err().map(|error| self.state_failure(&error));
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

    fn write_results(&mut self) {
        let mut written = self.journal.ensure_open();
        if let Some(unreadable) = self.journal.take_unreadable() {
            self.remember_unreadable(&unreadable);
        }
        while let (Ok(()), Some((sequence, result, message))) = (&written, self.unwritten.results.first().cloned()) {
            written = self.journal.result(sequence, result, message);
            if written.is_ok() {
                self.unwritten.results.remove(0);
            }
        }
        self.note_written(Part::Journal, written);
    }

    /// Writes all of the record again where somebody has removed or replaced it while the daemon runs: a step needs one that
    /// is found.
    pub(super) fn see_to_record(&mut self) {
        if self.journal.is_in_place() {
            return;
        }
        let directory = self.state_directory.display();
        self.log.warn(SELF, format!("the record in {directory} was removed or replaced, and is made anew"));
        self.journal.let_go();
        drop(prepare_directory(&self.state_directory));
        self.fingerprints.is_new = true;
        self.store_confirmation();
        let written = self.applied.store();
        self.note_written(Part::Applied, written);
    }

    /// Tries again what could not be written, when its time has come.
    pub(super) fn write_when_due(&mut self) {
        if self.unwritten.again.is_none_or(|at| at > Instant::now()) {
            return;
        }
        // It may not have been there when the daemon began, on a disk that took nothing. What is wrong with it the parts tell.
        if !self.state_directory.is_dir() {
            drop(prepare_directory(&self.state_directory));
        }
        for (part, _) in self.unwritten.parts.clone() {
            match part {
                // It comes behind that.
                Part::Key if self.unwritten.lacks(Part::Confirmation) => (),
                Part::Key => {
                    let written = self.fingerprints.keep(&self.state_directory);
                    self.note_written(part, written);
                }
                Part::Applied => {
                    let written = self.applied.store();
                    self.note_written(part, written);
                }
                Part::Confirmation => self.store_confirmation(),
                Part::Journal => self.write_results(),
            }
        }
    }

    pub(super) fn unwritten_problems(&self) -> impl Iterator<Item = Problem> {
        self.unwritten.parts.iter().map(|(part, failure)| Problem {
            subject: "state".to_owned(),
            message: format!("{}: {}", part.meaning(), failure.message),
            help: failure.help.clone(),
            place: None,
            severity: Severity::Warning,
        })
    }
}
