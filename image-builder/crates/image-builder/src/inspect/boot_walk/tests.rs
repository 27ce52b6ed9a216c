//! The walk through a made-up boot environment in which one piece after the other is broken.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha1::{Digest, Sha1};
use test_judge::{Random, fuzz};
use zfs_format::nvlist::NvList;

use super::files::{Entry, Files, Kind};
use super::loader::Settings;
use super::{REQUIRED_FOR_BOOT, Wanted, cpio, walk};
use crate::inspect::verify::Findings;

const ARCHIVE: &str = "/platform/i86pc/amd64/boot_archive";
const HASH: &str = "/platform/i86pc/amd64/boot_archive.hash";
const STATES: &str = "/boot/solaris/filestat.ramdisk";
const FILE_LIST: &str = "/boot/solaris/filelist.ramdisk";
const DEFAULTS: &str = "/boot/defaults/loader.conf";

/// The files that the list names one by one.
const LISTED: [&str; 5] =
    ["boot/solaris/bootenv.rc", "etc/driver_aliases", "etc/name_to_major", "etc/path_to_inst", "etc/system"];

/// Paths and contents; a directory has none.
#[derive(Clone, Default)]
struct Root(BTreeMap<String, (Option<Vec<u8>>, i64)>);

/// What a repository begins with.
const REPOSITORY: &str = "** This file contains an SQLite 2.1 database **";

impl Files for Root {
    fn look_at(&self, path: &str, _follow: bool) -> io::Result<Option<Entry>> {
        Ok(self.0.get(path).map(|(content, mtime)| Entry {
            mode: if path.ends_with(".db") { 0o600 } else { 0o644 },
            kind: if content.is_some() { Kind::File } else { Kind::Directory },
            size: content.as_ref().map_or(0, |content| content.len() as u64),
            mtime: *mtime,
        }))
    }

    fn open<'a>(&'a self, path: &str) -> io::Result<Box<dyn Read + 'a>> {
        let content = self.0.get(path).and_then(|(content, _)| content.as_deref());
        Ok(Box::new(content.ok_or(io::ErrorKind::NotFound)?))
    }

    fn names(&self, directory: &str) -> io::Result<Vec<String>> {
        let inside = |path: &String| path.strip_prefix(directory)?.strip_prefix('/').map(str::to_owned);
        Ok(self.0.keys().filter_map(inside).filter(|name| !name.contains('/')).collect())
    }
}

impl Root {
    fn file(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        for (at, _) in path.match_indices('/').skip(1) {
            self.0.entry(path[..at].to_owned()).or_insert((None, 1));
        }
        self.0.insert(path.to_owned(), (Some(content.into()), 1));
    }

    /// Everything that a boot needs, with an archive of it.
    fn whole() -> Self {
        let mut root = Self::default();
        for (path, wanted, _) in REQUIRED_FOR_BOOT {
            match wanted {
                Wanted::File => root.file(path, format!("content of {path}\n")),
                Wanted::Directory => drop(root.0.insert(path.to_owned(), (None, 1))),
            }
        }
        let defaults = "# The loader's own\nkernel=\"i86pc/kernel/${ISADIR}\"\nbootfile=\"unix\"\nconsole=\"text,ttya\"\n\
                        boot_archive_load=\"YES\"\nboot_archive_type=\"rootfs\"\n\
                        boot_archive_name=\"/platform/i86pc/${ISADIR}/boot_archive\"\n\
                        boot_archive.hash_load=\"YES\"\nboot_archive.hash_type=\"hash\"\n\
                        boot_archive.hash_name=\"${boot_archive_name}.hash\" # beside it\n";
        root.file(DEFAULTS, defaults);
        root.file(
            "/boot/loader.rc",
            "\\ the first\ninclude /boot/forth/loader.4th\ntry-include /boot/loader.rc.local\n",
        );
        root.file("/boot/forth/loader.4th", "include /boot/forth/support.4th\n: start ;\n");
        root.file("/boot/forth/support.4th", ": initialize ;\n");
        root.file("/boot/solaris/bootenv.rc", "setprop ata-dma-enabled '1'\nsetprop ttya-mode '9600,8,n,1,-'\n");
        let piece = "console=\"ttya,text\"\nos_console=\"ttya\"\nttya-mode=\"115200,8,n,1,-\"\n";
        root.file("/boot/conf.d/ttya", piece);
        root.file(FILE_LIST, format!("{}\nkernel\nplatform\nnot/there\n", LISTED.join("\n")));
        root.file("/kernel/drv/amd64/blkdev", vec![7; 70_000]);
        root.file("/kernel/drv/amd64/vioblk", "a driver");
        root.file("/kernel/misc/amd64/virtio", "a module");
        root.file("/platform/i86hvm/kernel/drv/amd64/xdf", "a driver");
        let drivers = ["blkdev", "vioblk", "vio9p", "isa", "npe", "pci"].into_iter().zip(200..);
        let majors: String = drivers.map(|(name, major)| format!("{name} {major}\n")).collect();
        root.file("/etc/name_to_major", format!("# numbers\n{majors}"));
        root.file("/etc/driver_aliases", "vioblk \"pci1af4,1001\"\n");
        root.file("/etc/driver_classes", "pci pci\n");
        root.file("/etc/vfstab", "# rows\nswap - /tmp tmpfs - yes -\nrepo - /repo 9pfs - no tag=repo\n");
        root.file("/usr/lib/fs/tmpfs/mount", "a program");
        root.file("/etc/svc/repository.db", REPOSITORY);
        root.file("/lib/svc/seed/global.db", REPOSITORY);
        root.file("/etc/svc/profile/generic.xml", "<service_bundle/>");
        root.archive();
        root
    }

