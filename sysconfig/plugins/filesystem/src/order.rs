//! What has to be there before what: parents before children, mounts before what is mounted below them, datasets before
//! their legacy mounts, and directories before what shows them in a second place.

use crate::config::{Config, DatasetEntry, MountEntry};
use std::collections::BTreeSet;
use sysconfig_platform::mount_table::is_below;

/// A dataset or mount of the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit<'a> {
    Dataset(&'a DatasetEntry),
    Mount(&'a MountEntry),
}

impl Unit<'_> {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Dataset(dataset) => &dataset.name,
            Self::Mount(mount) => &mount.mountpoint,
        }
    }
}

/// What is to be there, as it is written.
pub(crate) fn units(config: &Config) -> Vec<Unit<'_>> {
    let datasets = config.datasets.iter().filter(|dataset| !dataset.absent).map(Unit::Dataset);
    datasets.chain(config.mounts().iter().map(Unit::Mount)).collect()
}

/// Whether `one` needs `other`; `place` answers where a unit is mounted, `source` where the path is that a mount shows.
pub(crate) fn needs(
    one: Unit<'_>,
    other: Unit<'_>,
    place: impl Fn(Unit<'_>) -> Option<String>,
    source: impl Fn(&MountEntry) -> String,
) -> bool {
    let lies_in = |path: &str, directory: &str| path == directory || is_below(path, directory);
    if let (Some(mine), Some(theirs)) = (place(one), place(other)) {
        if is_below(&mine, &theirs) {
            return true;
        }
        if let Unit::Mount(mount) = one {
            // A directory that is shown in a second place, or a file with a file system in it.
            let is_path = mount.device.starts_with('/') && !mount.device.starts_with("/dev/");
            if is_path && mine != theirs && lies_in(&source(mount), &theirs) {
                return true;
            }
        }
    }
    match (one, other) {
        (Unit::Dataset(one), Unit::Dataset(other)) => {
            one.name.strip_prefix(&other.name).is_some_and(|rest| rest.starts_with('/'))
        }
        (Unit::Mount(mount), Unit::Dataset(dataset)) => mount.fstype == "zfs" && mount.device == dataset.name,
        _ => false,
    }
}

/// The units in an order in which each comes after what it needs, as `needs` says; what is left needs itself in the end.
pub(crate) fn sort<'a>(
    units: &[Unit<'a>],
    needs: impl Fn(Unit<'_>, Unit<'_>) -> bool,
) -> (Vec<Unit<'a>>, Vec<Unit<'a>>) {
    // Each pair is asked about once; what has come is taken off what the others still need.
    let mut needed: Vec<BTreeSet<usize>> = (0..units.len())
        .map(|at| (0..units.len()).filter(|other| *other != at && needs(units[at], units[*other])).collect())
        .collect();
    let mut left: Vec<usize> = (0..units.len()).collect();
    let mut sorted = Vec::new();
    while let Some(at) = left.iter().position(|at| needed[*at].is_empty()) {
        let next = left.remove(at);
        sorted.push(units[next]);
        for needs in &mut needed {
            needs.remove(&next);
        }
    }
    (sorted, left.into_iter().map(|at| units[at]).collect())
}

/// Where a unit is mounted as far as the configuration says so.
pub(crate) fn configured_place(unit: Unit<'_>) -> Option<String> {
    match unit {
        Unit::Dataset(dataset) => dataset.property("mountpoint").filter(|point| point.starts_with('/')),
        Unit::Mount(mount) => Some(mount.mountpoint.clone()),
    }
}
