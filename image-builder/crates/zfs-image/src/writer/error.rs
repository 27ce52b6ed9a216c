//! What can go wrong when a pool is described or written.

use std::io;

use image_tree::{ImagePath, StoreError};
use zfs_format::name::NameError;
use zfs_format::property::PropertyError;

/// A description that cannot become a pool. Every message names the object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The pool's or a dataset's name is one that ZFS refuses.
    #[error("a name that ZFS refuses")]
    Name(#[from] NameError),
    /// A name under `@` is one that ZFS refuses.
    #[error("snapshot of the dataset `{dataset}`")]
    Snapshot {
        /// Whose snapshot.
        dataset: String,
        /// What is wrong with its name.
        #[source]
        source: NameError,
    },
    /// A property of a dataset is one that ZFS refuses.
    #[error("property `{property}` of the dataset `{dataset}`")]
    Property {
        /// Whose property.
        dataset: String,
        /// Which one, as given.
        property: String,
        /// What is wrong with it.
        #[source]
        source: PropertyError,
    },
    /// A property of the pool is one that ZFS refuses.
    #[error("property `{property}` of the pool `{pool}`")]
    PoolProperty {
        /// The pool.
        pool: String,
        /// Which property, as given.
        property: String,
        /// What is wrong with it.
        #[source]
        source: PropertyError,
    },
    /// A property needs a feature that the pool does not have.
    #[error("the property `{property}` of the dataset `{dataset}` needs the feature `{feature}`, which is not enabled")]
    NeedsFeature {
        /// Whose property.
        dataset: String,
        /// The property with its value.
        property: String,
        /// The short name of the feature.
        feature: &'static str,
    },
    /// A dataset is not in the pool.
    #[error("the dataset `{dataset}` is not in the pool `{pool}`")]
    OtherPool {
        /// The dataset.
        dataset: String,
        /// The pool.
        pool: String,
    },
    /// A dataset stands before the one that it is in, or that one is missing.
    #[error("the dataset `{0}` has no parent before it")]
    NoParent(String),
    /// A dataset or snapshot stands twice.
    #[error("`{0}` stands twice")]
    Duplicate(String),
    /// The pool is to boot from a dataset that it does not have.
    #[error("the pool is to boot from `{0}`, which is not one of its datasets")]
    BootDataset(String),
    /// The smallest block is not one of ZFS.
    #[error("an ashift of {0}; 9 to 13 can be written")]
    Ashift(u8),
    /// The path of the vdev is not absolute, so that the kernel would not open it.
    #[error("the path of the vdev, `{0}`, does not begin with a slash")]
    VdevPath(String),
    /// A quota or reservation contradicts another.
    #[error("the dataset `{dataset}`: {reason}")]
    Limit {
        /// The dataset.
        dataset: String,
        /// What contradicts what.
        reason: &'static str,
    },
}

/// A pool that could not be written. What is in the output then is no pool.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The description is wrong.
    #[error("the description of the pool")]
    Spec(#[from] SpecError),
    /// The device is too small for what is known before anything is written.
    #[error("a device of {bytes} bytes is too small for the pool `{pool}`, which needs {needed} bytes")]
    TooSmall {
        /// The pool.
        pool: String,
        /// How large the device is.
        bytes: u64,
        /// How large it has to be.
        needed: u64,
    },
    /// The data did not compress into the device.
    #[error("the pool `{pool}` does not fit into a device of {bytes} bytes; {needed} bytes are enough")]
    NoSpace {
        /// The pool.
        pool: String,
        /// How large the device is.
        bytes: u64,
        /// How large it would have to be if nothing compressed.
        needed: u64,
    },
    /// A file's content is not in the store.
    #[error("content of `{path}` in the dataset `{dataset}`")]
    Content {
        /// The dataset.
        dataset: String,
        /// The file.
        path: String,
        /// What the store says.
        #[source]
        source: StoreError,
    },
    /// A file's content cannot be read.
    #[error("reading the content of `{path}` in the dataset `{dataset}`")]
    Read {
        /// The dataset.
        dataset: String,
        /// The file.
        path: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The output cannot be written.
    #[error("writing {bytes} bytes at {position} of the pool `{pool}`")]
    Output {
        /// The pool.
        pool: String,
        /// Where, from the start of the window.
        position: u64,
        /// How much.
        bytes: usize,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Something in a tree cannot be in a file system of ZFS.
    #[error("`{path}` in the dataset `{dataset}`: {reason}")]
    Node {
        /// The dataset.
        dataset: String,
        /// What it is about.
        path: ImagePath,
        /// Why it cannot be written.
        reason: String,
    },
    /// A structure would not be one that ZFS reads; this is a mistake of the writer.
    #[error("the pool `{pool}` cannot be put together: {reason}")]
    Format {
        /// The pool.
        pool: String,
        /// Which object, and what the format says of it.
        reason: String,
    },
}
