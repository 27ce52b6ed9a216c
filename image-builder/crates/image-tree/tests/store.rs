//! The content store: what goes in comes out, once, for every process and thread.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use image_tree::{
    BlobHash, Content, Extent, GcRoots, Record, Recovered, RecoveryCause, Store, StoreError, Tree, TreeHash,
};
use support::{NO_SYNC, add_file, bytes, path};

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("some/where/store");
    (scratch, dir)
}

fn packs(dir: &Path) -> Vec<PathBuf> {
    let mut packs: Vec<_> = fs::read_dir(dir.join("packs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    packs.sort();
    packs
}

#[test]
fn what_is_put_can_be_read() {
    let (_scratch, dir) = scratch();
    let store = Store::open(&dir).unwrap();
    let sizes = [0, 1, 1000, 65_535, 65_536, 65_537, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20];
    let mut contents = Vec::new();
    for (seed, size) in sizes.into_iter().enumerate() {
        let bytes = bytes(seed, size);
        let content = if seed % 2 == 0 { store.put_bytes(&bytes) } else { store.put_reader(&bytes[..]) }.unwrap();
        assert_eq!(content, Content::plain(BlobHash::of(&bytes), size as u64));
        contents.push((content, bytes));
    }
    assert_eq!(store.len(), sizes.len() - 1, "the empty blob takes no room");
    let check = |store: &Store| {
        for (content, bytes) in &contents {
            assert!(store.read_blob(content.blob()).unwrap() == *bytes);
            assert_eq!(store.blob_len(content.blob()), Some(content.len()));
            store.verify(content.blob()).unwrap();
        }
    };
    check(&store);
    store.close().unwrap();
    let store = Store::open(&dir).unwrap();
    assert_eq!(store.recovered(), []);
    check(&store);
    let missing = BlobHash::of(b"missing");
    assert!(!store.contains(missing) && store.blob_len(missing).is_none());
    assert!(matches!(store.open_blob(missing), Err(StoreError::Missing { hash }) if hash == missing));
}

#[test]
fn the_same_content_is_kept_once() {
    let (_scratch, dir) = scratch();
    let store = Store::open(&dir).unwrap();
    let (small, large) = (bytes(1, 100), bytes(2, 5 << 20));
    store.put_bytes(&small).unwrap();
    store.put_reader(&large[..]).unwrap();
    let before = store.disk_use().unwrap();
    for _ in 0..3 {
        store.put_reader(&small[..]).unwrap();
        store.put_bytes(&large).unwrap();
        store.put_reader(&large[..]).unwrap();
    }
    assert_eq!(store.disk_use().unwrap(), before);
    assert_eq!(before.packs, 8 + 2 * 48 + 100 + (5 << 20));
    store.close().unwrap();
    let store = Store::open(&dir).unwrap();
    store.put_reader(&large[..]).unwrap();
    store.close().unwrap();
    assert_eq!(packs(&dir).len(), 2, "one pack and its index; nothing new, no new pack");
}

/// A reader that fails after some bytes.
struct Broken(usize);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = buffer.len().min(self.0);
        self.0 -= count;
        if count == 0 { Err(std::io::Error::other("broken")) } else { Ok(count) }
    }
}

#[test]
fn a_failing_source_leaves_nothing_behind() {
    let (_scratch, dir) = scratch();
    let store = Store::open(&dir).unwrap();
    store.put_bytes(b"before").unwrap();
    let before = store.disk_use().unwrap();
    for length in [0, 1000, 3 << 20] {
        assert!(matches!(store.put_reader(Broken(length)), Err(StoreError::Source { .. })));
        assert_eq!(store.disk_use().unwrap(), before);
    }
    let after = store.put_bytes(b"after").unwrap();
    store.close().unwrap();
    assert_eq!(Store::open(&dir).unwrap().read_blob(after.blob()).unwrap(), b"after");
}

