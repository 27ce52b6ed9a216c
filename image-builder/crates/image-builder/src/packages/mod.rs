//! Looking at IPS packages: `ips list`, `info`, `contents`, `search`, `verify`.
//!
//! A source is a repository (a depot, a directory, a `.p5p` archive) or a root file system with an image in it: an archive, a
//! directory, or the pool of a disk image. Both answer the same questions, only that an image knows what is installed, and a repository what there is.

mod file_system;
mod source;
mod tell;
mod verify;

use crate::arguments::{Ips, IpsVerb};
use crate::failure::Failure;
use crate::terminal;
use file_system::Extent;
use ips_client::{Listener, RepositoryError};
use source::Source;
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

/// Tells on the terminal what the client does.
struct OnTerminal(std::sync::Arc<dyn image_steps::Progress>);

impl Listener for OnTerminal {
    fn message(&self, text: &str) {
        self.0.message(text);
    }

    fn detail(&self, text: &str) {
        self.0.detail(text);
    }
}

/// `image-builder ips …`
pub(crate) fn run(arguments: &Ips) -> Result<(), Failure> {
    let listener = std::sync::Arc::new(OnTerminal(terminal::progress()));
    let extent = match arguments.verb {
        IpsVerb::Verify(_) => Extent::Everything,
        _ => Extent::Metadata,
    };
    let source = Source::open(arguments.verb.source(), &arguments.client_keys.keys, listener, extent)?;
    match &arguments.verb {
        IpsVerb::List(list) => tell::list(&source, list),
        IpsVerb::Info(info) => tell::info(&source, info),
        IpsVerb::Contents(contents) => tell::contents(&source, contents),
        IpsVerb::Search(search) => tell::search(&source, search),
        IpsVerb::Verify(arguments) => verify::verify(&source, arguments),
    }
}
