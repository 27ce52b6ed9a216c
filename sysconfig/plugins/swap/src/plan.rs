//! From what is there to what is wanted.

use crate::change::{Change, Seen, Target};
use crate::config::{Area, Backing, Config};
use crate::rule::Measures;
use crate::state::{Encryption, Found, FoundKind, KEY_FILE, State};
use sysconfig_platform::boot_table::{self, BootRow};
use sysconfig_platform::storage::format_size;
use sysconfig_platform::{System, device, zfs};
use sysconfig_plugin::{PlannedStep, Risk};

/// File systems on which a file cannot be swap, and why.
const UNFIT: &[(&str, &str)] = &[
    ("zfs", "a file on ZFS cannot be swap; write volume = \"POOL/swap\""),
    ("btrfs", "a file on Btrfs needs preparations that are not made here; use a partition"),
    ("tmpfs", "a file in memory is no place for what has no room in memory"),
    ("nfs", "a file on another machine is not there when it is needed"),
    ("nfs4", "a file on another machine is not there when it is needed"),
    ("overlay", "the kernel does not swap to overlays; use another file system"),
];

type Step = PlannedStep<Change>;

/// The steps, in the order in which they are done.
#[derive(Default)]
struct Steps {
    /// What goes, which makes room.
    removals: Vec<Step>,
    /// What comes and changes.
    changes: Vec<Step>,
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
                Change::Volume { name, .. } => makes |= zfs::volume_path(state.system, name) == path,
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
    if state.has_key {
        let summary = "throw away the key of an encrypted volume, which an interrupted run has left behind";
        let change = Change::ThrowKeyAway;
        steps.removals.push(PlannedStep::new("remove", KEY_FILE, summary, Risk::Safe, change));
    }
    for path in state.record.areas.keys() {
        if !config.areas.iter().any(|area| &area.path(state.system) == path) {
            drop_area(path, state, &mut steps);
        }
    }
    for area in &config.areas {
        let path = area.path(state.system);
        match area.absent {
            true => delete(area, &path, state, &mut steps),
            false => ensure(area, &path, state, &mut steps),
        }
    }
    [steps.removals, steps.changes, steps.destructive, steps.left].concat()
}

/// What is no longer configured and kept nevertheless.
pub(crate) fn kept(config: &Config, state: &State) -> Vec<String> {
    let gone = |path: &&String| !config.areas.iter().any(|area| &&area.path(state.system) == path);
    let exists = |path: &&String| !matches!(state.found(path).kind, FoundKind::Nothing { .. });
    let kept = state.record.areas.iter().filter(|(path, ours)| ours.made && gone(path) && exists(path));
    kept.map(|(path, _)| {
        format!(
            "{path} is no longer configured; it is kept, and absent = true with allow-destructive = true destroys it"
        )
    })
    .collect()
}

/// Takes what is ours out of use; what it lies in is kept.
fn drop_area(path: &str, state: &State, steps: &mut Steps) {
    let ours = &state.record.areas[path];
    if ours.row {
        remove_row(path, state, &mut steps.removals);
    }
    if ours.used && state.used(path).is_some() {
        steps.removals.push(stop(path, state));
    } else if ours.used && !ours.row {
        // A reboot without the row has done it.
        let change = Change::Forget { path: path.to_owned() };
        let summary = format!("forget {path}, which is no longer used");
        steps.removals.push(PlannedStep::new("forget", path, summary, Risk::Safe, change));
    }
}

fn remove_row(path: &str, state: &State, steps: &mut Vec<Step>) {
    let previous = state.rows(path).first().map(|row| Box::new((*row).clone()));
    let is_there = previous.is_some();
    let change = Change::Row { path: path.to_owned(), row: None, previous, was_ours: true };
    let table = boot_table::path(state.system);
    if is_there {
        let summary = format!("no longer use {path} at boot");
        steps.push(PlannedStep::new("remove", table, summary, Risk::Safe, change).field(path, "swap", None::<String>));
    } else {
        let summary = format!("forget the row of {path}, which somebody has removed");
        steps.push(PlannedStep::new("forget", table, summary, Risk::Safe, change));
    }
}

fn stop(path: &str, state: &State) -> Step {
    let priority = state.used(path).and_then(|area| area.priority);
    let (target, seen) = (Target::at(state.system, path), seen(path, state));
    let change = Change::Stop { target, seen, priority };
    PlannedStep::new("remove", path, format!("stop using {path} as swap"), Risk::Disruptive, change)
}

