//! An open image: its partitions, and the pool in one of them.

use super::InspectError;
use super::long::shown;
use super::place::Place;
use disk_image::gpt::{GptError, Inspection, SectorSize, Table, inspect, types};
use disk_image::{Guid, ImageFile};
use std::path::PathBuf;
use zfs_image::reader::{Dataset, FileSystem, Pool, Window};

/// An image that is open for reading.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) path: PathBuf,
    pub(crate) file: ImageFile,
    /// None for an image without any, or without a copy that is whole.
    pub(crate) table: Option<Table>,
    /// What is wrong with a partition table that is there, maybe with one of its copies only.
    pub(crate) damage: Vec<GptError>,
}

/// A part of an image that may hold something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// What people call it: its number and name.
    pub(crate) title: String,
    /// What it is for.
    pub(crate) purpose: &'static str,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    /// Whether a pool is to be expected here.
    pub(crate) is_pool: bool,
    /// Whether it is the partition that UEFI firmware starts from.
    pub(crate) is_esp: bool,
}

/// What partitions are for, by their type.
const PURPOSES: [(Guid, &str); 7] = [
    (types::EFI_SYSTEM, "EFI system partition"),
    (types::LINUX_ROOT_X86_64, "Linux root file system"),
    (types::LINUX_ROOT_ARM64, "Linux root file system"),
    (types::BIOS_BOOT, "BIOS boot partition"),
    (types::ILLUMOS_BOOT, "illumos boot partition"),
    (types::ILLUMOS_USR, "ZFS pool"),
    (types::ILLUMOS_RESERVED, "illumos reserved partition"),
];

impl Image {
    /// Opens an image. What is wrong with its partition table is kept as [`Image::damage`].
    pub(crate) fn open(place: &Place) -> Result<Self, InspectError> {
        let path = place.image.clone();
        let file = ImageFile::open(&path)?;
        let (table, damage) = match read_table(&file) {
            Some(Ok(Inspection { table, damage })) => (Some(table), damage),
            Some(Err(error)) => (None, vec![error]),
            None => (None, Vec::new()),
        };
        Ok(Self { path, file, table, damage })
    }

    /// As [`Image::open`], for those who read on where one copy of the table is whole: says what is wrong with it.
    #[expect(clippy::print_stderr, reason = "a warning of the command line")]
    pub(crate) fn open_in_spite_of_damage(place: &Place) -> Result<Self, InspectError> {
        let image = Self::open(place)?;
        for damage in image.damage.iter().filter(|_| image.table.is_some()) {
            eprintln!("warning: the partition table of {}: {damage}; what is whole is read", image.path.display());
        }
        Ok(image)
    }

    /// The partitions by where they lie; the whole image where there is no table.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let Some(table) = &self.table else {
            let (title, other) = ("the whole image".to_owned(), self.other_file_system());
            let (purpose, is_pool) = (other.unwrap_or("ZFS pool"), other.is_none());
            let bytes = self.file.length();
            return vec![Part { title, purpose, offset: 0, bytes, is_pool, is_esp: false }];
        };
        let sector = table.sector_size.bytes();
        let mut parts: Vec<Part> = table
            .partitions
            .iter()
            .map(|partition| {
                let known = PURPOSES.iter().find(|(guid, _)| *guid == partition.type_guid);
                Part {
                    title: match partition.name.as_str() {
                        "" => format!("partition {}", partition.slot + 1),
                        name => format!("partition {} `{}`", partition.slot + 1, shown(name.as_bytes())),
                    },
                    purpose: known.map_or("partition of another type", |(_, purpose)| purpose),
                    offset: partition.first_lba * sector,
                    bytes: (partition.last_lba - partition.first_lba + 1) * sector,
                    is_pool: partition.type_guid == types::ILLUMOS_USR,
                    is_esp: partition.type_guid == types::EFI_SYSTEM,
                }
            })
            .collect();
        parts.sort_by_key(|part| part.offset);
        parts
    }

    /// What an image without a table is, when it is not a pool: a disc (ECMA-119 8.4) or a FAT image.
    fn other_file_system(&self) -> Option<&'static str> {
        let has = |text: &[u8], offset: u64| {
            let mut found = vec![0; text.len()];
            self.file.read_exact_at(&mut found, offset).is_ok() && found == text
        };
        if has(b"CD001", 16 * 2048 + 1) {
            Some("ISO 9660 file system")
        } else if has(&[0x55, 0xAA], 510) && (has(b"FAT1", 54) || has(b"FAT32", 82)) {
            Some("FAT file system")
        } else {
            None
        }
    }

    /// The part that holds the pool.
    pub(crate) fn pool_part(&self) -> Result<Part, InspectError> {
        if let Some(damage) = self.damage.first().filter(|_| self.table.is_none()) {
            let is_cut_short = matches!(damage, GptError::CutShort { .. });
            return Err(InspectError::Table { path: self.path.clone(), problem: damage.to_string(), is_cut_short });
        }
        let parts = self.parts();
        let list = || parts.iter().map(|part| format!("{}: {}", part.title, part.purpose)).collect::<Vec<_>>();
        let missing = || InspectError::NoPool { path: self.path.clone(), found: list().join(", ") };
        parts.iter().find(|part| part.is_pool).cloned().ok_or_else(missing)
    }

    /// Opens the pool.
    pub(crate) fn pool(&self) -> Result<Pool<'_>, InspectError> {
        let part = self.pool_part()?;
        let failed = |source| InspectError::Pool { path: self.path.clone(), source };
        Pool::open(Window::new(&self.file, part.offset, part.bytes), part.bytes).map_err(failed)
    }

    /// The dataset that the command line names, or else the one that boots, or else the pool's own.
    pub(crate) fn dataset(&self, pool: &Pool<'_>, name: Option<&str>) -> Result<Dataset, InspectError> {
        let failed = |what: &str| self.inside(what);
        match name {
            Some(name) => pool.dataset(name).map_err(failed(name)),
            None => match pool.boot_dataset().map_err(failed("the property bootfs"))? {
                Some(dataset) => Ok(dataset),
                None => pool.dataset(pool.name()).map_err(failed(pool.name())),
            },
        }
    }

    pub(crate) fn file_system<'p>(
        &self,
        pool: &'p Pool<'_>,
        dataset: &Dataset,
    ) -> Result<FileSystem<'p>, InspectError> {
        pool.file_system(dataset).map_err(self.inside(&dataset.name))
    }

    /// Turns the reader's refusal into one that names image and object.
    pub(crate) fn inside(&self, what: &str) -> impl Fn(zfs_image::reader::ReadError) -> InspectError + use<> {
        let (path, what) = (self.path.clone(), what.to_owned());
        move |source| InspectError::Inside { path: path.clone(), what: what.clone(), source }
    }
}

/// The table with whichever size of sectors it has; none when no sector says that there is one.
fn read_table(file: &ImageFile) -> Option<Result<Inspection, GptError>> {
    let signature_at = |offset: u64| {
        let mut signature = [0; 8];
        file.read_exact_at(&mut signature, offset).is_ok() && &signature == b"EFI PART"
    };
    let sizes = [SectorSize::B512, SectorSize::B4096];
    let has_table = |size: &SectorSize| {
        // The copy at the end says so, too, when the first one is gone.
        signature_at(size.bytes()) || file.length().checked_sub(size.bytes()).is_some_and(signature_at)
    };
    let size = sizes.into_iter().find(has_table)?;
    Some(inspect(&mut file.stream(), size))
}
