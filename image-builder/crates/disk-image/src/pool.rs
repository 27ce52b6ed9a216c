//! A ZFS pool as the content of a partition.

use std::io;

use image_tree::Store;
use zfs_image::writer::{Output, PoolReport, PoolSpec, WriteOptions, write_pool};

use crate::gpt::SectorSize;
use crate::{Region, Volume, VolumeContext, VolumeError};

/// Bytes of the smallest vdev that ZFS takes (`SPA_MINDEVSIZE`).
const SMALLEST_BYTES: u64 = 64 << 20;

impl Output for Region<'_> {
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        Region::write_all_at(self, bytes, position)
    }
}

/// A pool to be written into a partition, or into a file of its own.
pub struct PoolVolume<'a> {
    spec: &'a PoolSpec,
    store: &'a Store,
    options: WriteOptions<'a>,
    report: &'a mut Option<PoolReport>,
}

impl std::fmt::Debug for PoolVolume<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolVolume").field("pool", &self.spec.name).finish_non_exhaustive()
    }
}

impl<'a> PoolVolume<'a> {
    /// The pool that `spec` describes, whose files are in `store`; `report` is set when it is written.
    #[must_use]
    pub fn new(
        spec: &'a PoolSpec,
        store: &'a Store,
        options: WriteOptions<'a>,
        report: &'a mut Option<PoolReport>,
    ) -> Self {
        Self { spec, store, options, report }
    }
}

impl Volume for PoolVolume<'_> {
    /// The least for any pool: how much the content needs shows when it is packed.
    fn minimum_bytes(&self, _: SectorSize) -> Result<u64, VolumeError> {
        Ok(SMALLEST_BYTES)
    }

    fn write(&mut self, region: &mut Region<'_>, _: &VolumeContext<'_>) -> Result<u64, VolumeError> {
        let written = write_pool(self.spec, self.store, &*region, region.length(), &self.options);
        let report = written.map_err(|error| VolumeError::Pool(Box::new(error)))?;
        let allocated = report.allocated_bytes;
        *self.report = Some(report);
        Ok(allocated)
    }
}
