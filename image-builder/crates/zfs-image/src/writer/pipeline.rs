//! From blocks to block pointers: reading, compressing, checksumming and writing on several threads.
//!
//! Blocks are cut into batches. Each thread takes the next batch and does the work; the places on the device
//! are then given out in the order of the batches, so that the same blocks get the same places whatever the number
//! of threads. What is in memory are the batches that are being worked on, one for each thread.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use image_tree::{Content, Store, StoreError};
use zfs_format::block::BlockPointer;
use zfs_format::checksum::ChecksumKind;
use zfs_format::compress::Compression;
use zfs_format::object::ObjectType;

use super::allocate::Allocator;
use super::error::WriteError;
use super::output::Output;
use super::worker::Worker;

/// A batch ends with the block that makes it at least this long, in bytes before compression.
pub(super) const BATCH_BYTES: usize = 1 << 20;
/// A batch has at most this many blocks, so that small files are spread over the threads.
const BATCH_BLOCKS: usize = 256;
/// Where the first block of the device is, behind labels and boot area.
const DEVICE_START: u64 = zfs_format::label::START_BYTES;

/// How a block is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Policy {
    /// A compression that can be executed: neither `on` nor inherited.
    pub(super) compression: Compression,
    pub(super) checksum: ChecksumKind,
    /// 1 to 3.
    pub(super) copies: u8,
    /// Whether what compresses to 112 bytes goes into the pointer: feature `embedded_data`.
    pub(super) embed: bool,
    /// The transaction group.
    pub(super) birth: u64,
}

/// Where the bytes of a block come from. Those after the end are zeros.
#[derive(Debug, Clone)]
pub(super) enum Source<'a> {
    /// From memory.
    Bytes(Vec<u8>),
    /// From memory that others own.
    Slice(&'a [u8]),
    /// From the store: `len` bytes at `offset` of a file's content.
    File { content: &'a Content, offset: u64, len: usize, object: u64 },
}

impl Source<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Slice(bytes) => bytes.len(),
            Self::File { len, .. } => *len,
        }
    }
}

/// A block that is to be written.
#[derive(Debug, Clone)]
pub(super) struct Block<'a> {
    pub(super) source: Source<'a>,
    /// Bytes of the block, at least those of the source.
    pub(super) logical_bytes: u32,
    pub(super) kind: ObjectType,
    pub(super) level: u8,
    /// The fill count of its pointer.
    pub(super) fill: u64,
    pub(super) policy: Policy,
}

/// Why blocks could not be written.
#[derive(Debug)]
pub(super) enum Fault {
    /// The content of a file is not in the store.
    Content { object: u64, source: StoreError },
    /// The content of a file cannot be read.
    Read { object: u64, source: io::Error },
    /// The output cannot be written.
    Output { position: u64, bytes: usize, source: io::Error },
    /// The device is full.
    Full,
    /// A structure that the format does not allow.
    Format(String),
    /// Something with its own message.
    Refused(Box<WriteError>),
}

/// Writes blocks, or only finds out how much room they take.
pub(super) struct Pipeline<'a> {
    store: &'a Store,
    /// None when it measures.
    output: Option<&'a dyn Output>,
    threads: usize,
    allocator: Mutex<Allocator>,
    progress: &'a (dyn Fn(u64) + Sync),
}

/// Whose turn it is to get places on the device.
struct Turn {
    next: usize,
    failed: bool,
}

impl<'a> Pipeline<'a> {
    /// `progress` is told how many bytes before compression have been written since it was last called.
    pub(super) fn new(
        store: &'a Store,
        output: &'a dyn Output,
        threads: usize,
        allocator: Allocator,
        progress: &'a (dyn Fn(u64) + Sync),
    ) -> Self {
        Self { store, output: Some(output), threads: threads.max(1), allocator: Mutex::new(allocator), progress }
    }

    /// One that writes nothing. What a block takes does then not depend on where other blocks are: content and names
    /// are compressed to see what they take, what holds pointers counts with the most that it can.
    pub(super) fn measuring(store: &'a Store, threads: usize, ashift: u8) -> Self {
        let allocator = Mutex::new(Allocator::unlimited(ashift));
        Self { store, output: None, threads: threads.max(1), allocator, progress: &|_| {} }
    }

