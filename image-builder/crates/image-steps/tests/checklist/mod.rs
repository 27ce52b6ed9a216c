//! What a disk must hold so that illumos boots from it, checked point by point on the finished file.
//!
//! Offsets and numbers are written out as illumos-gate has them, not taken from the code that wrote the disk; the inside
//! of the pool is read by our reader.

use crate::illumos_root::at;
use flate2::read::GzDecoder;
use sha1::{Digest, Sha1};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use zfs_format::nvlist::{NvValue, decode_xdr};
use zfs_image::reader::{FileSystem, Pool, Window};

const MIB: u64 = 1 << 20;

/// The features that the boot loader of illumos accepts when they are active.
const LOADER_FEATURES: [&str; 19] = [
    "org.illumos:lz4_compress",
    "com.delphix:hole_birth",
    "com.delphix:extensible_dataset",
    "com.delphix:embedded_data",
    "org.open-zfs:large_blocks",
    "org.illumos:sha512",
    "org.illumos:skein",
    "org.illumos:edonr",
    "org.zfsonlinux:large_dnode",
    "com.joyent:multi_vdev_crash_dump",
    "com.delphix:spacemap_histogram",
    "com.delphix:zpool_checkpoint",
    "com.delphix:spacemap_v2",
    "com.datto:encryption",
    "com.datto:bookmark_v2",
    "org.zfsonlinux:allocation_classes",
    "com.datto:resilver_defer",
    "com.delphix:device_removal",
    "com.delphix:obsolete_counts",
];

struct Disk {
    file: File,
    sectors: u64,
}

impl Disk {
    fn bytes(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset).expect("within the disk");
        bytes
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Where the multiboot header of a program is.
fn multiboot(bytes: &[u8]) -> usize {
    let is_header = |at: &usize| u32_at(bytes, *at) == 0x1BAD_B002 && u32_at(bytes, at + 4) == 0x0001_0000;
    (0..bytes.len() - 32).step_by(4).find(is_header).expect("a multiboot header")
}

/// Checks a disk with an EFI system partition whose pool is `rpool` with the boot environment `bename`.
pub(crate) fn check(path: &Path, bename: &str) {
    let file = File::open(path).expect("the disk");
    let disk = Disk { sectors: file.metadata().expect("its size").len() / 512, file };
    let (zfs, zfs_end) = check_table(&disk);
    let pool = open(&disk, zfs, zfs_end);
    let dataset = check_pool(&pool, bename);
    let files = pool.file_system(&pool.dataset(&dataset).expect("the boot environment")).expect("its files");
    let root = Root { files };
    check_boot_blocks(&disk, &root, zfs);
    check_esp(&disk, &root, zfs);
    root.check_loader();
    root.check_archive();
    root.check_configuration();
    check_menu(&pool, bename);
}

fn open(disk: &Disk, zfs: u64, end: u64) -> Pool<'_> {
    let (offset, length) = (zfs * 512, (end - zfs + 1) * 512);
    Pool::open(Window::new(&disk.file, offset, length), length).expect("a pool")
}

