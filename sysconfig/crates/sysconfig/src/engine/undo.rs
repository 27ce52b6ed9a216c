//! Taking back a change that nobody confirmed, or that somebody wants undone.
//!
//! The steps go back one by one, the last one first, and each leaves the record when it is done. So a daemon that ends in
//! the middle, however that comes about, is followed by one that goes on. A step that cannot be taken back does not
//! stop the others: it is *left*, told until it is undone or something else is applied to its plugin's part, and tried again:
//! after growing pauses, because whoever was cut off cannot ask for it; when its plugin is started; and on request.

use std::time::Instant;

use sysconfig_protocol::admin::{AppliedStep, Failure, Problem, StepResult, UndoReport, UndoneStep};
use sysconfig_protocol::describe::capability;
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::method::Undo;
use sysconfig_protocol::{ErrorObject, Outcome, Severity};

use super::carry_out::applied;
use super::cycle::{Mode, failure};
use super::queue::{Command, Event};
use super::retry::Retry;
use super::{Engine, SELF, subject};
use crate::clock;
use crate::plugin::CallError;
use crate::state::confirmation::{LeftStep, RevocableStep};
use crate::state::journal::InDoubt;

/// Without its data, which was secret, a step cannot be taken back however often it is tried.
pub(super) fn can_succeed(left: &LeftStep) -> bool {
    !left.noted.data_withheld
}

impl Engine {
    /// The change that waits is to be taken back at once; without one, what is left of those that were undone.
    pub(super) fn undo_on_request(&mut self) -> Result<UndoReport, ErrorObject> {
        let state = &self.confirming.state;
        if state.pending.is_none() && state.left.is_empty() {
            return Err(self.nothing_to_confirm());
        }
        if self.awaits_first_look {
            let message = "the plugins that could take it back are not there: a plugin directory does not answer";
            return Err(ErrorObject::new(code::FAILED, message).help("sysconfigctl doctor"));
        }
        if self.confirming.state.pending.is_some() {
            return Ok(self.undo_change("an administrator wants it undone"));
        }
        self.confirming.retry = Retry::default();
        Ok(self.undo_left("an administrator wants it", |_, _| true))
    }

    /// Takes back the change whose time is over. That needs its plugins.
    pub(super) fn undo_when_due(&mut self) {
        if self.awaits_first_look || self.stop.is_requested() {
            return;
        }
        if self.confirming.deadline().is_none_or(|deadline| deadline > Instant::now()) {
            return;
        }
        if self.confirming.state.is_being_undone() {
            self.undo_change("going on with what was interrupted");
            return;
        }
        // Whoever confirmed in time may have had to wait for his turn.
        self.backlog.extend(self.events.try_iter());
        let is_confirmation = |event: &Event| matches!(event, Event::Command(Command::Confirm(_)));
        match self.backlog.iter().position(is_confirmation).and_then(|index| self.backlog.remove(index)) {
            Some(confirmation) => self.handle(confirmation),
            None => _ = self.undo_change("nobody confirmed it in time"),
        }
    }

    /// Whether a change is to be undone at once, so that nobody is asked for anything else: whoever is cut off would wait for
    /// all plugins one after the other.
    pub(super) fn yields_to_undoing(&mut self) -> bool {
        let deadline = self.confirming.deadline().filter(|_| !self.awaits_first_look);
        let is_due = deadline.is_some_and(|deadline| deadline <= Instant::now());
        // While it is undone, too, plugins are started and asked for their part.
        let is_first = is_due && !self.confirming.state.is_being_undone();
        self.confirming.has_cut_short |= is_first;
        is_first
    }

