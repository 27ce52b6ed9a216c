//! EFI system partitions, and FAT images of their own: a FAT file system from a list of files.
//!
//! FAT32 where the partition is large enough for it, as firmware likes best,
//! FAT16 below, and FAT12 for an image that is too small for that. The volume's number comes from the seed and all times are
//! FAT's own beginning, 1980-01-01, so that the same files give the same bytes.

mod fat;
mod geometry;
mod names;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};

use crate::gpt::SectorSize;
use crate::{DiskSeed, Region, Volume, VolumeContext, VolumeError};
use fat::{Directory, FatWriter};
use geometry::{FatGeometry, FatKind, LARGEST_CLUSTER};

/// Letters of a volume label.
const LABEL_BYTES: usize = 11;
/// UTF-16 units of a long name.
const NAME_UNITS: usize = 255;

/// One file of an EFI system partition.
pub struct EspFile<'a> {
    /// Path from the root of the partition with `/` between names, such as `EFI/BOOT/BOOTX64.EFI`.
    pub path: String,
    /// Bytes that `content` yields.
    pub length: u64,
    /// The content.
    pub content: Box<dyn Read + 'a>,
}

impl<'a> EspFile<'a> {
    /// A file whose content is at hand.
    #[must_use]
    pub fn from_bytes(path: impl Into<String>, bytes: Vec<u8>) -> Self {
        let length = bytes.len() as u64;
        Self { path: path.into(), length, content: Box::new(io::Cursor::new(bytes)) }
    }

    /// A file of `length` bytes that are read when the partition is written.
    #[must_use]
    pub fn from_reader(path: impl Into<String>, length: u64, content: impl Read + 'a) -> Self {
        Self { path: path.into(), length, content: Box::new(content) }
    }
}

impl fmt::Debug for EspFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EspFile").field("path", &self.path).field("length", &self.length).finish_non_exhaustive()
    }
}

/// The content of an EFI system partition.
#[derive(Debug)]
pub struct EspVolume<'a> {
    label: [u8; LABEL_BYTES],
    volume_id: u32,
    /// By path, so that the order in which the files were listed does not matter.
    files: BTreeMap<String, EspFile<'a>>,
    /// By path; parents come before children.
    directories: BTreeMap<String, Directory>,
    /// An image of its own, not a partition.
    is_medium: bool,
}

