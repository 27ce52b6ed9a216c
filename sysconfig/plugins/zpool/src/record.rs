//! What the plugin remembers of what it has begun.
//!
//! `zpool` puts a table on a whole disk before anything else that can fail, and leaves it there. What was blank when it was given,
//! and bears nothing since but that table, or what the pool has left that it was taken out of again, is nobody's.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use sysconfig_platform::device::{self, Content};
use sysconfig_platform::{FileError, Host, System, files};
use sysconfig_plugin::record;

const DIRECTORY: &str = "/var/lib/sysconfig";
const PATH: &str = "/var/lib/sysconfig/zpool.json";

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Record {
    /// Devices that were blank when they were given to `zpool`, by path.
    given: BTreeMap<String, Given>,
    /// Pools, by guid, that were imported, and whose file systems are still to be mounted.
    pub(crate) to_mount: BTreeSet<u64>,
    /// What the last apply that had any to mount has mounted of pools, by guid, in order.
    pub(crate) mounted: BTreeMap<u64, Vec<String>>,
}

/// What became of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Given {
    /// Tells what it was like when it was taken out of the pool again; nothing before.
    left: Option<String>,
}

impl Record {
    /// Reads the record; a damaged one tells nothing.
    pub(crate) fn load(host: &Host) -> Result<Self, FileError> {
        let content = files::read(&host.root, PATH)?;
        Ok(content.and_then(|content| record::read(&content)).unwrap_or_default())
    }

    /// Changes the record on the disk.
    pub(crate) fn update(host: &Host, change: impl FnOnce(&mut Self)) -> Result<(), FileError> {
        let before = Self::load(host)?;
        let mut record = before.clone();
        change(&mut record);
        if record == before {
            return Ok(());
        }
        files::make_directory(&host.root, DIRECTORY)?;
        files::replace(&host.root, PATH, &record::write(&record)).map(drop)
    }

    /// Notes that a pool is about to be imported.
    pub(crate) fn begin_import(&mut self, guid: u64) {
        self.mounted.remove(&guid);
        self.to_mount.insert(guid);
    }

    /// Forgets what an earlier apply has mounted of a pool. When nothing is to be mounted, it is this very step that was carried out
    /// already, and what it has mounted stays known.
    pub(crate) fn begin_mounting(&mut self, guid: u64) {
        if self.to_mount.contains(&guid) {
            self.mounted.remove(&guid);
        }
    }

    /// Forgets a pool that is not imported.
    pub(crate) fn let_go(&mut self, guid: u64) {
        self.mounted.remove(&guid);
        self.to_mount.remove(&guid);
    }

    /// Notes blank devices that are about to be given to a pool. What may be called otherwise after a reboot is not known then.
    pub(crate) fn give<'a>(&mut self, system: System, paths: impl Iterator<Item = &'a str>) {
        let lasting = paths.filter(|path| system == System::Illumos || !device::is_kernel_name(path));
        for path in lasting {
            // How it was left before is still known when nothing comes of it this time.
            self.given.entry(path.to_owned()).or_default();
        }
    }

    /// Forgets devices that a pool has.
    pub(crate) fn forget<'a>(&mut self, paths: impl Iterator<Item = &'a str>) {
        paths.for_each(|path| drop(self.given.remove(path)));
    }

    /// Notes how a device was left that was given, and taken out again.
    pub(crate) fn take_back(&mut self, system: System, path: &str, fingerprint: String) {
        self.give(system, std::iter::once(path));
        if let Some(given) = self.given.get_mut(path) {
            given.left = Some(fingerprint);
        }
    }

    /// Whether a device that was blank holds nothing but what `zpool` has left on it.
    pub(crate) fn is_left(&self, path: &str, content: &Content) -> bool {
        self.given.get(path).is_some_and(|given| match &given.left {
            None => content.is_prepared,
            Some(left) => *left == content.fingerprint,
        })
    }
}
