//! Where a build keeps what it reads and writes: a plain directory, or a ZFS dataset of the host.

use crate::lock::{Holder, busy};
use crate::marker;
use crate::output::set_mode;
use crate::target::TargetError;
use crate::users::name_of;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
pub use workspace_location::{Location, LocationError};
use workspace_location::{Refusal, Zfs};

/// A workspace that is there, with its directories.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
    output: PathBuf,
    work: PathBuf,
}

/// A workspace cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// A directory cannot be made or entered.
    #[error("cannot {operation} workspace directory {path}")]
    Directory {
        /// What was being done.
        operation: &'static str,
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Another process works in it.
    #[error("{}", busy(path, holder.as_ref()))]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// Who that is, as far as it has said so.
        holder: Option<Holder>,
    },
    /// The lock file cannot be used.
    #[error("cannot {operation} {path}")]
    Lock {
        /// What was being done.
        operation: &'static str,
        /// The lock file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Something in it was made by another user, so that it could not be changed, or would become a mixture.
    #[error("{path} belongs to {}, and this program runs as {}", name_of(*owner), name_of(*user))]
    Owner {
        /// What belongs to somebody else.
        path: PathBuf,
        /// The directory of the workspace.
        root: PathBuf,
        /// User id of its owner.
        owner: u32,
        /// User id of this process.
        user: u32,
    },
    /// Files of somebody else are where this program would keep, and remove, its own.
    #[error("{path} was not made by image-builder, so {root} cannot be a workspace")]
    Foreign {
        /// What is in the way.
        path: PathBuf,
        /// The directory that was to be the workspace.
        root: PathBuf,
    },
    /// A directory holds something, and is not marked as a workspace: nobody has said that it is to become one.
    #[error("{root} is no workspace, and not empty: {entry} is in it")]
    Filled {
        /// Something that is in it.
        entry: String,
        /// The directory.
        root: PathBuf,
    },
    /// There is no workspace where one was named.
    #[error("there is no workspace in {root}")]
    Absent {
        /// The directory.
        root: PathBuf,
    },
    /// An image that was complete when a run was killed cannot be put in place.
    #[error("cannot put an image in place that an earlier run has finished")]
    TakeUp(#[source] Box<TargetError>),
    /// A dataset was named that is none to work in.
    #[error(transparent)]
    Location(#[from] LocationError),
}

impl WorkspaceError {
    /// How to go on.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Location(error) => error.help(),
            Self::TakeUp(error) => error.help(),
            Self::Foreign { path, .. } => Some(format!(
                "use a directory that holds nothing else, for instance -d ./images, or move {} away",
                path.display()
            )),
            Self::Filled { root, .. } => Some(format!(
                "use a new directory, for instance -d {}, or say that this one is to be filled: image-builder workspace -d {}",
                root.join("images").display(),
                root.display()
            )),
            Self::Absent { .. } => {
                Some("-d names the workspace that a build was given; `image-builder build` makes one".to_owned())
            }
            Self::Busy { holder, .. } => Some(busy_help(holder.as_ref())),
            Self::Owner { owner, user: 0, .. } => {
                let name = name_of(*owner);
                Some(format!(
                    "run it as that user (sudo -u {name} …), or use another workspace, for instance -d ./images-root"
                ))
            }
            Self::Owner { root, user, .. } => {
                let name = name_of(*user);
                Some(format!(
                    "sudo chown -R {name}: {}, or use another workspace, for instance -d ./images-{name}",
                    root.display()
                ))
            }
            Self::Directory { path, source, .. } | Self::Lock { path, source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => Some(format!(
                    "you may not write there: have it made yours (chown {} {}), or use another workspace, for instance -d ./images",
                    name_of(rustix::process::geteuid().as_raw()),
                    path.display()
                )),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some("make room: the file system is full; -d names another place".to_owned())
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    Some("nothing can be written there; -d names another place".to_owned())
                }
                _ => None,
            },
        }
    }

    /// Whether this user may not work there, and another could.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        match self {
            Self::Owner { .. } => true,
            Self::Location(error) => error.refusal() == Some(Refusal::Permission),
            Self::Directory { source, .. } | Self::Lock { source, .. } => {
                source.kind() == io::ErrorKind::PermissionDenied
            }
            Self::Busy { .. } | Self::Foreign { .. } | Self::Filled { .. } | Self::Absent { .. } | Self::TakeUp(_) => {
                false
            }
        }
    }
}

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

fn busy_help(holder: Option<&Holder>) -> String {
    let end = holder.map_or(String::new(), |holder| format!(", or end it with `kill {}`", holder.pid));
    format!(
        "wait until it has ended, as `build --wait` does{end}; in another workspace, for instance -d ./images-2, both can work at once"
    )
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
