//! What keeps a file from being read or changed.

use std::io;
use std::path::PathBuf;

/// What to do about what even root may not change.
const IMMUTABLE_HELP: &str = if cfg!(target_os = "illumos") {
    "root may not change it, so that the file or its directory may be immutable: `ls -/ v` shows that, and \
     `chmod S-vimmutable` ends it"
} else {
    "root may not change it, so that the file or its directory may be immutable: `lsattr` shows an i then, and \
     `chattr -i` ends it"
};
const ROOT_HELP: &str = "changing the system's files needs root";

/// A file could not be read or changed. Paths are those inside the root.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The path could not be followed to its end.
    #[error("cannot follow {}", path.display())]
    Resolve {
        /// The path as it was asked for.
        path: PathBuf,
        /// The reason given by the system.
        #[source]
        source: io::Error,
    },
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The path as it was asked for.
        path: PathBuf,
        /// The reason given by the system.
        #[source]
        source: io::Error,
    },
    /// The new content could not be put in place; the old file is whole.
    #[error("cannot replace {}", path.display())]
    Replace {
        /// The path after following links.
        path: PathBuf,
        /// The reason given by the system.
        #[source]
        source: io::Error,
    },
    /// The file could not be removed.
    #[error("cannot remove {}", path.display())]
    Remove {
        /// The path after following links.
        path: PathBuf,
        /// The reason given by the system.
        #[source]
        source: io::Error,
    },
    /// The directory could not be made.
    #[error("cannot make the directory {}", path.display())]
    MakeDirectory {
        /// The path after following links.
        path: PathBuf,
        /// The reason given by the system.
        #[source]
        source: io::Error,
    },
}

impl FileError {
    /// What the operator can do about it, where that is known.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        let (Self::Resolve { source, .. }
        | Self::Read { source, .. }
        | Self::Replace { source, .. }
        | Self::Remove { source, .. }
        | Self::MakeDirectory { source, .. }) = self;
        match source.kind() {
            io::ErrorKind::PermissionDenied => Some(self.permission_help(rustix::process::geteuid().is_root())),
            io::ErrorKind::ReadOnlyFilesystem => Some("the file system is mounted read-only"),
            io::ErrorKind::StorageFull => Some("make room on the file system"),
            io::ErrorKind::NotFound if matches!(self, Self::Replace { .. }) => {
                Some("its directory is not there: make it, or replace the link that leads into it")
            }
            _ => None,
        }
    }

    /// Root may change everything but what says of itself that it stays.
    fn permission_help(&self, is_root: bool) -> &'static str {
        let is_change = matches!(self, Self::Replace { .. } | Self::Remove { .. } | Self::MakeDirectory { .. });
        if is_root && is_change { IMMUTABLE_HELP } else { ROOT_HELP }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn what_even_root_may_not_change_is_told_apart() {
        let denied = || io::Error::from_raw_os_error(Errno::PERM.raw_os_error());
        let replace = FileError::Replace { path: "/etc/resolv.conf".into(), source: denied() };
        assert!(replace.permission_help(true).contains("immutable"));
        assert!(replace.permission_help(false).contains("needs root"));
        assert!(
            FileError::Read { path: "/etc/a".into(), source: denied() }.permission_help(true).contains("needs root")
        );
        let is_root = rustix::process::geteuid().is_root();
        assert_eq!(replace.help(), Some(replace.permission_help(is_root)));
    }
}
