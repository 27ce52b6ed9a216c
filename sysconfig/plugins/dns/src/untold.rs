//! That whoever reads a file of ours has not been told of it yet. It is noted before the file is written, so whoever dies between the
//! two is followed by one that tells it.

use crate::file_error;
use sysconfig_platform::{FileError, Host, System, files};
use sysconfig_plugin::PluginError;

fn directory(host: &Host) -> &'static str {
    match host.system() {
        System::Illumos => "/var/lib/sysconfig",
        System::Linux => "/run/sysconfig",
    }
}

fn path(host: &Host) -> String {
    format!("{}/dns-untold", directory(host))
}

pub(crate) fn is_noted(host: &Host) -> Result<bool, FileError> {
    host.root.exists(path(host))
}

/// Writes a file of which somebody has to be told afterwards; a file that is so already is no news.
pub(crate) fn noting<T: PartialEq>(
    host: &Host,
    unchanged: &T,
    write: impl FnOnce() -> Result<T, PluginError>,
) -> Result<T, PluginError> {
    let failed = |error| file_error("cannot remember what is done", error);
    let was_noted = is_noted(host).map_err(failed)?;
    files::make_directory(&host.root, directory(host))
        .and_then(|()| files::replace(&host.root, path(host), b"See network.dns.\n"))
        .map_err(failed)?;
    let written = write()?;
    if !was_noted && written == *unchanged {
        strike_out(host)?;
    }
    Ok(written)
}

pub(crate) fn strike_out(host: &Host) -> Result<(), PluginError> {
    let removed = files::remove(&host.root, path(host)).map(drop);
    removed.map_err(|error| file_error("cannot remember what is done", error))
}
