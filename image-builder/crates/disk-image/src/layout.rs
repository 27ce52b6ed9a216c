//! Partitions as they are asked for, and where they end up.

use std::fmt;

use crate::gpt::{GptError, Partition, SectorSize, Table};
use crate::{DiskSeed, Guid, Volume, VolumeError, partition_guid};

/// Bytes of the usual alignment: 1 MiB.
const MIB: u64 = 1024 * 1024;

/// Bytes of sector 0 that are code; the disk signature and the partition records follow.
pub const BOOT_CODE_BYTES: usize = 440;

/// How large a partition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionSize {
    /// This many bytes (rounded up to whole sectors).
    Exact(u64),
    /// What the content needs, with about `free` bytes left over.
    Auto {
        /// Bytes that the guest shall find free.
        free: u64,
    },
    /// As `Auto`, and in addition all that a disk of fixed size has left.
    ///
    /// At most one partition may say this; those after it are packed against the end of the disk.
    Fill {
        /// Bytes that the guest shall at least find free.
        free: u64,
    },
}

/// One partition of a [`DiskLayout`].
pub struct PartitionSpec<'a> {
    /// What it is for; see [`crate::gpt::types`].
    pub type_guid: Guid,
    /// Its name in the table.
    pub name: String,
    /// What its own GUID is derived from, together with the seed; see [`partition_guid`].
    pub role: String,
    /// The entry of the table; the next free one when `None`.
    pub slot: Option<u32>,
    /// Attribute bits.
    pub attributes: u64,
    /// How large it is.
    pub size: PartitionSize,
    /// What fills it; a partition of zeros when `None`.
    pub content: Option<Box<dyn Volume + 'a>>,
}

impl fmt::Debug for PartitionSpec<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionSpec")
            .field("type_guid", &self.type_guid)
            .field("name", &self.name)
            .field("role", &self.role)
            .field("slot", &self.slot)
            .field("attributes", &self.attributes)
            .field("size", &self.size)
            .field("content", &self.content.is_some())
            .finish()
    }
}

/// A disk to be written.
#[derive(Debug)]
pub struct DiskLayout<'a> {
    /// What every identifier is derived from.
    pub seed: DiskSeed,
    /// Bytes of a sector.
    pub sector_size: SectorSize,
    /// Entries of the table: 128, or 9 for illumos.
    pub entry_count: u32,
    /// First sectors are multiples of this many bytes; 1 MiB is usual.
    pub alignment: u64,
    /// Bytes of the whole disk; as large as the partitions need when `None`.
    pub disk_bytes: Option<u64>,
    /// What a BIOS runs: the code of sector 0, before the disk signature and the partition records.
    pub boot_code: Option<[u8; BOOT_CODE_BYTES]>,
    /// The partitions in the order in which they lie on the disk.
    pub partitions: Vec<PartitionSpec<'a>>,
}

