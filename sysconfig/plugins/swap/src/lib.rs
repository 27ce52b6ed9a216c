//! The plugin `swap` owns `storage.swap`: volumes, partitions and files in which memory is put aside.
//!
//! * `config`, `rule`: what can be written, and what is wrong with it;
//! * `marks`: what tells what the plugin has made from what others have;
//! * `state`: looking at the machine;
//! * `plan`: what is to be done, or is not and why;
//! * `change`: the steps, forwards and backwards;
//! * `record`: what the plugin remembers of its own doing.
//!
//! What others have made is used when it is as wanted, and left alone when it is not, unless `adopt` says otherwise.
//! Whatever may hold somebody's data becomes swap only, and is destroyed only, when the configuration and the command
//! line both allow it. What leaves the configuration is no longer used; its volume or file is kept.

mod change;
mod config;
mod marks;
mod plan;
mod record;
pub mod rule;
mod state;

pub use change::{Change, Seen, Target};
pub use config::{Area, Config};
pub use state::State;

use sysconfig_platform::{Host, StorageError};
use sysconfig_plugin::describe::capability;
use sysconfig_plugin::{Context, Description, Diagnostic, Level, Outcome, PlannedStep, Plugin, PluginError};

/// The plugin; see the crate's documentation.
#[derive(Debug)]
pub struct SwapPlugin {
    host: Host,
    /// What was said about things that are left alone; said once, and not at every look.
    said: Vec<String>,
}

impl SwapPlugin {
    /// The plugin for a machine.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Self { host, said: Vec::new() }
    }
}

impl Plugin for SwapPlugin {
    type Config = Config;
    type State = State;
    type Change = Change;

    fn describe(&self) -> Description {
        Description::new("swap")
            .version(env!("CARGO_PKG_VERSION"))
            .claim(config::KEY, config::schema())
            .after("zpool")
            .after("filesystem")
            .capability(capability::UNDO)
    }

    fn validate(&self, config: &Config) -> Vec<Diagnostic> {
        config::faults(config, self.host.system())
    }

    fn observe(&mut self, config: &Config, context: &Context) -> Result<State, PluginError> {
        let state = state::observe(&self.host, config)?;
        let mut said = plan::kept(config, &state);
        said.extend(plan::removed(&state));
        let is_new = |text: &&String| !self.said.contains(text);
        said.iter().filter(is_new).for_each(|text| context.log(Level::Info, text));
        if state.record_is_damaged {
            let text = format!(
                "{} is damaged, so no file, row or use of swap counts as ours; adopt = true takes them over again",
                record::PATH
            );
            if is_new(&&text) {
                context.log(Level::Warn, &text);
            }
            said.push(text);
        }
        self.said = said;
        Ok(state)
    }

    fn plan(&self, config: &Config, observed: &State) -> Result<Vec<PlannedStep<Change>>, PluginError> {
        let keyed = |step| keyed(config, observed, step);
        Ok(plan::plan(config, observed).into_iter().map(keyed).collect())
    }

    fn apply(&mut self, change: &Change, context: &Context) -> Result<Outcome, PluginError> {
        change.apply(&self.host, context)
    }

    fn undo(&mut self, change: &Change, context: &Context) -> Result<Outcome, PluginError> {
        change.undo(&self.host, context)
    }
}

/// A step with the place where its area is configured, which the daemon looks at before anything is destroyed.
fn keyed(config: &Config, observed: &State, step: PlannedStep<Change>) -> PlannedStep<Change> {
    // A row is a step of the boot table.
    let resource = match &step.change {
        Change::Row { path, .. } => path,
        _ => &step.resource,
    };
    let is_of =
        |area: &config::Area| area.path(observed.system()) == *resource || area.volume.as_ref() == Some(resource);
    match config.areas.iter().position(is_of) {
        Some(at) => step.of(format!("{}[{at}]", config::KEY)),
        None => step,
    }
}

/// An error of the platform as one of the plugin.
pub(crate) fn storage_error(error: StorageError) -> PluginError {
    let (message, source, help) = error.into_parts();
    let error = PluginError::new(message).maybe_help(help);
    match source {
        Some(source) => error.source(source),
        None => error,
    }
}
