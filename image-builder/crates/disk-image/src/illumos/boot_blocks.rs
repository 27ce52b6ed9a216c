//! What `installboot` writes so that a BIOS or UEFI firmware finds the boot loader.
//!
//! The chain of a BIOS: stage 1 in sector 0 of the disk loads one sector, stage 1 of
//! the pool's partition; that one loads stage 2 from the room that a vdev keeps for boot code, and
//! stage 2 reads `/boot/loader` from the pool. UEFI starts the loader itself, a file
//! of the EFI system partition. All facts: illumos-gate, `usr/src/cmd/boot/installboot/i386`
//! and `usr/src/boot/i386/pmbr`.

use crate::gpt::SectorSize;
use crate::{BOOT_CODE_BYTES, Guid, Region, Volume, VolumeContext, VolumeError};

/// Bytes of stage 1: one sector of a BIOS.
pub(super) const STAGE1_BYTES: usize = 512;
/// Where the disk parameters of stage 1 are, which the sector that it replaces keeps.
const PARAMETERS: std::ops::Range<usize> = 3..62;
/// Field of stage 1: how many sectors it loads.
pub(super) const LOAD_SECTORS: usize = 0xFC;
/// Field of stage 1: which sector it loads them from.
pub(super) const LOAD_LBA: usize = 0xFE;
/// Field of stage 1: an identifier that says that both copies belong together.
pub(super) const BOOT_ID: usize = 0x106;
/// Where stage 2 lies in the pool's partition: behind the first two labels.
pub(super) const STAGE2_OFFSET: u64 = 512 * 1024;
/// The room there: 3.5 MiB, up to the pool's own data.
pub(super) const STAGE2_BYTES_MAX: usize = 7 << 19;

/// How far into a program its multiboot header may lie.
pub(super) const MULTIBOOT_SEARCH: usize = 64 * 1024;
const MULTIBOOT_MAGIC: u32 = 0x1BAD_B002;
/// The header says by itself where the program lies in memory, which is all that these do.
const MULTIBOOT_FLAGS: u32 = 0x0001_0000;
/// Field of the header: its last 8 bytes, where `installboot` puts the pool's first sector.
pub(super) const MULTIBOOT_LBA: usize = 24;
const MULTIBOOT_BYTES: usize = 32;

/// A boot program is not one that `installboot` would install.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// Stage 1 is not a boot sector.
    #[error("stage 1 of the boot loader is not a boot sector: {bytes} bytes, or no signature at the end")]
    Stage1 {
        /// Its length.
        bytes: usize,
    },
    /// Stage 2 is larger than its room.
    #[error("stage 2 of the boot loader has {bytes} bytes; there is room for {STAGE2_BYTES_MAX}")]
    Stage2TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The place where the pool's first sector belongs was not found.
    #[error("{program} has no multiboot header in its first 64 KiB, so that the pool's place cannot be told to it")]
    NoMultibootHeader {
        /// What the program is.
        program: String,
    },
    /// A BIOS knows no sectors of this size.
    #[error("a BIOS cannot boot a disk with sectors of {bytes} bytes")]
    SectorSize {
        /// Bytes of a sector.
        bytes: u64,
    },
}

/// A copy of the boot program `bytes` that knows where the pool begins; `program` names it in the error.
///
/// # Errors
/// When the program has no place for it.
pub fn patch_program(program: &str, bytes: &[u8], pool_lba: u64) -> Result<Vec<u8>, BootError> {
    let missing = || BootError::NoMultibootHeader { program: program.to_owned() };
    let at = multiboot_header(bytes).ok_or_else(missing)?;
    let mut patched = bytes.to_vec();
    patched[at + MULTIBOOT_LBA..at + MULTIBOOT_BYTES].copy_from_slice(&pool_lba.to_le_bytes());
    Ok(patched)
}

/// Where the multiboot header of a boot program begins: at a multiple of 4, its three words adding up to 0.
#[must_use]
pub fn multiboot_header(bytes: &[u8]) -> Option<usize> {
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let end = bytes.len().min(MULTIBOOT_SEARCH).checked_sub(MULTIBOOT_BYTES)?;
    (0..=end).step_by(4).find(|at| {
        word(*at) == MULTIBOOT_MAGIC
            && word(at + 4) == MULTIBOOT_FLAGS
            && word(at + 8) == (MULTIBOOT_MAGIC + MULTIBOOT_FLAGS).wrapping_neg()
    })
}

