//! What a run that was killed has left half made. Only the holder of the workspace's lock removes it.

use crate::debian;
use crate::workspace::{Workspace, WorkspaceError};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How files begin that get their name when they are complete.
const UNFINISHED: [&str; 2] = [".packing-", ".writing-"];

/// Removes everything in the scratch directory, files under construction, and directories outside of the workspace.
pub(crate) fn remove(workspace: &Workspace) -> Result<(), WorkspaceError> {
    let failed = |(path, source)| WorkspaceError::Directory { operation: "tidy up", path, source };
    // An image under construction is named like the image, with `.tmp` at the end.
    let is_unfinished = |name: &str| name.ends_with(".tmp") || UNFINISHED.iter().any(|mark| name.starts_with(mark));
    remove_entries(workspace.work(), |_| true).map_err(failed)?;
    remove_entries(workspace.output(), is_unfinished).map_err(failed)?;
    remove_entries(&workspace.debian(), |name| name.starts_with(".writing-")).map_err(failed)?;
    debian::remove_leftovers(&workspace.debian());
    Ok(())
}

fn remove_entries(directory: &Path, matches: impl Fn(&str) -> bool) -> Result<(), (PathBuf, io::Error)> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |error| (path, error)
    };
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        let entry = entry.map_err(failed(directory))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(failed(directory))?);
        if !matches(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let removed = if kind.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err((path, error)),
            _ => {}
        }
    }
    Ok(())
}
