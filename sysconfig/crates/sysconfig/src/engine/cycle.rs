//! Observe → plan → apply → verify → record.

use std::collections::BTreeMap;
use std::time::Instant;

use sysconfig_protocol::admin::{
    AppliedStep, Apply, ApplyReport, CycleReport, Failure, HappeningKind, PlanReport, PluginApply, PluginPlan,
    StepResult,
};
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::method::{Apply as ApplyStep, MakePlan, Observe, Verify};
use sysconfig_protocol::{Diagnostic, Digest, ErrorObject, Level, Outcome, Step};

use super::proposal::{Outlook, Proposal};
use super::{Engine, SELF, subject};
use crate::clock;
use crate::plugin::CallError;
use crate::state::StateError;
use crate::state::applied::AppliedPart;
use crate::state::fingerprint::Fingerprints;
use crate::state::journal::InDoubt;

/// The trigger of the cycle that an administrator asks for.
const REQUEST: &str = "request";

/// How far a cycle goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Only to see what would be done.
    Plan,
    /// To the end.
    Apply { allow_destructive: bool },
}

impl Mode {
    /// To the end, as far as nothing is destroyed.
    pub(super) const APPLY: Self = Self::Apply { allow_destructive: false };
}

/// The plan for one plugin's part.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) plugin: String,
    pub(super) steps: Vec<Step>,
    diagnostics: Vec<Diagnostic>,
    error: Option<Failure>,
}

impl Part {
    pub(super) fn failed(plugin: &str, error: Failure) -> Self {
        Self { plugin: plugin.to_owned(), steps: Vec::new(), diagnostics: Vec::new(), error: Some(error) }
    }

    fn digest(&self, fingerprints: &Fingerprints) -> Digest {
        Digest(fingerprints.of(&self.steps))
    }

    /// The part with no step carried out.
    fn not_run(self) -> PluginApply {
        let Self { plugin, steps, diagnostics, error } = self;
        PluginApply { plugin, steps: steps.iter().map(not_run).collect(), diagnostics, error }
    }
}

impl Engine {
    /// What would be done now with what the files say, none of which is put in force. Files with faults are told with
    /// the plan for the configuration in force.
    pub(super) fn plan(&mut self) -> PlanReport {
        let mut proposal = if self.confirming.is_waiting() { None } else { self.read_again().unwrap_or_default() };
        let started = Started::now("request for the plan");
        let outlook = self.look_ahead(proposal.as_mut());
        let plugins = outlook.parts.iter().map(|part| PluginPlan {
            plugin: part.plugin.clone(),
            steps: part.steps.iter().map(Step::redacted).collect(),
            diagnostics: part.diagnostics.clone(),
            error: part.error.clone(),
        });
        let plugins = plugins.collect();
        let report = self.only_planned(outlook);
        self.note_cycle(started, false, &report);
        PlanReport { digest: report.digest, plugins, problems: report.problems }
    }

    /// Applies what the files say because an administrator says so. Files with faults apply nothing, and what they say
    /// is not put in force by a request that is refused.
    pub(super) fn apply(&mut self, request: &Apply) -> Result<ApplyReport, ErrorObject> {
        if !request.dry_run {
            self.nothing_waits()?;
        }
        let mut proposal = None;
        if !self.confirming.is_waiting() {
            proposal = self.read_again().map_err(|report| {
                let message = "the configuration files have faults, so nothing was done";
                ErrorObject::new(code::FAILED, message).causes(vec![report]).help("mend the files and try again")
            })?;
        }
        if !request.dry_run && request.plan.is_none() && request.confirm_within_ms.is_none() {
            return Ok(self.begin_apply(proposal, request, BTreeMap::new()));
        }
        let started = Started::now(if request.dry_run { "request for a dry run" } else { REQUEST });
        let outlook = self.look_ahead(proposal.as_mut());
        let digest = digest_of_parts(&outlook.parts, &self.fingerprints);
        if let Some(wanted) = request.plan.as_ref().filter(|wanted| **wanted != digest) {
            let message = format!("the plan is no longer {wanted}: it is {digest} now");
            return Err(ErrorObject::new(code::PLAN_CHANGED, message).help("look at the plan again"));
        }
        if request.dry_run {
            let report = self.only_planned(outlook);
            self.note_cycle(started, false, &report);
            return Ok(report);
        }
        if request.confirm_within_ms.is_some() {
            let steps = outlook.parts.iter().flat_map(|part| part.steps.iter().map(|step| (&*part.plugin, step)));
            self.must_be_revocable(steps)?;
        }
        // Without a digest nobody has approved of these plans, and each plugin makes its own in its turn.
        let approved = if request.plan.is_some() { approved(outlook.parts) } else { BTreeMap::new() };
        Ok(self.begin_apply(proposal, request, approved))
    }