#[test]
fn readers_seek_and_holes_are_zeros() {
    let (_scratch, dir) = scratch();
    let store = Store::open(&dir).unwrap();
    let blob = store.put_bytes(b"0123456789").unwrap().blob();
    let mut reader = store.open_blob(blob).unwrap();
    assert_eq!(reader.seek(SeekFrom::End(-3)).unwrap(), 7);
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "789");
    assert_eq!(reader.seek(SeekFrom::Current(-10)).unwrap(), 0);
    assert!(reader.seek(SeekFrom::Current(-1)).is_err());
    reader.seek(SeekFrom::Start(100)).unwrap();
    assert_eq!(reader.read(&mut [0; 4]).unwrap(), 0);

    let extents = [(2, 3), (8, 4), (14, 3)].map(|(offset, len)| Extent { offset, len });
    let content = Content::sparse(blob, 20, &extents).unwrap();
    let whole = [&[0, 0][..], b"012", &[0; 3], b"3456", &[0; 2], b"789", &[0; 3]].concat();
    let mut reader = store.open_content(&content).unwrap();
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert_eq!(read, whole);
    for start in 0..=20 {
        for length in 0..=20 - start {
            reader.seek(SeekFrom::Start(start as u64)).unwrap();
            let mut part = vec![9; length];
            reader.read_exact(&mut part).unwrap();
            assert_eq!(part, whole[start..start + length]);
        }
    }
    let wrong = Content::plain(blob, 11);
    assert!(matches!(store.open_content(&wrong), Err(StoreError::Length { len: 10, wanted: 11, .. })));
}

#[test]
fn impossible_extents_are_refused() {
    let blob = BlobHash::of(b"");
    type Case = (&'static [(u64, u64)], Option<usize>);
    let cases: [Case; 8] = [
        (&[(0, 4), (6, 4)], None),
        (&[(0, 0)], Some(0)),
        (&[(0, 4), (3, 1)], Some(1)),
        (&[(6, 2), (0, 2)], Some(1)),
        (&[(0, 11)], Some(0)),
        (&[(8, 2), (10, 1)], Some(1)),
        (&[(u64::MAX, 2)], Some(0)),
        (&[], None),
    ];
    for (extents, wrong) in cases {
        let extents: Vec<_> = extents.iter().map(|&(offset, len)| Extent { offset, len }).collect();
        assert_eq!(Content::sparse(blob, 10, &extents).err().map(|error| error.index), wrong, "{extents:?}");
    }
    let touching = [Extent { offset: 0, len: 4 }, Extent { offset: 4, len: 6 }];
    assert_eq!(Content::sparse(blob, 10, &touching).unwrap(), Content::plain(blob, 10), "no hole, no extents");
}

#[test]
fn only_the_owner_can_look_in() {
    let (_scratch, dir) = scratch();
    let store = Store::open(&dir).unwrap();
    store.put_bytes(b"x").unwrap();
    store.record_put("steps", b"key", b"value").unwrap();
    store.close().unwrap();
    let mut todo = vec![dir];
    while let Some(at) = todo.pop() {
        let metadata = fs::metadata(&at).unwrap();
        let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.permissions().mode() & 0o7777, wanted, "{}", at.display());
        if metadata.is_dir() {
            todo.extend(fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

#[test]
fn other_directories_are_not_taken_for_a_store() {
    let (_scratch, dir) = scratch();
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("letter"), b"").unwrap();
    assert!(matches!(Store::open(&dir), Err(StoreError::NotAStore { .. })));
    fs::remove_file(dir.join("letter")).unwrap();
    Store::open(&dir).unwrap();
    fs::write(dir.join("format"), b"image store 2\n").unwrap();
    let error = Store::open(&dir).unwrap_err();
    assert!(error.to_string().ends_with("is of format `image store 2`, not `image store 1`"), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn threads_put_the_same_and_different_things_at_once() {
    let (_scratch, dir) = scratch();
    let store = Store::open(&dir).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for seed in 0..60 {
                    let length = if seed % 20 == 0 { 2 << 20 } else { seed * 100 };
                    store.put_reader(&bytes(seed, length)[..]).unwrap();
                    let own = store.put_bytes(&bytes(1000 + thread * 100 + seed, 50)).unwrap();
                    store.verify(own.blob()).unwrap();
                }
            });
        }
    });
    assert_eq!(store.len(), 60 + 8 * 60);
    store.close().unwrap();
    let store = Store::open(&dir).unwrap();
    assert_eq!((store.len(), store.recovered()), (540, &[][..]));
}

