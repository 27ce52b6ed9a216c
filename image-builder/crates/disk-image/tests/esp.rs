//! EFI system partitions: contents as mtools reads them, structure as fsck.fat sees it.

mod judge;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use disk_image::esp::{EspError, EspFile, EspVolume};
use disk_image::gpt::SectorSize;
use disk_image::{DiskSeed, Region, Volume, VolumeContext, VolumeError, read_fat_file};

const MIB: u64 = 1024 * 1024;

/// Content that differs from place to place.
fn bytes(length: usize, salt: u8) -> Vec<u8> {
    (0..length).map(|at| (at / 251) as u8 ^ (at % 251) as u8 ^ salt).collect()
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("EFI/BOOT/BOOTX64.EFI", bytes(98_304, 1)),
        ("EFI/systemd/systemd-bootx64.efi", bytes(98_305, 2)),
        ("loader/loader.conf", b"timeout 0\n".to_vec()),
        ("loader/entries/debian-6.1.0-56-amd64.conf", b"title Debian\n".to_vec()),
        ("debian/6.1.0-56-amd64/a rather long name of a kernel image.efi", bytes(1_500_000, 3)),
        ("debian/empty", Vec::new()),
        ("debian/one-sector", bytes(512, 4)),
    ]
}

fn volume(files: Vec<(&str, Vec<u8>)>) -> Result<EspVolume<'static>, EspError> {
    let files = files.into_iter().map(|(path, bytes)| EspFile::from_bytes(path, bytes)).collect();
    EspVolume::new(&DiskSeed::new("test"), "ESP", files)
}

/// Writes a volume as a file of its own.
fn write(
    mut volume: EspVolume<'_>,
    directory: &Path,
    length: u64,
    sector_size: SectorSize,
) -> Result<PathBuf, VolumeError> {
    let path = directory.join("esp");
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    file.set_len(length).unwrap();
    let context = VolumeContext { sector_size, first_lba: 2048, work: directory };
    volume.write(&mut Region::new(&file, 0, length), &context).map(|_| path)
}

fn fat_type(image: &Path) -> &'static str {
    let mut boot = [0; 512];
    File::open(image).unwrap().read_exact(&mut boot).unwrap();
    match (&boot[54..59], &boot[82..87]) {
        (b"FAT12", _) => "FAT12",
        (b"FAT16", _) => "FAT16",
        (_, b"FAT32") => "FAT32",
        other => panic!("{other:?}"),
    }
}

