//! Verifying a pool: every reachable block once, every file, every account.
//!
//! What is compared: each copy of each block with its checksum; sizes, levels, births and fill counts of pointers with
//! what they lead to; what is reachable with what the space maps say is allocated; the space accounts of dnodes,
//! datasets and directories with the blocks that were met; link counts and types with the directories; labels with each
//! other.

mod accounts;
mod blocks;
mod files;
mod ranges;
mod space;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::{Dataset, Directory, Pool, ReadError};
use accounts::Space;
use ranges::RangeSet;

/// How a pool is verified.
#[derive(Debug, Clone, Copy)]
pub struct VerifyOptions {
    /// After so many problems the verification ends.
    pub problems_max: usize,
    /// Whether file systems are walked; without it only blocks and accounts are verified.
    pub files: bool,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { problems_max: 100, files: true }
    }
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// Everything that is wrong, in the order in which it was met.
    pub problems: Vec<Problem>,
    /// There were more problems than wanted, and the rest was not looked at.
    pub truncated: bool,
    /// The blocks of the pool, the meta object set included.
    pub blocks: BlockCounts,
    /// Files, directories and so on in all file systems, those of snapshots again.
    pub files: u64,
}

impl Verification {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Counts of blocks, as `zdb -b` prints them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockCounts {
    /// Pointers that lead to blocks on the device.
    pub blocks: u64,
    /// Pointers with their content inside.
    pub embedded: u64,
    /// Bytes before compression, of what is inside pointers, too (as `BP_GET_LSIZE` has it).
    pub logical_bytes: u64,
    /// Bytes after compression, in blocks alone.
    pub physical_bytes: u64,
    /// Bytes on the device, all copies together.
    pub allocated_bytes: u64,
}

/// Something that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The dataset or snapshot; none for the meta object set and the pool itself.
    pub dataset: Option<Arc<str>>,
    /// The object.
    pub object: Option<u64>,
    /// The path of the file, where one leads to the object.
    pub path: Option<String>,
    /// The byte in the object where the block begins, or on the device for space that is not in its place.
    pub offset: Option<u64>,
    /// What is wrong.
    pub kind: ProblemKind,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.dataset {
            Some(dataset) => write!(formatter, "{dataset}")?,
            None => write!(formatter, "pool")?,
        }
        if let Some(object) = self.object {
            write!(formatter, ", object {object}")?;
        }
        if let Some(path) = &self.path {
            write!(formatter, ", {path}")?;
        }
        if let Some(offset) = self.offset {
            write!(formatter, ", offset {offset:#x}")?;
        }
        write!(formatter, ": {}", self.kind)
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemKind {
    /// Something cannot be read at all.
    #[error("{0}")]
    Unreadable(String),
    /// One copy of a block is bad; others may be good.
    #[error("copy {copy} of the block {reason}")]
    Copy {
        /// Which copy, from 0.
        copy: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A number is not what it has to be.
    #[error("{what} is {said}, and should be {found}")]
    Number {
        /// Which number.
        what: &'static str,
        /// What is stored.
        said: u64,
        /// What it should be.
        found: u64,
    },
    /// Two pointers lead to the same bytes of the device.
    #[error("{len:#x} bytes at {start:#x} of the device belong to two blocks")]
    DoubleAllocation {
        /// From where on.
        start: u64,
        /// How many bytes.
        len: u64,
    },
    /// The space map says that bytes are allocated which no pointer leads to.
    #[error("{len:#x} bytes at {start:#x} of the device are allocated and not used")]
    Leak {
        /// From where on.
        start: u64,
        /// How many bytes.
        len: u64,
    },
    /// A pointer leads to bytes that the space map calls free.
    #[error("{len:#x} bytes at {start:#x} of the device are used and not allocated")]
    NotAllocated {
        /// From where on.
        start: u64,
        /// How many bytes.
        len: u64,
    },
    /// Any other contradiction.
    #[error("{0}")]
    Structure(String),
}

/// Where the verification is.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    dataset: Option<Arc<str>>,
    object: Option<u64>,
    offset: Option<u64>,
}

impl Place {
    fn object(&self, object: u64) -> Self {
        Self { dataset: self.dataset.clone(), object: Some(object), offset: None }
    }

    fn offset(&self, offset: u64) -> Self {
        Self { offset: Some(offset), ..self.clone() }
    }
}

pub(super) struct Verifier<'p> {
    pool: &'p Pool<'p>,
    options: VerifyOptions,
    report: Verification,
    /// What the pointers lead to.
    reached: RangeSet,
    /// The blocks of each dataset that its previous snapshot does not have, by the dataset's object.
    spaces: HashMap<u64, Space>,
    /// How many entries of lists and words of space maps may still be read. Nothing honest comes near: lists could lead
    /// to the same blocks over and over without one of them being wrong.
    entries_left: u64,
}

