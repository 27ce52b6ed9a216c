//! Disks as illumos labels them: where everything lies, to the byte, and what the judges think of it.

mod judge;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use disk_image::gpt::{SectorSize, Table, decode, types};
use disk_image::illumos::{
    BiosLoaders, BootBlockState, BootBlocks, BootError, EfiLoaders, IllumosDisk, IllumosDiskError, esp_bytes,
    inspect_boot_blocks, multiboot_header, pool_bytes, pool_lba, smallest_disk, unlike_zpool_create,
};
use disk_image::{
    DiskReport, DiskSeed, Guid, LAYOUT_VERSION, Region, Volume, VolumeContext, VolumeError, extract_partition,
    write_bare, write_disk,
};

const MIB: u64 = 1024 * 1024;
const STAGE2: u64 = 512 * 1024;

/// Stands where a pool does: two labels, a hole for boot code, data.
struct FakePool;

impl Volume for FakePool {
    fn minimum_bytes(&self, _: SectorSize) -> Result<u64, VolumeError> {
        Ok(64 * MIB)
    }

    fn write(&mut self, region: &mut Region<'_>, _: &VolumeContext<'_>) -> Result<u64, VolumeError> {
        let failed = |error: std::io::Error| VolumeError::Other(Box::new(error));
        region.write_all_at(&[0xA1; 1000], 16 * 1024).map_err(failed)?;
        region.write_all_at(&[0xA2; 1000], 4 * MIB).map_err(failed)?;
        Ok(2000)
    }
}

/// Something like a boot program: its multiboot header at `header`.
fn program(length: usize, header: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..length).map(|at| (at % 253) as u8).collect();
    for (word, at) in [0x1BAD_B002_u32, 0x0001_0000, 0xE451_4FFE].iter().zip((header..).step_by(4)) {
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn stage1() -> Vec<u8> {
    let mut bytes = vec![0x5C; 512];
    bytes[510..].copy_from_slice(&[0x55, 0xAA]);
    bytes
}

fn loaders() -> EfiLoaders {
    EfiLoaders { loader64: Some(program(300_001, 4096)), loader32: Some(program(200_000, 0)) }
}

fn disk(disk_bytes: u64, sector_size: SectorSize) -> IllumosDisk<'static> {
    let seed = DiskSeed::new("illumos");
    IllumosDisk { seed, sector_size, disk_bytes, loaders: None, bios: None, pool: Box::new(FakePool) }
}

fn write(disk: IllumosDisk<'_>, output: &Path) -> DiskReport {
    write_disk(disk.layout().unwrap(), output, output.parent().unwrap(), &mut |_| {}).unwrap()
}

fn bytes_at(file: &File, at: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at).unwrap();
    bytes
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Sectors as `zpool_label_disk` and libefi compute them, by hand.
#[test]
fn partitions_lie_where_zpool_create_puts_them() {
    let esp_512 = 256 + 524_288;
    for (sector_size, with_esp, sectors, first_usable, zfs, from_end, reserved) in [
        (SectorSize::B512, true, 8_388_608, 34, esp_512, 34, 16_384),
        (SectorSize::B512, true, 2_000_001, 34, esp_512, 34, 16_384),
        (SectorSize::B512, false, 4_194_304, 34, 256, 34, 16_384),
        (SectorSize::B4096, true, 1_048_576, 6, 256 + 67_584, 6, 2048),
        (SectorSize::B4096, false, 1_048_576, 6, 256, 6, 2048),
    ] {
        let mut wanted = disk(sectors * sector_size.bytes(), sector_size);
        wanted.loaders = with_esp.then(loaders);
        let table = wanted.layout().unwrap().place().unwrap();
        let last = sectors - from_end;
        let mut expected = vec![
            (types::ILLUMOS_USR, u32::from(with_esp), zfs, last - reserved, "zfs"),
            (types::ILLUMOS_RESERVED, 8, last - reserved + 1, last, ""),
        ];
        if with_esp {
            expected.insert(0, (types::EFI_SYSTEM, 0, 256, zfs - 1, "loader"));
        }
        let found: Vec<_> =
            table.partitions.iter().map(|p| (p.type_guid, p.slot, p.first_lba, p.last_lba, p.name.as_str())).collect();
        assert_eq!(found, expected);
        assert_eq!((table.entry_count, table.first_usable_lba(), table.last_usable_lba()), (9, first_usable, last));
        assert_eq!(pool_lba(sector_size, with_esp), zfs);
        let bytes = (last - reserved - zfs + 1) * sector_size.bytes();
        assert_eq!(pool_bytes(sector_size, with_esp, sectors * sector_size.bytes()), bytes);
        assert_eq!(unlike_zpool_create(&table), [""; 0]);
    }
}

