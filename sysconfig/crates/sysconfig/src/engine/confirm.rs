//! Changes that are undone unless somebody confirms them.
//!
//! A change of the network can lock out the very person who made it. With a time to confirm it within, each step is
//! noted before it is carried out, and all are taken back, the last one first, when the time is over. What was undone
//! is *held*: the files still ask for it, so nothing but a request or a changed configuration applies it again. While a
//! change waits, nothing else is applied, so that what is taken back is what was there before.

use std::time::{Duration, Instant};

use sysconfig_protocol::admin::{
    AppliedStep, ApplyReport, ConfirmReport, Failure, HappeningKind, Problem, StepResult, UndoReport, UndoneStep,
};
use sysconfig_protocol::describe::capability;
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::method::Undo;
use sysconfig_protocol::{Digest, ErrorObject, Outcome, Risk, Severity, Step};

use super::cycle::{Mode, applied, failure};
use super::{Engine, SELF, subject};
use crate::clock;
use crate::plugin::CallError;
use crate::state::confirmation::{Confirmation, Pending, RevocableStep};
use crate::state::journal::InDoubt;

/// The change that waits, if there is one, and what is left of earlier ones.
#[derive(Debug)]
pub(super) struct Confirming {
    state: Confirmation,
    /// When the change that waits is undone.
    deadline: Option<Instant>,
    /// The steps of the cycle that runs are those of the change.
    is_applying: bool,
    /// SIGHUP came while a change waited.
    pub(super) reload_waits: bool,
    /// The files changed while a change waited.
    pub(super) config_waits: bool,
    /// What could not be undone.
    failures: Vec<Problem>,
}

impl Confirming {
    /// Goes on where the daemon before this one stopped.
    pub(super) fn new(state: Confirmation) -> Self {
        // By a clock that was set meanwhile, the time would be longer than anybody was told.
        let left = state.pending.as_ref().map(|pending| {
            let left = pending.by_unix_ms.saturating_sub(clock::unix_ms());
            Duration::from_millis(left.min(pending.within_ms))
        });
        let deadline = left.map(|left| Instant::now() + left);
        Self { state, deadline, is_applying: false, reload_waits: false, config_waits: false, failures: Vec::new() }
    }

    /// Whether nothing else may be applied now.
    pub(super) fn is_waiting(&self) -> bool {
        self.state.pending.is_some() && !self.is_applying
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline.filter(|_| self.is_waiting())
    }

    pub(super) fn report(&self) -> Option<sysconfig_protocol::admin::Confirmation> {
        let pending = self.state.pending.as_ref()?;
        Some(sysconfig_protocol::admin::Confirmation { by_unix_ms: pending.by_unix_ms, steps: pending.steps.len() })
    }
}

impl Engine {
    /// The error for whoever wants to change something while a change waits.
    pub(super) fn nothing_waits(&self) -> Result<(), ErrorObject> {
        match self.confirming.report().filter(|_| self.confirming.is_waiting()) {
            None => Ok(()),
            Some(waiting) => {
                let by = clock::rfc3339(waiting.by_unix_ms);
                let message = format!("a change waits for its confirmation until {by}");
                Err(ErrorObject::new(code::CONFIRMATION_PENDING, message)
                    .help("keep it with `sysconfigctl confirm` or take it back with `sysconfigctl undo` first"))
            }
        }
    }

