//! Whether what is there may become swap, and what is lost then.

use super::{Step, Steps};
use crate::change::{Change, Seen, Target};
use crate::config::Area;
use crate::state::{Found, FoundKind, State, is_locked};
use sysconfig_platform::{System, boot_table, device};
use sysconfig_plugin::{PlannedStep, Risk};

/// What it takes to make swap of what is there.
pub(super) struct Taking {
    pub(super) risk: Risk,
    /// Linux: a header is to be written, with this risk.
    format: Option<Risk>,
}

impl Taking {
    /// Plans the header. Nothing is written on what in the end is left alone, so this comes when nothing stands in the way.
    pub(super) fn prepare(&self, path: &str, state: &State, steps: &mut Steps) {
        if let Some(risk) = self.format {
            steps.add(format(path, risk, state, steps));
        }
    }
}

/// Whether what is there can become swap: at once when it is swap already, or ours with nothing else on it; with two permissions
/// otherwise.
pub(super) fn take_over(area: &Area, path: &str, is_ours: bool, state: &State, steps: &mut Steps) -> Option<Taking> {
    let found = state.found(path);
    let is_used = state.used(path).is_some();
    if let Some((why, help)) = unseen(found).or_else(|| use_by_others(found, path, state)).filter(|_| !is_used) {
        steps.leave(path, why, help);
        return None;
    }
    let risk = match (is_used || is_free(path, is_ours, state), area.allow_destructive) {
        (true, _) => Risk::Safe,
        (false, true) => Risk::Destructive,
        (false, false) => {
            let help = "what is on it would be lost; if nothing is, write allow-destructive = true and apply with \
                        --allow-destructive";
            let holds = found.content.as_ref().and_then(device::Content::description);
            let holds = holds.map_or_else(|| "may hold data".to_owned(), |holds| format!("holds {holds}"));
            let whose = if is_ours { "nothing tells that it is still swap" } else { not_ours(path, state) };
            steps.leave(path, format!("{whose}, and {holds}"), help);
            return None;
        }
    };
    // There is nothing to see in an empty file, and what is on its way out is swap until it is out.
    let is_nothing = matches!(found.kind, FoundKind::File { bytes: 0, .. }) || state.is_leaving(path);
    if found.content.is_none() && !is_used && !is_nothing {
        steps.leave(path, "it cannot be looked at, and may hold data", "see to it that it can be read");
        return None;
    }
    if state.system() == System::Linux && found.made_for.is_none() && !is_used {
        // A row alone does not make what is there swap.
        let is_safe = is_ours && !found.is_other() && (found.is_blank() || was_used(path, state));
        let risk = if is_safe { Risk::Safe } else { Risk::Destructive };
        if risk == Risk::Destructive && !area.allow_destructive {
            let help = "if nothing on it is needed, write allow-destructive = true and apply with --allow-destructive";
            steps.leave(path, "it does not bear the header of a swap area", help);
            return None;
        }
        return Some(Taking { risk, format: Some(risk) });
    }
    Some(Taking { risk, format: None })
}

/// Why a volume cannot be looked at yet, and what can be done about it.
pub(super) fn unseen(found: &Found) -> Option<(String, String)> {
    let help = "apply again when it is there; a volume with volmode=none gets none";
    found.is_coming.then(|| ("its device has not appeared yet".to_owned(), help.to_owned()))
}

/// Who uses what is not in use as swap, and what can be done about it; no permission is any answer to that.
pub(super) fn use_by_others(found: &Found, path: &str, state: &State) -> Option<(String, String)> {
    if let Some(used) = found.content.as_ref().and_then(|content| content.used.as_ref()) {
        return Some((format!("it is in use: {used}"), "choose another one".to_owned()));
    }
    let table = boot_table::path(state.system());
    let point = state.mounted_at_boot(path)?;
    Some((format!("{table} mounts it at {point}"), format!("take that row out of {table}, or choose another one")))
}

/// Whether it was in use as swap when we last knew, and is the same still.
fn was_used(path: &str, state: &State) -> bool {
    state.record.areas.get(path).is_some_and(|ours| ours.used && ours.what == state.found(path).what)
}

