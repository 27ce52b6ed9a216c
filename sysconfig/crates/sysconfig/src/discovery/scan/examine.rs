//! Whether a file can be taken: read, hashed, judged, and copied to where nobody else writes.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use rustix::fs::{Mode, OFlags};
use sysconfig_protocol::PLUGIN_FILE_PREFIX;

use super::{Change, Identity, Location, Scanner};
use crate::discovery::abi::Verdict;
use crate::discovery::finding::{Candidate, Finding};
use crate::discovery::sighting::{Sighting, time};
use crate::discovery::store::{PrivateCopy, hash_of};
use crate::side_by_side::side_by_side;
use crate::text::chain;
use crate::trust::{self, Owners};

/// Larger files are not plugins; a bound for the memory that reading one takes.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

impl Scanner {
    /// Reads as many at the same time as there are processors: hashing the plugins is most of what a daemon that starts
    /// has to do. That takes little memory, however many there are.
    pub(super) fn evaluate_all(&self, changed: &[Change]) -> Vec<Option<Finding>> {
        let evaluate = |(name, locations, since): &Change| self.evaluate(name, locations, *since);
        if let [one] = changed {
            return vec![evaluate(one)];
        }
        let together = std::thread::available_parallelism().map_or(1, usize::from);
        // One that came to nothing is tried again by the next poll.
        let look = |some: &[Change]| {
            side_by_side(some.iter().collect(), evaluate).into_iter().map(Option::flatten).collect::<Vec<_>>()
        };
        changed.chunks(together).flat_map(look).collect()
    }

    /// Takes the first file that can be started. None when a file changed meanwhile.
    fn evaluate(&self, name: &str, locations: &[Location], seen: Sighting) -> Option<Finding> {
        let mut refusal = None;
        for (path, identity) in locations {
            match unless_panicked(|| self.examine(name, path, identity.as_ref(), seen)) {
                Ok(candidate) => return Some(Finding::Candidate(candidate)),
                Err(Unusable::Changed) => return None,
                Err(Unusable::Refused { message, help, is_tried_again }) => {
                    let (name, path) = (name.to_owned(), path.clone());
                    refusal.get_or_insert(Finding::Refused { name, path, message, help, is_tried_again });
                }
            }
        }
        refusal
    }

    fn examine(
        &self,
        name: &str,
        path: &Path,
        identity: Option<&Identity>,
        seen: Sighting,
    ) -> Result<Candidate, Unusable> {
        let question = self.asking.about(path.parent().unwrap_or(path));
        if identity.is_some_and(|identity| !identity.is_file()) {
            return Err(Unusable::refused("not a regular file".to_owned()));
        }
        let file = open(path).map_err(|error| Unusable::unopened(&error))?;
        let metadata = file.metadata().map_err(|error| Unusable::not_yet(format!("cannot be looked at: {error}")))?;
        if identity != Some(&Identity::of(&metadata)) {
            return Err(Unusable::Changed);
        }
        self.check_attributes(path, &metadata)?;
        let unreadable = |error: std::io::Error| Unusable::not_yet(format!("cannot be read: {error}"));
        let file_name = format!("{PLUGIN_FILE_PREFIX}{name}");
        let hash = hash_of(question.reading(&file).take(MAX_FILE_BYTES)).map_err(unreadable)?;
        let is_as_before = || file.metadata().is_ok_and(|metadata| identity == Some(&Identity::of(&metadata)));
        if !is_as_before() {
            return Err(Unusable::Changed);
        }
        // What is in the store was judged when it came there.
        let copy = match self.store.find(&file_name, &hash) {
            Some(copy) => copy,
            None => {
                let mut contents = self.whole_file.lock().unwrap_or_else(PoisonError::into_inner);
                contents.clear();
                contents.reserve_exact(usize::try_from(metadata.len()).unwrap_or_default());
                (&file).rewind().map_err(unreadable)?;
                question.reading(&file).take(MAX_FILE_BYTES).read_to_end(contents.as_mut()).map_err(unreadable)?;
                if !is_as_before() || contents.len() as u64 != metadata.len() {
                    return Err(Unusable::Changed);
                }
                self.take(&file_name, &contents)?
            }
        };
        Ok(Candidate {
            name: name.to_owned(),
            path: path.to_owned(),
            copy,
            seen: seen.at,
            changed: time(metadata.ctime(), metadata.ctime_nsec()).and_then(|changed| seen.moment_of(changed)),
            modified_unix_ms: milliseconds(metadata.mtime(), metadata.mtime_nsec()),
        })
    }

