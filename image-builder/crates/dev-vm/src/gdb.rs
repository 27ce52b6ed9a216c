//! `gdb`: a debugger on the guest's kernel or on a plugin inside the guest.

use crate::Vm;
use crate::error::{ControlError, GuestError};
use crate::files::file;
use crate::guest::ssh_arguments;
use crate::host::find_on_path;
use crate::qmp::Qmp;
use process_runner::{Command, shell_quote};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

const ANSWER: Duration = Duration::from_secs(5);

/// What is debugged.
#[derive(Clone, Debug)]
pub enum GdbTarget {
    /// The guest's kernel, through QEMU; with a file of symbols if there is one.
    Kernel {
        /// The kernel with debugging information.
        symbols: Option<PathBuf>,
    },
    /// The newest process of a plugin.
    Plugin {
        /// The plugin's name, without the prefix of its file.
        name: String,
        /// The plugin's executable on the host.
        symbols: Option<PathBuf>,
    },
}

impl Vm {
    /// Starts a debugger; `say` gets what is done, as commands that can be used again.
    ///
    /// Answers the debugger's exit status.
    ///
    /// # Errors
    /// Every [`GuestError`].
    pub fn gdb(&self, target: &GdbTarget, say: &mut dyn FnMut(&str)) -> Result<i32, GuestError> {
        match target {
            GdbTarget::Kernel { symbols } => self.gdb_kernel(symbols.as_deref(), say),
            GdbTarget::Plugin { name, symbols } => self.gdb_plugin(name, symbols.as_deref(), say),
        }
    }

    fn gdb_kernel(&self, symbols: Option<&Path>, say: &mut dyn FnMut(&str)) -> Result<i32, GuestError> {
        self.running_record()?;
        self.monitor(&format!("gdbserver unix:{},server=on,wait=off", file::GDB_SOCKET))?;
        let gdb = gdb(symbols, &format!("target remote {}", file::GDB_SOCKET))?.current_dir(self.directory.path());
        say("QEMU's debugger stub listens until gdb ends. The guest stands still while gdb is attached;");
        say("`continue` lets it run, `detach` leaves it running. Linux wants `nokaslr` on its command line");
        say("for symbols to fit. The command:");
        say(&format!("  cd {} && {gdb}", shell_quote(self.directory.path().as_os_str())));
        if find_on_path("gdb").is_none() {
            say("gdb is not installed here; the stub keeps listening for the command above.");
            return Ok(0);
        }
        let ended = gdb.run_interactive().map_err(GuestError::Gdb);
        self.monitor("gdbserver none")?;
        ended
    }

    fn gdb_plugin(&self, name: &str, symbols: Option<&Path>, say: &mut dyn FnMut(&str)) -> Result<i32, GuestError> {
        let record = self.running_record()?;
        let (pid, debugger) = self.find_plugin(name)?;
        say(&format!("process {pid} of the plugin `{name}`, with the guest's {debugger}"));
        let in_guest = match debugger.as_str() {
            // Its symbols are read on the host, where the plugin was built.
            "gdbserver" if find_on_path("gdb").is_some() => {
                let ssh = ssh_arguments(record.ssh_port).join(" ");
                let remote = format!("target remote | ssh {ssh} -T root@127.0.0.1 gdbserver --once --attach - {pid}");
                let gdb = gdb(symbols, &remote)?.current_dir(self.ssh_directory());
                say(&format!("  {gdb}"));
                return gdb.run_interactive().map_err(GuestError::Gdb);
            }
            "gdbserver" => return Err(GuestError::NoDebugger),
            debugger => format!("{debugger} -p {pid}"),
        };
        say(&format!("  dev-vm exec -t -- {in_guest}"));
        let command = self.ssh_command(&["-t", "-o", "BatchMode=yes"])?.arg(in_guest);
        command.run_interactive().map_err(GuestError::Ssh)
    }

    /// The process of the plugin and the best debugger in the guest.
    fn find_plugin(&self, name: &str) -> Result<(u32, String), GuestError> {
        let no_plugin = || GuestError::NoPlugin { plugin: name.to_owned() };
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(allowed) {
            return Err(no_plugin());
        }
        // The bracket keeps the pattern from finding the shell that it is written in.
        let script = format!(
            "pgrep -n -f '[s]ysconfig-plugin-{name}( |$)'; for d in gdbserver gdb mdb; do command -v $d >/dev/null && echo $d; done; true"
        );
        let output = self.ssh_command(&["-T", "-o", "BatchMode=yes"])?.arg(script).run().map_err(GuestError::Ask)?;
        let text = output.stdout_text();
        let mut lines = text.lines().map(str::trim).peekable();
        let pid = lines.next_if(|line| line.parse::<u32>().is_ok());
        let pid = pid.and_then(|line| line.parse().ok()).ok_or_else(no_plugin)?;
        let debuggers: Vec<&str> = lines.collect();
        // gdbserver is only of use together with a gdb on the host.
        let usable = |name: &&&str| **name != "gdbserver" || find_on_path("gdb").is_some();
        let debugger = debuggers.iter().find(usable).ok_or(GuestError::NoDebugger)?;
        Ok((pid, (*debugger).to_owned()))
    }

    fn monitor(&self, line: &str) -> Result<(), ControlError> {
        let mut qmp = Qmp::connect(&self.directory.qmp_socket(), ANSWER)?;
        let arguments = json!({ "command-line": line });
        qmp.execute("human-monitor-command", Some(arguments))?;
        Ok(())
    }
}

/// The host's gdb, told what to do first.
fn gdb(symbols: Option<&Path>, first: &str) -> Result<Command, GuestError> {
    let mut command = Command::new("gdb").args(["-q", "-ex", first]);
    if let Some(symbols) = symbols {
        let absolute = std::path::absolute(symbols)
            .map_err(|source| GuestError::Console { operation: "find the symbols for", source })?;
        command = command.arg(absolute);
    }
    Ok(command)
}
