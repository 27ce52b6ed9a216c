//! Who hears of what the client does.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a count is told at most.
const INTERVAL: Duration = Duration::from_millis(200);

/// Hears what the client does.
pub trait Listener: Send + Sync {
    /// Something worth a line in a log.
    fn message(&self, text: &str);
    /// Something that may replace the last detail.
    fn detail(&self, text: &str);
}

/// A listener that says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Listener for Silent {
    fn message(&self, _text: &str) {}
    fn detail(&self, _text: &str) {}
}

/// Counts files and bytes of several threads in one line.
pub(crate) struct Count<'l> {
    listener: &'l dyn Listener,
    what: &'static str,
    files: AtomicUsize,
    bytes: AtomicU64,
    all: (usize, u64),
    began: Instant,
    told: Mutex<Option<Instant>>,
}

impl<'l> Count<'l> {
    /// `all` is how many files and bytes there will be; no bytes if that is not known.
    pub(crate) fn new(listener: &'l dyn Listener, what: &'static str, all: (usize, u64)) -> Self {
        let (files, bytes, told) = (AtomicUsize::new(0), AtomicU64::new(0), Mutex::new(None));
        Self { listener, what, files, bytes, all, began: Instant::now(), told }
    }

    pub(crate) fn add(&self, bytes: u64) {
        let files = self.files.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|told| told.elapsed() < INTERVAL) && files < self.all.0 {
            return;
        }
        *told = Some(Instant::now());
        self.listener.detail(&self.text(files, bytes));
    }

    fn text(&self, files: usize, bytes: u64) -> String {
        let (all_files, all_bytes) = self.all;
        if all_bytes == 0 {
            return format!("{} {files} of {all_files}", self.what);
        }
        let milliseconds = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let speed = shown_bytes(bytes.saturating_mul(1000) / milliseconds);
        let (done, all) = (shown_bytes(bytes), shown_bytes(all_bytes));
        format!("{} {files} of {all_files}, {done} of {all}, {speed}/s", self.what)
    }
}

/// A number of bytes as people read it.
pub(crate) fn shown_bytes(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=9_999_999 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}
