//! ZAP objects: the dictionaries of ZFS, from directories to properties.
//!
//! A *micro* ZAP is one block of slots with a 64-bit value each. A *fat* ZAP is an extensible hash table: a header
//! block, a table of pointers indexed by the first bits of the name's hash, and leaf blocks.
//!
//! Sources: `zap_impl.h` (`mzap_phys_t`, `zap_phys_t`), `zap_leaf.h` (`zap_leaf_phys_t`), `zap_micro.c`, `zap.c`.

mod encode;
mod fat;
mod hash;
mod micro;
mod read;

pub use encode::{Options, Zap, encode};
pub use fat::{FatHeader, Leaf, PointerTable};
pub use hash::{Hasher, name_hash};
pub use micro::Micro;
pub use read::{Kind, for_each, kind, lookup};

/// `ZBT_MICRO`: the first word of a micro ZAP.
pub const BLOCK_TYPE_MICRO: u64 = (1 << 63) + 3;
/// `ZBT_HEADER`: the first word of the first block of a fat ZAP.
pub const BLOCK_TYPE_HEADER: u64 = (1 << 63) + 1;
/// `ZBT_LEAF`: the first word of a leaf.
pub const BLOCK_TYPE_LEAF: u64 = 1 << 63;
/// `ZAP_MAGIC`, in the header of a fat ZAP.
pub const HEADER_MAGIC: u64 = 0x2_F52A_B2AB;
/// `ZAP_LEAF_MAGIC`.
pub const LEAF_MAGIC: u32 = 0x02AB_1EAF;
/// `MZAP_ENT_LEN`: bytes of a slot, and of the header, of a micro ZAP.
pub const MICRO_ENTRY_BYTES: usize = 64;
/// The longest name in a micro ZAP, in bytes without the NUL (`MZAP_NAME_LEN` - 1).
pub const MICRO_NAME_MAX: usize = 49;
/// `MZAP_MAX_BLKSZ`: the largest micro ZAP, in bytes.
pub const MICRO_BYTES_MAX: usize = 128 * 1024;
/// `fzap_default_block_shift`: blocks of a fat ZAP have two to this bytes.
pub const FAT_BLOCK_SHIFT: u8 = 14;
/// `ZAP_MAXNAMELEN` without the NUL: the longest name.
pub const NAME_MAX: usize = 255;
/// `ZAP_MAXVALUELEN`: the longest value in bytes.
pub const VALUE_BYTES_MAX: usize = 8192;

/// What an entry holds: an array of integers of one size, big-endian in fat ZAPs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// 1-byte integers: text and opaque bytes. Text in property ZAPs ends with a NUL, which is part of the value.
    U8(Vec<u8>),
    /// 2-byte integers, as SA layouts are kept.
    U16(Vec<u16>),
    /// 4-byte integers.
    U32(Vec<u32>),
    /// 8-byte integers, nearly always one.
    U64(Vec<u64>),
}

impl Value {
    /// The bytes of one integer: 1, 2, 4 or 8.
    #[must_use]
    pub fn integer_bytes(&self) -> usize {
        match self {
            Self::U8(_) => 1,
            Self::U16(_) => 2,
            Self::U32(_) => 4,
            Self::U64(_) => 8,
        }
    }

