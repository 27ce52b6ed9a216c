//! Why a step about packages could not be done.

use image_tree::{StoreError, TreeError};
use ips::fmri::FmriError;
use ips::image::ImageError;
use ips::lock::LockError;
use ips_client::ClientError;
use std::io;
use std::path::PathBuf;

/// A step about packages failed.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// There is no image to change.
    #[error("there is no package image in the tree")]
    NoImage,
    /// There is an image already.
    #[error("there is a package image in the tree already")]
    Exists,
    /// A name in the template is impossible.
    #[error("cannot use `{text}`")]
    Name {
        /// The name.
        text: String,
        /// What is wrong with it.
        #[source]
        source: FmriError,
    },
    /// The address of a repository is none.
    #[error(transparent)]
    Address(Box<ips_client::repository::RepositoryError>),
    /// A value is not one that the thing can have.
    #[error("cannot set {what} to `{value}`: {reason}")]
    Value {
        /// What was to be set.
        what: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The image does not have the publisher.
    #[error("the image has no publisher {publisher}")]
    NoPublisher {
        /// The publisher.
        publisher: String,
    },
    /// A certificate is none.
    #[error("{path} is not a certificate: {reason}")]
    Certificate {
        /// The file on the host.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The image cannot be read or changed.
    #[error(transparent)]
    Image(ImageError),
    /// The tree does not allow a change.
    #[error("cannot change {path}")]
    Tree {
        /// The path.
        path: String,
        /// Why not.
        #[source]
        source: Box<TreeError>,
    },
    /// Repositories do not give what is wanted, or the packages do not go together.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A lock is damaged.
    #[error("lock {path} cannot be used")]
    Lock {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        #[source]
        source: LockError,
    },
    /// A lock cannot be read or written.
    #[error("cannot {operation} lock {path}")]
    LockFile {
        /// What was being done.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The packages are not locked; only a plan goes on without.
    #[error("the packages are not chosen yet")]
    NoLock,
    /// A state cannot be read or written.
    #[error("the state before the step cannot be read or written")]
    State(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl PackageError {
    pub(super) fn state(source: StoreError) -> Self {
        Self::State(source.into())
    }

    /// How to go on.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::NoImage => Some("a step pkg_image_create has to come first".to_owned()),
            Self::Exists => Some("leave this step out, or begin with an empty tree".to_owned()),
            Self::NoPublisher { publisher } => Some(format!("add {publisher} with pkg_set_publisher before")),
            Self::Lock { path, .. } => Some(format!("remove {} to choose packages anew", path.display())),
            Self::Client(error) => error.help(),
            _ => None,
        }
    }
}