/// Points 1 and 2: protective record and both tables. Answers the pool's first and last sector.
fn check_table(disk: &Disk) -> (u64, u64) {
    let mbr = disk.bytes(0, 512);
    assert_eq!((u16_at(&mbr, 510), mbr[450], mbr[446]), (0xAA55, 0xEE, 0));
    assert_eq!((u32_at(&mbr, 454), u64::from(u32_at(&mbr, 458))), (1, disk.sectors - 1));
    assert!(mbr[462..510].iter().all(|byte| *byte == 0));
    let mut tables = Vec::new();
    for (header_lba, array_lba) in [(1, 2), (disk.sectors - 1, disk.sectors - 33)] {
        let header = disk.bytes(header_lba * 512, 92);
        assert_eq!(&header[..8], b"EFI PART");
        let mut blank = header.clone();
        blank[16..20].fill(0);
        assert_eq!(crc32(&blank), u32_at(&header, 16), "the header's checksum");
        assert_eq!((u64_at(&header, 24), u64_at(&header, 40)), (header_lba, 34));
        assert_eq!(u64_at(&header, 48), disk.sectors - 34);
        assert_eq!((u64_at(&header, 72), u32_at(&header, 80), u32_at(&header, 84)), (array_lba, 9, 128));
        let array = disk.bytes(array_lba * 512, 9 * 128);
        assert_eq!(crc32(&array), u32_at(&header, 88), "the array's checksum");
        tables.push(array);
    }
    assert!(tables[0] == tables[1]);
    let entry = |slot: usize| {
        let bytes = &tables[0][slot * 128..(slot + 1) * 128];
        let units: Vec<u16> = bytes[56..].chunks_exact(2).map(|pair| u16_at(pair, 0)).collect();
        let name = String::from_utf16_lossy(&units).trim_end_matches('\0').to_owned();
        (u32_at(bytes, 0), u64_at(bytes, 32), u64_at(bytes, 40), name)
    };
    let zfs = 256 + 524_288;
    let reserved = disk.sectors - 34 - 16_384 + 1;
    assert_eq!(entry(0), (0xC12A_7328, 256, zfs - 1, "loader".to_owned()));
    assert_eq!(entry(1), (0x6A89_8CC3, zfs, reserved - 1, "zfs".to_owned()));
    assert_eq!(entry(8), (0x6A94_5A3B, reserved, disk.sectors - 34, String::new()));
    assert!((2..8).all(|slot| entry(slot).0 == 0));
    (zfs, reserved - 1)
}

/// The CRC of zip and GPT, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    };
    !bytes.iter().fold(!0, step)
}

/// Points 1, 4 and 5.
fn check_boot_blocks(disk: &Disk, root: &Root<'_>, zfs: u64) {
    let (stage1, stage2) = (root.bytes("/boot/pmbr"), root.bytes("/boot/gptzfsboot"));
    let mbr = disk.bytes(0, 512);
    assert_eq!((u16_at(&mbr, 0xFC), u64_at(&mbr, 0xFE)), (1, zfs));
    assert_eq!(mbr[..3], stage1[..3]);
    let vbr = disk.bytes(zfs * 512, 512);
    assert_eq!((u16_at(&vbr, 0xFC) as usize, u64_at(&vbr, 0xFE)), (stage2.len() / 512, zfs + 1024));
    assert_eq!((&vbr[..0xFC], &vbr[0x116..]), (&stage1[..0xFC], &stage1[0x116..]));
    assert!(stage2.len() <= 7 << 19);
    let mut expected = stage2;
    let header = multiboot(&expected);
    expected[header + 24..header + 32].copy_from_slice(&zfs.to_le_bytes());
    assert!(disk.bytes(zfs * 512 + 512 * 1024, expected.len()) == expected, "stage 2");
}

/// Point 3. The partition is searched for the program: it lies in one piece.
fn check_esp(disk: &Disk, root: &Root<'_>, zfs: u64) {
    let boot = disk.bytes(256 * 512, 512);
    assert_eq!((&boot[82..87], u16_at(&boot, 510)), (&b"FAT32"[..], 0xAA55));
    for (path, short) in [("/boot/loader64.efi", b"BOOTX64 EFI"), ("/boot/loader32.efi", b"BOOTIA32EFI")] {
        let mut expected = root.bytes(path);
        let header = multiboot(&expected);
        expected[header + 24..header + 32].copy_from_slice(&zfs.to_le_bytes());
        let esp = disk.bytes(256 * 512, 16 * MIB as usize);
        let entry = esp.chunks_exact(32).find(|entry| entry.starts_with(short)).expect("a directory entry");
        let cluster = u64::from(u16_at(entry, 20)) << 16 | u64::from(u16_at(entry, 26));
        assert_eq!(u32_at(entry, 28) as usize, expected.len(), "{path}");
        let (sectors_per_cluster, reserved) = (u64::from(boot[13]), u64::from(u16_at(&boot, 14)));
        let data = reserved + u64::from(boot[16]) * u64::from(u32_at(&boot, 36));
        let offset = (256 + data + (cluster - 2) * sectors_per_cluster) * 512;
        assert!(disk.bytes(offset, expected.len()) == expected, "{path}");
    }
}

