//! What tells one state of a file from another.

use crate::wire::{Attributes, FileKind};

/// The kinds of files that are mirrored. Directories are made as they are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
}

/// The state of a file of the share. Two equal ones mean the same content: whoever writes to a file changes one of its
/// times at least. The version in a qid is left out, because there are servers that always say 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// What it is.
    pub kind: EntryKind,
    /// Permissions.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// Last change of the content: seconds since 1970, nanoseconds.
    pub mtime: (u64, u64),
    /// Last change of content or attributes: also tells a content that was put back with its old time.
    pub ctime: (u64, u64),
    /// The server's number of the file.
    pub file_number: u64,
}

impl Version {
    /// The version of what has these attributes; none for what is not mirrored.
    #[must_use]
    pub fn of(attributes: &Attributes) -> Option<Self> {
        let kind = match attributes.file_kind() {
            FileKind::Regular => EntryKind::File,
            FileKind::Link => EntryKind::Link,
            FileKind::Directory | FileKind::Other => return None,
        };
        let &Attributes { mode, size, mtime, ctime, qid } = attributes;
        Some(Self { kind, mode: mode & 0o7777, size, mtime, ctime, file_number: qid.path })
    }

    /// Whether somebody may execute it.
    #[must_use]
    pub fn is_executable(&self) -> bool {
        self.kind == EntryKind::File && self.mode & 0o111 != 0
    }

    /// The permissions of the copy: its owner, who is the mirror, may write, nobody else may, and no bit gives away
    /// the owner's rights. A daemon refuses plugins that others may write.
    #[must_use]
    pub fn local_mode(&self) -> u32 {
        self.mode & 0o755 | 0o600
    }

    /// The time of the copy. A time that no file system keeps becomes 1970.
    #[must_use]
    pub fn local_mtime(&self) -> (i64, u32) {
        /// 2100-01-01.
        const LATEST: u64 = 4_102_444_800;
        let (seconds, nanoseconds) = self.mtime;
        match (i64::try_from(seconds), u32::try_from(nanoseconds)) {
            (Ok(local), Ok(fraction)) if seconds < LATEST && nanoseconds < 1_000_000_000 => (local, fraction),
            _ => (0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Qid;

    #[test]
    fn the_copy_gets_no_dangerous_mode_and_no_impossible_time() {
        let qid = Qid { kind: 0, version: 0, path: 7 };
        let attributes = Attributes { qid, mode: 0o106_777, size: 1, mtime: (5, 6), ctime: (0, 0) };
        let version = Version::of(&attributes).unwrap();
        assert_eq!(version.local_mode(), 0o755);
        assert_eq!(version.local_mtime(), (5, 6));
        for mtime in [(u64::MAX, 0), (5, 1_000_000_000), (5_000_000_000, 0)] {
            assert_eq!(Version { mtime, ..version }.local_mtime(), (0, 0));
        }
        assert_eq!(Version::of(&Attributes { mode: 0o040_755, ..attributes }), None);
    }
}