#[test]
fn tables_of_other_programs_are_told_apart() {
    let mut wanted = disk(8_388_608 * 512, SectorSize::B512);
    wanted.loaders = Some(loaders());
    let ours = wanted.layout().unwrap().place().unwrap();
    for (change, expected) in [
        (
            (|table| table.partitions[0].first_lba = 2048) as fn(&mut Table),
            "the first partition begins at sector 2048, not 256",
        ),
        (|table| table.partitions[0].name = "EFI".to_owned(), "s0 has the name \"EFI\", not \"loader\""),
        (|table| table.partitions[1].name.clear(), "s1 has the name \"\", not \"zfs\""),
        (|table| table.partitions[2].first_lba += 8, "the reserved partition has 16376 sectors, not 16384"),
        (|table| drop(table.partitions.pop()), "there is no reserved partition"),
    ] {
        let mut table = ours.clone();
        change(&mut table);
        assert_eq!(unlike_zpool_create(&table), [expected]);
    }
}

#[test]
fn the_smallest_disk_is_the_smallest() {
    for sector_size in [SectorSize::B512, SectorSize::B4096] {
        for with_esp in [true, false] {
            let bytes = smallest_disk(sector_size, with_esp, 64 * MIB);
            let place = |disk_bytes| {
                let mut wanted = disk(disk_bytes, sector_size);
                wanted.loaders = with_esp.then(loaders);
                wanted.layout().unwrap().place()
            };
            assert!(place(bytes).is_ok(), "{bytes}");
            assert!(place(bytes - MIB).is_err(), "{bytes}");
        }
    }
}

/// Table, file system and boot blocks, byte by byte: when a hash changes, images of the same state do, and so must the
/// version, which is part of the key of an image.
#[test]
fn the_bytes_are_pinned() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("disk");
    let mut wanted = disk(600 * MIB, SectorSize::B512);
    wanted.loaders = Some(loaders());
    wanted.bios = Some(BiosLoaders { stage1: stage1(), stage2: program(100_003, 1024) });
    write(wanted, &output);
    // Only what is data: the holes would take the time.
    let file = File::open(output).unwrap();
    let hash = image_tree::BlobHash::of(&[bytes_at(&file, 0, 20 << 20), bytes_at(&file, 257 * MIB, 8 << 20)].concat());
    let end = image_tree::BlobHash::of(&bytes_at(&file, 590 * MIB, 10 << 20));
    let pinned = [
        "layout 1",
        "d1c96dc5dbbbcdd0241fe93e8595ed74913660e77f48c2f353a2dac90639dc59",
        "6f0e1aec6365adbc3b9545566204508fc76f1f213d63495f53d70a452009e39b",
    ];
    assert_eq!([format!("layout {LAYOUT_VERSION}"), hash.to_string(), end.to_string()], pinned);
}

