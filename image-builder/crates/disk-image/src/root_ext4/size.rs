//! How large a file system must be for a tree.

use image_tree::{Node, NodeKind, Tree};

use super::archive::is_lost_and_found;

/// Bytes of a block.
pub(super) const BLOCK_BYTES: u64 = 4096;
/// Blocks of a group: as many as one block of bitmap has bits.
pub(super) const GROUP_BLOCKS: u64 = 8 * BLOCK_BYTES;
/// Inodes that exist in any file system: ten reserved ones, among them the root, and `lost+found`.
pub(super) const RESERVED_INODES: u64 = 11;

const INODE_BYTES: u64 = 256;
/// A guest gets an inode for every 16 KiB, as `mke2fs` would have it.
const BYTES_PER_INODE: u64 = 16 * 1024;
/// Fewer than one bitmap has bits; `mke2fs` rounds up.
const GROUP_INODES: u64 = 32_000;
/// The smallest file system made: room for a journal and then some.
const LEAST_BLOCKS: u64 = 16 * 1024 * 1024 / BLOCK_BYTES;
/// Blocks for data that a last group must have to be worth making.
const SHORTEST_GROUP_ROOM: u64 = 256;
/// Bytes of a symbolic link's target that fit into the inode.
const FAST_SYMLINK_BYTES: usize = 59;
const DIRECT_BLOCKS: u64 = 12;
const POINTERS_PER_BLOCK: u64 = BLOCK_BYTES / 4;

/// What a tree takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Demand {
    /// Inodes besides those that exist in any file system.
    pub(super) nodes: u64,
    /// Blocks of contents, directories and attributes.
    pub(super) data_blocks: u64,
    /// The newest modification time before 2038, which serves as the file system's own.
    pub(super) newest: i64,
}

/// A file system of a given size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// Inodes to ask for.
    pub(super) inodes: u64,
    /// Blocks of the journal.
    pub(super) journal_blocks: u64,
}

impl Demand {
    /// Measures a tree.
    pub(super) fn of(tree: &Tree) -> Self {
        let mut demand = Self::default();
        for entry in tree.walk() {
            // Fields of the superblock have 32 bits; a file from the future does not count.
            if i32::try_from(entry.node.metadata.mtime.secs).is_ok() {
                demand.newest = demand.newest.max(entry.node.metadata.mtime.secs);
            }
            let is_further_name = entry.links.is_some_and(|links| *links.first() != entry.path);
            if is_further_name {
                continue;
            }
            let exists_anyway = entry.path.is_root() || is_lost_and_found(&entry.path);
            demand.nodes += u64::from(!exists_anyway);
            demand.data_blocks += match &entry.node.kind {
                NodeKind::Directory => {
                    let names = tree.read_dir(&entry.path).into_iter().flatten();
                    directory_blocks(names.map(|(name, _)| name.len() as u64))
                }
                _ => leaf_blocks(entry.node),
            };
            demand.data_blocks += u64::from(!entry.node.metadata.xattrs.is_empty());
        }
        demand
    }

    /// Blocks of the smallest file system that holds the tree and has `free` blocks left.
    pub(super) fn blocks_with_free(&self, free: u64) -> u64 {
        // A group holds only so many inodes, so many files need many groups however small they are.
        let inode_groups = self.least_inodes().div_ceil(GROUP_INODES);
        let mut blocks = LEAST_BLOCKS.max((inode_groups - 1) * GROUP_BLOCKS + 1024);
        loop {
            let needed = self.data_blocks + free + self.overhead(blocks);
            if needed <= blocks {
                return blocks;
            }
            // The overhead is a small part of what is added, so this comes to an end.
            blocks = needed;
        }
    }

    /// A quarter more than there are, so that a guest without free space can still make small files.
    fn least_inodes(&self) -> u64 {
        RESERVED_INODES + self.nodes + self.nodes / 4
    }

    /// What a file system of this size is made with.
    pub(super) fn plan(&self, blocks: u64) -> Plan {
        let by_size = blocks * BLOCK_BYTES / BYTES_PER_INODE;
        let journal_mib = match (blocks * BLOCK_BYTES) >> 20 {
            0..128 => 4,
            128..1024 => 16,
            1024..2048 => 32,
            2048..16384 => 64,
            _ => 128,
        };
        Plan { inodes: by_size.max(self.least_inodes()), journal_blocks: (journal_mib << 20) / BLOCK_BYTES }
    }

