//! Writing objects: their data, their indirect blocks, and what their dnodes then say.

use image_tree::Content;
use zfs_format::block::{BlockPointer, SECTOR_BYTES};
use zfs_format::dnode::{Dnode, flags};
use zfs_format::object::ObjectType;

use super::indirect::{Assembler, Upper, Usage, height};
use super::pipeline::{Block, Fault, Pipeline, Policy, Source};

/// `DN_MAX_INDBLKSHIFT`: indirect blocks have two to this bytes.
pub(super) const INDIRECT_SHIFT: u8 = 17;
/// Data that is handed to the threads at a time, in bytes. They wait for each other at its end.
const SLICE_BYTES: u64 = 64 << 20;
/// Objects that are in work at a time.
const SLICE_OBJECTS: usize = 4096;

/// How the blocks of an object set are stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policies {
    pub(super) data: Policy,
    pub(super) metadata: Policy,
}

impl Policies {
    fn of(&self, kind: ObjectType, level: u8) -> Policy {
        if level > 0 || kind.is_metadata() { self.metadata } else { self.data }
    }
}

/// What an object holds.
#[derive(Debug, Clone)]
pub(super) enum Data<'a> {
    /// Blocks from memory, each as long as all others or shorter.
    Blocks(Vec<Vec<u8>>),
    /// Some bytes, in blocks of the object's size.
    Slice(&'a [u8]),
    /// A file's content in the store.
    File(&'a Content),
}

/// An object that is to be written.
#[derive(Debug, Clone)]
pub(super) struct Object<'a> {
    pub(super) number: u64,
    pub(super) kind: ObjectType,
    pub(super) bonus_kind: ObjectType,
    pub(super) bonus: Vec<u8>,
    /// Bytes of a data block, whole sectors.
    pub(super) block_bytes: u32,
    pub(super) data: Data<'a>,
    /// The spill block: what the bonus has no room for.
    pub(super) spill: Option<Vec<u8>>,
    /// Flags of the dnode, without those of the spill block and of how the space is counted.
    pub(super) flags: u8,
}

impl<'a> Object<'a> {
    /// An object in memory without a bonus.
    pub(super) fn of_blocks(number: u64, kind: ObjectType, block_bytes: u32, blocks: Vec<Vec<u8>>) -> Self {
        Self {
            number,
            kind,
            bonus_kind: ObjectType::NONE,
            bonus: Vec::new(),
            block_bytes,
            data: Data::Blocks(blocks),
            spill: None,
            flags: 0,
        }
    }

    /// How many pointers its dnode has: `dnode_allocate` gives those with system attributes one, all others as many
    /// as the bonus leaves room for.
    pub(super) fn pointers(&self) -> usize {
        if self.bonus_kind == ObjectType::SA {
            return 1;
        }
        (1 + (320 - self.bonus.len().min(320)) / 128).min(3)
    }

    /// The runs of blocks with data, first and one after the last; everything else is holes.
    pub(super) fn data_runs(&self) -> Vec<(u64, u64)> {
        let block_bytes = u64::from(self.block_bytes);
        match &self.data {
            Data::Blocks(blocks) => vec![(0, blocks.len() as u64)],
            Data::Slice(bytes) => vec![(0, (bytes.len() as u64).div_ceil(block_bytes))],
            Data::File(content) => match content.extents() {
                None => vec![(0, content.len().div_ceil(block_bytes))],
                Some(extents) => {
                    let mut runs: Vec<(u64, u64)> = Vec::new();
                    for extent in extents {
                        let first = extent.offset / block_bytes;
                        let end = (extent.offset + extent.len).div_ceil(block_bytes);
                        match runs.last_mut() {
                            Some(last) if first <= last.1 => last.1 = end,
                            _ => runs.push((first, end)),
                        }
                    }
                    runs
                }
            },
        }
    }

