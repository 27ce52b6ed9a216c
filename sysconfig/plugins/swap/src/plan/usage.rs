//! What is in use as swap, now and at boot.

use super::take_over::{holds, seen};
use super::{SILENT_HELP, Step, Steps};
use crate::change::{Change, Target};
use crate::config::Area;
use crate::state::{FoundKind, State};
use sysconfig_platform::System;
use sysconfig_platform::boot_table::{self, BootRow, Tells};
use sysconfig_plugin::{PlannedStep, Risk};

/// Takes what is ours out of use; what it lies in is kept.
pub(super) fn drop_area(path: &str, state: &State, steps: &mut Steps) {
    let ours = &state.record.areas[path];
    if ours.row {
        remove_row(path, state, steps);
    }
    if let (FoundKind::Silent { why }, true) = (&state.found(path).kind, ours.used) {
        // Whoever takes it out of use waits for the server, too.
        steps.leave(path, why, SILENT_HELP);
    } else if ours.used && state.used(path).is_some() {
        steps.removals.push(stop(path, state));
    } else if ours.used {
        // A reboot without the row has done it, or somebody else.
        let change = Change::Forget { path: path.to_owned() };
        let summary = format!("forget {path}, which is no longer used");
        steps.removals.push(PlannedStep::new("forget", path, summary, Risk::Safe, change));
    }
}

/// Takes the row about a path away; whether that can be done.
pub(super) fn remove_row(path: &str, state: &State, steps: &mut Steps) -> bool {
    let rows = state.rows(path);
    let table = boot_table::path(state.system());
    if rows.len() > 1 {
        steps.leave(path, several_rows(rows.len(), table), one_row_only(table));
        return false;
    }
    let previous = rows.first().map(|row| Box::new((*row).clone()));
    let is_there = previous.is_some();
    let change = Change::Row { path: path.to_owned(), row: None, previous, was_ours: true, tells: Tells::default() };
    let step = if is_there {
        let summary = format!("no longer use {path} at boot");
        PlannedStep::new("remove", table, summary, Risk::Safe, change).field(path, "swap", None::<String>)
    } else {
        let summary = format!("forget the row of {path}, which somebody has removed");
        PlannedStep::new("forget", table, summary, Risk::Safe, change)
    };
    steps.removals.push(step);
    true
}

fn several_rows(number: usize, table: &str) -> String {
    format!("there are {number} rows about it in {table}")
}

fn one_row_only(table: &str) -> String {
    format!("remove all but one from {table}")
}

pub(super) fn stop(path: &str, state: &State) -> Step {
    let priority = state.used(path).and_then(|area| area.priority);
    let (target, seen) = (Target::at(state.system(), path), seen(path, state));
    let change = Change::Stop { target, seen, priority };
    PlannedStep::new("remove", path, format!("stop using {path} as swap"), Risk::Disruptive, change)
}

pub(super) fn ensure_use(area: &Area, path: &str, risk: Risk, state: &State, steps: &mut Steps) {
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
    let change = Change::Use { target: Target::at(state.system(), path), seen, priority: area.priority };
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

pub(super) fn ensure_row(area: &Area, path: &str, risk: Risk, state: &State, steps: &mut Steps) {
    let rows = state.rows(path);
    let row_is_ours = state.record.areas.get(path).is_some_and(|ours| ours.row);
    // The key of an encrypted one is gone at the next boot, so there is nothing to use then until it is made anew.
    if !area.persistent || area.encrypted {
        if row_is_ours {
            remove_row(path, state, steps);
        }
        return;
    }
    let table = boot_table::path(state.system());
    let previous = match rows[..] {
        [] => None,
        [row] => Some(row.clone()),
        _ => {
            return steps.leave(path, several_rows(rows.len(), table), one_row_only(table));
        }
    };
    // A row that names it by UUID, label or link goes on to do so.
    let device = previous.as_ref().map_or(path, |row| row.device.as_str());
    let options = previous.as_ref().map_or(&[][..], |row| &row.options);
    let wanted = BootRow::swap(state.system(), device, with_priority(options, area.priority, row_is_ours));
    let is_good = |row: &BootRow| row.options == wanted.options && (state.system() == System::Illumos || row.at_boot);
    if previous.as_ref().is_some_and(is_good) {
        return;
    }
    if let Some(row) = previous.as_ref().filter(|_| !row_is_ours && !area.adopt) {
        let help = format!("change the row in {table} by hand, or write adopt = true");
        let says = row.format(state.system()).replace('\t', " ");
        return steps.leave(path, format!("its row in {table} differs, and is not ours: {says}"), help);
    }
    let from = previous.as_ref().map(|row| row.format(state.system()));
    let to = wanted.format(state.system());
    let change = Change::Row {
        path: path.to_owned(),
        row: Some(Box::new(wanted)),
        previous: previous.map(Box::new),
        was_ours: row_is_ours,
        tells: Tells::default(),
    };
    let summary = format!("use {path} as swap at boot");
    // Only what was used now is used at boot: the row follows the risk of its area, so that it stays behind it.
    steps.add(PlannedStep::new("write", table, summary, risk, change).field(path, from, to));
}

/// The options of a row with the priority that is configured. The others are not expressed here, so they are whose they are; and
/// without a configured priority one in a row of somebody else's is, too.
fn with_priority(options: &[String], priority: Option<i32>, is_ours: bool) -> Vec<String> {
    let is_priority = |option: &String| option.starts_with("pri=");
    let wanted = priority.map(|priority| format!("pri={priority}"));
    if (wanted.is_none() && !is_ours) || options.iter().filter(|option| is_priority(option)).eq(wanted.as_ref()) {
        return options.to_vec();
    }
    options.iter().filter(|option| !is_priority(option)).cloned().chain(wanted).collect()
}
