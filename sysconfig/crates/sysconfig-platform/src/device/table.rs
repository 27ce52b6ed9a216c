//! Partition tables, as far as they tell where partitions are.

/// Sectors of disks in bytes; the table of a disk counts in its own.
const SECTORS: [usize; 2] = [512, 4096];
/// More entries than anybody makes room for, and longer ones.
const MOST_ENTRIES: usize = 1024;
/// Bytes of an entry that mean something.
const ENTRY: usize = 128;
/// Bytes of the boot sector before what partition tables have there.
const BOOT_CODE: usize = 440;
/// What ZFS calls the partition that it uses on a whole disk, in the byte order of the table:
/// 6a898cc3-1dd2-11b2-99a6-080020736631 (`EFI_USR` in `sys/efi_partition.h`).
const ZFS_DATA: [u8; 16] =
    [0xc3, 0x8c, 0x89, 0x6a, 0xd2, 0x1d, 0xb2, 0x11, 0x99, 0xa6, 0x08, 0x00, 0x20, 0x73, 0x66, 0x31];
/// The partition behind it, which illumos reserves: 6a945a3b-1dd2-11b2-99a6-080020736631 (`EFI_RESERVED`).
const ZFS_RESERVED: [u8; 16] =
    [0x3b, 0x5a, 0x94, 0x6a, 0xd2, 0x1d, 0xb2, 0x11, 0x99, 0xa6, 0x08, 0x00, 0x20, 0x73, 0x66, 0x31];

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its number, from 1.
    pub(super) number: usize,
    /// Where it begins, in bytes.
    pub(super) at: u64,
    /// Its length in bytes.
    pub(super) bytes: u64,
    /// The type in a GUID partition table, in the table's byte order.
    kind: Option<[u8; 16]>,
}

/// Where a GUID partition table has its entries (UEFI specification 5.3).
struct Header {
    /// Bytes of a sector.
    sector: usize,
    /// Where the first entry is, in bytes.
    first: usize,
    /// How many there are room for, and the bytes of each.
    count: usize,
    size: usize,
}

impl Header {
    fn read(head: &[u8]) -> Option<Self> {
        SECTORS.into_iter().find_map(|sector| {
            let header = head.get(sector..sector + 92).filter(|header| header.starts_with(b"EFI PART"))?;
            let first = usize::try_from(u64_at(header, 72)?).ok()?.checked_mul(sector)?;
            let (count, size) = (usize_at(header, 80)?.min(MOST_ENTRIES), usize_at(header, 84)?);
            (ENTRY..=MOST_ENTRIES).contains(&size).then_some(Self { sector, first, count, size })
        })
    }

    fn entry(&self, head: &[u8], index: usize, bytes: u64) -> Option<Entry> {
        let at = self.first.checked_add(index * self.size)?;
        let raw = head.get(at..at.checked_add(ENTRY)?)?;
        let kind: [u8; 16] = raw[..16].try_into().ok()?;
        let (from, last) = (u64_at(raw, 32)?, u64_at(raw, 40)?);
        let sector = u64::try_from(self.sector).ok()?;
        let length = last.checked_sub(from)?.checked_add(1)?.checked_mul(sector)?;
        (kind != [0; 16]).then_some(())?;
        Entry::within(index + 1, from.checked_mul(sector)?, length, bytes)
            .map(|entry| Entry { kind: Some(kind), ..entry })
    }
}

/// The partitions by the GUID partition table at the beginning of a device, those only that lie on it.
pub(super) fn guid_entries(head: &[u8], bytes: u64) -> Vec<Entry> {
    let entries = |header: Header| (0..header.count).filter_map(|index| header.entry(head, index, bytes)).collect();
    Header::read(head).map(entries).unwrap_or_default()
}

/// The primary partitions by the table in the boot sector, which counts in sectors of 512 bytes.
pub(super) fn boot_sector_entries(head: &[u8], bytes: u64) -> Vec<Entry> {
    let is_table = head.get(510..512) == Some(&[0x55, 0xaa]);
    let entry = |index: usize| {
        let raw = head.get(446 + 16 * index..462 + 16 * index)?;
        let sectors = |at: usize| usize_at(raw, at).and_then(|sectors| u64::try_from(sectors).ok());
        // Status is 0 or 0x80; 0xee protects a GUID partition table from those who do not know it.
        (raw[0] & 0x7f == 0 && raw[4] != 0 && raw[4] != 0xee).then_some(())?;
        Entry::within(index + 1, sectors(8)? * 512, sectors(12)? * 512, bytes)
    };
    // Boot sectors of file systems end alike, and have code where a table would be, which hardly looks like one.
    let looks_right = |index: usize| head.get(446 + 16 * index).is_some_and(|status| status & 0x7f == 0);
    let is_table = is_table && (0..4).all(looks_right);
    (0..4).filter(|_| is_table).filter_map(entry).collect()
}

