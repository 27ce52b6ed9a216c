//! What a server is believed at most.

use std::time::Duration;

/// The bounds of memory, disk and time.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Files and links of a mirror, and entries of its directories that are gone through in one pass.
    pub entries: usize,
    /// The largest file in bytes.
    pub file_bytes: u64,
    /// All files together in bytes.
    pub total_bytes: u64,
    /// How long a file must have stayed the same before it is copied: a build writes in pieces.
    pub settle: Duration,
    /// How long a pass waits for files that keep changing.
    pub patience: Duration,
    /// How long it may take to look at everything once.
    pub pass_time: Duration,
    /// Bytes a second below which the copying of a file is given up, after a minute of grace.
    pub slowest_bytes_per_second: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 50_000,
            file_bytes: 512 << 20,
            total_bytes: 4 << 30,
            settle: Duration::from_millis(250),
            patience: Duration::from_secs(5),
            pass_time: Duration::from_secs(600),
            slowest_bytes_per_second: 16 << 10,
        }
    }
}

impl Limits {
    /// How long the copying of a file of this size may take.
    pub(super) fn copy_time(&self, bytes: u64) -> Duration {
        Duration::from_secs(60 + bytes / self.slowest_bytes_per_second.max(1))
    }
}
