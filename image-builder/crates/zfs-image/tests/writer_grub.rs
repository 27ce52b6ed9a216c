//! Pools of the writer before GRUB, a second reader that shares nothing with OpenZFS: it finds files by their paths,
//! follows links, and answers every byte.
//!
//! Its lists of directories (`ls`, and `cmp` of directories) are no judge: it takes the type in a directory entry for a
//! part of the object's number, and leaves out what it then does not find.

mod fixture;

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use fixture::Fixture;
use image_tree::{Content, Store};
use zfs_format::feature::FeatureSet;
use zfs_image::writer::{FileWindow, PoolSpec, WriteOptions, minimum_bytes, write_pool};

const PACKAGE: &str = "grub-common";
const BOOT_ENVIRONMENT: &str = "(loop0)/ROOT/be@";

/// Writes the pool to a file.
fn write(fixture: &Fixture, spec: &PoolSpec, image: &Path) {
    let bytes = minimum_bytes(spec).expect("a size");
    let file = File::create_new(image).expect("an image");
    file.set_len(bytes).expect("a sparse file");
    write_pool(spec, &fixture.store, &FileWindow::new(&file, 0), bytes, &WriteOptions::default()).expect("written");
}

fn grub(image: &Path, words: &[&OsStr]) -> Option<test_judge::Output> {
    let arguments: Vec<&OsStr> = std::iter::once(image.as_os_str()).chain(words.iter().copied()).collect();
    test_judge::ask("grub-fstest", PACKAGE, &arguments)
}

fn at(path: &[u8]) -> Vec<u8> {
    [BOOT_ENVIRONMENT.as_bytes(), path].concat()
}

/// The content of a file as GRUB reads it. `cat` would have to fit into a pipe's memory.
fn cat(image: &Path, path: &[u8]) -> Option<Vec<u8>> {
    let copy = image.with_extension("copy");
    let output = grub(image, &[OsStr::new("cp"), OsStr::from_bytes(&at(path)), copy.as_os_str()])?;
    assert!(output.success(), "{}: {}", path.escape_ascii(), output.stderr_text());
    Some(std::fs::read(copy).expect("what GRUB wrote"))
}

/// All of a content, its holes as zeros.
fn bytes(store: &Store, content: &Content) -> Vec<u8> {
    let data = store.read_blob(content.blob()).expect("stored");
    let Some(extents) = content.extents() else { return data };
    let mut whole = vec![0; content.len() as usize];
    let mut from = 0;
    for extent in extents {
        let (start, len) = (extent.offset as usize, extent.len as usize);
        whole[start..start + len].copy_from_slice(&data[from..from + len]);
        from += len;
    }
    whole
}

fn approve(case: &str, features: FeatureSet, compression: &str) -> Option<()> {
    let fixture = Fixture::new();
    let mut spec = fixture.spec();
    spec.features = features;
    spec.datasets[2].properties[3].1 = compression.to_owned();
    let tree = spec.datasets[2].tree.clone().expect("a tree");
    let image = fixture.scratch.path().join("pool.img");
    write(&fixture, &spec, &image);
    let regular = tree.walk().filter_map(|entry| Some((entry.path, entry.node.content()?.clone())));
    // GRUB does not know that there is nothing behind the last block of a file, and takes what it meets for pointers.
    let regular = regular.filter(|(path, _)| path.as_bytes() != b"/etc/sparse");
    for (index, (path, content)) in regular.enumerate() {
        if index % 37 == 0 || !path.as_bytes().starts_with(b"/many/") {
            assert!(cat(&image, path.as_bytes())? == bytes(&fixture.store, &content), "{case}: {path}");
        }
    }
    assert_eq!(cat(&image, b"/etc/link")?, b"deep\n", "{case}: through a link");
    let missing = grub(&image, &[OsStr::new("cat"), OsStr::from_bytes(&at(b"/etc/deep/nothing"))])?;
    assert!(!missing.success() && missing.stderr_text().contains("not found"), "{case}: {}", missing.stderr_text());
    let other = grub(&image, &[OsStr::new("cat"), OsStr::new("(loop0)/export@/note")])?;
    assert_eq!(other.stdout, b"plain", "{case}: another dataset");
    Some(())
}

#[test]
fn grub_reads_pools_with_the_features_of_illumos() {
    for compression in ["lz4", "off", "lzjb"] {
        approve(compression, FeatureSet::illumos(), compression);
    }
}

#[test]
fn grub_reads_pools_without_features() {
    for compression in ["on", "off", "zle"] {
        approve(compression, FeatureSet::none(), compression);
    }
}
