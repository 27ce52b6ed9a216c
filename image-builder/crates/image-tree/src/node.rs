//! What stands at a path: kind, content reference and metadata.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::acl::AclEntry;
use crate::hash::BlobHash;

/// The permission, set-id and sticky bits: all that [`Metadata::mode`] may hold.
pub const MODE_MASK: u16 = 0o7777;

/// The extended attributes of one node have at most this many bytes of values together: more than any system allows, and
/// what can be read back from an image.
pub const XATTR_BYTES_MAX: u64 = 16 << 20;

/// One node has at most this many extended attributes.
pub const XATTRS_MAX: usize = 16 << 10;

/// A regular file has at most this many bytes: file offsets are signed (POSIX `off_t`; `MAXOFFSET_T` of illumos).
pub const FILE_BYTES_MAX: u64 = i64::MAX as u64;

/// A point in time as file systems keep it: `secs` since 1970-01-01 UTC (negative before), plus `nanos`
/// forward from there, below 1 000 000 000.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds since the epoch, rounded down.
    pub secs: i64,
    /// Nanoseconds after `secs`.
    pub nanos: u32,
}

/// Owner, permissions, time and extended attributes of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Metadata {
    /// Numeric user id; images hold no names.
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
    /// Permission, set-id and sticky bits, within [`MODE_MASK`]; the file type is the node's kind.
    pub mode: u16,
    /// Time of the last modification.
    pub mtime: Timestamp,
    /// Extended attributes: full name (with its name space, `security.capability`) to value, at most
    /// [`XATTRS_MAX`], of [`XATTR_BYTES_MAX`] together.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The access control list, 1 to [`ACL_ENTRIES_MAX`](crate::ACL_ENTRIES_MAX) entries; none if it says what the mode
    /// says. File systems that do not have such lists leave it out.
    pub acl: Option<Arc<[AclEntry]>>,
}

impl Metadata {
    /// Metadata with these ids and mode (cut to [`MODE_MASK`]), the time 0 and no extended attributes.
    #[must_use]
    pub fn new(uid: u32, gid: u32, mode: u16) -> Self {
        Self { uid, gid, mode: mode & MODE_MASK, ..Self::default() }
    }

    /// The bytes of all values of extended attributes.
    #[must_use]
    pub fn xattr_bytes(&self) -> u64 {
        self.xattrs.values().map(|value| value.len() as u64).sum()
    }
}

/// A run of data in a sparse file: `len` bytes from `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    /// Where in the file the data begins, in bytes.
    pub offset: u64,
    /// How many bytes of data there are.
    pub len: u64,
}

/// A reference to the content of a regular file.
///
/// A plain file is one blob with the whole content. A file that came with holes keeps its list of data
/// extents, and its blob holds the data of those extents one after the other; what lies between reads as zeros.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Content {
    blob: BlobHash,
    len: u64,
    extents: Option<Arc<[Extent]>>,
}

/// The extents of a sparse file are not increasing, overlap, are empty or pass the end of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("data extent {index} of a sparse file is empty, out of order or beyond its end")]
pub struct ExtentError {
    /// Which extent, from 0.
    pub index: usize,
}

impl Content {
    /// The content that is exactly the blob `blob` of `len` bytes.
    #[must_use]
    pub fn plain(blob: BlobHash, len: u64) -> Self {
        Self { blob, len, extents: None }
    }

    /// A file of `len` bytes of which only `extents` are data; `blob` holds the data, concatenated. Extents that
    /// touch are joined, and a file without any hole is a plain one.
    ///
    /// # Errors
    /// The extents have to be non-empty, in order, without overlap, and within the file.
    pub fn sparse(blob: BlobHash, len: u64, extents: &[Extent]) -> Result<Self, ExtentError> {
        let mut joined: Vec<Extent> = Vec::new();
        let mut end = 0;
        for (index, extent) in extents.iter().enumerate() {
            let extent_end = extent.offset.checked_add(extent.len);
            let new_end = extent_end.filter(|past| extent.offset >= end && extent.len > 0 && *past <= len);
            match joined.last_mut() {
                Some(last) if extent.offset == end => last.len += extent.len,
                _ => joined.push(*extent),
            }
            end = new_end.ok_or(ExtentError { index })?;
        }
        let content = Self { blob, len, extents: Some(joined.into()) };
        Ok(if content.data_len() == len { Self::plain(blob, len) } else { content })
    }

    /// The empty file. Its blob is the empty one, which every store holds.
    #[must_use]
    pub fn empty() -> Self {
        Self::plain(BlobHash::of(b""), 0)
    }

    /// The blob that holds the data.
    #[must_use]
    pub fn blob(&self) -> BlobHash {
        self.blob
    }

    /// The length of the file in bytes, holes included.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file has no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The data extents of a sparse file; none for a plain file, which is data from end to end.
    #[must_use]
    pub fn extents(&self) -> Option<&[Extent]> {
        self.extents.as_deref()
    }

    /// The bytes of data, which is the length of the blob.
    #[must_use]
    pub fn data_len(&self) -> u64 {
        self.extents().map_or(self.len, |extents| extents.iter().map(|extent| extent.len).sum())
    }
}

/// What a node is, without its metadata.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// A directory; what it holds is asked of the [`Tree`](crate::Tree).
    Directory,
    /// A regular file.
    Regular(Content),
    /// A symbolic link with its target, verbatim.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice {
        /// Major number, in the guest's own numbering.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number, in the guest's own numbering.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// A node: its kind and its metadata.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    /// What the node is.
    pub kind: NodeKind,
    /// Its owner, permissions, time and extended attributes.
    pub metadata: Metadata,
}

impl Node {
    /// A directory.
    #[must_use]
    pub fn directory(metadata: Metadata) -> Self {
        Self { kind: NodeKind::Directory, metadata }
    }

    /// A regular file.
    #[must_use]
    pub fn regular(content: Content, metadata: Metadata) -> Self {
        Self { kind: NodeKind::Regular(content), metadata }
    }

    /// A symbolic link. Its mode is conventionally 0777.
    #[must_use]
    pub fn symlink(target: impl Into<Vec<u8>>, metadata: Metadata) -> Self {
        Self { kind: NodeKind::Symlink(target.into()), metadata }
    }

    /// Whether this is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, NodeKind::Directory)
    }

    /// The content, if this is a regular file.
    #[must_use]
    pub fn content(&self) -> Option<&Content> {
        match &self.kind {
            NodeKind::Regular(content) => Some(content),
            _ => None,
        }
    }

    /// The target, if this is a symbolic link.
    #[must_use]
    pub fn symlink_target(&self) -> Option<&[u8]> {
        match &self.kind {
            NodeKind::Symlink(target) => Some(target),
            _ => None,
        }
    }
}

impl NodeKind {
    /// The word for this kind in messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Regular(_) => "regular file",
            Self::Symlink(_) => "symbolic link",
            Self::CharDevice { .. } => "character device",
            Self::BlockDevice { .. } => "block device",
            Self::Fifo => "fifo",
        }
    }
}
