//! What starts a disk, compared with the programs in its boot environment that it was made of.

use super::InspectError;
use super::findings::Findings;
use super::image::{Image, Part};
use disk_image::illumos::{
    BiosLoaders, BootBlockState, LOADER_32, LOADER_64, compare_boot_blocks, compare_efi_loader, inspect_boot_blocks,
};
use disk_image::{FatReadError, read_fat_file};
use std::io;
use zfs_image::reader::{FileSystem, Pool, ReadError};

/// Larger files are no boot programs.
const PROGRAM_BYTES_MAX: u64 = 16 << 20;
const BLOCK_BYTES: u64 = 512;

/// The boot programs that a boot environment has.
#[derive(Default)]
pub(super) struct Programs {
    /// The full name of the boot environment.
    dataset: String,
    bios: Option<BiosLoaders>,
    /// Where it is on the EFI system partition, where in the boot environment, and its content.
    efi: Vec<(&'static str, &'static str, Vec<u8>)>,
}

impl Programs {
    /// Those of the dataset that boots; nothing when none does.
    pub(super) fn of(pool: &Pool<'_>) -> Result<Self, ReadError> {
        let Some(dataset) = pool.boot_dataset()? else { return Ok(Self::default()) };
        let files = pool.file_system(&dataset)?;
        let stages = (program(&files, "/boot/pmbr")?, program(&files, "/boot/gptzfsboot")?);
        let bios = stages.0.zip(stages.1).map(|(stage1, stage2)| BiosLoaders { stage1, stage2 });
        let mut efi = Vec::new();
        for (place, path) in [(LOADER_64, "/boot/loader64.efi"), (LOADER_32, "/boot/loader32.efi")] {
            efi.extend(program(&files, path)?.map(|content| (place, path, content)));
        }
        Ok(Self { dataset: dataset.name, bios, efi })
    }

    /// Looks at the boot blocks for a BIOS.
    pub(super) fn check_boot_blocks(
        &self,
        image: &Image,
        pool: &Part,
        findings: &mut Findings,
    ) -> Result<(), InspectError> {
        let Some(table) = &image.table else { return Ok(()) };
        let failed = |source| InspectError::Read { path: image.path.clone(), source };
        let read = |buffer: &mut [u8], offset: u64| image.file.read_exact_at(buffer, offset);
        match inspect_boot_blocks(&read, pool.offset, table.sector_size).map_err(failed)? {
            BootBlockState::None => return Ok(()),
            BootBlockState::Good => findings.good.push("boot blocks: each stage leads to the next".to_owned()),
            BootBlockState::Broken(problem) => {
                findings.bad.push(format!("boot blocks: {problem}"));
                return Ok(());
            }
        }
        let Some(bios) = &self.bios else { return Ok(()) };
        match compare_boot_blocks(&read, pool.offset, bios).map_err(failed)? {
            None => findings.good.push(format!("boot blocks: both stages are those of {}", self.dataset)),
            Some(problem) => findings.bad.push(format!("boot blocks: {problem} of {}", self.dataset)),
        }
        Ok(())
    }

    /// Looks at the loaders on an EFI system partition. Answers whether there was anything to compare.
    pub(super) fn check_loaders(&self, image: &Image, esp: &Part, pool: &Part, findings: &mut Findings) -> bool {
        for (place, path, content) in &self.efi {
            let title = format!("{}: {place}", esp.title);
            match loader(image, esp, place) {
                Ok(None) => findings.bad.push(format!("{title} is missing, and {} has {path}", self.dataset)),
                Ok(Some(found)) => match compare_efi_loader(&found, content, pool.offset / BLOCK_BYTES) {
                    None => findings.good.push(format!("{title} is {path} of {}", self.dataset)),
                    Some(problem) => {
                        findings.bad.push(format!("{title} is not {path} of {}: {problem}", self.dataset));
                    }
                },
                Err(error) => findings.bad.push(format!("{title}: {error}")),
            }
        }
        !self.efi.is_empty()
    }
}

fn loader(image: &Image, esp: &Part, place: &str) -> Result<Option<Vec<u8>>, FatReadError> {
    let read = |buffer: &mut [u8], offset: u64| {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= esp.bytes);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        image.file.read_exact_at(buffer, esp.offset + offset)
    };
    read_fat_file(&read, place)
}

/// The content of a file; none if there is no such file, or one that is too large to be a boot program.
fn program(files: &FileSystem<'_>, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
    let file = match files.lookup(path.as_bytes(), true) {
        Ok(file) if file.is_regular() && file.znode.size <= PROGRAM_BYTES_MAX => file,
        Ok(_) | Err(ReadError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; file.znode.size as usize];
    let mut at = 0;
    while at < bytes.len() {
        match files.read_at(&file, &mut bytes[at..], at as u64)? {
            0 => return Ok(None),
            count => at += count,
        }
    }
    Ok(Some(bytes))
}
