//! Bringing plugins up, at the beginning, after a fault, and when a file changed.

use std::time::Instant;

use sysconfig_protocol::admin::{Failure, HappeningKind, PluginState, PluginStatus};
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::method::Hello;
use sysconfig_protocol::{Description, ErrorObject, Level, PLUGIN_FILE_PREFIX, ProtocolRange};

use super::backoff::Verdict;
use super::cycle::Mode;
use super::exchange::{common_key, conflict, keys};
use super::managed::{Managed, build_id};
use super::{Engine, SELF, intake, shown, subject};
use crate::config::{Deadlines, overlaps};
use crate::discovery::{Candidate, Finding};
use crate::plugin::{CallError, Fault, Launcher, PluginProcess, StartError};
use crate::side_by_side::side_by_side;
use crate::text::chain;

/// A process that answered `hello`, and is not the plugin yet.
pub(super) struct Greeted {
    pub(super) candidate: Candidate,
    pub(super) process: PluginProcess,
    pub(super) description: Description,
}

/// Why a started process does not become the plugin.
pub(super) struct Rejection {
    pub(super) failure: Failure,
    /// Starting it again would not help.
    is_final: bool,
    conflicts: bool,
    /// It says nothing of the process: the machine lacked something, or the configuration is to blame, which may be mended.
    is_no_failure: bool,
}

impl Rejection {
    fn retry(message: String) -> Self {
        Self { failure: Failure { message, help: None }, is_final: false, conflicts: false, is_no_failure: false }
    }

    /// Another plugin has what it claims.
    pub(super) fn conflict(failure: Failure) -> Self {
        Self { failure, is_final: true, conflicts: true, is_no_failure: false }
    }

    /// The one that is there is needed for a while.
    pub(super) fn for_now(failure: Failure) -> Self {
        Self { failure, is_final: false, conflicts: false, is_no_failure: false }
    }

    /// It does not take its part of the configuration.
    pub(super) fn of_part(method: &str, error: &CallError) -> Self {
        Self { is_no_failure: matches!(error, CallError::Refused(_)), ..Self::of_call(method, error) }
    }

    fn of_call(method: &str, error: &CallError) -> Self {
        let failure = match error {
            CallError::Refused(object) => intake::refusal(&format!("{method} failed: "), object),
            CallError::Fault(fault) => Failure { message: fault.to_string(), help: None },
        };
        Self { failure, is_final: false, conflicts: false, is_no_failure: false }
    }
}

impl Engine {
    /// The first start of everything that is there, and the first cycle.
    pub(super) fn start_all(&mut self, findings: Vec<Finding>) {
        let mut candidates = Vec::new();
        for finding in findings {
            match finding {
                Finding::Candidate(candidate) => candidates.push(candidate),
                other => self.take_finding(other),
            }
        }
        self.log.debug(SELF, format!("found {} plugins", candidates.len()));
        let mut arrivals = Vec::new();
        for (candidate, result) in greet_all(&self.launcher, &self.config.settings.plugins.deadlines, candidates) {
            let mut managed = Managed::new(candidate.path.clone());
            managed.candidate = Some(candidate.clone());
            self.plugins.insert(candidate.name.clone(), managed);
            match result {
                Ok(greeted) => arrivals.push(greeted),
                Err(rejection) => self.turn_away(&candidate.name, rejection),
            }
        }
        for greeted in self.refuse_rivals(arrivals) {
            self.admit_new(greeted);
        }
        self.reassign();
        self.drop_old_holds();
        self.undo_when_due();
        self.cycle("start", &self.configured_in_order(), Mode::APPLY);
    }

    /// Among plugins that start at the same time and claim the same key, the one goes on that owned it before. Where that is
    /// none, or more than one, all are refused: neither has a better right to it.
    fn refuse_rivals(&mut self, arrivals: Vec<Greeted>) -> Vec<Greeted> {
        let claims: Vec<_> = arrivals.iter().map(|greeted| keys(&greeted.description)).collect();
        let mut refused = vec![None; arrivals.len()];
        for one in 0..arrivals.len() {
            for other in (0..arrivals.len()).filter(|other| *other != one) {
                if let Some(key) = common_key(&claims[one], &claims[other]) {
                    let (candidate, rival) = (&arrivals[one].candidate, &arrivals[other].candidate);
                    let rights = (self.owned_before(&candidate.name, &key), self.owned_before(&rival.name, &key));
                    if rights != (true, false) {
                        refused[one].get_or_insert(conflict(&key, candidate, rival, rights == (false, true)));
                    }
                }
            }
        }
        let mut admitted = Vec::new();
        for (greeted, failure) in arrivals.into_iter().zip(refused) {
            match failure {
                None => admitted.push(greeted),
                Some(failure) => {
                    let name = greeted.candidate.name.clone();
                    self.turn_away(&name, Rejection::conflict(failure));
                }
            }
        }
        admitted
    }

