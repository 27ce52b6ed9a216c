//! Why an operation on the store failed.

use std::io;
use std::path::{Path, PathBuf};

use crate::hash::BlobHash;

/// Why an operation on a [`Store`](crate::Store) failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory or a file in it cannot be created, opened, listed or locked.
    #[error("content store: cannot {operation} {}", path.display())]
    Access {
        /// What was to be done: `create`, `open`, `list`, `lock`, `remove`.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written, for instance because the disk is full.
    #[error("content store: cannot write {what} to {}", path.display())]
    Write {
        /// What was being written: `content`, `an index`, `a record`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// A file of the store cannot be read.
    #[error("content store: cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// A blob cannot be read from its pack.
    #[error("content store: cannot read blob {hash}")]
    ReadBlob {
        /// The blob.
        hash: BlobHash,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// The reader whose content was to be stored failed; the store is not to blame.
    #[error("cannot read the content to store")]
    Source {
        /// What the reader says.
        #[source]
        source: io::Error,
    },
    /// The directory holds something that is not a store.
    #[error("{} holds something other than a content store", dir.display())]
    NotAStore {
        /// The directory.
        dir: PathBuf,
    },
    /// The store was written by another version of this program.
    #[error("content store {} is of format `{found}`, not `{wanted}`", dir.display(), wanted = super::files::FORMAT)]
    Version {
        /// The directory.
        dir: PathBuf,
        /// What its `format` file says.
        found: String,
    },
    /// The blob is not in the store.
    #[error("content store: blob {hash} is missing")]
    Missing {
        /// The blob.
        hash: BlobHash,
    },
    /// The blob is no longer what its hash says.
    #[error("content store: blob {hash} is damaged")]
    Damaged {
        /// The blob.
        hash: BlobHash,
    },
    /// The blob is not as long as the content that refers to it.
    #[error("content store: blob {hash} has {len} bytes where {wanted} are expected")]
    Length {
        /// The blob.
        hash: BlobHash,
        /// Its length.
        len: u64,
        /// The length that the content has.
        wanted: u64,
    },
    /// Unused content cannot be collected while another process has the store open.
    #[error("content store {} is in use by another process", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The store was opened only to look at it.
    #[error("content store {} was opened to be looked at, not to be changed", dir.display())]
    Dry {
        /// The directory.
        dir: PathBuf,
    },
    /// A root of a collection is not complete in the store; nothing was removed.
    #[error("content store: what is to be kept is not complete")]
    Root {
        /// What is missing or unreadable.
        #[source]
        source: Box<crate::tree::LoadError>,
    },
    /// The name space of a record is not made of lower-case letters, digits and `-`.
    #[error("`{namespace}` cannot be a name space of records: lower-case letters, digits and `-` are wanted")]
    Namespace {
        /// The name space as given.
        namespace: String,
    },
}

impl StoreError {
    /// What the user can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Write { source, .. } | Self::Access { source, .. } if is_disk_full(source) => {
                Some("make room: the file system that holds the store is full; what is in the store already is safe")
            }
            Self::NotAStore { .. } => Some("choose an empty or a new directory"),
            Self::Version { .. } | Self::Damaged { .. } => {
                Some("remove the directory of the store: everything in it can be made again")
            }
            Self::InUse { .. } => Some("wait until the other builds have finished"),
            _ => None,
        }
    }

    pub(super) fn access<'a>(operation: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Self + use<'a> {
        move |source| Self::Access { operation, path: path.to_path_buf(), source }
    }

    pub(super) fn write<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Self + use<'a> {
        move |source| Self::Write { what, path: path.to_path_buf(), source }
    }

    pub(super) fn read(path: &Path) -> impl Fn(io::Error) -> Self + use<'_> {
        move |source| Self::Read { path: path.to_path_buf(), source }
    }
}

/// Whether the error means that no more can be written for want of space, quota or file size.
fn is_disk_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
