//! The plugin `filesystem` owns `storage.dataset` and `storage.mount`: datasets with their properties, and mounts of
//! every other kind, with the rows of `/etc/vfstab` and `/etc/fstab` that bring them back at boot.
//!
//! * `config`, `validate`: what can be written, and what is wrong with it;
//! * `options`, `properties`: whether what is there is what is wanted;
//! * `order`: what has to be there before what;
//! * `state`: looking at the machine;
//! * `plan`: what is to be done, or is not and why;
//! * `change`: the steps, forwards and backwards;
//! * `altroot`: pools that are imported below another directory;
//! * `record`: what the plugin remembers of its own doing.
//!
//! What others have made is used when it is as wanted, and left alone when it is not, unless `adopt` says otherwise.
//! Nothing is unmounted by force. A row is written only after the mount has worked, because a bad one can keep a
//! machine from booting. Datasets that leave the configuration stay; only `absent = true` with two permissions destroys
//! one, and never what lies below it.

mod altroot;
mod change;
mod config;
mod options;
mod order;
mod plan;
mod properties;
mod record;
mod state;
mod validate;

pub use change::Change;
pub use config::{Config, DatasetEntry, MountEntry, PropertyValue};
pub use state::State;

use sysconfig_platform::{Host, StorageError};
use sysconfig_plugin::describe::capability;
use sysconfig_plugin::{Context, Description, Diagnostic, Level, Outcome, PlannedStep, Plugin, PluginError, schema};

/// The plugin; see the crate's documentation.
#[derive(Debug)]
pub struct FilesystemPlugin {
    host: Host,
    /// What was said about things that are left alone; said once, and not at every look.
    said: Vec<String>,
}

impl FilesystemPlugin {
    /// The plugin for a machine.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Self { host, said: Vec::new() }
    }
}

impl Plugin for FilesystemPlugin {
    type Config = Config;
    type State = State;
    type Change = Change;

    fn describe(&self) -> Description {
        Description::new("filesystem")
            .version(env!("CARGO_PKG_VERSION"))
            .claim(config::DATASETS, schema(config::DATASET_SCHEMA))
            .claim(config::MOUNTS, schema(config::MOUNT_SCHEMA))
            .after("zpool")
            .before("swap")
            .capability(capability::UNDO)
    }

    fn validate(&self, config: &Config) -> Vec<Diagnostic> {
        validate::faults(config, self.host.system())
    }

    fn observe(&mut self, config: &Config, context: &Context) -> Result<State, PluginError> {
        let state = state::observe(&self.host, config)?;
        let remarks = plan::remarks(config, &state);
        for text in remarks.iter().filter(|text| !self.said.contains(text)) {
            context.log(Level::Info, text);
        }
        self.said = remarks;
        Ok(state)
    }

    fn plan(&self, config: &Config, observed: &State) -> Result<Vec<PlannedStep<Change>>, PluginError> {
        Ok(plan::plan(config, observed).into_iter().map(|step| keyed(config, step)).collect())
    }

    fn apply(&mut self, change: &Change, context: &Context) -> Result<Outcome, PluginError> {
        change.apply(&self.host, context)
    }

    fn undo(&mut self, change: &Change, context: &Context) -> Result<Outcome, PluginError> {
        change.undo(&self.host, context)
    }
}

/// A step with the place where its dataset is configured, which the daemon looks at before anything is destroyed.
fn keyed(config: &Config, step: PlannedStep<Change>) -> PlannedStep<Change> {
    match config.datasets.iter().position(|dataset| dataset.name == step.resource) {
        Some(at) => step.of(format!("{}[{at}]", config::DATASETS)),
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
