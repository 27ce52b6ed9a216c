//! Root file systems: every kind of node, read back by e2fsprogs, which did not write it alone.

mod ext4_reader;
mod judge;

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use disk_image::gpt::SectorSize;
use disk_image::root_ext4::{Ext4Error, RootExt4};
use disk_image::{DiskSeed, Region, Volume, VolumeContext, VolumeError};
use image_tree::{BlobHash, Content, Extent, ImagePath, Metadata, Node, NodeKind, Store, Timestamp, Tree};

const MIB: u64 = 1024 * 1024;
/// A time in 2023, so that nothing depends on today's.
const TIME: i64 = 1_700_000_000;

struct Scratch {
    directory: tempfile::TempDir,
    store: Store,
    tree: Tree,
}

impl Scratch {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("store")).unwrap();
        let mut tree = Tree::default();
        tree.update_metadata(&path("/"), image_tree::Follow::No, |m| *m = metadata(0, 0, 0o755)).unwrap();
        Self { directory, store, tree }
    }

    fn insert(&mut self, at: &str, node: Node) {
        self.tree.insert(&path(at), node).unwrap();
    }

    fn directory(&mut self, at: &str) {
        self.insert(at, Node::directory(metadata(0, 0, 0o755)));
    }

    fn file(&mut self, at: &str, bytes: &[u8]) {
        let content = self.store.put_bytes(bytes).unwrap();
        self.insert(at, Node::regular(content, metadata(0, 0, 0o644)));
    }

    fn root(&self) -> RootExt4<'_> {
        RootExt4::new(&DiskSeed::new("test"), "root", &self.tree, &self.store).unwrap()
    }

    /// Writes the file system as a file of its own.
    fn write(&self, name: &str, bytes: u64) -> Result<PathBuf, VolumeError> {
        let image = self.directory.path().join(name);
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&image).unwrap();
        file.set_len(bytes).unwrap();
        let work = self.directory.path();
        let context = VolumeContext { sector_size: SectorSize::B512, first_lba: 2048, work };
        self.root().write(&mut Region::new(&file, 0, bytes), &context)?;
        judge::approve_ext4(&image);
        Ok(image)
    }

    /// The size that leaves this much free.
    fn size(&self, free: u64) -> u64 {
        self.root().preferred_bytes(SectorSize::B512, free).unwrap()
    }
}

/// The programs that make the file system are not on every host; then nothing here can be tested.
fn tools_are_missing() -> bool {
    ["mke2fs", "genext2fs"].into_iter().any(|program| {
        let package = if program == "mke2fs" { "e2fsprogs" } else { program };
        judge::ask(program, package, &["-V"]).is_none()
    })
}

fn path(text: &str) -> ImagePath {
    ImagePath::new(text).unwrap()
}

fn metadata(uid: u32, gid: u32, mode: u16) -> Metadata {
    Metadata { mtime: Timestamp { secs: TIME, nanos: 0 }, ..Metadata::new(uid, gid, mode) }
}

fn at_time(secs: i64, nanos: u32) -> Metadata {
    Metadata { mtime: Timestamp { secs, nanos }, ..metadata(0, 0, 0o644) }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 4093) as u8 ^ (at % 251) as u8).collect()
}

