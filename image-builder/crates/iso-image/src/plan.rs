//! What is where: names, sectors, boot images.

mod directories;

use crate::descriptor::{FIRST_LBA, Primary};
use crate::el_torito::{BootImage, CATALOG_BYTES, CatalogEntry, TABLE_END};
use crate::hybrid::{BootBlocks, Hybrid};
use crate::record::{Extent, PathRow, SELF};
use crate::{IsoError, SECTOR_BYTES};
use disk_image::DiskSeed;
use image_tree::{Content, Follow, ImagePath, Store, Timestamp, Tree, TreeError};
use std::collections::HashMap;

pub(crate) use directories::Directory;

/// The name of the boot catalog in the root directory.
pub(crate) const CATALOG_NAME: &[u8] = b".catalog";
/// Sectors at the end for drives that read ahead (`mkisofs -pad`).
const PADDING_SECTORS: u64 = 150;
/// The longest piece of a file that one directory record describes: whole sectors below 4 GiB.
const SECTION_BYTES: u64 = u32::MAX as u64 / SECTOR_BYTES * SECTOR_BYTES;
/// Bytes of a boot image or boot block that are held in memory at most.
const BOOT_BYTES_MAX: u64 = 64 << 20;
/// Bytes of a label.
const LABEL_BYTES: usize = 32;
/// The label of `mkisofs` when none is given.
const DEFAULT_LABEL: &str = "CDROM";

/// What an image is beside its tree.
#[derive(Clone, Debug)]
pub struct IsoOptions {
    /// The volume label; at most 32 printable ASCII characters.
    pub label: Option<String>,
    /// The boot image for a BIOS, relative to the root.
    pub boot_bios: Option<String>,
    /// The boot image for UEFI, relative to the root.
    pub boot_uefi: Option<String>,
    /// Makes the image bootable from a USB stick; needs `boot_uefi`.
    pub hybrid: Option<Hybrid>,
    /// When the volume was made.
    pub time: Timestamp,
    /// What identifiers are derived from.
    pub seed: DiskSeed,
}

/// An image whose every sector has its purpose; only the contents are still to be read.
#[derive(Debug)]
pub struct IsoImage<'a> {
    pub(crate) store: &'a Store,
    pub(crate) directories: Vec<Directory<'a>>,
    pub(crate) files: Vec<File<'a>>,
    pub(crate) catalog: Option<Catalog>,
    pub(crate) hybrid: Option<BootBlocks>,
    pub(crate) uefi: Option<Extent>,
    pub(crate) seed: DiskSeed,
    pub(crate) path_table_bytes: u32,
    pub(crate) little_table_lba: u32,
    pub(crate) big_table_lba: u32,
    pub(crate) sectors: u32,
    label: String,
    time: Timestamp,
}

/// A content that is written once, however many names it has.
#[derive(Debug)]
pub(crate) struct File<'a> {
    /// One of its names.
    pub(crate) path: ImagePath,
    pub(crate) content: &'a Content,
    pub(crate) lba: u32,
    /// The boot information table is put into it.
    pub(crate) has_table: bool,
}

impl File<'_> {
    /// The pieces that directory records describe; an empty file is one without bytes.
    pub(crate) fn sections(&self) -> Vec<Extent> {
        let length = self.content.len();
        let count = length.div_ceil(SECTION_BYTES).max(1);
        let section = |index: u64| {
            let begin = index * SECTION_BYTES;
            let bytes = (length - begin).min(SECTION_BYTES) as u32;
            // Sectors have been counted to fit.
            let lba = if length == 0 { 0 } else { self.lba + (begin / SECTOR_BYTES) as u32 };
            Extent { lba, bytes }
        };
        (0..count).map(section).collect()
    }
}

/// The boot catalog.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) lba: u32,
    /// Which files are booted.
    images: Vec<(BootImage, usize)>,
}