    /// Makes the archive of what the list names, and what belongs to it.
    fn archive(&mut self) {
        let listed = |path: &str| {
            let name = &path[1..];
            let is_kernel = name.starts_with("kernel/") || name.starts_with("platform/") && name.contains("/kernel/");
            LISTED.contains(&name) || is_kernel
        };
        let members: Vec<_> = self.0.iter().filter(|(path, _)| listed(path)).collect();
        let mut states = NvList::new();
        let mut archive = Vec::new();
        for (path, (content, mtime)) in members {
            let (mode, bytes) = content.as_ref().map_or((0o040_755, &[][..]), |content| (0o100_644, content));
            archive.extend(member(&path[1..], mode, bytes));
            states.insert(&path[1..], vec![bytes.len() as u64, *mtime as u64]);
        }
        let archive = closed(archive);
        self.put_archive(&archive);
        self.file(STATES, states.encode_xdr());
        self.file("/boot/solaris/timestamp.cache", "");
    }

    fn put_archive(&mut self, archive: &[u8]) {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(archive).expect("packed");
        self.file(ARCHIVE, packed.finish().expect("packed"));
        let hash: String = Sha1::digest(archive).iter().map(|byte| format!("{byte:02x}")).collect();
        self.file(HASH, format!("{hash}\n"));
    }

    fn found(&self) -> Findings {
        let mut findings = Findings::default();
        walk(self, "rpool/ROOT/be", &mut findings).expect("a root in memory is read");
        findings
    }
}

fn member(name: &str, mode: u32, content: &[u8]) -> Vec<u8> {
    let (name_bytes, bytes) = (name.len() + 1, content.len());
    let head = format!(
        "070707{:06o}{:06o}{mode:06o}{:06o}{:06o}000001000000{:011o}{name_bytes:06o}{bytes:011o}{name}\0",
        1, 2, 0, 3, 5
    );
    [head.as_bytes(), content].concat()
}

fn closed(mut archive: Vec<u8>) -> Vec<u8> {
    archive.extend(member("TRAILER!!!", 0, &[]));
    archive.resize(archive.len().next_multiple_of(512), 0);
    archive
}

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

/// Every required file that the kernel reads before it has the pool, as if the list did not name it.
#[test]
fn what_is_there_and_not_archived_is_told() {
    for listed in LISTED {
        let mut root = Root::whole();
        let others: Vec<_> = LISTED.into_iter().filter(|name| *name != listed).collect();
        root.file(FILE_LIST, format!("{}\nkernel\nplatform\n", others.join("\n")));
        let content = root.0.remove(&format!("/{listed}")).expect("there");
        root.archive();
        root.0.insert(format!("/{listed}"), content);
        let expected = format!(
            "boot: {ARCHIVE}: {listed} is not in it, although the boot environment has it: {FILE_LIST} does not name it"
        );
        assert_eq!(root.found().bad, [expected]);
    }
    // A line `platform` stands for the kernels of all machines.
    let mut root = Root::whole();
    root.file("/platform/i86hvm/kernel/drv/amd64/new", "a driver");
    assert_eq!(root.found().bad, [format!("boot: {ARCHIVE}: platform/i86hvm/kernel/drv/amd64/new is not in it")]);
}

