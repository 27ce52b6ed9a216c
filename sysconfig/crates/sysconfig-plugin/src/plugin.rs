//! The trait that a plugin implements.

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sysconfig_protocol::{Description, Diagnostic, Event, FieldChange, Outcome, Risk};

use crate::context::Context;
use crate::error::PluginError;

/// A plugin: what it owns, and how it brings the machine in line with it.
///
/// The daemon calls in this order: `describe` once; `validate` for every configuration that comes in question;
/// then, as often as needed, `observe` → `plan` → `apply` for each step → `observe` → `verify` → `plan`, where the last says
/// whether anything is left. It may start over at `observe` at any time, also in a new process after a crash in the middle of `apply`: a step must therefore be
/// right to repeat, and [`Outcome::AlreadySo`] says that there was nothing left to do.
///
/// Only `observe` and `apply` (and `check`, `undo`, `event`) may look at the machine, and only `apply` and `undo` may change
/// it. Everything else is a pure function of its arguments.
pub trait Plugin {
    /// The claimed part of the configuration, after merging. It is deserialised from a map of claimed key to value,
    /// `{"system.hostname": "dev"}`, of the keys that are set; use `#[serde(rename = "system.hostname")]` on the
    /// fields and `deny_unknown_fields` on the types below them. A value that does not fit is reported by
    /// `validate` with its key; none of the other methods is called then. A plugin none of whose keys is set is
    /// not asked to do anything.
    type Config: DeserializeOwned;
    /// What `observe` found, as far as `plan` and `verify` need it. It goes through the daemon, so it must not
    /// hold secrets in readable form where that can be avoided.
    type State: Serialize + DeserializeOwned;
    /// The private payload of a step: what `apply` needs to carry it out.
    type Change: Serialize + DeserializeOwned;

    /// Says who the plugin is, which keys it owns, and where its steps belong. Always the same answer.
    fn describe(&self) -> Description;

    /// What is wrong with a configuration, beyond its shape. Keys are written as [`Diagnostic::key`] says.
    fn validate(&self, config: &Self::Config) -> Vec<Diagnostic> {
        let _ = config;
        Vec::new()
    }

    /// What in a configuration that `validate` has accepted does not fit this machine, such as a link that it does not
    /// have. Looks at the machine and changes nothing. Only `sysconfigctl config check` asks: in a daemon at work, what comes
    /// later or is out of order for a while is a matter of `observe` and `plan`. A plugin that implements it says so with
    /// [`crate::describe::capability::CHECK`].
    ///
    /// # Errors
    ///
    /// When the machine cannot be looked at.
    fn check(&self, config: &Self::Config, context: &Context) -> Result<Vec<Diagnostic>, PluginError> {
        let _ = (config, context);
        Ok(Vec::new())
    }

    /// Looks at the machine and changes nothing.
    ///
    /// # Errors
    ///
    /// When the machine cannot be looked at, or is not this plugin's to manage.
    fn observe(&mut self, config: &Self::Config, context: &Context) -> Result<Self::State, PluginError>;

    /// The steps from the observed state to the configured one, in order; none when there is nothing to do. Pure.
    ///
    /// # Errors
    ///
    /// When the configured state cannot be reached from the observed one.
    fn plan(
        &self,
        config: &Self::Config,
        observed: &Self::State,
    ) -> Result<Vec<PlannedStep<Self::Change>>, PluginError>;

    /// Carries out one step.
    ///
    /// # Errors
    ///
    /// When the step failed. The daemon then leaves out the plugin's later steps.
    fn apply(&mut self, change: &Self::Change, context: &Context) -> Result<Outcome, PluginError>;

    /// What is not as configured although every step succeeded. By default: each step that would still be planned.
    fn verify(&self, config: &Self::Config, observed: &Self::State) -> Vec<Diagnostic> {
        match self.plan(config, observed) {
            Ok(steps) => {
                steps.iter().map(|step| Diagnostic::error("", format!("still to do: {}", step.summary))).collect()
            }
            Err(error) => vec![Diagnostic::error("", error.to_error_object().chain())],
        }
    }

