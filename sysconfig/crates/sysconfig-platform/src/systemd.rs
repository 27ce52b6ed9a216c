//! systemd, where it runs: containers and other Linux systems are without it.

use crate::{CommandError, FileError, Host, Invocation, Root};
use std::time::Duration;

/// Whether systemd is the running init; its own documented test.
///
/// # Errors
/// [`FileError::Resolve`].
pub fn is_running(root: &Root) -> Result<bool, FileError> {
    root.exists("/run/systemd/system")
}

/// The command that makes a unit read its configuration again, restarting it where it cannot; nothing when it does
/// not run.
#[must_use]
pub fn reload_command(unit: &str) -> Invocation {
    Invocation::new("/usr/bin/systemctl", ["try-reload-or-restart", unit])
}

/// Makes a unit read its configuration again.
///
/// # Errors
/// See [`Host::run`].
pub fn reload(host: &Host, unit: &str) -> Result<(), CommandError> {
    host.run(&reload_command(unit)).map(drop)
}

/// How long systemd may take to read all units: its own limit for what makes units of other files is 90 s.
const PATIENCE: Duration = Duration::from_secs(200);

/// Makes systemd read all units again, and make those anew that it makes of other files.
///
/// # Errors
/// See [`Host::run`].
pub fn daemon_reload(host: &Host) -> Result<(), CommandError> {
    let command = Invocation::new("/usr/bin/systemctl", ["daemon-reload"]);
    host.run(&Invocation { deadline: PATIENCE, ..command }).map(drop)
}
