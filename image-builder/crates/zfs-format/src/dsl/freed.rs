//! What lists of freed blocks begin with: `bpobj_phys_t` and `dsl_deadlist_phys_t`.

use super::{word, words};

/// Bytes of a `bpobj_phys_t` with sub-objects (`BPOBJ_SIZE_V2`), as pools without the feature `livelist` have it.
pub const BPOBJ_BYTES: usize = 48;
/// Bytes of a `dsl_deadlist_phys_t`.
pub const DEADLIST_BYTES: usize = 320;

/// The header of a list of block pointers: `bpobj_phys_t`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BpobjPhys {
    /// Pointers in the object itself.
    pub block_pointers: u64,
    /// Bytes of all the blocks, those of the sub-objects too.
    pub bytes: u64,
    /// Those bytes after compression.
    pub compressed_bytes: u64,
    /// Those bytes before compression.
    pub uncompressed_bytes: u64,
    /// Object with the numbers of the sub-objects; 0 for none.
    pub subobjects: u64,
    /// How many sub-objects there are.
    pub subobject_count: u64,
}

impl BpobjPhys {
    /// The bonus buffer.
    #[must_use]
    pub fn encode(&self) -> [u8; BPOBJ_BYTES] {
        words([
            self.block_pointers,
            self.bytes,
            self.compressed_bytes,
            self.uncompressed_bytes,
            self.subobjects,
            self.subobject_count,
        ])
    }

    /// Reads a bonus buffer; those of old pools are shorter, and what is missing is 0. None below 16 bytes.
    #[must_use]
    pub fn decode(bonus: &[u8]) -> Option<Self> {
        (bonus.len() >= 16).then(|| Self {
            block_pointers: word(bonus, 0),
            bytes: word(bonus, 1),
            compressed_bytes: word(bonus, 2),
            uncompressed_bytes: word(bonus, 3),
            subobjects: word(bonus, 4),
            subobject_count: word(bonus, 5),
        })
    }
}

/// The header of a deadlist, whose ZAP leads from transaction groups to bpobjs: `dsl_deadlist_phys_t`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeadlistPhys {
    /// Bytes of all blocks in it.
    pub used_bytes: u64,
    /// Those bytes after compression.
    pub compressed_bytes: u64,
    /// Those bytes before compression.
    pub uncompressed_bytes: u64,
}

impl DeadlistPhys {
    /// The bonus buffer.
    #[must_use]
    pub fn encode(&self) -> [u8; DEADLIST_BYTES] {
        words([self.used_bytes, self.compressed_bytes, self.uncompressed_bytes])
    }

    /// Reads a bonus buffer; none if it is too short.
    #[must_use]
    pub fn decode(bonus: &[u8]) -> Option<Self> {
        (bonus.len() >= 24).then(|| Self {
            used_bytes: word(bonus, 0),
            compressed_bytes: word(bonus, 1),
            uncompressed_bytes: word(bonus, 2),
        })
    }
}
