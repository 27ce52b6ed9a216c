//! What a build has made so far. Steps turn one state into the next.

use image_tree::{LoadError, Metadata, Store, StoreError, Timestamp, Tree, TreeHash};
use serde::{Deserialize, Serialize};

/// Changes when a step would turn the same inputs into something else. Since 11, `assemble_files` trims all white space that
/// Unicode has, and `ensure_perms` leaves a link the mode that it has.
pub(crate) const ENGINE_VERSION: &str = "image-steps 11";

/// 2025-01-01T00:00:00Z: the time of everything that a step writes. An image holds no clock.
pub const BUILD_TIME: Timestamp = Timestamp { secs: 1_735_689_600, nanos: 0 };

/// Metadata of something that a step writes.
#[must_use]
pub(crate) fn written(uid: u32, gid: u32, mode: u16) -> Metadata {
    Metadata { mtime: BUILD_TIME, ..Metadata::new(uid, gid, mode) }
}

/// The trees of an image and what else the target needs to know.
#[derive(Clone, Debug)]
pub struct ImageState {
    /// The root file system.
    pub root: Tree,
    /// The EFI system partition.
    pub esp: Tree,
    /// The last archive that was unpacked to the side, for `tarsrc`.
    pub scratch: Option<Tree>,
    /// What the pool holds beside the root.
    pub pool: PoolState,
}

/// Boot environment and datasets of a pool that is to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolState {
    /// What `create_be` asked for, once it was done.
    pub boot_environment: Option<EnvironmentState>,
    /// `make_bootable` was done.
    pub bootable: bool,
    /// Datasets beside the boot environment, in the order of their creation.
    pub datasets: Vec<DatasetState>,
}

/// The boot environment's dataset, beside what every one of them has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentState {
    /// Native and user properties by name.
    pub properties: Vec<(String, String)>,
    /// Names of its snapshots, oldest first.
    pub snapshots: Vec<String>,
}

/// One dataset beside the boot environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetState {
    /// Name below the pool.
    pub name: String,
    /// The `mountpoint` property, when the template sets one.
    pub mountpoint: Option<String>,
    /// Further native and user properties by name.
    pub properties: Vec<(String, String)>,
    /// Names of its snapshots, oldest first.
    pub snapshots: Vec<String>,
}

/// A state by the hashes of its trees: small, and equal only if the image is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedState {
    root: TreeHash,
    esp: TreeHash,
    scratch: Option<TreeHash>,
    pool: PoolState,
}

impl SavedState {
    /// A name for it that is short.
    pub(crate) fn hash(&self) -> String {
        let material = serde_json::to_vec(self).expect("hashes and names are JSON");
        blake3::hash(&material).to_hex().to_string()
    }

    /// The trees that it is made of.
    pub(crate) fn trees(&self) -> impl Iterator<Item = TreeHash> {
        [self.root, self.esp].into_iter().chain(self.scratch)
    }
}

impl ImageState {
    /// The state before the first step: an empty root directory, 0755 root:root.
    #[must_use]
    pub fn empty() -> Self {
        let tree = || Tree::new(written(0, 0, 0o755));
        Self { root: tree(), esp: tree(), scratch: None, pool: PoolState::default() }
    }

    /// Writes the trees to the store, as far as they are not there.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn save(&self, store: &Store) -> Result<SavedState, StoreError> {
        Ok(SavedState {
            root: self.root.save(store)?,
            esp: self.esp.save(store)?,
            scratch: self.scratch.as_ref().map(|tree| tree.save(store)).transpose()?,
            pool: self.pool.clone(),
        })
    }

    /// Reads a state back.
    ///
    /// # Errors
    /// When the store lacks a part or cannot be read.
    pub fn load(store: &Store, saved: &SavedState) -> Result<Self, LoadError> {
        Ok(Self {
            root: Tree::load(store, saved.root)?,
            esp: Tree::load(store, saved.esp)?,
            scratch: saved.scratch.map(|hash| Tree::load(store, hash)).transpose()?,
            pool: saved.pool.clone(),
        })
    }
}
