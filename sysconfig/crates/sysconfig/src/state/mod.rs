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
pub mod journal;

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

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
    fn new(operation: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self { operation, path: path.to_owned(), source }
    }
}

/// A file could be read and makes no sense. It was moved aside.
#[derive(Debug, thiserror::Error)]
#[error("{} was damaged and is now {}", path.display(), kept.display())]
pub struct Damaged {
    path: PathBuf,
    kept: PathBuf,
    #[source]
    source: serde_json::Error,
}

/// Reads a file of JSON; one that is not there is nothing. One that makes no sense is moved aside, to `*.damaged`, and
/// told, and is nothing as well.
fn load_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<(Option<T>, Option<Damaged>), StateError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((None, None)),
        Err(source) => return Err(StateError::new("read", path, source)),
    };
    match serde_json::from_slice(&bytes) {
        Ok(contents) => Ok((Some(contents), None)),
        Err(source) => {
            let mut kept = path.as_os_str().to_owned();
            kept.push(".damaged");
            let kept = PathBuf::from(kept);
            std::fs::rename(path, &kept).map_err(|source| StateError::new("move aside", path, source))?;
            Ok((None, Some(Damaged { path: path.to_owned(), kept, source })))
        }
    }
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
    file.write_all(contents).and_then(|()| file.sync_all()).map_err(error)?;
    std::fs::rename(&temporary, path).map_err(error)?;
    sync_directory(path).map_err(error)
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
    use super::confirmation::{Confirmation, Pending, RevocableStep};
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
        let (mut applied, _) = Applied::load(directory).unwrap();
        let hash = "ab".repeat(32);
        let part =
            AppliedPart { config: hash.clone(), plugin_hash: hash, plugin_version: "1".to_owned(), at_unix_ms: 7 };
        applied.record("x", part).unwrap();
        Fingerprints::load(directory).unwrap().0.keep(directory).unwrap();
        let (mut journal, _) = Journal::open(directory).unwrap();
        for _ in 0..3 {
            let sequence = journal.intent("x", "digest", &step()).unwrap();
            journal.result(sequence, StepResult::Changed, None).unwrap();
        }
        journal.undo_intent("x", "digest", &step()).unwrap();
        let (mut confirmation, _) = Confirmation::load(directory).unwrap();
        let (plugin, plan) = ("x".to_owned(), Digest("00".to_owned()));
        let steps = vec![RevocableStep { plugin, plan, step: step(), data_withheld: false }];
        confirmation.pending = Some(Pending { by_unix_ms: 7, within_ms: 5, steps });
        confirmation.held.insert("y".to_owned(), "hash".to_owned());
        confirmation.store().unwrap();
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
            Applied::load(directory.path()).unwrap();
            let (fingerprints, _) = Fingerprints::load(directory.path()).unwrap();
            fingerprints.keep(directory.path()).unwrap();
            assert_eq!(Fingerprints::load(directory.path()).unwrap().0.of(&1), fingerprints.of(&1));
            Confirmation::load(directory.path()).unwrap();
            let (mut journal, before) = Journal::open(directory.path()).unwrap();
            super::journal::history(directory.path(), 10).unwrap();
            journal.intent("new", "digest", &step()).unwrap();
            drop(journal);
            let (_, after) = Journal::open(directory.path()).unwrap();
            assert_eq!(after.len(), before.len() + 1, "a step that is begun now is in doubt then");
        });
    }
}
