//! Finding plugins: which files count, when a changed file is taken, and the private copies that are started.
//!
//! The directories are polled, because no file events come through 9P or from a mirror. A poll reads directory
//! entries and file attributes only; contents are read when a file changed and two polls in a row saw the same.
//! Nothing here starts a plugin or talks to one.

mod abi;
mod finding;
mod look;
mod scan;
mod sighting;
mod store;
mod watch;

pub use abi::System;
pub use finding::{Candidate, Finding, FindingKey};
pub use scan::{Scanner, Search, plugin_name};
pub use store::{CopyStore, PrivateCopy, StoreError};
pub use watch::{Attention, FirstLook, Watch, watch};
