//! A root file system that has the names of an illumos one, made by the test itself.
//!
//! A real one cannot be had everywhere. What the steps look for is there under its true name and with
//! as much of its true form as they read; the kernel is noise, so nothing of this ever boots. The rest is several
//! hundred nodes of every kind. Below that of the development image lies, with
//! `ILLUMOS_ROOT_UNDERLAY=FILE.tar`, which the soak tier has, a real root of some other system: tens of thousands of files.

#![allow(dead_code, reason = "each test binary uses its own part")]

use image_tree::{
    Content, Extent, ImagePath, Metadata, Node, NodeKind, ReadTarOptions, Store, Timestamp, Tree, WriteTarOptions,
    parse_acl, read_tar, write_tar,
};
use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;

/// The files that go into the boot archive, as illumos-gate delivers the list for amd64.
const FILE_LIST: &str = "boot/acpi/tables\nboot/solaris/bootenv.rc\netc/cluster/nodeid\netc/dacf.conf\n\
    etc/devices/devid_cache\netc/driver_aliases\netc/driver_classes\netc/mach\netc/name_to_major\n\
    etc/name_to_sysnum\netc/path_to_inst\netc/ppt_aliases\netc/rtc_config\netc/system\netc/system.d\netc/hostid\n\
    etc/versions\nkernel\nplatform/i86hvm/kernel\nplatform/i86pc/kernel\nplatform/i86xpv/kernel\n\
    platform/i86pc/ucode/GenuineIntel\nplatform/i86pc/ucode/AuthenticAMD\n";

/// Directories that the kernel mounts on, and others that must be there.
const DIRECTORIES: [&str; 18] = [
    "/boot/conf.d",
    "/dev",
    "/devices",
    "/etc/dfs",
    "/etc/svc/profile",
    "/etc/svc/volatile",
    "/etc/system.d",
    "/lib/svc/manifest/system",
    "/lib/svc/method",
    "/mnt",
    "/proc",
    "/system/boot",
    "/system/contract",
    "/system/object",
    "/tmp",
    "/usr/sbin",
    "/var/run",
    "/usr/lib",
];

/// The tree and the store with its content.
pub(crate) struct IllumosRoot {
    pub(crate) tree: Tree,
    pub(crate) store: Store,
}

/// Something like a boot program: noise with a multiboot header at `header`.
pub(crate) fn boot_program(length: usize, header: usize) -> Vec<u8> {
    let mut bytes = noise(length, 7);
    let words = [0x1BAD_B002_u32, 0x0001_0000, 0xE451_4FFE];
    for (word, at) in words.iter().zip((header..).step_by(4)) {
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// Stage 1: a boot sector.
pub(crate) fn boot_sector() -> Vec<u8> {
    let mut bytes = noise(512, 3);
    bytes[510..].copy_from_slice(&[0x55, 0xAA]);
    bytes
}

/// The header of an ELF object of illumos on amd64: 2 is a program, 3 a library.
pub(crate) fn elf(kind: u8) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 6]);
    (bytes[16], bytes[18], bytes[20]) = (kind, 62, 1);
    (bytes[52], bytes[54], bytes[58]) = (64, 56, 64);
    bytes
}

/// Bytes that do not pack, always the same.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut state = seed;
    for chunk in bytes.chunks_mut(8) {
        // SplitMix64: each step is a hash of a counter.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        chunk.copy_from_slice(&(mixed ^ mixed >> 31).to_le_bytes()[..chunk.len()]);
    }
    bytes
}

impl IllumosRoot {
    /// The whole root, with its content in a store below `directory`.
    pub(crate) fn new(directory: &Path) -> Self {
        Self::over(directory, None)
    }

    /// The same, with a real root below it where there is one.
    pub(crate) fn over_real_root(directory: &Path) -> Self {
        Self::over(directory, std::env::var_os("ILLUMOS_ROOT_UNDERLAY").as_deref())
    }

    fn over(directory: &Path, underlay: Option<&OsStr>) -> Self {
        let store = Store::open(directory.join("root-store")).expect("a store");
        let mut root = Self { tree: Tree::default(), store };
        if let Some(path) = underlay {
            root.underlay(path);
        }
        DIRECTORIES.iter().for_each(|path| root.directory(path));
        root.boot();
        root.kernel();
        root.configuration();
        root.assortment();
        root
    }

