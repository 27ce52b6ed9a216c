//! Requests, answers and notifications between the daemon and a plugin.
//!
//! The daemon asks and the plugin answers, one request at a time. In the other direction, and for `cancel`, there
//! are notifications only. A plugin keeps nothing between requests but its configuration: what it needs for a step
//! comes back to it in [`Step::data`], so a plugin that was restarted continues where its predecessor stopped.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::describe::{Description, ProtocolRange};
use crate::diagnostic::Diagnostic;
use crate::envelope::Id;
use crate::plan::{Digest, Outcome, Step};

/// A request, together with the shape of its answer.
pub trait Call: Serialize + DeserializeOwned {
    /// The `method` member of the request.
    const METHOD: &'static str;
    /// The shape of the response's `result`.
    type Answer: Serialize + DeserializeOwned;
}

/// A notification.
pub trait Notice: Serialize + DeserializeOwned {
    /// The `method` member of the notification.
    const METHOD: &'static str;
}

/// Ties request types to their method name and answer.
macro_rules! calls {
    ($($request:ty => $method:literal, $answer:ty;)*) => {
        $(impl Call for $request {
            const METHOD: &'static str = $method;
            type Answer = $answer;
        })*
    };
}
pub(crate) use calls;

/// A configuration as a plugin gets it: each claimed key that is set, with its value. A plugin with the claims
/// `system.hostname` and `network.dns` gets `{"system.hostname": "dev", "network.dns": {"servers": […]}}`.
pub type ClaimedConfig = Map<String, Value>;

/// First request: agrees on a version and asks who the plugin is. Unknown members are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The versions that the daemon speaks. The newest one in both ranges is used from here on; a plugin that has
    /// none answers with the error [`crate::envelope::code::NO_COMMON_VERSION`].
    pub protocol: ProtocolRange,
    /// The daemon's version, for the plugin's log.
    pub daemon: String,
}

/// Gives the plugin its configuration, which is in force until the next `configure`. The plugin accepts any value
/// here; `validate` is what finds faults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configure {
    /// The configuration.
    pub config: ClaimedConfig,
}

/// Asks what is wrong with a configuration, without taking it over and without looking at the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validate {
    /// The configuration to judge.
    pub config: ClaimedConfig,
}

/// Asks what in a configuration does not fit this machine, such as a link that it does not have. The plugin may look at the
/// machine, changes nothing, and does not take the configuration over. For `sysconfigctl config check`, and only sent to plugins with
/// the ability [`crate::describe::capability::CHECK`]: what comes later, and what is out of order for a while, must not keep a
/// daemon from its work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The configuration to judge; `validate` has found no error in it.
    pub config: ClaimedConfig,
    /// Time until whoever asks gives up waiting, in milliseconds.
    pub deadline_ms: u64,
}

/// Asks for the state of the machine as far as the configuration is concerned. Changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observe {
    /// Time until the daemon gives up waiting, in milliseconds.
    pub deadline_ms: u64,
}

/// Asks for the steps from the observed state to the configured one. Looks at nothing else and changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MakePlan {
    /// What `observe` answered.
    pub state: Value,
}

/// Asks for one step to be carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// The plan that the step belongs to.
    pub plan: Digest,
    /// The step as `plan` answered it.
    pub step: Step,
    /// Time until the daemon gives up waiting, in milliseconds.
    pub deadline_ms: u64,
}

/// Asks, after the steps, whether a newly observed state is as configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// What `observe` answered after the last step.
    pub state: Value,
}

/// Asks for one step to be taken back. Only sent to plugins with the ability `undo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Undo {
    /// The plan that the step belonged to.
    pub plan: Digest,
    /// The step as it was applied.
    pub step: Step,
    /// Time until the daemon gives up waiting, in milliseconds.
    pub deadline_ms: u64,
}

/// What one plugin has to say about a topic, told to those that subscribed to it, e.g. the DHCP leases.
///
/// The last event of each source and topic is in force until the next one, and replaces it whole.
///
/// This is both the notification by which a plugin emits an event and the request by which the daemon passes it
/// on. The daemon sets `source`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// What it is about, e.g. `dhcp.lease`.
    pub topic: String,
    /// The plugin that emitted it; set by the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The whole of what is to be said about the topic; `null` takes back what was said before.
    #[serde(default)]
    pub data: Value,
}

/// Asks the plugin to end. It answers, then exits with status 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {}

/// An answer without contents: `{}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {}

/// The answer to `validate`, `check` and `verify`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Findings {
    /// What was found; nothing when all is well.
    pub diagnostics: Vec<Diagnostic>,
}

/// The answer to `observe`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// The state, in the plugin's own shape; the daemon gives it back unread in `plan` and `verify`.
    pub state: Value,
}

/// The answer to `plan`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedSteps {
    /// The steps in order; none when the machine is as configured.
    pub steps: Vec<Step>,
}

/// The answer to `apply` and `undo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// What the step did.
    pub outcome: Outcome,
}

calls! {
    Hello => "hello", Description;
    Configure => "configure", Done;
    Validate => "validate", Findings;
    Check => "check", Findings;
    Observe => "observe", Observed;
    MakePlan => "plan", PlannedSteps;
    Apply => "apply", Applied;
    Verify => "verify", Findings;
    Undo => "undo", Applied;
    Event => "event", Done;
    Shutdown => "shutdown", Done;
}

/// How important a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Something that was asked for did not happen.
    Error,
    /// Something is odd and may need a person.
    Warn,
    /// What the operator wants to read: changes, starts, stops.
    Info,
    /// What the developer of a plugin wants to read.
    Debug,
    /// Every message and every decision.
    Trace,
}

impl Level {
    /// The level's name as it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Plugin → daemon: a line for the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// How important it is.
    pub level: Level,
    /// The line.
    pub message: String,
}

/// Plugin → daemon: how far the request in progress is. It does not extend the deadline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// What is being done.
    pub message: String,
    /// How much of it is done, 0 to 100, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
}

/// Daemon → plugin: the answer to the request `id` is no longer wanted. A plugin that can stop early answers the
/// request with [`crate::envelope::code::CANCELLED`]; soon after, the daemon stops it with signals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// The request's id.
    pub id: Id,
}

impl Notice for Log {
    const METHOD: &'static str = "log";
}
impl Notice for Progress {
    const METHOD: &'static str = "progress";
}
impl Notice for Event {
    const METHOD: &'static str = "event";
}
impl Notice for Cancel {
    const METHOD: &'static str = "cancel";
}
