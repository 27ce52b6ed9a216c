//! The writer by itself: the same bytes every time, sizes at every boundary, and what it refuses.

mod fixture;

use std::num::NonZeroUsize;

use fixture::{Fixture, Memory, noise, path_of, text};
use image_tree::{Content, Extent, Metadata, Node, Store, Tree};
use zfs_format::feature::FeatureSet;
use zfs_image::reader::{Pool, VerifyOptions};
use zfs_image::writer::{DatasetSpec, PoolSpec, SpecError, WriteError, WriteOptions, minimum_bytes, write_pool};

fn write(spec: &PoolSpec, store: &Store, threads: usize) -> Vec<u8> {
    let bytes = minimum_bytes(spec).expect("a size");
    let device = Memory::new(bytes);
    let options = WriteOptions { threads: NonZeroUsize::new(threads), ..WriteOptions::default() };
    write_pool(spec, store, &device, bytes, &options).expect("written");
    device.into_bytes()
}

/// A pool of one dataset.
fn pool_of(fixture: &Fixture, tree: Tree, properties: &[(&str, &str)]) -> PoolSpec {
    let mut spec = fixture.spec();
    let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    spec.datasets = vec![DatasetSpec { name: "rpool".to_owned(), properties, tree: Some(tree), snapshots: vec![] }];
    spec.bootfs = None;
    spec
}

/// Writes the pool and reads the tree of its root dataset back; everything has to verify and be the same. Answers the
/// tree as it was read.
fn round_trip(fixture: &Fixture, spec: &PoolSpec) -> Tree {
    let image = write(spec, &fixture.store, 2);
    let pool = Pool::open(&image[..], image.len() as u64).expect("a pool");
    let problems = pool.verify(&VerifyOptions::default()).problems;
    assert!(problems.is_empty(), "{}", problems[0]);
    let scratch = tempfile::tempdir().expect("a directory");
    let out = Store::open(scratch.path().join("out")).expect("a store");
    fixture.read_back(&pool, "rpool", spec.datasets[0].tree.as_ref().expect("a tree"), &out)
}

/// Pools that have little in common: the one of the fixture, and one without features for each way to compress.
fn kinds(fixture: &Fixture) -> Vec<(String, PoolSpec)> {
    let mut kinds = vec![("illumos' features, lz4, ashift 9".to_owned(), fixture.spec())];
    for (compression, ashift) in [("off", 9), ("lzjb", 12), ("gzip-6", 12), ("zle", 13)] {
        let mut spec = fixture.spec();
        spec.features = FeatureSet::none();
        spec.ashift = ashift;
        for dataset in &mut spec.datasets {
            dataset.properties.retain(|(name, _)| name != "compression");
            dataset.properties.push(("compression".to_owned(), compression.to_owned()));
        }
        kinds.push((format!("no features, {compression}, ashift {ashift}"), spec));
    }
    kinds
}

#[test]
fn threads_and_stores_change_no_byte() {
    let (fixture, other) = (Fixture::new(), Fixture::new());
    // Content that came into another store in another order.
    other.store.put_bytes(b"something else first").expect("stored");
    for ((kind, spec), (_, same)) in kinds(&fixture).into_iter().zip(kinds(&other)) {
        let image = write(&spec, &fixture.store, 1);
        for threads in [2, 7] {
            assert!(write(&spec, &fixture.store, threads) == image, "{kind}: {threads} threads");
        }
        assert!(write(&same, &other.store, 2) == image, "{kind}: another store");
    }
}

/// The bytes of a pool are part of what a build's cache key promises: when a hash changes, so must the version.
#[test]
fn the_bytes_are_pinned() {
    let fixture = Fixture::new();
    let pins = kinds(&fixture).into_iter().map(|(kind, spec)| {
        let hash = image_tree::BlobHash::of(&write(&spec, &fixture.store, 2));
        format!("layout {}, {kind}: {hash}", zfs_image::writer::LAYOUT_VERSION)
    });
    insta::assert_snapshot!(pins.collect::<Vec<_>>().join("\n"));
}

#[test]
fn sizes_at_every_boundary_come_back() {
    let fixture = Fixture::new();
    let mut tree = Tree::new(Metadata::new(0, 0, 0o755));
    let record = 128 << 10;
    let sizes = [
        0,
        1,
        511,
        512,
        513,
        4095,
        4097,
        record - 1,
        record,
        record + 1,
        2 * record,
        (1 << 20) - 1,
        1 << 20,
        (1 << 20) + 1,
    ];
    for size in sizes {
        let whole = noise(size);
        tree.insert(&path_of(&format!("/noise-{size}")), fixture.file(&whole, 0o644)).expect("inserted");
        tree.insert(&path_of(&format!("/text-{size}")), fixture.file(&text(size), 0o644)).expect("inserted");
        tree.insert(&path_of(&format!("/zeros-{size}")), fixture.file(&vec![0; size], 0o644)).expect("inserted");
    }
    for compression in ["off", "lz4"] {
        for record in ["512", "128K", "1M"] {
            let properties = [("compression", compression), ("recordsize", record)];
            round_trip(&fixture, &pool_of(&fixture, tree.clone(), &properties));
        }
    }
}

