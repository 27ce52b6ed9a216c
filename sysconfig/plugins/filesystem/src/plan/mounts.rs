//! Plans about mounts.

use super::{Move, Steps, Stuck, rows};
use crate::change::Change;
use crate::config::{Config, MountEntry};
use crate::options::{self, Past, Shown};
use crate::order;
use crate::record::OurMount;
use crate::state::{State, is_in_memory};
use std::collections::{BTreeMap, BTreeSet};
use sysconfig_platform::System;
use sysconfig_platform::boot_table::BootRow;
use sysconfig_platform::mount_table::{Mount, is_below, is_remote};
use sysconfig_platform::mounting::{MountRequest, mounted_at};
use sysconfig_platform::places::MountPoint;
use sysconfig_plugin::{PlannedStep, Risk};

/// Types whose options can be changed while they are mounted.
const REMOUNTABLE: &[(System, &[&str])] = &[
    (System::Illumos, &["tmpfs", "ufs"]),
    (System::Linux, &["tmpfs", "ext2", "ext3", "ext4", "xfs", "btrfs", "vfat"]),
];

/// The type of a place at which something is mounted when somebody comes.
const AUTOFS: &str = "autofs";

/// What is unmounted, and what cannot be and why.
#[derive(Default)]
pub(super) struct Down {
    pub(super) points: BTreeSet<String>,
    /// Those of them that have to go before a dataset moves.
    room: BTreeSet<String>,
    /// Those of them in whose place something else comes.
    for_others: BTreeSet<String>,
    blocked: BTreeMap<String, (String, &'static str)>,
    /// Datasets that cannot leave their places, because of what is mounted in them.
    held: BTreeMap<String, String>,
}

/// Plans the end of mounts and rows of ours that are no longer wanted, and of those that have to make room.
pub(super) fn take_down(config: &Config, state: &State, moves: &[Move], stuck: &Stuck, steps: &mut Steps) -> Down {
    let mut down = Down::default();
    for one in moves {
        down.make_room(one, config.mounts.is_some(), state);
    }
    if config.mounts.is_none() {
        return down;
    }
    let is_wanted = |point: &str| config.mounts().iter().any(|entry| entry.mountpoint == point);
    let gone: Vec<&String> = state.record.mounts.keys().filter(|point| !is_wanted(point)).collect();
    for point in &gone {
        match mounted_at(&state.mounts, point) {
            Some(mount) if state.is_ours(mount) => down.add(point, state),
            // Somebody else has unmounted it, or put something in its place.
            _ => forget(point, steps),
        }
    }
    // What shows something of a mount that goes, goes with it, and so on.
    let mut before = None;
    while before != Some(down.points.len()) {
        before = Some(down.points.len());
        for entry in config.mounts().iter().filter(|entry| !stuck.contains_key(&entry.mountpoint)) {
            down.replace(entry, state);
        }
    }
    for point in state.record.rows.iter().filter(|point| !is_wanted(point)) {
        rows::remove(point, state, steps);
    }
    for (point, (why, help)) in down.blocked.iter().filter(|(point, _)| gone.contains(point)) {
        steps.leave(point, why.clone(), *help);
    }
    let ours: Vec<&OurMount> = down.points.iter().filter_map(|point| state.record.mounts.get(point)).collect();
    let mut room = down.room.clone();
    room.extend(ours.iter().filter(|one| is_in_the_way(one, config, state)).map(|one| one.request.mount_point.clone()));
    let (removed, late): (Vec<_>, Vec<_>) = dependents_first(ours, state).into_iter().partition(|one| {
        let point = &one.request.mount_point;
        room.iter().any(|above| above == point || is_below(point, above))
    });
    steps.removals.extend(removed.into_iter().map(unmount));
    // A server may go away just then, which holds up what comes behind it.
    let waits = |one: &OurMount| {
        let is_in = |other: &OurMount| is_below(&other.request.mount_point, &one.request.mount_point);
        late.iter().any(|other| is_remote(&other.request.fstype) && (other.request == one.request || is_in(other)))
    };
    let (with_servers, local): (Vec<&OurMount>, Vec<_>) = late.iter().copied().partition(|one| waits(one));
    steps.late.extend(local.into_iter().chain(with_servers).map(unmount));
    down
}

/// What goes, in an order in which it can: what lies in a mount, or is made of something in it, goes before it.
fn dependents_first<'a>(ours: Vec<&'a OurMount>, state: &State) -> Vec<&'a OurMount> {
    let depends = |one: &OurMount, other: &OurMount| {
        let (point, source) = (&one.request.mount_point, state.resolved(&one.request.device));
        let above = &other.request.mount_point;
        point != above && (is_below(point, above) || source == above || is_below(source, above))
    };
    let mut rest: Vec<&OurMount> = ours.into_iter().rev().collect();
    let mut sorted = Vec::new();
    while !rest.is_empty() {
        let next = rest.iter().position(|one| !rest.iter().any(|other| depends(other, one)));
        sorted.push(rest.remove(next.unwrap_or_default()));
    }
    sorted
}

