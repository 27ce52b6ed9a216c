//! Trees in the store: the documented form, and what happens when something is missing or damaged.

mod support;

use std::os::unix::fs::FileExt;

use image_tree::{
    AclEntry, AclKind, AclWho, BlobHash, Content, Extent, Follow, LoadError, Metadata, Node, NodeKind, Store,
    Timestamp, Tree, TreeHash,
};
use support::{add, add_file, mode, path, store};

fn metadata_bytes(metadata: &Metadata) -> Vec<u8> {
    let mut bytes = [metadata.uid.to_le_bytes(), metadata.gid.to_le_bytes()].concat();
    bytes.extend((metadata.mode | u16::from(metadata.acl.is_some()) << 15).to_le_bytes());
    bytes.extend(metadata.mtime.secs.to_le_bytes());
    bytes.extend(metadata.mtime.nanos.to_le_bytes());
    bytes.extend(u32::try_from(metadata.xattrs.len()).unwrap().to_le_bytes());
    for part in metadata.xattrs.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(u32::try_from(part.len()).unwrap().to_le_bytes());
        bytes.extend(part);
    }
    if metadata.acl.is_some() {
        // One entry: deny user 7 to append and delete, inherited by files and directories.
        bytes.extend([1, 0, 0, 0, 3, 1, 3, 0, 4, 0, 1, 0, 7, 0, 0, 0]);
    }
    bytes
}

/// Spells out the objects of a tree byte by byte, as docs/formats/content-store.md has them. A failure here
/// means that the format has changed: then its version has to change as well.
#[test]
fn objects_have_the_documented_form() {
    let (_scratch, store) = store();
    let special = Metadata {
        uid: 70000,
        gid: 1,
        mode: 0o4755,
        mtime: Timestamp { secs: -2, nanos: 5 },
        xattrs: [(b"user.k".to_vec(), b"v".to_vec())].into(),
        acl: Some([AclEntry { who: AclWho::User(7), kind: AclKind::Deny, flags: 3, mask: 0x1_0004 }].into()),
    };
    let data = store.put_bytes(b"data").unwrap();
    let sparse = Content::sparse(data.blob(), 9, &[Extent { offset: 1, len: 4 }]).unwrap();
    let mut tree = Tree::default();
    tree.insert(&path("/d"), Node::directory(special.clone())).unwrap();
    for (name, kind) in [
        ("/d/1", NodeKind::Regular(data.clone())),
        ("/d/2", NodeKind::Regular(sparse)),
        ("/d/3", NodeKind::Symlink(b"1".to_vec())),
        ("/d/4", NodeKind::CharDevice { major: 1, minor: 3 }),
        ("/d/5", NodeKind::BlockDevice { major: 8, minor: 0 }),
        ("/d/6", NodeKind::Fifo),
    ] {
        tree.insert(&path(name), Node { kind, metadata: mode(0o600) }).unwrap();
    }
    tree.hard_link(&path("/d/1"), &path("/l")).unwrap();

    let plain = metadata_bytes(&mode(0o600));
    let data_bytes = [&data.blob().as_bytes()[..], &4_u64.to_le_bytes(), &[0]].concat();
    let directory = [
        &b"imgdir\0\x01"[..],
        &metadata_bytes(&special),
        &6_u32.to_le_bytes(),
        &[2, 1, b'1'],
        &plain,
        &data_bytes,
        &[2, 1, b'2'],
        &plain,
        data.blob().as_bytes(),
        &9_u64.to_le_bytes(),
        &[1],
        &1_u32.to_le_bytes(),
        &1_u64.to_le_bytes(),
        &4_u64.to_le_bytes(),
        &[3, 1, b'3'],
        &plain,
        &1_u32.to_le_bytes(),
        b"1",
        &[4, 1, b'4'],
        &plain,
        &[1, 0, 0, 0, 3, 0, 0, 0],
        &[5, 1, b'5'],
        &plain,
        &[8, 0, 0, 0, 0, 0, 0, 0],
        &[6, 1, b'6'],
        &plain,
    ]
    .concat();
    let root = [
        &b"imgdir\0\x01"[..],
        &metadata_bytes(&mode(0o755)),
        &2_u32.to_le_bytes(),
        &[1, 1, b'd'],
        BlobHash::of(&directory).as_bytes(),
        &[2, 1, b'l'],
        &plain,
        &data_bytes,
    ]
    .concat();
    let object = [
        &b"imgtree\x01"[..],
        BlobHash::of(&root).as_bytes(),
        &1_u32.to_le_bytes(),
        &2_u32.to_le_bytes(),
        &4_u32.to_le_bytes(),
        b"/d/1",
        &2_u32.to_le_bytes(),
        b"/l",
    ]
    .concat();
    let hash = tree.save(&store).unwrap();
    assert_eq!(store.read_blob(BlobHash::of(&directory)).unwrap(), directory);
    assert_eq!(store.read_blob(BlobHash::of(&root)).unwrap(), root);
    assert_eq!(store.read_blob(hash.blob()).unwrap(), object);
}

