//! Why an image could not be written.

use super::datasets::DatasetError;
use crate::steps::{StepError, help_of_cause};
use disk_image::illumos::IllumosDiskError;
use disk_image::{DiskError, Qcow2Error, VolumeError};
use image_tree::{LoadError, StoreError};
use std::io;
use std::path::PathBuf;
use template::Diagnostic;

/// The image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The state cannot be read back.
    #[error("cannot read the finished state from the content store")]
    State(#[source] LoadError),
    /// A file of the EFI system partition cannot be read back.
    #[error("cannot read a file of the EFI system partition from the content store")]
    Content(#[source] StoreError),
    /// What was done cannot be remembered.
    #[error("cannot remember the finished image {path}")]
    Remember {
        /// The image.
        path: PathBuf,
        /// Why not.
        #[source]
        source: StoreError,
    },
    /// The disk could not be written; an older image is as it was.
    #[error("cannot write image {path}")]
    Disk {
        /// The image.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<DiskError>,
    },
    /// The content of a partition cannot be put together.
    #[error("cannot put a partition together")]
    Volume(#[source] VolumeError),
    /// The finished file cannot be looked at.
    #[error("cannot finish image {path}")]
    File {
        /// The image.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A directory is where a file of the image is to be.
    #[error("{path} cannot be written: a directory is there")]
    InTheWay {
        /// The directory.
        path: PathBuf,
    },
    /// What the template asks for is not possible with this content; the diagnostic points at it.
    #[error("{}", _0.message())]
    Template(Box<Diagnostic>),
    /// The files cannot be divided among the datasets of a pool.
    #[error(transparent)]
    Datasets(#[from] DatasetError),
    /// The pool is not a possible one.
    #[error("the pool cannot be written")]
    Pool(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What boots the pool cannot be put onto the disk.
    #[error("cannot make {path} bootable")]
    Illumos {
        /// The image.
        path: PathBuf,
        /// Why not.
        #[source]
        source: IllumosDiskError,
    },
    /// The boot archive cannot be brought up to date.
    #[error("cannot bring the boot archive up to date")]
    BootArchive(#[source] StepError),
    /// The image cannot be had in another form that is asked for; all forms of an older one are as they were.
    #[error("cannot convert the finished image")]
    Convert(#[source] Qcow2Error),
    /// The ISO 9660 image cannot be written.
    #[error("cannot write image {path}")]
    Iso {
        /// The image.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<iso_image::IsoError>,
    },
    /// This kind of image is not written yet.
    #[error("{target} images cannot be written yet")]
    Unsupported {
        /// The target's word.
        target: &'static str,
    },
}

impl TargetError {
    /// How to go on.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Disk { source, .. } => source.help(),
            Self::Volume(source) => source.help(),
            Self::Template(diagnostic) => diagnostic.help_text().map(str::to_owned),
            Self::Datasets(source) => source.help(),
            Self::BootArchive(source) => source.help(),
            Self::Convert(source) => source.help(),
            Self::InTheWay { path } => Some(format!("move {} away; then this goes on", path.display())),
            Self::State(_) => Some(DAMAGED_CACHE.to_owned()),
            _ => help_of_cause(self),
        }
    }
}

/// What to do about a state that cannot be read back.
pub(crate) const DAMAGED_CACHE: &str =
    "`image-builder clean` with the same -d removes the cache; all that is in it can be made again, and images stay";
