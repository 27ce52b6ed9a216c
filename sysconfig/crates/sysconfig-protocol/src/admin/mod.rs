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
//!
//! * `request`: what is asked for;
//! * `status`: how things are;
//! * `past`: how they were;
//! * `work`: what was planned, done and undone.

mod past;
mod request;
mod status;
mod work;

pub use past::{EventsReport, Happening, HappeningKind, HistoryReport, LogLine, LogsReport, PastStep};
pub use request::{
    Apply, Confirm, Events, History, Logs, Ping, Plan, PluginRestart, Plugins, Reload, Status, UndoChange,
};
pub use status::{
    Activity, ConfigStatus, Confirmation, Health, Paths, Place, PluginReload, PluginState, PluginStatus, PluginsReport,
    Pong, Problem, ReloadResult, StatusReport,
};
pub use work::{
    AppliedStep, ApplyReport, ConfirmReport, CycleReport, Failure, PlanReport, PluginApply, PluginPlan, ReloadReport,
    StepResult, UndoReport, UndoneStep,
};

/// Where the daemon listens, unless its options say otherwise.
pub const DEFAULT_SOCKET: &str = "/var/run/sysconfig/sysconfig.sock";