    fn undo_change(&mut self, why: &str) -> UndoReport {
        self.tell_confirmation(format!("undoing the last change: {why}"));
        self.confirming.deadline = Some(Instant::now());
        if let Some(pending) = &mut self.confirming.state.pending {
            pending.is_being_undone = true;
        }
        self.store_confirmation();
        // Steps may take minutes, and who asks meanwhile is to know.
        self.publish();
        let mut report = UndoReport { steps: Vec::new() };
        while let Some(noted) = self.next_to_undo() {
            if self.stop.is_requested() {
                return self.interrupted(report);
            }
            self.hold(&noted.plugin);
            let undone = self.undo_step(&noted);
            if !is_undone(&undone) && self.stop.is_requested() {
                // It had less time than it is due, so the next daemon tries it again.
                return self.interrupted(report);
            }
            // Each step goes from the file when it was tried, so that a daemon that is killed here goes on behind it.
            if let Some(pending) = &mut self.confirming.state.pending {
                pending.steps.pop();
            }
            if let Some(left) = left(&noted, &undone) {
                self.confirming.state.left.insert(0, left);
            }
            self.store_confirmation();
            report.steps.push(UndoneStep { plugin: noted.plugin, undone });
        }
        self.hold_what_was_not_done();
        self.confirming.state.pending = None;
        self.confirming.deadline = None;
        self.confirming.retry = Retry::default();
        self.store_confirmation();
        self.finish_undoing(&report);
        self.go_on();
        report
    }

    fn next_to_undo(&self) -> Option<RevocableStep> {
        self.confirming.state.pending.as_ref()?.steps.last().cloned()
    }

    /// The daemon is to end; the next one goes on.
    fn interrupted(&self, mut report: UndoReport) -> UndoReport {
        self.log.warn(SELF, "the change is not undone in whole: the daemon is to end, and the next one goes on");
        let rest = self.confirming.state.pending.iter().flat_map(|pending| pending.steps.iter().rev());
        report.steps.extend(rest.map(postponed));
        report
    }

    /// Tries again what could not be undone, when its time has come, as far as its plugins run.
    pub(super) fn undo_left_when_due(&mut self) {
        if self.awaits_first_look || self.confirming.is_waiting() || self.stop.is_requested() {
            return;
        }
        if self.confirming.retry.at.is_some_and(|at| at <= Instant::now()) {
            self.undo_left("trying again", |engine, left| can_succeed(left) && engine.is_running(&left.noted.plugin));
        }
    }

    /// Tries the steps again that are left of undone changes, the last one first.
    fn undo_left(&mut self, why: &str, is_wanted: impl Fn(&Self, &LeftStep) -> bool) -> UndoReport {
        let mut report = UndoReport { steps: Vec::new() };
        let wanted: Vec<_> =
            self.confirming.state.left.iter().rev().filter(|left| is_wanted(self, left)).cloned().collect();
        for known in wanted {
            if self.stop.is_requested() {
                report.steps.push(postponed(&known.noted));
                continue;
            }
            self.log.info(&subject(&known.noted.plugin), format!("undoing {}: {why}", known.noted.step.summary));
            if !self.is_running(&known.noted.plugin) {
                self.start_again(&known.noted.plugin, "undoing");
            }
            // That may have applied something else to its part.
            if !self.confirming.state.left.contains(&known) {
                continue;
            }
            let undone = self.undo_step(&known.noted);
            let place = self.confirming.state.left.iter().position(|left| left.noted == known.noted);
            match (place, left(&known.noted, &undone)) {
                (Some(at), Some(still)) => self.confirming.state.left[at] = still,
                (Some(at), None) => drop(self.confirming.state.left.remove(at)),
                (None, _) => (),
            }
            report.steps.push(UndoneStep { plugin: known.noted.plugin, undone });
        }
        if !report.steps.is_empty() {
            self.store_confirmation();
        }
        self.finish_undoing(&report);
        report
    }

    /// Sees what the machine looks like now, and says what came of it.
    fn finish_undoing(&mut self, report: &UndoReport) {
        match self.confirming.state.left.iter().any(can_succeed) {
            true => self.confirming.retry.later(),
            false => self.confirming.retry = Retry::default(),
        }
        let mut names: Vec<_> = report.steps.iter().map(|step| step.plugin.clone()).collect();
        names.sort();
        names.dedup();
        names.retain(|name| self.assignment.parts.contains_key(name));
        if report.steps.is_empty() || self.stop.is_requested() {
            return;
        }
        if std::mem::take(&mut self.confirming.has_cut_short) {
            names = self.configured_in_order();
        }
        self.cycle("undoing", &names, Mode::Plan);
        let message = match self.confirming.state.left.len() {
            0 => "the change is undone".to_owned(),
            1 => "the change is undone, but for 1 step".to_owned(),
            left => format!("the change is undone, but for {left} steps"),
        };
        self.tell_confirmation(message);
    }

