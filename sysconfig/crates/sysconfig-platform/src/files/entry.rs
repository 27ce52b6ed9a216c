//! Names in directories, where somebody else may have put something.

use super::watch::changing;
use super::{FileError, Written, sync_directory};
use crate::Root;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Removes what has this name, also a link, and never what a link leads to; links in the directory's own path are followed.
///
/// For names that are made up, which nobody has asked for: whoever may write to the directory could otherwise choose what is
/// removed.
///
/// # Errors
/// [`FileError::Resolve`] and [`FileError::Remove`].
pub fn remove_entry(root: &Root, path: impl AsRef<Path>) -> Result<Written, FileError> {
    let path = path.as_ref();
    let failed = |source| FileError::Remove { path: path.to_owned(), source };
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    };
    let target = root.locate(root.resolve(directory)?).join(name);
    match changing(|| fs::remove_file(&target)).and_then(|()| sync_directory(&target)) {
        Ok(()) => Ok(Written::Changed),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(Written::AlreadySo),
        Err(source) => Err(failed(source)),
    }
}

/// The first directory on the way to `path` in which somebody else than root, and than who asks, can put something else in the
/// place of what is there. Those above the last one may be sticky, as `/tmp`: then what is ours stays ours.
///
/// # Errors
/// [`FileError::Resolve`].
pub fn open_to_others(root: &Root, path: impl AsRef<Path>) -> Result<Option<PathBuf>, FileError> {
    let resolved = root.resolve(&path)?;
    let own = rustix::process::geteuid().as_raw();
    for (at, directory) in resolved.ancestors().skip(1).enumerate() {
        let metadata = match fs::symlink_metadata(root.locate(directory)) {
            Ok(metadata) => metadata,
            // Nobody can have put anything there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(FileError::Resolve { path: path.as_ref().to_owned(), source }),
        };
        let is_sticky = at > 0 && metadata.mode() & 0o1000 != 0;
        let is_writable = metadata.mode() & 0o002 != 0 || (metadata.mode() & 0o020 != 0 && metadata.gid() != 0);
        if ![0, own].contains(&metadata.uid()) || (is_writable && !is_sticky) {
            return Ok(Some(directory.to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn root() -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("var/tmp/own")).unwrap();
        let root = Root::new(directory.path());
        (directory, root)
    }

    fn set_mode(root: &Root, path: &str, mode: u32) {
        fs::set_permissions(root.locate(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_link_goes_and_what_it_leads_to_stays() {
        let (_directory, root) = root();
        fs::write(root.locate("/shadow"), "secret").unwrap();
        symlink("/shadow", root.locate("/var/tmp/.swap")).unwrap();
        symlink("tmp", root.locate("/var/other")).unwrap();
        assert_eq!(remove_entry(&root, "/var/other/.swap").unwrap(), Written::Changed);
        assert_eq!(remove_entry(&root, "/var/other/.swap").unwrap(), Written::AlreadySo);
        assert_eq!(fs::read(root.locate("/shadow")).unwrap(), b"secret");
        assert!(fs::symlink_metadata(root.locate("/var/tmp/.swap")).is_err());
        let error = remove_entry(&root, "/var/tmp/own").unwrap_err();
        assert_eq!(error.to_string(), "cannot remove /var/tmp/own");
    }

    #[test]
    fn directories_that_others_may_write_to_are_named() {
        let (_directory, root) = root();
        let open = |path: &str| open_to_others(&root, path).unwrap().map(|path| path.display().to_string());
        for directory in ["/var", "/var/tmp", "/var/tmp/own"] {
            set_mode(&root, directory, 0o755);
        }
        assert_eq!(open("/var/tmp/own/swap"), None);
        assert_eq!(open("/var/none/swap"), None);
        set_mode(&root, "/var/tmp", 0o1777);
        assert_eq!(open("/var/tmp/swap").as_deref(), Some("/var/tmp"));
        assert_eq!(open("/var/tmp/own/swap"), None, "nobody can put another directory in its place");
        set_mode(&root, "/var/tmp", 0o777);
        assert_eq!(open("/var/tmp/own/swap").as_deref(), Some("/var/tmp"));
        symlink("tmp", root.locate("/var/other")).unwrap();
        assert_eq!(open("/var/other/swap").as_deref(), Some("/var/tmp"));
    }
}
