//! Which files of the share are wanted: the tracked ones, by git's index, or all where there is no index.

use std::io::{self, Read};

use super::copy::{attributes, list, look};
use super::error::MirrorError;
use super::limits::Limits;
use super::version::{EntryKind, Version};
use crate::path::{SharePath, printable};
use crate::report::chain;
use crate::selection::{IndexError, Rules, TrackedFiles, read_index};
use crate::session::{Fid, Session, SessionError};
use crate::wire::FileKind;

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
    /// Whether the path is wanted.
    pub(super) fn has(&self, path: &SharePath) -> bool {
        self.paths.binary_search(path).is_ok()
    }

    /// Whether nobody knows if the path is wanted.
    pub(super) fn is_unknown(&self, path: &SharePath) -> bool {
        self.unlisted.iter().any(|(directory, _)| directory.as_ref().is_none_or(|it| path == it || path.is_inside(it)))
    }
}

/// Finds out what is wanted; `None` when `known` still holds.
pub(super) fn refresh(
    session: &mut Session,
    rules: &Rules,
    limits: &Limits,
    tracked_only: bool,
    known: Option<&Listing>,
) -> Result<Option<Listing>, MirrorError> {
    if !tracked_only {
        return everything(session, rules, limits, "all files are wanted".to_owned()).map(Some);
    }
    let index = SharePath::parse(INDEX).expect("the path of the index is a path");
    let version = match look(session, &index)? {
        Some(version) if version.kind == EntryKind::File => version,
        _ => return everything(session, rules, limits, "the share has no .git/index".to_owned()).map(Some),
    };
    if known.is_some_and(|known| known.source == Source::Index(version)) {
        return Ok(None);
    }
    match tracked(session, &index, &version, limits)? {
        Ok(tracked) => {
            let mut paths = tracked.paths;
            paths.retain(|path| rules.wants(path));
            paths.sort_unstable();
            paths.dedup();
            Ok(Some(Listing { source: Source::Index(version), paths, unlisted: Vec::new(), refused: Vec::new() }))
        }
        // It is being replaced, or damaged; what was tracked before is a better guess than everything.
        Err(_) if matches!(known, Some(Listing { source: Source::Index(_), .. })) => Ok(None),
        Err(error) => everything(session, rules, limits, format!(".git/index: {}", chain(&error))).map(Some),
    }
}

fn tracked(
    session: &mut Session,
    path: &SharePath,
    version: &Version,
    limits: &Limits,
) -> Result<Result<TrackedFiles, IndexError>, MirrorError> {
    let mut result = Err(IndexError::Signature);
    for hash_bytes in HASH_BYTES {
        let names: Vec<_> = path.names().collect();
        let fid = session.walk(&names)?;
        let chunk_bytes = session.open_for_reading(&fid)?;
        let mut reader = RemoteFile { session, fid: &fid, chunk_bytes, offset: 0, left: version.size, failure: None };
        result = read_index(&mut io::BufReader::with_capacity(1 << 14, &mut reader), hash_bytes, limits.entries);
        if let Some(error) = reader.failure {
            return Err(error.into());
        }
        session.clunk(fid)?;
        if !matches!(result, Err(IndexError::Entry { .. } | IndexError::Read(_))) {
            break;
        }
    }
    // A look afterwards: git replaces the file while it is read, and some servers then read on in the new one.
    Ok(if look(session, path)? == Some(*version) { result } else { Err(IndexError::Signature) })
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

/// Goes through all directories that may hold something wanted.
fn everything(session: &mut Session, rules: &Rules, limits: &Limits, reason: String) -> Result<Listing, MirrorError> {
    let mut listing =
        Listing { source: Source::Everything(reason), paths: Vec::new(), unlisted: Vec::new(), refused: Vec::new() };
    let started = std::time::Instant::now();
    let mut entries = 0;
    let mut directories = vec![None];
    while let Some(directory) = directories.pop() {
        if started.elapsed() > limits.pass_time {
            let what = "listing the share".to_owned();
            return Err(MirrorError::TooSlow { what, seconds: limits.pass_time.as_secs() });
        }
        let names = match list(session, directory.as_ref(), limits.entries) {
            Ok(names) => names.unwrap_or_default(),
            Err(error) if error.leaves_session_usable() => {
                listing.unlisted.push((directory, error.to_string()));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        entries += names.len();
        if entries > limits.entries {
            return Err(MirrorError::Limit { what: "files", limit: limits.entries });
        }
        let mut refusal = None;
        for name in names {
            let path = match SharePath::entry(directory.as_ref(), &name) {
                Ok(path) => path,
                Err(error) => {
                    refusal = Some(format!("{}: {error}", printable(&name)));
                    continue;
                }
            };
            if !rules.enters(&path) {
                continue;
            }
            // Directory entries do not say reliably what they are.
            match attributes(session, &path) {
                Ok(Some(attributes)) => match attributes.file_kind() {
                    FileKind::Directory => directories.push(Some(path)),
                    FileKind::Regular | FileKind::Link if rules.wants(&path) => listing.paths.push(path),
                    _ => {}
                },
                Ok(None) => {}
                Err(error) if error.leaves_session_usable() => listing.unlisted.push((Some(path), error.to_string())),
                Err(error) => return Err(error.into()),
            }
        }
        listing.refused.extend(refusal.map(|what| (directory, what)));
    }
    listing.paths.sort_unstable();
    listing.paths.dedup();
    Ok(listing)
}
