//! Reading one file out of a FAT16 or FAT32 file system, as a firmware does that starts a loader from it.
//!
//! Facts: Microsoft's specification of FAT, 1.03. Only names of the short form (8.3) are looked up, which those of boot
//! loaders are. Nothing in the file system is trusted.

use std::io;

/// Larger files and directories are taken for damage: no loader comes near.
const BYTES_MAX: u64 = 16 << 20;
const ENTRY_BYTES: usize = 32;
/// Attribute bits of what is no file or directory: volume labels, and with them the parts of long names.
const VOLUME_LABEL: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
/// Fewer clusters are a FAT12, and fewer than this a FAT16.
const FAT16_CLUSTERS_MIN: u64 = 4085;
const FAT32_CLUSTERS_MIN: u64 = 65525;

/// A FAT file system that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FatReadError {
    /// The image cannot be read.
    #[error("cannot read the FAT file system")]
    Read(#[from] io::Error),
    /// Something contradicts something else, or is not read here.
    #[error("the FAT file system {0}")]
    Damaged(&'static str),
}

use FatReadError::Damaged;

/// Fills a buffer from a byte offset.
pub type ReadBytes<'r> = dyn Fn(&mut [u8], u64) -> io::Result<()> + 'r;

/// The content of the file at `path`, such as `EFI/BOOT/BOOTX64.EFI`, in any case; none if there is no such file.
/// `read` answers bytes of the file system.
///
/// # Errors
/// It is no FAT file system, a damaged one, or `read` fails.
pub fn read_fat_file(read: &ReadBytes<'_>, path: &str) -> Result<Option<Vec<u8>>, FatReadError> {
    let fat = Fat::open(read)?;
    let mut at = fat.root()?;
    let mut names = path.split('/').peekable();
    while let Some(name) = names.next() {
        let Some(entry) = find(&at, name) else { return Ok(None) };
        let is_directory = entry[11] & DIRECTORY != 0;
        if is_directory != names.peek().is_some() {
            return Ok(None);
        }
        let first = u32::from(u16_at(&entry, 20)) << 16 | u32::from(u16_at(&entry, 26));
        at = fat.chain(first, (!is_directory).then(|| u64::from(u32_at(&entry, 28))))?;
    }
    Ok(Some(at))
}

/// The entry of a name in the bytes of a directory.
fn find(directory: &[u8], name: &str) -> Option<[u8; ENTRY_BYTES]> {
    let wanted = short_name(name)?;
    let mut entries = directory.chunks_exact(ENTRY_BYTES).take_while(|entry| entry[0] != 0);
    let found = entries.find(|entry| entry[11] & VOLUME_LABEL == 0 && entry[..11] == wanted);
    found.and_then(|entry| entry.try_into().ok())
}

/// A name as entries have it: eight letters, and three behind the dot, padded with spaces.
fn short_name(name: &str) -> Option<[u8; 11]> {
    let (base, extension) = name.split_once('.').unwrap_or((name, ""));
    if base.is_empty() || base.len() > 8 || extension.len() > 3 {
        return None;
    }
    let mut short = [b' '; 11];
    short[..base.len()].copy_from_slice(base.to_ascii_uppercase().as_bytes());
    short[8..8 + extension.len()].copy_from_slice(extension.to_ascii_uppercase().as_bytes());
    Some(short)
}

/// Where everything is, in bytes.
struct Fat<'r> {
    read: &'r ReadBytes<'r>,
    is_fat32: bool,
    table: u64,
    /// The root directory of a FAT16, and its length.
    root: (u64, u64),
    /// The first cluster of a FAT32's.
    root_cluster: u32,
    /// Where cluster 2 is.
    data: u64,
    cluster_bytes: u64,
    clusters: u64,
}

impl<'r> Fat<'r> {
    fn open(read: &'r ReadBytes<'r>) -> Result<Self, FatReadError> {
        let mut boot = [0; 512];
        read(&mut boot, 0)?;
        let sector = u64::from(u16_at(&boot, 11));
        let cluster_bytes = sector * u64::from(boot[13]);
        if boot[510..] != [0x55, 0xAA] || !matches!(sector, 512 | 1024 | 2048 | 4096) || !boot[13].is_power_of_two() {
            return Err(Damaged("has no boot sector"));
        }
        let or = |short: u16, long: u32| if short == 0 { u64::from(long) } else { u64::from(short) };
        let table_sectors = or(u16_at(&boot, 22), u32_at(&boot, 36));
        let root_bytes = u64::from(u16_at(&boot, 17)) * ENTRY_BYTES as u64;
        let table = u64::from(u16_at(&boot, 14)) * sector;
        let root = table + u64::from(boot[16]) * table_sectors * sector;
        let data = root + root_bytes.next_multiple_of(sector);
        let total = or(u16_at(&boot, 19), u32_at(&boot, 32)) * sector;
        let clusters = total.checked_sub(data).ok_or(Damaged("is shorter than its tables"))? / cluster_bytes;
        if clusters < FAT16_CLUSTERS_MIN {
            return Err(Damaged("is a FAT12, which is not read"));
        }
        let is_fat32 = clusters >= FAT32_CLUSTERS_MIN;
        let root_cluster = u32_at(&boot, 44);
        Ok(Self { read, is_fat32, table, root: (root, root_bytes), root_cluster, data, cluster_bytes, clusters })
    }

    fn root(&self) -> Result<Vec<u8>, FatReadError> {
        if self.is_fat32 {
            return self.chain(self.root_cluster, None);
        }
        let mut bytes = vec![0; self.root.1 as usize];
        (self.read)(&mut bytes, self.root.0)?;
        Ok(bytes)
    }

    /// The bytes of a chain of clusters: so many, or all.
    fn chain(&self, first: u32, length: Option<u64>) -> Result<Vec<u8>, FatReadError> {
        let wanted = length.unwrap_or(BYTES_MAX);
        if wanted > BYTES_MAX {
            return Err(Damaged("has a loader of more than 16 MiB"));
        }
        let (mut bytes, mut cluster) = (Vec::new(), first);
        while (bytes.len() as u64) < wanted {
            let index = u64::from(cluster).checked_sub(2).filter(|index| *index < self.clusters);
            let Some(index) = index else {
                // The end of a directory is where its chain ends.
                return if length.is_none() { Ok(bytes) } else { Err(Damaged("has a file that ends too early")) };
            };
            let at = bytes.len();
            bytes.resize(at + self.cluster_bytes as usize, 0);
            (self.read)(&mut bytes[at..], self.data + index * self.cluster_bytes)?;
            cluster = self.next(cluster)?;
        }
        if length.is_none() {
            return Err(Damaged("has a directory without an end"));
        }
        bytes.truncate(wanted as usize);
        Ok(bytes)
    }

    fn next(&self, cluster: u32) -> Result<u32, FatReadError> {
        let mut entry = [0; 4];
        if self.is_fat32 {
            (self.read)(&mut entry, self.table + u64::from(cluster) * 4)?;
            return Ok(u32::from_le_bytes(entry) & 0x0FFF_FFFF);
        }
        (self.read)(&mut entry[..2], self.table + u64::from(cluster) * 2)?;
        Ok(u32::from_le_bytes(entry))
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}