    /// Whether the key, or a part of it, was a plugin's when its part was last in force.
    fn owned_before(&self, name: &str, key: &str) -> bool {
        self.applied.get(name).is_some_and(|part| part.claims.iter().any(|owned| overlaps(owned, key)))
    }

    /// Makes a greeted process the plugin where none of its name runs.
    fn admit_new(&mut self, mut greeted: Greeted) {
        let name = greeted.candidate.name.clone();
        match self.vet(&mut greeted) {
            Ok(vetted) => {
                let message = format!(
                    "running: version {}, build {}, from {}",
                    greeted.description.version,
                    build_id(&greeted.candidate.copy),
                    shown(&greeted.candidate.path)
                );
                self.log.info(&subject(&name), &message);
                self.board.note(HappeningKind::PluginStarted, Some(&name), message);
                self.install(greeted, vetted);
            }
            Err(rejection) => self.turn_away(&name, rejection),
        }
    }

    /// Records why a plugin that does not run could not be started.
    fn turn_away(&mut self, name: &str, rejection: Rejection) {
        let Some(managed) = self.plugins.get_mut(name) else { return };
        let Rejection { failure, is_final, conflicts, is_no_failure } = rejection;
        let message = format!("not started: {}", failure.message);
        // What keeps it may do so for days, and is told once.
        let is_known =
            is_no_failure && managed.backoff.is_kept_from_it() && managed.last_error.as_ref() == Some(&failure);
        if is_known {
            self.log.debug(&subject(name), message);
        } else {
            self.log.error(&subject(name), &message);
            self.board.note(HappeningKind::PluginFailed, Some(name), message);
        }
        managed.last_error = Some(failure);
        managed.conflicts = conflicts;
        if is_final {
            managed.retry_at = None;
            managed.set_state(PluginState::Refused);
        } else {
            self.schedule_retry(name, is_no_failure, is_known);
        }
    }

    fn schedule_retry(&mut self, name: &str, is_no_failure: bool, is_known: bool) {
        let Some(managed) = self.plugins.get_mut(name) else { return };
        let now = Instant::now();
        let verdict = if is_no_failure { managed.backoff.was_kept_from_it() } else { managed.backoff.failed(now) };
        match verdict {
            Verdict::RetryAfter(delay) => {
                managed.retry_at = Some(now + delay);
                managed.set_state(PluginState::Backoff);
                let level = if is_known { Level::Debug } else { Level::Info };
                self.log.write(level, &subject(name), format!("starting again in {} s", delay.as_secs_f64()));
            }
            Verdict::Quarantine => {
                managed.retry_at = None;
                managed.set_state(PluginState::Quarantined);
                if let Some(failure) = &mut managed.last_error {
                    let help = format!("replace its file, or run: sysconfigctl plugin restart {name}");
                    failure.help.get_or_insert(help);
                }
                let message = "failed too often; it stays down until its file changes";
                self.log.error(&subject(name), message);
                self.board.note(HappeningKind::PluginQuarantined, Some(name), message);
            }
        }
    }

    /// A running plugin broke down.
    pub(super) fn fail(&mut self, name: &str, fault: &Fault) {
        let Some(managed) = self.plugins.get_mut(name) else { return };
        let Some(live) = managed.live.take() else { return };
        let ending = live.process.end_after_fault();
        let message = match ending {
            Some(ending) => format!("{fault} ({ending})"),
            None => fault.to_string(),
        };
        self.log.error(&subject(name), &message);
        self.board.note(HappeningKind::PluginFailed, Some(name), &*message);
        managed.last_error = Some(Failure { message, help: None });
        self.schedule_retry(name, false, false);
    }

    /// A process's reader says that it ended; only news when it is the present one.
    pub(super) fn plugin_ended(&mut self, name: &str, instance: u64, fault: &Fault) {
        let live = self.plugins.get(name).and_then(|managed| managed.live.as_ref());
        if live.is_some_and(|live| live.process.instance() == instance) {
            self.fail(name, fault);
        }
    }

    /// A process ended. Its children may hold its connection open, so that nobody reads an end of it.
    pub(super) fn look_for_ended(&mut self) {
        let ended = self.plugins.iter_mut().filter_map(|(name, managed)| {
            let fault = managed.live.as_mut()?.process.ending()?;
            Some((name.clone(), fault))
        });
        for (name, fault) in ended.collect::<Vec<_>>() {
            self.fail(&name, &fault);
        }
    }

    /// Starts a plugin where none runs.
    pub(super) fn bring_up(&mut self, candidate: Candidate) {
        let name = candidate.name.clone();
        match greet(&self.launcher, &self.config.settings.plugins.deadlines, candidate) {
            Err(rejection) => self.turn_away(&name, rejection),
            Ok(greeted) => self.admit_new(greeted),
        }
        self.reassign();
    }

