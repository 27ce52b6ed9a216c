//! Reading and replacing configuration files.
//!
//! A file is replaced as a whole: written beside its place, synced, renamed,
//! and the directory synced. Whoever reads it sees the old or the new content,
//! also after a power failure. Symbolic links are followed first, because a
//! rename onto `/etc/hosts` would turn illumos' link to `inet/hosts` into a
//! file of its own.

mod entry;
mod error;
mod watch;

pub use entry::{open_to_others, remove_entry};
pub use error::FileError;
#[cfg(any(test, feature = "fake"))]
pub use watch::watch_this_thread;

use crate::Root;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use watch::changing;

/// The mode of a file that did not exist before: system configuration that everybody may read.
const NEW_FILE_MODE: u32 = 0o644;
/// What is appended to the name of a file for the copy of its first content.
const BACKUP_SUFFIX: &str = ".sysconfig-orig";

/// What [`replace`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The file has new content.
    Changed,
    /// The file had this content already and was not touched.
    AlreadySo,
}

impl Written {
    /// Whether anything was changed.
    #[must_use]
    pub fn has_changed(self) -> bool {
        self == Self::Changed
    }
}

/// Reads a whole file; `None` when there is none, also behind a dangling link.
///
/// # Errors
/// [`FileError::Resolve`] and [`FileError::Read`].
pub fn read(root: &Root, path: impl AsRef<Path>) -> Result<Option<Vec<u8>>, FileError> {
    let resolved = root.resolve(&path)?;
    match contents(&root.locate(resolved)) {
        Ok(content) => Ok(Some(content)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError::Read { path: path.as_ref().to_owned(), source }),
    }
}

/// What a file holds. A pipe would keep whoever opens it until somebody writes, and a device may have no end; one that is
/// empty, as the `/dev/null` behind a link that masks a file, is an empty file.
fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(rustix::io::retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?);
    let kind = file.metadata()?.file_type();
    let mut content = Vec::new();
    if kind.is_file() || kind.is_dir() {
        file.read_to_end(&mut content)?;
    } else if !kind.is_char_device() || file.read(&mut [0])? > 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(content)
}

