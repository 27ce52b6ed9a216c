//! The plugin `filesystem` as a program; see the library.

use std::io::Write;
use std::process::ExitCode;
use sysconfig_platform::Host;
use sysconfig_plugin_filesystem::FilesystemPlugin;

fn main() -> ExitCode {
    let Some(host) = Host::current() else {
        let _ = writeln!(std::io::stderr(), "this operating system is not supported");
        return ExitCode::FAILURE;
    };
    sysconfig_plugin::run(FilesystemPlugin::new(host))
}