/// The pointers to 1024 records fill a block; one record more takes another level of such blocks.
#[test]
fn dense_content_of_more_than_128_mebibytes_comes_back() {
    let fixture = Fixture::new();
    let mut tree = Tree::new(Metadata::new(0, 0, 0o755));
    let mut content = noise(1 << 20).repeat(129);
    content.extend_from_slice(b"end");
    tree.insert(&path_of("/large"), fixture.file(&content, 0o644)).expect("inserted");
    for compression in ["off", "lz4"] {
        round_trip(&fixture, &pool_of(&fixture, tree.clone(), &[("compression", compression), ("recordsize", "128K")]));
    }
}

#[test]
fn holes_stay_holes_whatever_the_size() {
    let fixture = Fixture::new();
    let mut tree = Tree::new(Metadata::new(0, 0, 0o755));
    let end = (5_u64 << 30) + 77;
    for (name, len, offsets) in [
        ("empty", end, vec![]),
        ("begin", end, vec![0]),
        ("end", end, vec![end - 6]),
        ("middle", end, vec![(1 << 30) + 131_071]),
        ("many", end, (0..2000).map(|index| index * (1 << 21)).collect()),
        ("huge", 1 << 60, vec![1 << 59]),
    ] {
        let extents: Vec<Extent> = offsets.iter().map(|offset| Extent { offset: *offset, len: 6 }).collect();
        let data = fixture.store.put_bytes(&text(6 * extents.len())).expect("stored");
        let content = Content::sparse(data.blob(), len, &extents).expect("sparse");
        tree.insert(&path_of(&format!("/{name}")), Node::regular(content, Metadata::new(0, 0, 0o600))).expect("in");
    }
    let spec = pool_of(&fixture, tree, &[]);
    let bytes = minimum_bytes(&spec).expect("a size");
    assert!(bytes < 1 << 30, "{bytes}");
    let device = Memory::new(bytes);
    let report = write_pool(&spec, &fixture.store, &device, bytes, &WriteOptions::default()).expect("written");
    // 2003 records with data, and little else.
    assert!(report.allocated_bytes < 2003 * (128 << 10) + (8 << 20), "{report:?}");
    // What is read back is data in the records that had some, and holes between them.
    let found = round_trip(&fixture, &spec);
    let record = 128_u64 << 10;
    for (path, records) in [
        ("/empty", vec![]),
        ("/begin", vec![0]),
        ("/end", vec![end / record]),
        ("/middle", vec![(1 << 30) / record, (1 << 30) / record + 1]),
        ("/many", (0..2000).map(|index| index * 16).collect()),
        ("/huge", vec![(1 << 59) / record]),
    ] {
        let content = found.get(&path_of(path)).and_then(Node::content).expect(path);
        let extents = content.extents().unwrap_or_default().iter();
        let with_data: Vec<u64> =
            extents.flat_map(|extent| extent.offset / record..(extent.offset + extent.len).div_ceil(record)).collect();
        assert_eq!(with_data, records, "{path}");
    }
}

#[test]
fn directories_of_every_size_come_back() {
    let fixture = Fixture::new();
    let mut tree = Tree::new(Metadata::new(0, 0, 0o755));
    let metadata = Metadata::new(0, 0, 0o755);
    for count in [0, 1, 2, 7, 8, 50, 51, 2047, 2048, 10_000] {
        let directory = path_of(&format!("/{count}"));
        tree.create_dir(&directory, metadata.clone(), &metadata).expect("created");
        for index in 0..count {
            let name = directory.join(format!("entry-{index}")).expect("a path");
            tree.insert(&name, Node::symlink("x", Metadata::new(0, 0, 0o777))).expect("inserted");
        }
    }
    for name in [vec![b'n'; 255], vec![0xff, 0xfe, b' ', b'\n'], b"-".to_vec()] {
        let path = path_of("/7").join(name).expect("a path");
        tree.insert(&path, fixture.file(b"named", 0o644)).expect("inserted");
    }
    // As deep as a path can say.
    let mut deep = path_of("/deep");
    while let Ok(deeper) = deep.join("d") {
        deep = deeper;
    }
    tree.create_dir(&deep, metadata.clone(), &metadata).expect("created");
    round_trip(&fixture, &pool_of(&fixture, tree, &[]));
}