/// Reads a whole file as text; bytes that are not UTF-8 are replaced, so this is for looking only.
///
/// # Errors
/// See [`read`].
pub fn read_text(root: &Root, path: impl AsRef<Path>) -> Result<Option<String>, FileError> {
    let content = read(root, path)?;
    Ok(content.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Reads a whole file as text that may be put back one day.
///
/// # Errors
/// See [`read`]; also when it is not UTF-8.
pub fn read_utf8(root: &Root, path: impl AsRef<Path>) -> Result<Option<String>, FileError> {
    let text = read(root, &path)?.map(String::from_utf8).transpose();
    text.map_err(|error| {
        let source = io::Error::new(io::ErrorKind::InvalidData, error);
        FileError::Read { path: path.as_ref().to_owned(), source }
    })
}

/// Makes the file hold `content`, or makes sure that there is none. See [`replace`] and [`remove`].
///
/// # Errors
/// See there.
pub fn set(root: &Root, path: impl AsRef<Path>, content: Option<&[u8]>) -> Result<Written, FileError> {
    match content {
        Some(content) => replace(root, path, content),
        None => remove(root, path),
    }
}

/// Puts `content` at `path`, keeping mode and owner of a file that is there.
///
/// A mount point cannot be renamed onto (container engines mount a single
/// `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`); such a file is written
/// in place, which is all that can be done and is not atomic.
///
/// # Errors
/// [`FileError::Resolve`], [`FileError::Read`] and [`FileError::Replace`].
pub fn replace(root: &Root, path: impl AsRef<Path>, content: &[u8]) -> Result<Written, FileError> {
    if read(root, &path)?.as_deref() == Some(content) {
        return Ok(Written::AlreadySo);
    }
    let resolved = root.resolve(&path)?;
    let target = root.locate(&resolved);
    let like = fs::metadata(&target).ok();
    let result = match replace_by_rename(&target, content, like.as_ref()) {
        Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {
            changing(|| write_in_place(&target, content))
        }
        result => result,
    };
    match result {
        Ok(()) => Ok(Written::Changed),
        Err(source) => Err(FileError::Replace { path: resolved, source }),
    }
}

/// Keeps the content that `path` has now as `PATH.sysconfig-orig`, unless such a copy exists; answers its path.
///
/// # Errors
/// See [`replace`].
pub fn back_up_once(root: &Root, path: impl AsRef<Path>) -> Result<Option<PathBuf>, FileError> {
    let resolved = root.resolve(&path)?;
    let mut backup = resolved.clone().into_os_string();
    backup.push(BACKUP_SUFFIX);
    let backup = PathBuf::from(backup);
    let target = root.locate(&backup);
    // Whatever stands there, a link included, is somebody's and stays.
    if fs::symlink_metadata(&target).is_ok() {
        return Ok(None);
    }
    let Some(content) = read(root, &resolved)? else {
        return Ok(None);
    };
    let like = fs::metadata(root.locate(&resolved)).ok();
    match replace_by_rename(&target, &content, like.as_ref()) {
        Ok(()) => Ok(Some(backup)),
        Err(source) => Err(FileError::Replace { path: backup, source }),
    }
}

/// Removes the file at `path`; whether there was one.
///
/// # Errors
/// [`FileError::Resolve`] and [`FileError::Remove`].
pub fn remove(root: &Root, path: impl AsRef<Path>) -> Result<Written, FileError> {
    let resolved = root.resolve(&path)?;
    let target = root.locate(&resolved);
    match changing(|| fs::remove_file(&target)).and_then(|()| sync_directory(&target)) {
        Ok(()) => Ok(Written::Changed),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(Written::AlreadySo),
        Err(source) => Err(FileError::Remove { path: resolved, source }),
    }
}

/// Makes the directory `path` and those above it that are missing.
///
/// # Errors
/// [`FileError::Resolve`] and [`FileError::MakeDirectory`].
pub fn make_directory(root: &Root, path: impl AsRef<Path>) -> Result<(), FileError> {
    let resolved = root.resolve(&path)?;
    let make = || fs::create_dir_all(root.locate(&resolved));
    changing(make).map_err(|source| FileError::MakeDirectory { path: resolved, source })
}

fn replace_by_rename(target: &Path, content: &[u8], like: Option<&Metadata>) -> io::Result<()> {
    let (Some(directory), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(io::ErrorKind::IsADirectory.into());
    };
    // A fixed name: what a killed process left behind is overwritten, not collected. One daemon runs one step at
    // a time, so nobody else writes here.
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(".sysconfig-new");
    let temporary = directory.join(temporary);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let result = write_new(&temporary, content, like)
        .and_then(|()| changing(|| fs::rename(&temporary, target)))
        .and_then(|()| sync_directory(target));
    if result.is_err() {
        // The first error is the one to report; after a successful rename there is nothing to remove.
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn write_new(path: &Path, content: &[u8], like: Option<&Metadata>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    if let Some(like) = like {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
            fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
    }
    let mode = like.map_or(NEW_FILE_MODE, |like| like.mode() & 0o7777);
    // Explicit, because the mode given to open is cut by the umask.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// The old content is put back when the new one cannot be written, as on a disk that is full.
fn write_in_place(target: &Path, content: &[u8]) -> io::Result<()> {
    let before = fs::read(target)?;
    let mut file = OpenOptions::new().write(true).open(target)?;
    let mut write = |content: &[u8]| -> io::Result<()> {
        file.rewind()?;
        file.write_all(content)?;
        file.set_len(content.len() as u64)?;
        file.sync_all()
    };
    write(content).inspect_err(|_| {
        // The first error is the one to report. What was there fits.
        let _ = write(&before);
    })
}

/// Makes a rename or removal in the directory of `path` survive a power failure.
fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("etc/inet")).unwrap();
        let root = Root::new(directory.path());
        (directory, root)
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_link_stays_a_link_and_its_target_is_replaced() {
        let (directory, root) = root();
        let etc = directory.path().join("etc");
        fs::write(etc.join("inet/hosts"), "old\n").unwrap();
        symlink("./inet/hosts", etc.join("hosts")).unwrap();
        assert_eq!(replace(&root, "/etc/hosts", b"new\n").unwrap(), Written::Changed);
        assert!(fs::symlink_metadata(etc.join("hosts")).unwrap().is_symlink());
        assert_eq!(fs::read(etc.join("inet/hosts")).unwrap(), b"new\n");
        assert_eq!(names(&etc.join("inet")), ["hosts"], "nothing is left beside it");
    }

    #[test]
    fn mode_is_kept_and_new_files_can_be_read_by_all() {
        let (directory, root) = root();
        let etc = directory.path().join("etc");
        fs::write(etc.join("a"), "old").unwrap();
        fs::set_permissions(etc.join("a"), Permissions::from_mode(0o640)).unwrap();
        replace(&root, "/etc/a", b"new").unwrap();
        replace(&root, "/etc/b", b"new").unwrap();
        let mode = |name: &str| fs::metadata(etc.join(name)).unwrap().mode() & 0o7777;
        assert_eq!((mode("a"), mode("b")), (0o640, 0o644));
    }

    #[test]
    fn the_same_content_is_not_written_again() {
        let (directory, root) = root();
        replace(&root, "/etc/a", b"x").unwrap();
        let inode = || fs::metadata(directory.path().join("etc/a")).unwrap().ino();
        let before = inode();
        assert_eq!(replace(&root, "/etc/a", b"x").unwrap(), Written::AlreadySo);
        assert_eq!(inode(), before);
        assert_eq!(replace(&root, "/etc/a", b"y").unwrap(), Written::Changed);
        assert_ne!(inode(), before, "a change goes by rename, not in place");
    }

    #[test]
    fn what_a_killed_process_left_behind_does_not_matter() {
        let (directory, root) = root();
        let etc = directory.path().join("etc");
        fs::write(etc.join(".a.sysconfig-new"), "half").unwrap();
        replace(&root, "/etc/a", b"whole").unwrap();
        assert_eq!(read(&root, "/etc/a").unwrap().unwrap(), b"whole");
        assert_eq!(names(&etc), ["a", "inet"]);
    }

    #[test]
    fn the_first_content_is_backed_up_and_never_overwritten() {
        let (_directory, root) = root();
        assert_eq!(back_up_once(&root, "/etc/a").unwrap(), None, "nothing there yet");
        replace(&root, "/etc/a", b"first").unwrap();
        let backup = back_up_once(&root, "/etc/a").unwrap().unwrap();
        assert_eq!(backup, Path::new("/etc/a.sysconfig-orig"));
        replace(&root, "/etc/a", b"second").unwrap();
        assert_eq!(back_up_once(&root, "/etc/a").unwrap(), None);
        assert_eq!(read(&root, &backup).unwrap().unwrap(), b"first");
    }

    #[test]
    fn a_missing_directory_is_named_in_the_error() {
        let (_directory, root) = root();
        let error = replace(&root, "/not/there/a", b"x").unwrap_err();
        assert_eq!(error.to_string(), "cannot replace /not/there/a");
        assert!(error.help().is_some_and(|help| help.starts_with("its directory is not there")));
        make_directory(&root, "/not/there").unwrap();
        replace(&root, "/not/there/a", b"x").unwrap();
        assert_eq!(remove(&root, "/not/there/a").unwrap(), Written::Changed);
        assert_eq!(remove(&root, "/not/there/a").unwrap(), Written::AlreadySo);
    }

    #[test]
    fn text_comes_back_as_it_was_or_not_at_all() {
        let (_directory, root) = root();
        assert_eq!(read_utf8(&root, "/etc/a").unwrap(), None);
        assert!(set(&root, "/etc/a", Some("höher".as_bytes())).unwrap().has_changed());
        assert_eq!(read_utf8(&root, "/etc/a").unwrap().as_deref(), Some("höher"));
        replace(&root, "/etc/a", b"h\xf6her").unwrap();
        assert_eq!(read_utf8(&root, "/etc/a").unwrap_err().to_string(), "cannot read /etc/a");
        assert!(set(&root, "/etc/a", None).unwrap().has_changed());
        assert!(!set(&root, "/etc/a", None).unwrap().has_changed());
    }

    #[test]
    fn what_is_no_file_is_refused_at_once_and_a_mask_is_empty() {
        let (directory, root) = root();
        let etc = directory.path().join("etc");
        rustix::fs::mkfifoat(rustix::fs::CWD, etc.join("pipe"), Mode::RUSR).unwrap();
        for (link, target) in [("endless", "/dev/zero"), ("mask", "/dev/null")] {
            symlink(target, etc.join(link)).unwrap();
        }
        // Links are followed inside the root, so the real devices are only seen by the function itself.
        assert_eq!(contents(&etc.join("mask")).unwrap(), b"");
        for path in [etc.join("endless"), etc.join("pipe")] {
            assert_eq!(contents(&path).unwrap_err().to_string(), "it is not a regular file");
        }
        assert_eq!(read(&root, "/etc/pipe").unwrap_err().to_string(), "cannot read /etc/pipe");
        assert_eq!(contents(&etc).unwrap_err().raw_os_error(), Some(Errno::ISDIR.raw_os_error()));
    }

    #[test]
    fn a_mount_point_is_written_in_place() {
        // A single file can only be mounted by root; the function that serves this case is tested by itself.
        let (directory, _root) = root();
        let path = directory.path().join("etc/a");
        fs::write(&path, "longer than the new content").unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        write_in_place(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    }
}
