//! Disks with what real tools have put on them: each is refused by name, and not one byte of any changes.

use process_runner::Command;
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::Duration;
use sysconfig_platform::System;
use sysconfig_platform::fake::Machine;
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_zpool::ZpoolPlugin;

/// Bytes of a disk.
const DISK: u64 = 160 << 20;
/// XFS takes none that is smaller.
const LARGE: u64 = 320 << 20;

/// The program that is asked for, its package, a script that fills `$1` (from `$2`, a directory with some files), and
/// part of what the plugin says.
type Kind = (&'static str, &'static str, &'static str, &'static str);

const KINDS: &[Kind] = &[
    ("mkfs.ext4", "e2fsprogs", "mkfs.ext4 -q $1", "an ext2, ext3 or ext4 file system"),
    ("mkfs.ext2", "e2fsprogs", "mkfs.ext2 -q $1", "an ext2, ext3 or ext4 file system"),
    ("mkfs.vfat", "dosfstools", "mkfs.vfat -F 16 $1", "a FAT file system"),
    ("mkfs.vfat", "dosfstools", "mkfs.vfat -F 32 $1", "a FAT file system"),
    ("mkfs.exfat", "exfatprogs", "mkfs.exfat $1", "an exFAT file system"),
    ("mkntfs", "ntfs-3g", "mkntfs -F -Q -q $1", "an NTFS file system"),
    ("mkfs.xfs", "xfsprogs", "mkfs.xfs -q $1", "an XFS file system"),
    ("mkfs.btrfs", "btrfs-progs", "mkfs.btrfs -q $1", "a btrfs file system"),
    ("mkfs.f2fs", "f2fs-tools", "mkfs.f2fs -q $1", "an F2FS file system"),
    ("mkfs.nilfs2", "nilfs-tools", "mkfs.nilfs2 -q $1", "a NILFS2 file system"),
    ("jfs_mkfs", "jfsutils", "jfs_mkfs -q $1", "a JFS file system"),
    ("mkfs.minix", "util-linux", "mkfs.minix $1", "a Minix file system"),
    ("mkfs.bfs", "util-linux", "mkfs.bfs $1", "a BFS file system"),
    ("mkfs.cramfs", "util-linux", "mkfs.cramfs $2 $1", "a cramfs file system"),
    ("mksquashfs", "squashfs-tools", "mksquashfs $2 $1 -noappend -quiet", "a squashfs file system"),
    ("mkfs.erofs", "erofs-utils", "mkfs.erofs $1 $2", "an EROFS file system"),
    ("mkudffs", "udftools", "mkudffs $1", "a UDF file system"),
    ("xorriso", "xorriso", "rm $1; xorriso -as mkisofs -quiet -o $1 $2", "an ISO 9660 file system"),
    ("sgdisk", "gdisk", "sgdisk -n 1:0:0 $1", "a GUID partition table"),
    (
        "sgdisk",
        "gdisk",
        "sgdisk -n 1:0:0 $1; dd if=/dev/zero of=$1 bs=4k count=8 conv=notrunc",
        "the copy of a GUID partition table",
    ),
    ("sfdisk", "fdisk", "echo ,,83 | sfdisk -q $1", "a partition table or boot sector"),
    ("mkswap", "util-linux", "mkswap $1", "swap space"),
    (
        "cryptsetup",
        "cryptsetup-bin",
        "cryptsetup luksFormat --type luks1 -q --iter-time 10 --key-file $2/a $1",
        "a LUKS volume",
    ),
    (
        "cryptsetup",
        "cryptsetup-bin",
        "cryptsetup luksFormat --type luks2 -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file $2/a $1",
        "a LUKS volume",
    ),
    ("make-bcache", "bcache-tools", "make-bcache -B $1", "a bcache device"),
    ("qemu-img", "qemu-utils", "rm $1; qemu-img create -q -f qcow2 $1 64M", "a disk image in qcow2 form"),
    ("tar", "tar", "tar -cf $1 $2", "a tar archive"),
    ("gzip", "gzip", "gzip -c <$2/b >$1", "a gzip archive"),
    ("cp", "coreutils", "cp $2/a $1", "text"),
    ("cp", "coreutils", "cp $2/b $1", "something unknown"),
];

fn sh(script: &str, disk: &Path, files: &Path) -> String {
    let output = Command::new("/bin/sh")
        .args(["-ec", script, "sh"])
        .args([disk, files])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .deadline(Duration::from_secs(120))
        .run_any()
        .unwrap();
    assert!(output.success(), "{script}\n{}{}", output.stdout_text(), output.stderr_text());
    output.stdout_text()
}

