//! `journal.jsonl`: what was about to be done, and what came of it.
//!
//! A line is written and synced before a step is given to a plugin, and another after its answer. A step with the
//! first line and not the second is *in doubt*: the daemon or the machine stopped in between. Nothing is repeated
//! from the journal; the daemon observes, and the journal says what to look at.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sysconfig_protocol::Step;
use sysconfig_protocol::admin::{PastStep, StepResult};

use super::{StateError, sync_directory};
use crate::clock;

/// Size from which the journal is started anew; the one before is kept.
const ROTATE_BYTES: u64 = 1024 * 1024;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
enum Line {
    /// A step is about to be carried out.
    Intent {
        /// Counts the steps of the journal.
        sequence: u64,
        at_unix_ms: u64,
        plugin: String,
        plan: String,
        /// Whether it is about to be taken back instead.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        undo: bool,
        /// Redacted.
        step: Box<Step>,
    },
    /// The step was answered.
    Result { sequence: u64, at_unix_ms: u64, result: StepResult, error: Option<String> },
}

/// A step of which nobody knows what it did.
#[derive(Debug, Clone, PartialEq)]
pub struct InDoubt {
    /// Its number in the journal; none when the journal does not hold it open any more.
    pub sequence: Option<u64>,
    /// The plugin that was to carry it out.
    pub plugin: String,
    /// Whether it was to be taken back.
    pub undo: bool,
    /// The step, redacted.
    pub step: Step,
    /// When it was begun.
    pub at_unix_ms: u64,
    /// Whether an earlier daemon began it, so that nobody was there to tell it.
    pub is_inherited: bool,
}

/// The journal, open for appending.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    next_sequence: u64,
}

impl Journal {
    /// Opens the journal of the directory, and tells which steps are in doubt.
    ///
    /// A line that was cut off by a crash is ended, so that the next one is whole; it says nothing, because only a
    /// complete intent is followed by a step.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub fn open(directory: &Path) -> Result<(Self, Vec<InDoubt>), StateError> {
        let path = directory.join("journal.jsonl");
        let error = |source| StateError::new("open", &path, source);
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path).map_err(error)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(error)?;
        if bytes.last().is_some_and(|byte| *byte != b'\n') {
            file.write_all(b"\n").map_err(error)?;
        }
        let (in_doubt, last_sequence) = replay(&bytes);
        // Also when whoever made the file was killed before this.
        if bytes.is_empty() {
            sync_directory(&path).map_err(error)?;
        }
        Ok((Self { path, file, next_sequence: last_sequence + 1 }, in_doubt))
    }

    /// Records that a step is about to be carried out; the answer's [`Journal::result`] needs the returned number.
    ///
    /// # Errors
    ///
    /// When it cannot be stored. The step must not be carried out then.
    pub fn intent(&mut self, plugin: &str, plan: &str, step: &Step) -> Result<u64, StateError> {
        self.begin(plugin, plan, step, false)
    }

    /// Records that a step is about to be taken back; otherwise as [`Journal::intent`].
    ///
    /// # Errors
    ///
    /// When it cannot be stored. The step must not be taken back then.
    pub fn undo_intent(&mut self, plugin: &str, plan: &str, step: &Step) -> Result<u64, StateError> {
        self.begin(plugin, plan, step, true)
    }

    fn begin(&mut self, plugin: &str, plan: &str, step: &Step, undo: bool) -> Result<u64, StateError> {
        self.rotate_when_large()?;
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let (plugin, plan, step) = (plugin.to_owned(), plan.to_owned(), Box::new(step.redacted()));
        self.append(&Line::Intent { sequence, at_unix_ms: clock::unix_ms(), plugin, plan, undo, step })?;
        Ok(sequence)
    }

    /// Records what came of a step.
    ///
    /// # Errors
    ///
    /// When it cannot be stored. The step then counts as in doubt after a restart, which is safe.
    pub fn result(&mut self, sequence: u64, result: StepResult, error: Option<String>) -> Result<(), StateError> {
        self.append(&Line::Result { sequence, at_unix_ms: clock::unix_ms(), result, error })
    }

    fn append(&mut self, line: &Line) -> Result<(), StateError> {
        let mut bytes = serde_json::to_vec(line).expect("lines have text keys only, so they serialise");
        bytes.push(b'\n');
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        written.map_err(|source| StateError::new("append to", &self.path, source))
    }

    /// Starts a new file between two steps, when no step is open.
    fn rotate_when_large(&mut self) -> Result<(), StateError> {
        let error = |source| StateError::new("rotate", &self.path, source);
        if self.file.metadata().map_err(error)?.len() < ROTATE_BYTES {
            return Ok(());
        }
        let old = std::fs::read(&self.path).map_err(error)?;
        std::fs::rename(&self.path, self.path.with_extension("jsonl.old")).map_err(error)?;
        let options = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path);
        self.file = options.map_err(error)?;
        // What is in doubt stays in doubt.
        self.file.write_all(&open_intents(&old)).and_then(|()| self.file.sync_data()).map_err(error)?;
        sync_directory(&self.path).map_err(error)
    }
}