#[test]
fn tables_that_the_system_could_not_use_are_told() {
    let majors = Root::whole().text("/etc/name_to_major").expect("read").expect("there");
    let without = |driver: &str| {
        let lines = majors.lines().filter(|line| !line.starts_with(&format!("{driver} ")));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let cases = [
        ("/etc/name_to_major", format!("{majors}md 201\n"), "/etc/name_to_major:8: md has the number 201 of vioblk"),
        ("/etc/name_to_major", format!("{majors}pci 300\n"), "/etc/name_to_major:8: pci has a number already"),
        ("/etc/name_to_major", format!("{majors}md\n"), "/etc/name_to_major:8: it is not a driver and its number"),
        ("/etc/name_to_major", format!("{majors}md x\n"), "/etc/name_to_major:8: x is no number"),
        (
            "/etc/name_to_major",
            without("blkdev"),
            "/kernel/drv/amd64/blkdev is there, and /etc/name_to_major has no number for it; its package's driver action \
             adds it",
        ),
        (
            "/etc/driver_aliases",
            "vioif \"pci1af4,1\"\n".to_owned(),
            "/etc/driver_aliases names vioif, which has no number",
        ),
        ("/etc/driver_classes", "ghost pci\n".to_owned(), "/etc/driver_classes names ghost, which has no number"),
        (
            "/etc/vfstab",
            "repo - /repo 9pfs - yes tag=repo\n".to_owned(),
            "/etc/vfstab:1: /repo is to be mounted at boot, and nothing in the image mounts the type 9pfs \
             (/usr/lib/fs/9pfs/mount); write no instead of yes",
        ),
        ("/etc/vfstab", "swap - /tmp tmpfs yes\n".to_owned(), "/etc/vfstab:1: it has 5 words instead of 7"),
        ("/etc/svc/repository.db", "SQLite format 3".to_owned(), "/etc/svc/repository.db is no repository"),
    ];
    for (path, content, expected) in cases {
        let mut root = Root::whole();
        root.file(path, content);
        root.archive();
        let bad = root.found().bad;
        assert!(bad.iter().any(|problem| problem.starts_with(&format!("boot: {expected}"))), "{expected}: {bad:?}");
    }
    // A seed wants its profile; a repository that svccfg has made has had it.
    let mut root = Root::whole();
    root.0.remove("/etc/svc/profile/generic.xml");
    assert!(
        root.found().bad[0].starts_with("boot: /etc/svc/profile/generic.xml leads nowhere"),
        "{:?}",
        root.found().bad
    );
    root.file("/etc/svc/repository.db", format!("{REPOSITORY} with services"));
    assert_eq!(root.found().bad, [""; 0]);
    root.file("/reconfigure", "");
    let found = root.found();
    assert_eq!(found.bad, [""; 0]);
    assert!(found.good.iter().any(|said| said.starts_with("boot: /reconfigure is there")), "{:?}", found.good);
}

#[test]
fn a_repository_that_others_can_read_is_told() {
    struct Open(Root);
    impl Files for Open {
        fn look_at(&self, path: &str, follow: bool) -> io::Result<Option<Entry>> {
            Ok(self.0.look_at(path, follow)?.map(|entry| Entry { mode: 0o644, ..entry }))
        }

        fn open<'a>(&'a self, path: &str) -> io::Result<Box<dyn Read + 'a>> {
            self.0.open(path)
        }

        fn names(&self, directory: &str) -> io::Result<Vec<String>> {
            self.0.names(directory)
        }
    }
    let mut findings = Findings::default();
    walk(&Open(Root::whole()), "rpool/ROOT/be", &mut findings).expect("read");
    assert_eq!(findings.bad, ["boot: /etc/svc/repository.db has the mode 644 instead of 600"]);
}

