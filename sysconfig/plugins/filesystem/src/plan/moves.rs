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
    /// Where it and those are that come along.
    places: Vec<String>,
    /// The datasets that ZFS itself takes along.
    along: BTreeSet<String>,
}

impl Move {
    /// Whether a mount keeps the dataset, or one that comes along, from being unmounted.
    pub(super) fn is_held_by(&self, mount: &Mount, state: &State) -> bool {
        let is_in = |place: &String| is_below(&mount.mount_point, place) || self.is_covered_by(mount, place, state);
        !self.moves(mount) && self.places.iter().any(is_in)
    }

    /// The datasets that come along.
    pub(super) fn along(&self) -> impl Iterator<Item = &str> {
        self.along.iter().map(String::as_str)
    }

    /// Whether a mount is of the dataset, or of one that comes along.
    pub(super) fn moves(&self, mount: &Mount) -> bool {
        mount.fstype == "zfs" && (mount.device == self.name || self.along.contains(&mount.device))
    }

    /// Whether a mount is at the same place, above a file system that moves.
    fn is_covered_by(&self, mount: &Mount, place: &str, state: &State) -> bool {
        let here = state.mounts.iter().filter(|other| other.mount_point == place);
        mount.mount_point == place && here.skip_while(|other| !self.moves(other)).any(|other| other == mount)
    }
}

/// The datasets of the configuration that are to leave their places, or what lies in them, but for those that cannot.
pub(super) fn moves(config: &Config, state: &State, stuck: &Stuck) -> Vec<Move> {
    let is_there = |name: &str| state.dataset(name).is_some_and(|found| found.kind == Kind::Filesystem);
    let entries = config.datasets.iter().filter(|entry| !entry.absent && is_there(&entry.name));
    let free = entries.filter(|entry| !stuck.contains_key(&entry.name));
    let leaving = free.filter(|entry| datasets::leaves(entry, config, state));
    let with_places = leaving.filter_map(|entry| {
        let followers = state.followers(&entry.name);
        let own = datasets::place(&entry.name, state);
        let places: Vec<String> = own.into_iter().chain(followers.iter().map(|one| one.place.clone())).collect();
        let along = followers.into_iter().map(|one| one.name).collect();
        (!places.is_empty()).then(|| Move { name: entry.name.clone(), places, along })
    });
    with_places.collect()
}
