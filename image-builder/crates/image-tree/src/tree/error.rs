//! Why an operation on a tree failed.

use crate::path::{ImagePath, PathError};

/// Why a path could not be resolved, or what stands there did not allow the operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A component of the path does not exist.
    #[error("{path} does not exist in the image")]
    NotFound {
        /// The first path that is missing, symbolic links before it resolved.
        path: ImagePath,
    },
    /// A directory was needed and something else is there.
    #[error("{path} is a {kind}, not a directory")]
    NotADirectory {
        /// The path that is no directory.
        path: ImagePath,
        /// What it is.
        kind: &'static str,
    },
    /// A directory is there and something else was needed.
    #[error("{path} is a directory")]
    IsADirectory {
        /// The directory.
        path: ImagePath,
    },
    /// The directory to remove still holds something.
    #[error("directory {path} is not empty")]
    NotEmpty {
        /// The directory.
        path: ImagePath,
    },
    /// The name to create is taken.
    #[error("{path} exists already")]
    AlreadyExists {
        /// The path that exists.
        path: ImagePath,
    },
    /// The root directory cannot be removed or replaced by something else.
    #[error("the root directory of the image can only be a directory")]
    Root,
    /// More than 40 symbolic links on the way, most likely a loop.
    #[error("{path} leads through more than {max} symbolic links", max = super::resolve::SYMLINKS_MAX)]
    TooManySymlinks {
        /// The path that was to be resolved.
        path: ImagePath,
    },
    /// Following symbolic links or placing a tree leads to a path beyond the limits.
    #[error("{path} leads to an impossible path")]
    Path {
        /// The path that was to be resolved.
        path: ImagePath,
        /// What is wrong with the result.
        #[source]
        source: PathError,
    },
    /// The node holds a value that no file system can.
    #[error("{path} cannot get {what}")]
    InvalidNode {
        /// Where the node was to be placed.
        path: ImagePath,
        /// The offending value.
        what: &'static str,
    },
}
