//! The directory that is kept in step. Nothing is reached but through descriptors of its real directories: a symbolic
//! link on the way, whoever made it, is an obstacle and never followed.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::error::DestinationError;
use super::version::{EntryKind, Version};
use crate::path::SharePath;
use crate::selection::OWN_DIRECTORY;

/// Where new content is written before it is renamed to its place. One file is under way at a time, and what a killed
/// mirror left behind is overwritten.
const INCOMING: &str = "incoming";
const LOCK: &str = "lock";
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);

/// The destination, open and locked.
#[derive(Debug)]
pub struct Destination {
    path: PathBuf,
    root: OwnedFd,
    own: OwnedFd,
    _lock: File,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Nothing,
    Directory,
    Other,
}

impl Destination {
    /// Makes the directory where it is missing, and locks it against other mirrors.
    ///
    /// # Errors
    ///
    /// When it cannot be made or used, or another mirror has it.
    pub fn open(path: &Path) -> Result<Self, DestinationError> {
        let fail = |operation, source: io::Error| DestinationError::Io { operation, path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(|source| fail("make", source))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| fail("open", errno.into()))?;
        let own = make_and_open(&root, OWN_DIRECTORY.as_bytes()).map_err(|errno| fail("use", errno.into()))?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = rustix::fs::openat(&own, LOCK, flags, Mode::from_raw_mode(0o600));
        let mut lock = File::from(lock.map_err(|errno| fail("lock", errno.into()))?);
        // A record lock: it ends with the process and works on every file system of every guest.
        match rustix::fs::fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => return Err(DestinationError::Busy { path: path.to_owned() }),
            Err(errno) => return Err(fail("lock", errno.into())),
        }
        // The number is only for people.
        let noted = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        noted.map_err(|source| fail("lock", source))?;
        Ok(Self { path: path.to_owned(), root, own, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its path leads elsewhere by now, or nowhere, or its own directory is another.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let is_same = |now: Result<Stat, Errno>, held: &OwnedFd| match (now, rustix::fs::fstat(held)) {
            (Ok(now), Ok(held)) => (now.st_dev, now.st_ino) == (held.st_dev, held.st_ino),
            _ => false,
        };
        let own = rustix::fs::statat(&self.root, OWN_DIRECTORY, AtFlags::SYMLINK_NOFOLLOW);
        !(is_same(rustix::fs::stat(&self.path), &self.root) && is_same(own, &self.own))
    }

    /// Whether the copy of this version is in place, as far as size, time and kind tell. It is not after somebody
    /// changed it, or when the machine went down before its content was on the disk.
    #[must_use]
    pub fn holds(&self, path: &SharePath, version: &Version) -> bool {
        let Ok(parent) = self.parent(path) else { return false };
        let Ok(stat) = rustix::fs::statat(&parent, path.name(), AtFlags::SYMLINK_NOFOLLOW) else { return false };
        match version.kind {
            EntryKind::Link => file_type(&stat) == FileType::Symlink,
            EntryKind::File => {
                file_type(&stat) == FileType::RegularFile
                    && u64::try_from(stat.st_size) == Ok(version.size)
                    // Not all file systems keep fractions of a second.
                    && stat.st_mtime == version.local_mtime().0
            }
        }
    }

    /// Makes a directory of which the parent is there.
    ///
    /// # Errors
    ///
    /// [`DestinationError::InTheWay`] when something else stands there.
    pub fn make_directory(&self, path: &SharePath) -> Result<(), DestinationError> {
        let parent = self.parent(path).map_err(|errno| self.failed("open the directory of", path, errno))?;
        match rustix::fs::mkdirat(&parent, path.name(), DIRECTORY_MODE) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) if self.standing(path) == Ok(Standing::Directory) => Ok(()),
            Err(errno) => Err(self.failed("make directory", path, errno)),
        }
    }

    /// Whether a real directory is there.
    #[must_use]
    pub fn is_directory(&self, path: &SharePath) -> bool {
        self.standing(path) == Ok(Standing::Directory)
    }

    /// Begins a file. Its content is nowhere to be seen until [`Incoming::commit`].
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn begin_file(&self) -> Result<Incoming<'_>, DestinationError> {
        self.clear_incoming()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.own, INCOMING, flags, Mode::from_raw_mode(0o600));
        let file = file.map_err(|errno| self.own_failed("make", errno))?;
        Ok(Incoming { destination: self, file: File::from(file) })
    }

    /// Puts a symbolic link in place.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or something is in the way.
    pub fn put_link(&self, path: &SharePath, target: &[u8]) -> Result<(), DestinationError> {
        self.clear_incoming()?;
        rustix::fs::symlinkat(target, &self.own, INCOMING).map_err(|errno| self.own_failed("make", errno))?;
        self.rename_incoming(path)
    }

    /// Removes a file or link. Whether it was there; a directory is left alone.
    ///
    /// # Errors
    ///
    /// When it cannot be removed.
    pub fn remove(&self, path: &SharePath) -> Result<bool, DestinationError> {
        let failed = |errno| self.failed("remove", path, errno);
        // Looked at first, because on some systems root can unlink a directory.
        if self.standing(path).map_err(failed)? != Standing::Other {
            return Ok(false);
        }
        let parent = self.parent(path).map_err(failed)?;
        rustix::fs::unlinkat(&parent, path.name(), AtFlags::empty()).map_err(failed)?;
        Ok(true)
    }

    /// Removes a directory if it is empty. Whether it is gone.
    #[must_use]
    pub fn remove_empty_directory(&self, path: &SharePath) -> bool {
        let Ok(parent) = self.parent(path) else { return true };
        let removed = rustix::fs::unlinkat(&parent, path.name(), AtFlags::REMOVEDIR);
        matches!(removed, Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
    }

    /// Reads a file of the mirror's own; none when there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn read_own(&self, name: &str) -> Result<Option<File>, DestinationError> {
        match rustix::fs::openat(&self.own, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.own_failed("read", errno)),
        }
    }

    /// Replaces a file of the mirror's own.
    ///
    /// # Errors
    ///
    /// When it cannot be written; the old one is whole then.
    pub fn replace_own(&self, name: &str, content: &[u8], sync: bool) -> Result<(), DestinationError> {
        let mut incoming = self.begin_file()?;
        incoming.write(content)?;
        let mode = Mode::from_raw_mode(0o644);
        rustix::fs::fchmod(&incoming.file, mode).map_err(|errno| self.own_failed("set mode of", errno))?;
        if sync {
            rustix::fs::fsync(&incoming.file).map_err(|errno| self.own_failed("sync", errno))?;
        }
        rustix::fs::renameat(&self.own, INCOMING, &self.own, name).map_err(|errno| self.own_failed("rename", errno))
    }

    /// Opens the real directory that a path is in.
    fn parent(&self, path: &SharePath) -> Result<OwnedFd, Errno> {
        let mut directory = self.root.as_fd().try_clone_to_owned().map_err(|_| Errno::MFILE)?;
        let depth = path.names().count() - 1;
        for name in path.names().take(depth) {
            directory = open_directory(&directory, name)?;
        }
        Ok(directory)
    }

    fn standing(&self, path: &SharePath) -> Result<Standing, Errno> {
        let stat = self.parent(path).and_then(|it| rustix::fs::statat(it, path.name(), AtFlags::SYMLINK_NOFOLLOW));
        match stat {
            Ok(stat) if file_type(&stat) == FileType::Directory => Ok(Standing::Directory),
            Ok(_) => Ok(Standing::Other),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(Standing::Nothing),
            Err(errno) => Err(errno),
        }
    }

    fn clear_incoming(&self) -> Result<(), DestinationError> {
        match rustix::fs::unlinkat(&self.own, INCOMING, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.own_failed("remove", errno)),
        }
    }

    fn rename_incoming(&self, path: &SharePath) -> Result<(), DestinationError> {
        let parent = self.parent(path).map_err(|errno| self.failed("open the directory of", path, errno))?;
        let renamed = rustix::fs::renameat(&self.own, INCOMING, &parent, path.name());
        renamed.map_err(|errno| self.failed("replace", path, errno))
    }

    fn failed(&self, operation: &'static str, path: &SharePath, errno: Errno) -> DestinationError {
        let path =
            self.path.join(Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path.as_bytes())));
        match errno {
            Errno::ISDIR | Errno::NOTDIR | Errno::LOOP | Errno::EXIST | Errno::NOTEMPTY => {
                DestinationError::InTheWay { path }
            }
            _ => DestinationError::Io { operation, path, source: errno.into() },
        }
    }

    fn own_failed(&self, operation: &'static str, errno: Errno) -> DestinationError {
        DestinationError::Io { operation, path: self.path.join(OWN_DIRECTORY), source: errno.into() }
    }
}

