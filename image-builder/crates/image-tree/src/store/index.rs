//! Indexes: which blobs a sealed pack holds, and where.

use std::fs;
use std::io;
use std::path::Path;

use super::error::StoreError;
use super::{StoreOptions, files};
use crate::hash::BlobHash;

const INDEX_MAGIC: &[u8; 8] = b"imgpidx\x01";
/// Magic, number of entries, length of the pack.
const HEADER_BYTES: usize = 8 + 8 + 8;
/// Hash, offset, length.
const ENTRY_BYTES: usize = 32 + 8 + 8;
/// The hash of everything before.
const TRAILER_BYTES: usize = 32;

/// One blob of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) hash: BlobHash,
    /// Where the content begins in the pack file.
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// A checked index, still in its stored form.
#[derive(Debug)]
pub(super) struct Index {
    bytes: Vec<u8>,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        (self.bytes.len() - HEADER_BYTES - TRAILER_BYTES) / ENTRY_BYTES
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = IndexEntry> {
        let entries = &self.bytes[HEADER_BYTES..self.bytes.len() - TRAILER_BYTES];
        entries.chunks_exact(ENTRY_BYTES).map(|entry| {
            let hash: [u8; 32] = entry[..32].try_into().expect("32 bytes were taken");
            IndexEntry { hash: BlobHash::from_bytes(hash), offset: u64_at(entry, 32), len: u64_at(entry, 40) }
        })
    }
}

/// Writes the index of a pack of `pack_bytes` bytes; the pack is sealed once it has its name.
pub(super) fn write(
    dir: &Path,
    number: u32,
    mut entries: Vec<IndexEntry>,
    pack_bytes: u64,
    options: StoreOptions,
) -> Result<(), StoreError> {
    entries.sort_unstable_by_key(|entry| entry.hash);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + entries.len() * ENTRY_BYTES + TRAILER_BYTES);
    bytes.extend_from_slice(INDEX_MAGIC);
    bytes.extend_from_slice(&(entries.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&pack_bytes.to_le_bytes());
    for entry in &entries {
        bytes.extend_from_slice(entry.hash.as_bytes());
        bytes.extend_from_slice(&entry.offset.to_le_bytes());
        bytes.extend_from_slice(&entry.len.to_le_bytes());
    }
    let hash = BlobHash::of(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    files::replace(&files::index_path(dir, number), &bytes, "an index", options.sync)
}

/// Reads an index; none if there is none, if it is damaged, or if its pack is not as long as it says.
pub(super) fn read(dir: &Path, number: u32) -> Result<Option<Index>, StoreError> {
    let path = files::index_path(dir, number);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(StoreError::read(&path))?,
    };
    let pack_bytes = fs::metadata(files::pack_path(dir, number)).map_or(0, |metadata| metadata.len());
    Ok(is_valid(&bytes, pack_bytes).then_some(Index { bytes }))
}

fn is_valid(bytes: &[u8], pack_bytes: u64) -> bool {
    let Some(entries) = bytes.len().checked_sub(HEADER_BYTES + TRAILER_BYTES) else {
        return false;
    };
    let (content, trailer) = bytes.split_at(bytes.len() - TRAILER_BYTES);
    bytes.starts_with(INDEX_MAGIC)
        && u64_at(bytes, 8).checked_mul(ENTRY_BYTES as u64) == Some(entries as u64)
        && u64_at(bytes, 16) <= pack_bytes
        && BlobHash::of(content).as_bytes() == trailer
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("8 bytes were taken"))
}
