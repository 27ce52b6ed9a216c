//! The errors of each family of operations, with their hints.

mod control;

use crate::accelerator::ProbeError;
use crate::firmware::FirmwareError;
use crate::hypervisor::{DescribeError, Hypervisor};
use crate::image::ImageError;
use crate::name::VmName;
use miette::Diagnostic;
use process_runner::CommandError;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

pub use control::{ControlError, GuestError};

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

/// The machine could not be prepared or started, or did not become ready.
#[derive(Debug, Error, Diagnostic)]
pub enum LaunchError {
    /// See [`StateError`].
    #[error(transparent)]
    #[diagnostic(transparent)]
    State(#[from] StateError),
    /// See [`ImageError`].
    #[error(transparent)]
    #[diagnostic(transparent)]
    Image(#[from] ImageError),
    /// See [`FirmwareError`].
    #[error(transparent)]
    #[diagnostic(transparent)]
    Firmware(#[from] FirmwareError),
    /// See [`ProbeError`].
    #[error(transparent)]
    #[diagnostic(transparent)]
    Probe(#[from] ProbeError),
    /// QEMU has no machine type of that name.
    #[error("QEMU knows no machine type `{machine}`")]
    #[diagnostic(help("`pc` and `q35` are the usual ones; `{} -machine help` lists all", qemu.to_string_lossy()))]
    UnknownMachine {
        /// What was asked for.
        machine: String,
        /// The emulator.
        qemu: OsString,
    },
    /// The machine runs already.
    #[error("the machine `{name}` runs already")]
    #[diagnostic(help(
        "`dev-vm status` tells how it is; `dev-vm down` stops it, and the next `up` takes new settings"
    ))]
    AlreadyRunning {
        /// The machine.
        name: VmName,
    },
    /// The directory to share is not there.
    #[error("cannot share {}", path.display())]
    Share {
        /// The directory.
        path: PathBuf,
        /// The reason given by the system.
        #[source]
        source: io::Error,
    },
    /// A program that makes the machine's key is missing or failed.
    #[error("cannot make a key for the machine")]
    #[diagnostic(help("ssh-keygen comes with the package openssh-client"))]
    Key(#[source] CommandError),
    /// The hypervisor could not be started at all.
    #[error("cannot start the hypervisor")]
    #[diagnostic(help("{}", qemu_package_hint()))]
    Start(#[source] CommandError),
    /// There is no port left to forward.
    #[error("cannot find a free port on 127.0.0.1")]
    Port(#[source] io::Error),
    /// The hypervisor ended before it took commands: an option or file that it does not accept.
    #[error("the hypervisor did not start ({ending})")]
    #[diagnostic(help("`dev-vm print` shows the command; what QEMU said is above and in qemu.log"))]
    Rejected {
        /// How it ended.
        ending: String,
        /// The last lines that it wrote.
        said: Vec<String>,
    },
    /// The hypervisor ended before the guest was ready.
    #[error("the machine stopped after {:.1} s, before it was ready ({ending})", after.as_secs_f32())]
    #[diagnostic(help("`dev-vm logs` shows the whole console; `dev-vm reset` throws the machine's changes away"))]
    Died {
        /// How the hypervisor ended.
        ending: String,
        /// How long after the start.
        after: Duration,
        /// What the hypervisor said.
        said: Vec<String>,
        /// The last lines of the console.
        console: Vec<String>,
    },
    /// The guest did not say that it is ready in time; it still runs.
    #[error("the machine was not ready after {} s; it is still running", after.as_secs())]
    #[diagnostic(help(
        "`dev-vm console` attaches to it, `dev-vm logs -f` follows it, `dev-vm down --force` stops it; `--timeout` gives it longer"
    ))]
    NotReady {
        /// How long it was given.
        after: Duration,
        /// The last lines of the console.
        console: Vec<String>,
    },
    /// Nobody waits for the guest any more.
    #[error("stopped waiting; the machine goes on booting")]
    #[diagnostic(help("{}", STILL_BOOTING))]
    Interrupted,
    /// See [`DescribeError`].
    #[error(transparent)]
    #[diagnostic(transparent)]
    Describe(#[from] DescribeError),
    /// The host is not ready for this hypervisor.
    #[error("{hypervisor} cannot run the machine here: {}", unmet.join("; "))]
    #[diagnostic(help("`dev-vm print --hypervisor {hypervisor}` shows the command"))]
    Unmet {
        /// The hypervisor.
        hypervisor: Hypervisor,
        /// What is missing, each with what makes it.
        unmet: Vec<String>,
    },
    /// A program that runs machines failed.
    #[error("{hypervisor} does not run the machine")]
    Foreign {
        /// The hypervisor.
        hypervisor: Hypervisor,
        /// The program's own words.
        #[source]
        source: CommandError,
    },
    /// libvirt knows another machine by the name.
    #[error("libvirt knows another machine by the name {domain}")]
    #[diagnostic(help(
        "if it is one of yours, and an earlier version's, `virsh -c qemu:///session undefine --nvram {domain}` forgets it, and no disk; `--name` gives this one another name"
    ))]
    NameTaken {
        /// The name.
        domain: String,
        /// The program's own words.
        #[source]
        source: CommandError,
    },
    /// bhyve ended with a status that is no ordinary end.
    #[error("bhyve ended with exit status {status} ({meaning})")]
    #[diagnostic(help("if no other bhyve runs {name}, `bhyvectl --vm={name} --destroy` removes what is left of it"))]
    Bhyve {
        /// What bhyve calls the machine.
        name: String,
        /// The status.
        status: i32,
        /// What bhyve(8) says of it.
        meaning: &'static str,
    },
}

const STILL_BOOTING: &str = "`dev-vm wait` waits again, `dev-vm logs -f` follows it, `dev-vm down` stops it";

/// The package that QEMU is in, for the systems where it is known.
pub(crate) fn qemu_package_hint() -> &'static str {
    "install QEMU with the UEFI firmware and an ssh client: \
     `apt-get install qemu-system-x86 ovmf openssh-client` (Debian), \
     `dnf install qemu-system-x86 edk2-ovmf openssh-clients` (Fedora), \
     `pkg install qemu edk2-qemu-x64` (FreeBSD)"
}
