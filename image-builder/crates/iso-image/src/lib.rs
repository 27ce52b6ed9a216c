//! ISO 9660 images, written from an image tree without any program of the host.
//!
//! [`IsoImage::new`] names and places everything; [`IsoImage::write`] then streams the image from front to back, the
//! contents straight from the content store. The same tree gives the same bytes.
//!
//! What comes out is what `mkisofs -N -l -R -U -d -D -allow-multidot -no-iso-translate -c .catalog` makes: names as
//! they are, without versions, cut at 31 bytes; Rock Ridge for owners, modes, times, long names, links and devices;
//! directories as deep as they are; El Torito entries without emulation for a BIOS (with its boot information table)
//! and for UEFI, and a hybrid master boot record for USB sticks.
//!
//! Layout facts: ECMA-119 (ISO 9660), SUSP 1.12 and RRIP 1.12 (IEEE P1281 and P1282; the image announces
//! `RRIP_1991A`, which illumos' hsfs asks for), the El Torito specification 1.0, and for the master boot record
//! illumos-gate's `installboot`. `format` modules hold layout only: `fields`, `descriptor`, `record`, `rock_ridge`,
//! `el_torito`, `hybrid`; `plan` is policy, `write` is I/O.

mod descriptor;
mod el_torito;
mod error;
mod fields;
mod hybrid;
mod names;
mod plan;
mod record;
mod rock_ridge;
mod write;

pub use el_torito::BootImage;
pub use error::IsoError;
pub use hybrid::Hybrid;
pub use plan::{IsoImage, IsoOptions};
pub use write::IsoReport;

/// Bytes of a sector, which is also the logical block.
pub const SECTOR_BYTES: u64 = 2048;
