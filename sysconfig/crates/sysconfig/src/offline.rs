//! What plugins think of a configuration, without a daemon and without touching the machine.
//!
//! Each plugin is started from its own file, greeted, asked to validate its part, and ended. `validate` looks at nothing
//! but the configuration, so this says the same on a build host as in the guest.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use sysconfig_protocol::admin::{Failure, Problem};
use sysconfig_protocol::method::{Hello, Validate};
use sysconfig_protocol::{Claim, Description, Diagnostic, ProtocolRange, Severity};

use crate::config::{Configuration, LogOutput, LoggingSettings, assign, own_schema};
use crate::discovery::{Candidate, CopyStore, Finding, Scanner, Search, System};
use crate::engine::{unowned_problem, within};
use crate::log::Log;
use crate::plugin::{CallError, Launcher, PluginProcess, Stop};

/// Plugins cannot be asked at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfflineError {
    /// No room for the files that the scanner copies.
    #[error("cannot make a temporary directory")]
    Temporary(#[source] std::io::Error),
    /// The temporary directory cannot be used.
    #[error("cannot use a temporary directory")]
    Store(#[from] crate::service::instance::InstanceError),
}

/// A plugin file that was looked at.
#[derive(Debug)]
pub struct Looked {
    /// The plugin's name.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// What the plugin says about itself, or why it cannot be used here.
    pub description: Result<Description, Failure>,
    process: Option<PluginProcess>,
}

/// The plugins of a path, each started and greeted.
#[derive(Debug)]
pub struct Plugins {
    looked: Vec<Looked>,
    settings: crate::config::Deadlines,
    // Holds the scanner's copies, which nobody runs.
    _scratch: tempfile::TempDir,
}

impl Plugins {
    /// Starts what is there. Warnings of plugins go to standard error.
    ///
    /// # Errors
    ///
    /// When there is no temporary directory.
    pub fn start(search: Search, settings: &crate::config::Deadlines) -> Result<Self, OfflineError> {
        let scratch = tempfile::tempdir().map_err(OfflineError::Temporary)?;
        let store = Arc::new(CopyStore::open(&scratch.path().join("store"))?);
        let log = Log::to_stderr(None);
        let logging = LoggingSettings { level: sysconfig_protocol::Level::Warn, output: LogOutput::Console };
        // Standard error can always be logged to.
        drop(log.configure(&logging));
        let input = std::fs::File::open("/dev/null").map_err(OfflineError::Temporary)?;
        let launcher = Launcher::new(log, input, Stop::default(), settings.stop, |_| ());
        let looked = Scanner::new(search, System::detect(), store)
            .first_look()
            .into_iter()
            .filter_map(|finding| match finding {
                Finding::Candidate(candidate) => Some(greet(&launcher, &candidate, settings)),
                Finding::Refused { name, path, message, help } => {
                    Some(Looked { name, path, description: Err(Failure { message, help }), process: None })
                }
                Finding::Vanished { .. } | Finding::Missing(_) | Finding::ConfigChanged { .. } => None,
            })
            .collect();
        Ok(Self { looked, settings: settings.clone(), _scratch: scratch })
    }

    /// The plugins that were found, in the order of their names.
    pub fn found(&self) -> &[Looked] {
        &self.looked
    }

    /// What is wrong with a configuration: keys without an owner, and what the owners say.
    pub fn judge(&mut self, config: &Configuration) -> Vec<Problem> {
        let claims: Vec<_> = self.claims().map(|(name, claim)| (name.to_owned(), claim.key.clone())).collect();
        let assignment = assign(&config.machine, &claims);
        let mut problems: Vec<_> =
            assignment.unowned.iter().map(|unowned| unowned_problem(config, unowned, &claims)).collect();
        let deadline = self.settings.answer;
        for looked in &mut self.looked {
            match (&looked.description, looked.process.as_mut(), assignment.parts.get(&looked.name)) {
                (Err(failure), ..) => problems.push(of_plugin(&looked.name, failure.clone(), Severity::Warning)),
                (Ok(_), Some(process), Some(part)) => {
                    match process.call(&Validate { config: part.clone() }, deadline) {
                        Ok(findings) => {
                            problems
                                .extend(findings.diagnostics.iter().map(|found| of_part(config, &looked.name, found)));
                        }
                        Err(error) => {
                            let failure = Failure { message: format!("validate: {error}"), help: None };
                            problems.push(of_plugin(&looked.name, failure, Severity::Error));
                        }
                    }
                }
                _ => (),
            }
        }
        problems
    }

    /// JSON Schema of the whole configuration, for editors: the daemon's own tables, and what each plugin says of its
    /// keys.
    pub fn schema(&self) -> Value {
        let mut root = Map::new();
        for (table, schema) in own_schema() {
            root.insert(table.to_owned(), schema);
        }
        for (_, claim) in self.claims() {
            let schema = if claim.schema.is_null() { json!({}) } else { claim.schema.clone() };
            insert(&mut root, &claim.key, schema);
        }
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Configuration of sysconfig: /etc/sysconfig.toml and /etc/sysconfig.d/*.toml",
            "type": "object",
            "properties": root,
            "additionalProperties": false,
        })
    }

    fn claims(&self) -> impl Iterator<Item = (&str, &Claim)> {
        let described = self.looked.iter().filter_map(|looked| Some((looked, looked.description.as_ref().ok()?)));
        described
            .flat_map(|(looked, description)| description.claims.iter().map(move |claim| (looked.name.as_str(), claim)))
    }
}

impl Drop for Plugins {
    fn drop(&mut self) {
        for process in self.looked.iter_mut().filter_map(|looked| looked.process.take()) {
            process.stop(self.settings.stop);
        }
    }
}

fn greet(launcher: &Launcher, candidate: &Candidate, deadlines: &crate::config::Deadlines) -> Looked {
    let (name, path) = (candidate.name.clone(), candidate.path.clone());
    let failed = |message: String| Err(Failure { message, help: None });
    let mut process = match launcher.start(&name, &path) {
        Ok(process) => process,
        Err(error) => {
            let description = failed(format!("{error}: {}", error.source));
            return Looked { name, path, description, process: None };
        }
    };
    let hello = Hello { protocol: ProtocolRange::SUPPORTED, daemon: env!("CARGO_PKG_VERSION").to_owned() };
    let description = match process.call(&hello, deadlines.start) {
        Ok(description) if description.name == name => Ok(description),
        Ok(description) => failed(format!("it says that it is plugin {:?}", description.name)),
        Err(error @ (CallError::Refused(_) | CallError::Fault(_))) => failed(format!("hello: {error}")),
    };
    Looked { name, path, description, process: Some(process) }
}

/// Puts a schema at a dotted key.
fn insert(properties: &mut Map<String, Value>, key: &str, schema: Value) {
    let Some((head, rest)) = key.split_once('.') else {
        properties.insert(key.to_owned(), schema);
        return;
    };
    let table = properties
        .entry(head)
        .or_insert_with(|| json!({ "type": "object", "properties": {}, "additionalProperties": false }));
    // A key above that another plugin claims wholly has no place for this one; the daemon refuses such a pair.
    if let Some(Value::Object(inner)) = table.get_mut("properties") {
        insert(inner, rest, schema);
    }
}

fn of_part(config: &Configuration, plugin: &str, found: &Diagnostic) -> Problem {
    let place = config.place_of(&found.key);
    Problem { place, ..within(plugin, found) }
}

fn of_plugin(name: &str, failure: Failure, severity: Severity) -> Problem {
    let Failure { message, help } = failure;
    Problem { subject: format!("plugin {name}"), message, help, place: None, severity }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_are_put_where_their_keys_are() {
        let mut root = Map::new();
        insert(&mut root, "network.dns", json!({ "type": "object" }));
        insert(&mut root, "network.interface", json!({ "type": "array" }));
        insert(&mut root, "motd", json!({}));
        let network = &root["network"];
        assert_eq!(network["additionalProperties"], false);
        assert_eq!(network["properties"]["dns"]["type"], "object");
        assert_eq!(network["properties"]["interface"]["type"], "array");
        assert_eq!(root["motd"], json!({}));
    }
}