/// The fields are those of installboot; see the tables of illumos-gate's `pmbr.s`.
#[test]
fn boot_blocks_are_where_the_firmware_and_each_other_look() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("disk");
    let stage2 = program(100_003, 1024);
    let mut wanted = disk(1024 * MIB, SectorSize::B512);
    wanted.loaders = Some(loaders());
    wanted.bios = Some(BiosLoaders { stage1: stage1(), stage2: stage2.clone() });
    let report = write(wanted, &output);
    judge::approve_gpt(&output);
    let file = File::open(&output).unwrap();
    let table = decode(&mut &file, SectorSize::B512).unwrap();
    let zfs = table.partitions[1].first_lba;
    assert_eq!(zfs, 524_544);

    let mbr = bytes_at(&file, 0, 512);
    assert_eq!(mbr[..3], [0x5C; 3]);
    assert_eq!(mbr[3..62], [0; 59], "the protective record's sector has no parameters");
    assert_eq!((mbr[0xFA], mbr[0xFC..0xFE].to_vec(), long(&mbr, 0xFE)), (0x5C, vec![1, 0], zfs));
    assert_eq!(mbr[440..446], [0; 6], "no disk signature");
    assert_eq!((mbr[450], mbr[510], mbr[511]), (0xEE, 0x55, 0xAA));

    let offset = zfs * 512;
    let vbr = bytes_at(&file, offset, 512);
    assert_eq!(vbr[3..62], [0x5C; 59]);
    assert_eq!(u16::from_le_bytes([vbr[0xFC], vbr[0xFD]]), 195, "100 003 bytes, rounded down");
    assert_eq!(long(&vbr, 0xFE), zfs + 1024);
    assert_eq!(vbr[0x106..0x116], mbr[0x106..0x116]);
    assert_ne!(vbr[0x106..0x116], table.disk_guid.to_disk());
    assert_eq!(vbr[0x116..], stage1()[0x116..]);

    let mut expected = stage2;
    expected[1024 + 24..1024 + 32].copy_from_slice(&zfs.to_le_bytes());
    assert!(bytes_at(&file, offset + STAGE2, expected.len()) == expected);
    let state = || inspect_boot_blocks(&|bytes, at| file.read_exact_at(bytes, at), offset, SectorSize::B512).unwrap();
    assert_eq!(state(), BootBlockState::Good);
    // The pool's own data is as it was.
    assert_eq!(bytes_at(&file, offset + 16 * 1024, 1000), [0xA1; 1000]);
    assert_eq!(bytes_at(&file, offset + 4 * MIB, 1000), [0xA2; 1000]);
    assert_eq!((report.partitions[1].offset, report.partitions[1].content_bytes), (offset, 2000));

    let write = File::options().write(true).open(&output).unwrap();
    for (at, length, expected) in [
        (0xFE, 8, "sector 0 loads 1 sectors from"),
        (offset + 0xFC, 2, "stage 1 loads"),
        (offset + 0xFE, 8, "not stage 2 at 525568"),
        (0x106, 16, "do not belong together"),
        (offset + STAGE2 + 1024, 4, "no multiboot header"),
        (offset + STAGE2 + 1024 + 24, 8, "stage 2 looks for the pool at sector"),
    ] {
        let good = bytes_at(&file, at, length);
        write.write_all_at(&vec![0xFF; length], at).unwrap();
        let BootBlockState::Broken(problem) = state() else { panic!("{expected} is not seen") };
        assert!(problem.contains(expected), "{problem}");
        write.write_all_at(&good, at).unwrap();
    }
    write.write_all_at(&[0; 440], 0).unwrap();
    write.write_all_at(&[0; 512], offset).unwrap();
    assert_eq!(state(), BootBlockState::None);
}

