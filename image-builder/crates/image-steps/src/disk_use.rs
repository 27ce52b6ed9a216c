//! What a workspace occupies on the disk.

use crate::workspace::{Location, Workspace, WorkspaceError};
use serde::Serialize;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes that the parts of a workspace occupy; holes of images are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DiskUse {
    /// Images and archives, with what lies beside them.
    pub output: u64,
    /// Results of steps and their contents: what `gc` makes smaller and `clean` removes.
    pub cache: u64,
    /// Package files and locks of Debian roots.
    pub debian: u64,
    /// Locks of IPS packages; what was fetched is part of the cache.
    pub packages: u64,
    /// What a build that is under way, or was killed, has not finished.
    pub work: u64,
}

/// Finds out what a workspace occupies. One that is not there occupies nothing.
///
/// # Errors
/// When it is no workspace, or a directory in it cannot be read.
pub fn disk_use(location: &Location) -> Result<DiskUse, WorkspaceError> {
    let workspace = Workspace::look(location)?;
    Ok(DiskUse {
        output: occupied(workspace.output())?,
        cache: occupied(&workspace.store())?,
        debian: occupied(&workspace.debian())?,
        packages: occupied(&workspace.packages())?,
        work: occupied(workspace.work())?,
    })
}

fn occupied(directory: &Path) -> Result<u64, WorkspaceError> {
    let failed = |source| WorkspaceError::Directory { operation: "measure", path: directory.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(failed)?,
    };
    let mut bytes = 0;
    for entry in entries {
        let entry = entry.map_err(failed)?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes += occupied(&entry.path())?,
            // `st_blocks` counts 512 bytes, whatever the file system's blocks are: stat(2).
            Ok(metadata) => bytes += metadata.blocks() * 512,
            // A build that goes on meanwhile removes what it does not need any more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(bytes)
}
