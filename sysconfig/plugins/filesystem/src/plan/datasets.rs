//! Plans about datasets.

mod impossible;
mod places;

use super::mounts::Down;
use super::{Steps, Stuck};
use crate::change::Change;
use crate::config::{Config, DatasetEntry};
use crate::order::Unit;
use crate::properties::{self, SET_BY_US};
use crate::state::State;
use impossible::{leave_impossible, leave_too_small};
use places::{followers_are_free, has_no_children_in_the_way, place_is_free};
use std::collections::BTreeMap;
use sysconfig_platform::gather;
use sysconfig_platform::zfs::property::same_dataset_value;
use sysconfig_platform::zfs::{self, Kind, OWNER, Properties, Source};
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
            if steps.changes[begin..].iter().any(moves) {
                let along = state.followers(&entry.name).into_iter().map(|one| one.place);
                place(&entry.name, state).into_iter().chain(along).for_each(|place| down.vacate(place));
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
    let to = state.place(config, Unit::Dataset(entry)).filter(|_| is_mounted);
    let change = Change::Create { name: name.clone(), properties: wanted.clone(), to };
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
    gather::map(entry.properties.iter().map(spelled))
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
    leave_too_small(wish, &mut differences, present, steps);
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
    let is_seen = mounted || !state.followers(name).is_empty();
    let is_disruptive = is_seen && set.keys().chain(&unset).any(|property| is_about_mounts(property));
    steps.changes.push(set_step(wish, present, set, unset, is_disruptive, state));
    is_free
}

/// Where ZFS mounts a file system by itself because of a change.
fn comes_to(wish: &Wish<'_>, present: &Properties, moves: bool, state: &State) -> Option<String> {
    let Wish { entry, config, .. } = *wish;
    let to = state.place(config, Unit::Dataset(entry)).filter(|_| moves && canmount(entry, present, state) == "on")?;
    (place(&entry.name, state).as_ref() != Some(&to)).then_some(to)
}

fn is_about_mounts(property: &str) -> bool {
    ABOUT_MOUNTS.contains(&property)
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
    let moves = differs(|property| property == "mountpoint");
    if moves && !followers_are_free(wish, present, state, steps) {
        return true;
    }
    let is_mounted_anew = !mounted || moves;
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
            same_dataset_value(property, value, &will_be) && properties::is_so(present, property, value)
        }
        _ => properties::is_so(present, property, value),
    }
}

fn set_step(
    wish: &Wish<'_>,
    present: &Properties,
    set: BTreeMap<String, String>,
    unset: Vec<String>,
    is_disruptive: bool,
    state: &State,
) -> super::Step {
    let name = &wish.entry.name;
    let moves = set.contains_key("mountpoint") || unset.iter().any(|property| property == "mountpoint");
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
    let previous = gather::map(set.keys().chain(&unset).chain(&notes).map(local));
    let kept = state.set_by_us(name).filter(|property| !unset.iter().any(|gone| gone == property));
    let list = properties::list(kept.chain(set.keys().map(String::as_str)));
    let received = |property: &String| {
        let value = present.get(property).filter(|present| present.source == Source::Received)?;
        Some((property.clone(), value.value.clone()))
    };
    let followers = state.followers(name);
    let base = state.place(wish.config, Unit::Dataset(wish.entry)).filter(|_| moves);
    let change = Change::Set {
        name: name.clone(),
        guid: present.get(zfs::GUID).map(|guid| guid.value.clone()),
        was_ours: state.ours.contains(name),
        set: set.clone(),
        unset: unset.clone(),
        list,
        previous,
        received: gather::map(set.keys().chain(&unset).filter_map(received)),
        place: place(name, state),
        to: comes_to(wish, present, moves, state),
        along: followers.iter().map(|one| one.place.clone()).collect(),
        base: base.clone(),
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
    if moves {
        for one in followers {
            let to = base.as_ref().map(|base| one.destination(name, base));
            step = step.field(one.name, Some(one.place), to);
        }
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

/// Mounts a file system that should be: without that programs write into its directory unnoticed.
fn mount(wish: &Wish<'_>, present: &Properties, mounted: bool, state: &State, steps: &mut Steps) -> bool {
    let Wish { entry, config, .. } = *wish;
    let Some(place) = state.place(config, Unit::Dataset(entry)) else { return true };
    if mounted && state.record.unshared.contains(&entry.name) {
        steps.changes.push(mount_step("share what an interrupted step has mounted:", &entry.name, place));
        return true;
    }
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
    steps.changes.push(mount_step("mount", &entry.name, place));
    true
}

fn mount_step(verb: &str, name: &str, place: String) -> super::Step {
    let summary = format!("{verb} {name} at {place}");
    let change = Change::MountDataset { name: name.to_owned(), to: Some(place) };
    PlannedStep::new("mount", name, summary, Risk::Safe, change)
}
