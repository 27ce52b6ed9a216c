//! The boot catalog (El Torito 1.0), and the table that a BIOS boot image carries.

use crate::SECTOR_BYTES;
use crate::descriptor::FIRST_LBA;

/// Bytes of an entry of the catalog.
const ENTRY_BYTES: usize = 32;
/// Sections hold two images at most here, so that the catalog is one sector.
pub(crate) const CATALOG_BYTES: u64 = SECTOR_BYTES;
/// A boot image's own unit: what a BIOS loads is counted in sectors of a disk.
const VIRTUAL_SECTOR: u64 = 512;

/// The firmware that an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootImage {
    /// A PC BIOS, started in real mode.
    Bios,
    /// UEFI: the image is a FAT file system.
    Uefi,
}

impl BootImage {
    fn platform(self) -> u8 {
        match self {
            Self::Bios => 0x00,
            Self::Uefi => 0xEF,
        }
    }
}

/// An image in the catalog.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CatalogEntry {
    pub(crate) platform: BootImage,
    pub(crate) lba: u32,
    pub(crate) bytes: u64,
}

impl CatalogEntry {
    /// An entry without emulation, loaded where the firmware likes.
    fn encode(&self) -> [u8; ENTRY_BYTES] {
        // Firmware takes 0 as "to the end of the medium", which is the best that 16 bits can say of a larger one.
        let sectors = u16::try_from(self.bytes.div_ceil(VIRTUAL_SECTOR)).unwrap_or(0);
        let mut entry = [0; ENTRY_BYTES];
        entry[0] = 0x88;
        entry[6..8].copy_from_slice(&sectors.to_le_bytes());
        entry[8..12].copy_from_slice(&self.lba.to_le_bytes());
        entry
    }
}

/// The catalog: the first image is the default, the others have sections of their own.
pub(crate) fn catalog(entries: &[CatalogEntry]) -> Vec<u8> {
    let mut catalog = Vec::new();
    if let [default, others @ ..] = entries {
        catalog.extend(validation(default.platform));
        catalog.extend(default.encode());
        for (index, other) in others.iter().enumerate() {
            let mut header = [0; ENTRY_BYTES];
            header[0] = if index + 1 == others.len() { 0x91 } else { 0x90 };
            header[1] = other.platform.platform();
            header[2..4].copy_from_slice(&1_u16.to_le_bytes());
            catalog.extend(header);
            catalog.extend(other.encode());
        }
    }
    catalog.resize(CATALOG_BYTES as usize, 0);
    catalog
}

/// The first entry, whose words add up to 0.
fn validation(platform: BootImage) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry[0] = 1;
    entry[1] = platform.platform();
    entry[30..].copy_from_slice(&[0x55, 0xAA]);
    let words = entry.chunks_exact(2).map(|word| u16::from_le_bytes([word[0], word[1]]));
    let sum = words.fold(0_u16, u16::wrapping_add);
    entry[28..30].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
    entry
}

/// Where the boot information table is in a BIOS boot image.
const TABLE_AT: usize = 8;
/// Where the checksum of the table begins to count: behind it.
pub(crate) const TABLE_END: usize = 64;

/// Tells a BIOS boot image where the file system and it itself are (`mkisofs -boot-info-table`).
pub(crate) fn put_information_table(image: &mut [u8], lba: u32) {
    let length = image.len() as u32;
    let word = |bytes: &[u8]| {
        let mut word = [0; 4];
        word[..bytes.len()].copy_from_slice(bytes);
        u32::from_le_bytes(word)
    };
    let sum = image[TABLE_END..].chunks(4).map(word).fold(0_u32, u32::wrapping_add);
    let table = [FIRST_LBA, lba, length, sum].map(u32::to_le_bytes).concat();
    image[TABLE_AT..TABLE_END].fill(0);
    image[TABLE_AT..TABLE_AT + table.len()].copy_from_slice(&table);
}