/// Everything that a tree can hold, odd cases included.
fn everything() -> Scratch {
    let mut s = Scratch::new();
    s.tree
        .update_metadata(&path("/"), image_tree::Follow::No, |m| {
            *m = Metadata { mtime: Timestamp { secs: 1_234_567_890, nanos: 7 }, ..Metadata::new(70_000, 3, 0o1750) };
        })
        .unwrap();
    s.directory("/d");
    s.insert("/d/sticky", Node::directory(metadata(1000, 100, 0o3777)));
    s.file("/d/empty", b"");
    s.file("/d/one block", &bytes(4096));
    s.file("/d/indirect", &bytes(100_000));
    s.file("/d/double", &bytes(6_000_000));
    let content = s.store.put_bytes(b"#!/bin/sh\n").unwrap();
    s.insert("/d/set-id", Node::regular(content.clone(), metadata(5, 6, 0o6755)));
    s.insert("/d/no mode", Node::regular(content.clone(), metadata(65_535, 65_535, 0)));
    s.insert("/d/large ids", Node::regular(content.clone(), metadata(65_536, 4_000_000_000, 0o600)));
    for (name, secs, nanos) in [
        ("before the epoch", -5, 0),
        ("before the epoch, in part", -5, 250_000_000),
        ("nanoseconds", TIME, 123_456_789),
        ("after 2038", 1 << 31, 0),
        ("after 2106", 1 << 32, 999_999_999),
    ] {
        s.insert(&format!("/d/{name}"), Node::regular(content.clone(), at_time(secs, nanos)));
    }
    for (name, length) in [("1", 1), ("59", 59), ("60", 60), ("61", 61), ("101", 101), ("4095", 4095)] {
        let mut target = b"../x//y/./".repeat(410);
        target.truncate(length);
        s.insert(&format!("/d/link-{name}"), Node::symlink(target, metadata(9, 9, 0o777)));
    }
    s.insert("/d/link-absolute", Node::symlink("/usr/bin/../lib/", metadata(0, 0, 0o777)));
    for (name, major, minor) in [
        ("null", 1, 3),
        ("tty", 5, 255),
        ("wide minor", 8, 300),
        ("wide both", 300, 70_000),
        ("widest", 4095, 0xF_FFFF),
    ] {
        let kind = NodeKind::CharDevice { major, minor };
        s.insert(&format!("/d/char {name}"), Node { kind, metadata: metadata(0, 5, 0o620) });
        let kind = NodeKind::BlockDevice { major, minor };
        s.insert(&format!("/d/block {name}"), Node { kind, metadata: metadata(0, 6, 0o660) });
    }
    s.insert("/d/fifo", Node { kind: NodeKind::Fifo, metadata: metadata(0, 0, 0o600) });
    s.directory("/links");
    for (name, of) in [
        ("a-file", "/d/indirect"),
        ("a-link", "/d/link-61"),
        ("a-device", "/d/char wide both"),
        ("a-fifo", "/d/fifo"),
        ("large-ids", "/d/large ids"),
    ] {
        s.tree.hard_link(&path(of), &path(&format!("/links/{name}"))).unwrap();
    }
    // A hard link whose first name is far down, with names that need long entries on both sides.
    let deep = format!("/a/{}", "n".repeat(255));
    s.directory("/a");
    s.file(&deep, b"deep");
    s.tree.hard_link(&path(&deep), &path(&format!("/links/{}", "m".repeat(255)))).unwrap();
    let mut directory = "/deep".to_owned();
    for level in 0..12 {
        s.directory(&directory);
        directory = format!("{directory}/{}", format!("level {level} ").repeat(9).trim());
    }
    s.file("/deep/f", b"x");
    for odd in ["\"quotes\" 'and' \\back", "-dash", "#hash", "<2>", "tab\tcolon:", "ümläut ☃", " leading"] {
        s.insert(&format!("/d/{odd}"), Node::regular(content.clone(), metadata(100_000, 1, 0o644)));
    }
    s.directory("/many");
    for number in 0..2500 {
        s.file(&format!("/many/a name of some length {number}"), b"");
    }
    s
}

#[test]
fn everything_that_a_tree_holds_is_there() {
    if tools_are_missing() {
        return;
    }
    let s = everything();
    let image = s.write("image", s.size(0)).unwrap();
    let paths: Vec<String> =
        s.tree.walk().map(|entry| String::from_utf8(entry.path.as_bytes().to_vec()).unwrap()).collect();
    assert!(paths.len() > 2500);
    let inodes = ext4_reader::stat(&image, &paths.iter().map(String::as_str).collect::<Vec<_>>());
    for entry in s.tree.walk() {
        let name = std::str::from_utf8(entry.path.as_bytes()).unwrap();
        let (inode, metadata) = (&inodes[name], &entry.node.metadata);
        let expected_kind = match entry.node.kind {
            NodeKind::Directory => "directory",
            NodeKind::Regular(_) => "regular",
            NodeKind::Symlink(_) => "symlink",
            NodeKind::CharDevice { .. } => "character special",
            NodeKind::BlockDevice { .. } => "block special",
            NodeKind::Fifo => "FIFO",
        };
        assert_eq!(inode.kind, expected_kind, "{name}");
        assert_eq!(inode.mode, metadata.mode, "mode of {name}");
        assert_eq!((inode.uid, inode.gid), (metadata.uid, metadata.gid), "owner of {name}");
        assert_eq!(inode.mtime, (metadata.mtime.secs, metadata.mtime.nanos), "time of {name}");
        match &entry.node.kind {
            NodeKind::Regular(content) => assert_eq!(inode.size, content.len(), "{name}"),
            NodeKind::Symlink(target) => {
                assert_eq!(&ext4_reader::target(&image, name), target, "{name}");
            }
            NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
                assert_eq!(inode.device, Some((*major, *minor)), "{name}");
            }
            NodeKind::Directory | NodeKind::Fifo => {}
        }
        if let Some(links) = entry.links {
            assert_eq!(inode.links, links.count() as u64, "{name}");
            let first = std::str::from_utf8(links.first().as_bytes()).unwrap();
            assert_eq!(inode.number, inodes[first].number, "{name} is {first}");
        }
    }
    for (name, length) in [("/d/empty", 0), ("/d/one block", 4096), ("/d/indirect", 100_000), ("/d/double", 6_000_000)]
    {
        assert!(ext4_reader::content(&image, name) == bytes(length), "content of {name}");
    }
}

