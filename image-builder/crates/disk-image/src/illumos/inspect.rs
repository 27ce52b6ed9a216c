//! Whether the boot blocks of a finished disk lead to each other.

use std::io;

use super::BiosLoaders;
use super::boot_blocks::{
    BOOT_ID, BootBlocks, LOAD_LBA, LOAD_SECTORS, MULTIBOOT_LBA, MULTIBOOT_SEARCH, STAGE1_BYTES, STAGE2_BYTES_MAX,
    STAGE2_OFFSET, multiboot_header,
};
use crate::gpt::SectorSize;
use crate::{BOOT_CODE_BYTES, Guid};

/// What the boot blocks of a disk are like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootBlockState {
    /// There are none.
    None,
    /// Each stage leads to the next.
    Good,
    /// They lead somewhere else; in words.
    Broken(String),
}

/// Looks at the boot blocks of a disk whose pool's partition begins at byte `pool_offset`; `read` fills a buffer from
/// a byte offset of the disk.
///
/// # Errors
/// What `read` answers.
pub fn inspect_boot_blocks(
    read: &dyn Fn(&mut [u8], u64) -> io::Result<()>,
    pool_offset: u64,
    sector_size: SectorSize,
) -> io::Result<BootBlockState> {
    let mut disk = [0; STAGE1_BYTES];
    let mut partition = [0; STAGE1_BYTES];
    read(&mut disk, 0)?;
    read(&mut partition, pool_offset)?;
    let has_code = |sector: &[u8; STAGE1_BYTES]| sector[..LOAD_SECTORS].iter().any(|byte| *byte != 0);
    if sector_size != SectorSize::B512 || (!has_code(&disk) && !has_code(&partition)) {
        return Ok(BootBlockState::None);
    }
    let pool_lba = pool_offset / STAGE1_BYTES as u64;
    let stage2_lba = pool_lba + STAGE2_OFFSET / STAGE1_BYTES as u64;
    let (first, second) = (load(&disk), load(&partition));
    let broken = |problem: String| Ok(BootBlockState::Broken(problem));
    if first != (1, pool_lba) {
        return broken(format!("sector 0 loads {} sectors from {}, not 1 from {pool_lba}", first.0, first.1));
    }
    if second.1 != stage2_lba || second.0 == 0 || usize::from(second.0) * STAGE1_BYTES > STAGE2_BYTES_MAX {
        return broken(format!("stage 1 loads {} sectors from {}, not stage 2 at {stage2_lba}", second.0, second.1));
    }
    if disk[BOOT_ID..BOOT_ID + 16] != partition[BOOT_ID..BOOT_ID + 16] {
        return broken("the two copies of stage 1 do not belong together".to_owned());
    }
    let mut stage2 = vec![0; MULTIBOOT_SEARCH.min(usize::from(second.0) * STAGE1_BYTES)];
    read(&mut stage2, pool_offset + STAGE2_OFFSET)?;
    match multiboot_header(&stage2).map(|at| long(&stage2, at + MULTIBOOT_LBA)) {
        Some(lba) if lba == pool_lba => Ok(BootBlockState::Good),
        Some(lba) => broken(format!("stage 2 looks for the pool at sector {lba}, not at {pool_lba}")),
        None => broken("stage 2 has no multiboot header".to_owned()),
    }
}

/// What differs between the boot blocks of a disk, which [`inspect_boot_blocks`] has found to be good, and the programs
/// that they were made of, `/boot/pmbr` and `/boot/gptzfsboot` of the image; nothing if they are the same.
///
/// # Errors
/// What `read` answers.
pub fn compare_boot_blocks(
    read: &dyn Fn(&mut [u8], u64) -> io::Result<()>,
    pool_offset: u64,
    loaders: &BiosLoaders,
) -> io::Result<Option<String>> {
    let mut disk = [0; STAGE1_BYTES];
    let mut partition = [0; STAGE1_BYTES];
    read(&mut disk, 0)?;
    read(&mut partition, pool_offset)?;
    let mut id = [0; 16];
    id.copy_from_slice(&disk[BOOT_ID..BOOT_ID + 16]);
    let lba = pool_offset / STAGE1_BYTES as u64;
    let expected = match BootBlocks::new(&loaders.stage1, &loaders.stage2, lba, Guid::from_disk(id)) {
        Ok(expected) => expected,
        Err(error) => return Ok(Some(error.to_string())),
    };
    let mut stage2 = vec![0; expected.stage2().len()];
    read(&mut stage2, pool_offset + STAGE2_OFFSET)?;
    let differs = [
        (expected.disk_code() != disk[..BOOT_CODE_BYTES], "sector 0 is not /boot/pmbr"),
        (expected.partition_sector() != partition, "stage 1 in the pool's partition is not /boot/pmbr"),
        (expected.stage2() != stage2, "stage 2 is not /boot/gptzfsboot"),
    ];
    Ok(differs.iter().find(|(differs, _)| *differs).map(|(_, what)| (*what).to_owned()))
}

/// What differs between `found`, a loader on the EFI system partition, and `program`, the file of the image that it was
/// made of; nothing if they are the same but for the place of the pool, which may be left out.
#[must_use]
pub fn compare_efi_loader(found: &[u8], program: &[u8], pool_lba: u64) -> Option<String> {
    let field = multiboot_header(program).map(|at| at + MULTIBOOT_LBA..at + MULTIBOOT_LBA + 8);
    let Some(field) = field.filter(|_| found.len() == program.len()) else {
        return (found != program).then(|| "it is another program".to_owned());
    };
    let lba = long(found, field.start);
    let same = found[..field.start] == program[..field.start] && found[field.end..] == program[field.end..];
    match same {
        false => Some("it is another program".to_owned()),
        true if lba == pool_lba || lba == 0 || lba == long(program, field.start) => None,
        true => Some(format!("it looks for the pool at sector {lba}, not at {pool_lba}")),
    }
}

/// How many sectors a stage 1 loads, and from where.
fn load(sector: &[u8; STAGE1_BYTES]) -> (u16, u64) {
    (u16::from_le_bytes([sector[LOAD_SECTORS], sector[LOAD_SECTORS + 1]]), long(sector, LOAD_LBA))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}
