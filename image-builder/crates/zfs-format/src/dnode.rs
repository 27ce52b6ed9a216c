//! Dnodes: what an object is and where its blocks are.
//!
//! Source: `dnode.h` (`dnode_phys_t`: 64 bytes of fields, one to three block pointers, the bonus, and at the
//! very end the pointer of the spill block if there is one).

use crate::block::{BLOCK_POINTER_BYTES, BlockError, BlockPointer, SECTOR_BYTES};
use crate::checksum::ChecksumKind;
use crate::compress::Compression;
use crate::object::ObjectType;

/// Bytes of a dnode of one slot: `DNODE_MIN_SIZE`.
pub const DNODE_BYTES: usize = 512;
/// Bytes of the fields in front of the block pointers: `DNODE_CORE_SIZE`.
pub const DNODE_CORE_BYTES: usize = 64;
/// `DN_MAX_NBLKPTR`.
pub const POINTERS_MAX: usize = 3;
/// `DN_MAX_LEVELS`, with the smallest indirect blocks.
pub const LEVELS_MAX: u8 = 13;

/// Bits of `dn_flags`.
pub mod flags {
    /// `dn_used` counts bytes, not sectors.
    pub const USED_BYTES: u8 = 1;
    /// Its space is in the accounts of users and groups.
    pub const USERUSED_ACCOUNTED: u8 = 2;
    /// A spill block goes on where the bonus ends.
    pub const SPILL: u8 = 4;
    /// It counts in the accounts of objects of users and groups.
    pub const USEROBJUSED_ACCOUNTED: u8 = 8;
}

/// `dnode_phys_t`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dnode {
    /// What the object is.
    pub kind: ObjectType,
    /// Binary logarithm of the bytes of an indirect block.
    pub indirect_shift: u8,
    /// Levels: 1 when the dnode points at the data.
    pub levels: u8,
    /// What the bonus is.
    pub bonus_kind: ObjectType,
    /// How the object's blocks are checked; usually inherited.
    pub checksum: ChecksumKind,
    /// How the object's blocks are compressed; usually inherited.
    pub compression: Compression,
    /// See [`flags`]. Whether there is a spill block is not said here but by `spill`.
    pub flags: u8,
    /// Bytes of a data block, whole sectors.
    pub data_block_bytes: u32,
    /// Slots of 512 bytes beside the first one.
    pub extra_slots: u8,
    /// `dn_maxblkid`: the last block's number, from 0.
    pub max_block: u64,
    /// Bytes that the object's blocks take on the device (sectors, without [`flags::USED_BYTES`]).
    pub used: u64,
    /// One to three pointers of the top level.
    pub pointers: Vec<BlockPointer>,
    /// The bonus.
    pub bonus: Vec<u8>,
    /// The block that goes on where the bonus ends.
    pub spill: Option<BlockPointer>,
}

/// A dnode or object set that cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DnodeError {
    /// Too few bytes.
    #[error("a dnode takes {needed} bytes, and there are {bytes}")]
    Short {
        /// Bytes that it takes.
        needed: usize,
        /// Bytes that there are.
        bytes: usize,
    },
    /// The number of block pointers is not one to three.
    #[error("a dnode with {0} block pointers; it has one to three")]
    Pointers(usize),
    /// The number of levels is impossible.
    #[error("a dnode with {0} levels")]
    Levels(u8),
    /// The indirect blocks have an impossible size.
    #[error("a dnode whose indirect blocks have 2^{0} bytes")]
    IndirectShift(u8),
    /// The bonus does not fit.
    #[error("a dnode with a bonus of {bytes} bytes; {capacity} fit")]
    Bonus {
        /// Its length.
        bytes: usize,
        /// The room there is.
        capacity: usize,
    },
    /// A data block has no or too many bytes.
    #[error("a dnode with data blocks of {0} bytes")]
    DataBlock(u32),
    /// A compression or checksum of that number is unknown.
    #[error("a dnode with unknown {what} {number}")]
    Unknown {
        /// The field.
        what: &'static str,
        /// Its value.
        number: u8,
    },
    /// A block pointer has no meaning.
    #[error("a dnode with a bad block pointer")]
    Pointer(#[source] BlockError),
    /// The object set is of no known type.
    #[error("an object set of type {0}")]
    ObjsetType(u64),
}