/// Whether something that is configured has to do with the place of a mount of ours, or with its device.
fn is_in_the_way(ours: &OurMount, config: &Config, state: &State) -> bool {
    let request = &ours.request;
    let point = request.mount_point.as_str();
    let has_to_do = |place: String| place == point || is_below(&place, point) || is_below(point, &place);
    let mut places = order::units(config).into_iter().filter_map(|unit| state.place(config, unit));
    let is_device = |entry: &MountEntry| !is_in_memory(&entry.fstype) && entry.device == request.device;
    places.any(has_to_do) || config.mounts().iter().any(is_device)
}

/// Whether a mount of ours hides something.
fn covers(point: &str, state: &State) -> bool {
    state.record.mounts.get(point).is_some_and(|ours| ours.covers)
}

impl Down {
    /// Notes that a dataset moves away from a place.
    pub(super) fn vacate(&mut self, point: String) {
        self.points.insert(point);
    }

    /// Whether what is mounted there goes.
    pub(super) fn has(&self, point: &str) -> bool {
        self.points.contains(point)
    }

    /// Whether what is mounted there goes because something else is to come in its place.
    pub(super) fn is_for_another(&self, point: &str) -> bool {
        self.has(point) && self.for_others.contains(point)
    }

    /// Why a dataset cannot leave its place.
    pub(super) fn holds(&self, dataset: &str) -> Option<&str> {
        self.held.get(dataset).map(String::as_str)
    }

    /// Takes down what is mounted in a dataset that leaves its place. Whatever is configured comes back after it.
    fn make_room(&mut self, one: &Move, may_unmount: bool, state: &State) {
        for mount in state.mounts.iter().filter(|mount| one.is_held_by(mount, state)) {
            if may_unmount && state.is_ours(mount) {
                self.add(&mount.mount_point, state);
                self.room.extend(self.points.iter().cloned());
            }
            if !self.has(&mount.mount_point) {
                let why = match self.blocked.get(&mount.mount_point) {
                    Some((why, _)) if may_unmount && state.is_ours(mount) => why.clone(),
                    _ => format!("{} is mounted in it at {}, and is not ours", mount.device, mount.mount_point),
                };
                self.held.insert(one.name.clone(), why);
            }
        }
    }

    /// What is at a mount point when everything that goes is gone; nothing where that is still hidden, and seen by the step only,
    /// which does nothing where it finds something.
    pub(super) fn leaves(&self, point: &str, state: &State) -> Option<MountPoint> {
        if self.hides(point, state) {
            return None;
        }
        if self.has(point) && covers(point, state) {
            return Some(MountPoint::Filled);
        }
        let at = state.points.get(point).copied();
        let goes = state.leads_to.get(point).is_some_and(|all| all.iter().all(|below| self.has(below)));
        if goes { Some(MountPoint::Empty) } else { at }
    }

    /// Whether what is at a place is hidden until something goes.
    pub(super) fn hides(&self, point: &str, state: &State) -> bool {
        self.points.iter().any(|above| is_below(point, above) && covers(above, state))
    }

    /// Takes a mount of ours down that has to be mounted anew.
    fn replace(&mut self, entry: &MountEntry, state: &State) {
        let point = &entry.mountpoint;
        let source = state.resolved(&entry.device);
        let is_shown = |above: &String| above != point && (above == source || is_below(source, above));
        let mounted = mounted_at(&state.mounts, point).filter(|mount| state.is_ours(mount));
        let goes = |mount: &Mount| has_to_go(entry, mount, state) || self.points.iter().any(is_shown);
        if !mounted.is_some_and(goes) {
            return;
        }
        if covers(point, state) && !entry.overlay {
            let why = "the directory below what is mounted there is not empty";
            let help = "unmount it by hand, or choose another mount point";
            self.blocked.insert(point.clone(), (why.to_owned(), help));
        } else {
            self.add(point, state);
            self.for_others.insert(point.clone());
        }
    }

