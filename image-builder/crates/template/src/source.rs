//! What the loader may see of the host: template texts, and whether other files exist.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a path names, seen without following a symbolic link in its last component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link, whatever it points at.
    Symlink,
    /// A device, socket or pipe.
    Other,
}

impl FileKind {
    /// The words used for it in messages.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Regular => "a regular file",
            Self::Directory => "a directory",
            Self::Symlink => "a symbolic link",
            Self::Other => "a special file",
        }
    }
}

/// The loader's view of a file system.
///
/// The library never opens a file by itself, so that a test can hold its templates in a map and a caller
/// can show the loader files that are not on disk yet.
pub trait TemplateSource {
    /// Reads a whole template; symbolic links are followed.
    ///
    /// # Errors
    /// Whatever the file system says, and `InvalidInput` for anything but a regular file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Says what `path` names without following a link in its last component; `None` when nothing is there.
    ///
    /// # Errors
    /// Whatever the file system says, except that the path does not exist.
    fn kind(&self, path: &Path) -> io::Result<Option<FileKind>>;

    /// Lists the names in a directory, for "did you mean" only; anything unreadable is an empty list.
    fn names(&self, directory: &Path) -> Vec<String>;
}

/// The host's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostFiles;

impl TemplateSource for HostFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        // Opening a pipe or a device could block or never end.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        fs::read(path)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<FileKind>> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(kind_of(metadata.file_type()))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn names(&self, directory: &Path) -> Vec<String> {
        let Ok(entries) = fs::read_dir(directory) else {
            return Vec::new();
        };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }
}

fn kind_of(file_type: fs::FileType) -> FileKind {
    if file_type.is_symlink() {
        FileKind::Symlink
    } else if file_type.is_dir() {
        FileKind::Directory
    } else if file_type.is_file() {
        FileKind::Regular
    } else {
        FileKind::Other
    }
}

/// A file where a directory was expected means that nothing is there, as much as an empty directory does.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// A file system in memory: for tests, and for checking text that is not saved yet.
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles {
    entries: BTreeMap<PathBuf, (FileKind, Vec<u8>)>,
}

impl MemoryFiles {
    /// An empty file system.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a regular file; its parent directories exist from then on.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        self.entries.insert(path.into(), (FileKind::Regular, content.into()));
        self
    }

    /// Adds an entry of another kind.
    #[must_use]
    pub fn entry(mut self, path: impl Into<PathBuf>, kind: FileKind) -> Self {
        self.entries.insert(path.into(), (kind, Vec::new()));
        self
    }

    fn is_parent(&self, path: &Path) -> bool {
        self.entries.keys().any(|entry| entry.starts_with(path) && entry != path)
    }
}

impl TemplateSource for MemoryFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.entries.get(path) {
            Some((FileKind::Regular, content)) => Ok(content.clone()),
            Some(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn kind(&self, path: &Path) -> io::Result<Option<FileKind>> {
        let entry = self.entries.get(path).map(|(kind, _)| *kind);
        Ok(entry.or_else(|| self.is_parent(path).then_some(FileKind::Directory)))
    }

    fn names(&self, directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = self
            .entries
            .keys()
            .filter_map(|path| path.strip_prefix(directory).ok()?.components().next())
            .map(|first| first.as_os_str().to_string_lossy().into_owned())
            .collect();
        names.dedup();
        names
    }
}
