//! Which package files a Debian root is made of.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The packages of one root, exact to the byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Version of this file's form.
    pub format: u32,
    /// The archive's code name, such as `bookworm`.
    pub suite: String,
    /// Debian's name of the architecture, such as `amd64`.
    pub architecture: String,
    /// Every package file, in order of its name.
    pub packages: Vec<LockedPackage>,
}

/// One package file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// File name in the package cache, such as `less_590-2.1_amd64.deb`.
    pub file: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub sha256: String,
}

impl LockedPackage {
    /// Name and version as `apt-get download` wants them: `less=590-2.1`.
    ///
    /// Debian policy 5.6.1 and 5.6.12: neither may contain an underscore; `apt`
    /// writes the colon of an epoch as `%3a` in the file name.
    #[must_use]
    pub fn name_and_version(&self) -> Option<String> {
        let mut parts = self.file.strip_suffix(".deb")?.split('_');
        let (name, version) = (parts.next()?, parts.next()?);
        Some(format!("{name}={}", version.replace("%3a", ":")))
    }
}

/// The form that this program writes and reads.
pub(super) const FORMAT: u32 = 1;

/// A lock file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file system refused.
    #[error("cannot {operation} package lock {path}")]
    File {
        /// "read" or "write".
        operation: &'static str,
        /// The lock file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The content is not a lock of a form that is known here.
    #[error("package lock {path} is damaged; delete it, or build with --refresh to make a new one")]
    Content {
        /// The lock file.
        path: PathBuf,
        /// What is wrong with the text.
        #[source]
        source: serde_json::Error,
    },
    /// A newer program wrote it.
    #[error("package lock {path} has form {found}, this program knows form {FORMAT}")]
    Format {
        /// The lock file.
        path: PathBuf,
        /// The form found.
        found: u32,
    },
}

impl Lock {
    /// Reads a lock; `None` when there is none.
    ///
    /// # Errors
    /// When the file cannot be read or is not a lock.
    pub fn read(path: &Path) -> Result<Option<Self>, LockError> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LockError::File { operation: "read", path: path.to_owned(), source }),
        };
        let lock: Self =
            serde_json::from_slice(&text).map_err(|source| LockError::Content { path: path.to_owned(), source })?;
        if lock.format != FORMAT {
            return Err(LockError::Format { path: path.to_owned(), found: lock.format });
        }
        Ok(Some(lock))
    }

    /// Writes the lock by rename.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), LockError> {
        let failed = |source| LockError::File { operation: "write", path: path.to_owned(), source };
        crate::output::write_atomically(path, self.to_json().as_bytes()).map_err(failed)
    }

    /// The lock as text, which is also what a cache key is made from.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("strings and numbers are always JSON");
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_tells_name_and_version() {
        for (file, expected) in [
            ("less_590-2.1_amd64.deb", Some("less=590-2.1")),
            ("libc6_2%3a2.36-9_amd64.deb", Some("libc6=2:2.36-9")),
            ("nonsense", None),
        ] {
            let package = LockedPackage { file: file.to_owned(), size: 0, sha256: String::new() };
            assert_eq!(package.name_and_version().as_deref(), expected);
        }
    }

    #[test]
    fn a_lock_survives_the_file_and_damage_is_told() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("x.lock");
        assert_eq!(Lock::read(&path).expect("absence is no error"), None);
        let lock = Lock {
            format: FORMAT,
            suite: "bookworm".to_owned(),
            architecture: "amd64".to_owned(),
            packages: vec![LockedPackage { file: "a_1_all.deb".to_owned(), size: 3, sha256: "00".to_owned() }],
        };
        lock.write(&path).expect("it is written");
        assert_eq!(Lock::read(&path).expect("it is read"), Some(lock));
        fs::write(&path, "{}").expect("it is damaged");
        assert!(Lock::read(&path).expect_err("it is no lock").to_string().contains("--refresh"));
    }
}
