//! Putting many blobs, a megabyte of them with one call.
//!
//! Who has the blobs in memory, and their hashes, [gathers](Gathering) them. For archives there is an [`Appender`], which
//! has the writing done by a thread of its own: whoever reads an archive hashes what it read; meanwhile the thread writes what was hashed before, many
//! blobs with one call, and the system is asked to bring that to the disk.

use std::collections::HashSet;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{Scope, ScopedJoinHandle};

use write_behind::WriteBehind;

use super::pack::{RECORD_HEADER_BYTES, record_header};
use super::{Store, StoreError};
use crate::hash::BlobHash;
use crate::node::Content;

/// How much is handed to the thread at once.
const BATCH_BYTES: usize = 1 << 20;
/// How much is with the thread, unless a single batch is more. With the batch that is filled, whose last blob may pass its
/// limit, this bounds the memory, however large the blobs are.
const UNDER_WAY_BYTES: usize = 6 << 20;

const HEADER: usize = RECORD_HEADER_BYTES as usize;

/// Blobs as the records of a pack, one after the other.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Longer than what is used of it, so that a buffer that serves again need not be cleared.
    bytes: Vec<u8>,
    used: usize,
    /// Hash, where the content begins in `bytes`, and its length.
    blobs: Vec<(BlobHash, usize, usize)>,
}

impl Batch {
    pub(super) fn records(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    pub(super) fn blobs(&self) -> &[(BlobHash, usize, usize)] {
        &self.blobs
    }

    /// Room for a blob behind the last one.
    fn room(&mut self, len: usize) -> &mut [u8] {
        let begin = self.used + HEADER;
        if self.bytes.len() < begin + len {
            self.bytes.resize(begin + len, 0);
        }
        &mut self.bytes[begin..begin + len]
    }

    /// Makes what is in the room a record.
    fn push(&mut self, hash: BlobHash, len: usize) {
        let begin = self.used + HEADER;
        self.bytes[self.used..begin].copy_from_slice(&record_header(hash, len as u64));
        self.blobs.push((hash, begin, len));
        self.used = begin + len;
    }

    fn clear(&mut self) {
        self.used = 0;
        self.blobs.clear();
    }
}

/// Puts blobs into a store; they are there once it is [finished](Self::finish).
#[derive(Debug)]
pub(crate) struct Appender<'scope, 'env> {
    store: &'env Store,
    scope: &'scope Scope<'scope, 'env>,
    filling: Batch,
    /// Batches that serve again, except for those that a large blob has made large.
    spare: Vec<Batch>,
    /// What is in a batch, this one or another.
    under_way: HashSet<BlobHash>,
    writer: Option<Writer<'scope>>,
}

#[derive(Debug)]
struct Writer<'scope> {
    batches: Sender<Batch>,
    done: Receiver<Batch>,
    /// Bytes of the batches that have gone there and are not back.
    under_way: usize,
    thread: ScopedJoinHandle<'scope, Result<(), StoreError>>,
}

impl<'scope, 'env> Appender<'scope, 'env> {
    /// Nothing is started before there is enough to write.
    pub(crate) fn new(store: &'env Store, scope: &'scope Scope<'scope, 'env>) -> Self {
        Self { store, scope, filling: Batch::default(), spare: Vec::new(), under_way: HashSet::new(), writer: None }
    }

    /// Puts the `len` bytes that `fill` writes, unless they are there already.
    pub(crate) fn put<E>(
        &mut self,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
        failed: impl FnOnce(StoreError) -> E,
    ) -> Result<Content, E> {
        let room = self.filling.room(len);
        fill(room)?;
        let hash = BlobHash::of(room);
        let is_known = self.store.is_dry || self.store.contains(hash) || !self.under_way.insert(hash);
        if !is_known {
            self.filling.push(hash, len);
            if self.filling.used >= BATCH_BYTES {
                self.hand_over().map_err(failed)?;
            }
        }
        Ok(Content::plain(hash, len as u64))
    }

    /// Waits until everything is written.
    pub(crate) fn finish(mut self) -> Result<(), StoreError> {
        if self.writer.is_none() {
            return self.store.put_batch(&self.filling);
        }
        if !self.filling.blobs.is_empty() {
            self.hand_over()?;
        }
        self.end()
    }

