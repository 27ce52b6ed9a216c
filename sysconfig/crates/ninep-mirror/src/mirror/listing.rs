//! Which files of the share are wanted: the tracked ones, by git's index, or all where there is no index.

use std::io::{self, Read};

use super::copy::{look, release};
use super::error::MirrorError;
use super::everything;
use super::limits::Limits;
use super::version::{EntryKind, Version};
use crate::path::SharePath;
use crate::report::chain;
use crate::selection::{IndexError, Rules, TrackedFiles, read_index};
use crate::session::{Fid, Session, SessionError};

const INDEX: &[u8] = b".git/index";
/// Lengths of the object names of a repository: SHA-1, SHA-256.
const HASH_BYTES: [usize; 2] = [20, 32];

/// How the wanted files are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// From the index in this version.
    Index(Version),
    /// By going through all directories, for this reason.
    Everything(String),
}

/// The wanted files, besides executables.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) source: Source,
    /// Sorted.
    pub(super) paths: Vec<SharePath>,
    /// What could not be listed or looked at, with the reason. It and what is in it are unknown, not gone.
    pub(super) unlisted: Vec<(Option<SharePath>, String)>,
    /// Directories with a name in them that is none, and one such name.
    pub(super) refused: Vec<(Option<SharePath>, String)>,
}

impl Listing {
    pub(super) fn new(source: Source) -> Self {
        Self { source, paths: Vec::new(), unlisted: Vec::new(), refused: Vec::new() }
    }

    /// With the paths in order, each once.
    pub(super) fn sorted(mut self) -> Self {
        self.paths.sort_unstable();
        self.paths.dedup();
        self
    }

    /// Whether the path is wanted.
    pub(super) fn has(&self, path: &SharePath) -> bool {
        self.paths.binary_search(path).is_ok()
    }

    /// Whether nobody knows if the path is wanted.
    pub(super) fn is_unknown(&self, path: &SharePath) -> bool {
        self.unlisted.iter().any(|(directory, _)| directory.as_ref().is_none_or(|it| path == it || path.is_inside(it)))
    }
}

/// What is wanted now.
pub(super) enum Refreshed {
    /// This.
    Fresh(Listing),
    /// What is known already.
    AsKnown,
    /// What is known already, because nobody can say, for this reason.
    Unknown(String),
}

/// Finds out what is wanted.
pub(super) fn refresh(
    session: &mut Session,
    rules: &Rules,
    limits: &Limits,
    tracked_only: bool,
    known: Option<&Listing>,
) -> Result<Refreshed, MirrorError> {
    let reason = if tracked_only {
        let known_index = match known {
            Some(Listing { source: Source::Index(version), .. }) => Some(version),
            _ => None,
        };
        match from_index(session, rules, limits, known_index)? {
            FromIndex::Fresh(listing) => return Ok(Refreshed::Fresh(listing)),
            FromIndex::AsKnown => return Ok(Refreshed::AsKnown),
            // It is being replaced, or damaged; what was tracked before is a better guess than everything.
            FromIndex::Unusable(reason) if known_index.is_some() => return Ok(Refreshed::Unknown(reason)),
            FromIndex::Unusable(reason) | FromIndex::Nothing(reason) => reason,
        }
    } else {
        "untracked files are wanted, too".to_owned()
    };
    let mut walk = everything::Walk::new(rules, limits, Source::Everything(reason));
    walk.run(session)?;
    Ok(Refreshed::Fresh(walk.into_listing()))
}

/// What git's index says.
enum FromIndex {
    Fresh(Listing),
    AsKnown,
    /// There is one, and it cannot be used.
    Unusable(String),
    /// There is none.
    Nothing(String),
}

fn from_index(
    session: &mut Session,
    rules: &Rules,
    limits: &Limits,
    known: Option<&Version>,
) -> Result<FromIndex, MirrorError> {
    let index = SharePath::parse(INDEX).expect("the path of the index is a path");
    let version = match look(session, &index) {
        Ok(Some(version)) if version.kind == EntryKind::File => version,
        Ok(_) => return Ok(FromIndex::Nothing("the share has no .git/index".to_owned())),
        Err(error) if error.leaves_session_usable() => return Ok(FromIndex::Unusable(format!(".git/index: {error}"))),
        Err(error) => return Err(error.into()),
    };
    if known == Some(&version) {
        return Ok(FromIndex::AsKnown);
    }
    Ok(match tracked(session, &index, &version, limits)? {
        Ok(tracked) => {
            let mut listing = Listing::new(Source::Index(version));
            listing.paths = tracked.paths;
            listing.paths.retain(|path| rules.wants(path));
            FromIndex::Fresh(listing.sorted())
        }
        Err(reason) => FromIndex::Unusable(format!(".git/index: {reason}")),
    })
}

/// Reads the index in this version; the inner error says why it cannot be used.
fn tracked(
    session: &mut Session,
    path: &SharePath,
    version: &Version,
    limits: &Limits,
) -> Result<Result<TrackedFiles, String>, MirrorError> {
    let mut result = Err(String::new());
    for hash_bytes in HASH_BYTES {
        result = match read_tracked(session, path, version.size, hash_bytes, limits.entries) {
            Ok(Ok(tracked)) => Ok(tracked),
            // With the other length of hashes, entries are elsewhere.
            Ok(Err(error @ (IndexError::Entry { .. } | IndexError::Read(_)))) => Err(chain(&error)),
            Ok(Err(error)) => return Ok(Err(chain(&error))),
            Err(error) if error.leaves_session_usable() => return Ok(Err(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        if result.is_ok() {
            break;
        }
    }
    // A look afterwards: git replaces the file while it is read, and some servers then read on in the new one.
    let same = look(session, path)? == Some(*version);
    Ok(if same { result } else { Err("it changed while it was read".to_owned()) })
}

fn read_tracked(
    session: &mut Session,
    path: &SharePath,
    size: u64,
    hash_bytes: usize,
    limit: usize,
) -> Result<Result<TrackedFiles, IndexError>, SessionError> {
    let names: Vec<_> = path.names().collect();
    let fid = session.walk(&names)?;
    let chunk_bytes = match session.open_for_reading(&fid) {
        Ok(chunk_bytes) => chunk_bytes,
        Err(error) => return release(session, fid, Err(error)),
    };
    let mut reader = RemoteFile { session, fid: &fid, chunk_bytes, offset: 0, left: size, failure: None };
    let read = read_index(&mut io::BufReader::with_capacity(1 << 14, &mut reader), hash_bytes, limit);
    let result = match reader.failure {
        Some(error) => Err(error),
        None => Ok(read),
    };
    release(session, fid, result)
}

/// A file of the share as a stream.
struct RemoteFile<'a> {
    session: &'a mut Session,
    fid: &'a Fid,
    chunk_bytes: u32,
    offset: u64,
    left: u64,
    failure: Option<SessionError>,
}

impl Read for RemoteFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = u64::try_from(buffer.len()).unwrap_or(u64::MAX).min(self.left).min(self.chunk_bytes.into());
        let Ok(count @ 1..) = u32::try_from(most) else { return Ok(0) };
        match self.session.read(self.fid, self.offset, count) {
            Ok(data) => {
                buffer[..data.len()].copy_from_slice(data);
                let got = u64::try_from(data.len()).unwrap_or(u64::MAX);
                self.offset += got;
                self.left -= got;
                Ok(data.len())
            }
            Err(error) => {
                self.failure = Some(error);
                Err(io::Error::other("the server failed"))
            }
        }
    }
}
