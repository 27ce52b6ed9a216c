//! What the daemon remembers on disk, in its state directory.
//!
//! * [`applied`]: `applied.json`, what was last brought in line, per plugin;
//! * [`journal`]: `journal.jsonl`, what was about to be done and what came of it.
//!
//! Values of the configuration are not stored, only hashes of them, because they may be secret.

pub mod applied;
pub mod journal;

use std::fs::{File, OpenOptions};
use std::io::Write;
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

/// The hash of a value, as lowercase hexadecimal.
pub fn digest_of(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_vec(value).expect("values of the protocol have text keys only, so they serialise");
    blake3::hash(&json).to_hex().to_string()
}