/// What a step about a path finds there, as far as it was there when it was planned.
fn seen(path: &str, state: &State) -> Seen {
    let found = state.found(path);
    let fingerprint = found.content.as_ref().map(|content| content.fingerprint.clone());
    match (&found.kind, &found.what, fingerprint) {
        (FoundKind::Nothing { .. }, ..) => Seen::Ours,
        (FoundKind::Volume { is_ours, .. }, Some(guid), fingerprint) => {
            Seen::Volume { guid: guid.clone(), is_ours: *is_ours, fingerprint }
        }
        (FoundKind::File { .. }, ..) if is_ours(found, path, state) => Seen::Ours,
        (_, _, Some(fingerprint)) => Seen::Content { fingerprint },
        (FoundKind::File { .. }, Some(what), _) => Seen::File { what: what.clone() },
        _ => Seen::Any,
    }
}

/// What is lost when something becomes swap, as far as it can be told.
fn holds(found: &Found) -> String {
    let holds = found.content.as_ref().and_then(device::Content::description);
    holds.unwrap_or_else(|| "what is on it".to_owned())
}

fn is_ours(found: &Found, path: &str, state: &State) -> bool {
    match found.kind {
        FoundKind::Volume { is_ours, .. } => is_ours,
        // A creation that began is no file, and what somebody has put in its place bears no mark.
        FoundKind::File { is_marked, .. } => {
            let has_header = state.system == System::Illumos || found.made_for.is_some();
            is_marked && has_header && state.record.areas.get(path).is_some_and(|ours| ours.made)
        }
        _ => false,
    }
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
        let help = format!("nothing of it was made by this configuration; with adopt = true it is {what}");
        return steps.leave(path, "it is not ours", help);
    }
    if has_row {
        remove_row(path, state, &mut steps.removals);
    }
    if is_used {
        steps.removals.push(stop(path, state));
    }
    if exists {
        let change = Change::Delete { target: Target::at(state.system, path), seen: seen(path, state) };
        steps.add(PlannedStep::new("destroy", path, format!("destroy {path}"), Risk::Destructive, change));
    }
}

fn ensure(area: &Area, path: &str, state: &State, steps: &mut Steps) {
    let size = match wanted_size(area, state) {
        Ok(size) => size,
        Err((why, help)) => return steps.leave(path, why, help),
    };
    let goes_on = match area.backing() {
        Backing::Volume(name) => ensure_volume(area, name, path, size, state, steps),
        Backing::File(_) => ensure_file(area, path, size, state, steps),
        Backing::Device(_) => ensure_device(area, path, state, steps),
    };
    if let Some(risk) = goes_on {
        ensure_use(area, path, risk, state, steps);
        ensure_row(area, path, risk, state, steps);
    }
}

/// The size in bytes; for a device nothing.
fn wanted_size(area: &Area, state: &State) -> Result<u64, (String, String)> {
    let Some(rule) = area.rule() else { return Ok(0) };
    let pool = match area.backing() {
        Backing::Volume(name) => name.split('/').next().unwrap_or_default(),
        _ => "",
    };
    let measures = Measures { memory: state.memory.unwrap_or_default(), pool: state.pools.get(pool).copied() };
    match rule.bytes(measures) {
        None => {
            Err((format!("its size depends on the pool {pool}, which is not there"), "make the pool first".to_owned()))
        }
        Some(0) => Err((format!("{rule} is less than 1 MiB"), "write a larger size".to_owned())),
        Some(bytes) => Ok(bytes),
    }
}

