//! Answers that fit into a line.
//!
//! What plugins say is limited where it comes in, each by itself; together it can still be more than one line of the protocol
//! takes. Reports are shortened then: texts first, then steps, those that worked before those that did not; and they say so.

use serde::Serialize;
use serde_json::Value;
use sysconfig_protocol::admin::{
    AppliedStep, ApplyReport, ConfirmReport, EventsReport, HistoryReport, LogsReport, PlanReport, PluginStatus,
    PluginsReport, Pong, ReloadReport, StatusReport, StepResult, UndoReport,
};
use sysconfig_protocol::{Diagnostic, FieldChange, MAX_LINE_BYTES, Severity, Step};

use crate::engine::fitting;
use crate::text::{cut, json_bytes};

/// What the parts of a report may take together; the rest of a line is for what is said once.
const PARTS_BYTES: usize = MAX_LINE_BYTES / 2;
/// What is left of a text of a step in a report that is too long.
const TEXT_BYTES: usize = 1024;
/// The changes of a step that are left in one.
const CHANGES: usize = 20;

/// An answer of the daemon.
pub(super) trait Fit: Serialize {
    /// Leaves of it what fits into a line.
    fn fit(&mut self) {}
}

// These have few members, or limits where they are made.
impl Fit for Pong {}
impl Fit for StatusReport {}
impl Fit for PluginsReport {}
impl Fit for PluginStatus {}
impl Fit for EventsReport {}
impl Fit for LogsReport {}
impl Fit for ConfirmReport {}

impl Fit for PlanReport {
    fn fit(&mut self) {
        if json_bytes(&self.plugins) > PARTS_BYTES {
            // Half of it for either.
            let budget = PARTS_BYTES / self.plugins.len() / 2;
            for part in &mut self.plugins {
                fit_findings(&mut part.diagnostics, budget);
                fit_steps(&mut part.steps, &mut part.diagnostics, budget, |step| step, |_| false);
            }
        }
    }
}

impl Fit for ApplyReport {
    fn fit(&mut self) {
        self.problems = fitting(std::mem::take(&mut self.problems));
        if json_bytes(&self.plugins) > PARTS_BYTES {
            // Half of it for either.
            let budget = PARTS_BYTES / self.plugins.len() / 2;
            for part in &mut self.plugins {
                fit_findings(&mut part.diagnostics, budget);
                fit_steps(&mut part.steps, &mut part.diagnostics, budget, |step| &mut step.step, has_worked);
            }
        }
    }
}

impl Fit for ReloadReport {
    fn fit(&mut self) {
        if let Some(apply) = &mut self.apply {
            apply.fit();
        }
    }
}

impl Fit for UndoReport {
    fn fit(&mut self) {
        if json_bytes(&self.steps) > PARTS_BYTES {
            let (mut unsaid, whole) = (Vec::new(), PARTS_BYTES);
            fit_steps(
                &mut self.steps,
                &mut unsaid,
                whole,
                |step| &mut step.undone.step,
                |step| has_worked(&step.undone),
            );
        }
    }
}

/// As every history it has the newest steps, as many as it can.
impl Fit for HistoryReport {
    fn fit(&mut self) {
        if json_bytes(&self.steps) <= PARTS_BYTES {
            return;
        }
        for past in &mut self.steps {
            shorten(&mut past.step);
            past.error = past.error.as_deref().map(|error| cut(error, TEXT_BYTES));
        }
        let mut left = PARTS_BYTES;
        let fitting = self.steps.iter().rev().take_while(|past| take(&mut left, json_bytes(past))).count();
        self.steps.drain(..self.steps.len() - fitting);
    }
}

fn has_worked(step: &AppliedStep) -> bool {
    matches!(step.result, StepResult::Changed | StepResult::AlreadySo)
}

