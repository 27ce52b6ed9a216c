//! What the plugin remembers of its own doing, where the system cannot tell.
//!
//! illumos shows whose an address object is by its name, but not whose a kept
//! route is; Linux shows neither. On illumos the record lives as long as the
//! kept configuration, on Linux, where the kernel forgets everything at a
//! reboot, as long as the kernel runs.
//!
//! It is written before the machine is changed, so it may name what was never
//! made, and never misses what was.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use sysconfig_platform::route::BoundRoute;
use sysconfig_platform::{FileError, Host, IpNet, System, files};

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Record {
    /// The link that `first-up` stands for.
    pub first_up: Option<String>,
    /// Routes of ours; on Linux with the links that they lead over, on illumos where that is kept, too.
    pub routes: BTreeSet<BoundRoute>,
    /// illumos: kept routes that the kernel lost with an address that we deleted, and was not given again. While
    /// another route leads to the same destination, the system does not tell that they are missing.
    pub cut: BTreeSet<BoundRoute>,
    /// The largest packets before we changed them, by link.
    pub mtus: BTreeMap<String, u32>,
    /// Linux: addresses of ours, by link.
    pub addresses: BTreeSet<(String, IpNet)>,
    /// Linux: whether router advertisements were listened to before we changed that, by link.
    pub accept_ra: BTreeMap<String, bool>,
}

fn directory(system: System) -> &'static str {
    match system {
        System::Illumos => "/var/lib/sysconfig",
        System::Linux => "/run/sysconfig",
    }
}

fn path(system: System) -> String {
    format!("{}/interfaces.json", directory(system))
}

impl Record {
    /// Reads the record; an empty one when there is none, or it is damaged, in which case what is there is nobody's.
    pub(crate) fn load(host: &Host) -> Result<Self, FileError> {
        let content = files::read(&host.root, path(host.system))?;
        Ok(content.and_then(|content| serde_json::from_slice(&content).ok()).unwrap_or_default())
    }

    /// Changes the record on the disk.
    pub(crate) fn update<T>(host: &Host, change: impl FnOnce(&mut Self) -> T) -> Result<(), FileError> {
        let mut record = Self::load(host)?;
        let before = record.clone();
        change(&mut record);
        if record == before {
            return Ok(());
        }
        files::make_directory(&host.root, directory(host.system))?;
        let content = serde_json::to_vec(&record).expect("a record has text keys only, so it always serialises");
        files::replace(&host.root, path(host.system), &content).map(drop)
    }
}
