//! Changes that are undone unless somebody confirms them.
//!
//! A change of the network can lock out the very person who made it. With a time to confirm it within, each step is
//! noted before it is carried out, and all are taken back, the last one first, when the time is over. What was undone
//! is *held*: the files still ask for it, so nothing but a request or a changed configuration applies it again. While a
//! change waits, nothing else is applied, so that what is taken back is what was there before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sysconfig_protocol::admin::{ApplyReport, ConfirmReport, Failure, HappeningKind, Problem};
use sysconfig_protocol::describe::capability;
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::{Digest, ErrorObject, Risk, Severity, Step};

use super::cycle::Mode;
use super::retry::Retry;
use super::undo::can_succeed;
use super::unwritten::{Part, state_failure};
use super::{Engine, SELF, subject};
use crate::clock;
use crate::discovery::Search;
use crate::state::confirmation::{Confirmation, Pending, PluginPlaces, RevocableStep};
use crate::text::chain;

/// What is told of a step with a secret, which is stored nowhere.
const ONLY_THIS_DAEMON: &str = "can be undone only as long as this daemon runs, because secrets are not stored";

/// The change that waits, if there is one, and what is left of earlier ones.
#[derive(Debug)]
pub(super) struct Confirming {
    pub(super) state: Confirmation,
    /// When the change that waits is undone.
    pub(super) deadline: Option<Instant>,
    /// The steps of the cycle that runs are those of the change.
    pub(super) is_applying: bool,
    /// Whose parts it is about; others may get steps as well.
    pub(super) asked_for: BTreeSet<String>,
    /// The plugins that had a plan of their part when their turn came.
    pub(super) come_to: BTreeSet<String>,
    /// SIGHUP came while a change waited.
    pub(super) reload_waits: bool,
    /// The files changed while a change waited.
    pub(super) config_waits: bool,
    /// A plan or a look for drift was left for a change that had to be undone.
    pub(super) has_cut_short: bool,
    /// When what could not be undone is tried again.
    pub(super) retry: Retry,
}

impl Confirming {
    /// Goes on where the daemon before this one stopped.
    pub(super) fn new(state: Confirmation) -> Self {
        // By a clock that was set meanwhile, the time would be longer than anybody was told.
        let left = state.pending.as_ref().map(|pending| {
            let left = pending.by_unix_ms.saturating_sub(clock::unix_ms());
            if pending.is_being_undone { Duration::ZERO } else { Duration::from_millis(left.min(pending.within_ms)) }
        });
        let deadline = left.map(|left| Instant::now() + left);
        // Whoever comes after another daemon tries at once.
        let mut retry = Retry::default();
        if state.left.iter().any(can_succeed) {
            retry.sooner();
        }
        Self {
            state,
            deadline,
            is_applying: false,
            asked_for: BTreeSet::new(),
            come_to: BTreeSet::new(),
            reload_waits: false,
            config_waits: false,
            has_cut_short: false,
            retry,
        }
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
        let by_unix_ms = self.by_unix_ms(pending);
        Some(sysconfig_protocol::admin::Confirmation { by_unix_ms, steps: pending.steps.len() })
    }

    /// The time of day at which the change is undone. What was noted is another one after the clock was set, which makes no
    /// difference to how long it waits.
    fn by_unix_ms(&self, pending: &Pending) -> u64 {
        const NOISE_MS: u64 = 1000;
        let left = self.deadline.and_then(|deadline| deadline.checked_duration_since(Instant::now()));
        let by = left.filter(|left| !left.is_zero()).map(|left| clock::unix_ms().saturating_add(clock::as_ms(left)));
        by.filter(|by| by.abs_diff(pending.by_unix_ms) > NOISE_MS).unwrap_or(pending.by_unix_ms)
    }
}

