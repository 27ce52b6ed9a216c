//! The plugin `interfaces` owns `network.interface`: addresses, DHCP, routes and packet sizes of the machine's links.
//!
//! * `config`, `validate`: what can be written, and what is wrong with it;
//! * `check`: what in it does not fit this machine;
//! * `select`: which link an interface is about;
//! * `illumos`, `linux`: observing, planning and changing, in the system's own terms;
//! * `record`: what the plugin remembers of its own doing;
//! * `steps`: waiting for what only others can do;
//! * `watch`: a thread that tells the daemon of new leases and links.
//!
//! It leaves alone what it has not made: addresses, routes and links that the configuration does not name stay as they
//! are, and what is there already and as wanted is used, whoever made it. Name servers and host names from leases are
//! none of its business; it only says that there are some.

mod check;
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
use steps::CHOOSE;
use sysconfig_platform::{Host, System, only};
use sysconfig_plugin::describe::capability;
use sysconfig_plugin::{Context, Description, Diagnostic, Outcome, PlannedStep, Plugin, PluginError, schema};
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
    #[serde(with = "only::illumos")]
    Illumos(illumos::State),
    /// A machine of Linux.
    #[serde(with = "only::linux")]
    Linux(linux::State),
}

/// One change of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Of a machine of illumos.
    #[serde(with = "only::illumos")]
    Illumos(illumos::Change),
    /// Of a machine of Linux.
    #[serde(with = "only::linux")]
    Linux(linux::Change),
}

impl Plugin for InterfacesPlugin {
    type Config = Config;
    type State = State;
    type Change = Change;

    fn describe(&self) -> Description {
        Description::new("interfaces")
            .version(env!("CARGO_PKG_VERSION"))
            .claim(KEY, schema(config::SCHEMA))
            .before("dns")
            .before("hostname")
            .capability(capability::UNDO)
            .capability(capability::CHECK)
            .subscribe(CHANGED)
    }

    fn validate(&self, config: &Config) -> Vec<Diagnostic> {
        validate::faults(config, self.host.system())
    }

    fn check(&self, config: &Config, _: &Context) -> Result<Vec<Diagnostic>, PluginError> {
        check::faults(&self.host, config)
    }

    fn observe(&mut self, config: &Config, context: &Context) -> Result<State, PluginError> {
        self.watch.look(&self.host, context);
        match self.host.system() {
            System::Illumos => illumos::observe(&self.host, config, context).map(State::Illumos),
            System::Linux => linux::observe(&self.host, config, context).map(State::Linux),
        }
    }

    fn plan(&self, config: &Config, observed: &State) -> Result<Vec<PlannedStep<Change>>, PluginError> {
        match observed {
            State::Illumos(state) if System::Illumos.is_met() => {
                Ok(wrap(illumos::plan(config, state)?, Change::Illumos))
            }
            State::Linux(state) if System::Linux.is_met() => Ok(wrap(linux::plan(config, state)?, Change::Linux)),
            _ => Err(of_another_system()),
        }
    }

    fn verify(&self, config: &Config, observed: &State) -> Vec<Diagnostic> {
        let steps = match self.plan(config, observed) {
            Ok(steps) => steps,
            Err(error) => return vec![Diagnostic::error("", error.to_error_object().chain())],
        };
        if let Some(choice) = steps.iter().find(|step| step.action == CHOOSE) {
            // Only by the steps before it could be found out what is to be configured.
            let message = format!("{} is the first link with a signal, and is configured next", choice.resource);
            return vec![Diagnostic::warning("", message)];
        }
        steps.iter().map(|step| Diagnostic::error("", format!("still to do: {}", step.summary))).collect()
    }

    fn apply(&mut self, change: &Change, context: &Context) -> Result<Outcome, PluginError> {
        match change {
            Change::Illumos(change) if System::Illumos.is_met() => change.apply(&self.host, context),
            Change::Linux(change) if System::Linux.is_met() => change.apply(&self.host, context),
            _ => Err(of_another_system()),
        }
    }

    fn undo(&mut self, change: &Change, context: &Context) -> Result<Outcome, PluginError> {
        match change {
            Change::Illumos(change) if System::Illumos.is_met() => change.undo(&self.host, context),
            Change::Linux(change) if System::Linux.is_met() => change.undo(&self.host, context),
            _ => Err(of_another_system()),
        }
    }
}

fn wrap<C>(steps: Vec<PlannedStep<C>>, wrap: impl Fn(C) -> Change) -> Vec<PlannedStep<Change>> {
    steps.into_iter().map(|step| step.map(&wrap)).collect()
}

/// The compiler does not know that what [`only`] refuses is never there.
fn of_another_system() -> PluginError {
    PluginError::unsupported("this is of another system")
}
