//! A made-up boot environment that has all that a boot needs.

use super::super::files::{Entry, Files, Kind};
use super::super::{REQUIRED_FOR_BOOT, Wanted, walk};
use crate::inspect::findings::Findings;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use zfs_format::nvlist::NvList;

pub(super) const ARCHIVE: &str = "/platform/i86pc/amd64/boot_archive";
pub(super) const HASH: &str = "/platform/i86pc/amd64/boot_archive.hash";
pub(super) const STATES: &str = "/boot/solaris/filestat.ramdisk";
pub(super) const FILE_LIST: &str = "/boot/solaris/filelist.ramdisk";
pub(super) const DEFAULTS: &str = "/boot/defaults/loader.conf";

/// Where the manifest of the one package is.
pub(super) const MANIFEST: &str =
    "/var/pkg/publisher/openindiana.org/pkg/driver%2Fnetwork%2Fvioif/0.5.11%2C5.11-1%3A20260101T000000Z";

/// The files that the list names one by one.
pub(super) const LISTED: [&str; 5] =
    ["boot/solaris/bootenv.rc", "etc/driver_aliases", "etc/name_to_major", "etc/path_to_inst", "etc/system"];

/// Paths and contents; a directory has none.
#[derive(Clone, Default)]
pub(super) struct Root(pub(super) BTreeMap<String, (Option<Vec<u8>>, i64)>);

/// What a repository begins with.
pub(super) const REPOSITORY: &str = "** This file contains an SQLite 2.1 database **";

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
    pub(super) fn file(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        for (at, _) in path.match_indices('/').skip(1) {
            self.0.entry(path[..at].to_owned()).or_insert((None, 1));
        }
        self.0.insert(path.to_owned(), (Some(content.into()), 1));
    }

    /// Everything that a boot needs, with an archive of it.
    pub(super) fn whole() -> Self {
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
    pub(super) fn archive(&mut self) {
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

    pub(super) fn put_archive(&mut self, archive: &[u8]) {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(archive).expect("packed");
        self.file(ARCHIVE, packed.finish().expect("packed"));
        let hash: String = Sha1::digest(archive).iter().map(|byte| format!("{byte:02x}")).collect();
        self.file(HASH, format!("{hash}\n"));
    }

    /// Makes it an image of one package, which has this manifest.
    pub(super) fn packages(&mut self, manifest: &str) {
        self.file("/var/pkg/pkg5.image", "[image]\nversion = 4\n\n[variant]\nvariant.arch = i386\n");
        self.file(
            "/var/pkg/state/installed/catalog.base.C",
            r#"{"openindiana.org":{"driver/network/vioif":[{"version":"0.5.11,5.11-1:20260101T000000Z"}]}}"#,
        );
        self.file(MANIFEST, manifest);
    }

    pub(super) fn found(&self) -> Findings {
        let mut findings = Findings::default();
        walk(self, "rpool/ROOT/be", &mut findings).expect("a root in memory is read");
        findings
    }
}

pub(super) fn member(name: &str, mode: u32, content: &[u8]) -> Vec<u8> {
    let (name_bytes, bytes) = (name.len() + 1, content.len());
    let head = format!(
        "070707{:06o}{:06o}{mode:06o}{:06o}{:06o}000001000000{:011o}{name_bytes:06o}{bytes:011o}{name}\0",
        1, 2, 0, 3, 5
    );
    [head.as_bytes(), content].concat()
}

pub(super) fn closed(mut archive: Vec<u8>) -> Vec<u8> {
    archive.extend(member("TRAILER!!!", 0, &[]));
    archive.resize(archive.len().next_multiple_of(512), 0);
    archive
}
