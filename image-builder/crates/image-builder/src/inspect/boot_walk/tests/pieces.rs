//! Every piece that a boot needs, missing and changed.

use super::super::REQUIRED_FOR_BOOT;
use super::root::{ARCHIVE, DEFAULTS, HASH, Root, STATES};

#[test]
fn a_whole_environment_boots() {
    let found = Root::whole().found();
    assert_eq!(found.bad, [""; 0]);
    assert_eq!(
        found.good,
        [
            "boot: the loader reads 3 files of rpool/ROOT/be; the console is ttya at 115200,8,n,1,-",
            "boot: the kernel is /platform/i86pc/kernel/amd64/unix",
            "boot: /platform/i86pc/amd64/boot_archive: 27 entries, 72 KiB unpacked, as the boot environment has them, and \
             the first boot finds it current",
            "boot: all 29 files and mount points that a boot needs are there",
            "boot: tables of drivers and mounts and the services' repository are sound",
        ]
    );
}

#[test]
fn every_missing_piece_is_named_with_what_brings_it() {
    for (path, _, package) in REQUIRED_FOR_BOOT {
        let mut root = Root::whole();
        root.0.remove(path);
        let bad = root.found().bad;
        assert!(bad.contains(&format!("boot: {path} is missing; the package {package} has it")), "{path}: {bad:?}");
    }
    for (path, expected) in [
        (
            "/platform/i86pc/kernel/amd64/unix",
            "boot: the loader is to load the kernel /platform/i86pc/kernel/amd64/unix, which",
        ),
        (ARCHIVE, "boot: the loader is to load /platform/i86pc/amd64/boot_archive, which is missing"),
        (DEFAULTS, "boot: the loader's configuration names no boot archive"),
        ("/etc/svc/repository.db", "boot: /etc/svc/repository.db is missing"),
        (
            "/boot/solaris/timestamp.cache",
            "boot: /platform/i86pc/amd64/boot_archive: /boot/solaris/timestamp.cache is missing",
        ),
        (STATES, "boot: /platform/i86pc/amd64/boot_archive: /boot/solaris/filestat.ramdisk is missing"),
        (
            "/kernel/drv/amd64/blkdev",
            "boot: /platform/i86pc/amd64/boot_archive: /kernel/drv/amd64/blkdev is in it, and not",
        ),
    ] {
        let mut root = Root::whole();
        root.0.remove(path);
        let bad = root.found().bad;
        assert!(bad.iter().any(|problem| problem.starts_with(expected)), "{path}: {bad:?}");
    }
    for (path, lacking) in [
        ("/kernel/drv/amd64/blkdev", "the package driver/storage/blkdev has it"),
        ("/kernel/misc/amd64/virtio", "the package driver/misc/virtio has it"),
    ] {
        let mut root = Root::whole();
        root.0.remove(path);
        root.archive();
        let bad = root.found().bad;
        let expected = [format!("boot: {ARCHIVE}: {} is not in it; {lacking}", &path[1..])];
        assert_eq!(bad, expected, "{path}");
    }
    let mut root = Root::whole();
    root.0.remove("/boot/forth/support.4th");
    let expected = "boot: /boot/forth/loader.4th includes /boot/forth/support.4th, which is missing; the package \
                    system/boot/loader has it";
    assert_eq!(root.found().bad, [expected]);
    // The loader goes on without a hash.
    let mut root = Root::whole();
    root.0.remove(HASH);
    assert_eq!(root.found().bad, [""; 0]);
}

#[test]
fn every_changed_piece_is_found() {
    let archive = |problem: &str| format!("boot: {ARCHIVE}: {problem}");
    let cases: [(&str, &str, String); 10] = [
        (DEFAULTS, "kernel=i86pc\n", format!("boot: {DEFAULTS}:1: `kernel=i86pc` is not name=\"value\"")),
        ("/boot/conf.d/old~", "a=\"b\" c\n", "boot: /boot/conf.d/old~:1: `a=\"b\" c` is not name=\"value\"".to_owned()),
        (
            "/boot/loader.conf",
            "bootfile=\"other\"\n",
            "boot: the loader is to load the kernel /platform/i86pc/kernel/amd64/other,".to_owned(),
        ),
        (
            "/boot/loader.conf",
            "splash_load=\"YES\"\n",
            "boot: the loader is to load /platform/i86pc/amd64/splash, which".to_owned(),
        ),
        (
            "/boot/transient.conf",
            "boot_archive_load=\"NO\"\n",
            "boot: the loader's configuration names no boot archive".to_owned(),
        ),
        (HASH, "0123456789012345678901234567890123456789\n", archive("its SHA-1 is ")),
        ("/etc/system", "set more=1\n", archive("/etc/system in it is another one than in the boot environment")),
        ("/kernel/drv/amd64/new", "a driver", archive("kernel/drv/amd64/new is not in it")),
        ("/platform/i86pc/boot_archive", "old", archive("/platform/i86pc/boot_archive of an older system is there")),
        (
            ARCHIVE,
            "no archive at all, and as long as its header would have to be, which has 76 bytes",
            archive("at 0 of the unpacked archive: no member"),
        ),
    ];
    for (path, content, expected) in cases {
        let mut root = Root::whole();
        root.file(path, content);
        let bad = root.found().bad;
        assert!(bad.iter().any(|problem| problem.starts_with(&expected)), "{path}: {expected} is not in {bad:?}");
    }
    let mut root = Root::whole();
    root.0.get_mut("/etc/system").expect("there").1 = 2;
    let expected =
        archive("/etc/system changed since /boot/solaris/filestat.ramdisk was written, so the first boot makes ");
    assert!(root.found().bad.iter().any(|problem| problem.starts_with(&expected)), "{:?}", root.found().bad);
    root.0.get_mut(ARCHIVE).expect("there").1 = 2;
    let expected = archive("it is newer than /boot/solaris/timestamp.cache, so the first boot");
    assert!(root.found().bad.iter().any(|problem| problem.starts_with(&expected)), "{:?}", root.found().bad);
}

#[test]
fn another_system_is_not_judged() {
    let mut root = Root::default();
    root.file("/etc/os-release", "ID=debian\n");
    let found = root.found();
    assert_eq!((found.bad.len(), found.good.len()), (0, 0));
    assert_eq!(found.unread, ["boot: rpool/ROOT/be, which has nothing of illumos"]);
}
