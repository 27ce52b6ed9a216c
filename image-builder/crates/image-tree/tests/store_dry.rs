//! A store that is only looked at: nothing is created, and what is put is forgotten.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use image_tree::{Content, GcRoots, Store, StoreError};

/// Everything below a directory, with the times at which it was changed.
fn listing(dir: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        found.push((entry.path(), entry.metadata().unwrap().modified().unwrap()));
        if entry.path().is_dir() {
            found.extend(listing(&entry.path()));
        }
    }
    found.sort();
    found
}

#[test]
fn a_store_that_is_not_there_is_empty_and_stays_away() {
    let parent = tempfile::tempdir().unwrap();
    let store = Store::open_dry(parent.path().join("none")).unwrap();
    let content = store.put_bytes(b"content").unwrap();
    store.record_put("step", b"key", b"value").unwrap();
    assert!(!store.contains(content.blob()));
    assert_eq!(store.record_get("step", b"key").unwrap(), None);
    store.close().unwrap();
    assert_eq!(listing(parent.path()), []);
}

#[test]
fn what_is_there_is_seen_and_nothing_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let small = support::bytes(1, 1000);
    let large = support::bytes(2, 3 << 20);
    let kept = {
        let store = Store::open_with(dir.path(), support::NO_SYNC).unwrap();
        store.record_put("step", b"key", b"value").unwrap();
        store.put_bytes(&small).unwrap()
    };
    // A pack that a killed process has left is for the next one that writes.
    fs::write(dir.path().join("packs/00000007.pack"), b"imgpack\x01").unwrap();
    let before = listing(dir.path());
    let mut store = Store::open_dry(dir.path()).unwrap();
    assert_eq!(store.read_blob(kept.blob()).unwrap(), small);
    assert_eq!(store.record_get("step", b"key").unwrap().as_deref(), Some(&b"value"[..]));
    let measured: Content = store.put_reader(&large[..]).unwrap();
    assert!(!store.contains(measured.blob()));
    store.record_put("step", b"key", b"other").unwrap();
    store.record_remove("step", b"key").unwrap();
    assert!(matches!(store.gc(&GcRoots::default()), Err(StoreError::Dry { .. })));
    drop(store);
    assert_eq!(listing(dir.path()), before);
    let store = Store::open_with(dir.path(), support::NO_SYNC).unwrap();
    assert_eq!(store.put_reader(&large[..]).unwrap(), measured);
}
