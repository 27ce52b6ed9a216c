//! Sequences of integers, of which versions are made.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::{VERSION_BYTES_MAX, VersionError, error};

/// Non-negative integers joined by dots, such as `5.11` or `2024.0.0.1`.
///
/// The integers have no limit: they are kept as text and compared as numbers. A sequence sorts before every
/// longer one that begins with it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DotSequence(Box<str>);

impl DotSequence {
    /// Reads a sequence; the error says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        for part in text.split('.') {
            if part.is_empty() {
                return Err("a part between dots is empty");
            }
            if !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err("a part between dots is no number");
            }
            if part.len() > 1 && part.starts_with('0') {
                return Err("a number has a leading zero");
            }
        }
        Ok(Self(text.into()))
    }

    /// The sequence as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `longer` begins with the numbers of this sequence, or is equal to it.
    #[must_use]
    pub fn is_prefix_of(&self, longer: &Self) -> bool {
        longer.0.strip_prefix(&*self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl Ord for DotSequence {
    fn cmp(&self, other: &Self) -> Ordering {
        // Without leading zeros, the longer of two numbers is the greater.
        let key = |part| (str::len(part), part);
        self.0.split('.').map(key).cmp(other.0.split('.').map(key))
    }
}

impl PartialOrd for DotSequence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for DotSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DotSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DotSequence {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        if text.len() > VERSION_BYTES_MAX {
            return Err(error(text, "it is too long"));
        }
        Self::parse(text).map_err(|reason| error(text, reason))
    }
}
