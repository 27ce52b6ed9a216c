//! Images read back, raw and qcow2: what `qemu-img` wrote is what is read, and damage is an error.

mod judge;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use disk_image::{ImageFile, OpenImageError};
use proptest::prelude::*;

const MIB: usize = 1024 * 1024;

/// Data that packs, data that does not, zeros and holes.
fn raw(path: &Path) -> Vec<u8> {
    let mut bytes = vec![0; 5 * MIB + 512];
    for (index, byte) in bytes[MIB..2 * MIB].iter_mut().enumerate() {
        *byte = (index / 1000) as u8;
    }
    let noise: Vec<u8> =
        (0..16_384_u64).flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).to_le_bytes()).collect();
    bytes[3 * MIB + 100..3 * MIB + 100 + noise.len()].copy_from_slice(&noise);
    bytes[5 * MIB + 511] = 7;
    fs::write(path, &bytes).unwrap();
    bytes
}

fn read_all(image: &ImageFile) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.stream().read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn what_qemu_img_wrote_is_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("raw");
    let bytes = raw(&path);
    let image = ImageFile::open(&path).unwrap();
    assert!(!image.is_qcow2() && read_all(&image) == bytes);
    let output = directory.path().join("image");
    for options in [
        vec!["-o", "compat=1.1"],
        vec!["-o", "compat=0.10"],
        vec!["-c"],
        vec!["-c", "-o", "cluster_size=4096"],
        vec!["-o", "cluster_size=2M"],
        vec!["-o", "cluster_size=512"],
    ] {
        let mut arguments = vec!["convert", "-f", "raw", "-O", "qcow2"];
        arguments.extend(&options);
        arguments.extend([judge::text(&path), judge::text(&output)]);
        if judge::approve("qemu-img", "qemu-utils", &arguments).is_none() {
            return;
        }
        let image = ImageFile::open(&output).unwrap();
        assert!(image.is_qcow2());
        assert_eq!(image.length(), bytes.len() as u64);
        assert!(read_all(&image) == bytes, "{options:?}");
        for (offset, length) in [(0, 10), (MIB - 3, 70_000), (3 * MIB + 99, 140_000), (5 * MIB + 511, 1), (77, 0)] {
            let mut part = vec![0xEE; length];
            image.read_exact_at(&mut part, offset as u64).unwrap();
            assert!(part == bytes[offset..offset + length], "{options:?} {offset}");
        }
        let mut stream = image.stream();
        stream.seek(SeekFrom::End(-1)).unwrap();
        let mut last = Vec::new();
        stream.read_to_end(&mut last).unwrap();
        assert_eq!(last, [7]);
        for (offset, length) in [(bytes.len() as u64, 1), (u64::MAX, 2)] {
            assert!(image.read_exact_at(&mut vec![0; length], offset).is_err());
        }
    }
}

#[test]
fn files_that_need_more_than_themselves_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let (path, base) = (directory.path().join("image"), directory.path().join("raw"));
    raw(&base);
    let refused = |expected: &str| {
        let error = ImageFile::open(&path).unwrap_err();
        let OpenImageError::Qcow2 { source, .. } = error else { panic!("{error}") };
        assert!(source.to_string().contains(expected), "{source} is not {expected}");
    };
    let overlay = ["create", "-f", "qcow2", "-F", "raw", "-b", judge::text(&base), judge::text(&path)];
    if judge::approve("qemu-img", "qemu-utils", &overlay).is_none() {
        return;
    }
    refused("is an overlay of another image");
    let plain = ["create", "-f", "qcow2", judge::text(&path), "10M"];
    judge::approve("qemu-img", "qemu-utils", &plain);
    let good = fs::read(&path).unwrap();
    for (at, value, expected) in [
        (7, 9, "unknown version"),
        (35, 1, "is encrypted"),
        (79, 2, "corrupt"),
        (79, 4, "external data file"),
        (79, 16, "extended tables"),
        (23, 40, "impossible cluster size"),
        (39, 0, "too short"),
        (40, 1, "behind its end"),
        (36, 1, "table is too long"),
    ] {
        let mut damaged = good.clone();
        damaged[at] = value;
        fs::write(&path, damaged).unwrap();
        refused(expected);
    }
    for length in [60, 100, 30_000] {
        fs::write(&path, &good[..length]).unwrap();
        refused("cut short");
    }
    assert!(matches!(ImageFile::open(&directory.path().join("no")), Err(OpenImageError::Open { .. })));
}

/// They were taken for raw images: damaged ones, or such without a pool.
#[test]
fn other_forms_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let (base, path) = (directory.path().join("raw"), directory.path().join("image"));
    let bytes = raw(&base);
    for (form, options, expected) in [
        ("vmdk", "subformat=monolithicSparse", "a VMDK image"),
        ("vmdk", "subformat=streamOptimized", "a VMDK image"),
        ("vmdk", "subformat=monolithicFlat", "the descriptor of a VMDK image"),
        ("vdi", "static=off", "a VDI image"),
        ("vhdx", "subformat=dynamic", "a VHDX image"),
        ("vpc", "subformat=dynamic,force_size=on", "a dynamic VHD image"),
        ("qed", "cluster_size=65536", "a QED image"),
    ] {
        let arguments = ["convert", "-f", "raw", "-O", form, "-o", options, judge::text(&base), judge::text(&path)];
        if judge::approve("qemu-img", "qemu-utils", &arguments).is_none() {
            return;
        }
        let error = ImageFile::open(&path).unwrap_err();
        assert!(error.to_string().contains(&format!("image is {expected}")), "{form} {options}: {error}");
    }
    // What comes before the footer is the disk.
    let fixed = "subformat=fixed,force_size=on";
    let arguments = ["convert", "-f", "raw", "-O", "vpc", "-o", fixed, judge::text(&base), judge::text(&path)];
    judge::approve("qemu-img", "qemu-utils", &arguments);
    let image = ImageFile::open(&path).unwrap();
    assert!(fs::metadata(&path).unwrap().len() == image.length() + 512 && read_all(&image) == bytes);
}

#[test]
fn every_damaged_header_ends_in_an_answer() {
    let directory = tempfile::tempdir().unwrap();
    let (path, base) = (directory.path().join("image"), directory.path().join("raw"));
    raw(&base);
    let arguments = ["convert", "-c", "-O", "qcow2", "-f", "raw", judge::text(&base), judge::text(&path)];
    if judge::approve("qemu-img", "qemu-utils", &arguments).is_none() {
        return;
    }
    let good = fs::read(&path).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    proptest!(ProptestConfig::with_cases(300), |(at in 4..good.len(), value: u8, low in 4_usize..112)| {
        // Half of the damage goes to the header, where it matters most.
        let at = if value % 2 == 0 { low } else { at };
        file.write_all_at(&[value], at as u64).unwrap();
        if let Ok(image) = ImageFile::open(&path) {
            let mut buffer = vec![0; 200_000];
            for offset in (0..image.length().min(8 * MIB as u64)).step_by(buffer.len()) {
                let count = (image.length() - offset).min(buffer.len() as u64) as usize;
                let _ = image.read_exact_at(&mut buffer[..count], offset);
            }
        }
        file.write_all_at(&good[at..=at], at as u64).unwrap();
    });
}
