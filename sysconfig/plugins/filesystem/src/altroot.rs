//! A pool that is imported below another directory (`altroot` in zpoolprops(7)), as installers do it: ZFS shows every mount point
//! with that directory in front, and takes it without. Here a mount point is what is set; its place is where it is mounted.

use sysconfig_platform::zfs::Properties;
use sysconfig_platform::{Host, StorageError, zpool};

/// The pool of a dataset.
pub(crate) fn pool(dataset: &str) -> &str {
    dataset.split('/').next().unwrap_or_default()
}

/// The directory below which the pool of a dataset is imported; empty for one that is imported as usual.
pub(crate) fn of(host: &Host, dataset: &str) -> Result<String, StorageError> {
    let properties = zpool::properties(host, pool(dataset))?.unwrap_or_default();
    let altroot = properties.get("altroot").map(|altroot| altroot.value.as_str());
    Ok(altroot.filter(|altroot| altroot.starts_with('/')).unwrap_or_default().trim_end_matches('/').to_owned())
}

/// Makes of the mount point that is shown the one that is set.
pub(crate) fn strip(properties: &mut Properties, altroot: &str) {
    let Some(point) = properties.get_mut("mountpoint") else { return };
    match point.value.strip_prefix(altroot) {
        Some("") => "/".clone_into(&mut point.value),
        Some(rest) if rest.starts_with('/') => point.value = rest.to_owned(),
        _ => {}
    }
}

/// Where a file system with a mount point is mounted.
pub(crate) fn place(altroot: &str, point: String) -> String {
    match !altroot.is_empty() && point.starts_with('/') {
        true => format!("{altroot}{}", point.trim_end_matches('/')),
        false => point,
    }
}