/// Content that is made by reading the store, as that of compressed files is.
#[test]
fn a_source_may_read_the_store() {
    let (_scratch, dir) = scratch();
    let store = Store::open(&dir).unwrap();
    struct Chain<'s>(&'s Store, Vec<BlobHash>, Option<image_tree::BlobReader>);
    impl Read for Chain<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            loop {
                if let Some(reader) = &mut self.2 {
                    match reader.read(buffer)? {
                        0 => self.2 = None,
                        count => return Ok(count),
                    }
                }
                let Some(next) = self.1.pop() else { return Ok(0) };
                self.0.put_bytes(next.as_bytes()).unwrap();
                self.2 = Some(self.0.open_blob(next).unwrap());
            }
        }
    }
    let parts: Vec<_> = (0..4).map(|seed| store.put_bytes(&bytes(seed, 1 << 20)).unwrap().blob()).collect();
    let content = store.put_reader(Chain(&store, parts, None)).unwrap();
    assert_eq!(content.len(), 4 << 20);
    store.verify(content.blob()).unwrap();
}

#[test]
fn others_see_what_is_sealed() {
    let (_scratch, dir) = scratch();
    let writer = Store::open(&dir).unwrap();
    let other = Store::open(&dir).unwrap();
    let first = writer.put_bytes(b"first").unwrap().blob();
    let third = Store::open(&dir).unwrap();
    assert!(!third.contains(first), "a pack that is being written is not touched");
    assert_eq!(third.recovered(), []);
    writer.seal().unwrap();
    assert!(!other.contains(first));
    other.refresh().unwrap();
    assert_eq!(other.read_blob(first).unwrap(), b"first");
    let second = writer.put_bytes(b"second").unwrap().blob();
    writer.close().unwrap();
    other.refresh().unwrap();
    assert!(other.contains(second));
}

#[test]
fn more_packs_than_files_may_be_open() {
    let (_scratch, dir) = scratch();
    let mut hashes = Vec::new();
    for seed in 0..300 {
        let store = Store::open_with(&dir, NO_SYNC).unwrap();
        hashes.push(store.put_bytes(&bytes(seed, 10 + seed)).unwrap().blob());
    }
    let store = Store::open(&dir).unwrap();
    let readers: Vec<_> = hashes.iter().take(50).map(|hash| store.open_blob(*hash).unwrap()).collect();
    for hash in &hashes {
        store.verify(*hash).unwrap();
    }
    let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    assert!(open < 50 + 64 + 50, "{open} files are open");
    for (seed, mut reader) in readers.into_iter().enumerate() {
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == bytes(seed, 10 + seed), "a reader outlives the closing of its pack");
    }
}

#[test]
fn records_are_kept_replaced_and_removed() {
    let (_scratch, dir) = scratch();
    let store = Store::open(&dir).unwrap();
    assert_eq!(store.record_get("steps", b"key").unwrap(), None);
    assert_eq!(store.records("steps").unwrap(), []);
    store.record_put("steps", b"key", b"one").unwrap();
    store.record_put("steps", b"key", b"two").unwrap();
    store.record_put("steps", b"", b"").unwrap();
    store.record_put("archives", b"key", b"other").unwrap();
    let other = Store::open(&dir).unwrap();
    assert_eq!(other.record_get("steps", b"key").unwrap().as_deref(), Some(&b"two"[..]));
    let record = |key: &[u8], value: &[u8]| Record { key: key.to_vec(), value: value.to_vec() };
    assert_eq!(other.records("steps").unwrap(), [record(b"", b""), record(b"key", b"two")]);
    other.record_remove("steps", b"key").unwrap();
    other.record_remove("steps", b"key").unwrap();
    assert_eq!(store.record_get("steps", b"key").unwrap(), None);
    assert_eq!(store.record_get("archives", b"key").unwrap().as_deref(), Some(&b"other"[..]));
    for namespace in ["", "..", "a/b", "A", "steps\0"] {
        assert!(matches!(store.record_put(namespace, b"", b""), Err(StoreError::Namespace { .. })), "{namespace:?}");
    }
}

