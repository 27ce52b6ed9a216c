//! The commands `zpool` and `zfs`, of illumos and of OpenZFS on Linux, for the plugins of storage.
//!
//! Each module has builders of argument vectors, readers over `&str`, and functions that act on a [`Host`]. Only what both
//! systems have is used: `-H` and `-p`, never JSON, which illumos has not. There is no function that
//! destroys anything, and `-f` is given only on request: whoever requests it has two permissions.
//!
//! What should be so, and what to do about it, is the plugins' business.

mod error;
#[cfg(feature = "fake")]
pub mod fake;
pub mod properties;
pub mod zfs;
pub mod zpool;

pub use error::ZfsError;
pub use properties::{Properties, Property, Source};

use sysconfig_platform::{Host, Invocation, System};

/// The invocation of `zpool` or `zfs`, wherever the machine has it.
///
/// illumos has them in `/usr/sbin`; on Linux distributions disagree, and what comes first of the usual places is it.
fn invocation<A: Into<String>>(host: &Host, program: &str, args: impl IntoIterator<Item = A>) -> Invocation {
    let places: &[&str] = match host.system {
        System::Illumos => &["/usr/sbin"],
        System::Linux => &["/usr/sbin", "/sbin", "/usr/local/sbin"],
    };
    let paths: Vec<_> = places.iter().map(|place| format!("{place}/{program}")).collect();
    let found = paths.iter().find(|path| host.root.exists(path).unwrap_or(false));
    Invocation::new(found.unwrap_or(&paths[0]), args)
}
