//! How things are: the answers that the daemon has ready.

use serde::{Deserialize, Serialize};

use super::CycleReport;
use crate::diagnostic::Severity;

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
    /// What its command line made it use.
    #[serde(default)]
    pub paths: Option<Paths>,
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

/// What a daemon uses, by its command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths {
    /// The main configuration file.
    pub config: String,
    /// The directory of further ones.
    pub config_dir: String,
    /// Where it keeps what it remembers.
    pub state_dir: String,
    /// Where its socket is.
    pub run_dir: String,
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
    /// Ended or was stopped because of a fault, or could not be started for reasons of the machine, such as a full disk, and
    /// is started again after a while.
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
    /// From the file's being as it is now to the new plugin being live; only for [`ReloadResult::Live`]. See
    /// [`Self::since_change`].
    #[serde(default)]
    pub latency_ms: Option<u64>,
    /// Whether it counts from the link, rename or last write that made the file what it is, by the time that its file system
    /// keeps of that (`st_ctime`). That is taken when it lies between the two polls that the change lies between. Otherwise, as on a
    /// share whose server has another clock, it counts from the poll that first saw the file so: at most one `poll-interval` later, and
    /// on a share what the file system takes to pass the change on.
    #[serde(default)]
    pub since_change: bool,
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
