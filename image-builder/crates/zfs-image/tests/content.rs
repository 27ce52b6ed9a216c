//! Comparing the content of files: the same bytes, however they are stored, and no more reading than it takes.

mod fixture;

use fixture::{Fixture, Patched, noise, path_of};
use image_tree::{Content, Extent, Metadata, Node, Tree};
use std::sync::Arc;
use zfs_format::block::BlockPointer;
use zfs_format::label::START_BYTES;
use zfs_image::reader::{Pool, ReadAt, ReadError, Visit, same_content};

const DATASET: &str = "rpool/ROOT/be";

/// A pool with such files in a dataset with such properties.
fn pool_of(fixture: &Fixture, files: &[(&str, &Content)], properties: &[(&str, &str)]) -> Arc<Vec<u8>> {
    let mut tree = Tree::new(Metadata::new(0, 0, 0o755));
    for (path, content) in files {
        let node = Node::regular((*content).clone(), Metadata::new(0, 0, 0o644));
        tree.insert(&path_of(path), node).expect("inserted");
    }
    let mut spec = fixture.spec();
    spec.datasets.truncate(3);
    spec.datasets[2].tree = Some(tree);
    let all = &mut spec.datasets[2].properties;
    for (name, value) in properties {
        all.retain(|(other, _)| other != name);
        all.push(((*name).to_owned(), (*value).to_owned()));
    }
    Arc::new(fixture.write(&spec))
}

fn whole(fixture: &Fixture, bytes: &[u8]) -> Content {
    fixture.store.put_bytes(bytes).expect("stored")
}

/// These bytes from `at` on, in a file of `len`.
fn sparse(fixture: &Fixture, bytes: &[u8], at: u64, len: u64) -> Content {
    let extents = [Extent { offset: at, len: bytes.len() as u64 }];
    Content::sparse(whole(fixture, bytes).blob(), len, &extents).expect("sparse")
}

/// Compares a file of one pool with one of another.
fn compare(one: (impl ReadAt, &str), other: (impl ReadAt, &str), bytes: u64) -> Result<bool, (usize, ReadError)> {
    let pools = [Pool::open(one.0, bytes).expect("a pool"), Pool::open(other.0, bytes).expect("a pool")];
    let files = pools
        .each_ref()
        .map(|pool| pool.file_system(&pool.dataset(DATASET).expect("a dataset")).expect("a file system"));
    let file = |side: usize, path: &str| files[side].lookup(path.as_bytes(), false).expect("a file");
    same_content([(&files[0], &file(0, one.1)), (&files[1], &file(1, other.1))])
}

#[test]
fn the_same_bytes_are_the_same_however_they_are_stored() {
    let fixture = Fixture::new();
    let mut bytes = noise(300_000);
    bytes[100_000..250_000].fill(0);
    let mut changed = bytes.clone();
    changed[299_999] ^= 1;
    let contents = [whole(&fixture, &bytes), whole(&fixture, &changed)];
    let pool = |properties: &[(&str, &str)]| {
        pool_of(&fixture, &[("/file", &contents[0]), ("/changed", &contents[1])], properties)
    };
    let plain = pool(&[]);
    for properties in
        [&[][..], &[("recordsize", "16K")], &[("recordsize", "1M"), ("compression", "off")], &[("checksum", "sha256")]]
    {
        let other = pool(properties);
        for (path, expected) in [("/file", true), ("/changed", false)] {
            let found = compare((&**plain, "/file"), (&**other, path), other.len() as u64);
            assert_eq!(found.expect("read"), expected, "{properties:?} {path}");
        }
    }
}

#[test]
fn holes_are_zeros_and_take_no_time() {
    let fixture = Fixture::new();
    let far = |bytes: &[u8]| sparse(&fixture, bytes, 1 << 59, 1 << 60);
    let contents = [whole(&fixture, &[0; 300_000]), sparse(&fixture, b"\0", 7, 300_000), far(b"x"), far(b"y")];
    let paths = ["/zeros", "/hole", "/far", "/other"];
    let files: Vec<(&str, &Content)> = paths.into_iter().zip(&contents).collect();
    let image = pool_of(&fixture, &files, &[("compression", "off")]);
    for (one, other, expected) in
        [("/zeros", "/hole", true), ("/far", "/far", true), ("/far", "/other", false), ("/zeros", "/far", false)]
    {
        let found = compare((&**image, one), (&**image, other), image.len() as u64);
        assert_eq!(found.expect("read"), expected, "{one} {other}");
    }
}

/// Whoever makes an image can make other bytes with the same Fletcher sum.
#[test]
fn only_cryptographic_checksums_spare_reading() {
    let fixture = Fixture::new();
    for (checksum, is_read) in [("sha256", false), ("fletcher4", true)] {
        let content = whole(&fixture, &noise(131_072));
        let image = pool_of(&fixture, &[("/file", &content)], &[("checksum", checksum), ("compression", "off")]);
        let bytes = image.len() as u64;
        let patches = vec![(START_BYTES + first_block(&image), vec![0xAA; 512])];
        let damaged = Patched { base: Arc::clone(&image), patches };
        match compare((&**image, "/file"), (damaged, "/file"), bytes) {
            Ok(is_same) => assert!(is_same && !is_read, "{checksum}"),
            Err((side, error)) => assert!(side == 1 && is_read, "{checksum}: {error}"),
        }
    }
}

/// Where the first block of the file is, in bytes from where blocks begin.
fn first_block(image: &Arc<Vec<u8>>) -> u64 {
    let pool = Pool::open(&***image, image.len() as u64).expect("a pool");
    let files = pool.file_system(&pool.dataset(DATASET).expect("a dataset")).expect("a file system");
    let file = files.lookup(b"/file", false).expect("a file");
    let mut places = Vec::new();
    let walked = files.objset().for_each_pointer(&file.dnode, |level, _, pointer| {
        if let (0, BlockPointer::Data(block)) = (level, pointer) {
            places.push(block.dvas[0].offset);
        }
        Ok(Visit::Descend)
    });
    walked.expect("walked");
    places[0]
}
