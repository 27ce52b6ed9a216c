//! Starts, stops and reaches the development virtual machine.
//!
//! Everything that belongs to one machine is in one directory, described by
//! [`VmDirectory`]: the overlay that takes all writes so that the image stays
//! clean, the firmware's variables, the sockets and the serial console's log.
//! Only what no guest may see is apart, in a directory of the user's own: the
//! machine's settings and its key. Two machines share nothing but the image,
//! which both only read.
//!
//! How the parts talk:
//! * [`Vm`] is one machine; each verb is a method in a module of its own.
//! * Whether a machine runs is decided by a lock that the hypervisor's process
//!   inherits ([`lock`]), or by libvirt where that was handed the machine, never by a process number read from a file: a killed
//!   hypervisor, or a killed `dev-vm`, leaves nothing behind that could be
//!   mistaken for a running machine.
//! * [`qemu`] turns a [`qemu::Machine`] into an argument vector and does
//!   nothing else; [`hypervisor`] shows the same machine in other programs' terms.
//! * The hypervisor works in the machine's directory and knows its sockets by
//!   relative names, because the path of a Unix socket may only have 107 bytes.
//!
//! What it refuses to do: open a port to anything but 127.0.0.1, write to the
//! image, or bake a key into it. The key's public half is passed at each boot.

pub mod accelerator;
pub mod config;
pub mod console;
pub mod console_log;
pub mod directory;
mod down;
pub mod error;
mod files;
pub mod firmware;
mod foreign;
mod gdb;
pub mod guest;
pub mod host;
pub mod hypervisor;
pub mod image;
mod keys;
mod launch;
mod libvirt;
pub mod lock;
mod logs;
pub mod name;
mod options;
pub mod overlay;
pub mod port;
mod print;
mod private;
mod probe_guest;
pub mod qcow2;
pub mod qemu;
pub mod qmp;
pub mod quote;
mod raw_disk;
pub mod ready;
mod reboot;
mod reset;
mod snapshot;
mod socket;
mod status;
mod up;

pub use accelerator::Accelerator;
pub use directory::VmDirectory;
pub use down::{DownOptions, Stopped};
pub use error::{ControlError, GuestError, LaunchError, StateError};
pub use foreign::Foreign;
pub use gdb::GdbTarget;
pub use host::Host;
pub use logs::LogOptions;
pub use name::VmName;
pub use options::{Progress, ShareChoice, UpOptions};
pub use ready::Service;
pub use snapshot::SnapshotInfo;
pub use status::{State, Status};
pub use up::Ready;

/// One development machine and the host that it runs on.
#[derive(Debug)]
pub struct Vm {
    directory: VmDirectory,
    host: Host,
}

impl Vm {
    /// The machine that lives in `directory`; nothing is looked at or made yet.
    #[must_use]
    pub fn new(directory: VmDirectory, host: Host) -> Self {
        Self { directory, host }
    }

    /// Where the machine keeps everything that belongs to it.
    #[must_use]
    pub fn directory(&self) -> &VmDirectory {
        &self.directory
    }

    /// The host that it runs on.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }
}
