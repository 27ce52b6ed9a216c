//! What the walk needs of a file system: a pool's, or one that a test makes up.

use std::io::{self, Read};

use zfs_image::reader::{File, FileSystem, ReadError};

/// Configuration files and lists that are longer are no such files.
const TEXT_BYTES_MAX: u64 = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Link,
    Other,
}

/// What stands at a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) size: u64,
    /// The permissions, without the type.
    pub(super) mode: u64,
    /// Seconds since 1970.
    pub(super) mtime: i64,
}

pub(super) trait Files {
    /// What stands at a path, behind links; none if nothing does.
    fn look(&self, path: &str) -> io::Result<Option<Entry>> {
        self.look_at(path, true)
    }

    /// The same; a link at its end is followed or not.
    fn look_at(&self, path: &str, follow: bool) -> io::Result<Option<Entry>>;

    /// The content of a regular file.
    fn open<'a>(&'a self, path: &str) -> io::Result<Box<dyn Read + 'a>>;

    /// The names in a directory, sorted; names that are not UTF-8 are left out.
    fn names(&self, directory: &str) -> io::Result<Vec<String>>;

    fn has_file(&self, path: &str) -> io::Result<bool> {
        Ok(self.look(path)?.is_some_and(|entry| entry.kind == Kind::File))
    }

    /// The whole content of a short regular file; none if there is no such file.
    fn bytes(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        if !self.look(path)?.is_some_and(|entry| entry.kind == Kind::File && entry.size <= TEXT_BYTES_MAX) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        self.open(path)?.take(TEXT_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn text(&self, path: &str) -> io::Result<Option<String>> {
        Ok(self.bytes(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }
}

impl Files for FileSystem<'_> {
    fn look_at(&self, path: &str, follow: bool) -> io::Result<Option<Entry>> {
        let file = match self.lookup(path.as_bytes(), follow) {
            Ok(file) => file,
            Err(ReadError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(io::Error::other(error)),
        };
        let kind = match &file {
            file if file.is_regular() => Kind::File,
            file if file.is_directory() => Kind::Directory,
            file if file.is_symlink() => Kind::Link,
            _ => Kind::Other,
        };
        let (size, mode) = (file.znode.size, file.znode.mode & 0o7777);
        Ok(Some(Entry { kind, size, mode, mtime: file.znode.mtime.secs }))
    }

    fn open<'a>(&'a self, path: &str) -> io::Result<Box<dyn Read + 'a>> {
        let file = self.lookup(path.as_bytes(), true).map_err(io::Error::other)?;
        Ok(Box::new(Content { files: self, file, offset: 0 }))
    }

    fn names(&self, directory: &str) -> io::Result<Vec<String>> {
        let directory = self.lookup(directory.as_bytes(), true).map_err(io::Error::other)?;
        let entries = self.read_dir(&directory).map_err(io::Error::other)?;
        let mut names: Vec<_> = entries.into_iter().filter_map(|entry| String::from_utf8(entry.name).ok()).collect();
        names.sort_unstable();
        Ok(names)
    }
}

/// The content of a file as a stream.
struct Content<'a, 'p> {
    files: &'a FileSystem<'p>,
    file: File,
    offset: u64,
}

impl Read for Content<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.files.read_at(&self.file, buffer, self.offset).map_err(io::Error::other)?;
        self.offset += count as u64;
        Ok(count)
    }
}
