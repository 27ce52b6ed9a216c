//! `plan`, `apply` and `reload` as text.

use super::{clean, counted, duration, indented, push_diagnostics, push_problems};
use serde_json::Value;
use std::fmt::Write;
use sysconfig_protocol::admin::{
    AppliedStep, ApplyReport, ConfirmReport, Failure, PlanReport, PluginApply, ReloadReport, StepResult, UndoReport,
    UndoneStep,
};
use sysconfig_protocol::{Diagnostic, FieldChange, Risk, Step};

/// How many characters of a value are shown.
const LONGEST_VALUE: usize = 60;

/// The answer to `plan`.
#[must_use]
pub fn plan(report: &PlanReport) -> String {
    let mut text = String::new();
    for plugin in &report.plugins {
        if plugin.steps.is_empty() && plugin.error.is_none() && plugin.diagnostics.is_empty() {
            continue;
        }
        let _ = writeln!(text, "{}", clean(&plugin.plugin));
        push_diagnostics(&mut text, &plugin.diagnostics);
        for step in &plugin.steps {
            let _ = writeln!(text, "  {}", line(step));
            push_changes(&mut text, &step.changes);
        }
        push_failure(&mut text, "  ", plugin.error.as_ref());
        text.push('\n');
    }
    let is_sound = report.plugins.iter().all(|plugin| plugin.error.is_none() && !has_errors(&plugin.diagnostics))
        && !super::has_errors(&report.problems);
    let steps = report.plugins.iter().map(|plugin| plugin.steps.len()).sum();
    text += &match steps {
        0 if is_sound => "Nothing to do: the machine is as configured.\n".to_owned(),
        0 => "No steps.\n".to_owned(),
        _ => format!(
            "{}. Apply just this with `sysconfigctl apply --plan {}`.\n",
            counted(steps, "step"),
            clean(&report.digest.0)
        ),
    };
    push_problems(&mut text, &report.problems);
    text
}

/// The answer to `apply`, at the time `now` in milliseconds since 1970.
#[must_use]
pub fn apply(report: &ApplyReport, now: u64) -> String {
    let mut text = String::new();
    for plugin in &report.plugins {
        push_applied(&mut text, plugin, report.dry_run);
    }
    let results = || report.plugins.iter().flat_map(|plugin| &plugin.steps);
    let mut counts = Vec::new();
    for (result, _) in RESULTS {
        let count = results().filter(|step| step.result == result).count();
        if count > 0 {
            counts.push(format!("{count} {}", word(result, report.dry_run)));
        }
    }
    text += &match (counts.is_empty(), report.is_success()) {
        (true, true) => "Nothing to do: the machine is as configured.\n".to_owned(),
        (true, false) => "No steps.\n".to_owned(),
        (false, _) if report.dry_run => format!("Dry run, nothing was changed: {}.\n", counts.join(", ")),
        (false, _) => format!("{}.\n", capitalised(&counts.join(", "))),
    };
    let destructive = |step: &AppliedStep| step.result == StepResult::Refused && step.step.risk == Risk::Destructive;
    if results().any(destructive) {
        text += "Destructive steps need --allow-destructive, and allow-destructive where the resource is configured.\n";
    }
    if let Some(by) = report.confirm_by_unix_ms {
        let left = duration(by.saturating_sub(now).next_multiple_of(1000));
        let _ = writeln!(text, "The change is undone in {left} unless you keep it: sysconfigctl confirm");
    }
    push_problems(&mut text, &report.problems);
    text
}

/// The answer to `reload`, at the time `now` in milliseconds since 1970.
#[must_use]
pub fn reload(report: &ReloadReport, now: u64) -> String {
    if !report.accepted {
        let reason = report.error.as_deref().unwrap_or("no reason was given");
        return format!(
            "The configuration cannot be used; the one read before stays in force:\n\n{}\n",
            clean(reason).trim_end()
        );
    }
    let applied = report.apply.as_ref().map(|report| apply(report, now)).unwrap_or_default();
    match report.changed {
        true => format!("The new configuration is in force.\n{applied}"),
        false => format!("The configuration is the same as before.\n{applied}"),
    }
}

