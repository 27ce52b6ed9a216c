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

/// What the probe of the driver's buffer left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    /// Nothing.
    Done,
    /// The answer may still come, and must not be taken for that to the real request.
    Unanswered,
}

impl Session {
    /// Agrees with the server on protocol and size of messages.
    pub(super) fn negotiate(&mut self, size: MessageSize) -> Result<(), SessionError> {
        let (proposed, probe) = match size {
            MessageSize::AtMost(msize) => (msize, Probe::Done),
            MessageSize::Automatic if self.transport.has_unknown_limit() => self.probe()?,
            MessageSize::Automatic => (STREAM_MSIZE, Probe::Done),
        };
        self.msize = proposed.max(SMALLEST_MSIZE);
        self.propose(probe)
    }

    /// Finds out how large the driver's buffer is: by a message that only the larger one holds.
    fn probe(&mut self) -> Result<(u32, Probe), SessionError> {
        let version = vec![b'?'; PROBE_BYTES];
        let request = Request::Version { msize: DEVICE_MSIZE, version: &version };
        // Until something is agreed on, the answers of an earlier session may be of any size.
        self.msize = LATER_DEVICE_MSIZE;
        let deadline = self.deadline(PROBE_TIMEOUT);
        match self.send(&request, NO_TAG, &deadline) {
            Err(SessionError::Transport { source: TransportError::TooLarge { .. }, .. }) => {
                return Ok((DEVICE_MSIZE, Probe::Done));
            }
            result => result?,
        }
        let operation = request.operation();
        match self.await_tag(operation, NO_TAG, &deadline) {
            Ok(()) => Ok((LATER_DEVICE_MSIZE, Probe::Done)),
            Err(SessionError::Transport { source: TransportError::TimedOut, .. }) => {
                Ok((DEVICE_MSIZE, Probe::Unanswered))
            }
            Err(error) => Err(error),
        }
    }

    fn propose(&mut self, mut probe: Probe) -> Result<(), SessionError> {
        let request = Request::Version { msize: self.msize, version: VERSION };
        let operation = request.operation();
        let deadline = self.deadline(self.timeout);
        self.send(&request, NO_TAG, &deadline)?;
        loop {
            self.await_tag(operation, NO_TAG, &deadline)?;
            let answer = match self.reply(operation)? {
                Reply::Version { msize, version: VERSION } if msize > self.msize => {
                    // Nobody may grant more than was asked for: this answers an earlier opener of the device.
                    continue;
                }
                Reply::Version { msize, version: VERSION } => {
                    if msize < SMALLEST_MSIZE {
                        return Err(SessionError::SmallMessages { msize });
                    }
                    self.msize = msize;
                    return Ok(());
                }
                Reply::Version { version, .. } => format!("version {:?}", String::from_utf8_lossy(version)),
                Reply::Error { code } => format!("error {code}"),
                Reply::OldError { message } => format!("{:?}", String::from_utf8_lossy(message)),
                _ => continue,
            };
            if probe == Probe::Done {
                return Err(SessionError::Version { answer });
            }
            probe = Probe::Done;
        }
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
