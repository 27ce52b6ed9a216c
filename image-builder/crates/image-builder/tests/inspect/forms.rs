//! The forms of an image: raw, qcow2, a bare pool, a disk without one.

use crate::scene::{DISK, MIB, Scene};
use disk_image::esp::{EspFile, EspVolume};
use disk_image::gpt::types;
use disk_image::{DiskLayout, DiskSeed, PartitionSize, PartitionSpec, write_disk};
use std::fs::{self, File};
use std::path::Path;

#[test]
fn qcow2_and_bare_pools_are_read_alike() {
    let scene = Scene::new();
    let disk = scene.build("disk", DISK, &[]);
    let qcow2 = scene.path("disk.qcow2");
    let convert =
        ["convert", "-c", "-f", "raw", "-O", "qcow2"].map(Path::new).into_iter().chain([disk.as_path(), &qcow2]);
    if test_judge::approve("qemu-img", "qemu-utils", &convert.collect::<Vec<_>>()).is_some() {
        assert_eq!(scene.good(&["ls", "-R", "disk.qcow2", "/"]), scene.good(&["ls", "-R", "disk", "/"]));
        assert_eq!(scene.good(&["verify", "disk.qcow2"]), scene.good(&["verify", "disk"]));
        // On a larger disk it is as good; who boots it moves the copy of the table.
        fs::copy(&disk, scene.path("larger")).expect("a copy");
        let larger = File::options().write(true).open(scene.path("larger")).expect("the copy");
        larger.set_len(larger.metadata().expect("its size").len() + (64 << 20)).expect("room");
        let said = scene.good(&["verify", "larger"]);
        assert!(
            said.contains("partition table: the disk has grown") && said.contains("the system that boots moves it"),
            "{said}"
        );
        assert_eq!(scene.good(&["diff", "disk", "disk.qcow2"]), "");
        assert_eq!(scene.good(&["cat", "disk.qcow2", "/etc/passwd"]), scene.good(&["cat", "disk", "/etc/passwd"]));
    }
    scene.build("bare", r#""size": 200, "label": false"#, &[]);
    let said = scene.good(&["verify", "bare"]);
    assert!(said.starts_with("good: pool rpool: ") && !said.contains("partition"), "{said}");
    assert_eq!(scene.good(&["cat", "bare:rpool/home", "/somebody/notes"]), "mine\n");
    assert_eq!(scene.good(&["ls", "-R", "bare", "/"]), scene.good(&["ls", "-R", "disk", "/"]));
    let answer = scene.run(&["diff", "disk", "bare"]);
    assert_eq!(answer.status, Some(4));
    assert!(answer.stdout.contains("+ the whole image"), "{}", answer.stdout);
    assert!(
        answer.stdout.starts_with("~ pool rpool: bootsize 268435456 → -, path /dev/dsk/c1t0d0s1 → /dev/dsk/c1t0d0p0,"),
        "{}",
        answer.stdout
    );
    assert_eq!(answer.stdout.lines().count(), 6, "pool, size and partitions, and no file: {}", answer.stdout);
}

/// A disk without a pool: what can be said is said, and what is not read is named.
#[test]
fn a_debian_disk_is_described_and_not_looked_into() {
    let scene = Scene::new();
    let make = |name: &str, text: &str| {
        let seed = DiskSeed::new("debian");
        let file = EspFile::from_bytes("loader/loader.conf", text.as_bytes().to_vec());
        let esp = EspVolume::new(&seed, "ESP", vec![file]).expect("a file system");
        let spec = |type_guid, name: &str, content| PartitionSpec {
            type_guid,
            name: name.to_owned(),
            role: name.to_owned(),
            slot: None,
            attributes: 0,
            size: PartitionSize::Auto { free: 4 * MIB },
            content,
        };
        let partitions = vec![
            spec(types::EFI_SYSTEM, "esp", Some(Box::new(esp) as Box<dyn disk_image::Volume>)),
            spec(types::LINUX_ROOT_X86_64, "root", None),
        ];
        let layout = DiskLayout { partitions, ..DiskLayout::new(seed) };
        write_disk(layout, &scene.path(name), scene.directory.path(), &mut |_| {}).expect("a disk");
    };
    make("debian", "timeout 1\n");
    make("other", "timeout 2\n");
    let said = scene.good(&["verify", "debian"]);
    assert_eq!(
        said,
        "good: partition table: both copies agree, 2 of 128 entries are used\n\
         not read: partition 1 `esp`: EFI system partition\n\
         not read: partition 2 `root`: Linux root file system\n"
    );
    assert_eq!(scene.good(&["ls", "debian"]).lines().count(), 2);
    let answer = scene.run(&["ls", "debian", "/"]);
    assert_eq!(answer.status, Some(1));
    assert!(
        answer.stderr.contains("debian has no ZFS pool: partition 1 `esp`: EFI system partition"),
        "{}",
        answer.stderr
    );
    let answer = scene.run(&["diff", "debian", "other"]);
    assert_eq!(answer.status, Some(4));
    assert_eq!(answer.stdout, "~ partition 1 `esp`: bytes of the EFI system partition, which is not read inside\n");
}
