//! Partition tables: round trips, refusals, damage, and what sgdisk thinks of them.

mod judge;

use std::fs::File;
use std::io::Cursor;
use std::os::unix::fs::FileExt;

use disk_image::gpt::{GptError, Inspection, Partition, SectorSize, Table, decode, inspect, types};
use disk_image::{DiskSeed, Guid, partition_guid};
use proptest::prelude::*;

fn partition(slot: u32, first_lba: u64, last_lba: u64) -> Partition {
    Partition {
        slot,
        type_guid: types::LINUX_ROOT_X86_64,
        guid: partition_guid(&DiskSeed::new("test"), &slot.to_string()),
        first_lba,
        last_lba,
        attributes: 0,
        name: format!("partition {slot}"),
    }
}

fn table(sector_size: SectorSize, entry_count: u32) -> Table {
    let partitions = vec![
        Partition { attributes: 4, ..partition(0, 256, 1023) },
        Partition { name: "Wurzel ☃ 🐧".into(), ..partition(1, 1024, 2047) },
        partition(entry_count - 1, 2048, 3000),
    ];
    let disk_guid = DiskSeed::new("test").guid("disk");
    Table { sector_size, disk_sectors: 4096, disk_guid, entry_count, partitions }
}

/// The whole disk in memory.
fn disk(table: &Table) -> Vec<u8> {
    let encoded = table.encode().unwrap();
    let mut disk = vec![0; (table.disk_sectors * table.sector_size.bytes()) as usize];
    disk[..encoded.head.len()].copy_from_slice(&encoded.head);
    disk[encoded.tail_offset as usize..].copy_from_slice(&encoded.tail);
    disk
}

#[test]
fn what_is_written_is_read_back() {
    for sector_size in [SectorSize::B512, SectorSize::B4096] {
        for entry_count in [9, 56, 128] {
            let table = table(sector_size, entry_count);
            assert_eq!(decode(&mut Cursor::new(disk(&table)), sector_size).unwrap(), table);
        }
    }
}

#[test]
fn usable_sectors_are_those_of_illumos_too() {
    for (sector_size, first, from_end) in [(SectorSize::B512, 34, 33), (SectorSize::B4096, 6, 5)] {
        for entry_count in [9, 128] {
            let table = table(sector_size, entry_count);
            assert_eq!(table.first_usable_lba(), first);
            assert_eq!(table.last_usable_lba(), table.disk_sectors - 1 - from_end);
        }
    }
}

