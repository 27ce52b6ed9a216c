//! GUID partition tables: pure encoding, and a decoder that trusts nothing.
//!
//! Layout as in UEFI 2.10, chapter 5: protective MBR in sector 0, header in
//! sector 1, entry array from sector 2; the backup array and header end the disk.
//! What differs between systems is a field of [`Table`]: illumos writes 9
//! entries where others write 128, and looks for its reserved partition in the
//! last of them.

mod decode;
mod encode;

pub use decode::{Inspection, decode, inspect};
pub use encode::EncodedTable;

use crate::guid::Guid;

/// Partition type GUIDs.
pub mod types {
    use super::Guid;

    /// EFI system partition.
    pub const EFI_SYSTEM: Guid = Guid::from_u128(0xC12A7328_F81F_11D2_BA4B_00A0C93EC93B);
    /// Root file system of Linux on x86-64 (Discoverable Partitions Specification).
    pub const LINUX_ROOT_X86_64: Guid = Guid::from_u128(0x4F68BCE3_E8CD_4DB1_96E7_FBCAF984B709);
    /// Root file system of Linux on 64-bit Arm (the same specification).
    pub const LINUX_ROOT_ARM64: Guid = Guid::from_u128(0xB921B045_1DF0_41C3_AF44_4C6F280D3FAE);
    /// BIOS boot partition.
    pub const BIOS_BOOT: Guid = Guid::from_u128(0x21686148_6449_6E6F_744E_656564454649);
    /// illumos boot (`V_BOOT`).
    pub const ILLUMOS_BOOT: Guid = Guid::from_u128(0x6A82CB45_1DD2_11B2_99A6_080020736631);
    /// illumos usr (`V_USR`): what holds a ZFS pool.
    pub const ILLUMOS_USR: Guid = Guid::from_u128(0x6A898CC3_1DD2_11B2_99A6_080020736631);
    /// illumos reserved (`V_RESERVED`).
    pub const ILLUMOS_RESERVED: Guid = Guid::from_u128(0x6A945A3B_1DD2_11B2_99A6_080020736631);
}

/// Bytes of one partition entry; the specification's minimum, and what everybody writes.
pub const ENTRY_BYTES: u64 = 128;
/// Bytes kept free for the entry array, however few entries it has.
pub const ARRAY_RESERVE_BYTES: u64 = 16 * 1024;
/// UTF-16 code units that fit into a partition's name.
pub const NAME_UNITS: usize = 36;

/// Bytes of a logical sector: what one LBA counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SectorSize {
    /// 512 bytes: what virtual disks have unless told otherwise.
    #[default]
    B512,
    /// 4096 bytes.
    B4096,
}

impl SectorSize {
    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::B512 => 512,
            Self::B4096 => 4096,
        }
    }
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Index of its entry, from 0. Linux numbers it `slot + 1`, illumos calls it `s<slot>`.
    pub slot: u32,
    /// What it is for; see [`types`].
    pub type_guid: Guid,
    /// Its own identity.
    pub guid: Guid,
    /// First sector.
    pub first_lba: u64,
    /// Last sector, inclusive.
    pub last_lba: u64,
    /// Attribute bits; bit 0 required, bit 2 legacy BIOS bootable, 48–63 by type.
    pub attributes: u64,
    /// Its name, at most 36 UTF-16 code units.
    pub name: String,
}

/// A whole partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Bytes of a sector.
    pub sector_size: SectorSize,
    /// Sectors of the disk.
    pub disk_sectors: u64,
    /// The disk's identity.
    pub disk_guid: Guid,
    /// Entries of the array, used or not: 9 for illumos, 128 elsewhere.
    pub entry_count: u32,
    /// The used entries, ordered by slot.
    pub partitions: Vec<Partition>,
}

impl Table {
    /// Sectors that hold the entry array (with what is reserved behind it).
    #[must_use]
    pub fn array_sectors(sector_size: SectorSize, entry_count: u32) -> u64 {
        let bytes = (u64::from(entry_count) * ENTRY_BYTES).max(ARRAY_RESERVE_BYTES);
        bytes.div_ceil(sector_size.bytes())
    }

    /// The first sector a partition may have: 34 with 512-byte sectors, 6 with 4096.
    #[must_use]
    pub fn first_usable_lba(&self) -> u64 {
        2 + Self::array_sectors(self.sector_size, self.entry_count)
    }

    /// The last sector a partition may have; 0 when the disk is too small for any.
    #[must_use]
    pub fn last_usable_lba(&self) -> u64 {
        let tail = 1 + Self::array_sectors(self.sector_size, self.entry_count);
        self.disk_sectors.saturating_sub(1 + tail)
    }

