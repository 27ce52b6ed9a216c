//! Brings a file to the disk while it is being written.
//!
//! What is written goes into the system's memory first, and making a large file durable at its end means to
//! wait until all of it is on the disk. Most of that wait can happen while the rest is still being made: a thread asks for
//! the file's content to be written again and again. That the file is durable is still the
//! business of whoever completes it, with `sync_data` or `sync_all` at the end.

use std::fs::File;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long the system may collect before it is asked to write. A disk writes some ten megabytes meanwhile.
const INTERVAL: Duration = Duration::from_millis(40);

/// A thread that brings one file to the disk until it is [finished](Self::finish) or dropped.
#[derive(Debug)]
pub struct WriteBehind {
    /// Dropping it is the sign to end.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl WriteBehind {
    /// Begins with `file`, which may be written through any other handle.
    ///
    /// # Errors
    /// The handle or the thread cannot be made.
    pub fn start(file: &File) -> io::Result<Self> {
        let file = file.try_clone()?;
        let (stop, stopped) = mpsc::channel::<()>();
        let work = move || {
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                file.sync_data()?;
            }
            Ok(())
        };
        let thread = thread::Builder::new().name("write-behind".to_owned()).spawn(work)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Ends the thread. The caller makes the file durable afterwards.
    ///
    /// # Errors
    /// The file could not be written to the disk. A system says that once only, so a later
    /// `sync_data` may succeed all the same.
    pub fn finish(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        ended.unwrap_or(Ok(Ok(()))).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for WriteBehind {
    fn drop(&mut self) {
        // Whoever wants to know calls `finish`; here the file is given up.
        if !thread::panicking() {
            let _ = self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_is_written_while_it_is_brought_to_the_disk() {
        let mut file = tempfile::tempfile().unwrap();
        let behind = WriteBehind::start(&file).unwrap();
        for piece in 0..200_u8 {
            file.write_all(&[piece; 4096]).unwrap();
        }
        thread::sleep(3 * INTERVAL);
        behind.finish().unwrap();
        assert_eq!(file.metadata().unwrap().len(), 200 * 4096);
    }

    #[test]
    fn what_the_disk_refuses_is_told() {
        // A socket cannot be made durable.
        let (_other, socket) = std::os::unix::net::UnixStream::pair().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(socket));
        let behind = WriteBehind::start(&file).unwrap();
        thread::sleep(3 * INTERVAL);
        assert_eq!(behind.finish().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
