//! From the pointers of an object's blocks to its indirect blocks.

use zfs_format::block::{BLOCK_POINTER_BYTES, BlockPointer};
use zfs_format::object::ObjectType;

use super::pipeline::{Block, Policy, Source};

/// Space as datasets account for it, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// On the device, all copies.
    pub(super) used: u64,
    /// After compression, one copy.
    pub(super) compressed: u64,
    /// Before compression, one copy; metadata counts as it is stored.
    pub(super) uncompressed: u64,
}

impl Usage {
    /// What `dsl_dataset_block_born` adds for a block.
    pub(super) fn of(pointer: &BlockPointer) -> Self {
        match pointer {
            BlockPointer::Hole(_) => Self::default(),
            // `BP_GET_PSIZE` of embedded data is 0.
            BlockPointer::Embedded(embedded) => {
                let metadata = embedded.level > 0 || embedded.kind.is_metadata();
                let uncompressed = if metadata { 0 } else { u64::from(embedded.logical_bytes) };
                Self { used: 0, compressed: 0, uncompressed }
            }
            BlockPointer::Data(block) => {
                let metadata = block.level > 0 || block.kind.is_metadata();
                let bytes = if metadata { block.physical_bytes } else { block.logical_bytes };
                Self {
                    used: block.dvas.iter().map(|dva| u64::from(dva.asize)).sum(),
                    compressed: u64::from(block.physical_bytes),
                    uncompressed: u64::from(bytes),
                }
            }
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.used += other.used;
        self.compressed += other.compressed;
        self.uncompressed += other.uncompressed;
    }
}

/// Pointers of one level that are in no indirect block yet.
#[derive(Debug, Clone)]
enum Item {
    Pointer(BlockPointer),
    /// That many holes.
    Holes(u64),
}

/// What a level hands up: blocks, and holes that stand for blocks with nothing in them.
pub(super) enum Upper {
    Block(Vec<u8>, u64),
    Holes(u64),
}

/// Collects the pointers of one object, in order, and makes the indirect blocks as soon as they are full.
#[derive(Debug)]
pub(super) struct Assembler {
    kind: ObjectType,
    indirect_shift: u8,
    /// The object's levels, 1 when the dnode points at the data.
    height: u8,
    levels: Vec<Vec<Item>>,
    usage: Usage,
}

/// The levels that an object of so many blocks needs, when its dnode has `pointers` pointers.
pub(super) fn height(blocks: u64, pointers: u64, indirect_shift: u8) -> u8 {
    let entries_shift = u32::from(indirect_shift) - BLOCK_POINTER_BYTES.ilog2();
    let mut height = 1;
    let mut reach = u128::from(pointers);
    while reach < u128::from(blocks) {
        reach <<= entries_shift;
        height += 1;
    }
    height
}

/// The most that an indirect block of `logical` bytes takes, of which the first `used` hold pointers.
///
/// Pointers need not compress: LZJB, which is the worse of the two compressions of metadata, then makes nine bytes of
/// eight. Zeros always do, in LZJB 66 of them to 17 bits, which is less than a 30th. A block that does not shrink by
/// an eighth is stored as it is.
pub(super) fn indirect_bytes_max(used: u64, logical: u32, ashift: u8) -> u32 {
    let full = u64::from(logical);
    let bound = used + used.div_ceil(8) + full.div_ceil(30);
    let stored = bound.next_multiple_of(1 << ashift);
    if bound > full - full / 8 || stored > full { logical } else { stored as u32 }
}

impl Assembler {
    pub(super) fn new(kind: ObjectType, indirect_shift: u8, height: u8) -> Self {
        Self { kind, indirect_shift, height, levels: vec![Vec::new(); usize::from(height)], usage: Usage::default() }
    }

    pub(super) fn height(&self) -> u8 {
        self.height
    }

    /// Adds the next pointer of a level.
    pub(super) fn push(&mut self, level: u8, pointer: BlockPointer) {
        self.usage.add(Usage::of(&pointer));
        self.levels[usize::from(level)].push(Item::Pointer(pointer));
    }

    /// Adds holes to a level.
    pub(super) fn push_holes(&mut self, level: u8, count: u64) {
        if count > 0 {
            self.levels[usize::from(level)].push(Item::Holes(count));
        }
    }

    /// Takes the pointers of a level that fill whole indirect blocks, and at the `end` those that are left.
    pub(super) fn cut(&mut self, level: u8, end: bool) -> Vec<Upper> {
        let entries = 1_u64 << (u32::from(self.indirect_shift) - BLOCK_POINTER_BYTES.ilog2());
        let items = std::mem::take(&mut self.levels[usize::from(level)]);
        let mut upper = Vec::new();
        let mut open = Open::default();
        for item in items {
            match item {
                Item::Pointer(pointer) => open.add(Item::Pointer(pointer), 1),
                Item::Holes(mut count) => {
                    let first = count.min(entries - open.entries);
                    if open.entries > 0 {
                        open.add(Item::Holes(first), first);
                        open.close_if(entries, &mut upper);
                        count -= first;
                    }
                    if count >= entries {
                        upper.push(Upper::Holes(count / entries));
                        count %= entries;
                    }
                    if count > 0 {
                        open.add(Item::Holes(count), count);
                    }
                }
            }
            open.close_if(entries, &mut upper);
        }
        if end && open.entries > 0 {
            open.close(&mut upper);
        }
        self.levels[usize::from(level)] = open.items;
        upper
    }

