//! Locks between processes, by `flock`: the kernel frees them when a process dies.
//!
//! * `lock` is held shared by everyone who has the store open, and exclusively for a collection.
//! * `admin.lock` is held exclusively for the moments in which packs appear, change owner or disappear.
//!
//! Whoever wants `lock`, shared or exclusive, takes `admin.lock` first; so a collection that does not get
//! `lock` can fall back to sharing it knowing that no other collection came between.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};

use super::error::StoreError;

/// The lock that says that the store is open.
#[derive(Debug)]
pub(super) struct StoreLock {
    file: File,
    dir: PathBuf,
}

/// Held while packs are created, taken over or removed.
#[derive(Debug)]
#[must_use = "the lock is free again as soon as this is dropped"]
pub(super) struct AdminLock {
    _file: File,
}

impl AdminLock {
    /// Waits for the lock; others hold it for moments, a collection for as long as it takes.
    pub(super) fn acquire(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("admin.lock");
        let file = open_lock_file(&path)?;
        apply(&file, &path, FlockOperation::LockExclusive)?;
        Ok(Self { _file: file })
    }
}

impl StoreLock {
    /// Waits for the lock; whoever holds it exclusively has the admin lock too, so there is nothing to wait for.
    pub(super) fn shared(dir: &Path, _admin: &AdminLock) -> Result<Self, StoreError> {
        let path = dir.join("lock");
        let file = open_lock_file(&path)?;
        apply(&file, &path, FlockOperation::LockShared)?;
        Ok(Self { file, dir: dir.to_path_buf() })
    }

    /// The lock of a store that is only looked at: nothing is created for it.
    pub(super) fn shared_if_there(dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = dir.join("lock");
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(StoreError::access("open", &path))?,
        };
        apply(&file, &path, FlockOperation::LockShared)?;
        Ok(Some(Self { file, dir: dir.to_path_buf() }))
    }

    /// Makes the lock exclusive. The caller holds the admin lock, and calls [`share`](Self::share) before it
    /// gives that up.
    pub(super) fn make_exclusive(&self, _admin: &AdminLock) -> Result<(), StoreError> {
        match try_lock(&self.file) {
            Ok(true) => Ok(()),
            // Trying to convert a lock may have lost the shared one.
            Ok(false) => self.share().and(Err(StoreError::InUse { dir: self.dir.clone() })),
            Err(error) => self.share().and(Err(StoreError::access("lock", &self.dir)(error))),
        }
    }

    pub(super) fn share(&self) -> Result<(), StoreError> {
        apply(&self.file, &self.dir.join("lock"), FlockOperation::LockShared)
    }
}

/// Tries to lock a file exclusively; false if somebody else has it.
pub(super) fn try_lock(file: &File) -> std::io::Result<bool> {
    match retry_on_intr(|| flock(file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn open_lock_file(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(StoreError::access("open", path))
}

fn apply(file: &File, path: &Path, operation: FlockOperation) -> Result<(), StoreError> {
    retry_on_intr(|| flock(file, operation)).map_err(|error| StoreError::access("lock", path)(error.into()))
}
