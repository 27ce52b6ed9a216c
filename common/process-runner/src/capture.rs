//! Capturing a stream in a thread, bounded, with its complete lines handed on as they come.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A stream being read by a thread of its own.
pub(crate) struct Capture {
    shared: Arc<Mutex<Shared>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    bytes: Vec<u8>,
    overflow: bool,
    error: Option<io::Error>,
}

/// What is called with each complete line, without its line feed.
pub(crate) type LineSink = Arc<dyn Fn(&[u8]) + Send + Sync>;

impl Capture {
    /// Reads `stream` to its end, keeping at most `limit` bytes.
    pub(crate) fn start(mut stream: impl Read + Send + 'static, limit: usize, sink: Option<LineSink>) -> Self {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let mut lines = Lines { sink, pending: Vec::new() };
            let mut buffer = [0_u8; 16 * 1024];
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => {
                        let chunk = &buffer[..count];
                        lines.feed(chunk);
                        let mut shared = theirs.lock().unwrap_or_else(PoisonError::into_inner);
                        let room = limit.saturating_sub(shared.bytes.len());
                        shared.bytes.extend_from_slice(&chunk[..count.min(room)]);
                        shared.overflow |= count > room;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        theirs.lock().unwrap_or_else(PoisonError::into_inner).error = Some(error);
                        break;
                    }
                }
            }
            lines.finish();
        });
        Self { shared, thread: Some(thread) }
    }

    /// Whether the program has written more than the limit.
    pub(crate) fn overflowed(&self) -> bool {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).overflow
    }

    /// Takes what was read. A grandchild that still holds the pipe is not waited for longer than `grace`.
    pub(crate) fn finish(mut self, grace: Duration) -> io::Result<Vec<u8>> {
        let until = Instant::now() + grace;
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(2));
            }
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        match shared.error.take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut shared.bytes)),
        }
    }
}

struct Lines {
    sink: Option<LineSink>,
    pending: Vec<u8>,
}

/// A line without an end is handed on in pieces of this size, so that memory stays bounded.
const LONGEST_LINE: usize = 64 * 1024;

impl Lines {
    fn feed(&mut self, chunk: &[u8]) {
        let Some(sink) = &self.sink else { return };
        for &byte in chunk {
            if byte == b'\n' || self.pending.len() >= LONGEST_LINE {
                sink(&self.pending);
                self.pending.clear();
            }
            if byte != b'\n' {
                self.pending.push(byte);
            }
        }
    }

    fn finish(&mut self) {
        if let (Some(sink), false) = (&self.sink, self.pending.is_empty()) {
            sink(&self.pending);
        }
    }
}
