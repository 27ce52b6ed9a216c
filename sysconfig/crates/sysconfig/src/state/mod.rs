//! What the daemon remembers on disk, in its state directory.
//!
//! * [`applied`]: `applied.json`, what was last brought in line, per plugin;
//! * [`fingerprint`]: `key.json`, with which values are hashed;
//! * [`confirmation`]: `confirmation.json`, a change that is undone unless it is confirmed;
//! * [`journal`]: `journal.jsonl`, what was about to be done and what came of it.
//!
//! Values of the configuration are not stored, only keyed hashes of them, because they may be secret. The one exception
//! is in [`confirmation`].

pub mod applied;
pub mod confirmation;
pub mod fingerprint;
mod help;
pub mod journal;
mod stored;

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The files of the state directory that say what was done.
pub(crate) const FILES: [&str; 4] = [applied::FILE, confirmation::FILE, fingerprint::FILE, journal::FILE];

/// State cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub struct StateError {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

impl StateError {
    pub(crate) fn new(operation: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self { operation, path: path.to_owned(), source }
    }

    /// What to do about it.
    pub fn help(&self) -> &'static str {
        help::of(&self.source)
    }
}

/// What a file holds is of no use to this daemon.
#[derive(Debug, thiserror::Error)]
#[error("{} {why}, and {}", path.display(), kept.as_ref().unwrap_or(&Kept::There))]
pub struct Damaged {
    path: PathBuf,
    aside: Aside,
    /// None as long as the directory may be another daemon's.
    kept: Option<Kept>,
    why: Why,
}

/// Why it is of no use.
#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("was written by a newer daemon")]
    Newer,
    #[error("was damaged")]
    NoSense,
    /// Something else is in its place, or its disk has a fault.
    #[error("cannot be read ({0})")]
    Unreadable(std::io::Error),
}

/// What became of contents that make no sense.
#[derive(Debug)]
enum Kept {
    /// They are in this file now.
    In(PathBuf),
    /// They are not in another file, because of this.
    Failed(StateError),
    /// They are where they were.
    There,
}

impl Kept {
    fn of(result: Result<PathBuf, StateError>) -> Self {
        result.map_or_else(Self::Failed, Self::In)
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In(kept) => write!(formatter, "what it held is kept as {}", kept.display()),
            Self::Failed(error) => write!(formatter, "what it held could not be kept: {error}: {}", error.source),
            Self::There => formatter.write_str("what it held is there still"),
        }
    }
}

/// How a file that makes no sense is kept under another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aside {
    /// It is not there any more afterwards.
    Moved,
    /// It is still there, to be replaced.
    Copied,
}

impl Damaged {
    /// Keeps what the file held under another name, `*.damaged`, once; what could not be kept is tried again. Only whoever has
    /// locked the directory may do that. Whether there is something new to tell of it.
    pub fn keep(&mut self) -> bool {
        let before = self.kept.as_ref().map(|kept| matches!(kept, Kept::In(_)));
        if before != Some(true) {
            let other = self.kept_path();
            let kept = match (self.aside, &self.why) {
                // It may be read the next time, and says until then that something was there.
                (Aside::Copied, Why::Unreadable(_)) => None,
                (Aside::Copied, _) => Some(read_file(&self.path).and_then(|bytes| replace_file(&other, &bytes))),
                (Aside::Moved, _) => Some(move_aside(&self.path, &other)),
            };
            self.kept = Some(kept.map_or(Kept::There, |kept| Kept::of(kept.map(|()| other))));
        }
        self.kept.as_ref().map(|kept| matches!(kept, Kept::In(_))) != before
    }

    /// It is about to be replaced, and what could not be copied gets a second name. It keeps the first one until then: without
    /// any, an unconfirmed change would pass for a confirmed one.
    pub fn make_way(&mut self) {
        let other = self.kept_path();
        drop(std::fs::remove_file(&other));
        let linked = std::fs::hard_link(&self.path, &other).map_err(|source| StateError::new("link", &other, source));
        self.kept = Some(Kept::of(linked.map(|()| other)));
    }

