//! What is written can be read again, is always the same, and holds what was asked for.

mod support;

use std::io::{Read, Write};

use image_tree::{
    BlobHash, Content, Metadata, Node, NodeKind, ReadTarOptions, Store, Tree, WriteTarError, WriteTarOptions, diff,
    read_tar, write_tar,
};
use proptest::prelude::*;
use support::{add, add_file, build, mode, path, plans, store};

fn written(tree: &Tree, store: &Store, options: WriteTarOptions<'_>) -> Vec<u8> {
    write_tar(tree, store, Vec::new(), options).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_tree_survives_an_archive(plan in plans(), gzip in prop::option::of(0..9_u32)) {
        let (_scratch, from) = store();
        let tree = build(&from, &plan);
        let archive = written(&tree, &from, WriteTarOptions { gzip, ..Default::default() });
        let (_scratch, into) = store();
        let unpacked = read_tar(&archive[..], &into, ReadTarOptions::default()).unwrap();
        prop_assert_eq!(diff(&tree, &unpacked.tree), vec![]);
        prop_assert_eq!(unpacked.tree.hash(), tree.hash());
        prop_assert_eq!(unpacked.warnings, vec![]);
        prop_assert_eq!(unpacked.entries, tree.len());
        for entry in unpacked.tree.walk() {
            if let Some(content) = entry.node.content() {
                into.verify(content.blob()).unwrap();
            }
        }
        prop_assert_eq!(written(&unpacked.tree, &into, WriteTarOptions { gzip, ..Default::default() }), archive);
    }

    /// Archives cut anywhere are errors: of 10 KiB, only the padding after the two zero blocks may be missing.
    #[test]
    fn a_cut_archive_is_an_error(plan in plans(), cut in any::<prop::sample::Index>()) {
        let (_scratch, store) = store();
        let tree = build(&store, &plan);
        let archive = written(&tree, &store, WriteTarOptions::default());
        let last = archive.iter().rposition(|byte| *byte != 0).unwrap();
        let cut = cut.index(last);
        prop_assert!(read_tar(&archive[..cut], &store, ReadTarOptions::default()).is_err(), "cut at {}", cut);
        let archive = written(&tree, &store, WriteTarOptions { gzip: Some(1), ..Default::default() });
        for cut in [archive.len() - 1, archive.len() - 8, archive.len() / 2] {
            prop_assert!(read_tar(&archive[..cut], &store, ReadTarOptions::default()).is_err(), "gzip cut at {}", cut);
        }
    }

    /// Whatever is in an archive, reading it ends without a panic, and the tree stays usable.
    #[test]
    fn damaged_archives_do_no_harm(plan in plans(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let (_scratch, store) = store();
        let mut archive = written(&build(&store, &plan), &store, WriteTarOptions::default());
        for (index, byte) in damage {
            let position = index.index(archive.len());
            archive[position] = byte;
            repair_checksum(&mut archive, position);
        }
        if let Ok(unpacked) = read_tar(&archive[..], &store, ReadTarOptions::default()) {
            let hash = unpacked.tree.save(&store).unwrap();
            prop_assert_eq!(Tree::load(&store, hash).unwrap(), unpacked.tree);
        }
    }
}

/// Makes the checksum right again, so that the damage is seen by what reads the fields.
fn repair_checksum(archive: &mut [u8], position: usize) {
    let block = &mut archive[position / 512 * 512..][..512];
    if &block[257..262] == b"ustar" {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

/// Real archives have large files; these take other ways through store and reader.
#[test]
fn contents_of_all_sizes_survive() {
    let (_scratch, from) = store();
    let mut tree = Tree::default();
    for size in [0, 1, 511, 512, 513, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5_000_000] {
        let content: Vec<u8> = (0..size).map(|index: usize| (index * 7 % 251) as u8).collect();
        add_file(&mut tree, &from, &format!("/{size}"), &content);
    }
    let (_scratch, into) = store();
    let archive = written(&tree, &from, WriteTarOptions::default());
    let unpacked = read_tar(&archive[..], &into, ReadTarOptions::default()).unwrap();
    assert_eq!(unpacked.tree.hash(), tree.hash());
    assert_eq!(unpacked.content_bytes, tree.statistics().content_bytes);
    let content = unpacked.tree.get(&path("/5000000")).unwrap().content().unwrap();
    into.verify(content.blob()).unwrap();
    assert_eq!(into.read_blob(content.blob()).unwrap(), from.read_blob(content.blob()).unwrap());
}

#[test]
fn only_what_is_included_is_written() {
    let (_scratch, store) = store();
    let mut tree = Tree::default();
    for at in ["/a/one", "/a/sub/two", "/b/three", "/a-b"] {
        add_file(&mut tree, &store, at, at.as_bytes());
    }
    tree.hard_link(&path("/a/one"), &path("/b/linked")).unwrap();
    let include = ["/b", "/a/sub", "/b/three", "/a-b"].map(path).to_vec();
    let archive = written(&tree, &store, WriteTarOptions { include, ..Default::default() });
    let mut names = Vec::new();
    for entry in tar::Archive::new(&archive[..]).entries().unwrap() {
        let entry = entry.unwrap();
        names
            .push((String::from_utf8(entry.path_bytes().into_owned()).unwrap(), entry.header().entry_type().as_byte()));
    }
    let wanted = [
        ("./a/sub/", b'5'),
        ("./a/sub/two", b'0'),
        ("./a-b", b'0'),
        ("./b/", b'5'),
        ("./b/linked", b'0'),
        ("./b/three", b'0'),
    ];
    assert_eq!(names, wanted.map(|(name, kind)| (name.to_owned(), kind)));

    let options = WriteTarOptions { include: vec![path("/none")], ..Default::default() };
    let error = write_tar(&tree, &store, Vec::new(), options).unwrap_err();
    assert_eq!(error.to_string(), "/none cannot be put into the archive because it does not exist in the image");
}

/// Nothing in a compressed archive tells when or where it was made (RFC 1952, section 2.3).
#[test]
fn gzip_headers_are_anonymous() {
    let (_scratch, store) = store();
    let archive = written(&Tree::default(), &store, WriteTarOptions { gzip: Some(6), ..Default::default() });
    assert_eq!(&archive[..4], b"\x1f\x8b\x08\0");
    assert_eq!(&archive[4..8], [0; 4], "modification time");
    assert_eq!(archive[9], 255, "operating system");
}

#[test]
fn an_archive_goes_on_top_of_a_tree() {
    let (_scratch, store) = store();
    let mut into = Tree::default();
    add_file(&mut into, &store, "/usr/bin/kept", b"kept");
    add_file(&mut into, &store, "/usr/bin/replaced", b"old");
    into.insert(&path("/bin"), Node::symlink("usr/bin", mode(0o777))).unwrap();
    let mut layer = Tree::new(mode(0o711));
    add_file(&mut layer, &store, "/usr/bin/replaced", b"new");
    let include = vec![path("/usr/bin/replaced")];
    let mut archive = written(&layer, &store, WriteTarOptions { include, ..Default::default() });
    // The same file once more, by a name that leads through the symbolic link of the tree.
    let mut layer = Tree::default();
    add_file(&mut layer, &store, "/bin/added", b"added");
    archive.truncate(1024);
    archive.extend(written(
        &layer,
        &store,
        WriteTarOptions { include: vec![path("/bin/added")], ..Default::default() },
    ));
    let unpacked = read_tar(&archive[..], &store, ReadTarOptions { into, ..Default::default() }).unwrap();
    let read = |at: &str| store.read_blob(unpacked.tree.get(&path(at)).unwrap().content().unwrap().blob()).unwrap();
    assert_eq!((read("/usr/bin/kept"), read("/usr/bin/replaced")), (b"kept".to_vec(), b"new".to_vec()));
    assert_eq!(read("/usr/bin/added"), b"added");
    assert_eq!(unpacked.tree.get(&path("/bin")).unwrap().kind, NodeKind::Symlink(b"usr/bin".to_vec()));
}

#[test]
fn progress_adds_up() {
    let (_scratch, store) = store();
    let mut tree = Tree::default();
    add_file(&mut tree, &store, "/file", &vec![1; 3_000_000]);
    let mut made = 0;
    let mut count = |bytes| made += bytes;
    let archive = written(&tree, &store, WriteTarOptions { progress: Some(&mut count), ..Default::default() });
    assert_eq!(made, archive.len() as u64);
    let mut read = 0;
    let mut count = |bytes| read += bytes;
    read_tar(&archive[..], &store, ReadTarOptions { progress: Some(&mut count), ..Default::default() }).unwrap();
    assert_eq!(read, archive.len() as u64);
}

/// A writer that fails once it has taken so many bytes.
#[derive(Debug)]
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = bytes.len().min(self.0);
        self.0 -= count;
        if count == 0 { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(count) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A reader that fails once it has given what it has.
struct Broken<'a>(&'a [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(std::io::Error::other("broken")),
            count => Ok(count),
        }
    }
}

#[test]
fn failures_name_what_was_being_done() {
    let (_scratch, store) = store();
    let mut tree = Tree::default();
    add_file(&mut tree, &store, "/a", &[1; 1000]);
    add_file(&mut tree, &store, "/b", &vec![2; 2 << 20]);
    let error = write_tar(&tree, &store, Full(3000), WriteTarOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "cannot write /b to the archive");

    let archive = written(&tree, &store, WriteTarOptions::default());
    let (_scratch, empty) = support::store();
    let error = read_tar(Broken(&archive[..1 << 20]), &empty, ReadTarOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "cannot read archive entry 3 (`./b`, at byte 2048)");
    assert!(std::error::Error::source(&error).is_some_and(|kind| kind.to_string() == "cannot read the archive"));
    assert_eq!(empty.len(), 0, "nothing of an archive that cannot be read remains");

    let lost = Content::plain(BlobHash::of(b"lost"), 4);
    add(&mut tree, "/c", Node::regular(lost, Metadata::default()));
    let error = write_tar(&tree, &store, Vec::new(), WriteTarOptions::default()).unwrap_err();
    assert!(matches!(&error, WriteTarError::Content { path: at, .. } if *at == path("/c")), "{error}");
}