/// A file that is being written. Dropped without [`Incoming::commit`] it is as if it had never been.
#[derive(Debug)]
pub struct Incoming<'a> {
    destination: &'a Destination,
    file: File,
}

impl Incoming<'_> {
    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// When the disk is full, among others.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), DestinationError> {
        self.file.write_all(bytes).map_err(|source| self.failed("write", source))
    }

    /// Gives the file mode and time of the version and puts it in place, in exchange for what was there.
    ///
    /// Only with `sync` is the content certain to outlive a sudden end of the machine. Without, the next start finds a
    /// file of the wrong size and copies it again.
    ///
    /// # Errors
    ///
    /// When something is in the way, among others.
    pub fn commit(self, path: &SharePath, version: &Version, sync: bool) -> Result<(), DestinationError> {
        let (tv_sec, tv_nsec) = version.local_mtime();
        let time = Timespec { tv_sec, tv_nsec: tv_nsec.into() };
        let mode = Mode::from_bits_truncate(local_raw_mode(version));
        let this = &self;
        let failed = |operation| move |errno: Errno| this.failed(operation, errno.into());
        rustix::fs::fchmod(&self.file, mode).map_err(failed("set mode of"))?;
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::futimens(&self.file, &times).map_err(failed("set time of"))?;
        if sync {
            rustix::fs::fsync(&self.file).map_err(failed("sync"))?;
        }
        self.destination.rename_incoming(path)
    }

    fn failed(&self, operation: &'static str, source: io::Error) -> DestinationError {
        let path = self.destination.path.join(OWN_DIRECTORY).join(INCOMING);
        DestinationError::Io { operation, path, source }
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        // After a rename there is nothing to remove; otherwise the next file removes it.
        drop(self.destination.clear_incoming());
    }
}

fn local_raw_mode(version: &Version) -> rustix::fs::RawMode {
    rustix::fs::RawMode::try_from(version.local_mode()).unwrap_or(0o600)
}

fn make_and_open(parent: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    match rustix::fs::mkdirat(parent, name, DIRECTORY_MODE) {
        Ok(()) | Err(Errno::EXIST) => open_directory(parent, name),
        Err(errno) => Err(errno),
    }
}

fn open_directory(parent: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}
