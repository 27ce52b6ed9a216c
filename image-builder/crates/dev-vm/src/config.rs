//! What is remembered about a machine: its settings, and its present boot.

use crate::accelerator::Accelerator;
use crate::directory::VmDirectory;
use crate::error::StateError;
use crate::files::{load, store};
use crate::firmware::Firmware;
use crate::hypervisor::{Hypervisor, Share};
use crate::image::ImageIdentity;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The version of both files; a newer one is refused instead of half understood.
pub const FORMAT: u32 = 1;
/// The guest's memory unless something else is asked for.
pub const DEFAULT_MEMORY_MIB: u32 = 2048;
/// The guest's processors unless something else is asked for.
pub const DEFAULT_CPUS: u32 = 2;

/// `vm.json`: the settings of a machine, kept from one `up` to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// [`FORMAT`].
    pub format: u32,
    /// The image whose overlay the machine writes to, absolute.
    pub image: PathBuf,
    /// The machine type, as QEMU names it.
    pub machine: String,
    /// The guest's memory in MiB.
    pub memory_mib: u32,
    /// The number of virtual processors.
    pub cpus: u32,
    /// The host directory that the guest sees.
    pub share: Option<Share>,
    /// The port on 127.0.0.1 that leads to the guest's port 22.
    pub ssh_port: Option<u16>,
    /// What the image looked like when the overlay was made.
    pub overlay_of: Option<ImageIdentity>,
    /// The firmware that the variables belong to.
    pub firmware: Option<Firmware>,
    /// Whether libvirt is still to throw away the variables of its own, which are about an earlier disk. Earlier versions did
    /// not write it down.
    #[serde(default)]
    pub reset_nvram: bool,
}

/// `run.json`: what is known about the running, or else the last, boot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// What runs, or ran, the machine. Earlier versions wrote a record under QEMU only.
    #[serde(default)]
    pub hypervisor: Hypervisor,
    /// The exact argument vector of the hypervisor; for libvirt, that of the program which has started it.
    pub argv: Vec<String>,
    /// How the guest's code is executed.
    pub accelerator: Accelerator,
    /// Why that accelerator was chosen.
    pub accelerator_reason: String,
    /// The port on 127.0.0.1 that leads to the guest's port 22.
    pub ssh_port: u16,
    /// Where in the console's log this boot begins, in bytes.
    pub console_offset: u64,
    /// Seconds from the start until the guest said that it is ready.
    pub ready_after_seconds: Option<f64>,
}

impl Config {
    /// Reads the settings; `None` when the machine was never made.
    ///
    /// # Errors
    /// [`StateError::Io`], [`StateError::Parse`].
    pub fn load(directory: &VmDirectory) -> Result<Option<Self>, StateError> {
        if !directory.exists() {
            return Ok(None);
        }
        load(&directory.config())
    }

    /// Writes the settings by rename.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn store(&self, directory: &VmDirectory) -> Result<(), StateError> {
        store(&directory.config(), self)
    }
}

impl RunRecord {
    /// Reads the record; `None` when the machine was never started.
    ///
    /// # Errors
    /// [`StateError::Io`], [`StateError::Parse`].
    pub fn load(directory: &VmDirectory) -> Result<Option<Self>, StateError> {
        if !directory.exists() {
            return Ok(None);
        }
        load(&directory.run_record())
    }

    /// Writes the record by rename.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn store(&self, directory: &VmDirectory) -> Result<(), StateError> {
        store(&directory.run_record(), self)
    }
}