#[test]
fn the_efi_system_partition_holds_the_loaders_which_know_the_pools_place() {
    let directory = tempfile::tempdir().unwrap();
    for sector_size in [SectorSize::B512, SectorSize::B4096] {
        let output = directory.path().join("disk");
        let mut wanted = disk(1024 * MIB, sector_size);
        wanted.loaders = Some(loaders());
        let report = write(wanted, &output);
        let esp = directory.path().join("esp");
        extract_partition(&output, &report.partitions[0], &esp).unwrap();
        assert_eq!(std::fs::metadata(&esp).unwrap().len(), esp_bytes(sector_size));
        judge::approve_fat(&esp);
        let mut kind = [0; 5];
        File::open(&esp).unwrap().read_exact_at(&mut kind, 82).unwrap();
        assert_eq!(&kind, b"FAT32");
        let image = judge::text(&esp);
        let Some(listed) = judge::approve("mdir", "mtools", &["-b", "-/", "-i", image, "::"]) else { return };
        assert_eq!(
            listed.lines().filter(|line| !line.ends_with('/')).collect::<Vec<_>>(),
            ["::/EFI/BOOT/BOOTIA32.EFI", "::/EFI/BOOT/BOOTX64.EFI"]
        );
        let lba = pool_lba(sector_size, true);
        for (path, header, original) in [
            ("::/efi/boot/bootx64.efi", 4096, loaders().loader64.unwrap()),
            ("::/efi/boot/bootia32.efi", 0, loaders().loader32.unwrap()),
        ] {
            let copy = directory.path().join("loader");
            let arguments = ["-n", "-o", "-i", image, path, judge::text(&copy)];
            judge::approve("mcopy", "mtools", &arguments);
            let mut expected = original;
            expected[header + 24..header + 32].copy_from_slice(&lba.to_le_bytes());
            assert!(std::fs::read(&copy).unwrap() == expected, "{path}");
        }
    }
}

/// `sgdisk` and `sfdisk` take a table of nine entries as it is.
#[test]
fn judges_accept_a_table_of_nine_entries() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("disk");
    for loaders in [None, Some(loaders())] {
        write(IllumosDisk { loaders, ..disk(512 * MIB, SectorSize::B512) }, &output);
        judge::approve_gpt(&output);
        if let Some(said) = judge::approve("sfdisk", "fdisk", &["--verify", judge::text(&output)]) {
            assert!(said.contains("No errors detected") && said.contains("out of 9 partitions"), "{said}");
        }
        if let Some(said) = judge::approve("sgdisk", "gdisk", &["-p", judge::text(&output)]) {
            assert!(said.contains("holds up to 9 entries"), "{said}");
            assert!(said.contains("A504") || said.contains("BF01"), "the type of the pool is known:\n{said}");
        }
    }
}

#[test]
fn a_partition_and_a_bare_pool_are_files_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let (output, partition, bare) =
        (directory.path().join("disk"), directory.path().join("partonly"), directory.path().join("bare"));
    std::fs::write(&partition, "an older one").unwrap();
    let report = write(disk(2048 * MIB, SectorSize::B512), &output);
    extract_partition(&output, &report.partitions[0], &partition).unwrap();
    let copy = File::open(&partition).unwrap();
    let metadata = copy.metadata().unwrap();
    assert_eq!(metadata.len(), report.partitions[0].bytes);
    assert!(metadata.blocks() * 512 < MIB, "holes are kept");
    assert_eq!(bytes_at(&copy, 4 * MIB, 1000), [0xA2; 1000]);

    let written = write_bare(&mut FakePool, SectorSize::B512, 70 * MIB, &bare, directory.path()).unwrap();
    assert_eq!((written, std::fs::metadata(&bare).unwrap().len()), (2000, 70 * MIB));
    assert_eq!(bytes_at(&File::open(&bare).unwrap(), 16 * 1024, 1000), [0xA1; 1000]);

    // A disk that is not there leaves the older file, and nothing beside it.
    let missing = directory.path().join("missing");
    assert!(extract_partition(&missing, &report.partitions[0], &partition).is_err());
    assert_eq!(std::fs::metadata(&partition).unwrap().len(), report.partitions[0].bytes);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
}

