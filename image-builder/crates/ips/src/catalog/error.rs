//! Why a text is no catalog.

use crate::fmri::{FmriError, PackageId};
use crate::version::VersionError;

/// A file of a catalog cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("catalog file `{file}` cannot be used")]
pub struct CatalogError {
    /// The name of the file.
    pub file: String,
    /// What is wrong with it.
    #[source]
    pub kind: CatalogErrorKind,
}

impl CatalogError {
    pub(super) fn new(file: &str, kind: CatalogErrorKind) -> Self {
        Self { file: file.to_owned(), kind }
    }
}

/// What is wrong with a file of a catalog.
#[derive(Debug, thiserror::Error)]
pub enum CatalogErrorKind {
    /// It is not the JSON that a catalog is; the source says where.
    #[error("the text is not a catalog")]
    Json(#[source] serde_json::Error),
    /// The catalog is of another version.
    #[error("it is version {found} of the format, and only 1 is known")]
    Version {
        /// The version found.
        found: u64,
    },
    /// `catalog.attrs` lists the file, and it is not there.
    #[error("catalog.attrs lists the file, but it was not to be had")]
    Missing,
    /// The content is not the one that was signed.
    #[error("its signature is {computed}, but {stated} is stated: the file is damaged or from another time")]
    Signature {
        /// What the content has.
        computed: String,
        /// What it was said to have.
        stated: String,
    },
    /// A name in it is impossible.
    #[error("it holds an impossible name")]
    Name(#[source] FmriError),
    /// A version in it is impossible.
    #[error("the version of {stem} is impossible")]
    PackageVersion {
        /// The package.
        stem: String,
        /// What is wrong.
        #[source]
        source: VersionError,
    },
    /// Another part than the base part has a package of its own.
    #[error("it has {package}, which the base part has not")]
    NotInBase {
        /// The package.
        package: Box<PackageId>,
    },
    /// An update log has an operation that nobody knows.
    #[error("`{operation}` is not an operation of update logs")]
    Operation {
        /// The word.
        operation: String,
    },
}
