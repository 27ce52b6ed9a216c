//! Plans about datasets.

use super::mounts::Down;
use super::{Steps, Stuck};
use crate::change::Change;
use crate::config::{Config, DatasetEntry};
use crate::order::Unit;
use crate::properties::{self, AT_CREATION_ONLY, SET_BY_US};
use crate::state::State;
use std::collections::BTreeMap;
use sysconfig_platform::mount_table;
use sysconfig_platform::mounting::{MountPoint, mounted_at};
use sysconfig_platform::zfs::{Kind, OWNER, Properties};
use sysconfig_plugin::{PlannedStep, Risk};

/// Properties whose change takes mounts away for a moment.
const ABOUT_MOUNTS: &[&str] = &["mountpoint", "canmount", "overlay"];

/// Plans what one dataset needs; whether others can rely on it afterwards.
pub(super) fn ensure(
    entry: &DatasetEntry,
    config: &Config,
    down: &mut Down,
    stuck: &Stuck,
    state: &State,
    steps: &mut Steps,
) -> bool {
    let wish = Wish { entry, config, down, stuck };
    match state.dataset(&entry.name).map(|dataset| (dataset.kind, dataset.mounted)) {
        None => create(&wish, state, steps),
        Some((Kind::Volume, _)) => {
            steps.leave(&entry.name, "it is a volume", "give the dataset another name");
            false
        }
        Some((Kind::Filesystem, mounted)) => {
            let empty = Properties::new();
            let present = state.properties.get(&entry.name).unwrap_or(&empty);
            let begin = steps.changes.len();
            let is_usable =
                change(&wish, present, mounted, state, steps) && mount(&wish, present, mounted, state, steps);
            // A step that moves it makes room where it is.
            let moves = |step: &super::Step| step.risk == Risk::Disruptive;
            if let Some(place) = place(&entry.name, state).filter(|_| steps.changes[begin..].iter().any(moves)) {
                down.vacate(place);
            }
            is_usable
        }
    }
}

/// A dataset of a configuration, with what is unmounted before it comes.
struct Wish<'a> {
    entry: &'a DatasetEntry,
    config: &'a Config,
    down: &'a Down,
    stuck: &'a Stuck,
}

fn create(wish: &Wish<'_>, state: &State, steps: &mut Steps) -> bool {
    let Wish { entry, config, .. } = *wish;
    let name = &entry.name;
    let Some((parent, _)) = name.rsplit_once('/') else {
        steps.leave(name, "there is no such pool", "pools are made with storage.pool");
        return false;
    };
    let is_coming = config.datasets.iter().any(|other| other.name == parent && !other.absent);
    if state.dataset(parent).is_none() && !is_coming {
        steps.leave(name, format!("there is no dataset {parent}"), format!("add an entry for {parent}"));
        return false;
    }
    let is_mounted = entry.property("canmount").is_none_or(|value| value == "on");
    if is_mounted && !place_is_free(wish, state, steps) {
        return false;
    }
    let wanted: BTreeMap<String, String> = wanted(entry);
    let mut summary = format!("create the dataset {name}");
    if let Some(place) = state.place(config, Unit::Dataset(entry)).filter(|_| is_mounted) {
        summary += &format!(" at {place}");
    }
    let change = Change::Create { name: name.clone(), properties: wanted.clone() };
    let mut step = PlannedStep::new("create", name, summary, Risk::Safe, change);
    for (property, value) in wanted {
        step = step.field(property, None::<String>, value);
    }
    steps.changes.push(step);
    true
}

fn wanted(entry: &DatasetEntry) -> BTreeMap<String, String> {
    let spelled = |(property, value): (&String, &crate::config::PropertyValue)| {
        (property.clone(), properties::spelled(property, &value.to_string()))
    };
    entry.properties.iter().map(spelled).collect()
}

/// Whether a file system can be mounted where it belongs.
fn place_is_free(wish: &Wish<'_>, state: &State, steps: &mut Steps) -> bool {
    let Wish { entry, config, down, .. } = *wish;
    let Some(place) = state.place(config, Unit::Dataset(entry)) else { return true };
    if let Some(other) =
        mounted_at(&state.mounts, &place).filter(|mount| mount.device != entry.name && !down.has(&place))
    {
        let why = format!("{} is mounted at {place}", other.device);
        steps.leave(&entry.name, why, "choose another mountpoint, or unmount what is there");
        return false;
    }
    match down.leaves(&place, state) {
        Some(MountPoint::Filled) => {
            let help = "what is there would be hidden; move it away, or choose another mountpoint";
            steps.leave(&entry.name, format!("the directory {place} is not empty"), help);
            false
        }
        Some(MountPoint::NoDirectory) => {
            steps.leave(&entry.name, format!("{place} is no directory"), "choose another mountpoint");
            false
        }
        _ => true,
    }
}