    fn source(&mut self, block: u64) -> Source<'a> {
        let offset = block * u64::from(self.block_bytes);
        match &mut self.data {
            Data::Blocks(blocks) => Source::Bytes(std::mem::take(&mut blocks[block as usize])),
            Data::Slice(bytes) => {
                let end = (offset as usize + self.block_bytes as usize).min(bytes.len());
                Source::Slice(&bytes[offset as usize..end])
            }
            Data::File(content) => {
                let len = u64::from(self.block_bytes).min(content.len() - offset) as usize;
                Source::File { content, offset, len, object: self.number }
            }
        }
    }
}

/// An object of which a part is written.
struct Pending<'a> {
    object: Object<'a>,
    assembler: Assembler,
    runs: std::vec::IntoIter<(u64, u64)>,
    /// What is left of the run in work.
    run: (u64, u64),
    /// Blocks handed out so far, data and holes.
    position: u64,
    /// One after the last block with data.
    end: u64,
    spill: Option<BlockPointer>,
}

impl<'a> Pending<'a> {
    fn new(object: Object<'a>) -> Self {
        let mut runs = object.data_runs();
        runs.retain(|(first, end)| first < end);
        let end = runs.last().map_or(0, |(_, end)| *end);
        let height = height(end, object.pointers() as u64, INDIRECT_SHIFT);
        let assembler = Assembler::new(object.kind, INDIRECT_SHIFT, height);
        Self { object, assembler, runs: runs.into_iter(), run: (0, 0), position: 0, end, spill: None }
    }

    /// The next block with data, and how many holes are before it.
    fn next_block(&mut self, policies: &Policies) -> Option<(u64, Block<'a>)> {
        while self.run.0 >= self.run.1 {
            self.run = self.runs.next()?;
        }
        let number = self.run.0;
        let holes = number - self.position;
        self.run.0 += 1;
        self.position = number + 1;
        let block = Block {
            source: self.object.source(number),
            logical_bytes: self.object.block_bytes,
            kind: self.object.kind,
            level: 0,
            fill: 1,
            policy: policies.of(self.object.kind, 0),
        };
        Some((holes, block))
    }

    fn is_handed_out(&self) -> bool {
        self.position >= self.end
    }

    fn spill_block(&mut self, policies: &Policies) -> Option<Block<'a>> {
        let bytes = self.object.spill.take()?;
        let logical_bytes = bytes.len().next_multiple_of(SECTOR_BYTES as usize) as u32;
        let (kind, policy) = (self.object.bonus_kind, policies.metadata);
        Some(Block { source: Source::Bytes(bytes), logical_bytes, kind, level: 0, fill: 1, policy })
    }

    fn finish(self) -> (u64, Dnode, Usage) {
        let mut usage = self.spill.as_ref().map(Usage::of).unwrap_or_default();
        let levels = self.assembler.height();
        let (pointers, blocks) = self.assembler.finish(self.object.pointers());
        usage.add(blocks);
        let dnode = Dnode {
            kind: self.object.kind,
            indirect_shift: INDIRECT_SHIFT,
            levels,
            bonus_kind: self.object.bonus_kind,
            flags: self.object.flags | flags::USED_BYTES,
            data_block_bytes: self.object.block_bytes,
            max_block: self.end.saturating_sub(1),
            used: usage.used,
            pointers,
            bonus: self.object.bonus,
            spill: self.spill,
            ..Dnode::default()
        };
        (self.object.number, dnode, usage)
    }
}

/// Writes objects, and tells for each, in order, what its dnode is and how much space it takes.
pub(super) fn write_objects<'a, E: From<Fault>>(
    pipeline: &Pipeline<'_>,
    policies: &Policies,
    objects: impl IntoIterator<Item = Result<Object<'a>, E>>,
    mut done: impl FnMut(u64, Dnode, Usage) -> Result<(), E>,
) -> Result<(), E> {
    let mut objects = objects.into_iter();
    let mut open: Option<Pending<'a>> = None;
    loop {
        let mut slice = Slice::default();
        if let Some(pending) = open.take() {
            slice.add(pending, policies);
        }
        while slice.has_room() {
            let Some(object) = objects.next() else { break };
            slice.add(Pending::new(object?), policies);
        }
        if slice.pending.is_empty() {
            return Ok(());
        }
        slice.write(pipeline, policies)?;
        for pending in slice.pending {
            if pending.is_handed_out() {
                let (number, dnode, usage) = pending.finish();
                done(number, dnode, usage)?;
            } else {
                open = Some(pending);
            }
        }
    }
}

