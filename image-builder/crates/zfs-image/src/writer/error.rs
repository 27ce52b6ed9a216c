//! What can go wrong when a pool is described or written.

use std::io;

use image_tree::{ImagePath, StoreError};
use zfs_format::name::NameError;
use zfs_format::property::PropertyError;

use super::limits::shown;

/// A description that cannot become a pool. Every message names the object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The pool's or a dataset's name is one that ZFS refuses.
    #[error("a name that ZFS refuses")]
    Name {
        /// The full name.
        dataset: String,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// A name under `@` is one that ZFS refuses.
    #[error("snapshot of the dataset `{dataset}`")]
    Snapshot {
        /// Whose snapshot.
        dataset: String,
        /// Its name without the dataset's.
        snapshot: String,
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
    /// A property is set twice, maybe once by its short name.
    #[error("the property `{property}` of the dataset `{dataset}` is set twice")]
    Repeated {
        /// Whose property.
        dataset: String,
        /// Its full name.
        property: String,
    },
    /// The pool is to boot from a dataset that it does not have.
    #[error("the pool is to boot from `{0}`, which is not one of its datasets")]
    BootDataset(String),
    /// The smallest block is not one of ZFS.
    #[error("an ashift of {0}; 9 to 13 can be written")]
    Ashift(u8),
    /// The path of the vdev is not absolute, so that the kernel would not open it.
    #[error("the path of the vdev, `{0}`, does not begin with a slash")]
    VdevPath(String),
    /// A quota or reservation contradicts another, or what is in the dataset.
    #[error("the dataset `{dataset}`: {reason}")]
    Limit {
        /// The dataset.
        dataset: String,
        /// The property that sets the limit which is exceeded.
        property: &'static str,
        /// What contradicts what.
        reason: String,
    },
    /// The reservations are more than the device has room for.
    #[error(
        "the datasets of the pool `{pool}` use and reserve {} together, and a device of {} has room for {}",
        shown(*reserved), shown(*bytes), shown(*available)
    )]
    Reserved {
        /// The pool.
        pool: String,
        /// What the pool's root dataset would use, what is reserved included, in bytes.
        reserved: u64,
        /// How large the device is.
        bytes: u64,
        /// What ZFS would let datasets use of it.
        available: u64,
    },
}

impl SpecError {
    /// What it is about in a list that describes the dataset: the name of a property or snapshot.
    #[must_use]
    pub fn element(&self) -> Option<&str> {
        match self {
            Self::Property { property, .. } | Self::PoolProperty { property, .. } | Self::Repeated { property, .. } => {
                Some(property)
            }
            Self::NeedsFeature { property, .. } => property.split('=').next(),
            Self::Limit { property, .. } => Some(property),
            Self::Snapshot { snapshot, .. } => Some(snapshot),
            Self::Duplicate(name) => name.split_once('@').map(|(_, snapshot)| snapshot),
            _ => None,
        }
    }

    /// The full name of the dataset that it is about, or the pool's name; none where it is about the vdev.
    #[must_use]
    pub fn dataset(&self) -> Option<&str> {
        match self {
            Self::Name { dataset, .. }
            | Self::Snapshot { dataset, .. }
            | Self::Property { dataset, .. }
            | Self::NeedsFeature { dataset, .. }
            | Self::OtherPool { dataset, .. }
            | Self::Repeated { dataset, .. }
            | Self::Limit { dataset, .. }
            | Self::NoParent(dataset)
            | Self::BootDataset(dataset) => Some(dataset),
            Self::Duplicate(name) => name.split('@').next(),
            Self::PoolProperty { pool, .. } | Self::Reserved { pool, .. } => Some(pool),
            Self::Ashift(_) | Self::VdevPath(_) => None,
        }
    }
}

/// A pool that could not be written. What is in the output then is no pool.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The description is wrong.
    #[error("the description of the pool")]
    Spec(#[from] SpecError),
    /// The device is too small. Nothing was written.
    #[error("a device of {bytes} bytes is too small for the pool `{pool}`, which needs {needed} bytes")]
    TooSmall {
        /// The pool.
        pool: String,
        /// How large the device is.
        bytes: u64,
        /// How large it has to be so that the pool is in it, and ZFS has the room that it keeps for itself, without which
        /// nobody can write to the pool. Every smaller device is refused, every larger one suffices.
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