/// Answers whether it is to be used, and what that risks.
fn ensure_volume(area: &Area, name: &str, path: &str, size: u64, state: &State, steps: &mut Steps) -> Option<Risk> {
    let found = state.found(path);
    let make = |remake: bool| Change::Volume {
        name: name.to_owned(),
        bytes: size,
        encrypted: area.encrypted,
        replaces: remake.then(|| seen(path, state)),
    };
    match found.kind {
        FoundKind::Nothing { .. } => {
            let parent = name.rsplit_once('/').map_or(name, |(parent, _)| parent);
            if !state.datasets.iter().any(|dataset| dataset == parent) {
                steps.leave(path, format!("there is no dataset {parent}"), format!("make it: zfs create -p {parent}"));
                return None;
            }
            let summary = format!("create the volume {name} with {}", format_size(size));
            let step = PlannedStep::new("create", name, summary, Risk::Safe, make(false));
            steps.add(step.field("volsize", None::<u64>, size));
            format_new(path, state, steps);
            Some(Risk::Safe)
        }
        FoundKind::Volume { bytes, is_ours, encryption, .. } => {
            if let Some(answer) = ensure_encryption(area, name, path, encryption, is_ours, state, steps, &make) {
                return answer;
            }
            let risk = take_over(area, path, is_ours, state, steps)?;
            resize(area, path, (bytes, size), is_ours, risk, state, steps).then_some(risk)
        }
        _ => {
            steps.leave(path, format!("{name} is a file system"), "give the volume another name");
            None
        }
    }
}

/// What has to be done about the encryption of a volume that is there; nothing when that is as wanted.
#[expect(clippy::too_many_arguments, reason = "one place that looks at everything about one volume")]
fn ensure_encryption(
    area: &Area,
    name: &str,
    path: &str,
    encryption: Encryption,
    is_ours: bool,
    state: &State,
    steps: &mut Steps,
    make: &dyn Fn(bool) -> Change,
) -> Option<Option<Risk>> {
    match (encryption, area.encrypted) {
        (Encryption::Off | Encryption::Inherited { open: true }, false)
        | (Encryption::Open { throw_away: true }, true) => None,
        (Encryption::Inherited { open: false }, false) => {
            steps.leave(path, "the key of what it lies in is not loaded", "load it: zfs load-key -r POOL");
            Some(None)
        }
        (Encryption::Locked { throw_away: true }, _) if is_ours && state.used(path).is_none() => {
            // Nobody can read it ever again, so nothing is lost.
            let summary = format!("make the volume {name} anew, whose key is gone with the last boot");
            steps.add(PlannedStep::new("recreate", name, summary, Risk::Safe, make(true)));
            Some(Some(Risk::Safe))
        }
        _ if (is_ours || area.adopt) && area.allow_destructive => {
            let summary =
                format!("destroy the volume {name} and make it anew, because encryption is chosen when it is made");
            let step = PlannedStep::new("recreate", name, summary, Risk::Destructive, make(true));
            let is_encrypted = !matches!(encryption, Encryption::Off | Encryption::Inherited { .. });
            steps.add(step.field("encrypted", is_encrypted, area.encrypted));
            Some(Some(Risk::Destructive))
        }
        _ => {
            let what = match encryption {
                Encryption::Off => "is not encrypted",
                Encryption::Inherited { .. } => "is encrypted with the key of what it lies in, which is kept",
                _ => "is encrypted",
            };
            let help = "that is chosen when it is made; with allow-destructive = true, and adopt = true when it is not \
                        ours, it is destroyed and made anew";
            steps.leave(path, format!("the volume {name} {what}"), help);
            Some(None)
        }
    }
}

fn ensure_file(area: &Area, path: &str, size: u64, state: &State, steps: &mut Steps) -> Option<Risk> {
    let found = state.found(path);
    let unfit =
        |fstype: &Option<String>| UNFIT.iter().find(|(name, _)| fstype.as_deref() == Some(name)).map(|(_, why)| *why);
    match &found.kind {
        FoundKind::Nothing { fstype, .. } | FoundKind::File { fstype, .. } if unfit(fstype).is_some() => {
            let fstype = fstype.as_deref().unwrap_or_default();
            steps.leave(path, format!("it lies on {fstype}"), unfit(&Some(fstype.to_owned())).unwrap_or_default());
            None
        }
        FoundKind::Nothing { directory: false, .. } => {
            steps.leave(path, "its directory does not exist", "make the directory, or mount what holds it");
            None
        }
        FoundKind::Nothing { .. } => {
            let change = Change::File { path: path.to_owned(), bytes: size };
            let summary = format!("create the file {path} with {}", format_size(size));
            let step = PlannedStep::new("create", path, summary, Risk::Safe, change);
            steps.add(step.field("size", None::<u64>, size));
            Some(Risk::Safe)
        }
        FoundKind::File { bytes, .. } => {
            let is_ours = is_ours(found, path, state);
            let risk = take_over(area, path, is_ours, state, steps)?;
            resize(area, path, (*bytes, size), is_ours, risk, state, steps).then_some(risk)
        }
        _ => {
            steps.leave(path, "it is no file", "write another path");
            None
        }
    }
}

