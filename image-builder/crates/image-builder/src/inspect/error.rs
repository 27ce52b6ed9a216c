//! Why an image cannot be looked into.

use disk_image::{OpenImageError, Qcow2ReadError};
use std::io;
use std::path::{Path, PathBuf};
use zfs_image::reader::ReadError;

/// An image, or something in it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InspectError {
    #[error(transparent)]
    Open(#[from] OpenImageError),
    #[error("the partition table of {} is damaged: {problem}", path.display())]
    Table { path: PathBuf, problem: String, is_cut_short: bool },
    #[error("{} has no ZFS pool: {found}", path.display())]
    NoPool { path: PathBuf, found: String },
    #[error("the pool in {}", path.display())]
    Pool {
        path: PathBuf,
        #[source]
        source: ReadError,
    },
    #[error("{what} in {}", path.display())]
    Inside {
        path: PathBuf,
        what: String,
        #[source]
        source: ReadError,
    },
    #[error("{what} in {} is a directory", path.display())]
    Directory { path: PathBuf, what: String },
    #[error("{what} in {} is no regular file", path.display())]
    NotRegular { path: PathBuf, what: String },
    #[error("{} is a gzip file without a tar archive, which is not read here", path.display())]
    Gzip { path: PathBuf },
    #[error("cannot make a temporary directory")]
    Temporary(#[source] io::Error),
    #[error("cannot read archive {}", path.display())]
    Archive {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{what} in archive {}", path.display())]
    InArchive {
        path: PathBuf,
        what: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{} is an archive, which has no dataset {dataset}", path.display())]
    NoDatasets { path: PathBuf, dataset: String },
    #[error("{} is an archive, and {} is none", archive.display(), other.display())]
    Unlike { archive: PathBuf, other: PathBuf },
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write to standard output")]
    Output {
        #[source]
        source: io::Error,
    },
}

impl InspectError {
    /// An archive cannot be read.
    pub(crate) fn archive(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Archive { path: path.to_owned(), source: Box::new(source) }
    }

    /// Whether the image is there and damaged, and not merely something else than was expected.
    pub(crate) fn is_damage(&self) -> bool {
        let is_damaged_file =
            matches!(self, Self::Open(OpenImageError::Qcow2 { source: Qcow2ReadError::Damaged { .. }, .. }));
        matches!(self, Self::Table { .. }) || is_damaged_file || self.is_cut_short()
    }

    fn is_cut_short(&self) -> bool {
        match self {
            Self::Table { is_cut_short, .. } => *is_cut_short,
            Self::Pool { source, .. } => matches!(source, ReadError::CutShort { .. }),
            Self::Open(OpenImageError::Qcow2 { source, .. }) => matches!(source, Qcow2ReadError::CutShort { .. }),
            _ => false,
        }
    }

    /// How to go on.
    pub(crate) fn help(&self) -> Option<String> {
        match self {
            // Where standard output goes has nothing to do with a workspace and its builds.
            Self::Output { source } if source.kind() == io::ErrorKind::StorageFull => {
                Some("make room: the file system that standard output goes to is full".to_owned())
            }
            _ if self.is_cut_short() => Some("copy or build it again; the file is not complete".to_owned()),
            Self::Open(OpenImageError::Form { path, .. }) => {
                Some(format!("`qemu-img convert -O qcow2 {0} {0}.qcow2` makes a copy that is read", path.display()))
            }
            Self::NoPool { .. } => {
                Some("only ZFS pools are read; `image-builder ls IMAGE` lists the partitions".to_owned())
            }
            Self::Inside { source: ReadError::NotFound(_), path, .. } => {
                Some(format!("`image-builder ls {}` lists the datasets", path.display()))
            }
            Self::NoDatasets { path, .. } => {
                Some(format!("`image-builder ls {} PATH` is all there is", path.display()))
            }
            Self::InArchive { path, .. } => Some(format!("`image-builder ls -R {}` lists all of it", path.display())),
            Self::Gzip { .. } => Some("unpack it with `gunzip --keep`, and look into what comes out".to_owned()),
            Self::Temporary(_) => Some("set TMPDIR to a directory that can be written".to_owned()),
            Self::Directory { .. } => Some("`image-builder ls` lists it".to_owned()),
            _ => None,
        }
    }
}
