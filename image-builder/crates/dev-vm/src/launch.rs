//! Everything up to the point where the hypervisor's process could be started.

use crate::accelerator::{self, Acceleration};
use crate::config::{Config, DEFAULT_CPUS, DEFAULT_MEMORY_MIB, FORMAT};
use crate::error::{LaunchError, StateError};
use crate::files::remove_file;
use crate::firmware::{self, Firmware};
use crate::hypervisor::Share;
use crate::image::{self, ImageIdentity};
use crate::lock::{OperationLock, RunLock};
use crate::options::{Progress, ShareChoice, UpOptions};
use crate::overlay::{self, OverlayChoice};
use crate::qemu::Machine;
use crate::{Vm, keys, port};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The machine type: the one that the transitional devices of illumos are at home in.
const DEFAULT_MACHINE: &str = "pc";
/// How long a verb waits for another one to finish.
const OPERATION_PATIENCE: Duration = Duration::from_secs(10);

/// A machine that only has to be started, and the locks that keep it so.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) machine: Machine,
    pub(crate) config: Config,
    /// The settings as they were before.
    pub(crate) before: Option<Config>,
    pub(crate) acceleration: Acceleration,
    pub(crate) run_lock: RunLock,
    _operation: OperationLock,
}

/// The locks of a verb that changes a stopped machine.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) run_lock: RunLock,
    pub(crate) operation: OperationLock,
}

impl Vm {
    /// Takes both locks; `None` when the machine runs, also under libvirt, which holds none.
    pub(crate) fn lock_stopped(&self) -> Result<Option<Stopped>, StateError> {
        let operation = self.lock_operation()?;
        let Some(run_lock) = RunLock::try_acquire(&self.directory.run_lock())? else {
            return Ok(None);
        };
        if self.runs_in_libvirt()? {
            return Ok(None);
        }
        self.directory.hide_secrets()?;
        Ok(Some(Stopped { run_lock, operation }))
    }

    pub(crate) fn lock_operation(&self) -> Result<OperationLock, StateError> {
        OperationLock::acquire(&self.directory.operation_lock(), OPERATION_PATIENCE)
    }

    /// Makes everything that the machine needs and is not there yet.
    pub(crate) fn prepare(&self, options: &UpOptions, progress: &mut dyn Progress) -> Result<Prepared, LaunchError> {
        // What cannot work is found out before anything is made.
        let before = Config::load(&self.directory)?;
        let (mut config, image) = self.settings(options, before.as_ref())?;
        let firmware = self.firmware(&config.machine)?;
        let already_running = || LaunchError::AlreadyRunning { name: self.directory.name().clone() };
        if self.is_running()? {
            return Err(already_running());
        }
        self.warn_of_exposure(config.share.as_ref(), progress);
        let cache = self.directory.accelerator_cache();
        let acceleration = accelerator::choose(&self.host, &cache, options.accelerator)?;
        self.directory.create()?;
        let Stopped { run_lock, operation } = self.lock_stopped()?.ok_or_else(already_running)?;
        self.remove_stale_files()?;
        let public_key = keys::ensure(&self.directory)?;
        self.finish_interrupted_snapshot()?;
        self.prepare_overlay(&mut config, &image, options, progress)?;
        self.prepare_variables(&mut config, firmware.clone())?;
        let ssh_port = port::free_port(config.ssh_port).map_err(LaunchError::Port)?;
        config.ssh_port = Some(ssh_port);
        config.store(&self.directory)?;
        let machine = Machine {
            program: text_of(Path::new(&self.host.qemu))?,
            name: self.directory.name().clone(),
            machine: config.machine.clone(),
            accelerator: acceleration.accelerator,
            sandbox: acceleration.sandbox,
            memory_mib: config.memory_mib,
            cpus: config.cpus,
            firmware,
            share: config.share.clone(),
            ssh_port,
            public_key,
        };
        Ok(Prepared { machine, config, before, acceleration, run_lock, _operation: operation })
    }

    /// Goes back to the settings of before, but for what describes the disk as it is now.
    ///
    /// Settings are written down before the machine starts, so that a killed dev-vm leaves no machine that is not
    /// known. Those that the hypervisor refuses must not stay: the next `up` would fail with them, too.
    pub(crate) fn take_back_settings(&self, refused: &Config, before: Option<Config>) -> Result<(), StateError> {
        let Some(before) = before else {
            return remove_file(&self.directory.config());
        };
        let Config { image, overlay_of, firmware, reset_nvram, ssh_port, .. } = refused.clone();
        Config { image, overlay_of, firmware, reset_nvram, ssh_port, ..before }.store(&self.directory)
    }

    /// Removes what a killed hypervisor left behind; the caller holds the lock that says that none runs.
    pub(crate) fn remove_stale_files(&self) -> Result<(), StateError> {
        remove_file(&self.directory.qmp_socket())?;
        remove_file(&self.directory.serial_socket())?;
        remove_file(&self.directory.hypervisor_pid())
    }

