//! What tells areas of this plugin, and whole files, from others of the same name: the owner of a volume, the mark of a file.
//!
//! A file of ours bears a mark in its first page, into which neither system swaps: Linux keeps the header of the area
//! there and leaves its first 1024 bytes to whoever wants them (`swap.h`, mkswap(8)), and illumos begins behind it
//! (`swaplo` in swap(8)). So a file that somebody puts at the same path later is not taken for ours.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use sysconfig_platform::zfs::{self, OWNER, Properties};
use sysconfig_platform::{Host, StorageError, System};

/// The value of [`OWNER`] on what this plugin makes.
pub(crate) const OWNER_NAME: &str = "swap";
pub(crate) const MARK: &[u8] = b"sysconfig: swap\n";

/// Whether the plugin has made a volume.
pub(crate) fn is_ours(present: &Properties) -> bool {
    present.get(OWNER).is_some_and(|owner| owner.is_local() && owner.value == OWNER_NAME)
}

/// The guid of a volume.
pub(crate) fn guid_of(present: &Properties) -> Option<&String> {
    present.get(zfs::GUID).map(|property| &property.value)
}

/// The name of the volume at a path.
pub(crate) fn volume_of(system: System, path: &str) -> Option<&str> {
    path.strip_prefix(zfs::volume_path(system, "").as_str())
}

/// Whether a file was made by this plugin.
pub(crate) fn bears_mark(host: &Host, path: &str) -> Result<bool, StorageError> {
    let operation = format!("look at the beginning of {path}");
    let resolved =
        host.root.resolve(path).map_err(|source| StorageError::File { operation: operation.clone(), source })?;
    let located = host.root.locate(resolved);
    // A FIFO would block.
    if !std::fs::metadata(&located).is_ok_and(|metadata| metadata.is_file()) {
        return Ok(false);
    }
    let mut start = Vec::new();
    let read = std::fs::File::open(located).and_then(|file| file.take(MARK.len() as u64).read_to_end(&mut start));
    match read {
        Ok(_) => Ok(start == MARK),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(StorageError::Kernel { operation, source }),
    }
}

/// Tells a file from others at the same path; none when there is no file.
pub(crate) fn what(host: &Host, path: &str) -> Option<String> {
    let resolved = host.root.resolve(path).ok()?;
    let metadata = std::fs::metadata(host.root.locate(resolved)).ok()?;
    Some(format!("inode {} of {} bytes", metadata.ino(), metadata.len()))
}

/// Where a file grows before it is whole.
pub(crate) fn unfinished(path: &str) -> String {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    format!("{directory}/.{name}.sysconfig-new")
}

/// Whether an interrupted step has left one behind.
pub(crate) fn is_unfinished(host: &Host, path: &str) -> bool {
    length(host, &unfinished(path)).is_some()
}

/// The length of what is at a path itself, if anything is.
pub(crate) fn length(host: &Host, path: &str) -> Option<u64> {
    let resolved = host.root.resolve(path).ok()?;
    std::fs::symlink_metadata(host.root.locate(resolved)).ok().map(|metadata| metadata.len())
}

/// What can be done about a file whose directory others may write to.
pub(crate) const OPEN_HELP: &str = "choose a place that only root may change, as /var/swap";

/// Why a file in such a directory is left alone.
pub(crate) fn is_open(directory: &Path) -> String {
    format!("others than root may write to {}", directory.display())
}
