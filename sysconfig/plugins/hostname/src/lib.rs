//! The plugin `hostname` owns `system.hostname`: the name that the machine runs under, the one that is kept for
//! the next boot, and the machine's own rows in the hosts file.
//!
//! The kept name is written before the running one is set, so that a failure between the two heals at the next
//! boot. On illumos the kept name is what `svc:/system/identity:node` applies at boot; there is no service property
//! for it. In the hosts file only rows that the plugin has marked are changed, and none are added when somebody
//! else's row already gives the name an address.
//!
//! With `from = "dhcp"` the name is that of a lease; while no lease has one, it is the `fallback`, or stays.
//!
//! Taking the key out of the configuration leaves the machine as it is: a machine cannot be without a name.

mod change;

pub use change::Change;

use serde::{Deserialize, Serialize};
use sysconfig_platform::hostname::{self, HostnameError};
use sysconfig_platform::lease;
use sysconfig_platform::{FileError, Host, files, hosts};
use sysconfig_plugin::describe::capability;
use sysconfig_plugin::{Context, Description, Diagnostic, Outcome, PlannedStep, Plugin, PluginError, Risk};

/// The configuration key that the plugin owns.
const KEY: &str = "system.hostname";

/// The plugin; see the crate's documentation.
#[derive(Debug)]
pub struct HostnamePlugin {
    host: Host,
}

impl HostnamePlugin {
    /// The plugin for a machine.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Self { host }
    }
}

/// What is configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The machine's name.
    #[serde(rename = "system.hostname")]
    pub hostname: Wanted,
}

/// Where the machine's name comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a name, or { from = \"dhcp\", fallback = \"a name\" }")]
pub enum Wanted {
    /// It is configured, with or without its domain.
    Name(String),
    /// From the network.
    Leased(Leased),
}

/// A name from the network.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leased {
    /// Who gives it.
    pub from: Source,
    /// The name while nobody gives one.
    pub fallback: Option<String>,
}

/// Who gives names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A DHCP server.
    Dhcp,
}

impl Wanted {
    /// The name that is written in the configuration, with its key.
    fn written(&self) -> Option<(String, &str)> {
        match self {
            Self::Name(name) => Some((KEY.to_owned(), name)),
            Self::Leased(leased) => Some((format!("{KEY}.fallback"), leased.fallback.as_deref()?)),
        }
    }
}

/// What the machine is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The name that it shall have; none while nobody gives one.
    pub wanted: Option<String>,
    /// The name that it runs under.
    pub running: String,
    /// The name that is kept for the next boot.
    pub persistent: Option<String>,
    /// The file that it stands in, byte for byte.
    pub persistent_bytes: Option<Vec<u8>>,
    /// Our rows in the hosts file.
    pub own_rows: Vec<String>,
    /// The rows that would make the configured name resolvable; none when somebody else's row does.
    pub wanted_rows: Vec<String>,
}

impl Plugin for HostnamePlugin {
    type Config = Config;
    type State = State;
    type Change = Change;

    fn describe(&self) -> Description {
        Description::new("hostname")
            .version(env!("CARGO_PKG_VERSION"))
            .claim(KEY, schema())
            .after("interfaces")
            .capability(capability::UNDO)
            .subscribe(lease::TOPIC)
    }

    fn validate(&self, config: &Config) -> Vec<Diagnostic> {
        let Some((key, name)) = config.hostname.written() else { return Vec::new() };
        let Some(fault) = hostname::fault(name) else { return Vec::new() };
        let diagnostic = Diagnostic::error(key, format!("{name:?} is not a valid host name: {fault}"));
        vec![match suggestion(name) {
            Some(name) => diagnostic.help(format!("for example {name:?}")),
            None => diagnostic,
        }]
    }

    fn observe(&mut self, config: &Config, _context: &Context) -> Result<State, PluginError> {
        let operation = "cannot look at the host name";
        let running = hostname::running(&self.host).map_err(|error| name_error(operation, error))?;
        let persistent = hostname::persistent(&self.host).map_err(|error| name_error(operation, error))?;
        let kept = hostname::persistent_path(self.host.system());
        let persistent_bytes = files::read(&self.host.root, kept).map_err(|error| file_error(operation, error))?;
        let file = files::read_text(&self.host.root, hosts::HOSTS).map_err(|error| file_error(operation, error))?;
        let file = file.unwrap_or_default();
        let wanted = self.wanted(&config.hostname)?;
        let wanted_rows = match &wanted {
            Some(name) if hosts::foreign_address(&file, name).is_none() => hosts::own_rows(self.host.system(), name),
            _ => Vec::new(),
        };
        Ok(State { wanted, running, persistent, persistent_bytes, own_rows: hosts::marked(&file), wanted_rows })
    }

