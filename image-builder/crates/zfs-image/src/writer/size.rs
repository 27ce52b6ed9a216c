//! How large a device has to be: quickly, from what is known without reading any content, as if nothing compressed; and
//! exactly enough, by compressing everything without writing it.

use image_tree::NodeKind;
use zfs_format::block::BLOCK_POINTER_BYTES;
use zfs_format::label::{LABEL_BYTES, usable_bytes};
use zfs_format::zap;

use super::allocate::{Allocator, Geometry};
use super::error::{SpecError, WriteError};
use super::indirect::{height, indirect_bytes_max};
use super::late::Late;
use super::limits::{self, available};
use super::object::{Data, INDIRECT_SHIFT, Object};
use super::objset::{DNODE_BLOCK_BYTES, DNODES_PER_BLOCK};
use super::plan::Plan;
use super::settings::{self, Storing};
use super::spec::{DatasetSpec, PoolSpec};
use super::zpl;

/// `SPA_MINDEVSIZE`: the kernel refuses smaller devices.
const DEVICE_BYTES_MIN: u64 = 64 << 20;
/// Blocks of the pool's own that every pool has, three copies: the history alone is one of 128 KiB.
const POOL_BYTES: u64 = 2 << 20;
/// The same for each dataset and for each snapshot, in blocks of at most 16 KiB.
const BLOCKS_PER_DATASET: u64 = 14;
const BLOCKS_PER_SNAPSHOT: u64 = 3;
const POOL_BLOCK_BYTES: u32 = 16 << 10;
/// An entry of an access control list that is about somebody by number.
const ACE_BYTES_MAX: usize = 16;
/// Objects of the pool's own, and of a dataset and a snapshot in it.
const POOL_OBJECTS: u64 = 64;
const OBJECTS_PER_DATASET: u64 = 12;

/// The room that a pool certainly has enough in, whatever the size of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    ashift: u8,
    /// What all blocks take that do not depend on the size of the device.
    bytes: u64,
    /// The longest of them.
    largest: u32,
    /// The number of the first object that does: the metaslab array.
    first_late: u64,
    /// What datasets have reserved and do not use.
    reserved: u64,
}

impl Need {
    /// What was given out while nothing was written, the first number after all objects, and what is reserved beyond.
    pub(super) fn measured(allocator: &Allocator, first_late: u64, reserved: u64) -> Self {
        let (bytes, largest) = (allocator.allocated(), allocator.largest());
        Self { ashift: allocator.geometry().ashift, bytes, largest, first_late, reserved }
    }

    /// Whether a device of so many bytes has the room, and beside it what ZFS keeps for itself, without which nobody
    /// could write to the pool. What is true for a device is true for every larger one.
    pub(super) fn fits(&self, device_bytes: u64) -> bool {
        let geometry = Geometry::new(usable_bytes(device_bytes), self.ashift);
        let (late, longest) = Late::bytes_max(&geometry, self.first_late);
        // Where a block does not fit into what is left of a metaslab, that stays free.
        let lost = geometry.metaslabs.saturating_mul(u64::from(self.largest.max(longest)));
        let wanted = [self.bytes, late, lost, self.reserved].into_iter().fold(0, u64::saturating_add);
        device_bytes >= DEVICE_BYTES_MIN && wanted <= available(geometry.capacity())
    }

    /// Bytes of the smallest device that has the room.
    pub(super) fn device_bytes(&self) -> u64 {
        smallest(|bytes| self.fits(bytes))
    }
}

/// The smallest device of whole labels for which `fits` holds, as it does for all larger ones.
fn smallest(fits: impl Fn(u64) -> bool) -> u64 {
    let bytes = |labels: u64| labels.saturating_mul(LABEL_BYTES);
    let (mut too_small, mut enough) = (0, DEVICE_BYTES_MIN / LABEL_BYTES);
    while !fits(bytes(enough)) {
        if bytes(enough) == u64::MAX {
            return u64::MAX;
        }
        (too_small, enough) = (enough, enough.saturating_mul(2));
    }
    while enough - too_small > 1 {
        let middle = too_small + (enough - too_small) / 2;
        if fits(bytes(middle)) { enough = middle } else { too_small = middle }
    }
    bytes(enough)
}