    /// Gives the thread what is there, and takes up what it is done with, for which it waits when it has much to do.
    fn hand_over(&mut self) -> Result<(), StoreError> {
        let (store, scope) = (self.store, self.scope);
        let writer = self.writer.get_or_insert_with(|| Writer::start(store, scope));
        while let Some(mut done) = writer.take_back(self.filling.used) {
            for (hash, ..) in &done.blobs {
                self.under_way.remove(hash);
            }
            if done.bytes.len() <= 2 * BATCH_BYTES {
                done.clear();
                self.spare.push(done);
            }
        }
        let full = std::mem::replace(&mut self.filling, self.spare.pop().unwrap_or_default());
        writer.under_way += full.used;
        if writer.batches.send(full).is_err() {
            return Err(self.end().expect_err("the thread ends early only with an error"));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), StoreError> {
        let Some(Writer { batches, thread, .. }) = self.writer.take() else {
            return Ok(());
        };
        drop(batches);
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl<'scope> Writer<'scope> {
    fn start<'env>(store: &'env Store, scope: &'scope Scope<'scope, 'env>) -> Self {
        let (batches, to_write) = mpsc::channel::<Batch>();
        let (written, done) = mpsc::channel();
        let thread = scope.spawn(move || {
            store.with_writer(|writer| {
                let behind = writer.bring_to_disk(store.options)?;
                for batch in to_write {
                    store.append_batch(writer, &batch)?;
                    // Nobody waits for it any more when the reading has failed.
                    let _ = written.send(batch);
                }
                behind.map_or(Ok(()), WriteBehind::finish).map_err(|source| writer.lost(source))
            })
        });
        Self { batches, done, under_way: 0, thread }
    }

    /// A batch that is written; one is waited for as long as `more` bytes do not fit beside those under way. None comes of a
    /// thread that has failed.
    fn take_back(&mut self, more: usize) -> Option<Batch> {
        let is_full = self.under_way > 0 && self.under_way + more > UNDER_WAY_BYTES;
        let done = if is_full { self.done.recv().ok() } else { self.done.try_recv().ok() };
        self.under_way -= done.as_ref().map_or(0, |done| done.used);
        done
    }
}

/// Blobs in memory whose hashes are known; they are in the store once it is [finished](Self::finish).
#[derive(Debug)]
pub(crate) struct Gathering<'s> {
    store: &'s Store,
    batch: Batch,
    /// What is in the batch.
    under_way: HashSet<BlobHash>,
}

impl<'s> Gathering<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store, batch: Batch::default(), under_way: HashSet::new() }
    }

    /// Whether the blob is in the store, or will be.
    pub(crate) fn contains(&self, hash: BlobHash) -> bool {
        self.under_way.contains(&hash) || self.store.contains(hash)
    }

    /// Puts `bytes`, whose hash is `hash`, unless they are there already. They come behind everything that was put before:
    /// a store of which the end is lost has no blob without those.
    pub(crate) fn put(&mut self, hash: BlobHash, bytes: &[u8]) -> Result<(), StoreError> {
        debug_assert_eq!(hash, BlobHash::of(bytes), "the hash is of something else");
        if self.store.is_dry || self.contains(hash) {
            return Ok(());
        }
        self.batch.room(bytes.len()).copy_from_slice(bytes);
        self.batch.push(hash, bytes.len());
        self.under_way.insert(hash);
        if self.batch.used < BATCH_BYTES {
            return Ok(());
        }
        self.store.put_batch(&self.batch)?;
        self.batch.clear();
        self.under_way.clear();
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<(), StoreError> {
        self.store.put_batch(&self.batch)
    }
}

impl Store {
    fn put_batch(&self, batch: &Batch) -> Result<(), StoreError> {
        if batch.blobs.is_empty() {
            return Ok(());
        }
        self.with_writer(|writer| self.append_batch(writer, batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(store: &Store, blobs: &[Vec<u8>]) -> Vec<Content> {
        std::thread::scope(|scope| {
            let mut appender = Appender::new(store, scope);
            let mut put = |blob: &Vec<u8>| {
                let fill = |room: &mut [u8]| {
                    room.copy_from_slice(blob);
                    Ok::<(), StoreError>(())
                };
                let content = appender.put(blob.len(), fill, |error| error).unwrap();
                let under_way = appender.writer.as_ref().map_or(0, |writer| writer.under_way);
                assert!(under_way <= UNDER_WAY_BYTES, "{under_way} bytes wait");
                content
            };
            let contents = blobs.iter().map(&mut put).collect();
            appender.finish().unwrap();
            contents
        })
    }

    /// Sizes around the limits, each blob twice, in batches that are handed over and in one that is not.
    #[test]
    fn what_was_put_is_there_once() {
        let sizes = [0, 1, 47, 4096, BATCH_BYTES - HEADER, BATCH_BYTES, 3 * BATCH_BYTES + 1];
        let blobs: Vec<Vec<u8>> =
            (0..60_u8).flat_map(|n| [vec![n; sizes[usize::from(n) % sizes.len()]], vec![n; usize::from(n)]]).collect();
        let twice: Vec<Vec<u8>> = blobs.iter().chain(&blobs).cloned().collect();
        for blobs in [twice, vec![b"one".to_vec(), b"one".to_vec(), Vec::new()]] {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path()).unwrap();
            let contents = put(&store, &blobs);
            let distinct: HashSet<&Vec<u8>> = blobs.iter().filter(|blob| !blob.is_empty()).collect();
            assert_eq!(store.len(), distinct.len());
            let bytes: usize = distinct.iter().map(|blob| blob.len() + HEADER).sum();
            assert_eq!(store.disk_use().unwrap().packs, bytes as u64 + 8, "nothing is written twice");
            store.close().unwrap();
            let store = Store::open(dir.path()).unwrap();
            assert_eq!(store.recovered(), []);
            for (content, blob) in contents.iter().zip(&blobs) {
                assert_eq!(content.len(), blob.len() as u64);
                assert!(store.read_blob(content.blob()).unwrap() == *blob);
            }
        }
    }

    #[test]
    fn a_reader_that_fails_leaves_a_store_that_works() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        std::thread::scope(|scope| {
            let mut appender = Appender::new(&store, scope);
            for n in 0..20_u8 {
                let fill = |room: &mut [u8]| {
                    room.fill(n);
                    if n == 19 { Err("no more") } else { Ok(()) }
                };
                let put = appender.put(BATCH_BYTES / 2, fill, |_| "store");
                assert_eq!(put.err(), (n == 19).then_some("no more"));
            }
        });
        store.put_bytes(b"afterwards").unwrap();
        store.close().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.recovered(), []);
        store.verify(BlobHash::of(&[0; BATCH_BYTES / 2])).unwrap();
        store.verify(BlobHash::of(b"afterwards")).unwrap();
    }
}
