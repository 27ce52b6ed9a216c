//! Names of machines and snapshots.

use std::fmt;
use std::str::FromStr;

/// The longest name: it becomes a part of file names and of the process title.
const MAX_LENGTH: usize = 48;

/// The name of a machine or of a snapshot: letters, digits, `.`, `_` and `-`, not starting with `.` or `-`.
///
/// Such a name is safe as a part of a file name and in a hypervisor's options.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VmName(String);

/// A name that could not be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("`{name}` cannot be a name")]
#[diagnostic(help("use 1 to 48 letters, digits, `.`, `_` and `-`; a letter, digit or `_` comes first"))]
pub struct NameError {
    name: String,
}

impl VmName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VmName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        if first && name.len() <= MAX_LENGTH && name.chars().all(allowed) {
            Ok(Self(name.to_owned()))
        } else {
            Err(NameError { name: name.to_owned() })
        }
    }
}

impl fmt::Display for VmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::VmName;

    #[test]
    fn only_safe_names_are_names() {
        for name in ["dev", "a", "_x", "oi-2.b_c", "9"] {
            assert!(name.parse::<VmName>().is_ok(), "{name}");
        }
        let long = "a".repeat(49);
        for name in ["", ".", "..", "-x", ".x", "a/b", "a b", "a,b", "ä", &long] {
            assert!(name.parse::<VmName>().is_err(), "{name}");
        }
    }
}