#[test]
fn programs_that_installboot_would_refuse_are_refused() {
    let id = Guid::NIL;
    let blocks = |stage1: &[u8], stage2: &[u8]| BootBlocks::new(stage1, stage2, 256, id).unwrap_err();
    let good = program(4096, 64);
    assert_eq!(blocks(&[0; 512], &good), BootError::Stage1 { bytes: 512 });
    assert_eq!(blocks(&[0; 511], &good), BootError::Stage1 { bytes: 511 });
    assert!(matches!(blocks(&stage1(), &[0; 9000]), BootError::NoMultibootHeader { .. }));
    let large = program(3_670_017, 0);
    assert_eq!(blocks(&stage1(), &large), BootError::Stage2TooLarge { bytes: 3_670_017 });
    assert!(BootBlocks::new(&stage1(), &large[..3_670_016], 256, id).is_ok());

    let mut with_bios = disk(1024 * MIB, SectorSize::B4096);
    with_bios.bios = Some(BiosLoaders { stage1: stage1(), stage2: good });
    let error = with_bios.layout().unwrap_err();
    assert!(matches!(error, IllumosDiskError::Boot(BootError::SectorSize { bytes: 4096 })), "{error}");
    let mut with_script = disk(1024 * MIB, SectorSize::B512);
    with_script.loaders = Some(EfiLoaders { loader64: Some(b"#!/bin/sh\n".to_vec()), loader32: None });
    assert!(with_script.layout().unwrap_err().to_string().contains("loader64.efi has no multiboot header"));
}

#[test]
fn the_multiboot_header_is_at_a_multiple_of_four_within_64_kib() {
    for (length, at, found) in [
        (32, 0, Some(0)),
        (31, 0, None),
        (100, 68, Some(68)),
        (100, 72, None),
        (100, 6, None),
        (70_000, 65_504, Some(65_504)),
        (70_000, 65_508, None),
    ] {
        let mut bytes = vec![0; length.max(at + 12)];
        bytes.write_all_header(at);
        bytes.truncate(length);
        assert_eq!(multiboot_header(&bytes), found, "{length} {at}");
    }
    let mut wrong_sum = program(100, 8);
    wrong_sum[16] ^= 1;
    assert_eq!(multiboot_header(&wrong_sum), None);
    assert_eq!(multiboot_header(&[]), None);
}

trait Header {
    fn write_all_header(&mut self, at: usize);
}

impl Header for Vec<u8> {
    fn write_all_header(&mut self, at: usize) {
        let header = &program(32, 0)[..12];
        (&mut self[at..]).write_all(header).unwrap();
    }
}

#[test]
fn threads_write_into_a_region_and_holes_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    file.set_len(64 * MIB).unwrap();
    let region = Region::new(&file, 512, 63 * MIB);
    let mut block = vec![0; 3 * MIB as usize];
    block[0] = 1;
    block[2 * MIB as usize] = 2;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (region, block) = (&region, &block);
            scope.spawn(move || {
                for round in 0..5 {
                    region.write_all_at(block, (round * 4 + thread) * 3 * MIB).unwrap();
                }
            });
        }
    });
    assert!(file.metadata().unwrap().blocks() * 512 < 5 * MIB, "two chunks of each block are data");
    let mut read = vec![0; block.len()];
    for index in 0..20 {
        region.read_exact_at(&mut read, index * 3 * MIB).unwrap();
        assert!(read == block, "{index}");
    }
    // Zeros over data are written.
    region.write_all_at(&vec![0; MIB as usize], 0).unwrap();
    region.read_exact_at(&mut read, 0).unwrap();
    assert_eq!((read[0], read[2 * MIB as usize]), (0, 2));
    for (length, offset) in [(2, 63 * MIB - 1), (1, u64::MAX), (1, 63 * MIB)] {
        assert!(region.write_all_at(&vec![1; length], offset).is_err());
        assert!(region.read_exact_at(&mut vec![1; length], offset).is_err());
    }
}
