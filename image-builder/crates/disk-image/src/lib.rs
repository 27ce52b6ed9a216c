//! Disk images as data: GPT, protective MBR, EFI system partition, root partition, sparse output.
//!
//! A [`DiskLayout`] names the partitions, their sizes and a [`Volume`] for the
//! content of each; [`write_disk`] places them, lets every volume write itself
//! into its [`Region`] of a sparse file, and puts the finished file in place by
//! rename. [`esp`], [`root_ext4`] and [`PoolVolume`] are the volumes made here;
//! [`illumos`] puts a pool and what boots it together.
//!
//! The same layout over the same inputs gives the same bytes: identifiers come
//! from a [`DiskSeed`], times from the content, never from a clock. What an
//! external program does to a root file system depends on that program's
//! version as well.
//!
//! The crate never mounts, never uses loop devices and never needs root.

pub mod esp;
mod fat_reader;
pub mod gpt;
mod guid;
pub mod illumos;
mod image_file;
mod layout;
mod pool;
mod qcow2;
mod region;
pub mod root_ext4;
mod volume;
mod write;

pub use fat_reader::{FatReadError, ReadBytes, read_fat_file};
pub use guid::{DiskSeed, Guid, ParseGuidError, partition_guid};
pub use image_file::{ImageFile, ImageStream, OpenImageError, Qcow2ReadError};
pub use layout::{BOOT_CODE_BYTES, DiskLayout, LayoutError, PartitionSize, PartitionSpec};
pub use pool::PoolVolume;
pub use qcow2::{Qcow2Error, convert_qcow2};
pub use region::Region;
pub use volume::{Volume, VolumeContext, VolumeError};
pub use write::{DiskError, DiskReport, PartitionReport, extract_partition, write_bare, write_disk};

/// Changes when the same layout over the same inputs becomes other bytes; part of the key of an image.
pub const LAYOUT_VERSION: u32 = 1;