fn ensure_device(area: &Area, path: &str, state: &State, steps: &mut Steps) -> Option<Risk> {
    match state.found(path).kind {
        FoundKind::Device => take_over(area, path, false, state, steps),
        FoundKind::Nothing { .. } => {
            steps.leave(path, "there is no such device", "look at the device's name");
            None
        }
        _ => {
            steps.leave(path, "it is no device", "write file = … for a file");
            None
        }
    }
}

/// Whether what is there can become swap: at once when it is ours or is swap already, with two permissions otherwise.
/// Prepares it on Linux.
fn take_over(area: &Area, path: &str, is_ours: bool, state: &State, steps: &mut Steps) -> Option<Risk> {
    let found = state.found(path);
    let ours = state.record.areas.get(path).cloned().unwrap_or_default();
    // What we have made and no longer is ours was replaced by somebody, and what we wrote about it says nothing any more.
    // A device has nothing to be known by but what it holds: somebody may have put it to another use since.
    let is_recognised = found.content.as_ref().is_some_and(device::Content::is_recognised);
    let was_used = ours.used && !ours.made && ours.what == found.what && !is_recognised;
    let has_row = !ours.row && !state.rows(path).is_empty();
    let is_swap = state.used(path).is_some() || has_row || was_used || found.made_for.is_some();
    let risk = match (is_ours || is_swap, area.allow_destructive) {
        (true, _) => Risk::Safe,
        (false, true) => Risk::Destructive,
        (false, false) => {
            let help = "what is on it would be lost; if nothing is, write allow-destructive = true and apply with \
                        --allow-destructive";
            let holds = found.content.as_ref().and_then(device::Content::description);
            let holds = holds.map_or_else(|| "may hold data".to_owned(), |holds| format!("holds {holds}"));
            steps.leave(path, format!("it is not ours, and {holds}"), help);
            return None;
        }
    };
    if let Some(used) = found.content.as_ref().and_then(|content| content.used.as_ref()) {
        steps.leave(path, format!("it is in use: {used}"), "choose another one");
        return None;
    }
    if risk == Risk::Destructive && found.content.is_none() && matches!(found.kind, FoundKind::Device) {
        steps.leave(path, "it cannot be looked at, and may hold data", "see to it that it can be read");
        return None;
    }
    let is_unmade = state.system == System::Linux && found.made_for.is_none() && state.used(path).is_none();
    if is_unmade {
        // A row alone does not make what is there swap.
        let risk = if is_ours && !is_recognised { Risk::Safe } else { Risk::Destructive };
        if risk == Risk::Destructive && !area.allow_destructive {
            let help = "if nothing on it is needed, write allow-destructive = true and apply with --allow-destructive";
            steps.leave(path, "it does not bear the header of a swap area", help);
            return None;
        }
        steps.add(format(path, risk, state, steps));
        return Some(risk);
    }
    Some(risk)
}

/// Linux: a new volume needs a header.
fn format_new(path: &str, state: &State, steps: &mut Steps) {
    if state.system == System::Linux {
        steps.add(format(path, Risk::Safe, state, steps));
    }
}

fn format(path: &str, risk: Risk, state: &State, steps: &Steps) -> Step {
    let summary = match risk {
        Risk::Destructive => format!("make a swap area of {path}, which loses {}", holds(state.found(path))),
        _ => format!("make a swap area of {path}"),
    };
    let change = Change::Format { target: Target::at(state.system, path), seen: steps.seen(path, state) };
    PlannedStep::new("format", path, summary, risk, change)
}