/// A crash of the machine may leave a record cut off or full of zeros; that is no record.
#[test]
fn a_spoilt_record_counts_as_absent() {
    let (_scratch, dir) = scratch();
    let store = Store::open(&dir).unwrap();
    store.record_put("steps", b"key", b"value").unwrap();
    let shard = fs::read_dir(dir.join("records/steps")).unwrap().next().unwrap().unwrap().path();
    let file = fs::read_dir(shard).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&file).unwrap();
    for length in 0..whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        assert_eq!(store.record_get("steps", b"key").unwrap(), None, "{length} bytes");
        let mut zeros = whole.clone();
        zeros[length..].fill(0);
        fs::write(&file, &zeros).unwrap();
        assert!(zeros == whole || store.record_get("steps", b"key").unwrap().is_none(), "zeros from {length}");
    }
    assert_eq!(store.records("steps").unwrap(), []);
}

/// Every length that a killed process may leave a pack with.
#[test]
fn a_torn_tail_is_cut_off_and_reported() {
    let (_scratch, dir) = scratch();
    let store = Store::open_with(&dir, NO_SYNC).unwrap();
    let contents = [bytes(1, 10), bytes(2, 30), bytes(3, 5)];
    let blobs: Vec<_> = contents.iter().map(|bytes| store.put_bytes(bytes).unwrap().blob()).collect();
    store.close().unwrap();
    let [index, pack] = [packs(&dir)[0].clone(), packs(&dir)[1].clone()];
    let whole = fs::read(&pack).unwrap();
    let ends = [8, 8 + 58, 8 + 58 + 78, 8 + 58 + 78 + 53];
    assert_eq!(whole.len(), ends[3]);
    for length in 0..=whole.len() {
        for tail in [&[][..], &[0; 100], &[1; 100]] {
            fs::remove_file(&index).unwrap();
            fs::write(&pack, [&whole[..length], tail].concat()).unwrap();
            let store = Store::open_with(&dir, NO_SYNC).unwrap();
            let kept = ends.iter().filter(|end| **end <= length).count().saturating_sub(1);
            for (number, blob) in blobs.iter().enumerate() {
                assert_eq!(store.contains(*blob), number < kept, "blob {number} of {length} bytes");
                assert!(number >= kept || store.verify(*blob).is_ok());
            }
            let lost =
                (length + tail.len()).saturating_sub(ends[kept].min(length).max(if kept > 0 { 0 } else { 8 })) as u64;
            let kept_bytes = contents[..kept].iter().map(|bytes| bytes.len() as u64).sum();
            let wanted = Recovered {
                pack: pack.clone(),
                cause: RecoveryCause::Unfinished,
                kept_blobs: kept,
                kept_bytes,
                lost_bytes: lost,
            };
            let wanted = if kept > 0 || lost > 0 { vec![wanted] } else { vec![] };
            assert_eq!(store.recovered(), wanted, "{length} bytes");
            store.put_bytes(&contents[2]).unwrap();
            store.close().unwrap();
            assert_eq!(Store::open_with(&dir, NO_SYNC).unwrap().recovered(), [], "recovered once and for all");
            for file in packs(&dir) {
                fs::remove_file(file).unwrap();
            }
            fs::write(&index, []).unwrap();
        }
    }
}

