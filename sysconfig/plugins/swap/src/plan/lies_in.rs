//! What an area lies in: a volume, file or device, which is made, taken over, or made larger or smaller.

use super::Steps;
use super::take_over::{Taking, format_new, is_ours, loss, not_ours, seen, take_over, use_by_others};
use crate::change::{Change, Target};
use crate::config::Area;
use crate::marks::{OPEN_HELP, is_open};
use crate::state::{Encryption, FoundKind, State};
use sysconfig_platform::mount_table::is_remote;
use sysconfig_platform::storage::format_size;
use sysconfig_plugin::{PlannedStep, Risk};

/// File systems on which a file cannot be swap, and why.
const UNFIT: &[(&str, &str)] = &[
    ("zfs", "a file on ZFS cannot be swap; write volume = \"POOL/swap\""),
    ("btrfs", "a file on Btrfs needs preparations that are not made here; use a partition"),
    ("tmpfs", "a file in memory is no place for what has no room in memory"),
    ("overlay", "the kernel does not swap to overlays; use another file system"),
];

/// Why a file on a file system of that type cannot be swap.
fn unfit(fstype: &str) -> Option<&'static str> {
    let is_elsewhere = || is_remote(fstype).then_some("a file on another machine is not there when it is needed");
    UNFIT.iter().find(|(name, _)| *name == fstype).map(|(_, why)| *why).or_else(is_elsewhere)
}

/// Answers whether it is to be used, and what that risks.
pub(super) fn volume(area: &Area, name: &str, path: &str, size: u64, state: &State, steps: &mut Steps) -> Option<Risk> {
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
            let taking = take_over(area, path, is_ours, state, steps)?;
            resize(area, path, (bytes, size), is_ours, &taking, state, steps).then_some(taking.risk)
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
    let snapshots = &state.found(path).snapshots;
    match (encryption, area.encrypted) {
        (Encryption::Off | Encryption::Inherited { open: true }, false)
        | (Encryption::Open { throw_away: true }, true) => None,
        (Encryption::Inherited { open: false }, false) => {
            steps.leave(path, "the key of what it lies in is not loaded", "load it: zfs load-key -r POOL");
            Some(None)
        }
        (Encryption::Locked { throw_away: true }, _) if is_ours && state.used(path).is_none() => {
            if let Some((why, help)) = kept_by(snapshots) {
                steps.leave(path, why, help);
                return Some(None);
            }
            // Nobody can read it ever again, so nothing is lost.
            let summary = format!("make the volume {name} anew, whose key is gone with the last boot");
            steps.add(PlannedStep::new("recreate", name, summary, Risk::Safe, make(true)));
            Some(Some(Risk::Safe))
        }
        _ if (is_ours || area.adopt) && area.allow_destructive => {
            let is_used = state.used(path).is_some();
            if let Some((why, help)) = use_by_others(state.found(path), path, state).filter(|_| !is_used) {
                steps.leave(path, why, help);
                return Some(None);
            }
            if let Some((why, help)) = kept_by(snapshots) {
                steps.leave(path, why, help);
                return Some(None);
            }
            let lost = loss(path, is_ours, state);
            let summary = format!(
                "destroy the volume {name} and make it anew, because encryption is chosen when it is made{lost}"
            );
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

/// Why a volume with snapshots is not destroyed, and what can be done about it: ZFS would refuse it in the middle of the change.
pub(super) fn kept_by(snapshots: &[String]) -> Option<(String, String)> {
    let first = snapshots.first()?;
    let why = format!("it has the snapshots {}", snapshots.join(", "));
    Some((why, format!("destroy them by hand, and apply again: zfs destroy {first}")))
}

pub(super) fn file(area: &Area, path: &str, size: u64, state: &State, steps: &mut Steps) -> Option<Risk> {
    let found = state.found(path);
    // What is in use goes on being used; everything else would be done by a path that others can change.
    if let (Some(directory), None) = (&found.open_to_others, state.used(path)) {
        steps.leave(path, is_open(directory), OPEN_HELP);
        return None;
    }
    let fstype = match &found.kind {
        FoundKind::Nothing { fstype, .. } | FoundKind::File { fstype, .. } => fstype.as_deref().unwrap_or_default(),
        _ => "",
    };
    if let Some(why) = unfit(fstype) {
        steps.leave(path, format!("it lies on {fstype}"), why);
        return None;
    }
    match &found.kind {
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
            let taking = take_over(area, path, is_ours, state, steps)?;
            resize(area, path, (*bytes, size), is_ours, &taking, state, steps).then_some(taking.risk)
        }
        _ => {
            steps.leave(path, "it is no file", "write another path");
            None
        }
    }
}

pub(super) fn device(area: &Area, path: &str, state: &State, steps: &mut Steps) -> Option<Risk> {
    match state.found(path).kind {
        FoundKind::Device => {
            let taking = take_over(area, path, false, state, steps)?;
            taking.prepare(path, state, steps);
            Some(taking.risk)
        }
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

/// Plans to take over what is there, with a change of the size; whether that comes about, or is not needed. Shrinking what is
/// no swap yet loses data too.
fn resize(
    area: &Area,
    path: &str,
    (from, to): (u64, u64),
    is_ours: bool,
    taking: &Taking,
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
    if (from == to || super::is_near(area, from, block, state)) && !(is_stale && is_ours) {
        taking.prepare(path, state, steps);
        return true;
    }
    if !is_ours && !area.adopt {
        let why = match not_ours(path, state) {
            "it is not ours" => format!("it has {} and is not ours", format_size(from)),
            why => format!("it has {}, and {why}", format_size(from)),
        };
        steps.leave(path, why, "write size as it is, or adopt = true");
        return false;
    }
    taking.prepare(path, state, steps);
    let priority = state.used(path).and_then(|area| area.priority);
    let change =
        Change::Resize { target: Target::at(state.system(), path), seen: steps.seen(path, state), from, to, priority };
    let (risk, how) = match state.used(path) {
        Some(_) => (Risk::Disruptive, ", and take it out of use meanwhile"),
        None => (Risk::Safe, ""),
    };
    let summary = format!("change {path} from {} to {}{how}", format_size(from), format_size(to));
    steps.add(PlannedStep::new("resize", path, summary, risk.max(taking.risk), change).field("size", from, to));
    true
}
