//! Repositories in directories of this machine.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::Transport;

/// A directory with a repository, `file://` or just a path.
#[derive(Debug, Clone)]
pub struct DirectoryTransport {
    root: PathBuf,
    address: String,
}

impl DirectoryTransport {
    /// The repository in the directory `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self { address: root.display().to_string(), root }
    }

    fn path(&self, path: &str) -> io::Result<PathBuf> {
        check(path)?;
        Ok(self.root.join(path))
    }
}

/// Refuses what could leave the repository.
pub(super) fn check(path: &str) -> io::Result<()> {
    let is_safe = path.split('/').all(|name| !matches!(name, "" | "." | "..") && !name.contains('\0'));
    if is_safe { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "the path leaves the repository")) }
}

/// Whether something is not there, or only something else where it could be.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

impl Transport for DirectoryTransport {
    fn fetch(&self, path: &str) -> io::Result<Option<Box<dyn Read + Send + '_>>> {
        match File::open(self.path(path)?) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn names(&self, directory: &str) -> io::Result<Option<Vec<String>>> {
        let path: &Path = &self.path(directory)?;
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort();
        Ok(Some(names))
    }

    fn address(&self) -> &str {
        &self.address
    }
}
