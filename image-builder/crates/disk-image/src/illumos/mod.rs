//! A disk as `zpool create` labels it for a root pool, with what `installboot` adds.
//!
//! With an EFI system partition (`zpool create -B`): entry 0 `loader` of 256 MiB from sector 256, entry 1 `zfs`
//! behind it. Without: entry 0 `zfs` from sector 256. In both, entry 8, the last of nine, is the 8 MiB that
//! illumos reserves, at the end of the disk: a pool that grows (`autoexpand`) needs exactly this.
//! Facts: illumos-gate, `zpool_label_disk` of libzfs, and libefi.

mod boot_blocks;
mod inspect;

pub use boot_blocks::{BootBlocks, BootError, multiboot_header, patch_program};
pub use inspect::{BootBlockState, compare_boot_blocks, compare_efi_loader, inspect_boot_blocks};

use crate::esp::{EspError, EspFile, EspVolume};
use crate::gpt::{SectorSize, Table, types};
use crate::{DiskLayout, DiskSeed, PartitionSize, PartitionSpec, Volume};
use boot_blocks::BootablePool;

const MIB: u64 = 1024 * 1024;
/// Entries of the table: growing the label demands that the reserved partition is the last one.
const ENTRIES: u32 = 9;
/// The first partition begins at this sector, whatever the size of a sector.
const FIRST_LBA: u64 = 256;
/// Bytes of the reserved partition.
const RESERVED_BYTES: u64 = 8 * MIB;
/// The name of the pool's partition.
pub const POOL_PARTITION: &str = "zfs";
/// The name of the EFI system partition.
const ESP_PARTITION: &str = "loader";
/// Where firmware looks for the 64-bit loader.
pub const LOADER_64: &str = "EFI/BOOT/BOOTX64.EFI";
/// Where firmware looks for the 32-bit loader.
pub const LOADER_32: &str = "EFI/BOOT/BOOTIA32.EFI";
/// The label that `mkfs -F pcfs` gives when nobody asks for another.
const ESP_LABEL: &str = "NONAME";

/// The loaders of an EFI system partition, as the image has them.
#[derive(Debug, Clone, Default)]
pub struct EfiLoaders {
    /// `/boot/loader64.efi`; an image that does not boot has an empty partition.
    pub loader64: Option<Vec<u8>>,
    /// `/boot/loader32.efi`, where the image has one.
    pub loader32: Option<Vec<u8>>,
}

/// The two stages for a BIOS, as the image has them.
#[derive(Debug, Clone)]
pub struct BiosLoaders {
    /// `/boot/pmbr`.
    pub stage1: Vec<u8>,
    /// `/boot/gptzfsboot`.
    pub stage2: Vec<u8>,
}

/// What goes onto an illumos disk.
pub struct IllumosDisk<'a> {
    /// What every identifier is derived from.
    pub seed: DiskSeed,
    /// Bytes of a sector.
    pub sector_size: SectorSize,
    /// Bytes of the whole disk; see [`smallest_disk`].
    pub disk_bytes: u64,
    /// Makes an EFI system partition with these in it.
    pub loaders: Option<EfiLoaders>,
    /// Makes boot blocks of these.
    pub bios: Option<BiosLoaders>,
    /// The pool.
    pub pool: Box<dyn Volume + 'a>,
}

impl std::fmt::Debug for IllumosDisk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IllumosDisk")
            .field("seed", &self.seed)
            .field("disk_bytes", &self.disk_bytes)
            .finish_non_exhaustive()
    }
}

/// The parts of an illumos disk do not make a disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IllumosDiskError {
    /// A boot program is none.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The EFI system partition cannot be made.
    #[error(transparent)]
    Esp(#[from] EspError),
}

/// How the partition table of a disk with a pool differs from what `zpool create` writes, with or without `-B`, each in words:
/// places and names, and the partition that illumos reserves. A disk may start all the same.
#[must_use]
pub fn unlike_zpool_create(table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    let sector = table.sector_size.bytes();
    match table.partitions.first().map(|first| first.first_lba) {
        Some(FIRST_LBA) => {}
        first => found.push(format!("the first partition begins at sector {}, not {FIRST_LBA}", first.unwrap_or(0))),
    }
    for (kind, name) in [(types::EFI_SYSTEM, ESP_PARTITION), (types::ILLUMOS_USR, POOL_PARTITION)] {
        let others = table.partitions.iter().filter(|partition| partition.type_guid == kind && partition.name != name);
        found.extend(
            others.map(|partition| format!("s{} has the name {:?}, not {name:?}", partition.slot, partition.name)),
        );
    }
    match table.partitions.iter().find(|partition| partition.type_guid == types::ILLUMOS_RESERVED) {
        None => found.push("there is no reserved partition".to_owned()),
        Some(reserved) => {
            let sectors = (reserved.last_lba + 1).saturating_sub(reserved.first_lba);
            if sectors != RESERVED_BYTES / sector {
                found.push(format!("the reserved partition has {sectors} sectors, not {}", RESERVED_BYTES / sector));
            }
            if reserved.last_lba != table.last_usable_lba() {
                found.push("the reserved partition does not end the disk".to_owned());
            }
        }
    }
    found
}