    /// The settings: what was asked for, else what is remembered, else the defaults; and the image.
    pub(crate) fn settings(
        &self,
        options: &UpOptions,
        remembered: Option<&Config>,
    ) -> Result<(Config, ImageIdentity), LaunchError> {
        let image = match (&options.image, remembered) {
            (Some(image), _) => image.clone(),
            (None, Some(saved)) => saved.image.clone(),
            (None, None) => image::find(self.directory.images())?,
        };
        let image = ImageIdentity::of(&image)?;
        text_of(&image.path)?;
        let config = Config {
            format: FORMAT,
            image: image.path.clone(),
            machine: options
                .machine
                .clone()
                .or_else(|| remembered.map(|saved| saved.machine.clone()))
                .unwrap_or_else(|| DEFAULT_MACHINE.to_owned()),
            memory_mib: options.memory_mib.or(remembered.map(|saved| saved.memory_mib)).unwrap_or(DEFAULT_MEMORY_MIB),
            cpus: options.cpus.or(remembered.map(|saved| saved.cpus)).unwrap_or(DEFAULT_CPUS),
            share: share(&options.share, remembered)?,
            ssh_port: remembered.and_then(|saved| saved.ssh_port),
            overlay_of: remembered.and_then(|saved| saved.overlay_of.clone()),
            firmware: remembered.and_then(|saved| saved.firmware.clone()),
            reset_nvram: remembered.is_none_or(|saved| saved.reset_nvram),
        };
        Ok((config, image))
    }

    /// The firmware for a machine type, if that is one.
    fn firmware(&self, machine: &str) -> Result<Firmware, LaunchError> {
        let chosen = firmware::choose(&self.host.firmware_directories, self.host.guest_architecture(), machine);
        chosen.map_err(|error| {
            let known = firmware::machine_types(&self.host.qemu);
            if known.is_empty() || known.iter().any(|known| known == machine) {
                return error.into();
            }
            LaunchError::UnknownMachine { machine: machine.to_owned(), qemu: self.host.qemu.clone() }
        })
    }

    /// Says so when what is kept from guests lies in what is shown to them.
    pub(crate) fn warn_of_exposure(&self, share: Option<&Share>, progress: &mut dyn Progress) {
        let private = self.directory.private();
        if let Some(share) = share.filter(|share| private.starts_with(&share.path)) {
            progress.note(&format!(
                "warning: the guest can read this machine's key, which is in {}: {} is shared",
                private.display(),
                share.path.display()
            ));
        }
    }

    pub(crate) fn prepare_overlay(
        &self,
        config: &mut Config,
        image: &ImageIdentity,
        options: &UpOptions,
        progress: &mut dyn Progress,
    ) -> Result<(), LaunchError> {
        let made_on = config.overlay_of.as_ref();
        match overlay::choose(&self.directory, made_on, image, options.recreate)? {
            OverlayChoice::Keep => {}
            OverlayChoice::Create { reason } => {
                progress.note(&format!("making the machine's disk ({reason})"));
                self.start_from_image(config, image)?;
            }
        }
        Ok(())
    }

    /// Throws away what the guest wrote: its disk, the firmware's variables and the host keys we know.
    pub(crate) fn start_from_image(&self, config: &mut Config, image: &ImageIdentity) -> Result<(), LaunchError> {
        overlay::create_on_image(&self.directory, image)?;
        config.overlay_of = Some(image.clone());
        config.firmware = None;
        // libvirt keeps variables of its own, and throws them away at its next start of the machine.
        config.reset_nvram = true;
        remove_file(&self.directory.firmware_variables())?;
        remove_file(&self.directory.known_hosts())?;
        // Written at once: an overlay whose image is not known would have to be thrown away.
        Ok(config.store(&self.directory)?)
    }

    /// Copies the firmware's variables, unless there are some that belong to the same firmware.
    fn prepare_variables(&self, config: &mut Config, firmware: Firmware) -> Result<(), LaunchError> {
        let path = self.directory.firmware_variables();
        if config.firmware.as_ref() == Some(&firmware) && path.exists() {
            return Ok(());
        }
        let template =
            fs::read(&firmware.variables).map_err(|error| StateError::io("read", &firmware.variables, error))?;
        crate::files::write_file(&path, &template)?;
        config.firmware = Some(firmware);
        Ok(())
    }
}

fn share(choice: &ShareChoice, saved: Option<&Config>) -> Result<Option<Share>, LaunchError> {
    let remembered = saved.and_then(|saved| saved.share.as_ref());
    let (path, writable) = match choice {
        ShareChoice::None => return Ok(None),
        ShareChoice::Directory { path, writable } => (path.clone(), *writable),
        ShareChoice::Remembered { default, writable } => {
            // A machine that was made without a share stays without, unless a writable one is wanted.
            let default = default.as_ref().filter(|_| saved.is_none() || *writable);
            match (remembered, default) {
                (Some(share), _) => (share.path.clone(), *writable || share.writable),
                (None, Some(default)) => (default.clone(), *writable),
                (None, None) => return Ok(None),
            }
        }
    };
    let error = |source| LaunchError::Share { path: path.clone(), source };
    let absolute = fs::canonicalize(&path).map_err(error)?;
    if !absolute.is_dir() {
        return Err(error(std::io::ErrorKind::NotADirectory.into()));
    }
    text_of(&absolute)?;
    Ok(Some(Share { path: absolute, writable }))
}

/// The path as text: the command and the settings are written down as text.
pub(crate) fn text_of(path: &Path) -> Result<String, StateError> {
    path.to_str().map(str::to_owned).ok_or_else(|| StateError::NotText { path: PathBuf::from(path) })
}
