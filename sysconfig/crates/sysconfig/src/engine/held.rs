//! Parts that stay as they are until somebody asks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sysconfig_protocol::admin::Problem;
use sysconfig_protocol::method::ClaimedConfig;
use sysconfig_protocol::{Diagnostic, Severity};

use super::cycle::Part;
use super::managed::Managed;
use super::retry::Retry;
use super::{Engine, subject};
use crate::clock;
use crate::config::{Assignment, assign, is_within};

impl Engine {
    /// Whether a plugin's part was undone and must not be applied without a request. A change to be confirmed is one.
    pub(super) fn is_held(&self, plugin: &str) -> bool {
        if self.confirming.is_applying {
            return false;
        }
        let part = self.assignment.parts.get(plugin);
        let Some(part) = part else { return false };
        let held = self.confirming.state.held.get(plugin);
        let is_of = |held: &String| {
            held.is_empty() || self.fingerprints.of(part) == *held || self.owns_other_keys_than_before(plugin)
        };
        self.confirming.state.is_lost || held.is_some_and(is_of)
    }

    /// Whether a plugin's part is another one because its keys are: that says nothing of whether what was undone is in it still.
    fn owns_other_keys_than_before(&self, plugin: &str) -> bool {
        let keys = |claims: &[String]| claims.iter().cloned().collect::<BTreeSet<_>>();
        let before = self.applied.get(plugin).map(|part| keys(&part.claims)).filter(|before| !before.is_empty());
        let now = self.plugins.get(plugin).map(|managed| keys(&managed.claims()));
        before.is_some_and(|before| now.is_some_and(|now| now != before))
    }

    /// Whether a plugin's part was brought in line as it is.
    pub(super) fn is_in_force(&self, plugin: &str) -> bool {
        let applied = self.applied.get(plugin).map(|part| &part.config);
        self.hash_of_part(plugin).is_none_or(|hash| applied == Some(&hash))
    }

    /// The keyed hash of a plugin's part of the configuration in force.
    pub(super) fn hash_of_part(&self, plugin: &str) -> Option<String> {
        self.assignment.parts.get(plugin).map(|part| self.fingerprints.of(part))
    }

    /// Whether a plugin's part must not be applied without a request: it was undone, or a new build has planned steps
    /// where new builds only plan.
    pub(super) fn awaits_request(&self, plugin: &str) -> bool {
        self.is_held(plugin) || self.plugins.get(plugin).is_some_and(|managed| managed.only_planned)
    }

    /// An administrator wants everything applied, also what was undone or only planned before.
    pub(super) fn release_held(&mut self) {
        self.release_planned();
        let state = &mut self.confirming.state;
        if state.is_lost || !state.held.is_empty() || !state.held_keys.is_empty() || !state.left.is_empty() {
            state.is_lost = false;
            state.held.clear();
            state.held_keys.clear();
            state.not_done.clear();
            state.left.clear();
            self.store_confirmation();
        }
    }

    /// The same of what was only planned.
    pub(super) fn release_planned(&mut self) {
        for managed in self.plugins.values_mut() {
            managed.only_planned = false;
        }
        self.confirming.retry = Retry::default();
    }

    /// Something else is applied to a plugin's part, unless nobody could plan it.
    pub(super) fn come_to(&mut self, part: &Part) {
        if part.error.is_none() && !part.diagnostics.iter().any(Diagnostic::is_error) {
            self.forget_left(&part.plugin);
            self.confirming.come_to.insert(part.plugin.clone());
        }
    }

    /// A change to be confirmed takes the place of what was undone before, as far as it has come to that: the rest, because its
    /// plugins are down or may come yet, nobody would guard.
    pub(super) fn release_what_it_has_come_to(&mut self) {
        let come_to = std::mem::take(&mut self.confirming.come_to);
        let state = &mut self.confirming.state;
        state.held.retain(|plugin, _| !come_to.contains(plugin));
        state.not_done.retain(|plugin| !come_to.contains(plugin));
        state.is_lost &= !self.assignment.unowned.is_empty();
    }

    /// A plugin that is gone, as when it was renamed, leaves its hold to the one that has the very same part now: a key has one owner.
    pub(super) fn pass_on_holds(&mut self) {
        let is_there = |plugin: &str| self.plugins.get(plugin).is_some_and(Managed::owns_claims);
        let state = &self.confirming.state;
        let left_behind: Vec<_> = state.held.keys().filter(|plugin| !is_there(plugin)).cloned().collect();
        let mut is_passed_on = false;
        for before in left_behind {
            let Some(held) = self.confirming.state.held.get(&before).filter(|held| !held.is_empty()) else { continue };
            let is_its = |part: &ClaimedConfig| self.fingerprints.of(part) == *held;
            let after = self.assignment.parts.iter().find(|(_, part)| is_its(part)).map(|(plugin, _)| plugin.clone());
            let Some(after) = after else { continue };
            let state = &mut self.confirming.state;
            let held = state.held.remove(&before).unwrap_or_default();
            if state.not_done.remove(&before) {
                state.not_done.insert(after.clone());
            }
            state.held.insert(after, held);
            is_passed_on = true;
        }
        if is_passed_on {
            self.store_confirmation();
        }
    }

