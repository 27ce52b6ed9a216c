//! Destroying a dataset: that very one, with those snapshots of which the plan has told, and nothing that has come since.

use super::busy_error;
use super::datasets::{is_ours, present};
use crate::storage_error;
use sysconfig_platform::Host;
use sysconfig_platform::zfs;
use sysconfig_platform::zfs::family::{self, Relative, Snapshot};
use sysconfig_plugin::{Outcome, PluginError};

/// What was there when it was planned.
pub(super) struct Planned<'a> {
    pub(super) name: &'a str,
    pub(super) guid: Option<&'a str>,
    pub(super) snapshots: &'a [Snapshot],
    pub(super) was_ours: bool,
    /// Where it is mounted.
    pub(super) place: Option<&'a str>,
}

pub(super) fn destroy(host: &Host, planned: &Planned<'_>) -> Result<Outcome, PluginError> {
    let name = planned.name;
    let Some(present) = present(host, name)? else { return Ok(Outcome::AlreadySo) };
    if planned.was_ours && !is_ours(&present) {
        return Err(planned.changed("it is another one than when this was planned, and is not ours"));
    }
    let relatives = family::relatives(host, name).map_err(storage_error)?;
    let snapshots = family::snapshots(host, name).map_err(storage_error)?;
    planned.check(&relatives, &snapshots)?;
    if snapshots.is_empty() {
        return planned.free(zfs::destroy(host, name), host).map(|()| Outcome::Changed);
    }
    // Whoever uses it keeps it, and then its snapshots are not to be lost without it.
    planned.free(zfs::unmount(host, name), host)?;
    let mut destroyed = Ok(());
    for name in snapshots.iter().map(|snapshot| snapshot.name.as_str()).chain([name]) {
        destroyed = destroyed.and_then(|()| zfs::destroy(host, name));
    }
    if destroyed.is_err() && planned.place.is_some() {
        // The first error is the one to report.
        let _ = zfs::mount(host, name);
    }
    destroyed.map(|()| Outcome::Changed).map_err(storage_error)
}

impl Planned<'_> {
    /// Whether everything that would go is what was planned to go. ZFS itself destroys no more than it is told, but it
    /// would do so in part.
    fn check(&self, relatives: &[Relative], snapshots: &[Snapshot]) -> Result<(), PluginError> {
        let it = relatives.iter().find(|other| other.name == self.name);
        if self.guid.is_none() || it.map(|it| it.guid.as_str()) != self.guid {
            return Err(self.changed("it is another one than when this was planned"));
        }
        if let Some(child) = relatives.iter().find(|other| other.lies_in(self.name)) {
            return Err(self.changed(&format!("{} lies in it now", child.name)));
        }
        if let Some(new) = snapshots.iter().find(|snapshot| !self.snapshots.iter().any(|planned| planned.is(snapshot)))
        {
            return Err(self.changed(&format!("the snapshot {} was made since this was planned", new.name)));
        }
        // They go one after the other, and the first ones would be lost although the dataset stays.
        if let Some(held) = snapshots.iter().find(|snapshot| snapshot.held) {
            let message = format!("cannot destroy {}: somebody holds its snapshot {}", self.name, held.name);
            let help = format!("`zfs holds {}` says who; `zfs release` lets it go", held.name);
            return Err(PluginError::new(message).help(help));
        }
        match relatives.iter().find(|other| other.was_cloned_from(self.name)) {
            Some(clone) => Err(self.changed(&format!("{} was cloned from it since this was planned", clone.name))),
            None => Ok(()),
        }
    }

    fn changed(&self, what: &str) -> PluginError {
        let message = format!("cannot destroy {}: {what}", self.name);
        PluginError::new(message).help("look at what is there now; then plan and apply again")
    }

    fn free(&self, done: Result<(), sysconfig_platform::StorageError>, host: &Host) -> Result<(), PluginError> {
        done.map_err(|error| busy_error(host, self.place.as_slice(), error))
    }
}