    /// Steps that could not be taken back afterwards.
    pub(super) fn must_be_revocable<'a>(
        &self,
        steps: impl Iterator<Item = (&'a str, &'a Step)>,
    ) -> Result<(), ErrorObject> {
        let refusals: Vec<_> = steps
            .filter_map(|(plugin, step)| Some(format!("{}: {}", subject(plugin), self.irrevocable(plugin, step)?)))
            .collect();
        if refusals.is_empty() {
            return Ok(());
        }
        let message = "the change could not be undone, so there is no point in confirming it";
        Err(ErrorObject::new(code::CANNOT_UNDO, message)
            .causes(refusals)
            .help("apply without --confirm-within, from a console rather than over the network"))
    }

    /// Why a step could not be taken back.
    fn irrevocable(&self, plugin: &str, step: &Step) -> Option<String> {
        let description = self.plugins.get(plugin).and_then(|managed| managed.description.as_ref());
        if !description.is_some_and(|description| description.has_capability(capability::UNDO)) {
            return Some(format!("the plugin cannot undo: {}", step.summary));
        }
        (step.risk == Risk::Destructive).then(|| format!("nothing brings back what it destroys: {}", step.summary))
    }

    /// Runs a cycle whose steps are undone unless they are confirmed.
    pub(super) fn apply_to_be_confirmed(
        &mut self,
        within_ms: u64,
        cycle: impl FnOnce(&mut Self) -> ApplyReport,
    ) -> ApplyReport {
        let by_unix_ms = clock::unix_ms().saturating_add(within_ms);
        self.confirming.state.pending = Some(Pending { by_unix_ms, within_ms, steps: Vec::new() });
        self.confirming.is_applying = true;
        let mut report = cycle(self);
        self.confirming.is_applying = false;
        let Some(pending) = &mut self.confirming.state.pending else { return report };
        if pending.steps.is_empty() {
            self.confirming.state.pending = None;
        } else {
            // The time counts from the end: until then there was nothing to look at.
            pending.by_unix_ms = clock::unix_ms().saturating_add(within_ms);
            report.confirm_by_unix_ms = Some(pending.by_unix_ms);
            self.confirming.deadline = Some(Instant::now() + Duration::from_millis(within_ms));
            let by = clock::rfc3339(pending.by_unix_ms);
            self.tell_confirmation(format!("the change is undone unless it is confirmed by {by}"));
        }
        self.store_confirmation();
        report
    }

    /// Notes a step before it is carried out, when it belongs to a change that is to be confirmed. Without the note
    /// it must not be carried out.
    pub(super) fn note_revocable(&mut self, plugin: &str, plan: &Digest, step: &Step) -> Result<(), Failure> {
        if !self.confirming.is_applying {
            return Ok(());
        }
        if let Some(message) = self.irrevocable(plugin, step) {
            return Err(Failure { message, help: Some("apply without --confirm-within".to_owned()) });
        }
        let (plugin, plan, step) = (plugin.to_owned(), plan.clone(), step.clone());
        if let Some(pending) = &mut self.confirming.state.pending {
            pending.steps.push(RevocableStep { plugin, plan, step, data_withheld: false });
        }
        self.confirming.state.store().map_err(|error| {
            let failure = self.state_failure(&error);
            self.forget_revocable();
            failure
        })
    }

    /// A noted step changed nothing after all.
    pub(super) fn forget_revocable(&mut self) {
        if let Some(pending) = self.confirming.state.pending.as_mut().filter(|_| self.confirming.is_applying) {
            pending.steps.pop();
        }
    }

    /// The change that waits is to stay.
    pub(super) fn confirm(&mut self) -> Result<ConfirmReport, ErrorObject> {
        let Some(pending) = self.confirming.state.pending.take() else { return Err(nothing_to_confirm()) };
        self.confirming.deadline = None;
        self.store_confirmation();
        self.tell_confirmation("the change is confirmed".to_owned());
        self.go_on();
        Ok(ConfirmReport { steps: pending.steps.len() })
    }

    /// The change that waits is to be taken back at once.
    pub(super) fn undo_on_request(&mut self) -> Result<UndoReport, ErrorObject> {
        if self.confirming.state.pending.is_none() {
            return Err(nothing_to_confirm());
        }
        Ok(self.undo_change("an administrator wants it undone"))
    }

    /// Takes back the change whose time is over.
    pub(super) fn undo_when_due(&mut self) {
        if self.confirming.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
            self.undo_change("nobody confirmed it in time");
        }
    }

    fn undo_change(&mut self, why: &str) -> UndoReport {
        self.tell_confirmation(format!("undoing the last change: {why}"));
        self.confirming.deadline = None;
        let mut report = UndoReport { steps: Vec::new() };
        // Each step goes from the file when it was tried, so that a daemon that is killed here goes on behind it.
        while let Some(noted) = self.confirming.state.pending.as_mut().and_then(|pending| pending.steps.pop()) {
            self.hold(&noted.plugin);
            let undone = self.undo_step(&noted);
            self.store_confirmation();
            report.steps.push(UndoneStep { plugin: noted.plugin, undone });
        }
        self.confirming.state.pending = None;
        self.store_confirmation();
        let mut names: Vec<_> = report.steps.iter().map(|step| step.plugin.clone()).collect();
        names.sort();
        names.dedup();
        names.retain(|name| self.assignment.parts.contains_key(name));
        self.cycle("undoing", &names, Mode::Plan);
        self.go_on();
        report
    }

    /// What is undone is not applied again as long as the configuration asks for the same.
    fn hold(&mut self, plugin: &str) {
        if let Some(part) = self.assignment.parts.get(plugin) {
            self.confirming.state.held.insert(plugin.to_owned(), self.fingerprints.of(part));
        }
        if let Err(error) = self.applied.forget(plugin) {
            self.log.warn(SELF, self.state_failure(&error).message);
        }
    }

    fn undo_step(&mut self, noted: &RevocableStep) -> AppliedStep {
        let RevocableStep { plugin, plan, step, data_withheld } = noted;
        let began = Instant::now();
        let result = match data_withheld {
            true => Err(Failure {
                message: "what is needed for it is secret, and was gone with the daemon that did it".to_owned(),
                help: None,
            }),
            false => self.ask_to_undo(plugin, plan, step),
        };
        let duration_ms = clock::as_ms(began.elapsed());
        match result {
            Ok(outcome) => {
                let changed = outcome == Outcome::Changed;
                let (word, result) =
                    if changed { ("undone", StepResult::Changed) } else { ("was not done", StepResult::AlreadySo) };
                self.log.info(&subject(plugin), format!("{word}: {} ({duration_ms} ms)", step.summary));
                self.resolve_undone(plugin, &step.redacted());
                applied(step, result, duration_ms, None)
            }
            Err(error) => {
                let message = format!("cannot be undone: {}: {}", step.summary, error.message);
                self.log.error(&subject(plugin), &message);
                self.confirming.failures.push(Problem {
                    subject: subject(plugin),
                    message,
                    help: error.help.clone().or_else(|| Some("see to it by hand, then: sysconfigctl apply".to_owned())),
                    place: None,
                    severity: Severity::Error,
                });
                applied(step, StepResult::Failed, duration_ms, Some(error))
            }
        }
    }

    /// A step was taken back, so it does not matter any more whether it had been done.
    fn resolve_undone(&mut self, plugin: &str, step: &Step) {
        let is_it = |doubt: &InDoubt| doubt.plugin == plugin && doubt.step == *step;
        for doubt in self.in_doubt.iter().filter(|doubt| is_it(doubt)) {
            let Some(sequence) = doubt.sequence else { continue };
            let note = "it was undone afterwards".to_owned();
            if let Err(error) = self.journal.result(sequence, StepResult::Unknown, Some(note)) {
                self.log.warn(SELF, self.state_failure(&error).message);
            }
        }
        self.in_doubt.retain(|doubt| !is_it(doubt));
    }

    fn ask_to_undo(&mut self, plugin: &str, plan: &Digest, step: &Step) -> Result<Outcome, Failure> {
        let is_down = |engine: &Self| engine.plugins.get(plugin).is_none_or(|managed| managed.live.is_none());
        if is_down(self) {
            self.start_again(plugin, "undoing");
        }
        if is_down(self) {
            return Err(Failure { message: "the plugin is not running".to_owned(), help: None });
        }
        let sequence = self.journal.undo_intent(plugin, &plan.0, step).map_err(|error| self.state_failure(&error))?;
        let deadline = self.config.settings.plugins.deadlines.apply;
        let call = Undo { plan: plan.clone(), step: step.clone(), deadline_ms: clock::as_ms(deadline) };
        let answer = self.call(plugin, &call, deadline);
        let (result, message) = match &answer {
            Ok(answer) if answer.outcome == Outcome::Changed => (StepResult::Changed, None),
            Ok(_) => (StepResult::AlreadySo, None),
            Err(error @ CallError::Refused(_)) => (StepResult::Failed, Some(failure("undo", error).message)),
            Err(CallError::Fault(_)) => {
                let (plugin, step) = (plugin.to_owned(), step.redacted());
                let (sequence, at_unix_ms) = (Some(sequence), clock::unix_ms());
                self.in_doubt.push(InDoubt { sequence, plugin, undo: true, step, at_unix_ms, is_inherited: false });
                return answer.map(|answer| answer.outcome).map_err(|error| failure("undo", &error));
            }
        };
        if let Err(error) = self.journal.result(sequence, result, message) {
            self.log.warn(SELF, self.state_failure(&error).message);
        }
        answer.map(|answer| answer.outcome).map_err(|error| failure("undo", &error))
    }

    /// Catches up with what had to wait for a change to be confirmed or undone.
    fn go_on(&mut self) {
        if std::mem::take(&mut self.confirming.reload_waits) {
            self.reload_config();
        }
        if std::mem::take(&mut self.confirming.config_waits) {
            self.config_changed(Instant::now());
        }
        let owing = |name: &String| {
            self.plugins.get(name).is_some_and(|managed| managed.owes_apply && managed.live.is_some())
                && !self.awaits_request(name)
        };
        let names: Vec<_> = self.configured_in_order().into_iter().filter(owing).collect();
        if !names.is_empty() {
            self.cycle("what had to wait", &names, Mode::APPLY);
        }
    }

    /// Whether a plugin's part was undone and must not be applied without a request.
    pub(super) fn is_held(&self, plugin: &str) -> bool {
        let part = self.assignment.parts.get(plugin);
        let held = self.confirming.state.held.get(plugin);
        held.is_some_and(|held| part.is_some_and(|part| held.is_empty() || self.fingerprints.of(part) == *held))
    }

    /// Whether a plugin's part must not be applied without a request: it was undone, or a new build has planned steps
    /// where new builds only plan.
    pub(super) fn awaits_request(&self, plugin: &str) -> bool {
        self.is_held(plugin) || self.plugins.get(plugin).is_some_and(|managed| managed.only_planned)
    }

    /// An administrator wants everything applied, also what was undone or only planned before.
    pub(super) fn release_held(&mut self) {
        for managed in self.plugins.values_mut() {
            managed.only_planned = false;
        }
        self.confirming.failures.clear();
        if !self.confirming.state.held.is_empty() {
            self.confirming.state.held.clear();
            self.store_confirmation();
        }
    }

    /// Holds of parts that are no longer the configuration's.
    pub(super) fn drop_old_holds(&mut self) {
        let before = self.confirming.state.held.len();
        let held: Vec<_> = self.confirming.state.held.keys().filter(|plugin| !self.is_held(plugin)).cloned().collect();
        for plugin in held {
            self.confirming.state.held.remove(&plugin);
        }
        if self.confirming.state.held.len() != before {
            self.store_confirmation();
        }
    }

    pub(super) fn confirmation_problems(&self) -> Vec<Problem> {
        let waiting = self.confirming.report().map(|waiting| Problem {
            subject: "confirmation".to_owned(),
            message: format!(
                "the last change is undone unless it is confirmed by {}",
                clock::rfc3339(waiting.by_unix_ms)
            ),
            help: Some("sysconfigctl confirm, or: sysconfigctl undo".to_owned()),
            place: None,
            severity: Severity::Warning,
        });
        let held = self.confirming.state.held.iter().filter(|(plugin, _)| self.is_held(plugin));
        let held = held.map(|(plugin, undone)| Problem {
            subject: subject(plugin),
            message: "its last change was undone, and is not applied again by itself".to_owned(),
            help: Some(match undone.is_empty() {
                true => "sysconfigctl apply".to_owned(),
                false => "change the configuration, or: sysconfigctl apply".to_owned(),
            }),
            place: None,
            severity: Severity::Error,
        });
        waiting.into_iter().chain(held).chain(self.confirming.failures.iter().cloned()).collect()
    }

    fn tell_confirmation(&self, message: String) {
        self.log.warn(SELF, &message);
        self.board.note(HappeningKind::Confirmation, None, message);
    }

    fn store_confirmation(&mut self) {
        if let Err(error) = self.confirming.state.store() {
            self.log.error(SELF, self.state_failure(&error).message);
        }
    }
}

fn nothing_to_confirm() -> ErrorObject {
    ErrorObject::new(code::NOTHING_TO_CONFIRM, "no change waits for a confirmation")
        .help("a change waits for one after `sysconfigctl apply --confirm-within TIME`")
}
