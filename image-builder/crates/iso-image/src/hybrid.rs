//! The master boot record of an image that also starts from a USB stick.
//!
//! The table has two partitions: an illumos boot partition in front of the first volume descriptor, with stage 2,
//! and the UEFI boot image. This is what `installboot -fm stage1 stage2` writes for the second one
//! (illumos-gate, `usr/src/cmd/boot/installboot/i386/installboot.c`).

use crate::IsoError;
use crate::record::Extent;
use disk_image::DiskSeed;
use disk_image::illumos::{BootError, patch_program};
use image_tree::ImagePath;

/// Bytes of a sector of a disk, in which a partition table counts.
const DISK_SECTOR: usize = 512;
/// Sectors of a disk in one of the image.
const PER_SECTOR: u32 = 4;
/// First sector of the boot partition, and its length.
const BOOT_PARTITION: (u32, u32) = (3, 60);
/// What is in front of the first volume descriptor and written here.
pub(crate) const AREA_BYTES: usize = 63 * DISK_SECTOR;

/// `X86BOOT` of illumos.
const TYPE_ILLUMOS_BOOT: u8 = 0xBE;
const TYPE_EFI_SYSTEM: u8 = 0xEF;
const ACTIVE: u8 = 0x80;

/// Fields of stage 1: how many sectors it loads, from where, and what tells this disk from others.
const LOAD_SECTORS: usize = 0xFC;
const LOAD_LBA: usize = 0xFE;
const BOOT_ID: usize = 0x106;
/// Disk parameters that stage 1 takes over from what was there: nothing.
const PARAMETERS: std::ops::Range<usize> = 3..62;
const DISK_SIGNATURE: usize = 0x1B8;
const TABLE: usize = 0x1BE;

/// The boot blocks of a hybrid image, as paths relative to the image root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hybrid {
    /// The code of the master boot record, such as `boot/pmbr`.
    pub stage1: String,
    /// What it loads, such as `boot/isoboot`.
    pub stage2: String,
}

/// What the area in front of the file system is made of.
#[derive(Clone, Debug)]
pub(crate) struct BootBlocks {
    pub(crate) stage1: Vec<u8>,
    pub(crate) stage2: Vec<u8>,
    pub(crate) stage2_path: ImagePath,
}

impl BootBlocks {
    /// The area, for an image whose UEFI boot image is at `uefi`.
    pub(crate) fn encode(&self, uefi: Extent, seed: &DiskSeed) -> Result<Vec<u8>, IsoError> {
        let (start, sectors) = BOOT_PARTITION;
        let not_a_sector = || IsoError::Hybrid(BootError::Stage1 { bytes: self.stage1.len() });
        if self.stage1.len() != DISK_SECTOR || self.stage1[DISK_SECTOR - 2..] != [0x55, 0xAA] {
            return Err(not_a_sector());
        }
        // The first sector of the partition is stage 1 again.
        let room = (sectors as usize - 1) * DISK_SECTOR;
        if self.stage2.len() > room {
            let (path, bytes) = (self.stage2_path.clone(), self.stage2.len());
            return Err(IsoError::Stage2Length { path, bytes, room });
        }
        let program = format!("stage 2, {}", self.stage2_path);
        let uefi_start = uefi.lba * PER_SECTOR;
        let stage2 = patch_program(&program, &self.stage2, u64::from(uefi_start)).map_err(IsoError::Hybrid)?;

        let mut stage1 = self.stage1.clone();
        stage1[PARAMETERS].fill(0);
        let mut put = |at: usize, bytes: &[u8]| stage1[at..at + bytes.len()].copy_from_slice(bytes);
        // `installboot` rounds down, too: what follows the last whole sector is padding of the program.
        put(LOAD_SECTORS, &((stage2.len() / DISK_SECTOR) as u16).to_le_bytes());
        put(LOAD_LBA, &u64::from(start + 1).to_le_bytes());
        put(BOOT_ID, &seed.guid("hybrid").to_disk());
        put(DISK_SIGNATURE, &[0; TABLE - DISK_SIGNATURE + 64]);
        put(DISK_SIGNATURE, &seed.number("hybrid").to_le_bytes());
        put(TABLE, &partition(ACTIVE, TYPE_ILLUMOS_BOOT, start, sectors));
        let uefi_sectors = uefi.bytes.div_ceil(DISK_SECTOR as u32);
        put(TABLE + 16, &partition(0, TYPE_EFI_SYSTEM, uefi_start, uefi_sectors));

        let mut area = vec![0; AREA_BYTES];
        let at = start as usize * DISK_SECTOR;
        area[..DISK_SECTOR].copy_from_slice(&stage1);
        area[at..at + DISK_SECTOR].copy_from_slice(&stage1);
        area[at + DISK_SECTOR..at + DISK_SECTOR + stage2.len()].copy_from_slice(&stage2);
        Ok(area)
    }
}

/// A row of the partition table; cylinders and heads say that only the sector numbers count.
fn partition(active: u8, kind: u8, start: u32, sectors: u32) -> [u8; 16] {
    const NO_GEOMETRY: [u8; 3] = [0xFE, 0xFF, 0xFF];
    let mut row = [0; 16];
    row[0] = active;
    row[1..4].copy_from_slice(&NO_GEOMETRY);
    row[4] = kind;
    row[5..8].copy_from_slice(&NO_GEOMETRY);
    row[8..12].copy_from_slice(&start.to_le_bytes());
    row[12..].copy_from_slice(&sectors.to_le_bytes());
    row
}