/// Whether what is not in use holds nothing but what a swap area leaves behind, as far as anything tells. illumos writes no
/// header, so there it is what was remembered, or what a row says.
fn is_free(path: &str, is_ours: bool, state: &State) -> bool {
    let found = state.found(path);
    // A device has nothing to be known by but what it holds: somebody may have put it to another use since.
    if found.is_other() {
        return false;
    }
    let ours = state.record.areas.get(path).cloned().unwrap_or_default();
    // What we have made and no longer is ours was replaced by somebody, and what we wrote about it says nothing any more.
    let was_used = was_used(path, state) && (is_ours || !ours.made);
    let fingerprint = found.content.as_ref().map(|content| &content.fingerprint);
    let was_left = ours.left.is_some() && ours.left.as_ref() == fingerprint;
    // Nor does a row that somebody has forgotten say what is there now.
    let has_row = (is_ours || !ours.row) && !state.rows(path).is_empty();
    // A file tells by its mark that it was made for this, a volume only that it was made here.
    let is_new = is_ours && (found.is_blank() || matches!(found.kind, FoundKind::File { .. }));
    is_new || was_used || was_left || has_row || found.made_for.is_some()
}

/// Linux: a new volume needs a header.
pub(super) fn format_new(path: &str, state: &State, steps: &mut Steps) {
    if state.system() == System::Linux {
        steps.add(format(path, Risk::Safe, state, steps));
    }
}

fn format(path: &str, risk: Risk, state: &State, steps: &Steps) -> Step {
    let summary = match risk {
        Risk::Destructive => format!("make a swap area of {path}, which loses {}", holds(state.found(path))),
        _ => format!("make a swap area of {path}"),
    };
    let change = Change::Format { target: Target::at(state.system(), path), seen: steps.seen(path, state) };
    PlannedStep::new("format", path, summary, risk, change)
}

/// What a step about a path finds there, as far as it was there when it was planned.
pub(super) fn seen(path: &str, state: &State) -> Seen {
    let found = state.found(path);
    let fingerprint = found.content.as_ref().map(|content| content.fingerprint.clone());
    match (&found.kind, &found.what, fingerprint) {
        (FoundKind::Nothing { .. }, ..) => Seen::Ours,
        (kind @ FoundKind::Volume { is_ours, .. }, Some(guid), fingerprint) => {
            Seen::Volume { guid: guid.clone(), is_ours: *is_ours, fingerprint, locked: is_locked(kind) }
        }
        (FoundKind::File { .. }, _, None) if is_ours(found, path, state) => Seen::Ours,
        (_, _, Some(fingerprint)) => Seen::Content { fingerprint },
        (FoundKind::File { .. }, Some(what), _) => Seen::File { what: what.clone() },
        _ => Seen::Any,
    }
}

/// What a line says besides about what is destroyed, when that is more than a swap area.
pub(super) fn loss(path: &str, is_ours: bool, state: &State) -> String {
    let found = state.found(path);
    let is_nothing = state.used(path).is_some() || found.is_blank() || (is_ours && !found.is_other());
    if is_nothing { String::new() } else { format!("; it loses {}", holds(found)) }
}

/// What is lost when something becomes swap, as far as it can be told.
pub(super) fn holds(found: &Found) -> String {
    let holds = found.content.as_ref().and_then(device::Content::description);
    holds.unwrap_or_else(|| "what is on it".to_owned())
}

/// Why something is not taken for ours. That an earlier run has made a file at this path is no proof that it is this one.
pub(super) fn not_ours(path: &str, state: &State) -> &'static str {
    let was_made = state.record.areas.get(path).is_some_and(|ours| ours.made);
    match state.found(path).kind {
        FoundKind::File { is_marked: false, .. } if was_made => {
            "it does not bear the mark of the files that are made here, as by an early version or by somebody else, so it is not ours"
        }
        _ => "it is not ours",
    }
}

pub(super) fn is_ours(found: &Found, path: &str, state: &State) -> bool {
    match found.kind {
        FoundKind::Volume { is_ours, .. } => is_ours,
        // A creation that began is no file, and what somebody has put in its place bears no mark.
        FoundKind::File { is_marked, .. } => {
            let has_header = state.system() == System::Illumos || found.made_for.is_some();
            is_marked && has_header && state.record.areas.get(path).is_some_and(|ours| ours.made)
        }
        _ => false,
    }
}