    /// How many integers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::U16(values) => values.len(),
            Self::U32(values) => values.len(),
            Self::U64(values) => values.len(),
        }
    }

    /// Whether there are no integers at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The integer, if this is a single one of 8 bytes.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::U64(values) if values.len() == 1 => values.first().copied(),
            _ => None,
        }
    }

    /// The text, without its NUL, if this is an array of bytes.
    #[must_use]
    pub fn as_text(&self) -> Option<&[u8]> {
        match self {
            Self::U8(bytes) => Some(bytes.strip_suffix(b"\0").unwrap_or(bytes)),
            _ => None,
        }
    }

    /// The integers as they stand in the chunks of a leaf.
    fn push_big_endian(&self, out: &mut Vec<u8>) {
        match self {
            Self::U8(values) => out.extend_from_slice(values),
            Self::U16(values) => values.iter().for_each(|value| out.extend_from_slice(&value.to_be_bytes())),
            Self::U32(values) => values.iter().for_each(|value| out.extend_from_slice(&value.to_be_bytes())),
            Self::U64(values) => values.iter().for_each(|value| out.extend_from_slice(&value.to_be_bytes())),
        }
    }

    /// The integers of `size` bytes that stand big-endian in `bytes`; none if the size is not one of ZFS.
    fn from_big_endian(size: u8, bytes: &[u8]) -> Option<Self> {
        Some(match size {
            1 => Self::U8(bytes.to_vec()),
            2 => Self::U16(
                bytes.chunks_exact(2).map(|word| word.iter().fold(0, |sum, b| sum << 8 | u16::from(*b))).collect(),
            ),
            4 => Self::U32(
                bytes.chunks_exact(4).map(|word| word.iter().fold(0, |sum, b| sum << 8 | u32::from(*b))).collect(),
            ),
            8 => Self::U64(
                bytes.chunks_exact(8).map(|word| word.iter().fold(0, |sum, b| sum << 8 | u64::from(*b))).collect(),
            ),
            _ => return None,
        })
    }
}

/// An entry of a ZAP whose names are strings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ZapEntry {
    /// The name, without the NUL that follows it on disk.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Value,
}

impl ZapEntry {
    /// An entry with one 64-bit integer.
    #[must_use]
    pub fn integer(name: impl Into<Vec<u8>>, value: u64) -> Self {
        Self { name: name.into(), value: Value::U64(vec![value]) }
    }

    /// An entry with text, to which the NUL is added.
    #[must_use]
    pub fn text(name: impl Into<Vec<u8>>, text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        Self { name: name.into(), value: Value::U8(bytes) }
    }

    /// An entry whose name is an integer, which ZFS spells in lower-case hexadecimal (`zap_add_int_key`).
    #[must_use]
    pub fn integer_key(key: u64, value: u64) -> Self {
        Self::integer(format!("{key:x}"), value)
    }

    /// A member of a set of integers: name and value are the same (`zap_add_int`).
    #[must_use]
    pub fn member(value: u64) -> Self {
        Self::integer_key(value, value)
    }
}

/// Why something is not a ZAP, or cannot become one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZapError {
    /// The first word is not that of any kind of ZAP block.
    #[error("ZAP: block {block} begins with {found:#x}, which is no ZAP block")]
    BlockType {
        /// Which block of the object.
        block: u64,
        /// Its first word.
        found: u64,
    },
    /// A field contradicts the format.
    #[error("ZAP: block {block}: {what} is wrong ({found})")]
    Field {
        /// Which block of the object.
        block: u64,
        /// Which field.
        what: &'static str,
        /// What it is.
        found: u64,
    },
    /// The number of entries in the header is not the number of entries.
    #[error("ZAP: the header says {said} entries, there are {found}")]
    Count {
        /// The number in the header.
        said: u64,
        /// Entries found.
        found: u64,
    },
    /// A name that no ZAP can have: empty, longer than [`NAME_MAX`], or with a NUL inside.
    #[error("ZAP: the name {0:?} is empty, too long or contains a NUL")]
    Name(String),
    /// A value longer than [`VALUE_BYTES_MAX`].
    #[error("ZAP: the value of {name:?} has {bytes} bytes, more than {VALUE_BYTES_MAX}")]
    Value {
        /// Whose value.
        name: String,
        /// How long it is.
        bytes: usize,
    },
    /// Two entries of one name.
    #[error("ZAP: the name {0:?} stands twice")]
    Duplicate(String),
    /// So many names with the same hash that no leaf can hold them.
    #[error("ZAP: so many names have the same hash that no leaf holds them; ZFS could not store them either")]
    Collisions,
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests;
