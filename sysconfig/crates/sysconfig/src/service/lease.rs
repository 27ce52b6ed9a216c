//! Whose the state directory is.
//!
//! A daemon that finds a full or read-only disk at its start goes on without the lock that keeps others away, and nothing
//! that it could write there is written before it has one. What it has read may have been changed by another daemon until
//! then; such a daemon ends, because what it remembers is not true.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::instance::{InstanceError, InstanceLock, lock_directory, lock_to_read, prepare_directory};
use crate::state;

/// The state directory, as far as it is this daemon's.
#[derive(Debug)]
pub struct StateLease {
    directory: PathBuf,
    hold: Hold,
}

#[derive(Debug)]
enum Hold {
    /// No other daemon reads or writes it. The directory is open, so that no other one can be taken for it.
    Whole { lock: InstanceLock, open: Option<File> },
    /// Nothing may be written. The lock, where there is one, shows another daemon that somebody is here.
    ToRead { lock: Option<InstanceLock>, found: Vec<Option<Identity>> },
}

/// Tells a file from one that was written since: inode, size and time of change of contents. The number of the device
/// changes each time that some file systems are mounted.
type Identity = (u64, u64, i64, i64);

/// Refuses a state directory that is the run directory, which is there already, also by another name.
///
/// # Errors
///
/// When the two are one.
pub fn refuse_run_directory(run_directory: &Path, directory: &Path) -> Result<(), InstanceError> {
    let identity = |path| std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    match identity(run_directory) {
        Some(run) if identity(directory) == Some(run) => {
            Err(InstanceError::OneDirectory { path: directory.to_owned() })
        }
        _ => Ok(()),
    }
}

impl StateLease {
    /// Prepares and locks the directory, as far as a full or read-only disk allows that; what does not work of it is
    /// answered. It is taken before anything is read from it.
    ///
    /// # Errors
    ///
    /// When another daemon has it, or it cannot be used for other reasons.
    pub fn take(directory: &Path) -> Result<(Self, Option<InstanceError>), InstanceError> {
        let (hold, trouble) = match prepare_directory(directory).and_then(|()| lock_directory(directory)) {
            Ok(lock) => (Hold::Whole { lock, open: File::open(directory).ok() }, None),
            Err(error) if error.is_of_full_or_read_only_disk() => {
                let lock = lock_to_read(directory)?;
                (Hold::ToRead { lock, found: identities(directory) }, Some(error))
            }
            Err(error) => return Err(error),
        };
        Ok((Self { directory: directory.to_owned(), hold }, trouble))
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether it was this daemon's, and somebody has removed or replaced it since: the lock keeps nobody away that nobody
    /// finds.
    pub fn is_lost(&self) -> bool {
        matches!(&self.hold, Hold::Whole { lock, .. } if !lock.is_of(&self.directory))
    }

    /// Whether it is this daemon's, and nobody else's.
    pub fn is_whole(&self) -> bool {
        matches!(&self.hold, Hold::Whole { lock, .. } if lock.is_of(&self.directory))
    }

    /// Lets go of a directory that was [lost](Self::is_lost): what is there now is to be [taken](Self::ensure) first.
    pub fn let_go_of_lost(&mut self) {
        let Hold::Whole { lock, open } = &self.hold else { return };
        // Where only a file of the record was removed, nobody else may come in between.
        if lock.is_of(&self.directory) {
            return;
        }
        // The record of another directory, which was mounted or brought back there, is one that this daemon has never read.
        let is_same = open.as_ref().is_some_and(|open| state::is_found(open, &self.directory));
        let found = if is_same { identities(&self.directory) } else { vec![None; state::FILES.len()] };
        self.hold = Hold::ToRead { lock: None, found };
    }

    /// Takes the whole of it where that was not possible before; without, nothing is to be written.
    ///
    /// # Errors
    ///
    /// When that is not possible yet, or when it has become [another's](InstanceError::is_of_another), which is a reason to
    /// end.
    pub fn ensure(&mut self) -> Result<(), InstanceError> {
        let Hold::ToRead { lock, found } = &mut self.hold else { return Ok(()) };
        // A record lock ends as soon as any descriptor of its file is closed, so the old one goes before the new one comes.
        drop(lock.take());
        let (taken, trouble) = Self::take(&self.directory)?;
        match taken.hold {
            Hold::ToRead { lock: read, .. } => {
                *lock = read;
                trouble.map_or(Ok(()), Err)
            }
            whole @ Hold::Whole { .. } => {
                let now = identities(&self.directory);
                // A daemon leaves a record, so nobody has written where there is none.
                if now != *found && now.iter().any(Option::is_some) {
                    return Err(InstanceError::Overtaken { path: self.directory.clone() });
                }
                self.hold = whole;
                Ok(())
            }
        }
    }
}

/// What tells whether any file of the state was written.
fn identities(directory: &Path) -> Vec<Option<Identity>> {
    let identity = |name: &&str| {
        let metadata = std::fs::metadata(directory.join(name)).ok()?;
        Some((metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
    };
    state::FILES.iter().map(identity).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_taken_again_unless_somebody_has_written_there() {
        let directory = tempfile::tempdir().unwrap();
        for (left, is_overtaken) in [(Some("mine"), false), (None, false), (Some("another's"), true)] {
            let path = directory.path().join(format!("{left:?}"));
            let (mut lease, trouble) = StateLease::take(&path).unwrap();
            assert!(trouble.is_none() && lease.is_whole() && !lease.is_lost());
            std::fs::write(path.join("applied.json"), "mine").unwrap();
            lease.let_go_of_lost();
            assert!(lease.is_whole(), "it was not lost");
            std::fs::remove_file(path.join("lock")).unwrap();
            assert!(lease.is_lost() && !lease.is_whole());
            lease.let_go_of_lost();
            std::fs::create_dir(path.join("lock")).unwrap();
            let error = lease.ensure().unwrap_err();
            assert!(!error.is_of_another(), "it may be gone soon: {error}");
            std::fs::remove_dir(path.join("lock")).unwrap();
            match left {
                None => std::fs::remove_dir_all(&path).unwrap(),
                Some("mine") => (),
                Some(other) => std::fs::write(path.join("applied.json"), other).unwrap(),
            }
            match lease.ensure() {
                Ok(()) => assert!(!is_overtaken && lease.is_whole(), "{left:?}"),
                Err(error) => assert!(is_overtaken && error.is_of_another(), "{left:?}: {error}"),
            }
        }
    }

    /// As when a file system is mounted there, or brought back from a backup, while the daemon runs.
    #[test]
    fn a_record_that_was_never_read_is_not_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("state"), directory.path().join("other"));
        for (has_record, is_overtaken) in [(true, true), (false, false)] {
            let (mut lease, _) = StateLease::take(&path).unwrap();
            std::fs::create_dir(&other).unwrap();
            if has_record {
                std::fs::write(other.join("confirmation.json"), "{}").unwrap();
            }
            std::fs::remove_dir_all(&path).unwrap();
            std::fs::rename(&other, &path).unwrap();
            lease.let_go_of_lost();
            let taken = lease.ensure();
            assert_eq!(taken.is_err_and(|error| error.is_of_another()), is_overtaken, "{has_record}");
            std::fs::remove_dir_all(&path).unwrap();
        }
    }
}