    /// A plugin came up, so what it could not take back may work now.
    pub(super) fn undo_left_soon(&mut self, plugin: &str) {
        if self.confirming.state.left.iter().any(|left| left.noted.plugin == plugin && can_succeed(left)) {
            self.confirming.retry.sooner();
        }
    }

    /// Something else is applied to a plugin's part, so what was there before an earlier change is nobody's wish any more.
    pub(super) fn forget_left(&mut self, plugin: &str) {
        let left = &mut self.confirming.state.left;
        let before = left.len();
        left.retain(|left| left.noted.plugin != plugin);
        if left.len() != before {
            self.store_confirmation();
        }
    }

    /// What could not be undone.
    pub(super) fn left_problems(&self) -> impl Iterator<Item = Problem> {
        let by_hand = |left: &LeftStep| match can_succeed(left) {
            true => "sysconfigctl undo tries again; or see to it by hand, then: sysconfigctl apply",
            false => "see to it by hand, then: sysconfigctl apply",
        };
        self.confirming.state.left.iter().map(move |left| Problem {
            subject: subject(&left.noted.plugin),
            message: format!("cannot be undone: {}: {}", left.noted.step.summary, left.error),
            help: Some(left.help.clone().unwrap_or_else(|| by_hand(left).to_owned())),
            place: None,
            severity: Severity::Error,
        })
    }

    /// What is undone is not applied again as long as the configuration asks for the same.
    fn hold(&mut self, plugin: &str) {
        let parts = self.confirming.state.pending.as_ref().map(|pending| &pending.parts);
        let of_change = parts.and_then(|parts| parts.get(plugin).cloned());
        // The part of a plugin that has not come yet is not known: whatever it will be is held.
        let held = of_change.or_else(|| self.hash_of_part(plugin)).unwrap_or_default();
        self.confirming.state.held.insert(plugin.to_owned(), held);
        self.confirming.state.not_done.remove(plugin);
        if self.applied.withdraw(plugin) {
            self.store_applied();
        }
    }

    /// Nor are the parts that a change to be confirmed was about and had not come to, because its daemon ended or their plugins
    /// were down: they were to be in force only as long as somebody confirmed that.
    pub(super) fn hold_what_was_not_done(&mut self) {
        let state = &mut self.confirming.state;
        let Some(pending) = &state.pending else { return };
        state.held_keys.extend(pending.unowned.clone());
        for (plugin, hash) in &pending.parts {
            // Without a hash nobody knows; what was taken back has none either.
            let is_in_force =
                !hash.is_empty() && self.applied.get(plugin).is_some_and(|applied| applied.config == *hash);
            let is_held = state.held.get(plugin).is_some_and(|held| held.is_empty() || held == hash);
            if !is_in_force && !is_held {
                state.held.insert(plugin.clone(), hash.clone());
                state.not_done.insert(plugin.clone());
            }
        }
        self.hold_by_keys();
    }

    fn undo_step(&mut self, noted: &RevocableStep) -> AppliedStep {
        let RevocableStep { plugin, step, .. } = noted;
        let began = Instant::now();
        self.resolve(plugin, step, "it was tried again", |doubt| doubt.undo);
        let (result, error) = self.try_to_undo(noted);
        let duration_ms = clock::as_ms(began.elapsed());
        match &error {
            None => {
                let word = if result == StepResult::Changed { "undone" } else { "was not done" };
                self.log.info(&subject(plugin), format!("{word}: {} ({duration_ms} ms)", step.summary));
                // It does not matter any more whether it had been done.
                self.resolve(plugin, step, "it was undone afterwards", |_| true);
            }
            Some(error) => {
                let message = format!("cannot be undone: {}: {}", step.summary, error.message);
                self.log.error(&subject(plugin), message);
            }
        }
        applied(step, result, duration_ms, error)
    }

