//! What a pool is, apart from what is in it: version, disk, properties, features.

use std::collections::BTreeMap;
use std::fmt;

use zfs_format::feature;
use zfs_format::nvlist::NvList;
use zfs_format::object::pool_directory;

use super::{Pool, ReadError};

/// What the label says of the disk that can be told without its guid, its size and where its metaslabs are.
const DISK: [&str; 7] = ["type", "path", "devid", "phys_path", "whole_disk", "ashift", "is_log"];
/// What the label says of the pool and of the system that had it last, apart from guids and transaction groups.
const OWNER: [&str; 2] = ["hostname", "hostid"];

/// Whether a feature of a pool is in use: zpool-features(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureState {
    /// It may be used.
    Enabled,
    /// What is on the disk uses it.
    Active,
}

impl fmt::Display for FeatureState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Enabled => "enabled",
            Self::Active => "active",
        })
    }
}

/// What `zpool get all`, and `zdb -l` of its disk, would tell of a pool, but for identities and sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The version on the disk, 5000 for a pool with features.
    pub version: u64,
    /// What the label says of the disk, and of the system that had the pool last: `ashift`, `path`, `devid`,
    /// `phys_path` and so on, by the names that the label has for them.
    pub label: BTreeMap<String, String>,
    /// The properties that are set; `bootfs` is the name of its dataset.
    pub properties: BTreeMap<String, String>,
    /// By the names of `feature@NAME`; by their guids where they are not known here.
    pub features: BTreeMap<String, FeatureState>,
}

impl Pool<'_> {
    /// What the pool is, apart from what is in it.
    ///
    /// # Errors
    /// Its properties, features or datasets cannot be read.
    pub fn describe(&self) -> Result<Description, ReadError> {
        let config = self.label_config();
        let mut label = BTreeMap::new();
        if let Some(disk) = config.list("vdev_tree") {
            put(&mut label, disk, &DISK);
        }
        put(&mut label, config, &OWNER);
        let mut properties = self.pool_properties()?;
        if let Some(comment) = config.string("comment") {
            properties.insert("comment".to_owned(), comment.to_owned());
        }
        if let Some(boots) = self.boot_dataset()? {
            properties.insert("bootfs".to_owned(), boots.name);
        }
        let version = self.uberblock().version;
        Ok(Description { version, label, properties, features: self.features()? })
    }

    fn features(&self) -> Result<BTreeMap<String, FeatureState>, ReadError> {
        let mut features = BTreeMap::new();
        for list in [pool_directory::FEATURES_FOR_READ, pool_directory::FEATURES_FOR_WRITE] {
            let Some(object) = self.directory_object(list)? else { continue };
            self.mos().for_each_zap_entry(object, |entry| {
                let guid = String::from_utf8_lossy(&entry.name).into_owned();
                let name = feature::find(&guid).map_or(guid, |found| found.name.to_owned());
                // The value counts who uses it.
                let is_active = entry.value.as_u64() != Some(0);
                features.insert(name, if is_active { FeatureState::Active } else { FeatureState::Enabled });
                Ok(())
            })?;
        }
        Ok(features)
    }
}

fn put(into: &mut BTreeMap<String, String>, list: &NvList, names: &[&str]) {
    for name in names {
        let text = list.string(name).map(str::to_owned);
        let Some(text) = text.or_else(|| list.u64(name).map(|number| number.to_string())) else { continue };
        into.insert((*name).to_owned(), text);
    }
}