/// Plans a change of the size; whether it comes about, or is not needed. `taking` is the risk of taking what is there
/// over: shrinking what is no swap yet loses data too.
fn resize(
    area: &Area,
    path: &str,
    (from, to): (u64, u64),
    is_ours: bool,
    taking: Risk,
    state: &State,
    steps: &mut Steps,
) -> bool {
    let found = state.found(path);
    let block = match found.kind {
        FoundKind::Volume { block, .. } => block.max(1),
        _ => 1,
    };
    // A volume is a whole number of blocks.
    let to = to.div_ceil(block) * block;
    // Linux: a header that is for another size is left over from an interrupted change.
    let is_stale = found.made_for.is_some_and(|made_for| from.saturating_sub(made_for) >= 2 * state.page_size);
    if from == to && !(is_stale && is_ours) {
        return true;
    }
    if !is_ours && !area.adopt {
        let why = format!("it has {} and is not ours", format_size(from));
        steps.leave(path, why, "write size as it is, or adopt = true");
        return false;
    }
    let priority = state.used(path).and_then(|area| area.priority);
    let change =
        Change::Resize { target: Target::at(state.system, path), seen: steps.seen(path, state), from, to, priority };
    let (risk, how) = match state.used(path) {
        Some(_) => (Risk::Disruptive, ", and take it out of use meanwhile"),
        None => (Risk::Safe, ""),
    };
    let summary = format!("change {path} from {} to {}{how}", format_size(from), format_size(to));
    steps.add(PlannedStep::new("resize", path, summary, risk.max(taking), change).field("size", from, to));
    true
}

fn ensure_use(area: &Area, path: &str, risk: Risk, state: &State, steps: &mut Steps) {
    let present = state.used(path);
    let is_remade = risk == Risk::Destructive && present.is_some();
    let differs = present.is_some_and(|used| area.priority.is_some() && used.priority != area.priority);
    if present.is_some() && !differs && !is_remade {
        return;
    }
    if differs && !is_remade {
        let ours = state.record.areas.get(path).is_some_and(|ours| ours.used || ours.made);
        if !ours && !area.adopt {
            let priority = present.and_then(|used| used.priority).unwrap_or_default();
            return steps.leave(path, format!("its priority is {priority}, and it is not ours"), "write adopt = true");
        }
        steps.add(stop(path, state));
    }
    let seen = steps.seen(path, state);
    let change = Change::Use { target: Target::at(state.system, path), seen, priority: area.priority };
    let summary = match risk {
        Risk::Destructive => format!("use {path} as swap, which loses {}", holds(state.found(path))),
        _ => format!("use {path} as swap"),
    };
    let mut step = PlannedStep::new("add", path, summary, risk, change);
    if differs {
        step = step.field("priority", present.and_then(|used| used.priority), area.priority);
    }
    steps.add(step);
}

fn ensure_row(area: &Area, path: &str, risk: Risk, state: &State, steps: &mut Steps) {
    let rows = state.rows(path);
    let row_is_ours = state.record.areas.get(path).is_some_and(|ours| ours.row);
    // The key of an encrypted one is gone at the next boot, so there is nothing to use then until it is made anew.
    if !area.persistent || area.encrypted {
        if row_is_ours {
            remove_row(path, state, &mut steps.removals);
        }
        return;
    }
    let options = area.priority.map(|priority| format!("pri={priority}")).into_iter().collect();
    let table = boot_table::path(state.system);
    let previous = match rows[..] {
        [] => None,
        [row] => Some(row.clone()),
        _ => {
            let help = format!("remove all but one from {table}");
            return steps.leave(path, format!("there are {} rows about it in {table}", rows.len()), help);
        }
    };
    // A row that names it by UUID, label or link goes on to do so.
    let device = previous.as_ref().map_or(path, |row| row.device.as_str());
    let wanted = BootRow::swap(state.system, device, options);
    let is_good = |row: &BootRow| row.options == wanted.options && (state.system == System::Illumos || row.at_boot);
    if previous.as_ref().is_some_and(is_good) {
        return;
    }
    if previous.is_some() && !row_is_ours && !area.adopt {
        let help = format!("change the row in {table} by hand, or write adopt = true");
        return steps.leave(path, format!("its row in {table} differs, and is not ours"), help);
    }
    let from = previous.as_ref().map(|row| row.format(state.system));
    let to = wanted.format(state.system);
    let change = Change::Row {
        path: path.to_owned(),
        row: Some(Box::new(wanted)),
        previous: previous.map(Box::new),
        was_ours: row_is_ours,
    };
    let summary = format!("use {path} as swap at boot");
    // Only what was used now is used at boot: the row follows the risk of its area, so that it stays behind it.
    steps.add(PlannedStep::new("write", table, summary, risk, change).field(path, from, to));
}

/// The name of the volume at a path.
pub(crate) fn volume_of(system: System, path: &str) -> Option<&str> {
    path.strip_prefix(zfs::volume_path(system, "").as_str())
}
