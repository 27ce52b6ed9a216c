//! What a pool is to be: everything that decides its bytes, beside the content of the files.

use std::collections::BTreeSet;

use image_tree::{Timestamp, Tree};
use zfs_format::feature::FeatureSet;
use zfs_format::name;
use zfs_format::property::{self, EncodedProperty};
use zfs_format::sa::DeviceNumbers;

use super::error::SpecError;
use super::{limits, settings};

/// A pool on one disk.
#[derive(Debug, Clone)]
pub struct PoolSpec {
    /// Its name, which is also that of its root dataset.
    pub name: String,
    /// Binary logarithm of the smallest block in bytes, 9 to 13.
    pub ashift: u8,
    /// The features that are enabled.
    pub features: FeatureSet,
    /// Decides all guids and salts. Two pools with the same seed cannot be imported at the same time.
    pub seed: [u8; 32],
    /// Properties of the pool, as `zpool create -o` takes them, without `bootfs`.
    pub properties: Vec<(String, String)>,
    /// The full name of the dataset to boot from.
    pub bootfs: Option<String>,
    /// The datasets, parents before children. That with the pool's name is the root dataset; without it, the
    /// root dataset is an empty directory.
    pub datasets: Vec<DatasetSpec>,
    /// What the labels say of the disk.
    pub vdev: VdevSpec,
    /// The time of creation of everything.
    pub time: Timestamp,
    /// How device numbers are stored.
    pub devices: DeviceNumbers,
}

/// A file system.
#[derive(Debug, Clone)]
pub struct DatasetSpec {
    /// Its full name.
    pub name: String,
    /// Native and user properties that are set on it, as `zfs create -o` takes them.
    pub properties: Vec<(String, String)>,
    /// What is in it; none is an empty root directory, owned by root, with the mode 0755.
    pub tree: Option<Tree>,
    /// Snapshots of it, oldest first, without the dataset's name.
    pub snapshots: Vec<String>,
}

/// What the labels say of the disk, where the kernel looks for it first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VdevSpec {
    /// The device node, an absolute path. Without it the kernel does not open the vdev, but it may be wrong.
    pub path: String,
    /// The path in the device tree; wrong ones cost a scan of all disks.
    pub phys_path: Option<String>,
    /// The device id.
    pub devid: Option<String>,
    /// Whether the whole disk, with its partition table, is the pool's, so that it may grow.
    pub whole_disk: bool,
}

impl PoolSpec {
    /// Checks everything that can be checked without the store.
    ///
    /// # Errors
    /// The first of [`PoolSpec::problems`].
    pub fn validate(&self) -> Result<(), SpecError> {
        self.problems().into_iter().next().map_or(Ok(()), Err)
    }

    /// Everything that ZFS would refuse, or that contradicts something else, as far as it shows without the store.
    #[must_use]
    pub fn problems(&self) -> Vec<SpecError> {
        let mut problems = Vec::new();
        if let Err(source) = name::check_pool(&self.name) {
            problems.push(SpecError::Name { dataset: self.name.clone(), source });
        }
        if !(9..=13).contains(&self.ashift) {
            problems.push(SpecError::Ashift(self.ashift));
        }
        if !self.vdev.path.starts_with('/') {
            problems.push(SpecError::VdevPath(self.vdev.path.clone()));
        }
        self.check_names(&mut problems);
        let boots = |boot: &&String| **boot != self.name && self.datasets.iter().all(|dataset| dataset.name != **boot);
        problems.extend(self.bootfs.iter().filter(boots).cloned().map(SpecError::BootDataset));
        problems.extend(self.properties.iter().filter_map(|property| self.pool_property(property).err()));
        let settings = settings::resolve_into(self, &mut problems);
        limits::check(&settings, &mut problems);
        problems
    }

    fn check_names(&self, problems: &mut Vec<SpecError>) {
        let mut names: BTreeSet<&str> = BTreeSet::from([self.name.as_str()]);
        let mut root_seen = false;
        for dataset in &self.datasets {
            let name = &dataset.name;
            if *name == self.name {
                if std::mem::replace(&mut root_seen, true) {
                    problems.push(SpecError::Duplicate(name.clone()));
                }
            } else {
                if let Err(source) = name::check_dataset(name) {
                    problems.push(SpecError::Name { dataset: name.clone(), source });
                }
                let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
                if name.split('/').next() != Some(self.name.as_str()) {
                    problems.push(SpecError::OtherPool { dataset: name.clone(), pool: self.name.clone() });
                } else if !names.contains(parent) {
                    problems.push(SpecError::NoParent(name.clone()));
                }
                if !names.insert(name) {
                    problems.push(SpecError::Duplicate(name.clone()));
                }
            }
            check_snapshots(dataset, problems);
        }
    }

    /// What the reservations and what is below them take of the pool at least, in bytes, whatever is in the datasets.
    ///
    /// # Errors
    /// The description is wrong.
    pub fn reserved_bytes(&self) -> Result<u64, SpecError> {
        settings::resolve(self).map(|settings| limits::reserved(self, &settings))
    }

    /// The properties of the pool, encoded.
    pub(super) fn pool_properties(&self) -> Result<Vec<EncodedProperty>, SpecError> {
        self.properties.iter().map(|property| self.pool_property(property)).collect()
    }

    fn pool_property(&self, (name, value): &(String, String)) -> Result<EncodedProperty, SpecError> {
        property::parse_pool(name, value).map_err(|source| SpecError::PoolProperty {
            pool: self.name.clone(),
            property: name.clone(),
            source,
        })
    }
}

fn check_snapshots(dataset: &DatasetSpec, problems: &mut Vec<SpecError>) {
    let mut names = BTreeSet::new();
    for snapshot in &dataset.snapshots {
        let full = format!("{}@{snapshot}", dataset.name);
        if let Err(source) = name::check_snapshot(&full) {
            problems.push(SpecError::Snapshot { dataset: dataset.name.clone(), snapshot: snapshot.clone(), source });
        }
        if !names.insert(snapshot) {
            problems.push(SpecError::Duplicate(full));
        }
    }
}