/// What of a dataset's properties is not as configured.
struct Differences {
    /// What is to be set.
    set: BTreeMap<String, String>,
    /// What is to be given back.
    unset: Vec<String>,
}

fn differences(entry: &DatasetEntry, config: &Config, present: &Properties, state: &State) -> Differences {
    let mut set = wanted(entry);
    set.retain(|property, value| !is_so(entry, config, present, property, value, state));
    // One that has its inherited value already is still to be struck out of the list.
    let is_left_over = |property: &&str| !entry.properties.contains_key(*property);
    let unset: Vec<String> = match state.ours.contains(&entry.name) {
        true => state.set_by_us(&entry.name).filter(is_left_over).map(str::to_owned).collect(),
        false => Vec::new(),
    };
    Differences { set, unset }
}

/// Whether a file system that is mounted is to leave its place.
pub(super) fn leaves(entry: &DatasetEntry, config: &Config, state: &State) -> bool {
    let Some(present) = state.properties.get(&entry.name) else { return false };
    if !state.ours.contains(&entry.name) && !entry.adopt {
        return false;
    }
    let Differences { set, unset } = differences(entry, config, present, state);
    set.contains_key("mountpoint")
        || unset.iter().any(|property| property == "mountpoint")
        || set.get("canmount").is_some_and(|value| value == "off")
}

/// Plans changes of properties; whether nothing stands in their way. What concerns mounts is left out where the dataset has
/// to stay as it is mounted; a quota need not wait for that.
fn change(wish: &Wish<'_>, present: &Properties, mounted: bool, state: &State, steps: &mut Steps) -> bool {
    let entry = wish.entry;
    let name = &entry.name;
    let mut differences = differences(entry, wish.config, present, state);
    let is_permitted = state.ours.contains(name) || entry.adopt;
    let is_free = !is_permitted || !has_to_stay(wish, &differences, present, mounted, state, steps);
    if !is_free {
        differences.set.retain(|property, _| !is_about_mounts(property));
        differences.unset.retain(|property| !is_about_mounts(property));
    }
    leave_impossible(name, &mut differences.set, present, steps);
    let Differences { set, unset } = differences;
    if set.is_empty() && unset.is_empty() {
        return is_free;
    }
    if !is_permitted {
        let differing: Vec<String> = set
            .iter()
            .map(|(property, value)| {
                let now = present.get(property).map_or("-", |present| present.value.as_str());
                format!("{property} is {now} and not {value}")
            })
            .collect();
        let why = format!("{}, and it is not ours", differing.join(", "));
        steps.leave(name, why, "write the properties as they are, or adopt = true");
        return false;
    }
    let is_disruptive = mounted && set.keys().chain(&unset).any(|property| is_about_mounts(property));
    steps.changes.push(set_step(entry, present, set, unset, is_disruptive, state));
    is_free
}

fn is_about_mounts(property: &str) -> bool {
    ABOUT_MOUNTS.contains(&property)
}

/// Takes out what no `zfs set` could bring about, and says so.
fn leave_impossible(name: &str, set: &mut BTreeMap<String, String>, present: &Properties, steps: &mut Steps) {
    set.retain(|property, value| {
        let now = present.get(property).map(|present| present.value.as_str());
        if AT_CREATION_ONLY.contains(&property.as_str()) {
            let now = now.unwrap_or("-");
            let why = format!("{property} is {now} and not {value}, and is chosen at creation only");
            steps.leave(name, why, "make a new dataset, and move what is in this one");
            return false;
        }
        if now.is_none() && !property.contains(':') {
            steps.leave(name, format!("ZFS here knows no property {property}"), "leave the property out");
            return false;
        }
        true
    });
}

