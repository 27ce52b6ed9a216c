//! What a run that was killed has left half made. Only the holder of the workspace's lock removes it.
//!
//! A workspace may be a directory that people use for other things, too. So only names that this program gives are
//! removed, and none in a directory that was never made a workspace; see [`crate::workspace::Workspace`].

use crate::debian;
use crate::target::{self, EXTENSIONS};
use crate::workspace::{Workspace, WorkspaceError};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How many letters and digits the `tempfile` crate puts at the end of a name.
const RANDOM: usize = 6;

/// Gives images their names whose forms were complete, but did not all have them yet, and removes what is unfinished.
///
/// Only for the one that has just taken the lock: nobody else in this process may be putting forms in place.
pub(crate) fn take_up(workspace: &Workspace) -> Result<(), WorkspaceError> {
    for complete in entries(workspace.output(), is_complete).map_err(failed)? {
        // A file of that name is somebody else's.
        if fs::symlink_metadata(&complete).is_ok_and(|metadata| metadata.is_dir()) {
            target::put_in_place(&complete).map_err(|source| WorkspaceError::TakeUp(Box::new(source)))?;
        }
    }
    remove_unfinished(workspace)
}

/// Removes scratch directories, files under construction, and directories outside of the workspace. What is complete stays
/// as it is, so that this may be done beside a build, for the end of it.
pub(crate) fn remove_unfinished(workspace: &Workspace) -> Result<(), WorkspaceError> {
    remove_entries(workspace.work(), is_scratch).map_err(failed)?;
    remove_entries(workspace.output(), is_unfinished).map_err(failed)?;
    for locks in [workspace.debian(), workspace.packages()] {
        remove_entries(&locks, |name| is_temporary(name, target::WRITING)).map_err(failed)?;
    }
    debian::remove_leftovers(&workspace.debian());
    Ok(())
}

fn failed((path, source): (PathBuf, io::Error)) -> WorkspaceError {
    WorkspaceError::Directory { operation: "tidy up", path, source }
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
    let is_archive = [".packing-", target::WRITING].iter().any(|prefix| is_temporary(name, prefix));
    is_archive || name.strip_suffix(".tmp").is_some_and(is_image)
}

/// Whether an entry of the output directory has an image in it all forms of which are complete.
pub(crate) fn is_complete(name: &str) -> bool {
    is_temporary(name, target::COMPLETE)
}

fn is_temporary(name: &str, prefix: &str) -> bool {
    let random = name.strip_prefix(prefix);
    random.is_some_and(|random| random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Removes each entry whose name `matches`; one that is gone meanwhile is fine.
fn remove_entries(directory: &Path, matches: impl Fn(&str) -> bool) -> Result<(), (PathBuf, io::Error)> {
    let remove = |path: &Path| {
        let is_directory = fs::symlink_metadata(path)?.is_dir();
        if is_directory { fs::remove_dir_all(path) } else { fs::remove_file(path) }
    };
    for path in entries(directory, matches)? {
        match remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err((path, error)),
            _ => {}
        }
    }
    Ok(())
}

/// The entries of a directory whose names match.
fn entries(directory: &Path, matches: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let failed = |error| (directory.to_owned(), error);
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if matches(&entry.file_name().to_string_lossy()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Location;

    #[test]
    fn only_names_that_are_given_here_are_taken_for_ours() {
        for (name, scratch, unfinished, complete) in [
            ("root-ext4-a1B2c3", true, false, false),
            (".tmpa1B2c3", true, false, false),
            ("root-ext4-notes", false, false, false),
            ("root-ext4-a1B2c3.bak", false, false, false),
            ("thesis", false, false, false),
            (".packing-a1B2c3", false, true, false),
            (".writing-a1B2c3", false, true, false),
            ("cloudimage-x.raw.tmp", false, true, false),
            ("cloudimage-x.qcow2.tmp", false, true, false),
            ("cloudimage-x.partonly.tmp", false, true, false),
            ("chapter1.tmp", false, false, false),
            ("chapter1.doc.tmp", false, false, false),
            (".packing-list", false, false, false),
            ("x.raw", false, false, false),
            (".complete-a1B2c3", false, false, true),
            (".complete-list", false, false, false),
            (".complete-a1B2c3.bak", false, false, false),
            ("g-n.complete-a1B2c3", false, false, false),
        ] {
            let found = (is_scratch(name), is_unfinished(name), is_complete(name));
            assert_eq!(found, (scratch, unfinished, complete), "{name}");
        }
    }

    /// Every command in the workspace failed, and none said how to go on.
    #[test]
    fn what_is_in_the_way_of_a_complete_image_is_named_and_what_only_looks_like_one_is_left_alone() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let workspace = Workspace::open(&Location::Directory(directory.path().to_owned())).expect("a workspace");
        let path = |name: &str| workspace.output().join(name);
        fs::write(path(".complete-d4E5f6"), "somebody's").expect("a file");
        for directory in [".complete-a1B2c3", "g-n.partonly"] {
            fs::create_dir(path(directory)).expect("a directory");
        }
        for name in ["g-n.raw", ".complete-a1B2c3/g-n.raw", ".complete-a1B2c3/g-n.partonly"] {
            fs::write(path(name), name).expect("a file");
        }
        let error = take_up(&workspace).expect_err("a directory is in the way");
        let cause = std::error::Error::source(&error).expect("a cause").to_string();
        let way_out = format!("move {} away", path("g-n.partonly").display());
        assert!(cause.contains("g-n.partonly cannot be written: a directory is there"), "{cause}");
        assert!(error.help().expect("a way out").starts_with(&way_out), "{:?}", error.help());
        assert_eq!(fs::read_to_string(path("g-n.raw")).expect("the old one"), "g-n.raw", "nothing was begun");

        fs::rename(path("g-n.partonly"), path("moved")).expect("it is moved away");
        take_up(&workspace).expect("nothing is in the way");
        for name in ["g-n.raw", "g-n.partonly"] {
            assert_eq!(fs::read_to_string(path(name)).expect(name), format!(".complete-a1B2c3/{name}"));
        }
        assert!(path(".complete-d4E5f6").is_file() && !path(".complete-a1B2c3").exists());
    }
}
