//! Damaged archives: any answer will do, as long as there is one, and soon.

mod support;

use image_tree::{Node, NodeKind, ReadTarOptions, Store, Tree, WriteTarOptions, read_tar, write_tar};
use support::{add, add_file, mode, path};
use test_judge::Random;

/// An archive of every kind of node, with names that need extended headers.
fn archive(store: &Store, gzip: Option<u32>) -> Vec<u8> {
    let mut tree = Tree::default();
    add(&mut tree, "/directory", Node::directory(mode(0o1777)));
    add_file(&mut tree, store, "/directory/file", b"some content");
    add_file(&mut tree, store, "/empty", b"");
    add_file(&mut tree, store, &format!("/{}", "long".repeat(50)), b"more");
    add(&mut tree, "/pipe", Node { kind: NodeKind::Fifo, metadata: mode(0o600) });
    tree.hard_link(&path("/empty"), &path("/directory/link")).unwrap();
    tree.insert(&path("/way"), Node { kind: NodeKind::Symlink(b"../directory".to_vec()), metadata: mode(0o777) })
        .unwrap();
    write_tar(&tree, store, Vec::new(), WriteTarOptions { gzip, ..WriteTarOptions::default() }).unwrap()
}

/// The two entries of an extended attribute as illumos tar writes them (`xattr_hdr` and `xattr_buf` of `archives.h`).
fn attribute() -> Vec<u8> {
    let names = b"./empty\0note\0";
    let part = [format!("{:06}\0", names.len()).as_bytes(), b"0", names, b"\0"].concat();
    let lengths = format!("{:09}\0{:09}\0{:09}\0", 37 + part.len(), part.len(), 0);
    let header = [b"1.0\0\0\0\0", lengths.as_bytes(), &part].concat();
    let mut bytes = Vec::new();
    for content in [&header[..], b"value"] {
        let mut entry = tar::Header::new_ustar();
        entry.set_entry_type(tar::EntryType::new(b'E'));
        entry.set_path("dev/null").unwrap();
        entry.set_size(content.len() as u64);
        entry.set_cksum();
        bytes.extend([entry.as_bytes(), content].concat());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes
}

/// A checksum that is right again after damage, so that the damage gets past it.
fn mend_checksums(bytes: &mut [u8]) {
    for header in bytes.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

#[test]
fn fuzz_archives() {
    let (_scratch, store) = support::store();
    let (mut plain, packed) = (archive(&store, None), archive(&store, Some(6)));
    let end = plain.iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(512);
    plain.splice(end..end, attribute());
    let whole = read_tar(&plain[..], &store, ReadTarOptions::default()).unwrap();
    assert_eq!(whole.tree.get(&path("/empty")).unwrap().metadata.xattrs[&b"note"[..]], b"value");
    test_judge::fuzz(2000, |random: &mut Random| {
        let mut bytes = if random.below(8) == 0 { packed.clone() } else { plain.clone() };
        random.damage(&mut bytes);
        if random.below(4) > 0 {
            mend_checksums(&mut bytes);
        }
        let Ok(unpacked) = read_tar(&bytes[..], &store, ReadTarOptions::default()) else { return };
        // What was read can be written, and is the same when it is read again.
        let written = write_tar(&unpacked.tree, &store, Vec::new(), WriteTarOptions::default()).unwrap();
        let again = read_tar(&written[..], &store, ReadTarOptions::default()).unwrap();
        assert!(again.tree == unpacked.tree, "{:?}", again.warnings);
    });
}