/// Whether a dataset whose mount is to change cannot leave its place, or cannot come to another.
fn has_to_stay(
    wish: &Wish<'_>,
    differences: &Differences,
    present: &Properties,
    mounted: bool,
    state: &State,
    steps: &mut Steps,
) -> bool {
    let entry = wish.entry;
    let differs = |which: fn(&str) -> bool| differences.set.keys().chain(&differences.unset).any(|name| which(name));
    if !differs(is_about_mounts) {
        return false;
    }
    if let Some((why, help)) = wish.stuck.get(&entry.name) {
        steps.leave(&entry.name, why, help);
        return true;
    }
    if let Some(why) = wish.down.holds(&entry.name) {
        steps.leave(&entry.name, why, "unmount it by hand first");
        return true;
    }
    let is_mounted_anew = !mounted || differs(|property| property == "mountpoint");
    if !is_mounted_anew || canmount(entry, present, state) != "on" {
        return false;
    }
    let is_below_others = !mounted && !has_no_children_in_the_way(wish, present, state, steps);
    is_below_others || !place_is_free(wish, state, steps)
}

/// Whether a property has its value, and will have it when the datasets above are as configured.
fn is_so(
    entry: &DatasetEntry,
    config: &Config,
    present: &Properties,
    property: &str,
    value: &str,
    state: &State,
) -> bool {
    let is_inherited = present.get(property).is_some_and(|present| !present.is_local());
    let above = || {
        let mut above = entry.name.as_str();
        std::iter::from_fn(move || {
            above = above.rsplit_once('/')?.0;
            Some(above)
        })
    };
    // What a dataset above gets, or gives back, is what this one has then.
    let changes = above().find_map(|name| {
        let entry = config.datasets.iter().find(|entry| entry.name == name)?;
        let goes = || state.set_by_us(name).any(|other| other == property).then_some(None);
        entry.property(property).map(Some).or_else(goes)
    });
    match changes {
        Some(_) if property == "mountpoint" && is_inherited => false,
        Some(None) if is_inherited && properties::is_inherited(property) => false,
        Some(Some(will_be)) if is_inherited && properties::is_inherited(property) => {
            properties::spelled(property, &will_be) == properties::spelled(property, value)
                && properties::is_so(present, property, value)
        }
        _ => properties::is_so(present, property, value),
    }
}

fn set_step(
    entry: &DatasetEntry,
    present: &Properties,
    set: BTreeMap<String, String>,
    unset: Vec<String>,
    is_disruptive: bool,
    state: &State,
) -> super::Step {
    let name = &entry.name;
    let words = set.iter().map(|(property, value)| format!("{property}={value}"));
    let words: Vec<String> = words.chain(unset.iter().map(|property| format!("no {property}"))).collect();
    let risk = if is_disruptive { Risk::Disruptive } else { Risk::Safe };
    let local = |property: &String| {
        let value = present.get(property).filter(|present| present.is_local()).map(|present| present.value.clone());
        (property.clone(), value)
    };
    let mut notes: Vec<String> = vec![SET_BY_US.to_owned()];
    if !state.ours.contains(name) {
        notes.push(OWNER.to_owned());
    }
    let previous = set.keys().chain(&unset).chain(&notes).map(local).collect();
    let kept = state.set_by_us(name).filter(|property| !unset.iter().any(|gone| gone == property));
    let list = properties::list(kept.chain(set.keys().map(String::as_str)));
    let change = Change::Set {
        name: name.clone(),
        set: set.clone(),
        unset: unset.clone(),
        list,
        previous,
        place: place(name, state),
    };
    let mut step = PlannedStep::new("set", name, format!("set {} on {name}", words.join(", ")), risk, change);
    for (property, to) in set
        .into_iter()
        .map(|(property, to)| (property, Some(to)))
        .chain(unset.into_iter().map(|property| (property, None)))
    {
        let from = present.get(&property).map(|present| present.value.clone());
        step = step.field(property, from, to);
    }
    step
}

/// Where a dataset is mounted.
pub(super) fn place(name: &str, state: &State) -> Option<String> {
    state.mounts.iter().find(|mount| mount.device == name).map(|mount| mount.mount_point.clone())
}

/// Whether it is mounted by itself once everything is as configured.
fn canmount(entry: &DatasetEntry, present: &Properties, state: &State) -> String {
    let is_given_back =
        || state.ours.contains(&entry.name) && state.set_by_us(&entry.name).any(|name| name == "canmount");
    match (entry.property("canmount"), present.get("canmount")) {
        (Some(wanted), _) => wanted,
        (None, Some(present)) if !is_given_back() => present.value.clone(),
        _ => "on".to_owned(),
    }
}