    fn kept_path(&self) -> PathBuf {
        let mut other = self.path.as_os_str().to_owned();
        other.push(".damaged");
        other.into()
    }

    /// Whether it is about changes to be confirmed.
    pub fn is_of_confirmation(&self) -> bool {
        self.path.ends_with(confirmation::FILE)
    }

    /// Whether it is what was known of changes to be confirmed, and would be lost by writing that anew.
    pub fn is_last_confirmation(&self) -> bool {
        self.is_of_confirmation() && !matches!(self.kept, Some(Kept::In(_)))
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        let meaning = match self.is_of_confirmation() {
            true => "nothing is applied until somebody asks for it: sysconfigctl status",
            false => "nothing needs to be done: the machine is observed anew",
        };
        match (&self.why, &self.kept) {
            (_, Some(Kept::In(_))) | (Why::Newer | Why::NoSense, _) => meaning.to_owned(),
            (Why::Unreadable(error), _) => format!("{meaning}; {}", help::of(error)),
        }
    }
}

/// What every file of JSON says about itself.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Reads a file of JSON in a version up to `version`; one that is not there is nothing. One that cannot be read, makes no sense,
/// or is in a later version, is told, and is nothing as well: a machine must not go without its configuration for want of
/// history. Nothing is written: whoever reads may not have locked the directory.
fn load_json<T: DeserializeOwned>(path: &Path, version: u32, aside: Aside) -> (Option<T>, Option<Damaged>) {
    let damaged = |why| (None, Some(Damaged { path: path.to_owned(), aside, kept: None, why }));
    let bytes = match read_record(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return (None, None),
        Err(error) => return damaged(Why::Unreadable(error)),
    };
    if serde_json::from_slice(&bytes).is_ok_and(|contents: Versioned| contents.version > version) {
        return damaged(Why::Newer);
    }
    match serde_json::from_slice(&bytes) {
        Ok(contents) => (Some(contents), None),
        Err(_) => damaged(Why::NoSense),
    }
}

/// A file of the record that is longer was written by somebody else.
const RECORD_BYTES: u64 = 64 * 1024 * 1024;

