//! The steps of illumos images, looked at through an archive of the root that they leave.

mod illumos_root;
mod pool_bench;

use flate2::read::GzDecoder;
use illumos_root::at;
use image_tree::{Follow, NodeKind, ReadTarOptions, Store, Tree, read_tar};
use pool_bench::Bench;
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use zfs_format::nvlist::{NvValue, decode_xdr};

const UNPACK: &str = r#"{ "t": "unpack_tar", "name": "base.tar" }"#;
const BE: &str = r#"{ "t": "create_be" }"#;
const BOOTABLE: &str = r#"{ "t": "make_bootable" }"#;
const PACK: &str = r#"{ "t": "pack_tar", "name": "packed.tar" }"#;
const SEED: &str = r#"{ "t": "seed_smf" }"#;

/// The root after the steps.
struct Packed {
    tree: Tree,
    store: Store,
}

impl Packed {
    fn of(bench: &Bench) -> Self {
        let store = Store::open(bench.path("reading")).expect("a store");
        let file = File::open(bench.output("packed.tar")).expect("the archive");
        let tree = read_tar(file, &store, ReadTarOptions::default()).expect("it can be read").tree;
        Self { tree, store }
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        let (_, node) = self.tree.lookup(&at(path), Follow::Yes).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut bytes = Vec::new();
        self.store.open_content(node.content().expect("a file")).expect("there").read_to_end(&mut bytes).expect("read");
        bytes
    }

    fn mtime(&self, path: &str) -> i64 {
        self.tree.get(&at(path)).expect("there").metadata.mtime.secs
    }

    fn has(&self, path: &str) -> bool {
        self.tree.get(&at(path)).is_some()
    }
}

/// An entry of an odc archive: mode and content.
type Entries = BTreeMap<String, (u32, Vec<u8>)>;

/// Reads an archive as the early kernel does: octal fields, no padding but at the end.
fn read_cpio(bytes: &[u8]) -> Entries {
    assert_eq!(bytes.len() % 512, 0, "the reader fails at an end that is no whole sector");
    let mut entries = Entries::new();
    let mut at = 0;
    loop {
        let header = std::str::from_utf8(&bytes[at..at + 76]).expect("text");
        assert_eq!(&header[..6], "070707");
        assert!(header.bytes().all(|digit| (b'0'..=b'7').contains(&digit)), "{header}");
        let field = |from: usize, to: usize| usize::from_str_radix(&header[from..to], 8).expect("octal");
        let (mode, name_length, length) = (field(18, 24), field(59, 65), field(65, 76));
        let name = std::str::from_utf8(&bytes[at + 76..at + 76 + name_length - 1]).expect("text").to_owned();
        assert_eq!(bytes[at + 76 + name_length - 1], 0);
        let data = at + 76 + name_length;
        if name == "TRAILER!!!" {
            assert!(bytes[data..].iter().all(|byte| *byte == 0) && bytes.len() - data < 512);
            return entries;
        }
        assert!(!name.starts_with(['/', '.']), "{name}");
        let previous = entries.insert(name, (mode as u32, bytes[data..data + length].to_vec()));
        assert!(previous.is_none());
        at = data + length;
    }
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut bytes).expect("one gzip member");
    bytes
}