    /// The blocks of a partition that the file system uses: a last group that is too short is left out.
    ///
    /// `mke2fs` does so too, but counts on the small inodes that it makes;
    /// `tune2fs` writes beyond the end when it enlarges those of such a group.
    pub(super) fn usable_blocks(&self, blocks: u64) -> u64 {
        let rest = blocks % GROUP_BLOCKS;
        let too_short = blocks > GROUP_BLOCKS && rest < self.group_overhead(blocks) + SHORTEST_GROUP_ROOM;
        if too_short { blocks - rest } else { blocks }
    }

    /// Blocks of a group that hold no data: superblock and all descriptors, two bitmaps, the inodes.
    fn group_overhead(&self, blocks: u64) -> u64 {
        let groups = blocks.div_ceil(GROUP_BLOCKS);
        let descriptors = (groups * 32).div_ceil(BLOCK_BYTES);
        let inodes = (self.plan(blocks).inodes.div_ceil(groups) * INODE_BYTES).div_ceil(BLOCK_BYTES);
        // mke2fs rounds the number of inodes up to whole blocks of small ones.
        3 + descriptors + inodes + 2
    }

    /// Blocks that are neither free nor the tree's.
    fn overhead(&self, blocks: u64) -> u64 {
        let lost_and_found = 4;
        // tune2fs wants twice the journal's size to be free when it adds one.
        let journal = 2 * self.plan(blocks).journal_blocks;
        let group = self.group_overhead(blocks);
        // Converting moves blocks about, and a last group may be left out.
        let slack = blocks / 100 + 1024 + group + SHORTEST_GROUP_ROOM;
        blocks.div_ceil(GROUP_BLOCKS) * group + journal + lost_and_found + slack
    }
}

/// Blocks of a directory, as `genext2fs` fills it first and as `e2fsck -D` spreads it later.
fn directory_blocks(name_lengths: impl Iterator<Item = u64>) -> u64 {
    let dots = 24;
    let bytes: u64 = dots + name_lengths.map(|length| (8 + length).next_multiple_of(4)).sum::<u64>();
    // No entry crosses a block, the longest has 264 bytes, and a checksum takes 12.
    match bytes.div_ceil(BLOCK_BYTES - 264 - 12) {
        1 => 1,
        // A fifth of every indexed block is left free, and there is the index itself.
        blocks => blocks + blocks / 2 + 2,
    }
}

/// Blocks of anything but a directory.
fn leaf_blocks(node: &Node) -> u64 {
    match &node.kind {
        NodeKind::Regular(content) => file_blocks(content.len()),
        NodeKind::Symlink(target) if target.len() > FAST_SYMLINK_BYTES => 1,
        _ => 0,
    }
}

/// Blocks of a file with the pointers of ext2, which takes more of them than extents do.
///
/// Holes count: `genext2fs` fills them, and they are punched afterwards.
fn file_blocks(bytes: u64) -> u64 {
    let data = bytes.div_ceil(BLOCK_BYTES);
    let indirect = data.saturating_sub(DIRECT_BLOCKS).div_ceil(POINTERS_PER_BLOCK);
    let double = indirect.saturating_sub(1).div_ceil(POINTERS_PER_BLOCK);
    let triple = u64::from(double > 1);
    data + indirect + double + triple
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointer_blocks_are_counted() {
        let block = BLOCK_BYTES;
        let gib = 1 << 30;
        for (bytes, expected) in [
            (0, 0),
            (1, 1),
            (12 * block, 12),
            (12 * block + 1, 14),
            ((12 + 1024) * block, 1037),
            ((12 + 1024) * block + 1, 1037 + 3),
            ((12 + 1024 + 1024) * block, 2060 + 3),
            (4 * gib, (1 << 20) + 1024 + 1),
            (5 * gib, (5 << 18) + 1280 + 2 + 1),
        ] {
            assert_eq!(file_blocks(bytes), expected, "{bytes} bytes");
        }
    }

    #[test]
    fn more_free_space_never_makes_it_smaller_and_is_there() {
        let demand = Demand { nodes: 10_000, data_blocks: 100_000, newest: 0 };
        let mut last = 0;
        for free in [0, 1, 1000, 100_000, 10_000_000] {
            let blocks = demand.blocks_with_free(free);
            assert!(blocks > last || free == 1);
            assert!(blocks >= demand.data_blocks + free + demand.overhead(blocks));
            last = blocks;
        }
    }

    #[test]
    fn many_empty_files_get_enough_groups_for_their_inodes() {
        let demand = Demand { nodes: 300_000, data_blocks: 10, newest: 0 };
        let blocks = demand.blocks_with_free(0);
        let groups = blocks.div_ceil(GROUP_BLOCKS);
        assert!(demand.plan(blocks).inodes.div_ceil(groups) < 8 * BLOCK_BYTES);
    }
}
