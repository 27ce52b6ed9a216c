//! From blocks to block pointers: reading, compressing, checksumming and writing on several threads.
//!
//! Blocks are cut into batches. Each thread takes the next batch and does the work; the places on the device
//! are then given out in the order of the batches, so that the same blocks get the same places whatever the number
//! of threads. What is in memory are the batches that are being worked on, one for each thread.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use image_tree::{Content, ContentReader, Store, StoreError};
use zfs_format::block::{BlockPointer, ByteOrder, DataBlock, Dva, EMBEDDED_BYTES_MAX, Embedded, Hole};
use zfs_format::checksum::{ChecksumKind, digest};
use zfs_format::compress::{Compression, Scratch, compress};
use zfs_format::object::ObjectType;

use super::allocate::Allocator;
use super::error::WriteError;
use super::output::Output;

/// A batch ends with the block that makes it at least this long, in bytes before compression.
const BATCH_BYTES: usize = 1 << 20;
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
    fn len(&self) -> usize {
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

/// Writes blocks.
pub(super) struct Pipeline<'a> {
    store: &'a Store,
    output: &'a dyn Output,
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
        Self { store, output, threads: threads.max(1), allocator: Mutex::new(allocator), progress }
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
        self.output.write_all_at(bytes, position).map_err(fault)
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

/// A block that is ready for its place.
enum Encoded {
    Done(BlockPointer),
    /// The block without its addresses, and where its bytes are in the buffer.
    Stored {
        block: DataBlock,
        at: usize,
        copies: usize,
    },
}

/// What one thread works with.
struct Worker<'w, 'a> {
    pipeline: &'w Pipeline<'a>,
    ashift: u8,
    /// The stored blocks of a batch, one after the other, each as long as it is on the device.
    buffer: Vec<u8>,
    encoded: Vec<Encoded>,
    /// Where the buffer goes: start and length in the buffer, position on the device.
    runs: Vec<(usize, usize, u64)>,
    scratch: Scratch,
    /// The file that was read last; large ones are read in many blocks.
    reader: Option<(*const Content, ContentReader)>,
}

impl<'w, 'a> Worker<'w, 'a> {
    fn new(pipeline: &'w Pipeline<'a>) -> Self {
        Self {
            pipeline,
            ashift: pipeline.allocator().geometry().ashift,
            buffer: Vec::new(),
            encoded: Vec::new(),
            runs: Vec::new(),
            scratch: Scratch::default(),
            reader: None,
        }
    }

    fn encode(&mut self, batch: &[Block<'_>]) -> Result<(), Fault> {
        self.encoded.clear();
        let mut at = 0;
        for block in batch {
            let (encoded, stored_bytes) = self.encode_block(block, at)?;
            self.encoded.push(encoded);
            at += stored_bytes;
        }
        Ok(())
    }

    /// Reads a block into the buffer at `at`, and answers what its pointer will be and how much room it takes there.
    fn encode_block(&mut self, block: &Block<'_>, at: usize) -> Result<(Encoded, usize), Fault> {
        let logical = block.logical_bytes as usize;
        self.fill(block, at)?;
        let policy = block.policy;
        let compresses = policy.compression != Compression::Off;
        if compresses && is_zero(&self.buffer[at..at + logical]) {
            return Ok((Encoded::Done(BlockPointer::Hole(Hole::ABSENT)), 0));
        }
        let mut physical = logical;
        let mut compression = Compression::Off;
        if let Some(stored) = compress(policy.compression, &self.buffer[at..at + logical], &mut self.scratch) {
            if policy.embed && block.level == 0 && can_embed(block.kind) && stored.len() <= EMBEDDED_BYTES_MAX {
                let Block { kind, level, logical_bytes, .. } = *block;
                let embedded = Embedded::new(kind, level, policy.compression, logical_bytes, stored, policy.birth);
                if let Some(embedded) = embedded {
                    return Ok((Encoded::Done(BlockPointer::Embedded(embedded)), 0));
                }
            }
            let rounded = stored.len().next_multiple_of(1 << self.ashift);
            if rounded < logical {
                let len = stored.len();
                self.buffer[at..at + len].copy_from_slice(stored);
                self.buffer[at + len..at + rounded].fill(0);
                (physical, compression) = (rounded, policy.compression);
            }
        }
        let asize = physical.next_multiple_of(1 << self.ashift);
        self.reserve(at + asize);
        self.buffer[at + physical..at + asize].fill(0);
        let stored = self.pointer(block, compression, at, physical)?;
        Ok((Encoded::Stored { block: stored, at, copies: usize::from(policy.copies) }, asize))
    }

    fn pointer(
        &self,
        block: &Block<'_>,
        compression: Compression,
        at: usize,
        physical: usize,
    ) -> Result<DataBlock, Fault> {
        let checksum = block.policy.checksum;
        let digest = digest(checksum, &self.buffer[at..at + physical])
            .ok_or_else(|| Fault::Format(format!("blocks with the checksum {} cannot be written", checksum.name())))?;
        Ok(DataBlock {
            dvas: [Dva::default(); 3],
            kind: block.kind,
            level: block.level,
            compression,
            checksum,
            logical_bytes: block.logical_bytes,
            physical_bytes: physical as u32,
            dedup: false,
            encrypted: false,
            birth: block.policy.birth,
            physical_birth: 0,
            fill: block.fill,
            digest,
            byte_order: ByteOrder::Little,
        })
    }

    fn reserve(&mut self, len: usize) {
        if self.buffer.len() < len {
            self.buffer.resize(len.next_multiple_of(BATCH_BYTES), 0);
        }
    }

    /// Puts the block's bytes, and zeros after them, into the buffer.
    fn fill(&mut self, block: &Block<'_>, at: usize) -> Result<(), Fault> {
        let end = at + block.logical_bytes as usize;
        self.reserve(end);
        let len = block.source.len();
        match &block.source {
            Source::Bytes(bytes) => self.buffer[at..at + len].copy_from_slice(bytes),
            Source::Slice(bytes) => self.buffer[at..at + len].copy_from_slice(bytes),
            Source::File { content, offset, object, .. } => {
                let known = self.reader.take().filter(|(last, _)| std::ptr::eq(*last, *content));
                let reader = match known {
                    Some((_, reader)) => reader,
                    None => self
                        .pipeline
                        .store
                        .open_content(content)
                        .map_err(|source| Fault::Content { object: *object, source })?,
                };
                read_exact(&reader, &mut self.buffer[at..at + len], *offset)
                    .map_err(|source| Fault::Read { object: *object, source })?;
                self.reader = Some((std::ptr::from_ref(*content), reader));
            }
        }
        self.buffer[at + len..end].fill(0);
        Ok(())
    }

    /// Gets the places of the batch.
    fn place(&mut self) -> Result<Vec<BlockPointer>, Fault> {
        let mut allocator = self.pipeline.allocator();
        self.runs.clear();
        let mut last_runs = [usize::MAX; 3];
        let mut pointers = Vec::with_capacity(self.encoded.len());
        for encoded in self.encoded.drain(..) {
            let (mut block, at, copies) = match encoded {
                Encoded::Done(pointer) => {
                    pointers.push(pointer);
                    continue;
                }
                Encoded::Stored { block, at, copies } => (block, at, copies),
            };
            let asize = allocator.geometry().asize(block.physical_bytes);
            block.dvas = allocator.allocate(asize, copies).ok_or(Fault::Full)?;
            for (dva, last_run) in block.dvas.iter().zip(&mut last_runs).take(copies) {
                *last_run = add_run(&mut self.runs, *last_run, (at, asize as usize, dva.offset));
            }
            pointers.push(BlockPointer::Data(block));
        }
        Ok(pointers)
    }

    fn write(&self) -> Result<(), Fault> {
        self.runs.iter().try_for_each(|(at, len, offset)| self.pipeline.write_at(&self.buffer[*at..at + len], *offset))
    }
}

/// Makes the last run of that copy longer if the new one follows it, in the buffer and on the device; answers
/// which run is now the last.
fn add_run(runs: &mut Vec<(usize, usize, u64)>, last: usize, (at, len, offset): (usize, usize, u64)) -> usize {
    if let Some((start, bytes, position)) = runs.get_mut(last) {
        if *start + *bytes == at && *position + *bytes as u64 == offset {
            *bytes += len;
            return last;
        }
    }
    runs.push((at, len, offset));
    runs.len() - 1
}

/// `DMU_OT_HAS_FILL`: the pointers of these count what is in them and cannot hold it.
fn can_embed(kind: ObjectType) -> bool {
    kind != ObjectType::DNODE && kind != ObjectType::OBJSET
}

static ZEROS: [u8; 512] = [0; 512];

fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|chunk| *chunk == ZEROS[..chunk.len()])
}

fn read_exact(reader: &ContentReader, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match reader.read_at(&mut buffer[done..], offset + done as u64)? {
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the content ends early")),
            count => done += count,
        }
    }
    Ok(())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
