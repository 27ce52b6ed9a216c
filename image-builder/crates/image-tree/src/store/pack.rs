//! Packs: files of blobs, one after the other, each behind a header with its length and hash.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use write_behind::WriteBehind;

use super::error::StoreError;
use super::index::{self, IndexEntry};
use super::{StoreOptions, files, fill};
use crate::hash::BlobHash;

/// The first bytes of a pack.
pub(super) const PACK_MAGIC: &[u8; 8] = b"imgpack\x01";
/// The first bytes of a record.
pub(super) const RECORD_MAGIC: &[u8; 8] = b"imgblob\x01";
/// Bytes before the content of a blob: magic, length (little-endian), hash.
pub(super) const RECORD_HEADER_BYTES: u64 = 8 + 8 + 32;

/// Content up to this size is copied behind its header, to be written with one call.
const ONE_WRITE_BYTES: usize = 64 << 10;

/// A pack for reading; its file is opened when it is first needed.
#[derive(Debug)]
pub(super) struct Pack {
    number: u32,
    dir: PathBuf,
    file: Mutex<Option<Arc<File>>>,
}

impl Pack {
    pub(super) fn new(dir: &Path, number: u32) -> Arc<Self> {
        Arc::new(Self { number, dir: dir.to_path_buf(), file: Mutex::new(None) })
    }

