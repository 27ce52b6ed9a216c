//! SDK for sysconfig plugin authors.
//!
//! A plugin is a program named `sysconfig-plugin-NAME` that owns some keys of the machine's configuration and
//! brings the machine in line with them. The daemon starts it, speaks the protocol of [`sysconfig_protocol`] with it
//! over an inherited socket, and decides *when* something happens; the plugin knows *how*. With this crate, a
//! plugin is a type that implements [`Plugin`], and a `main` of one line:
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use sysconfig_plugin::{Context, Description, Outcome, PlannedStep, Plugin, PluginError, Risk};
//!
//! struct Motd;
//!
//! #[derive(Deserialize)]
//! struct Config {
//!     #[serde(rename = "system.motd")]
//!     motd: String,
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! struct Write {
//!     text: String,
//! }
//!
//! impl Plugin for Motd {
//!     type Config = Config;
//!     type State = Option<String>;
//!     type Change = Write;
//!
//!     fn describe(&self) -> Description {
//!         Description::new("motd")
//!             .version(env!("CARGO_PKG_VERSION"))
//!             .claim("system.motd", serde_json::json!({ "type": "string" }))
//!     }
//!
//!     fn observe(&mut self, _: &Config, _: &Context) -> Result<Option<String>, PluginError> {
//!         Ok(std::fs::read_to_string("/etc/motd").ok())
//!     }
//!
//!     fn plan(&self, config: &Config, state: &Option<String>) -> Result<Vec<PlannedStep<Write>>, PluginError> {
//!         if state.as_ref() == Some(&config.motd) {
//!             return Ok(Vec::new());
//!         }
//!         let change = Write { text: config.motd.clone() };
//!         let step = PlannedStep::new("write", "/etc/motd", "write the message of the day", Risk::Safe, change)
//!             .field("text", state.clone(), config.motd.clone());
//!         Ok(vec![step])
//!     }
//!
//!     fn apply(&mut self, change: &Write, _: &Context) -> Result<Outcome, PluginError> {
//!         std::fs::write("/etc/motd", &change.text)
//!             .map_err(|error| PluginError::new("cannot write /etc/motd").source(error))?;
//!         Ok(Outcome::Changed)
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     sysconfig_plugin::run(Motd)
//! }
//! ```
//!
//! Two threads run in a plugin: the *reader* takes lines from the daemon, notes cancellations and SIGTERM, and
//! queues requests; the *main* thread answers them one at a time. The whole of a plugin's code runs on the main
//! thread, so it needs no locks. One that starts threads of its own to watch something takes an [`Emitter`] along. SIGTERM lets the request in progress finish and then ends the process, because a
//! service manager signals a service's plugins together with the daemon.
//!
//! The SDK does not touch the machine, does not retry, and keeps no state but the configuration.

mod context;
mod dispatch;
mod error;
mod plugin;
mod program;
pub mod record;
mod schema;
mod serve;
pub mod testing;

pub use context::{Context, Emitter};
pub use error::PluginError;
pub use plugin::{PlannedStep, Plugin};
pub use program::run;
pub use schema::schema;
pub use sysconfig_protocol::{
    Description, Diagnostic, Event, FieldChange, Level, Outcome, Risk, Secret, Severity, describe,
};