    /// Looks at the machine with a plugin that has just come up. It applies what is still owed.
    pub(super) fn catch_up(&mut self, name: &str, trigger: &str) {
        let Some(managed) = self.plugins.get(name) else { return };
        if managed.live.is_none() || !self.assignment.parts.contains_key(name) {
            return;
        }
        let mode = if managed.owes_apply { Mode::APPLY } else { Mode::Plan };
        self.cycle(trigger, &[name.to_owned()], mode);
    }

    /// Stops and starts a plugin because an administrator says so.
    pub(super) fn restart_plugin(&mut self, name: &str) -> Result<PluginStatus, ErrorObject> {
        let process = |engine: &Self| engine.plugins.get(name)?.live.as_ref().map(|live| live.process.instance());
        let before = process(self);
        if self.plugins.get(name).is_some_and(|managed| managed.last_error.is_some()) {
            self.look_again(name);
        }
        // One that did not come up beside the process at work may do so now.
        if let Some(newest) = self.plugins.get_mut(name).and_then(|managed| managed.waiting_build.take()) {
            self.take_candidate(newest.seen_now());
        }
        let has_just_started = process(self).is_some_and(|instance| Some(instance) != before);
        let Some(managed) = self.plugins.get_mut(name) else {
            self.publish();
            return Err(self.board.no_such_plugin(name));
        };
        managed.backoff = super::backoff::Backoff::default();
        if managed.candidate.is_none() {
            let Failure { message, help } = managed.last_error.clone().unwrap_or_default();
            let object = ErrorObject::new(code::FAILED, format!("plugin {name} has no file to start: {message}"));
            return Err(object.help(help.unwrap_or_else(|| "sysconfigctl doctor".to_owned())));
        }
        if has_just_started {
            return self.status_of(name);
        }
        self.restart_process(name);
        self.status_of(name)
    }

    /// Another process of the build at work.
    pub(super) fn restart_process(&mut self, name: &str) {
        if let Some(live) = self.plugins.get_mut(name).and_then(|managed| managed.live.take()) {
            // Unlike a reload there is no new process yet, and two of one build must not work side by side.
            live.process.stop(self.config.settings.plugins.deadlines.stop);
        }
        self.start_again(name, "restart");
    }

    fn status_of(&self, name: &str) -> Result<PluginStatus, ErrorObject> {
        self.publish();
        let status = self.board.plugins().plugins.into_iter().find(|plugin| plugin.name == name);
        status.ok_or_else(|| ErrorObject::new(code::INTERNAL_ERROR, "the plugin is gone"))
    }
}

/// Starts all candidates at the same time, because a slow one must not delay the others.
fn greet_all(
    launcher: &Launcher,
    deadlines: &Deadlines,
    candidates: Vec<Candidate>,
) -> Vec<(Candidate, Result<Greeted, Rejection>)> {
    let greetings = side_by_side(candidates.clone(), |candidate| greet(launcher, deadlines, candidate));
    let failed = || Err(Rejection::retry("the daemon failed while starting it".to_owned()));
    let results = greetings.into_iter().map(|greeting| greeting.unwrap_or_else(failed));
    candidates.into_iter().zip(results).collect()
}

/// Starts a process and says hello to it.
pub(super) fn greet(launcher: &Launcher, deadlines: &Deadlines, candidate: Candidate) -> Result<Greeted, Rejection> {
    let lacking = |message: String| Rejection { is_no_failure: true, ..Rejection::retry(message) };
    candidate.copy.restore().map_err(|error| lacking(chain(&error)))?;
    let not_started = |error: StartError| match error.is_of_machine() {
        true => lacking(chain(&error)),
        false => Rejection::retry(chain(&error)),
    };
    let mut process = launcher.start(&candidate.name, &candidate.copy.path).map_err(not_started)?;
    let hello = Hello { protocol: ProtocolRange::SUPPORTED, daemon: env!("CARGO_PKG_VERSION").to_owned() };
    let description = match process.call(&hello, deadlines.start) {
        Ok(description) => description,
        Err(error) => {
            let mut rejection = Rejection::of_call("hello", &error);
            if let (CallError::Fault(_), Some(ending)) = (&error, process.end_after_fault()) {
                rejection.failure.message.push_str(&format!(" ({ending})"));
            }
            rejection.is_final = matches!(&error, CallError::Refused(object) if object.code == code::NO_COMMON_VERSION);
            return Err(rejection);
        }
    };
    let refusal = |message: String| Err(Rejection { is_final: true, ..Rejection::retry(message) });
    if description.name != candidate.name {
        let file = format!("{PLUGIN_FILE_PREFIX}{}", candidate.name);
        return refusal(format!("{file} says that it is plugin {:?}", description.name));
    }
    if let Err(message) = intake::judge(&description) {
        return refusal(message);
    }
    if description.protocol.common_with(ProtocolRange::SUPPORTED).is_none() {
        let range = description.protocol;
        return refusal(format!("it speaks protocol versions {} to {} only", range.min, range.max));
    }
    Ok(Greeted { candidate, process, description })
}
