//! A directory for what other users have to read, which the workspace hides from them.
//!
//! `mmdebstrap` works under subordinate ids of the user. A link in the package cache says where the directory is,
//! so that the next run can remove it when this one is killed.

use crate::output::set_mode;
use process_runner::Command;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use workspace_location::find_program;

const PREFIX: &str = "image-builder-";
/// Removing a root of a gigabyte takes seconds.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(300);

/// Whether this process ends. Held while a directory is made: one that came behind the last look for them would stay.
static IS_OVER: Mutex<bool> = Mutex::new(false);

/// The directory, which is removed with the value.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    link: PathBuf,
}

impl Scratch {
    /// Makes the directory, for everybody to read, and below it `tmp`, for everybody to write.
    ///
    /// # Errors
    /// It cannot be made, or the process is [ending](end_making).
    pub(super) fn new(debian: &Path) -> io::Result<Self> {
        let is_over = is_over();
        if *is_over {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let links = links(debian);
        DirBuilder::new().recursive(true).mode(0o700).create(&links)?;
        let make = |path: &Path| {
            let link = links.join(path.file_name().unwrap_or_default());
            symlink(path, &link)?;
            DirBuilder::new().mode(0o755).create(path).map(|()| link.clone()).inspect_err(|_| {
                // Somebody else has a directory of this name.
                let _ = fs::remove_file(&link);
            })
        };
        let (link, path) = tempfile::Builder::new().prefix(PREFIX).make(make)?.into_parts();
        let scratch = Self { path: path.keep().map_err(|error| error.error)?, link };
        let temporary = scratch.temporary();
        fs::create_dir(&temporary)?;
        set_mode(&scratch.path, 0o755)?;
        set_mode(&temporary, 0o1777)?;
        Ok(scratch)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where programs put their own temporary files.
    pub(super) fn temporary(&self) -> PathBuf {
        self.path.join("tmp")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next run.
        let _ = remove(&self.link);
    }
}

fn is_over() -> MutexGuard<'static, bool> {
    IS_OVER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets this process make no more of them; one that is being made is waited for.
pub(crate) fn end_making() {
    *is_over() = true;
}

/// Removes the directories of runs that were killed, as far as that is possible.
pub(crate) fn remove_leftovers(debian: &Path) {
    for entry in fs::read_dir(links(debian)).into_iter().flatten().flatten() {
        let _ = remove(&entry.path());
    }
}

fn links(debian: &Path) -> PathBuf {
    debian.join("scratch")
}

/// Removes a directory, and then the link that says where it is.
fn remove(link: &Path) -> io::Result<()> {
    let path = fs::read_link(link)?;
    let is_ours = |metadata: &fs::Metadata| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw() && name.starts_with(PREFIX)
    };
    let is_there = fs::symlink_metadata(&path).is_ok_and(|metadata| is_ours(&metadata));
    if is_there && fs::remove_dir_all(&path).is_err() {
        remove_as_owner(&path);
        fs::remove_dir_all(&path)?;
    }
    fs::remove_file(link)
}

/// A root that `mmdebstrap` could not remove because it was killed belongs to subordinate ids.
fn remove_as_owner(path: &Path) {
    if let Some(mmdebstrap) = find_program("mmdebstrap") {
        let command = Command::new(mmdebstrap).args(["--unshare-helper", "rm", "-rf", "--"]).arg(path);
        // Whether it has worked is seen by what is left.
        let _ = command.deadline(REMOVAL_DEADLINE).run();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_open_to_everybody_and_leaves_nothing() {
        let debian = tempfile::tempdir().expect("a temporary directory");
        let scratch = Scratch::new(debian.path()).expect("a directory");
        let (path, link) = (scratch.path().to_owned(), scratch.link.clone());
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o7777;
        assert_eq!((mode(&path), mode(&scratch.temporary())), (0o755, 0o1777));
        assert_eq!(fs::read_link(&link).expect("a link"), path);
        fs::write(path.join("tmp/x"), "").expect("a file");
        drop(scratch);
        assert!(!path.exists() && fs::symlink_metadata(&link).is_err());
    }

    #[test]
    fn what_a_killed_run_has_left_is_removed_and_nothing_else() {
        let debian = tempfile::tempdir().expect("a temporary directory");
        let scratch = Scratch::new(debian.path()).expect("a directory");
        let path = scratch.path().to_owned();
        std::mem::forget(scratch);
        let other = debian.path().join("other");
        fs::create_dir(&other).expect("a directory");
        symlink(&other, links(debian.path()).join("x")).expect("a link that is none of ours");
        remove_leftovers(debian.path());
        assert!(!path.exists() && other.exists());
        let left = fs::read_dir(links(debian.path())).expect("it is there").count();
        assert_eq!(left, 0);
    }
}
