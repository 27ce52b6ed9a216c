//! What one thread does with a batch: read, compress, checksum, take places, write.

use std::io;

use image_tree::{Content, ContentReader};
use zfs_format::block::{BlockPointer, ByteOrder, DataBlock, Dva, EMBEDDED_BYTES_MAX, Embedded, Hole};
use zfs_format::checksum::{ChecksumKind, digest};
use zfs_format::compress::{Compression, Scratch, compress};
use zfs_format::object::ObjectType;

use super::indirect::indirect_bytes_max;
use super::pipeline::{BATCH_BYTES, Block, Fault, Pipeline, Source};

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
pub(super) struct Worker<'w, 'a> {
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
    pub(super) fn new(pipeline: &'w Pipeline<'a>) -> Self {
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

    /// Reads, compresses and checksums the blocks of a batch.
    pub(super) fn encode(&mut self, batch: &[Block<'_>]) -> Result<(), Fault> {
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
        if let Some(physical) = self.measured(block) {
            let stored = self.pointer(block, Compression::Off, physical, [0; 4]);
            return Ok((Encoded::Stored { block: stored, at, copies: usize::from(block.policy.copies) }, 0));
        }
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
        let digest = self.digest(block.policy.checksum, at, physical)?;
        let stored = self.pointer(block, compression, physical as u32, digest);
        Ok((Encoded::Stored { block: stored, at, copies: usize::from(policy.copies) }, asize))
    }

    /// What a block takes whose content need not be known for that, when nothing is to be written.
    fn measured(&self, block: &Block<'_>) -> Option<u32> {
        if !self.pipeline.is_measuring() {
            return None;
        }
        if block.level > 0 {
            return Some(indirect_bytes_max(block.source.len() as u64, block.logical_bytes, self.ashift));
        }
        (block.policy.compression == Compression::Off).then_some(block.logical_bytes)
    }

    fn digest(&self, checksum: ChecksumKind, at: usize, physical: usize) -> Result<[u64; 4], Fault> {
        if self.pipeline.is_measuring() {
            return Ok([0; 4]);
        }
        digest(checksum, &self.buffer[at..at + physical])
            .ok_or_else(|| Fault::Format(format!("blocks with the checksum {} cannot be written", checksum.name())))
    }

    fn pointer(&self, block: &Block<'_>, compression: Compression, physical: u32, digest: [u64; 4]) -> DataBlock {
        DataBlock {
            dvas: [Dva::default(); 3],
            kind: block.kind,
            level: block.level,
            compression,
            checksum: block.policy.checksum,
            logical_bytes: block.logical_bytes,
            physical_bytes: physical,
            dedup: false,
            encrypted: false,
            birth: block.policy.birth,
            physical_birth: 0,
            fill: block.fill,
            digest,
            byte_order: ByteOrder::Little,
        }
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
                        .store()
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
    pub(super) fn place(&mut self) -> Result<Vec<BlockPointer>, Fault> {
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

    /// Writes the batch to its places.
    pub(super) fn write(&self) -> Result<(), Fault> {
        if self.pipeline.is_measuring() {
            return Ok(());
        }
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
