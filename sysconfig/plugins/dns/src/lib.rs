//! The plugin `dns` owns `network.dns`: name servers, search list and options of the resolver.
//!
//! * Linux: `/etc/resolv.conf`, or a drop-in file for systemd-resolved where the file belongs to that.
//! * illumos: `/etc/resolv.conf`, the rows `hosts` and `ipnodes` of `/etc/nsswitch.conf`, the service
//!   `network/dns/client`, and a restart of the name service cache when one of these has changed. There are no
//!   service properties for the resolver on illumos.
//!
//! Where a list says `dhcp` stands what the leases tell, whoever got them; the plugin `interfaces` says when they
//! change. While no server is known, the resolver stays as it is.
//!
//! A file that another running program writes is not touched: the plan fails and names that program. Taking the
//! section out of the configuration leaves the machine as it is.

mod change;
mod config;
mod untold;

pub use change::{Change, Target};
pub use config::{Config, Dns};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use sysconfig_platform::lease::{self, Lease};
use sysconfig_platform::resolver::{
    self, DNS_CLIENT, NAME_CACHE, Owner, RESOLV_CONF, ResolverSettings, nsswitch, resolved,
};
use sysconfig_platform::smf::{self, InstanceState, SmfError};
use sysconfig_platform::{FileError, Host, System, files, networkd, nwam, processes};
use sysconfig_plugin::describe::capability;
use sysconfig_plugin::{Context, Description, Diagnostic, Outcome, PlannedStep, Plugin, PluginError, Risk};

/// The plugin; see the crate's documentation.
#[derive(Debug)]
pub struct DnsPlugin {
    host: Host,
}

impl DnsPlugin {
    /// The plugin for a machine.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Self { host }
    }
}

/// What the machine is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Whose the resolver's configuration is.
    pub owner: Owner,
    /// The file that holds it, as it is; none when there is no such file.
    pub content: Option<String>,
    /// The same byte for byte, when it is no UTF-8.
    pub bytes: Option<Vec<u8>>,
    /// Whether who reads it may not have been told of it.
    pub untold: bool,
    /// What that file says.
    pub settings: ResolverSettings,
    /// The leases, when something comes from them.
    pub leases: Vec<Lease>,
    /// What only illumos has.
    pub illumos: Option<IllumosState>,
}

/// The parts of illumos' resolver beside the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IllumosState {
    /// The sources of the databases that DNS answers for; `None` for a missing row.
    pub sources: BTreeMap<String, Option<Vec<String>>>,
    /// The DNS client; `None` when there is no such service.
    pub client: Option<InstanceState>,
    /// The name service cache; `None` when there is no such service.
    pub cache: Option<InstanceState>,
}

impl Plugin for DnsPlugin {
    type Config = Config;
    type State = State;
    type Change = Change;

    fn describe(&self) -> Description {
        Description::new("dns")
            .version(env!("CARGO_PKG_VERSION"))
            .claim(config::KEY, config::schema())
            .after("interfaces")
            .subscribe(lease::TOPIC)
            .capability(capability::UNDO)
            .capability(capability::CHECK)
    }

    fn validate(&self, config: &Config) -> Vec<Diagnostic> {
        config::faults(&config.dns)
    }

    fn check(&self, config: &Config, _: &Context) -> Result<Vec<Diagnostic>, PluginError> {
        if config.dns.options.is_empty() || owner(&self.host)? != Owner::Resolved {
            return Ok(Vec::new());
        }
        Ok(vec![Diagnostic::error(format!("{}.options", config::KEY), OPTIONS_UNSUPPORTED).help(WITHOUT_OPTIONS)])
    }

    fn observe(&mut self, config: &Config, _context: &Context) -> Result<State, PluginError> {
        let operation = "cannot look at the resolver";
        let owner = owner(&self.host)?;
        let path = target_of(&owner).path();
        let failed = |error| file_error(operation, error);
        let bytes = files::read(&self.host.root, path).map_err(failed)?;
        let content = bytes.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let bytes = bytes.filter(|bytes| std::str::from_utf8(bytes).is_err());
        let untold = untold::is_noted(&self.host).map_err(failed)?;
        let text = content.as_deref().unwrap_or_default();
        let settings = match owner {
            Owner::Resolved => resolved::parse(text),
            _ => ResolverSettings::parse(text),
        };
        let illumos = match self.host.system() {
            System::Illumos => Some(observe_illumos(&self.host)?),
            System::Linux => None,
        };
        let leases = match config.dns.uses_leases() {
            true => lease::leases(&self.host)
                .map_err(|error| PluginError::new("cannot look for name servers in the leases").source(error))?,
            false => Vec::new(),
        };
        Ok(State { settings, content, bytes, untold, owner, leases, illumos })
    }