/// Whether a table is one that ZFS puts on a blank whole disk, on both systems: there is the partition for data, and the reserved
/// one, and between the table and them there is nothing.
pub(super) fn is_of_zfs(head: &[u8], entries: &[Entry]) -> bool {
    let kinds: Vec<_> = entries.iter().map(|entry| entry.kind).collect();
    let is_its = matches!(kinds[..], [Some(ZFS_DATA)] | [Some(ZFS_DATA), Some(ZFS_RESERVED)]);
    let is_blank =
        |from: usize, to: usize| head.get(from..to.min(head.len())).is_none_or(|gap| gap.iter().all(|byte| *byte == 0));
    let Some(Header { first, count, size, .. }) = Header::read(head).filter(|_| is_its) else { return false };
    let data = usize::try_from(entries[0].at).unwrap_or(usize::MAX);
    is_blank(0, BOOT_CODE) && is_blank(first.saturating_add(count * size), data)
}

impl Entry {
    fn within(number: usize, at: u64, length: u64, bytes: u64) -> Option<Self> {
        let end = at.checked_add(length)?;
        (at > 0 && length > 0 && end <= bytes).then_some(Self { number, at, bytes: length, kind: None })
    }
}

fn u64_at(raw: &[u8], at: usize) -> Option<u64> {
    raw.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

fn usize_at(raw: &[u8], at: usize) -> Option<usize> {
    let number = raw.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))?;
    usize::try_from(number).ok()
}

/// The beginning of a disk of `sectors` of 512 bytes with the table that ZFS makes: data from sector 256, and 8 MiB reserved.
#[cfg(any(test, feature = "fake"))]
pub(crate) fn zfs_table(sectors: u64) -> Vec<u8> {
    const RESERVED: u64 = 16384;
    let mut head = vec![0; 34 * 512];
    let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
    put(512, b"EFI PART");
    put(512 + 72, &2_u64.to_le_bytes());
    put(512 + 80, &9_u32.to_le_bytes());
    put(512 + 84, &128_u32.to_le_bytes());
    let end = sectors - 34 - RESERVED;
    for (index, kind, first, last) in [(0, ZFS_DATA, 256, end - 1), (8, ZFS_RESERVED, end, end + RESERVED - 1)] {
        put(1024 + 128 * index, &kind);
        put(1024 + 128 * index + 32, &first.to_le_bytes());
        put(1024 + 128 * index + 40, &last.to_le_bytes());
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_zfs() {
        let bytes = 128 << 20;
        let head = zfs_table(bytes / 512);
        let entries = guid_entries(&head, bytes);
        assert_eq!((entries[0].number, entries[0].at, entries[1].number), (1, 128 << 10, 9));
        assert!(is_of_zfs(&head, &entries) && !is_of_zfs(&head, &entries[1..]) && !is_of_zfs(&head, &[]));
        let mut long = head.clone();
        long.resize(1 << 20, 0);
        assert!(is_of_zfs(&long, &entries));
        long[100 << 10] = 1;
        assert!(!is_of_zfs(&long, &entries), "something lies before the partition");
        assert_eq!(guid_entries(&head, 64 << 20), [], "what lies beyond the end is none");
    }

    #[test]
    fn a_boot_sector() {
        let mut head = vec![0; 512];
        head[446 + 16..446 + 32].copy_from_slice(&[0x80, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0]);
        assert_eq!(boot_sector_entries(&head, 1 << 30), []);
        head[510..].copy_from_slice(&[0x55, 0xaa]);
        let found = boot_sector_entries(&head, 1 << 30);
        assert_eq!((found.len(), found[0].number, found[0].at, found[0].bytes), (1, 2, 1 << 20, 2 << 20));
    }

    #[test]
    fn fuzz_tables() {
        let whole = zfs_table(1 << 18);
        test_judge::fuzz(200, |random| {
            let mut head = whole.clone();
            for _ in 0..8 {
                let at = random.below(head.len());
                head[at] = random.next_u64().to_le_bytes()[0];
            }
            for entry in guid_entries(&head, 128 << 20).into_iter().chain(boot_sector_entries(&head, 128 << 20)) {
                assert!(entry.at.checked_add(entry.bytes).is_some_and(|end| end <= 128 << 20));
            }
        });
    }
}
