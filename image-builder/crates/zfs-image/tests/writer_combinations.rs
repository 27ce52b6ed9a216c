//! Pools of any combination of features, properties and nodes, before `zdb` and our own reader.

mod fixture;

use std::fs::File;

use fixture::zdb::approve_on;
use fixture::{Fixture, noise, path_of, text};
use image_tree::{
    ACL_FLAGS, ACL_MASK, AclEntry, AclKind, AclWho, Content, Extent, ImagePath, Metadata, Node, NodeKind, Store,
    StoreOptions, Timestamp, Tree,
};
use test_judge::Random;
use zfs_format::feature::FeatureSet;
use zfs_image::reader::{Pool, VerifyOptions};
use zfs_image::writer::{DatasetSpec, PoolSpec, minimum_bytes};

/// Every one of illumos's features by itself, none, or the whole set.
fn features(random: &mut Random) -> FeatureSet {
    match random.below(3) {
        0 => FeatureSet::none(),
        1 => FeatureSet::illumos(),
        _ => {
            let mut set = FeatureSet::none();
            for feature in FeatureSet::illumos().iter().filter(|_| random.below(3) == 0) {
                set.enable(feature.name).expect("it can be written");
            }
            set
        }
    }
}

fn properties(random: &mut Random, features: &FeatureSet) -> Vec<(String, String)> {
    let mut compressions = vec!["off", "on", "lzjb", "zle", "gzip", "gzip-1", "gzip-5", "gzip-9"];
    if features.contains("lz4_compress") {
        compressions.push("lz4");
    }
    let record_bytes = 512 << random.below(if features.contains("large_blocks") { 12 } else { 9 });
    let all = [
        ("compression", (*random.pick(&compressions)).to_owned()),
        ("recordsize", record_bytes.to_string()),
        ("checksum", (*random.pick(&["on", "off", "fletcher2", "fletcher4", "sha256"])).to_owned()),
        ("copies", (1 + random.below(3)).to_string()),
        ("redundant_metadata", (*random.pick(&["all", "most"])).to_owned()),
        ("quota", (*random.pick(&["none", "8G"])).to_owned()),
        ("refquota", (*random.pick(&["none", "7G"])).to_owned()),
        ("reservation", (*random.pick(&["none", "3M", "1000"])).to_owned()),
        ("refreservation", (*random.pick(&["none", "5M", "1000"])).to_owned()),
        ("mountpoint", (*random.pick(&["none", "legacy", "/some/where"])).to_owned()),
        ("org.example:long", "v".repeat(random.below(2000))),
    ];
    let chosen = all.into_iter().filter(|_| random.below(2) == 0);
    chosen.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Sizes about the record and other boundaries.
fn size(random: &mut Random) -> usize {
    let near = [0, 1, 112, 512, 1024, 4096, 8192, 65_536, 131_072, 262_144, 1 << 20];
    (random.pick(&near) + random.below(3)).saturating_sub(1)
}

fn content(fixture: &Fixture, random: &mut Random) -> Content {
    let size = size(random);
    let bytes = match random.below(4) {
        0 => noise(size),
        1 => text(size),
        2 => vec![0; size],
        // Noise, holes and what packs well, in turns.
        _ => (0..size).map(|at| [0, at as u8, b'x', ((at * at) >> 7) as u8][(at >> 12) & 3]).collect(),
    };
    if random.below(4) > 0 || size < 2 {
        return fixture.store.put_bytes(&bytes).expect("stored");
    }
    let half = size as u64 / 2;
    let gap = 1 << (9 + random.below(31));
    let extents = [
        Extent { offset: random.below(3) as u64 * gap, len: half },
        Extent { offset: half + 4 * gap, len: size as u64 - half },
    ];
    let data = fixture.store.put_bytes(&bytes).expect("stored");
    Content::sparse(data.blob(), extents[1].offset + extents[1].len + random.below(2) as u64 * gap, &extents)
        .expect("sparse")
}

fn metadata(random: &mut Random) -> Metadata {
    let id = |random: &mut Random| *random.pick(&[0, 0, 3, 100, 65_534, u32::MAX - 1]);
    let (uid, gid) = (id(random), id(random));
    let mut metadata = Metadata::new(uid, gid, random.below(0o10000) as u16);
    let secs = *random.pick(&[0, -1, 1_700_000_000, i64::from(i32::MIN) - 1, 1 << 40]);
    metadata.mtime = Timestamp { secs, nanos: random.below(1_000_000_000) as u32 };
    if random.below(8) == 0 {
        for index in 0..1 + random.below(4) {
            let name = format!("user.{index}{}", "a".repeat(random.below(200)));
            metadata.xattrs.insert(name.into_bytes(), noise(random.below(70_000) >> random.below(17)));
        }
    }
    if random.below(8) == 0 {
        metadata.acl = Some((0..1 + random.below(60) * random.below(18)).map(|_| entry(random)).collect());
    }
    metadata
}

fn entry(random: &mut Random) -> AclEntry {
    let number = random.below(5) as u32;
    let who = [AclWho::Owner, AclWho::Group, AclWho::Everyone, AclWho::User(number), AclWho::NamedGroup(number)];
    AclEntry {
        who: *random.pick(&who),
        kind: *random.pick(&[AclKind::Allow, AclKind::Deny]),
        flags: random.next_u64() as u16 & ACL_FLAGS,
        mask: random.next_u64() as u32 & ACL_MASK,
    }
}

fn node(fixture: &Fixture, random: &mut Random) -> Node {
    let mut metadata = metadata(random);
    let (major, minor) = (random.below(1 << 14) as u32, random.next_u64() as u32);
    let kind = match random.below(10) {
        0..=4 => NodeKind::Regular(content(fixture, random)),
        5 | 6 => {
            (metadata.mode, metadata.acl) = (0o777, None);
            let length = *random.pick(&[1, 7, 100, 119, 120, 121, 160, 320, 1000, 1023]);
            NodeKind::Symlink(vec![b't'; length])
        }
        7 => NodeKind::CharDevice { major, minor },
        8 => NodeKind::BlockDevice { major, minor },
        _ => NodeKind::Fifo,
    };
    Node { kind, metadata }
}

/// Up to four directories of any number of nodes, one within the other or beside it.
fn files(fixture: &Fixture, random: &mut Random) -> Tree {
    let mut tree = Tree::new(metadata(random));
    let nodes: Vec<Node> = (0..1 + random.below(24)).map(|_| node(fixture, random)).collect();
    // Large directories have small files, or a pool would have gigabytes.
    let small = |node: &&Node| node.content().is_none_or(|content| content.data_len() < 2000);
    let small: Vec<Node> =
        nodes.iter().filter(small).cloned().chain([Node::symlink("x", Metadata::new(0, 0, 0o777))]).collect();
    let mut directory = ImagePath::root();
    for number in 0..random.below(5) {
        let inside = if random.below(2) == 0 { &directory } else { &ImagePath::root() };
        directory = inside.join(format!("{number}-{}", "d".repeat(random.below(250)))).expect("a path");
        let metadata = metadata(random);
        tree.create_dir(&directory, metadata.clone(), &metadata).expect("created");
        let name_bytes = random.below(245);
        let last = *random.pick(&["", "\n", " ", "\u{fc}", "@"]);
        let count = *random.pick(&[0, 1, 2, 40, 300, 2050]);
        for index in 0..count {
            let path = directory.join(format!("{index}{}{last}", "n".repeat(name_bytes))).expect("a path");
            tree.insert(&path, random.pick(if count > 50 { &small } else { &nodes }).clone()).expect("inserted");
            if random.below(30) == 0 {
                tree.hard_link(&path, &path_of(&format!("/link-{number}-{index}"))).expect("linked");
            }
        }
    }
    tree
}

fn spec(fixture: &Fixture, random: &mut Random) -> PoolSpec {
    let mut spec = fixture.spec();
    spec.ashift = 9 + random.below(5) as u8;
    spec.features = features(random);
    spec.bootfs = None;
    let dataset = |name: &str, random: &mut Random| DatasetSpec {
        name: name.to_owned(),
        properties: properties(random, &spec.features),
        tree: (random.below(4) > 0).then(|| files(fixture, random)),
        snapshots: (0..random.below(4)).map(|index| format!("snapshot-{index}")).collect(),
    };
    let names = ["rpool", "rpool/a", "rpool/a/b", "rpool/a/c", "rpool/d"];
    spec.datasets = names[..1 + random.below(names.len())].iter().map(|name| dataset(name, random)).collect();
    spec
}

/// What went in comes out of the reader, and everything verifies.
fn read_back(fixture: &Fixture, spec: &PoolSpec, bytes: u64, case: &str) {
    let file = File::open(fixture.scratch.path().join(case).join("disk.img")).expect("the image");
    let pool = Pool::open(file, bytes).expect("a pool");
    assert_eq!(pool.verify(&VerifyOptions::default()).problems, [], "{case}");
    let out = Store::open_with(fixture.scratch.path().join("out"), StoreOptions { sync: false }).expect("a store");
    for dataset in &spec.datasets {
        let Some(expected) = &dataset.tree else { continue };
        let snapshots = dataset.snapshots.iter().map(|snapshot| format!("{}@{snapshot}", dataset.name));
        for name in std::iter::once(dataset.name.clone()).chain(snapshots.take(1)) {
            fixture.read_back(&pool, &name, expected, &out);
        }
    }
}

/// Whatever is combined, `zdb` counts as the writer does, and what went in comes back.
#[test]
fn fuzz_zdb_approves_any_combination() {
    test_judge::fuzz(2, |random| {
        let fixture = Fixture::new();
        let spec = spec(&fixture, random);
        assert_eq!(spec.problems(), []);
        let needed = minimum_bytes(&spec).expect("a size");
        // As small as it may be, or larger by anything.
        let bytes = needed + *random.pick(&[0, 1, 512, 100 << 20]) * (1 + random.below(1000) as u64 / 100);
        approve_on(&fixture, &spec, bytes, "combination");
        read_back(&fixture, &spec, bytes, "combination");
    });
}
