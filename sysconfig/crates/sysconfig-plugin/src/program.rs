//! A plugin as a program: its options, and how it explains itself.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use inherited_fd::InheritedFdError;
use sysconfig_protocol::{Description, PLUGIN_FD_VARIABLE};

use crate::plugin::Plugin;
use crate::serve::{End, serve};

/// Exit status of a wrong option, and of a plugin that was started by hand.
const EXIT_USAGE: u8 = 2;

/// The whole `main` of a plugin: speaks with the daemon when it was started by one, answers `--describe`,
/// `--version` and `--help`, and otherwise explains what it is.
pub fn run<P: Plugin>(plugin: P) -> ExitCode {
    let description = plugin.describe();
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [] => run_under_daemon(plugin, &description),
        [option] if option == "--describe" => {
            let value = serde_json::to_value(&description).expect("a description always serialises");
            print(&format!("{value:#}"))
        }
        [option] if option == "--version" => print(&format!("{} {}", program_name(&description), description.version)),
        [option] if option == "--help" || option == "-h" => print(&explanation(&description)),
        [option, ..] => {
            complain(&format!("unexpected argument {option:?}\n\n{}", explanation(&description)));
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn run_under_daemon<P: Plugin>(plugin: P, description: &Description) -> ExitCode {
    let stream = match inherited_fd::take_unix_stream(PLUGIN_FD_VARIABLE) {
        Ok(stream) => stream,
        Err(InheritedFdError::NotSet { .. }) => {
            complain(&explanation(description));
            return ExitCode::from(EXIT_USAGE);
        }
        Err(error) => {
            complain(&format!("{}: {}", program_name(description), chain(&error)));
            return ExitCode::FAILURE;
        }
    };
    let end = termination_signal().and_then(|terminate| serve(plugin, stream, Some(terminate)));
    match end {
        Ok(End::Shutdown | End::Signal | End::Disconnected) => ExitCode::SUCCESS,
        Ok(End::Broken(reason)) => {
            complain(&format!("connection to the daemon: {reason}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            complain(&format!("cannot serve: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A stream that becomes readable on SIGTERM.
fn termination_signal() -> std::io::Result<UnixStream> {
    let (readable, writable) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, writable)?;
    Ok(readable)
}

fn program_name(description: &Description) -> String {
    format!("{}{}", sysconfig_protocol::PLUGIN_FILE_PREFIX, description.name)
}

/// What the plugin is, for somebody who started it by hand.
fn explanation(description: &Description) -> String {
    let program = program_name(description);
    let keys: Vec<_> = description.claims.iter().map(|claim| format!("  {}\n", claim.key)).collect();
    format!(
        "{program} {} is a plugin of the system configuration daemon, sysconfig, which starts it\n\
         when it is in a directory of [plugins] path in /etc/sysconfig.toml.\n\n\
         It owns these configuration keys:\n{}\n\
         Options:\n  --describe  print what the plugin tells the daemon about itself, as JSON\n  \
         --version   print name and version\n  --help      print this text\n\n\
         `sysconfigctl plugins` shows whether the daemon runs it.",
        description.version,
        keys.concat(),
    )
}

fn chain(error: &dyn std::error::Error) -> String {
    std::iter::once(error.to_string()).chain(crate::error::causes(error)).collect::<Vec<_>>().join(": ")
}

/// Prints on standard output; fails when that is closed.
fn print(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Prints on standard error; nobody can be told when that is closed.
fn complain(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