/// Points 6 to 8. Answers the name of the dataset that boots.
fn check_pool(pool: &Pool<'_>, bename: &str) -> String {
    assert_eq!(pool.labels().len(), 4);
    for label in pool.labels() {
        let config = label.config.as_ref().expect("a whole label");
        assert_eq!(config.u64("pool_guid"), Some(pool.guid()));
        assert_eq!(config.u64("guid"), config.u64("top_guid"));
        assert!(config.u64("txg").is_some_and(|txg| txg > 0));
        assert_eq!((config.u64("version"), config.u64("vdev_children")), (Some(5000), Some(1)));
        assert!(matches!(config.u64("state"), Some(0 | 1)));
        let tree = config.list("vdev_tree").expect("a vdev tree");
        assert_eq!(tree.string("type"), Some("disk"));
        assert!(tree.string("path").is_some_and(|path| path.starts_with('/')));
        assert_eq!(tree.u64("whole_disk"), Some(1));
        assert!(tree.get("devid").is_none() && tree.get("phys_path").is_none());
        let active = config.list("features_for_read").map(|list| list.pairs().to_vec()).unwrap_or_default();
        for (feature, _) in active {
            assert!(LOADER_FEATURES.contains(&feature.as_str()), "{feature}");
        }
    }
    let boots = pool.boot_dataset().expect("bootfs").expect("bootfs is set").name;
    assert_eq!(boots, format!("rpool/ROOT/{bename}"));
    let properties = |name: &str| {
        let directories = pool.directories().expect("directories");
        let directory = directories.iter().find(|directory| directory.name == name).expect(name);
        pool.properties(directory).expect("properties")
    };
    let environment = properties(&boots);
    assert_eq!(environment.get("mountpoint").map(String::as_str), Some("/"));
    assert_eq!(environment.get("canmount").map(String::as_str), Some("noauto"));
    assert_eq!(environment.get("org.opensolaris.libbe:policy").map(String::as_str), Some("static"));
    assert_eq!(environment.get("org.opensolaris.libbe:uuid").map(String::len), Some(36));
    let container = properties("rpool/ROOT");
    assert_eq!(container.get("mountpoint").map(String::as_str), Some("legacy"));
    assert_eq!(container.get("canmount").map(String::as_str), Some("off"));
    boots
}

/// Point 19.
fn check_menu(pool: &Pool<'_>, bename: &str) {
    let files = pool.file_system(&pool.dataset("rpool").expect("the pool's own")).expect("its files");
    let root = Root { files };
    assert_eq!(root.text("/boot/menu.lst"), format!("title {bename}\nbootfs rpool/ROOT/{bename}\n"));
}

/// The boot environment.
struct Root<'p> {
    files: FileSystem<'p>,
}