/// Bytes of a device that certainly has room for the pool, and in which ZFS has what it keeps for itself (a 32nd
/// part, at least 128 MiB, at most half), so that the pool can be written to, and what the datasets reserve. No content is
/// read.
///
/// # Errors
/// The description is wrong.
pub fn minimum_bytes(spec: &PoolSpec) -> Result<u64, WriteError> {
    spec.validate()?;
    Ok(estimate(spec)?.device_bytes())
}

/// The need of a pool in which nothing compresses, but what metadata is certain to.
pub(super) fn estimate(spec: &PoolSpec) -> Result<Need, SpecError> {
    let all = settings::resolve(spec)?;
    let records = all.values().map(|settings| settings.storing.record_bytes);
    let bounds = Bounds { ashift: spec.ashift };
    let pool_block = 3 * bounds.asize(POOL_BLOCK_BYTES);
    let mut bytes = POOL_BYTES + pool_block * BLOCKS_PER_DATASET;
    let mut objects = POOL_OBJECTS + OBJECTS_PER_DATASET;
    for dataset in &spec.datasets {
        let settings = all.get(&dataset.name);
        let storing = settings.map(|settings| settings.storing);
        let properties: usize = dataset.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        let blocks = BLOCKS_PER_DATASET
            + BLOCKS_PER_SNAPSHOT * dataset.snapshots.len() as u64
            + properties as u64 / u64::from(POOL_BLOCK_BYTES / 4);
        bytes += pool_block * blocks + storing.map_or(0, |storing| bounds.dataset(dataset, &storing));
        objects += OBJECTS_PER_DATASET * (1 + dataset.snapshots.len() as u64);
    }
    // Every snapshot's deadlist names all before it; without the feature `empty_bpobj` each has an object there.
    let lists: u64 = spec.datasets.iter().map(|dataset| (dataset.snapshots.len() as u64 + 1).pow(2)).sum();
    bytes += 3 * 256 * lists;
    let largest = bounds.asize(records.max().unwrap_or(0).max(1 << INDIRECT_SHIFT));
    Ok(Need {
        ashift: spec.ashift,
        bytes,
        largest: largest as u32,
        first_late: objects + lists,
        reserved: limits::reserved(spec, &all),
    })
}

/// Upper bounds of what things take.
struct Bounds {
    ashift: u8,
}

impl Bounds {
    fn asize(&self, bytes: u32) -> u64 {
        u64::from(bytes).next_multiple_of(1 << self.ashift)
    }

    fn dataset(&self, dataset: &DatasetSpec, storing: &Storing) -> u64 {
        let metadata_copies = u64::from((storing.copies + 1).min(3));
        // Master node, delete queue, attributes, accounts, object set, and the indirect blocks of few dnodes.
        let fixed = metadata_copies * (10 * self.asize(POOL_BLOCK_BYTES) + 5 * self.indirect(1));
        let Some(tree) = &dataset.tree else { return fixed };
        let plan = Plan::new(tree);
        let mut used = fixed;
        for planned in &plan.nodes {
            used += match &planned.node.kind {
                NodeKind::Regular(content) => self.file(content.len(), Data::File(content), storing),
                NodeKind::Symlink(target) => self.spill(target.len()) * metadata_copies,
                _ => 0,
            };
            let acl = planned.node.metadata.acl.as_ref();
            used += acl.map_or(0, |entries| self.spill(entries.len() * ACE_BYTES_MAX)) * metadata_copies;
            let xattrs = &planned.node.metadata.xattrs;
            let values = xattrs.values();
            used += values.map(|value| self.file(value.len() as u64, Data::Slice(value), storing)).sum::<u64>();
            used += metadata_copies * self.zap(xattrs.keys().map(Vec::as_slice));
        }
        for directory in &plan.directories {
            used += metadata_copies * self.zap(plan.names(directory));
        }
        let blocks = plan.end.div_ceil(DNODES_PER_BLOCK) + 1;
        used +=
            metadata_copies * (blocks * self.asize(DNODE_BLOCK_BYTES as u32) + self.indirects(vec![(0, blocks)], 1));
        used + self.accounts(&plan) * metadata_copies
    }

