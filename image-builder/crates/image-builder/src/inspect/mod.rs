//! Looking into finished images: `ls`, `cat`, `diff`, `verify`.
//!
//! Images are raw or qcow2 files, with a partition table or as a bare pool, or tar archives. Inside, ZFS pools are read by our own
//! reader; of other partitions only the boot loaders are read, and each verb says so.

mod about;
mod archive;
mod archive_files;
mod boot;
mod boot_walk;
mod compare;
mod contents;
mod difference;
mod error;
mod findings;
mod image;
mod listing;
mod long;
mod overview;
mod place;
mod provenance;
mod verify;
mod walk;

pub(crate) use archive::is_archive;
pub(crate) use compare::diff;
pub(crate) use contents::cat;
pub(crate) use error::InspectError;
pub(crate) use image::Image as DiskImage;
pub(crate) use listing::ls;
pub(crate) use long::shown;
pub(crate) use place::Place as ImagePlace;
pub(crate) use verify::verify;
pub(crate) use walk::{Found, join, walk_below};