impl<'a> IsoImage<'a> {
    /// Names and places everything in `tree`; contents are in `store`.
    ///
    /// # Errors
    /// When a boot image is not there, or an ISO 9660 image cannot hold the tree.
    pub fn new(tree: &'a Tree, store: &'a Store, options: &IsoOptions) -> Result<Self, IsoError> {
        let label = options.label.clone().unwrap_or_else(|| DEFAULT_LABEL.to_owned());
        if label.is_empty() || label.len() > LABEL_BYTES || !label.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(IsoError::Label { label });
        }
        let boot = Boot::find(tree, options)?;
        let mut image = Self {
            store,
            directories: Vec::new(),
            files: Vec::new(),
            catalog: None,
            hybrid: boot.blocks(tree, store, options)?,
            uefi: None,
            seed: options.seed,
            path_table_bytes: 0,
            little_table_lba: 0,
            big_table_lba: 0,
            sectors: 0,
            label,
            time: options.time,
        };
        let contents = directories::collect(tree, &boot, options.time)?;
        image.directories = contents.directories;
        image.files = contents.files;
        if !boot.images.is_empty() {
            let images = boot.images.iter().zip(contents.boot_files).map(|((kind, _), file)| (*kind, file)).collect();
            image.catalog = Some(Catalog { lba: 0, images });
        }
        image.place()?;
        Ok(image)
    }

    /// Bytes of the finished image.
    #[must_use]
    pub fn length(&self) -> u64 {
        u64::from(self.sectors) * SECTOR_BYTES
    }

    fn place(&mut self) -> Result<(), IsoError> {
        let mut next = Cursor(u64::from(FIRST_LBA));
        // The primary descriptor, the boot record, the end.
        next.take(if self.catalog.is_some() { 3 } else { 2 })?;
        let rows = self.directories.iter().map(|directory| PathRow::length(&directory.name));
        let table_bytes: usize = rows.sum();
        self.path_table_bytes = u32::try_from(table_bytes).map_err(|_| IsoError::TooLarge)?;
        let table_sectors = u64::from(self.path_table_bytes).div_ceil(SECTOR_BYTES);
        self.little_table_lba = next.take(table_sectors)?;
        self.big_table_lba = next.take(table_sectors)?;
        for index in 0..self.directories.len() {
            let (records, continued) = self.encode_directory(index)?;
            let directory = &mut self.directories[index];
            let sectors = (records.len() as u64).div_ceil(SECTOR_BYTES);
            directory.extent = Extent { lba: next.take(sectors)?, bytes: records.len() as u32 };
            directory.continued_lba = next.take((continued.len() as u64).div_ceil(SECTOR_BYTES))?;
        }
        if let Some(catalog) = &mut self.catalog {
            catalog.lba = next.take(CATALOG_BYTES / SECTOR_BYTES)?;
        }
        for file in &mut self.files {
            file.lba = next.take(file.content.len().div_ceil(SECTOR_BYTES))?;
        }
        next.take(PADDING_SECTORS)?;
        self.sectors = next.take(0)?;
        let images = self.catalog.iter().flat_map(|catalog| &catalog.images);
        let uefi = images.filter(|(kind, _)| *kind == BootImage::Uefi).map(|(_, file)| &self.files[*file]).next();
        self.uefi = uefi.map(|file| Extent { lba: file.lba, bytes: file.content.len() as u32 });
        Ok(())
    }

    /// The images of the catalog, with where they are now.
    pub(crate) fn catalog_entries(&self) -> Vec<CatalogEntry> {
        let images = self.catalog.iter().flat_map(|catalog| &catalog.images);
        let entry = |(platform, file): &(BootImage, usize)| {
            let file = &self.files[*file];
            CatalogEntry { platform: *platform, lba: file.lba, bytes: file.content.len() }
        };
        images.map(entry).collect()
    }

    /// The primary volume descriptor.
    pub(crate) fn primary(&self) -> [u8; SECTOR_BYTES as usize] {
        let root = self.directories[0].record(SELF).encode(&[]);
        let primary = Primary {
            label: &self.label,
            sectors: self.sectors,
            path_table_bytes: self.path_table_bytes,
            little_table_lba: self.little_table_lba,
            big_table_lba: self.big_table_lba,
            root: &root,
            time: self.time,
        };
        primary.encode()
    }

    /// A path table.
    pub(crate) fn path_table(&self, is_big_endian: bool) -> Vec<u8> {
        let row = |directory: &Directory<'_>| {
            // Directories have been counted to fit.
            let parent = directory.parent as u16 + 1;
            PathRow { name: &directory.name, lba: directory.extent.lba, parent }.encode(is_big_endian)
        };
        self.directories.iter().flat_map(row).collect()
    }
}

