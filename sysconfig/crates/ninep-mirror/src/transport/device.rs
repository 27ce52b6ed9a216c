//! 9P over the character device of illumos' `vio9p` driver, by vio9p(4D) and what the driver does.
//!
//! One write is one message and one read is one message. A read that has no room fails with `EOVERFLOW` and the message
//! stays, for the next opener if need be: so it is read all the same. The device cannot be polled, so it is opened
//! without blocking and asked again after a pause.

use std::fmt::Debug;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use rustix::io::Errno;

use super::{Deadline, Transport, TransportError, said_size};
use crate::wire::DecodeError;

/// The largest buffer of any version of the driver.
const DRIVER_BUFFER_BYTES: usize = 65_536;
/// Beyond this a driver that calls its buffer too small is not believed any more.
const ABSURD_BUFFER_BYTES: usize = 1 << 20;
/// The first pause: about what a server on the same machine takes to answer.
const SHORTEST_PAUSE: Duration = Duration::from_micros(50);
/// The longest pause: it bounds both the delay of a slow answer and the load of waiting for it.
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// An open device, or something that behaves like one.
#[derive(Debug)]
pub struct Device<F> {
    file: F,
    buffer: Vec<u8>,
}

impl<F: Read + Write + Debug + Send> Device<F> {
    /// Over an open device, which must not block.
    pub fn new(file: F) -> Self {
        Self { file, buffer: vec![0; DRIVER_BUFFER_BYTES] }
    }

    /// Reads one message into the buffer, and answers its length.
    fn read_message(&mut self, deadline: &Deadline) -> Result<usize, TransportError> {
        const OPERATION: &str = "read from the device";
        let mut pause = SHORTEST_PAUSE;
        loop {
            match self.file.read(&mut self.buffer) {
                Ok(0) => return Err(TransportError::Closed),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    deadline.slice()?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(&mut pause, deadline)?,
                Err(error) if is(&error, Errno::OVERFLOW) && self.buffer.len() < ABSURD_BUFFER_BYTES => {
                    self.buffer.resize(self.buffer.len() * 2, 0);
                }
                Err(source) => return Err(TransportError::Io { operation: OPERATION, source }),
            }
        }
    }
}

impl<F: Read + Write + Debug + Send> Transport for Device<F> {
    fn send(&mut self, message: &[u8], deadline: &Deadline) -> Result<(), TransportError> {
        const OPERATION: &str = "write to the device";
        // A server that always answers at once must not keep the program from ending.
        deadline.slice()?;
        let mut pause = SHORTEST_PAUSE;
        loop {
            match self.file.write(message) {
                Ok(count) if count == message.len() => return Ok(()),
                Ok(_) => {
                    let source = io::Error::new(ErrorKind::WriteZero, "the device took a part of a message");
                    return Err(TransportError::Io { operation: OPERATION, source });
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    deadline.slice()?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(&mut pause, deadline)?,
                Err(error) if is(&error, Errno::MSGSIZE) => {
                    return Err(TransportError::TooLarge { bytes: message.len() });
                }
                Err(source) => return Err(TransportError::Io { operation: OPERATION, source }),
            }
        }
    }

    /// The limit is not looked at: the answer to a request of an earlier opener may be larger than what this one agreed
    /// on, and is no reason to give up. Memory is bounded by the buffer.
    fn receive(
        &mut self,
        message: &mut Vec<u8>,
        _limit_bytes: usize,
        deadline: &Deadline,
    ) -> Result<(), TransportError> {
        let length = self.read_message(deadline)?;
        let bytes = &self.buffer[..length];
        let short = || DecodeError::Size { length, size: 0 };
        let start = bytes.first_chunk().ok_or_else(short)?;
        let size = said_size(*start, usize::MAX)?;
        if size != length {
            return Err(DecodeError::Size { length, size: u32::from_le_bytes(*start) }.into());
        }
        message.clear();
        message.extend_from_slice(bytes);
        Ok(())
    }

    fn has_unknown_limit(&self) -> bool {
        true
    }
}

fn sleep(pause: &mut Duration, deadline: &Deadline) -> Result<(), TransportError> {
    std::thread::sleep((*pause).min(deadline.slice()?));
    *pause = (*pause * 2).min(LONGEST_PAUSE);
    Ok(())
}

fn is(error: &io::Error, errno: Errno) -> bool {
    Errno::from_io_error(error) == Some(errno)
}
