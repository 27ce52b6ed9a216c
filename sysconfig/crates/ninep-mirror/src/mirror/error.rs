//! What ends a round.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::path::SharePath;
use crate::session::SessionError;

/// A round cannot go on. What was copied stays, and nothing is removed for it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// The server or the way to it.
    #[error("cannot read the share")]
    Session(#[from] SessionError),
    /// The destination.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// The share does not hold what it must hold, so that it is another one, or not there at all.
    #[error("the share has no {expected}, so it is not the one that is wanted")]
    WrongShare {
        /// What it must hold.
        expected: SharePath,
    },
    /// More than is believed.
    #[error("the share has more than {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How much is believed.
        limit: usize,
    },
    /// A file or a pass takes too long although the server answers.
    #[error("the server is too slow: {what} took over {seconds} s")]
    TooSlow {
        /// What was done.
        what: String,
        /// How long it may take.
        seconds: u64,
    },
}

/// The destination cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DestinationError {
    /// The operating system says no.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// In the destination.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// Something that the mirror did not make stands where it has to write.
    #[error("{} is in the way and was not made by the mirror", path.display())]
    InTheWay {
        /// In the destination.
        path: PathBuf,
    },
    /// Another mirror uses the destination.
    #[error("another mirror writes to {}", path.display())]
    Busy {
        /// The destination.
        path: PathBuf,
    },
    /// Somebody took the destination away; what is written to it now, nobody finds.
    #[error("{} was removed or replaced while the mirror ran", path.display())]
    Gone {
        /// The destination.
        path: PathBuf,
    },
    /// The file that says what belongs to the mirror makes no sense.
    #[error("{} makes no sense", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl DestinationError {
    /// Whether only one file is concerned, so that the others can be copied: something is in its way, or the file
    /// system cannot have such a name.
    #[must_use]
    pub fn is_about_one_file(&self) -> bool {
        match self {
            Self::InTheWay { .. } => true,
            Self::Io { source, .. } => {
                matches!(Errno::from_io_error(source), Some(Errno::NAMETOOLONG | Errno::ILSEQ | Errno::INVAL))
            }
            Self::Busy { .. } | Self::Gone { .. } | Self::Damaged { .. } => false,
        }
    }
}