    fn plan(&self, _config: &Config, observed: &State) -> Result<Vec<PlannedStep<Change>>, PluginError> {
        let Some(name) = &observed.wanted else { return Ok(Vec::new()) };
        let mut steps = Vec::new();
        if observed.persistent.as_ref() != Some(name) {
            steps.push(self.persist(name, observed));
        }
        if observed.own_rows != observed.wanted_rows {
            steps.push(rows(name, observed));
        }
        if &observed.running != name {
            steps.push(run(name, &observed.running));
        }
        Ok(steps)
    }

    fn apply(&mut self, change: &Change, context: &Context) -> Result<Outcome, PluginError> {
        change.apply(&self.host, context)
    }

    fn undo(&mut self, change: &Change, _context: &Context) -> Result<Outcome, PluginError> {
        change.undo(&self.host)
    }
}

impl HostnamePlugin {
    /// The name that the machine shall have: that of the first lease that has one, where it comes from there.
    fn wanted(&self, wanted: &Wanted) -> Result<Option<String>, PluginError> {
        let leased = match wanted {
            Wanted::Name(_) => None,
            Wanted::Leased(_) => lease::leases(&self.host)
                .map_err(|error| PluginError::new("cannot look for a host name in the leases").source(error))?
                .into_iter()
                .find_map(|lease| lease.hostname),
        };
        Ok(leased.or_else(|| wanted.written().map(|(_, name)| name.to_owned())))
    }

    fn persist(&self, name: &str, observed: &State) -> PlannedStep<Change> {
        let previous = observed.persistent.as_deref();
        let change = Change::Persist {
            name: name.to_owned(),
            previous: previous.map(str::to_owned),
            previous_bytes: observed.persistent_bytes.clone(),
        };
        let path = hostname::persistent_path(self.host.system());
        let summary = format!("keep the host name {name} for the next boot");
        PlannedStep::new("write", path, summary, Risk::Safe, change).field("hostname", previous, name)
    }
}

/// The JSON Schema of `system.hostname`.
fn schema() -> serde_json::Value {
    let name = serde_json::json!({ "type": "string", "minLength": 1, "maxLength": hostname::LONGEST_NAME });
    serde_json::json!({
        "description": "The machine's name: letters, digits and hyphens, with or without the domain; or where it comes from.",
        "anyOf": [
            name,
            {
                "type": "object",
                "additionalProperties": false,
                "required": ["from"],
                "properties": { "from": { "const": "dhcp" }, "fallback": name },
            },
        ],
    })
}

fn rows(name: &str, observed: &State) -> PlannedStep<Change> {
    let (from, to) = (observed.own_rows.clone(), observed.wanted_rows.clone());
    let change = Change::Rows { rows: to.clone(), previous: from.clone() };
    let summary = if to.is_empty() {
        format!("remove our rows, because another row names {name}")
    } else {
        format!("give {name} an address of the machine itself")
    };
    PlannedStep::new("write", hosts::HOSTS, summary, Risk::Safe, change).field("rows", from, to)
}

fn run(name: &str, previous: &str) -> PlannedStep<Change> {
    let change = Change::Run { name: name.to_owned(), previous: previous.to_owned() };
    let summary = format!("run under the host name {name}");
    PlannedStep::new("set", "hostname", summary, Risk::Safe, change).field("hostname", previous, name)
}

/// The nearest valid name, by leaving out what is not allowed; `None` when nothing useful is left.
fn suggestion(name: &str) -> Option<String> {
    let labels = name.split('.').map(|label| {
        let kept = label.chars().map(|c| match c {
            c if c.is_ascii_alphanumeric() => c,
            _ => '-',
        });
        kept.collect::<String>().trim_matches('-').to_owned()
    });
    let labels: Vec<String> = labels.filter(|label| !label.is_empty()).collect();
    let name = labels.join(".");
    hostname::fault(&name).is_none().then_some(name)
}

/// The host name could not be looked at or changed.
fn name_error(operation: &str, error: HostnameError) -> PluginError {
    let help = error.help();
    PluginError::new(operation).source(error).maybe_help(help)
}

/// A file could not be looked at or changed.
fn file_error(operation: &str, error: FileError) -> PluginError {
    let help = error.help();
    PluginError::new(operation).source(error).maybe_help(help)
}
