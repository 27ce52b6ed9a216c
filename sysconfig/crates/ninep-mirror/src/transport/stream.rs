//! 9P over a connection: a UNIX socket or TCP.

use std::fmt::Debug;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::{Deadline, Transport, TransportError, said_size};

/// A connection whose calls come back in time.
pub trait Connection: Read + Write + Debug + Send {
    /// Lets every later read and write end after this time at most.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn set_timeout(&self, time: Duration) -> io::Result<()>;
}

impl Connection for UnixStream {
    fn set_timeout(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }
}

impl Connection for TcpStream {
    fn set_timeout(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }
}

/// A transport that finds the messages in a stream of bytes by their sizes.
#[derive(Debug)]
pub struct Stream<C> {
    connection: C,
    timeout: Duration,
}

impl<C: Connection> Stream<C> {
    /// Over an open connection.
    pub fn new(connection: C) -> Self {
        Self { connection, timeout: Duration::ZERO }
    }

    /// Lets the next call end in time. The system is asked only when the time changes, which is near the deadline.
    fn arm(&mut self, deadline: &Deadline, operation: &'static str) -> Result<(), TransportError> {
        let slice = deadline.slice()?.max(Duration::from_millis(1));
        if slice != self.timeout {
            self.connection.set_timeout(slice).map_err(|source| TransportError::Io { operation, source })?;
            self.timeout = slice;
        }
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8], deadline: &Deadline) -> Result<(), TransportError> {
        const OPERATION: &str = "receive from the server";
        let mut filled = 0;
        while filled < buffer.len() {
            self.arm(deadline, OPERATION)?;
            match self.connection.read(&mut buffer[filled..]) {
                Ok(0) => return Err(TransportError::Closed),
                Ok(count) => filled += count,
                Err(error) if is_only_late(&error) => {}
                Err(error) => return Err(failed(OPERATION, error)),
            }
        }
        Ok(())
    }
}

impl<C: Connection> Transport for Stream<C> {
    fn send(&mut self, message: &[u8], deadline: &Deadline) -> Result<(), TransportError> {
        const OPERATION: &str = "send to the server";
        let mut rest = message;
        while !rest.is_empty() {
            self.arm(deadline, OPERATION)?;
            match self.connection.write(rest) {
                Ok(0) => return Err(TransportError::Closed),
                Ok(count) => rest = &rest[count..],
                Err(error) if is_only_late(&error) => {}
                Err(error) => return Err(failed(OPERATION, error)),
            }
        }
        Ok(())
    }

    fn receive(
        &mut self,
        message: &mut Vec<u8>,
        limit_bytes: usize,
        deadline: &Deadline,
    ) -> Result<(), TransportError> {
        let mut start = [0; 4];
        self.fill(&mut start, deadline)?;
        let size = said_size(start, limit_bytes)?;
        message.clear();
        message.extend_from_slice(&start);
        message.resize(size, 0);
        self.fill(&mut message[start.len()..], deadline)
    }
}

fn is_only_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn failed(operation: &'static str, source: io::Error) -> TransportError {
    match source.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => TransportError::Closed,
        _ => TransportError::Io { operation, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop::Stop;
    use std::time::Instant;

    fn pair() -> (Stream<UnixStream>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Stream::new(ours), theirs)
    }

    fn within(milliseconds: u64) -> Deadline {
        Deadline::after(Duration::from_millis(milliseconds), &Stop::default())
    }

    #[test]
    fn messages_are_cut_out_of_the_stream() {
        let (mut stream, mut server) = pair();
        server.write_all(b"\x07\0\0\0abc\x08\0\0\0defg").unwrap();
        let mut message = vec![1; 100];
        stream.receive(&mut message, 8192, &within(5000)).unwrap();
        assert_eq!(message, b"\x07\0\0\0abc");
        stream.receive(&mut message, 8192, &within(5000)).unwrap();
        assert_eq!(message, b"\x08\0\0\0defg");
        stream.send(b"\x07\0\0\0xyz", &within(5000)).unwrap();
        let mut sent = [0; 7];
        server.read_exact(&mut sent).unwrap();
        assert_eq!(&sent, b"\x07\0\0\0xyz");
    }

    #[test]
    fn impossible_sizes_are_refused_before_memory_is_taken() {
        for size in [0_u32, 6, 8193, u32::MAX] {
            let (mut stream, mut server) = pair();
            server.write_all(&size.to_le_bytes()).unwrap();
            let mut message = Vec::new();
            let error = stream.receive(&mut message, 8192, &within(5000)).unwrap_err();
            assert!(
                matches!(error, TransportError::NotAMessage(_) | TransportError::Oversized { .. }),
                "{size}: {error:?}"
            );
            assert_eq!(message.capacity(), 0);
        }
    }

    #[test]
    fn silence_ends_at_the_deadline_and_an_end_is_told() {
        let (mut stream, mut server) = pair();
        server.write_all(b"\x09\0\0\0ab").unwrap();
        let begin = Instant::now();
        let error = stream.receive(&mut Vec::new(), 8192, &within(300)).unwrap_err();
        assert!(matches!(error, TransportError::TimedOut), "{error:?}");
        assert!((Duration::from_millis(300)..Duration::from_secs(60)).contains(&begin.elapsed()));
        drop(server);
        let error = stream.receive(&mut Vec::new(), 8192, &within(5000)).unwrap_err();
        assert!(matches!(error, TransportError::Closed), "{error:?}");
    }
}