/// An EFI system partition cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EspError {
    /// A label is not one that FAT can hold.
    #[error("`{label}` is not a FAT label: at most 11 of the characters A-Z, 0-9, `_` and `-`")]
    Label {
        /// The label asked for.
        label: String,
    },
    /// A path is not one that FAT can hold.
    #[error("`{path}` cannot be a path on an EFI system partition: {problem}")]
    Path {
        /// The path asked for.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file is longer than FAT can say.
    #[error("`{path}` has 4 GiB or more, and files on FAT have less")]
    TooLong {
        /// The file.
        path: String,
    },
    /// Two files have names that FAT does not tell apart, or one is the other's directory.
    #[error("`{path}` and `{other}` cannot both be on an EFI system partition")]
    Clash {
        /// The later path.
        path: String,
        /// The earlier one.
        other: String,
    },
    /// No FAT file system has this size, or the files do not fit.
    #[error("an EFI system partition cannot have {bytes} bytes; it needs at least {needed} (and has at most 1 TiB)")]
    Size {
        /// The partition's size.
        bytes: u64,
        /// The size that would do.
        needed: u64,
    },
    /// A file does not have the length that was announced.
    #[error("`{path}` was announced with {announced} bytes and has {}", count(*found))]
    Length {
        /// The file.
        path: String,
        /// The length announced.
        announced: u64,
        /// The length found; `None` for more than announced.
        found: Option<u64>,
    },
    /// The content of a file cannot be read.
    #[error("cannot read the content of `{path}`")]
    Read {
        /// The file.
        path: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The file system cannot be written.
    #[error("cannot write {what}")]
    Write {
        /// What was being written.
        what: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

fn count(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "more".to_owned(), |bytes| bytes.to_string())
}

impl<'a> EspVolume<'a> {
    /// Checks the label and the paths; nothing is read yet.
    ///
    /// # Errors
    /// When FAT cannot hold one of them, or two paths clash.
    pub fn new(seed: &DiskSeed, label: &str, files: Vec<EspFile<'a>>) -> Result<Self, EspError> {
        let mut volume = Self {
            label: encode_label(label)?,
            volume_id: seed.number("esp"),
            files: BTreeMap::new(),
            directories: BTreeMap::from([(String::new(), Directory::default())]),
            is_medium: false,
        };
        volume.add(&[], files)?;
        Ok(volume)
    }

    /// A FAT image of its own, as `mkfs -F pcfs -o nofdisk` makes it. FAT has only upper-case labels, so that the label
    /// becomes one. `directories` may have some without files in them.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn medium(
        seed: &DiskSeed,
        label: &str,
        directories: &[String],
        files: Vec<EspFile<'a>>,
    ) -> Result<Self, EspError> {
        let mut volume = Self {
            label: encode_medium_label(label)?,
            volume_id: seed.number("pcfs"),
            files: BTreeMap::new(),
            directories: BTreeMap::from([(String::new(), Directory::default())]),
            is_medium: true,
        };
        volume.add(directories, files)?;
        Ok(volume)
    }

    fn add(&mut self, directories: &[String], files: Vec<EspFile<'a>>) -> Result<(), EspError> {
        let mut taken: BTreeMap<String, (String, bool)> = BTreeMap::new();
        for directory in directories {
            check_path(directory)?;
            self.claim(&mut taken, directory, true)?;
        }
        for file in files {
            check_path(&file.path)?;
            if u32::try_from(file.length).is_err() {
                return Err(EspError::TooLong { path: file.path });
            }
            self.claim(&mut taken, &file.path, false)?;
            self.files.insert(file.path.clone(), file);
        }
        Ok(())
    }

    /// Takes the file's name and those of its directories; FAT compares without case.
    fn claim(
        &mut self,
        taken: &mut BTreeMap<String, (String, bool)>,
        path: &str,
        ends_in_directory: bool,
    ) -> Result<(), EspError> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            let part = &path[..end];
            let is_directory = ends_in_directory || end < path.len();
            match taken.get(&part.to_uppercase()) {
                Some((spelling, true)) if is_directory && spelling == part => continue,
                Some((other, _)) => {
                    return Err(EspError::Clash { path: path.to_owned(), other: other.clone() });
                }
                None => {}
            }
            taken.insert(part.to_uppercase(), (part.to_owned(), is_directory));
            let (parent, name) = part.rsplit_once('/').unwrap_or(("", part));
            let parent = self.directories.entry(parent.to_owned()).or_default();
            parent.names.insert(name.to_owned(), is_directory);
            if is_directory {
                self.directories.entry(part.to_owned()).or_default();
            }
        }
        Ok(())
    }

    /// Bytes of files and directories in clusters of the largest size used.
    fn data_bytes(&self) -> u64 {
        let files = self.files.values().map(|file| file.length);
        let directories = self.directories.iter().map(|(path, directory)| directory.bytes(path));
        files.chain(directories).map(|bytes| bytes.next_multiple_of(LARGEST_CLUSTER)).sum()
    }

    fn root_entries(&self) -> u64 {
        self.directories.get("").map_or(0, |root| root.entries(""))
    }

    /// The geometry, if there is one that holds everything.
    fn geometry(&self, bytes: u64, sector_size: SectorSize) -> Result<FatGeometry, EspError> {
        let needed = self.smallest_bytes(sector_size, 0);
        if !self.is_medium {
            let geometry = FatGeometry::for_size(bytes, sector_size, self.root_entries()).filter(|_| bytes >= needed);
            return geometry.ok_or(EspError::Size { bytes, needed });
        }
        let fits = |geometry: &FatGeometry| {
            let root_takes_none = geometry.kind != FatKind::Fat32;
            let directories = self.directories.iter().filter(|(path, _)| !(path.is_empty() && root_takes_none));
            let sizes = directories.map(|(path, directory)| directory.bytes(path));
            let sizes = sizes.chain(self.files.values().map(|file| file.length));
            sizes.map(|bytes| geometry.clusters_for(bytes)).sum::<u64>() <= u64::from(geometry.clusters)
        };
        FatGeometry::for_medium(bytes, self.root_entries()).filter(fits).ok_or(EspError::Size { bytes, needed })
    }

    fn smallest_bytes(&self, sector_size: SectorSize, free: u64) -> u64 {
        let data = self.data_bytes().saturating_add(free);
        FatGeometry::smallest_for(data, sector_size, self.root_entries())
    }
}