/// Leaves of the steps of a part what fits into the budget, and says how many there were.
fn fit_steps<S: Serialize>(
    steps: &mut Vec<S>,
    diagnostics: &mut Vec<Diagnostic>,
    budget: usize,
    step: impl Fn(&mut S) -> &mut Step,
    has_worked: impl Fn(&S) -> bool,
) {
    if json_bytes(steps) <= budget {
        return;
    }
    steps.iter_mut().for_each(|one| shorten(step(one)));
    let sizes: Vec<_> = steps.iter().map(json_bytes).collect();
    let (mut left, mut fits) = (budget, vec![false; steps.len()]);
    for first in [true, false] {
        for (index, _) in steps.iter().enumerate().filter(|(_, one)| has_worked(one) != first) {
            fits[index] = take(&mut left, sizes[index]);
            if !fits[index] {
                break;
            }
        }
    }
    let all = steps.len();
    let mut fits = fits.into_iter();
    steps.retain(|_| fits.next().unwrap_or_default());
    if steps.len() < all {
        diagnostics.push(Diagnostic {
            key: String::new(),
            message: format!("{} of {all} steps are not shown: the answer would be too long", all - steps.len()),
            help: None,
            severity: Severity::Warning,
        });
    }
}

/// Leaves the first findings, and says how many there were.
fn fit_findings(diagnostics: &mut Vec<Diagnostic>, budget: usize) {
    let (all, mut left) = (diagnostics.len(), budget);
    let fitting = diagnostics.iter().take_while(|found| take(&mut left, json_bytes(*found))).count();
    let hidden = diagnostics.split_off(fitting);
    if fitting < all {
        // What is left must not look as if nothing were wrong.
        let is_wrong = hidden.iter().any(Diagnostic::is_error);
        let severity = if is_wrong { Severity::Error } else { Severity::Warning };
        let message = format!("{} of {all} findings are not shown: the answer would be too long", all - fitting);
        diagnostics.push(Diagnostic { key: String::new(), message, help: None, severity });
    }
}

fn take(left: &mut usize, size: usize) -> bool {
    let fits = size <= *left;
    *left = left.saturating_sub(size);
    fits
}

/// Cuts what a step says.
fn shorten(step: &mut Step) {
    for text in [&mut step.id, &mut step.action, &mut step.resource, &mut step.summary, &mut step.key] {
        *text = cut(text, TEXT_BYTES);
    }
    let more = step.changes.len().saturating_sub(CHANGES);
    step.changes.truncate(CHANGES);
    for change in &mut step.changes {
        change.field = cut(&change.field, TEXT_BYTES);
        for value in [&mut change.from, &mut change.to] {
            if json_bytes(value) > TEXT_BYTES {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                *value = Value::from(cut(&text, TEXT_BYTES));
            }
        }
    }
    if more > 0 {
        let field = format!("… and {more} more");
        step.changes.push(FieldChange { field, from: Value::Null, to: Value::Null, sensitive: false });
    }
}

#[cfg(test)]
mod tests {
    use sysconfig_protocol::admin::{Failure, PastStep, PluginApply, PluginPlan};
    use sysconfig_protocol::{Digest, Risk};

    use super::*;

    fn step(id: usize, text: usize, changes: usize) -> Step {
        let value = || Value::from("v".repeat(text));
        let change = || FieldChange { field: "f".to_owned(), from: value(), to: value(), sensitive: false };
        Step {
            id: id.to_string(),
            action: "write".to_owned(),
            resource: "r".repeat(text),
            summary: "s".repeat(text),
            changes: (0..changes).map(|_| change()).collect(),
            risk: Risk::Safe,
            key: String::new(),
            data: Value::Null,
        }
    }

    fn plan(steps: &[Step], plugins: usize) -> PlanReport {
        let part = |number: usize| PluginPlan {
            plugin: number.to_string(),
            steps: steps.to_vec(),
            diagnostics: Vec::new(),
            error: None,
        };
        PlanReport { digest: Digest("00".to_owned()), plugins: (0..plugins).map(part).collect(), problems: Vec::new() }
    }

    #[test]
    fn a_report_of_ordinary_size_is_left_alone() {
        let steps: Vec<_> = (0..500).map(|id| step(id, 20, 3)).collect();
        let mut report = plan(&steps, 6);
        let whole = report.clone();
        report.fit();
        assert_eq!(report, whole);
    }