/// Whether two files are the same to the last byte.
fn same(one: &Path, other: &Path) -> bool {
    let output = Command::new("/usr/bin/cmp").args([one, other]).deadline(Duration::from_secs(120)).run_any();
    output.unwrap().success()
}

fn files(directory: &Path) -> std::path::PathBuf {
    let files = directory.join("files");
    fs::create_dir(&files).unwrap();
    fs::write(files.join("a"), "Dear reader,\nthis is all that there is.\n").unwrap();
    fs::write(files.join("b"), test_judge::Random::new(7).bytes(300_000)).unwrap();
    files
}

/// The refusal of a pool that is to have a disk at `/var/tmp/foreign`, which is left as it is.
fn refusal(directory: &Path, bytes: u64, fill: impl FnOnce(&Path)) -> String {
    let (_root, host, machine) = Machine::start(System::Illumos);
    for name in ["foreign", "blank"] {
        machine.storage(|storage| storage.add_file(&format!("/var/tmp/{name}"), bytes));
    }
    let disk = host.root.locate("/var/tmp/foreign");
    fill(&disk);
    // Some tools make the file as long as what they put there, and a disk is longer.
    OpenOptions::new().write(true).open(&disk).unwrap().set_len(bytes).unwrap();
    let before = directory.join("before");
    sh("cp --sparse=always $1 $2", &disk, &before);
    let mut harness = Harness::start(ZpoolPlugin::new(host.clone()));
    harness.configure(json!({ "storage.pool": [
        { "name": "tank", "vdevs": [{ "mirror": ["/var/tmp/blank", "/var/tmp/foreign"] }] },
    ] }));
    let steps = harness.plan().unwrap();
    for step in &steps {
        assert_eq!(step.action, "refuse", "{}", step.summary);
        harness.apply(step).unwrap_err();
    }
    assert!(same(&disk, &before), "not one byte changes");
    let commands = machine.commands();
    assert!(
        commands.iter().all(|line| [" status ", " get ", " import -d "].iter().any(|look| line.contains(look))),
        "{commands:?}"
    );
    steps.first().expect("the disk is refused").summary.clone()
}

#[test]
fn what_real_tools_have_put_on_a_disk_is_refused_by_name() {
    let scratch = tempfile::tempdir().unwrap();
    let files = files(scratch.path());
    let (mut judged, mut missing) = (std::collections::BTreeSet::new(), 0);
    for (program, package, script, what) in KINDS {
        if test_judge::find(program, package).is_none() {
            missing += 1;
            continue;
        }
        judged.insert(*what);
        let refusal = refusal(scratch.path(), if *program == "mkfs.xfs" { LARGE } else { DISK }, |disk| {
            drop(sh(script, disk, &files));
        });
        assert!(refusal.contains(&format!("/var/tmp/foreign holds {what} (at byte ")), "{script}: {refusal}");
    }
    assert!(judged.len() + missing >= 20, "of twenty kinds not one byte changes, and these are {judged:?}");
}

#[test]
fn a_blank_disk_is_taken() {
    let (_root, host, machine) = Machine::start(System::Illumos);
    machine.storage(|storage| storage.add_file("/var/tmp/blank", DISK));
    let mut harness = Harness::start(ZpoolPlugin::new(host));
    harness.configure(json!({ "storage.pool": [{ "name": "tank", "vdevs": ["/var/tmp/blank"] }] }));
    assert_eq!(harness.plan().unwrap()[0].action, "create");
}

/// LVM wants a block device.
#[test]
fn privileged_lvm_is_refused_by_name() {
    for (program, package) in [("pvcreate", "lvm2"), ("losetup", "mount")] {
        if test_judge::find(program, package).is_none() {
            return;
        }
    }
    let can_loop = Command::new("/bin/sh")
        .args(["-c", "losetup -f >/dev/null 2>&1"])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin")
        .run_any();
    if !can_loop.is_ok_and(|output| output.success()) {
        test_judge::skip("loop devices need root");
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let files = files(scratch.path());
    let script =
        "loop=$(losetup -f --show $1); trap 'losetup -d $loop' EXIT; pvcreate --devicesfile '' -q $loop 2>/dev/null";
    let refusal = refusal(scratch.path(), DISK, |disk| drop(sh(script, disk, &files)));
    assert!(refusal.contains("/var/tmp/foreign holds an LVM physical volume (at byte 512)"), "{refusal}");
}
