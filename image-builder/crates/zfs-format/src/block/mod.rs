//! Block pointers: where a block is, how large, how compressed, and what its checksum must be.
//!
//! Source: `spa.h` (`blkptr_t`, `dva_t`, `BP_*`, `BPE_*`, `DVA_*`). 128 bytes: three 16-byte addresses, the
//! property word at 48, two spare words, the physical birth at 72, the logical birth at 80, the fill count at
//! 88 and the checksum at 96. In a pointer with embedded data all but the property word and the birth is payload.

mod encoding;

use crate::checksum::{ChecksumKind, Digest};
use crate::compress::Compression;
use crate::object::ObjectType;

/// `SPA_MINBLOCKSIZE`: sizes and addresses on disk are in these units.
pub const SECTOR_BYTES: u32 = 512;
/// Bytes of a block pointer.
pub const BLOCK_POINTER_BYTES: usize = 128;
/// `SPA_MAXBLOCKSIZE`: no block is larger.
pub const BLOCK_BYTES_MAX: u32 = 16 << 20;
/// `BPE_PAYLOAD_SIZE`: what fits into a pointer itself.
pub const EMBEDDED_BYTES_MAX: usize = 112;

/// `DVA`: one copy of a block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Dva {
    /// Top-level vdev.
    pub vdev: u32,
    /// Bytes from the end of the boot area, which is 4 MiB into the device, to the block.
    pub offset: u64,
    /// Bytes that the copy takes; 0 says that there is no copy here.
    pub asize: u32,
    /// What is there is a gang header, not the block.
    pub gang: bool,
}

impl Dva {
    /// Whether there is no copy here: `DVA_IS_EMPTY`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.asize == 0 && self.offset == 0 && self.vdev == 0
    }
}

/// The byte order of the machine that wrote a block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ByteOrder {
    /// As everything here is written.
    #[default]
    Little,
    /// As SPARC writes.
    Big,
}

/// A block that is not there and reads as zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hole {
    /// What would be in the block.
    pub kind: ObjectType,
    /// 0 for data, 1 and up for indirect blocks.
    pub level: u8,
    /// Bytes of the block; 0 in [`Hole::ABSENT`].
    pub logical_bytes: u32,
    /// Transaction group of the hole; kept only with the feature `hole_birth`, else 0.
    pub birth: u64,
}

impl Hole {
    /// The pointer of 128 zero bytes.
    pub const ABSENT: Self = Self { kind: ObjectType::NONE, level: 0, logical_bytes: 0, birth: 0 };
}

/// A block whose content is in the pointer itself: feature `embedded_data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Embedded {
    /// What is in the block.
    pub kind: ObjectType,
    /// 0 for data, 1 and up for indirect blocks.
    pub level: u8,
    /// How the payload is compressed.
    pub compression: Compression,
    /// `BP_EMBEDDED_TYPE_*`: 0 is ordinary data, all others are not blocks of a file.
    pub embedded_kind: u8,
    /// Bytes of the block.
    pub logical_bytes: u32,
    /// Bytes of the payload.
    pub physical_bytes: u8,
    /// Transaction group.
    pub birth: u64,
    payload: [u8; EMBEDDED_BYTES_MAX],
}

impl Embedded {
    /// Ordinary data of `logical_bytes` bytes, whose `payload` is at most [`EMBEDDED_BYTES_MAX`] bytes long.
    ///
    /// Answers none if the payload is empty or too long.
    #[must_use]
    pub fn new(
        kind: ObjectType,
        level: u8,
        compression: Compression,
        logical_bytes: u32,
        payload: &[u8],
        birth: u64,
    ) -> Option<Self> {
        let physical_bytes = u8::try_from(payload.len()).ok().filter(|bytes| *bytes > 0)?;
        let mut stored = [0; EMBEDDED_BYTES_MAX];
        stored.get_mut(..payload.len())?.copy_from_slice(payload);
        Some(Self { kind, level, compression, embedded_kind: 0, logical_bytes, physical_bytes, birth, payload: stored })
    }

    /// The content as it is stored.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload[..usize::from(self.physical_bytes).min(EMBEDDED_BYTES_MAX)]
    }
}

/// A block on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataBlock {
    /// Its copies; those that are not there are empty.
    pub dvas: [Dva; 3],
    /// What is in the block.
    pub kind: ObjectType,
    /// 0 for data, 1 and up for indirect blocks.
    pub level: u8,
    /// How it is compressed.
    pub compression: Compression,
    /// What its checksum is.
    pub checksum: ChecksumKind,
    /// Bytes of the block.
    pub logical_bytes: u32,
    /// Bytes as it is stored, before the round-up to whole allocation units.
    pub physical_bytes: u32,
    /// It is in the deduplication table.
    pub dedup: bool,
    /// It is encrypted or authenticated; its checksum is then half a code.
    pub encrypted: bool,
    /// Transaction group in which it got into this place of the file.
    pub birth: u64,
    /// Transaction group in which it was written; 0 when that is the same.
    pub physical_birth: u64,
    /// Blocks of level 0, or in a dnode block used dnodes, at and below it that are no holes.
    pub fill: u64,
    /// What the bytes as stored must add up to.
    pub digest: Digest,
    /// The byte order of what is in it.
    pub byte_order: ByteOrder,
}

/// `blkptr_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
// Pointers live in arrays of their own; the difference is not worth an allocation each.
#[allow(clippy::large_enum_variant)]
pub enum BlockPointer {
    /// Nothing is there.
    Hole(Hole),
    /// The content is in the pointer.
    Embedded(Embedded),
    /// The content is on the device.
    Data(DataBlock),
}

impl Default for BlockPointer {
    fn default() -> Self {
        Self::ABSENT
    }
}

/// Bytes that are not a block pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// A compression of that number is unknown.
    #[error("block pointer with unknown compression {0}")]
    Compression(u8),
    /// A checksum of that number is unknown.
    #[error("block pointer with unknown checksum {0}")]
    Checksum(u8),
    /// A size is beyond the largest block.
    #[error("block pointer of a block of {0} bytes; the largest has 16 MiB")]
    Size(u64),
    /// An address is beyond what 64 bits hold.
    #[error("block pointer with an address beyond any device")]
    Address,
    /// Embedded data says that it is longer than a pointer.
    #[error("block pointer with {0} bytes of embedded data; at most 112 fit")]
    Embedded(u8),
}

impl BlockPointer {
    /// The pointer of 128 zero bytes.
    pub const ABSENT: Self = Self::Hole(Hole::ABSENT);

    /// Whether nothing is there.
    #[must_use]
    pub fn is_hole(&self) -> bool {
        matches!(self, Self::Hole(_))
    }

    /// The fill count: `BP_GET_FILL`, which is 1 for embedded data and 0 for a hole.
    #[must_use]
    pub fn fill(&self) -> u64 {
        match self {
            Self::Hole(_) => 0,
            Self::Embedded(_) => 1,
            Self::Data(block) => block.fill,
        }
    }

    /// The transaction group of birth; 0 for a hole that keeps none.
    #[must_use]
    pub fn birth(&self) -> u64 {
        match self {
            Self::Hole(hole) => hole.birth,
            Self::Embedded(embedded) => embedded.birth,
            Self::Data(block) => block.birth,
        }
    }
}