/// Gives out sectors, one after the other.
struct Cursor(u64);

impl Cursor {
    fn take(&mut self, sectors: u64) -> Result<u32, IsoError> {
        let at = u32::try_from(self.0).map_err(|_| IsoError::TooLarge)?;
        self.0 += sectors;
        Ok(at)
    }
}

/// Where the boot images are in the tree.
pub(crate) struct Boot {
    pub(crate) images: Vec<(BootImage, ImagePath)>,
}

impl Boot {
    fn find(tree: &Tree, options: &IsoOptions) -> Result<Self, IsoError> {
        let bios = options.boot_bios.as_ref().map(|path| (BootImage::Bios, path));
        let uefi = options.boot_uefi.as_ref().map(|path| (BootImage::Uefi, path));
        let mut images = Vec::new();
        for (kind, text) in bios.into_iter().chain(uefi) {
            let (path, content) = regular(tree, text)?;
            let bytes = content.len();
            let wanted = match kind {
                BootImage::Bios if bytes < TABLE_END as u64 => Some("at least 64, for the boot information table"),
                BootImage::Uefi if bytes == 0 => Some("at least one"),
                _ if bytes > BOOT_BYTES_MAX => Some("at most 64 MiB"),
                _ => None,
            };
            if let Some(wanted) = wanted {
                return Err(IsoError::BootLength { path, bytes, wanted });
            }
            images.push((kind, path));
        }
        Ok(Self { images })
    }

    fn blocks(&self, tree: &Tree, store: &Store, options: &IsoOptions) -> Result<Option<BootBlocks>, IsoError> {
        let Some(hybrid) = &options.hybrid else { return Ok(None) };
        let (_, stage1) = read(tree, store, &hybrid.stage1)?;
        let (stage2_path, stage2) = read(tree, store, &hybrid.stage2)?;
        Ok(Some(BootBlocks { stage1, stage2, stage2_path }))
    }
}

fn regular<'t>(tree: &'t Tree, text: &str) -> Result<(ImagePath, &'t Content), IsoError> {
    let path = ImagePath::from_relative(text).map_err(|source| IsoError::BootPath { path: text.to_owned(), source })?;
    let missing = |source: TreeError| IsoError::BootMissing { path: text.to_owned(), source };
    let (path, node) = tree.lookup(&path, Follow::Yes).map_err(missing)?;
    match node.content() {
        Some(content) => Ok((path, content)),
        None => Err(IsoError::BootKind { path, found: node.kind.name() }),
    }
}

fn read(tree: &Tree, store: &Store, text: &str) -> Result<(ImagePath, Vec<u8>), IsoError> {
    let (path, content) = regular(tree, text)?;
    if content.len() > BOOT_BYTES_MAX {
        return Err(IsoError::BootLength { path, bytes: content.len(), wanted: "at most 64 MiB" });
    }
    let bytes = read_content(store, &path, content)?;
    Ok((path, bytes))
}

/// A content in memory, holes as zeros.
pub(crate) fn read_content(store: &Store, path: &ImagePath, content: &Content) -> Result<Vec<u8>, IsoError> {
    let failed = |source| IsoError::Content { path: path.clone(), source };
    let mut reader = store.open_content(content).map_err(failed)?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut bytes)
        .map_err(|source| IsoError::Write { what: path.to_string(), source })?;
    Ok(bytes)
}

/// Contents by what they are, so that each is placed once.
pub(crate) type Placed<'a> = HashMap<&'a Content, usize>;
