//! Why the steps of a template could not be run.

use crate::steps::{self, StepError};
use crate::target::DAMAGED_CACHE;
use image_tree::{LoadError, StoreError};
use template::{Diagnostic, LocatedStep};

/// A build stopped.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A step failed; the diagnostic points at it.
    #[error("{}", _0.message())]
    Step(Box<Diagnostic>),
    /// The cache cannot be read or written.
    #[error("cannot {operation} the build cache")]
    Cache {
        /// What was being done.
        operation: &'static str,
        /// The store's reason.
        #[source]
        source: StoreError,
    },
    /// The store lacks content that a step needs.
    #[error("content of an earlier build is not there any more")]
    Lost(#[source] Box<StepError>),
    /// A state that the cache knows is not whole in the store.
    #[error("cannot take up the result of an earlier build")]
    Load(#[source] LoadError),
}

impl EngineError {
    /// How to go on.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Step(diagnostic) => diagnostic.help_text().map(str::to_owned),
            Self::Load(_) => Some(DAMAGED_CACHE.to_owned()),
            Self::Cache { .. } | Self::Lost(_) => steps::help_of_cause(self),
        }
    }
}

/// What the store says when the cache cannot be used, with what was being done.
pub(crate) fn cache(operation: &'static str) -> impl Fn(StoreError) -> EngineError {
    move |source| EngineError::Cache { operation, source }
}

/// An error with everything behind it, in one sentence.
pub(super) fn all_reasons(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        message.push_str(": ");
        message.push_str(&inner.to_string());
        cause = inner.source();
    }
    message
}

pub(super) fn failed(located: &LocatedStep, error: &StepError) -> EngineError {
    let mut diagnostic = Diagnostic::error("step::failed", all_reasons(error)).at(&located.origin, "this step");
    if let Some(help) = error.help() {
        diagnostic = diagnostic.help(help);
    }
    EngineError::Step(Box::new(diagnostic))
}
