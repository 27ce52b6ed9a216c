//! Images as others see them: xorriso reads the tree back and judges the boot equipment, isoinfo is a second reader.

use disk_image::DiskSeed;
use image_tree::{Content, ImagePath, Metadata, Node, NodeKind, Store, Timestamp, Tree};
use iso_image::{BootImage, Hybrid, IsoError, IsoImage, IsoOptions, IsoReport};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use test_judge::{approve, ask};

const TIME: Timestamp = Timestamp { secs: 1_735_689_600, nanos: 0 };

struct Scene {
    directory: tempfile::TempDir,
    store: Store,
    tree: Tree,
}

fn metadata(uid: u32, gid: u32, mode: u16) -> Metadata {
    Metadata { mtime: TIME, ..Metadata::new(uid, gid, mode) }
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path().join("store")).expect("a store");
        Self { directory, store, tree: Tree::new(metadata(0, 0, 0o755)) }
    }

    fn put(&mut self, path: &str, node: Node) -> &mut Self {
        let at = ImagePath::new(path).expect("a path");
        let parent = at.parent().expect("not the root");
        self.tree.create_dir(&parent, metadata(0, 3, 0o755), &metadata(0, 3, 0o755)).expect("directories");
        self.tree.insert(&at, node).expect("a node");
        self
    }

    fn file(&mut self, path: &str, bytes: &[u8], owner: (u32, u32), mode: u16) -> &mut Self {
        let content = self.store.put_bytes(bytes).expect("stored");
        self.put(path, Node::regular(content, metadata(owner.0, owner.1, mode)))
    }

    fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.put(path, Node::symlink(target, metadata(0, 0, 0o777)))
    }

    fn image(&self, options: &IsoOptions) -> Result<IsoReport, IsoError> {
        let image = IsoImage::new(&self.tree, &self.store, options)?;
        let file = fs::File::create(self.iso()).expect("a file");
        let report = image.write(std::io::BufWriter::new(file))?;
        assert_eq!(fs::metadata(self.iso()).expect("written").len(), report.bytes);
        assert_eq!(image.length(), report.bytes);
        Ok(report)
    }

    fn iso(&self) -> PathBuf {
        self.directory.path().join("image.iso")
    }

    /// Everything as xorriso unpacks it.
    fn extract(&self) -> Option<PathBuf> {
        let (iso, target) = (self.iso(), self.directory.path().join("extracted"));
        let arguments = ["-osirrox", "on", "-indev", text(&iso), "-extract", "/", text(&target)];
        let said = ask("xorriso", "xorriso", &arguments)?;
        assert!(said.success(), "{}{}", said.stdout_text(), said.stderr_text());
        let said = said.stderr_text();
        assert!(!said.contains("FAILURE") && !said.contains("WARNING"), "{said}");
        Some(target)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn options() -> IsoOptions {
    IsoOptions {
        label: Some("Test Volume".to_owned()),
        boot_bios: None,
        boot_uefi: None,
        hybrid: None,
        time: TIME,
        seed: DiskSeed::new("test"),
    }
}

/// Bytes that differ from place to place.
fn bytes(length: usize, salt: u8) -> Vec<u8> {
    (0..length).map(|at| (at / 251) as u8 ^ (at % 251) as u8 ^ salt).collect()
}

/// A boot program with the fake multiboot header that `installboot` looks for.
fn program(length: usize, header_at: usize) -> Vec<u8> {
    let mut program = bytes(length, 7);
    let words = [0x1BAD_B002_u32, 0x0001_0000, 0x1BAD_B002_u32.wrapping_add(0x0001_0000).wrapping_neg()];
    program[header_at..header_at + 12].copy_from_slice(&words.map(u32::to_le_bytes).concat());
    program
}

fn bootable() -> Scene {
    let mut scene = Scene::new();
    let mut stage1 = bytes(512, 3);
    stage1[510..].copy_from_slice(&[0x55, 0xAA]);
    scene
        .file("/boot/cdboot", &bytes(3001, 5), (0, 0), 0o644)
        .file("/boot/efiboot", &bytes(2 << 20, 6), (0, 0), 0o644)
        .file("/boot/pmbr", &stage1, (0, 3), 0o444)
        .file("/boot/isoboot", &program(20_000, 64), (0, 3), 0o444);
    scene
}

fn boot_options() -> IsoOptions {
    let hybrid = Hybrid { stage1: "boot/pmbr".to_owned(), stage2: "boot/isoboot".to_owned() };
    IsoOptions {
        boot_bios: Some("boot/cdboot".to_owned()),
        boot_uefi: Some("boot/efiboot".to_owned()),
        hybrid: Some(hybrid),
        ..options()
    }
}

#[test]
fn other_programs_read_every_node_back() {
    let mut scene = Scene::new();
    let long = "a rather long name with spaces and UTF-8 äöü, ".repeat(5);
    let deep = "/1/2/3/4/5/6/7/8/9/10/11/12";
    let target = format!("/{}/../{}/end", "x".repeat(120), "y".repeat(130));
    scene
        .file("/etc/shadow", b"root:x:\n", (0, 3), 0o400)
        .file("/usr/bin/su", &bytes(5000, 1), (0, 2), 0o4555)
        .file("/empty", b"", (1, 1), 0o644)
        .file(&format!("/{long}1"), b"one", (0, 0), 0o644)
        .file(&format!("/{long}2"), b"two", (0, 0), 0o644)
        .file(&format!("{deep}/file"), b"deep", (0, 0), 0o644)
        .file("/big", &bytes(3 << 20, 2), (0, 0), 0o600)
        .link("/bin", "./usr/bin")
        .link("/root-link", "/")
        .link("/long-link", &target)
        .put("/dev/null", Node { kind: NodeKind::CharDevice { major: 1, minor: 3 }, metadata: metadata(0, 3, 0o666) });
    for number in 0..300 {
        scene.file(&format!("/many/file-{number:03}-with-a-name"), number.to_string().as_bytes(), (0, 0), 0o644);
    }
    let report = scene.image(&options()).expect("an image");
    assert_eq!(report.boot, []);
    let Some(root) = scene.extract() else { return };
    let read = |path: &str| fs::read(root.join(path)).expect(path);
    assert_eq!(read("usr/bin/su"), bytes(5000, 1));
    assert_eq!(read("big"), bytes(3 << 20, 2));
    assert_eq!(read("empty"), b"");
    assert_eq!((read(&format!("{long}1")), read(&format!("{long}2"))), (b"one".to_vec(), b"two".to_vec()));
    assert_eq!(read(&format!("{}/file", &deep[1..])), b"deep");
    assert_eq!(fs::read_dir(root.join("many")).expect("a directory").count(), 300);
    assert_eq!(read("many/file-299-with-a-name"), b"299");
    for (link, target) in [("bin", "./usr/bin"), ("root-link", "/"), ("long-link", target.as_str())] {
        assert_eq!(fs::read_link(root.join(link)).expect(link), Path::new(target));
    }
    let found = fs::symlink_metadata(root.join("usr/bin/su")).expect("su");
    assert_eq!(found.mtime(), TIME.secs);
    assert_eq!(fs::metadata(root.join("etc/shadow")).expect("shadow").permissions().mode() & 0o7777, 0o400);
    let Some(listing) = approve("isoinfo", "genisoimage", &["-R", "-l", "-i", text(&scene.iso())]) else { return };
    for line in ["-r-xr-xr-x   1    0    2", "drwxr-xr-x", "-r--------   1    0    3", "crw-rw-rw-"] {
        assert!(listing.contains(line), "{line} is not in\n{listing}");
    }
    assert!(listing.contains(&format!("long-link -> {target}")), "{listing}");
    assert!(listing.contains(&format!("{long}2")), "{listing}");
}

/// As with `-cache-inodes` of mkisofs: the names of one file lead to one content.
#[test]
fn hard_links_share_their_content() {
    let mut scene = Scene::new();
    scene.file("/one", &bytes(5000, 1), (0, 0), 0o644).file("/other", &bytes(5000, 2), (0, 0), 0o644);
    let path = |text: &str| ImagePath::new(text).expect("a path");
    scene.tree.hard_link(&path("/one"), &path("/two")).expect("a link");
    scene.image(&options()).expect("an image");
    let Some(listing) = approve("isoinfo", "genisoimage", &["-R", "-l", "-i", text(&scene.iso())]) else { return };
    let line = |name: &str| -> Vec<&str> {
        let found = listing.lines().find(|line| line.split_whitespace().last() == Some(name)).expect(name);
        found.split_whitespace().collect()
    };
    // Mode, names, owner, group, bytes; then where the content is, in brackets.
    let place = |name: &str| listing.lines().find(|line| line.ends_with(&format!(" {name} "))).map(str::to_owned);
    let content = |name: &str| place(name).and_then(|line| Some(line.split_once('[')?.1.split_once(']')?.0.to_owned()));
    assert_eq!((line("one")[1], line("two")[1], line("other")[1]), ("2", "2", "1"), "{listing}");
    assert!(content("one").is_some() && content("one") == content("two"), "{listing}");
    assert_ne!(content("one"), content("other"), "{listing}");
}

#[test]
fn the_volume_descriptor_is_as_others_read_it() {
    let mut scene = Scene::new();
    scene.file("/a", b"a", (0, 0), 0o644);
    scene.image(&options()).expect("an image");
    let Some(said) = approve("isoinfo", "genisoimage", &["-d", "-i", text(&scene.iso())]) else { return };
    let sectors = fs::metadata(scene.iso()).expect("written").len() / 2048;
    for line in [
        "CD-ROM is in ISO 9660 format",
        "Volume id: Test Volume",
        "Rock Ridge signatures version 1 found",
        "Logical block size is: 2048",
        &format!("Volume size is: {sectors}"),
        "NO El Torito present",
    ] {
        let found = said.contains(line) || (line.starts_with("NO El") && !said.contains("El Torito VD version"));
        assert!(found, "{line} is not in\n{said}");
    }
}

/// Facts of the template language: BIOS and UEFI entries without emulation, the boot information table, partitions of
/// type 190 at sector 3 for 60 sectors and 239 over the UEFI image.
#[test]
fn a_hybrid_image_has_both_entries_and_both_partitions() {
    let scene = bootable();
    let report = scene.image(&boot_options()).expect("an image");
    let [(BootImage::Bios, bios), (BootImage::Uefi, uefi)] = report.boot[..] else { panic!("{:?}", report.boot) };
    let image = fs::read(scene.iso()).expect("the image");
    let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().expect("four bytes"));

    let at = bios as usize * 2048;
    let plain = bytes(3001, 5);
    let sum = plain[64..].chunks(4).fold(0_u32, |sum, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        sum.wrapping_add(u32::from_le_bytes(word))
    });
    assert_eq!([word(at + 8), word(at + 12), word(at + 16), word(at + 20)], [16, bios, 3001, sum]);
    assert_eq!(image[at + 64..at + 3001], plain[64..]);

    let stage1 = &image[..512];
    assert_eq!(image[3 * 512..4 * 512], *stage1);
    assert_eq!(stage1[0xFC..0xFE], (20_000_u16 / 512).to_le_bytes());
    assert_eq!(stage1[0xFE..0x106], 4_u64.to_le_bytes());
    assert_eq!(image[4 * 512..4 * 512 + 64], program(20_000, 64)[..64]);
    assert_eq!(image[4 * 512 + 64 + 24..4 * 512 + 64 + 32], u64::from(uefi * 4).to_le_bytes());

    let iso = scene.iso();
    let arguments = ["-indev", text(&iso), "-report_el_torito", "plain", "-report_system_area", "plain"];
    let Some(said) = approve("xorriso", "xorriso", &arguments) else { return };
    let has = |wanted: &[&str]| said.lines().any(|line| line.split_whitespace().eq(wanted.iter().copied()));
    let (bios, uefi_text) = (bios.to_string(), uefi.to_string());
    for wanted in [
        &["El", "Torito", "catalog", ":", "24", "1"][..],
        &["El", "Torito", "cat", "path", ":", "/.catalog"],
        &["El", "Torito", "boot", "img", ":", "1", "BIOS", "y", "none", "0x0000", "0x00", "6", &bios],
        &["El", "Torito", "boot", "img", ":", "2", "UEFI", "y", "none", "0x0000", "0x00", "4096", &uefi_text],
        &["El", "Torito", "img", "path", ":", "1", "/boot/cdboot"],
        &["El", "Torito", "img", "opts", ":", "1", "boot-info-table"],
        &["El", "Torito", "img", "path", ":", "2", "/boot/efiboot"],
        &["MBR", "partition", ":", "1", "0x80", "0xbe", "3", "60"],
        &["MBR", "partition", ":", "2", "0x00", "0xef", &(uefi * 4).to_string(), "4096"],
        &["MBR", "partition", "path", ":", "2", "/boot/efiboot"],
    ] {
        assert!(has(wanted), "{wanted:?} is not in\n{said}");
    }
    let Some(table) = approve("sfdisk", "fdisk", &["--verify", text(&scene.iso())]) else { return };
    assert!(!table.contains("overlap"), "{table}");
}

