//! `journal.jsonl`: what was about to be done, and what came of it.
//!
//! A line is written and synced before a step is given to a plugin, and another after its answer. A step with the
//! first line and not the second is *in doubt*: the daemon or the machine stopped in between. Nothing is repeated
//! from the journal; the daemon observes, and the journal says what to look at.

mod replay;
mod unreadable;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sysconfig_protocol::Step;
use sysconfig_protocol::admin::StepResult;

use super::{StateError, read_record, replace_file, sync_directory};
use crate::clock;
pub use replay::history;
use replay::{Replay, open_intents, replay};
pub use unreadable::Unreadable;
use unreadable::{read_or_move_aside, take_out};

/// The file's name.
pub(super) const FILE: &str = "journal.jsonl";
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
        #[serde(deserialize_with = "super::stored::boxed_step")]
        step: Box<Step>,
    },
    /// The step was answered.
    Result {
        sequence: u64,
        at_unix_ms: u64,
        result: StepResult,
        #[serde(default)]
        error: Option<String>,
    },
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

/// What an earlier daemon's journal tells.
#[derive(Debug, Default)]
pub struct Found {
    /// The steps in doubt.
    pub in_doubt: Vec<InDoubt>,
    /// Lines that make no sense; they are not in the file any more.
    pub unreadable: Option<Unreadable>,
}

/// The journal, open for appending as soon as its file system allows that.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// None where it could not be opened yet.
    file: Option<File>,
    next_sequence: u64,
    /// How long the file is without a line that failed and could not be taken away again.
    whole: Option<u64>,
    /// The lines of the steps without a result. They go into the file that is begun where this one was removed.
    open: BTreeMap<u64, Vec<u8>>,
    /// Whether the steps that it held in doubt are known.
    is_read: bool,
    /// Why they are not.
    unread: Option<StateError>,
    /// What was found in it, until somebody takes it to tell it.
    found: Found,
    /// What the disk takes before it is full, in tests.
    #[cfg(test)]
    room: Option<usize>,
}

