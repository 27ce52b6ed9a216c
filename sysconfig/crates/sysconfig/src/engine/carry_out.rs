//! Apply → verify: the steps of one plugin, and what came of them.

use std::time::Instant;

use sysconfig_protocol::admin::{AppliedStep, Failure, HappeningKind, PluginApply, StepResult};
use sysconfig_protocol::method::{Apply as ApplyStep, MakePlan, Verify};
use sysconfig_protocol::{Diagnostic, Digest, Level, Outcome, Step};

use super::cycle::{Part, failure};
use super::{Engine, intake, subject};
use crate::clock;
use crate::plugin::CallError;
use crate::state::journal::InDoubt;
use crate::text::cut;

impl Engine {
    /// Carries out the steps of one plugin, up to the first that does not work, and verifies.
    pub(super) fn carry_out(&mut self, part: Part, allow_destructive: bool) -> PluginApply {
        let digest = part.digest(&self.fingerprints);
        let Part { plugin, steps, mut diagnostics, mut error } = part;
        let mut results: Vec<AppliedStep> = Vec::new();
        let mut goes_on = true;
        for step in &steps {
            let result = match goes_on && !self.stop.is_requested() {
                true => self.carry_out_step(&plugin, &digest, step, allow_destructive),
                false => not_run(step),
            };
            goes_on &= matches!(result.result, StepResult::Changed | StepResult::AlreadySo | StepResult::NotRun);
            results.push(result);
        }
        if goes_on && results.iter().any(|step| step.result == StepResult::NotRun) {
            error = Some(stopped());
        } else if goes_on && !steps.is_empty() {
            match self.verify(&plugin) {
                Ok((found, left)) => {
                    diagnostics.extend(found);
                    error = not_in_force(&left);
                }
                Err(failure) => error = Some(failure),
            }
        }
        PluginApply { plugin, steps: results, diagnostics, error }
    }

    /// What the plugin finds wrong after its steps, and where that is nothing, which steps it would carry out now. It may
    /// say that it changed the machine, and believe it.
    fn verify(&mut self, name: &str) -> Result<(Vec<Diagnostic>, Vec<Step>), Failure> {
        let state = self.observe(name)?;
        let deadline = self.config.settings.plugins.deadlines.answer;
        let findings = self.call(name, &Verify { state: state.clone() }, deadline);
        let found = intake::findings(findings.map_err(|error| failure("verify", &error))?.diagnostics);
        if found.iter().any(Diagnostic::is_error) {
            return Ok((found, Vec::new()));
        }
        // One that has told itself to look anew, as when a step has found what there is to do, is planned for with that.
        if self.wants_a_new_look(name) {
            return Ok((found, Vec::new()));
        }
        let planned = self.call(name, &MakePlan { state }, deadline).map_err(|error| failure("plan", &error))?;
        Ok((found, planned.steps))
    }

    fn carry_out_step(&mut self, plugin: &str, plan: &Digest, step: &Step, allow_destructive: bool) -> AppliedStep {
        let subject = subject(plugin);
        self.see_to_record();
        let forbidden = self.forbids(plugin, step, allow_destructive);
        if let Err(failure) = forbidden.map_or_else(|| self.note_revocable(plugin, plan, step), Err) {
            self.log.warn(&subject, format!("not done: {}: {}", step.summary, failure.message));
            return applied(step, StepResult::Refused, 0, Some(failure));
        }
        let sequence = match self.journal_intent(plugin, plan, step, false) {
            Ok(sequence) => sequence,
            Err(error) => {
                self.forget_revocable();
                return applied(step, StepResult::Failed, 0, Some(error));
            }
        };
        let began = Instant::now();
        let deadline = self.config.settings.plugins.deadlines.apply;
        let call = ApplyStep { plan: plan.clone(), step: step.clone(), deadline_ms: clock::as_ms(deadline) };
        let answer = self.call(plugin, &call, deadline);
        let duration_ms = clock::as_ms(began.elapsed());
        let (result, error) = match answer {
            Ok(answer) => match answer.outcome {
                Outcome::Changed => (StepResult::Changed, None),
                Outcome::AlreadySo => (StepResult::AlreadySo, None),
            },
            Err(error @ CallError::Refused(_)) => (StepResult::Failed, Some(failure("apply", &error))),
            Err(error @ CallError::Fault(_)) => (StepResult::Unknown, Some(failure("apply", &error))),
        };
        // A step that failed may have done some of it, as one that replaces an address and then waits in vain.
        if result == StepResult::AlreadySo {
            self.forget_revocable();
        }
        let message = match &error {
            None => format!("{}: {} ({duration_ms} ms)", word(result), step.summary),
            Some(error) => format!("{}: {}: {}", word(result), step.summary, error.message),
        };
        self.log.write(if error.is_none() { Level::Info } else { Level::Error }, &subject, &message);
        self.board.note(HappeningKind::Step, Some(plugin), message);
        if result == StepResult::Unknown {
            // It stays open in the journal: only the next observation tells. What became of it the last time does not matter.
            self.resolve(plugin, step, "it was tried again", |doubt| !doubt.undo);
            let (plugin, step) = (plugin.to_owned(), step.redacted());
            let (sequence, at_unix_ms) = (Some(sequence), clock::unix_ms());
            self.in_doubt.push(InDoubt { sequence, plugin, undo: false, step, at_unix_ms, is_inherited: false });
        } else {
            self.journal_result(sequence, result, error.as_ref().map(|error| error.message.clone()));
        }
        applied(step, result, duration_ms, error)
    }
}

/// The error where steps are still planned after all were carried out.
fn not_in_force(left: &[Step]) -> Option<Failure> {
    let first = left.first()?;
    let more = match left.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let message =
        format!("not in force although each step was carried out; planned still: {}{more}", cut(&first.summary, 200));
    let help =
        "sysconfigctl plan shows what is missing; where `apply` does not help, the plugin has a fault".to_owned();
    Some(Failure { message, help: Some(help) })
}

fn stopped() -> Failure {
    let message = "the daemon was told to end before all steps were carried out".to_owned();
    Failure { message, help: Some("sysconfigctl apply, when it runs again".to_owned()) }
}

pub(super) fn not_run(step: &Step) -> AppliedStep {
    applied(step, StepResult::NotRun, 0, None)
}

pub(super) fn applied(step: &Step, result: StepResult, duration_ms: u64, error: Option<Failure>) -> AppliedStep {
    AppliedStep { step: step.redacted(), result, duration_ms, error }
}

fn word(result: StepResult) -> &'static str {
    match result {
        StepResult::Changed => "changed",
        StepResult::AlreadySo => "already so",
        StepResult::Failed => "failed",
        StepResult::Unknown => "in doubt",
        StepResult::Refused => "refused",
        StepResult::NotRun => "not run",
    }
}