/// The answer to `confirm`.
#[must_use]
pub fn confirm(report: &ConfirmReport) -> String {
    format!("Confirmed: {} of the last change will stay.\n", counted(report.steps, "step"))
}

/// The answer to `undo`.
#[must_use]
pub fn undo(report: &UndoReport) -> String {
    let mut text = String::new();
    for UndoneStep { plugin, undone } in &report.steps {
        let word = match undone.result {
            StepResult::Changed => "undone",
            StepResult::AlreadySo => "was not so",
            StepResult::Unknown => "in doubt",
            StepResult::NotRun => "not begun",
            _ => "failed",
        };
        let _ = writeln!(text, "  {word:<10}  {}: {}", clean(plugin), line(&undone.step));
        push_failure(&mut text, "    ", undone.error.as_ref());
    }
    text += match report.is_success() {
        true => "The change is undone; the configuration files still ask for it, and only `apply` will do it again.\n",
        false => "Not everything is undone; `sysconfigctl status` tells what is left and how it goes on.\n",
    };
    text
}

/// The results in the order in which they are counted, with their words.
const RESULTS: [(StepResult, &str); 6] = [
    (StepResult::Changed, "changed"),
    (StepResult::AlreadySo, "already so"),
    (StepResult::Failed, "failed"),
    (StepResult::Unknown, "unknown"),
    (StepResult::Refused, "refused"),
    (StepResult::NotRun, "not run"),
];

fn push_applied(text: &mut String, plugin: &PluginApply, dry_run: bool) {
    if plugin.steps.is_empty() && plugin.error.is_none() && plugin.diagnostics.is_empty() {
        return;
    }
    let _ = writeln!(text, "{}", clean(&plugin.plugin));
    for AppliedStep { step, result, duration_ms, error } in &plugin.steps {
        let word = word(*result, dry_run);
        let took = match result {
            StepResult::NotRun | StepResult::Refused => String::new(),
            _ => format!(" ({})", duration(*duration_ms)),
        };
        let _ = writeln!(text, "  {word:<10}  {}{took}", line(step));
        push_failure(text, "    ", error.as_ref());
    }
    push_diagnostics(text, &plugin.diagnostics);
    push_failure(text, "  ", plugin.error.as_ref());
    text.push('\n');
}

fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(Diagnostic::is_error)
}

/// What came of a step, in words.
pub(super) fn result_word(result: StepResult) -> &'static str {
    word(result, false)
}

/// What came of a step, in words; in a dry run a step that was not run is just planned.
fn word(result: StepResult, dry_run: bool) -> &'static str {
    if dry_run && result == StepResult::NotRun {
        return "planned";
    }
    RESULTS.iter().find(|(known, _)| *known == result).map_or("", |(_, word)| word)
}

/// One step in one line; its risk where there is one.
pub(super) fn line(step: &Step) -> String {
    let risk = match step.risk {
        Risk::Safe => String::new(),
        risk => format!(" [{risk}]"),
    };
    let line = format!("{} {}: {}{risk}", step.action, step.resource, step.summary);
    clean(&line).replace('\n', " ")
}

fn push_changes(text: &mut String, changes: &[FieldChange]) {
    for change in changes {
        let field = clean(&change.field);
        let (from, to) = (value(&change.from), value(&change.to));
        let _ = writeln!(text, "      {field}: {from} → {to}");
    }
}

fn push_failure(text: &mut String, indent: &str, failure: Option<&Failure>) {
    let Some(failure) = failure else { return };
    let _ = writeln!(text, "{indent}error: {}", indented(&failure.message));
    if let Some(help) = &failure.help {
        let _ = writeln!(text, "{indent}help: {}", indented(help));
    }
}

/// A value of a property: compact JSON, `(none)` for no value, long ones cut.
fn value(value: &Value) -> String {
    let text = match value {
        Value::Null => return "(none)".to_owned(),
        value => clean(&value.to_string()),
    };
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}
