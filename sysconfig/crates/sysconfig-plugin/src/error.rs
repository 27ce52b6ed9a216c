//! Why a plugin could not do what it was asked.

use std::error::Error;

use sysconfig_protocol::ErrorObject;
use sysconfig_protocol::envelope::code;

/// An operation of a plugin failed.
///
/// The message says which operation on which object, as a lowercase fragment without its causes; the causes are
/// the source chain, and advice is kept apart, so that the daemon and `sysconfigctl` can show each in its place.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PluginError {
    message: String,
    help: Option<String>,
    code: i64,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl PluginError {
    /// An operation was tried and failed.
    pub fn new(message: impl Into<String>) -> Self {
        Self::with_code(code::FAILED, message)
    }

    /// The operation is not available from this plugin, or on this system.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::with_code(code::UNSUPPORTED, message)
    }

    /// The operation was given up because [`crate::Context::is_cancelled`] said so.
    pub fn cancelled(message: impl Into<String>) -> Self {
        Self::with_code(code::CANCELLED, message)
    }

    fn with_code(code: i64, message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, code, source: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds what the operator can do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds what the operator can do about it, where that is known.
    #[must_use]
    pub fn maybe_help(self, help: Option<impl Into<String>>) -> Self {
        match help {
            Some(help) => self.help(help),
            None => self,
        }
    }

    /// The advice, if there is one.
    pub fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The error as it goes over the wire.
    pub(crate) fn to_error_object(&self) -> ErrorObject {
        let causes = causes(self);
        let object = ErrorObject::new(self.code, self.message.clone());
        let object = if causes.is_empty() { object } else { object.causes(causes) };
        match &self.help {
            Some(help) => object.help(help.clone()),
            None => object,
        }
    }
}

/// The messages of an error's sources, the nearest first.
pub(crate) fn causes(error: &dyn Error) -> Vec<String> {
    let mut messages = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        messages.push(cause.to_string());
        next = cause.source();
    }
    messages
}
