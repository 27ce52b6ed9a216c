//! What the tests share: random trees, and programs that may be missing.
#![allow(dead_code, reason = "every test binary uses another part of this")]

use std::collections::BTreeMap;
use std::process::Command;

use image_tree::{
    ACL_FLAGS, ACL_MASK, AclEntry, AclKind, AclWho, Content, Extent, ImagePath, Metadata, Node, NodeKind, Store,
    StoreOptions, Timestamp, Tree,
};
use proptest::prelude::*;

/// A path, which the test knows to be possible.
pub(crate) fn path(text: impl AsRef<[u8]>) -> ImagePath {
    ImagePath::new(text).expect("a possible path")
}

pub(crate) fn mode(mode: u16) -> Metadata {
    Metadata::new(0, 0, mode)
}

/// A store that is thrown away, and so need not wait for the disk.
pub(crate) fn store() -> (tempfile::TempDir, Store) {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open_with(scratch.path().join("store"), NO_SYNC).unwrap();
    (scratch, store)
}

pub(crate) const NO_SYNC: StoreOptions = StoreOptions { sync: false };

/// Adds a regular file with parents.
pub(crate) fn add_file(tree: &mut Tree, store: &Store, at: &str, content: &[u8]) {
    let node = Node::regular(store.put_bytes(content).unwrap(), mode(0o644));
    add(tree, at, node);
}

/// Adds a node with parents.
pub(crate) fn add(tree: &mut Tree, at: &str, node: Node) {
    tree.create_dir(&path(at).parent().unwrap(), mode(0o755), &mode(0o755)).unwrap();
    tree.insert(&path(at), node).unwrap();
}

/// Content that is different for every seed and does not repeat.
pub(crate) fn bytes(seed: usize, length: usize) -> Vec<u8> {
    // The generator of Knuth's MMIX; its high bytes are random enough.
    let mut state = seed as u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// A node without its content, which only a store can tell the hash of.
#[derive(Debug, Clone)]
pub(crate) enum Blueprint {
    Directory,
    Regular(Vec<u8>),
    /// Lengths of data and hole in turn.
    Sparse(Vec<(u8, u8)>),
    Other(NodeKind),
    /// A hard link to a node made before, chosen by this number.
    Link(usize),
}

/// One step in making a tree: in which of the directories so far, under which name, what.
pub(crate) type Planned = (usize, Vec<u8>, Blueprint, Metadata);

pub(crate) fn names() -> impl Strategy<Value = Vec<u8>> {
    let bytes =
        prop_oneof![Just(b"abc-. %=\n".to_vec()), Just("äß€".as_bytes().to_vec()), Just(vec![0x80, 0xff, 1, b'\\'])];
    let short = bytes.prop_flat_map(|bytes| prop::collection::vec(prop::sample::select(bytes), 1..8));
    let long = (b'a'..=b'z', 90..=255_usize).prop_map(|(byte, length)| vec![byte; length]);
    prop_oneof![8 => short, 1 => long].prop_filter("special", |name| !matches!(&name[..], b"." | b".."))
}

pub(crate) fn metadata() -> impl Strategy<Value = Metadata> {
    let ids = || prop_oneof![Just(0), Just(0o7_777_777), Just(0o10_000_000), any::<u32>()];
    let secs = prop_oneof![Just(0), Just(-1), 0..2_000_000_000_i64, Just(1 << 33), any::<i64>()];
    let nanos = prop_oneof![2 => Just(0), 1 => 0..1_000_000_000_u32];
    let key = prop_oneof![Just(b"user.k".to_vec()), Just(b"security.%3D=".to_vec()), Just(vec![b'u', 0xff])];
    let xattrs = prop::collection::btree_map(key, prop::collection::vec(any::<u8>(), 0..20), 0..3);
    let xattrs = prop_oneof![3 => Just(BTreeMap::new()), 1 => xattrs];
    let acl = prop_oneof![3 => Just(None), 1 => prop::collection::vec(acl_entry(), 1..5).prop_map(Some)];
    (ids(), ids(), 0..=0o7777_u16, secs, nanos, xattrs, acl).prop_map(|(uid, gid, mode, secs, nanos, xattrs, acl)| {
        Metadata { uid, gid, mode, mtime: Timestamp { secs, nanos }, xattrs, acl: acl.map(Into::into) }
    })
}

fn acl_entry() -> impl Strategy<Value = AclEntry> {
    let who = prop_oneof![
        Just(AclWho::Owner),
        Just(AclWho::Group),
        Just(AclWho::Everyone),
        any::<u32>().prop_map(AclWho::User),
        any::<u32>().prop_map(AclWho::NamedGroup),
    ];
    (who, 0..4_u16, any::<u16>(), any::<u32>()).prop_map(|(who, kind, flags, mask)| AclEntry {
        who,
        kind: AclKind::from_number(kind).unwrap(),
        flags: flags & ACL_FLAGS,
        mask: mask & ACL_MASK,
    })
}

pub(crate) fn blueprints() -> impl Strategy<Value = Blueprint> {
    let content = prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..2000),
        (510..514_usize).prop_map(|length| vec![7; length]),
    ];
    let target = prop_oneof![names(), (0..300_usize).prop_map(|length| [b"/x/../", &vec![b't'; length][..]].concat())];
    let device = (any::<u32>(), any::<u32>(), any::<bool>()).prop_map(|(major, minor, is_block)| match is_block {
        true => NodeKind::BlockDevice { major, minor },
        false => NodeKind::CharDevice { major, minor },
    });
    prop_oneof![
        4 => Just(Blueprint::Directory),
        4 => content.prop_map(Blueprint::Regular),
        1 => prop::collection::vec((1..u8::MAX, any::<u8>()), 0..5).prop_map(Blueprint::Sparse),
        2 => target.prop_map(|target| Blueprint::Other(NodeKind::Symlink(target))),
        1 => device.prop_map(Blueprint::Other),
        1 => Just(Blueprint::Other(NodeKind::Fifo)),
        2 => any::<usize>().prop_map(Blueprint::Link),
    ]
}

