//! Why a repository does not give what it should.

use crate::http::HttpError;
use ips::catalog::CatalogError;
use ips::fmri::Publisher;
use ips::manifest::{ManifestError, PayloadError};

/// Something of a repository cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// Reading failed.
    #[error("{path} of {address} cannot be read")]
    Io {
        /// The repository.
        address: String,
        /// The file in it.
        path: String,
        /// The system's reason, or that the content has not the right hash.
        #[source]
        source: std::io::Error,
    },
    /// A file is missing or not what it should be.
    #[error("{path} of {address} cannot be used: {reason}")]
    Unusable {
        /// The repository.
        address: String,
        /// The file in it.
        path: String,
        /// The reason.
        reason: &'static str,
    },
    /// A file is another one than it has to be.
    #[error("{path} of {address} cannot be used: {reason}")]
    Differs {
        /// The repository.
        address: String,
        /// The file in it.
        path: String,
        /// How it is known.
        reason: &'static str,
    },
    /// A manifest is damaged.
    #[error("{path} of {address} is no manifest")]
    Manifest {
        /// The repository.
        address: String,
        /// The file in it.
        path: String,
        /// What is wrong.
        #[source]
        source: Box<ManifestError>,
    },
    /// The catalog is damaged.
    #[error("the catalog of {publisher} in {address} cannot be used")]
    Catalog {
        /// The repository.
        address: String,
        /// The publisher.
        publisher: String,
        /// What is wrong.
        #[source]
        source: Box<CatalogError>,
    },
    /// The repository has nothing of a publisher.
    #[error("{address} has no packages of {publisher}")]
    NoPublisher {
        /// The repository.
        address: String,
        /// The publisher.
        publisher: Publisher,
    },
    /// The text is not the address of a repository.
    #[error("`{text}` is not the address of a repository: {reason}")]
    Address {
        /// The text, without any password.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A server does not give what it should.
    #[error("{path} cannot be fetched from {address}")]
    Http {
        /// The repository.
        address: String,
        /// What was asked for.
        path: String,
        /// The reason.
        #[source]
        source: Box<HttpError>,
    },
    /// A manifest says something unusable of a payload.
    #[error("a file cannot be fetched from {address}")]
    Payload {
        /// The repository.
        address: String,
        /// What is wrong.
        #[source]
        source: Box<PayloadError>,
    },
    /// The content store refused.
    #[error("file {name} of {address} cannot be kept in the content store")]
    Store {
        /// The repository.
        address: String,
        /// The payload.
        name: String,
        /// The reason.
        #[source]
        source: Box<image_tree::StoreError>,
    },
}
