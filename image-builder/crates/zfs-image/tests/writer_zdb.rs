//! Pools of the writer before `zdb`, which reads every block of them and adds up what is allocated.

mod fixture;

use fixture::zdb::{approve, labels, zdb};
use fixture::{Fixture, noise, path_of};
use image_tree::{Content, Extent, Metadata, Node, NodeKind, Timestamp, Tree};
use zfs_format::feature::FeatureSet;
use zfs_image::writer::DatasetSpec;

#[test]
fn zdb_approves_a_pool_with_every_kind_of_node() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec();
    spec.datasets[2].snapshots.push("again".to_owned());
    approve(&fixture, &spec, "illumos");
    // Flags: written, modified, and what the list is: no more than the mode, inherited by new files, or neither.
    let Some(objects) = zdb(&fixture.scratch.path().join("illumos"), "rpool", "-dddd") else { return };
    let (_, objects) = objects.split_once("Dataset rpool/ROOT/be [ZPL]").expect("a dataset");
    for (name, flags) in [
        ("nothing", "40800000004"),
        ("acl-few", "40800000002"),
        ("acl-spilled", "40800000002"),
        ("acl-all", "40800000002"),
    ] {
        let (_, entry) = objects.split_once(&format!("\t{name} = ")).expect(name);
        let number = entry.split(' ').next().expect("a number");
        let mut lines = objects.lines().skip_while(|line| line.split_whitespace().next() != Some(number));
        let found = lines.find_map(|line| line.trim().strip_prefix("pflags"));
        assert_eq!(found.map(str::trim), Some(flags), "{name}");
    }
    let Some(labels) = labels(&fixture.scratch.path().join("illumos")) else { return };
    assert!(labels.contains("labels = 0 1 2 3"), "{labels}");
    assert!(labels.contains("state: 1\n"), "{labels}");
}

/// Sizes at every boundary, holes, names, depths, times, numbers and links.
fn limits(fixture: &Fixture) -> Tree {
    let metadata = Metadata::new(0, 0, 0o755);
    let mut tree = Tree::new(metadata.clone());
    let record = 128 << 10;
    for size in [0, 1, 511, 512, 513, record - 1, record, record + 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1] {
        tree.insert(&path_of(&format!("/noise-{size}")), fixture.file(&noise(size), 0o644)).expect("inserted");
    }
    tree.insert(&path_of("/dense"), fixture.file(&noise(1 << 20).repeat(129), 0o644)).expect("inserted");
    let data = fixture.store.put_bytes(b"begintheend").expect("stored").blob();
    for (name, len) in [("sparse", (130_u64 << 20) + 5), ("large", (5 << 30) + 7), ("huge", 1 << 60)] {
        let extents = [Extent { offset: 0, len: 5 }, Extent { offset: len - 6, len: 6 }];
        let content = Content::sparse(data, len, &extents).expect("sparse");
        tree.insert(&path_of(&format!("/{name}")), Node::regular(content, metadata.clone())).expect("inserted");
    }
    for (index, (secs, nanos)) in [(i64::MIN, 0), (-1, 999_999_999), (0, 1), (i64::MAX, 0)].into_iter().enumerate() {
        let mut file = fixture.file(b"time", 0o6711 + index as u16);
        file.metadata.mtime = Timestamp { secs, nanos };
        (file.metadata.uid, file.metadata.gid) = (u32::MAX - 1, 4_000_000_000);
        tree.insert(&path_of(&format!("/time-{index}")), file).expect("inserted");
    }
    for (name, major, minor) in [("least", 0, 0), ("null", 13, 2), ("most", u32::MAX, u32::MAX)] {
        let kind = NodeKind::CharDevice { major, minor };
        tree.insert(&path_of(&format!("/{name}")), Node { kind, metadata: metadata.clone() }).expect("inserted");
    }
    let mut deep = path_of("/deep");
    while let Ok(deeper) = deep.join("d") {
        deep = deeper;
    }
    assert!(deep.depth() >= 1000);
    tree.create_dir(&deep, metadata.clone(), &metadata).expect("created");
    for count in [0, 1, 50, 51, 2047, 2048, 100_000] {
        let directory = path_of(&format!("/{count}"));
        tree.create_dir(&directory, metadata.clone(), &metadata).expect("created");
        for index in 0..count {
            let name = directory.join(format!("entry-{index}")).expect("a path");
            tree.insert(&name, Node::symlink("x", Metadata::new(0, 0, 0o777))).expect("inserted");
        }
    }
    for name in [vec![b'n'; 255], vec![0xff, 0xfe, b' ', b'\n'], b"-".to_vec(), vec![1]] {
        tree.insert(&path_of("/50").join(name).expect("a path"), fixture.file(b"named", 0o644)).expect("inserted");
    }
    for index in 0..3000 {
        tree.hard_link(&path_of("/noise-513"), &path_of(&format!("/51/link-{index}"))).expect("linked");
    }
    tree
}

#[test]
fn zdb_approves_all_limits() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec();
    spec.datasets = vec![DatasetSpec {
        name: "rpool".to_owned(),
        properties: vec![("compression".to_owned(), "lz4".to_owned())],
        tree: Some(limits(&fixture)),
        snapshots: Vec::new(),
    }];
    spec.bootfs = None;
    approve(&fixture, &spec, "limits");
}

#[test]
fn zdb_approves_every_ashift_and_compression_without_features() {
    let fixture = Fixture::new();
    let compressions = ["off", "lzjb", "gzip-1", "gzip-9", "zle"];
    for (ashift, compression) in (9..=13).zip(compressions) {
        let mut spec = fixture.spec();
        (spec.ashift, spec.features) = (ashift, FeatureSet::none());
        spec.datasets[2].properties[3].1 = compression.to_owned();
        approve(&fixture, &spec, &format!("{ashift}-{compression}"));
    }
}

#[test]
fn zdb_approves_large_records_copies_and_checksums() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec();
    let dataset = |name: &str, properties: &[(&str, &str)]| DatasetSpec {
        name: format!("rpool/{name}"),
        properties: properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        tree: Some(fixture.tree()),
        snapshots: vec!["one".to_owned(), "two".to_owned(), "three".to_owned()],
    };
    spec.datasets = vec![
        dataset("large", &[("recordsize", "1M"), ("compression", "on")]),
        dataset("small", &[("recordsize", "512"), ("checksum", "fletcher2"), ("reservation", "8M")]),
        dataset("twice", &[("copies", "2"), ("checksum", "sha256"), ("refreservation", "4M")]),
        dataset("thrice", &[("copies", "3"), ("checksum", "off"), ("compression", "gzip")]),
    ];
    spec.bootfs = None;
    approve(&fixture, &spec, "kinds");
}
