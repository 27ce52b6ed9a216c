//! Feature flags: what a pool may say it uses, and who can then read it.
//!
//! Sources: `zfeature_common.c` of illumos (2023-12) and OpenZFS, `zfeature.h`; the list of the illumos boot loader
//! is `features_for_read` in `libsa/zfs/zfsimpl.c`, that of GRUB is `spa_feature_names` in `grub-core/fs/zfs/zfs.c`.

use std::collections::BTreeSet;

/// A feature that pools may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// The name in the pool, with the domain of its inventor.
    pub guid: &'static str,
    /// The short name, as in `feature@lz4_compress`.
    pub name: &'static str,
    /// What it is, as stored in the pool's `feature_descriptions`.
    pub description: &'static str,
    /// Short names of the features that it needs.
    pub depends: &'static [&'static str],
    /// Whether a system without it may import the pool for reading: `ZFEATURE_FLAG_READONLY_COMPAT`.
    pub readonly_compatible: bool,
    /// Whether the label has to name it, because the meta object set cannot be read without it: `ZFEATURE_FLAG_MOS`.
    pub needed_for_mos: bool,
    /// Whether it is active from the moment on that it is enabled: `ZFEATURE_FLAG_ACTIVATE_ON_ENABLE`.
    pub active_when_enabled: bool,
    /// Whether each dataset activates it for itself: `ZFEATURE_FLAG_PER_DATASET`.
    pub per_dataset: bool,
    /// Whether the illumos kernel of 2023-12 knows it.
    pub illumos: bool,
    /// Whether the illumos boot loader of 2023-12 reads pools in which it is active.
    pub illumos_loader: bool,
    /// Whether GRUB 2.06 reads pools in which it is active.
    pub grub: bool,
}

/// Bits for the table below.
const READONLY: u8 = 1;
const MOS: u8 = 2;
const ACTIVE: u8 = 4;
const DATASET: u8 = 8;
const ILLUMOS: u8 = 16;
const LOADER: u8 = 32;
const GRUB: u8 = 64;

const fn feature(
    guid: &'static str,
    name: &'static str,
    description: &'static str,
    flags: u8,
    depends: &'static [&'static str],
) -> Feature {
    let readonly_compatible = flags & READONLY != 0;
    Feature {
        guid,
        name,
        description,
        depends,
        readonly_compatible,
        needed_for_mos: flags & MOS != 0,
        active_when_enabled: flags & ACTIVE != 0,
        per_dataset: flags & DATASET != 0,
        illumos: flags & ILLUMOS != 0,
        // Neither loader asks for features that concern writing only.
        illumos_loader: readonly_compatible || flags & LOADER != 0,
        grub: readonly_compatible || flags & GRUB != 0,
    }
}

const EXTENSIBLE: &[&str] = &["extensible_dataset"];

