//! Tells whether an executable can run on a guest: ELF machine, system, interpreter, glibc versions.
//!
//! [`inspect`] reads an executable, [`Guest::from_libc`] a guest's C library;
//! [`Executable::check`] compares the two. The [`Mismatch`] that it answers says
//! what is wrong, and [`Mismatch::help`] names the build that would be right.
//!
//! The crate does no I/O: callers have the bytes from a file, an image or an
//! archive. Input is hostile: every offset and count is checked, and damage is
//! an error, never a panic or a long loop.

mod dynamic;
mod error;
mod file;
mod glibc;
mod guest;
mod inspect;
mod notes;
mod versions;

pub use error::ElfError;
pub use file::{Class, Machine};
pub use glibc::{Glibc, GlibcVersion};
pub use guest::{Guest, Mismatch, libc_candidates};
pub use inspect::{Executable, ObjectKind, Os, inspect};
pub use versions::{VersionNeed, defined_versions};