impl Journal {
    /// Opens the journal of the directory, and tells which steps are in doubt, and of lines that make no sense.
    ///
    /// A line that was cut off by a crash is taken away; it says nothing, because only a complete intent is followed by
    /// a step. Lines that make no sense are taken out as well, so that they are told once; what they stood in is kept.
    /// Earlier builds ended a line that was cut off, and went on. What will never be read is moved aside: no step is
    /// carried out without a journal, and the machine is not to go without its configuration.
    ///
    /// # Errors
    ///
    /// When the file cannot be read yet, or written, or what will never be read cannot be moved.
    pub fn open(directory: &Path) -> Result<(Self, Vec<InDoubt>, Option<Unreadable>), StateError> {
        let path = directory.join(FILE);
        let error = |source| StateError::new("open", &path, source);
        let open = || OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path).map_err(error);
        let (mut bytes, lost) = read_or_move_aside(&path)?;
        let mut file = open()?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if serde_json::from_slice::<Line>(&bytes[whole..]).is_ok() {
            // Only its end was cut off.
            file.write_all(b"\n").map_err(error)?;
        } else if whole < bytes.len() {
            bytes.truncate(whole);
            file.set_len(whole as u64).map_err(error)?;
        }
        let Replay { in_doubt, open: open_lines, last_sequence, unreadable } = replay(&bytes);
        // Also when whoever made the file was killed before this.
        if bytes.is_empty() {
            sync_directory(&path).map_err(error)?;
        }
        let unreadable = match unreadable {
            0 => lost,
            count => {
                // They disturb nobody, so the daemon goes on with them where there is no room for a copy.
                let taken_out = take_out(&path, &bytes, count);
                file = open()?;
                Some(taken_out)
            }
        };
        // A journal that was just begun may be empty; numbers go on from the one before, which history shows together with it.
        let before = read_record(&old_path(&path)).map_or(0, |bytes| replay(&bytes).last_sequence);
        let journal = Self {
            path,
            file: Some(file),
            next_sequence: last_sequence.max(before) + 1,
            whole: None,
            open: open_lines,
            is_read: true,
            unread: None,
            found: Found::default(),
            #[cfg(test)]
            room: None,
        };
        Ok((journal, in_doubt, unreadable))
    }

    /// The journal of a directory, which nobody has looked at yet. Every line tries to open it.
    pub fn closed(directory: &Path) -> Self {
        Self {
            path: directory.join(FILE),
            file: None,
            next_sequence: 1,
            whole: None,
            open: BTreeMap::new(),
            is_read: false,
            unread: None,
            found: Found::default(),
            #[cfg(test)]
            room: None,
        }
    }

    /// Opens it where that was not possible before, or where it was removed, with what is in doubt.
    ///
    /// # Errors
    ///
    /// When it is not possible yet.
    pub fn ensure_open(&mut self) -> Result<(), StateError> {
        if self.file.is_none() {
            let (opened, in_doubt, unreadable) = Self::open(self.path.parent().unwrap_or(Path::new("/")))?;
            self.next_sequence = self.next_sequence.max(opened.next_sequence);
            self.file = opened.file;
            self.found.unreadable = unreadable;
            // Some of those that are known may be resolved, with a result that waits to be written.
            let in_doubt = if self.is_read { Vec::new() } else { in_doubt };
            self.found.in_doubt.extend(in_doubt);
            (self.is_read, self.unread) = (true, None);
            self.carry_over(opened.open)?;
        }
        Ok(())
    }

    /// Writes the lines of the steps without a result that the file does not hold.
    fn carry_over(&mut self, held: BTreeMap<u64, Vec<u8>>) -> Result<(), StateError> {
        let missing = self.open.iter().filter(|(sequence, _)| !held.contains_key(sequence));
        let missing: Vec<u8> = missing.flat_map(|(_, line)| line).copied().collect();
        if !missing.is_empty() {
            // Without them, it is not what it is to be.
            self.append_bytes(&missing).inspect_err(|_| self.let_go())?;
        }
        self.open.extend(held);
        Ok(())
    }

    /// Whether its lines are where somebody finds them: of a directory that was removed or replaced meanwhile only a file
    /// without a name is left. One that is not open has none there.
    pub fn is_in_place(&self) -> bool {
        self.file.as_ref().is_none_or(|file| super::is_found(file, &self.path))
    }

    /// The next line opens it anew.
    pub fn let_go(&mut self) {
        (self.file, self.whole) = (None, None);
    }

    /// Finds what is in doubt where the file cannot be opened to be written, if it can be read.
    pub fn read_closed(&mut self) {
        if self.is_read {
            return;
        }
        match read_record(&self.path) {
            Ok(bytes) => {
                let Replay { in_doubt, open, .. } = replay(&bytes);
                self.found.in_doubt.extend(in_doubt);
                self.open.extend(open);
                (self.is_read, self.unread) = (true, None);
            }
            // A directory that is not there may be on a file system that is not mounted yet.
            Err(error) if error.kind() == ErrorKind::NotFound => self.unread = None,
            Err(source) => self.unread = Some(StateError::new("read", &self.path, source)),
        }
    }

    /// Why nobody knows which steps an earlier daemon has left in doubt.
    pub fn unread(&self) -> Option<&StateError> {
        self.unread.as_ref()
    }

    /// What it turned out to hold, once.
    pub fn take_found(&mut self) -> Found {
        std::mem::take(&mut self.found)
    }

    fn file(&mut self) -> std::io::Result<&mut File> {
        self.file.as_mut().ok_or_else(|| std::io::Error::other("it is not open"))
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
    /// When it cannot be stored.
    pub fn undo_intent(&mut self, plugin: &str, plan: &str, step: &Step) -> Result<u64, StateError> {
        self.begin(plugin, plan, step, true)
    }

    fn begin(&mut self, plugin: &str, plan: &str, step: &Step, undo: bool) -> Result<u64, StateError> {
        self.ensure_open()?;
        // Without room for a second file the journal goes on growing: a step, or its undoing, does not wait for that.
        drop(self.rotate_when_large());
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let (plugin, plan, step) = (plugin.to_owned(), plan.to_owned(), Box::new(step.redacted()));
        let line = self.append(&Line::Intent { sequence, at_unix_ms: clock::unix_ms(), plugin, plan, undo, step })?;
        self.open.insert(sequence, line);
        Ok(sequence)
    }

    /// Records what came of a step.
    ///
    /// # Errors
    ///
    /// When it cannot be stored. The step then counts as in doubt after a restart, which is safe.
    pub fn result(&mut self, sequence: u64, result: StepResult, error: Option<String>) -> Result<(), StateError> {
        self.append(&Line::Result { sequence, at_unix_ms: clock::unix_ms(), result, error })?;
        self.open.remove(&sequence);
        Ok(())
    }

    /// Writes a line, and answers it.
    fn append(&mut self, line: &Line) -> Result<Vec<u8>, StateError> {
        let mut bytes = serde_json::to_vec(line).expect("lines have text keys only, so they serialise");
        bytes.push(b'\n');
        self.ensure_open()?;
        self.append_bytes(&bytes)?;
        Ok(bytes)
    }

    /// Writes lines. What fails is taken away again: what follows a piece of a line would make no sense with it, and an intent
    /// that is not certainly on the disk is followed by no step.
    fn append_bytes(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        self.take_away_piece()
            .and_then(|()| {
                self.whole = Some(self.file()?.metadata()?.len());
                self.write(bytes)
            })
            .inspect(|()| self.whole = None)
            .inspect_err(|_| drop(self.take_away_piece()))
            .map_err(|source| StateError::new("append to", &self.path, source))
    }

    fn take_away_piece(&mut self) -> std::io::Result<()> {
        if let Some(whole) = self.whole {
            self.file()?.set_len(whole)?;
            self.whole = None;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        #[cfg(test)]
        if let Some(room) = self.room.filter(|room| *room < bytes.len()) {
            self.file()?.write_all(&bytes[..room])?;
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        let file = self.file()?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    /// Starts a new file between two steps.
    fn rotate_when_large(&mut self) -> Result<(), StateError> {
        let metadata = self.file().and_then(|file| file.metadata());
        let size = metadata.map_err(|source| StateError::new("rotate", &self.path, source))?.len();
        if size < ROTATE_BYTES {
            return Ok(());
        }
        // The room that a beginning of it takes is wanted for the line.
        self.rotate(|| ()).inspect_err(|_| drop(std::fs::remove_file(self.path.with_extension("jsonl.new"))))
    }

    /// Whenever this is interrupted, the journal is the old one or the new one, whole: all is kept under its other name before
    /// it goes, and what is in doubt is in the new one before that takes its place. `between` is called between any two steps.
    fn rotate(&mut self, mut between: impl FnMut()) -> Result<(), StateError> {
        let error = |source| StateError::new("rotate", &self.path, source);
        let bytes = std::fs::read(&self.path).map_err(error)?;
        replace_file(&old_path(&self.path), &bytes)?;
        between();
        let new = self.path.with_extension("jsonl.new");
        match std::fs::remove_file(&new) {
            Err(source) if source.kind() != ErrorKind::NotFound => return Err(error(source)),
            _ => (),
        }
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&new).map_err(error)?;
        between();
        file.write_all(&open_intents(&bytes)).and_then(|()| file.sync_all()).map_err(error)?;
        between();
        std::fs::rename(&new, &self.path).map_err(error)?;
        self.file = Some(file);
        between();
        sync_directory(&self.path).map_err(|source| StateError::new("rotate", &self.path, source))
    }
}

/// The journal before the last rotation.
fn old_path(path: &Path) -> PathBuf {
    path.with_extension("jsonl.old")
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
