//! Policy: what of a share is copied. No I/O but through a reader.

mod git_index;
mod glob;
mod rules;

pub use git_index::{IndexError, TrackedFiles, read_index};
pub use glob::{Glob, GlobError};
pub(crate) use glob::{is_literal, name_matches};
pub use rules::{DEFAULT_EXCLUDES, DEFAULT_EXECUTABLES, OWN_DIRECTORY, Rules};
