//! Datasets of the simulated ZFS.

use crate::zfs::Kind;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

/// A dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeDataset {
    /// What it is.
    pub kind: Kind,
    /// The properties that are set on it.
    pub properties: BTreeMap<String, String>,
    /// The properties that came with `zfs receive`.
    pub received: BTreeMap<String, String>,
    /// Those of them that count no longer, because somebody has inherited another value.
    pub overruled: BTreeSet<String>,
    /// The bytes of what is in it.
    pub used: u64,
    /// Whether it is mounted.
    pub mounted: bool,
    /// Whether the key is loaded, when it is encrypted.
    pub has_key: bool,
    /// Tells it from others that were or will be of the same name.
    pub guid: u64,
    /// Its snapshots, by what stands behind the `@`, with their guids.
    pub snapshots: BTreeMap<String, u64>,
    /// The snapshot that it was cloned from.
    pub origin: Option<String>,
}

/// The guid that the next dataset or snapshot gets.
static NEXT_GUID: AtomicU64 = AtomicU64::new(7_000_001);

pub(super) fn next_guid() -> u64 {
    NEXT_GUID.fetch_add(1, Ordering::Relaxed)
}

impl FakeDataset {
    /// A file system.
    #[must_use]
    pub fn filesystem<const N: usize>(properties: [(&str, &str); N]) -> Self {
        Self::new(Kind::Filesystem, &properties)
    }

    /// A volume.
    #[must_use]
    pub fn volume<const N: usize>(bytes: u64, properties: [(&str, &str); N]) -> Self {
        let mut volume = Self::new(Kind::Volume, &properties);
        volume.properties.insert("volsize".to_owned(), bytes.to_string());
        volume
    }

    pub(super) fn new(kind: Kind, properties: &[(&str, &str)]) -> Self {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (guid, snapshots) = (next_guid(), BTreeMap::new());
        let (received, overruled) = (BTreeMap::new(), BTreeSet::new());
        Self {
            kind,
            properties,
            received,
            overruled,
            used: 0,
            mounted: false,
            has_key: true,
            guid,
            snapshots,
            origin: None,
        }
    }

    /// The value of a property that is set on the dataset itself.
    #[must_use]
    pub fn local(&self, property: &str) -> Option<&str> {
        self.properties.get(property).map(String::as_str)
    }

    /// The value that a property was received with, as long as it counts.
    #[must_use]
    pub fn received(&self, property: &str) -> Option<&str> {
        self.received.get(property).filter(|_| !self.overruled.contains(property)).map(String::as_str)
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.local("encryption").is_some_and(|value| value != "off")
    }
}
