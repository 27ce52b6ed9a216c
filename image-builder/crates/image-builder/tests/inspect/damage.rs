//! Images with a wrong byte, and such that end too early.

use crate::illumos_root;
use crate::scene::{DISK, MIB, POOL_OFFSET, Scene};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

#[test]
fn damage_is_found_and_makes_the_status_four() {
    let scene = Scene::new();
    let image = scene.build("disk", DISK, &[]);
    let said = scene.good(&["verify", "disk"]);
    for expected in [
        "good: partition table: both copies agree, 3 of 9 entries are used",
        "good: boot blocks: each stage leads to the next",
        "good: pool rpool: ",
        "not read: partition 1 `loader`: EFI system partition",
    ] {
        assert!(said.contains(expected), "{expected} is not in:\n{said}");
    }
    for expected in [
        "good: boot blocks: both stages are those of rpool/ROOT/be",
        "good: partition 1 `loader`: EFI/BOOT/BOOTX64.EFI is /boot/loader64.efi of rpool/ROOT/be",
        "good: partition 1 `loader`: EFI/BOOT/BOOTIA32.EFI is /boot/loader32.efi of rpool/ROOT/be",
        "good: boot: the loader reads 2 files of rpool/ROOT/be; the console is text",
        "good: boot: the pool is one to boot from, and rpool/ROOT/be a boot environment",
        "good: boot: the kernel is /platform/i86pc/kernel/amd64/unix",
        "as the boot environment has them, and the first boot finds it current",
        "good: boot: all 29 files and mount points that a boot needs are there",
    ] {
        assert!(said.contains(expected), "{expected} is not in:\n{said}");
    }
    // A byte of a file, of the table, of a label, of stages 1 and 2 and of a loader.
    let wanted = &illumos_root::noise(3_000_000, 3_000_000)[..512];
    let bytes = fs::read(&image).expect("the disk");
    let find = |wanted: &[u8]| {
        bytes.chunks_exact(512).position(|sector| sector == wanted).expect("it lies at a sector") as u64 * 512
    };
    let block = find(wanted);
    // The other boot programs are shorter.
    let loader = find(&illumos_root::boot_program(270_013, 4096)[200_192..200_704]);
    assert!(loader < POOL_OFFSET);
    for (at, expected) in [
        (block + 5, "/usr/share/sizes/noise-3000000"),
        (512 + 16, "bad: partition table: the primary header: its checksum is wrong"),
        (500 * MIB - 512 + 16, "bad: partition table: the backup header"),
        (POOL_OFFSET + 8192 + 100, "label 0: the checksum of the boot loader's block is wrong"),
        (0xFE, "bad: boot blocks: sector 0 loads"),
        (0x60, "bad: boot blocks: sector 0 is not /boot/pmbr of rpool/ROOT/be"),
        (POOL_OFFSET + 0x60, "bad: boot blocks: stage 1 in the pool's partition is not /boot/pmbr"),
        (POOL_OFFSET + (512 << 10) + 20_000, "bad: boot blocks: stage 2 is not /boot/gptzfsboot of rpool/ROOT/be"),
        (
            loader + 7,
            "bad: partition 1 `loader`: EFI/BOOT/BOOTX64.EFI is not /boot/loader64.efi of rpool/ROOT/be: it is another program",
        ),
    ] {
        let file = File::options().write(true).open(&image).expect("the disk");
        file.write_all_at(&[bytes[at as usize] ^ 0x40], at).expect("damaged");
        let answer = scene.run(&["verify", "disk"]);
        assert_eq!(answer.status, Some(4), "{expected}: {}{}", answer.stdout, answer.stderr);
        assert!(answer.stdout.contains(expected), "{expected} is not in:\n{}", answer.stdout);
        let json: Value = serde_json::from_str(&scene.run(&["verify", "--json", "disk"]).stdout).expect("JSON");
        assert!(!json["bad"].as_array().expect("a list").is_empty());
        file.write_all_at(&bytes[at as usize..=at as usize], at).expect("repaired");
    }
    scene.good(&["verify", "disk"]);
}

/// One copy of the partition table is enough to read the image; what is wrong with the other is told.
#[test]
fn a_damaged_copy_of_the_partition_table_does_not_hide_the_pool() {
    let scene = Scene::new();
    let image = scene.build("disk", DISK, &[]);
    let whole = scene.good(&["ls", "disk"]);
    let file = File::options().read(true).write(true).open(&image).expect("the disk");
    let flip = |at: u64| {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("there");
        file.write_all_at(&[byte[0] ^ 0x40], at).expect("changed");
    };
    let (primary, backup) = (512 + 16, 500 * MIB - 512 + 16);
    for (at, copy) in [(primary, "primary"), (backup, "backup")] {
        flip(at);
        let warning = format!("warning: the partition table of disk: the {copy} header: its checksum is wrong");
        let answer = scene.run(&["ls", "disk"]);
        assert_eq!((answer.status, &answer.stdout), (Some(0), &whole), "{}", answer.stderr);
        assert!(answer.stderr.contains(&warning), "{}", answer.stderr);
        assert_eq!(scene.good(&["cat", "disk:rpool/home", "/somebody/notes"]), "mine\n");
        let answer = scene.run(&["verify", "disk"]);
        assert_eq!(answer.status, Some(4));
        assert!(answer.stdout.contains("good: pool rpool: "), "{}", answer.stdout);
        flip(at);
    }
    flip(primary);
    flip(backup);
    let answer = scene.run(&["ls", "disk"]);
    assert_eq!(answer.status, Some(4));
    assert!(answer.stderr.contains("the partition table of disk is damaged: the primary header"), "{}", answer.stderr);
    let answer = scene.run(&["verify", "disk"]);
    assert_eq!(answer.status, Some(4));
    assert!(answer.stdout.contains("not read: partitions: nobody knows where they are"), "{}", answer.stdout);
}

#[test]
fn an_image_that_is_cut_short_is_told_to_be_damaged() {
    let scene = Scene::new();
    let disk = scene.build("disk", DISK, &[]);
    let bare = scene.build("bare", r#""size": 200, "label": false"#, &[]);
    for (image, name, bytes) in [(disk, "disk", 499 * MIB), (bare, "bare", 190 * MIB)] {
        File::options().write(true).open(image).and_then(|file| file.set_len(bytes)).expect("cut");
        let expected = format!("and {bytes} are there");
        for arguments in [["ls", name].as_slice(), &["verify", name], &["cat", name, "/etc/passwd"]] {
            let answer = scene.run(arguments);
            let said = format!("{} {}", answer.stdout, answer.stderr);
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(answer.status, Some(4), "{arguments:?}: {said}");
            assert!(said.contains("cut short") && said.contains(&expected), "{arguments:?}: {said}");
        }
    }
}

/// It was told to be another form of image, or a disk without a pool.
#[test]
fn a_qcow2_file_that_is_cut_short_is_told_to_be_damaged() {
    let scene = Scene::new();
    scene.build("disk", &format!(r#"{DISK}, "formats": ["qcow2"]"#), &[]);
    let whole = fs::read(scene.path("images/output/g-image.qcow2")).expect("an image");
    for bytes in [60, 100, 70_000, 300_000] {
        fs::write(scene.path("part"), &whole[..bytes]).expect("a part");
        for verb in ["ls", "verify"] {
            let answer = scene.run(&[verb, "part"]);
            assert_eq!(answer.status, Some(4), "{verb} of {bytes}: {}", answer.stderr);
            assert!(answer.stderr.contains("the qcow2 file is cut short"), "{}", answer.stderr);
        }
    }
}
