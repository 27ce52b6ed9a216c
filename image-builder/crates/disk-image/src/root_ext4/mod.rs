//! A root file system from a [`Tree`], made by existing programs that need no privileges.
//!
//! `mke2fs` makes an empty file system, `genext2fs` fills it from a tar stream
//! that is made on the fly, `tune2fs` and `e2fsck` turn the bare ext2 into ext4
//! with journal, extents, checksums and indexed directories, and `debugfs` adds
//! what `genext2fs` cannot: large ids and device numbers, exact times,
//! extended attributes, holes. `e2fsck -fn` has the last word.
//!
//! `genext2fs` is used whatever else is installed: `mke2fs -d` could read a tar
//! in newer versions, but the same tree would then give other bytes.
//!
//! What a guest finds different from the tree: access times are the
//! modification times, change times are 1970 (or the file system's own time,
//! for the root), and `/lost+found` exists.

mod archive;
mod error;
mod pipeline;
mod repair;
mod size;
mod tools;

use image_tree::{Store, Tree};

use crate::gpt::SectorSize;
use crate::{DiskSeed, Guid, Region, Volume, VolumeContext, VolumeError};
pub use error::Ext4Error;
pub use pipeline::SCRATCH_PREFIX;
use size::{BLOCK_BYTES, Demand};

/// Bytes of a label.
const LABEL_BYTES: usize = 16;

/// A root file system to be written into a partition.
#[derive(Debug)]
pub struct RootExt4<'a> {
    tree: &'a Tree,
    store: &'a Store,
    label: String,
    uuid: Guid,
    hash_seed: Guid,
}

impl<'a> RootExt4<'a> {
    /// The file system for `tree`, whose contents are in `store`.
    ///
    /// # Errors
    /// When the label does not fit.
    pub fn new(seed: &DiskSeed, label: &str, tree: &'a Tree, store: &'a Store) -> Result<Self, Ext4Error> {
        if label.len() > LABEL_BYTES || label.contains('\0') {
            return Err(Ext4Error::Label { label: label.to_owned() });
        }
        Ok(Self {
            tree,
            store,
            label: label.to_owned(),
            uuid: Self::uuid(seed),
            hash_seed: seed.guid("ext4 directory hashes"),
        })
    }

    /// The UUID that the file system for this seed has, for `root=UUID=…` and `/etc/fstab`.
    #[must_use]
    pub fn uuid(seed: &DiskSeed) -> Guid {
        seed.guid("ext4 file system")
    }
}

impl Volume for RootExt4<'_> {
    fn minimum_bytes(&self, sector_size: SectorSize) -> Result<u64, VolumeError> {
        self.preferred_bytes(sector_size, 0)
    }

    fn preferred_bytes(&self, _: SectorSize, free: u64) -> Result<u64, VolumeError> {
        Ok(Demand::of(self.tree).blocks_with_free(free.div_ceil(BLOCK_BYTES)) * BLOCK_BYTES)
    }

    fn write(&mut self, region: &mut Region<'_>, context: &VolumeContext<'_>) -> Result<u64, VolumeError> {
        let demand = Demand::of(self.tree);
        let needed = demand.blocks_with_free(0) * BLOCK_BYTES;
        if region.length() < needed {
            return Err(Ext4Error::TooSmall { bytes: region.length(), needed }.into());
        }
        let blocks = demand.usable_blocks(region.length() / BLOCK_BYTES);
        Ok(pipeline::write(self, &demand, blocks, region, context.work)?)
    }
}
