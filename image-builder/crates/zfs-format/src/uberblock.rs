//! The uberblock: the root of everything that is in a pool as of one transaction group.
//!
//! Source: `uberblock_impl.h`. Words at 0 magic, 8 version, 16 txg, 24 guid sum, 32 timestamp; at 40 the block
//! pointer of the meta object set; at 168 the version of the software, 176 to 200 what multihost protection
//! needs, 200 the checkpoint.

use crate::block::{BLOCK_POINTER_BYTES, BlockError, BlockPointer};

/// `UBERBLOCK_MAGIC`.
pub const MAGIC: u64 = 0x00ba_b10c;
/// `MMP_MAGIC`: the words about multihost protection mean something.
const MMP_MAGIC: u64 = 0xa11c_ea11;
/// Bytes that an uberblock takes; the rest of its slot is zeros, and a checksum at the end.
pub const UBERBLOCK_BYTES: usize = 216;

const ROOT: usize = 40;

/// `uberblock_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uberblock {
    /// Version of the pool: 5000 with features, 1 to 28 without.
    pub version: u64,
    /// The transaction group that it closes.
    pub txg: u64,
    /// Sum of the guids of all vdevs, the root vdev included.
    pub guid_sum: u64,
    /// Seconds since the epoch.
    pub timestamp: u64,
    /// The meta object set.
    pub root: BlockPointer,
    /// Version of the software that wrote it.
    pub software_version: u64,
    /// Transaction group of the checkpoint; 0 when there is none.
    pub checkpoint_txg: u64,
}

/// Bytes that are no uberblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UberblockError {
    /// Too few bytes.
    #[error("an uberblock has 216 bytes, not {0}")]
    Short(usize),
    /// The magic number is not there.
    #[error("no uberblock: it begins with {0:#x}")]
    Magic(u64),
    /// A machine of the other byte order wrote it.
    #[error("a big-endian machine wrote this pool, and those are not read here")]
    BigEndian,
    /// The pointer to the meta object set is wrong.
    #[error("uberblock of transaction group {txg}")]
    Root {
        /// Its transaction group.
        txg: u64,
        /// What is wrong.
        #[source]
        source: BlockError,
    },
}

impl Uberblock {
    /// The uberblock as it is on disk, without the checksum of its slot.
    #[must_use]
    pub fn encode(&self) -> [u8; UBERBLOCK_BYTES] {
        let mut bytes = [0; UBERBLOCK_BYTES];
        let head = [MAGIC, self.version, self.txg, self.guid_sum, self.timestamp];
        let tail = [self.software_version, MMP_MAGIC, 0, 0, self.checkpoint_txg];
        for (start, words) in [(0, head), (ROOT + BLOCK_POINTER_BYTES, tail)] {
            for (index, word) in words.iter().enumerate() {
                bytes[start + index * 8..start + index * 8 + 8].copy_from_slice(&word.to_le_bytes());
            }
        }
        bytes[ROOT..ROOT + BLOCK_POINTER_BYTES].copy_from_slice(&self.root.encode());
        bytes
    }

    /// Reads an uberblock from the beginning of its slot.
    ///
    /// # Errors
    /// When there is none; see [`UberblockError`].
    pub fn decode(slot: &[u8]) -> Result<Self, UberblockError> {
        let bytes: &[u8; UBERBLOCK_BYTES] = slot.first_chunk().ok_or(UberblockError::Short(slot.len()))?;
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        match word(0) {
            MAGIC => {}
            other if other.swap_bytes() == MAGIC => return Err(UberblockError::BigEndian),
            other => return Err(UberblockError::Magic(other)),
        }
        let mut root = [0; BLOCK_POINTER_BYTES];
        root.copy_from_slice(&bytes[ROOT..ROOT + BLOCK_POINTER_BYTES]);
        let txg = word(16);
        let root = BlockPointer::decode(&root).map_err(|source| UberblockError::Root { txg, source })?;
        Ok(Self {
            version: word(8),
            txg,
            guid_sum: word(24),
            timestamp: word(32),
            root,
            software_version: word(168),
            checkpoint_txg: word(200),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Hole;

    #[test]
    fn it_comes_back() {
        let root = BlockPointer::Hole(Hole { birth: 4, logical_bytes: 4096, ..Hole::ABSENT });
        let uberblock = Uberblock {
            version: 5000,
            txg: 4,
            guid_sum: u64::MAX,
            timestamp: 1_735_689_600,
            root,
            software_version: 5000,
            checkpoint_txg: 0,
        };
        assert_eq!(Uberblock::decode(&uberblock.encode()), Ok(uberblock));
    }

    #[test]
    fn other_bytes_are_refused() {
        assert_eq!(Uberblock::decode(&[0; 10]), Err(UberblockError::Short(10)));
        assert_eq!(Uberblock::decode(&[0; 1024]), Err(UberblockError::Magic(0)));
        let mut big = [0; 1024];
        big[..8].copy_from_slice(&MAGIC.to_be_bytes());
        assert_eq!(Uberblock::decode(&big), Err(UberblockError::BigEndian));
    }
}