#[test]
fn archives_that_the_kernel_does_not_read_are_told() {
    let whole = closed(member("etc/system", 0o100_644, b"content of /etc/system\n"));
    let with = |at: usize, bytes: &[u8]| {
        let mut archive = whole.clone();
        archive[at..at + bytes.len()].copy_from_slice(bytes);
        archive
    };
    for (archive, expected) in [
        (with(0, b"070701"), "at 0 of the unpacked archive: no member in the old octal form"),
        (with(18, b"10064 "), "at 0 of the unpacked archive: a number is not octal"),
        (with(59, b"777777"), "at 0 of the unpacked archive: a name has no length that a path can have"),
        (with(86, b"x"), "at 0 of the unpacked archive: a name is not ended, or no text"),
        (with(65, b"00000777777"), "at 512 of the unpacked archive: it ends within a member"),
        (whole[..whole.len() - 1].to_vec(), "at 511 of the unpacked archive: its length is no multiple of 512"),
        (whole[..110].to_vec(), "at 110 of the unpacked archive: it ends without a trailer"),
        (
            closed(member("./etc/system", 0o100_644, b"content of /etc/system\n")),
            "the name ./etc/system in it is not found",
        ),
        (closed(Vec::new()), "no driver of a disk is in it (kernel/drv/amd64/vioblk, "),
    ] {
        let mut root = Root::whole();
        root.put_archive(&archive);
        let bad = root.found().bad;
        let expected = format!("boot: {ARCHIVE}: {expected}");
        assert!(bad.iter().any(|problem| problem.starts_with(&expected)), "{expected} is not in {bad:?}");
    }
}

/// A directory that holds itself, as only a hostile pool has it: twice, so that each level has twice as many names.
#[test]
fn directories_that_contain_themselves_end() {
    struct Circle(Root);
    impl Files for Circle {
        fn look_at(&self, path: &str, follow: bool) -> io::Result<Option<Entry>> {
            let inside = path.strip_prefix("/kernel/").is_some_and(|rest| rest.starts_with(['a', 'b']));
            let circle = Entry { kind: Kind::Directory, size: 0, mode: 0o755, mtime: 1 };
            if inside { Ok(Some(circle)) } else { self.0.look_at(path, follow) }
        }

        fn open<'a>(&'a self, path: &str) -> io::Result<Box<dyn Read + 'a>> {
            self.0.open(path)
        }

        fn names(&self, directory: &str) -> io::Result<Vec<String>> {
            let names = vec!["a".to_owned(), "b".to_owned()];
            if directory.starts_with("/kernel") { Ok(names) } else { self.0.names(directory) }
        }
    }
    let mut findings = Findings::default();
    let error = walk(&Circle(Root::whole()), "rpool/ROOT/be", &mut findings).expect_err("it does not go on");
    assert!(error.to_string().contains("more than"), "{error}");
}

#[test]
fn another_system_is_not_judged() {
    let mut root = Root::default();
    root.file("/etc/os-release", "ID=debian\n");
    let found = root.found();
    assert_eq!((found.bad.len(), found.good.len()), (0, 0));
    assert_eq!(found.unread, ["boot: rpool/ROOT/be, which has nothing of illumos"]);
}

#[test]
fn a_circle_of_variables_ends() {
    let mut root = Root::whole();
    root.file("/boot/loader.conf", "a=\"${b}\"\nb=\"${a}\"\nkernel=\"${a}\"\nc=\"${unknown}\"\n");
    let settings = Settings::read(&root).expect("read");
    assert!(settings.kernel().contains("${"), "{}", settings.kernel());
    assert_eq!(settings.get("c").as_deref(), Some("${unknown}"));
}

#[test]
fn fuzz_boot_archives_and_loader_configurations() {
    let root = Root::whole();
    let mut archive = Vec::new();
    let packed = root.open(ARCHIVE).expect("there");
    flate2::read::GzDecoder::new(packed).read_to_end(&mut archive).expect("a whole archive");
    let text = root.text(DEFAULTS).expect("read").expect("there");
    fuzz(300, |random: &mut Random| {
        let mut damaged = archive.clone();
        random.damage(&mut damaged);
        let _ = cpio::read(&damaged[..], |_, content| io::copy(content, &mut io::sink()).map(drop));
        let mut lines = text.clone().into_bytes();
        random.damage(&mut lines);
        let mut root = Root::default();
        root.file(DEFAULTS, lines);
        let settings = Settings::read(&root).expect("a root in memory is read");
        let _ = (settings.kernel(), settings.modules(), settings.console());
    });
}
