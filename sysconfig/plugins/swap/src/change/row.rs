//! The row of the boot table.

use super::{outcome, remember};
use crate::storage_error;
use sysconfig_platform::boot_table::{self, BootRow, Subject};
use sysconfig_platform::{Host, swap};
use sysconfig_plugin::{Outcome, PluginError};

/// Sets the row of what is at a path, which the table may call otherwise, instead of the one that was there.
pub(super) fn set_row(
    host: &Host,
    path: &str,
    row: Option<&BootRow>,
    previous: Option<&BootRow>,
) -> Result<Outcome, PluginError> {
    if row.is_none() {
        let written = write_row(host, previous, None)?;
        remember(host, path, |ours| ours.row = false)?;
        return Ok(written);
    }
    // A row for what does not work would be tried at every boot.
    if !swap::is_used(host, path).map_err(storage_error)? {
        let message = format!("{path} is not in use, so no row for it is written");
        return Err(PluginError::new(message).help("plan and apply again"));
    }
    let mut was_ours = false;
    remember(host, path, |ours| (was_ours, ours.row) = (ours.row, true))?;
    let written = write_row(host, previous, row);
    if written.is_err() {
        // What is there is whose it was before. The first error is the one to report.
        let _ = remember(host, path, |ours| ours.row = was_ours);
    }
    written
}

pub(super) fn write_row(
    host: &Host,
    previous: Option<&BootRow>,
    row: Option<&BootRow>,
) -> Result<Outcome, PluginError> {
    let Some(about) = row.or(previous) else { return Ok(Outcome::AlreadySo) };
    let written = boot_table::set_row(host, Subject::Swap(&about.device), previous, row);
    written.map(outcome).map_err(storage_error)
}