    /// Nothing speaks against it any more: the files are put in force, and applied.
    fn begin_apply(
        &mut self,
        proposal: Option<Proposal>,
        request: &Apply,
        approved: BTreeMap<String, Part>,
    ) -> ApplyReport {
        if let Some(proposal) = proposal {
            self.take_over(proposal);
        }
        self.release_held();
        let names = self.configured_in_order();
        let mode = Mode::Apply { allow_destructive: request.allow_destructive };
        let run = |engine: &mut Self| engine.run_cycle(REQUEST, &names, mode, approved);
        match request.confirm_within_ms {
            None => run(self),
            Some(within_ms) => self.apply_to_be_confirmed(within_ms, run),
        }
    }

    /// One cycle over some plugins.
    pub(super) fn cycle(&mut self, trigger: &str, names: &[String], mode: Mode) -> ApplyReport {
        self.run_cycle(trigger, names, mode, BTreeMap::new())
    }

    /// Each plugin plans when its turn has come, because what it sees may depend on the steps of others; plans that
    /// were approved are carried out as they are.
    fn run_cycle(
        &mut self,
        trigger: &str,
        names: &[String],
        mode: Mode,
        mut approved: BTreeMap<String, Part>,
    ) -> ApplyReport {
        // What was there before a change that waits for its confirmation must stay as it was.
        let mode = if self.confirming.is_waiting() { Mode::Plan } else { mode };
        // Steps may take minutes, and who asks meanwhile is to see what is known so far.
        self.publish();
        let started = Started::now(trigger);
        let mut plans = Vec::new();
        let mut plugins = Vec::new();
        for name in names {
            let part = approved.remove(name).unwrap_or_else(|| self.plan_part(name));
            plans.push((name.clone(), part.digest(&self.fingerprints)));
            let result = match mode {
                Mode::Apply { allow_destructive } if !self.awaits_request(name) => {
                    if let Some(managed) = self.plugins.get_mut(name) {
                        managed.unacted_news = None;
                    }
                    self.carry_out(part, allow_destructive)
                }
                Mode::Plan | Mode::Apply { .. } => part.not_run(),
            };
            self.note_result(trigger, &result, mode);
            plugins.push(result);
        }
        let digest = Digest(self.fingerprints.of(&plans));
        let problems = self.config_problems();
        let dry_run = mode == Mode::Plan;
        let report = ApplyReport { digest, dry_run, plugins, problems, confirm_by_unix_ms: None };
        self.note_cycle(started, mode != Mode::Plan, &report);
        report
    }

    pub(super) fn plan_parts(&mut self, names: &[String]) -> Vec<Part> {
        names.iter().map(|name| self.plan_part(name)).collect()
    }

    /// A report about parts of which nothing is carried out.
    pub(super) fn only_planned(&mut self, outlook: Outlook) -> ApplyReport {
        let Outlook { parts, problems, proposed } = outlook;
        let digest = digest_of_parts(&parts, &self.fingerprints);
        let plugins: Vec<_> = parts.into_iter().map(Part::not_run).collect();
        for plugin in plugins.iter().filter(|plugin| !proposed.contains(&plugin.plugin)) {
            self.note_result("plan", plugin, Mode::Plan);
        }
        ApplyReport { digest, dry_run: true, plugins, problems, confirm_by_unix_ms: None }
    }

