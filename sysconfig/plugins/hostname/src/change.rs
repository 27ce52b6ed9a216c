//! The steps of the plugin, forwards and backwards.

use crate::{file_error, name_error};
use serde::{Deserialize, Serialize};
use sysconfig_platform::files::{self, Written};
use sysconfig_platform::{FileError, Host, hostname, hosts};
use sysconfig_plugin::{Context, Level, Outcome, PluginError};

/// One change of the machine, with what was there before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Change {
    /// Keep a name for the next boot.
    Persist {
        /// The name.
        name: String,
        /// The name that was kept before.
        previous: Option<String>,
        /// The file before, byte for byte, comments and all; none when there was none, or in what an older version has noted.
        #[serde(default)]
        previous_bytes: Option<Vec<u8>>,
    },
    /// Make these our rows of the hosts file.
    Rows {
        /// The rows.
        rows: Vec<String>,
        /// Our rows before.
        previous: Vec<String>,
    },
    /// Run under a name.
    Run {
        /// The name.
        name: String,
        /// The name before.
        previous: String,
    },
}

impl Change {
    pub(crate) fn apply(&self, host: &Host, context: &Context) -> Result<Outcome, PluginError> {
        match self {
            Self::Persist { name, .. } => {
                back_up_persistent(host, context)?;
                persist(host, name)
            }
            Self::Rows { rows, .. } => {
                back_up_hosts(host, context)?;
                write_rows(host, rows)
            }
            Self::Run { name, .. } => run(host, name),
        }
    }

    pub(crate) fn undo(&self, host: &Host) -> Result<Outcome, PluginError> {
        match self {
            Self::Persist { previous: Some(previous), previous_bytes: None, .. } => persist(host, previous),
            Self::Persist { previous_bytes, .. } => {
                let path = hostname::persistent_path(host.system());
                files::set(&host.root, path, previous_bytes.as_deref())
                    .map(outcome)
                    .map_err(|error| file_error("cannot take the kept host name back", error))
            }
            Self::Rows { previous, .. } => write_rows(host, previous),
            Self::Run { previous, .. } => run(host, previous),
        }
    }
}

fn persist(host: &Host, name: &str) -> Result<Outcome, PluginError> {
    hostname::set_persistent(host, name)
        .map(outcome)
        .map_err(|error| name_error("cannot keep the host name for the next boot", error))
}

fn run(host: &Host, name: &str) -> Result<Outcome, PluginError> {
    let operation = "cannot change the running host name";
    let running = hostname::running(host).map_err(|error| name_error(operation, error))?;
    if running == name {
        return Ok(Outcome::AlreadySo);
    }
    hostname::set_running(host, name).map_err(|error| name_error(operation, error))?;
    Ok(Outcome::Changed)
}

fn write_rows(host: &Host, rows: &[String]) -> Result<Outcome, PluginError> {
    let write = || -> Result<Written, FileError> {
        let present = files::read(&host.root, hosts::HOSTS)?;
        let content = hosts::with_rows(host.system(), present.as_deref(), rows);
        files::replace(&host.root, hosts::HOSTS, &content)
    };
    write().map(outcome).map_err(|error| file_error("cannot change our rows of the hosts file", error))
}

/// Keeps a hosts file that has never had a row of ours.
fn back_up_hosts(host: &Host, context: &Context) -> Result<(), PluginError> {
    let is_foreign = |content: &str| hosts::marked(content).is_empty();
    back_up(host, hosts::HOSTS, is_foreign, context)
}

/// Keeps a file that says more than a name, for example in comments; a bare name is in the journal anyway.
fn back_up_persistent(host: &Host, context: &Context) -> Result<(), PluginError> {
    let says_more = |content: &str| {
        let name = hostname::parse_persistent(content).unwrap_or_default();
        content.trim() != name
    };
    back_up(host, hostname::persistent_path(host.system()), says_more, context)
}

fn back_up(host: &Host, path: &str, is_worth_it: impl Fn(&str) -> bool, context: &Context) -> Result<(), PluginError> {
    let failed = |error| file_error("cannot keep a copy of the file before changing it", error);
    let content = files::read_text(&host.root, path).map_err(failed)?;
    if !content.is_some_and(|content| is_worth_it(&content)) {
        return Ok(());
    }
    if let Some(backup) = files::back_up_once(&host.root, path).map_err(failed)? {
        context.log(Level::Info, format!("{path} as it was is kept as {}", backup.display()));
    }
    Ok(())
}

fn outcome(written: Written) -> Outcome {
    Outcome::changed_if(written == Written::Changed)
}
