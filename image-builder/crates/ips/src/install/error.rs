//! Why an installation is impossible.

use image_tree::{ImagePath, TreeError};

use super::objects::Delivered;
use crate::manifest::{AttributeError, PayloadError};

/// A content could not be read or kept.
#[derive(Debug, thiserror::Error)]
#[error("the content of {what} is not to be had")]
pub struct ContentError {
    /// Which content: a payload by name, or a path.
    pub what: String,
    /// The reason.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Packages cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Several packages deliver one thing in ways that exclude each other.
    #[error("{} deliver {what} in ways that exclude each other: {reason}", packages.join(" and "))]
    Conflict {
        /// The path, user, group, driver or other thing.
        what: String,
        /// The packages, with their versions.
        packages: Vec<String>,
        /// In what they differ.
        reason: String,
    },
    /// An action has an attribute that means nothing.
    #[error("{action} of {package} is unusable")]
    Attribute {
        /// The package.
        package: String,
        /// The kind of the action, and what names its object.
        action: String,
        /// What is wrong.
        #[source]
        source: Box<AttributeError>,
    },
    /// An action says something unusable of its payload.
    #[error("{path} of {package} has an unusable payload")]
    Payload {
        /// The package.
        package: String,
        /// The path that it is for.
        path: String,
        /// What is wrong.
        #[source]
        source: Box<PayloadError>,
    },
    /// An action that needs a payload has none.
    #[error("{path} of {package} has no payload")]
    NoPayload {
        /// The package.
        package: String,
        /// The path that it is for.
        path: String,
    },
    /// A content could not be had.
    #[error("{path} of {package} cannot be installed")]
    Content {
        /// The package.
        package: String,
        /// The path that it is for.
        path: String,
        /// The reason.
        #[source]
        source: Box<ContentError>,
    },
    /// The owner or group of something is nobody whom the image knows.
    #[error("{path} of {package} belongs to the {what} `{name}`, which the image does not have")]
    UnknownOwner {
        /// The package.
        package: String,
        /// The path.
        path: String,
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A path leads through a symbolic link.
    #[error("{path} of {package} cannot be installed, because {link} is a symbolic link")]
    ThroughLink {
        /// The package.
        package: String,
        /// The path to be installed.
        path: ImagePath,
        /// The link.
        link: ImagePath,
    },
    /// A package delivers something in the place of the image's own metadata.
    #[error("{action} of {package} is refused, because {path} is where the image keeps what it knows of itself")]
    Reserved {
        /// The package.
        package: String,
        /// The kind of the action, and what names its object.
        action: String,
        /// The path.
        path: ImagePath,
    },
    /// A hard link has no target.
    #[error("{path} of {package} cannot be linked to {target}, which is not there")]
    NoTarget {
        /// The package.
        package: String,
        /// The hard link.
        path: ImagePath,
        /// Its target.
        target: String,
    },
    /// A user or group cannot be added.
    #[error("the {what} `{name}` of {package} cannot be set up: {reason}")]
    Account {
        /// The package.
        package: String,
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// The reason.
        reason: String,
    },
    /// The tree refused a change.
    #[error("{path}{} cannot be changed", package.as_ref().map(|package| format!(" of {package}")).unwrap_or_default())]
    Tree {
        /// The package, if it is something that one delivers.
        package: Option<String>,
        /// The path.
        path: String,
        /// The reason.
        #[source]
        source: Box<TreeError>,
    },
    /// A file that has to be edited cannot be.
    #[error("{path} cannot be edited: {reason}")]
    Edit {
        /// The file.
        path: ImagePath,
        /// The reason.
        reason: String,
    },
}

impl InstallError {
    /// The same, said of what `delivered` delivers.
    pub(super) fn of(mut self, delivered: Delivered<'_>) -> Self {
        if let Self::Tree { package, .. } = &mut self {
            package.get_or_insert_with(|| delivered.package_name());
        }
        self
    }

    /// Whether it is the package that is wrong, and not what it is installed into.
    #[must_use]
    pub fn is_fault_of_package(&self) -> bool {
        !matches!(self, Self::Edit { .. } | Self::Tree { package: None, .. } | Self::Content { .. })
    }
}
