//! Datasets that leave the place where they are mounted, and what lies in them there.

use super::{Stuck, datasets};
use crate::config::Config;
use crate::state::State;
use std::collections::BTreeSet;
use sysconfig_platform::mount_table::{Mount, is_below};
use sysconfig_platform::zfs::Kind;

/// A dataset that leaves its place, for a moment or for good.
pub(super) struct Move {
    pub(super) name: String,
    /// Where it is now.
    place: String,
    /// The datasets that ZFS itself takes along.
    along: BTreeSet<String>,
}

impl Move {
    /// Whether a mount keeps the dataset from being unmounted.
    pub(super) fn is_held_by(&self, mount: &Mount, state: &State) -> bool {
        let is_along = mount.fstype == "zfs" && (mount.device == self.name || self.along.contains(&mount.device));
        !is_along && (is_below(&mount.mount_point, &self.place) || self.is_covered_by(mount, state))
    }

    /// Whether a mount is at the same place, above the dataset.
    fn is_covered_by(&self, mount: &Mount, state: &State) -> bool {
        let here = state.mounts.iter().filter(|other| other.mount_point == self.place);
        mount.mount_point == self.place
            && here.skip_while(|other| other.device != self.name).any(|other| other == mount)
    }
}

/// The datasets of the configuration that are to leave their places, but for those that cannot.
pub(super) fn moves(config: &Config, state: &State, stuck: &Stuck) -> Vec<Move> {
    let mounted = |name: &str| state.dataset(name).is_some_and(|found| found.mounted && found.kind == Kind::Filesystem);
    let entries = config.datasets.iter().filter(|entry| !entry.absent && mounted(&entry.name));
    let free = entries.filter(|entry| !stuck.contains_key(&entry.name));
    let leaving = free.filter(|entry| datasets::leaves(entry, config, state));
    let with_children = leaving.filter_map(|entry| {
        let place = datasets::place(&entry.name, state)?;
        let along = children(&entry.name, &place, state);
        Some(Move { name: entry.name.clone(), place, along })
    });
    with_children.collect()
}

/// The datasets below one that are mounted where they inherit it.
fn children(name: &str, place: &str, state: &State) -> BTreeSet<String> {
    let inherits = |mount: &&Mount| {
        let rest = mount.device.strip_prefix(name).filter(|rest| rest.starts_with('/'));
        rest.is_some_and(|rest| mount.mount_point == format!("{}{rest}", place.trim_end_matches('/')))
    };
    state.mounts.iter().filter(inherits).map(|mount| mount.device.clone()).collect()
}
