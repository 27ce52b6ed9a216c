//! For tests: packages that are written down in a few lines, a made-up illumos distribution, and a depot that serves
//! repositories over HTTP, honestly or not.
//!
//! What fails here fails a test, so it panics.

mod answers;
mod depot;
mod distribution;
mod packages;
mod socks;

pub use depot::{Depot, Fault};
pub use distribution::{PACKAGES_MIN, PUBLISHER, openindiana};
pub use packages::{PublishLines, noise};