    /// Checks that the table can be written: bounds, overlaps, slots, names.
    ///
    /// # Errors
    /// The first [`GptError`] found, in the order of the partitions.
    pub fn validate(&self) -> Result<(), GptError> {
        if !(1..=1024).contains(&self.entry_count) {
            return Err(GptError::EntryCount { count: self.entry_count });
        }
        if self.last_usable_lba() <= self.first_usable_lba() {
            return Err(GptError::DiskTooSmall { sectors: self.disk_sectors });
        }
        for (index, partition) in self.partitions.iter().enumerate() {
            self.validate_partition(partition)?;
            for other in &self.partitions[..index] {
                if other.slot == partition.slot {
                    return Err(GptError::SlotTaken { slot: partition.slot });
                }
                if partition.first_lba <= other.last_lba && other.first_lba <= partition.last_lba {
                    return Err(GptError::Overlap { slot: partition.slot, other: other.slot });
                }
            }
        }
        Ok(())
    }

    fn validate_partition(&self, partition: &Partition) -> Result<(), GptError> {
        let slot = partition.slot;
        if slot >= self.entry_count {
            return Err(GptError::SlotRange { slot, count: self.entry_count });
        }
        if partition.type_guid == Guid::NIL {
            return Err(GptError::NoType { slot });
        }
        let inside = partition.first_lba >= self.first_usable_lba()
            && partition.first_lba <= partition.last_lba
            && partition.last_lba <= self.last_usable_lba();
        if !inside {
            return Err(GptError::OutOfRange {
                slot,
                first: partition.first_lba,
                last: partition.last_lba,
                usable_first: self.first_usable_lba(),
                usable_last: self.last_usable_lba(),
            });
        }
        let units = partition.name.encode_utf16().count();
        if units > NAME_UNITS {
            return Err(GptError::NameTooLong { slot, name: partition.name.clone(), units });
        }
        Ok(())
    }
}

/// A partition table cannot be written, or what was read is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GptError {
    /// The number of entries is not one that readers accept.
    #[error("a partition table of {count} entries is not possible: 1 to 1024")]
    EntryCount {
        /// The number asked for, or found.
        count: u32,
    },
    /// There is no room for a partition between the two tables.
    #[error("a disk of {sectors} sectors has no room for a partition table")]
    DiskTooSmall {
        /// Sectors of the disk.
        sectors: u64,
    },
    /// Two partitions want one entry.
    #[error("entry {slot} of the partition table is taken twice")]
    SlotTaken {
        /// The entry.
        slot: u32,
    },
    /// An entry lies behind the array.
    #[error("entry {slot} is not in a partition table of {count} entries")]
    SlotRange {
        /// The entry.
        slot: u32,
        /// Entries there are.
        count: u32,
    },
    /// A partition has the type that marks an unused entry.
    #[error("the partition in entry {slot} has no type")]
    NoType {
        /// The entry.
        slot: u32,
    },
    /// A partition lies outside the usable sectors, or ends before it starts.
    #[error(
        "the partition in entry {slot} ({first} to {last}) is outside the usable sectors {usable_first} to {usable_last}"
    )]
    OutOfRange {
        /// The entry.
        slot: u32,
        /// Its first sector.
        first: u64,
        /// Its last sector.
        last: u64,
        /// The first usable sector.
        usable_first: u64,
        /// The last usable sector.
        usable_last: u64,
    },
    /// Two partitions share a sector.
    #[error("the partitions in entries {other} and {slot} overlap")]
    Overlap {
        /// The later entry.
        slot: u32,
        /// The earlier entry.
        other: u32,
    },
    /// A name has more than 36 UTF-16 code units.
    #[error("the name `{name}` of entry {slot} has {units} UTF-16 units; there is room for 36")]
    NameTooLong {
        /// The entry.
        slot: u32,
        /// The name.
        name: String,
        /// Its length.
        units: usize,
    },
    /// A table could not be read from the disk.
    #[error("cannot read {what}")]
    Read {
        /// Which part.
        what: &'static str,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The table tells of a larger disk.
    #[error("the image is cut short: its partition table is for {wanted} bytes, and {bytes} are there")]
    CutShort {
        /// Bytes that are there.
        bytes: u64,
        /// Bytes that the disk had.
        wanted: u64,
    },
    /// The disk is larger than the one that the table was made for, and its copy is not at the end.
    #[error("the disk has grown: the copy of the table is in sector {copy}, and the disk has {sectors} sectors")]
    Grown {
        /// The sector of the copy.
        copy: u64,
        /// Sectors that are there.
        sectors: u64,
    },
    /// What was read breaks a rule of the format.
    #[error("{what}: {problem}")]
    Corrupt {
        /// Which part.
        what: &'static str,
        /// Which rule.
        problem: String,
    },
}
