//! What can go wrong between client and server.

use crate::transport::TransportError;
use crate::wire::{DecodeError, EncodeError};

/// `ENOENT` of Linux, in whose numbers 9P2000.L tells errors.
const NO_SUCH_FILE: u32 = 2;
/// `ENOTDIR`.
const NOT_A_DIRECTORY: u32 = 20;

/// A request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The server carried it out and it failed. The session goes on.
    #[error("the server answers {operation} with {}", error_name(*code))]
    Remote {
        /// The request.
        operation: &'static str,
        /// The error number, one of Linux.
        code: u32,
    },
    /// The server does not speak the protocol.
    #[error("the server does not speak 9P2000.L: it answers {answer}")]
    Version {
        /// What it said instead.
        answer: String,
    },
    /// The server wants messages so small that names do not fit.
    #[error("the server wants messages of at most {msize} bytes, which is too small")]
    SmallMessages {
        /// What it wants.
        msize: u32,
    },
    /// The message was not carried.
    #[error("request {operation} failed")]
    Transport {
        /// The request.
        operation: &'static str,
        /// Why.
        #[source]
        source: TransportError,
    },
    /// The answer is no message.
    #[error("the answer to {operation} makes no sense")]
    Decode {
        /// The request.
        operation: &'static str,
        /// Why.
        #[source]
        source: DecodeError,
    },
    /// The request cannot be expressed.
    #[error("request {operation} cannot be made")]
    Encode {
        /// The request.
        operation: &'static str,
        /// Why.
        #[source]
        source: EncodeError,
    },
    /// The answer belongs to another kind of request, or holds more than was asked for.
    #[error("the server breaks the protocol in its answer to {operation}: {what}")]
    Protocol {
        /// The request.
        operation: &'static str,
        /// What is wrong with the answer.
        what: &'static str,
    },
    /// A directory has more entries than anybody needs, or no end.
    #[error("a directory has more than {limit} entries")]
    EndlessDirectory {
        /// How many were read.
        limit: usize,
    },
}

impl SessionError {
    /// Whether the session can be used further: the server understood and said no, or a listing was too long.
    #[must_use]
    pub fn leaves_session_usable(&self) -> bool {
        matches!(self, Self::Remote { .. } | Self::EndlessDirectory { .. } | Self::Encode { .. })
    }

    /// Whether the server says that there is no such file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Remote { code: NO_SUCH_FILE | NOT_A_DIRECTORY, .. })
    }

    /// Whether no answer came, or the transport cannot carry what was asked for: with smaller messages it may.
    #[must_use]
    pub fn may_be_message_size(&self) -> bool {
        let Self::Transport { source, .. } = self else { return false };
        matches!(source, TransportError::TimedOut | TransportError::TooLarge { .. })
    }
}

/// The number, with its name where every system agrees on it. The running system's own table is of no use: the
/// numbers are those of Linux.
fn error_name(code: u32) -> String {
    let name = match code {
        1 => "not permitted",
        NO_SUCH_FILE => "no such file",
        5 => "input/output error",
        13 => "permission denied",
        NOT_A_DIRECTORY => "not a directory",
        21 => "is a directory",
        22 => "invalid argument",
        30 => "read-only file system",
        40 => "a link on the way, or too many of them",
        _ => return format!("error {code} of Linux"),
    };
    format!("error {code}, {name}")
}
