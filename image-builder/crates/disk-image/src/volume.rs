//! What fills a partition.

use std::error::Error;
use std::io;
use std::path::Path;

use zfs_image::writer::WriteError;

use crate::Region;
use crate::esp::EspError;
use crate::gpt::SectorSize;
use crate::root_ext4::Ext4Error;

/// Where a volume is being written.
#[derive(Debug, Clone, Copy)]
pub struct VolumeContext<'a> {
    /// Bytes of a logical sector of the disk.
    pub sector_size: SectorSize,
    /// The partition's first sector.
    pub first_lba: u64,
    /// A directory for scratch files, on a file system with room for the volume.
    pub work: &'a Path,
}

/// The content of a partition, which knows how much room it needs and how to write itself.
pub trait Volume {
    /// Bytes of the smallest partition that holds the content.
    ///
    /// # Errors
    /// When the content cannot be measured.
    fn minimum_bytes(&self, sector_size: SectorSize) -> Result<u64, VolumeError>;

    /// Bytes of a partition that holds the content and leaves about `free` bytes to the guest.
    ///
    /// # Errors
    /// When the content cannot be measured.
    fn preferred_bytes(&self, sector_size: SectorSize, free: u64) -> Result<u64, VolumeError> {
        Ok(self.minimum_bytes(sector_size)?.saturating_add(free))
    }

    /// Writes the content; `region` reads as zeros and stays a hole where nothing is written.
    ///
    /// Called once. Answers how many bytes of content the region now holds.
    ///
    /// # Errors
    /// When the content does not fit, cannot be read, or a program failed.
    fn write(&mut self, region: &mut Region<'_>, context: &VolumeContext<'_>) -> Result<u64, VolumeError>;
}

/// A volume could not be measured or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// An EFI system partition.
    #[error(transparent)]
    Esp(#[from] EspError),
    /// An ext4 root file system.
    #[error(transparent)]
    Ext4(#[from] Ext4Error),
    /// A ZFS pool.
    #[error(transparent)]
    Pool(Box<WriteError>),
    /// The boot blocks of a pool's partition.
    #[error("cannot write the boot blocks")]
    BootBlocks {
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A volume made outside this crate.
    #[error(transparent)]
    Other(Box<dyn Error + Send + Sync>),
}

impl VolumeError {
    /// What the user can do about it, where that is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Ext4(error) => error.help(),
            Self::Esp(_) | Self::Pool(_) | Self::BootBlocks { .. } | Self::Other(_) => None,
        }
    }
}