    /// Writes the root as an archive, packed when the name says so.
    pub(crate) fn write(&self, path: &Path) {
        let gzip = path.extension().is_some_and(|extension| extension == "gz").then_some(1);
        let options = WriteTarOptions { gzip, include: Vec::new(), progress: None };
        let file = File::create(path).expect("a file");
        write_tar(&self.tree, &self.store, file, options).expect("an archive");
    }

    pub(crate) fn directory(&mut self, path: &str) {
        let metadata = Metadata { mtime: time(5), ..Metadata::new(0, 3, 0o755) };
        self.tree.create_dir(&at(path), metadata.clone(), &metadata).expect("a directory");
    }

    pub(crate) fn file(&mut self, path: &str, bytes: &[u8]) {
        self.file_with(path, bytes, Metadata { mtime: time(path.len() as i64), ..Metadata::new(0, 3, 0o644) });
    }

    fn file_with(&mut self, path: &str, bytes: &[u8], metadata: Metadata) {
        let content = self.store.put_bytes(bytes).expect("stored");
        self.node(path, Node::regular(content, metadata));
    }

    fn node(&mut self, path: &str, node: Node) {
        let parent = at(path).parent().expect("not the root");
        let metadata = Metadata { mtime: time(1), ..Metadata::new(0, 0, 0o755) };
        self.tree.create_dir(&parent, metadata.clone(), &metadata).expect("a directory");
        self.tree.insert(&at(path), node).expect("a node");
    }

    pub(crate) fn remove(&mut self, path: &str) {
        self.tree.remove_subtree(&at(path)).expect("it was there");
    }

    /// Puts a directory somewhere else, and a link to it where it was.
    pub(crate) fn move_behind_link(&mut self, from: &str, to: &str) {
        let directory = self.tree.subtree(&at(from)).expect("a directory");
        self.remove(from);
        self.directory(to);
        self.tree.graft(&at(to), &directory).expect("grafted");
        self.node(from, Node::symlink(to, Metadata::new(0, 0, 0o777)));
    }

    fn underlay(&mut self, path: &OsStr) {
        let file = std::io::BufReader::new(File::open(path).expect("the underlay"));
        self.tree = read_tar(file, &self.store, ReadTarOptions::default()).expect("an archive").tree;
        // Its programs are not what the image's are to be checked against, and its links are in the way.
        for path in ["/usr/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6", "/lib", "/dev", "/proc"]
        {
            let _ = self.tree.remove_subtree(&at(path));
        }
    }

    fn boot(&mut self) {
        self.file("/boot/loader64.efi", &boot_program(270_013, 4096));
        self.file("/boot/loader32.efi", &boot_program(180_000, 512));
        self.file("/boot/loader", &noise(400_000, 1));
        self.file("/boot/pmbr", &boot_sector());
        self.file("/boot/gptzfsboot", &boot_program(131_072, 1024));
        self.file("/boot/loader.rc", b"include /boot/forth/loader.4th\n");
        self.file("/boot/forth/loader.4th", b": initialize ;\n");
        self.file("/boot/defaults/loader.conf", b"console=\"text\"\nboot_archive_load=\"YES\"\n");
        self.file("/boot/solaris/bootenv.rc", b"setprop ata-dma-enabled '1'\n");
        self.file("/boot/solaris/filelist.ramdisk", FILE_LIST.as_bytes());
    }

    fn kernel(&mut self) {
        let modules = [
            "/platform/i86pc/kernel/amd64/unix",
            "/platform/i86pc/kernel/drv/amd64/isa",
            "/platform/i86pc/kernel/drv/amd64/npe",
            "/platform/i86pc/kernel/drv/amd64/pci",
            "/kernel/amd64/genunix",
            "/kernel/drv/amd64/blkdev",
            "/kernel/drv/amd64/vio9p",
            "/kernel/drv/amd64/vioblk",
            "/kernel/drv/amd64/vioif",
            "/kernel/fs/amd64/zfs",
            "/kernel/misc/amd64/virtio",
        ];
        for (index, path) in modules.into_iter().enumerate() {
            self.file(path, &noise(20_000 + index * 7_001, index as u64));
        }
        self.tree.hard_link(&at("/kernel/drv/amd64/blkdev"), &at("/kernel/misc/amd64/blkdev")).expect("a link");
        // What older systems left, and what must not be there.
        self.file("/platform/i86pc/boot_archive", b"stale");
        self.file("/boot/solaris/timestamp.cache", b"");
    }

