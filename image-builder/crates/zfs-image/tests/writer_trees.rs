//! Random trees through the writer and back through the reader, and trees that are large.

mod fixture;

use fixture::{Fixture, Memory, noise, text, zdb};
use image_tree::{
    ACL_FLAGS, ACL_MASK, AclEntry, AclKind, AclWho, Content, Extent, ImagePath, Metadata, Node, NodeKind, Store,
    Timestamp, Tree,
};
use proptest::prelude::*;
use zfs_format::feature::FeatureSet;
use zfs_format::sa::DeviceNumbers;
use zfs_image::reader::{Pool, TreeLimits, VerifyOptions, differences, tree};
use zfs_image::writer::{DatasetSpec, PoolReport, PoolSpec, WriteOptions, minimum_bytes, write_pool};

/// What a random node will be.
#[derive(Debug, Clone)]
enum Kind {
    Directory,
    File(usize, bool),
    Sparse(Vec<(u32, u16)>, u32),
    Symlink(usize),
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
    /// Another name of the last node that is no directory.
    Link,
}

#[derive(Debug, Clone)]
struct Seedling {
    /// Which directory it goes into, of those there are.
    place: prop::sample::Index,
    name: Vec<u8>,
    kind: Kind,
    metadata: Metadata,
}

fn kind() -> impl Strategy<Value = Kind> {
    let extents = prop::collection::vec((any::<u32>().prop_map(|gap| gap % 3_000_000), 1_u16..9000), 0..6);
    prop_oneof![
        4 => Just(Kind::Directory),
        6 => (0_usize..400_000, any::<bool>()).prop_map(|(len, dense)| Kind::File(len, dense)),
        4 => (0_usize..2000, any::<bool>()).prop_map(|(len, dense)| Kind::File(len, dense)),
        2 => (extents, any::<u16>()).prop_map(|(extents, tail)| Kind::Sparse(extents, u32::from(tail))),
        2 => prop_oneof![1_usize..200, Just(1023)].prop_map(Kind::Symlink),
        1 => (0_u32..1 << 14, any::<u32>()).prop_map(|(major, minor)| Kind::CharDevice(major, minor)),
        1 => (0_u32..1 << 14, any::<u32>()).prop_map(|(major, minor)| Kind::BlockDevice(major, minor)),
        1 => Just(Kind::Fifo),
        2 => Just(Kind::Link),
    ]
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let id = prop_oneof![3 => 0_u32..20, 1 => any::<u32>()];
    let time = (any::<i32>(), 0_u32..1_000_000_000);
    let xattrs = prop::collection::btree_map("[a-z]{1,9}\\.[a-zA-Z0-9._-]{1,60}", 0_usize..700, 0..4);
    let xattrs = prop_oneof![5 => Just(Default::default()), 1 => xattrs];
    let acl = prop_oneof![5 => Just(None), 1 => prop::collection::vec(acl_entry(), 1..40).prop_map(Some)];
    (id.clone(), id, 0_u16..0o10000, time, xattrs, acl).prop_map(|(uid, gid, mode, (secs, nanos), xattrs, acl)| {
        let mut metadata = Metadata::new(uid, gid, mode);
        metadata.mtime = Timestamp { secs: i64::from(secs) * 3, nanos };
        metadata.xattrs = xattrs.into_iter().map(|(name, len)| (name.into_bytes(), noise(len))).collect();
        metadata.acl = acl.map(Into::into);
        metadata
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
    (who, any::<bool>(), 0..=ACL_FLAGS, 0..=ACL_MASK).prop_map(|(who, allows, flags, mask)| AclEntry {
        who,
        kind: if allows { AclKind::Allow } else { AclKind::Deny },
        flags: flags & ACL_FLAGS,
        mask: mask & ACL_MASK,
    })
}

fn seedling() -> impl Strategy<Value = Seedling> {
    let byte = prop_oneof![4 => b'a'..=b'z', 1 => 1_u8..=255].prop_filter("no slash", |byte| *byte != b'/');
    let name = prop::collection::vec(byte, 1..=255).prop_filter("a name", |name| name != b"." && name != b"..");
    (any::<prop::sample::Index>(), name, kind(), metadata()).prop_map(|(place, name, kind, metadata)| Seedling {
        place,
        name,
        kind,
        metadata,
    })
}

fn grow(fixture: &Fixture, seedlings: &[Seedling]) -> Tree {
    let mut tree = Tree::new(Metadata::new(0, 0, 0o755));
    let mut directories = vec![ImagePath::root()];
    let mut last: Option<ImagePath> = None;
    for seedling in seedlings {
        let Ok(path) = directories[seedling.place.index(directories.len())].join(&seedling.name) else { continue };
        if tree.get(&path).is_some() {
            continue;
        }
        let mut metadata = seedling.metadata.clone();
        let node = match &seedling.kind {
            Kind::Link => {
                if let Some(last) = &last {
                    tree.hard_link(last, &path).expect("linked");
                }
                continue;
            }
            Kind::Directory => NodeKind::Directory,
            Kind::File(len, dense) => {
                let bytes = if *dense { noise(*len) } else { text(*len) };
                NodeKind::Regular(fixture.store.put_bytes(&bytes).expect("stored"))
            }
            Kind::Sparse(extents, tail) => NodeKind::Regular(sparse(fixture, extents, *tail)),
            Kind::Symlink(len) => {
                metadata.mode = 0o777;
                // Links have no permissions of their own.
                (metadata.mode, metadata.acl) = (0o777, None);
                NodeKind::Symlink(vec![b't'; *len])
            }
            Kind::CharDevice(major, minor) => NodeKind::CharDevice { major: *major, minor: *minor },
            Kind::BlockDevice(major, minor) => NodeKind::BlockDevice { major: *major, minor: *minor },
            Kind::Fifo => NodeKind::Fifo,
        };
        let is_directory = matches!(node, NodeKind::Directory);
        tree.insert(&path, Node { kind: node, metadata }).expect("inserted");
        if is_directory { directories.push(path) } else { last = Some(path) }
    }
    tree
}

fn sparse(fixture: &Fixture, gaps: &[(u32, u16)], tail: u32) -> Content {
    let (mut offset, mut extents) = (0, Vec::new());
    for (gap, len) in gaps {
        offset += u64::from(*gap);
        extents.push(Extent { offset, len: u64::from(*len) });
        offset += u64::from(*len);
    }
    let bytes: u64 = extents.iter().map(|extent| extent.len).sum();
    let data = fixture.store.put_bytes(&noise(bytes as usize)).expect("stored");
    Content::sparse(data.blob(), offset + u64::from(tail), &extents).expect("sparse")
}

/// Writes a pool with the tree as its only dataset.
fn write(fixture: &Fixture, spec: &PoolSpec) -> (Vec<u8>, PoolReport) {
    let bytes = minimum_bytes(spec).expect("a size");
    let device = Memory::new(bytes);
    let report = write_pool(spec, &fixture.store, &device, bytes, &WriteOptions::default()).expect("written");
    // The bound holds: what ZFS keeps for itself is still there.
    let kept = (report.capacity_bytes / 32).max((128 << 20).min(report.capacity_bytes / 2));
    assert!(report.allocated_bytes + kept <= report.capacity_bytes, "{} of {bytes}", report.allocated_bytes);
    (device.into_bytes(), report)
}

fn spec_of(fixture: &Fixture, tree: Tree, properties: &[(&str, &str)]) -> PoolSpec {
    let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let dataset = DatasetSpec { name: "rpool".to_owned(), properties, tree: Some(tree), snapshots: Vec::new() };
    PoolSpec { datasets: vec![dataset], bootfs: None, ..fixture.spec() }
}

fn read_back(fixture: &Fixture, spec: &PoolSpec, image: &[u8]) -> Result<(), String> {
    let pool = Pool::open(image, image.len() as u64).map_err(|error| error.chain())?;
    if let Some(problem) = pool.verify(&VerifyOptions::default()).problems.first() {
        return Err(problem.to_string());
    }
    let scratch = tempfile::tempdir().expect("a directory");
    let out = Store::open(scratch.path().join("out")).expect("a store");
    let dataset = pool.dataset("rpool").map_err(|error| error.chain())?;
    let limits = TreeLimits::default();
    let found = tree(&pool, &dataset, &out, DeviceNumbers::Illumos, &limits).map_err(|error| error.chain())?;
    let expected = spec.datasets[0].tree.as_ref().expect("a tree");
    let differences = differences((expected, &fixture.store), (&found, &out)).expect("compared");
    differences.first().map_or(Ok(()), |difference| Err(difference.clone()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_trees_come_back(
        seedlings in prop::collection::vec(seedling(), 0..40),
        ashift in 9_u8..=13,
        compression in prop::sample::select(vec!["off", "lzjb", "zle", "gzip-3", "on"]),
        record in prop::sample::select(vec!["512", "4K", "128K"]),
        copies in prop::sample::select(vec!["1", "2", "3"]),
        has_features in any::<bool>(),
    ) {
        let fixture = Fixture::new();
        let properties = [("compression", compression), ("recordsize", record), ("copies", copies)];
        let mut spec = spec_of(&fixture, grow(&fixture, &seedlings), &properties);
        spec.ashift = ashift;
        spec.features = if has_features { FeatureSet::illumos() } else { FeatureSet::none() };
        let (image, _) = write(&fixture, &spec);
        let read = read_back(&fixture, &spec, &image);
        prop_assert!(read.is_ok(), "{:?}", read);
    }
}

#[test]
fn a_large_directory_comes_back() {
    let fixture = Fixture::new();
    let mut tree = Tree::new(Metadata::new(0, 0, 0o755));
    let count: u64 = if test_judge::soak() { 300_000 } else { 30_000 };
    for index in 0..count {
        let path = ImagePath::new(format!("/{index}-{}", index * 7919)).expect("a path");
        tree.insert(&path, Node { kind: NodeKind::Fifo, metadata: Metadata::new(0, 0, 0o644) }).expect("inserted");
    }
    let spec = spec_of(&fixture, tree, &[]);
    let (image, _) = write(&fixture, &spec);
    assert_eq!(read_back(&fixture, &spec, &image), Ok(()));
    zdb::approve_many(&fixture, &spec, "large");
}

/// Directories, so that the objects need several levels of dnodes, and their blocks several of indirect blocks.
#[test]
fn many_files_come_back() {
    let fixture = Fixture::new();
    let mut tree = Tree::new(Metadata::new(0, 0, 0o755));
    let (directories, files) = if test_judge::soak() { (1000, 1000) } else { (100, 350) };
    let metadata = Metadata::new(0, 0, 0o755);
    for directory in 0..directories {
        let directory = ImagePath::new(format!("/{directory}")).expect("a path");
        tree.create_dir(&directory, metadata.clone(), &metadata).expect("created");
        for file in 0..files {
            let path = directory.join(format!("file-{file}")).expect("a path");
            tree.insert(&path, fixture.file(&[file as u8], 0o644)).expect("inserted");
        }
    }
    let spec = spec_of(&fixture, tree, &[("compression", "lz4")]);
    let (image, report) = write(&fixture, &spec);
    assert_eq!(report.datasets[0].objects, 5 + 1 + directories + directories * files);
    assert_eq!(read_back(&fixture, &spec, &image), Ok(()));
    zdb::approve_many(&fixture, &spec, "many");
}