impl Dnode {
    /// Bytes that the dnode takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        DNODE_BYTES * (1 + usize::from(self.extra_slots))
    }

    /// Bytes of bonus that fit: `DN_SLOTS_TO_BONUSLEN`, less the other pointers and the spill pointer.
    #[must_use]
    pub fn bonus_capacity(&self) -> usize {
        let spill = if self.spill.is_some() { BLOCK_POINTER_BYTES } else { 0 };
        self.bytes() - DNODE_CORE_BYTES - self.pointers.len().min(POINTERS_MAX) * BLOCK_POINTER_BYTES - spill
    }

    /// The dnode as it is on disk.
    ///
    /// # Errors
    /// When a field cannot be; see [`DnodeError`].
    pub fn encode(&self) -> Result<Vec<u8>, DnodeError> {
        self.check()?;
        let mut bytes = vec![0; self.bytes()];
        let flags = self.flags & !flags::SPILL | if self.spill.is_some() { flags::SPILL } else { 0 };
        let head = [
            self.kind.0,
            self.indirect_shift,
            self.levels,
            self.pointers.len() as u8,
            self.bonus_kind.0,
            self.checksum.number(),
            self.compression.number(),
            flags,
        ];
        bytes[..8].copy_from_slice(&head);
        bytes[8..10].copy_from_slice(&((self.data_block_bytes / SECTOR_BYTES) as u16).to_le_bytes());
        bytes[10..12].copy_from_slice(&(self.bonus.len() as u16).to_le_bytes());
        bytes[12] = self.extra_slots;
        bytes[16..24].copy_from_slice(&self.max_block.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.used.to_le_bytes());
        let mut at = DNODE_CORE_BYTES;
        for pointer in &self.pointers {
            bytes[at..at + BLOCK_POINTER_BYTES].copy_from_slice(&pointer.encode());
            at += BLOCK_POINTER_BYTES;
        }
        bytes[at..at + self.bonus.len()].copy_from_slice(&self.bonus);
        if let Some(spill) = &self.spill {
            let end = bytes.len() - BLOCK_POINTER_BYTES;
            bytes[end..].copy_from_slice(&spill.encode());
        }
        Ok(bytes)
    }

    fn check(&self) -> Result<(), DnodeError> {
        if !(1..=POINTERS_MAX).contains(&self.pointers.len()) {
            return Err(DnodeError::Pointers(self.pointers.len()));
        }
        if !(1..=LEVELS_MAX).contains(&self.levels) {
            return Err(DnodeError::Levels(self.levels));
        }
        if self.levels > 1 && !(10..=24).contains(&self.indirect_shift) {
            return Err(DnodeError::IndirectShift(self.indirect_shift));
        }
        let sectors = self.data_block_bytes / SECTOR_BYTES;
        if self.data_block_bytes % SECTOR_BYTES != 0 || !(1..=32768).contains(&sectors) {
            return Err(DnodeError::DataBlock(self.data_block_bytes));
        }
        if self.bonus.len() > self.bonus_capacity() {
            return Err(DnodeError::Bonus { bytes: self.bonus.len(), capacity: self.bonus_capacity() });
        }
        Ok(())
    }

    /// Reads the dnode at the beginning of `bytes`; none if the slot is free.
    ///
    /// # Errors
    /// When the bytes are no dnode; see [`DnodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, DnodeError> {
        let short = |needed| DnodeError::Short { needed, bytes: bytes.len() };
        let head: &[u8; DNODE_BYTES] = bytes.first_chunk().ok_or(short(DNODE_BYTES))?;
        if head[0] == 0 {
            return Ok(None);
        }
        let size = DNODE_BYTES * (1 + usize::from(head[12]));
        let whole = bytes.get(..size).ok_or(short(size))?;
        let count = usize::from(head[3]);
        if !(1..=POINTERS_MAX).contains(&count) {
            return Err(DnodeError::Pointers(count));
        }
        let has_spill = head[7] & flags::SPILL != 0;
        let mut dnode = Self {
            kind: ObjectType(head[0]),
            indirect_shift: head[1],
            levels: head[2],
            bonus_kind: ObjectType(head[4]),
            checksum: ChecksumKind::from_number(head[5]).ok_or(unknown("checksum", head[5]))?,
            compression: Compression::from_number(head[6]).ok_or(unknown("compression", head[6]))?,
            flags: head[7],
            data_block_bytes: u32::from(u16::from_le_bytes([head[8], head[9]])) * SECTOR_BYTES,
            extra_slots: head[12],
            max_block: word(head, 16),
            used: word(head, 24),
            pointers: (0..count)
                .map(|index| pointer(whole, DNODE_CORE_BYTES + index * BLOCK_POINTER_BYTES))
                .collect::<Result<_, _>>()?,
            bonus: Vec::new(),
            spill: if has_spill { Some(pointer(whole, size - BLOCK_POINTER_BYTES)?) } else { None },
        };
        let bonus = usize::from(u16::from_le_bytes([head[10], head[11]]));
        if bonus > dnode.bonus_capacity() {
            return Err(DnodeError::Bonus { bytes: bonus, capacity: dnode.bonus_capacity() });
        }
        let start = DNODE_CORE_BYTES + count * BLOCK_POINTER_BYTES;
        dnode.bonus = whole[start..start + bonus].to_vec();
        dnode.check()?;
        Ok(Some(dnode))
    }
}

