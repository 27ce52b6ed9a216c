//! The packaging client: repositories of the Image Packaging System, and operations on the packages of an image tree.
//!
//! How the parts talk: an [`Address`] leads to a [`Source`](repository::Source), a directory, an archive or a
//! [`depot`]; a [`Client`] asks the sources of a publisher, one after the other until one answers well, and keeps what
//! it gets in the content store. [`Client::choose`] makes a [`Lock`](ips::lock::Lock) of what is asked of an image,
//! [`Client::install`] makes the image that a lock says. Between the two nothing is asked of anybody but manifests and
//! payloads that the store does not have yet; what is in the store is never fetched again, so both work without a
//! network afterwards.
//!
//! What the crate refuses to do: it trusts no source. Catalogs have to fit their signatures, manifests the catalog
//! and the lock, contents the strongest hash of their manifest. It asks no clock; it reads the environment only for
//! the proxy and the trust anchors of TLS.

mod address;
mod catalogs;
mod client;
mod common_names;
pub mod depot;
mod error;
pub mod http;
mod kept;
mod manifests;
mod operation;
mod parallel;
mod payload_fetch;
mod progress;
pub mod repository;
pub mod signature;

pub use address::Address;
pub use client::Client;
pub use error::{ClientError, all_reasons};
pub use http::{ClientKey, Network};
pub use kept::kept_contents;
pub use operation::Wish;
pub use payload_fetch::Missing;
pub use progress::{Amount, Listener, Silent};
pub use repository::RepositoryError;
pub use signature::{Policy, PolicyError, SignatureError};
