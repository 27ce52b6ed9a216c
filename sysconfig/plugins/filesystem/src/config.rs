//! The configuration of the plugin.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use sysconfig_platform::System;
use sysconfig_platform::boot_table::{BootRow, Line};
use sysconfig_platform::mounting::MountRequest;

/// The configuration key of datasets.
pub(crate) const DATASETS: &str = "storage.dataset";
/// The configuration key of mounts.
pub(crate) const MOUNTS: &str = "storage.mount";

/// What is configured.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Datasets.
    #[serde(default, rename = "storage.dataset")]
    pub datasets: Vec<DatasetEntry>,
    /// Mounts; when the key is not set, mounts are not looked at.
    #[serde(default, rename = "storage.mount")]
    pub mounts: Option<Vec<MountEntry>>,
}

impl Config {
    pub(crate) fn mounts(&self) -> &[MountEntry] {
        self.mounts.as_deref().unwrap_or_default()
    }
}

/// One `[[storage.dataset]]`: a file system of ZFS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DatasetEntry {
    /// Its name.
    pub name: String,
    /// Its properties; set when it is created, and kept so.
    #[serde(default)]
    pub properties: BTreeMap<String, PropertyValue>,
    /// Whether one that others have made may be changed.
    #[serde(default)]
    pub adopt: bool,
    /// Whether it may be destroyed; the command line has to allow it too.
    #[serde(default)]
    pub allow_destructive: bool,
    /// Whether it shall not exist.
    #[serde(default)]
    pub absent: bool,
}

impl DatasetEntry {
    pub(crate) fn property(&self, name: &str) -> Option<String> {
        self.properties.get(name).map(PropertyValue::to_string)
    }
}

/// The value of a property; `true` and `false` stand for `on` and `off`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected a text, a whole number, true or false")]
pub enum PropertyValue {
    /// `on` or `off`.
    Flag(bool),
    /// A number.
    Number(u64),
    /// Anything else.
    Text(String),
}

impl fmt::Display for PropertyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(true) => f.write_str("on"),
            Self::Flag(false) => f.write_str("off"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// One `[[storage.mount]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MountEntry {
    /// What is mounted: a device, `server:/path`, a dataset, a directory, or a word for file systems in memory.
    pub device: String,
    /// Where.
    pub mountpoint: String,
    /// The type, in the system's own word; `bind` on Linux.
    #[serde(rename = "type")]
    pub fstype: String,
    /// Mount options.
    #[serde(default)]
    pub options: Vec<String>,
    /// Whether there is a row in the boot table.
    #[serde(default = "yes")]
    pub persistent: bool,
    /// Whether that row says that it is mounted at boot.
    #[serde(default = "yes")]
    pub at_boot: bool,
    /// In which pass it is checked at boot; 0 for never.
    #[serde(default)]
    pub fsck_pass: u8,
    /// Whether it may cover files that are there.
    #[serde(default)]
    pub overlay: bool,
    /// Whether a mount or row that others have made may be changed.
    #[serde(default)]
    pub adopt: bool,
}

fn yes() -> bool {
    true
}

impl MountEntry {
    pub(crate) fn request(&self) -> MountRequest {
        MountRequest {
            device: self.device.clone(),
            mount_point: self.mountpoint.clone(),
            fstype: self.fstype.clone(),
            options: self.options.clone(),
            overlay: self.overlay,
        }
    }

    /// The row that brings it back at boot.
    pub(crate) fn row(&self, system: System) -> BootRow {
        let is_bind = system == System::Linux && self.fstype == "bind";
        let options = is_bind.then(|| "bind".to_owned()).into_iter().chain(self.options.iter().cloned());
        let raw = |beginning: &str| {
            let name = self.device.strip_prefix(&format!("{beginning}/dsk/"))?;
            Some(format!("{beginning}/rdsk/{name}"))
        };
        let raw = raw("/dev").or_else(|| raw("/dev/zvol"));
        BootRow {
            device: self.device.clone(),
            raw_device: raw.filter(|_| system == System::Illumos),
            mount_point: Some(self.mountpoint.clone()),
            fstype: if is_bind { "none".to_owned() } else { self.fstype.clone() },
            fsck_pass: self.fsck_pass,
            at_boot: self.at_boot,
            options: options.collect(),
            line: Line::default(),
        }
    }
}

/// The JSON Schema of `storage.dataset`.
pub(crate) const DATASET_SCHEMA: &str = include_str!("dataset.schema.json");

/// The JSON Schema of `storage.mount`.
pub(crate) const MOUNT_SCHEMA: &str = include_str!("mount.schema.json");
