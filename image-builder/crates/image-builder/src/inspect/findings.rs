//! What `verify` has found.

/// What was found, in words.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) good: Vec<String>,
    pub(super) bad: Vec<String>,
    pub(super) unread: Vec<String>,
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