#[test]
fn a_damaged_index_is_made_anew_without_touching_the_pack() {
    let (_scratch, dir) = scratch();
    let store = Store::open(&dir).unwrap();
    let blobs: Vec<_> = (0..5).map(|seed| store.put_bytes(&bytes(seed, 100)).unwrap().blob()).collect();
    store.close().unwrap();
    let [index, pack] = [packs(&dir)[0].clone(), packs(&dir)[1].clone()];
    let (whole_index, whole_pack) = (fs::read(&index).unwrap(), fs::read(&pack).unwrap());
    for position in (0..whole_index.len()).step_by(7) {
        let mut damaged = whole_index.clone();
        damaged[position] ^= 0x10;
        fs::write(&index, damaged).unwrap();
        let store = Store::open(&dir).unwrap();
        assert_eq!(store.recovered().len(), 1, "byte {position}");
        assert_eq!(store.recovered()[0].cause, RecoveryCause::IndexDamaged);
        assert!(blobs.iter().all(|blob| store.verify(*blob).is_ok()));
        assert!(fs::read(&pack).unwrap() == whole_pack && fs::read(&index).unwrap() == whole_index);
    }
    // With a damaged blob in the middle, the others are found.
    let mut damaged = whole_pack.clone();
    damaged[8 + 148 * 2 + 60] ^= 1;
    fs::write(&pack, &damaged).unwrap();
    fs::write(&index, []).unwrap();
    let store = Store::open(&dir).unwrap();
    let present: Vec<_> = blobs.iter().map(|blob| store.contains(*blob)).collect();
    assert_eq!(present, [true, true, false, true, true]);
    assert_eq!(store.recovered()[0].lost_bytes, 148);
    store.close().unwrap();
    fs::remove_file(&pack).unwrap();
    let store = Store::open(&dir).unwrap();
    assert_eq!(store.recovered()[0].cause, RecoveryCause::PackMissing);
    assert!(store.is_empty() && packs(&dir).is_empty());
}

#[test]
fn damage_is_found_on_demand() {
    let (_scratch, dir) = scratch();
    let store = Store::open(&dir).unwrap();
    let blob = store.put_bytes(&bytes(1, 1000)).unwrap().blob();
    store.close().unwrap();
    let pack = fs::OpenOptions::new().write(true).open(&packs(&dir)[1]).unwrap();
    pack.write_all_at(b"!", 500).unwrap();
    let store = Store::open(&dir).unwrap();
    assert!(matches!(store.verify(blob), Err(StoreError::Damaged { hash }) if hash == blob));
}

fn example_tree(store: &Store, seed: usize) -> TreeHash {
    let mut tree = Tree::default();
    add_file(&mut tree, store, "/shared/file", &bytes(0, 5000));
    add_file(&mut tree, store, "/own", &bytes(seed, 3 << 20));
    tree.save(store).unwrap()
}

#[test]
fn collection_keeps_what_the_roots_need() {
    let (_scratch, dir) = scratch();
    let mut store = Store::open(&dir).unwrap();
    let (kept, dropped) = (example_tree(&store, 1), example_tree(&store, 2));
    let (single, lone) = (store.put_bytes(b"single").unwrap().blob(), store.put_bytes(b"lone").unwrap().blob());
    store.seal().unwrap();
    let untouched = store.put_bytes(b"in a pack of its own").unwrap().blob();
    store.seal().unwrap();
    let roots = GcRoots { trees: BTreeSet::from([kept]), blobs: BTreeSet::from([single, untouched]) };
    let before = store.disk_use().unwrap().total();
    let report = store.gc(&roots).unwrap();
    let check = |store: &Store| {
        let tree = Tree::load(store, kept).unwrap();
        for at in ["/shared/file", "/own"] {
            store.verify(tree.get(&path(at)).unwrap().content().unwrap().blob()).unwrap();
        }
        assert!(Tree::load(store, dropped).unwrap_err().is_missing());
        assert!(store.contains(single) && store.contains(untouched) && !store.contains(lone));
    };
    check(&store);
    assert_eq!((report.removed_blobs, report.kept_blobs), (1 + 1 + 1 + 1, 2 + 3 + 2));
    assert_eq!(before - report.freed_bytes, store.disk_use().unwrap().total());
    assert!((3 << 20..(3 << 20) + 4000).contains(&report.freed_bytes), "{report:?}");
    check(&Store::open(&dir).unwrap());

    let again = store.gc(&roots).unwrap();
    assert_eq!((again.freed_bytes, again.removed_blobs), (0, 0));
    let new = example_tree(&store, 3);
    assert!(Tree::load(&store, new).is_ok(), "the store can be used as before");
    store.gc(&GcRoots::default()).unwrap();
    assert!(store.is_empty() && packs(&dir).is_empty());
}

