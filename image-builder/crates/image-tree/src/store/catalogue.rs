//! Which blobs there are, and where.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::error::StoreError;
use super::index;
use super::pack::Pack;
use crate::hash::BlobHash;

/// All blobs this process knows of, and the packs they are in.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    pub(super) blobs: BlobMap<Location>,
    pub(super) packs: Vec<Arc<Pack>>,
}

type BlobMap<V> = HashMap<BlobHash, V, BuildHasherDefault<HashPrefix>>;

/// Where a blob is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Location {
    /// Index in [`Catalogue::packs`].
    pub(super) pack: usize,
    /// Where the content begins in the pack file.
    pub(super) offset: u64,
    pub(super) len: u64,
}

impl Catalogue {
    /// Makes a pack known with all that its index says; what is known already stays where it is.
    pub(super) fn add_pack(&mut self, pack: Arc<Pack>, index: &index::Index) {
        let number = self.packs.len();
        self.packs.push(pack);
        self.blobs.reserve(index.len());
        for entry in index.entries() {
            let location = Location { pack: number, offset: entry.offset, len: entry.len };
            self.blobs.entry(entry.hash).or_insert(location);
        }
    }

    /// The open file of a pack. Only so many are kept open: stores may have more packs than a process may
    /// have files.
    pub(super) fn open_pack(&self, number: usize) -> Result<Arc<File>, StoreError> {
        const OPEN_FILES_MAX: usize = 64;
        let (file, newly) = self.packs[number].open()?;
        if newly && self.packs.iter().filter(|pack| pack.is_open()).count() > OPEN_FILES_MAX {
            self.packs.iter().for_each(|pack| pack.close());
        }
        Ok(file)
    }
}

/// Hashes are as good as random already, so eight of their bytes do for a table.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct HashPrefix(u64);

impl Hasher for HashPrefix {
    fn write(&mut self, bytes: &[u8]) {
        // `[u8; 32]` hashes its length first (through `write_usize`), then all bytes in one call.
        if let Some(prefix) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*prefix);
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
