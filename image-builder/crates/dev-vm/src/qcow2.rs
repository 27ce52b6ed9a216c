//! The little of the qcow2 format (version 3) that an empty overlay needs.
//!
//! An overlay without any data is a header, a reference count table with one
//! block, and an empty first-level table. Writing these few fields ourselves
//! makes overlays and snapshots independent of a second QEMU package.
//!
//! Facts: `docs/interop/qcow2.rst` of QEMU. All numbers are big-endian.

use crate::image::DiskFormat;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: u32 = 0x5146_49fb;
const VERSION: u32 = 3;
/// 64 KiB clusters, as everybody uses.
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// 2^4 = 16 bits for each reference count, the only width that version 2 knows.
const REFCOUNT_ORDER: u32 = 4;
/// The version 3 header without optional additions.
const HEADER_LENGTH: u32 = 104;
/// The header extension that names the format of the backing file.
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
/// The longest name of a backing file.
const MAX_BACKING_NAME: usize = 1023;
/// Offsets are stored with flags above bit 55 and below bit 9.
const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;

/// What the header of a qcow2 file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The size of the disk in bytes.
    pub virtual_size: u64,
    /// The name of the file below, relative to this file's directory when it is not absolute.
    pub backing_file: Option<String>,
    /// Where the first-level table is, in bytes.
    first_level_offset: u64,
    /// How many entries it has.
    first_level_entries: u32,
    /// How many snapshots are inside the file.
    internal_snapshots: u32,
}

/// Writes an overlay without data of its own.
///
/// `virtual_size` is rounded up to whole sectors, as QEMU itself does with a raw file.
///
/// # Errors
/// The system's, and `InvalidInput` for a name that the header cannot hold.
pub fn write_overlay(
    file: &mut File,
    virtual_size: u64,
    backing_file: &str,
    backing_format: DiskFormat,
) -> io::Result<()> {
    if backing_file.is_empty() || backing_file.len() > MAX_BACKING_NAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the name of the image has {} bytes; 1 to {MAX_BACKING_NAME} fit", backing_file.len()),
        ));
    }
    let layout = Layout::of(virtual_size.next_multiple_of(512))?;
    file.write_all(&header_cluster(&layout, backing_file, backing_format))?;
    file.write_all(&padded(&layout.block_offset.to_be_bytes()))?;
    let counts: Vec<u8> = std::iter::repeat_n(1u16.to_be_bytes(), layout.clusters as usize).flatten().collect();
    file.write_all(&padded(&counts))?;
    // The first-level table: a hole reads as "nothing allocated".
    file.set_len(u64::from(layout.clusters) * CLUSTER)
}

/// Where the parts of an empty overlay are.
struct Layout {
    virtual_size: u64,
    table_offset: u64,
    block_offset: u64,
    first_level_offset: u64,
    first_level_entries: u32,
    clusters: u32,
}

impl Layout {
    fn of(virtual_size: u64) -> io::Result<Self> {
        let covered_by_entry = CLUSTER * (CLUSTER / 8);
        let entries = virtual_size.div_ceil(covered_by_entry).max(1);
        let table_clusters = (entries * 8).div_ceil(CLUSTER);
        let too_big = |_| io::Error::new(io::ErrorKind::InvalidInput, "the image is too large");
        let clusters = u32::try_from(3 + table_clusters).map_err(too_big)?;
        if u64::from(clusters) > CLUSTER / 2 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the image is too large"));
        }
        Ok(Self {
            virtual_size,
            table_offset: CLUSTER,
            block_offset: 2 * CLUSTER,
            first_level_offset: 3 * CLUSTER,
            first_level_entries: u32::try_from(entries).map_err(too_big)?,
            clusters,
        })
    }
}