impl DiskLayout<'_> {
    /// An empty layout with 512-byte sectors, 128 entries, 1 MiB alignment and no fixed size.
    #[must_use]
    pub fn new(seed: DiskSeed) -> Self {
        Self {
            seed,
            sector_size: SectorSize::B512,
            entry_count: 128,
            alignment: MIB,
            disk_bytes: None,
            boot_code: None,
            partitions: Vec::new(),
        }
    }

    /// Measures the contents and places every partition.
    ///
    /// The table's partitions are in the layout's order.
    ///
    /// # Errors
    /// When a content cannot be measured or the partitions do not fit the disk.
    pub fn place(&self) -> Result<Table, LayoutError> {
        if self.alignment == 0 || self.alignment % self.sector_size.bytes() != 0 {
            return Err(LayoutError::Alignment { bytes: self.alignment });
        }
        let sizes = self.measure()?;
        let fill = self.fill_index()?;
        let disk_sectors = match self.disk_bytes {
            Some(bytes) => bytes / self.sector_size.bytes(),
            None => self.smallest_disk(&sizes),
        };
        let mut table = Table {
            sector_size: self.sector_size,
            disk_sectors,
            disk_guid: self.seed.guid("disk"),
            entry_count: self.entry_count,
            partitions: Vec::new(),
        };
        let extents = self.extents(&table, &sizes, fill)?;
        for ((spec, slot), (first_lba, sectors)) in self.partitions.iter().zip(self.slots()?).zip(extents) {
            table.partitions.push(Partition {
                slot,
                type_guid: spec.type_guid,
                guid: partition_guid(&self.seed, &spec.role),
                first_lba,
                last_lba: first_lba + sectors - 1,
                attributes: spec.attributes,
                name: spec.name.clone(),
            });
        }
        table.validate().map_err(LayoutError::Table)?;
        Ok(table)
    }

    /// Sectors of every partition at its smallest.
    fn measure(&self) -> Result<Vec<u64>, LayoutError> {
        self.partitions.iter().map(|spec| self.measure_one(spec)).collect()
    }

    fn measure_one(&self, spec: &PartitionSpec<'_>) -> Result<u64, LayoutError> {
        let failed = |source| LayoutError::Measure { name: spec.name.clone(), source };
        let bytes = match (spec.size, &spec.content) {
            (PartitionSize::Exact(bytes), None) => bytes,
            (PartitionSize::Exact(bytes), Some(content)) => {
                let needed = content.minimum_bytes(self.sector_size).map_err(failed)?;
                if bytes < needed {
                    let name = spec.name.clone();
                    return Err(LayoutError::PartitionTooSmall { name, bytes, needed });
                }
                bytes
            }
            // Whole units of the alignment, so that the next partition wastes nothing.
            (PartitionSize::Auto { free } | PartitionSize::Fill { free }, content) => {
                let wanted = match content {
                    None => free,
                    Some(content) => content.preferred_bytes(self.sector_size, free).map_err(failed)?,
                };
                wanted.max(1).next_multiple_of(self.alignment)
            }
        };
        Ok(bytes.div_ceil(self.sector_size.bytes()).max(1))
    }

    fn fill_index(&self) -> Result<Option<usize>, LayoutError> {
        let mut found = None;
        for (index, spec) in self.partitions.iter().enumerate() {
            if matches!(spec.size, PartitionSize::Fill { .. }) && found.replace(index).is_some() {
                return Err(LayoutError::TwoFill { name: spec.name.clone() });
            }
        }
        Ok(found)
    }

    /// Sectors of a disk that just holds the partitions, in whole units of the alignment.
    fn smallest_disk(&self, sizes: &[u64]) -> u64 {
        let unit = self.alignment / self.sector_size.bytes();
        let array = Table::array_sectors(self.sector_size, self.entry_count);
        let end = sizes.iter().fold(2 + array, |at, sectors| at.next_multiple_of(unit) + sectors);
        (end + array + 1).next_multiple_of(unit)
    }

    /// First sector and length of every partition.
    fn extents(&self, table: &Table, sizes: &[u64], fill: Option<usize>) -> Result<Vec<(u64, u64)>, LayoutError> {
        let unit = self.alignment / self.sector_size.bytes();
        let usable_end = table.last_usable_lba() + 1;
        let too_small = || LayoutError::DiskTooSmall {
            bytes: table.disk_sectors * self.sector_size.bytes(),
            needed: self.smallest_disk(sizes) * self.sector_size.bytes(),
        };
        let mut extents = Vec::with_capacity(sizes.len());
        let mut at = table.first_usable_lba();
        for (index, sectors) in sizes.iter().enumerate() {
            let first = match fill {
                // Packed against the end, without gaps: illumos wants its reserved partition last.
                Some(fill) if index > fill => at,
                _ => at.next_multiple_of(unit),
            };
            let mut length = *sectors;
            if fill == Some(index) {
                let behind: u64 = sizes[index + 1..].iter().sum();
                let end = usable_end.checked_sub(behind).ok_or_else(too_small)?;
                length = end.checked_sub(first).filter(|l| l >= sectors).ok_or_else(too_small)?;
            }
            at = first + length;
            extents.push((first, length));
        }
        if at > usable_end {
            return Err(too_small());
        }
        Ok(extents)
    }

    /// The entry of every partition: the one asked for, or the lowest that nobody has.
    fn slots(&self) -> Result<Vec<u32>, LayoutError> {
        let asked: Vec<u32> = self.partitions.iter().filter_map(|spec| spec.slot).collect();
        let mut free = (0..self.entry_count).filter(|slot| !asked.contains(slot));
        self.partitions
            .iter()
            .map(|spec| spec.slot.or_else(|| free.next()).ok_or(LayoutError::NoSlot { count: self.entry_count }))
            .collect()
    }
}

/// The partitions asked for are not a possible disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// The alignment is not a multiple of the sector size.
    #[error("an alignment of {bytes} bytes is not a whole number of sectors")]
    Alignment {
        /// The alignment asked for.
        bytes: u64,
    },
    /// The content of a partition cannot be measured.
    #[error("cannot tell how large partition `{name}` must be")]
    Measure {
        /// The partition's name.
        name: String,
        /// Why.
        #[source]
        source: VolumeError,
    },
    /// A partition is smaller than its content.
    #[error("partition `{name}` has {bytes} bytes; its content needs at least {needed}")]
    PartitionTooSmall {
        /// The partition's name.
        name: String,
        /// The size asked for.
        bytes: u64,
        /// The size that would do.
        needed: u64,
    },
    /// The disk is smaller than its partitions.
    #[error("a disk of {bytes} bytes is too small for its partitions, which need {needed}")]
    DiskTooSmall {
        /// The size asked for.
        bytes: u64,
        /// The size that would do.
        needed: u64,
    },
    /// More than one partition wants what is left of the disk.
    #[error("partition `{name}` is the second one that is to fill the disk")]
    TwoFill {
        /// The second one's name.
        name: String,
    },
    /// There are more partitions than entries.
    #[error("there are more partitions than the {count} entries of the table")]
    NoSlot {
        /// Entries of the table.
        count: u32,
    },
    /// The table that results breaks a rule.
    #[error("the partition table is not possible")]
    Table(#[source] GptError),
}
