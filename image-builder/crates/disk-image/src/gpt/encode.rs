//! A [`Table`] as bytes.

use super::{ENTRY_BYTES, GptError, NAME_UNITS, Partition, Table};

pub(super) const SIGNATURE: &[u8; 8] = b"EFI PART";
pub(super) const REVISION: u32 = 0x0001_0000;
pub(super) const HEADER_BYTES: u32 = 92;

/// The two pieces of a disk that a partition table fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedTable {
    /// From sector 0: protective MBR, header, entry array.
    pub head: Vec<u8>,
    /// The end of the disk: backup array, backup header.
    pub tail: Vec<u8>,
    /// Byte offset of `tail`.
    pub tail_offset: u64,
}

impl Table {
    /// Encodes both copies.
    ///
    /// # Errors
    /// Those of [`Table::validate`].
    pub fn encode(&self) -> Result<EncodedTable, GptError> {
        self.validate()?;
        let sector = self.sector_size.bytes();
        let array = self.encode_array();
        let array_crc = crc32fast::hash(&array[..self.entry_count as usize * ENTRY_BYTES as usize]);
        let last_lba = self.disk_sectors - 1;
        let tail_lba = self.last_usable_lba() + 1;

        let mut head = vec![0; 2 * sector as usize];
        head[..512].copy_from_slice(&self.protective_mbr());
        let header = self.encode_header(1, last_lba, 2, array_crc);
        head[sector as usize..][..header.len()].copy_from_slice(&header);
        head.extend_from_slice(&array);

        let mut tail = array;
        let header = self.encode_header(last_lba, 1, tail_lba, array_crc);
        let at = tail.len();
        tail.resize(at + sector as usize, 0);
        tail[at..][..header.len()].copy_from_slice(&header);

        Ok(EncodedTable { head, tail, tail_offset: tail_lba * sector })
    }

    /// One record of type 0xEE over the whole disk, so that old tools see it as full.
    fn protective_mbr(&self) -> [u8; 512] {
        let mut mbr = [0; 512];
        let record = &mut mbr[446..462];
        // Not active; starts at cylinder 0, head 0, sector 2, which is LBA 1.
        record[..8].copy_from_slice(&[0x00, 0x00, 0x02, 0x00, 0xEE, 0xFF, 0xFF, 0xFF]);
        record[8..12].copy_from_slice(&1u32.to_le_bytes());
        let sectors = u32::try_from(self.disk_sectors - 1).unwrap_or(u32::MAX);
        record[12..16].copy_from_slice(&sectors.to_le_bytes());
        mbr[510..].copy_from_slice(&[0x55, 0xAA]);
        mbr
    }

    fn encode_header(&self, my_lba: u64, other_lba: u64, array_lba: u64, array_crc: u32) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_BYTES as usize);
        header.extend_from_slice(SIGNATURE);
        header.extend_from_slice(&REVISION.to_le_bytes());
        header.extend_from_slice(&HEADER_BYTES.to_le_bytes());
        // The header's own checksum, computed with zero in its place, and a reserved field.
        header.extend_from_slice(&[0; 8]);
        for lba in [my_lba, other_lba, self.first_usable_lba(), self.last_usable_lba()] {
            header.extend_from_slice(&lba.to_le_bytes());
        }
        header.extend_from_slice(&self.disk_guid.to_disk());
        header.extend_from_slice(&array_lba.to_le_bytes());
        header.extend_from_slice(&self.entry_count.to_le_bytes());
        header.extend_from_slice(&(ENTRY_BYTES as u32).to_le_bytes());
        header.extend_from_slice(&array_crc.to_le_bytes());
        let crc = crc32fast::hash(&header);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
        header
    }

    fn encode_array(&self) -> Vec<u8> {
        let sectors = Self::array_sectors(self.sector_size, self.entry_count);
        let mut array = vec![0; (sectors * self.sector_size.bytes()) as usize];
        for partition in &self.partitions {
            let at = partition.slot as usize * ENTRY_BYTES as usize;
            array[at..at + ENTRY_BYTES as usize].copy_from_slice(&encode_entry(partition));
        }
        array
    }
}

fn encode_entry(partition: &Partition) -> [u8; ENTRY_BYTES as usize] {
    let mut entry = [0; ENTRY_BYTES as usize];
    entry[0..16].copy_from_slice(&partition.type_guid.to_disk());
    entry[16..32].copy_from_slice(&partition.guid.to_disk());
    entry[32..40].copy_from_slice(&partition.first_lba.to_le_bytes());
    entry[40..48].copy_from_slice(&partition.last_lba.to_le_bytes());
    entry[48..56].copy_from_slice(&partition.attributes.to_le_bytes());
    for (place, unit) in entry[56..].chunks_exact_mut(2).zip(partition.name.encode_utf16().take(NAME_UNITS)) {
        place.copy_from_slice(&unit.to_le_bytes());
    }
    entry
}
