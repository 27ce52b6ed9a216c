//! Why a text is no manifest.

use super::kind::ActionKind;

/// A violation of the grammar of manifests, with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct ManifestError {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// What is wrong there.
    pub kind: ManifestErrorKind,
}

/// What is wrong in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestErrorKind {
    /// The bytes are no UTF-8.
    #[error("the text is not UTF-8")]
    NotUtf8,
    /// The manifest is longer than [`MANIFEST_BYTES_MAX`](super::MANIFEST_BYTES_MAX).
    #[error("the manifest has more than {max} bytes", max = super::MANIFEST_BYTES_MAX)]
    TooLong,
    /// An action is longer than [`ACTION_BYTES_MAX`](super::ACTION_BYTES_MAX).
    #[error("the action has more than {max} bytes", max = super::ACTION_BYTES_MAX)]
    ActionTooLong,
    /// There are more actions than [`ACTIONS_MAX`](super::ACTIONS_MAX).
    #[error("the manifest has more than {max} actions", max = super::ACTIONS_MAX)]
    TooManyActions,
    /// The first word is no kind of action.
    #[error("there is no action `{name}`")]
    UnknownKind {
        /// The word.
        name: String,
    },
    /// A word is no `name=value`, and no hash can stand there.
    #[error("`{word}` is not an attribute: `name=value` is wanted")]
    NotAnAttribute {
        /// The word.
        word: String,
    },
    /// The name of an attribute is empty or has characters that it cannot have.
    #[error("`{name}` cannot be the name of an attribute")]
    BadName {
        /// The name.
        name: String,
    },
    /// Nothing follows the `=`. An empty value is written `""`.
    #[error("attribute `{name}` has no value; an empty one is written `\"\"`")]
    NoValue {
        /// The attribute.
        name: String,
    },
    /// A quote is not closed before the line ends.
    #[error("the quote is not closed")]
    OpenQuote,
    /// Text follows a closing quote without a blank.
    #[error("there is text right after a closing quote")]
    TextAfterQuote,
    /// A payload hash stands where there is no payload.
    #[error("a `{kind}` action has no payload, but a hash is given")]
    HashWithoutPayload {
        /// The kind of the action.
        kind: ActionKind,
    },
    /// There are two payload hashes.
    #[error("the action has two payload hashes")]
    TwoHashes,
    /// An attribute that names the object is missing.
    #[error("`{kind}` action has no attribute `{name}`")]
    Missing {
        /// The kind of the action.
        kind: ActionKind,
        /// The attribute.
        name: &'static str,
    },
    /// An attribute that names the object stands twice.
    #[error("`{kind}` action has more than one value for `{name}`")]
    Repeated {
        /// The kind of the action.
        kind: ActionKind,
        /// The attribute.
        name: &'static str,
    },
    /// A value to be written has a line break.
    #[error("the value of `{name}` has a line break, which no manifest can hold")]
    LineBreak {
        /// The attribute.
        name: String,
    },
    /// A single action was wanted.
    #[error("one action is wanted here")]
    NotOneAction,
}
