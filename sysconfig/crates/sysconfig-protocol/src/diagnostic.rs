//! Findings about a configuration.

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The configuration cannot be used; nothing of this plugin is applied.
    #[default]
    Error,
    /// The configuration can be used, and probably does not do what was meant.
    Warning,
}

/// One finding of `validate` or `verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diagnostic {
    /// The configuration key, dotted, list items by index: `network.dns.servers[0]`. The daemon turns it into
    /// file, line and column. Empty when the finding is about the whole.
    pub key: String,
    /// What is wrong, as a lowercase fragment.
    pub message: String,
    /// What to write instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// How bad it is; an error unless said otherwise.
    #[serde(default)]
    pub severity: Severity,
}

impl Diagnostic {
    /// An error about `key`.
    pub fn error(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into(), help: None, severity: Severity::Error }
    }

    /// A warning about `key`.
    pub fn warning(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(key, message) }
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Whether it keeps the configuration from being applied.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}