#[test]
fn what_is_booted_alone_is_the_default_of_its_platform() {
    for (bios, uefi, expected) in [(true, false, "BIOS"), (false, true, "UEFI")] {
        let scene = bootable();
        let mut options = IsoOptions { hybrid: None, ..boot_options() };
        options.boot_bios = options.boot_bios.filter(|_| bios);
        options.boot_uefi = options.boot_uefi.filter(|_| uefi);
        scene.image(&options).expect("an image");
        let iso = scene.iso();
        let arguments = ["-indev", text(&iso), "-report_el_torito", "plain"];
        let Some(said) = approve("xorriso", "xorriso", &arguments) else { return };
        let images: Vec<&str> = said.lines().filter(|line| line.starts_with("El Torito boot img")).collect();
        assert!(images.len() == 1 && images[0].contains(expected), "{said}");
    }
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let image = || {
        let scene = bootable();
        scene.image(&boot_options()).expect("an image");
        fs::read(scene.iso()).expect("the image")
    };
    assert!(image() == image());
}

#[test]
fn what_cannot_be_booted_is_named() {
    let scene = bootable();
    let failure = |change: fn(&mut IsoOptions)| {
        let mut options = boot_options();
        change(&mut options);
        scene.image(&options).expect_err("it cannot be made").to_string()
    };
    for (change, expected) in [
        ((|options| options.boot_bios = Some("boot/none".into())) as fn(&mut IsoOptions), "the image has no boot/none"),
        (|options| options.boot_uefi = Some("boot".into()), "/boot is a directory"),
        (|options| options.label = Some("x".repeat(33)), "is not a volume label"),
        (
            |options| options.hybrid = Some(Hybrid { stage1: "boot/cdboot".into(), stage2: "boot/isoboot".into() }),
            "the image cannot be made hybrid",
        ),
        (
            |options| options.hybrid = Some(Hybrid { stage1: "boot/pmbr".into(), stage2: "boot/efiboot".into() }),
            "/boot/efiboot has 2097152 bytes, and there is room for 30208",
        ),
    ] {
        let said = failure(change);
        assert!(said.contains(expected), "{said}");
    }
    let mut scene = bootable();
    scene.file("/.catalog", b"", (0, 0), 0o644);
    let said = scene.image(&boot_options()).expect_err("the name is taken").to_string();
    assert!(said.contains("/.catalog is in the tree"), "{said}");
    let mut scene = bootable();
    let path = ImagePath::new("/tiny").expect("a path");
    scene.put("/tiny", Node::regular(Content::empty(), metadata(0, 0, 0o644)));
    let options = IsoOptions { boot_bios: Some("tiny".to_owned()), ..options() };
    let error = scene.image(&options).expect_err("it is too small");
    assert!(matches!(error, IsoError::BootLength { path: found, .. } if found == path));
}
