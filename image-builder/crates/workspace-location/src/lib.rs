//! What `-d` names, for every program that has the option: a directory, or a ZFS dataset of the host.
//!
//! The first characters decide, never what happens to be there: else `rpool/images` would be a dataset on one host
//! and on another a directory with private files in the middle of somebody's checkout.

use process_runner::{Command, CommandError};
use std::fmt;
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

    /// The directory itself, which need not be there, or where the dataset is mounted.
    ///
    /// # Errors
    /// Every [`LocationError`], for a dataset.
    pub fn directory(&self) -> Result<PathBuf, LocationError> {
        match self {
            Self::Directory(path) => Ok(path.clone()),
            Self::Dataset(name) => Zfs::find(name)?.mountpoint(name),
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

/// A dataset is not one that could be worked in.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
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

impl LocationError {
    /// How to go on.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::NoZfs { dataset } => Some(format!("use a directory: -d ./{dataset}")),
            Self::Zfs { dataset, operation: LOOK_UP, .. } => {
                Some(format!("zfs create {dataset}, or use a directory: -d ./{dataset}"))
            }
            Self::Zfs { .. } => None,
            Self::NotMounted { dataset, .. } => Some(format!("zfs mount {dataset}")),
        }
    }
}

const LOOK_UP: &str = "look up";

/// The host's `zfs` command.
#[derive(Clone, Debug)]
pub struct Zfs {
    program: PathBuf,
}

impl Zfs {
    /// Finds the command that `dataset` needs.
    ///
    /// # Errors
    /// [`LocationError::NoZfs`].
    pub fn find(dataset: &str) -> Result<Self, LocationError> {
        let program = find_program("zfs").ok_or_else(|| LocationError::NoZfs { dataset: dataset.to_owned() })?;
        Ok(Self { program })
    }

    /// Where a dataset is mounted.
    ///
    /// # Errors
    /// [`LocationError::Zfs`] when it does not exist, [`LocationError::NotMounted`].
    pub fn mountpoint(&self, dataset: &str) -> Result<PathBuf, LocationError> {
        let properties = ["get", "-Hp", "-o", "value", "mounted,mountpoint", dataset];
        let answer = self.run(LOOK_UP, dataset, &properties)?;
        let mut lines = answer.lines();
        let (mounted, mountpoint) = (lines.next().unwrap_or("-"), lines.next().unwrap_or("-"));
        if mounted != "yes" || !mountpoint.starts_with('/') {
            let (dataset, mountpoint) = (dataset.to_owned(), mountpoint.to_owned());
            return Err(LocationError::NotMounted { dataset, mountpoint });
        }
        Ok(PathBuf::from(mountpoint))
    }

    /// Makes a dataset, with options of `zfs create`.
    ///
    /// # Errors
    /// [`LocationError::Zfs`].
    pub fn create(&self, dataset: &str, options: &[&str]) -> Result<(), LocationError> {
        let arguments: Vec<&str> = ["create"].iter().chain(options).copied().chain([dataset]).collect();
        self.run("create", dataset, &arguments).map(|_| ())
    }

    fn run(&self, operation: &'static str, dataset: &str, arguments: &[&str]) -> Result<String, LocationError> {
        let failed = |source| LocationError::Zfs { operation, dataset: dataset.to_owned(), source };
        let command = Command::new(&self.program).args(arguments).env("LC_ALL", "C");
        Ok(command.run().map_err(failed)?.stdout_text())
    }
}

/// Finds a program on `PATH`, and in the system directories that an ordinary user's `PATH` may lack.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|directory| directory.join(name))
        .find(|candidate: &PathBuf| Path::is_file(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_characters_tell_a_directory_from_a_dataset() {
        for text in ["/images", "./images", "../images", ".", ".."] {
            assert_eq!(Location::parse(text), Location::Directory(PathBuf::from(text)));
            assert_eq!(Location::parse(text).directory().expect("nothing is asked"), PathBuf::from(text));
        }
        for text in ["rpool/images", "images", ".images/x"] {
            assert_eq!(Location::parse(text), Location::Dataset(text.to_owned()));
        }
    }
}
