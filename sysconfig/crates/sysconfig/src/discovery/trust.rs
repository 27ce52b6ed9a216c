//! Whether a file may be run with the daemon's rights.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Why a file or directory is not trusted: somebody else than root and the daemon's user could change it.
pub(super) fn distrust(path: &Path, metadata: &Metadata) -> Option<String> {
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Some(format!("{} belongs to user {owner}", path.display()));
    }
    if metadata.mode() & 0o022 != 0 {
        return Some(format!("{} is writable by others (mode {:o})", path.display(), metadata.mode() & 0o7777));
    }
    None
}