#[test]
fn other_programs_read_every_file_back() {
    for (mib, sector_size, expected) in [
        (4, SectorSize::B512, "FAT16"),
        (32, SectorSize::B512, "FAT16"),
        (36, SectorSize::B512, "FAT32"),
        (200, SectorSize::B512, "FAT32"),
        (513, SectorSize::B512, "FAT32"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let image = write(volume(files()).unwrap(), directory.path(), mib * MIB, sector_size).unwrap();
        assert_eq!(fat_type(&image), expected, "{mib} MiB");
        judge::approve_fat(&image);
        for (path, expected) in files() {
            let copy = directory.path().join("copy");
            let source = format!("::/{path}");
            let arguments = ["-n", "-o", "-i", judge::text(&image), &source, judge::text(&copy)];
            if judge::approve("mcopy", "mtools", &arguments).is_none() {
                return;
            }
            assert_eq!(std::fs::read(copy).unwrap(), expected, "{path} at {mib} MiB");
        }
    }
}

/// A file system in memory, for the reader.
fn reading(bytes: &[u8]) -> impl Fn(&mut [u8], u64) -> std::io::Result<()> + '_ {
    |buffer, offset| {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.checked_add(buffer.len()).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes.get(start..end).ok_or(std::io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

#[test]
fn our_reader_finds_loaders() {
    for (mib, sector_size) in [(4, SectorSize::B512), (36, SectorSize::B512), (300, SectorSize::B4096)] {
        let directory = tempfile::tempdir().unwrap();
        let image = write(volume(files()).unwrap(), directory.path(), mib * MIB, sector_size).unwrap();
        let image = std::fs::read(image).unwrap();
        let found = |path: &str| read_fat_file(&reading(&image), path).unwrap();
        assert_eq!(found("EFI/BOOT/BOOTX64.EFI"), Some(bytes(98_304, 1)), "{mib} MiB");
        assert_eq!(found("efi/boot/bootx64.efi"), Some(bytes(98_304, 1)), "names have no case");
        for path in ["EFI", "EFI/BOOT", "EFI/BOOT/BOOTIA32.EFI", "BOOTX64.EFI", "EFI/BOOT/BOOTX64.EFI/X", "ESP", ""] {
            assert_eq!(found(path), None, "{path:?}");
        }
    }
    for (bytes, expected) in [(vec![0; 4096], "has no boot sector"), (Vec::new(), "cannot read")] {
        let error = read_fat_file(&reading(&bytes), "A").unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn our_reader_reads_what_another_program_wrote() {
    let directory = tempfile::tempdir().unwrap();
    let (image, loader) = (directory.path().join("esp"), directory.path().join("loader"));
    std::fs::write(&loader, bytes(300_001, 5)).unwrap();
    for (mib, bits) in [(16, "16"), (64, "32")] {
        File::create(&image).unwrap().set_len(mib * MIB).unwrap();
        let made = judge::approve("mkfs.fat", "dosfstools", &["-F", bits, judge::text(&image)]);
        let put = made.and_then(|_| {
            judge::approve("mmd", "mtools", &["-i", judge::text(&image), "::/EFI", "::/EFI/BOOT"])?;
            let arguments = ["-i", judge::text(&image), judge::text(&loader), "::/EFI/BOOT/BOOTX64.EFI"];
            judge::approve("mcopy", "mtools", &arguments)
        });
        if put.is_none() {
            return;
        }
        let image = std::fs::read(&image).unwrap();
        let found = read_fat_file(&reading(&image), "EFI/BOOT/BOOTX64.EFI").unwrap();
        assert_eq!(found, Some(bytes(300_001, 5)), "FAT{bits}");
    }
}

/// No damage makes it panic, loop, or take more memory than a loader may have.
#[test]
fn fuzz_our_reader() {
    let directory = tempfile::tempdir().unwrap();
    let image = write(volume(files()).unwrap(), directory.path(), 36 * MIB, SectorSize::B512).unwrap();
    let image = std::fs::read(image).unwrap();
    // What is looked at: the boot sector, the table, and the first directories; the rest stays as it is.
    test_judge::fuzz(300, |random| {
        let part = [512, 4096, 64 << 10][random.below(3)];
        let mut head = image[..part].to_vec();
        random.damage(&mut head);
        head.resize(part, 0);
        let (head, whole) = (reading(&head), reading(&image));
        let read = |buffer: &mut [u8], offset: u64| head(buffer, offset).or_else(|_| whole(buffer, offset));
        if let Ok(Some(content)) = read_fat_file(&read, "EFI/BOOT/BOOTX64.EFI") {
            assert!(content.len() <= 16 << 20);
        }
    });
}

#[test]
fn large_sectors_are_read_back_too() {
    for (mib, expected) in [(64, "FAT16"), (300, "FAT32")] {
        let directory = tempfile::tempdir().unwrap();
        let image = write(volume(files()).unwrap(), directory.path(), mib * MIB, SectorSize::B4096).unwrap();
        assert_eq!(fat_type(&image), expected);
        judge::approve_fat(&image);
    }
}

#[test]
fn label_number_and_times_are_fixed() {
    let directory = tempfile::tempdir().unwrap();
    let image = write(volume(files()).unwrap(), directory.path(), 36 * MIB, SectorSize::B512).unwrap();
    let Some(said) = judge::approve("mdir", "mtools", &["-i", judge::text(&image), "::/loader"]) else {
        return;
    };
    assert!(said.contains("Volume in drive : is ESP"), "{said}");
    let number = DiskSeed::new("test").number("esp");
    let serial = format!("{:04X}-{:04X}", number >> 16, number & 0xffff);
    assert!(said.contains(&serial), "{serial} is not in:\n{said}");
    assert!(said.contains("1980-01-01"), "{said}");
}

#[test]
fn the_same_files_in_any_order_give_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let mut reversed = files();
    reversed.reverse();
    let write_and_read = |files| {
        let image = write(volume(files).unwrap(), directory.path(), 36 * MIB, SectorSize::B512);
        std::fs::read(image.unwrap()).unwrap()
    };
    assert!(write_and_read(files()) == write_and_read(reversed));
}

#[test]
fn free_space_is_a_hole() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().unwrap();
    let image = write(volume(files()).unwrap(), directory.path(), 512 * MIB, SectorSize::B512).unwrap();
    let occupied = std::fs::metadata(image).unwrap().blocks() * 512;
    assert!(occupied < 4 * MIB, "{occupied} bytes for 1.7 MB of files");
}

#[test]
fn the_smallest_size_is_enough_and_one_less_is_refused() {
    let many: Vec<(String, Vec<u8>)> =
        (0..400).map(|n| (format!("directory {}/a file with quite a long name {n}", n % 7), bytes(n, 0))).collect();
    for extra in [Vec::new(), bytes(40 * MIB as usize, 9)] {
        let all = || {
            let mut all: Vec<_> = many.iter().map(|(p, b)| (p.as_str(), b.clone())).collect();
            all.push(("large", extra.clone()));
            volume(all).unwrap()
        };
        let directory = tempfile::tempdir().unwrap();
        let least = all().minimum_bytes(SectorSize::B512).unwrap();
        let image = write(all(), directory.path(), least, SectorSize::B512).unwrap();
        judge::approve_fat(&image);
        let error = write(all(), directory.path(), least - 512, SectorSize::B512).unwrap_err();
        let VolumeError::Esp(EspError::Size { needed, .. }) = error else { panic!("{error}") };
        assert_eq!(needed, least);
    }
}

#[test]
fn the_preferred_size_is_always_fat32_and_has_the_room_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = volume(files()).unwrap().preferred_bytes(SectorSize::B512, 10 * MIB).unwrap();
    let mut with_more = files();
    with_more.push(("more", vec![1; 10 * MIB as usize]));
    let image = write(volume(with_more).unwrap(), directory.path(), bytes, SectorSize::B512).unwrap();
    assert_eq!(fat_type(&image), "FAT32");
    judge::approve_fat(&image);
}

#[test]
fn impossible_files_are_refused_before_anything_is_written() {
    let one = |path| volume(vec![(path, Vec::new())]).unwrap_err().to_string();
    for path in ["", "/EFI", "EFI/", "EFI//BOOT", "a:b", "a\nb", "dot.", "space "] {
        assert!(one(path).contains("cannot be a path"), "{path}");
    }
    let clash = |a, b| volume(vec![(a, Vec::new()), (b, Vec::new())]).unwrap_err();
    for (a, b) in [("a", "a"), ("EFI/x", "efi/y"), ("a", "a/b"), ("a/b", "a"), ("x/File", "x/FILE")] {
        assert!(matches!(clash(a, b), EspError::Clash { .. }), "{a} and {b}");
    }
    for label in ["", "lower", "TWELVE-CHARS", "A B", "Ä"] {
        let error = EspVolume::new(&DiskSeed::new("x"), label, Vec::new()).unwrap_err();
        assert!(matches!(error, EspError::Label { .. }), "{label}");
    }
}

#[test]
fn a_file_of_another_length_than_announced_is_an_error() {
    for (announced, found) in [(9, Some(10)), (11, Some(10)), (0, None)] {
        let directory = tempfile::tempdir().unwrap();
        let file = EspFile::from_reader("file", announced, &b"ten bytes."[..]);
        let volume = EspVolume::new(&DiskSeed::new("test"), "ESP", vec![file]).unwrap();
        let error = write(volume, directory.path(), 36 * MIB, SectorSize::B512).unwrap_err();
        let VolumeError::Esp(EspError::Length { found: reported, .. }) = error else { panic!("{error}") };
        assert_eq!(reported, if announced < 10 { None } else { found });
    }
}

/// An image that El Torito boots is often as small as this, and its label is written in small letters.
#[test]
fn a_medium_of_its_own_may_be_small_and_have_empty_directories() {
    for (mib, expected) in [(1, "FAT12"), (2, "FAT12"), (3, "FAT16"), (40, "FAT32")] {
        let content = vec![
            ("EFI/BOOT/BOOTX64.EFI", bytes(300_001, 1)),
            ("EFI/BOOT/BOOTIA32.EFI", bytes(512, 2)),
            ("a long name.conf", b"x".to_vec()),
        ];
        let list = content.iter().map(|(path, bytes)| EspFile::from_bytes(*path, bytes.clone())).collect();
        let directories = ["EFI", "EFI/BOOT", "EFI/empty"].map(str::to_owned);
        let volume = EspVolume::medium(&DiskSeed::new("test"), "System", &directories, list).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let image = write(volume, directory.path(), mib * MIB, SectorSize::B512).unwrap();
        assert_eq!(fat_type(&image), expected, "{mib} MiB");
        judge::approve_fat(&image);
        for (path, expected) in content {
            let copy = directory.path().join("copy");
            let source = format!("::/{path}");
            let arguments = ["-n", "-o", "-i", judge::text(&image), &source, judge::text(&copy)];
            if judge::approve("mcopy", "mtools", &arguments).is_none() {
                return;
            }
            assert_eq!(std::fs::read(&copy).unwrap(), expected, "{path}");
        }
        let Some(said) = judge::approve("mdir", "mtools", &["-i", judge::text(&image), "::/EFI"]) else { return };
        assert!(said.contains("Volume in drive : is SYSTEM") && said.to_lowercase().contains("empty"), "{said}");
    }
}

#[test]
fn a_medium_that_is_too_small_says_how_large_it_has_to_be() {
    let list = vec![EspFile::from_bytes("large", bytes(2 << 20, 1))];
    let volume = EspVolume::medium(&DiskSeed::new("test"), "System", &[], list).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let error = write(volume, directory.path(), MIB, SectorSize::B512).unwrap_err();
    let VolumeError::Esp(EspError::Size { bytes: MIB, needed }) = error else { panic!("{error:?}") };
    assert!(needed > 2 << 20, "{needed}");
}

/// It was told as if the file's name were at fault.
#[test]
fn a_file_that_is_longer_than_fat_can_say_is_refused_for_its_length() {
    let with = |length| {
        let file = EspFile::from_reader("EFI/large", length, std::io::empty());
        EspVolume::medium(&DiskSeed::new("test"), "System", &[], vec![file])
    };
    assert!(with((1 << 32) - 1).is_ok());
    let error = with(1 << 32).unwrap_err();
    assert!(matches!(&error, EspError::TooLong { path } if path == "EFI/large"), "{error:?}");
}