#[test]
fn the_boot_archive_holds_what_the_kernel_needs_and_the_first_boot_finds_it_current() {
    let bench = Bench::new(|_| {});
    let system = r#"{ "t": "ensure_file", "file": "/etc/system.d/10-more", "contents": "set more=1\n", "owner": "root", "group": "sys", "mode": "644" }"#;
    // What bootadm does not join would be taken out again at the first boot, which then is followed by another.
    let backup = r#"{ "t": "ensure_file", "file": "/etc/system.d/.05-old", "contents": "set old=1\n", "owner": "root", "group": "sys", "mode": "644" }"#;
    bench.template("image", r#""size": "auto""#, &[BE, UNPACK, system, backup, SEED, BOOTABLE, PACK]);
    bench.image("image");
    let root = Packed::of(&bench);
    let packed = root.bytes("/platform/i86pc/amd64/boot_archive");
    let archive = unpacked(&packed);
    let entries = read_cpio(&archive);
    for name in [
        "kernel/amd64/genunix",
        "kernel/fs/amd64/zfs",
        "kernel/drv/amd64/blkdev",
        "kernel/drv/amd64/vioblk",
        "kernel/misc/amd64/virtio",
        "kernel/misc/amd64/blkdev",
        "platform/i86pc/kernel/drv/amd64/pci",
        "platform/i86pc/kernel/amd64/unix",
        "etc/name_to_major",
        "etc/driver_aliases",
        "etc/path_to_inst",
        "etc/system",
        "etc/system.d/.self-assembly",
        "boot/solaris/bootenv.rc",
    ] {
        let (mode, content) = entries.get(name).unwrap_or_else(|| panic!("{name} is not in the archive"));
        assert_eq!(mode & 0o170_000, 0o100_000, "{name}");
        assert!(*content == root.bytes(&format!("/{name}")), "{name}");
    }
    assert!(entries.keys().all(|name| {
        ["kernel", "platform/i86pc/kernel", "etc/", "boot/solaris/bootenv.rc"]
            .iter()
            .any(|listed| name.starts_with(listed))
    }));
    assert_eq!(entries["etc/system.d/.self-assembly"].1, b"set first=1\nset more=1\n");
    assert_eq!(entries["kernel/drv"].0 & 0o170_000, 0o040_000);

    let hash: String = Sha1::digest(&archive).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(root.bytes("/platform/i86pc/amd64/boot_archive.hash"), format!("{hash}\n").into_bytes());
    assert!(root.mtime("/boot/solaris/timestamp.cache") >= root.mtime("/platform/i86pc/amd64/boot_archive"));
    assert!(!root.has("/platform/i86pc/boot_archive"), "the stale one is gone");

    let states = decode_xdr(&root.bytes("/boot/solaris/filestat.ramdisk")).expect("a packed list");
    let mut files = 0;
    for (name, value) in states.pairs() {
        let NvValue::U64Array(pair) = value else { panic!("{name}: {value:?}") };
        let node = root.tree.get(&at(&format!("/{name}"))).unwrap_or_else(|| panic!("{name}"));
        assert!(entries.contains_key(name), "{name}");
        if let NodeKind::Regular(content) = &node.kind {
            assert_eq!(pair[..], [content.len(), node.metadata.mtime.secs as u64], "{name}");
            files += 1;
        }
    }
    assert_eq!(files, entries.values().filter(|(mode, _)| mode & 0o170_000 == 0o100_000).count());
    // The early reader takes the file as it is, so a tool that nobody here wrote has to, too.
    if let Some(cpio) = test_judge::find("cpio", "cpio") {
        let file = bench.path("archive");
        std::fs::write(&file, &archive).expect("written");
        let command = process_runner::Command::new(cpio).args(["-it", "--quiet", "-F"]).arg(&file);
        let listed = command.run().expect("cpio reads it").stdout_text();
        assert_eq!(listed.lines().map(str::to_owned).collect::<Vec<_>>(), entries.keys().cloned().collect::<Vec<_>>());
    }
}

#[test]
fn an_archive_of_the_same_files_is_not_made_again() {
    let bench = Bench::new(|_| {});
    let note = |text: &str| {
        format!(
            r#"{{ "t": "ensure_file", "file": "/mnt/note", "contents": "{text}", "owner": "root", "group": "sys", "mode": "644" }}"#
        )
    };
    let archives = |bench: &Bench| Packed::of(bench).bytes("/platform/i86pc/amd64/boot_archive");
    bench.template("image", r#""size": "auto""#, &[BE, UNPACK, &note("a"), SEED, BOOTABLE, PACK]);
    bench.image("image");
    let first = archives(&bench);
    // Something else changes: the step runs, and takes the archive that it knows.
    bench.template("image", r#""size": "auto""#, &[BE, UNPACK, &note("b"), SEED, BOOTABLE, PACK]);
    bench.image("image");
    assert!(bench.ran().iter().any(|step| step == "make_bootable"));
    assert!(archives(&bench) == first);
    let elsewhere = Bench::new(|_| {});
    elsewhere.template("image", r#""size": "auto""#, &[BE, UNPACK, &note("a"), SEED, BOOTABLE, PACK]);
    elsewhere.image("image");
    assert!(archives(&elsewhere) == first, "the same bytes anywhere");
}

#[test]
fn what_an_image_lacks_to_boot_is_told_at_once_with_its_packages() {
    let bench = Bench::new(|root| {
        let missing =
            ["/boot/defaults/loader.conf", "/kernel/amd64/genunix", "/kernel/misc/amd64/virtio", "/system/object"];
        missing.into_iter().for_each(|path| root.remove(path));
    });
    bench.template("image", r#""size": "auto""#, &[BE, UNPACK, BOOTABLE]);
    assert_eq!(
        bench.failure("image"),
        "6:5: the image cannot boot: it has no /boot/defaults/loader.conf, /kernel/amd64/genunix, /system/object, \
         /kernel/misc/amd64/virtio [add to the base what has them: SUNWcs; driver/misc/virtio; system/boot/loader; \
         system/kernel]"
    );
    let diskless = Bench::new(|root| root.remove("/kernel/drv/amd64/vioblk"));
    diskless.template("image", r#""size": "auto""#, &[BE, UNPACK, BOOTABLE]);
    assert_eq!(
        diskless.failure("image"),
        "6:5: the image cannot boot: it has no /kernel/drv/amd64/vioblk, /kernel/drv/amd64/vioscsi, \
         /kernel/drv/amd64/nvme, /kernel/drv/amd64/sd, /kernel/drv/amd64/cmdk [add to the base what has them, one of the \
         drivers of disks: driver/storage/nvme; driver/storage/vioblk; driver/storage/vioscsi; system/kernel]"
    );
    let early = Bench::new(|root| root.remove("/boot/solaris/filelist.ramdisk"));
    early.template("image", r#""size": "auto""#, &[UNPACK, BOOTABLE]);
    assert!(early.failure("image").contains("make_bootable needs a create_be before it"));
}

#[test]
fn services_are_seeded_and_the_log_says_what_that_means() {
    let bench = Bench::new(|root| root.file("/var/svc/profile/site.xml", b"<service_bundle/>\n"));
    let seed = r#"{ "t": "seed_smf", "apply_profiles": ["generic", "platform", "site"] }"#;
    let generic = r#"{ "t": "ensure_symlink", "link": "/etc/svc/profile/generic.xml", "target": "generic_limited_net.xml", "owner": "root", "group": "root" }"#;
    bench.template("image", r#""size": "auto""#, &[BE, UNPACK, generic, seed, BOOTABLE, PACK]);
    bench.image("image");
    let root = Packed::of(&bench);
    assert_eq!(root.bytes("/etc/svc/repository.db"), root.bytes("/lib/svc/seed/global.db"));
    let metadata = &root.tree.get(&at("/etc/svc/repository.db")).expect("there").metadata;
    assert_eq!((metadata.uid, metadata.mode), (0, 0o600));
    assert_eq!(root.bytes("/etc/svc/profile/site/site.xml"), b"<service_bundle/>\n");
    let said = bench.messages();
    for expected in [
        "SMF: /lib/svc/seed/global.db is the repository as it stands; manifests and profiles were not imported here, the first boot does it",
        "the first boot applies profile generic, /etc/svc/profile/generic.xml",
        "the first boot applies profile platform",
        "the first boot applies profile site, /etc/svc/profile/site/site.xml",
    ] {
        assert!(said.contains(expected), "{expected} is not in:\n{said}");
    }
    assert!(!said.contains("leads nowhere"));

    let without = Bench::new(|_| {});
    without.template("image", r#""size": "auto""#, &[BE, UNPACK, SEED]);
    without.image("image");
    assert!(without.messages().contains("/etc/svc/profile/generic.xml leads nowhere"));
    without.template("site", r#""size": "auto""#, &[BE, UNPACK, seed]);
    assert!(without.failure("site").contains("cannot read /etc/svc/profile/generic.xml"));
    // What only svccfg can do is refused before any work.
    for option in [r#""debug": true"#, r#""skip_seed": true"#] {
        without.template("svccfg", r#""size": "auto""#, &[&format!(r#"{{ "t": "seed_smf", {option} }}"#)]);
        assert!(without.failure("svccfg").contains("needs the svccfg of an illumos system"));
    }
}

#[test]
fn datasets_have_parents_and_stand_once() {
    let bench = Bench::new(|_| {});
    let dataset = |name: &str| format!(r#"{{ "t": "create_dataset", "name": "{name}" }}"#);
    for (steps, expected) in [
        (vec![BE, BE], "create_be was done already"),
        (vec![&dataset("a/b")], "create_dataset needs one for the parent dataset before it"),
        (vec![&dataset("a"), &dataset("a")], "create_dataset was done already for this name"),
        (vec![&dataset("ROOT/be/var")], "create_dataset needs one for the parent dataset before it"),
        (vec![&dataset("ROOT"), BE], "create_be makes the dataset ROOT itself, which is there already"),
        (vec![BE, &dataset("ROOT")], "create_be has made the dataset ROOT already"),
    ] {
        bench.template("image", r#""size": "auto""#, &steps);
        let failure = bench.failure("image");
        assert!(failure.contains(expected), "{failure} is not {expected}");
    }
}

/// The reason is told when the image is built, not by a guest in which nothing starts.
#[test]
fn a_program_of_linux_is_refused_in_an_illumos_image() {
    let bench = Bench::new(|_| {});
    std::fs::copy("/proc/self/exe", bench.path("ext/sysconfig")).expect("a program of this host");
    let install = r#"{ "t": "ensure_file", "file": "/usr/lib/sysconfig", "extsrc": "sysconfig", "abi": "guest",
        "owner": "root", "group": "root", "mode": "755" }"#;
    bench.template("image", r#""size": 400"#, &[BE, UNPACK, install]);
    let failure = bench.failure("image");
    for expected in ["Linux", "illumos", "x86_64-unknown-illumos"] {
        assert!(failure.contains(expected), "{expected}: {failure}");
    }
}
