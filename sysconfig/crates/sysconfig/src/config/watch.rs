//! Noticing that configuration files changed, without reading them.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::read::{aside, drop_ins, read_files};
use super::{SourceFile, Sources};

/// What tells one state of the files from another: path, device, inode, owner, mode, size and times of each.
#[derive(Debug, Clone, Default)]
pub struct Fingerprint {
    files: Vec<(PathBuf, Option<Identity>)>,
    /// A hash of their texts, where they were read.
    texts: Option<blake3::Hash>,
}

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files
    }
}

impl Eq for Fingerprint {}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    file: [u64; 6],
    modified: [i64; 2],
    /// When the inode changed: whoever sets back the other time cannot set back this one.
    changed: [i64; 2],
}

impl Fingerprint {
    pub(super) fn of(sources: &Sources) -> Self {
        // A directory that cannot be read is told by whoever reads it next.
        let drop_ins = drop_ins(&sources.directory).unwrap_or_default();
        let identity = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            let (mode, uid, gid) = (metadata.mode(), metadata.uid(), metadata.gid());
            Some(Identity {
                file: [metadata.dev(), metadata.ino(), metadata.size(), mode.into(), uid.into(), gid.into()],
                modified: [metadata.mtime(), metadata.mtime_nsec()],
                changed: [metadata.ctime(), metadata.ctime_nsec()],
            })
        };
        let paths = std::iter::once(sources.file.clone()).chain(drop_ins);
        Self { files: paths.map(|path| (path.clone(), identity(&path))).collect(), texts: None }
    }

    /// The same with what was read.
    pub(super) fn with_texts(self, files: &[SourceFile]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for SourceFile { path, text, .. } in files {
            for part in [path.as_os_str().as_encoded_bytes(), text.as_bytes()] {
                hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
            }
        }
        Self { texts: Some(hasher.finalize()), ..self }
    }

    /// Looks at the files as they are, in a thread; nothing where earlier looks have not come to an end. Where a time alone is
    /// another one than before, as after a link was made or `chmod` changed nothing, the texts decide: where those are the
    /// same, it has them, too.
    pub fn begin(sources: &Sources, before: Self) -> Option<Receiver<Self>> {
        let sources = sources.clone();
        aside(move || {
            let now = Self::of(&sources);
            match now != before && now.differs_in_time_only(&before) {
                true => {
                    read_files(&sources, false).map_or_else(|_| now.clone(), |files| now.clone().with_texts(&files))
                }
                false => now,
            }
        })
        .ok()
    }

    /// Whether the files say what they said before.
    pub fn says_as_much_as(&self, before: &Self) -> bool {
        self == before || (self.texts.is_some() && self.texts == before.texts && self.differs_in_time_only(before))
    }

    fn differs_in_time_only(&self, other: &Self) -> bool {
        let without_time =
            |identity: &Option<Identity>| identity.as_ref().map(|identity| (identity.file, identity.modified));
        self.files.len() == other.files.len()
            && self.files.iter().zip(&other.files).all(|((path, identity), (other_path, other))| {
                path == other_path && without_time(identity) == without_time(other)
            })
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

    /// The status said that the files had changed since they were read, until somebody read them again.
    #[test]
    fn a_link_to_a_file_or_its_old_mode_anew_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("main.toml");
        std::fs::write(&file, "a = 1\n").unwrap();
        let sources = Sources { file: file.clone(), directory: directory.path().join("d") };
        let read = crate::config::read(&sources, crate::config::Reading::LENIENT).unwrap().fingerprint;
        let now = || Fingerprint::begin(&sources, read.clone()).unwrap().recv().unwrap();
        let until_the_clock_moves = |act: &dyn Fn()| {
            while now() == read {
                act();
            }
        };
        until_the_clock_moves(&|| {
            drop(std::fs::remove_file(directory.path().join("link")));
            std::fs::hard_link(&file, directory.path().join("link")).unwrap();
        });
        assert!(now().says_as_much_as(&read));
        let modified = std::fs::metadata(&file).unwrap().modified().unwrap();
        std::fs::write(&file, "a = 2\n").unwrap();
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
        assert!(!now().says_as_much_as(&read), "whoever sets back the time is found out");
    }
}
