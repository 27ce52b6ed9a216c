//! Carrying whole messages to a server and back, each with a deadline.

use std::io;
use std::time::{Duration, Instant};

use crate::stop::Stop;
use crate::wire::{DecodeError, HEADER_BYTES};

mod device;
mod stream;
pub mod vio9p;

pub use device::Device;
pub use stream::Stream;

/// How long a transport sleeps at most before it looks whether it should stop.
const SLICE: Duration = Duration::from_millis(200);

/// A way to a server that carries one message at a time. After an error other than [`TransportError::TooLarge`] it is
/// of no more use: what comes next may be half a message, or the answer to something else.
pub trait Transport: std::fmt::Debug + Send {
    /// Sends one message.
    ///
    /// # Errors
    ///
    /// When it is not taken until the deadline, is too large for the transport, or the server is gone.
    fn send(&mut self, message: &[u8], deadline: &Deadline) -> Result<(), TransportError>;

    /// Makes `message` the next message that comes; its size field is right.
    ///
    /// # Errors
    ///
    /// When none comes until the deadline, when it is larger than `limit_bytes` or senseless, or the server is gone.
    fn receive(&mut self, message: &mut Vec<u8>, limit_bytes: usize, deadline: &Deadline)
    -> Result<(), TransportError>;

    /// Whether nobody knows how large a message this transport carries.
    fn has_unknown_limit(&self) -> bool {
        false
    }
}

/// A message was not carried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The deadline passed.
    #[error("the server did not answer in time")]
    TimedOut,
    /// The program is to end and has waited long enough.
    #[error("stopped while waiting for the server")]
    Stopped,
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The transport takes only smaller messages. Nothing was sent.
    #[error("a message of {bytes} bytes is too large for the transport")]
    TooLarge {
        /// The message's size.
        bytes: usize,
    },
    /// The server sent more than was agreed on.
    #[error("the server sent a message of {bytes} bytes where at most {limit_bytes} were agreed on")]
    Oversized {
        /// Its size; at least, where the rest was not read.
        bytes: usize,
        /// What was agreed on.
        limit_bytes: usize,
    },
    /// What came is not a message.
    #[error("the server sent something that is not a message")]
    NotAMessage(#[from] DecodeError),
    /// The operating system says no.
    #[error("cannot {operation}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
}

/// When to stop waiting.
#[derive(Debug, Clone)]
pub struct Deadline {
    at: Instant,
    stop: Stop,
}

impl Deadline {
    /// In some time from now, or when the program ends.
    #[must_use]
    pub fn after(time: Duration, stop: &Stop) -> Self {
        Self { at: Instant::now() + time, stop: stop.clone() }
    }

    /// The time that is left, in portions in which somebody who waits can sleep.
    ///
    /// # Errors
    ///
    /// [`TransportError::TimedOut`] and [`TransportError::Stopped`].
    pub fn slice(&self) -> Result<Duration, TransportError> {
        if self.stop.is_overdue() {
            return Err(TransportError::Stopped);
        }
        let left = self.at.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(TransportError::TimedOut) } else { Ok(left.min(SLICE)) }
    }
}

/// The size that a message's first bytes say, checked against what is possible and agreed on.
fn said_size(start: [u8; 4], limit_bytes: usize) -> Result<usize, TransportError> {
    let size = u32::from_le_bytes(start);
    let bytes = usize::try_from(size).unwrap_or(usize::MAX);
    if bytes < HEADER_BYTES {
        return Err(DecodeError::Size { length: start.len(), size }.into());
    }
    if bytes > limit_bytes {
        return Err(TransportError::Oversized { bytes, limit_bytes });
    }
    Ok(bytes)
}
