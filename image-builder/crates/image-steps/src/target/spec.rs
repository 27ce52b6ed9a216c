//! The pool that a template describes, without its size and, for `check`, without its files.

use super::datasets::{Dataset, DatasetPlan, Environment};
use crate::state::{BUILD_TIME, PoolState};
use disk_image::DiskSeed;
use disk_image::gpt::SectorSize;
use disk_image::illumos::esp_bytes;
use template::Pool;
use zfs_image::writer::{DatasetSpec, DeviceNumbers, PoolSpec, VdevSpec};

/// Virtual disks have 512-byte sectors unless they are told otherwise.
pub(super) const SECTOR: SectorSize = SectorSize::B512;

/// What the datasets are made of; `bename` is from [`environment_name`].
pub(super) fn dataset_plan<'a>(
    pool: &'a Pool,
    bename: &'a str,
    state: &'a PoolState,
    seed: DiskSeed,
) -> DatasetPlan<'a> {
    let mut properties = vec![("compression".to_owned(), pool.compression.clone())];
    properties.extend(pool.fsoptions.iter().filter_map(|option| split(option)));
    let environment = |state| Environment { name: bename, uuid: seed.guid("boot environment").to_string(), state };
    DatasetPlan {
        pool: &pool.name,
        properties,
        snapshots: &pool.snapshots,
        boot_environment: state.boot_environment.as_ref().map(environment),
        datasets: &state.datasets,
    }
}

/// The boot environment's name: the template's, or eight digits that depend on the image's name alone.
pub(super) fn environment_name(pool: &Pool, seed: DiskSeed) -> String {
    pool.bename.clone().unwrap_or_else(|| format!("{:08x}", seed.number("boot environment")))
}

/// Everything about the pool but its size.
pub(super) fn pool_spec(pool: &Pool, datasets: Vec<Dataset>, bootfs: Option<String>, seed: DiskSeed) -> PoolSpec {
    PoolSpec {
        name: pool.name.clone(),
        ashift: pool.ashift,
        features: pool.features(),
        seed: seed.bytes("zfs pool"),
        properties: pool_properties(pool),
        bootfs,
        datasets: datasets.into_iter().map(dataset_spec).collect(),
        vdev: vdev(pool),
        time: BUILD_TIME,
        devices: DeviceNumbers::Illumos,
    }
}

/// What the template says of the disk; otherwise the first disk of the first controller, which is only a guess.
fn vdev(pool: &Pool) -> VdevSpec {
    let slice = match (pool.label, pool.uefi) {
        (true, true) => "s1",
        (true, false) => "s0",
        (false, _) => "p0",
    };
    let said = pool.vdev.as_ref();
    let path = said.and_then(|vdev| vdev.path.clone());
    VdevSpec {
        path: path.unwrap_or_else(|| format!("/dev/dsk/c1t0d0{slice}")),
        phys_path: said.and_then(|vdev| vdev.phys_path.clone()),
        devid: said.and_then(|vdev| vdev.devid.clone()),
        whole_disk: pool.label,
    }
}

fn split(option: &str) -> Option<(String, String)> {
    option.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
}

fn pool_properties(pool: &Pool) -> Vec<(String, String)> {
    let mut properties = Vec::new();
    if pool.label && pool.uefi {
        properties.push(("bootsize".to_owned(), esp_bytes(SECTOR).to_string()));
    }
    if pool.autoexpand {
        properties.push(("autoexpand".to_owned(), "on".to_owned()));
    }
    let is_feature = |option: &&String| option.starts_with("feature@");
    properties.extend(pool.options.iter().filter(|option| !is_feature(option)).filter_map(|option| split(option)));
    properties
}

fn dataset_spec(dataset: Dataset) -> DatasetSpec {
    let Dataset { name, properties, snapshots, tree } = dataset;
    DatasetSpec { name, properties, tree: Some(tree), snapshots }
}