/// What is written at a time: whole objects, but the last one may be cut.
#[derive(Default)]
struct Slice<'a> {
    pending: Vec<Pending<'a>>,
    blocks: Vec<Block<'a>>,
    /// For each block, whose it is.
    owners: Vec<Owner>,
    bytes: u64,
}

/// Where a block belongs.
struct Owner {
    /// Index among the objects of the slice.
    object: usize,
    place: Place,
}

enum Place {
    Spill,
    /// Among the object's data, with that many holes before it.
    After(u64),
}

impl<'a> Slice<'a> {
    fn has_room(&self) -> bool {
        self.bytes < SLICE_BYTES && self.pending.len() < SLICE_OBJECTS
    }

    fn add(&mut self, mut pending: Pending<'a>, policies: &Policies) {
        let object = self.pending.len();
        if let Some(block) = pending.spill_block(policies) {
            self.push(block, Owner { object, place: Place::Spill });
        }
        while self.bytes < SLICE_BYTES && !pending.is_handed_out() {
            let Some((holes, block)) = pending.next_block(policies) else { break };
            self.push(block, Owner { object, place: Place::After(holes) });
        }
        self.pending.push(pending);
    }

    fn push(&mut self, block: Block<'a>, owner: Owner) {
        self.bytes += u64::from(block.logical_bytes);
        self.blocks.push(block);
        self.owners.push(owner);
    }

    /// Writes the blocks, and the indirect blocks that are full with them.
    fn write(&mut self, pipeline: &Pipeline<'_>, policies: &Policies) -> Result<(), Fault> {
        let pointers = pipeline.write(&self.blocks)?;
        self.blocks.clear();
        for (owner, pointer) in self.owners.drain(..).zip(pointers) {
            let pending = &mut self.pending[owner.object];
            match owner.place {
                Place::Spill => pending.spill = Some(pointer),
                Place::After(holes) => {
                    pending.assembler.push_holes(0, holes);
                    pending.assembler.push(0, pointer);
                }
            }
        }
        let highest = self.pending.iter().map(|pending| pending.assembler.height()).max().unwrap_or(1);
        (1..highest).try_for_each(|level| {
            let parts = self.pending.iter_mut().filter(|pending| pending.assembler.height() > level);
            let parts = parts.map(|pending| (pending.is_handed_out(), &mut pending.assembler));
            write_level(pipeline, policies.metadata, level, parts)
        })
    }
}

/// Writes the indirect blocks of a level for all assemblers that have some; those that are at their end hand up all
/// that they have.
pub(super) fn write_level<'p>(
    pipeline: &Pipeline<'_>,
    policy: Policy,
    level: u8,
    assemblers: impl Iterator<Item = (bool, &'p mut Assembler)>,
) -> Result<(), Fault> {
    let (mut blocks, mut plan) = (Vec::new(), Vec::new());
    for (end, assembler) in assemblers {
        let mut parts = Vec::new();
        for upper in assembler.cut(level - 1, end) {
            parts.push(match upper {
                Upper::Holes(count) => Some(count),
                Upper::Block(bytes, fill) => {
                    blocks.push(assembler.block(level, bytes, fill, policy));
                    None
                }
            });
        }
        plan.push((assembler, parts));
    }
    let mut pointers = pipeline.write(&blocks)?.into_iter();
    for (assembler, parts) in plan {
        for part in parts {
            match part {
                Some(holes) => assembler.push_holes(level, holes),
                None => assembler.push(level, pointers.next().unwrap_or_default()),
            }
        }
    }
    Ok(())
}