fn unknown(what: &'static str, number: u8) -> DnodeError {
    DnodeError::Unknown { what, number }
}

fn pointer(bytes: &[u8], at: usize) -> Result<BlockPointer, DnodeError> {
    let mut pointer = [0; BLOCK_POINTER_BYTES];
    pointer.copy_from_slice(&bytes[at..at + BLOCK_POINTER_BYTES]);
    BlockPointer::decode(&pointer).map_err(DnodeError::Pointer)
}

/// The little-endian word at that place, which exists.
pub(crate) fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Hole;
    use proptest::prelude::*;

    fn sample() -> Dnode {
        Dnode {
            kind: ObjectType::PLAIN_FILE_CONTENTS,
            indirect_shift: 17,
            levels: 2,
            bonus_kind: ObjectType::SA,
            flags: flags::USED_BYTES | flags::USERUSED_ACCOUNTED,
            data_block_bytes: 131_072,
            max_block: 9,
            used: 1 << 20,
            pointers: vec![BlockPointer::Hole(Hole { birth: 3, logical_bytes: 131_072, ..Hole::ABSENT })],
            bonus: vec![7; 168],
            ..Dnode::default()
        }
    }

    #[test]
    fn a_dnode_comes_back() {
        let plain = sample();
        assert_eq!(plain.bonus_capacity(), 320);
        assert_eq!(Dnode::decode(&plain.encode().unwrap()), Ok(Some(plain.clone())));
        let spilled = Dnode {
            spill: Some(BlockPointer::Hole(Hole { birth: 5, logical_bytes: 512, ..Hole::ABSENT })),
            flags: plain.flags | flags::SPILL,
            ..plain
        };
        assert_eq!(spilled.bonus_capacity(), 192);
        assert_eq!(Dnode::decode(&spilled.encode().unwrap()), Ok(Some(spilled)));
    }

    #[test]
    fn a_free_slot_is_no_dnode() {
        assert_eq!(Dnode::decode(&[0; 512]), Ok(None));
        assert_eq!(Dnode::decode(&[0; 100]), Err(DnodeError::Short { needed: 512, bytes: 100 }));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let long = Dnode { bonus: vec![0; 321], ..sample() };
        assert_eq!(long.encode(), Err(DnodeError::Bonus { bytes: 321, capacity: 320 }));
        let none = Dnode { pointers: Vec::new(), bonus: Vec::new(), ..sample() };
        assert_eq!(none.encode(), Err(DnodeError::Pointers(0)));
        let odd = Dnode { data_block_bytes: 1000, ..sample() };
        assert_eq!(odd.encode(), Err(DnodeError::DataBlock(1000)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 1024)) {
            if let Ok(Some(dnode)) = Dnode::decode(&bytes) {
                prop_assert!(dnode.encode().is_ok());
            }
        }
    }
}
