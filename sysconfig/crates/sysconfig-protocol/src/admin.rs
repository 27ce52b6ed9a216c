//! Requests and answers of the admin socket, which `sysconfigctl` speaks.
//!
//! The same lines as towards plugins ([`crate::envelope`]): the client sends a request, the daemon answers it, as
//! often as the client likes on one connection. Requests are strict about unknown members, answers are not.
//! Times of day are milliseconds since 1970-01-01 UTC, durations are milliseconds; the names say which.
//!
//! [`Ping`], [`Status`], [`Plugins`], [`Events`], [`Logs`] and [`History`] are answered at once whatever the daemon is doing. The others wait for
//! work in progress, and a client should allow minutes for [`Apply`].
//!
//! Failures of the *request* are JSON-RPC errors, see [`crate::envelope::code`]; failures of plugins and of the
//! configuration are part of the answer.

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Severity};
use crate::method::{Call, Level, calls};
use crate::plan::{Digest, Step};

/// Where the daemon listens, unless its options say otherwise.
pub const DEFAULT_SOCKET: &str = "/var/run/sysconfig/sysconfig.sock";

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

/// Asks for the change that waits for its confirmation to be undone at once. Without one, the error is
/// [`crate::envelope::code::NOTHING_TO_CONFIRM`].
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

/// Answer to [`Ping`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pong {
    /// The daemon's version.
    pub version: String,
    /// The daemon's process.
    pub pid: u32,
}

/// Answer to [`Status`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The daemon's version.
    pub version: String,
    /// The daemon's process.
    pub pid: u32,
    /// The file that the daemon was started from, as far as the system says.
    #[serde(default)]
    pub executable: Option<String>,
    /// When the daemon started.
    pub started_unix_ms: u64,
    /// The verdict: whether everything configured is in force.
    pub health: Health,
    /// What the daemon is doing.
    pub activity: Activity,
    /// The configuration in force.
    pub config: ConfigStatus,
    /// The last time that the configuration was compared with the machine; none before the first time.
    #[serde(default)]
    pub last_cycle: Option<CycleReport>,
    /// The change that waits for its confirmation.
    #[serde(default)]
    pub confirmation: Option<Confirmation>,
    /// The plugins, by name.
    pub plugins: Vec<PluginStatus>,
    /// Everything that is wrong, the reasons of a [`Health`] other than ok. Problems of severity warning alone
    /// leave the health ok.
    pub problems: Vec<Problem>,
}

/// Whether everything configured is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// The first cycle is not done yet.
    Starting,
    /// Everything configured is in force.
    Ok,
    /// Something is not; `problems` says what.
    Degraded,
    /// The daemon is ending.
    Stopping,
}

/// What the daemon is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Activity {
    /// Nothing: it waits for requests and for changed files.
    Idle,
    /// A request to a plugin is in progress.
    Calling {
        /// The plugin.
        plugin: String,
        /// The request's method.
        method: String,
        /// Since when.
        since_unix_ms: u64,
    },
    /// Something else that takes time.
    Busy {
        /// In words.
        doing: String,
        /// Since when.
        since_unix_ms: u64,
    },
}

/// The configuration in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// The files that it was read from, in the order in which they were merged.
    pub files: Vec<String>,
    /// When it was read.
    pub loaded_unix_ms: u64,
    /// Why the last attempt to read it again failed, as a report with file, line and column; none when the
    /// configuration in force is what the files say.
    #[serde(default)]
    pub rejected: Option<String>,
}

/// A change that is undone unless it is confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// When it is undone.
    pub by_unix_ms: u64,
    /// The number of its steps.
    pub steps: usize,
}

/// A place in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// What it is about: `config`, `journal`, or `plugin NAME`.
    pub subject: String,
    /// What is wrong, causes included.
    pub message: String,
    /// What to do about it.
    #[serde(default)]
    pub help: Option<String>,
    /// The place in the configuration, when there is one.
    #[serde(default)]
    pub place: Option<Place>,
    /// How bad it is.
    #[serde(default)]
    pub severity: Severity,
}

/// Answer to [`Plugins`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginsReport {
    /// The directories that plugins are looked for in.
    pub path: Vec<String>,
    /// Whether changed files are picked up.
    pub hot_reload: bool,
    /// The plugins, by name.
    pub plugins: Vec<PluginStatus>,
}

/// One plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginStatus {
    /// Its name.
    pub name: String,
    /// The file that was found under the plugin path.
    pub path: String,
    /// The private copy that the running process was started from.
    #[serde(default)]
    pub private_copy: Option<String>,
    /// Its version, by its own word.
    #[serde(default)]
    pub version: Option<String>,
    /// The first 12 hexadecimal digits of the BLAKE3 hash of the file that runs.
    #[serde(default)]
    pub build_id: Option<String>,
    /// What it is doing.
    pub state: PluginState,
    /// Its process.
    #[serde(default)]
    pub pid: Option<u32>,
    /// The configuration keys that it owns.
    #[serde(default)]
    pub claims: Vec<String>,
    /// Whether any of those keys is set.
    #[serde(default)]
    pub configured: bool,
    /// When it came into its state.
    pub since_unix_ms: u64,
    /// Why it is not running, or why the newest file was not taken; none when all is well.
    #[serde(default)]
    pub last_error: Option<String>,
    /// What to do about that.
    #[serde(default)]
    pub help: Option<String>,
    /// The last time that its file changed; none when it has not since the daemon started.
    #[serde(default)]
    pub reload: Option<PluginReload>,
    /// How often it was started again after a fault or by request; reloads do not count.
    #[serde(default)]
    pub restarts: u32,
    /// When its part of the configuration was last brought in line, by this daemon or an earlier one.
    #[serde(default)]
    pub applied_unix_ms: Option<u64>,
}

/// What a plugin is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    /// Started, and not yet through `hello`.
    Starting,
    /// Answering requests.
    Running,
    /// Ended or was stopped because of a fault, and is started again after a while.
    Backoff,
    /// Failed too often; stays down until its file changes or [`PluginRestart`].
    Quarantined,
    /// Never started, or stopped, because of what it is: built for another system, not trusted, claiming a key of
    /// another plugin, or refusing a configuration that the plugin accepts whose successor it would be. Stays down
    /// until its file changes.
    Refused,
}

/// What became of a changed plugin file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginReload {
    /// When it was decided.
    pub at_unix_ms: u64,
    /// What was decided.
    pub result: ReloadResult,
    /// From the poll that first saw the file as it is now to the new plugin being live, by the daemon's own clock;
    /// only for [`ReloadResult::Live`]. What passes between the file's appearance and that poll is not in it: at
    /// most one `poll-interval`, and on a share what the file system takes to pass the change on. The file's own
    /// times cannot tell, because a share's are of another machine's clock.
    #[serde(default)]
    pub latency_ms: Option<u64>,
    /// The build id of the file in question.
    #[serde(default)]
    pub build_id: Option<String>,
    /// Why the old one was kept.
    #[serde(default)]
    pub error: Option<String>,
}

/// See [`PluginReload`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReloadResult {
    /// The new file runs.
    Live,
    /// The new file was not usable, and the old one, if there was one, still runs.
    Kept,
}

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What applying it did; none when it was not accepted, or is no different.
    #[serde(default)]
    pub apply: Option<ApplyReport>,
}
