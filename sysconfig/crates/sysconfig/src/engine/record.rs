//! What is taken down of a cycle: in memory for the status, on the disk where the next daemon needs it.

use std::time::Instant;

use sysconfig_protocol::admin::{AppliedStep, ApplyReport, CycleReport, HappeningKind, PluginApply, StepResult};

use super::cycle::Mode;
use super::exchange::keys;
use super::{Engine, SELF, subject};
use crate::clock;
use crate::state::applied::AppliedPart;

impl Engine {
    /// Takes over what a cycle found out about a plugin.
    pub(super) fn note_result(&mut self, trigger: &str, result: &PluginApply, mode: Mode) {
        let Some(managed) = self.plugins.get_mut(&result.plugin) else { return };
        managed.looked = Some(Instant::now());
        let waiting = |step: &&AppliedStep| !matches!(step.result, StepResult::Changed | StepResult::AlreadySo);
        managed.pending = result.steps.iter().filter(waiting).count();
        let of_step = result.steps.iter().find_map(|step| step.error.clone());
        managed.trouble = result.error.clone().or(of_step);
        let known = managed.diagnostics.clone();
        managed.deviations = result.diagnostics.iter().filter(|found| !known.contains(found)).cloned().collect();
        if let Some(trouble) = &result.error {
            self.log.error(&subject(&result.plugin), &trouble.message);
        }
        for deviation in &managed.deviations {
            self.log.error(&subject(&result.plugin), format!("not as configured: {}", deviation.message));
        }
        let is_in_force = result.is_success() && managed.pending == 0;
        if is_in_force {
            managed.owes_apply = false;
            managed.only_planned = false;
            let has_changed = result.steps.iter().any(|step| step.result == StepResult::Changed);
            self.record_applied(&result.plugin, mode != Mode::Plan && has_changed);
        }
        if mode != Mode::Plan {
            self.resolve_doubts(result, is_in_force, trigger);
        }
    }

    /// Remembers that a plugin's part is in force. That it was found to be so again is not written down: a disk that
    /// is made to keep it costs more than the look.
    fn record_applied(&mut self, name: &str, has_changed: bool) {
        let managed = self.plugins.get(name);
        let (Some(live), Some(description), Some(config)) = (
            managed.and_then(|managed| managed.live.as_ref()),
            managed.and_then(|managed| managed.description.as_ref()),
            self.assignment.parts.get(name),
        ) else {
            return;
        };
        let part = AppliedPart {
            config: self.fingerprints.of(config),
            plugin_hash: live.copy.hash.clone(),
            plugin_version: description.version.clone(),
            claims: keys(description),
            at_unix_ms: clock::unix_ms(),
        };
        let is_known = |known: &AppliedPart| {
            known.config == part.config && known.plugin_hash == part.plugin_hash && known.claims == part.claims
        };
        if !has_changed && self.applied.get(name).is_some_and(is_known) {
            return;
        }
        self.applied.record(name, part);
        self.store_applied();
    }

    pub(super) fn note_cycle(&mut self, started: Started, applied: bool, report: &ApplyReport) {
        let steps = || report.plugins.iter().flat_map(|plugin| &plugin.steps);
        let count = |wanted: &[StepResult]| steps().filter(|step| wanted.contains(&step.result)).count();
        let cycle = CycleReport {
            trigger: started.trigger,
            started_unix_ms: started.unix_ms,
            duration_ms: clock::as_ms(started.instant.elapsed()),
            applied,
            changed: count(&[StepResult::Changed]),
            already_so: count(&[StepResult::AlreadySo]),
            failed: count(&[StepResult::Failed, StepResult::Refused, StepResult::Unknown]),
            pending: count(&[StepResult::NotRun]),
        };
        let message = format!(
            "cycle ({}): {} changed, {} already so, {} failed, {} pending, {} ms",
            cycle.trigger, cycle.changed, cycle.already_so, cycle.failed, cycle.pending, cycle.duration_ms
        );
        self.log.debug(SELF, &message);
        self.board.note(HappeningKind::Cycle, None, message);
        self.last_cycle = Some(cycle);
    }
}

/// When and why a cycle began.
#[derive(Debug)]
pub(super) struct Started {
    trigger: String,
    unix_ms: u64,
    instant: Instant,
}

impl Started {
    pub(super) fn now(trigger: &str) -> Self {
        Self { trigger: trigger.to_owned(), unix_ms: clock::unix_ms(), instant: Instant::now() }
    }
}
