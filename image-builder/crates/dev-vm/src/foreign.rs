//! `up` with a hypervisor that is not QEMU, and the description that they all get.
//!
//! bhyve runs in the foreground with the guest's console on the terminal, and is started again for as long as the
//! guest asks for that. libvirt is handed the domain, and what it writes of the console is watched as QEMU's log is.

use crate::Vm;
use crate::accelerator::{self, Accelerator};
use crate::config::Config;
use crate::console_log;
use crate::directory::write_file;
use crate::error::{LaunchError, StateError};
use crate::hypervisor::{Description, Hypervisor, bhyve_command, bhyve_unmet, command_line, libvirt_domain};
use crate::image::DiskFormat;
use crate::lock::RunLock;
use crate::options::{Progress, UpOptions};
use crate::ready::ReadyWatch;
use crate::up::Ready;
use crate::{keys, port};
use process_runner::{Command, CommandError};
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The user's own libvirt, which needs no privileges.
const CONNECTION: &str = "qemu:///session";
const POLL: Duration = Duration::from_millis(250);

/// How a machine under another hypervisor goes on.
#[derive(Debug)]
pub enum Foreign {
    /// bhyve's guest powered off.
    Ended,
    /// libvirt runs it.
    Running {
        /// How far it is.
        ready: Ready,
        /// Commands for what the other verbs do under QEMU: enter, console, stop.
        commands: [String; 3],
    },
}

impl Vm {
    /// Runs the machine with bhyve or libvirt.
    ///
    /// # Errors
    /// [`LaunchError`].
    pub fn up_with(
        &self,
        hypervisor: Hypervisor,
        options: &UpOptions,
        progress: &mut dyn Progress,
    ) -> Result<Foreign, LaunchError> {
        if hypervisor == Hypervisor::Libvirt {
            return self.up_with_libvirt(options, progress);
        }
        let description = self.description(hypervisor, options)?;
        let argv = bhyve_command(hypervisor, &description, &self.host().bhyve)?;
        let unmet = bhyve_unmet(hypervisor, &self.host().bhyve);
        if !unmet.is_empty() {
            return Err(LaunchError::Unmet { hypervisor, unmet });
        }
        let already_running = || LaunchError::AlreadyRunning { name: self.directory().name().clone() };
        self.directory().create()?;
        // Held while bhyve runs, by us: the disk has one user.
        let _lock = RunLock::try_acquire(&self.directory().run_lock())?.ok_or_else(already_running)?;
        let before = Config::load(self.directory())?;
        self.settings(options, before.as_ref())?.0.store(self.directory())?;
        copy_image(&description, options.recreate, progress)?;
        progress.note("the console is this terminal; log in as root, and `poweroff` ends the machine");
        run_bhyve(hypervisor, &argv)
    }

    /// The machine in the hypervisor's own terms.
    pub(crate) fn print_for(&self, hypervisor: Hypervisor, options: &UpOptions) -> Result<String, LaunchError> {
        let description = self.description(hypervisor, options)?;
        if hypervisor == Hypervisor::Libvirt {
            return Ok(libvirt_domain(&description));
        }
        let argv = bhyve_command(hypervisor, &description, &self.host().bhyve)?;
        let (image, disk) = (description.image.as_os_str(), description.disk.as_os_str());
        let [image, disk] = [image, disk].map(process_runner::shell_quote);
        Ok(format!(
            "# bhyve writes to its disk, so that is a copy: cp {image} {disk}\n\
             # It runs as root, and ends with 0 when the guest wants to be started again. At the end:\n\
             # bhyvectl --vm={} --destroy\n{}",
            argv.last().map_or("", String::as_str),
            command_line(&argv, self.directory().path())
        ))
    }

    fn description(&self, hypervisor: Hypervisor, options: &UpOptions) -> Result<Description, LaunchError> {
        let remembered = Config::load(self.directory())?;
        let (config, image) = self.settings(options, remembered.as_ref())?;
        let is_bhyve = hypervisor != Hypervisor::Libvirt;
        self.directory().create()?;
        let public_key = if is_bhyve { String::new() } else { keys::ensure(self.directory())? };
        let (disk, disk_format) = match is_bhyve {
            true => (self.directory().raw_disk(), image.format),
            false => (self.directory().overlay(), DiskFormat::Qcow2),
        };
        Ok(Description {
            name: self.directory().name().clone(),
            disk,
            disk_format,
            image: image.path,
            machine: config.machine,
            accelerator: self.accelerator_of(options.accelerator),
            memory_mib: config.memory_mib,
            cpus: config.cpus,
            share: config.share,
            ssh_port: port::free_port(config.ssh_port).map_err(LaunchError::Port)?,
            public_key,
            console_log: self.directory().console_log(),
        })
    }

    /// What was asked for, else what QEMU has shown to work here, else what nearly every host has.
    fn accelerator_of(&self, wanted: Option<Accelerator>) -> Accelerator {
        let cache = self.directory().accelerator_cache();
        let has_qemu = Path::new(&self.host().qemu).is_absolute();
        let probed = || accelerator::choose(self.host(), &cache, None).map(|found| found.accelerator).ok();
        wanted.or_else(|| has_qemu.then(probed).flatten()).unwrap_or(Accelerator::Kvm)
    }