#[test]
fn collection_wants_the_store_for_itself() {
    let (_scratch, dir) = scratch();
    let mut store = Store::open(&dir).unwrap();
    store.put_bytes(b"x").unwrap();
    let other = Store::open(&dir).unwrap();
    let before = store.disk_use().unwrap().packs;
    let error = store.gc(&GcRoots::default()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }) && error.hint().is_some(), "{error}");
    assert_eq!((store.len(), store.disk_use().unwrap().packs), (1, before));
    let third = Store::open(&dir).unwrap();
    drop((other, third));
    store.gc(&GcRoots::default()).unwrap();
    // The lock is shared again afterwards.
    drop(Store::open(&dir).unwrap());
}

#[test]
fn an_incomplete_root_stops_a_collection() {
    let (_scratch, dir) = scratch();
    let mut store = Store::open(&dir).unwrap();
    let blob = store.put_bytes(b"x").unwrap().blob();
    let missing = TreeHash::from_bytes([1; 32]);
    let error = store.gc(&GcRoots { trees: BTreeSet::from([missing]), ..GcRoots::default() }).unwrap_err();
    assert!(matches!(error, StoreError::Root { .. }), "{error}");
    let error = store.gc(&GcRoots { blobs: BTreeSet::from([missing.blob()]), ..GcRoots::default() }).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    assert!(store.contains(blob));
}

/// Two processes may have stored the same content; one copy goes.
#[test]
fn collection_removes_duplicates() {
    let (_scratch, dir) = scratch();
    let (one, other) = (Store::open(&dir).unwrap(), Store::open(&dir).unwrap());
    let blob = one.put_bytes(&bytes(1, 10_000)).unwrap().blob();
    other.put_bytes(&bytes(1, 10_000)).unwrap();
    drop((one, other));
    let mut store = Store::open(&dir).unwrap();
    let report = store.gc(&GcRoots { blobs: BTreeSet::from([blob]), ..GcRoots::default() }).unwrap();
    assert_eq!((report.kept_blobs, report.removed_blobs), (1, 0));
    assert!(report.freed_bytes > 10_000);
    store.verify(blob).unwrap();
}

/// A store of so many small blobs in one pack; answers one of them.
fn large_store(dir: &Path, blobs: u32) -> BlobHash {
    let store = Store::open_with(dir, NO_SYNC).unwrap();
    let content = (0..blobs).map(|number| store.put_bytes(&number.to_le_bytes()).unwrap()).last().unwrap();
    store.close().unwrap();
    content.blob()
}

/// The time to open is what an incremental build pays first of all, and contents may be many gigabytes.
#[test]
fn opening_reads_indexes_and_no_contents() {
    let (_scratch, dir) = scratch();
    let blob = large_store(&dir, 1000);
    for pack in packs(&dir).into_iter().filter(|path| path.extension().is_some_and(|end| end == "pack")) {
        let length = fs::metadata(&pack).unwrap().len();
        fs::File::create(&pack).unwrap().set_len(length).unwrap();
    }
    let store = Store::open(&dir).unwrap();
    assert_eq!((store.len(), store.recovered()), (1000, [].as_slice()));
    assert_eq!(store.blob_len(blob), Some(4));
    assert!(matches!(store.verify(blob), Err(StoreError::Damaged { hash }) if hash == blob), "its content is gone");
}

/// A store that looks at each blob with all others takes 1600 times as long for forty times as many.
#[test]
fn opening_a_store_takes_time_by_what_is_in_it() {
    let quickest = |blobs: u32| {
        let (_scratch, dir) = scratch();
        large_store(&dir, blobs);
        let open = |_| {
            let start = test_judge::processor_time()?;
            assert_eq!(Store::open(&dir).unwrap().len(), blobs as usize);
            Some(test_judge::processor_time()? - start)
        };
        (0..5).map(open).min().flatten()
    };
    let (Some(few), Some(many)) = (quickest(5_000), quickest(200_000)) else { return };
    assert!(many < few * 300, "{many:?} for forty times as many as in {few:?}");
}
