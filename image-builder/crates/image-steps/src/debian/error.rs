//! What keeps a Debian root from being made, and how to go on.

use super::lock::LockError;
use image_tree::TarError;
use process_runner::{CommandError, ReadError};
use std::io;
use std::path::PathBuf;

/// A Debian root could not be resolved or built.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The host is not one whose packages a root could be made of.
    #[error("this host is not a Debian-like system: {reason}")]
    Host {
        /// What is missing.
        reason: String,
    },
    /// A program that is needed is not installed.
    #[error("{program} is not installed")]
    Missing {
        /// The program.
        program: &'static str,
        /// The Debian package that holds it.
        package: &'static str,
    },
    /// An ordinary user has no range of ids to map a root's owners to.
    #[error("{file} gives user {user} no range of subordinate ids")]
    NoSubordinateIds {
        /// `/etc/subuid` or `/etc/subgid`.
        file: &'static str,
        /// The user.
        user: String,
    },
    /// `apt` or `mmdebstrap` failed.
    #[error("cannot {operation}")]
    Command {
        /// What was being done.
        operation: &'static str,
        /// How the program failed.
        #[source]
        source: CommandError,
    },
    /// `mmdebstrap` failed, and what it had written until then is no whole archive.
    #[error("cannot {operation}")]
    Program {
        /// What was being done.
        operation: &'static str,
        /// How the program failed, and what is wrong with the archive.
        #[source]
        source: Box<ReadError<TarError>>,
    },
    /// A locked package is neither in the cache nor in the archive any more.
    #[error(
        "{count} locked package files are not in {directory}, and the archive does not carry them any more: {first}"
    )]
    Gone {
        /// How many.
        count: usize,
        /// The first of them.
        first: String,
        /// The package cache.
        directory: PathBuf,
        /// What `apt` said.
        #[source]
        source: Box<CommandError>,
    },
    /// A package file is not the one that was locked.
    #[error("package file {path} is not the one in the lock: SHA-256 is {found}, locked is {locked}")]
    Digest {
        /// The file.
        path: PathBuf,
        /// Its digest.
        found: String,
        /// The digest in the lock.
        locked: String,
    },
    /// The lock file is unusable.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A file could not be read or written.
    #[error("cannot {operation} {path}")]
    File {
        /// What was being done.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The tar that `mmdebstrap` wrote could not be read.
    #[error("cannot read the root that mmdebstrap made")]
    Tar(#[source] Box<TarError>),
}

impl BootstrapError {
    /// How to go on.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Host { .. } => {
                Some("make debian-base.tar on a Debian-like host and give it with --base FILE".to_owned())
            }
            Self::Missing { package, .. } => Some(format!("apt-get install {package}")),
            Self::NoSubordinateIds { user, .. } => {
                Some(format!("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"))
            }
            Self::Gone { .. } | Self::Digest { .. } => {
                Some("build with --refresh to lock the versions that the archive has now".to_owned())
            }
            _ => None,
        }
    }
}
