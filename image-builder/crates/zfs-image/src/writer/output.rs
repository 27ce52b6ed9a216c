//! Where the bytes of a pool go.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A window of the target, as long as the pool's device, that reads as zeros until something is written. Several
/// threads write at the same time, each byte is written once at most, and the order is not that of the positions.
pub trait Output: Sync {
    /// Writes all of `bytes` at `position`, in bytes from the start of the window.
    ///
    /// # Errors
    /// The target cannot be written.
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;
}

/// A window that begins somewhere in a file, such as a partition of a disk image.
#[derive(Debug)]
pub struct FileWindow<'f> {
    file: &'f File,
    base: u64,
}

impl<'f> FileWindow<'f> {
    /// The window of `file` that begins at `base` bytes. The file has to be a fresh one: it has to read as zeros.
    #[must_use]
    pub fn new(file: &'f File, base: u64) -> Self {
        Self { file, base }
    }
}

impl Output for FileWindow<'_> {
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let beyond = || io::Error::new(io::ErrorKind::InvalidInput, "a position beyond any file");
        self.file.write_all_at(bytes, self.base.checked_add(position).ok_or_else(beyond)?)
    }
}
