//! Tar archives in and out.

mod attribute;
mod error;
mod fields;
mod header;
mod input;
mod pax;
mod place;
mod read;
mod sparse;
mod write;

pub use error::{TarError, TarErrorKind, TarWarning, TarWarningKind, WriteTarError};
pub use read::{ReadTarOptions, Unpacked, read_tar};
pub use write::{WriteTarOptions, write_tar};