fn header_cluster(layout: &Layout, backing_file: &str, backing_format: DiskFormat) -> Vec<u8> {
    let format = backing_format.as_str().as_bytes();
    let mut extension = Vec::new();
    extension.extend(EXTENSION_BACKING_FORMAT.to_be_bytes());
    extension.extend((format.len() as u32).to_be_bytes());
    extension.extend(format);
    // Extensions are padded to 8 bytes and ended by one of type 0 and length 0.
    extension.resize(extension.len().next_multiple_of(8) + 8, 0);
    let name_offset = u64::from(HEADER_LENGTH) + extension.len() as u64;

    let mut bytes = Vec::new();
    bytes.extend(MAGIC.to_be_bytes());
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend(name_offset.to_be_bytes());
    bytes.extend((backing_file.len() as u32).to_be_bytes());
    bytes.extend(CLUSTER_BITS.to_be_bytes());
    bytes.extend(layout.virtual_size.to_be_bytes());
    bytes.extend(0u32.to_be_bytes()); // no encryption
    bytes.extend(layout.first_level_entries.to_be_bytes());
    bytes.extend(layout.first_level_offset.to_be_bytes());
    bytes.extend(layout.table_offset.to_be_bytes());
    bytes.extend(1u32.to_be_bytes()); // clusters of the reference count table
    bytes.extend(0u32.to_be_bytes()); // internal snapshots
    bytes.extend(0u64.to_be_bytes()); // their table
    bytes.extend([0u8; 24]); // incompatible, compatible and auto-clear features: none
    bytes.extend(REFCOUNT_ORDER.to_be_bytes());
    bytes.extend(HEADER_LENGTH.to_be_bytes());
    bytes.extend(extension);
    bytes.extend(backing_file.as_bytes());
    padded(&bytes)
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut cluster = bytes.to_vec();
    cluster.resize(bytes.len().next_multiple_of(CLUSTER as usize), 0);
    cluster
}

impl Header {
    /// Reads the header of the qcow2 file at `path`.
    ///
    /// # Errors
    /// The system's, and `InvalidData` for a file that is not qcow2.
    pub fn read(path: &Path) -> io::Result<Self> {
        Self::read_from(&File::open(path)?)
    }

    fn read_from(file: &File) -> io::Result<Self> {
        let mut bytes = [0u8; 72];
        file.read_exact_at(&mut bytes, 0)?;
        if u32_at(&bytes, 0) != MAGIC || !(2..=3).contains(&u32_at(&bytes, 4)) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a qcow2 file"));
        }
        let (name_offset, name_length) = (u64_at(&bytes, 8), u32_at(&bytes, 16) as usize);
        let backing_file = if name_offset == 0 {
            None
        } else {
            if name_length > MAX_BACKING_NAME {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its backing file's name is too long"));
            }
            let mut name = vec![0; name_length];
            file.read_exact_at(&mut name, name_offset)?;
            Some(String::from_utf8(name).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?)
        };
        Ok(Self {
            virtual_size: u64_at(&bytes, 24),
            backing_file,
            first_level_entries: u32_at(&bytes, 36),
            first_level_offset: u64_at(&bytes, 40) & OFFSET_MASK,
            internal_snapshots: u32_at(&bytes, 60),
        })
    }
}

/// Whether nothing was ever written to the overlay at `path`, so that throwing it away loses nothing.
///
/// # Errors
/// The system's, and `InvalidData` for a file that is not qcow2.
pub fn is_untouched(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    let header = Header::read_from(&file)?;
    let length = file.metadata()?.len();
    let bytes = u64::from(header.first_level_entries) * 8;
    if header.internal_snapshots > 0 || header.first_level_offset.saturating_add(bytes) > length {
        return Ok(false);
    }
    let mut table = vec![0; bytes as usize];
    file.read_exact_at(&mut table, header.first_level_offset)?;
    Ok(table.iter().all(|byte| *byte == 0))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |n, b| n << 8 | u32::from(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) << 32 | u64::from(u32_at(bytes, at + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlay(size: u64, name: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write_overlay(file.as_file_mut(), size, name, DiskFormat::Raw).unwrap();
        file
    }

    #[test]
    fn the_header_reads_back_and_nothing_is_allocated() {
        for (size, entries) in [(512, 1), (1 << 29, 1), ((1 << 29) + 1, 2), (5 << 40, 10240)] {
            let file = overlay(size, "/images/a.raw");
            let header = Header::read(file.path()).unwrap();
            assert_eq!(header.virtual_size, size.next_multiple_of(512));
            assert_eq!(header.backing_file.as_deref(), Some("/images/a.raw"));
            assert_eq!(header.first_level_entries, entries);
            assert!(is_untouched(file.path()).unwrap());
        }
    }

    #[test]
    fn one_allocated_table_entry_is_noticed() {
        let file = overlay(5 << 29, "/a");
        file.as_file().write_all_at(&[0x80], 3 * CLUSTER + 4 * 8).unwrap();
        assert!(!is_untouched(file.path()).unwrap());
    }

    #[test]
    fn names_that_do_not_fit_and_foreign_files_are_refused() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for name in [String::new(), "x".repeat(1024)] {
            let error = write_overlay(file.as_file_mut(), 512, &name, DiskFormat::Raw).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        std::fs::write(file.path(), [0u8; 4096]).unwrap();
        assert_eq!(Header::read(file.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
