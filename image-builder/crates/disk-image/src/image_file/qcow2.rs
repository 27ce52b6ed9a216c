//! Reading qcow2, versions 2 and 3: the two levels of tables, holes, zero and compressed clusters.
//!
//! Facts: `docs/interop/qcow2.rst` of QEMU. All numbers are big-endian. An overlay, or anything else that needs a second
//! file, a key or a newer format, is refused by name. Nothing in the file is trusted.

use flate2::{Decompress, FlushDecompress, Status};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

/// The first bytes of every qcow2 file.
pub(super) const MAGIC: [u8; 4] = *b"QFI\xfb";

/// Bytes of the header that version 2 has.
const HEADER_V2_BYTES: usize = 72;
/// Bytes of the header of version 3 up to its compression type.
const HEADER_V3_BYTES: usize = 104;
/// The largest first-level table that QEMU reads.
const FIRST_LEVEL_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Second-level tables that are remembered; each stands for 512 MiB with clusters of the usual size.
const TABLES_KEPT: usize = 128;
/// Bits of a table entry that are an offset.
const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
const COMPRESSED: u64 = 1 << 62;
/// The cluster reads as zeros, whatever its offset (version 3).
const ZERO: u64 = 1;
/// The image was not closed properly: only its reference counts suffer, which readers do not use.
const INCOMPATIBLE_DIRTY: u64 = 1;
const INCOMPATIBLE_CORRUPT: u64 = 2;

/// A qcow2 file cannot be read here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Qcow2ReadError {
    /// The system refused.
    #[error("the qcow2 {part} cannot be read")]
    Read {
        /// Which part.
        part: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// There is less of it than its header speaks of.
    #[error("the qcow2 file is cut short: {problem}")]
    CutShort {
        /// What is missing.
        problem: &'static str,
    },
    /// A number in the header is impossible.
    #[error("the qcow2 header is damaged: {problem}")]
    Damaged {
        /// What is wrong.
        problem: &'static str,
    },
    /// It is a form of qcow2 that needs something else.
    #[error("the qcow2 file {what}; convert it with `qemu-img convert -O qcow2` first")]
    Unsupported {
        /// What it is or has.
        what: &'static str,
    },
}

/// A qcow2 file that is complete in itself.
#[derive(Debug)]
pub(super) struct Qcow2File {
    file: File,
    file_bytes: u64,
    virtual_bytes: u64,
    cluster_bits: u32,
    has_zero_clusters: bool,
    first_level: Vec<u64>,
    tables: Mutex<BTreeMap<u64, Arc<Vec<u64>>>>,
}

/// What the header says of the disk and of the table that leads to its clusters.
struct Header {
    version: u32,
    cluster_bits: u32,
    virtual_bytes: u64,
    first_level_entries: u32,
    first_level_offset: u64,
}

impl Header {
    /// Reads the header, and refuses what is not understood.
    fn read(file: &File, file_bytes: u64) -> Result<Self, Qcow2ReadError> {
        let unsupported = |what| Err(Qcow2ReadError::Unsupported { what });
        let mut header = [0; HEADER_V3_BYTES];
        let length = HEADER_V3_BYTES.min(usize::try_from(file_bytes).unwrap_or(usize::MAX));
        let cut_short = Qcow2ReadError::CutShort { problem: "it ends in its header" };
        if length < HEADER_V2_BYTES {
            return Err(cut_short);
        }
        let failed = |source| Qcow2ReadError::Read { part: "header", source };
        file.read_exact_at(&mut header[..length], 0).map_err(failed)?;
        let version = u32_at(&header, 4);
        if !(2..=3).contains(&version) {
            return unsupported("has an unknown version");
        }
        if version == 3 && length < HEADER_V3_BYTES {
            return Err(cut_short);
        }
        let cluster_bits = u32_at(&header, 20);
        if !(9..=21).contains(&cluster_bits) {
            return Err(Qcow2ReadError::Damaged { problem: "impossible cluster size" });
        }
        if u64_at(&header, 8) != 0 {
            return unsupported("is an overlay of another image");
        }
        if u32_at(&header, 32) != 0 {
            return unsupported("is encrypted");
        }
        if version == 3 {
            let features = u64_at(&header, 72);
            if features & INCOMPATIBLE_CORRUPT != 0 {
                return unsupported("is marked as corrupt by QEMU");
            }
            if features & !INCOMPATIBLE_DIRTY != 0 {
                return unsupported("uses an external data file, another compression or extended tables");
            }
        }
        Ok(Self {
            version,
            cluster_bits,
            virtual_bytes: u64_at(&header, 24),
            first_level_entries: u32_at(&header, 36),
            first_level_offset: u64_at(&header, 40),
        })
    }

