//! The locks that say who does what with a machine.
//!
//! Both are `flock` locks. Such a lock belongs to the *open file*, so a child
//! that inherits the descriptor keeps the lock, and the system drops it when the
//! last holder dies, however it dies. The run lock is handed to the hypervisor
//! in this way: the lock is held exactly as long as the machine runs.

use crate::error::StateError;
use rustix::fs::FlockOperation;
use rustix::io::{Errno, FdFlags};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Testing whether a machine runs takes the run lock for a moment, shared; starting one waits that out.
const TESTER_GRACE: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(10);

/// Held while a verb changes a machine; dropped with the value, or with the process.
#[derive(Debug)]
pub struct OperationLock {
    _file: File,
}

impl OperationLock {
    /// Takes the lock, waiting up to `patience` for another verb to finish.
    ///
    /// # Errors
    /// [`StateError::Busy`] when another verb still holds it; [`StateError::Io`].
    pub fn acquire(path: &Path, patience: Duration) -> Result<Self, StateError> {
        let file = open(path)?;
        if lock_exclusive(&file, path, patience)? {
            Ok(Self { _file: file })
        } else {
            Err(StateError::Busy { lock: path.to_owned() })
        }
    }
}

/// Held by the process of a running machine.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

impl RunLock {
    /// Takes the lock; `None` says that the machine runs.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn try_acquire(path: &Path) -> Result<Option<Self>, StateError> {
        let file = open(path)?;
        Ok(lock_exclusive(&file, path, TESTER_GRACE)?.then_some(Self { file }))
    }

    /// Calls `start`, which starts a child that inherits the lock.
    ///
    /// # Errors
    /// The system's, when the descriptor's flags cannot be changed.
    pub fn inherited_by<T>(&self, start: impl FnOnce() -> T) -> std::io::Result<T> {
        rustix::io::fcntl_setfd(&self.file, FdFlags::empty())?;
        let started = start();
        rustix::io::fcntl_setfd(&self.file, FdFlags::CLOEXEC)?;
        Ok(started)
    }
}

/// Whether somebody holds the lock at `path`; a file that is not there is held by nobody.
///
/// # Errors
/// [`StateError::Io`].
pub fn is_held(path: &Path) -> Result<bool, StateError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(StateError::io("open", path, error)),
    };
    // Shared, so that two who test at the same time do not take each other for a machine.
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(StateError::io("lock", path, error.into())),
    }
}

/// Waits until nobody holds the lock at `path`; answers whether that came to be in time.
///
/// # Errors
/// [`StateError::Io`].
pub fn wait_until_free(path: &Path, patience: Duration) -> Result<bool, StateError> {
    let until = Instant::now() + patience;
    while is_held(path)? {
        if Instant::now() >= until {
            return Ok(false);
        }
        std::thread::sleep(POLL);
    }
    Ok(true)
}

fn open(path: &Path) -> Result<File, StateError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| StateError::io("open", path, error))
}

fn lock_exclusive(file: &File, path: &Path, patience: Duration) -> Result<bool, StateError> {
    let until = Instant::now() + patience;
    loop {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) if Instant::now() < until => std::thread::sleep(POLL),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(StateError::io("lock", path, error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use process_runner::Command;

    #[test]
    fn a_second_operation_is_told_that_the_first_still_works() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("operation.lock");
        let first = OperationLock::acquire(&path, Duration::ZERO).unwrap();
        let second = OperationLock::acquire(&path, Duration::from_millis(30));
        assert!(matches!(second, Err(StateError::Busy { .. })), "{second:?}");
        drop(first);
        OperationLock::acquire(&path, Duration::ZERO).unwrap();
    }

    #[test]
    fn the_run_lock_lives_and_dies_with_the_child_that_inherited_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.lock");
        let log = File::create(directory.path().join("log")).unwrap();
        assert!(!is_held(&path).unwrap(), "no file, no holder");

        let lock = RunLock::try_acquire(&path).unwrap().unwrap();
        let mut child = lock.inherited_by(|| Command::new("sleep").arg("60").spawn_detached(&log)).unwrap().unwrap();
        drop(lock);
        assert!(is_held(&path).unwrap(), "the child holds it alone now");
        assert!(RunLock::try_acquire(&path).unwrap().is_none());

        child.kill();
        assert!(wait_until_free(&path, Duration::from_secs(5)).unwrap());
    }

    #[test]
    fn a_child_outside_the_hand_over_does_not_inherit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.lock");
        let log = File::create(directory.path().join("log")).unwrap();
        let lock = RunLock::try_acquire(&path).unwrap().unwrap();
        lock.inherited_by(|| ()).unwrap();
        let mut child = Command::new("sleep").arg("60").spawn_detached(&log).unwrap();
        drop(lock);
        // The kernel closes the copies of descriptors one after the other while it starts the program, and may tell us of
        // its success before it has come to the lock.
        let free = wait_until_free(&path, Duration::from_secs(5)).unwrap();
        child.kill();
        assert!(free);
    }
}
