//! How a workspace is made and entered: nothing of somebody else may be in the way.

use super::error::WorkspaceError;
use super::{Location, LocationError, Workspace};
use crate::marker;
use crate::output::set_mode;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use workspace_location::Zfs;

impl Workspace {
    /// Opens the workspace, making what is missing.
    ///
    /// A directory is made with mode 0700, because images hold `/etc/shadow`. A dataset must
    /// exist; `output` and `work` below it are made, `work` with `sync=disabled`.
    ///
    /// # Errors
    /// When it is neither there nor can be made; [`WorkspaceError::Owner`] when another user has worked in it;
    /// [`WorkspaceError::Foreign`] when it holds somebody's files where a workspace has its own;
    /// [`WorkspaceError::Filled`] when it is a directory with anything else in it.
    pub fn open(location: &Location) -> Result<Self, WorkspaceError> {
        match location {
            Location::Directory(path) => Self::open_directory(path, false),
            Location::Dataset(name) => Self::open_dataset(name),
        }
    }

    /// The same, for somebody who wants a workspace in a directory though there are other things in it.
    ///
    /// # Errors
    /// As for [`Self::open`], but for the last one.
    pub fn make(location: &Location) -> Result<Self, WorkspaceError> {
        match location {
            Location::Directory(path) => Self::open_directory(path, true),
            Location::Dataset(_) => Self::open(location),
        }
    }

    /// Opens a workspace that has to be there.
    ///
    /// # Errors
    /// As for [`Self::open`]; [`WorkspaceError::Absent`] when it is not there.
    pub fn find(location: &Location) -> Result<Self, WorkspaceError> {
        let looked = Self::look(location)?;
        if !marker::is_workspace(&looked) {
            return Err(WorkspaceError::Absent { root: looked.root });
        }
        Self::open(location)
    }

    fn open_directory(path: &Path, may_fill: bool) -> Result<Self, WorkspaceError> {
        let failed = |source| WorkspaceError::Directory { operation: "enter", path: path.to_owned(), source };
        if let Ok(metadata) = fs::metadata(path) {
            // Its content cannot even be seen, so there is nothing else to blame.
            if fs::read_dir(path).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
                let (path, root) = (path.to_owned(), path.to_owned());
                let user = rustix::process::geteuid().as_raw();
                return Err(WorkspaceError::Owner { path, root, owner: metadata.uid(), user });
            }
        }
        make_private(path)?;
        let root = fs::canonicalize(path).map_err(failed)?;
        let workspace = Self { output: root.join("output"), work: root.join("work"), root };
        workspace.refuse_mixture(rustix::process::geteuid().as_raw())?;
        marker::refuse_foreign(&workspace)?;
        if !may_fill {
            marker::refuse_filled(&workspace)?;
        }
        workspace.make_directories()
    }

    fn open_dataset(name: &str) -> Result<Self, WorkspaceError> {
        let zfs = Zfs::find(name)?;
        let root = zfs.mountpoint(name)?;
        let child = |leaf: &str, wished: &[&str]| -> Result<PathBuf, LocationError> {
            let dataset = format!("{name}/{leaf}");
            if let Some(path) = zfs.mountpoint_if_there(&dataset)? {
                return Ok(path);
            }
            zfs.create(&dataset, wished)?;
            zfs.mountpoint(&dataset)
        };
        let output = child("output", &[])?;
        // The property `sync` is younger than ZFS; without it scratch files are only slower.
        let work = child("work", &["sync=disabled"])?;
        let workspace = Self { root, output, work };
        workspace.refuse_mixture(rustix::process::geteuid().as_raw())?;
        marker::refuse_foreign(&workspace)?;
        workspace.make_directories()
    }

    /// Nothing that is written to may belong to another user. Content and records are in directories that were
    /// made with them, so looking at these and at what is directly in them is enough.
    fn refuse_mixture(&self, user: u32) -> Result<(), WorkspaceError> {
        let (store, debian) = (self.store(), self.debian());
        let packages = self.packages();
        let made_here =
            [&self.root.join("lock"), &self.output, &self.work, &store, &debian, &packages].map(Clone::clone);
        let listed =
            [store.clone(), store.join("packs"), store.join("records"), debian.clone(), debian.join("state"), packages];
        let entries = listed.iter().flat_map(|directory| fs::read_dir(directory).into_iter().flatten().flatten());
        for path in made_here.into_iter().chain(entries.map(|entry| entry.path())) {
            let owner = fs::symlink_metadata(&path).map_or(user, |metadata| metadata.uid());
            if owner != user {
                return Err(WorkspaceError::Owner { path, root: self.root.clone(), owner, user });
            }
        }
        Ok(())
    }

    fn make_directories(self) -> Result<Self, WorkspaceError> {
        for path in [self.output.clone(), self.work.clone(), self.store(), self.debian(), self.packages()] {
            make_private(&path)?;
        }
        marker::set(&self)?;
        Ok(self)
    }
}

/// Makes a directory only its owner can enter; one that is there keeps its mode.
fn make_private(path: &Path) -> Result<(), WorkspaceError> {
    let failed = |source| WorkspaceError::Directory { operation: "make", path: path.to_owned(), source };
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    set_mode(path, 0o700).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::name_of;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_is_made_private() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let location = Location::Directory(parent.path().join("a/images"));
        let workspace = Workspace::open(&location).expect("it is made");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&parent.path().join("a/images")), mode(workspace.output())), (0o700, 0o700));
        Workspace::open(&location).expect("it is opened again");
    }

    /// Files of root in a user's workspace were errors of the store, one by one.
    #[test]
    fn a_workspace_in_which_another_user_has_worked_is_refused_with_the_way_out() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let workspace = Workspace::open(&Location::Directory(parent.path().join("images"))).expect("it is made");
        let own = rustix::process::geteuid().as_raw();
        workspace.refuse_mixture(own).expect("it is ours");
        for (user, way_out) in [(own + 4242, format!("sudo chown -R {}: ", own + 4242)), (0, "sudo -u ".to_owned())] {
            if user == own {
                continue;
            }
            let error = workspace.refuse_mixture(user).expect_err("it is another user's");
            let (text, help) = (error.to_string(), error.help().expect("a way out"));
            assert!(text.contains(&format!("output belongs to {}, and", name_of(own))), "{text}");
            assert!(help.contains(&way_out) && help.contains("-d ./images-"), "{help}");
        }
    }

    #[test]
    fn looking_makes_nothing() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let location = Location::Directory(parent.path().join("images"));
        let looked = Workspace::look(&location).expect("it need not be there");
        assert!(!looked.root().exists());
        assert_eq!(looked.output(), Workspace::open(&location).expect("it is made").output());
    }
}