    /// Whether nothing is written.
    pub(super) fn is_measuring(&self) -> bool {
        self.output.is_none()
    }

    /// Where the content of files is.
    pub(super) fn store(&self) -> &'a Store {
        self.store
    }

    /// The space that has been given out so far.
    pub(super) fn allocator(&self) -> MutexGuard<'_, Allocator> {
        locked(&self.allocator)
    }

    /// Writes the blocks, and answers their pointers in the same order.
    pub(super) fn write(&self, blocks: &[Block<'_>]) -> Result<Vec<BlockPointer>, Fault> {
        let batches = batches(blocks);
        let shared = Shared {
            pipeline: self,
            batches: &batches,
            taken: AtomicUsize::new(0),
            turn: Mutex::new(Turn { next: 0, failed: false }),
            turned: Condvar::new(),
        };
        let helpers = self.threads.min(batches.len()).saturating_sub(1);
        let mut done = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..helpers).map(|_| scope.spawn(|| shared.work())).collect();
            let mut done = shared.work();
            for thread in threads {
                done.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            done
        });
        done.sort_unstable_by_key(|(index, _)| *index);
        let mut pointers = Vec::with_capacity(blocks.len());
        for (_, batch) in done {
            pointers.extend(batch?);
        }
        Ok(pointers)
    }

    /// Writes bytes at a place that was given out before.
    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Fault> {
        self.write_device(bytes, DEVICE_START + offset)
    }

    /// Writes bytes at a position of the device.
    pub(super) fn write_device(&self, bytes: &[u8], position: u64) -> Result<(), Fault> {
        let fault = |source| Fault::Output { position, bytes: bytes.len(), source };
        self.output.map_or(Ok(()), |output| output.write_all_at(bytes, position).map_err(fault))
    }
}

/// Cuts the blocks into what a thread does at a time.
fn batches<'b, 'a>(blocks: &'b [Block<'a>]) -> Vec<&'b [Block<'a>]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, block) in blocks.iter().enumerate() {
        bytes += block.source.len();
        if bytes >= BATCH_BYTES || index + 1 - start >= BATCH_BLOCKS || index + 1 == blocks.len() {
            batches.push(&blocks[start..=index]);
            (start, bytes) = (index + 1, 0);
        }
    }
    batches
}

/// What the threads of one call share.
struct Shared<'s, 'a> {
    pipeline: &'s Pipeline<'a>,
    batches: &'s [&'s [Block<'s>]],
    taken: AtomicUsize,
    turn: Mutex<Turn>,
    turned: Condvar,
}

type Done = (usize, Result<Vec<BlockPointer>, Fault>);

impl Shared<'_, '_> {
    /// Takes batches until there are none, or until one has failed.
    fn work(&self) -> Vec<Done> {
        let mut worker = Worker::new(self.pipeline);
        let mut done = Vec::new();
        loop {
            let index = self.taken.fetch_add(1, Ordering::Relaxed);
            let Some(batch) = self.batches.get(index) else { return done };
            let encoded = worker.encode(batch);
            let Some(placed) = self.in_turn(index, || encoded.and_then(|()| worker.place())) else { return done };
            let written = placed.and_then(|pointers| worker.write().map(|()| pointers));
            (self.pipeline.progress)(batch.iter().map(|block| block.source.len() as u64).sum());
            let failed = written.is_err();
            done.push((index, written));
            if failed {
                locked(&self.turn).failed = true;
                return done;
            }
        }
    }

    /// Waits until all batches before have their places, and then gets those of this one. None if an
    /// earlier batch has failed: the first fault in order is the one that is reported.
    fn in_turn<T>(&self, index: usize, place: impl FnOnce() -> Result<T, Fault>) -> Option<Result<T, Fault>> {
        let mut turn = locked(&self.turn);
        while turn.next != index && !turn.failed {
            turn = self.turned.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        if turn.next != index {
            return None;
        }
        let placed = place();
        turn.next += 1;
        turn.failed |= placed.is_err();
        drop(turn);
        self.turned.notify_all();
        Some(placed)
    }
}

/// A lock that does not care for a thread that died: that one's panic goes on where it is joined.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
