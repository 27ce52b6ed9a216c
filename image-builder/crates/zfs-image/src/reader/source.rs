//! Where the bytes of a pool come from.

use std::fs::File;
use std::io;
use std::sync::Arc;

/// Positioned reads: a file, a slice, a partition of a disk, a decoded qcow2 image.
pub trait ReadAt: Send + Sync {
    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// Reading fails, or the source ends before the buffer is full.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let range = start.and_then(|start| Some(start..start.checked_add(buffer.len())?));
        let bytes = range.and_then(|range| self.get(range)).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buffer, offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }
}

/// A part of another source: a partition.
#[derive(Debug, Clone, Copy)]
pub struct Window<S> {
    source: S,
    start: u64,
    len: u64,
}

impl<S: ReadAt> Window<S> {
    /// `len` bytes of `source` from `start` on.
    #[must_use]
    pub fn new(source: S, start: u64, len: u64) -> Self {
        Self { source, start, len }
    }
}

impl<S: ReadAt> ReadAt for Window<S> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.len);
        end.and_then(|end| end.checked_add(self.start)).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.source.read_exact_at(buffer, self.start + offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_end_where_they_end() {
        let bytes: Vec<u8> = (0..100).collect();
        let window = Window::new(&bytes, 10, 20);
        let mut buffer = [0; 4];
        window.read_exact_at(&mut buffer, 16).expect("inside");
        assert_eq!(buffer, [26, 27, 28, 29]);
        for offset in [17, 20, u64::MAX] {
            assert!(window.read_exact_at(&mut buffer, offset).is_err(), "{offset}");
        }
    }
}
