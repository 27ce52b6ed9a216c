//! Why a plugin could not do what it was asked.

use std::error::Error;
use std::fmt;

use sysconfig_protocol::ErrorObject;
use sysconfig_protocol::envelope::code;

/// An operation of a plugin failed.
///
/// The message says which operation on which object, as a lowercase fragment without its causes; the causes are
/// the source chain, and advice is kept apart, so that the daemon and `sysconfigctl` can show each in its place.
#[derive(Debug)]
pub struct PluginError {
    message: String,
    help: Option<String>,
    code: i64,
    origin: Option<Origin>,
}

type Boxed = Box<dyn Error + Send + Sync>;

/// Another error that this one comes from.
#[derive(Debug)]
enum Origin {
    /// The next in the chain.
    Cause(Boxed),
    /// Its message is this one's, and its source the next in the chain.
    Same(Boxed),
}

impl fmt::Display for PluginError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl Error for PluginError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self.origin.as_ref()? {
            Origin::Cause(cause) => Some(&**cause),
            Origin::Same(same) => same.source(),
        }
    }
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
        Self { message: message.into(), help: None, code, origin: None }
    }

    /// An operation failed, and its error says already which operation on which object.
    pub fn from_error(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let error = error.into();
        Self { message: error.to_string(), help: None, code: code::FAILED, origin: Some(Origin::Same(error)) }
    }

    /// Adds the cause.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.origin = Some(Origin::Cause(source.into()));
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
    #[must_use]
    pub fn to_error_object(&self) -> ErrorObject {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_is_taken_over_is_told_once() {
        let cause = PluginError::new("cannot read /etc/motd").source(std::io::Error::other("disk on fire"));
        for error in [PluginError::from_error(cause), PluginError::new("cannot read /etc/motd").source("disk on fire")]
        {
            assert_eq!(error.to_error_object().chain(), "cannot read /etc/motd: disk on fire");
        }
    }
}