    /// Takes a step back, with a line of the journal before and after, also where there is nobody who could. Whoever is cut off
    /// does not stay so for want of the line: until it is back, the step is in the confirmation's record, from which the next
    /// daemon goes on.
    fn try_to_undo(&mut self, noted: &RevocableStep) -> (StepResult, Option<Failure>) {
        let RevocableStep { plugin, plan, step, .. } = noted;
        self.see_to_record();
        let sequence = match self.journal_intent(plugin, plan, step, true) {
            Ok(sequence) => Some(sequence),
            Err(error) if self.dispossessed.is_some() => return (StepResult::Failed, Some(error)),
            Err(error) => {
                self.log.warn(&subject(plugin), format!("undoing without a line in the journal: {}", error.message));
                self.write_results();
                None
            }
        };
        let (result, error) = match self.cannot_undo(noted) {
            Some(message) => (StepResult::Failed, Some(Failure { message, help: None })),
            None => self.ask_to_undo(noted),
        };
        if result == StepResult::Unknown {
            let (plugin, step, at_unix_ms) = (plugin.to_owned(), step.redacted(), clock::unix_ms());
            self.in_doubt.push(InDoubt { sequence, plugin, undo: true, step, at_unix_ms, is_inherited: false });
        } else if let Some(sequence) = sequence {
            self.journal_result(sequence, result, error.as_ref().map(|error| error.message.clone()));
        }
        (result, error)
    }

    /// Why there is nobody to take a step back. A plugin that is down is started for it.
    fn cannot_undo(&mut self, noted: &RevocableStep) -> Option<String> {
        if noted.data_withheld {
            return Some("what is needed for it is secret, and was gone with the daemon that did it".to_owned());
        }
        if !self.is_running(&noted.plugin) {
            self.start_again(&noted.plugin, "undoing");
        }
        if !self.is_running(&noted.plugin) {
            return Some("the plugin is not running".to_owned());
        }
        let description = self.plugins.get(&noted.plugin).and_then(|managed| managed.description.as_ref());
        let can_undo = description.is_some_and(|description| description.has_capability(capability::UNDO));
        (!can_undo).then(|| "the plugin's present build cannot undo".to_owned())
    }

    fn ask_to_undo(&mut self, noted: &RevocableStep) -> (StepResult, Option<Failure>) {
        let deadline = self.config.settings.plugins.deadlines.apply;
        let (plan, step) = (noted.plan.clone(), noted.step.clone());
        let call = Undo { plan, step, deadline_ms: clock::as_ms(deadline) };
        match self.call(&noted.plugin, &call, deadline) {
            Ok(answer) if answer.outcome == Outcome::Changed => (StepResult::Changed, None),
            Ok(_) => (StepResult::AlreadySo, None),
            Err(error @ CallError::Refused(_)) => (StepResult::Failed, Some(failure("undo", &error))),
            Err(error @ CallError::Fault(_)) => (StepResult::Unknown, Some(failure("undo", &error))),
        }
    }
}

fn is_undone(step: &AppliedStep) -> bool {
    matches!(step.result, StepResult::Changed | StepResult::AlreadySo)
}

/// A step that is not taken back because the daemon is to end.
fn postponed(noted: &RevocableStep) -> UndoneStep {
    let message = "the daemon was told to end before it was undone".to_owned();
    let error = Failure { message, help: Some("it goes on by itself when it runs again".to_owned()) };
    UndoneStep { plugin: noted.plugin.clone(), undone: applied(&noted.step, StepResult::NotRun, 0, Some(error)) }
}

/// What is to be kept of a step that could not be taken back.
fn left(noted: &RevocableStep, undone: &AppliedStep) -> Option<LeftStep> {
    let Failure { message, help } = undone.error.clone().filter(|_| !is_undone(undone))?;
    Some(LeftStep { noted: noted.clone(), error: message, help })
}