    /// The change that takes another one back, where [`Plugin::apply`] can carry it out; then there is no need for an
    /// `undo` of its own. None by default.
    fn inverse(&self, change: &Self::Change) -> Option<Self::Change> {
        let _ = change;
        None
    }

    /// Takes one step back, perhaps in another process than the one that applied it, so `change` must hold what was
    /// there before. The step may not have been done, or be undone already; that is [`Outcome::AlreadySo`]. After an error it
    /// is asked for again, some time later. A plugin that implements it or `inverse` says so with [`crate::describe::capability::UNDO`].
    ///
    /// # Errors
    ///
    /// As for `apply`; by default, when the change has no inverse.
    fn undo(&mut self, change: &Self::Change, context: &Context) -> Result<Outcome, PluginError> {
        match self.inverse(change) {
            Some(inverse) => self.apply(&inverse, context),
            None => Err(PluginError::unsupported("this plugin cannot undo its steps")),
        }
    }

    /// Hears of an event on a topic that the description subscribes to: the present word of its source about the
    /// topic, `null` when it was taken back. Keep it, and let the next plan follow from it: the daemon observes and
    /// plans anew after. A new process is told the last event of every source and topic before its first `observe`,
    /// and nothing is told twice.
    fn event(&mut self, event: &Event, context: &Context) {
        let _ = (event, context);
    }
}

/// A step that [`Plugin::plan`] wants to be carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedStep<Change> {
    /// What is done, a short word: `create`, `set`, `write`, `enable`.
    pub action: String,
    /// What it is done to, in the operating system's terms.
    pub resource: String,
    /// The step in one line for people.
    pub summary: String,
    /// What it can do to the machine's users.
    pub risk: Risk,
    /// Where the resource is configured; empty when that is nowhere.
    pub key: String,
    /// The properties that change.
    pub changes: Vec<FieldChange>,
    /// What [`Plugin::apply`] gets.
    pub change: Change,
}

impl<Change> PlannedStep<Change> {
    /// A step that names no properties yet.
    pub fn new(
        action: impl Into<String>,
        resource: impl Into<String>,
        summary: impl Into<String>,
        risk: Risk,
        change: Change,
    ) -> Self {
        let (action, resource, summary) = (action.into(), resource.into(), summary.into());
        Self { action, resource, summary, risk, key: String::new(), changes: Vec::new(), change }
    }

    /// A step that no user of the machine notices. Its line for people is made of `action` and `resource`.
    pub fn safe(action: &str, resource: impl Display, change: Change) -> Self {
        let resource = resource.to_string();
        let summary = format!("{action} {resource}");
        Self::new(action, resource, summary, Risk::Safe, change)
    }

    /// Says where the resource is configured: one of the plugin's keys or below it, e.g. `storage.pool[0]`. The
    /// daemon carries out a destructive step only where [`sysconfig_protocol::plan::ALLOW_DESTRUCTIVE`] allows it
    /// there, so the plugin's configuration has to have room for that key.
    #[must_use]
    pub fn of(self, key: impl Into<String>) -> Self {
        Self { key: key.into(), ..self }
    }

    /// The same step with another payload.
    pub fn map<Other>(self, convert: impl FnOnce(Change) -> Other) -> PlannedStep<Other> {
        let Self { action, resource, summary, risk, key, changes, change } = self;
        PlannedStep { action, resource, summary, risk, key, changes, change: convert(change) }
    }

    /// Adds a property that changes. `None` (or `null`) stands for no value.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, from: impl Into<Value>, to: impl Into<Value>) -> Self {
        let change = FieldChange { field: field.into(), from: from.into(), to: to.into(), sensitive: false };
        self.changes.push(change);
        self
    }

    /// Adds a property whose values are secret: the daemon shows, logs and stores `***` for them.
    #[must_use]
    pub fn sensitive_field(mut self, field: impl Into<String>, from: impl Into<Value>, to: impl Into<Value>) -> Self {
        let change = FieldChange { field: field.into(), from: from.into(), to: to.into(), sensitive: true };
        self.changes.push(change);
        self
    }
}