    pub(super) fn with_file(dir: &Path, number: u32, file: File) -> Arc<Self> {
        Arc::new(Self { number, dir: dir.to_path_buf(), file: Mutex::new(Some(Arc::new(file))) })
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// The open file, and whether it was opened just now.
    pub(super) fn open(&self) -> Result<(Arc<File>, bool), StoreError> {
        let mut slot = self.slot();
        if let Some(file) = &*slot {
            return Ok((Arc::clone(file), false));
        }
        let path = self.path();
        let file = Arc::new(File::open(&path).map_err(StoreError::access("open", &path))?);
        *slot = Some(Arc::clone(&file));
        Ok((file, true))
    }

    pub(super) fn is_open(&self) -> bool {
        self.slot().is_some()
    }

    /// Lets go of the file; readers and the writer that have it keep it.
    pub(super) fn close(&self) {
        *self.slot() = None;
    }

    fn path(&self) -> PathBuf {
        files::pack_path(&self.dir, self.number)
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<File>>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pack that this process appends to. The file is locked for as long as it is open here.
///
/// A record that is written in pieces has nothing but zeros where its header belongs until its content is complete; one
/// that is written with a single call, alone or with others, ends where the file does when that call is cut
/// short. So a process may be killed at any point.
#[derive(Debug)]
pub(super) struct PackWriter {
    pack: Arc<Pack>,
    file: Arc<File>,
    path: PathBuf,
    catalogue_index: usize,
    entries: Vec<IndexEntry>,
    /// Where the next record begins: what is before belongs to the records in `entries`.
    end: u64,
    /// A failed write could not be taken back: what follows `end` is unknown.
    broken: bool,
}

impl PackWriter {
    /// Begins a new, empty and locked pack.
    pub(super) fn new(pack: Arc<Pack>, catalogue_index: usize) -> Result<Self, StoreError> {
        let (file, _) = pack.open()?;
        let path = pack.path();
        let end = PACK_MAGIC.len() as u64;
        let writer = Self { pack, file, path, catalogue_index, entries: Vec::new(), end, broken: false };
        writer.write(PACK_MAGIC, 0)?;
        Ok(writer)
    }

    /// Which pack of the catalogue this is.
    pub(super) fn catalogue_index(&self) -> usize {
        self.catalogue_index
    }

    /// Whether more can be appended.
    pub(super) fn is_usable(&self) -> bool {
        !self.broken
    }

    /// Writes a record and returns where its content begins. It counts once it is [committed](Self::commit).
    pub(super) fn append(&mut self, hash: BlobHash, content: &[u8]) -> Result<u64, StoreError> {
        let offset = self.end + RECORD_HEADER_BYTES;
        let header = record_header(hash, content.len() as u64);
        let written = if content.len() <= ONE_WRITE_BYTES {
            self.write(&[&header, content].concat(), self.end)
        } else {
            self.write(content, offset).and_then(|()| self.write(&header, self.end))
        };
        written.map(|()| offset).inspect_err(|_| self.cut())
    }

    /// As [`append`](Self::append), for what is in `buffer` followed by what is left in `reader`.
    pub(super) fn append_stream(
        &mut self,
        buffer: &mut Vec<u8>,
        reader: &mut impl Read,
    ) -> Result<(BlobHash, u64, u64), StoreError> {
        let offset = self.end + RECORD_HEADER_BYTES;
        let mut copy = || {
            let mut hasher = blake3::Hasher::new();
            let mut len = 0;
            while !buffer.is_empty() {
                hasher.update(buffer);
                self.write(buffer, offset + len)?;
                len += buffer.len() as u64;
                buffer.clear();
                fill(buffer, reader).map_err(|source| StoreError::Source { source })?;
            }
            let hash = BlobHash::from(hasher.finalize());
            self.write(&record_header(hash, len), self.end)?;
            Ok((hash, offset, len))
        };
        copy().inspect_err(|_| self.cut())
    }

    /// Writes whole records and returns where the first one begins. They count once they are
    /// [committed](Self::commit), in their order.
    pub(super) fn append_records(&mut self, records: &[u8]) -> Result<u64, StoreError> {
        let begin = self.end;
        self.write(records, begin).map(|()| begin).inspect_err(|_| self.cut())
    }

    /// Begins to bring the pack to the disk, where that is wanted at all.
    pub(super) fn bring_to_disk(&self, options: StoreOptions) -> Result<Option<WriteBehind>, StoreError> {
        let started = options.sync.then(|| WriteBehind::start(&self.file)).transpose();
        started.map_err(StoreError::write("content", &self.path))
    }

    /// The pack could not be brought to the disk: nothing more goes into it.
    pub(super) fn lost(&mut self, source: io::Error) -> StoreError {
        self.broken = true;
        StoreError::write("content", &self.path)(source)
    }

    /// Makes the record just written part of the pack.
    pub(super) fn commit(&mut self, hash: BlobHash, offset: u64, len: u64) {
        self.entries.push(IndexEntry { hash, offset, len });
        self.end = offset + len;
    }

    /// Removes the record just written.
    pub(super) fn take_back(&mut self) -> Result<(), StoreError> {
        self.file.set_len(self.end).map_err(StoreError::write("content", &self.path))
    }

    /// Completes the pack with its index, after which it is never written again. An empty one is removed.
    pub(super) fn seal(self, options: StoreOptions) -> Result<(), StoreError> {
        let Pack { dir, number, .. } = &*self.pack;
        if self.entries.is_empty() {
            return files::remove_file(&self.path);
        }
        if options.sync {
            self.file.sync_data().map_err(StoreError::write("content", &self.path))?;
        }
        index::write(dir, *number, self.entries, self.end, options)?;
        // Giving up the file gives up its lock.
        self.pack.close();
        Ok(())
    }

    /// Gives up a pack that shall not be, with everything in it.
    pub(super) fn discard(self) -> Result<(), StoreError> {
        self.pack.close();
        files::remove_file(&self.path)
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), StoreError> {
        self.file.write_all_at(bytes, offset).map_err(StoreError::write("content", &self.path))
    }

    /// Cuts off a record that could not be completed.
    fn cut(&mut self) {
        self.broken = self.file.set_len(self.end).is_err();
    }
}

pub(super) fn record_header(hash: BlobHash, len: u64) -> [u8; RECORD_HEADER_BYTES as usize] {
    let mut header = [0; RECORD_HEADER_BYTES as usize];
    header[..8].copy_from_slice(RECORD_MAGIC);
    header[8..16].copy_from_slice(&len.to_le_bytes());
    header[16..].copy_from_slice(hash.as_bytes());
    header
}

/// The hash and length in a record header; none if it is no header.
pub(super) fn parse_record_header(header: &[u8; RECORD_HEADER_BYTES as usize]) -> Option<(BlobHash, u64)> {
    let (magic, rest) = header.split_first_chunk::<8>()?;
    let (len, hash) = rest.split_first_chunk::<8>()?;
    let hash = BlobHash::from_bytes(hash.try_into().ok()?);
    (magic == RECORD_MAGIC).then_some((hash, u64::from_le_bytes(*len)))
}

/// Reads exactly at an offset; false if the file ends before.
pub(super) fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<bool> {
    match file.read_exact_at(bytes, offset) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
