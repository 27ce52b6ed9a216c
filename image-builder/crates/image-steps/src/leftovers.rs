//! What a run that was killed has left half made. Only the holder of the workspace's lock removes it.
//!
//! A workspace may be a directory that people use for other things, too. So only names that this program gives are
//! removed, and none in a directory that was never made a workspace; see [`crate::workspace::Workspace`].

use crate::debian;
use crate::target::EXTENSIONS;
use crate::workspace::{Workspace, WorkspaceError};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How many letters and digits the `tempfile` crate puts at the end of a name.
const RANDOM: usize = 6;

/// Removes scratch directories, files under construction, and directories outside of the workspace.
pub(crate) fn remove(workspace: &Workspace) -> Result<(), WorkspaceError> {
    let failed = |(path, source)| WorkspaceError::Directory { operation: "tidy up", path, source };
    remove_entries(workspace.work(), is_scratch).map_err(failed)?;
    remove_entries(workspace.output(), is_unfinished).map_err(failed)?;
    for locks in [workspace.debian(), workspace.packages()] {
        remove_entries(&locks, |name| is_temporary(name, ".writing-")).map_err(failed)?;
    }
    debian::remove_leftovers(&workspace.debian());
    Ok(())
}

/// Whether an entry of the scratch directory was made by this program: a directory in which the root's file system is
/// put together, or a file that only lacks a name where the system can make such files.
pub(crate) fn is_scratch(name: &str) -> bool {
    is_temporary(name, disk_image::root_ext4::SCRATCH_PREFIX) || is_temporary(name, ".tmp")
}

/// Whether an entry of the output directory is one under construction: an archive, or an image, which is named like
/// the finished one with `.tmp` at the end.
pub(crate) fn is_unfinished(name: &str) -> bool {
    let is_image = |name: &str| {
        let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
    };
    let is_archive = [".packing-", ".writing-"].iter().any(|prefix| is_temporary(name, prefix));
    is_archive || name.strip_suffix(".tmp").is_some_and(is_image)
}

fn is_temporary(name: &str, prefix: &str) -> bool {
    let random = name.strip_prefix(prefix);
    random.is_some_and(|random| random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_given_here_are_taken_for_ours() {
        for (name, scratch, unfinished) in [
            ("root-ext4-a1B2c3", true, false),
            (".tmpa1B2c3", true, false),
            ("root-ext4-notes", false, false),
            ("root-ext4-a1B2c3.bak", false, false),
            ("thesis", false, false),
            (".packing-a1B2c3", false, true),
            (".writing-a1B2c3", false, true),
            ("cloudimage-x.raw.tmp", false, true),
            ("cloudimage-x.qcow2.tmp", false, true),
            ("cloudimage-x.partonly.tmp", false, true),
            ("chapter1.tmp", false, false),
            ("chapter1.doc.tmp", false, false),
            (".packing-list", false, false),
            ("x.raw", false, false),
        ] {
            assert_eq!((is_scratch(name), is_unfinished(name)), (scratch, unfinished), "{name}");
        }
    }
}
