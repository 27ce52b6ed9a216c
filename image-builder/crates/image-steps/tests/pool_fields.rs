//! Every field of the target `pool`, as a reader of the finished image sees it: with a value, and without.

mod illumos_root;
mod pool_bench;

use pool_bench::Bench;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use zfs_image::reader::{Pool, Window};

const MIB: u64 = 1 << 20;
const BE: &str = r#"{ "t": "create_be" }"#;
/// Where the pool's partition begins on a disk without an EFI system partition.
const FIRST: u64 = 256 * 512;

/// What a reader finds of what templates can say.
struct Found {
    ashift: u64,
    features: usize,
    pool: BTreeMap<String, String>,
    /// Which ZFS keeps in the labels, as zpoolprops(7) has it readable while the pool is not imported.
    comment: Option<String>,
    root: BTreeMap<String, String>,
    datasets: Vec<String>,
    size: u64,
    /// Bytes that the image occupies on the host.
    occupied: u64,
}

/// Builds a pool of these further fields; `offset` is where it begins in the image.
fn found(fields: &str, offset: u64) -> Found {
    let bench = Bench::empty();
    bench.template("t", fields, &[BE]);
    let image = bench.image("t");
    let metadata = fs::metadata(&image).expect("the image");
    let end = if offset == 0 { metadata.len() } else { metadata.len() - (16_384 + 33) * 512 };
    let window = Window::new(File::open(&image).expect("the image"), offset, end - offset);
    let pool = Pool::open(window, end - offset).expect("a pool");
    let all = pool.directories().expect("directories");
    let named = |name: &str| all.iter().find(|one| one.head.as_ref().is_some_and(|head| head.name == name));
    let count = |list: &str| {
        let object = pool.directory_object(list).expect("the directory of objects");
        object.map_or(0, |object| pool.mos().zap_entries(object).expect("a list of features").len())
    };
    Found {
        ashift: pool.label_config().list("vdev_tree").expect("a tree").u64("ashift").expect("ashift"),
        features: count("features_for_read") + count("features_for_write"),
        comment: pool.label_config().string("comment").map(str::to_owned),
        pool: pool.pool_properties().expect("properties"),
        root: pool.properties(named("rpool").expect("the pool's own dataset")).expect("properties"),
        datasets: pool.datasets().expect("datasets").into_iter().map(|dataset| dataset.name).collect(),
        size: metadata.len(),
        occupied: metadata.blocks() * 512,
    }
}

fn told<'a>(properties: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    properties.get(name).map(String::as_str)
}

#[test]
fn absent_fields_have_the_defaults_of_the_original() {
    let found = found(r#""size": 200"#, FIRST);
    assert_eq!((found.ashift, found.features), (9, 0), "`ashift` and `no_features`");
    assert_eq!(found.size, 200 * MIB, "`size` is in MiB");
    assert_eq!(told(&found.root, "compression"), Some("on"), "`compression`");
    assert_eq!(told(&found.pool, "autoexpand"), None, "`autoexpand`");
    assert!(found.occupied < 20 * MIB, "free space is a hole: {} bytes", found.occupied);
    let environment = found.datasets.iter().find_map(|name| name.strip_prefix("rpool/ROOT/")).expect("one");
    assert!(environment.len() == 8 && environment.bytes().all(|digit| digit.is_ascii_hexdigit()), "`bename`");
}

#[test]
fn given_fields_are_in_the_image() {
    let found = found(
        r#""size": 300, "bename": "ramdisk", "ashift": 12, "label": false, "no_features": false, "compression": "gzip-9",
           "autoexpand": true, "trim": false, "options": ["failmode=panic", "comment=a ramdisk"],
           "fsoptions": ["atime=off", "checksum=sha256"]"#,
        0,
    );
    assert_eq!((found.ashift, found.size), (12, 300 * MIB));
    assert!(found.features > 5, "{}", found.features);
    assert!(found.datasets.contains(&"rpool/ROOT/ramdisk".to_owned()), "{:?}", found.datasets);
    assert_eq!(found.comment.as_deref(), Some("a ramdisk"));
    for (name, value) in [("autoexpand", "on"), ("failmode", "panic")] {
        assert_eq!(told(&found.pool, name), Some(value), "{name}");
    }
    for (name, value) in [("compression", "gzip-9"), ("atime", "off"), ("checksum", "sha256")] {
        assert_eq!(told(&found.root, name), Some(value), "{name}");
    }
    assert!(found.occupied < 20 * MIB, "`trim` or not, free space is a hole: {} bytes", found.occupied);
}
