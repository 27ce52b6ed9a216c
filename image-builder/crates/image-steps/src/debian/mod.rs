//! The root of a Debian guest, made from the package archive of a Debian-like host.
//!
//! Two phases, so that the same inputs give the same bytes and a second build
//! needs no network. *Resolving* asks the host's own `apt` which packages the
//! wish comes to, downloads them and writes their names, versions and digests
//! to a [`Lock`]. *Building* hands just these files to `mmdebstrap` as an
//! archive of its own, and reads the tar that comes out straight into the
//! content store. Only the first phase reaches outside; it runs when there is
//! no lock, or when a new one is asked for.

mod apt;
mod architecture;
mod bootstrap;
mod error;
mod lock;
mod scratch;

pub(crate) use architecture::unsupported;
pub use bootstrap::Bootstrap;
pub use error::BootstrapError;
pub use lock::{Lock, LockedPackage};
pub(crate) use scratch::{end_making, remove_leftovers};
