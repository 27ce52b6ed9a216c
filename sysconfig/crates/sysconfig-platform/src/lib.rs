//! What plugins need from the operating system, one module per facility, for illumos and Linux.
//!
//! Each module has three layers, usable one by one: parsers over `&str`,
//! builders of argument vectors, and functions that act on a [`Host`]. A
//! `Host` is the system's kind, its root directory, the seam through which
//! programs run and the seam to the kernel's node name. Every module is
//! compiled on every system, so the illumos half is tested on Linux against
//! [`fake::illumos::Machine`](fake), a simulated machine with state.
//!
//! The crate refuses to decide: what should be so, and what to do about it,
//! is the plugins' business. It knows no configuration and no protocol.

#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod files;
mod host;
pub mod hostname;
pub mod hosts;
pub mod nwam;
pub mod resolver;
mod root;
mod rows;
mod runner;
pub mod smf;
pub mod systemd;

pub use files::FileError;
pub use host::{Host, System};
pub use process_runner::CommandError;
pub use root::Root;
pub use rows::Rows;
pub use runner::{Completed, Invocation, ProcessRunner, Runner};