    /// Takes a mount down, and with it those of ours below it.
    fn add(&mut self, point: &str, state: &State) {
        let below = || state.mounts.iter().filter(|mount| is_below(&mount.mount_point, point));
        if let Some(other) = below().find(|mount| !state.is_ours(mount)) {
            let why = format!("{} is mounted below it at {}, and is not ours", other.device, other.mount_point);
            self.blocked.insert(point.to_owned(), (why, "unmount what is below it first"));
            return;
        }
        let here = || state.mounts.iter().filter(|mount| mount.mount_point == point);
        let silent = |mount: &Mount| state.silent.get_key_value(&mount.mount_point);
        if let Some((place, device)) = here().chain(below()).find_map(silent) {
            let why = format!("{device} does not answer, and whoever unmounts {place} waits for it");
            self.blocked.insert(point.to_owned(), (why, "bring its server back, or unmount it by hand"));
            return;
        }
        if let Some(holding) = here().chain(below()).find(|mount| state.holding.contains(&mount.mount_point)) {
            let place = &holding.mount_point;
            let why = format!("what is in {place} is in memory only, and would be lost by unmounting it");
            self.blocked.insert(point.to_owned(), (why, "move away what is in it, or unmount it by hand"));
            return;
        }
        self.points.insert(point.to_owned());
        self.points.extend(below().map(|mount| mount.mount_point.clone()));
    }
}

fn unmount(ours: &OurMount) -> super::Step {
    let request = &ours.request;
    let summary = format!("unmount {}, where {} is", request.mount_point, request.device);
    let change = Change::Unmount { request: request.clone() };
    PlannedStep::new("unmount", &request.mount_point, summary, Risk::Disruptive, change)
}

fn forget(point: &str, steps: &mut Steps) {
    let change = Change::Forget { point: point.to_owned() };
    let summary = format!("forget the mount at {point}, which is gone");
    steps.removals.push(PlannedStep::new("forget", point, summary, Risk::Safe, change));
}

/// Whether a mount of ours can become what is wanted only by unmounting it.
fn has_to_go(entry: &MountEntry, mount: &Mount, state: &State) -> bool {
    let is_same = state.is_same(mount, &entry.device, &entry.fstype, &entry.options);
    !is_same || (!has_options(entry, mount, state) && !is_remountable(entry, mount, state))
}

/// Whether options can be changed while it is mounted. Values that nobody wants any longer would stay.
fn is_remountable(entry: &MountEntry, mount: &Mount, state: &State) -> bool {
    let system = state.system();
    let can = REMOUNTABLE.iter().any(|(of, types)| *of == system && types.contains(&entry.fstype.as_str()));
    can && shows_it(entry, mount, state) && !left_over(entry, mount, state).any(|option| option.contains('='))
}

/// Whether it is the wanted part of a file system that is seen: of Btrfs an option tells, and another part is another mount.
fn shows_it(entry: &MountEntry, mount: &Mount, state: &State) -> bool {
    let (system, fstype, options) = (state.system(), entry.fstype.as_str(), mount.options.as_slice());
    let past = Past { applied: None, shown: None };
    let shown = Shown { system, fstype, options, past, ids: &state.ids };
    entry.options.iter().filter(|option| option.starts_with("subvol")).all(|option| shown.is_so(option))
}

/// The options of an earlier configuration that are still in force.
fn left_over<'a>(entry: &'a MountEntry, mount: &'a Mount, state: &'a State) -> impl Iterator<Item = &'a String> {
    let ours = state.record.mounts.get(&mount.mount_point).filter(|_| state.is_ours(mount));
    let applied = ours.map(|ours| ours.request.options.as_slice()).unwrap_or_default();
    options::left_over(state.system(), applied, &entry.options, &mount.options)
}

fn has_options(entry: &MountEntry, mount: &Mount, state: &State) -> bool {
    let ours = state.record.mounts.get(&mount.mount_point).filter(|_| state.is_ours(mount));
    // One that was mounted at boot has the options of its row.
    let row = || {
        let row = state.rows_at(&entry.mountpoint).into_iter().next()?;
        (row.device == entry.device).then_some(row.options.as_slice())
    };
    let applied = ours.map(|ours| ours.request.options.as_slice()).or_else(row);
    let seen = ours.and_then(|ours| ours.seen.as_ref());
    let past = Past { applied, shown: seen.and_then(|seen| seen.options_of(mount, &state.boot)) };
    let (system, fstype, options) = (state.system(), entry.fstype.as_str(), mount.options.as_slice());
    left_over(entry, mount, state).next().is_none()
        && Shown { system, fstype, options, past, ids: &state.ids }.has_all(&entry.options)
}

