//! Reading blobs and file contents. Readers use positioned reads, so any number can share a pack.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::node::{Content, Extent};

/// Reads one blob.
#[derive(Debug, Clone)]
pub struct BlobReader {
    /// None for the empty blob, which is in no pack.
    file: Option<Arc<File>>,
    /// Where the blob begins in the file.
    offset: u64,
    len: u64,
    position: u64,
}

impl BlobReader {
    pub(super) fn new(file: Arc<File>, offset: u64, len: u64) -> Self {
        Self { file: Some(file), offset, len, position: 0 }
    }

    pub(super) fn empty() -> Self {
        Self { file: None, offset: 0, len: 0, position: 0 }
    }

    /// The length of the blob in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the blob has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads at a position of the blob without moving the reader's own; 0 at its end and beyond.
    ///
    /// # Errors
    /// The pack cannot be read, or it ends before the blob does.
    pub fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let count = clamp(buffer.len(), self.len.saturating_sub(position));
        let Some(file) = self.file.as_ref().filter(|_| count > 0) else {
            return Ok(0);
        };
        match file.read_at(&mut buffer[..count], self.offset + position)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the pack ends before the blob")),
            read => Ok(read),
        }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for BlobReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = seek_position(to, self.position, self.len)?;
        Ok(self.position)
    }
}

/// Reads the content of a file: what is outside its data extents reads as zeros.
#[derive(Debug, Clone)]
pub struct ContentReader {
    blob: BlobReader,
    len: u64,
    /// For a sparse file, the data extents, each with where its data begins in the blob.
    extents: Option<Vec<(Extent, u64)>>,
    position: u64,
}

impl ContentReader {
    /// `blob` has to be as long as the data of `content`.
    pub(super) fn new(blob: BlobReader, content: &Content) -> Self {
        let extents = content.extents().map(|extents| {
            let mut start = 0;
            let with_start = |extent: &Extent| {
                start += extent.len;
                (*extent, start - extent.len)
            };
            extents.iter().map(with_start).collect()
        });
        Self { blob, len: content.len(), extents, position: 0 }
    }

    /// The length of the file in bytes, holes included.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads at a position of the file without moving the reader's own; 0 at its end and beyond.
    ///
    /// # Errors
    /// The pack cannot be read.
    pub fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let Some(extents) = &self.extents else {
            return self.blob.read_at(buffer, position);
        };
        let next = extents.partition_point(|(extent, _)| extent.offset + extent.len <= position);
        let hole_end = match extents.get(next) {
            Some((extent, start)) if extent.offset <= position => {
                let count = clamp(buffer.len(), extent.offset + extent.len - position);
                return self.blob.read_at(&mut buffer[..count], start + (position - extent.offset));
            }
            Some((extent, _)) => extent.offset,
            None => self.len,
        };
        let count = clamp(buffer.len(), hole_end.saturating_sub(position));
        buffer[..count].fill(0);
        Ok(count)
    }
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for ContentReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = seek_position(to, self.position, self.len)?;
        Ok(self.position)
    }
}

fn clamp(buffer: usize, left: u64) -> usize {
    usize::try_from(left).map_or(buffer, |left| left.min(buffer))
}

fn seek_position(to: SeekFrom, position: u64, len: u64) -> io::Result<u64> {
    let target = match to {
        SeekFrom::Start(target) => Some(target),
        SeekFrom::Current(by) => position.checked_add_signed(by),
        SeekFrom::End(by) => len.checked_add_signed(by),
    };
    target.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek to before the beginning"))
}
