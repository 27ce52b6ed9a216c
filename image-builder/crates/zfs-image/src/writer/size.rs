//! How large a device has to be, from what is known before any content is read: as if nothing compressed.

use image_tree::NodeKind;
use zfs_format::block::BLOCK_POINTER_BYTES;
use zfs_format::compress::Compression;
use zfs_format::label::{END_BYTES, LABEL_BYTES, START_BYTES};
use zfs_format::zap;

use super::allocate::Geometry;
use super::error::{SpecError, WriteError};
use super::indirect::height;
use super::object::{Data, INDIRECT_SHIFT, Object};
use super::objset::{DNODE_BLOCK_BYTES, DNODES_PER_BLOCK};
use super::plan::Plan;
use super::settings::{self, Storing};
use super::spec::{DatasetSpec, PoolSpec};
use super::zpl;

/// `SPA_MINDEVSIZE`: the kernel refuses smaller devices.
const DEVICE_BYTES_MIN: u64 = 64 << 20;
/// `spa_min_slop`: what ZFS keeps for itself at least.
const SLOP_BYTES_MIN: u64 = 128 << 20;
/// Reservations beyond this are larger than any device, and so large that sums would overflow.
const RESERVED_BYTES_MAX: u64 = 1 << 60;
/// Dnodes and blocks of the pool's own that every pool has, three copies, generously.
const POOL_BYTES: u64 = 2 << 20;
/// The same for each dataset and for each snapshot, in blocks of at most 16 KiB.
const BLOCKS_PER_DATASET: u64 = 14;
const BLOCKS_PER_SNAPSHOT: u64 = 3;
const POOL_BLOCK_BYTES: u32 = 16 << 10;

/// Bytes of a device that certainly has room for the pool, and in which ZFS has what it keeps for itself (a 32nd
/// part, at least 128 MiB), so that the pool can be written to, and what the datasets reserve. No content is read.
///
/// # Errors
/// The description is wrong.
pub fn minimum_bytes(spec: &PoolSpec) -> Result<u64, WriteError> {
    spec.validate()?;
    let reserved = spec.reserved_bytes()?;
    if reserved > RESERVED_BYTES_MAX {
        return Ok(u64::MAX);
    }
    let used = used_bytes(spec)? + reserved;
    let wanted = (used + used.div_ceil(31)).max(used + SLOP_BYTES_MIN);
    let mut usable = wanted;
    loop {
        let geometry = Geometry::new(usable, spec.ashift);
        // Where a block does not fit into what is left of a metaslab, that stays free.
        let lost = geometry.metaslabs * largest_block(spec)?;
        let metaslab = geometry.metaslab(0).len;
        let rounded = (wanted + lost).next_multiple_of(metaslab);
        if rounded <= usable {
            break;
        }
        usable = rounded;
    }
    let device = (usable + START_BYTES + END_BYTES).next_multiple_of(LABEL_BYTES);
    Ok(device.max(DEVICE_BYTES_MIN))
}

/// Whether data that is stored as it is, and therefore known, exceeds the device.
pub(super) fn is_hopeless(spec: &PoolSpec, capacity: u64) -> Result<bool, SpecError> {
    let all = settings::resolve(spec)?;
    let stored = spec.datasets.iter().filter_map(|dataset| {
        let storing = all.get(&dataset.name)?.storing;
        let bytes = dataset.tree.as_ref()?.statistics().data_bytes;
        (storing.compression == Compression::Off).then(|| bytes.saturating_mul(u64::from(storing.copies)))
    });
    Ok(stored.fold(0_u64, u64::saturating_add) > capacity)
}

fn largest_block(spec: &PoolSpec) -> Result<u64, SpecError> {
    let records = settings::resolve(spec)?.into_values().map(|settings| u64::from(settings.storing.record_bytes));
    Ok(records.max().unwrap_or(0).max(1 << INDIRECT_SHIFT))
}

/// What all blocks take at most.
fn used_bytes(spec: &PoolSpec) -> Result<u64, SpecError> {
    let all = settings::resolve(spec)?;
    let bounds = Bounds { ashift: spec.ashift };
    let pool_block = 3 * bounds.asize(POOL_BLOCK_BYTES);
    let mut used = POOL_BYTES + pool_block * BLOCKS_PER_DATASET;
    for dataset in &spec.datasets {
        let storing = all.get(&dataset.name).map(|settings| settings.storing);
        let properties: usize = dataset.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        let blocks = BLOCKS_PER_DATASET
            + BLOCKS_PER_SNAPSHOT * dataset.snapshots.len() as u64
            + properties as u64 / u64::from(POOL_BLOCK_BYTES / 4);
        used += pool_block * blocks + storing.map_or(0, |storing| bounds.dataset(dataset, &storing));
    }
    // A space map for each metaslab, of which there are at most 200 in all but very large pools.
    Ok(used + 3 * bounds.asize(4096) * Geometry::new(used, spec.ashift).metaslabs.max(16))
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
                NodeKind::Symlink(target) => self.asize(target.len() as u32) * metadata_copies,
                _ => 0,
            };
            let xattrs = &planned.node.metadata.xattrs;
            let values = xattrs.values();
            used += values.map(|value| self.file(value.len() as u64, Data::Slice(value), storing)).sum::<u64>();
            used += metadata_copies * self.zap(xattrs.keys().map(Vec::as_slice));
        }
        for directory in &plan.directories {
            used += metadata_copies * self.zap(plan.names(directory));
        }
        let blocks = plan.end.div_ceil(DNODES_PER_BLOCK) + 1;
        used += metadata_copies * (blocks * self.asize(DNODE_BLOCK_BYTES as u32) + self.indirects(blocks, 1));
        used + self.accounts(&plan) * metadata_copies
    }

    fn file(&self, len: u64, data: Data<'_>, storing: &Storing) -> u64 {
        let object = Object { data, ..zpl::file_object(0, len, storing.record_bytes) };
        let runs = object.data_runs();
        let blocks: u64 = runs.iter().map(|(first, end)| end - first).sum();
        let reach = runs.last().map_or(0, |(_, end)| *end);
        // Each run may begin and end in an indirect block of its own.
        let spread =
            if runs.len() > 1 { self.indirects(blocks, 1).max(self.indirect(1) * runs.len() as u64 * 2) } else { 0 };
        let indirects = if reach > 1 { self.indirects(blocks, 1) + spread } else { 0 };
        let metadata_copies = u64::from((storing.copies + 1).min(3));
        blocks * self.asize(object.block_bytes) * u64::from(storing.copies) + indirects * metadata_copies
    }

    /// All indirect blocks over so many blocks.
    fn indirects(&self, blocks: u64, pointers: u64) -> u64 {
        let entries = 1 << (u32::from(INDIRECT_SHIFT) - BLOCK_POINTER_BYTES.ilog2());
        let (mut below, mut used) = (blocks, 0);
        for _ in 1..height(blocks, pointers, INDIRECT_SHIFT) {
            used += below / entries * self.indirect(entries) + self.indirect(below % entries);
            below = below.div_ceil(entries);
        }
        used
    }

    /// An indirect block with so many pointers: they do not compress, zeros do, in any compression to a 30th.
    fn indirect(&self, pointers: u64) -> u64 {
        let full = 1_u64 << INDIRECT_SHIFT;
        let bytes = pointers * BLOCK_POINTER_BYTES as u64;
        let bound = (bytes + bytes / 8 + full / 30).min(full);
        bound.next_multiple_of(1 << self.ashift)
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
        (leaves + table + 2) as u64 * self.asize(1 << zap::FAT_BLOCK_SHIFT) + self.indirects(leaves as u64, 3)
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
