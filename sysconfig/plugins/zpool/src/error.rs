//! Errors of the platform as those of a plugin.

use sysconfig_platform::StorageError;
use sysconfig_plugin::PluginError;

pub(crate) fn zfs_error(operation: &str, error: StorageError) -> PluginError {
    let help = error.help();
    PluginError::new(operation).source(error).maybe_help(help)
}
