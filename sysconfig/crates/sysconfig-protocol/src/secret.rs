//! A string that never shows itself.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is shown in place of a secret.
pub const REDACTED: &str = "***";

/// A password, key or token from the configuration.
///
/// Its `Debug` prints `***`, it has no `Display`, and reading it takes the explicit [`Secret::expose`]. It
/// serialises as the text itself, because a plugin must be given it; whatever is logged or stored goes through
/// `Debug` or [`crate::Step::redacted`] instead.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text. Never log, store or put it into an error.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}
