//! The steps of the plugin, forwards and backwards.

use crate::{file_error, not_ours, owner, smf_error, target_of, untold};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use sysconfig_platform::files::{self, Written};
use sysconfig_platform::resolver::{DNS_CLIENT, NAME_CACHE, Owner, RESOLV_CONF, ResolverSettings, nsswitch, resolved};
use sysconfig_platform::smf::{self, Verb};
use sysconfig_platform::{FileError, Host, System, systemd};
use sysconfig_plugin::{Context, Level, Outcome, PluginError};

/// How long the DNS client may take to come online, unless the daemon waits less; it has nothing to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// One change of the machine, with what was there before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Change {
    /// Configure the resolver.
    Settings {
        /// Where.
        target: Target,
        /// What it shall do.
        settings: ResolverSettings,
        /// The file before; none when there was none.
        previous: Option<String>,
        /// The same byte for byte, when it is no UTF-8.
        #[serde(default)]
        previous_bytes: Option<Vec<u8>>,
    },
    /// Make host lookups ask DNS, by illumos' name service switch.
    Switch {
        /// The sources of the databases that change, as they were; `None` for a missing row.
        previous: BTreeMap<String, Option<String>>,
    },
    /// Enable illumos' DNS client.
    EnableClient {
        /// Whether it was disabled, and not waiting or failed.
        was_disabled: bool,
    },
    /// Restart illumos' name service cache.
    RestartCache,
}

/// The file that holds the resolver's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// `/etc/resolv.conf`.
    ResolvConf,
    /// Our drop-in file for systemd-resolved.
    ResolvedDropIn,
}

impl Target {
    /// The path of the file.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::ResolvConf => RESOLV_CONF,
            Self::ResolvedDropIn => resolved::DROP_IN,
        }
    }
}

impl Change {
    pub(crate) fn apply(&self, host: &Host, context: &Context) -> Result<Outcome, PluginError> {
        match self {
            Self::Settings { target, settings, .. } => write_settings(host, *target, settings, context),
            Self::Switch { .. } => write_switch(host, context),
            Self::EnableClient { .. } => enable_client(host, context),
            Self::RestartCache => restart_cache(host),
        }
    }

    pub(crate) fn undo(&self, host: &Host, context: &Context) -> Result<Outcome, PluginError> {
        // Steps are undone from the last to the first, so the restart comes too early to forget what was cached
        // under the undone settings.
        let dropping_cache = |outcome| drop_cached(host).map(|()| outcome);
        match self {
            Self::Settings { target, settings, previous, previous_bytes } => {
                let previous = previous_bytes.as_deref().or(previous.as_deref().map(str::as_bytes));
                restore_settings(host, (*target, settings), previous, context).and_then(dropping_cache)
            }
            Self::Switch { previous } => restore_switch(host, previous).and_then(dropping_cache),
            Self::EnableClient { was_disabled: true } => {
                let operation = "cannot disable the DNS client again";
                smf::act(host, Verb::Disable, DNS_CLIENT).map_err(|error| smf_error(operation, error))?;
                Ok(Outcome::Changed)
            }
            Self::EnableClient { was_disabled: false } => Ok(Outcome::AlreadySo),
            Self::RestartCache => Ok(Outcome::AlreadySo),
        }
    }
}

fn write_settings(
    host: &Host,
    target: Target,
    settings: &ResolverSettings,
    context: &Context,
) -> Result<Outcome, PluginError> {
    let operation = "cannot configure the resolver";
    // Time has passed since the plan, and what belongs to somebody else now must not be overwritten.
    let owner = owner(host)?;
    if let Owner::Other { who, evidence } = &owner {
        return Err(not_ours(who, evidence));
    }
    if target_of(&owner) != target {
        return Err(
            PluginError::new("the resolver has changed hands since the plan was made").help("plan and apply again")
        );
    }
    if let Owner::LeftBehind { who } = &owner {
        let message = format!("{RESOLV_CONF} was written by {who}, which does not run here; taking it over");
        context.log(Level::Info, message);
    }
    if owner != Owner::Us && target == Target::ResolvConf {
        back_up(host, RESOLV_CONF, context)?;
    }
    match target {
        Target::ResolvConf => {
            let write = || {
                let written = files::replace(&host.root, RESOLV_CONF, settings.format().as_bytes());
                written.map(outcome).map_err(|error| file_error(operation, error))
            };
            if has_cache(host)? { untold::noting(host, &Outcome::AlreadySo, write) } else { write() }
        }
        Target::ResolvedDropIn => {
            let was_untold = untold::is_noted(host).map_err(|error| file_error(operation, error))?;
            let written = untold::noting(host, &Outcome::AlreadySo, || {
                let content = resolved::format(settings);
                let written = files::make_directory(&host.root, resolved::DIRECTORY)
                    .and_then(|()| files::replace(&host.root, resolved::DROP_IN, content.as_bytes()));
                written.map(outcome).map_err(|error| file_error(operation, error))
            })?;
            reload_resolved(host)?;
            untold::strike_out(host)?;
            Ok(if was_untold { Outcome::Changed } else { written })
        }
    }
}

