//! From what is there to what is wanted.
//!
//! * `lies_in`: what an area lies in, a volume, file or device, with its size;
//! * `take_over`: whether what is there may become swap, and what is lost then;
//! * `usage`: what is in use, now and at boot.

mod lies_in;
mod take_over;
mod usage;

use crate::change::{Change, Seen, Target};
use crate::config::{Area, Backing, Config};
use crate::marks::is_open;
use crate::rule::{Measures, Rule};
use crate::state::{FoundKind, KEY_FILE, State};
use std::collections::BTreeMap;
use sysconfig_platform::{boot_table, swap, zfs};
use sysconfig_plugin::{PlannedStep, Risk};
use take_over::{is_ours, not_ours, seen};

type Step = PlannedStep<Change>;

/// What can be done about an area on a server that does not answer.
const SILENT_HELP: &str = "bring its server back, or see to it by hand; other areas are seen to";

/// The steps, in the order in which they are done.
#[derive(Default)]
struct Steps {
    /// What an interrupted run has left behind.
    leftovers: Vec<Step>,
    /// What comes and changes.
    changes: Vec<Step>,
    /// What goes. That may fail while memory is short, and what has come before makes it less so.
    removals: Vec<Step>,
    /// What loses data. A step that is not allowed keeps later ones from being done, so these come after the others.
    destructive: Vec<Step>,
    /// What is left alone. These fail and say why.
    left: Vec<Step>,
}

impl Steps {
    fn add(&mut self, step: Step) {
        if step.risk == Risk::Destructive { &mut self.destructive } else { &mut self.changes }.push(step);
    }

    /// What a step finds at a path behind those that there are already.
    fn seen(&self, path: &str, state: &State) -> Seen {
        let (mut makes, mut writes) = (false, false);
        for step in self.changes.iter().chain(&self.destructive) {
            match &step.change {
                Change::Volume { name, .. } => makes |= zfs::volume_path(state.system(), name) == path,
                Change::File { path: made, .. } | Change::Resize { target: Target::File { path: made }, .. } => {
                    makes |= made == path;
                }
                Change::Format { target, .. } | Change::Resize { target, .. } => writes |= target.path() == path,
                _ => {}
            }
        }
        match (makes, writes) {
            (true, _) => Seen::Ours,
            (false, true) => seen(path, state).without_content(),
            (false, false) => seen(path, state),
        }
    }

    fn leave(&mut self, path: &str, why: impl Into<String>, help: impl Into<String>) {
        let (why, help) = (why.into(), help.into());
        let summary = format!("leave {path} alone: {why}");
        let change = Change::Leave { path: path.to_owned(), why, help };
        self.left.push(PlannedStep::new("leave", path, summary, Risk::Safe, change));
    }
}

pub(crate) fn plan(config: &Config, state: &State) -> Vec<Step> {
    let mut steps = Steps::default();
    let state = &named_as_configured(config, state, &mut steps);
    if state.is_untold {
        let (table, summary) = (boot_table::path(state.system()), boot_table::telling(state.system()));
        steps.leftovers.push(PlannedStep::new("reload", table, summary, Risk::Safe, Change::Tell {}));
    }
    if state.has_key {
        let summary = "throw away the key of an encrypted volume, which an interrupted run has left behind";
        let change = Change::ThrowKeyAway;
        steps.leftovers.push(PlannedStep::new("remove", KEY_FILE, summary, Risk::Safe, change));
    }
    for path in &state.unfinished {
        let summary = format!("remove what an interrupted run has left beside {path}");
        let change = Change::TidyUp { path: path.clone() };
        steps.leftovers.push(PlannedStep::new("remove", path, summary, Risk::Safe, change));
    }
    for path in state.record.areas.keys() {
        if !config.areas.iter().any(|area| &area.path(state.system()) == path) {
            usage::drop_area(path, state, &mut steps);
        }
    }
    let mut seen: BTreeMap<&str, String> = BTreeMap::new();
    for area in &config.areas {
        let path = area.path(state.system());
        if let Some(first) = seen.insert(&state.found(&path).identity, path.clone()) {
            let why = format!("it is another name of {first}, which is configured as well");
            steps.leave(&path, why, "leave one of them out");
            continue;
        }
        match (&state.found(&path).kind, area.absent) {
            (FoundKind::Silent { why }, _) => steps.leave(&path, why, SILENT_HELP),
            (_, true) => delete(area, &path, state, &mut steps),
            (_, false) => ensure(area, &path, state, &mut steps),
        }
    }
    let mut steps = [steps.leftovers, steps.changes, steps.removals, steps.destructive, steps.left].concat();
    // What is destructive may not be allowed, and tells nobody then.
    for is_destructive in [false, true] {
        let rows = steps.iter_mut().filter(|step| (step.risk == Risk::Destructive) == is_destructive);
        boot_table::tell_once(rows.filter_map(|step| match &mut step.change {
            Change::Row { tells, .. } => Some(tells),
            _ => None,
        }));
    }
    steps
}

/// What was found, with what is ours known by the names in the configuration: a device has several, and one that is configured by
/// another name has not left the configuration.
fn named_as_configured(config: &Config, state: &State, steps: &mut Steps) -> State {
    let mut named = state.clone();
    let configured: Vec<String> = config.areas.iter().map(|area| area.path(state.system())).collect();
    for (path, ours) in state.record.areas.iter().filter(|(path, _)| !configured.contains(path)) {
        let identity = &state.found(path).identity;
        let is_it = |other: &&String| {
            state.found(other).identity == *identity && !state.record.areas.contains_key(other.as_str())
        };
        let Some(name) = configured.iter().find(is_it) else { continue };
        named.record.areas.remove(path);
        named.record.areas.insert(name.clone(), ours.clone());
        let change = Change::Rename { from: path.clone(), to: name.clone() };
        let summary = format!("know {path} by its other name {name}");
        steps.leftovers.push(PlannedStep::new("rename", name, summary, Risk::Safe, change));
    }
    named
}

