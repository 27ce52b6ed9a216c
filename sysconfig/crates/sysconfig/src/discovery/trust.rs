//! Whether a file may be run with the daemon's rights.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Why a file or directory is not trusted: somebody else than root and the daemon's user could change it, or than the
/// owner and his group, when any owner is fine. That group counts as the owner then, because the usual umask of a
/// development host, 002, lets it write.
pub(super) fn distrust(path: &Path, metadata: &Metadata, any_owner: bool) -> Option<String> {
    let owner = metadata.uid();
    if !any_owner && owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Some(format!("{} belongs to user {owner}", path.display()));
    }
    let others = if any_owner { 0o002 } else { 0o022 };
    if metadata.mode() & others != 0 {
        return Some(format!("{} is writable by others (mode {:o})", path.display(), metadata.mode() & 0o7777));
    }
    None
}
