//! What a plugin says about itself.
//!
//! A description is exchanged before a version is agreed, so unknown members are ignored here.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::PROTOCOL_VERSION;

/// The versions of the protocol that a peer speaks, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolRange {
    /// The oldest version.
    pub min: u32,
    /// The newest version.
    pub max: u32,
}

impl ProtocolRange {
    /// What this crate speaks.
    pub const SUPPORTED: Self = Self { min: PROTOCOL_VERSION, max: PROTOCOL_VERSION };

    /// The newest version that both ranges hold.
    pub fn common_with(self, other: Self) -> Option<u32> {
        let newest = self.max.min(other.max);
        (newest >= self.min.max(other.min)).then_some(newest)
    }
}

/// A part of the configuration that a plugin owns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The dotted key, e.g. `system.hostname`. Everything below it belongs to the plugin as well.
    pub key: String,
    /// JSON Schema of the key's value, for editors and for people; the plugin's `validate` is what decides.
    #[serde(default)]
    pub schema: Value,
}

/// Where a plugin's steps belong among those of other plugins. Names that no plugin has are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Names of plugins whose steps come before.
    #[serde(default)]
    pub after: Vec<String>,
    /// Names of plugins whose steps come later.
    #[serde(default)]
    pub before: Vec<String>,
}

/// The answer to `hello`, and what `--describe` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// The plugin's name: what follows `sysconfig-plugin-` in its file's name.
    pub name: String,
    /// The plugin's version, by semantic versioning.
    pub version: String,
    /// What the plugin says about its build. The daemon shows the hash of the file's contents instead, which
    /// cannot be forgotten or wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    /// The protocol versions that the plugin speaks.
    pub protocol: ProtocolRange,
    /// The parts of the configuration that it owns.
    pub claims: Vec<Claim>,
    /// Where its steps belong.
    #[serde(default)]
    pub order: Order,
    /// Optional abilities: [`capability`] names those that the daemon knows; others are ignored.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Topics of other plugins' events that it wants to be told of.
    #[serde(default)]
    pub events: Vec<String>,
}

/// The abilities that the daemon knows.
pub mod capability {
    /// `undo` is implemented.
    pub const UNDO: &str = "undo";
    /// `check` is implemented.
    pub const CHECK: &str = "check";
}

impl Description {
    /// A description of the plugin `name` that claims nothing yet, in version `0.0.0`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: "0.0.0".to_owned(),
            build_id: None,
            protocol: ProtocolRange::SUPPORTED,
            claims: Vec::new(),
            order: Order::default(),
            capabilities: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Sets the version, usually `env!("CARGO_PKG_VERSION")` of the plugin's crate.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Sets what the plugin says about its build.
    #[must_use]
    pub fn build_id(mut self, build_id: impl Into<String>) -> Self {
        self.build_id = Some(build_id.into());
        self
    }

    /// Claims the configuration key `key`; `schema` is the JSON Schema of its value.
    #[must_use]
    pub fn claim(mut self, key: impl Into<String>, schema: Value) -> Self {
        self.claims.push(Claim { key: key.into(), schema });
        self
    }

    /// Puts this plugin's steps after those of `plugin`.
    #[must_use]
    pub fn after(mut self, plugin: impl Into<String>) -> Self {
        self.order.after.push(plugin.into());
        self
    }

    /// Puts this plugin's steps before those of `plugin`.
    #[must_use]
    pub fn before(mut self, plugin: impl Into<String>) -> Self {
        self.order.before.push(plugin.into());
        self
    }

    /// Adds an ability, see [`capability`].
    #[must_use]
    pub fn capability(mut self, name: impl Into<String>) -> Self {
        self.capabilities.push(name.into());
        self
    }

    /// Asks for other plugins' events on `topic`.
    #[must_use]
    pub fn subscribe(mut self, topic: impl Into<String>) -> Self {
        self.events.push(topic.into());
        self
    }

    /// Whether the plugin says that it has the ability.
    pub fn has_capability(&self, name: &str) -> bool {
        self.capabilities.iter().any(|capability| capability == name)
    }
}
