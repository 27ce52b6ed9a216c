//! Steps, plans and outcomes.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::secret::REDACTED;

/// What a step can do to the machine's users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// Nobody notices, apart from the intended effect.
    Safe,
    /// Service may be interrupted, e.g. a network connection.
    Disruptive,
    /// Data may be lost; only done when it is allowed explicitly.
    Destructive,
}

impl fmt::Display for Risk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Safe => "safe",
            Self::Disruptive => "disruptive",
            Self::Destructive => "destructive",
        })
    }
}

/// The key by which the configuration of a resource allows destructive steps on it: true, or a list of what may be lost,
/// which the plugin holds its steps against.
pub const ALLOW_DESTRUCTIVE: &str = "allow-destructive";

/// The change of one property by a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldChange {
    /// The property's name.
    pub field: String,
    /// Its value now; `null` when there is none.
    #[serde(default)]
    pub from: Value,
    /// Its value after the step; `null` when it is taken away.
    #[serde(default)]
    pub to: Value,
    /// Whether the values are secret: then they are neither shown, logged nor stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sensitive: bool,
}

/// One change of the machine, small enough to succeed or fail as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Unique within the plugin's plan.
    pub id: String,
    /// What is done, a short word: `create`, `set`, `write`, `enable`.
    pub action: String,
    /// What it is done to, in the operating system's terms: a file, dataset, link, service.
    pub resource: String,
    /// The step in one line for people.
    pub summary: String,
    /// The properties that change.
    #[serde(default)]
    pub changes: Vec<FieldChange>,
    /// What it can do to the machine's users.
    pub risk: Risk,
    /// Where the resource is configured, e.g. `storage.pool[0]`: one of the plugin's keys, or a key below it. Empty
    /// when the configuration has no such place. A destructive step needs one, because it is carried out only where
    /// [`ALLOW_DESTRUCTIVE`] is there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// What the plugin needs to carry the step out and to undo it; nobody else reads it. It may hold secrets if one
    /// of the changes says that it is sensitive: then it never leaves the daemon's memory except towards the plugin.
    /// Otherwise it is stored, for root only, while a change waits for its confirmation.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

impl Step {
    /// The step as it may be shown, logged and stored: without `data`, and with sensitive values replaced.
    #[must_use]
    pub fn redacted(&self) -> Self {
        let hide = |value: &Value| {
            if value.is_null() { Value::Null } else { Value::from(REDACTED) }
        };
        let changes = self.changes.iter().map(|change| match change.sensitive {
            true => FieldChange { from: hide(&change.from), to: hide(&change.to), ..change.clone() },
            false => change.clone(),
        });
        Self { changes: changes.collect(), data: Value::Null, ..self.clone() }
    }
}

/// Identifies a plan by its contents: lowercase hexadecimal, made by the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub String);

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The steps of one plugin, in the order in which they are to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Identifies the plan: whoever applies it names it, so that nothing else is applied by mistake.
    pub digest: Digest,
    /// The steps; none when the machine is as configured.
    pub steps: Vec<Step>,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The machine was changed.
    Changed,
    /// The machine was already so, and nothing was changed.
    AlreadySo,
}

impl Outcome {
    /// The outcome of a step that looked first.
    #[must_use]
    pub fn changed_if(changed: bool) -> Self {
        if changed { Self::Changed } else { Self::AlreadySo }
    }
}
