//! The directory that stands for `/`, and paths inside it.

use crate::FileError;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

/// How many symbolic links one path may lead through; the same as Linux's own limit.
const MOST_LINKS: usize = 40;

/// The directory that stands for `/`: `/` itself in production, a temporary directory in tests.
///
/// Paths are given as the machine sees them (`/etc/hosts`). Symbolic links are
/// followed as after a `chroot`: an absolute target starts again at the root,
/// and `..` never leaves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    directory: PathBuf,
}

impl Default for Root {
    fn default() -> Self {
        Self::new("/")
    }
}

impl Root {
    /// The root at `directory`.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Whether this is the running system's own root.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.directory == Path::new("/")
    }

    /// Where `path`, whose links are already resolved, lies for the calling process.
    #[must_use]
    pub fn locate(&self, path: impl AsRef<Path>) -> PathBuf {
        let mut located = self.directory.clone();
        for component in path.as_ref().components() {
            if let Component::Normal(name) = component {
                located.push(name);
            }
        }
        located
    }

    /// Follows every symbolic link in `path` and answers the path inside the root that it ends at.
    ///
    /// What does not exist yet is kept as it is written, so the answer is where a new file would be made.
    ///
    /// # Errors
    /// [`FileError::Resolve`] when a directory cannot be searched or the links run in a circle.
    pub fn resolve(&self, path: impl AsRef<Path>) -> Result<PathBuf, FileError> {
        self.resolve_until(path, |_, _| false)
    }

    /// As [`Self::resolve_until`]; what cannot be followed stays as it is written.
    pub(crate) fn follow(&self, path: &str, stops: impl Fn(&Path, bool) -> bool) -> String {
        let resolved = self.resolve_until(path, stops);
        resolved.ok().and_then(|path| path.to_str().map(str::to_owned)).unwrap_or_else(|| path.to_owned())
    }

    /// As [`Self::resolve`], but not beyond a path at which `stops` says so, before that is looked at; whether it is the last of
    /// the way is told as well. The rest stays as it is written.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn resolve_until(
        &self,
        path: impl AsRef<Path>,
        stops: impl Fn(&Path, bool) -> bool,
    ) -> Result<PathBuf, FileError> {
        let path = path.as_ref();
        let error = |source| FileError::Resolve { path: path.to_owned(), source };
        let mut current = PathBuf::from("/");
        let mut pending = names(path);
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == ".." {
                current.pop();
                continue;
            }
            let candidate = current.join(&name);
            if stops(&candidate, pending.is_empty()) {
                return Ok(pending.iter().fold(candidate, |path, name| path.join(name)));
            }
            match std::fs::read_link(self.locate(&candidate)) {
                Ok(target) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(error(io::Error::other("too many symbolic links")));
                    }
                    if target.is_absolute() {
                        current = PathBuf::from("/");
                    }
                    let mut ahead = names(&target);
                    ahead.append(&mut pending);
                    pending = ahead;
                }
                // EINVAL says that it is there and no link; what is not there cannot be one either.
                Err(source) if matches!(source.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound) => {
                    current = candidate;
                }
                Err(source) => return Err(error(source)),
            }
        }
        Ok(current)
    }

    /// Whether something exists at `path` after following links.
    ///
    /// # Errors
    /// [`FileError::Resolve`] when that cannot be found out.
    pub fn exists(&self, path: impl AsRef<Path>) -> Result<bool, FileError> {
        let resolved = self.resolve(&path)?;
        match std::fs::symlink_metadata(self.locate(resolved)) {
            Ok(_) => Ok(true),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(FileError::Resolve { path: path.as_ref().to_owned(), source }),
        }
    }
}

/// The components of a path that can change where it leads; `..` stays, a leading `/` goes.
fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn resolved(setup: impl Fn(&Path), path: &str) -> Result<PathBuf, FileError> {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("etc/inet")).unwrap();
        setup(directory.path());
        Root::new(directory.path()).resolve(path)
    }

    #[test]
    fn links_are_followed_inside_the_root() {
        let cases: [(&str, &str, &str, &str); 6] = [
            // (target of the link, where the link is, asked, answer)
            ("inet/hosts", "etc/hosts", "/etc/hosts", "/etc/inet/hosts"),
            ("./inet/hosts", "etc/hosts", "/etc/hosts", "/etc/inet/hosts"),
            ("/etc/inet/hosts", "etc/hosts", "/etc/hosts", "/etc/inet/hosts"),
            ("../../../../x", "etc/hosts", "/etc/hosts", "/x"),
            (
                "../run/systemd/resolve/stub-resolv.conf",
                "etc/resolv.conf",
                "/etc/resolv.conf",
                "/run/systemd/resolve/stub-resolv.conf",
            ),
            ("/etc/inet", "etc/net", "/etc/net/hosts", "/etc/inet/hosts"),
        ];
        for (target, link, asked, answer) in cases {
            let found = resolved(|root| symlink(target, root.join(link)).unwrap(), asked);
            assert_eq!(found.unwrap(), Path::new(answer), "{link} -> {target}");
        }
    }

    #[test]
    fn a_circle_of_links_is_an_error() {
        let error = resolved(
            |root| {
                symlink("b", root.join("etc/a")).unwrap();
                symlink("a", root.join("etc/b")).unwrap();
            },
            "/etc/a",
        )
        .unwrap_err();
        assert!(matches!(error, FileError::Resolve { .. }), "{error:?}");
    }

    #[test]
    fn a_file_used_as_a_directory_is_an_error() {
        let found = resolved(|root| fs::write(root.join("etc/file"), "").unwrap(), "/etc/file/below");
        assert!(found.is_err(), "{found:?}");
    }

    #[test]
    fn what_is_missing_stays_as_written() {
        let found = resolved(|_| (), "/etc/not/there").unwrap();
        assert_eq!(found, Path::new("/etc/not/there"));
    }
}