/// All of a file of the record. What else may be in its place must neither keep the daemon waiting, as a pipe does, nor take all
/// of the memory.
fn read_record(path: &Path) -> std::io::Result<Vec<u8>> {
    let judge = |metadata: &Metadata| match metadata.len() {
        _ if metadata.is_dir() => Err(Errno::ISDIR.into()),
        _ if !metadata.is_file() => Err(std::io::Error::other("it is no regular file")),
        ..=RECORD_BYTES => Ok(()),
        _ => Err(Errno::FBIG.into()),
    };
    // Opening a device may do something.
    judge(&std::fs::metadata(path)?)?;
    let file = File::from(rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
    judge(&file.metadata()?)?;
    let mut bytes = Vec::new();
    file.take(RECORD_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether it is of no use to try again: something else is in the place of the file, or its disk has a fault. What is closed to
/// this process, or on a share, may be there soon, and a step that is in doubt with it.
fn is_for_good(error: &std::io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    errno.is_none_or(|errno| matches!(errno, Errno::ISDIR | Errno::LOOP | Errno::FBIG | Errno::IO))
}

fn read_file(path: &Path) -> Result<Vec<u8>, StateError> {
    read_record(path).map_err(|source| StateError::new("read", path, source))
}

fn move_aside(path: &Path, aside: &Path) -> Result<(), StateError> {
    std::fs::rename(path, aside).map_err(|source| StateError::new("move aside", path, source))
}

/// Removes a file for good; one that is not there is fine.
fn remove_file(path: &Path) -> Result<(), StateError> {
    match std::fs::remove_file(path) {
        Ok(()) => sync_directory(path).map_err(|source| StateError::new("remove", path, source)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(StateError::new("remove", path, source)),
    }
}

/// Replaces a file such that a crash at any moment leaves the old or the new contents, whole: a temporary file in
/// the same directory is written, synced and renamed, and the directory synced. Only the owner can read it.
///
/// # Errors
///
/// When any of that fails; the old contents are still there then.
pub fn replace_file(path: &Path, contents: &[u8]) -> Result<(), StateError> {
    let error = |source| StateError::new("write", path, source);
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary).map_err(error)?;
    let written = file.write_all(contents).and_then(|()| file.sync_all());
    written
        .and_then(|()| std::fs::rename(&temporary, path))
        // A piece of it would keep the room that others need.
        .inspect_err(|_| drop(std::fs::remove_file(&temporary)))
        .map_err(error)?;
    sync_directory(path).map_err(error)
}

/// Whether an open file is the one that is found by this name. One that cannot be looked at now is not taken for another.
pub(crate) fn is_found(file: &File, path: &Path) -> bool {
    let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
    match std::fs::metadata(path) {
        Ok(named) => file.metadata().is_ok_and(|open| identity(open) == identity(named)),
        Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}

/// Makes the directory entry of a file durable.
fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use sysconfig_protocol::admin::StepResult;
    use sysconfig_protocol::{Digest, FieldChange, Risk, Step};

    use super::applied::{Applied, AppliedPart};
    use super::confirmation::{Confirmation, LeftStep, Pending, RevocableStep};
    use super::fingerprint::Fingerprints;
    use super::journal::Journal;

    fn step() -> Step {
        let change = FieldChange { field: "a".into(), from: Value::Null, to: 1.into(), sensitive: false };
        Step {
            id: "1".to_owned(),
            action: "set".to_owned(),
            resource: "thing".to_owned(),
            summary: "set the thing".to_owned(),
            changes: vec![change],
            risk: Risk::Safe,
            key: "test.x".to_owned(),
            data: serde_json::json!({ "key": [1, 2.5, null, "x"] }),
        }
    }

    /// Files of every kind in a directory, as they are after some work.
    fn write_state(directory: &std::path::Path) {
        let (mut applied, _) = Applied::load(directory);
        let hash = "ab".repeat(32);
        let part = AppliedPart {
            config: hash.clone(),
            plugin_hash: hash,
            plugin_version: "1".to_owned(),
            claims: Vec::new(),
            at_unix_ms: 7,
        };
        applied.record("x", part);
        applied.store().unwrap();
        Fingerprints::load(directory).unwrap().0.keep(directory).unwrap();
        let (mut journal, ..) = Journal::open(directory).unwrap();
        for _ in 0..3 {
            let sequence = journal.intent("x", "digest", &step()).unwrap();
            journal.result(sequence, StepResult::Changed, None).unwrap();
        }
        journal.undo_intent("x", "digest", &step()).unwrap();
        let (mut confirmation, _) = Confirmation::load(directory);
        let (plugin, plan) = ("x".to_owned(), Digest("00".to_owned()));
        let steps = vec![RevocableStep { plugin, plan, step: step(), data_withheld: false }];
        confirmation.pending = Some(Pending { by_unix_ms: 7, within_ms: 5, steps, ..Pending::default() });
        confirmation.held.insert("y".to_owned(), "hash".to_owned());
        let (plugin, plan) = ("y".to_owned(), Digest("00".to_owned()));
        let noted = RevocableStep { plugin, plan, step: step(), data_withheld: false };
        confirmation.left = vec![LeftStep { noted, error: "busy".to_owned(), help: None }];
        confirmation.store().unwrap();
    }

    /// What an earlier build wrote has no member that came later, and a later build's has one that nobody knows.
    #[test]
    fn what_other_builds_wrote_is_read_or_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write(
            "journal.jsonl",
            r#"{"kind":"intent","sequence":7,"at_unix_ms":1,"plugin":"x","plan":"00","step":{"id":"1","action":"set","resource":"a","summary":"set a"}}
{"kind":"intent","sequence":8,"at_unix_ms":1,"plugin":"x","plan":"00","later":true,"step":{"id":"2","action":"set","resource":"b","summary":"set b","changes":[{"field":"f","unit":"ms"}],"risk":"safe","later":{}}}
{"kind":"later","sequence":9}
{"kind":"result","sequence":7,"at_unix_ms":2,"result":"changed","error":null,"later":1}
{"kind":"inte"#,
        );
        let (mut journal, in_doubt, unreadable) = Journal::open(directory.path()).unwrap();
        let summaries: Vec<_> = in_doubt.iter().map(|doubt| &*doubt.step.summary).collect();
        assert_eq!(summaries, ["set b"]);
        let unreadable = unreadable.unwrap().to_string();
        assert!(unreadable.starts_with("1 line of"), "what was cut off never counted: {unreadable}");
        journal.intent("x", "00", &step()).unwrap();
        assert_eq!(Journal::open(directory.path()).unwrap().1.len(), 2);

        let pending = r#""pending":{"by_unix_ms":7,"within_ms":5,"steps":[{"plugin":"x","plan":"00","step":{"id":"1","action":"set","resource":"a","summary":"set a","data":1}}]}"#;
        write("confirmation.json", &format!("{{\"version\":1,\"later\":true,{pending}}}"));
        let (confirmation, damaged) = Confirmation::load(directory.path());
        assert!(damaged.is_none(), "{damaged:?}");
        let steps = confirmation.pending.unwrap().steps;
        assert_eq!((&*steps[0].step.summary, &steps[0].step.data), ("set a", &Value::from(1)));

        let risky = pending.replace("\"data\":1", "\"risk\":\"later\"");
        write("confirmation.json", &format!("{{\"version\":1,{risky}}}"));
        let (confirmation, damaged) = Confirmation::load(directory.path());
        assert!(damaged.is_none(), "{damaged:?}");
        assert_eq!(confirmation.pending.unwrap().steps[0].step.risk, Risk::Disruptive);

        write("confirmation.json", &format!("{{\"version\":2,{pending}}}"));
        let (confirmation, damaged) = Confirmation::load(directory.path());
        let damaged = damaged.unwrap();
        assert!(confirmation.pending.is_none());
        assert!(damaged.to_string().contains("confirmation.json was written by a newer daemon"), "{damaged}");
        assert!(confirmation.is_lost && damaged.help().starts_with("nothing is applied until"), "{damaged}");
        write("applied.json", r#"{"version":1,"plugins":{"x":{"config":"aa","plugin_hash":"bb"}}}"#);
        let (applied, damaged) = Applied::load(directory.path());
        assert!(damaged.is_none() && applied.get("x").is_some(), "{damaged:?}");
    }

    /// However a file was damaged, the daemon starts, and what it writes then can be read again.
    #[test]
    fn fuzz_damaged_state_and_journals() {
        let whole = tempfile::tempdir().unwrap();
        write_state(whole.path());
        let files = ["applied.json", "confirmation.json", "journal.jsonl", "key.json"];
        test_judge::fuzz(200, |random| {
            let directory = tempfile::tempdir().unwrap();
            for name in files {
                let mut bytes = std::fs::read(whole.path().join(name)).unwrap();
                random.damage(&mut bytes);
                std::fs::write(directory.path().join(name), bytes).unwrap();
            }
            Applied::load(directory.path());
            let (mut fingerprints, damaged_key) = Fingerprints::load(directory.path()).unwrap();
            assert!(damaged_key.is_none_or(|mut damaged| damaged.keep() && !damaged.keep()));
            fingerprints.keep(directory.path()).unwrap();
            assert_eq!(Fingerprints::load(directory.path()).unwrap().0.of(&1), fingerprints.of(&1));
            Confirmation::load(directory.path());
            let (mut journal, before, _) = Journal::open(directory.path()).unwrap();
            super::journal::history(directory.path(), 10).unwrap();
            journal.intent("new", "digest", &step()).unwrap();
            drop(journal);
            let (_, after, unreadable) = Journal::open(directory.path()).unwrap();
            assert_eq!(after.len(), before.len() + 1, "a step that is begun now is in doubt then");
            assert!(unreadable.is_none(), "what makes no sense is told once: {unreadable:?}");
        });
    }
}
