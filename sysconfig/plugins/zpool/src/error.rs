//! Errors of the platform as those of a plugin.

use sysconfig_plugin::PluginError;
use zfs_commands::ZfsError;

pub(crate) fn zfs_error(operation: &str, error: ZfsError) -> PluginError {
    let help = error.help();
    let failed = PluginError::new(operation).source(error);
    match help {
        Some(help) => failed.help(help),
        None => failed,
    }
}