impl Root<'_> {
    fn bytes(&self, path: &str) -> Vec<u8> {
        let file = self.files.lookup(path.as_bytes(), true).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(file.is_regular(), "{path}");
        let mut bytes = vec![0; file.znode.size as usize];
        let count = self.files.read_at(&file, &mut bytes, 0).expect("readable");
        assert_eq!(count, bytes.len(), "{path}");
        bytes
    }

    fn text(&self, path: &str) -> String {
        String::from_utf8(self.bytes(path)).expect("text")
    }

    fn has(&self, path: &str) -> bool {
        self.files.lookup(path.as_bytes(), true).is_ok()
    }

    fn mtime(&self, path: &str) -> i64 {
        self.files.lookup(path.as_bytes(), true).expect("there").znode.mtime.secs
    }

    /// Points 9, 10 and 15.
    fn check_loader(&self) {
        for path in [
            "/boot/defaults/loader.conf",
            "/boot/loader",
            "/boot/loader64.efi",
            "/boot/loader.rc",
            "/boot/forth/loader.4th",
            "/platform/i86pc/kernel/amd64/unix",
        ] {
            assert!(self.has(path), "{path}");
        }
        let directory = self.files.lookup(b"/boot/conf.d", true).expect("there");
        for entry in self.files.read_dir(&directory).expect("a directory") {
            let text = self.text(&format!("/boot/conf.d/{}", String::from_utf8_lossy(&entry.name)));
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                let (name, value) = line.split_once('=').expect("name=\"value\"");
                let quoted = value.len() >= 2 && value.starts_with('"') && value.ends_with('"');
                assert!(quoted && !name.is_empty() && !name.contains(' '), "{line}");
            }
        }
        assert!(!self.has("/platform/i86pc/boot_archive") && !self.has("/platform/i86pc/archive_cache"));
    }

    /// Points 11 to 14.
    fn check_archive(&self) {
        let packed = self.bytes("/platform/i86pc/amd64/boot_archive");
        let mut archive = Vec::new();
        match packed.starts_with(&[0x1f, 0x8b]) {
            true => GzDecoder::new(&packed[..]).read_to_end(&mut archive).map(drop).expect("gzip"),
            false => archive.clone_from(&packed),
        }
        assert_eq!(archive.len() % 512, 0);
        let mut names = Vec::new();
        let mut offset = 0;
        loop {
            let header = &archive[offset..offset + 76];
            assert_eq!(&header[..6], b"070707");
            let field = |from: usize, to: usize| {
                let digits = std::str::from_utf8(&header[from..to]).expect("digits");
                usize::from_str_radix(digits, 8).expect("octal")
            };
            let (name_length, length) = (field(59, 65), field(65, 76));
            let name = std::str::from_utf8(&archive[offset + 76..offset + 75 + name_length]).expect("text").to_owned();
            let data = offset + 76 + name_length;
            if name == "TRAILER!!!" {
                break;
            }
            assert!(!name.starts_with(['/', '.']), "{name}");
            if field(18, 24) & 0o170_000 == 0o100_000 {
                assert!(archive[data..data + length] == self.bytes(&format!("/{name}"))[..], "{name}");
            }
            names.push(name);
            offset = data + length;
        }
        for name in [
            "kernel/amd64/genunix",
            "kernel/fs/amd64/zfs",
            "kernel/drv/amd64/blkdev",
            "kernel/drv/amd64/vioblk",
            "kernel/misc/amd64/virtio",
            "platform/i86pc/kernel/drv/amd64/pci",
            "platform/i86pc/kernel/drv/amd64/npe",
            "platform/i86pc/kernel/drv/amd64/isa",
            "etc/name_to_major",
            "etc/driver_aliases",
            "etc/path_to_inst",
            "etc/system",
            "boot/solaris/bootenv.rc",
        ] {
            assert!(names.iter().any(|archived| archived == name), "{name} is not archived");
        }
        for listed in
            self.text("/boot/solaris/filelist.ramdisk").lines().filter(|listed| self.has(&format!("/{listed}")))
        {
            assert!(names.iter().any(|archived| archived == listed), "{listed} is not archived");
        }
        let hash: String = Sha1::digest(&archive).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(self.text("/platform/i86pc/amd64/boot_archive.hash"), format!("{hash}\n"));
        assert!(self.mtime("/boot/solaris/timestamp.cache") >= self.mtime("/platform/i86pc/amd64/boot_archive"));
        let states = decode_xdr(&self.bytes("/boot/solaris/filestat.ramdisk")).expect("a packed list");
        assert!(!states.pairs().is_empty());
        for (name, value) in states.pairs() {
            let NvValue::U64Array(pair) = value else { panic!("{name}: {value:?}") };
            let file = self.files.lookup(format!("/{name}").as_bytes(), false).expect(name);
            if file.is_regular() {
                assert_eq!(pair[..], [file.znode.size, file.znode.mtime.secs as u64], "{name}");
            }
        }
    }

    /// Points 16 to 18 and 20.
    fn check_configuration(&self) {
        assert!(self.text("/etc/name_to_major").contains("vio9p "));
        assert!(self.text("/etc/driver_aliases").contains("vio9p \"pci1af4,9\""));
        assert_eq!(self.bytes("/etc/svc/repository.db"), self.bytes("/lib/svc/seed/global.db"));
        let repository = self.files.lookup(b"/etc/svc/repository.db", false).expect("there");
        assert_eq!(repository.znode.mode & 0o7777, 0o600);
        assert!(self.has("/etc/svc/profile/generic.xml"));
        for directory in
            ["/devices", "/dev", "/system/contract", "/proc", "/etc/svc/volatile", "/system/object", "/system/boot"]
        {
            assert!(
                self.files.lookup(at(directory).as_bytes(), false).is_ok_and(|file| file.is_directory()),
                "{directory}"
            );
        }
        for file in ["/etc/mnttab", "/etc/dfs/sharetab", "/etc/vfstab"] {
            assert!(self.files.lookup(file.as_bytes(), false).is_ok_and(|file| file.is_regular()), "{file}");
        }
        assert!(!self.has("/reconfigure"));
    }
}
