//! Reading a partition table back: both copies, every checksum.

use std::cmp::Ordering;
use std::io::{Read, Seek, SeekFrom};

use super::encode::{HEADER_BYTES, REVISION, SIGNATURE};
use super::{ENTRY_BYTES, GptError, Partition, SectorSize, Table};
use crate::guid::Guid;

/// More entries than any tool writes; a larger number is damage, not a table.
const MAX_ENTRIES: u32 = 1024;
const PRIMARY: &str = "the primary header";
const BACKUP: &str = "the backup header";

/// The fields of one header that are not implied by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    my_lba: u64,
    other_lba: u64,
    first_usable: u64,
    last_usable: u64,
    disk_guid: Guid,
    array_lba: u64,
    entry_count: u32,
    array_crc: u32,
}

/// A table that could be read, and what is wrong beside it.
#[derive(Debug)]
pub struct Inspection {
    /// The table as the copies say it that are whole.
    pub table: Table,
    /// What is wrong with the protective MBR and the other copy, in that order; nothing for a good disk.
    pub damage: Vec<GptError>,
}

/// Reads the table of a disk and checks everything that can be checked:
/// the protective MBR, both headers, both arrays, that they agree, and the partitions.
///
/// # Errors
/// `Read` when the disk ends too early, `CutShort` when the table tells of more, `Corrupt` for a broken rule, and those
/// of [`Table::validate`].
pub fn decode(disk: &mut (impl Read + Seek), sector_size: SectorSize) -> Result<Table, GptError> {
    let Inspection { table, damage } = inspect(disk, sector_size)?;
    damage.into_iter().next().map_or(Ok(table), Err)
}

/// As [`decode`], but one whole copy is enough: what is wrong with the other one is told beside it.
///
/// # Errors
/// As [`decode`], when neither copy is whole or the disk is cut short.
pub fn inspect(disk: &mut (impl Read + Seek), sector_size: SectorSize) -> Result<Inspection, GptError> {
    let sector = sector_size.bytes();
    let end = disk.seek(SeekFrom::End(0)).map_err(|source| GptError::Read { what: "the size of the disk", source })?;
    if end / sector < 4 {
        return Err(GptError::DiskTooSmall { sectors: end / sector });
    }
    let mut damage = Vec::new();
    let primary = read_copy(disk, sector, 1, PRIMARY);
    let disk_sectors = match &primary {
        Ok((header, _)) => sectors_by(header, end, sector, &mut damage)?,
        Err(_) => end / sector,
    };
    let last = disk_sectors - 1;
    damage.extend(check_mbr(&read(disk, 0, 512, "the protective MBR")?, disk_sectors).err());
    let primary = primary.and_then(|copy| table(&copy, sector_size, disk_sectors, PRIMARY).map(|table| (table, copy)));
    let backup = read_copy(disk, sector, last, BACKUP)
        .and_then(|copy| table(&copy, sector_size, disk_sectors, BACKUP).map(|table| (table, copy)));
    let table = match (primary, backup) {
        (Ok((table, (header, array))), Ok((_, (backup_header, backup_array)))) => {
            if array != backup_array || header.disk_guid != backup_header.disk_guid {
                damage.push(corrupt("the backup table", "it differs from the primary one"));
            }
            table
        }
        (Ok((table, _)), Err(error)) | (Err(error), Ok((table, _))) => {
            damage.push(error);
            table
        }
        (Err(error), Err(_)) => return Err(error),
    };
    Ok(Inspection { table, damage })
}

/// Sectors of the disk that the table was made for: it ends where the primary header has its copy.
fn sectors_by(primary: &Header, end: u64, sector: u64, damage: &mut Vec<GptError>) -> Result<u64, GptError> {
    let wanted = primary.other_lba.saturating_add(1);
    match wanted.cmp(&(end / sector)) {
        Ordering::Greater => return Err(GptError::CutShort { bytes: end, wanted: wanted.saturating_mul(sector) }),
        Ordering::Less => damage.push(GptError::Grown { copy: primary.other_lba, sectors: end / sector }),
        Ordering::Equal => {}
    }
    Ok(wanted)
}

/// The table that one copy tells, if it is a possible one.
fn table(
    (header, array): &(Header, Vec<u8>),
    sector_size: SectorSize,
    disk_sectors: u64,
    what: &'static str,
) -> Result<Table, GptError> {
    if header.other_lba != (if header.my_lba == 1 { disk_sectors - 1 } else { 1 }) {
        return Err(corrupt(what, "it does not say where its copy is"));
    }
    let table = Table {
        sector_size,
        disk_sectors,
        disk_guid: header.disk_guid,
        entry_count: header.entry_count,
        partitions: decode_array(array)?,
    };
    check_geometry(&table, header, what)?;
    table.validate()?;
    Ok(table)
}

