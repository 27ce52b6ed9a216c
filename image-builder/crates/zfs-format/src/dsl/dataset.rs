//! Datasets and snapshots: `dsl_dataset_phys_t`.

use super::{word, words};

/// Bytes of a `dsl_dataset_phys_t`.
pub const DATASET_BYTES: usize = 320;
/// Where the block pointer stands in a `dsl_dataset_phys_t`, in bytes.
pub const DATASET_BP_OFFSET: usize = 128;
/// Bytes of a block pointer.
const BLOCK_POINTER_BYTES: usize = 128;
/// `DS_FLAG_INCONSISTENT`: a receive was not finished.
pub const DATASET_FLAG_INCONSISTENT: u64 = 1;
/// `DS_FLAG_UNIQUE_ACCURATE`: [`DslDatasetPhys::unique_bytes`] is kept.
pub const DATASET_FLAG_UNIQUE_ACCURATE: u64 = 4;

/// A dataset or snapshot: `dsl_dataset_phys_t`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DslDatasetPhys {
    /// Object of its directory.
    pub dir: u64,
    /// Object of the snapshot before; 0 for none.
    pub previous_snapshot: u64,
    /// Transaction group of that snapshot: what was born later is not shared with it.
    pub previous_snapshot_txg: u64,
    /// Object of the snapshot or dataset after; only snapshots have one.
    pub next_snapshot: u64,
    /// ZAP of the snapshots: name to dataset; 0 in a snapshot.
    pub snapshot_names: u64,
    /// Of a snapshot, how many datasets come directly after it; 0 in a head dataset.
    pub children: u64,
    /// Seconds since 1970.
    pub creation_time: u64,
    /// Transaction group of its creation.
    pub creation_txg: u64,
    /// Object of the deadlist: blocks of the snapshot before that are no longer referenced.
    pub deadlist: u64,
    /// Bytes that the object set reaches.
    pub referenced_bytes: u64,
    /// Those bytes after compression.
    pub compressed_bytes: u64,
    /// Those bytes before compression.
    pub uncompressed_bytes: u64,
    /// Bytes that no other dataset reaches.
    pub unique_bytes: u64,
    /// Identifies the mounted file system; below 2 to the 56, unique among all that are open.
    pub fsid_guid: u64,
    /// Identifies the dataset for good, also in streams.
    pub guid: u64,
    /// `DS_FLAG_*`.
    pub flags: u64,
    /// The object set's block pointer, as it stands on disk.
    pub block_pointer: [u8; BLOCK_POINTER_BYTES],
    /// Of a snapshot, ZAP of the datasets that begin with it; 0 for none.
    pub next_clones: u64,
    /// Of a snapshot, ZAP of its properties; 0 for none.
    pub props: u64,
    /// Of a snapshot, ZAP of its holds; 0 for none.
    pub user_references: u64,
}

impl Default for DslDatasetPhys {
    fn default() -> Self {
        Self {
            dir: 0,
            previous_snapshot: 0,
            previous_snapshot_txg: 0,
            next_snapshot: 0,
            snapshot_names: 0,
            children: 0,
            creation_time: 0,
            creation_txg: 0,
            deadlist: 0,
            referenced_bytes: 0,
            compressed_bytes: 0,
            uncompressed_bytes: 0,
            unique_bytes: 0,
            fsid_guid: 0,
            guid: 0,
            flags: 0,
            block_pointer: [0; BLOCK_POINTER_BYTES],
            next_clones: 0,
            props: 0,
            user_references: 0,
        }
    }
}

impl DslDatasetPhys {
    /// The bonus buffer.
    #[must_use]
    pub fn encode(&self) -> [u8; DATASET_BYTES] {
        let mut bonus: [u8; DATASET_BYTES] = words([
            self.dir,
            self.previous_snapshot,
            self.previous_snapshot_txg,
            self.next_snapshot,
            self.snapshot_names,
            self.children,
            self.creation_time,
            self.creation_txg,
            self.deadlist,
            self.referenced_bytes,
            self.compressed_bytes,
            self.uncompressed_bytes,
            self.unique_bytes,
            self.fsid_guid,
            self.guid,
            self.flags,
        ]);
        bonus[DATASET_BP_OFFSET..][..BLOCK_POINTER_BYTES].copy_from_slice(&self.block_pointer);
        let after: [u8; 24] = words([self.next_clones, self.props, self.user_references]);
        bonus[DATASET_BP_OFFSET + BLOCK_POINTER_BYTES..][..24].copy_from_slice(&after);
        bonus
    }

    /// Reads a bonus buffer; none if it is too short.
    #[must_use]
    pub fn decode(bonus: &[u8]) -> Option<Self> {
        let bonus = bonus.get(..DATASET_BYTES)?;
        let word = |index: usize| word(bonus, index);
        Some(Self {
            dir: word(0),
            previous_snapshot: word(1),
            previous_snapshot_txg: word(2),
            next_snapshot: word(3),
            snapshot_names: word(4),
            children: word(5),
            creation_time: word(6),
            creation_txg: word(7),
            deadlist: word(8),
            referenced_bytes: word(9),
            compressed_bytes: word(10),
            uncompressed_bytes: word(11),
            unique_bytes: word(12),
            fsid_guid: word(13),
            guid: word(14),
            flags: word(15),
            block_pointer: *bonus.get(DATASET_BP_OFFSET..)?.first_chunk()?,
            next_clones: word(32),
            props: word(33),
            user_references: word(34),
        })
    }
}
