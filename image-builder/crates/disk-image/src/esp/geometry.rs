//! Which kind of FAT a size of partition gets, with which clusters, and where its parts lie.

use crate::gpt::SectorSize;

/// Bytes of one entry of a directory.
pub(super) const DIRECTORY_ENTRY_BYTES: u64 = 32;
/// The largest cluster used: larger ones only waste room on small files.
pub(super) const LARGEST_CLUSTER: u64 = 4096;
/// Copies of the file allocation table.
pub(super) const FATS: u64 = 2;
/// The number of the first cluster.
pub(super) const FIRST_CLUSTER: u32 = 2;

/// Clusters that a FAT32 file system has at least, with a margin: readers tell
/// the kinds apart by the number of clusters, and 65 525 is where FAT32 begins.
const FAT32_CLUSTERS: u64 = 65_700;
/// What FAT32 has at most, with a margin: the numbers of clusters have 28 bits.
const FAT32_MOST_CLUSTERS: u64 = 0x0FFF_FFF0;
/// The same for FAT16, which begins at 4 085 clusters.
const FAT16_CLUSTERS: u64 = 4_200;
/// What FAT16 has at most, with the same margin.
const FAT16_MOST_CLUSTERS: u64 = 65_300;
/// What FAT12 has at most: 4 084, with a margin.
const FAT12_MOST_CLUSTERS: u64 = 4_060;
/// Entries of the root directory of FAT16 unless more are needed.
const FAT16_ROOT_ENTRIES: u64 = 512;
/// Bytes of both tables for one cluster of FAT32; those of FAT16 are smaller.
const TABLE_BYTES_PER_CLUSTER: u64 = 8;
/// More sectors than come before the tables and than the root directory of FAT16 and all roundings take.
const SPARE_SECTORS: u64 = 128;

/// The width of an entry of the file allocation table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FatKind {
    Fat12,
    Fat16,
    Fat32,
}

impl FatKind {
    /// Bytes of a table with so many entries.
    pub(super) fn table_bytes(self, entries: u64) -> u64 {
        match self {
            Self::Fat12 => (entries * 3).div_ceil(2),
            Self::Fat16 => entries * 2,
            Self::Fat32 => entries * 4,
        }
    }

    /// Sectors before the first table: the boot sector, and for FAT32 its companions and copies.
    pub(super) fn reserved_sectors(self) -> u64 {
        match self {
            Self::Fat12 | Self::Fat16 => 1,
            Self::Fat32 => 32,
        }
    }
}

/// How a FAT file system is laid out; counts are in sectors unless named otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FatGeometry {
    pub(super) kind: FatKind,
    pub(super) sector_bytes: u64,
    pub(super) cluster_bytes: u64,
    pub(super) sectors: u32,
    /// Sectors of one table.
    pub(super) table_sectors: u32,
    /// Entries of the fixed root directory; 0 for FAT32, whose root is a chain of clusters.
    pub(super) root_entries: u16,
    /// Clusters that hold data.
    pub(super) clusters: u32,
}

impl FatGeometry {
    /// The geometry for a partition of `bytes` with `root_entries` names in its root directory;
    /// `None` when it is too small for FAT16 or too large for FAT32.
    pub(super) fn for_size(bytes: u64, sector_size: SectorSize, root_entries: u64) -> Option<Self> {
        let sector = sector_size.bytes();
        let sizes = || {
            // From the largest cluster down: fewer clusters make smaller tables.
            std::iter::successors(Some(LARGEST_CLUSTER), |size| Some(size / 2)).take_while(|size| *size >= sector)
        };
        let candidate = |kind, cluster| Self::with(kind, cluster, bytes, sector, root_entries);
        let fat32 = sizes()
            .filter_map(|cluster| candidate(FatKind::Fat32, cluster))
            .find(|geometry| (FAT32_CLUSTERS..=FAT32_MOST_CLUSTERS).contains(&u64::from(geometry.clusters)));
        fat32.or_else(|| {
            sizes()
                .filter_map(|cluster| candidate(FatKind::Fat16, cluster))
                .find(|geometry| (FAT16_CLUSTERS..=FAT16_MOST_CLUSTERS).contains(&u64::from(geometry.clusters)))
        })
    }

    /// The same for an image of its own, such as one that El Torito boots, which may be as small as a floppy disk:
    /// FAT12 below what FAT16 begins with.
    pub(super) fn for_medium(bytes: u64, root_entries: u64) -> Option<Self> {
        let sector = SectorSize::B512;
        Self::for_size(bytes, sector, root_entries).or_else(|| {
            Self::with(FatKind::Fat12, sector.bytes(), bytes, sector.bytes(), root_entries)
                .filter(|geometry| (1..=FAT12_MOST_CLUSTERS).contains(&u64::from(geometry.clusters)))
        })
    }

    fn with(kind: FatKind, cluster_bytes: u64, bytes: u64, sector_bytes: u64, root_entries: u64) -> Option<Self> {
        let sectors = bytes / sector_bytes;
        let root_entries = match kind {
            FatKind::Fat32 => 0,
            FatKind::Fat12 | FatKind::Fat16 => {
                root_entries.max(FAT16_ROOT_ENTRIES).next_multiple_of(sector_bytes / DIRECTORY_ENTRY_BYTES)
            }
        };
        let root_sectors = root_entries * DIRECTORY_ENTRY_BYTES / sector_bytes;
        let room = sectors.checked_sub(kind.reserved_sectors() + root_sectors)?;
        let cluster_sectors = cluster_bytes / sector_bytes;
        // As if the tables took no room themselves: they become a little longer than they must be.
        let entries = room / cluster_sectors + u64::from(FIRST_CLUSTER);
        let table_sectors = kind.table_bytes(entries).div_ceil(sector_bytes);
        let clusters = room.checked_sub(FATS * table_sectors)? / cluster_sectors;
        Some(Self {
            kind,
            sector_bytes,
            cluster_bytes,
            sectors: u32::try_from(sectors).ok()?,
            table_sectors: u32::try_from(table_sectors).ok()?,
            root_entries: u16::try_from(root_entries).ok()?,
            clusters: u32::try_from(clusters).ok()?,
        })
    }

