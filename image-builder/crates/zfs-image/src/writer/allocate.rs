//! Giving out the space of the vdev.
//!
//! Space is divided into metaslabs, and no block crosses the border of two. There are three cursors, one for each
//! copy of a block: the first begins at the front, the others, which only metadata needs, behind three quarters and
//! seven eighths of the vdev. Copies are then far apart, and each kind is written from front to back. A cursor
//! that finds its part full goes on where there is room, in another metaslab than the other copies while there is one.
//!
//! A place is always taken from the beginning of a free range, so that a metaslab has one free range at most, at its end.
//! Therefore what is left when a block finds no place is less than the block in each metaslab, and a device whose
//! capacity exceeds all blocks by that much has room for them in any order (`Need`).

use std::collections::BTreeMap;

use zfs_format::block::Dva;
use zfs_format::space_map::Range;

/// `zfs_vdev_default_ms_shift`: metaslabs have this size on disks that are neither small nor large.
const DEFAULT_SHIFT: u8 = 29;
/// `zfs_vdev_min_ms_count`: below this many metaslabs of the default size, they get smaller.
const COUNT_MIN: u64 = 16;
/// `zfs_vdev_default_ms_count`: above this many they get larger.
const COUNT_MAX: u64 = 200;
/// `SPA_MAXBLOCKSHIFT`: a metaslab holds the largest block.
const SHIFT_MIN: u8 = 24;
/// 16 GiB: metaslabs do not get larger than this before there are 131072 of them.
const SHIFT_MAX: u8 = 34;

/// How the vdev is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Binary logarithm of the smallest block.
    pub(super) ashift: u8,
    /// Binary logarithm of the bytes of a metaslab.
    pub(super) metaslab_shift: u8,
    /// How many metaslabs there are; what is left behind the last one is not used.
    pub(super) metaslabs: u64,
    /// Bytes of the device that blocks can use: `asize`.
    pub(super) usable_bytes: u64,
}

impl Geometry {
    /// The rule of `vdev_metaslab_set_size`, so that the pool grows as one that was made on such a disk.
    pub(super) fn new(usable_bytes: u64, ashift: u8) -> Self {
        let count = usable_bytes >> DEFAULT_SHIFT;
        let log2 = |bytes: u64| if bytes == 0 { 0 } else { bytes.ilog2() as u8 + 1 };
        let shift = match count {
            ..COUNT_MIN => log2(usable_bytes / COUNT_MIN),
            COUNT_MIN..=COUNT_MAX => DEFAULT_SHIFT,
            _ => log2(usable_bytes / COUNT_MAX).min(SHIFT_MAX),
        };
        let metaslab_shift = shift.max(SHIFT_MIN);
        Self { ashift, metaslab_shift, metaslabs: usable_bytes >> metaslab_shift, usable_bytes }
    }

    /// What a block of that many bytes takes on the device.
    pub(super) fn asize(&self, bytes: u32) -> u32 {
        bytes.next_multiple_of(1 << self.ashift)
    }

    /// The bytes of a metaslab.
    pub(super) fn metaslab(&self, index: u64) -> Range {
        Range { start: index << self.metaslab_shift, len: 1 << self.metaslab_shift }
    }

    /// All space that can be given out.
    pub(super) fn capacity(&self) -> u64 {
        self.metaslabs << self.metaslab_shift
    }
}

/// The free space of the vdev.
#[derive(Debug, Clone)]
pub(super) struct Allocator {
    geometry: Geometry,
    /// Free ranges, start to end, none of them across metaslabs.
    free: BTreeMap<u64, u64>,
    cursors: [u64; 3],
    allocated: u64,
    blocks: u64,
    largest: u32,
}

impl Allocator {
    pub(super) fn new(geometry: Geometry) -> Self {
        let eighths = |count| geometry.metaslab(geometry.metaslabs * count / 8).start;
        let whole = |index| (geometry.metaslab(index).start, geometry.metaslab(index + 1).start);
        Self {
            geometry,
            free: (0..geometry.metaslabs).map(whole).collect(),
            cursors: [0, eighths(6), eighths(7)],
            allocated: 0,
            blocks: 0,
            largest: 0,
        }
    }

    /// One that has room for everything, to find out how much is needed.
    pub(super) fn unlimited(ashift: u8) -> Self {
        Self::new(Geometry { ashift, metaslab_shift: 62, metaslabs: 1, usable_bytes: 1 << 62 })
    }

    pub(super) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Bytes given out so far.
    pub(super) fn allocated(&self) -> u64 {
        self.allocated
    }

    /// Blocks that have places.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// The longest place that was given out, in bytes.
    pub(super) fn largest(&self) -> u32 {
        self.largest
    }

    /// Gives out `copies` (1 to 3) places of `asize` bytes; none if there is no room.
    pub(super) fn allocate(&mut self, asize: u32, copies: usize) -> Option<[Dva; 3]> {
        let mut dvas = [Dva::default(); 3];
        for copy in 0..copies.min(3) {
            let offset = self.take(copy, u64::from(asize), &dvas[..copy])?;
            dvas[copy] = Dva { vdev: 0, offset, asize, gang: false };
        }
        self.blocks += 1;
        self.largest = self.largest.max(asize);
        Some(dvas)
    }