#[test]
fn too_small_a_device_is_told_what_it_needs() {
    let fixture = Fixture::new();
    let mut tree = Tree::new(Metadata::new(0, 0, 0o755));
    for index in 0..12 {
        let mut content = noise(8 << 20);
        content[0] = index;
        tree.insert(&path_of(&format!("/{index}")), fixture.file(&content, 0o644)).expect("inserted");
    }
    let mut needs = Vec::new();
    for compression in ["off", "lz4"] {
        let spec = pool_of(&fixture, tree.clone(), &[("compression", compression)]);
        let device = Memory::new(64 << 20);
        let error = write_pool(&spec, &fixture.store, &device, 64 << 20, &WriteOptions::default());
        let Err(WriteError::TooSmall { needed, .. }) = error else { panic!("{error:?}") };
        assert!(device.into_bytes().iter().all(|byte| *byte == 0), "something was written");
        // Of 13 metaslabs of 16 MiB ZFS keeps a half; labels and the boot area come on top.
        assert_eq!(needed, (208 << 20) + (9 << 19));
        assert!(needed <= minimum_bytes(&spec).expect("a size"));
        needs.push(needed);
    }
    // Noise does not compress, and nothing else is worth mentioning.
    assert_eq!(needs[0], needs[1]);
}

#[test]
fn what_zfs_would_refuse_is_refused() {
    let fixture = Fixture::new();
    let said = |change: fn(&mut PoolSpec)| {
        let mut spec = fixture.spec();
        change(&mut spec);
        let error: SpecError = spec.validate().expect_err("refused");
        let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        format!("{error}{source}")
    };
    let all = [
        said(|spec| spec.name = "mirror".to_owned()),
        said(|spec| spec.ashift = 8),
        said(|spec| spec.vdev.path = "c1t0d0".to_owned()),
        said(|spec| spec.bootfs = Some("rpool/ROOT/other".to_owned())),
        said(|spec| spec.datasets[3].name = "tank/export".to_owned()),
        said(|spec| spec.datasets[3].name = "rpool/export/home".to_owned()),
        said(|spec| spec.datasets[3].name = "rpool/ROOT".to_owned()),
        said(|spec| spec.datasets[3].name = "rpool/a b/@".to_owned()),
        said(|spec| spec.datasets[2].snapshots.push("install".to_owned())),
        said(|spec| spec.datasets[2].snapshots.push("a/b".to_owned())),
        said(|spec| spec.datasets[2].properties.push(("canmont".to_owned(), "on".to_owned()))),
        said(|spec| spec.datasets[2].properties[3].1 = "lz5".to_owned()),
        said(|spec| spec.datasets[2].properties.push(("compress".to_owned(), "off".to_owned()))),
        said(|spec| spec.datasets[3].properties.push(("reservation".to_owned(), "2G".to_owned()))),
        said(|spec| spec.properties.push(("autoexpnd".to_owned(), "on".to_owned()))),
        said(|spec| spec.features = FeatureSet::none()),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn attributes_that_nobody_could_open_name_the_file() {
    let fixture = Fixture::new();
    let mut tree = Tree::new(Metadata::new(0, 0, 0o755));
    let mut file = fixture.file(b"x", 0o644);
    file.metadata.xattrs.insert(b"user.a/b".to_vec(), b"value".to_vec());
    tree.insert(&path_of("/attributed"), file).expect("inserted");
    let spec = pool_of(&fixture, tree, &[]);
    let device = Memory::new(64 << 20);
    let error = write_pool(&spec, &fixture.store, &device, 64 << 20, &WriteOptions::default()).expect_err("refused");
    let expected = "`/attributed` in the dataset `rpool`: ZFS has no extended attribute of the name `user.a/b`";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn content_that_is_missing_names_the_file() {
    let fixture = Fixture::new();
    let mut tree = Tree::new(Metadata::new(0, 0, 0o755));
    let content = Content::plain(image_tree::BlobHash::of(b"never stored"), 12);
    let metadata = Metadata::new(0, 0, 0o644);
    tree.create_dir(&path_of("/etc"), metadata.clone(), &metadata).expect("created");
    tree.insert(&path_of("/etc/passwd"), Node::regular(content, metadata)).expect("inserted");
    let spec = pool_of(&fixture, tree, &[]);
    let device = Memory::new(128 << 20);
    let error = write_pool(&spec, &fixture.store, &device, 128 << 20, &WriteOptions::default()).expect_err("missing");
    assert_eq!(error.to_string(), "content of `/etc/passwd` in the dataset `rpool`");
}
