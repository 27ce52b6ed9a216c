//! The errors of each family of operations, with their hints.

mod control;
mod launch;

use crate::name::VmName;
use miette::Diagnostic;
use process_runner::CommandError;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

pub use control::{ControlError, GuestError};
pub use launch::LaunchError;

/// The machine's directory could not be read or changed, or says that the verb does not fit now.
#[derive(Debug, Error, Diagnostic)]
pub enum StateError {
    /// A file operation failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// The reason given by the system.
        #[source]
        source: io::Error,
    },
    /// One of the machine's files holds something else than it should.
    #[error("cannot understand {}", path.display())]
    #[diagnostic(help("remove the file and run `dev-vm up`; settings go back to their defaults"))]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        #[source]
        source: serde_json::Error,
    },
    /// A path that is written into the settings is not valid UTF-8.
    #[error("the path {} is not valid UTF-8", path.display())]
    NotText {
        /// The path.
        path: PathBuf,
    },
    /// Another verb is at work on the same machine.
    #[error("another dev-vm is at work on this machine (it holds {})", lock.display())]
    #[diagnostic(help("wait until it is done, then try again"))]
    Busy {
        /// The lock that it holds.
        lock: PathBuf,
    },
    /// There is no place for what no guest may see.
    #[error(
        "cannot tell where the machines' keys are kept: neither XDG_STATE_HOME nor HOME is set to an absolute path"
    )]
    #[diagnostic(help("set one of them; the keys are in $XDG_STATE_HOME/dev-vm, or else in ~/.local/state/dev-vm"))]
    NoStateDirectory,
    /// There is no machine of that name.
    #[error("there is no machine `{name}` ({} does not exist)", missing.display())]
    #[diagnostic(help("{}", no_vm_hint(known)))]
    NoVm {
        /// The name that was asked for.
        name: VmName,
        /// Its directory or its settings.
        missing: PathBuf,
        /// The machines that are there.
        known: Vec<String>,
    },
    /// The verb needs a running machine.
    #[error("the machine `{name}` is not running")]
    #[diagnostic(help("`dev-vm up` starts it"))]
    NotRunning {
        /// The machine.
        name: VmName,
    },
    /// The verb needs a way into the machine.
    #[error("bhyve runs the machine `{name}`, and nothing leads into it but its console")]
    #[diagnostic(help("its console is the terminal of `dev-vm up`: log in there as root"))]
    OnTerminal {
        /// The machine.
        name: VmName,
    },
    /// libvirt does not say whether it runs the machine.
    #[error("cannot ask libvirt whether it runs the machine")]
    #[diagnostic(help("where libvirt is not used any more, remove {}", domain.display()))]
    Libvirt {
        /// What says that libvirt may run it.
        domain: PathBuf,
        /// The program's own words.
        #[source]
        source: CommandError,
    },
    /// The verb needs a stopped machine.
    #[error("the machine `{name}` is running, so {what} cannot be done")]
    #[diagnostic(help("`dev-vm down` stops it"))]
    Running {
        /// The machine.
        name: VmName,
        /// What was asked for.
        what: &'static str,
    },
    /// There is no snapshot of that name.
    #[error("there is no snapshot `{name}`")]
    #[diagnostic(help("{}", no_snapshot_hint(known)))]
    NoSnapshot {
        /// The name that was asked for.
        name: VmName,
        /// The snapshots that are there.
        known: Vec<String>,
    },
    /// A snapshot of that name exists.
    #[error("there is a snapshot `{name}` already")]
    #[diagnostic(help("`dev-vm snapshot --delete {name}` removes it"))]
    SnapshotExists {
        /// The name.
        name: VmName,
    },
    /// The image changed since the snapshot was taken.
    #[error("the snapshot `{name}` does not fit its image any more: {change}")]
    #[diagnostic(help("it can only be deleted: `dev-vm snapshot --delete {name}`"))]
    SnapshotStale {
        /// The name.
        name: VmName,
        /// What differs.
        change: String,
    },
    /// A snapshot is still needed by what was made after it.
    #[error("the snapshot `{name}` is still needed by {}", needed_by.join(", "))]
    #[diagnostic(help(
        "delete or leave those first; `dev-vm reset` makes the machine itself independent of all snapshots"
    ))]
    SnapshotNeeded {
        /// The name.
        name: VmName,
        /// What builds on it.
        needed_by: Vec<String>,
    },
}

impl StateError {
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { operation, path: path.to_owned(), source }
    }
}

fn no_vm_hint(known: &[String]) -> String {
    if known.is_empty() {
        "`dev-vm up` makes it; `-d DIR` names the images' directory when it is not ./images".to_owned()
    } else {
        format!("`dev-vm up` makes it; there are: {}", known.join(", "))
    }
}

fn no_snapshot_hint(known: &[String]) -> String {
    if known.is_empty() {
        "this machine has none; `dev-vm snapshot NAME` takes one".to_owned()
    } else {
        format!("there are: {}", known.join(", "))
    }
}

const STILL_BOOTING: &str = "`dev-vm wait` waits again, `dev-vm logs -f` follows it, `dev-vm down` stops it";