    /// Reads the first-level table, whose tables are all there.
    fn first_level(&self, file: &File, file_bytes: u64) -> Result<Vec<u64>, Qcow2ReadError> {
        let damaged = |problem| Qcow2ReadError::Damaged { problem };
        let cut_short = |problem| Qcow2ReadError::CutShort { problem };
        let (entries, offset) = (self.first_level_entries, self.first_level_offset);
        let covered = 1_u128 << (2 * self.cluster_bits - 3);
        if u128::from(entries) * covered < u128::from(self.virtual_bytes) {
            return Err(damaged("its first-level table is too short for the disk"));
        }
        let bytes = u64::from(entries) * 8;
        if bytes > FIRST_LEVEL_BYTES_MAX {
            return Err(damaged("its first-level table is too long"));
        }
        if offset.checked_add(bytes).is_none_or(|end| end > file_bytes) {
            return Err(cut_short("its first-level table lies behind its end"));
        }
        let failed = |source| Qcow2ReadError::Read { part: "first-level table", source };
        let first_level = read_table(file, offset, entries as usize).map_err(failed)?;
        let is_there = |entry: &u64| (entry & OFFSET_MASK).saturating_add(1 << self.cluster_bits) <= file_bytes;
        if !first_level.iter().filter(|entry| **entry != 0).all(is_there) {
            return Err(cut_short("a second-level table lies behind its end"));
        }
        Ok(first_level)
    }
}

impl Qcow2File {
    pub(super) fn open(file: File, file_bytes: u64) -> Result<Self, Qcow2ReadError> {
        let header = Header::read(&file, file_bytes)?;
        let first_level = header.first_level(&file, file_bytes)?;
        let Header { version, cluster_bits, virtual_bytes, .. } = header;
        let tables = Mutex::default();
        Ok(Self { file, file_bytes, virtual_bytes, cluster_bits, has_zero_clusters: version == 3, first_level, tables })
    }

    pub(super) fn virtual_bytes(&self) -> u64 {
        self.virtual_bytes
    }

    /// Fills `buffer` from `offset`; the caller has checked that the disk is as long.
    pub(super) fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        let cluster_bytes = 1_u64 << self.cluster_bits;
        while !buffer.is_empty() {
            let within = offset % cluster_bytes;
            let count = (cluster_bytes - within).min(buffer.len() as u64) as usize;
            let (now, rest) = buffer.split_at_mut(count);
            self.read_cluster(now, offset >> self.cluster_bits, within)?;
            buffer = rest;
            offset += count as u64;
        }
        Ok(())
    }

    /// Fills `buffer` from `within` a cluster.
    fn read_cluster(&self, buffer: &mut [u8], cluster: u64, within: u64) -> io::Result<()> {
        let entry = self.entry(cluster)?;
        if entry & COMPRESSED != 0 {
            let bytes = self.unpack(entry)?;
            buffer.copy_from_slice(&bytes[within as usize..within as usize + buffer.len()]);
            return Ok(());
        }
        let host = entry & OFFSET_MASK;
        if host == 0 || (self.has_zero_clusters && entry & ZERO != 0) {
            buffer.fill(0);
            return Ok(());
        }
        if host % (1 << self.cluster_bits) != 0 {
            return Err(invalid("a cluster of the qcow2 file begins at no cluster's beginning"));
        }
        self.file.read_exact_at(buffer, host + within)
    }

    /// The second-level entry of a cluster; 0 where nothing is allocated.
    fn entry(&self, cluster: u64) -> io::Result<u64> {
        let entries = 1_u64 << (self.cluster_bits - 3);
        let first = self.first_level.get((cluster / entries) as usize).copied().unwrap_or(0) & OFFSET_MASK;
        if first == 0 {
            return Ok(0);
        }
        let known = self.tables.lock().unwrap_or_else(PoisonError::into_inner).get(&first).cloned();
        let table = match known {
            Some(table) => table,
            None => self.load_table(first, entries as usize)?,
        };
        Ok(table[(cluster % entries) as usize])
    }

    fn load_table(&self, offset: u64, entries: usize) -> io::Result<Arc<Vec<u64>>> {
        let table = Arc::new(read_table(&self.file, offset, entries)?);
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.len() >= TABLES_KEPT {
            tables.clear();
        }
        tables.insert(offset, Arc::clone(&table));
        Ok(table)
    }

    /// A whole compressed cluster.
    fn unpack(&self, entry: u64) -> io::Result<Vec<u8>> {
        // The higher the cluster size, the more bits say how many sectors the packed data touches.
        let offset_bits = 62 - (self.cluster_bits - 8);
        let offset = entry & ((1 << offset_bits) - 1);
        let sectors = ((entry & (COMPRESSED - 1)) >> offset_bits) + 1;
        let end = (offset / 512 + sectors).saturating_mul(512).min(self.file_bytes);
        let length = end.checked_sub(offset).ok_or_else(|| invalid("a packed cluster lies outside the qcow2 file"))?;
        let mut packed = vec![0; length as usize];
        self.file.read_exact_at(&mut packed, offset)?;
        let mut bytes = vec![0; 1 << self.cluster_bits];
        let mut unpacker = Decompress::new(false);
        let status = unpacker.decompress(&packed, &mut bytes, FlushDecompress::Finish);
        let whole = unpacker.total_out() == bytes.len() as u64;
        match status {
            Ok(Status::StreamEnd | Status::Ok | Status::BufError) if whole => Ok(bytes),
            _ => Err(invalid("a packed cluster of the qcow2 file is damaged")),
        }
    }
}

fn read_table(file: &File, offset: u64, entries: usize) -> io::Result<Vec<u64>> {
    let mut bytes = vec![0; entries * 8];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes.chunks_exact(8).map(|entry| u64_at(entry, 0)).collect())
}

fn invalid(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) << 32 | u64::from(u32_at(bytes, at + 4))
}
