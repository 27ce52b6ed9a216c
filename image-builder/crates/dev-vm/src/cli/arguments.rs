//! The options, as they are typed.

use super::parse_name;
use clap::{Args, Parser, Subcommand};
use dev_vm::hypervisor::Hypervisor;
use dev_vm::{Accelerator, ShareChoice, UpOptions, VmName};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const EXIT_CODES: &str = "\
Exit status:
  0    done; for `status`: the machine runs
  1    failed
  2    the command line is wrong
  3    `status`: the machine is stopped; other verbs: it has to run and does not
  4    there is no such machine
  5    something has to be installed: QEMU, UEFI firmware, ssh
  6    the guest was not ready in time; the machine still runs
  7    the machine stopped before the guest was ready, or QEMU did not start
  8    the image changed since the machine's disk was made
  9    the machine runs already
  10   `up`, `wait`, `reboot`: the guest is ready, but a service in it is not well
  130, 143  SIGINT or SIGTERM ended the waiting; the machine goes on booting
`ssh` and `exec` end with the remote program's status, and with 255 when it was not run.";

/// Starts, stops and reaches the development virtual machine.
#[derive(Debug, Parser)]
#[command(name = "dev-vm", version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// Where the images are; machines live in its `vm`: a directory when it begins with `/`, `./` or `../`,
    /// else a ZFS dataset [default: ./images]
    #[arg(short = 'd', long, visible_alias = "dataset", global = true, value_name = "WHERE")]
    pub(crate) dir: Option<String>,

    /// The machine's name
    #[arg(short = 'n', long, global = true, default_value = "dev", value_parser = parse_name)]
    pub(crate) name: VmName,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start the machine and wait until the guest says that it is ready
    ///
    /// Under bhyve the guest's console is this terminal, until the guest powers off.
    Up {
        /// What runs it: qemu, bhyve or libvirt [default: the first of them that the host has]
        #[arg(long, value_name = "NAME")]
        hypervisor: Option<Hypervisor>,
        #[command(flatten)]
        up: UpArguments,
    },
    /// Ask the guest to power off; insist when it does not
    Down {
        /// Do not ask the guest: what it has not written is lost
        #[arg(long)]
        force: bool,
        /// Seconds that the guest may take
        #[arg(long, default_value_t = 90, value_name = "SECONDS")]
        timeout: u64,
    },
    /// Show the machine; exit status 0 when it runs, 3 when it is stopped
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show all machines of the images' directory
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Wait until the guest of the running machine is ready
    Wait {
        /// Seconds that it may take
        #[arg(long, default_value_t = 300, value_name = "SECONDS")]
        timeout: u64,
    },
    /// Restart the guest and wait until it is ready again
    Reboot {
        /// Seconds that it may take
        #[arg(long, default_value_t = 300, value_name = "SECONDS")]
        timeout: u64,
    },
    /// Attach to the guest's serial console; Ctrl-] detaches
    Console,
    /// Enter the guest, or hand arguments to ssh behind the destination
    Ssh {
        /// A command for the guest's shell, or more options of ssh
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run a program in the guest; each argument arrives as it is
    Exec {
        /// Give the program a terminal
        #[arg(short = 't', long = "tty")]
        terminal: bool,
        /// The program and its arguments
        #[arg(required = true, last = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Show what the guest wrote to its serial console during this boot
    Logs {
        /// Go on until the machine stops
        #[arg(short = 'f', long)]
        follow: bool,
        /// Show earlier boots too
        #[arg(long)]
        all: bool,
        /// Pass terminal control sequences on
        #[arg(long)]
        raw: bool,
    },
    /// Throw away everything that the guest wrote; the machine has to be stopped
    Reset,
    /// Keep the disk's present state under a name, or list what is kept; the machine has to be stopped
    ///
    /// Only the disk: a machine with a 9P share cannot be saved while it runs.
    Snapshot(SnapshotArguments),
    /// Put the disk back to a snapshot; the machine has to be stopped
    Restore {
        /// The snapshot
        #[arg(value_parser = parse_name)]
        snapshot: VmName,
    },
    /// Show the exact command that runs, or would run, the machine
    Print {
        /// For which hypervisor: qemu, bhyve-illumos, bhyve-freebsd, bhyve (that of this host) or libvirt
        #[arg(long, default_value = "qemu", value_name = "NAME")]
        hypervisor: Hypervisor,
        #[command(flatten)]
        up: UpArguments,
    },
    /// Debug the guest's kernel, or a plugin inside the guest
    ///
    /// The kernel: QEMU's debugger stub listens on a Unix socket in the
    /// machine's directory and the host's gdb attaches to it. A plugin: its
    /// newest process is attached to by the guest's gdbserver, spoken to by the
    /// host's gdb through ssh; or else by the guest's own gdb or mdb.
    Gdb {
        /// The plugin, by its name without `sysconfig-plugin-`
        #[arg(required_unless_present = "kernel")]
        plugin: Option<String>,
        /// The guest's kernel
        #[arg(long, conflicts_with = "plugin")]
        kernel: bool,
        /// The file with debugging symbols [default for a plugin: the built one in the share]
        #[arg(long, value_name = "FILE")]
        symbols: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// The image [default: the last one, else the only one in DIR/output or DIR]
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// The host directory that the guest sees [default: the last one, else the enclosing checkout]
    #[arg(long, value_name = "DIR")]
    share: Option<PathBuf>,
    /// Let the guest change the shared directory
    #[arg(long)]
    share_rw: bool,
    /// Share nothing
    #[arg(long, conflicts_with_all = ["share", "share_rw"])]
    no_share: bool,
    /// The guest's memory [default: the last value, else 2048]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(64..))]
    memory: Option<u32>,
    /// Virtual processors [default: the last value, else 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=255))]
    cpus: Option<u32>,
    /// The machine type, as QEMU names it [default: the last one, else pc]
    #[arg(long, value_name = "TYPE")]
    machine: Option<String>,
    /// Seconds until the guest has to be ready
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    timeout: u64,
    /// Do not wait for the guest
    #[arg(long)]
    no_wait: bool,
    /// Throw the machine's disk away first
    #[arg(long)]
    recreate: bool,
    /// kvm, hvf, nvmm or tcg [default: found out by running a tiny guest]
    #[arg(long, value_name = "NAME")]
    accel: Option<Accelerator>,
    /// Show the machine as JSON when it is up
    #[arg(long)]
    pub(super) json: bool,
}

impl UpArguments {
    pub(super) fn into_options(self, default_share: Option<PathBuf>) -> UpOptions {
        let writable = self.share_rw;
        let share = match self.share {
            _ if self.no_share => ShareChoice::None,
            Some(path) => ShareChoice::Directory { path, writable },
            None => ShareChoice::Remembered { default: default_share, writable },
        };
        UpOptions {
            image: self.image,
            machine: self.machine,
            memory_mib: self.memory,
            cpus: self.cpus,
            share,
            accelerator: self.accel,
            recreate: self.recreate,
            timeout: (!self.no_wait).then(|| Duration::from_secs(self.timeout)),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotArguments {
    /// The new snapshot's name; without it the snapshots are listed
    #[arg(value_parser = parse_name)]
    pub(super) snapshot: Option<VmName>,
    /// Remove this snapshot
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "snapshot", value_parser = parse_name)]
    pub(super) delete: Option<VmName>,
    /// List as JSON
    #[arg(long, conflicts_with_all = ["snapshot", "delete"])]
    pub(super) json: bool,
}
