//! What the plugin remembers of its own doing.
//!
//! Whose a volume is tells a property of the volume itself; whose a file, a row or an area in use is, nothing does. The
//! record is written before the machine is changed, so it may name what was never made, and never misses what was.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use sysconfig_platform::{FileError, Host, files};
use sysconfig_plugin::record;

const DIRECTORY: &str = "/var/lib/sysconfig";
pub(crate) const PATH: &str = "/var/lib/sysconfig/swap.json";

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
    /// What was at the path when it was taken into use: the guid of a volume, the inode and length of a file.
    pub(crate) what: Option<String>,
    /// Tells whether it has changed since a step of ours made it, wrote it, or took it out of use.
    pub(crate) left: Option<String>,
}

impl Ours {
    /// It is no longer in use.
    pub(crate) fn stop(&mut self) {
        (self.used, self.what) = (false, None);
    }
}

impl Record {
    /// Reads the record, and tells whether it is damaged: then nothing is known to be ours.
    pub(crate) fn load(host: &Host) -> Result<(Self, bool), FileError> {
        let Some(content) = files::read(&host.root, PATH)? else { return Ok((Self::default(), false)) };
        let record: Option<Self> = record::read(&content);
        let is_damaged = record.is_none();
        Ok((record.unwrap_or_default(), is_damaged))
    }

    /// Changes the record on the disk; a damaged one is kept beside it.
    pub(crate) fn update(host: &Host, change: impl FnOnce(&mut Self)) -> Result<(), FileError> {
        let (mut record, is_damaged) = Self::load(host)?;
        let before = record.clone();
        change(&mut record);
        record.areas.retain(|_, ours| *ours != Ours::default());
        if record == before {
            return Ok(());
        }
        files::make_directory(&host.root, DIRECTORY)?;
        if is_damaged {
            let content = files::read(&host.root, PATH)?.unwrap_or_default();
            files::replace(&host.root, format!("{PATH}.damaged"), &content)?;
        }
        let content = record::write(&record);
        files::replace(&host.root, PATH, &content).map(drop)
    }
}