impl Engine {
    /// The error for whoever wants to change something while a change waits.
    pub(super) fn nothing_waits(&self) -> Result<(), ErrorObject> {
        match self.confirming.report().filter(|_| self.confirming.is_waiting()) {
            None => Ok(()),
            Some(waiting) => {
                if self.confirming.state.is_being_undone() {
                    let message = "the last change is being undone, and nothing else may change until then";
                    return Err(ErrorObject::new(code::CONFIRMATION_PENDING, message).help("sysconfigctl status"));
                }
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

    /// Steps of the change that waits which only this daemon can take back, because what that needs is on no disk.
    pub(super) fn withheld_problems(&self) -> Vec<Problem> {
        let steps = self.confirming.state.pending.iter().flat_map(|pending| &pending.steps);
        let withheld = steps.filter(|noted| noted.step.changes.iter().any(|change| change.sensitive));
        let problem = |noted: &RevocableStep| Problem {
            subject: subject(&noted.plugin),
            message: format!("{ONLY_THIS_DAEMON}: {}", noted.step.summary),
            help: Some("do not restart the daemon or the machine before `sysconfigctl confirm` or `undo`".to_owned()),
            place: None,
            severity: Severity::Warning,
        };
        withheld.map(problem).collect()
    }

    /// Why a step could not be taken back.
    fn irrevocable(&self, plugin: &str, step: &Step) -> Option<String> {
        let description = self.plugins.get(plugin).and_then(|managed| managed.description.as_ref());
        if !description.is_some_and(|description| description.has_capability(capability::UNDO)) {
            return Some(format!("the plugin cannot undo: {}", step.summary));
        }
        (step.risk == Risk::Destructive).then(|| format!("nothing brings back what it destroys: {}", step.summary))
    }

    /// Runs a cycle whose steps are undone unless they are confirmed. It is about the parts of some plugins, and about keys whose
    /// owner is not there; the parts of others may need steps as well. A daemon that follows has to know of it before anybody looks at the machine, and what was undone before is
    /// held on the disk until the cycle is over.
    ///
    /// # Errors
    ///
    /// When that cannot be stored. Nothing is applied then, also not later by itself.
    pub(super) fn apply_to_be_confirmed(
        &mut self,
        within_ms: u64,
        (asked_for, unowned): (&BTreeSet<String>, BTreeMap<String, String>),
        cycle: impl FnOnce(&mut Self) -> ApplyReport,
    ) -> Result<ApplyReport, ErrorObject> {
        asked_for.iter().for_each(|plugin| self.mark_open(plugin));
        let by_unix_ms = clock::unix_ms().saturating_add(within_ms);
        let parts = asked_for.iter().filter_map(|plugin| Some((plugin.clone(), self.hash_of_part(plugin)?)));
        let parts = parts.collect();
        let Search { path, allow_untrusted_owner } = self.search();
        let path = path.iter().filter_map(|directory| directory.to_str().map(str::to_owned)).collect();
        let plugins = PluginPlaces { path, allow_untrusted_owner };
        self.confirming.state.pending =
            Some(Pending { by_unix_ms, within_ms, parts, unowned, plugins, ..Pending::default() });
        if let Err(error) = self.write_confirmation() {
            self.hold_what_was_not_done();
            self.confirming.state.pending = None;
            let message = format!("the change is not begun, because it cannot be noted: {}", chain(&error));
            let refusal = ErrorObject::new(code::FAILED, message).help(error.help());
            self.note_written(Part::Confirmation, Err(error));
            return Err(refusal);
        }
        self.release_planned();
        self.confirming.asked_for.clone_from(asked_for);
        self.confirming.come_to.clear();
        self.confirming.is_applying = true;
        let mut report = cycle(self);
        self.confirming.is_applying = false;
        self.release_what_it_has_come_to();
        report.problems.extend(self.withheld_problems());
        let Some(pending) = &mut self.confirming.state.pending else { return Ok(report) };
        if pending.steps.is_empty() {
            self.hold_what_was_not_done();
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
        Ok(report)
    }

    /// What steps are planned for is not in force, though it may have been, and is not until they are carried out: a daemon that
    /// follows must not take it for done.
    pub(super) fn mark_open(&mut self, plugin: &str) {
        if self.applied.withdraw(plugin) {
            self.store_applied();
        }
    }

    /// The change is about a plugin's part, too, which is not in force: it is held when the change is over and has not come to it.
    pub(super) fn take_into_change(&mut self, plugin: &str) {
        self.mark_open(plugin);
        let hash = self.hash_of_part(plugin);
        if let Some(pending) = &mut self.confirming.state.pending {
            pending.parts.extend(hash.map(|hash| (plugin.to_owned(), hash)));
        }
        self.confirming.asked_for.insert(plugin.to_owned());
    }

    /// Notes a step before it is carried out, when it belongs to a change that is to be confirmed. Without the note
    /// it must not be carried out.
    pub(super) fn note_revocable(&mut self, plugin: &str, plan: &Digest, step: &Step) -> Result<(), Failure> {
        if !self.confirming.is_applying {
            return Ok(());
        }
        if let Some(message) = self.irrevocable(plugin, step) {
            self.take_into_change(plugin);
            self.store_confirmation();
            return Err(Failure { message, help: Some("apply without --confirm-within".to_owned()) });
        }
        if step.changes.iter().any(|change| change.sensitive) {
            self.log.warn(&subject(plugin), format!("{ONLY_THIS_DAEMON}: {}", step.summary));
        }
        self.mark_open(plugin);
        let part = self.hash_of_part(plugin);
        let (plugin, plan, step) = (plugin.to_owned(), plan.clone(), step.clone());
        if let Some(pending) = &mut self.confirming.state.pending {
            pending.parts.extend(part.map(|part| (plugin.clone(), part)));
            pending.steps.push(RevocableStep { plugin, plan, step, data_withheld: false });
        }
        self.write_confirmation().map_err(|error| {
            let failure = state_failure(&error);
            self.forget_revocable();
            failure
        })
    }

    /// A noted step changed nothing after all, nor may a daemon that follows take it back.
    pub(super) fn forget_revocable(&mut self) {
        if let Some(pending) = self.confirming.state.pending.as_mut().filter(|_| self.confirming.is_applying) {
            let gone = pending.steps.pop().map(|noted| noted.plugin);
            // Nor is it about a part of which nothing was asked and nothing done.
            let is_of = |plugin: &String| pending.steps.iter().any(|noted| noted.plugin == *plugin);
            if let Some(plugin) = gone.filter(|plugin| !self.confirming.asked_for.contains(plugin) && !is_of(plugin)) {
                pending.parts.remove(&plugin);
            }
            self.store_confirmation();
        }
    }

    /// The change that waits is to stay.
    pub(super) fn confirm(&mut self) -> Result<ConfirmReport, ErrorObject> {
        self.see_to_record();
        if self.confirming.state.is_being_undone() {
            let message = "it is too late to confirm the change: it is being undone";
            return Err(ErrorObject::new(code::NOTHING_TO_CONFIRM, message).help("sysconfigctl status"));
        }
        let before = self.confirming.state.clone();
        // What was not carried out was not confirmed: nobody has seen what comes of it, and it would not be guarded.
        self.hold_what_was_not_done();
        let Some(pending) = self.confirming.state.pending.take() else { return Err(self.nothing_to_confirm()) };
        if let Err(error) = self.write_confirmation() {
            // As long as the disk says that it waits, the next daemon would undo what was said to stay.
            self.confirming.state = before;
            let message = format!("the change is not confirmed, and still waits: {}", chain(&error));
            let help = format!("{}; then confirm again, in time", error.help());
            return Err(ErrorObject::new(code::FAILED, message).help(help));
        }
        self.confirming.deadline = None;
        self.tell_confirmation("the change is confirmed".to_owned());
        self.go_on();
        Ok(ConfirmReport { steps: pending.steps.len() })
    }

    /// Catches up with what had to wait for a change to be confirmed or undone.
    pub(super) fn go_on(&mut self) {
        self.pass_on_holds();
        self.take_waiting_builds();
        if std::mem::take(&mut self.confirming.reload_waits) {
            self.reload_config();
        }
        if std::mem::take(&mut self.confirming.config_waits) {
            self.config_changed(Instant::now());
        }
        if std::mem::take(&mut self.confirming.has_cut_short) {
            self.cycle("what had to wait", &self.configured_in_order(), Mode::Plan);
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

    pub(super) fn tell_confirmation(&self, message: String) {
        self.log.warn(SELF, &message);
        self.board.note(HappeningKind::Confirmation, None, message);
    }

    pub(super) fn nothing_to_confirm(&self) -> ErrorObject {
        let object = ErrorObject::new(code::NOTHING_TO_CONFIRM, "no change waits for a confirmation");
        object.help(match self.confirming.state.is_lost {
            true => "the record of one may be lost: sysconfigctl status",
            false => "a change waits for one after `sysconfigctl apply --confirm-within TIME`",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It was said to wait until the time that was noted by a clock that was ahead.
    #[test]
    fn a_clock_that_was_set_back_is_waited_for_by_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let (within_ms, day_ms) = (3_600_000, 86_400_000);
        let waiting = |by_unix_ms| {
            let (mut state, _) = Confirmation::load(directory.path());
            state.pending = Some(Pending { by_unix_ms, within_ms, ..Pending::default() });
            Confirming::new(state)
        };
        let ahead = waiting(clock::unix_ms() + day_ms);
        assert!(ahead.deadline.unwrap() <= Instant::now() + Duration::from_millis(within_ms));
        let by = ahead.report().unwrap().by_unix_ms;
        assert!(by <= clock::unix_ms() + within_ms, "{by}");
        let noted = clock::unix_ms() + within_ms / 2;
        assert_eq!(waiting(noted).report().unwrap().by_unix_ms, noted);
        let late = clock::unix_ms() - day_ms;
        assert_eq!(waiting(late).report().unwrap().by_unix_ms, late, "it is over");
    }
}
