//! Plans about rows of the boot table.

use super::{Step, Steps};
use crate::change::Change;
use crate::config::MountEntry;
use crate::options;
use crate::state::State;
use sysconfig_platform::boot_table::{self, BootRow, Subject, Tells};
use sysconfig_platform::device_name::spelled_out;
use sysconfig_plugin::{PlannedStep, Risk};

/// systemd goes by the old table until it is told, so that comes first.
pub(super) fn tell(state: &State) -> Option<Step> {
    let (table, summary) = (boot_table::path(state.system()), boot_table::telling(state.system()));
    state.is_untold.then(|| PlannedStep::new("reload", table, summary, Risk::Safe, Change::Tell {}))
}

/// Takes a row out of which systemd would unmount what is to come in its place; whether there is none then.
pub(super) fn make_room(entry: &MountEntry, state: &State, steps: &mut Steps) -> bool {
    let point = &entry.mountpoint;
    let table = boot_table::path(state.system());
    let rows = state.rows_at(point);
    let is_in_the_way =
        |row: &&BootRow| state.missing.contains(&row.device) && spelled_out(&row.device) != spelled_out(&entry.device);
    // What cannot be mounted anyway needs no room: its disk may come back, as that of the row may.
    let is_absent = state.missing.contains(&entry.device);
    let row = match rows[..] {
        _ if is_absent || !rows.iter().any(is_in_the_way) => return true,
        [row] => row,
        ref several => {
            let why = format!("{}, of which one names a device that is not there", several_rows(several.len(), table));
            steps.leave(point, why, one_row_only(table));
            return false;
        }
    };
    let is_ours = state.record.has_row(point, row);
    let may_go = is_ours || (entry.adopt && entry.persistent);
    if !may_go {
        let says = row.format(state.system()).replace('\t', " ");
        let why = format!(
            "its row in {table} is not ours, and names a device that is not there, so that systemd would unmount anything \
             else at once: {says}"
        );
        let help = format!("take that row out of {table}, then: systemctl daemon-reload; or write adopt = true");
        steps.leave(point, why, help);
        return false;
    }
    // Without a row of its own the other one goes before anything is mounted in any case.
    if entry.persistent {
        let previous = Some(Box::new(row.clone()));
        let change = Change::Row {
            point: point.clone(),
            row: None,
            previous,
            was_ours: is_ours,
            makes_room: true,
            tells: Tells::default(),
        };
        let summary = format!("no longer mount {} at {point} at boot, which is not there", row.device);
        let step = PlannedStep::new("remove", table, summary, Risk::Safe, change);
        steps.changes.push(step.field(point.clone(), Some(row.format(state.system())), None::<String>));
    }
    true
}

/// Whether a step before takes the row about a mount point out.
fn is_taken_out(point: &str, steps: &Steps) -> bool {
    let takes_out = |step: &Step| matches!(&step.change, Change::Row { point: other, row: None, .. } if other == point);
    steps.changes.iter().any(takes_out)
}

/// Takes the row of ours about a mount point away.
pub(super) fn remove(point: &str, state: &State, steps: &mut Steps) {
    let table = boot_table::path(state.system());
    let previous = match state.rows_at(point)[..] {
        [row] => Some(row),
        [] => None,
        ref several => return steps.leave(point, several_rows(several.len(), table), one_row_only(table)),
    };
    let (action, summary, previous) = match previous {
        Some(row) if state.record.has_row(point, row) => {
            ("remove", format!("no longer mount {point} at boot"), Some(Box::new(row.clone())))
        }
        Some(_) => ("forget", format!("forget the row of {point}, which somebody has changed, and which stays"), None),
        None => ("forget", format!("forget the row of {point}, which somebody has removed"), None),
    };
    let from = previous.as_ref().map(|row| row.format(state.system()));
    let change = Change::Row {
        point: point.to_owned(),
        row: None,
        previous,
        was_ours: true,
        makes_room: false,
        tells: Tells::default(),
    };
    steps.removals.push(PlannedStep::new(action, table, summary, Risk::Safe, change).field(
        point,
        from,
        None::<String>,
    ));
}

fn several_rows(number: usize, table: &str) -> String {
    format!("there are {number} rows about it in {table}")
}

fn one_row_only(table: &str) -> String {
    format!("remove all but one from {table}")
}

/// Plans the row; whether nothing stands in its way.
pub(super) fn ensure(entry: &MountEntry, state: &State, steps: &mut Steps) -> bool {
    let point = &entry.mountpoint;
    if !entry.persistent {
        if state.record.rows.contains(point) {
            remove(point, state, steps);
        }
        return true;
    }
    let wanted = entry.row(state.system());
    let table = boot_table::path(state.system());
    let previous = match state.rows_at(point)[..] {
        [] => None,
        [_] if is_taken_out(point, steps) => None,
        [row] => Some(row.clone()),
        ref several => {
            steps.leave(point, several_rows(several.len(), table), one_row_only(table));
            return true;
        }
    };
    let subject = Subject::Mount(point);
    let odd = || state.unreadable.iter().find(|line| boot_table::mentions(line, subject, &wanted.device));
    if let (None, Some(odd)) = (&previous, odd()) {
        let why = format!("{table} has a row that cannot be read, and may be about it: {}", odd.trim());
        steps.leave(point, why, format!("put that row of {table} right, or take it out"));
        return true;
    }
    let is_ours = previous.as_ref().is_some_and(|row| state.record.has_row(point, row));
    if previous.as_ref().is_some_and(|row| is_row(row, &wanted)) {
        return true;
    }
    if let Some(row) = previous.as_ref().filter(|_| !is_ours && !entry.adopt) {
        let help = format!("change the row in {table} by hand, or write adopt = true");
        let says = row.format(state.system()).replace('\t', " ");
        steps.leave(point, format!("its row in {table} differs, and is not ours: {says}"), help);
        return true;
    }
    let from = previous.as_ref().map(|row| row.format(state.system()));
    let to = wanted.format(state.system());
    let row = Some(Box::new((wanted, entry.request())));
    let previous = previous.map(Box::new);
    let change = Change::Row {
        point: point.clone(),
        row,
        previous,
        was_ours: is_ours,
        makes_room: false,
        tells: Tells::default(),
    };
    let summary = match entry.at_boot {
        true => format!("mount {point} at boot"),
        false => format!("write down how {point} is mounted"),
    };
    steps.changes.push(PlannedStep::new("write", table, summary, Risk::Safe, change).field(point.clone(), from, to));
    true
}

/// Whether a row says what is wanted.
fn is_row(row: &BootRow, wanted: &BootRow) -> bool {
    row.device == wanted.device
        && row.fstype == wanted.fstype
        && row.at_boot == wanted.at_boot
        && row.fsck_pass == wanted.fsck_pass
        && options::are_equal(&row.options, &wanted.options)
}
