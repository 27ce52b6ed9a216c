//! What the plugin remembers of its own doing.
//!
//! Whose a volume is tells a property of the volume itself; whose a file, a row or an area in use is, nothing does. The
//! record is written before the machine is changed, so it may name what was never made, and never misses what was.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use sysconfig_platform::{FileError, Host, files};

const DIRECTORY: &str = "/var/lib/sysconfig";
const PATH: &str = "/var/lib/sysconfig/swap.json";

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Record {
    /// Areas of ours, by path.
    pub(crate) areas: BTreeMap<String, Ours>,
}

/// What of an area is ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Ours {
    /// The file, and not only its use.
    pub(crate) made: bool,
    /// The row of the boot table.
    pub(crate) row: bool,
    /// That it is in use.
    pub(crate) used: bool,
}

impl Record {
    /// Reads the record; an empty one when there is none, or it is damaged, in which case nothing is ours.
    pub(crate) fn load(host: &Host) -> Result<Self, FileError> {
        let content = files::read(&host.root, PATH)?;
        Ok(content.and_then(|content| serde_json::from_slice(&content).ok()).unwrap_or_default())
    }

    /// Changes the record on the disk.
    pub(crate) fn update(host: &Host, change: impl FnOnce(&mut Self)) -> Result<(), FileError> {
        let mut record = Self::load(host)?;
        let before = record.clone();
        change(&mut record);
        record.areas.retain(|_, ours| *ours != Ours::default());
        if record == before {
            return Ok(());
        }
        files::make_directory(&host.root, DIRECTORY)?;
        let content = serde_json::to_vec(&record).expect("a record has text keys only, so it always serialises");
        files::replace(&host.root, PATH, &content).map(drop)
    }
}