    fn plan(&self, config: &Config, observed: &State) -> Result<Vec<PlannedStep<Change>>, PluginError> {
        let wanted = config.dns.settings(&observed.leases);
        if wanted.servers.is_empty() {
            return Ok(Vec::new());
        }
        if observed.owner == Owner::Resolved && !wanted.options.is_empty() {
            return Err(options_unsupported());
        }
        let mut steps = Vec::new();
        if observed.settings != wanted || observed.untold && observed.owner == Owner::Resolved {
            steps.push(write_settings(observed, &wanted));
        }
        if let Some(illumos) = &observed.illumos {
            plan_illumos(illumos, observed.untold, &mut steps);
        }
        match (&observed.owner, steps.is_empty()) {
            (Owner::Other { who, evidence }, false) => Err(not_ours(who, evidence)),
            _ => Ok(steps),
        }
    }

    fn apply(&mut self, change: &Change, context: &Context) -> Result<Outcome, PluginError> {
        change.apply(&self.host, context)
    }

    fn undo(&mut self, change: &Change, context: &Context) -> Result<Outcome, PluginError> {
        change.undo(&self.host, context)
    }
}

/// Who owns the resolver's configuration, illumos' automatic network included.
pub(crate) fn owner(host: &Host) -> Result<Owner, PluginError> {
    let operation = "cannot find out who owns the resolver";
    let automatic = match host.system() {
        System::Illumos => nwam::owns_network(host).map_err(|error| smf_error(operation, error))?,
        System::Linux => false,
    };
    if automatic {
        return Ok(Owner::Other {
            who: "the automatic network (NWAM)".to_owned(),
            evidence: format!("{} is online", nwam::NWAM),
        });
    }
    let found = resolver::owner(&host.root).map_err(|error| file_error(operation, error))?;
    match (&found, host.system()) {
        (Owner::Resolved, _) => Ok(stopped_resolved(host)?.unwrap_or(found)),
        (Owner::Nobody | Owner::Us | Owner::LeftBehind { .. }, System::Linux) => Ok(client(host)?.unwrap_or(found)),
        _ => Ok(found),
    }
}

/// systemd-resolved, when it does not run: what it is told nobody reads.
fn stopped_resolved(host: &Host) -> Result<Option<Owner>, PluginError> {
    let state = networkd::state_of(host, resolved::UNIT)
        .map_err(|error| PluginError::new("cannot find out whether systemd-resolved runs").source(error))?;
    let evidence = format!("{RESOLV_CONF} leads to it, and {NOT_RUNNING}");
    Ok((state == networkd::State::Off).then(|| Owner::Other { who: "systemd-resolved".to_owned(), evidence }))
}

const NOT_RUNNING: &str = "its service does not run";

/// A DHCP client that overwrites the file with each lease, and leaves no word in it.
fn client(host: &Host) -> Result<Option<Owner>, PluginError> {
    let operation = "cannot find out who owns the resolver";
    let links = host.links().map_err(|error| PluginError::new(operation).source(error))?;
    let running = processes::dhcp_clients(host);
    for link in links {
        let failed = |error| file_error(operation, error);
        let Some(client) = running.iter().find_map(|running| running.on(&link.name)) else { continue };
        if processes::writes_resolv_conf(host, client).map_err(failed)? {
            let evidence = format!("process {} writes {RESOLV_CONF} with each lease for {}", client.pid, link.name);
            return Ok(Some(Owner::Other { who: client.name.to_owned(), evidence }));
        }
    }
    Ok(None)
}

pub(crate) fn target_of(owner: &Owner) -> Target {
    match owner {
        Owner::Resolved => Target::ResolvedDropIn,
        _ => Target::ResolvConf,
    }
}

fn observe_illumos(host: &Host) -> Result<IllumosState, PluginError> {
    let operation = "cannot look at the name services";
    let switch = files::read_text(&host.root, nsswitch::NSSWITCH)
        .map_err(|error| file_error(operation, error))?
        .unwrap_or_default();
    let sources = nsswitch::DATABASES.map(|database| {
        let sources = nsswitch::sources(&switch, database);
        (database.to_owned(), sources)
    });
    let state = |fmri| smf::state(host, fmri).map_err(|error| smf_error(operation, error));
    Ok(IllumosState { sources: BTreeMap::from(sources), client: state(DNS_CLIENT)?, cache: state(NAME_CACHE)? })
}

