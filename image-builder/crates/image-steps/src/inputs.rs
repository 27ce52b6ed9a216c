//! Content hashes of the host's files, for cache keys.
//!
//! Hashing a base of several hundred megabytes takes longer than everything else in a build
//! that has nothing to do, so a hash is remembered together with the file's identity:
//! inode, size, and both times with nanoseconds. A file that changed does not keep all of that.

use image_tree::{BlobHash, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

/// Below this size a file is hashed each time: remembering it would cost as much.
const SMALL_BYTES: u64 = 64 * 1024;

/// What tells a file from the same path with other content.
///
/// The number of the device is not among it: a file system like ZFS, btrfs or NFS has another one each time it is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileIdentity {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileIdentity {
    /// The identity of the regular file at `path`, links followed.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Whether it is the same file with the same content. It may have got another name or mode meanwhile: both change only
    /// `st_ctime`.
    pub(crate) fn is_same_content(&self, other: &Self) -> bool {
        Self { changed: other.changed, ..*self } == *other
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

/// Something that a step reads beside the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Input {
    /// What it is, for people.
    pub(crate) what: String,
    /// What it is, for keys.
    pub(crate) hash: String,
}

/// A file of the host cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The file system refused.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The store's record of it cannot be read or written.
    #[error("cannot remember the hash of {path}")]
    Remember {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: StoreError,
    },
}

#[derive(Serialize, Deserialize)]
struct Remembered {
    identity: FileIdentity,
    hash: BlobHash,
}

/// The BLAKE3 hash of all that a file has.
fn hash_of(file: File) -> io::Result<BlobHash> {
    let mut hasher = blake3::Hasher::new();
    for_each_piece(file, |piece| {
        hasher.update(piece);
    })?;
    Ok(hasher.finalize().into())
}

/// Calls `take` with all that a file has, piece by piece. Another thread reads meanwhile: hashing takes about as long as
/// reading where the file is in memory.
pub(crate) fn for_each_piece(mut file: File, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    const PIECE_BYTES: usize = 1 << 20;
    const PIECES: usize = 4;
    thread::scope(|scope| {
        let (full, to_hash) = mpsc::sync_channel::<(Vec<u8>, usize)>(PIECES);
        let (empty, to_fill) = mpsc::sync_channel::<Vec<u8>>(PIECES);
        let reader = scope.spawn(move || -> io::Result<()> {
            // Once all pieces are under way, each serves again.
            let new = (0..PIECES).map(|_| vec![0; PIECE_BYTES]);
            for mut piece in new.chain(to_fill) {
                let count = file.read(&mut piece)?;
                if count == 0 || full.send((piece, count)).is_err() {
                    break;
                }
            }
            Ok(())
        });
        for (piece, count) in to_hash {
            take(&piece[..count]);
            // The reader takes none any more when it is at the end.
            let _ = empty.send(piece);
        }
        reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The BLAKE3 hash of a file's content.
pub(crate) fn hash_file(path: &Path, store: &Store) -> Result<BlobHash, InputError> {
    let failed = |source| InputError::Read { path: path.to_owned(), source };
    let remember = |source| InputError::Remember { path: path.to_owned(), source };
    let identity = FileIdentity::of(path).map_err(failed)?;
    if identity.size() <= SMALL_BYTES {
        return Ok(BlobHash::of(&fs::read(path).map_err(failed)?));
    }
    let key = path.as_os_str().as_encoded_bytes();
    let known = store.record_get("file", key).map_err(remember)?;
    let known = known.and_then(|bytes| serde_json::from_slice::<Remembered>(&bytes).ok());
    if let Some(known) = known.filter(|known| known.identity == identity) {
        return Ok(known.hash);
    }
    let hash = hash_of(File::open(path).map_err(failed)?).map_err(failed)?;
    // A file that was written to while it was read is hashed anew next time.
    if FileIdentity::of(path).map_err(failed)? == identity {
        let value = serde_json::to_vec(&Remembered { identity, hash }).expect("numbers and a hash are JSON");
        store.record_put("file", key, &value).map_err(remember)?;
    }
    Ok(hash)
}

/// Where it is kept which files of the output directory builds have made; `clean` leaves it.
pub(crate) const MADE: &str = "output";

/// What is remembered of a file as long as it is being made: whatever lies there, should that be interrupted, is no gift.
const BEING_MADE: &[u8] = b"being made";

/// Remembers, before anything is put there, that a build is about to make the file `name` of the output directory.
pub(crate) fn claim_output(name: &str, store: &Store) -> Result<(), StoreError> {
    store.record_put(MADE, name.as_bytes(), BEING_MADE)
}

/// Remembers that the file `name` of the output directory, at `path`, was made by a build here, by its content: a copy of it
/// is as good.
pub(crate) fn remember_output(name: &str, path: &Path, store: &Store) -> Result<(), InputError> {
    let hash = hash_file(path, store)?.to_string();
    let remember = |source| InputError::Remember { path: path.to_owned(), source };
    store.record_put(MADE, name.as_bytes(), hash.as_bytes()).map_err(remember)
}

/// The hash of the archive `name` that a build here has made last; none of another file.
pub(crate) fn made_hash(name: &str, store: &Store) -> Result<Option<String>, StoreError> {
    let known = store.record_get(MADE, name.as_bytes())?.and_then(|known| String::from_utf8(known).ok());
    let is_hash =
        |text: &String| text.len() == 2 * blake3::OUT_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    Ok(known.filter(is_hash))
}

/// The same of an image, by what tells one file from another: reading all of it would take too long.
pub(crate) fn remember_image(name: &str, identity: &FileIdentity, store: &Store) -> Result<(), StoreError> {
    let value = serde_json::to_vec(identity).expect("numbers are JSON");
    store.record_put(MADE, name.as_bytes(), &value)
}

/// Where a file of the output directory is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MadeBy {
    /// A build here has made it as it is, or was about to.
    Build,
    /// A build here has made it, and somebody has changed or replaced it since.
    Changed,
    /// No build here has made it.
    Somebody,
}

/// Where what is at `path` is from, the file `name` of the output directory.
pub(crate) fn made_by(name: &str, path: &Path, store: &Store) -> Result<MadeBy, InputError> {
    let remember = |source| InputError::Remember { path: path.to_owned(), source };
    let failed = |source| InputError::Read { path: path.to_owned(), source };
    let Some(known) = store.record_get(MADE, name.as_bytes()).map_err(remember)? else { return Ok(MadeBy::Somebody) };
    if known == BEING_MADE {
        return Ok(MadeBy::Build);
    }
    let is_same = match serde_json::from_slice::<FileIdentity>(&known) {
        Ok(identity) => FileIdentity::of(path).map_err(failed)? == identity,
        Err(_) => hash_file(path, store)?.to_string().as_bytes() == known,
    };
    Ok(if is_same { MadeBy::Build } else { MadeBy::Changed })
}
