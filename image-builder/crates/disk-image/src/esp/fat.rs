//! Writing a FAT file system: everything is placed first, then written from front to back.
//!
//! It is written here because the one published crate that formats and fills FAT,
//! `fatfs` 0.3, gives `.` and `..` long names and invalid dates, which `fsck.fat` rejects.
//! Files and directories lie in one piece each, directories first. Boot sector
//! and tables as in Microsoft's FAT specification (2000-12-06).

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::geometry::{DIRECTORY_ENTRY_BYTES, FATS, FIRST_CLUSTER, FatGeometry, FatKind};
use super::names::{self, ShortName, ShortNames, Target};
use super::{EspError, EspFile};
use crate::Region;

/// The sector of FAT32's boot sector's copy; its companion follows both.
const BACKUP_BOOT_SECTOR: u16 = 6;

/// A directory: what is in it, name by name.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// Names of entries; `true` for directories.
    pub(super) names: BTreeMap<String, bool>,
}

impl Directory {
    /// Entries of the directory; the root (`path` empty) has a label where others have two dots.
    pub(super) fn entries(&self, path: &str) -> u64 {
        let own = if path.is_empty() { 1 } else { 2 };
        own + self.names.keys().map(|name| names::entries_for(name)).sum::<u64>()
    }

    /// Bytes of the directory.
    pub(super) fn bytes(&self, path: &str) -> u64 {
        self.entries(path) * DIRECTORY_ENTRY_BYTES
    }
}

/// One run of clusters.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: u32,
    clusters: u32,
}

/// A file system that is being written.
pub(super) struct FatWriter<'a, 'f> {
    pub(super) geometry: FatGeometry,
    pub(super) volume_id: u32,
    pub(super) label: ShortName,
    /// Sectors before the partition, which the boot sector repeats.
    pub(super) hidden_sectors: u32,
    /// Every directory by its path, the root under the empty one.
    pub(super) directories: &'a BTreeMap<String, Directory>,
    /// Every file by its path.
    pub(super) files: &'a mut BTreeMap<String, EspFile<'f>>,
}

impl FatWriter<'_, '_> {
    /// Writes all of it; answers the clusters used.
    pub(super) fn write(self, region: &mut Region<'_>) -> Result<u64, EspError> {
        let (runs, used) = self.place();
        let system = |source| EspError::Write { what: "the FAT file system".to_owned(), source };
        self.write_boot_sectors(region, used).map_err(system)?;
        self.write_tables(region, &runs, used).map_err(system)?;
        for (path, directory) in self.directories {
            let encoded = self.encode_directory(path, directory, &runs);
            let at = match runs.get(path) {
                Some(run) => self.geometry.cluster_offset(run.first),
                None => self.geometry.root_offset(),
            };
            write_at(region, at, &encoded).map_err(|source| EspError::Write { what: format!("/{path}"), source })?;
        }
        for (path, file) in self.files.iter_mut() {
            if let Some(run) = runs.get(path) {
                let at = self.geometry.cluster_offset(run.first);
                region.seek(SeekFrom::Start(at)).map_err(|source| EspError::Write { what: path.clone(), source })?;
            }
            copy_file(region, path, file)?;
        }
        Ok(u64::from(used))
    }

    /// Where everything lies, by path, and how many clusters that takes.
    ///
    /// Empty files have no clusters, nor has the root of FAT16.
    fn place(&self) -> (BTreeMap<String, Run>, u32) {
        let mut runs = BTreeMap::new();
        let mut next = FIRST_CLUSTER;
        let mut place = |path: &str, bytes: u64| {
            // The caller has made sure that everything fits, and so that the counts do.
            let clusters = self.geometry.clusters_for(bytes) as u32;
            if clusters > 0 {
                runs.insert(path.to_owned(), Run { first: next, clusters });
                next += clusters;
            }
        };
        for (path, directory) in self.directories {
            if !path.is_empty() || self.geometry.kind == FatKind::Fat32 {
                place(path, directory.bytes(path));
            }
        }
        for (path, file) in &*self.files {
            place(path, file.length);
        }
        (runs, next - FIRST_CLUSTER)
    }

    fn encode_directory(&self, path: &str, directory: &Directory, runs: &BTreeMap<String, Run>) -> Vec<u8> {
        let first = |path: &str| runs.get(path).map_or(0, |run| run.first);
        let mut entries = Vec::new();
        if path.is_empty() {
            entries.push(names::encode_volume_label(&self.label));
        } else {
            // For a parent that is the root the specification wants 0, also on FAT32.
            let parent = path.rsplit_once('/').map_or(0, |(parent, _)| first(parent));
            entries.extend(names::encode_dots(first(path), parent));
        }
        let mut short_names = ShortNames::reserving(directory.names.keys().map(String::as_str));
        for (name, is_directory) in &directory.names {
            let child = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            let length = self.files.get(&child).map_or(0, |file| file.length);
            let target = Target {
                is_directory: *is_directory,
                cluster: first(&child),
                // Lengths have been checked to fit.
                length: length as u32,
            };
            entries.extend(names::encode_name(name, &short_names.assign(name), target));
        }
        entries.concat()
    }