#[test]
fn names_that_no_program_would_choose_arrive() {
    if tools_are_missing() {
        return;
    }
    let mut s = Scratch::new();
    let content = s.store.put_bytes(b"x").unwrap();
    let names: [&[u8]; 3] = [b"line\nfeed", b"raw \xff\xfe\x80", b"\xe2\x98"];
    for name in names {
        let at = ImagePath::root().join(name).unwrap();
        s.tree.insert(&at, Node::regular(content.clone(), metadata(0, 0, 0o644))).unwrap();
    }
    let image = s.write("image", s.size(0)).unwrap();
    let listing = judge::ask("debugfs", "e2fsprogs", &["-R", "ls -p /", judge::text(&image)]).unwrap();
    for name in names {
        let found = listing.stdout.windows(name.len()).any(|window| window == name);
        assert!(found, "{}", String::from_utf8_lossy(name));
    }
}

#[test]
fn extended_attributes_are_there_with_their_values() {
    if tools_are_missing() {
        return;
    }
    let mut s = Scratch::new();
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    let mut with = metadata(0, 0, 0o755);
    with.xattrs.insert(b"security.capability".to_vec(), capability);
    with.xattrs.insert(b"user.large".to_vec(), vec![0xab; 1500]);
    let content = s.store.put_bytes(b"ping").unwrap();
    s.insert("/ping \"x\"", Node::regular(content, with.clone()));
    with.xattrs.remove(b"user.large".as_slice());
    s.insert("/directory", Node::directory(with));
    let image = s.write("image", s.size(0)).unwrap();
    for name in ["/ping \"x\"", "/directory"] {
        let value = ext4_reader::attribute(&image, name, "security.capability");
        assert_eq!(value, "01 00 00 02 00 20 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
    }
    let large = ext4_reader::attribute(&image, "/ping \"x\"", "user.large");
    assert_eq!(large, ["ab"; 1500].join(" "));
}

#[test]
fn holes_take_no_blocks() {
    if tools_are_missing() {
        return;
    }
    let mut s = Scratch::new();
    let data = bytes(10_000);
    let blob = s.store.put_bytes(&data).unwrap().blob();
    let extents = [Extent { offset: 8192, len: 4096 }, Extent { offset: 3_000_001, len: 5904 }];
    let content = Content::sparse(blob, 5_000_000, &extents).unwrap();
    s.insert("/sparse", Node::regular(content, metadata(0, 0, 0o644)));
    let nothing = Content::sparse(BlobHash::of(b""), 5000, &[]).unwrap();
    s.insert("/nothing but a hole", Node::regular(nothing, metadata(0, 0, 0o644)));
    let image = s.write("image", s.size(0)).unwrap();
    let mut expected = vec![0; 5_000_000];
    expected[8192..12288].copy_from_slice(&data[..4096]);
    expected[3_000_001..3_005_905].copy_from_slice(&data[4096..]);
    assert!(ext4_reader::content(&image, "/sparse") == expected);
    assert_eq!(ext4_reader::content(&image, "/nothing but a hole"), [0; 5000]);
    let inodes = ext4_reader::stat(&image, &["/sparse", "/nothing but a hole"]);
    // Three data blocks at most, and perhaps one for the extents.
    assert!(inodes["/sparse"].blocks_of_512 <= 4 * 8, "{inodes:?}");
    assert_eq!(inodes["/nothing but a hole"].blocks_of_512, 0);
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    if tools_are_missing() {
        return;
    }
    let (one, two) = (everything(), everything());
    let size = one.size(20 * MIB);
    let first = std::fs::read(one.write("first", size).unwrap()).unwrap();
    let again = std::fs::read(two.write("another name", size).unwrap()).unwrap();
    assert!(first == again);
}

#[test]
fn features_label_and_identity_are_as_promised() {
    if tools_are_missing() {
        return;
    }
    let s = everything();
    let image = s.write("image", s.size(0)).unwrap();
    let said = judge::approve("dumpe2fs", "e2fsprogs", &["-h", judge::text(&image)]).unwrap();
    let uuid = RootExt4::uuid(&DiskSeed::new("test"));
    for expected in [
        format!("Filesystem UUID:          {uuid}"),
        "Filesystem volume name:   root".into(),
        "Filesystem state:         clean".into(),
        "Errors behavior:          Remount read-only".into(),
        "Maximum mount count:      -1".into(),
        "Check interval:           0".into(),
        "Inode size:	          256".into(),
        "Total journal blocks:     1024".into(),
    ] {
        assert!(said.contains(&expected), "{expected} is not in:\n{said}");
    }
    let features = said.lines().find(|line| line.starts_with("Filesystem features:")).unwrap();
    for feature in [
        "has_journal",
        "ext_attr",
        "dir_index",
        "filetype",
        "extent",
        "flex_bg",
        "sparse_super",
        "large_file",
        "huge_file",
        "dir_nlink",
        "extra_isize",
        "metadata_csum",
    ] {
        assert!(features.split_whitespace().any(|word| word == feature), "{feature} is not in: {features}");
    }
    assert!(!said.contains(&today()), "a date of today in:\n{said}");
}

/// As `dumpe2fs` prints dates, up to the day.
fn today() -> String {
    let output = judge::ask("date", "coreutils", &["-u", "+%b %e"]).unwrap();
    format!(" {} ", output.stdout_text().trim())
}

#[test]
fn the_smallest_size_that_is_said_to_do_does() {
    if tools_are_missing() {
        return;
    }
    let fill = |shape: &str, number: usize, s: &mut Scratch| match shape {
        "small files" => s.file(&format!("/f{number}"), format!("{number}").as_bytes()),
        "long names" => s.file(&format!("/{number}{}", "x".repeat(240)), b""),
        "large files" => s.file(&format!("/f{number}"), &bytes(16_000_000 + number)),
        "directories" => s.directory(&format!("/d{number}")),
        "links" => s.insert(&format!("/l{number}"), Node::symlink(vec![b'x'; 100], metadata(0, 0, 0o777))),
        other => panic!("{other}"),
    };
    let shapes = [
        ("small files", 1),
        ("small files", 6000),
        ("long names", 4000),
        ("large files", 10),
        ("directories", 4000),
        ("links", 3000),
    ];
    for (shape, count) in shapes {
        let mut s = Scratch::new();
        (0..count).for_each(|number| fill(shape, number, &mut s));
        let least = s.root().minimum_bytes(SectorSize::B512).unwrap();
        s.write("image", least).unwrap_or_else(|error| panic!("{shape}: {error:?}"));
        let error = s.write("smaller", least - 512).unwrap_err();
        let VolumeError::Ext4(Ext4Error::TooSmall { needed, .. }) = error else { panic!("{error}") };
        assert_eq!(needed, least, "{shape}");
    }
}

/// Sizes at which the last group is cut short, whole, or left out by `mke2fs`.
#[test]
fn any_size_of_partition_will_do() {
    if tools_are_missing() {
        return;
    }
    let mut s = Scratch::new();
    s.file("/f", &bytes(3_000_000));
    let group = 128 * MIB;
    for extra in [0, 4096, 800 * 1024, 1000 * 1024, MIB, 1200 * 1024, 2 * MIB, 3 * MIB, 5 * MIB + 512, 126 * MIB] {
        let size = if extra < 3 * MIB { group } else { 3 * group } + extra;
        let image = s.write("image", size).unwrap_or_else(|error| panic!("{size}: {error:?}"));
        assert!(ext4_reader::content(&image, "/f") == bytes(3_000_000), "{size}");
    }
}

#[test]
fn the_free_space_asked_for_is_there_and_a_hole() {
    if tools_are_missing() {
        return;
    }
    let mut s = Scratch::new();
    s.file("/f", &bytes(3_000_000));
    for free in [0, 100 * MIB, 2000 * MIB] {
        let image = s.write("image", s.size(free)).unwrap();
        let file = File::open(&image).unwrap();
        let mut field = [0; 4];
        file.read_exact_at(&mut field, 1024 + 12).unwrap();
        let found = u64::from(u32::from_le_bytes(field)) * 4096;
        assert!(found >= free && found < free + free / 20 + 20 * MIB, "{found} of {free} bytes free");
        let occupied = file.metadata().unwrap().blocks() * 512;
        assert!(occupied < 10 * MIB, "{occupied} bytes for 3 MB");
    }
}

#[test]
fn a_larger_disk_can_be_filled() {
    if tools_are_missing() {
        return;
    }
    let s = everything();
    let image = s.write("image", s.size(0)).unwrap();
    // Beyond 16 GiB, where the descriptors of the groups no longer fit into one block.
    File::options().write(true).open(&image).unwrap().set_len(20 * 1024 * MIB).unwrap();
    if judge::approve("resize2fs", "e2fsprogs", &[judge::text(&image)]).is_some() {
        judge::approve_ext4(&image);
    }
    let inodes = ext4_reader::stat(&image, &["/d/set-id"]);
    assert_eq!(inodes["/d/set-id"].mode, 0o6755);
}

#[test]
fn what_ext4_cannot_hold_is_refused_by_name() {
    let device = |major, minor| Node { kind: NodeKind::CharDevice { major, minor }, metadata: metadata(0, 0, 0o600) };
    let file = |metadata| Node::regular(Content::empty(), metadata);
    let mut large_attribute = metadata(0, 0, 0o644);
    large_attribute.xattrs.insert(b"user.x".to_vec(), vec![0; 3000]);
    let mut odd_attribute = metadata(0, 0, 0o644);
    odd_attribute.xattrs.insert(b"user.with space".to_vec(), vec![0]);
    let cases = [
        ("/far", file(at_time(1 << 34, 0)), "after 2446"),
        ("/early", file(at_time(-(1 << 31) - 1, 0)), "before 1901"),
        ("/dev", device(4096, 0), "no such device number"),
        ("/dev", device(0, 1 << 20), "no such device number"),
        ("/large", file(large_attribute), "2 KiB"),
        ("/odd", file(odd_attribute), "plain text"),
        ("/lost+found", file(metadata(0, 0, 0o644)), "a directory of that name"),
        ("/line\nfeed", file(metadata(100_000, 0, 0o644)), "a line feed"),
    ];
    for (at, node, expected) in cases {
        let mut s = Scratch::new();
        s.insert(at, node);
        let error = match s.write("image", s.size(0)) {
            Err(VolumeError::Ext4(error @ Ext4Error::Unsupported { .. })) => error.to_string(),
            other => panic!("{at}: {other:?}"),
        };
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_lost_and_found_of_the_tree_becomes_that_of_the_file_system() {
    if tools_are_missing() {
        return;
    }
    let mut s = Scratch::new();
    s.insert("/lost+found", Node::directory(metadata(0, 0, 0o700)));
    s.file("/lost+found/piece", b"found");
    let image = s.write("image", s.size(0)).unwrap();
    assert_eq!(ext4_reader::content(&image, "/lost+found/piece"), b"found");
    assert_eq!(ext4_reader::stat(&image, &["/"])["/"].mode, 0o755);
}

#[test]
fn a_content_that_the_store_has_not_got_is_named() {
    if tools_are_missing() {
        return;
    }
    let mut s = Scratch::new();
    let missing = Content::plain(BlobHash::of(b"never stored"), 12);
    s.insert("/file", Node::regular(missing, metadata(0, 0, 0o644)));
    let error = s.write("image", s.size(0)).unwrap_err();
    let VolumeError::Ext4(Ext4Error::Content { path, .. }) = error else { panic!("{error:?}") };
    assert_eq!(path, "/file");
    assert_eq!(leftovers(s.directory.path()), 0);
}

fn leftovers(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("root-ext4")).count()
}
