//! Our ends of the pipes to a program, which never hold us longer than the program runs.
//!
//! A pipe stays open for as long as any process has its other end, and that may be a grandchild that outlives
//! everything. So nothing here blocks: each waits a moment, and looks whether the program has ended meanwhile.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{ChildStdin, ChildStdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long is waited before looking again.
const MOMENT: Duration = Duration::from_millis(20);

/// What writes a program's standard input.
pub(crate) struct Feed<'a> {
    pipe: ChildStdin,
    has_ended: &'a AtomicBool,
}

impl<'a> Feed<'a> {
    pub(crate) fn new(pipe: ChildStdin, has_ended: &'a AtomicBool) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok(Self { pipe, has_ended })
    }
}

impl Write for Feed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            if self.has_ended.load(Ordering::Acquire) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if !is_ready(&self.pipe, PollFlags::OUT)? {
                continue;
            }
            match self.pipe.write(bytes) {
                // Some systems call a pipe writable that has no room for all of a small piece.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(MOMENT / 20),
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What reads a program's standard output.
pub(crate) struct Tap<'a> {
    pipe: ChildStdout,
    has_ended: &'a AtomicBool,
    grace: Duration,
    /// Since when the program has ended and nothing has come.
    silent_since: Option<Instant>,
}

impl<'a> Tap<'a> {
    /// Reads until nothing has come for `grace` after the program has ended.
    pub(crate) fn new(pipe: ChildStdout, has_ended: &'a AtomicBool, grace: Duration) -> Self {
        Self { pipe, has_ended, grace, silent_since: None }
    }

    /// Throws away what still comes, for as long as `patience`; answers whether the end was reached.
    pub(crate) fn drain(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut buffer = [0; 1 << 16];
        while Instant::now() < until {
            match is_ready(&self.pipe, PollFlags::IN) {
                Ok(false) if self.has_ended.load(Ordering::Acquire) => return true,
                Ok(false) => {}
                Ok(true) => match self.pipe.read(&mut buffer) {
                    Ok(0) | Err(_) => return true,
                    Ok(_) => {}
                },
                Err(_) => return true,
            }
        }
        false
    }
}

impl Read for Tap<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let has_ended = self.has_ended.load(Ordering::Acquire);
            if is_ready(&self.pipe, PollFlags::IN)? {
                self.silent_since = None;
                return self.pipe.read(buffer);
            }
            if has_ended && self.silent_since.get_or_insert_with(Instant::now).elapsed() >= self.grace {
                return Ok(0);
            }
        }
    }
}

/// Waits a moment for the pipe; an end of the other side is ready, too.
fn is_ready(pipe: impl AsFd, wanted: PollFlags) -> io::Result<bool> {
    let moment = Timespec { tv_sec: 0, tv_nsec: MOMENT.as_nanos() as _ };
    match poll(&mut [PollFd::new(&pipe, wanted)], Some(&moment)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
