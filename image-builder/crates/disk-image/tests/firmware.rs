//! Two firmwares start what lies where illumos' boot programs do: SeaBIOS the stages of the boot blocks, EDK II the loader
//! of the EFI system partition, from a table with nine entries.
//!
//! The programs are not illumos'. They do what its first stage does with the fields that `installboot` writes (`boot/i386/pmbr`),
//! and tell what they were told.

use disk_image::gpt::SectorSize;
use disk_image::illumos::{BiosLoaders, EfiLoaders, IllumosDisk, pool_lba, smallest_disk};
use disk_image::{DiskSeed, Region, Volume, VolumeContext, VolumeError, write_disk};
use process_runner::Command;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const POOL_BYTES: u64 = 64 << 20;
/// A firmware without acceleration, on a machine that does much else.
const DEADLINE: Duration = Duration::from_secs(600);

/// Moves itself out of the way, loads what its fields name to where it was, and goes there.
const STAGE1: [u8; 73] = [
    0xfa, // cli
    0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, // ds, es, ss = 0
    0xbc, 0x00, 0x7c, 0xfc, // sp = 7c00; cld
    0xbe, 0x00, 0x7c, 0xbf, 0x00, 0x06, 0xb9, 0x00, 0x01, 0xf3, 0xa5, // 512 bytes from 7c00 to 600
    0xea, 0x5b, 0x06, 0x00, 0x00, // jmp 0:65b, the next instruction there
    0xc7, 0x06, 0x00, 0x05, 0x10, 0x00, // a packet of the BIOS at 500, of 16 bytes:
    0xa1, 0xfc, 0x06, 0xa3, 0x02, 0x05, // how many sectors
    0x66, 0xc7, 0x06, 0x04, 0x05, 0x00, 0x7c, 0x00, 0x00, // to 0:7c00
    0xbe, 0xfe, 0x06, 0xbf, 0x08, 0x05, 0xb9, 0x04, 0x00, 0xf3, 0xa5, // from which sector
    0xbe, 0x00, 0x05, 0xb4, 0x42, 0xcd, 0x13, // extended read, of the disk that the BIOS has put into dl
    0xea, 0x00, 0x7c, 0x00, 0x00, // jmp 0:7c00
];

/// Sends the last field of its multiboot header, which is at 0x100, to the serial line, and ends the machine.
const STAGE2: [u8; 22] = [
    0xba, 0xf8, 0x03, 0xbe, 0x18, 0x7d, 0xb9, 0x08, 0x00, // dx = COM1; 8 bytes at 7d18
    0xac, 0xee, 0xe2, 0xfc, // lodsb; out; loop
    0xba, 0xf4, 0x00, 0xb0, 0x10, 0xee, // 10 to the port of isa-debug-exit
    0xf4, 0xeb, 0xfd, // hlt, for ever
];
/// What QEMU ends with then.
const STAGE2_EXIT: i32 = 0x10 << 1 | 1;

/// `SystemTable->ConOut->OutputString(text)`, then `RuntimeServices->ResetSystem(EfiResetShutdown, …)`. The text follows.
const EFI: [u8; 44] = [
    0x48, 0x83, 0xec, 0x28, 0x48, 0x89, 0xd3, // sub rsp, 28; rbx = system table
    0x48, 0x8b, 0x4a, 0x40, 0x48, 0x8d, 0x15, 0x1a, 0x00, 0x00, 0x00, 0xff, 0x51, 0x08, // the output
    0x48, 0x8b, 0x43, 0x58, 0xb9, 0x02, 0x00, 0x00, 0x00, 0x31, 0xd2, 0x45, 0x31, 0xc0, 0x45, 0x31, 0xc9, 0xff, 0x50,
    0x68, // the end
    0xf4, 0xeb, 0xfd, // hlt, for ever
];
const SAID: &str = "the loader was started";

struct EmptyPool;

impl Volume for EmptyPool {
    fn minimum_bytes(&self, _: SectorSize) -> Result<u64, VolumeError> {
        Ok(POOL_BYTES)
    }

    fn write(&mut self, _: &mut Region<'_>, _: &VolumeContext<'_>) -> Result<u64, VolumeError> {
        Ok(0)
    }
}

fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    bytes[at..at + what.len()].copy_from_slice(what);
}

fn put_multiboot_header(bytes: &mut [u8], at: usize) {
    for (word, place) in [0x1BAD_B002_u32, 0x0001_0000, 0xE451_4FFE].iter().zip((at..).step_by(4)) {
        put(bytes, place, &word.to_le_bytes());
    }
}

fn bios_loaders() -> BiosLoaders {
    let mut stage1 = vec![0; 512];
    // A jump over the parameters that a boot sector keeps.
    put(&mut stage1, 0, &[0xeb, 0x3c, 0x90]);
    put(&mut stage1, 0x3e, &STAGE1);
    put(&mut stage1, 510, &[0x55, 0xaa]);
    let mut stage2 = vec![0; 4096];
    put(&mut stage2, 0, &STAGE2);
    put_multiboot_header(&mut stage2, 0x100);
    BiosLoaders { stage1, stage2 }
}

