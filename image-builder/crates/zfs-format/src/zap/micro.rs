//! Micro ZAPs: `mzap_phys_t` and `mzap_ent_phys_t`.

use super::{BLOCK_TYPE_MICRO, MICRO_ENTRY_BYTES, MICRO_NAME_MAX, ZapEntry, ZapError};
use crate::zap::Value;

/// Where the fields of the header and of a slot stand.
pub(super) mod offset {
    pub(crate) const SALT: usize = 8;
    pub(crate) const NORMALIZATION: usize = 16;
    pub(crate) const SLOT_VALUE: usize = 0;
    pub(crate) const SLOT_CD: usize = 8;
    pub(crate) const SLOT_NAME: usize = 14;
}

/// A micro ZAP in its block.
#[derive(Debug, Clone, Copy)]
pub struct Micro<'a> {
    block: &'a [u8],
}

impl<'a> Micro<'a> {
    /// The micro ZAP in `block`.
    ///
    /// # Errors
    /// The block is too short or of another kind.
    pub fn new(block: &'a [u8]) -> Result<Self, ZapError> {
        let found = word(block, 0);
        if found != BLOCK_TYPE_MICRO || block.len() < 2 * MICRO_ENTRY_BYTES {
            return Err(ZapError::BlockType { block: 0, found });
        }
        Ok(Self { block })
    }

    /// The salt of the hash, which only matters for the order of directory listings.
    #[must_use]
    pub fn salt(&self) -> u64 {
        word(self.block, offset::SALT)
    }

    /// The Unicode normalization of names; 0 is none.
    #[must_use]
    pub fn normalization(&self) -> u64 {
        word(self.block, offset::NORMALIZATION)
    }

    /// The entries in the order of their slots; empty slots are left out.
    pub fn entries(&self) -> impl Iterator<Item = (&'a [u8], u64)> + use<'a> {
        self.slots().map(|(name, value, _)| (name, value))
    }

    /// As [`Micro::entries`], with the collision differentiator of each.
    pub fn slots(&self) -> impl Iterator<Item = (&'a [u8], u64, u32)> + use<'a> {
        self.block.chunks_exact(MICRO_ENTRY_BYTES).skip(1).filter_map(|slot| {
            let name = &slot[offset::SLOT_NAME..];
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
            let cd = word(slot, offset::SLOT_CD) as u32;
            (end > 0).then(|| (&name[..end], word(slot, offset::SLOT_VALUE), cd))
        })
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<u64> {
        self.entries().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// Whether ZFS would keep these entries in a micro ZAP of at most `bytes_max` bytes.
pub(super) fn fits(entries: &[ZapEntry], bytes_max: usize) -> bool {
    let slots = bytes_max / MICRO_ENTRY_BYTES;
    entries.len() < slots
        && entries.iter().all(|entry| entry.name.len() <= MICRO_NAME_MAX && entry.value.as_u64().is_some())
}

/// Writes the block: as many slots as the entries need, in steps of 512 bytes, as a ZAP grows. `cds` are the
/// collision differentiators of the entries.
pub(super) fn encode(entries: &[ZapEntry], cds: &[u32], salt: u64, normalization: u64) -> Vec<u8> {
    let bytes = ((entries.len() + 1) * MICRO_ENTRY_BYTES).next_multiple_of(512);
    let mut block = vec![0; bytes];
    block[..8].copy_from_slice(&BLOCK_TYPE_MICRO.to_le_bytes());
    block[offset::SALT..][..8].copy_from_slice(&salt.to_le_bytes());
    block[offset::NORMALIZATION..][..8].copy_from_slice(&normalization.to_le_bytes());
    for ((slot, entry), cd) in block.chunks_exact_mut(MICRO_ENTRY_BYTES).skip(1).zip(entries).zip(cds) {
        let Value::U64(values) = &entry.value else { continue };
        slot[offset::SLOT_VALUE..][..8].copy_from_slice(&values[0].to_le_bytes());
        slot[offset::SLOT_CD..][..4].copy_from_slice(&cd.to_le_bytes());
        slot[offset::SLOT_NAME..][..entry.name.len()].copy_from_slice(&entry.name);
    }
    block
}

/// The little-endian word at `offset`, 0 beyond the end.
pub(super) fn word(block: &[u8], offset: usize) -> u64 {
    block.get(offset..offset + 8).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap_or_default()))
}
