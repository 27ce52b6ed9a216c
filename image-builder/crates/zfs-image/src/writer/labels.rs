//! What the labels and the pool's configuration say.

use zfs_format::label::{Label, LabelError, encode_label, label_offsets};
use zfs_format::nvlist::NvList;
use zfs_format::uberblock::Uberblock;

use super::allocate::Geometry;
use super::mos::{CREATION_TXG, POOL_VERSION};
use super::pipeline::{Fault, Pipeline};
use super::seed::Seed;
use super::spec::PoolSpec;

/// `POOL_STATE_EXPORTED`: any system may import the pool without force.
const STATE_EXPORTED: u64 = 1;

/// Pool and vdev as labels and configuration name them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    pub(super) pool_guid: u64,
    pub(super) vdev_guid: u64,
    pub(super) txg: u64,
}

impl Identity {
    pub(super) fn new(spec: &PoolSpec, txg: u64) -> Self {
        let seed = Seed::new(&spec.seed, &spec.name);
        Self { pool_guid: seed.guid("pool"), vdev_guid: seed.guid("vdev"), txg }
    }

    /// The sum of the guids of all vdevs, that of the pool included, as the uberblock has it.
    pub(super) fn guid_sum(&self) -> u64 {
        self.pool_guid.wrapping_add(self.vdev_guid)
    }
}

/// The disk.
fn vdev(spec: &PoolSpec, identity: &Identity, geometry: &Geometry, metaslab_array: u64) -> NvList {
    let mut vdev = NvList::new()
        .with("type", "disk")
        .with("id", 0_u64)
        .with("guid", identity.vdev_guid)
        .with("path", spec.vdev.path.as_str());
    for (name, value) in [("devid", &spec.vdev.devid), ("phys_path", &spec.vdev.phys_path)] {
        if let Some(value) = value {
            vdev.insert(name, value.as_str());
        }
    }
    vdev.with("whole_disk", u64::from(spec.vdev.whole_disk))
        .with("metaslab_array", metaslab_array)
        .with("metaslab_shift", u64::from(geometry.metaslab_shift))
        .with("ashift", u64::from(geometry.ashift))
        .with("asize", geometry.usable_bytes)
        .with("is_log", 0_u64)
        .with("create_txg", CREATION_TXG)
}

/// What label and configuration have in common.
fn pool(spec: &PoolSpec, identity: &Identity) -> NvList {
    let mut pool = NvList::new()
        .with("version", POOL_VERSION)
        .with("name", spec.name.as_str())
        .with("state", STATE_EXPORTED)
        .with("txg", identity.txg)
        .with("pool_guid", identity.pool_guid)
        .with("errata", 0_u64);
    let comment = spec.properties.iter().find(|(name, _)| name == "comment");
    if let Some((_, comment)) = comment {
        pool.insert("comment", comment.as_str());
    }
    pool
}

/// The features without which not even the meta object set can be read.
fn features_for_read(spec: &PoolSpec) -> NvList {
    let mut list = NvList::new();
    let needed = spec.features.iter().filter(|feature| feature.needed_for_mos && feature.active_when_enabled);
    needed.for_each(|feature| list.insert_flag(feature.guid));
    list
}

/// The configuration that is kept in the pool.
pub(super) fn config(spec: &PoolSpec, identity: &Identity, geometry: &Geometry, metaslab_array: u64) -> NvList {
    let root = NvList::new()
        .with("type", "root")
        .with("id", 0_u64)
        .with("guid", identity.pool_guid)
        .with("create_txg", CREATION_TXG)
        .with("children", vec![vdev(spec, identity, geometry, metaslab_array)]);
    pool(spec, identity)
        .with("vdev_children", 1_u64)
        .with("vdev_tree", root)
        .with("features_for_read", features_for_read(spec))
}

/// Writes the four labels, with one uberblock. Nothing is a pool before that.
pub(super) fn write_labels(
    pipeline: &Pipeline<'_>,
    spec: &PoolSpec,
    identity: &Identity,
    (geometry, metaslab_array): (&Geometry, u64),
    (device_bytes, uberblock): (u64, Uberblock),
) -> Result<(), Fault> {
    let config = pool(spec, identity)
        .with("top_guid", identity.vdev_guid)
        .with("guid", identity.vdev_guid)
        .with("vdev_children", 1_u64)
        .with("vdev_tree", vdev(spec, identity, geometry, metaslab_array))
        .with("features_for_read", features_for_read(spec));
    let label = Label { config: &config, uberblocks: &[uberblock], ashift: geometry.ashift };
    for offset in label_offsets(device_bytes) {
        let fault = |error: LabelError| Fault::Format(format!("label at {offset}: {error}"));
        pipeline.write_device(&encode_label(&label, offset).map_err(fault)?, offset)?;
    }
    Ok(())
}