/// The newest steps of the journal in a directory, also those of the file before the last rotation, the oldest first.
///
/// # Errors
///
/// When a file is there and cannot be read.
pub fn history(directory: &Path, limit: usize) -> Result<Vec<PastStep>, StateError> {
    let mut steps: Vec<PastStep> = Vec::new();
    for name in ["journal.jsonl.old", "journal.jsonl"] {
        let path = directory.join(name);
        match std::fs::read(&path) {
            Ok(bytes) => bytes.split(|byte| *byte == b'\n').for_each(|line| take_line(&mut steps, line)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (),
            Err(source) => return Err(StateError::new("read", &path, source)),
        }
    }
    steps.drain(..steps.len().saturating_sub(limit));
    Ok(steps)
}

fn take_line(steps: &mut Vec<PastStep>, line: &[u8]) {
    match serde_json::from_slice(line) {
        Ok(Line::Intent { sequence, at_unix_ms, plugin, undo, step, .. }) => {
            let (duration_ms, result, error) = (None, None, None);
            steps.push(PastStep { sequence, at_unix_ms, duration_ms, plugin, undo, step: *step, result, error });
        }
        Ok(Line::Result { sequence, at_unix_ms, result, error }) => {
            // Sequence numbers go on after a rotation, and a result is close behind its intent.
            if let Some(step) = steps.iter_mut().rev().find(|step| step.sequence == sequence) {
                step.duration_ms = Some(at_unix_ms.saturating_sub(step.at_unix_ms));
                step.result = Some(result);
                step.error = error;
            }
        }
        Err(_) => (),
    }
}

/// The lines of the steps without a result.
fn open_intents(bytes: &[u8]) -> Vec<u8> {
    let open: Vec<_> = replay(bytes).0.into_iter().filter_map(|step| step.sequence).collect();
    let is_open = |line: &&[u8]| matches!(serde_json::from_slice(line), Ok(Line::Intent { sequence, .. }) if open.contains(&sequence));
    let lines = bytes.split(|byte| *byte == b'\n').filter(is_open);
    lines.flat_map(|line| line.iter().copied().chain([b'\n'])).collect()
}

/// The steps without a result, and the highest sequence number. Lines that cannot be read are passed over.
fn replay(bytes: &[u8]) -> (Vec<InDoubt>, u64) {
    let mut open: Vec<(u64, InDoubt)> = Vec::new();
    let mut last = 0;
    for line in bytes.split(|byte| *byte == b'\n') {
        match serde_json::from_slice(line) {
            Ok(Line::Intent { sequence, at_unix_ms, plugin, undo, step, .. }) => {
                last = last.max(sequence);
                let (open_as, step) = (Some(sequence), *step);
                let doubt = InDoubt { sequence: open_as, plugin, undo, step, at_unix_ms, is_inherited: true };
                open.push((sequence, doubt));
            }
            Ok(Line::Result { sequence, .. }) => open.retain(|(other, _)| *other != sequence),
            Err(_) => (),
        }
    }
    (open.into_iter().map(|(_, step)| step).collect(), last)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use sysconfig_protocol::{FieldChange, Risk};

    use super::*;

    fn step(id: &str) -> Step {
        let secret = FieldChange { field: "key".into(), from: Value::Null, to: "hunter2".into(), sensitive: true };
        Step {
            id: id.to_owned(),
            action: "set".to_owned(),
            resource: "thing".to_owned(),
            summary: "set the thing".to_owned(),
            changes: vec![secret],
            risk: Risk::Safe,
            key: "test.x".to_owned(),
            data: Value::from("hunter2"),
        }
    }

    #[test]
    fn a_step_without_a_result_is_in_doubt_and_secrets_are_not_stored() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, in_doubt) = Journal::open(directory.path()).unwrap();
        assert_eq!(in_doubt, []);
        let first = journal.intent("x", "digest", &step("1")).unwrap();
        journal.result(first, StepResult::Changed, None).unwrap();
        journal.intent("x", "digest", &step("2")).unwrap();
        drop(journal);
        let (mut journal, in_doubt) = Journal::open(directory.path()).unwrap();
        assert_eq!(in_doubt.len(), 1);
        assert_eq!(in_doubt[0].step.id, "2");
        assert_eq!(journal.intent("x", "digest", &step("3")).unwrap(), 3, "numbers are not used twice");
        let text = std::fs::read_to_string(directory.path().join("journal.jsonl")).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn history_joins_begin_and_end_also_across_a_rotation_and_doubts_stay() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(directory.path()).unwrap();
        let long = Step { summary: "x".repeat(100_000), ..step("1") };
        journal.intent("doubtful", "digest", &step("0")).unwrap();
        for _ in 0..15 {
            let sequence = journal.intent("x", "digest", &long).unwrap();
            journal.result(sequence, StepResult::Failed, Some("no".to_owned())).unwrap();
        }
        journal.undo_intent("x", "digest", &step("2")).unwrap();
        assert!(directory.path().join("journal.jsonl.old").exists());
        let steps = history(directory.path(), 3).unwrap();
        assert_eq!(steps.iter().map(|step| step.sequence).collect::<Vec<_>>(), [15, 16, 17]);
        assert_eq!((steps[1].result, steps[1].error.as_deref()), (Some(StepResult::Failed), Some("no")));
        assert!(steps[1].duration_ms.is_some() && steps[2].result.is_none() && steps[2].undo);
        drop(journal);
        let (_, in_doubt) = Journal::open(directory.path()).unwrap();
        assert_eq!(in_doubt.iter().map(|step| step.step.id.as_str()).collect::<Vec<_>>(), ["0", "2"]);
        assert_eq!(history(&directory.path().join("none"), 3).unwrap(), []);
    }

    #[test]
    fn every_cut_of_the_journal_can_be_opened() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(directory.path()).unwrap();
        let sequence = journal.intent("x", "digest", &step("1")).unwrap();
        journal.result(sequence, StepResult::Failed, Some("no".to_owned())).unwrap();
        let path = directory.path().join("journal.jsonl");
        let whole = std::fs::read(&path).unwrap();
        let intent_end = whole.iter().position(|byte| *byte == b'\n').unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, in_doubt) = Journal::open(directory.path()).unwrap();
            let result_is_whole = cut + 1 >= whole.len();
            let expected = usize::from(cut >= intent_end && !result_is_whole);
            assert_eq!(in_doubt.len(), expected, "cut after {cut} bytes");
            let next = journal.intent("x", "digest", &step("2")).unwrap();
            drop(journal);
            let (_, in_doubt) = Journal::open(directory.path()).unwrap();
            assert!(in_doubt.iter().any(|step| step.step.id == "2"), "cut after {cut} bytes, next is {next}");
        }
    }
}