/// Puts the file back, unless it is somebody else's by now.
fn restore_settings(
    host: &Host,
    (target, settings): (Target, &ResolverSettings),
    previous: Option<&[u8]>,
    context: &Context,
) -> Result<Outcome, PluginError> {
    let failed = |error| file_error("cannot restore the resolver", error);
    let present = files::read(&host.root, target.path()).map_err(failed)?;
    let text = present.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let is_of_step = match target {
        Target::ResolvConf => ResolverSettings::parse(&text) == *settings && owner(host)? == Owner::Us,
        Target::ResolvedDropIn => resolved::parse(&text) == *settings,
    };
    if present.as_deref() != previous && !is_of_step {
        let path = target.path();
        context.log(Level::Warn, format!("{path} stays as it is: somebody has changed it meanwhile"));
        return Ok(Outcome::AlreadySo);
    }
    let written = files::set(&host.root, target.path(), previous).map_err(failed)?;
    if target == Target::ResolvedDropIn {
        reload_resolved(host)?;
        untold::strike_out(host)?;
    }
    Ok(outcome(written))
}

/// Also for a file that is already so: whoever wrote it may have died before this.
fn reload_resolved(host: &Host) -> Result<(), PluginError> {
    systemd::reload(host, resolved::UNIT)
        .map_err(|error| PluginError::new("cannot make systemd-resolved read its configuration").source(error))
}

fn write_switch(host: &Host, context: &Context) -> Result<Outcome, PluginError> {
    back_up(host, nsswitch::NSSWITCH, context)?;
    let write = || -> Result<Written, FileError> {
        let present = match files::read(&host.root, nsswitch::NSSWITCH)? {
            Some(content) => Some(content),
            None => files::read(&host.root, nsswitch::TEMPLATE)?,
        };
        let content = nsswitch::with_dns(present.as_deref());
        files::replace(&host.root, nsswitch::NSSWITCH, &content)
    };
    let write = || write().map(outcome).map_err(|error| file_error("cannot change the name service switch", error));
    if has_cache(host)? { untold::noting(host, &Outcome::AlreadySo, write) } else { write() }
}

fn restore_switch(host: &Host, previous: &BTreeMap<String, Option<String>>) -> Result<Outcome, PluginError> {
    let write = || -> Result<Written, FileError> {
        let present = files::read(&host.root, nsswitch::NSSWITCH)?.unwrap_or_default();
        let content = nsswitch::with_sources(&present, previous);
        files::replace(&host.root, nsswitch::NSSWITCH, &content)
    };
    write().map(outcome).map_err(|error| file_error("cannot restore the name service switch", error))
}

fn enable_client(host: &Host, context: &Context) -> Result<Outcome, PluginError> {
    let operation = "cannot enable the DNS client";
    let failed = |error| smf_error(operation, error);
    let state = smf::state(host, DNS_CLIENT).map_err(failed)?;
    if state.is_some_and(smf::InstanceState::is_online) {
        return Ok(Outcome::AlreadySo);
    }
    let patience = context.remaining().map_or(PATIENCE, |left| left.min(PATIENCE));
    smf::bring_online(host, DNS_CLIENT, patience).map_err(failed)?;
    Ok(Outcome::Changed)
}

fn restart_cache(host: &Host) -> Result<Outcome, PluginError> {
    let operation = "cannot restart the name service cache";
    smf::act(host, Verb::Restart, NAME_CACHE).map_err(|error| smf_error(operation, error))?;
    untold::strike_out(host)?;
    Ok(Outcome::Changed)
}

/// Restarts the name service cache where there is one that runs.
fn drop_cached(host: &Host) -> Result<(), PluginError> {
    if has_cache(host)? {
        restart_cache(host)?;
    }
    Ok(())
}

fn has_cache(host: &Host) -> Result<bool, PluginError> {
    if host.system() != System::Illumos {
        return Ok(false);
    }
    let failed = |error| smf_error("cannot look at the name service cache", error);
    Ok(smf::state(host, NAME_CACHE).map_err(failed)?.is_some_and(smf::InstanceState::is_online))
}

fn back_up(host: &Host, path: &str, context: &Context) -> Result<(), PluginError> {
    let operation = "cannot keep a copy of the file before changing it";
    let backup = files::back_up_once(&host.root, path).map_err(|error| file_error(operation, error))?;
    if let Some(backup) = backup {
        context.log(Level::Info, format!("{path} as it was is kept as {}", backup.display()));
    }
    Ok(())
}

fn outcome(written: Written) -> Outcome {
    Outcome::changed_if(written == Written::Changed)
}