    /// Clusters that hold `bytes`.
    pub(super) fn clusters_for(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.cluster_bytes)
    }

    /// Byte offset of a copy of the file allocation table.
    pub(super) fn table_offset(&self, copy: u64) -> u64 {
        (self.kind.reserved_sectors() + copy * u64::from(self.table_sectors)) * self.sector_bytes
    }

    /// Byte offset of the fixed root directory, and end of the tables.
    pub(super) fn root_offset(&self) -> u64 {
        self.table_offset(FATS)
    }

    /// Byte offset of a cluster.
    pub(super) fn cluster_offset(&self, cluster: u32) -> u64 {
        let root_bytes = u64::from(self.root_entries) * DIRECTORY_ENTRY_BYTES;
        self.root_offset() + root_bytes + u64::from(cluster - FIRST_CLUSTER) * self.cluster_bytes
    }

    /// Bytes of the smallest FAT32 file system.
    pub(super) fn smallest_fat32(sector_size: SectorSize) -> u64 {
        smallest(FAT32_CLUSTERS, sector_size)
    }

    /// Bytes of a partition that certainly holds `data` bytes (in clusters of the largest size).
    pub(super) fn smallest_for(data: u64, sector_size: SectorSize, root_entries: u64) -> u64 {
        // The tables are largest when every cluster is a single sector.
        let clusters = data.div_ceil(sector_size.bytes());
        let bytes = smallest(clusters.max(FAT16_CLUSTERS), sector_size);
        // With 4096-byte sectors the margins leave a gap between FAT16 and FAT32.
        match Self::for_size(bytes, sector_size, root_entries) {
            Some(_) => bytes,
            None => bytes.max(Self::smallest_fat32(sector_size)),
        }
    }
}

fn smallest(clusters: u64, sector_size: SectorSize) -> u64 {
    let sector = sector_size.bytes();
    (clusters * (sector + TABLE_BYTES_PER_CLUSTER) + SPARE_SECTORS * sector).next_multiple_of(sector)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn the_kind_follows_the_size() {
        let cases = [
            (1, SectorSize::B512, None),
            (3, SectorSize::B512, Some((FatKind::Fat16, 512))),
            (32, SectorSize::B512, Some((FatKind::Fat16, 4096))),
            (33, SectorSize::B512, Some((FatKind::Fat32, 512))),
            (64, SectorSize::B512, Some((FatKind::Fat32, 512))),
            (256, SectorSize::B512, Some((FatKind::Fat32, 2048))),
            (512, SectorSize::B512, Some((FatKind::Fat32, 4096))),
            (64, SectorSize::B4096, Some((FatKind::Fat16, 4096))),
            (300, SectorSize::B4096, Some((FatKind::Fat32, 4096))),
            (1024 * 1024, SectorSize::B512, Some((FatKind::Fat32, 4096))),
            // More clusters than there are numbers for.
            (1024 * 1024 + 4096, SectorSize::B512, None),
            (2 * 1024 * 1024 - 1, SectorSize::B512, None),
        ];
        for (mib, sector_size, expected) in cases {
            let found = FatGeometry::for_size(mib * MIB, sector_size, 1);
            assert_eq!(found.map(|g| (g.kind, g.cluster_bytes)), expected, "{mib} MiB");
        }
    }

    #[test]
    fn a_medium_may_be_too_small_for_fat16() {
        for mib in 1..=64 {
            let kind = FatGeometry::for_medium(mib * MIB, 1).map(|geometry| geometry.kind);
            let expected = match mib {
                1..=2 => FatKind::Fat12,
                3..=32 => FatKind::Fat16,
                _ => FatKind::Fat32,
            };
            assert_eq!(kind, Some(expected), "{mib} MiB");
        }
    }

    #[test]
    fn every_size_that_is_said_to_do_holds_the_data() {
        for sector_size in [SectorSize::B512, SectorSize::B4096] {
            let fat32 = FatGeometry::smallest_fat32(sector_size);
            let found = FatGeometry::for_size(fat32, sector_size, 1).map(|g| g.kind);
            assert_eq!(found, Some(FatKind::Fat32));
            for data in (0..400 * MIB).step_by(777_777) {
                let bytes = FatGeometry::smallest_for(data, sector_size, 1);
                let geometry = FatGeometry::for_size(bytes, sector_size, 1).unwrap();
                let room = u64::from(geometry.clusters) * geometry.cluster_bytes;
                assert!(room >= data, "{data} bytes in {bytes}");
            }
        }
    }

    #[test]
    fn parts_do_not_overlap_and_end_inside() {
        for mib in [3, 8, 31, 40, 100, 300, 1000] {
            let geometry = FatGeometry::for_size(mib * MIB, SectorSize::B512, 600).unwrap();
            let table_bytes = geometry.kind.table_bytes(u64::from(geometry.clusters) + 2);
            assert!(geometry.table_offset(0) + table_bytes <= geometry.table_offset(1));
            assert!(geometry.table_offset(1) + table_bytes <= geometry.root_offset());
            assert!(geometry.cluster_offset(geometry.clusters + 2) <= mib * MIB);
        }
    }
}