/// All features that are known here, those of illumos first.
pub const FEATURES: &[Feature] = &[
    feature(
        "com.delphix:async_destroy",
        "async_destroy",
        "Destroy filesystems asynchronously.",
        READONLY | ILLUMOS,
        &[],
    ),
    feature("com.delphix:empty_bpobj", "empty_bpobj", "Snapshots use less space.", READONLY | ILLUMOS, &[]),
    feature(
        "org.illumos:lz4_compress",
        "lz4_compress",
        "LZ4 compression algorithm support.",
        ACTIVE | ILLUMOS | LOADER | GRUB,
        &[],
    ),
    feature(
        "com.joyent:multi_vdev_crash_dump",
        "multi_vdev_crash_dump",
        "Crash dumps to multiple vdev pools.",
        ILLUMOS | LOADER,
        &[],
    ),
    feature(
        "com.delphix:spacemap_histogram",
        "spacemap_histogram",
        "Spacemaps maintain space histograms.",
        READONLY | ILLUMOS,
        &[],
    ),
    feature(
        "com.delphix:enabled_txg",
        "enabled_txg",
        "Record txg at which a feature is enabled",
        READONLY | ILLUMOS,
        &[],
    ),
    feature(
        "com.delphix:hole_birth",
        "hole_birth",
        "Retain hole birth txg for more precise zfs send",
        MOS | ACTIVE | ILLUMOS | LOADER | GRUB,
        &["enabled_txg"],
    ),
    feature(
        "com.delphix:zpool_checkpoint",
        "zpool_checkpoint",
        "Pool state can be checkpointed, allowing rewind later.",
        READONLY | ILLUMOS,
        &[],
    ),
    feature(
        "com.delphix:spacemap_v2",
        "spacemap_v2",
        "Space maps representing large segments are more efficient.",
        READONLY | ACTIVE | ILLUMOS,
        &[],
    ),
    feature(
        "com.delphix:extensible_dataset",
        "extensible_dataset",
        "Enhanced dataset functionality, used by other features.",
        ILLUMOS | LOADER | GRUB,
        &[],
    ),
    feature("com.delphix:bookmarks", "bookmarks", "\"zfs bookmark\" command", READONLY | ILLUMOS, EXTENSIBLE),
    feature(
        "com.joyent:filesystem_limits",
        "filesystem_limits",
        "Filesystem and snapshot limits.",
        READONLY | ILLUMOS,
        EXTENSIBLE,
    ),
    feature(
        "com.delphix:embedded_data",
        "embedded_data",
        "Blocks which compress very well use even less space.",
        MOS | ACTIVE | ILLUMOS | LOADER | GRUB,
        &[],
    ),
    feature(
        "com.delphix:log_spacemap",
        "log_spacemap",
        "Log metaslab changes on a single spacemap and flush them periodically.",
        READONLY | ILLUMOS,
        &["spacemap_v2"],
    ),
    feature(
        "org.open-zfs:large_blocks",
        "large_blocks",
        "Support for blocks larger than 128KB.",
        DATASET | ILLUMOS | LOADER | GRUB,
        EXTENSIBLE,
    ),
    feature(
        "org.zfsonlinux:large_dnode",
        "large_dnode",
        "Variable on-disk size of dnodes.",
        DATASET | ILLUMOS | LOADER,
        EXTENSIBLE,
    ),
    feature("org.illumos:sha512", "sha512", "SHA-512/256 hash algorithm.", DATASET | ILLUMOS | LOADER, EXTENSIBLE),
    feature("org.illumos:skein", "skein", "Skein hash algorithm.", DATASET | ILLUMOS | LOADER, EXTENSIBLE),
    feature("org.illumos:edonr", "edonr", "Edon-R hash algorithm.", DATASET | ILLUMOS | LOADER, EXTENSIBLE),
    feature(
        "com.delphix:device_removal",
        "device_removal",
        "Top-level vdevs can be removed, reducing logical pool size.",
        MOS | ILLUMOS | LOADER,
        &[],
    ),
    feature(
        "com.delphix:obsolete_counts",
        "obsolete_counts",
        "Reduce memory used by removed devices when their blocks are freed or remapped.",
        READONLY | ILLUMOS,
        &["extensible_dataset", "device_removal"],
    ),
    feature(
        "org.zfsonlinux:userobj_accounting",
        "userobj_accounting",
        "User/Group object accounting.",
        READONLY | DATASET | ILLUMOS,
        EXTENSIBLE,
    ),
    feature(
        "com.datto:bookmark_v2",
        "bookmark_v2",
        "Support for larger bookmarks",
        ILLUMOS | LOADER,
        &["extensible_dataset", "bookmarks"],
    ),
    feature(
        "com.datto:encryption",
        "encryption",
        "Support for dataset level encryption",
        DATASET | ILLUMOS | LOADER,
        &["extensible_dataset", "bookmark_v2"],
    ),
    feature(
        "org.zfsonlinux:project_quota",
        "project_quota",
        "space/object accounting based on project ID.",
        READONLY | DATASET | ILLUMOS,
        EXTENSIBLE,
    ),
    feature(
        "org.zfsonlinux:allocation_classes",
        "allocation_classes",
        "Support for separate allocation classes.",
        READONLY | ILLUMOS,
        &[],
    ),
    feature(
        "com.datto:resilver_defer",
        "resilver_defer",
        "Support for defering new resilvers when one is already running.",
        READONLY | ILLUMOS,
        &[],
    ),
    // What follows is known to OpenZFS only; the reader has to tell it from what nobody knows.
    feature("com.delphix:livelist", "livelist", "Improved clone deletion performance.", READONLY, EXTENSIBLE),
    feature("org.openzfs:device_rebuild", "device_rebuild", "Support for sequential rebuilds", READONLY, &[]),
    feature("org.freebsd:zstd_compress", "zstd_compress", "zstd compression algorithm support.", DATASET, EXTENSIBLE),
    feature("org.openzfs:draid", "draid", "Support for distributed spare RAID", MOS, &[]),
    feature(
        "org.openzfs:zilsaxattr",
        "zilsaxattr",
        "Support for xattr=sa extended attribute logging in ZIL.",
        READONLY,
        EXTENSIBLE,
    ),
    feature("com.delphix:head_errlog", "head_errlog", "Support for per-dataset on-disk error logs.", ACTIVE, &[]),
    feature("org.openzfs:blake3", "blake3", "BLAKE3 hash algorithm.", DATASET, EXTENSIBLE),
    feature(
        "com.fudosecurity:block_cloning",
        "block_cloning",
        "Support for block cloning via Block Reference Table.",
        READONLY,
        &[],
    ),
    feature("com.klarasystems:vdev_zaps_v2", "vdev_zaps_v2", "Support for root vdev ZAP.", MOS, &[]),
];

