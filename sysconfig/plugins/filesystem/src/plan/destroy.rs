//! Plans of what is to be destroyed: each dataset that is named, its snapshots by their names, and nothing else.

use super::Steps;
use super::datasets::place;
use super::mounts::Down;
use crate::change::Change;
use crate::config::{Config, DatasetEntry};
use crate::state::State;
use std::collections::BTreeSet;
use sysconfig_platform::mount_table;
use sysconfig_platform::zfs::Kind;
use sysconfig_platform::zfs::family::{Relative, Snapshot};
use sysconfig_plugin::{PlannedStep, Risk};

/// How many snapshots the line of a step names; its fields name all.
const NAMED: usize = 4;

/// Plans what is to be destroyed, children and clones first.
pub(super) fn destroy(config: &Config, down: &Down, state: &State, steps: &mut Steps) {
    let mut going: BTreeSet<&str> = BTreeSet::new();
    for entry in in_order(config, state) {
        let name = &entry.name;
        match in_the_way(entry, &going, config, down, state) {
            Ok(it) => {
                going.insert(name);
                steps.destructive.push(step(it, state));
            }
            Err((why, help)) => steps.leave(name, why, help),
        }
    }
}

/// What is to go and is there; what lies in a dataset, or was cloned from it, comes before it.
fn in_order<'a>(config: &'a Config, state: &State) -> Vec<&'a DatasetEntry> {
    let mut rest: Vec<&DatasetEntry> =
        config.datasets.iter().filter(|entry| entry.absent && state.dataset(&entry.name).is_some()).collect();
    rest.sort_by(|one, other| other.name.cmp(&one.name));
    let mut sorted = Vec::new();
    while !rest.is_empty() {
        let depends = |one: &Relative, on: &str| one.lies_in(on) || one.was_cloned_from(on);
        let is_free = |entry: &&DatasetEntry| {
            let mut dependents = state.relatives.iter().filter(|one| depends(one, &entry.name));
            !dependents.any(|one| rest.iter().any(|other| other.name == one.name))
        };
        // No dataset lies in what was cloned from it, so there is always one.
        let next = rest.iter().position(is_free).unwrap_or(0);
        sorted.push(rest.remove(next));
    }
    sorted
}

/// The dataset, if it can go; or why not, and what can be done about it.
fn in_the_way<'a>(
    entry: &DatasetEntry,
    going: &BTreeSet<&str>,
    config: &Config,
    down: &Down,
    state: &'a State,
) -> Result<&'a Relative, (String, String)> {
    let name = &entry.name;
    let stays = |other: &&Relative| !going.contains(other.name.as_str());
    let because = |why: String, help: &str| Err((why, help.to_owned()));
    if state.dataset(name).is_some_and(|dataset| dataset.kind == Kind::Volume) {
        return because("it is a volume".to_owned(), "destroy volumes by hand");
    }
    if !state.ours.contains(name) && !entry.adopt {
        let help = "it was not made by this configuration; with adopt = true it is destroyed";
        return because("it is not ours".to_owned(), help);
    }
    if let Some(child) = state.relatives.iter().filter(stays).find(|other| other.lies_in(name)) {
        let help = "only what is named is destroyed: give each child an entry with absent = true";
        return because(format!("{} lies in it", child.name), help);
    }
    if let Some(clone) = state.relatives.iter().filter(stays).find(|other| other.was_cloned_from(name)) {
        let origin = clone.origin.as_deref().unwrap_or_default();
        let help =
            format!("give it an entry with absent = true, or make it the owner of that: zfs promote {}", clone.name);
        return Err((format!("{} was cloned from {origin}", clone.name), help));
    }
    if let Some(held) = state.snapshots.get(name).into_iter().flatten().find(|snapshot| snapshot.held) {
        let help = format!("`zfs holds {}` says who; `zfs release` lets it go", held.name);
        return Err((format!("somebody holds its snapshot {}", held.name), help));
    }
    if let Some(mount) = mounted_in(name, going, config, down, state) {
        let why = format!("{} is mounted in it at {}", mount.device, mount.mount_point);
        return because(why, "unmount it, or take it out of the configuration, first");
    }
    let it = state.relatives.iter().find(|other| other.name == *name);
    it.ok_or_else(|| ("it has just appeared".to_owned(), "plan and apply again".to_owned()))
}

fn step(it: &Relative, state: &State) -> super::Step {
    let name = &it.name;
    let snapshots: Vec<Snapshot> = state.snapshots.get(name).cloned().unwrap_or_default();
    let names: Vec<String> = snapshots.iter().map(|snapshot| snapshot.name.clone()).collect();
    let summary = match names.len() {
        0 => format!("destroy the dataset {name} and everything in it"),
        count => {
            let more = if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
            let named = names[..count.min(NAMED)].join(", ");
            format!("destroy the dataset {name}, everything in it, and its snapshots {named}{more}")
        }
    };
    let change = Change::Destroy {
        name: name.clone(),
        guid: Some(it.guid.clone()),
        snapshots,
        was_ours: state.ours.contains(name),
        place: place(name, state),
    };
    let step = PlannedStep::new("destroy", name, summary, Risk::Destructive, change);
    if names.is_empty() { step } else { step.field("snapshots", names.join(", "), None::<String>) }
}

/// What is mounted in a dataset and stays so, or comes back.
fn mounted_in<'a>(
    name: &str,
    going: &BTreeSet<&str>,
    config: &Config,
    down: &Down,
    state: &'a State,
) -> Option<&'a mount_table::Mount> {
    let place = place(name, state)?;
    let goes = |point: &str| down.has(point) && !config.mounts().iter().any(|entry| entry.mountpoint == point);
    let mut below = state.mounts.iter().filter(|mount| mount_table::is_below(&mount.mount_point, &place));
    below.find(|mount| !goes(&mount.mount_point) && !going.contains(mount.device.as_str()))
}