pub(crate) fn plans() -> impl Strategy<Value = (Metadata, Vec<Planned>)> {
    let step = (any::<usize>(), names(), blueprints(), metadata());
    (metadata(), prop::collection::vec(step, 0..40))
}

/// Makes the tree of a plan. Steps that would replace something, or exceed the limits, are left out.
pub(crate) fn build(store: &Store, (root, plan): &(Metadata, Vec<Planned>)) -> Tree {
    let mut tree = Tree::new(root.clone());
    let mut directories = vec![ImagePath::root()];
    let mut others = Vec::new();
    for (parent, name, blueprint, metadata) in plan {
        let Ok(at) = directories[parent % directories.len()].join(name) else { continue };
        if tree.get(&at).is_some() {
            continue;
        }
        let kind = match blueprint {
            Blueprint::Directory => NodeKind::Directory,
            Blueprint::Regular(content) => NodeKind::Regular(store.put_bytes(content).unwrap()),
            Blueprint::Sparse(runs) => NodeKind::Regular(sparse(store, runs)),
            Blueprint::Other(kind) => kind.clone(),
            Blueprint::Link(number) => {
                if !others.is_empty() {
                    tree.hard_link(&others[number % others.len()], &at).unwrap();
                }
                continue;
            }
        };
        let is_directory = kind == NodeKind::Directory;
        tree.insert(&at, Node { kind, metadata: metadata.clone() }).unwrap();
        if is_directory { directories.push(at) } else { others.push(at) }
    }
    tree
}

fn sparse(store: &Store, runs: &[(u8, u8)]) -> Content {
    let (mut extents, mut data, mut length) = (Vec::new(), Vec::new(), 0);
    for (len, hole) in runs {
        extents.push(Extent { offset: length, len: u64::from(*len) });
        data.extend(vec![*len; usize::from(*len)]);
        length += u64::from(*len) + u64::from(*hole);
    }
    Content::sparse(store.put_bytes(&data).unwrap().blob(), length, &extents).unwrap()
}

/// A program that nobody here wrote, to judge our work by.
pub(crate) fn judge(program: &str, package: &str) -> Option<Command> {
    #[expect(clippy::disallowed_methods, reason = "the judge is no part of the product")]
    test_judge::find(program, package).map(Command::new)
}
