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

/// Whether a file that (unpacked) begins with these bytes is an archive, also one from before ustar, which has no magic.
#[must_use]
pub fn is_tar_header(head: &[u8]) -> bool {
    let has_magic = head.get(257..262) == Some(b"ustar");
    has_magic || head.first_chunk().is_some_and(header::checksum_is_right)
}
