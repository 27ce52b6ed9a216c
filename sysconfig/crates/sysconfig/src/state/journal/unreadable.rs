//! What of a journal is of no use to this daemon, and where that is kept.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Line;
use crate::state::{Kept, StateError, is_for_good, move_aside, read_record, replace_file};

/// Lines that make no sense to this daemon, or all of them. Where the whole file with them could be kept, they were taken out.
#[derive(Debug, thiserror::Error)]
#[error("{what}, and {kept}")]
pub struct Unreadable {
    what: Lost,
    kept: Kept,
}

/// What of a journal is of no use.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("1 line of the journal makes no sense to this version")]
    Line,
    #[error("{0} lines of the journal make no sense to this version")]
    Lines(usize),
    #[error("the journal cannot be read ({0})")]
    All(std::io::Error),
}

/// What a journal holds; one that is not there holds nothing. What will never be read as one is kept under another name.
pub(super) fn read_or_move_aside(path: &Path) -> Result<(Vec<u8>, Option<Unreadable>), StateError> {
    match read_record(path) {
        Ok(bytes) => Ok((bytes, None)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok((Vec::new(), None)),
        Err(error) if !is_for_good(&error) => Err(StateError::new("open", path, error)),
        Err(error) => {
            let kept = kept_path(path);
            move_aside(path, &kept)?;
            Ok((Vec::new(), Some(Unreadable { what: Lost::All(error), kept: Kept::In(kept) })))
        }
    }
}

/// What made no sense.
fn kept_path(path: &Path) -> PathBuf {
    path.with_extension("jsonl.damaged")
}

/// Leaves of a journal the lines that can be read; `count` cannot.
pub(super) fn take_out(path: &Path, bytes: &[u8], count: usize) -> Unreadable {
    let what = if count == 1 { Lost::Line } else { Lost::Lines(count) };
    Unreadable { what, kept: Kept::of(keep_and_take_out(path, bytes)) }
}

/// The answer is where all of it is kept: it is there before a line is taken out, whenever this is interrupted.
fn keep_and_take_out(path: &Path, bytes: &[u8]) -> Result<PathBuf, StateError> {
    let kept = kept_path(path);
    replace_file(&kept, bytes)?;
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| serde_json::from_slice::<Line>(line).is_ok());
    let readable: Vec<u8> = lines.flat_map(|line| line.iter().copied().chain([b'\n'])).collect();
    replace_file(path, &readable)?;
    Ok(kept)
}
