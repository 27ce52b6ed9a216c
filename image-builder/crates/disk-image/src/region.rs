//! A window into the disk file, which keeps zeros as holes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use rustix::fs::SeekFrom as SparseSeek;

/// What is compared with zero and read or written at once while copying.
const CHUNK: usize = 64 * 1024;

/// The part of a disk file that belongs to one partition.
///
/// Reads, writes and seeks are relative to it and never leave it. Writing zeros
/// where the file has zeros already does nothing, so that free space stays a hole.
#[derive(Debug)]
pub struct Region<'a> {
    file: &'a File,
    base: u64,
    length: u64,
    position: u64,
}

impl<'a> Region<'a> {
    /// The `length` bytes of `file` from `base`.
    #[must_use]
    pub fn new(file: &'a File, base: u64, length: u64) -> Self {
        Self { file, base, length, position: 0 }
    }

    /// Bytes of the region.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes all of `bytes` at `offset` of the region, wherever the region stands.
    ///
    /// Any number of threads may write at once, as long as their ranges do not overlap. Zeros where
    /// the file has zeros already stay a hole, in whole chunks of 64 KiB.
    ///
    /// # Errors
    /// The system's; `StorageFull` when the range is not within the region.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        // Runs of chunks that have to be written, so that large writes stay large.
        let mut run = 0..0;
        for start in (0..bytes.len()).step_by(CHUNK) {
            let chunk = start..bytes.len().min(start + CHUNK);
            if is_zero(&bytes[chunk.clone()]) && self.reads_as_zeros(chunk.len(), offset + start as u64)? {
                self.file.write_all_at(&bytes[run.clone()], self.base + offset + run.start as u64)?;
                run = chunk.end..chunk.end;
            } else {
                run.end = chunk.end;
            }
        }
        self.file.write_all_at(&bytes[run.clone()], self.base + offset + run.start as u64)
    }

    /// Fills `buffer` from `offset` of the region, wherever the region stands.
    ///
    /// # Errors
    /// The system's; `UnexpectedEof` when the range is not within the region.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.read_exact_at(buffer, self.base + offset)
    }

    /// Copies a whole file to the beginning of the region; holes and zeros stay holes.
    ///
    /// Answers the number of bytes that were not zero (in whole chunks of 64 KiB).
    ///
    /// # Errors
    /// The system's; `StorageFull` when the file is larger than the region.
    pub fn copy_sparse_from(&mut self, source: &File) -> io::Result<u64> {
        let length = source.metadata()?.len();
        self.copy_sparse_range(source, 0, length)
    }

    /// Copies `length` bytes of a file from `start` to the beginning of the region, as
    /// [`copy_sparse_from`](Self::copy_sparse_from) does with a whole one.
    ///
    /// # Errors
    /// The system's; `StorageFull` when the range is larger than the region.
    pub fn copy_sparse_range(&mut self, source: &File, start: u64, length: u64) -> io::Result<u64> {
        if length > self.length {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let end = start + length;
        let mut buffer = vec![0; CHUNK];
        let mut copied = 0;
        let mut at = start;
        while let Some(data) = next_data(source, at)?.filter(|data| *data < end) {
            let hole = rustix::fs::seek(source, SparseSeek::Hole(data))?.min(end);
            at = data;
            while at < hole {
                let length = (hole - at).min(CHUNK as u64) as usize;
                source.read_exact_at(&mut buffer[..length], at)?;
                if !is_zero(&buffer[..length]) {
                    self.file.write_all_at(&buffer[..length], self.base + (at - start))?;
                    copied += length as u64;
                }
                at += length as u64;
            }
        }
        self.position = length;
        Ok(copied)
    }

    fn remaining(&self) -> u64 {
        self.length.saturating_sub(self.position)
    }

    /// Whether the file already reads as zeros in the `length` bytes from `offset`.
    fn reads_as_zeros(&self, length: usize, offset: u64) -> io::Result<bool> {
        let mut present = vec![0; length];
        self.file.read_exact_at(&mut present, self.base + offset)?;
        Ok(is_zero(&present))
    }
}

/// The next byte at or after `from` that is not in a hole; `None` behind the last one.
fn next_data(file: &File, from: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, SparseSeek::Data(from)) {
        Ok(at) => Ok(Some(at)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

impl Read for Region<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.remaining().min(buffer.len() as u64) as usize;
        let read = self.file.read_at(&mut buffer[..length], self.base + self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Write for Region<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        // Answering 0 at the end makes `write_all` fail instead of leaving the region.
        let length = self.remaining().min(buffer.len().min(CHUNK) as u64) as usize;
        self.write_all_at(&buffer[..length], self.position)?;
        self.position += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Region<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