/// Offsets and values from the UEFI specification, so that writer and reader cannot be wrong together.
#[test]
fn fields_are_where_the_specification_has_them() {
    let disk = disk(&table(SectorSize::B512, 9));
    let word = |at: usize| u32::from_le_bytes(disk[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_le_bytes(disk[at..at + 8].try_into().unwrap());
    assert_eq!(disk[446..454], [0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF]);
    assert_eq!((word(454), word(458)), (1, 4095));
    assert_eq!(disk[510..512], [0x55, 0xAA]);

    assert_eq!(&disk[512..520], b"EFI PART");
    assert_eq!((word(520), word(524), word(532)), (0x0001_0000, 92, 0));
    assert_eq!([long(536), long(544), long(552), long(560)], [1, 4095, 34, 4062]);
    assert_eq!((long(584), word(592), word(596)), (2, 9, 128));
    let mut header = disk[512..604].to_vec();
    header[16..20].fill(0);
    assert_eq!(word(528), crc32fast::hash(&header));
    assert_eq!(word(600), crc32fast::hash(&disk[1024..1024 + 9 * 128]), "nine entries, not 128");

    let entry = &disk[1024..1152];
    assert_eq!(Guid::from_disk(entry[..16].try_into().unwrap()), types::LINUX_ROOT_X86_64);
    assert_eq!(entry[32..56], [0, 1, 0, 0, 0, 0, 0, 0, 255, 3, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(entry[56..60], [b'p', 0, b'a', 0]);

    let backup = 4095 * 512;
    assert_eq!(&disk[backup..backup + 8], b"EFI PART");
    assert_eq!([long(backup + 24), long(backup + 32), long(backup + 72)], [4095, 1, 4063]);
}

#[test]
fn a_disk_beyond_two_tebibytes_saturates_the_protective_record() {
    let disk_sectors = 6 << 32;
    let table = Table { disk_sectors, ..table(SectorSize::B512, 128) };
    let encoded = table.encode().unwrap();
    assert_eq!(encoded.head[458..462], [0xFF; 4]);
    assert_eq!(encoded.tail_offset, (disk_sectors - 33) * 512);
}

#[test]
fn impossible_tables_are_refused() {
    let good = table(SectorSize::B512, 128);
    let with = |partitions| Table { partitions, ..good.clone() };
    let long_name = Partition { name: "x".repeat(37), ..partition(0, 256, 300) };
    let astral_name = Partition { name: "🐧".repeat(19), ..partition(0, 256, 300) };
    type Expected = fn(&GptError) -> bool;
    let cases: Vec<(Table, Expected)> = vec![
        (Table { entry_count: 0, ..good.clone() }, |e| matches!(e, GptError::EntryCount { count: 0 })),
        (Table { disk_sectors: 60, ..good.clone() }, |e| matches!(e, GptError::DiskTooSmall { .. })),
        (with(vec![partition(128, 256, 300)]), |e| matches!(e, GptError::SlotRange { .. })),
        (with(vec![partition(0, 256, 300), partition(0, 400, 500)]), |e| matches!(e, GptError::SlotTaken { slot: 0 })),
        (with(vec![partition(0, 256, 300), partition(1, 300, 400)]), |e| matches!(e, GptError::Overlap { .. })),
        (with(vec![partition(0, 256, 900), partition(1, 300, 400)]), |e| matches!(e, GptError::Overlap { .. })),
        (with(vec![partition(0, 33, 300)]), |e| matches!(e, GptError::OutOfRange { .. })),
        (with(vec![partition(0, 300, 299)]), |e| matches!(e, GptError::OutOfRange { .. })),
        (with(vec![partition(0, 300, 4063)]), |e| matches!(e, GptError::OutOfRange { .. })),
        (with(vec![Partition { type_guid: Guid::NIL, ..partition(0, 256, 300) }]), |e| {
            matches!(e, GptError::NoType { .. })
        }),
        (with(vec![long_name]), |e| matches!(e, GptError::NameTooLong { units: 37, .. })),
        (with(vec![astral_name]), |e| matches!(e, GptError::NameTooLong { units: 38, .. })),
    ];
    for (table, expected) in cases {
        let error = table.encode().unwrap_err();
        assert!(expected(&error), "{error}");
    }
}

/// Every byte of both tables matters to the reader.
#[test]
fn every_damaged_byte_of_a_table_is_noticed() {
    let good = table(SectorSize::B512, 9);
    let bytes = disk(&good);
    let end = bytes.len();
    let array = 9 * 128;
    let covered = (446..512)
        .chain(512..604)
        .chain(1024..1024 + array)
        .chain(end - 512..end - 512 + 92)
        .chain(end - 33 * 512..end - 33 * 512 + array);
    for at in covered {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        // The CHS fields and the active flag of the protective record mean nothing.
        let meaningless = (446..450).contains(&at) || (451..454).contains(&at);
        let read = decode(&mut Cursor::new(damaged), SectorSize::B512);
        assert_eq!(read.is_ok(), meaningless, "byte {at}");
    }
}

/// One whole copy is enough to know the partitions, and what is wrong with the other one is told.
#[test]
fn one_damaged_copy_is_told_beside_the_table() {
    let good = table(SectorSize::B512, 9);
    let bytes = disk(&good);
    let end = bytes.len();
    let inspected = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = bytes.clone();
        change(&mut changed);
        let inspection = inspect(&mut Cursor::new(changed), SectorSize::B512);
        inspection
            .map(|Inspection { table, damage }| (table, damage.iter().map(ToString::to_string).collect::<Vec<_>>()))
    };
    assert_eq!(inspected(&|_| {}).unwrap(), (good.clone(), vec![]));
    for (at, expected) in [
        (510, "the protective MBR: no signature"),
        (512 + 16, "the primary header: its checksum is wrong"),
        (1024 + 5, "the primary header: the checksum of the entry array is wrong"),
        (end - 512 + 16, "the backup header: its checksum is wrong"),
        (end - 33 * 512, "the backup header: the checksum of the entry array is wrong"),
    ] {
        assert_eq!(inspected(&|bytes| bytes[at] ^= 4).unwrap(), (good.clone(), vec![expected.to_owned()]), "byte {at}");
    }
    let both = inspected(&|bytes| {
        bytes[512 + 16] ^= 4;
        bytes[end - 512 + 16] ^= 4;
    });
    assert_eq!(both.unwrap_err().to_string(), "the primary header: its checksum is wrong");

    let cut = inspected(&|bytes| bytes.truncate(end - 512)).unwrap_err().to_string();
    assert_eq!(
        cut,
        format!("the image is cut short: its partition table is for {end} bytes, and {} are there", end - 512)
    );
    let (table, damage) = inspected(&|bytes| bytes.resize(end + 512, 0)).unwrap();
    let last = end / 512 - 1;
    let grown =
        format!("the disk has grown: the copy of the table is in sector {last}, and the disk has {} sectors", last + 2);
    assert_eq!((table, damage), (good, vec![grown]));
}

#[test]
fn sgdisk_finds_no_problems_and_reads_the_same() {
    let directory = tempfile::tempdir().unwrap();
    for entry_count in [9, 128] {
        let table = table(SectorSize::B512, entry_count);
        let path = directory.path().join(format!("disk-{entry_count}"));
        std::fs::write(&path, disk(&table)).unwrap();
        judge::approve_gpt(&path);
        let Some(said) = judge::approve("sgdisk", "gdisk", &["-i", "2", judge::text(&path)]) else {
            return;
        };
        let guid = table.partitions[1].guid.to_string().to_uppercase();
        for expected in
            [guid.as_str(), "First sector: 1024", "Last sector: 2047", "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"]
        {
            assert!(said.contains(expected), "{expected} is not in:\n{said}");
        }
    }
}

#[test]
fn sgdisk_does_find_problems_where_there_are_some() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let mut bytes = disk(&table(SectorSize::B512, 128));
    let end = bytes.len();
    bytes[end - 512 + 60] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    if let Some(said) = judge::approve("sgdisk", "gdisk", &["-v", judge::text(&path)]) {
        assert!(!judge::gpt_is_sound(&said), "the judge sees nothing:\n{said}");
    }
}

#[test]
fn sfdisk_reads_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let table = table(SectorSize::B512, 128);
    File::create(&path).unwrap().write_all_at(&disk(&table), 0).unwrap();
    if let Some(said) = judge::approve("sfdisk", "fdisk", &["-J", judge::text(&path)]) {
        for partition in &table.partitions {
            let guid = partition.guid.to_string().to_uppercase();
            assert!(said.contains(&guid), "{guid} is not in:\n{said}");
        }
    }
}

proptest! {
    #[test]
    fn any_possible_table_round_trips(
        large in any::<bool>(),
        entry_count in 9u32..=128,
        lengths in prop::collection::vec((1u64..500, 0u64..50, any::<u64>(), "\\PC{0,18}"), 0..9),
    ) {
        let sector_size = if large { SectorSize::B4096 } else { SectorSize::B512 };
        let mut table = Table { partitions: Vec::new(), ..table(sector_size, entry_count) };
        let mut at = table.first_usable_lba();
        for (slot, (length, gap, attributes, name)) in (0..).zip(lengths) {
            let first = at + gap;
            at = first + length;
            table.partitions.push(Partition { attributes, name, ..partition(slot, first, at - 1) });
        }
        table.disk_sectors = at + 5000;
        // A name with a NUL inside would be cut there by every reader.
        prop_assume!(table.partitions.iter().all(|p| !p.name.contains('\0')));
        prop_assert_eq!(decode(&mut Cursor::new(disk(&table)), sector_size).unwrap(), table);
    }

    #[test]
    fn random_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..6000)) {
        prop_assert!(decode(&mut Cursor::new(bytes), SectorSize::B512).is_err());
    }
}