impl Volume for EspVolume<'_> {
    fn minimum_bytes(&self, sector_size: SectorSize) -> Result<u64, VolumeError> {
        Ok(self.smallest_bytes(sector_size, 0))
    }

    /// Large enough for FAT32, whatever the content.
    fn preferred_bytes(&self, sector_size: SectorSize, free: u64) -> Result<u64, VolumeError> {
        let least = FatGeometry::smallest_fat32(sector_size);
        Ok(self.smallest_bytes(sector_size, free).max(least))
    }

    fn write(&mut self, region: &mut Region<'_>, context: &VolumeContext<'_>) -> Result<u64, VolumeError> {
        let geometry = self.geometry(region.length(), context.sector_size)?;
        let writer = FatWriter {
            geometry,
            volume_id: self.volume_id,
            label: self.label,
            // A partition so far back that the field cannot tell is one that no BIOS reads.
            hidden_sectors: u32::try_from(context.first_lba).unwrap_or(0),
            directories: &self.directories,
            files: &mut self.files,
        };
        let clusters = writer.write(region)?;
        Ok(clusters * geometry.cluster_bytes)
    }
}

fn encode_label(label: &str) -> Result<[u8; LABEL_BYTES], EspError> {
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    if label.is_empty() || label.len() > LABEL_BYTES || !label.bytes().all(allowed) {
        return Err(EspError::Label { label: label.to_owned() });
    }
    let mut encoded = [b' '; LABEL_BYTES];
    encoded[..label.len()].copy_from_slice(label.as_bytes());
    Ok(encoded)
}

/// Characters that the specification does not allow in a short name, and so in a label; a space is fine in a label.
const NOT_IN_LABELS: &[u8] = b"\"*+,./:;<=>?[\\]|";

fn encode_medium_label(label: &str) -> Result<[u8; LABEL_BYTES], EspError> {
    let allowed = |byte: u8| matches!(byte, b' '..=b'~') && !NOT_IN_LABELS.contains(&byte);
    if label.is_empty() || label.len() > LABEL_BYTES || label.starts_with(' ') || !label.bytes().all(allowed) {
        return Err(EspError::Label { label: label.to_owned() });
    }
    let mut encoded = [b' '; LABEL_BYTES];
    encoded[..label.len()].copy_from_slice(label.to_ascii_uppercase().as_bytes());
    Ok(encoded)
}

fn check_path(path: &str) -> Result<(), EspError> {
    let problem = path.split('/').find_map(name_problem);
    match problem {
        Some(problem) => Err(EspError::Path { path: path.to_owned(), problem }),
        None => Ok(()),
    }
}

/// Why a name of one file or directory cannot be on FAT; none if it can.
#[must_use]
pub fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("a name is empty")
    } else if name.chars().any(|c| c.is_control() || "\"*:<>?\\|".contains(c)) {
        Some("a name has a character that FAT forbids")
    } else if name.ends_with(['.', ' ']) || name.starts_with(' ') {
        Some("a name begins with a space, or ends with a space or point")
    } else if name.encode_utf16().count() > NAME_UNITS {
        Some("a name is longer than 255 characters")
    } else {
        None
    }
}