    #[test]
    fn however_large_it_was_a_plan_fits_and_says_what_is_missing() {
        for (steps, text, changes, plugins) in
            [(1, 400_000, 1, 3), (1, 0, 60_000, 2), (20_000, 0, 0, 2), (100, 1000, 2, 10), (1, 10_000, 30, 10)]
        {
            let mut report = plan(&(0..steps).map(|id| step(id, text, changes)).collect::<Vec<_>>(), plugins);
            report.fit();
            let size = json_bytes(&report);
            assert!(size < MAX_LINE_BYTES, "{steps} steps of {text} bytes and {changes} changes: {size}");
            for part in &report.plugins {
                let missing = steps - part.steps.len();
                assert!(!part.steps.is_empty());
                let told = format!("{missing} of {steps} steps are not shown");
                assert!(missing == 0 || part.diagnostics[0].message.starts_with(&told), "{:?}", part.diagnostics);
                assert!(part.diagnostics.iter().all(|diagnostic| !diagnostic.is_error()), "nothing is wrong");
            }
        }
    }

    #[test]
    fn findings_have_a_limit_too_and_no_error_is_hidden() {
        let mut report = plan(&[step(1, 10, 1)], 40);
        for part in &mut report.plugins {
            let warning = Diagnostic { severity: Severity::Warning, ..Diagnostic::error("k", "w".repeat(2000)) };
            part.diagnostics = vec![warning; 200];
        }
        report.plugins[0].diagnostics.push(Diagnostic::error("k", "the error"));
        report.fit();
        assert!(json_bytes(&report) < MAX_LINE_BYTES);
        let is_wrong: Vec<_> =
            report.plugins.iter().map(|part| part.diagnostics.iter().any(Diagnostic::is_error)).collect();
        assert!(is_wrong[0] && !is_wrong[1..].contains(&true), "{is_wrong:?}");
        assert!(report.plugins.iter().all(|part| part.steps.len() == 1));
    }

    #[test]
    fn what_did_not_work_is_shown_before_what_did() {
        let result = |id: usize| if id == 59_000 { StepResult::Failed } else { StepResult::Changed };
        let applied = |id: usize| AppliedStep {
            step: step(id, 10, 1),
            result: result(id),
            duration_ms: 1,
            error: (id == 59_000).then(|| Failure { message: "no".to_owned(), help: None }),
        };
        let steps = (0..60_000).map(applied).collect();
        let part = PluginApply { plugin: "a".to_owned(), steps, diagnostics: Vec::new(), error: None };
        let apply = ApplyReport {
            digest: Digest("00".to_owned()),
            dry_run: false,
            plugins: vec![part],
            problems: Vec::new(),
            confirm_by_unix_ms: None,
        };
        let mut report =
            ReloadReport { accepted: true, changed: true, error: None, problems: Vec::new(), apply: Some(apply) };
        report.fit();
        let apply = report.apply.unwrap();
        assert!(json_bytes(&apply) < MAX_LINE_BYTES && !apply.is_success());
        let ids: Vec<usize> = apply.plugins[0].steps.iter().map(|step| step.step.id.parse().unwrap()).collect();
        assert!(ids.contains(&59_000) && ids.is_sorted() && ids.len() > 1000, "{}", ids.len());
    }

    #[test]
    fn a_history_has_the_newest_that_fit() {
        let past = |number: usize| PastStep {
            sequence: number as u64,
            at_unix_ms: 0,
            duration_ms: None,
            plugin: "a".to_owned(),
            undo: false,
            step: step(number, 3000, 30),
            result: None,
            error: None,
        };
        let mut report = HistoryReport { steps: (0..1000).map(past).collect() };
        report.fit();
        assert!(json_bytes(&report) < MAX_LINE_BYTES && report.steps.len() > 10, "{}", report.steps.len());
        assert_eq!(report.steps.last().map(|step| step.sequence), Some(999));
    }
}
