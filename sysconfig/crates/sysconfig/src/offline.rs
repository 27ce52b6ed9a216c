//! What plugins think of a configuration, without a daemon and without touching the machine.
//!
//! Each plugin is started from its own file, greeted, asked to validate its part, and ended. `validate` looks at nothing
//! but the configuration, so this says the same on a build host as in the guest. A configuration of the machine that this
//! runs on is compared with it as well, by the plugins that can (`check`).

mod start;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sysconfig_protocol::admin::{Failure, Problem};
use sysconfig_protocol::describe::capability;
use sysconfig_protocol::method::{Call, Check, ClaimedConfig, Findings, Validate};
use sysconfig_protocol::{Claim, Description, Diagnostic, Severity};

use crate::clock;
use crate::config::{Configuration, Deadlines, assign, own_schema};
use crate::discovery::Search;
use crate::engine::{unowned_problem, within};
use crate::plugin::{CallError, PluginProcess};

pub use start::PluginFiles;

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

/// Which machine a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// This one.
    ThisMachine,
    /// Another one, of which nothing is known but the configuration.
    Another,
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
    missing: BTreeMap<PathBuf, String>,
    settings: Deadlines,
    // Holds the scanner's copies, which nobody runs.
    _scratch: tempfile::TempDir,
}

impl Plugins {
    /// Starts what is there. Warnings of plugins go to standard error.
    ///
    /// # Errors
    ///
    /// When there is no temporary directory.
    pub fn start(search: Search, settings: &Deadlines) -> Result<Self, OfflineError> {
        PluginFiles::look(search)?.start(settings)
    }

    /// The plugins that were found, in the order of their names.
    pub fn found(&self) -> &[Looked] {
        &self.looked
    }

    /// Which directories cannot be looked at, by what the system says.
    pub fn missing(&self) -> &BTreeMap<PathBuf, String> {
        &self.missing
    }

    /// What is wrong with a configuration: keys without an owner, and what the owners say.
    pub fn judge(&mut self, config: &Configuration, target: Target) -> Vec<Problem> {
        let claims: Vec<_> = self.claims().map(|(name, claim)| (name.to_owned(), claim.key.clone())).collect();
        let assignment = assign(&config.machine, &claims);
        let unusable = self.looked.iter().filter(|looked| looked.description.is_err());
        let down: Vec<_> = unusable.map(|looked| looked.name.as_str()).collect();
        let unowned = assignment.unowned.iter();
        let mut problems: Vec<_> = unowned.map(|unowned| unowned_problem(config, unowned, &claims, &down)).collect();
        for looked in &mut self.looked {
            let description = match &looked.description {
                Ok(description) => description,
                Err(failure) => {
                    problems.push(of_plugin(&looked.name, failure.clone(), Severity::Warning));
                    continue;
                }
            };
            let is_compared = target == Target::ThisMachine && description.has_capability(capability::CHECK);
            if let (Some(process), Some(part)) = (looked.process.as_mut(), assignment.parts.get(&looked.name)) {
                let mut asked = Asked { config, name: &looked.name, process, problems: &mut problems };
                let is_sound = asked.validate(part, &self.settings);
                if is_sound && is_compared {
                    asked.check(part, &self.settings);
                }
            }
        }
        problems
    }

    /// JSON Schema of the configuration, for editors, with what each plugin says of its keys.
    pub fn schema(&self) -> Value {
        schema(self.claims().map(|(_, claim)| claim))
    }

    fn claims(&self) -> impl Iterator<Item = (&str, &Claim)> {
        let described = self.looked.iter().filter_map(|looked| Some((looked, looked.description.as_ref().ok()?)));
        described
            .flat_map(|(looked, description)| description.claims.iter().map(move |claim| (looked.name.as_str(), claim)))
    }
}

impl Drop for Plugins {
    /// Ends all of them at the same time, because each may take its whole grace.
    fn drop(&mut self) {
        let grace = self.settings.stop;
        std::thread::scope(|scope| {
            for process in self.looked.iter_mut().filter_map(|looked| looked.process.take()) {
                // Without a thread for it, the process is dropped, which kills it.
                drop(std::thread::Builder::new().spawn_scoped(scope, move || process.stop(grace)));
            }
        });
    }
}

/// A plugin that is asked what it thinks of its part of a configuration.
struct Asked<'a> {
    config: &'a Configuration,
    name: &'a str,
    process: &'a mut PluginProcess,
    problems: &'a mut Vec<Problem>,
}

impl Asked<'_> {
    /// Whether the part is one that the plugin accepts.
    fn validate(&mut self, part: &ClaimedConfig, deadlines: &Deadlines) -> bool {
        self.ask(&Validate { config: part.clone() }, deadlines.answer, Severity::Error)
    }

    /// Whether it fits this machine. Where the plugin cannot say, it may do so all the same.
    fn check(&mut self, part: &ClaimedConfig, deadlines: &Deadlines) {
        let call = Check { config: part.clone(), deadline_ms: clock::as_ms(deadlines.observe) };
        self.ask(&call, deadlines.observe, Severity::Warning);
    }

    fn ask<C: Call<Answer = Findings>>(&mut self, call: &C, deadline: Duration, of_failure: Severity) -> bool {
        match self.process.call(call, deadline) {
            Ok(Findings { diagnostics }) => {
                self.problems.extend(diagnostics.iter().map(|found| of_part(self.config, self.name, found)));
                !diagnostics.iter().any(Diagnostic::is_error)
            }
            Err(error) => {
                let help = match &error {
                    CallError::Refused(refused) => refused.data.as_ref().and_then(|data| data.help.clone()),
                    CallError::Fault(_) => None,
                };
                let failure = Failure { message: format!("{}: {error}", C::METHOD), help };
                self.problems.push(of_plugin(self.name, failure, of_failure));
                false
            }
        }
    }
}

/// JSON Schema of a file of the configuration, for editors: the daemon's own tables, and what is claimed.
///
/// An editor sees one file, and what is missing from a table there may be in another one. So no table that is merged has
/// keys that are required; lists, which are not merged, have theirs.
pub fn schema<'a>(claims: impl IntoIterator<Item = &'a Claim>) -> Value {
    let mut root = Map::new();
    for (table, schema) in own_schema() {
        root.insert(table.to_owned(), schema);
    }
    for claim in claims {
        let mut schema = if claim.schema.is_null() { json!({}) } else { claim.schema.clone() };
        require_nothing(&mut schema);
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

fn require_nothing(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    members.remove("required");
    if let Some(Value::Object(tables)) = members.get_mut("properties") {
        tables.values_mut().for_each(require_nothing);
    }
    for choice in ["anyOf", "allOf"] {
        if let Some(Value::Array(schemas)) = members.get_mut(choice) {
            schemas.iter_mut().for_each(require_nothing);
        }
    }
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