    /// The keys without an owner of which a configuration says something else than the one in force; with hashes of their values, or
    /// of null where they are gone.
    pub(super) fn newly_unowned(&self, assignment: &Assignment) -> BTreeMap<String, String> {
        let values = |of: &Assignment| -> BTreeMap<String, Value> {
            of.unowned.iter().map(|unowned| (unowned.key.clone(), unowned.value.clone())).collect()
        };
        let (before, after) = (values(&self.assignment), values(assignment));
        let hash = |key: &String| self.fingerprints.of(after.get(key).unwrap_or(&Value::Null));
        let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).map(|key| (key.clone(), hash(key))).collect()
    }

    /// Of a key that nobody owned, nobody could say whether a change to be confirmed was about it. Whoever owns it now has his part
    /// held, unless that was in force before; and nothing is held of what somebody has changed since. Whether there is less to
    /// remember of that.
    pub(super) fn hold_by_keys(&mut self) -> bool {
        if self.is_stand_in || self.confirming.is_applying || self.confirming.state.held_keys.is_empty() {
            return false;
        }
        let claims = self.claims();
        let set: BTreeMap<_, _> =
            assign(&self.config.machine, &[]).unowned.into_iter().map(|one| (one.key, one.value)).collect();
        let before = std::mem::take(&mut self.confirming.state.held_keys);
        let count = before.len();
        let mut owners = BTreeSet::new();
        for (key, hash) in before {
            let value = set.get(&key);
            let is_edited = !hash.is_empty() && self.fingerprints.of(value.unwrap_or(&Value::Null)) != hash;
            let owner = claims.iter().find(|(_, claim)| is_within(&key, claim)).map(|(plugin, _)| plugin.clone());
            match owner {
                _ if is_edited => {}
                Some(plugin) => drop(owners.insert(plugin)),
                None if value.is_none() && hash.is_empty() => {}
                None => drop(self.confirming.state.held_keys.insert(key, hash)),
            }
        }
        for plugin in owners {
            let Some(hash) = self.hash_of_part(&plugin).filter(|_| !self.is_in_force(&plugin)) else { continue };
            // An older hold may be of another value.
            if !self.is_held(&plugin) {
                self.confirming.state.held.insert(plugin.clone(), hash);
                self.confirming.state.not_done.insert(plugin);
            }
        }
        self.confirming.state.held_keys.len() != count
    }

    /// Somebody has changed what the files say of these plugins. Whether there was a hold that ends with it.
    pub(super) fn drop_changed_holds(&mut self, changed: &BTreeSet<String>) -> bool {
        let mut is_any = false;
        for plugin in changed {
            let now = self.hash_of_part(plugin);
            let state = &mut self.confirming.state;
            let is_other = |held: &String| !held.is_empty() && now.as_ref() != Some(held);
            if state.held.get(plugin).is_some_and(is_other) {
                state.held.remove(plugin);
                state.not_done.remove(plugin);
                is_any = true;
            }
        }
        is_any
    }

    /// Holds of parts that are no longer the configuration's. Which part is a plugin's can only be told while it is there.
    pub(super) fn drop_old_holds(&mut self) {
        if self.confirming.is_applying || self.is_stand_in {
            return;
        }
        let before = self.confirming.state.held.len();
        let is_there = |plugin: &str| self.plugins.get(plugin).is_some_and(Managed::owns_claims);
        let is_old = |plugin: &&String| is_there(plugin) && !self.is_held(plugin);
        let held: Vec<_> = self.confirming.state.held.keys().filter(is_old).cloned().collect();
        for plugin in held {
            self.confirming.state.held.remove(&plugin);
            self.confirming.state.not_done.remove(&plugin);
        }
        if self.confirming.state.held.len() != before {
            self.store_confirmation();
        }
    }

    pub(super) fn confirmation_problems(&self) -> Vec<Problem> {
        let waiting = self.confirming.report().map(|waiting| Problem {
            subject: "confirmation".to_owned(),
            message: match self.confirming.state.is_being_undone() {
                true => "the last change is being undone".to_owned(),
                false => {
                    let by = clock::rfc3339(waiting.by_unix_ms);
                    format!("the last change is undone unless it is confirmed by {by}")
                }
            },
            help: (!self.confirming.state.is_being_undone())
                .then(|| "sysconfigctl confirm, or: sysconfigctl undo".to_owned()),
            place: None,
            severity: Severity::Warning,
        });
        let lost = self.confirming.state.is_lost.then(record_is_lost);
        let held = self.confirming.state.held.iter().filter(|(plugin, _)| self.is_held(plugin));
        let held = held.map(|(plugin, undone)| Problem {
            subject: subject(plugin),
            message: match self.confirming.state.has_left(plugin) {
                true => "its last change was not undone in whole, and is not applied again by itself".to_owned(),
                false if self.confirming.state.not_done.contains(plugin) => {
                    "its change was to be confirmed, was not carried out to its end, and is not applied by itself"
                        .to_owned()
                }
                false => "its last change was undone, and is not applied again by itself".to_owned(),
            },
            help: Some(match undone.is_empty() {
                true => "sysconfigctl apply".to_owned(),
                false => "change the configuration, or: sysconfigctl apply".to_owned(),
            }),
            place: None,
            severity: Severity::Error,
        });
        let waiting = waiting.into_iter().chain(self.withheld_problems());
        waiting.chain(lost).chain(held).chain(self.left_problems()).collect()
    }
}

/// Nobody knows whether a change waited for its confirmation, nor which parts were undone.
fn record_is_lost() -> Problem {
    Problem {
        subject: "confirmation".to_owned(),
        message: "the record of unconfirmed and undone changes was lost: a change that nobody has confirmed may be in force, \
                  and nothing is applied by itself"
            .to_owned(),
        help: Some(
            "see what was done last, and what would be: sysconfigctl history, sysconfigctl plan; mend the configuration \
             where it would cut you off, then: sysconfigctl apply"
                .to_owned(),
        ),
        place: None,
        severity: Severity::Error,
    }
}