/// A PE32+ image with one section.
fn efi_program() -> Vec<u8> {
    let mut bytes = vec![0; 0x400];
    put(&mut bytes, 0, b"MZ");
    put(&mut bytes, 0x3c, &[0x40]);
    put(&mut bytes, 0x40, b"PE\0\0");
    // amd64, one section, 240 bytes of optional header, executable.
    put(&mut bytes, 0x44, &[0x64, 0x86, 1, 0]);
    put(&mut bytes, 0x54, &[0xf0, 0, 0x22, 0]);
    let optional = 0x58;
    for (at, value) in [
        (0, 0x020b),       // PE32+
        (4, 0x200),        // bytes of code
        (16, 0x1000),      // the entry point,
        (20, 0x1000),      // where the code is
        (24, 0x0040_0000), // the preferred place
        (32, 0x1000),      // alignment in memory
        (36, 0x200),       // and in the file
        (56, 0x2000),      // bytes in memory
        (60, 0x200),       // bytes of headers
        (68, 10),          // an application of EFI
        (108, 16),         // directories, all empty
    ] {
        put(&mut bytes, optional + at, &u32::to_le_bytes(value));
    }
    let section = optional + 0xf0;
    put(&mut bytes, section, b".text");
    for (at, value) in [(8, 0x200), (12, 0x1000), (16, 0x200), (20, 0x200), (36, 0x6000_0020)] {
        put(&mut bytes, section + at, &u32::to_le_bytes(value));
    }
    put(&mut bytes, 0x200, &EFI);
    let text: Vec<u8> = format!("{SAID}\r\n\0").encode_utf16().flat_map(u16::to_le_bytes).collect();
    put(&mut bytes, 0x200 + EFI.len(), &text);
    put_multiboot_header(&mut bytes, 0x300);
    bytes
}

/// Runs a machine with this disk; what QEMU ended with, and what came on the serial line.
fn run(qemu: &Path, directory: &Path, arguments: &[String]) -> (Option<i32>, Vec<u8>) {
    let serial = directory.join("serial");
    let output = Command::new(qemu)
        .args(["-accel", "tcg", "-M", "pc", "-m", "256", "-nodefaults", "-display", "none", "-no-reboot"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-serial", &format!("file:{}", serial.display())])
        .args(arguments)
        .deadline(DEADLINE)
        .run_any()
        .expect("a machine that comes to an end");
    assert_eq!(output.stderr_text(), "", "QEMU's own words");
    (output.code, fs::read(serial).expect("what was said"))
}

fn write(directory: &Path, sector_size: SectorSize, efi: bool) -> PathBuf {
    let loaders = EfiLoaders { loader64: Some(efi_program()), loader32: None };
    let disk = IllumosDisk {
        seed: DiskSeed::new("firmware"),
        sector_size,
        disk_bytes: smallest_disk(sector_size, efi, POOL_BYTES),
        loaders: efi.then_some(loaders),
        bios: (sector_size == SectorSize::B512).then(bios_loaders),
        pool: Box::new(EmptyPool),
    };
    let path = directory.join("disk");
    write_disk(disk.layout().expect("a layout"), &path, directory, &mut |_| {}).expect("a disk");
    path
}

#[test]
fn a_bios_goes_from_stage_to_stage() {
    let Some(qemu) = test_judge::find("qemu-system-x86_64", "qemu-system-x86") else { return };
    for efi in [true, false] {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = write(directory.path(), SectorSize::B512, efi);
        let drive = format!("file={},format=raw,if=virtio", disk.display());
        let (code, said) = run(&qemu, directory.path(), &["-drive".to_owned(), drive]);
        assert_eq!(code, Some(STAGE2_EXIT), "{}", String::from_utf8_lossy(&said));
        assert_eq!(said, pool_lba(SectorSize::B512, efi).to_le_bytes(), "stage 2 knows where the pool begins");
    }
}

/// EDK II's code and the variables to start from, where distributions have them.
fn firmware() -> Option<(PathBuf, PathBuf)> {
    let places = [
        ("/usr/share/OVMF", "_4M"),
        ("/usr/share/OVMF", ""),
        ("/usr/share/edk2/ovmf", ""),
        ("/usr/share/edk2/x64", ".4m"),
    ];
    let found = places.into_iter().map(|(directory, suffix)| {
        let file = |name: &str| Path::new(directory).join(format!("OVMF_{name}{suffix}.fd"));
        (file("CODE"), file("VARS"))
    });
    found.into_iter().find(|(code, variables)| code.exists() && variables.exists())
}

#[test]
fn uefi_starts_the_loader_of_a_table_with_nine_entries() {
    let Some(qemu) = test_judge::find("qemu-system-x86_64", "qemu-system-x86") else { return };
    let Some((code, variables)) = firmware() else {
        return test_judge::skip("UEFI firmware is missing; install the package ovmf");
    };
    for sector_size in [SectorSize::B512, SectorSize::B4096] {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = write(directory.path(), sector_size, true);
        let own = directory.path().join("variables");
        fs::copy(&variables, &own).expect("variables");
        let bytes = sector_size.bytes();
        let arguments = [
            "-drive".to_owned(),
            format!("if=pflash,unit=0,format=raw,readonly=on,file={}", code.display()),
            "-drive".to_owned(),
            format!("if=pflash,unit=1,format=raw,file={}", own.display()),
            "-drive".to_owned(),
            format!("file={},format=raw,if=none,id=disk", disk.display()),
            "-device".to_owned(),
            format!("virtio-blk-pci,drive=disk,logical_block_size={bytes},physical_block_size={bytes}"),
        ];
        let (code, said) = run(&qemu, directory.path(), &arguments);
        let said = String::from_utf8_lossy(&said);
        assert!(code == Some(0) && said.contains(SAID), "{code:?}, sectors of {bytes} bytes: {said}");
    }
}
