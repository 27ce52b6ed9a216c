//! What may be wrong with the metadata of an image.

use image_tree::TreeError;

use super::CONFIG;
use super::config::ConfigError;
use super::state::StateError;
use crate::install::{ContentError, InstallError};
use crate::manifest::ManifestError;

/// The metadata of an image cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The configuration is damaged.
    #[error("/{CONFIG} cannot be used")]
    Config(#[source] ConfigError),
    /// A file is not text.
    #[error("{path} is not UTF-8")]
    NotText {
        /// The file.
        path: String,
    },
    /// A file of the state is damaged.
    #[error("{path} cannot be used")]
    State {
        /// The file.
        path: String,
        /// What is wrong.
        #[source]
        source: StateError,
    },
    /// A package is installed, but its manifest is not there.
    #[error("{package} is installed, but its manifest {path} is not there")]
    NoManifest {
        /// The package.
        package: String,
        /// Where the manifest has to be.
        path: String,
    },
    /// The manifest of an installed package is damaged.
    #[error("{path} cannot be used")]
    Manifest {
        /// The manifest.
        path: String,
        /// What is wrong.
        #[source]
        source: ManifestError,
    },
    /// A content could not be read or kept.
    #[error("{path} cannot be read or written")]
    Content {
        /// The file.
        path: String,
        /// The reason.
        #[source]
        source: ContentError,
    },
    /// The tree refused a change.
    #[error("{path} cannot be written")]
    Tree {
        /// The path.
        path: String,
        /// The reason.
        #[source]
        source: Box<TreeError>,
    },
    /// The image is a child of another.
    #[error(
        "the image is a child of another one, whose packages {path} lists; only the image's own client can follow them"
    )]
    Linked {
        /// The list.
        path: String,
    },
    /// The packages cannot be installed.
    #[error(transparent)]
    Install(#[from] InstallError),
}
