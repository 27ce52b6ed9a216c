//! Errors of the platform as those of a plugin.

use sysconfig_platform::smf::SmfError;
use sysconfig_platform::{FileError, NetworkError};
use sysconfig_plugin::PluginError;

pub(crate) fn network_error(operation: &str, error: NetworkError) -> PluginError {
    let help = error.help();
    PluginError::new(operation).source(error).maybe_help(help)
}

pub(crate) fn file_error(operation: &str, error: FileError) -> PluginError {
    let help = error.help();
    PluginError::new(operation).source(error).maybe_help(help)
}

pub(crate) fn smf_error(operation: &str, error: SmfError) -> PluginError {
    let help = error.help();
    PluginError::new(operation).source(error).maybe_help(help)
}