#[test]
fn saving_writes_only_what_is_new() {
    let (_scratch, store) = store();
    let mut tree = Tree::default();
    for number in 0..100 {
        add_file(&mut tree, &store, &format!("/{}/{number}/file", number % 10), format!("{number}").as_bytes());
    }
    tree.save(&store).unwrap();
    let before = store.len();
    assert_eq!(before, 100 + 100 + 10 + 1 + 1, "contents, directories of two levels, root, tree");
    tree.save(&store).unwrap();
    assert_eq!(store.len(), before);
    tree.update_metadata(&path("/3/33/file"), Follow::No, |metadata| metadata.mode = 0o600).unwrap();
    tree.save(&store).unwrap();
    assert_eq!(store.len(), before + 3 + 1, "the way to the root, and the tree");
}

#[test]
fn equal_directories_are_stored_and_loaded_once() {
    let (_scratch, store) = store();
    let mut part = Tree::default();
    for number in 0..10 {
        add_file(&mut part, &store, &format!("/{number}"), b"same");
    }
    let mut tree = Tree::default();
    for number in 0..1000 {
        tree.graft(&path(format!("/{number}")), &part).unwrap();
    }
    let hash = tree.save(&store).unwrap();
    assert_eq!(store.len(), 1 + 1 + 1 + 1, "content, part, root, tree");
    let loaded = Tree::load(&store, hash).unwrap();
    assert_eq!((loaded.len(), &loaded), (11_001, &tree));
}

#[test]
fn what_cannot_be_loaded_is_named() {
    let (_scratch, store) = store();
    let absent = TreeHash::from_bytes([7; 32]);
    let error = Tree::load(&store, absent).unwrap_err();
    assert!(error.is_missing() && error.to_string().contains(&absent.to_string()), "{error}");

    let as_tree = |bytes: &[u8]| TreeHash::from_bytes(*store.put_bytes(bytes).unwrap().blob().as_bytes());
    let root = Tree::default().save(&store).unwrap();
    let root_object = store.read_blob(root.blob()).unwrap();
    let directory = BlobHash::from_bytes(root_object[8..40].try_into().unwrap());
    let directory_object = store.read_blob(directory).unwrap();
    let refer = |directory: &[u8]| {
        let hash = store.put_bytes(directory).unwrap().blob();
        as_tree(&[&b"imgtree\x01"[..], hash.as_bytes(), &[0; 4]].concat())
    };
    let entry = |count: u8, entries: &[u8]| {
        let header = &directory_object[..directory_object.len() - 4];
        refer(&[header, &[count, 0, 0, 0], entries].concat())
    };
    let fifo = |name: &[u8]| [&[6, u8::try_from(name.len()).unwrap()], name, &[0; 26]].concat();
    let links = |links: &[u8]| as_tree(&[&root_object[..40], links].concat());
    let cases: [(&str, TreeHash); 16] = [
        ("an unknown kind or version", as_tree(b"imgtree\x02")),
        ("a premature end", as_tree(b"imgtree\x01")),
        ("a premature end", as_tree(&root_object[..root_object.len() - 1])),
        ("bytes after the end", as_tree(&[&root_object[..], b"x"].concat())),
        ("an unknown kind or version", refer(b"imgdir\0\x02")),
        ("bytes after the end", refer(&[&directory_object[..], b"x"].concat())),
        ("an impossible name", entry(1, &fifo(b"a/b"))),
        ("an impossible name", entry(1, &fifo(b".."))),
        ("an impossible name", entry(1, &fifo(b""))),
        ("names out of order", entry(2, &[fifo(b"b"), fifo(b"a")].concat())),
        ("names out of order", entry(2, &[fifo(b"a"), fifo(b"a")].concat())),
        ("an unknown kind of node", entry(1, &[&[9, 1, b'a'][..], &[0; 26]].concat())),
        ("an impossible mode or time", entry(1, &[&[6, 1, b'a'][..], &[0; 8], &[0, 0xf0], &[0; 16]].concat())),
        ("a premature end", entry(255, &fifo(b"a"))),
        ("a set of links that is too small", links(&[1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, b'/', b'a'])),
        (
            "links to different nodes",
            links(&[&[1, 0, 0, 0, 2, 0, 0, 0][..], &[2, 0, 0, 0], b"/a", &[2, 0, 0, 0], b"/b"].concat()),
        ),
    ];
    for (what, tree) in cases {
        match Tree::load(&store, tree) {
            Err(LoadError::Format { source, .. }) => assert!(source.to_string().contains(what), "{source} / {what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn a_damaged_object_is_noticed() {
    let (scratch, store) = store();
    let mut tree = Tree::default();
    add(&mut tree, "/a/fifo", Node { kind: NodeKind::Fifo, metadata: mode(0o600) });
    let hash = tree.save(&store).unwrap();
    store.close().unwrap();
    let pack = scratch.path().join("store/packs/00000000.pack");
    let bytes = std::fs::read(&pack).unwrap();
    let position = bytes.windows(4).position(|window| window == b"fifo").unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&pack).unwrap();
    file.write_all_at(b"FIFO", position as u64).unwrap();
    let store = Store::open(scratch.path().join("store")).unwrap();
    let error = Tree::load(&store, hash).unwrap_err();
    assert!(matches!(error, LoadError::Damaged { .. }) && !error.is_missing(), "{error}");
}