fn check_geometry(table: &Table, header: &Header, what: &'static str) -> Result<(), GptError> {
    let expected_array = if header.my_lba == 1 { 2 } else { table.last_usable_lba() + 1 };
    let expected = (table.first_usable_lba(), table.last_usable_lba(), expected_array);
    let found = (header.first_usable, header.last_usable, header.array_lba);
    if found == expected {
        Ok(())
    } else {
        Err(corrupt(what, format!("usable sectors and array at {found:?}, expected {expected:?}")))
    }
}

fn check_mbr(mbr: &[u8], disk_sectors: u64) -> Result<(), GptError> {
    const WHAT: &str = "the protective MBR";
    if mbr[510..512] != [0x55, 0xAA] {
        return Err(corrupt(WHAT, "no signature"));
    }
    let size = u32::try_from(disk_sectors - 1).unwrap_or(u32::MAX);
    let record = &mbr[446..462];
    if record[4] != 0xEE || u32_at(record, 8) != 1 || u32_at(record, 12) != size {
        return Err(corrupt(WHAT, "the first record does not cover the disk"));
    }
    if mbr[462..510].iter().any(|byte| *byte != 0) {
        return Err(corrupt(WHAT, "more than one record"));
    }
    Ok(())
}

fn read_copy(
    disk: &mut (impl Read + Seek),
    sector: u64,
    my_lba: u64,
    what: &'static str,
) -> Result<(Header, Vec<u8>), GptError> {
    let bytes = read(disk, my_lba * sector, sector as usize, what)?;
    let header = decode_header(&bytes, what)?;
    if header.my_lba != my_lba {
        return Err(corrupt(what, "it does not say where it is"));
    }
    let length = header.entry_count as usize * ENTRY_BYTES as usize;
    let offset =
        header.array_lba.checked_mul(sector).ok_or_else(|| corrupt(what, "the entry array lies behind any disk"))?;
    let array = read(disk, offset, length, "an entry array")?;
    if crc32fast::hash(&array) != header.array_crc {
        return Err(corrupt(what, "the checksum of the entry array is wrong"));
    }
    Ok((header, array))
}

fn decode_header(bytes: &[u8], what: &'static str) -> Result<Header, GptError> {
    if &bytes[..8] != SIGNATURE {
        return Err(corrupt(what, "no `EFI PART` signature"));
    }
    if u32_at(bytes, 8) != REVISION || u32_at(bytes, 12) != HEADER_BYTES {
        return Err(corrupt(what, "an unknown revision or size"));
    }
    let mut checked = bytes[..HEADER_BYTES as usize].to_vec();
    checked[16..20].fill(0);
    if crc32fast::hash(&checked) != u32_at(bytes, 16) {
        return Err(corrupt(what, "its checksum is wrong"));
    }
    if u64::from(u32_at(bytes, 84)) != ENTRY_BYTES {
        return Err(corrupt(what, "entries of another size than 128 bytes"));
    }
    let entry_count = u32_at(bytes, 80);
    if !(1..=MAX_ENTRIES).contains(&entry_count) {
        return Err(GptError::EntryCount { count: entry_count });
    }
    Ok(Header {
        my_lba: u64_at(bytes, 24),
        other_lba: u64_at(bytes, 32),
        first_usable: u64_at(bytes, 40),
        last_usable: u64_at(bytes, 48),
        disk_guid: guid_at(bytes, 56),
        array_lba: u64_at(bytes, 72),
        entry_count,
        array_crc: u32_at(bytes, 88),
    })
}

fn decode_array(array: &[u8]) -> Result<Vec<Partition>, GptError> {
    let mut partitions = Vec::new();
    for (slot, entry) in (0u32..).zip(array.chunks_exact(ENTRY_BYTES as usize)) {
        let type_guid = guid_at(entry, 0);
        if type_guid == Guid::NIL {
            continue;
        }
        partitions.push(Partition {
            slot,
            type_guid,
            guid: guid_at(entry, 16),
            first_lba: u64_at(entry, 32),
            last_lba: u64_at(entry, 40),
            attributes: u64_at(entry, 48),
            name: decode_name(&entry[56..])?,
        });
    }
    Ok(partitions)
}

fn decode_name(bytes: &[u8]) -> Result<String, GptError> {
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    String::from_utf16(&units).map_err(|_| corrupt("a partition's name", "it is not UTF-16"))
}

fn read(disk: &mut (impl Read + Seek), offset: u64, length: usize, what: &'static str) -> Result<Vec<u8>, GptError> {
    let mut bytes = vec![0; length];
    disk.seek(SeekFrom::Start(offset))
        .and_then(|_| disk.read_exact(&mut bytes))
        .map_err(|source| GptError::Read { what, source })?;
    Ok(bytes)
}

fn corrupt(what: &'static str, problem: impl Into<String>) -> GptError {
    GptError::Corrupt { what, problem: problem.into() }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

fn guid_at(bytes: &[u8], at: usize) -> Guid {
    let mut guid = [0; 16];
    guid.copy_from_slice(&bytes[at..at + 16]);
    Guid::from_disk(guid)
}
