//! The errors of the verbs that start a machine.

use super::{STILL_BOOTING, StateError};
use crate::accelerator::ProbeError;
use crate::firmware::FirmwareError;
use crate::host::qemu_package_hint;
use crate::hypervisor::{DescribeError, Hypervisor};
use crate::image::ImageError;
use crate::name::VmName;
use miette::Diagnostic;
use process_runner::CommandError;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

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