fn write_settings(observed: &State, wanted: &ResolverSettings) -> PlannedStep<Change> {
    let target = target_of(&observed.owner);
    let (previous, previous_bytes) = (observed.content.clone(), observed.bytes.clone());
    let change = Change::Settings { target, settings: wanted.clone(), previous, previous_bytes };
    let summary = format!("ask {}", wanted.servers.join(", "));
    let mut step = PlannedStep::new("write", target.path(), summary, Risk::Safe, change);
    let present = &observed.settings;
    for (field, from, to) in [
        ("servers", &present.servers, &wanted.servers),
        ("search", &present.search, &wanted.search),
        ("options", &present.options, &wanted.options),
    ] {
        if from != to {
            step = step.field(field, from.clone(), to.clone());
        }
    }
    step
}

fn plan_illumos(illumos: &IllumosState, untold: bool, steps: &mut Vec<PlannedStep<Change>>) {
    let asks_dns = |sources: &Option<Vec<String>>| sources.as_deref().is_some_and(nsswitch::asks_dns);
    let lacking: Vec<_> = illumos.sources.iter().filter(|(_, sources)| !asks_dns(sources)).collect();
    if !lacking.is_empty() {
        let previous = lacking.iter().map(|(name, sources)| {
            let sources = sources.as_ref().map(|sources| sources.join(" "));
            ((*name).clone(), sources)
        });
        let change = Change::Switch { previous: previous.collect() };
        let summary = "look host names up in the files, then in DNS";
        let mut step = PlannedStep::new("write", nsswitch::NSSWITCH, summary, Risk::Safe, change);
        for (name, sources) in lacking {
            let from = sources.as_ref().map(|sources| sources.join(" "));
            step = step.field(name.clone(), from, nsswitch::SOURCES);
        }
        steps.push(step);
    }
    if !illumos.client.is_some_and(InstanceState::is_online) {
        let from = illumos.client.map(|state| state.state.to_string());
        let was_disabled = illumos.client.is_some_and(|state| state.state == smf::State::Disabled);
        let change = Change::EnableClient { was_disabled };
        let step = PlannedStep::new("enable", DNS_CLIENT, "enable the DNS client", Risk::Safe, change);
        steps.push(step.field("state", from, "online"));
    }
    let cached = illumos.cache.is_some_and(InstanceState::is_online);
    if cached && (!steps.is_empty() || untold) {
        let summary = "drop cached answers and old servers";
        steps.push(PlannedStep::new("restart", NAME_CACHE, summary, Risk::Safe, Change::RestartCache));
    }
}

pub(crate) fn not_ours(who: &str, evidence: &str) -> PluginError {
    let help = if who.contains("NWAM") {
        format!("turn the automatic network off: {}", nwam::TURN_OFF)
    } else if evidence.ends_with(NOT_RUNNING) {
        format!("let it run: systemctl enable --now {}; or remove {RESOLV_CONF}", resolved::UNIT)
    } else if who == "dhclient" {
        "configure the name servers there, or give it a hook with an own make_resolv_conf, dhclient-script(8)"
            .to_owned()
    } else if who == "udhcpc" {
        "configure the name servers there, or write RESOLV_CONF=no into /etc/udhcpc/udhcpc.conf".to_owned()
    } else {
        format!("configure the name servers there, or stop it from writing the file and remove {RESOLV_CONF}")
    };
    PluginError::new(format!("the resolver's configuration belongs to {who}: {evidence}")).help(help)
}

const OPTIONS_UNSUPPORTED: &str = "systemd-resolved, which owns the resolver here, has no resolver options";
const WITHOUT_OPTIONS: &str = "leave network.dns.options out";

fn options_unsupported() -> PluginError {
    PluginError::unsupported(OPTIONS_UNSUPPORTED).help(WITHOUT_OPTIONS)
}

/// A file could not be looked at or changed.
pub(crate) fn file_error(operation: &str, error: FileError) -> PluginError {
    let help = error.help();
    PluginError::new(operation).source(error).maybe_help(help)
}

/// A service could not be asked about or acted on.
pub(crate) fn smf_error(operation: &str, error: SmfError) -> PluginError {
    let help = error.help();
    PluginError::new(operation).source(error).maybe_help(help)
}
