//! Observe → plan → apply → verify → record.

use std::collections::{BTreeMap, BTreeSet};

use sysconfig_protocol::admin::{Apply, ApplyReport, Failure, PlanReport, PluginApply, PluginPlan};
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::method::{MakePlan, Observe};
use sysconfig_protocol::{Diagnostic, Digest, ErrorObject, Step};

use super::carry_out::not_run;
use super::proposal::{Outlook, Proposal};
use super::reconfigure::Rejected;
use super::record::Started;
use super::{Engine, intake};
use crate::clock;
use crate::plugin::CallError;
use crate::state::fingerprint::Fingerprints;

/// The trigger of the cycle that an administrator asks for.
pub(super) const REQUEST: &str = "request";

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
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) error: Option<Failure>,
}

impl Part {
    pub(super) fn failed(plugin: &str, error: Failure) -> Self {
        Self { plugin: plugin.to_owned(), steps: Vec::new(), diagnostics: Vec::new(), error: Some(error) }
    }

    pub(super) fn digest(&self, fingerprints: &Fingerprints) -> Digest {
        Digest(fingerprints.of(&self.steps))
    }

    /// Whether nothing is to be done, and nothing speaks against it.
    pub(super) fn is_nothing(&self) -> bool {
        self.steps.is_empty() && self.error.is_none()
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
        let mut proposal = self.read_again().unwrap_or_default();
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
        let problems = intake::fitting(report.problems.into_iter().chain(self.left_problems()).collect());
        PlanReport { digest: report.digest, plugins, problems }
    }

