//! Disks with what real tools have put on them, for every plugin that is given disks.

use process_runner::Command;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of a disk.
pub const DISK: u64 = 160 << 20;
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
    ("mkfs.minix", "util-linux", "mkfs.minix -1 $1", "a Minix file system"),
    ("mkfs.minix", "util-linux", "mkfs.minix -2 $1", "a Minix file system"),
    ("mkfs.minix", "util-linux", "mkfs.minix -3 $1", "a Minix file system"),
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
    // Its UUID has the magic of Minix where Minix has it.
    ("mkswap", "util-linux", "mkswap -U 00000000-7f13-4000-8000-000000000000 $1", "swap space"),
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

/// Kinds for whose tools no package has to be added.
const ALWAYS: &[&str] = &[
    "an ext2, ext3 or ext4 file system",
    "a Minix file system",
    "swap space",
    "a tar archive",
    "a gzip archive",
    "text",
    "something unknown",
];

/// The program, its package, whether it needs the kernel's support of that storage, a script that makes a member of `$loop` and lets
/// go of it, and part of what the plugin says.
const MEMBERS: &[(&str, &str, bool, &str, &str)] = &[
    ("pvcreate", "lvm2", false, "pvcreate --devicesfile '' -q $loop 2>/dev/null", "an LVM physical volume"),
    (
        "mdadm",
        "mdadm",
        true,
        "md=/dev/md/sysconfig-$$; mdadm --create $md --run --force --level=1 --raid-devices=1 --metadata=1.2 $loop; mdadm --stop $md",
        "a member of a Linux RAID",
    ),
    (
        "zpool",
        "zfsutils-linux",
        true,
        "zpool create -m none sysconfig$$ $loop; zpool export sysconfig$$",
        "a member of the exported pool",
    ),
];

/// Runs a script with a disk and a directory with some files, and answers what it says.
///
/// # Panics
/// When it fails.
pub fn sh(script: &str, disk: &Path, files: &Path) -> String {
    let output = Command::new("/bin/sh")
        .args(["-ec", script, "sh"])
        .args([disk, files])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .deadline(Duration::from_secs(120))
        .run_any()
        .expect("the program runs");
    assert!(output.success(), "{script}\n{}{}", output.stdout_text(), output.stderr_text());
    output.stdout_text()
}

/// Whether two files are the same to the last byte.
fn same(one: &Path, other: &Path) -> bool {
    let output = Command::new("/usr/bin/cmp").args([one, other]).deadline(Duration::from_secs(120)).run_any();
    output.is_ok_and(|output| output.success())
}

/// Makes a directory with a text and with random bytes.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn files(directory: &Path) -> PathBuf {
    let files = directory.join("files");
    fs::create_dir(&files).expect("the directory can be made");
    fs::write(files.join("a"), "Dear reader,\nthis is all that there is.\n").expect("the program runs");
    fs::write(files.join("b"), test_judge::Random::new(7).bytes(300_000)).expect("it can be written");
    files
}

/// Fills a disk, and has `check` look at it, which changes not one byte; answers what `check` does.
///
/// # Panics
/// When a byte changes.
pub fn untouched<T>(disk: &Path, bytes: u64, fill: impl FnOnce(&Path), check: impl FnOnce() -> T) -> T {
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    fill(disk);
    // Some tools make the file as long as what they put there, and a disk is longer.
    OpenOptions::new().write(true).open(disk).and_then(|file| file.set_len(bytes)).expect("the disk can be written");
    let before = scratch.path().join("before");
    sh("cp --sparse=always $1 $2", disk, &before);
    let answer = check();
    assert!(same(disk, &before), "not one byte changes");
    answer
}

/// Calls `check` with what each tool puts on a disk: what it is, the bytes of the disk, and what fills it.
///
/// # Panics
/// When `check` does, or a kind was not judged whose tool every machine has.
pub fn each(mut check: impl FnMut(&str, u64, &dyn Fn(&Path))) {
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let files = files(scratch.path());
    let mut judged = BTreeSet::new();
    for (program, package, script, what) in KINDS {
        if test_judge::find(program, package).is_none() {
            continue;
        }
        let bytes = if *program == "mkfs.xfs" { LARGE } else { DISK };
        check(what, bytes, &|disk| drop(sh(script, disk, &files)));
        judged.insert(*what);
    }
    // What every machine has that this is tested on; what else is missing was told by its judge.
    for what in ALWAYS {
        assert!(judged.contains(what), "{what} is judged nowhere: {judged:?}");
    }
    if judged.len() < 20 {
        test_judge::lack("fewer than twenty kinds of foreign disks are judged here");
    }
}

/// As [`each`], with what wants a block device: kinds of storage that take disks as members. Only root has loop devices.
///
/// # Panics
/// When `check` does.
pub fn each_on_loops(mut check: impl FnMut(&str, u64, &dyn Fn(&Path))) {
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let files = files(scratch.path());
    let run = |script: &str, disk: &Path| {
        let run = Command::new("/bin/sh").args(["-ec", script, "sh"]).arg(disk);
        let run = run.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").deadline(Duration::from_secs(120)).run_any();
        run.is_ok_and(|output| output.success())
    };
    let probe = scratch.path().join("probe");
    fs::File::create(&probe).and_then(|file| file.set_len(DISK)).expect("the disk can be made");
    if !run("losetup -f >/dev/null 2>&1", &probe) {
        test_judge::skip("loop devices need root");
        return;
    }
    for (program, package, needs_kernel, script, what) in MEMBERS {
        let script = format!("loop=$(losetup -f --show $1); trap 'losetup -d $loop' EXIT; {script}");
        if *needs_kernel && !run(&script, &probe) {
            test_judge::lack(&format!(
                "{program} makes nothing here: it needs {package}, and a kernel with that storage"
            ));
        } else if test_judge::find(program, package).is_some() {
            check(what, DISK, &|disk| drop(sh(&script, disk, &files)));
        }
    }
}