    /// Observes and plans one plugin's part.
    fn plan_part(&mut self, name: &str) -> Part {
        let Some(managed) = self.plugins.get(name) else {
            return Part::failed(name, Failure { message: "there is no such plugin".to_owned(), help: None });
        };
        if managed.live.is_none() {
            let reason = managed.last_error.as_ref().map(|failure| format!(": {}", failure.message));
            let message = format!("the plugin is not running{}", reason.unwrap_or_default());
            return Part::failed(name, Failure { message, help: None });
        }
        if self.stop.is_requested() {
            return Part::failed(name, Failure { message: "the daemon is stopping".to_owned(), help: None });
        }
        let diagnostics = managed.diagnostics.clone();
        let plugin = name.to_owned();
        if diagnostics.iter().any(Diagnostic::is_error) {
            return Part { plugin, steps: Vec::new(), diagnostics, error: None };
        }
        match self.tell_news(name).and_then(|()| self.observe(name)).and_then(|state| {
            let deadline = self.config.settings.plugins.deadlines.answer;
            self.call(name, &MakePlan { state }, deadline).map_err(|error| failure("plan", &error))
        }) {
            Ok(planned) => Part { plugin, steps: planned.steps, diagnostics, error: None },
            Err(error) => Part { plugin, steps: Vec::new(), diagnostics, error: Some(error) },
        }
    }

    pub(super) fn observe(&mut self, name: &str) -> Result<serde_json::Value, Failure> {
        let deadline = self.config.settings.plugins.deadlines.observe;
        let observed = self.call(name, &Observe { deadline_ms: clock::as_ms(deadline) }, deadline);
        observed.map(|observed| observed.state).map_err(|error| failure("observe", &error))
    }

    /// Carries out the steps of one plugin, up to the first that does not work, and verifies.
    fn carry_out(&mut self, part: Part, allow_destructive: bool) -> PluginApply {
        let digest = part.digest(&self.fingerprints);
        let Part { plugin, steps, mut diagnostics, mut error } = part;
        let mut results: Vec<AppliedStep> = Vec::new();
        let mut goes_on = true;
        for step in &steps {
            let result = match goes_on && !self.stop.is_requested() {
                true => self.carry_out_step(&plugin, &digest, step, allow_destructive),
                false => not_run(step),
            };
            goes_on = matches!(result.result, StepResult::Changed | StepResult::AlreadySo);
            results.push(result);
        }
        if goes_on && !steps.is_empty() {
            match self.verify(&plugin) {
                Ok(found) => diagnostics.extend(found),
                Err(failure) => error = Some(failure),
            }
        }
        PluginApply { plugin, steps: results, diagnostics, error }
    }

    fn verify(&mut self, name: &str) -> Result<Vec<Diagnostic>, Failure> {
        let state = self.observe(name)?;
        let deadline = self.config.settings.plugins.deadlines.answer;
        let findings = self.call(name, &Verify { state }, deadline);
        findings.map(|findings| findings.diagnostics).map_err(|error| failure("verify", &error))
    }