    /// Applies what the files say because an administrator says so. Files with faults apply nothing, and what they say
    /// is not put in force by a request that is refused.
    pub(super) fn apply(&mut self, request: &Apply) -> Result<ApplyReport, ErrorObject> {
        if !request.dry_run {
            self.nothing_waits()?;
        }
        let mut proposal = self.read_again().map_err(|Rejected { problems, is_unread, .. }| {
            let (message, help) = match is_unread {
                true => ("the configuration files cannot be read, so nothing was done", "sysconfigctl doctor"),
                false => ("the configuration files have faults, so nothing was done", "mend the files and try again"),
            };
            ErrorObject::new(code::FAILED, message).problems(problems).help(help)
        })?;
        if !request.dry_run && request.plan.is_none() && request.confirm_within_ms.is_none() {
            return self.begin_apply(proposal, request, Vec::new());
        }
        let started = Started::now(if request.dry_run { "request for a dry run" } else { REQUEST });
        let outlook = self.look_ahead(proposal.as_mut());
        let digest = digest_of_parts(&outlook.parts, &self.fingerprints);
        if let Some(wanted) = request.plan.as_ref().filter(|wanted| !names(wanted, &digest)) {
            let message = format!("the plan is no longer {wanted}: it is {digest} now");
            return Err(
                ErrorObject::new(code::PLAN_CHANGED, message).help("look at the new plan with `sysconfigctl plan`")
            );
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
        self.begin_apply(proposal, request, outlook.parts)
    }

    /// Nothing speaks against it any more: the files are put in force, and applied. What was planned before may be nothing.
    fn begin_apply(
        &mut self,
        proposal: Option<Proposal>,
        request: &Apply,
        planned: Vec<Part>,
    ) -> Result<ApplyReport, ErrorObject> {
        let mut asked_for: BTreeSet<_> =
            self.plugins.keys().filter(|name| self.awaits_request(name)).cloned().collect();
        let with_steps = planned.iter().filter(|part| !part.steps.is_empty());
        asked_for.extend(with_steps.map(|part| part.plugin.clone()));
        // Without a digest nobody has approved of these plans, and each plugin makes its own in its turn.
        let approved = request.plan.is_some().then(|| approved(planned));
        let (running, mut unowned) = (self.running(), BTreeMap::new());
        if let Some(proposal) = proposal {
            asked_for.extend(self.differing(&proposal.assignment));
            unowned = self.newly_unowned(&proposal.assignment);
            self.take_over(proposal);
        }
        let names = self.configured_in_order();
        // A plugin that the new files have brought to run is applied with them, which nobody has planned.
        let is_more = |name: &&String| !running.contains(*name) && self.is_running(name) && !self.is_in_force(name);
        asked_for.extend(names.iter().filter(is_more).cloned());
        let mode = Mode::Apply { allow_destructive: request.allow_destructive };
        let run = |engine: &mut Self| engine.run_cycle(REQUEST, &names, mode, approved);
        let report = match request.confirm_within_ms {
            None => {
                self.release_held();
                run(self)
            }
            Some(within_ms) => self.apply_to_be_confirmed(within_ms, (&asked_for, unowned), run)?,
        };
        self.drop_idle_doubts();
        Ok(report)
    }

    /// One cycle over some plugins.
    pub(super) fn cycle(&mut self, trigger: &str, names: &[String], mode: Mode) -> ApplyReport {
        self.run_cycle(trigger, names, mode, None)
    }

    /// Each plugin plans when its turn has come, because what it sees may depend on the steps of others; plans that
    /// were approved are carried out as they are, and no other ones with them.
    fn run_cycle(
        &mut self,
        trigger: &str,
        names: &[String],
        mode: Mode,
        mut approved: Option<BTreeMap<String, Part>>,
    ) -> ApplyReport {
        // What was there before a change that waits for its confirmation must stay as it was.
        let mode = if self.confirming.is_waiting() { Mode::Plan } else { mode };
        // Steps may take minutes, and who asks meanwhile is to see what is known so far.
        self.publish();
        let started = Started::now(trigger);
        let mut plans = Vec::new();
        let mut plugins = Vec::new();
        for name in names {
            let part = match &mut approved {
                Some(approved) => approved.remove(name).unwrap_or_else(|| Part::failed(name, not_in_the_plan())),
                None => self.plan_part(name),
            };
            plans.push((name.clone(), part.digest(&self.fingerprints)));
            let result = match mode {
                Mode::Apply { allow_destructive } if !self.awaits_request(name) => {
                    self.come_to(&part);
                    if let Some(managed) = self.plugins.get_mut(name) {
                        managed.unacted_news = None;
                    }
                    let result = self.carry_out(part, allow_destructive);
                    self.finish_revocable(name, allow_destructive, approved.is_some(), result)
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
    pub(super) fn plan_part(&mut self, name: &str) -> Part {
        if self.yields_to_undoing() {
            let help = Some("ask again when it is undone".to_owned());
            let message = "the time of the change that waits is over, and it is undone first".to_owned();
            return Part::failed(name, Failure { message, help });
        }
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
        let (diagnostics, claims) = (managed.diagnostics.clone(), managed.claims());
        let plugin = name.to_owned();
        if diagnostics.iter().any(Diagnostic::is_error) {
            return Part { plugin, steps: Vec::new(), diagnostics, error: None };
        }
        match self.tell_news(name).and_then(|()| self.observe(name)).and_then(|state| {
            let deadline = self.config.settings.plugins.deadlines.answer;
            self.call(name, &MakePlan { state }, deadline).map_err(|error| failure("plan", &error))
        }) {
            Ok(planned) => match intake::fault_of_steps(&planned.steps, &claims) {
                None => Part { plugin, steps: planned.steps, diagnostics, error: None },
                Some(fault) => {
                    let help = Some("the plugin has a fault: docs/formats/plugin-protocol.md".to_owned());
                    let error = Some(Failure { message: format!("plan: {fault}"), help });
                    Part { plugin, steps: Vec::new(), diagnostics, error }
                }
            },
            Err(error) => Part { plugin, steps: Vec::new(), diagnostics, error: Some(error) },
        }
    }

    pub(super) fn observe(&mut self, name: &str) -> Result<serde_json::Value, Failure> {
        let deadline = self.config.settings.plugins.deadlines.observe;
        let observed = self.call(name, &Observe { deadline_ms: clock::as_ms(deadline) }, deadline);
        observed.map(|observed| observed.state).map_err(|error| failure("observe", &error))
    }
}

/// Whether what somebody wrote stands for a digest: all of it, or so much of its beginning that nobody writes it by chance.
fn names(written: &Digest, digest: &Digest) -> bool {
    const ENOUGH: usize = 8;
    written == digest || (written.0.len() >= ENOUGH && digest.0.starts_with(&written.0))
}

/// The error of a part that was nobody's when its plan would have been made.
fn not_in_the_plan() -> Failure {
    let message = "the plan that was approved has nothing of it, because its plugin came later".to_owned();
    Failure { message, help: Some("look at the plan again: sysconfigctl plan".to_owned()) }
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

pub(super) fn failure(what: &str, error: &CallError) -> Failure {
    match error {
        CallError::Refused(object) => intake::refusal(&format!("{what}: "), object),
        CallError::Fault(fault) => Failure { message: format!("{what}: the plugin {fault}"), help: None },
    }
}
