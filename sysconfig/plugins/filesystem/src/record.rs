//! What the plugin remembers of its own doing.
//!
//! Whose a dataset is tells a property of the dataset itself; whose a mount or a row is, nothing does. The record is
//! written before the machine is changed, so it may name what was never made, and never misses what was; a mount counts
//! as ours only when it is what the record says.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use sysconfig_platform::mounting::MountRequest;
use sysconfig_platform::{FileError, Host, files};

const DIRECTORY: &str = "/var/lib/sysconfig";
pub(crate) const PATH: &str = "/var/lib/sysconfig/filesystem.json";

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Record {
    /// Mounts of ours, by mount point.
    pub(crate) mounts: BTreeMap<String, OurMount>,
    /// Mount points whose row in the boot table is ours.
    pub(crate) rows: BTreeSet<String>,
    /// Whether a dataset was ever made or taken over.
    pub(crate) datasets: bool,
    /// Whether what the disk has cannot be read.
    #[serde(skip)]
    pub(crate) is_damaged: bool,
}

/// A mount of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct OurMount {
    /// As it was mounted last.
    pub(crate) request: MountRequest,
    /// The topmost of the directories that were made for it.
    pub(crate) made_directory: Option<String>,
    /// Whether it hides something.
    #[serde(default)]
    pub(crate) covers: bool,
}

impl Record {
    /// Reads the record; an empty one when there is none, or it is damaged, in which case nothing is ours.
    pub(crate) fn load(host: &Host) -> Result<Self, FileError> {
        let Some(content) = files::read(&host.root, PATH)? else { return Ok(Self::default()) };
        Ok(serde_json::from_slice(&content).unwrap_or_else(|_| Self { is_damaged: true, ..Self::default() }))
    }

    /// Changes the record on the disk.
    pub(crate) fn update(host: &Host, change: impl FnOnce(&mut Self)) -> Result<(), FileError> {
        let mut record = Self::load(host)?;
        let before = record.clone();
        change(&mut record);
        if record == before {
            return Ok(());
        }
        files::make_directory(&host.root, DIRECTORY)?;
        let content = serde_json::to_vec(&record).expect("a record has text keys only, so it always serialises");
        files::replace(&host.root, PATH, &content).map(drop)
    }
}
