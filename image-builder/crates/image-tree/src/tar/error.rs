//! What can be wrong with an archive, and what it holds that a tree cannot.

use std::collections::BTreeMap;
use std::io;

use crate::node::{NodeKind, XATTR_BYTES_MAX};
use crate::path::{self, ImagePath, PathError};
use crate::store::StoreError;
use crate::tree::TreeError;

/// Why an archive could not be read, and where.
#[derive(Debug, thiserror::Error)]
#[error("cannot read archive entry {entry} (`{}`, at byte {offset})", path::display(name))]
pub struct TarError {
    /// The number of the entry, from 1; headers that belong to a later one do not count.
    pub entry: u64,
    /// The name of the entry as far as it is known, as it is in the archive.
    pub name: Vec<u8>,
    /// Where in the (decompressed) archive the header of the entry begins.
    pub offset: u64,
    /// What is wrong.
    #[source]
    pub kind: TarErrorKind,
}

/// What is wrong with an entry of an archive.
#[derive(Debug, thiserror::Error)]
pub enum TarErrorKind {
    /// The archive cannot be read, or its compression is damaged.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// The archive ends within an entry or without its end mark.
    #[error("the archive is cut off")]
    Truncated,
    /// The archive is compressed by something other than gzip.
    #[error("the archive is compressed with {0}; only gzip is understood")]
    Compression(&'static str),
    /// The header is not one: its checksum is wrong.
    #[error("this is no tar header")]
    Checksum,
    /// A field of the header cannot be read, or its value cannot be held.
    #[error("impossible {0}")]
    Field(&'static str),
    /// An extended header is malformed.
    #[error("malformed extended header: {0}")]
    Extended(&'static str),
    /// A header that describes another entry is unreasonably large.
    #[error("extended header of {0} bytes")]
    TooLarge(u64),
    /// The extended attributes of an entry are larger than a node's may be.
    #[error("extended attributes of {0} bytes; a file can have {XATTR_BYTES_MAX}")]
    XattrsTooLarge(u64),
    /// An entry has more extended attributes than are kept.
    #[error("{0} extended attributes")]
    TooManyXattrs(usize),
    /// Global headers say so much that every entry would get a copy of.
    #[error("global headers say {0} bytes about all entries, which would take too much memory")]
    GlobalTooLarge(u64),
    /// The archive's sparse files have more extents than are kept.
    #[error("the sparse files of the archive have more than {0} extents together")]
    TooManyExtents(usize),
    /// The name, or the name that a hard link points to, cannot be in an image.
    #[error("impossible name")]
    Path(#[source] PathError),
    /// Only a directory can be at the root, which is what no name means.
    #[error("a {0} without a name")]
    NoName(&'static str),
    /// What a hard link points to is not there, neither in the archive before it nor where it is unpacked.
    #[error("a hard link to {target}, which is not there: {}", if *.is_itself {
        "that is the link itself, and no entry before it has what it is a name of"
    } else {
        "no entry before it has it"
    })]
    LinkTarget {
        /// Where the link points.
        target: ImagePath,
        /// It points to itself.
        is_itself: bool,
    },
    /// The entry cannot be placed in the tree.
    #[error("cannot place the entry")]
    Tree(#[source] TreeError),
    /// The content cannot be stored.
    #[error("cannot store the content")]
    Store(#[source] StoreError),
    /// The archive uses something that is not supported and cannot be left out.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
}

/// So many kinds of warnings are told apart.
const WARNING_KINDS_MAX: usize = 100;

/// A list of kinds of warnings that stays short.
pub(super) trait WarningList {
    /// The kind to count a warning under: itself, or that of all for which there is no room.
    fn kind_of(&self, kind: TarWarningKind) -> TarWarningKind;
}

impl<T> WarningList for BTreeMap<TarWarningKind, T> {
    fn kind_of(&self, kind: TarWarningKind) -> TarWarningKind {
        let is_full = self.len() >= WARNING_KINDS_MAX && !self.contains_key(&kind);
        if is_full { TarWarningKind::UnknownKeyword("…".to_owned()) } else { kind }
    }
}

/// Something in an archive that the tree does not have. The same kind of warning is given once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarWarning {
    /// What was left out.
    pub kind: TarWarningKind,
    /// How many entries are concerned.
    pub count: u64,
    /// The number of the first entry concerned, from 1.
    pub first_entry: u64,
    /// The name of the first entry concerned, as it is in the archive.
    pub first_name: Vec<u8>,
}

/// What was left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum TarWarningKind {
    /// Access control lists of other kinds than that of NFS version 4, or with names that have no numbers.
    #[error("access control lists other than those of NFSv4, or with names without numbers, are left out")]
    Acl,
    /// Extended attributes of illumos (entries of type `E`) that are more than a name and a value.
    #[error("system attributes, and extended attributes that are links or have attributes themselves, are left out")]
    AttributeFile,
    /// Extended attributes with a name that is none of a file in a directory, which they are in ZFS.
    #[error("extended attributes with `/` in their name, or called `.` or `..`, are left out")]
    AttributeName,
    /// An entry of a type that is not known.
    #[error("entries of the unknown type `{}` are left out", .0.escape_ascii())]
    UnknownType(u8),
    /// An extended header with a keyword that is not known.
    #[error("extended headers `{0}` are not understood")]
    UnknownKeyword(String),
    /// A volume label or a list of a directory's names, as GNU tar writes them into backups.
    #[error("labels and directory lists of backups are left out")]
    BackupData,
    /// There is something after the end mark of the archive.
    #[error("what follows the end mark of the archive is left out")]
    AfterEnd,
}

/// Why an archive could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteTarError {
    /// Where the archive goes to cannot be written.
    #[error("cannot write {path} to the archive")]
    Write {
        /// The path that was being written.
        path: ImagePath,
        /// What the writer says.
        #[source]
        source: io::Error,
    },
    /// The content of a file cannot be read from the store.
    #[error("cannot read {path} for the archive")]
    Content {
        /// The file.
        path: ImagePath,
        /// What the store says.
        #[source]
        source: StoreError,
    },
    /// A path to include is not in the tree.
    #[error("{path} cannot be put into the archive because it does not exist in the image")]
    NotFound {
        /// The path.
        path: ImagePath,
    },
}

impl NodeKind {
    /// The type flag of a tar header for this kind.
    pub(super) fn type_flag(&self) -> u8 {
        match self {
            Self::Regular(_) => b'0',
            Self::Symlink(_) => b'2',
            Self::CharDevice { .. } => b'3',
            Self::BlockDevice { .. } => b'4',
            Self::Directory => b'5',
            Self::Fifo => b'6',
        }
    }
}