/// The boot blocks for a BIOS: `/boot/pmbr` and `/boot/gptzfsboot` of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootBlocks {
    stage1: [u8; STAGE1_BYTES],
    stage2: Vec<u8>,
    pool_lba: u64,
    id: Guid,
}

impl BootBlocks {
    /// The boot blocks for a pool that begins at sector `pool_lba` of the disk.
    ///
    /// `id` says that the two copies of stage 1 belong together; it is not the disk's GUID.
    ///
    /// # Errors
    /// When one of the programs is none, or does not fit.
    pub fn new(stage1: &[u8], stage2: &[u8], pool_lba: u64, id: Guid) -> Result<Self, BootError> {
        let not_a_sector = BootError::Stage1 { bytes: stage1.len() };
        let stage1: [u8; STAGE1_BYTES] = stage1.try_into().map_err(|_| not_a_sector.clone())?;
        if stage1[510..] != [0x55, 0xAA] {
            return Err(not_a_sector);
        }
        if stage2.len() > STAGE2_BYTES_MAX {
            return Err(BootError::Stage2TooLarge { bytes: stage2.len() });
        }
        let stage2 = patch_program("stage 2 of the boot loader", stage2, pool_lba)?;
        Ok(Self { stage1, stage2, pool_lba, id })
    }

    /// Stage 2 as it lies in the partition.
    pub(super) fn stage2(&self) -> &[u8] {
        &self.stage2
    }

    /// The code of sector 0 of the disk: it loads the first sector of the pool's partition.
    #[must_use]
    pub fn disk_code(&self) -> [u8; BOOT_CODE_BYTES] {
        let mut sector = self.stage1;
        // The sector that this replaces holds a partition table and no parameters.
        sector[PARAMETERS].fill(0);
        self.point(&mut sector, 1, self.pool_lba);
        let mut code = [0; BOOT_CODE_BYTES];
        code.copy_from_slice(&sector[..BOOT_CODE_BYTES]);
        code
    }

    /// Sector 0 of the pool's partition: it loads stage 2.
    #[must_use]
    pub fn partition_sector(&self) -> [u8; STAGE1_BYTES] {
        let mut sector = self.stage1;
        // There are 7168 sectors of room at most. `installboot` rounds down, too.
        let sectors = (self.stage2.len() / STAGE1_BYTES) as u16;
        self.point(&mut sector, sectors, self.pool_lba + STAGE2_OFFSET / STAGE1_BYTES as u64);
        sector
    }

    fn point(&self, sector: &mut [u8; STAGE1_BYTES], sectors: u16, lba: u64) {
        sector[LOAD_SECTORS..LOAD_SECTORS + 2].copy_from_slice(&sectors.to_le_bytes());
        sector[LOAD_LBA..LOAD_LBA + 8].copy_from_slice(&lba.to_le_bytes());
        sector[BOOT_ID..BOOT_ID + 16].copy_from_slice(&self.id.to_disk());
    }
}

/// A pool together with the boot blocks in its partition.
///
/// They lie in places that a vdev never uses itself: the first 8 KiB of its first label, and the 3.5 MiB
/// behind its second.
pub(super) struct BootablePool<'a> {
    pub(super) pool: Box<dyn Volume + 'a>,
    pub(super) boot_blocks: Option<BootBlocks>,
}

impl Volume for BootablePool<'_> {
    fn minimum_bytes(&self, sector_size: SectorSize) -> Result<u64, VolumeError> {
        self.pool.minimum_bytes(sector_size)
    }

    fn write(&mut self, region: &mut Region<'_>, context: &VolumeContext<'_>) -> Result<u64, VolumeError> {
        let written = self.pool.write(region, context)?;
        if let Some(blocks) = &self.boot_blocks {
            region
                .write_all_at(&blocks.partition_sector(), 0)
                .and_then(|()| region.write_all_at(&blocks.stage2, STAGE2_OFFSET))
                .map_err(|source| VolumeError::BootBlocks { source })?;
        }
        Ok(written)
    }
}
