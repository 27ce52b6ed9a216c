//! The plugin `zpool` owns `storage.pool`: the ZFS pools of the machine, on illumos and on Linux with OpenZFS.
//!
//! * `config`, `validate`: what can be written, and what is wrong with it;
//! * `state`: observing pools, pools that could be imported, and devices;
//! * `places`: where file systems come to be mounted, and what is there;
//! * `record`: what it remembers of what it has begun;
//! * `plan`: what is to be done, what is refused, and what is left as it is;
//! * `change`: doing it, right to repeat, looked at before and after.
//!
//! It makes, imports and extends pools. It never destroys, exports, shrinks or rebuilds one, except that an import or
//! creation that nobody confirmed is undone by an export. A device that holds anything is refused, unless the configuration
//! names it in `allow-destructive` and the daemon is told `--allow-destructive`; one that is in use always is.

pub mod change;
mod config;
mod error;
mod places;
mod plan;
mod record;
mod state;
mod validate;

pub use change::Change;
pub use config::{Config, Group, Pool, Scalar, Vdev};
pub use state::State;

use config::KEY;
use sysconfig_platform::Host;
use sysconfig_plugin::describe::capability;
use sysconfig_plugin::{Context, Description, Diagnostic, Level, Outcome, PlannedStep, Plugin, PluginError};

/// The topic on which other plugins hear how the pools are.
pub const POOLS: &str = "zfs.pools";

/// The plugin; see the crate's documentation.
#[derive(Debug)]
pub struct ZpoolPlugin {
    host: Host,
    /// What was said about what is left as it is, so that it is said once.
    said: Vec<String>,
}

impl ZpoolPlugin {
    /// The plugin for a machine.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Self { host, said: Vec::new() }
    }
}

impl Plugin for ZpoolPlugin {
    type Config = Config;
    type State = State;
    type Change = Change;

    fn describe(&self) -> Description {
        Description::new("zpool")
            .version(env!("CARGO_PKG_VERSION"))
            .claim(KEY, config::schema())
            .before("filesystem")
            .before("swap")
            .capability(capability::UNDO)
    }

    fn validate(&self, config: &Config) -> Vec<Diagnostic> {
        validate::faults(config, self.host.system())
    }

    fn observe(&mut self, config: &Config, context: &Context) -> Result<State, PluginError> {
        let state = state::observe(&self.host, config)?;
        let notes = plan::notes(config, &state);
        let is_said = |note: &str| self.said.iter().any(|said| plan::is_same_note(said, note));
        for note in notes.iter().filter(|note| !is_said(note)) {
            context.log(Level::Warn, note.as_str());
        }
        self.said = notes;
        context.emit(POOLS, state.health());
        Ok(state)
    }

    fn plan(&self, config: &Config, observed: &State) -> Result<Vec<PlannedStep<Change>>, PluginError> {
        Ok(plan::plan(config, observed).into_iter().map(|step| keyed(config, step)).collect())
    }

    fn apply(&mut self, change: &Change, context: &Context) -> Result<Outcome, PluginError> {
        change.apply(&self.host, context)
    }

    fn verify(&self, config: &Config, observed: &State) -> Vec<Diagnostic> {
        let left = plan::plan(config, observed).into_iter();
        let left = left.map(|step| Diagnostic::error("", format!("still to do: {}", step.summary)));
        left.chain(plan::notes(config, observed).into_iter().map(|note| Diagnostic::warning("", note))).collect()
    }

    fn undo(&mut self, change: &Change, context: &Context) -> Result<Outcome, PluginError> {
        change.undo(&self.host, context)
    }
}

/// A step with the place where its pool is configured, which the daemon looks at before anything is destroyed.
fn keyed(config: &Config, step: PlannedStep<Change>) -> PlannedStep<Change> {
    match config.pools.iter().position(|pool| pool.name == step.resource) {
        Some(at) => step.of(format!("{KEY}[{at}]")),
        None => step,
    }
}
