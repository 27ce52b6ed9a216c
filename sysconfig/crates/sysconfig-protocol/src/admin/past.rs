//! How things were: events, log and journal.

use serde::{Deserialize, Serialize};

use super::StepResult;
use crate::method::Level;
use crate::plan::Step;

/// Answer to [`Events`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventsReport {
    /// What happened, the oldest first.
    pub events: Vec<Happening>,
    /// The number of the newest event that the daemon knows.
    pub last: u64,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// Counts from the daemon's start.
    pub number: u64,
    /// When.
    pub at_unix_ms: u64,
    /// What.
    pub kind: HappeningKind,
    /// The plugin that it is about; none when it is about the whole.
    #[serde(default)]
    pub plugin: Option<String>,
    /// In words.
    pub message: String,
}

/// What happened. A client takes one that it does not know for [`HappeningKind::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HappeningKind {
    /// The daemon is ready.
    Ready,
    /// A plugin was started where none ran.
    PluginStarted,
    /// A plugin could not be started, or broke down.
    PluginFailed,
    /// A plugin failed too often and stays down.
    PluginQuarantined,
    /// A changed file of a plugin is live.
    PluginReloaded,
    /// A changed file of a plugin was not taken.
    ReloadRefused,
    /// Changed configuration files were taken over.
    ConfigChanged,
    /// Changed configuration files were not taken over.
    ConfigRefused,
    /// A step was carried out, or tried.
    Step,
    /// The configuration was compared with the machine, and applied perhaps.
    Cycle,
    /// A plugin said something to others.
    Event,
    /// The machine was found changed, or as configured again.
    Drift,
    /// A change waits for its confirmation, was confirmed, or undone.
    Confirmation,
    /// Something that this version has no word for.
    #[serde(other)]
    Other,
}

/// Answer to [`Logs`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogsReport {
    /// The lines, the oldest first.
    pub lines: Vec<LogLine>,
    /// The number of the newest line that the daemon knows.
    pub last: u64,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Counts from the daemon's start.
    pub number: u64,
    /// When.
    pub at_unix_ms: u64,
    /// How important it is.
    pub level: Level,
    /// What it is about: `sysconfig`, `admin`, or `plugin NAME`.
    pub subject: String,
    /// The line, or several.
    pub message: String,
}

/// Answer to [`History`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryReport {
    /// The steps, the oldest first.
    pub steps: Vec<PastStep>,
}

/// A step of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastStep {
    /// Counts the steps of the journal.
    pub sequence: u64,
    /// When it was begun.
    pub at_unix_ms: u64,
    /// How long it took; none while it is open.
    #[serde(default)]
    pub duration_ms: Option<u64>,
    /// The plugin that carried it out.
    pub plugin: String,
    /// Whether it was taken back instead.
    #[serde(default)]
    pub undo: bool,
    /// The step, redacted.
    pub step: Step,
    /// What came of it; none while it is open: in progress, or in doubt.
    #[serde(default)]
    pub result: Option<StepResult>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
}