    fn file(&self, len: u64, data: Data<'_>, storing: &Storing) -> u64 {
        let object = Object { data, ..zpl::file_object(0, len, storing.record_bytes) };
        let mut runs = object.data_runs();
        runs.retain(|(first, end)| first < end);
        let blocks: u64 = runs.iter().map(|(first, end)| end - first).sum();
        let indirects = self.indirects(runs, 1);
        let metadata_copies = u64::from((storing.copies + 1).min(3));
        blocks * self.asize(object.block_bytes) * u64::from(storing.copies) + indirects * metadata_copies
    }

    /// A spill block, or none, with a value of so many bytes, a header, and another attribute.
    fn spill(&self, bytes: usize) -> u64 {
        self.asize((bytes + 40).next_multiple_of(512) as u32)
    }

    /// All indirect blocks over runs of blocks, first and one after the last: how many levels there are depends on where
    /// the last block is, however few there are.
    fn indirects(&self, mut runs: Vec<(u64, u64)>, pointers: u64) -> u64 {
        let reach = runs.last().map_or(0, |(_, end)| *end);
        let mut used = 0;
        for _ in 1..height(reach, pointers, INDIRECT_SHIFT) {
            let (level, above) = self.level(&runs);
            used += level;
            runs = above;
        }
        used
    }

    /// The indirect blocks of one level, and which they are.
    fn level(&self, runs: &[(u64, u64)]) -> (u64, Vec<(u64, u64)>) {
        let entries = 1 << (u32::from(INDIRECT_SHIFT) - BLOCK_POINTER_BYTES.ilog2());
        let mut above: Vec<(u64, u64)> = Vec::new();
        let mut used = 0;
        // Several runs may have their pointers in one block, the last one so far.
        let (mut last, mut pointers) = (0, 0);
        for &(first, end) in runs {
            let (begin, until) = (first / entries, end.div_ceil(entries));
            if begin != last {
                used += self.indirect(pointers);
                (last, pointers) = (begin, 0);
            }
            pointers += end.min((begin + 1) * entries) - first;
            if begin + 1 < until {
                used += self.indirect(pointers) + (until - begin - 2) * self.indirect(entries);
                (last, pointers) = (until - 1, end - (until - 1) * entries);
            }
            match above.last_mut() {
                Some(run) if begin <= run.1 => run.1 = until,
                _ => above.push((begin, until)),
            }
        }
        (used + self.indirect(pointers), above)
    }

    /// An indirect block with so many pointers; there is none without.
    fn indirect(&self, pointers: u64) -> u64 {
        if pointers == 0 {
            return 0;
        }
        u64::from(indirect_bytes_max(pointers * BLOCK_POINTER_BYTES as u64, 1 << INDIRECT_SHIFT, self.ashift))
    }

    /// A directory of these names.
    fn zap<'n>(&self, names: impl Iterator<Item = &'n [u8]>) -> u64 {
        let (mut count, mut chunks, mut is_micro) = (0_usize, 0_usize, true);
        for name in names {
            count += 1;
            chunks += 2 + (name.len() + 1).div_ceil(21);
            is_micro &= name.len() <= zap::MICRO_NAME_MAX;
        }
        if count == 0 {
            return 0;
        }
        let micro = (count + 1) * zap::MICRO_ENTRY_BYTES;
        if is_micro && micro <= zap::MICRO_BYTES_MAX {
            return self.asize(micro.next_multiple_of(512) as u32);
        }
        // A leaf of 16 KiB has room for 638 chunks, and leaves are split in halves of any size.
        let leaves = 1 + chunks / 250;
        let table = leaves * 8 * 16 / DNODE_BLOCK_BYTES;
        (leaves + table + 2) as u64 * self.asize(1 << zap::FAT_BLOCK_SHIFT)
            + self.indirects(vec![(0, leaves as u64)], 3)
    }

    /// The accounts of users and groups.
    fn accounts(&self, plan: &Plan<'_>) -> u64 {
        let owners = |id: fn(&image_tree::Metadata) -> u32| {
            let ids: std::collections::BTreeSet<u32> =
                plan.nodes.iter().map(|planned| id(&planned.node.metadata)).collect();
            let names: Vec<String> = ids.iter().map(|id| format!("{id:x}")).collect();
            self.zap(names.iter().map(String::as_bytes))
        };
        owners(|metadata| metadata.uid) + owners(|metadata| metadata.gid)
    }
}

#[cfg(test)]
mod tests;
