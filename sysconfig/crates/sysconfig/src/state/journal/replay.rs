//! What the lines of a journal say together.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use sysconfig_protocol::admin::PastStep;

use super::{FILE, InDoubt, Line, old_path};
use crate::state::{StateError, read_record};

/// The newest steps of the journal in a directory, also those of the file before the last rotation, the oldest first.
///
/// # Errors
///
/// When a file is there and cannot be read.
pub fn history(directory: &Path, limit: usize) -> Result<Vec<PastStep>, StateError> {
    let mut steps: Vec<PastStep> = Vec::new();
    let path = directory.join(FILE);
    for path in [old_path(&path), path] {
        match read_record(&path) {
            Ok(bytes) => bytes.split(|byte| *byte == b'\n').for_each(|line| take_line(&mut steps, line)),
            Err(error) if error.kind() == ErrorKind::NotFound => (),
            Err(source) => return Err(StateError::new("read", &path, source)),
        }
    }
    steps.drain(..steps.len().saturating_sub(limit));
    Ok(steps)
}

fn take_line(steps: &mut Vec<PastStep>, line: &[u8]) {
    match serde_json::from_slice(line) {
        Ok(Line::Intent { sequence, at_unix_ms, plugin, undo, step, .. }) => {
            // A step that was in doubt at a rotation is in both files.
            let is_known = |known: &PastStep| known.sequence == sequence && known.at_unix_ms == at_unix_ms;
            if steps.iter().any(is_known) {
                return;
            }
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
pub(super) fn open_intents(bytes: &[u8]) -> Vec<u8> {
    replay(bytes).open.into_values().flatten().collect()
}

/// What a journal says.
pub(super) struct Replay {
    /// The steps without a result.
    pub(super) in_doubt: Vec<InDoubt>,
    /// Their lines, by their numbers.
    pub(super) open: BTreeMap<u64, Vec<u8>>,
    pub(super) last_sequence: u64,
    /// How many lines cannot be read.
    pub(super) unreadable: usize,
}

pub(super) fn replay(bytes: &[u8]) -> Replay {
    let (mut in_doubt, mut open): (Vec<InDoubt>, _) = (Vec::new(), BTreeMap::new());
    let (mut last_sequence, mut unreadable) = (0, 0);
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(Line::Intent { sequence, at_unix_ms, plugin, undo, step, .. }) => {
                last_sequence = last_sequence.max(sequence);
                let (open_as, step) = (Some(sequence), *step);
                in_doubt.push(InDoubt { sequence: open_as, plugin, undo, step, at_unix_ms, is_inherited: true });
                open.insert(sequence, [line, b"\n"].concat());
            }
            Ok(Line::Result { sequence, .. }) => {
                in_doubt.retain(|doubt| doubt.sequence != Some(sequence));
                open.remove(&sequence);
            }
            Err(_) => unreadable += 1,
        }
    }
    Replay { in_doubt, open, last_sequence, unreadable }
}