impl Pool<'_> {
    /// Verifies everything in the pool. See the module for what that is.
    #[must_use]
    pub fn verify(&self, options: &VerifyOptions) -> Verification {
        let mut verifier = Verifier {
            pool: self,
            options: *options,
            report: Verification::default(),
            reached: RangeSet::default(),
            spaces: HashMap::new(),
            entries_left: self.blocks_max().saturating_mul(4),
        };
        verifier.run();
        verifier.report
    }
}

impl<'p> Verifier<'p> {
    fn run(&mut self) {
        self.labels();
        let pool_place = Place::default();
        let mos = *self.pool.mos().root();
        self.objset(&pool_place, &mos, 0);
        self.deferred_frees();
        let directories = match self.pool.directories() {
            Ok(directories) => directories,
            Err(error) => return self.unreadable(&pool_place, &error),
        };
        for dataset in datasets(&directories) {
            self.dataset(dataset);
        }
        if !self.is_full() {
            self.space_maps();
            self.accounts(&directories);
        }
        if self.options.files {
            let visible = directories.iter().filter(|directory| !directory.is_internal());
            for dataset in visible.flat_map(|directory| directory.snapshots.iter().chain(&directory.head)) {
                self.files(dataset);
            }
        }
    }

    fn dataset(&mut self, dataset: &Dataset) {
        let place = Place { dataset: Some(dataset.name.as_str().into()), ..Place::default() };
        match dataset.pointer() {
            Ok(pointer) => {
                let space = self.objset(&place, &pointer, dataset.phys.previous_snapshot_txg);
                self.spaces.insert(dataset.object, space);
            }
            Err(error) => self.unreadable(&place, &error),
        }
    }

    fn labels(&mut self) {
        let place = Place::default();
        let pool = self.pool;
        let mut whole = pool.labels().iter().filter_map(|label| label.config.as_ref().ok());
        let best = whole.next();
        for (index, label) in pool.labels().iter().enumerate() {
            match &label.config {
                Err(error) => self.structure(&place.offset(label.offset), format!("label {index}: {error}")),
                Ok(config) if Some(config) != best => {
                    self.structure(
                        &place.offset(label.offset),
                        format!("label {index} differs from the first whole one"),
                    );
                }
                Ok(_) => {}
            }
            if !label.has_boot_environment {
                let problem = format!("label {index}: the checksum of the boot loader's block is wrong");
                self.structure(&place.offset(label.offset), problem);
            }
            if !label.uberblocks.iter().any(|(_, one)| one.txg == pool.uberblock().txg) {
                self.structure(&place.offset(label.offset), format!("label {index} lacks the newest uberblock"));
            }
        }
        let (bytes, wanted) = pool.device_bytes();
        if bytes < wanted {
            self.unreadable(&place, &ReadError::CutShort { bytes, wanted });
        }
        let sum = pool.guid().wrapping_add(pool.vdev().guid);
        self.number(&place, "the sum of guids in the uberblock", pool.uberblock().guid_sum, sum);
        match pool.config() {
            Err(error) => self.unreadable(&place, &error),
            Ok(config) => {
                for key in ["pool_guid", "version"] {
                    let (said, found) = (config.u64(key), pool.label_config().u64(key));
                    if said != found {
                        self.structure(
                            &place,
                            format!("`{key}` is {said:?} in the configuration, {found:?} in the labels"),
                        );
                    }
                }
            }
        }
    }

    /// Takes from what may still be read. Answers false, and says so, when it is used up.
    fn spend(&mut self, place: &Place, entries: u64) -> bool {
        let left = self.entries_left.checked_sub(entries);
        if left.is_none() {
            self.structure(
                place,
                "lists and space maps are longer than the pool could hold; the rest was not verified",
            );
        }
        self.entries_left = left.unwrap_or(0);
        left.is_some()
    }

    fn is_full(&self) -> bool {
        self.report.problems.len() >= self.options.problems_max
    }

    fn problem(&mut self, place: &Place, kind: ProblemKind) {
        if self.is_full() {
            self.report.truncated = true;
            return;
        }
        let Place { dataset, object, offset } = place.clone();
        self.report.problems.push(Problem { dataset, object, path: None, offset, kind });
    }

    fn structure(&mut self, place: &Place, what: impl Into<String>) {
        self.problem(place, ProblemKind::Structure(what.into()));
    }

    fn unreadable(&mut self, place: &Place, error: &ReadError) {
        self.problem(place, ProblemKind::Unreadable(error.chain()));
    }

    /// A problem if a stored number is not what was found.
    fn number(&mut self, place: &Place, what: &'static str, said: u64, found: u64) {
        if said != found {
            self.problem(place, ProblemKind::Number { what, said, found });
        }
    }
}

/// All datasets and snapshots, those of a directory from the oldest on.
fn datasets(directories: &[Directory]) -> impl Iterator<Item = &Dataset> {
    directories.iter().flat_map(|directory| directory.snapshots.iter().chain(&directory.head))
}

#[cfg(test)]
mod tests;