    /// Judges a file that is not known yet, and copies it.
    fn take(&self, file_name: &str, contents: &[u8]) -> Result<Arc<PrivateCopy>, Unusable> {
        match self.system.judge(contents) {
            Verdict::Runs => (),
            Verdict::OtherSystem { message, help } => return Err(Unusable::advised(message, help)),
            Verdict::NotAProgram { message } => return Err(Unusable::refused(message)),
        }
        self.store.put(file_name, contents).map_err(|error| Unusable::not_yet(chain(&error)))
    }

    fn check_attributes(&self, path: &Path, metadata: &Metadata) -> Result<(), Unusable> {
        if !metadata.is_file() {
            return Err(Unusable::refused("not a regular file".to_owned()));
        }
        if metadata.mode() & 0o111 == 0 {
            let help = format!("chmod +x {}", path.display());
            return Err(Unusable::advised("not executable".to_owned(), help));
        }
        if metadata.len() > MAX_FILE_BYTES {
            return Err(Unusable::refused(format!("larger than {MAX_FILE_BYTES} bytes")));
        }
        let directory = path.parent().unwrap_or(Path::new("/"));
        let fault_for = |owners| {
            trust::fault_of_file(path, metadata, owners).or_else(|| trust::fault_of_directory(directory, owners))
        };
        let owners = if self.search.allow_untrusted_owner { Owners::Any } else { Owners::Trusted };
        let Some(fault) = fault_for(owners) else { return Ok(()) };
        let would_do = owners == Owners::Trusted && fault_for(Owners::Any).is_none();
        let otherwise = ", or set allow-untrusted-owner in [plugins] on a development machine";
        let help = format!("{}{}", fault.help, if would_do { otherwise } else { "" });
        // Mending a directory on the way changes nothing about the file, so that has to be looked at again.
        let is_tried_again = fault.path != path;
        Err(Unusable::Refused { message: format!("not trusted: {}", fault.message), help: Some(help), is_tried_again })
    }
}

/// Why a file is not taken.
enum Unusable {
    /// It is being written.
    Changed,
    Refused {
        message: String,
        help: Option<String>,
        is_tried_again: bool,
    },
}

impl Unusable {
    fn refused(message: String) -> Self {
        Self::Refused { message, help: None, is_tried_again: false }
    }

    /// A file that is not there or not ours to read changes before it can be opened; other reasons may pass by themselves.
    fn unopened(error: &std::io::Error) -> Self {
        let message = format!("cannot be opened: {error}");
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::PermissionDenied => Self::refused(message),
            _ => Self::not_yet(message),
        }
    }

    fn advised(message: String, help: String) -> Self {
        Self::Refused { message, help: Some(help), is_tried_again: false }
    }

    /// For reasons of this machine, not of the file.
    fn not_yet(message: String) -> Self {
        let help = "see that the disk has room and works; it is tried again by itself".to_owned();
        Self::Refused { message, help: Some(help), is_tried_again: true }
    }
}

/// A fault of the daemon's that one file brings about is told of that file, and the others are looked at all the same.
fn unless_panicked<T>(examine: impl FnOnce() -> Result<T, Unusable>) -> Result<T, Unusable> {
    catch_unwind(AssertUnwindSafe(examine)).unwrap_or_else(|_| {
        let message = "looking at it came to a fault of sysconfig itself".to_owned();
        let help =
            Some("report it with what the service's log says of a panic; it is tried again by itself".to_owned());
        Err(Unusable::Refused { message, help, is_tried_again: true })
    })
}

/// Opens a file for reading. It may have become another kind of file since it was looked at: a pipe would keep whoever opens
/// it until somebody writes.
fn open(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

fn milliseconds(seconds: i64, nanoseconds: i64) -> u64 {
    u64::try_from(seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plugin was told nowhere, as if it were not there.
    #[test]
    fn a_panic_over_a_file_is_told_of_the_file() {
        let result = unless_panicked::<()>(|| panic!("a fault of the daemon, for the test"));
        assert!(matches!(result, Err(Unusable::Refused { is_tried_again: true, .. })));
        assert!(matches!(unless_panicked(|| Ok(7)), Ok(7)));
    }

    /// A daemon that was out of descriptors for a moment never looked at the plugin again.
    #[test]
    fn a_file_that_could_not_be_opened_for_reasons_of_this_machine_is_tried_again() {
        for (errno, expected) in [
            (rustix::io::Errno::MFILE, true),
            (rustix::io::Errno::IO, true),
            (rustix::io::Errno::NOENT, false),
            (rustix::io::Errno::ACCESS, false),
        ] {
            let refused = Unusable::unopened(&errno.into());
            assert!(
                matches!(refused, Unusable::Refused { is_tried_again, .. } if is_tried_again == expected),
                "{errno}"
            );
        }
    }
}
