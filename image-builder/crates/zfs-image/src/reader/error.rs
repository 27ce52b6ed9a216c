//! What can be wrong with a pool.

use std::io;

use zfs_format::block::BlockError;
use zfs_format::dnode::DnodeError;
use zfs_format::nvlist::NvError;
use zfs_format::sa::SaError;
use zfs_format::uberblock::UberblockError;
use zfs_format::zap::ZapError;

/// A pool, or something in it, that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The image itself cannot be read.
    #[error("reading {len} bytes at {offset} of the image")]
    Io {
        /// Where, in bytes from the start of the pool's device.
        offset: u64,
        /// How many bytes.
        len: usize,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// None of the four labels is one.
    #[error("there is no ZFS pool here: none of the four labels is whole (the first: {0})")]
    NoLabel(String),
    /// The labels have no valid uberblock.
    #[error("the pool has no valid uberblock")]
    NoUberblock,
    /// The pool is of the other byte order.
    #[error("the pool was written by a big-endian machine, and those are not read")]
    BigEndian,
    /// The configuration lacks something.
    #[error("the pool's configuration has no usable `{0}`")]
    Config(&'static str),
    /// More than one device, or one of a kind that is not read.
    #[error("the pool consists of {0}; only pools of one disk are read")]
    Vdev(String),
    /// The labels tell of a larger device.
    #[error("the image is cut short: its pool is for a device of {wanted} bytes, and {bytes} are there")]
    CutShort {
        /// Bytes of the device that is there.
        bytes: u64,
        /// Bytes of the one that the pool was made for.
        wanted: u64,
    },
    /// A version of the pool that is not known.
    #[error("the pool has version {0}; 1 to 28 and 5000 are known")]
    Version(u64),
    /// Features in use that this reader does not know.
    #[error("the pool uses features that are not supported here: {}", .0.join(", "))]
    Features(Vec<String>),
    /// The data of a file system that cannot be read without a key.
    #[error("the block at {0:#x} is encrypted")]
    Encrypted(u64),
    /// No copy of a block is good.
    #[error("the block at {place}: {reason}")]
    Block {
        /// The address of its first copy, as `zdb` writes it.
        place: String,
        /// What is wrong with its copies.
        reason: String,
    },
    /// An object number without an object.
    #[error("object {0} does not exist")]
    NoObject(u64),
    /// Something contradicts something else.
    #[error("{what} (object {object})")]
    Structure {
        /// In which object.
        object: u64,
        /// What is wrong.
        what: String,
    },
    /// A name that is not there.
    #[error("{0} does not exist")]
    NotFound(String),
    /// A file where a directory has to be, or the other way round.
    #[error("{path} is no {wanted}")]
    WrongKind {
        /// Where.
        path: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// More than the caller wants to take.
    #[error("more than {limit} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// A pointer without meaning.
    #[error(transparent)]
    Pointer(#[from] BlockError),
    /// A dnode without meaning.
    #[error(transparent)]
    Dnode(#[from] DnodeError),
    /// A ZAP without meaning.
    #[error(transparent)]
    Zap(#[from] ZapError),
    /// Attributes without meaning.
    #[error(transparent)]
    Attributes(#[from] SaError),
    /// A list without meaning.
    #[error(transparent)]
    NvList(#[from] NvError),
    /// An uberblock without meaning.
    #[error(transparent)]
    Uberblock(#[from] UberblockError),
    /// The tree that a file system is read into refuses something.
    #[error(transparent)]
    Tree(#[from] image_tree::TreeError),
    /// A name that no tree can have.
    #[error(transparent)]
    Path(#[from] image_tree::PathError),
    /// The store that contents are put in cannot take them.
    #[error(transparent)]
    Store(#[from] image_tree::StoreError),
}

impl ReadError {
    /// The error with all its causes, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
