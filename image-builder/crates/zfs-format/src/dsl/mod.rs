//! The dataset layer: DSL directories and datasets, lists of freed blocks, the pool's history.
//!
//! All structures are arrays of little-endian 64-bit words in bonus buffers; offsets below are in words.
//!
//! Sources: `dsl_dir.h` (`dsl_dir_phys_t`), `dsl_dataset.h` (`dsl_dataset_phys_t`), `bpobj.h`, `dsl_deadlist.h`,
//! `spa_history.c` and `spa.h` (`spa_history_phys_t`).

mod dataset;
mod freed;

pub use dataset::{
    DATASET_BP_OFFSET, DATASET_BYTES, DATASET_FLAG_INCONSISTENT, DATASET_FLAG_UNIQUE_ACCURATE, DslDatasetPhys,
};
pub use freed::{BPOBJ_BYTES, BpobjPhys, DEADLIST_BYTES, DeadlistPhys};

/// Bytes of a `dsl_dir_phys_t`.
pub const DIR_BYTES: usize = 256;
/// Bytes of a `spa_history_phys_t`.
pub const HISTORY_BYTES: usize = 40;

/// `DD_FLAG_USED_BREAKDOWN`: [`DslDirPhys::used_breakdown`] is kept.
pub const DIR_FLAG_USED_BREAKDOWN: u64 = 1;

/// The names that a pool's root directory has beside its datasets: they can be no dataset names.
pub mod internal_dir {
    /// `MOS_DIR_NAME`: what the meta object set itself uses.
    pub const MOS: &str = "$MOS";
    /// `ORIGIN_DIR_NAME`: the empty snapshot that all datasets are clones of.
    pub const ORIGIN: &str = "$ORIGIN";
    /// `FREE_DIR_NAME`: what is being freed.
    pub const FREE: &str = "$FREE";
    /// `LEAK_DIR_NAME`: what could not be freed.
    pub const LEAK: &str = "$LEAK";
}

/// How the space of a directory is made up: `dd_used_t`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsedBreakdown {
    /// The head dataset.
    pub head: u64,
    /// Its snapshots.
    pub snapshots: u64,
    /// Children.
    pub children: u64,
    /// Reservations of children beyond what they use.
    pub child_reservations: u64,
    /// The reservation of the head dataset beyond what it uses.
    pub reference_reservation: u64,
}

/// A directory of the DSL: the place of one dataset, its snapshots and its children. `dsl_dir_phys_t`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DslDirPhys {
    /// Seconds since 1970.
    pub creation_time: u64,
    /// Object of the dataset; 0 in directories without one, such as `$MOS`.
    pub head_dataset: u64,
    /// Object of the directory above; 0 in the root.
    pub parent: u64,
    /// Object of the snapshot that the dataset is a clone of: for one that is no clone, that of the internal `$ORIGIN`,
    /// which only the internal directories do not have (`dsl_dir_create_sync` and `dsl_dataset_create_sync_dd`).
    pub origin: u64,
    /// ZAP of the children: name to directory.
    pub child_map: u64,
    /// Bytes used by the dataset, its snapshots and its children, with reservations.
    pub used_bytes: u64,
    /// Bytes after compression.
    pub compressed_bytes: u64,
    /// Bytes before compression.
    pub uncompressed_bytes: u64,
    /// Most bytes that may be used; 0 is no limit.
    pub quota: u64,
    /// Bytes that are kept free for it.
    pub reserved: u64,
    /// ZAP of the properties set here.
    pub props: u64,
    /// ZAP of the delegated permissions; 0 is none.
    pub delegation: u64,
    /// `DD_FLAG_*`.
    pub flags: u64,
    /// How `used_bytes` is made up.
    pub used_breakdown: UsedBreakdown,
    /// ZAP of the datasets whose origin is a snapshot here; 0 is none.
    pub clones: u64,
}

impl DslDirPhys {
    /// The bonus buffer.
    #[must_use]
    pub fn encode(&self) -> [u8; DIR_BYTES] {
        let used = self.used_breakdown;
        words([
            self.creation_time,
            self.head_dataset,
            self.parent,
            self.origin,
            self.child_map,
            self.used_bytes,
            self.compressed_bytes,
            self.uncompressed_bytes,
            self.quota,
            self.reserved,
            self.props,
            self.delegation,
            self.flags,
            used.head,
            used.snapshots,
            used.children,
            used.child_reservations,
            used.reference_reservation,
            self.clones,
        ])
    }

    /// Reads a bonus buffer; none if it is too short.
    #[must_use]
    pub fn decode(bonus: &[u8]) -> Option<Self> {
        let bonus = bonus.get(..DIR_BYTES)?;
        let word = |index: usize| word(bonus, index);
        Some(Self {
            creation_time: word(0),
            head_dataset: word(1),
            parent: word(2),
            origin: word(3),
            child_map: word(4),
            used_bytes: word(5),
            compressed_bytes: word(6),
            uncompressed_bytes: word(7),
            quota: word(8),
            reserved: word(9),
            props: word(10),
            delegation: word(11),
            flags: word(12),
            used_breakdown: UsedBreakdown {
                head: word(13),
                snapshots: word(14),
                children: word(15),
                child_reservations: word(16),
                reference_reservation: word(17),
            },
            clones: word(18),
        })
    }
}

/// Where the records of the pool's history are in their object, which is a ring after its first part:
/// `spa_history_phys_t`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HistoryPhys {
    /// Bytes of the record of the pool's creation, which is never overwritten.
    pub pool_create_bytes: u64,
    /// Where the ring ends.
    pub physical_max: u64,
    /// Logical offset of the oldest record.
    pub begin: u64,
    /// Logical offset after the newest record.
    pub end: u64,
    /// Records that were overwritten.
    pub records_lost: u64,
}

impl HistoryPhys {
    /// The bonus buffer.
    #[must_use]
    pub fn encode(&self) -> [u8; HISTORY_BYTES] {
        words([self.pool_create_bytes, self.physical_max, self.begin, self.end, self.records_lost])
    }

    /// Reads a bonus buffer; none if it is too short.
    #[must_use]
    pub fn decode(bonus: &[u8]) -> Option<Self> {
        (bonus.len() >= HISTORY_BYTES).then(|| Self {
            pool_create_bytes: word(bonus, 0),
            physical_max: word(bonus, 1),
            begin: word(bonus, 2),
            end: word(bonus, 3),
            records_lost: word(bonus, 4),
        })
    }
}

/// The first words of a buffer; the rest of it is 0.
fn words<const BYTES: usize, const WORDS: usize>(words: [u64; WORDS]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// The word of that index, 0 beyond the end.
fn word(bytes: &[u8], index: usize) -> u64 {
    bytes.get(index * 8..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word))
}

#[cfg(test)]
mod tests;