    fn write_tables(&self, region: &mut Region<'_>, runs: &BTreeMap<String, Run>, used: u32) -> io::Result<()> {
        // The first two entries hold the media byte and the marks of a clean volume.
        let mut table = vec![0x0FFF_FFF8, 0x0FFF_FFFF];
        table.resize((FIRST_CLUSTER + used) as usize, 0);
        for run in runs.values() {
            let last = run.first + run.clusters - 1;
            for cluster in run.first..last {
                table[cluster as usize] = cluster + 1;
            }
            table[last as usize] = 0x0FFF_FFFF;
        }
        let bytes: Vec<u8> = match self.geometry.kind {
            FatKind::Fat32 => table.iter().flat_map(|entry| entry.to_le_bytes()).collect(),
            // The marks keep their meaning when they are cut to their lower half.
            FatKind::Fat16 => table.iter().flat_map(|entry| (*entry as u16).to_le_bytes()).collect(),
            FatKind::Fat12 => encode_pairs(&table),
        };
        (0..FATS).try_for_each(|copy| write_at(region, self.geometry.table_offset(copy), &bytes))
    }

    fn write_boot_sectors(&self, region: &mut Region<'_>, used: u32) -> io::Result<()> {
        let boot = self.encode_boot_sector();
        write_at(region, 0, &boot)?;
        if self.geometry.kind == FatKind::Fat32 {
            let information = self.encode_information_sector(used);
            let sector = self.geometry.sector_bytes;
            let backup = u64::from(BACKUP_BOOT_SECTOR) * sector;
            write_at(region, sector, &information)?;
            write_at(region, backup, &boot)?;
            write_at(region, backup + sector, &information)?;
        }
        Ok(())
    }

    fn encode_boot_sector(&self) -> [u8; 512] {
        let geometry = &self.geometry;
        let is_fat32 = geometry.kind == FatKind::Fat32;
        let mut boot = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| boot[at..at + bytes.len()].copy_from_slice(bytes);
        // A jump over the parameters, as the specification demands, onto an endless loop.
        let code_at: u8 = if is_fat32 { 0x5A } else { 0x3E };
        put(0, &[0xEB, code_at - 2, 0x90]);
        put(usize::from(code_at), &[0xEB, 0xFE]);
        put(3, b"MSWIN4.1");
        put(11, &(geometry.sector_bytes as u16).to_le_bytes());
        put(13, &[(geometry.cluster_bytes / geometry.sector_bytes) as u8]);
        put(14, &(geometry.kind.reserved_sectors() as u16).to_le_bytes());
        put(16, &[FATS as u8]);
        put(17, &geometry.root_entries.to_le_bytes());
        match u16::try_from(geometry.sectors) {
            Ok(sectors) if !is_fat32 => put(19, &sectors.to_le_bytes()),
            _ => put(32, &geometry.sectors.to_le_bytes()),
        }
        // Fixed disk; 63 sectors and 255 heads, as everybody claims.
        put(21, &[0xF8]);
        put(24, &[63, 0, 255, 0]);
        put(28, &self.hidden_sectors.to_le_bytes());
        let extension = if is_fat32 {
            put(36, &geometry.table_sectors.to_le_bytes());
            put(44, &FIRST_CLUSTER.to_le_bytes());
            put(48, &[1, 0]);
            put(50, &BACKUP_BOOT_SECTOR.to_le_bytes());
            64
        } else {
            put(22, &(geometry.table_sectors as u16).to_le_bytes());
            36
        };
        put(extension, &[0x80, 0, 0x29]);
        put(extension + 3, &self.volume_id.to_le_bytes());
        put(extension + 7, &self.label);
        put(
            extension + 18,
            match geometry.kind {
                FatKind::Fat12 => b"FAT12   ",
                FatKind::Fat16 => b"FAT16   ",
                FatKind::Fat32 => b"FAT32   ",
            },
        );
        put(510, &[0x55, 0xAA]);
        boot
    }

    /// FAT32's count of free clusters and hint where to look for them.
    fn encode_information_sector(&self, used: u32) -> [u8; 512] {
        let mut sector = [0; 512];
        let mut put = |at: usize, value: u32| sector[at..at + 4].copy_from_slice(&value.to_le_bytes());
        put(0, 0x4161_5252);
        put(484, 0x6141_7272);
        put(488, self.geometry.clusters - used);
        put(492, FIRST_CLUSTER + used);
        put(508, 0xAA55_0000);
        sector
    }
}

/// FAT12: two entries of twelve bits share three bytes, the lower bits first.
fn encode_pairs(table: &[u32]) -> Vec<u8> {
    let pair = |entries: &[u32]| {
        let second = entries.get(1).copied().unwrap_or(0);
        let bits = (entries[0] & 0xFFF) | (second & 0xFFF) << 12;
        [bits as u8, (bits >> 8) as u8, (bits >> 16) as u8]
    };
    table.chunks(2).flat_map(pair).collect()
}

/// Copies a file to where the region stands.
fn copy_file(region: &mut Region<'_>, path: &str, file: &mut EspFile<'_>) -> Result<(), EspError> {
    let announced = file.length;
    let wrong = |found| EspError::Length { path: path.to_owned(), announced, found };
    let mut buffer = vec![0; 256 * 1024];
    let mut copied = 0;
    loop {
        let read = match file.content.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => {
                return Err(EspError::Read { path: path.to_owned(), source });
            }
        };
        copied += read as u64;
        if copied > announced {
            return Err(wrong(None));
        }
        region.write_all(&buffer[..read]).map_err(|source| EspError::Write { what: path.to_owned(), source })?;
    }
    if copied < announced { Err(wrong(Some(copied))) } else { Ok(()) }
}

fn write_at(region: &mut Region<'_>, at: u64, bytes: &[u8]) -> io::Result<()> {
    region.seek(SeekFrom::Start(at))?;
    region.write_all(bytes)
}
