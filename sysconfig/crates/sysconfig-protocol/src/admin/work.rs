//! What was planned, done and undone.

use serde::{Deserialize, Serialize};

use super::Problem;
use crate::diagnostic::{Diagnostic, Severity};
use crate::plan::{Digest, Step};

/// Answer to [`Plan`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanReport {
    /// Identifies the whole plan; give it to [`Apply::plan`] to apply just this.
    pub digest: Digest,
    /// The plans of the configured plugins, in the order in which they would be applied.
    pub plugins: Vec<PluginPlan>,
    /// What is wrong with the configuration as a whole, e.g. a key that no plugin owns.
    pub problems: Vec<Problem>,
}

/// The plan of one plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginPlan {
    /// The plugin.
    pub plugin: String,
    /// Its steps in order, redacted; none when the machine is as configured.
    pub steps: Vec<Step>,
    /// What `validate` found.
    #[serde(default)]
    pub diagnostics: Vec<Diagnostic>,
    /// Why there is no plan.
    #[serde(default)]
    pub error: Option<Failure>,
}

/// A failure with its advice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What failed, causes included.
    pub message: String,
    /// What to do about it.
    #[serde(default)]
    pub help: Option<String>,
}

/// Answer to [`Apply`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApplyReport {
    /// The plan that was applied.
    pub digest: Digest,
    /// Whether nothing was done on purpose.
    pub dry_run: bool,
    /// The plugins in the order in which they were asked.
    pub plugins: Vec<PluginApply>,
    /// What is wrong with the configuration as a whole, e.g. a key that no plugin owns.
    pub problems: Vec<Problem>,
    /// When the change is undone unless it is confirmed; none when it stays, or changed nothing.
    #[serde(default)]
    pub confirm_by_unix_ms: Option<u64>,
}

impl ApplyReport {
    /// Whether everything configured is in force now; for a dry run, whether everything could be planned.
    pub fn is_success(&self) -> bool {
        let fine = |plugin: &PluginApply| plugin.is_success();
        self.plugins.iter().all(fine) && self.problems.iter().all(|problem| problem.severity == Severity::Warning)
    }
}

/// What applying did to one plugin's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginApply {
    /// The plugin.
    pub plugin: String,
    /// Its steps in order. After a failed step the rest is [`StepResult::NotRun`].
    pub steps: Vec<AppliedStep>,
    /// What `validate` found before, or `verify` after.
    #[serde(default)]
    pub diagnostics: Vec<Diagnostic>,
    /// Why it went no further than it did.
    #[serde(default)]
    pub error: Option<Failure>,
}

impl PluginApply {
    /// Whether nothing failed, was refused or was found wrong.
    pub fn is_success(&self) -> bool {
        let good = |step: &AppliedStep| {
            matches!(step.result, StepResult::Changed | StepResult::AlreadySo | StepResult::NotRun)
        };
        self.error.is_none() && self.steps.iter().all(good) && !self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// One step and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppliedStep {
    /// The step, redacted.
    pub step: Step,
    /// What came of it.
    pub result: StepResult,
    /// How long it took.
    #[serde(default)]
    pub duration_ms: u64,
    /// Why it failed or was refused.
    #[serde(default)]
    pub error: Option<Failure>,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepResult {
    /// The machine was changed.
    Changed,
    /// The machine was already so.
    AlreadySo,
    /// The plugin says that it did not work.
    Failed,
    /// The plugin ended or was stopped before it answered: what the step did is not known until the next look.
    Unknown,
    /// The step is destructive and that was not allowed.
    Refused,
    /// Not tried: a dry run, or an earlier step failed, or the daemon is stopping.
    NotRun,
}

/// The last comparison of the configuration with the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CycleReport {
    /// Why it was done, e.g. `start`, `request`, `reload of plugin dns`.
    pub trigger: String,
    /// When it began.
    pub started_unix_ms: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// Whether steps were carried out, or only planned.
    pub applied: bool,
    /// Steps that changed the machine.
    pub changed: usize,
    /// Steps that found the machine already so.
    pub already_so: usize,
    /// Steps that failed, were refused, or whose effect is unknown.
    pub failed: usize,
    /// Steps that were planned and not carried out: the machine differs from the configuration by these.
    pub pending: usize,
}

/// Answer to [`Confirm`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmReport {
    /// The number of steps that stay.
    pub steps: usize,
}

/// Answer to [`UndoChange`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UndoReport {
    /// The steps in the order in which they were taken back, which is from the last to the first.
    pub steps: Vec<UndoneStep>,
}

impl UndoReport {
    /// Whether every step was taken back.
    pub fn is_success(&self) -> bool {
        self.steps.iter().all(|step| matches!(step.undone.result, StepResult::Changed | StepResult::AlreadySo))
    }
}

/// One step and what came of taking it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UndoneStep {
    /// The plugin that it belongs to.
    pub plugin: String,
    /// The step as it was applied, with the result of undoing it.
    pub undone: AppliedStep,
}

/// Answer to [`Reload`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// Whether the new configuration is in force. When not, the previous one is.
    pub accepted: bool,
    /// Whether it differs from the previous one.
    pub changed: bool,
    /// Why it was not accepted, as a report with file, line and column.
    #[serde(default)]
    pub error: Option<String>,
    /// The faults that the report tells, each by itself.
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// What applying it did; none when it was not accepted, or is no different.
    #[serde(default)]
    pub apply: Option<ApplyReport>,
}
