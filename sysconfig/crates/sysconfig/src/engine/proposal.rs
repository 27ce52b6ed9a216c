//! What the files say and is not in force: judged, planned, and taken over only when somebody wants it applied.
//!
//! A plan of new files must change nothing, now or later. So the plugins whose part is another one are given it for as
//! long as they plan, and then get back what is in force: whatever happens next, an event, a fault or a new build, is
//! about the configuration that was asked for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sysconfig_protocol::Severity;
use sysconfig_protocol::admin::{Failure, Problem};
use sysconfig_protocol::method::{Configure, Event, Validate};

use super::cycle::{Part, failure};
use super::{Engine, intake, subject};
use crate::config::{Assignment, Configuration};
use crate::plugin::CallError;

/// A configuration that has no faults, and is not in force.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) config: Configuration,
    pub(super) assignment: Assignment,
}

/// What would be done.
#[derive(Debug)]
pub(super) struct Outlook {
    pub(super) parts: Vec<Part>,
    /// What is wrong with the configuration that was planned for.
    pub(super) problems: Vec<Problem>,
    /// The plugins whose part is not the one in force: what was found out about them is not how they are.
    pub(super) proposed: BTreeSet<String>,
}

/// The plugins that are configured with something that is not in force.
#[derive(Debug, Default)]
pub(super) struct Trial {
    plugins: BTreeSet<String>,
    /// The last word of each of them about each topic, which nobody has heard yet.
    muted: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Trial {
    /// Keeps what a plugin says to itself when it may be about something that is not in force; gives it back otherwise.
    pub(super) fn mute(&mut self, plugin: &str, event: Event) -> Option<Event> {
        if !self.plugins.contains(plugin) {
            return Some(event);
        }
        self.muted.entry(plugin.to_owned()).or_default().insert(event.topic, event.data);
        None
    }
}

impl Engine {
    /// Plans every part, of the proposal when there is one, else of what is in force.
    pub(super) fn look_ahead(&mut self, proposal: Option<&mut Proposal>) -> Outlook {
        let Some(proposal) = proposal else {
            let (parts, problems) = self.plan_all();
            return Outlook { parts, problems, proposed: BTreeSet::new() };
        };
        // What was said until now is about what is in force.
        self.take_waiting_events();
        let proposed = self.differing(&proposal.assignment);
        self.swap(proposal);
        let mut refusals: BTreeMap<String, Failure> = BTreeMap::new();
        for name in &proposed {
            // Nobody is asked for a plan then, either.
            if self.yields_to_undoing() {
                break;
            }
            self.trial.plugins.insert(name.clone());
            // Whoever cannot be asked is told as such when it is to plan; who refuses would plan for what it had before.
            if let Err(error @ CallError::Refused(_)) = self.give_part(name) {
                refusals.insert(name.clone(), failure("configure", &error));
            }
        }
        let (mut parts, problems) = self.plan_all();
        for part in &mut parts {
            if let Some(refusal) = refusals.remove(&part.plugin) {
                *part = Part::failed(&part.plugin.clone(), refusal);
            }
        }
        self.swap(proposal);
        self.end_trial();
        let steps = parts.iter().filter(|part| proposed.contains(&part.plugin)).map(|part| part.steps.len()).sum();
        self.proposed_steps = Some(steps);
        Outlook { parts, problems, proposed }
    }

    fn plan_all(&mut self) -> (Vec<Part>, Vec<Problem>) {
        let names = self.configured_in_order();
        let parts = self.plan_parts(&names);
        (parts, self.config_problems())
    }

    /// The plugins that have another part in the assignment than in the one in force, or none in one of them.
    pub(super) fn differing(&self, assignment: &Assignment) -> BTreeSet<String> {
        let names = self.assignment.parts.keys().chain(assignment.parts.keys());
        names.filter(|name| self.assignment.parts.get(*name) != assignment.parts.get(*name)).cloned().collect()
    }

    fn swap(&mut self, proposal: &mut Proposal) {
        std::mem::swap(&mut self.config, &mut proposal.config);
        std::mem::swap(&mut self.assignment, &mut proposal.assignment);
    }

    /// Gives a plugin its part of the configuration, if it has one and runs, and takes down what it thinks of it.
    pub(super) fn give_part(&mut self, name: &str) -> Result<(), CallError> {
        let deadline = self.config.settings.plugins.deadlines.answer;
        let is_live = self.plugins.get(name).is_some_and(|managed| managed.live.is_some());
        let Some(config) = self.assignment.parts.get(name).cloned().filter(|_| is_live) else { return Ok(()) };
        self.call(name, &Configure { config: config.clone() }, deadline)?;
        let findings = self.call(name, &Validate { config }, deadline)?;
        if let Some(managed) = self.plugins.get_mut(name) {
            managed.diagnostics = intake::findings(findings.diagnostics);
        }
        Ok(())
    }

    /// Gives every plugin back what is in force.
    fn end_trial(&mut self) {
        let mut stubborn = Vec::new();
        for name in self.trial.plugins.clone() {
            if let Err(CallError::Refused(object)) = self.give_part(&name) {
                let message = format!("does not take back the configuration in force: {}", object.chain());
                self.log.warn(&subject(&name), message);
                stubborn.push(name);
            }
        }
        // The last of what a plugin said is in the queue before its last answer is.
        self.take_waiting_events();
        let muted = std::mem::take(&mut self.trial).muted;
        self.hear_anew(muted);
        // A new process applies what is owed, and so has to wait until everybody has what is in force.
        for name in stubborn {
            self.restart_process(&name);
        }
    }

    /// What plugins said meanwhile may have been about the other files, or real news. So each is asked to look at the machine,
    /// whereupon it says what holds of what it tells with every look. The rest came of its own accord, is not said twice, and
    /// counts as it is.
    fn hear_anew(&mut self, muted: BTreeMap<String, BTreeMap<String, Value>>) {
        for name in muted.keys() {
            let is_asked = self.assignment.parts.contains_key(name) && self.is_running(name);
            if is_asked && !self.yields_to_undoing() {
                if let Err(failure) = self.observe(name) {
                    self.log.warn(&subject(name), failure.message);
                }
            }
        }
        let said = self.take_waiting_events();
        for (name, words) in muted {
            for (topic, data) in words {
                if !said.contains(&(name.clone(), topic.clone())) {
                    self.note_event(&name, Event { topic, source: None, data });
                }
            }
        }
    }

    /// What the files say, as far as it is not in force.
    pub(super) fn proposal_problem(&self) -> Option<Problem> {
        let steps = match self.proposed_steps? {
            0 => "no step".to_owned(),
            1 => "1 step".to_owned(),
            steps => format!("{steps} steps"),
        };
        Some(Problem {
            subject: "config".to_owned(),
            message: format!("the files say something new, which is not in force: {steps} planned"),
            help: Some("sysconfigctl apply".to_owned()),
            place: None,
            severity: Severity::Warning,
        })
    }
}
