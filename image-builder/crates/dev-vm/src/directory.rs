//! The directory of one machine: every path in it.

use crate::error::StateError;
use crate::files::{create_directory, file};
use crate::name::VmName;
use crate::private::PrivateDirectory;
use std::fs;
use std::path::{Path, PathBuf};

/// The sub-directory of the images' directory that holds the machines.
const MACHINES: &str = "vm";

/// Where one machine keeps everything that belongs to it.
#[derive(Clone, Debug)]
pub struct VmDirectory {
    images: PathBuf,
    path: PathBuf,
    private: PrivateDirectory,
    name: VmName,
}

impl VmDirectory {
    /// The directory `IMAGES/vm/NAME`, and the one below `state` for what no guest may see; nothing is created.
    ///
    /// # Errors
    /// [`StateError::Io`] when the working directory cannot be found out.
    pub fn new(images: &Path, state: &Path, name: VmName) -> Result<Self, StateError> {
        let images = std::path::absolute(images).map_err(|error| StateError::io("make absolute", images, error))?;
        let path = images.join(MACHINES).join(name.as_str());
        let private = PrivateDirectory::new(state, &path);
        Ok(Self { images, path, private, name })
    }

    /// All machines below the images' directory, sorted by name.
    ///
    /// # Errors
    /// [`StateError::Io`] when the directory exists but cannot be read.
    pub fn list(images: &Path, state: &Path) -> Result<Vec<Self>, StateError> {
        let directory = images.join(MACHINES);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StateError::io("read", &directory, error)),
        };
        let mut machines = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| StateError::io("read", &directory, error))?;
            if let Some(name) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                machines.push(Self::new(images, state, name)?);
            }
        }
        machines.retain(Self::exists);
        machines.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(machines)
    }

    /// The machine's name.
    #[must_use]
    pub fn name(&self) -> &VmName {
        &self.name
    }

    /// The directory with the images, in which the machines' directory is.
    #[must_use]
    pub fn images(&self) -> &Path {
        &self.images
    }

    /// The machine's own directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory with the files that no guest may see or change.
    #[must_use]
    pub fn private(&self) -> &Path {
        self.private.path()
    }

    /// The machine's settings; the machine exists when this file does, and the machine's directory.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.private.file(file::CONFIG)
    }

    /// What is known about the running, or last, boot.
    #[must_use]
    pub fn run_record(&self) -> PathBuf {
        self.private.file(file::RUN_RECORD)
    }

    /// The disk that takes all writes.
    #[must_use]
    pub fn overlay(&self) -> PathBuf {
        self.path.join(file::OVERLAY)
    }

    /// The disk under bhyve, which has no overlays.
    #[must_use]
    pub fn raw_disk(&self) -> PathBuf {
        self.path.join(file::RAW_DISK)
    }

    /// What that disk is a copy of.
    #[must_use]
    pub fn raw_disk_origin(&self) -> PathBuf {
        self.path.join(file::RAW_DISK_ORIGIN)
    }

    /// What libvirt was last told; there since the machine was handed to it for the first time.
    #[must_use]
    pub fn domain(&self) -> PathBuf {
        self.path.join(file::DOMAIN)
    }

    /// A name of this machine that no other has: that of its private directory, in the form of a uuid of one's own making.
    pub(crate) fn uuid(&self) -> String {
        let name = self.private.path().file_name().unwrap_or_default().to_string_lossy();
        format!("{}-{}-8{}-8{}-{}", &name[..8], &name[8..12], &name[13..16], &name[17..20], &name[20..32])
    }

    /// The firmware's variables.
    #[must_use]
    pub fn firmware_variables(&self) -> PathBuf {
        self.path.join(file::FIRMWARE_VARIABLES)
    }

    /// Everything that the guest ever wrote to its serial console.
    #[must_use]
    pub fn console_log(&self) -> PathBuf {
        self.path.join(file::CONSOLE_LOG)
    }

    /// What the hypervisor itself said during the last boot.
    #[must_use]
    pub fn hypervisor_log(&self) -> PathBuf {
        self.path.join("qemu.log")
    }

    /// The hypervisor's control socket.
    #[must_use]
    pub fn qmp_socket(&self) -> PathBuf {
        self.path.join(file::QMP_SOCKET)
    }

    /// The guest's serial console.
    #[must_use]
    pub fn serial_socket(&self) -> PathBuf {
        self.path.join(file::SERIAL_SOCKET)
    }

    /// The process number as the hypervisor wrote it; only worth something while [`Self::run_lock`] is held.
    #[must_use]
    pub fn hypervisor_pid(&self) -> PathBuf {
        self.path.join(file::QEMU_PID)
    }

    /// Held by the hypervisor for as long as it lives.
    #[must_use]
    pub fn run_lock(&self) -> PathBuf {
        self.path.join("run.lock")
    }

    /// Held by a verb that changes the machine.
    #[must_use]
    pub fn operation_lock(&self) -> PathBuf {
        self.path.join("operation.lock")
    }

    /// Held by the one who is attached to the serial console.
    #[must_use]
    pub fn console_lock(&self) -> PathBuf {
        self.path.join("console.lock")
    }

    /// The private half of the machine's key.
    #[must_use]
    pub fn ssh_key(&self) -> PathBuf {
        self.private.file(file::SSH_KEY)
    }

    /// The public half of the machine's key.
    #[must_use]
    pub fn ssh_public_key(&self) -> PathBuf {
        self.private.file(file::SSH_PUBLIC_KEY)
    }

    /// The guest's host keys as first seen.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.private.file(file::KNOWN_HOSTS)
    }

    /// The accelerator's probe result, shared by the machines of one images' directory.
    #[must_use]
    pub fn accelerator_cache(&self) -> PathBuf {
        self.images.join(MACHINES).join("accelerator.json")
    }

    /// Whether the machine was ever made.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path.is_dir() && self.config().is_file()
    }

    /// Makes both directories, for the owner only: they hold the guest's disk and a private key.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn create(&self) -> Result<(), StateError> {
        self.private.create()?;
        create_directory(&self.path)
    }

    /// Moves what an earlier version kept where guests can see it; the caller holds the machine's locks.
    pub(crate) fn hide_secrets(&self) -> Result<(), StateError> {
        self.private.adopt()
    }

    /// The error for a verb that needs a machine which was never made.
    ///
    /// # Errors
    /// [`StateError::NoVm`], naming the machines that do exist.
    pub fn require(&self) -> Result<(), StateError> {
        if self.exists() {
            return Ok(());
        }
        let state = self.private.path().parent().unwrap_or(Path::new("/"));
        let known = Self::list(&self.images, state)?;
        let missing = if self.path.is_dir() { self.config() } else { self.path.clone() };
        Err(StateError::NoVm {
            name: self.name.clone(),
            missing,
            known: known.iter().map(|machine| machine.name.to_string()).collect(),
        })
    }
}
