//! Why a step could not be done.

use crate::debian::BootstrapError;
use crate::inputs::InputError;
use crate::steps::packages::PackageError;
use elf_abi::{ElfError, Mismatch};
use image_tree::{ImagePath, PathError, StoreError, TarError, TreeError, WriteTarError};
use process_runner::CommandError;
use std::error::Error;
use std::io;
use std::path::PathBuf;

/// A step failed. Where it is written is added by the engine.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The image does not allow it.
    #[error("cannot {operation} {path}")]
    Tree {
        /// What was being done.
        operation: &'static str,
        /// The path as the template writes it.
        path: String,
        /// Why not.
        #[source]
        source: TreeError,
    },
    /// A path of the template is none.
    #[error("cannot use path {path}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        #[source]
        source: PathError,
    },
    /// Something else than the step can work with is at a path of the image.
    #[error("{path} in the image is a {found}, and the step needs {wanted}")]
    WrongKind {
        /// The path.
        path: ImagePath,
        /// What is there.
        found: &'static str,
        /// What is wanted.
        wanted: &'static str,
    },
    /// `require_path` did not find it.
    #[error("the image has no {path}")]
    Required {
        /// The path.
        path: String,
        /// The template's advice.
        help: String,
    },
    /// A file of the host could not be read or written.
    #[error("cannot {operation} {path}")]
    Host {
        /// What was being done.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The store refused.
    #[error("cannot {operation} {what}")]
    Store {
        /// What was being done.
        operation: &'static str,
        /// With what.
        what: String,
        /// Why not.
        #[source]
        source: StoreError,
    },
    /// An input could not be hashed.
    #[error(transparent)]
    Input(#[from] InputError),
    /// An archive is damaged.
    #[error("cannot read archive {path}")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Which entry, where, and what is wrong with it.
        #[source]
        source: Box<TarError>,
    },
    /// An archive could not be written.
    #[error("cannot write archive {path}")]
    Pack {
        /// The archive.
        path: PathBuf,
        /// Why not.
        #[source]
        source: WriteTarError,
    },
    /// `into_tmp` was not done before a `tarsrc`.
    #[error("tarsrc {path} needs an unpack_tar with into_tmp before it")]
    NoScratch {
        /// The path.
        path: String,
    },
    /// `/etc/shadow` or the step does not make sense.
    #[error("cannot set the password of {username}: {reason}")]
    Shadow {
        /// The user.
        username: String,
        /// Why not.
        reason: String,
    },
    /// A file that has to run in the guest is no executable.
    #[error("{path} is to run in the guest")]
    NotExecutable {
        /// The file on the host.
        path: PathBuf,
        /// What it is instead.
        #[source]
        source: ElfError,
    },
    /// A program was built for another system than the image's.
    #[error("{path} cannot run in this image")]
    Abi {
        /// The program on the host.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Mismatch,
    },
    /// No kernel, or no boot loader, is in the image.
    #[error("the image has no {what}")]
    Boot {
        /// What is missing.
        what: String,
        /// How it gets there.
        help: &'static str,
    },
    /// The image lacks what an illumos system needs to boot.
    #[error("the image cannot boot: it has no {missing}")]
    NotBootable {
        /// What is missing.
        missing: String,
        /// The packages that have it.
        help: String,
    },
    /// The Debian root could not be made.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The step came out of order.
    #[error("{reason}")]
    Order {
        /// What has to come before, or was done before.
        reason: &'static str,
    },
    /// The step is not implemented.
    #[error("{step} is not possible yet")]
    Unsupported {
        /// The step's word.
        step: &'static str,
    },
    /// The service repository could not be made.
    #[error("cannot seed the service repository")]
    Svccfg {
        /// What the program said.
        #[source]
        source: Box<CommandError>,
    },
    /// Packages could not be chosen, fetched or installed.
    #[error(transparent)]
    Packages(Box<PackageError>),
}

impl StepError {
    /// How to go on.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Required { help, .. } | Self::NotBootable { help, .. } => Some(help.clone()),
            Self::Boot { help, .. } => Some((*help).to_owned()),
            Self::Abi { source, .. } => Some(source.help()),
            Self::Bootstrap(error) => error.help().or_else(|| help_of_cause(self)),
            Self::Packages(error) => error.help().or_else(|| help_of_cause(self)),
            Self::Tree { source: TreeError::NotFound { path }, operation: "write", .. } => {
                Some(format!("add an ensure_dir step for {path} before this step"))
            }
            _ => help_of_cause(self),
        }
    }
}

/// What helps against the cause of an error, when it is the store or a full file system.
#[must_use]
pub fn help_of_cause(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(store) = error.downcast_ref::<StoreError>() {
        return store.hint().map(str::to_owned);
    }
    let io = error.downcast_ref::<io::Error>();
    if io.is_some_and(|io| matches!(io.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
        return Some("make room: the file system is full; the next build goes on from here".to_owned());
    }
    let held = io.and_then(io::Error::get_ref);
    held.and_then(|held| help_of_cause(held)).or_else(|| error.source().and_then(help_of_cause))
}

impl From<PackageError> for StepError {
    fn from(error: PackageError) -> Self {
        Self::Packages(Box::new(error))
    }
}

/// Whether the reason of an error is that the store does not have something that it should have.
pub(crate) fn lacks_content(error: &(dyn Error + 'static)) -> bool {
    if matches!(error.downcast_ref(), Some(StoreError::Missing { .. })) {
        return true;
    }
    // An I/O error's source is that of what it holds, not what it holds.
    let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    held.is_some_and(|held| lacks_content(held)) || error.source().is_some_and(lacks_content)
}

/// Turns a tree's refusal into a step's.
pub(super) fn tree(operation: &'static str, path: &str) -> impl Fn(TreeError) -> StepError {
    let path = path.to_owned();
    move |source| StepError::Tree { operation, path: path.clone(), source }
}

/// Turns a store's refusal into a step's.
pub(super) fn store(operation: &'static str, what: &str) -> impl Fn(StoreError) -> StepError {
    let what = what.to_owned();
    move |source| StepError::Store { operation, what: what.clone(), source }
}

/// Reads a path of the template.
pub(super) fn path(text: &str) -> Result<ImagePath, StepError> {
    ImagePath::new(text).map_err(|source| StepError::Path { path: text.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A full store was told exactly, and nobody said what to do.
    #[test]
    fn whatever_is_full_is_to_be_given_room() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let store = || StoreError::Write { what: "a pack", path: "store/packs/1".into(), source: full() };
        let archive = |source| StepError::Pack { path: "x.tar".into(), source };
        let path = || ImagePath::new("/etc/motd").expect("a path");
        for error in [
            StepError::Store { operation: "store", what: "/etc/motd".to_owned(), source: store() },
            StepError::Host { operation: "write", path: "x.tar".into(), source: full() },
            StepError::Host { operation: "write", path: "x.tar".into(), source: io::Error::other(store()) },
            StepError::Input(InputError::Remember { path: "x".into(), source: store() }),
            archive(WriteTarError::Write { path: path(), source: full() }),
            archive(WriteTarError::Content { path: path(), source: store() }),
        ] {
            assert!(error.help().is_some_and(|help| help.starts_with("make room")), "{error:?}");
        }
        let other = StepError::Host { operation: "read", path: "x".into(), source: io::ErrorKind::NotFound.into() };
        assert_eq!(other.help(), None);
    }
}