/// Bytes of the EFI system partition, and the pool's property `bootsize`: the default of `zpool create -B`, 256 MiB.
///
/// With sectors of 4096 bytes that is a little too small for FAT32, which the firmware wants; so 8 MiB are added.
#[must_use]
pub fn esp_bytes(sector_size: SectorSize) -> u64 {
    match sector_size {
        SectorSize::B512 => 256 * MIB,
        SectorSize::B4096 => 264 * MIB,
    }
}

/// The first sector of the pool's partition.
#[must_use]
pub fn pool_lba(sector_size: SectorSize, with_esp: bool) -> u64 {
    FIRST_LBA + if with_esp { esp_bytes(sector_size) / sector_size.bytes() } else { 0 }
}

/// Bytes of the smallest disk, in whole MiB, whose pool partition has `pool_bytes`.
#[must_use]
pub fn smallest_disk(sector_size: SectorSize, with_esp: bool, pool_bytes: u64) -> u64 {
    let before = pool_lba(sector_size, with_esp) * sector_size.bytes();
    let after = RESERVED_BYTES + (1 + Table::array_sectors(sector_size, ENTRIES)) * sector_size.bytes();
    let alignment = FIRST_LBA * sector_size.bytes();
    // Saturating: a size beyond any disk is found to be one by whoever makes it.
    let pool = pool_bytes.saturating_add(alignment - 1) / alignment * alignment;
    (before + after).saturating_add(pool).saturating_add(MIB - 1) / MIB * MIB
}

/// Bytes of the pool's partition on a disk of `disk_bytes`; 0 when it has no room for one.
#[must_use]
pub fn pool_bytes(sector_size: SectorSize, with_esp: bool, disk_bytes: u64) -> u64 {
    let sector = sector_size.bytes();
    let after = RESERVED_BYTES / sector + 1 + Table::array_sectors(sector_size, ENTRIES);
    (disk_bytes / sector).saturating_sub(pool_lba(sector_size, with_esp) + after) * sector
}

impl<'a> IllumosDisk<'a> {
    /// The layout for [`crate::write_disk`].
    ///
    /// # Errors
    /// When a boot program is not one.
    pub fn layout(self) -> Result<DiskLayout<'a>, IllumosDiskError> {
        let pool_lba = pool_lba(self.sector_size, self.loaders.is_some());
        let boot_blocks = match &self.bios {
            Some(_) if self.sector_size != SectorSize::B512 => {
                return Err(BootError::SectorSize { bytes: self.sector_size.bytes() }.into());
            }
            Some(BiosLoaders { stage1, stage2 }) => {
                Some(BootBlocks::new(stage1, stage2, pool_lba, self.seed.guid("boot blocks"))?)
            }
            None => None,
        };
        let boot_code = boot_blocks.as_ref().map(BootBlocks::disk_code);
        let mut partitions = Vec::new();
        if let Some(loaders) = &self.loaders {
            let esp = EspVolume::new(&self.seed, ESP_LABEL, loader_files(loaders, pool_lba)?)?;
            let size = PartitionSize::Exact(esp_bytes(self.sector_size));
            partitions.push(partition(types::EFI_SYSTEM, ESP_PARTITION, size, Some(Box::new(esp))));
        }
        let pool = Box::new(BootablePool { pool: self.pool, boot_blocks });
        partitions.push(partition(types::ILLUMOS_USR, POOL_PARTITION, PartitionSize::Fill { free: 0 }, Some(pool)));
        let reserved = partition(types::ILLUMOS_RESERVED, "", PartitionSize::Exact(RESERVED_BYTES), None);
        partitions.push(PartitionSpec { slot: Some(ENTRIES - 1), role: "reserved".to_owned(), ..reserved });
        Ok(DiskLayout {
            sector_size: self.sector_size,
            entry_count: ENTRIES,
            alignment: FIRST_LBA * self.sector_size.bytes(),
            disk_bytes: Some(self.disk_bytes),
            boot_code,
            partitions,
            ..DiskLayout::new(self.seed)
        })
    }
}

/// The loaders as files of the EFI system partition, each told where the pool begins.
fn loader_files(loaders: &EfiLoaders, pool_lba: u64) -> Result<Vec<EspFile<'static>>, BootError> {
    let programs = [(LOADER_64, "loader64.efi", &loaders.loader64), (LOADER_32, "loader32.efi", &loaders.loader32)];
    let mut files = Vec::new();
    for (path, name, program) in programs {
        if let Some(program) = program {
            files.push(EspFile::from_bytes(path, patch_program(name, program, pool_lba)?));
        }
    }
    Ok(files)
}

fn partition<'a>(
    type_guid: crate::Guid,
    name: &str,
    size: PartitionSize,
    content: Option<Box<dyn Volume + 'a>>,
) -> PartitionSpec<'a> {
    let name = name.to_owned();
    PartitionSpec { type_guid, role: name.clone(), name, slot: None, attributes: 0, size, content }
}