/// What is no longer configured and kept nevertheless.
pub(crate) fn kept(config: &Config, state: &State) -> Vec<String> {
    let gone = |path: &&String| !config.areas.iter().any(|area| &&area.path(state.system()) == path);
    let exists = |path: &&String| !matches!(state.found(path).kind, FoundKind::Nothing { .. });
    let kept = state.record.areas.iter().filter(|(path, ours)| ours.made && gone(path) && exists(path));
    kept.map(|(path, _)| {
        format!(
            "{path} is no longer configured; it is kept, and absent = true with allow-destructive = true destroys it"
        )
    })
    .collect()
}

/// Files that were removed while they were in use as swap. What is at their paths now is not what is in use.
pub(crate) fn removed(state: &State) -> Vec<String> {
    let is_removed = |path: &&String| state.used.iter().any(|area| swap::was_removed(area, path));
    let told = |path: &String| {
        format!(
            "the file that was at {path} was removed while it was in use as swap, and stays in use until the machine is \
             restarted; what is at {path} now is another one"
        )
    };
    state.found.keys().filter(is_removed).map(told).collect()
}

/// `absent = true`.
fn delete(area: &Area, path: &str, state: &State, steps: &mut Steps) {
    let found = state.found(path);
    let exists = matches!(found.kind, FoundKind::Volume { .. } | FoundKind::File { .. });
    let is_used = state.used(path).is_some();
    let has_row = !state.rows(path).is_empty();
    let is_device = matches!(area.backing(), Backing::Device(_));
    let remembered = state.record.areas.get(path).cloned().unwrap_or_default();
    let is_ours = is_ours(found, path, state) || (is_device && (remembered.used || remembered.row));
    if !(exists || is_used || has_row) {
        return;
    }
    if !is_ours && !area.adopt {
        let what = if exists { "destroyed" } else { "taken out of use" };
        let help = format!("nothing of it is known to be made by this configuration; with adopt = true it is {what}");
        return steps.leave(path, not_ours(path, state), help);
    }
    // It would be out of use already when ZFS refuses to destroy it.
    if let Some((why, help)) = lies_in::kept_by(&found.snapshots) {
        return steps.leave(path, why, help);
    }
    let is_kept = || take_over::unseen(found).or_else(|| take_over::use_by_others(found, path, state));
    if let Some((why, help)) = is_kept().filter(|_| !is_used && exists) {
        return steps.leave(path, why, help);
    }
    if let Some(directory) = found.open_to_others.as_ref().filter(|_| exists) {
        return steps.leave(path, is_open(directory), "destroy it by hand");
    }
    if has_row && !usage::remove_row(path, state, steps) {
        return;
    }
    if is_used {
        steps.removals.push(usage::stop(path, state));
    }
    if exists {
        let change = Change::Delete { target: Target::at(state.system(), path), seen: seen(path, state) };
        let summary = format!("destroy {path}{}", take_over::loss(path, is_ours, state));
        steps.add(PlannedStep::new("destroy", path, summary, Risk::Destructive, change));
    }
}

fn ensure(area: &Area, path: &str, state: &State, steps: &mut Steps) {
    let size = match wanted_size(area, state) {
        Ok(size) => size,
        Err((why, help)) => return steps.leave(path, why, help),
    };
    let goes_on = match area.backing() {
        Backing::Volume(name) => lies_in::volume(area, name, path, size, state, steps),
        Backing::File(_) => lies_in::file(area, path, size, state, steps),
        Backing::Device(_) => lies_in::device(area, path, state, steps),
    };
    if let Some(risk) = goes_on {
        usage::ensure_use(area, path, risk, state, steps);
        usage::ensure_row(area, path, risk, state, steps);
    }
}

/// The size in bytes; for a device nothing.
fn wanted_size(area: &Area, state: &State) -> Result<u64, (String, String)> {
    let Some(rule) = area.rule() else { return Ok(0) };
    match rule.bytes(measures(area, state)) {
        None => {
            let pool = pool_of(area);
            Err((format!("its size depends on the pool {pool}, which is not there"), "make the pool first".to_owned()))
        }
        Some(0) => Err((format!("{rule} is less than 1 MiB"), "write a larger size".to_owned())),
        Some(bytes) => Ok(bytes),
    }
}

/// The pool of a volume.
fn pool_of(area: &Area) -> &str {
    match area.backing() {
        Backing::Volume(name) => name.split('/').next().unwrap_or_default(),
        _ => "",
    }
}

fn measures(area: &Area, state: &State) -> Measures {
    Measures { memory: state.memory.unwrap_or_default(), pool: state.pools.get(pool_of(area)).copied() }
}

/// By what part the memory may differ from what it was when an area was made: kernels count it a little differently from one boot
/// to the next, which is no reason to take the area out of use.
const FLUTTER: u64 = 20;

/// Whether an area has the size that its rule says of about as much memory, in whole blocks.
fn is_near(area: &Area, bytes: u64, block: u64, state: &State) -> bool {
    let Some(rule) = area.rule().filter(Rule::uses_memory) else { return false };
    let now = measures(area, state);
    let of = |memory: u64| rule.bytes(Measures { memory, ..now }).map(|bytes| bytes.div_ceil(block) * block);
    let (least, most) = (of(now.memory - now.memory / FLUTTER), of(now.memory + now.memory / FLUTTER));
    least.is_some_and(|least| least <= bytes) && most.is_some_and(|most| bytes <= most)
}
