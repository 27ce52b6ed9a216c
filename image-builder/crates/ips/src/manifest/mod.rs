//! Manifests: the list of actions that a package consists of.
//!
//! One action stands on a line; the module documents the grammar where it reads it (`parse`) and
//! `docs/formats/ips.md` as a whole.

mod action;
mod error;
mod kind;
mod parse;
mod payload;
mod print;
mod signed;

use std::fmt;
use std::str::FromStr;

pub use action::{Action, AttributeError};
pub use error::{ManifestError, ManifestErrorKind};
pub use kind::ActionKind;
pub use payload::{ContentHasher, FileHash, Payload, PayloadError, parse_hex, to_hex};
pub use signed::signed_texts;

/// The longest manifest that is read, in bytes. The largest published ones have a few megabytes.
pub const MANIFEST_BYTES_MAX: usize = 256 << 20;

/// The longest action that is read, in bytes, continuation lines joined.
pub const ACTION_BYTES_MAX: usize = 4 << 20;

/// The most actions that one manifest may have.
pub const ACTIONS_MAX: usize = 2_000_000;

/// A manifest: actions in the order in which they stand in the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The actions.
    pub actions: Vec<Action>,
}

impl Manifest {
    /// Reads a manifest as it lies in repositories and images.
    ///
    /// # Errors
    /// The first violation of the grammar with its place, text that is no UTF-8, or one of the limits of this module.
    pub fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        parse::manifest(text).map(|actions| Self { actions })
    }

    /// The actions of one kind, in order.
    pub fn of_kind(&self, kind: ActionKind) -> impl Iterator<Item = &Action> {
        self.actions.iter().filter(move |action| action.kind() == kind)
    }

    /// The values of all `set` actions with this name, in order.
    pub fn settings<'m>(&'m self, name: &'m str) -> impl Iterator<Item = &'m str> {
        let set = self.of_kind(ActionKind::Set).filter(move |action| action.get("name") == Some(name));
        set.flat_map(|action| action.values("value"))
    }

    /// The summary: `pkg.summary`, or `description` of old manifests.
    #[must_use]
    pub fn summary(&self) -> Option<&str> {
        self.settings("pkg.summary").next().or_else(|| self.settings("description").next())
    }

    /// Whether the package only says that it is no more.
    #[must_use]
    pub fn is_obsolete(&self) -> bool {
        self.settings("pkg.obsolete").any(is_true)
    }

    /// Whether the package only says which others took its place.
    #[must_use]
    pub fn is_renamed(&self) -> bool {
        self.settings("pkg.renamed").any(is_true)
    }

    /// Puts the actions into the order in which they are executed: by kind, then by the key of the kind.
    pub fn sort(&mut self) {
        self.actions.sort_by(Action::cmp_execution);
    }
}

/// Truth values in manifests are `true` in any case; everything else is false.
#[must_use]
pub fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

impl FromStr for Manifest {
    type Err = ManifestError;

    fn from_str(text: &str) -> Result<Self, ManifestError> {
        Self::parse(text.as_bytes())
    }
}

impl fmt::Display for Manifest {
    /// The canonical text: each action on its line, attributes sorted by name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.actions.iter().try_for_each(|action| writeln!(f, "{action}"))
    }
}