/// Whether no dataset below is mounted where this one is to be mounted under it.
fn has_no_children_in_the_way(wish: &Wish<'_>, present: &Properties, state: &State, steps: &mut Steps) -> bool {
    let name = &wish.entry.name;
    let now = present.get("mountpoint").map(|present| present.value.clone());
    let places = [now, state.place(wish.config, Unit::Dataset(wish.entry))];
    let is_below = |point: &str| places.iter().flatten().any(|place| mount_table::is_below(point, place));
    let below = format!("{name}/");
    let child = state.mounts.iter().find(|mount| mount.device.starts_with(&below) && is_below(&mount.mount_point));
    if let Some(child) = child {
        let why = format!("{} is mounted, and belongs above it", child.device);
        steps.leave(name, why, format!("unmount it by hand first: zfs unmount {}", child.device));
    }
    child.is_none()
}

/// Mounts a file system that should be: without that programs write into its directory unnoticed.
fn mount(wish: &Wish<'_>, present: &Properties, mounted: bool, state: &State, steps: &mut Steps) -> bool {
    let Wish { entry, config, .. } = *wish;
    let Some(place) = state.place(config, Unit::Dataset(entry)) else { return true };
    if mounted || canmount(entry, present, state) != "on" {
        return true;
    }
    let is_locked = present.get("keystatus").is_some_and(|status| status.value == "unavailable");
    if is_locked {
        let help = format!("load the key: zfs load-key {}", entry.name);
        steps.leave(&entry.name, "it is encrypted, and its key is not loaded", help);
        return false;
    }
    if !place_is_free(wish, state, steps) || !has_no_children_in_the_way(wish, present, state, steps) {
        return false;
    }
    let change = Change::MountDataset { name: entry.name.clone() };
    let summary = format!("mount {} at {place}", entry.name);
    steps.changes.push(PlannedStep::new("mount", &entry.name, summary, Risk::Safe, change));
    true
}

/// Plans what is to be destroyed, children first.
pub(super) fn destroy(config: &Config, down: &Down, state: &State, steps: &mut Steps) {
    let mut absent: Vec<&DatasetEntry> =
        config.datasets.iter().filter(|entry| entry.absent && state.dataset(&entry.name).is_some()).collect();
    absent.sort_by(|one, other| other.name.cmp(&one.name));
    for entry in &absent {
        let name = &entry.name;
        let goes = |other: &str| absent.iter().any(|entry| entry.name == other);
        let below = format!("{name}/");
        let child = state.datasets.iter().find(|other| other.name.starts_with(&below) && !goes(&other.name));
        if state.dataset(name).is_some_and(|dataset| dataset.kind == Kind::Volume) {
            steps.leave(name, "it is a volume", "destroy volumes by hand");
        } else if !state.ours.contains(name) && !entry.adopt {
            let help = "it was not made by this configuration; with adopt = true it is destroyed";
            steps.leave(name, "it is not ours", help);
        } else if let Some(child) = child {
            let help = "only what is named is destroyed: give each child an entry with absent = true";
            steps.leave(name, format!("{} lies in it", child.name), help);
        } else if let Some(mount) = mounted_in(name, config, down, state) {
            let why = format!("{} is mounted in it at {}", mount.device, mount.mount_point);
            steps.leave(name, why, "unmount it, or take it out of the configuration, first");
        } else {
            let change =
                Change::Destroy { name: name.clone(), was_ours: state.ours.contains(name), place: place(name, state) };
            let summary = format!("destroy the dataset {name} and everything in it");
            steps.destructive.push(PlannedStep::new("destroy", name, summary, Risk::Destructive, change));
        }
    }
}

/// What is mounted in a dataset and stays so, or comes back.
fn mounted_in<'a>(name: &str, config: &Config, down: &Down, state: &'a State) -> Option<&'a mount_table::Mount> {
    let place = place(name, state)?;
    let goes = |point: &str| down.has(point) && !config.mounts().iter().any(|entry| entry.mountpoint == point);
    let absent = |device: &str| config.datasets.iter().any(|entry| entry.absent && entry.name == device);
    let mut below = state.mounts.iter().filter(|mount| mount_table::is_below(&mount.mount_point, &place));
    below.find(|mount| !goes(&mount.mount_point) && !absent(&mount.device))
}
