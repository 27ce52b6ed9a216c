//! Why packages cannot be looked at.

use ips_client::RepositoryError;
use std::io;
use std::path::PathBuf;

/// Packages cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackagesError {
    /// A temporary directory cannot be made.
    #[error("cannot make a temporary directory")]
    Temporary(#[source] io::Error),
    /// The content store in it cannot be used.
    #[error("cannot keep what is read")]
    Store(#[source] image_tree::StoreError),
    /// The archive cannot be read.
    #[error("{} is neither a repository nor the archive of a file system", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Why it is no archive.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file system cannot be read.
    #[error("cannot read the file system in {}", path.display())]
    FileSystem {
        /// The directory or disk image.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The archive has no image in it.
    #[error("the file system in {} has no package image", path.display())]
    NoImage {
        /// The archive.
        path: PathBuf,
    },
    /// The image in the archive is damaged.
    #[error("the package image in {} cannot be used", path.display())]
    Image {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: ips::image::ImageError,
    },
    /// A repository cannot be used.
    #[error(transparent)]
    Repository(Box<RepositoryError>),
    /// A catalog is damaged.
    #[error("the catalog of {publisher} cannot be used")]
    Catalog {
        /// Whose it is.
        publisher: String,
        /// What is wrong.
        #[source]
        source: ips::catalog::CatalogError,
    },
    /// A pattern is none.
    #[error("cannot use `{text}`")]
    Pattern {
        /// The pattern.
        text: String,
        /// What is wrong.
        #[source]
        source: ips::fmri::FmriError,
    },
    /// Nothing fits a pattern.
    #[error("no package matches `{text}`")]
    NoMatch {
        /// The pattern.
        text: String,
    },
    /// A manifest is not there, or is none.
    #[error("the manifest of {package} cannot be used")]
    Manifest {
        /// The package.
        package: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<RepositoryError> for PackagesError {
    fn from(error: RepositoryError) -> Self {
        Self::Repository(Box::new(error))
    }
}
