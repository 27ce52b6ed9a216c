//! Noticing that configuration files changed, without reading them.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::Sources;
use super::read::{aside, drop_ins};

/// What tells one state of the files from another: path, device, inode, size and times of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprint(Vec<(PathBuf, Option<Identity>)>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    file: [u64; 3],
    /// Also when the inode changed: whoever sets back the other time cannot set back that one.
    times: [i64; 4],
}

impl Fingerprint {
    pub(super) fn of(sources: &Sources) -> Self {
        // A directory that cannot be read is told by whoever reads it next.
        let drop_ins = drop_ins(&sources.directory).unwrap_or_default();
        let identity = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some(Identity {
                file: [metadata.dev(), metadata.ino(), metadata.size()],
                times: [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()],
            })
        };
        let paths = std::iter::once(sources.file.clone()).chain(drop_ins);
        Self(paths.map(|path| (path.clone(), identity(&path))).collect())
    }

    /// Looks at the files as they are, in a thread; nothing where earlier looks have not come to an end.
    pub fn begin(sources: &Sources) -> Option<Receiver<Self>> {
        let sources = sources.clone();
        aside(move || Self::of(&sources)).ok()
    }
}

/// Polls the files; no file events come through a share.
#[derive(Debug)]
pub struct ConfigWatch {
    sources: Sources,
    told: Fingerprint,
    last: Fingerprint,
    since: Instant,
    /// A look that has not come to an end.
    looking: Option<Receiver<Fingerprint>>,
}

impl ConfigWatch {
    /// Takes the files as they were at some time for known. Whoever reads them does so afterwards, lest a change in between is
    /// missed.
    pub fn new(sources: Sources, known: Fingerprint) -> Self {
        Self { sources, last: known.clone(), told: known, since: Instant::now(), looking: None }
    }

    /// Looks once. A change that two looks agree on is told once, with the time of the first of the two.
    pub fn poll(&mut self) -> Option<Instant> {
        let now = self.look()?;
        if now != self.last {
            self.last = now;
            self.since = Instant::now();
            return None;
        }
        if self.last == self.told {
            return None;
        }
        self.told = now;
        Some(self.since)
    }

    /// How the files are. Where their file system does not answer, the look goes on, and is asked for again by the next poll.
    fn look(&mut self) -> Option<Fingerprint> {
        /// What else the thread looks at waits so long at most.
        const PATIENCE: Duration = Duration::from_millis(500);
        let (looking, patience) = match self.looking.take() {
            Some(looking) => (looking, Duration::ZERO),
            None => {
                let sources = self.sources.clone();
                (aside(move || Fingerprint::of(&sources)).ok()?, PATIENCE)
            }
        };
        match looking.recv_timeout(patience) {
            Ok(found) => Some(found),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                self.looking = Some(looking);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_when_two_looks_agree() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir(path("d")).unwrap();
        std::fs::write(path("main.toml"), "").unwrap();
        let sources = Sources { file: path("main.toml"), directory: path("d") };
        let mut watch = ConfigWatch::new(sources.clone(), Fingerprint::of(&sources));
        assert!(watch.poll().is_none());
        let mut changes = |what: &str| {
            assert!(watch.poll().is_none(), "{what}: seen for the first time");
            assert!(watch.poll().is_some(), "{what}: seen again");
            assert!(watch.poll().is_none(), "{what}: told already");
        };
        std::fs::write(path("d/10.toml"), "a = 1\n").unwrap();
        changes("a new file");
        std::fs::write(path("new"), "a = 2\n").unwrap();
        std::fs::rename(path("new"), path("d/10.toml")).unwrap();
        changes("a file of the same size in its place");
        std::fs::remove_file(path("main.toml")).unwrap();
        changes("a file that is gone");
        std::fs::write(path("d/note.txt"), "").unwrap();
        assert!(watch.poll().is_none() && watch.poll().is_none(), "other files are nobody's business");
    }
}
