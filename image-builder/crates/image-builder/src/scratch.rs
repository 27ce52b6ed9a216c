//! A directory for one run, which is gone with it, also when a signal ends the run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

/// Those that are there: who ends the process at once drops nothing.
static THERE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A directory below `TMPDIR`.
#[derive(Debug)]
pub(crate) struct Scratch(TempDir);

impl Scratch {
    /// Makes one.
    ///
    /// # Errors
    /// When the directory for temporary files cannot be written.
    pub(crate) fn make() -> io::Result<Self> {
        let mut there = THERE.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::Builder::new().prefix("image-builder-").tempdir()?;
        there.push(directory.path().to_owned());
        Ok(Self(directory))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        THERE.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| path != self.0.path());
    }
}

/// Removes them all, and makes no more. Other threads may still write there, so that one try need not be enough.
pub(crate) fn remove_all() {
    const TRIES: usize = 100;
    let there = THERE.lock().unwrap_or_else(PoisonError::into_inner);
    for path in there.iter() {
        let _ = (0..TRIES).find(|_| fs::remove_dir_all(path).is_ok() || !path.exists());
    }
    // Nobody gets it any more, and the process ends.
    std::mem::forget(there);
}
