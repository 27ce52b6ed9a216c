//! The errors of the verbs for a running machine.

use super::{STILL_BOOTING, StateError};
use crate::hypervisor::Hypervisor;
use crate::name::VmName;
use crate::qmp::QmpError;
use miette::Diagnostic;
use process_runner::CommandError;
use std::io;
use std::time::Duration;
use thiserror::Error;

/// A running machine could not be controlled.
#[derive(Debug, Error, Diagnostic)]
pub enum ControlError {
    /// See [`StateError`].
    #[error(transparent)]
    #[diagnostic(transparent)]
    State(#[from] StateError),
    /// See [`QmpError`].
    #[error("cannot control the machine")]
    Qmp(#[from] QmpError),
    /// A program that controls machines failed.
    #[error("{hypervisor} does not stop the machine")]
    Foreign {
        /// The hypervisor.
        hypervisor: Hypervisor,
        /// The program's own words.
        #[source]
        source: CommandError,
    },
    /// bhyve has no power button that every guest hears.
    #[error("bhyve runs the machine `{name}`, and cannot ask its guest to power off")]
    #[diagnostic(help("`poweroff` in the guest does; `dev-vm down --force` switches it off without asking"))]
    OnlyFromInside {
        /// The machine.
        name: VmName,
    },
    /// The process outlived even being killed.
    #[error("the machine's process does not end{}", pid.map_or(String::new(), |pid| format!(" (process {pid})")))]
    Unkillable {
        /// The hypervisor's process, when it is known.
        pid: Option<i32>,
    },
}

/// The guest could not be reached, or a program inside or towards it failed.
#[derive(Debug, Error, Diagnostic)]
pub enum GuestError {
    /// See [`StateError`].
    #[error(transparent)]
    #[diagnostic(transparent)]
    State(#[from] StateError),
    /// See [`ControlError`].
    #[error(transparent)]
    #[diagnostic(transparent)]
    Control(#[from] ControlError),
    /// `ssh` is missing or could not be run.
    #[error("cannot run ssh")]
    #[diagnostic(help("ssh comes with the package openssh-client"))]
    Ssh(#[source] CommandError),
    /// A debugger on the host is missing or could not be run.
    #[error("cannot run gdb")]
    #[diagnostic(help("install the package gdb on the host, or paste the command above elsewhere"))]
    Gdb(#[source] CommandError),
    /// No process of that plugin was found in the guest.
    #[error("no process of the plugin `{plugin}` runs in the guest")]
    #[diagnostic(help("`dev-vm exec -- sysconfigctl plugins` lists the plugins"))]
    NoPlugin {
        /// The plugin.
        plugin: String,
    },
    /// The guest has no program that can attach to a process.
    #[error("the guest has neither gdbserver nor gdb nor mdb")]
    #[diagnostic(help("`dev-vm exec -- apt-get install -y gdbserver` (Debian guest)"))]
    NoDebugger,
    /// The guest could not be asked something.
    #[error("cannot ask the guest")]
    Ask(#[source] CommandError),
    /// Talking to the serial console failed.
    #[error("cannot {operation} the serial console")]
    Console {
        /// What was tried.
        operation: &'static str,
        /// The reason given by the system.
        #[source]
        source: io::Error,
    },
    /// Somebody is attached to the serial console.
    #[error("somebody else is attached to the serial console")]
    #[diagnostic(help("`dev-vm logs -f` follows it without being attached"))]
    ConsoleBusy,
    /// Nobody waits for the guest any more.
    #[error("stopped waiting; the machine goes on booting")]
    #[diagnostic(help("{}", STILL_BOOTING))]
    Interrupted,
    /// The guest did not come back after a restart.
    #[error("the guest was not ready again {} s after the restart was asked for", after.as_secs())]
    #[diagnostic(help("`dev-vm logs` shows the console"))]
    NotBack {
        /// How long it was given.
        after: Duration,
        /// The last lines of the console.
        console: Vec<String>,
    },
}