    fn carry_out_step(&mut self, plugin: &str, plan: &Digest, step: &Step, allow_destructive: bool) -> AppliedStep {
        let subject = subject(plugin);
        let forbidden = self.forbids(plugin, step, allow_destructive);
        if let Err(failure) = forbidden.map_or_else(|| self.note_revocable(plugin, plan, step), Err) {
            self.log.warn(&subject, format!("not done: {}: {}", step.summary, failure.message));
            return applied(step, StepResult::Refused, 0, Some(failure));
        }
        let sequence = match self.journal.intent(plugin, &plan.0, step) {
            Ok(sequence) => sequence,
            Err(error) => {
                self.forget_revocable();
                return applied(step, StepResult::Failed, 0, Some(self.state_failure(&error)));
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
        if matches!(result, StepResult::AlreadySo | StepResult::Failed) {
            self.forget_revocable();
        }
        let message = match &error {
            None => format!("{}: {} ({duration_ms} ms)", word(result), step.summary),
            Some(error) => format!("{}: {}: {}", word(result), step.summary, error.message),
        };
        self.log.write(if error.is_none() { Level::Info } else { Level::Error }, &subject, &message);
        self.board.note(HappeningKind::Step, Some(plugin), message);
        if result == StepResult::Unknown {
            // It stays open in the journal: only the next observation tells.
            let (plugin, step) = (plugin.to_owned(), step.redacted());
            let (sequence, at_unix_ms) = (Some(sequence), clock::unix_ms());
            self.in_doubt.push(InDoubt { sequence, plugin, undo: false, step, at_unix_ms, is_inherited: false });
        } else {
            let message = error.as_ref().map(|error| error.message.clone());
            if let Err(error) = self.journal.result(sequence, result, message) {
                self.log.warn(SELF, self.state_failure(&error).message);
            }
        }
        applied(step, result, duration_ms, error)
    }

    pub(super) fn state_failure(&self, error: &StateError) -> Failure {
        let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
        Failure { message: format!("{error}{source}"), help: Some("see that the disk is not full".to_owned()) }
    }

    /// Takes over what a cycle found out about a plugin.
    fn note_result(&mut self, trigger: &str, result: &PluginApply, mode: Mode) {
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
        if is_in_force && mode != Mode::Plan {
            self.resolve_doubts(&result.plugin, trigger);
        }
    }

    /// A plugin's part is in force, so it does not matter any more what became of its steps in doubt. Those of a
    /// daemon that was killed are still told until an administrator applies, because nobody has heard of them yet, and
    /// an event may start the next cycle at once.
    fn resolve_doubts(&mut self, plugin: &str, trigger: &str) {
        for doubt in self.in_doubt.iter_mut().filter(|doubt| doubt.plugin == plugin) {
            let Some(sequence) = doubt.sequence.take() else { continue };
            let note = "the plugin's part was in force afterwards".to_owned();
            if let Err(error) = self.journal.result(sequence, StepResult::Unknown, Some(note)) {
                self.log.warn(SELF, error);
            }
        }
        let is_told = trigger == REQUEST;
        self.in_doubt.retain(|doubt| doubt.plugin != plugin || (doubt.is_inherited && !is_told));
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
            at_unix_ms: clock::unix_ms(),
        };
        let is_known = |known: &AppliedPart| known.config == part.config && known.plugin_hash == part.plugin_hash;
        if !has_changed && self.applied.get(name).is_some_and(is_known) {
            return;
        }
        if let Err(error) = self.applied.record(name, part) {
            self.log.warn(SELF, self.state_failure(&error).message);
        }
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

/// The plans that an administrator has seen, by plugin.
fn approved(parts: Vec<Part>) -> BTreeMap<String, Part> {
    parts.into_iter().map(|part| (part.plugin.clone(), part)).collect()
}

/// Identifies the plan of all plugins together.
fn digest_of_parts(parts: &[Part], fingerprints: &Fingerprints) -> Digest {
    let plans: Vec<_> = parts.iter().map(|part| (&part.plugin, part.digest(fingerprints))).collect();
    Digest(fingerprints.of(&plans))
}

fn not_run(step: &Step) -> AppliedStep {
    applied(step, StepResult::NotRun, 0, None)
}

pub(super) fn applied(step: &Step, result: StepResult, duration_ms: u64, error: Option<Failure>) -> AppliedStep {
    AppliedStep { step: step.redacted(), result, duration_ms, error }
}

pub(super) fn failure(what: &str, error: &CallError) -> Failure {
    match error {
        CallError::Refused(object) => {
            Failure { message: format!("{what}: {}", object.chain()), help: object.advice().map(str::to_owned) }
        }
        CallError::Fault(fault) => Failure { message: format!("{what}: the plugin {fault}"), help: None },
    }
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
