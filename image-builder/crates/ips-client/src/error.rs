//! Why the packages of an image cannot be changed.

use image_tree::StoreError;

use ips::catalog::CatalogError;
use ips::fmri::{FmriError, Publisher};
use ips::image::ImageError;
use ips::manifest::ManifestError;
use ips::resolve::ResolveError;

use crate::http::HttpError;
use crate::repository::RepositoryError;
use crate::signature::policy::{PolicyError, SignatureError};

/// Something that was asked of the client is not possible.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A publisher of the image has no origin, so that nothing can be fetched.
    #[error("publisher {publisher} has no origin that {what} could be fetched from")]
    NoOrigin {
        /// The publisher.
        publisher: Publisher,
        /// What is wanted.
        what: String,
    },
    /// A package is of a publisher that the image does not have.
    #[error("{what} cannot be fetched, because the image does not have the publisher {publisher}")]
    NoPublisher {
        /// The publisher.
        publisher: Publisher,
        /// What is wanted.
        what: String,
    },
    /// No source of a publisher has something, or none gives it.
    #[error("{what} cannot be fetched from {}", if others.is_empty() { publisher.to_string() } else { format!("any source of {publisher}") })]
    Fetch {
        /// What was wanted.
        what: String,
        /// The publisher.
        publisher: Publisher,
        /// The reason of the first source.
        #[source]
        first: Box<RepositoryError>,
        /// The reasons of the others.
        others: Vec<RepositoryError>,
    },
    /// A catalog in the content store is damaged.
    #[error("the catalog of {publisher} from {address} cannot be used")]
    Catalog {
        /// The publisher.
        publisher: Publisher,
        /// Where it is from.
        address: String,
        /// What is wrong.
        #[source]
        source: Box<CatalogError>,
    },
    /// A manifest is none.
    #[error("the manifest of {package} cannot be used")]
    Manifest {
        /// The package.
        package: String,
        /// What is wrong.
        #[source]
        source: Box<ManifestError>,
    },
    /// A package is not signed as the image demands.
    #[error("{package} cannot be trusted")]
    Signature {
        /// The package.
        package: String,
        /// Why not.
        #[source]
        source: SignatureError,
    },
    /// What the image demands of signatures is not known.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// What a dependency names is impossible.
    #[error("{package} depends optionally on something impossible")]
    Dependency {
        /// The package.
        package: String,
        /// What is wrong.
        #[source]
        source: FmriError,
    },
    /// The packages that are wanted do not go together.
    #[error(transparent)]
    Resolve(Box<ResolveError>),
    /// The image cannot be read or changed.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The content store cannot be read or written.
    #[error("the content store cannot {operation} {what}")]
    Store {
        /// What was being done.
        operation: &'static str,
        /// With what.
        what: String,
        /// The reason.
        #[source]
        source: StoreError,
    },
}

/// How to go on where a package says what cannot be.
const FAULT_OF_PACKAGE: &str = "this is a fault of the package: tell its publisher, and meanwhile name another version of it \
    (NAME@VERSION) or take it from another publisher";

impl ClientError {
    /// How to go on.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::NoOrigin { publisher, .. } => {
                Some(format!("give {publisher} an origin with a step pkg_set_publisher before this one"))
            }
            Self::Fetch { others, .. } if !others.is_empty() => {
                let reasons: Vec<String> = others.iter().map(|error| all_reasons(error)).collect();
                Some(format!("the other sources: {}", reasons.join("; ")))
            }
            Self::Fetch { .. } if self.is_damage() => Some(
                "what came is not what the catalog and the manifest of the publisher say: try again later, with --refresh, or \
                 name another origin or mirror with pkg_set_publisher"
                    .to_owned(),
            ),
            Self::Manifest { .. } | Self::Dependency { .. } => Some(FAULT_OF_PACKAGE.to_owned()),
            Self::Image(ImageError::Install(error)) if error.is_fault_of_package() => Some(FAULT_OF_PACKAGE.to_owned()),
            Self::Fetch { first, .. } if is_unusable(first) => Some(FAULT_OF_PACKAGE.to_owned()),
            Self::Fetch { first, .. } if gave_no_answer(first) => Some(
                "this host has to reach it, by itself or through the proxy that https_proxy, http_proxy or all_proxy names \
                 (with socks5h:// the proxy looks up names, too); what was fetched once needs no network"
                    .to_owned(),
            ),
            Self::Resolve(error) => match error.as_ref() {
                ResolveError::NoMatch { .. } | ResolveError::NoVersion { .. } => {
                    Some("publishers were asked for their catalogs once; --refresh asks them anew".to_owned())
                }
                _ => None,
            },
            Self::Policy(error) => {
                let step = if error.publisher.is_some() { "pkg_set_publisher" } else { "pkg_set_property" };
                Some(format!(
                    "set it with {step} before this step to one of ignore, verify, require-signatures and require-names"
                ))
            }
            Self::Signature { .. } => Some(
                "approve the certificate of its authority with pkg_approve_ca_cert, or have signatures ignored: the \
                 signature-policy of the image (pkg_set_property) and the signature_policy of the publisher \
                 (pkg_set_publisher) are both to be `ignore`, because the stricter one counts"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

impl ClientError {
    /// Whether something came that was no good, be it from one source of several.
    pub(crate) fn is_damage(&self) -> bool {
        let Self::Fetch { first, others, .. } = self else { return false };
        others.iter().chain([first.as_ref()]).any(|reason| match reason {
            RepositoryError::Store { source, .. } => matches!(**source, StoreError::Source { .. }),
            RepositoryError::Http { source, .. } => matches!(**source, HttpError::Content { .. }),
            RepositoryError::Differs { .. } => true,
            _ => false,
        })
    }
}

/// Whether the manifest says nothing usable of what is to be fetched.
fn is_unusable(error: &RepositoryError) -> bool {
    matches!(error, RepositoryError::Payload { .. })
}

/// Whether the reason is that nobody answered, rather than what was said.
fn gave_no_answer(error: &RepositoryError) -> bool {
    matches!(error, RepositoryError::Http { source, .. } if matches!(source.as_ref(), HttpError::NoAnswer { .. }))
}

/// An error with everything that led to it, in one line.
#[must_use]
pub fn all_reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
