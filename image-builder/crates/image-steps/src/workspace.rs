//! Where a build keeps what it reads and writes: a plain directory, or a ZFS dataset of the host.

use crate::output::{find_program, set_mode};
use process_runner::{Command, CommandError};
use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What `-d` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A directory: the text began with `/`, `./` or `../`, or was one of `.` and `..`.
    Directory(PathBuf),
    /// A ZFS dataset: everything else.
    Dataset(String),
}

impl Location {
    /// Reads the argument of `-d`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let is_directory = ["/", "./", "../"].iter().any(|prefix| text.starts_with(prefix));
        if is_directory || text == "." || text == ".." {
            Self::Directory(PathBuf::from(text))
        } else {
            Self::Dataset(text.to_owned())
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Dataset(name) => f.write_str(name),
        }
    }
}

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
    /// A dataset was named on a host without ZFS.
    #[error("{dataset} names a ZFS dataset, and this host has no `zfs` command")]
    NoZfs {
        /// The dataset.
        dataset: String,
    },
    /// `zfs` refused.
    #[error("cannot {operation} dataset {dataset}")]
    Zfs {
        /// What was being done.
        operation: &'static str,
        /// The dataset.
        dataset: String,
        /// What `zfs` said.
        #[source]
        source: CommandError,
    },
    /// The dataset is not mounted, so that nothing can be written to it.
    #[error("dataset {dataset} is not mounted (mountpoint is {mountpoint})")]
    NotMounted {
        /// The dataset.
        dataset: String,
        /// Its `mountpoint` property.
        mountpoint: String,
    },
}

impl WorkspaceError {
    /// How to go on.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::NoZfs { dataset } => Some(format!("use a directory: -d ./{dataset}")),
            Self::Zfs { dataset, operation: "look up", .. } => {
                Some(format!("zfs create {dataset}, or use a directory: -d ./{dataset}"))
            }
            Self::NotMounted { dataset, .. } => Some(format!("zfs mount {dataset}")),
            _ => None,
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
    /// When it is neither there nor can be made.
    pub fn open(location: &Location) -> Result<Self, WorkspaceError> {
        match location {
            Location::Directory(path) => Self::open_directory(path),
            Location::Dataset(name) => Self::open_dataset(name),
        }
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

    fn open_directory(path: &Path) -> Result<Self, WorkspaceError> {
        make_private(path)?;
        let failed = |source| WorkspaceError::Directory { operation: "enter", path: path.to_owned(), source };
        let root = fs::canonicalize(path).map_err(failed)?;
        let workspace = Self { output: root.join("output"), work: root.join("work"), root };
        workspace.make_directories()
    }

    fn open_dataset(name: &str) -> Result<Self, WorkspaceError> {
        let Some(zfs) = find_program("zfs") else {
            return Err(WorkspaceError::NoZfs { dataset: name.to_owned() });
        };
        let root = mountpoint(&zfs, name, "look up")?;
        let child = |leaf: &str, options: &[&str]| -> Result<PathBuf, WorkspaceError> {
            let dataset = format!("{name}/{leaf}");
            if let Ok(path) = mountpoint(&zfs, &dataset, "look up") {
                return Ok(path);
            }
            let create = Command::new(&zfs).arg("create").args(options).arg(&dataset).env("LC_ALL", "C");
            create.run().map_err(|source| WorkspaceError::Zfs {
                operation: "create",
                dataset: dataset.clone(),
                source,
            })?;
            mountpoint(&zfs, &dataset, "look up")
        };
        let output = child("output", &[])?;
        let work = child("work", &["-o", "sync=disabled"])?;
        Self { root, output, work }.make_directories()
    }

    fn make_directories(self) -> Result<Self, WorkspaceError> {
        for path in [self.output.clone(), self.work.clone(), self.store(), self.debian()] {
            make_private(&path)?;
        }
        Ok(self)
    }
}

fn mountpoint(zfs: &Path, dataset: &str, operation: &'static str) -> Result<PathBuf, WorkspaceError> {
    let command =
        Command::new(zfs).args(["get", "-Hp", "-o", "value", "mounted,mountpoint", dataset]).env("LC_ALL", "C");
    let failed = |source| WorkspaceError::Zfs { operation, dataset: dataset.to_owned(), source };
    let text = command.run().map_err(failed)?.stdout_text();
    let mut lines = text.lines();
    let (mounted, mountpoint) = (lines.next().unwrap_or("-"), lines.next().unwrap_or("-"));
    if mounted != "yes" || !mountpoint.starts_with('/') {
        return Err(WorkspaceError::NotMounted { dataset: dataset.to_owned(), mountpoint: mountpoint.to_owned() });
    }
    Ok(PathBuf::from(mountpoint))
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
    fn the_first_characters_tell_a_directory_from_a_dataset() {
        for text in ["/images", "./images", "../images", ".", ".."] {
            assert_eq!(Location::parse(text), Location::Directory(PathBuf::from(text)));
        }
        for text in ["rpool/images", "images", ".images/x"] {
            assert_eq!(Location::parse(text), Location::Dataset(text.to_owned()));
        }
    }

    #[test]
    fn a_directory_is_made_private() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let location = Location::Directory(parent.path().join("a/images"));
        let workspace = Workspace::open(&location).expect("it is made");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&parent.path().join("a/images")), mode(workspace.output())), (0o700, 0o700));
        Workspace::open(&location).expect("it is opened again");
    }
}