/// Plans what one mount needs; whether others can rely on it afterwards.
pub(super) fn ensure(entry: &MountEntry, down: &Down, state: &State, steps: &mut Steps) -> bool {
    let point = &entry.mountpoint;
    let mounted = mounted_at(&state.mounts, point).filter(|_| !down.points.contains(point));
    let is_usable = match mounted {
        Some(mount) if state.is_same(mount, &entry.device, &entry.fstype, &entry.options) => {
            has_options(entry, mount, state) || change_options(entry, mount, down, state, steps)
        }
        Some(mount) if is_automounted(entry, mount, state) => true,
        Some(mount) if !entry.overlay || state.is_ours(mount) => {
            let blocked = down.blocked.get(point).cloned();
            let whose = || format!("{} of type {} is mounted there, and is not ours", mount.device, mount.fstype);
            let help = match mount.fstype.as_str() {
                AUTOFS => "stop its automounter, or choose another mount point",
                _ => "unmount it by hand, or choose another mount point",
            };
            let (why, help) = blocked.unwrap_or_else(|| (whose(), help));
            steps.leave(point, why, help);
            false
        }
        Some(_) => mount_step(entry, Risk::Disruptive, state, steps),
        None => mount_if_free(entry, down, state, steps),
    };
    is_usable && rows::ensure(entry, state, steps)
}

/// Whether the system waits at the place for somebody to come, and mounts then what the row says: systemd.automount(5).
fn is_automounted(entry: &MountEntry, mount: &Mount, state: &State) -> bool {
    let says_so = |row: &&BootRow| row.device == entry.device && row.is_automount();
    mount.fstype == AUTOFS && state.rows_at(&entry.mountpoint).iter().any(says_so)
}

fn mount_if_free(entry: &MountEntry, down: &Down, state: &State, steps: &mut Steps) -> bool {
    let point = &entry.mountpoint;
    if let Some(why) = state.unseen.get(point) {
        steps.leave(point, why, "see to what it lies in, or choose another mount point");
        return false;
    }
    if let Some(why) = state.unseen.get(&entry.device) {
        steps.leave(point, why, "bring its server back, or leave the mount out");
        return false;
    }
    match down.leaves(point, state) {
        Some(MountPoint::Filled) if !entry.overlay => {
            let help = "what is there would be hidden; move it away, or write overlay = true";
            steps.leave(point, "the directory is not empty", help);
            false
        }
        Some(MountPoint::NoDirectory) => {
            steps.leave(point, "it is no directory", "choose another mount point");
            false
        }
        Some(MountPoint::Filled) => mount_step(entry, Risk::Disruptive, state, steps),
        // What was unmounted before comes back, so nobody notices more than that.
        _ if down.points.contains(point) => mount_step(entry, Risk::Disruptive, state, steps),
        _ => mount_step(entry, Risk::Safe, state, steps),
    }
}

fn mount_step(entry: &MountEntry, risk: Risk, state: &State, steps: &mut Steps) -> bool {
    if !rows::make_room(entry, state, steps) {
        return false;
    }
    let (point, options) = (&entry.mountpoint, entry.options.join(","));
    let summary = format!("mount {} at {point}", entry.device);
    let step = PlannedStep::new("mount", point, summary, risk, Change::Mount { request: entry.request() });
    let step = step.field("device", None::<String>, entry.device.clone());
    let step = step.field("type", None::<String>, entry.fstype.clone());
    steps.changes.push(if options.is_empty() { step } else { step.field("options", None::<String>, options) });
    true
}

fn change_options(entry: &MountEntry, mount: &Mount, down: &Down, state: &State, steps: &mut Steps) -> bool {
    let point = &entry.mountpoint;
    let shown = mount.options.join(",");
    if !state.is_ours(mount) && !entry.adopt {
        let why = format!("it is mounted with the options {shown}, and is not ours");
        steps.leave(point, why, "write the options as they are, or adopt = true");
        return false;
    }
    if !is_remountable(entry, mount, state) {
        let cannot = || format!("it is mounted with the options {shown}, which cannot be changed while it is");
        let (why, help) =
            down.blocked.get(point).cloned().unwrap_or_else(|| (cannot(), "unmount it by hand, then apply"));
        steps.leave(point, why, help);
        return false;
    }
    // What the kernel adds by itself is no option to mount with.
    let previous = match state.record.mounts.get(point).filter(|_| state.is_ours(mount)) {
        Some(ours) => ours.request.clone(),
        None => {
            let given = |option: &&String| !option.starts_with("dev=") && option.as_str() != "xattr";
            MountRequest { options: mount.options.iter().filter(given).cloned().collect(), ..entry.request() }
        }
    };
    let change = Change::Remount { request: entry.request(), previous, was_ours: state.is_ours(mount) };
    let summary = format!("change the options of {point}");
    let step = PlannedStep::new("remount", point, summary, Risk::Disruptive, change);
    steps.changes.push(step.field("options", shown, entry.options.join(",")));
    true
}