    fn configuration(&mut self) {
        for (path, text) in [
            ("/etc/driver_aliases", "vioblk \"pci1af4,1001\"\nvio9p \"pci1af4,9\"\n"),
            ("/etc/driver_classes", "pci pci\n"),
            ("/etc/minor_perm", "vio9p:* 0600 root root\n"),
            (
                "/etc/name_to_major",
                "md 85\ndevinfo 88\nvioblk 203\nvio9p 204\nblkdev 205\nvioif 206\nisa 207\nnpe 208\npci 209\n",
            ),
            ("/etc/path_to_inst", "#path_to_inst_bootstrap_1\n"),
            ("/etc/system", "set zfs:zfs_arc_max=1\n"),
            ("/etc/system.d/00-first", "set first=1\n"),
            ("/etc/vfstab", "/devices - /devices devfs - no -\n"),
            ("/etc/mnttab", ""),
            ("/etc/dfs/sharetab", ""),
            ("/etc/passwd", "root:x:0:0:Super-User:/root:/usr/bin/bash\n"),
            ("/etc/shadow", "root:*LK*:19000::::::\ndaemon:*:19000::::::\n"),
            ("/etc/svc/profile/generic_limited_net.xml", "<service_bundle/>\n"),
            ("/lib/svc/seed/global.db", "** This file contains an SQLite 2.1 database **\0"),
        ] {
            self.file(path, text.as_bytes());
        }
        self.file("/lib/amd64/libc.so.1", &elf(3));
        for path in ["/usr/lib/fs/tmpfs/mount", "/usr/lib/ssh/sshd"] {
            self.file(path, &elf(2));
        }
    }

    /// Files of every size that matters, links, and some hundred small ones.
    fn assortment(&mut self) {
        let sizes = [1, 511, 512, 513, 4096, 112_000, 131_071, 131_072, 131_073, 1_048_577, 3_000_000];
        for (index, size) in sizes.into_iter().enumerate() {
            self.file(&format!("/usr/share/sizes/packs-{size}"), &vec![b'a' + index as u8; size]);
            self.file(&format!("/usr/share/sizes/noise-{size}"), &noise(size, size as u64));
        }
        for index in 0..400 {
            let text = format!("page {index}\n").repeat(index % 40);
            self.file(&format!("/usr/share/man/man{}/page-{index}.1", index % 8), text.as_bytes());
        }
        let plain = Metadata::new(0, 0, 0o777);
        for (path, target) in [("/usr/bin/short", "x"), ("/usr/bin/long", &*"directory/".repeat(100))] {
            self.node(path, Node::symlink(target, plain.clone()));
        }
        self.node("/bin", Node::symlink("./usr/bin", plain.clone()));
        self.file_with("/usr/bin/su", &noise(9_000, 9), Metadata::new(0, 2, 0o4555));
        self.node("/var/run/pipe", Node { kind: NodeKind::Fifo, metadata: plain });
        let metadata = Metadata {
            xattrs: [(b"user.note".to_vec(), b"an attribute".to_vec())].into(),
            ..Metadata::new(1, 4, 0o640)
        };
        self.file_with("/var/adm/attributed", b"has an attribute\n", metadata);
        let list = b"user:80:r-----a-R-c--s:-------:allow:80,owner@:rw-p--aARWcCos:-------:allow";
        let acl = Some(parse_acl(list).expect("a list").into());
        self.file_with("/var/adm/controlled", b"has a list\n", Metadata { acl, ..Metadata::new(1, 4, 0o600) });
        self.node("/export/home/somebody", Node::directory(Metadata::new(101, 10, 0o700)));
        self.file_with("/export/home/somebody/notes", b"mine\n", Metadata::new(101, 10, 0o600));
        let blob = self.store.put_bytes(&noise(10_000, 77)).expect("stored").blob();
        let extents = [Extent { offset: 1 << 20, len: 10_000 }];
        let content = Content::sparse(blob, 5 << 20, &extents).expect("a sparse file");
        self.node("/var/adm/lastlog", Node::regular(content, Metadata::new(0, 0, 0o400)));
    }
}

fn time(secs: i64) -> Timestamp {
    Timestamp { secs: 1_700_000_000 + secs, nanos: 123_456_789 }
}

pub(crate) fn at(path: &str) -> ImagePath {
    ImagePath::new(path).expect("a path")
}
