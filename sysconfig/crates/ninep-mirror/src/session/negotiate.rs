//! The first message: which protocol, and how large messages may be.

use std::time::Duration;

use super::{SMALLEST_MSIZE, Session, SessionError};
use crate::transport::TransportError;
use crate::wire::{NO_TAG, Reply, Request, VERSION};

/// How large messages are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageSize {
    /// At most this many bytes; the server may want less.
    AtMost(u32),
    /// What the transport carries: found out where that is not known.
    Automatic,
}

/// What every version of the `vio9p` driver carries.
pub const DEVICE_MSIZE: u32 = 8192;
/// What later versions of the driver carry.
const LATER_DEVICE_MSIZE: u32 = 65_536;
/// For connections: large enough that the round trips do not count, small enough for every server.
const STREAM_MSIZE: u32 = 131_072;
/// A version that no server has, so long that the older driver refuses the message: its buffer is smaller.
const PROBE_BYTES: usize = 9000;
/// The probe is answered at once or not at all.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a server says to a version.
enum Answer {
    /// It speaks 9P2000.L, with messages of this size.
    Granted(u32),
    /// It does not, in these words.
    Refused(String),
    /// Something else.
    Unrelated,
}

impl Session {
    /// Agrees with the server on protocol and size of messages.
    pub(super) fn negotiate(&mut self, size: MessageSize) -> Result<(), SessionError> {
        let proposed = match size {
            MessageSize::AtMost(msize) => msize,
            MessageSize::Automatic if self.transport.has_unknown_limit() => self.probe()?,
            MessageSize::Automatic => STREAM_MSIZE,
        };
        self.msize = proposed.max(SMALLEST_MSIZE);
        self.propose()
    }

    /// Finds out how large the driver's buffer is: by a message that only the larger one holds.
    fn probe(&mut self) -> Result<u32, SessionError> {
        let version = vec![b'?'; PROBE_BYTES];
        let request = Request::Version { msize: DEVICE_MSIZE, version: &version };
        let operation = request.operation();
        // Until something is agreed on, the answers of an earlier session may be of any size.
        self.msize = LATER_DEVICE_MSIZE;
        let deadline = self.deadline(PROBE_TIMEOUT);
        match self.send(&request, NO_TAG, &deadline) {
            Err(SessionError::Transport { source: TransportError::TooLarge { .. }, .. }) => return Ok(DEVICE_MSIZE),
            result => result?,
        }
        loop {
            match self.await_tag(operation, NO_TAG, &deadline) {
                Ok(()) => {}
                Err(SessionError::Transport { source: TransportError::TimedOut, .. }) => return Ok(DEVICE_MSIZE),
                Err(error) => return Err(error),
            }
            // Nobody grants this version; whatever is granted was asked for by an earlier opener of the device.
            if let Answer::Refused(_) = self.version_answer(operation)? {
                return Ok(LATER_DEVICE_MSIZE);
            }
        }
    }

    fn propose(&mut self) -> Result<(), SessionError> {
        let request = Request::Version { msize: self.msize, version: VERSION };
        let operation = request.operation();
        let mut deadline = self.deadline(self.timeout);
        self.send(&request, NO_TAG, &deadline)?;
        let mut refusal = None;
        loop {
            match (self.await_tag(operation, NO_TAG, &deadline), refusal.take()) {
                (Ok(()), before) => refusal = before,
                (Err(SessionError::Transport { source: TransportError::TimedOut, .. }), Some(answer)) => {
                    return Err(SessionError::Version { answer });
                }
                (Err(error), _) => return Err(error),
            }
            match self.version_answer(operation)? {
                // Nobody may grant more than was asked for: this answers an earlier opener of the device.
                Answer::Granted(msize) if msize > self.msize => {}
                Answer::Granted(msize) if msize < SMALLEST_MSIZE => return Err(SessionError::SmallMessages { msize }),
                Answer::Granted(msize) => {
                    self.msize = msize;
                    return Ok(());
                }
                // On a device this may be the late answer to a probe. Then the right one follows soon.
                Answer::Refused(answer) if self.transport.has_unknown_limit() && refusal.is_none() => {
                    refusal = Some(answer);
                    deadline = self.deadline(PROBE_TIMEOUT);
                }
                Answer::Refused(answer) => return Err(SessionError::Version { answer }),
                Answer::Unrelated => {}
            }
        }
    }

    /// What the message that was received last says to a version.
    fn version_answer(&self, operation: &'static str) -> Result<Answer, SessionError> {
        Ok(match self.reply(operation)? {
            Reply::Version { msize, version: VERSION } => Answer::Granted(msize),
            Reply::Version { version, .. } => {
                Answer::Refused(format!("version {:?}", String::from_utf8_lossy(version)))
            }
            Reply::Error { code } => Answer::Refused(format!("error {code}")),
            Reply::OldError { message } => Answer::Refused(format!("{:?}", String::from_utf8_lossy(message))),
            _ => Answer::Unrelated,
        })
    }

    /// Ends the session so that the server forgets it: the channel of a device outlives its opener, and so would the
    /// fids. Nothing can be done about a failure, and nothing needs to.
    pub fn close(mut self) {
        if self.transport.has_unknown_limit() {
            let request = Request::Version { msize: self.msize, version: VERSION };
            let deadline = self.deadline(PROBE_TIMEOUT);
            drop(self.send(&request, NO_TAG, &deadline).and_then(|()| self.await_tag("version", NO_TAG, &deadline)));
        }
    }
}
