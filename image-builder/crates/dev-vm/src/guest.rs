//! `ssh` and `exec`: reaching the guest with the machine's own key.

use crate::Vm;
use crate::error::GuestError;
use crate::files::file;
use crate::quote::remote_command;
use process_runner::Command;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The user in the guest.
const USER: &str = "root";

impl Vm {
    /// Opens a shell in the guest, or hands `arguments` to `ssh` behind the destination.
    ///
    /// Answers the exit status of `ssh`: that of the remote program, or 255.
    ///
    /// # Errors
    /// [`GuestError::State`] when the machine does not run, [`GuestError::Ssh`] without `ssh`.
    pub fn ssh(&self, arguments: &[OsString]) -> Result<i32, GuestError> {
        let command = self.ssh_command(&[])?.args(arguments);
        command.run_interactive().map_err(GuestError::Ssh)
    }

    /// Runs one program in the guest; every argument arrives as it is.
    ///
    /// Standard input, output and error are ours. Answers the program's exit
    /// status, or 255 when the guest could not be reached.
    ///
    /// # Errors
    /// As [`Vm::ssh`].
    pub fn exec(&self, command: &[OsString], terminal: bool) -> Result<i32, GuestError> {
        let terminal = if terminal { "-t" } else { "-T" };
        let command = self.ssh_command(&[terminal, "-o", "BatchMode=yes"])?.arg(remote_command(command));
        command.run_interactive().map_err(GuestError::Ssh)
    }

    /// `ssh` with everything up to the destination, `options` among them.
    ///
    /// It works in the private directory with relative names, because
    /// `UserKnownHostsFile` splits at spaces and expands percent signs.
    pub(crate) fn ssh_command(&self, options: &[&str]) -> Result<Command, GuestError> {
        let record = self.running_record()?;
        Ok(Command::new("ssh")
            .args(ssh_arguments(record.ssh_port))
            .args(options)
            .arg(format!("{USER}@127.0.0.1"))
            .current_dir(self.ssh_directory()))
    }

    /// Where the machine's key is, and the host keys that are known.
    pub(crate) fn ssh_directory(&self) -> PathBuf {
        let key = self.directory.ssh_key();
        key.parent().map_or(PathBuf::new(), Path::to_owned)
    }
}

/// The options that make `ssh` independent of the user's own settings and keys.
pub(crate) fn ssh_arguments(port: u16) -> Vec<String> {
    let mut arguments = vec!["-F".to_owned(), "none".to_owned()];
    arguments.extend(["-p".to_owned(), port.to_string()]);
    arguments.extend(["-i".to_owned(), file::SSH_KEY.to_owned()]);
    for option in [
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        // Made at the guest's first boot; a changed one is an error until `reset`.
        "StrictHostKeyChecking=accept-new",
        &format!("UserKnownHostsFile={}", file::KNOWN_HOSTS),
        "GlobalKnownHostsFile=/dev/null",
        // The same guest whatever port it got this time.
        "HostKeyAlias=dev-vm",
        "CheckHostIP=no",
        "ConnectTimeout=15",
        "ServerAliveInterval=15",
        "LogLevel=ERROR",
    ] {
        arguments.extend(["-o".to_owned(), option.to_owned()]);
    }
    arguments
}