    fn up_with_libvirt(&self, options: &UpOptions, progress: &mut dyn Progress) -> Result<Foreign, LaunchError> {
        let before = Config::load(self.directory())?;
        let (mut config, image) = self.settings(options, before.as_ref())?;
        let description = self.description(Hypervisor::Libvirt, options)?;
        self.prepare_overlay(&mut config, &image, options, progress)?;
        config.ssh_port = Some(description.ssh_port);
        config.store(self.directory())?;
        let log = &description.console_log;
        let offset = console_log::length(log).map_err(|error| StateError::io("read", log, error))?;
        let file = self.directory().path().join("domain.xml");
        write_file(&file, libvirt_domain(&description).as_bytes())?;
        let started = Instant::now();
        virsh(&["define", "--validate", &file.to_string_lossy()])?;
        let domain = format!("dev-vm-{}", description.name);
        virsh(&["start", &domain])?;
        progress.note(&format!("libvirt runs {domain}"));
        let mut ready = Ready { after: None, ssh_port: description.ssh_port, services: Vec::new() };
        if let Some(timeout) = options.timeout {
            let watch = ReadyWatch::new(log, offset, description.share.is_some());
            ready.services = wait_for(watch, (log, offset), (started, timeout), progress)?;
            ready.after = Some(started.elapsed());
        }
        let key = process_runner::shell_quote(self.directory().ssh_key().as_os_str());
        let commands = [
            format!("ssh -i {key} -p {} root@127.0.0.1", ready.ssh_port),
            format!("virsh -c {CONNECTION} console {domain}"),
            format!("virsh -c {CONNECTION} shutdown {domain}"),
        ];
        Ok(Foreign::Running { ready, commands })
    }
}

/// bhyve has no overlays: what the guest writes to is a copy, made once.
fn copy_image(description: &Description, recreate: bool, progress: &mut dyn Progress) -> Result<(), StateError> {
    let disk = &description.disk;
    if disk.exists() && !recreate {
        return Ok(());
    }
    progress.note(&format!("copying {} to {}", description.image.display(), disk.display()));
    let partial = PathBuf::from(format!("{}.new", disk.display()));
    let copied = File::create(&partial).and_then(|mut to| {
        std::io::copy(&mut File::open(&description.image)?, &mut to)?;
        to.sync_all()?;
        fs::rename(&partial, disk)
    });
    copied.map_err(|error| StateError::io("copy the image to", disk, error))
}

/// Runs bhyve until the guest is powered off.
fn run_bhyve(hypervisor: Hypervisor, argv: &[String]) -> Result<Foreign, LaunchError> {
    let failed = |source| LaunchError::Foreign { hypervisor, source };
    let name = argv.last().map_or("", String::as_str);
    let destroy = || Command::new("bhyvectl").arg(format!("--vm={name}")).arg("--destroy").run();
    loop {
        let status = Command::new(&argv[0]).args(&argv[1..]).run_interactive().map_err(failed)?;
        // What is left of a machine keeps its name from being used again. None is left after some failures.
        let _ = destroy();
        let meaning = match status {
            0 => continue,
            1 | 2 => return Ok(Foreign::Ended),
            3 => "triple fault",
            4 => "an error of bhyve's own, which it has told above",
            _ => "unknown",
        };
        return Err(LaunchError::Bhyve { status, meaning });
    }
}

fn virsh(arguments: &[&str]) -> Result<(), LaunchError> {
    let command = Command::new("virsh").args(["--connect", CONNECTION, "--quiet"]).args(arguments);
    command.deadline(Duration::from_secs(120)).run().map(drop).map_err(why_libvirt_fails)
}

/// Some libvirts refuse the network's back end, whether passt is installed or not, and name nothing else.
fn why_libvirt_fails(source: CommandError) -> LaunchError {
    let hypervisor = Hypervisor::Libvirt;
    if !source.to_string().contains("'passt'") {
        return LaunchError::Foreign { hypervisor, source };
    }
    let needs = "the machine's network needs passt, and a libvirt that was built for it, as Debian 12's was not";
    LaunchError::Unmet { hypervisor, unmet: vec![format!("{needs} (`--hypervisor qemu` needs neither): {source}")] }
}

/// Waits for the guest's word on the console.
fn wait_for(
    mut watch: ReadyWatch,
    (log, offset): (&Path, u64),
    (started, timeout): (Instant, Duration),
    progress: &mut dyn Progress,
) -> Result<Vec<crate::Service>, LaunchError> {
    loop {
        let seen = watch.poll().map_err(|error| StateError::io("read", log, error))?;
        if let Some(services) = seen {
            return Ok(services);
        }
        if started.elapsed() >= timeout {
            let console = console_log::tail(log, offset, console_log::TAIL_LINES).unwrap_or_default();
            return Err(LaunchError::NotReady { after: timeout, console });
        }
        if let ControlFlow::Break(()) = progress.waiting(started.elapsed()) {
            return Err(LaunchError::Interrupted);
        }
        std::thread::sleep(POLL);
    }
}