    /// The indirect block of `level` with that content.
    pub(super) fn block(&self, level: u8, bytes: Vec<u8>, fill: u64, policy: Policy) -> Block<'static> {
        let logical_bytes = 1 << self.indirect_shift;
        Block { source: Source::Bytes(bytes), logical_bytes, kind: self.kind, level, fill, policy }
    }

    /// The pointers for the dnode, `count` of them, when all is assembled.
    pub(super) fn finish(self, count: usize) -> (Vec<BlockPointer>, Usage) {
        let mut pointers = Vec::with_capacity(count);
        for item in self.levels.into_iter().next_back().unwrap_or_default() {
            match item {
                Item::Pointer(pointer) => pointers.push(pointer),
                Item::Holes(holes) => {
                    let room = (count - pointers.len()) as u64;
                    pointers.extend((0..holes.min(room)).map(|_| BlockPointer::ABSENT));
                }
            }
        }
        pointers.resize(count, BlockPointer::ABSENT);
        (pointers, self.usage)
    }
}

/// The indirect block that is being filled.
#[derive(Default)]
struct Open {
    items: Vec<Item>,
    entries: u64,
}

impl Open {
    fn add(&mut self, item: Item, entries: u64) {
        self.items.push(item);
        self.entries += entries;
    }

    fn close_if(&mut self, entries: u64, upper: &mut Vec<Upper>) {
        if self.entries == entries {
            self.close(upper);
        }
    }

    fn close(&mut self, upper: &mut Vec<Upper>) {
        let mut bytes = Vec::with_capacity(self.entries as usize * BLOCK_POINTER_BYTES);
        let (mut fill, mut is_hole) = (0, true);
        for item in self.items.drain(..) {
            match item {
                Item::Pointer(pointer) => {
                    bytes.extend_from_slice(&pointer.encode());
                    fill += pointer.fill();
                    is_hole &= pointer.is_hole();
                }
                Item::Holes(count) => bytes.resize(bytes.len() + count as usize * BLOCK_POINTER_BYTES, 0),
            }
        }
        self.entries = 0;
        upper.push(if is_hole { Upper::Holes(1) } else { Upper::Block(bytes, fill) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zfs_format::block::Embedded;
    use zfs_format::compress::Compression;

    fn pointer() -> BlockPointer {
        let embedded = Embedded::new(ObjectType::PLAIN_FILE_CONTENTS, 0, Compression::Lz4, 512, b"data", 4);
        BlockPointer::Embedded(embedded.expect("short"))
    }

    /// Indirect blocks of 8 pointers: what goes in, in runs of pointers and holes, and what comes up a level.
    #[test]
    fn full_blocks_go_up_and_empty_ones_become_holes() {
        let mut assembler = Assembler::new(ObjectType::PLAIN_FILE_CONTENTS, 10, 3);
        let mut seen = String::new();
        for (pointers, holes, end) in [(3, 0, false), (5, 20, false), (1, 2, false), (0, 64, false), (1, 0, true)] {
            (0..pointers).for_each(|_| assembler.push(0, pointer()));
            assembler.push_holes(0, holes);
            for upper in assembler.cut(0, end) {
                match upper {
                    Upper::Block(bytes, fill) => seen.push_str(&format!("{}:{fill} ", bytes.len() / 128)),
                    Upper::Holes(count) => seen.push_str(&format!("-{count} ")),
                }
            }
            seen.push('|');
        }
        // Of the 20 holes, two blocks of 8 go up; the four that are left, a pointer and two more want one of the 64.
        assert_eq!(seen, "|8:8 -2 ||8:1 -7 |8:1 |");
    }

    /// Pointers of noise, which no real ones are as bad as, and the zeros behind them.
    #[test]
    fn no_indirect_block_takes_more_than_the_most() {
        let logical = 128_usize << 10;
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(logical)
        .collect();
        let mut scratch = zfs_format::compress::Scratch::default();
        for pointers in [0, 1, 2, 3, 7, 64, 100, 500, 700, 727, 728, 760, 770, 800, 1000, 1023, 1024] {
            let mut block = noise[..pointers * BLOCK_POINTER_BYTES].to_vec();
            block.resize(logical, 0);
            for compression in [Compression::Lzjb, Compression::Lz4] {
                let stored = zfs_format::compress::compress(compression, &block, &mut scratch);
                let bytes = stored.map_or(logical, <[u8]>::len).next_multiple_of(512).min(logical);
                let most = indirect_bytes_max((pointers * BLOCK_POINTER_BYTES) as u64, logical as u32, 9);
                assert!(bytes <= most as usize, "{pointers} pointers in {compression:?}: {bytes} of {most}");
            }
        }
    }

    #[test]
    fn levels_grow_with_the_blocks() {
        for (blocks, pointers, shift, levels) in
            [(0, 1, 17, 1), (1, 1, 17, 1), (2, 1, 17, 2), (3, 3, 17, 1), (1024, 1, 17, 2), (1025, 1, 17, 3)]
        {
            assert_eq!(height(blocks, pointers, shift), levels, "{blocks} blocks");
        }
        assert_eq!(height(u64::MAX, 1, 17), 8);
    }
}
