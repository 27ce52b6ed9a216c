//! Errors of the platform as those of a plugin.

use sysconfig_platform::smf::SmfError;
use sysconfig_platform::{FileError, NetworkError};
use sysconfig_plugin::PluginError;

pub(crate) fn network_error(operation: &str, error: NetworkError) -> PluginError {
    let help = error.help();
    with_help(PluginError::new(operation).source(error), help)
}

pub(crate) fn file_error(operation: &str, error: FileError) -> PluginError {
    let help = error.help().map(str::to_owned);
    with_help(PluginError::new(operation).source(error), help)
}

pub(crate) fn smf_error(operation: &str, error: SmfError) -> PluginError {
    let help = error.help();
    with_help(PluginError::new(operation).source(error), help)
}

fn with_help(error: PluginError, help: Option<String>) -> PluginError {
    match help {
        Some(help) => error.help(help),
        None => error,
    }
}
