//! What is asked for.

use serde::{Deserialize, Serialize};

use super::{
    ApplyReport, ConfirmReport, EventsReport, HistoryReport, LogsReport, PlanReport, PluginStatus, PluginsReport, Pong,
    ReloadReport, StatusReport, UndoReport,
};
use crate::method::{Call, Level, calls};
use crate::plan::Digest;

/// Asks whether the daemon is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ping {}

/// Asks for everything that the daemon knows about itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {}

/// Asks for the plugins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plugins {}

/// Asks for the steps from the present state of the machine to the configured one. Changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {}

/// Asks for the configuration to be applied.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// Plan only; the steps in the answer have the result [`StepResult::NotRun`].
    #[serde(default)]
    pub dry_run: bool,
    /// Allow destructive steps, as far as their resources' configuration does. Without it they are
    /// [`StepResult::Refused`].
    #[serde(default)]
    pub allow_destructive: bool,
    /// Apply only if the plan still has this digest (from [`PlanReport::digest`]); otherwise nothing is done and
    /// the error is [`crate::envelope::code::PLAN_CHANGED`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Digest>,
    /// Undo the change unless [`Confirm`] comes within so many milliseconds after its end. Every step must be one
    /// that its plugin can undo, otherwise nothing is done and the error is [`crate::envelope::code::CANNOT_UNDO`].
    /// Until then nothing else is applied. With `dry_run` it has no meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_within_ms: Option<u64>,
}

/// Says that the change that waits for it is to stay. Without one, the error is
/// [`crate::envelope::code::NOTHING_TO_CONFIRM`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirm {}

/// Asks for the change that waits for its confirmation to be undone at once; without one, for what could not be undone
/// before to be tried again. Without either, the error is [`crate::envelope::code::NOTHING_TO_CONFIRM`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndoChange {}

/// Asks the daemon to read its configuration files again, and to apply them when they changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reload {}

/// Asks for one plugin to be stopped and started, also out of quarantine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginRestart {
    /// The plugin's name.
    pub name: String,
}

/// Asks for what happened lately: plugins that came and went, steps, cycles, reloads. The daemon remembers the last
/// 1000 since it was started.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// Only what has a greater number; [`EventsReport::last`] of the answer before.
    #[serde(default)]
    pub after: u64,
    /// At most so many, the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// Asks for the last lines of the log. The daemon remembers the last 1000 that were important enough for
/// `logging.level`, wherever else they went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// Only lines with a greater number; [`LogsReport::last`] of the answer before.
    #[serde(default)]
    pub after: u64,
    /// At most so many, the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Only lines of this plugin, or about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Only lines that are at least as important.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
}

/// Asks for the steps that were carried out, by this daemon and earlier ones, from the journal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// At most so many, the newest; 100 unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

calls! {
    Ping => "ping", Pong;
    Status => "status", StatusReport;
    Plugins => "plugins", PluginsReport;
    Events => "events", EventsReport;
    Logs => "logs", LogsReport;
    History => "history", HistoryReport;
    Plan => "plan", PlanReport;
    Apply => "apply", ApplyReport;
    Confirm => "confirm", ConfirmReport;
    UndoChange => "undo", UndoReport;
    Reload => "reload", ReloadReport;
    PluginRestart => "plugin-restart", PluginStatus;
}