/// The feature with that short or full name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Feature> {
    FEATURES.iter().find(|feature| feature.name == name || feature.guid == name)
}

/// What a set of features cannot be made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeatureError {
    /// No system has a feature or set of that name.
    #[error("there is no feature `{0}`")]
    Unknown(String),
    /// The target's kernel could not import the pool.
    #[error("the illumos kernel does not know the feature `{0}`")]
    NotOnIllumos(String),
    /// The feature is known, but the writer does not write what it stands for.
    #[error("pools with the feature `{0}` cannot be written")]
    NotWritten(String),
}

/// The features that a new pool has enabled, closed under dependency.
///
/// The empty set makes a pool of version 5000 without any feature, which every system reads that knows features
/// at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeatureSet {
    names: BTreeSet<&'static str>,
}

/// The features of the named set `illumos`: all that change nothing for a reader of an image until they are used,
/// and that the illumos boot loader accepts. `log_spacemap`, `encryption` and what only serves several devices are
/// left out: `zpool upgrade` can enable them later.
const ILLUMOS_SET: &[&str] = &[
    "async_destroy",
    "empty_bpobj",
    "lz4_compress",
    "spacemap_histogram",
    "enabled_txg",
    "hole_birth",
    "extensible_dataset",
    "bookmarks",
    "filesystem_limits",
    "embedded_data",
    "large_blocks",
];

impl FeatureSet {
    /// No features.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The named set `illumos`.
    #[must_use]
    pub fn illumos() -> Self {
        let mut set = Self::default();
        ILLUMOS_SET.iter().for_each(|name| set.add(name));
        set
    }

    /// The set that a word in a template means: `none`, `illumos`, or names separated by commas.
    ///
    /// # Errors
    /// A name that is not known, or that is not one of the features that can be written.
    pub fn parse(words: &str) -> Result<Self, FeatureError> {
        let mut set = Self::default();
        for word in words.split(',').map(str::trim) {
            match word {
                "none" => {}
                "illumos" => ILLUMOS_SET.iter().for_each(|name| set.add(name)),
                _ => set.enable(word)?,
            }
        }
        Ok(set)
    }

    /// Enables a feature with all that it depends on.
    ///
    /// # Errors
    /// The name is not known, or is not one of the features that can be written.
    pub fn enable(&mut self, name: &str) -> Result<(), FeatureError> {
        let feature = find(name).ok_or_else(|| FeatureError::Unknown(name.to_owned()))?;
        if !feature.illumos {
            return Err(FeatureError::NotOnIllumos(feature.name.to_owned()));
        }
        if !ILLUMOS_SET.contains(&feature.name) {
            return Err(FeatureError::NotWritten(feature.name.to_owned()));
        }
        self.add(feature.name);
        Ok(())
    }

    /// Takes a feature away again, with all that depend on it.
    pub fn disable(&mut self, name: &str) {
        let Some(feature) = find(name) else { return };
        if self.names.remove(feature.name) {
            let dependents = FEATURES.iter().filter(|other| other.depends.contains(&feature.name));
            dependents.for_each(|dependent| self.disable(dependent.name));
        }
    }

    fn add(&mut self, name: &str) {
        let Some(feature) = find(name) else { return };
        if self.names.insert(feature.name) {
            feature.depends.iter().for_each(|depended| self.add(depended));
        }
    }

    /// Whether a feature, by its short or full name, is enabled.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        find(name).is_some_and(|feature| self.names.contains(feature.name))
    }

    /// Whether no feature is enabled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The enabled features, in the order of [`FEATURES`].
    pub fn iter(&self) -> impl Iterator<Item = &'static Feature> {
        FEATURES.iter().filter(|feature| self.names.contains(feature.name))
    }
}

#[cfg(test)]
mod tests;