    fn take(&mut self, cursor: usize, bytes: u64, others: &[Dva]) -> Option<u64> {
        let from = self.cursors[cursor];
        let fits = |(start, end): &(&u64, &u64)| **end - **start >= bytes;
        let metaslab = |offset: u64| offset >> self.geometry.metaslab_shift;
        let apart = |start: u64| others.iter().all(|other| metaslab(other.offset) != metaslab(start));
        let mut ranges = self.free.range(from..).chain(self.free.range(..from)).filter(fits);
        let nearest = ranges.next()?;
        let found = if apart(*nearest.0) { nearest } else { ranges.find(|range| apart(*range.0)).unwrap_or(nearest) };
        let (start, end) = (*found.0, *found.1);
        self.free.remove(&start);
        if start + bytes < end {
            self.free.insert(start + bytes, end);
        }
        self.cursors[cursor] = start + bytes;
        self.allocated += bytes;
        Some(start)
    }

    /// What is given out of a metaslab, in order.
    pub(super) fn allocated_in(&self, metaslab: u64) -> Vec<Range> {
        let Range { start, len } = self.geometry.metaslab(metaslab);
        let (mut position, mut ranges) = (start, Vec::new());
        for (free_start, free_end) in self.free.range(start..start + len) {
            if *free_start > position {
                ranges.push(Range { start: position, len: free_start - position });
            }
            position = *free_end;
        }
        if position < start + len {
            ranges.push(Range { start: position, len: start + len - position });
        }
        ranges
    }

    /// The free ranges of a metaslab, counted by the binary logarithm of their units, as the histogram of a space
    /// map has them.
    pub(super) fn free_histogram(&self, metaslab: u64) -> [u64; 32] {
        let Range { start, len } = self.geometry.metaslab(metaslab);
        let mut histogram = [0; 32];
        for (free_start, free_end) in self.free.range(start..start + len) {
            let bucket = (free_end - free_start).ilog2() as usize - usize::from(self.geometry.ashift);
            histogram[bucket.min(31)] += 1;
        }
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn metaslabs_are_as_zfs_makes_them() {
        for (bytes, shift, count) in [
            (59 * MIB + (MIB >> 1), 24, 3),
            (1000 * MIB, 26, 15),
            (4 << 30, 29, 8),
            (8 << 30, 29, 16),
            (100 << 30, 29, 200),
            (1 << 40, 33, 128),
        ] {
            let geometry = Geometry::new(bytes, 12);
            assert_eq!((geometry.metaslab_shift, geometry.metaslabs), (shift, count), "{bytes}");
        }
    }

    #[test]
    fn no_block_crosses_a_border_and_nothing_is_given_out_twice() {
        let geometry = Geometry::new(64 * MIB, 9);
        let mut allocator = Allocator::new(geometry);
        let mut taken: Vec<(u64, u64)> = Vec::new();
        let sizes = [131_072_u32, 512, 1 << 20, 16_384, 7 * 512].into_iter().cycle();
        for (asize, copies) in sizes.zip([1_usize, 2, 3].into_iter().cycle()) {
            let Some(dvas) = allocator.allocate(asize, copies) else { break };
            for dva in &dvas[..copies] {
                let last = dva.offset + u64::from(asize) - 1;
                assert_eq!(dva.offset >> geometry.metaslab_shift, last >> geometry.metaslab_shift);
                taken.push((dva.offset, last + 1));
            }
        }
        taken.sort_unstable();
        assert!(taken.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        let counted: u64 =
            (0..geometry.metaslabs).flat_map(|index| allocator.allocated_in(index)).map(|range| range.len).sum();
        assert_eq!(counted, allocator.allocated());
        assert!(geometry.capacity() - counted < 4 * MIB, "{counted} bytes of {}", geometry.capacity());
    }

    #[test]
    fn copies_are_in_different_metaslabs_while_there_are_some() {
        let mut allocator = Allocator::new(Geometry::new(64 * MIB, 12));
        for block in 0..300 {
            let dvas = allocator.allocate(65_536, 3).expect("room");
            let metaslabs: std::collections::BTreeSet<u64> = dvas.iter().map(|dva| dva.offset >> 24).collect();
            assert!(metaslabs.len() == 3 || block > 250, "block {block}: {dvas:?}");
        }
    }

    #[test]
    fn the_histogram_counts_free_runs_by_size() {
        let mut allocator = Allocator::new(Geometry::new(64 * MIB, 12));
        allocator.allocate(4096, 1).expect("room");
        let histogram = allocator.free_histogram(0);
        // 16 MiB less 4 KiB are between 2^11 and 2^12 units of 4 KiB.
        assert_eq!(histogram.iter().sum::<u64>(), 1);
        assert_eq!(histogram[11], 1);
    }
}
