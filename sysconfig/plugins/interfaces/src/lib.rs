//! The plugin `interfaces` owns `network.interface`: addresses, DHCP, routes and packet sizes of the machine's links.
//!
//! * `config`, `validate`: what can be written, and what is wrong with it;
//! * `select`: which link an interface is about;
//! * `illumos`, `linux`: observing, planning and changing, in the system's own terms;
//! * `record`: what the plugin remembers of its own doing;
//! * `steps`: waiting for what only others can do;
//! * `watch`: a thread that tells the daemon of new leases and links.
//!
//! It leaves alone what it has not made: addresses, routes and links that the configuration does not name stay as they
//! are, and what is there already and as wanted is used, whoever made it. Name servers and host names from leases are
//! none of its business; it only says that there are some.

mod config;
mod error;
pub mod illumos;
pub mod linux;
mod record;
mod select;
mod steps;
mod validate;
mod watch;

pub use config::{Config, Interface, OneOrMany, RouteEntry, Selector};
pub use steps::Waiting;

use config::KEY;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use sysconfig_platform::{Host, System};
use sysconfig_plugin::describe::capability;
use sysconfig_plugin::{Context, Description, Diagnostic, Outcome, PlannedStep, Plugin, PluginError};
use watch::Watch;
pub use watch::{CHANGED, LEASES};

/// The plugin; see the crate's documentation.
#[derive(Debug)]
pub struct InterfacesPlugin {
    host: Host,
    watch: Watch,
}

impl InterfacesPlugin {
    /// The plugin for a machine.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Self { host, watch: Watch::default() }
    }

    /// Looks for new leases and links in other intervals, for tests.
    #[must_use]
    pub fn watching_every(self, interval: Duration) -> Self {
        Self { watch: Watch::every(interval), ..self }
    }
}

/// What the machine is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A machine of illumos.
    Illumos(illumos::State),
    /// A machine of Linux.
    Linux(linux::State),
}

/// One change of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Of a machine of illumos.
    Illumos(illumos::Change),
    /// Of a machine of Linux.
    Linux(linux::Change),
}

impl Plugin for InterfacesPlugin {
    type Config = Config;
    type State = State;
    type Change = Change;

    fn describe(&self) -> Description {
        Description::new("interfaces")
            .version(env!("CARGO_PKG_VERSION"))
            .claim(KEY, config::schema())
            .before("dns")
            .before("hostname")
            .capability(capability::UNDO)
            .subscribe(CHANGED)
    }

    fn validate(&self, config: &Config) -> Vec<Diagnostic> {
        validate::faults(config, self.host.system)
    }

    fn observe(&mut self, config: &Config, context: &Context) -> Result<State, PluginError> {
        self.watch.look(&self.host, context);
        match self.host.system {
            System::Illumos => illumos::observe(&self.host, config, context).map(State::Illumos),
            System::Linux => linux::observe(&self.host, config, context).map(State::Linux),
        }
    }

    fn plan(&self, config: &Config, observed: &State) -> Result<Vec<PlannedStep<Change>>, PluginError> {
        match observed {
            State::Illumos(state) => Ok(wrap(illumos::plan(config, state)?, Change::Illumos)),
            State::Linux(state) => Ok(wrap(linux::plan(config, state)?, Change::Linux)),
        }
    }

    fn apply(&mut self, change: &Change, context: &Context) -> Result<Outcome, PluginError> {
        match change {
            Change::Illumos(change) => change.apply(&self.host, context),
            Change::Linux(change) => change.apply(&self.host, context),
        }
    }

    fn undo(&mut self, change: &Change, context: &Context) -> Result<Outcome, PluginError> {
        match change {
            Change::Illumos(change) => change.undo(&self.host, context),
            Change::Linux(change) => change.undo(&self.host, context),
        }
    }
}

fn wrap<C>(steps: Vec<PlannedStep<C>>, wrap: impl Fn(C) -> Change) -> Vec<PlannedStep<Change>> {
    steps.into_iter().map(|step| step.map(&wrap)).collect()
}
