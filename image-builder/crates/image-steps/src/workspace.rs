//! Where a build keeps what it reads and writes: a plain directory, or a ZFS dataset of the host.

mod error;
mod open;

pub use error::WorkspaceError;
use std::fs;
use std::path::{Path, PathBuf};
use workspace_location::Zfs;
pub use workspace_location::{Location, LocationError};

/// A workspace that is there, with its directories.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
    output: PathBuf,
    work: PathBuf,
}

impl Workspace {
    /// The workspace as it is, to look at it: nothing is made, and nothing of it need be there.
    ///
    /// # Errors
    /// When a dataset does not exist, may not be looked at, or is not mounted.
    pub fn look(location: &Location) -> Result<Self, WorkspaceError> {
        let root = match location {
            Location::Directory(path) => {
                let failed = |source| WorkspaceError::Directory { operation: "find", path: path.to_owned(), source };
                fs::canonicalize(path).or_else(|_| std::path::absolute(path)).map_err(failed)?
            }
            Location::Dataset(name) => {
                let zfs = Zfs::find(name)?;
                let root = zfs.mountpoint(name)?;
                // One that is not there yet will be mounted below this one.
                let child = |leaf: &str| -> Result<PathBuf, LocationError> {
                    Ok(zfs.mountpoint_if_there(&format!("{name}/{leaf}"))?.unwrap_or_else(|| root.join(leaf)))
                };
                return Ok(Self { output: child("output")?, work: child("work")?, root });
            }
        };
        Ok(Self { output: root.join("output"), work: root.join("work"), root })
    }

    /// The directory that holds everything else.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where finished images and the tar files passed between builds are.
    #[must_use]
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// Where images are while they are being written.
    #[must_use]
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// The content store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// Package files and locks of Debian roots.
    #[must_use]
    pub fn debian(&self) -> PathBuf {
        self.root.join("debian")
    }

    /// Locks of IPS packages.
    #[must_use]
    pub fn packages(&self) -> PathBuf {
        self.root.join("ips")
    }
}
