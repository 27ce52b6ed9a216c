//! `up` with a hypervisor that is not QEMU, and the description that they all get.
//!
//! bhyve runs in the foreground with the guest's console on the terminal, and is started again for as long as the
//! guest asks for that. libvirt is handed the domain, and what it writes of the console is watched as QEMU's log is.

use crate::accelerator::{self, Accelerator};
use crate::config::{Config, FORMAT, RunRecord};
use crate::console_log;
use crate::error::{LaunchError, StateError};
use crate::files::write_file;
use crate::hypervisor::{Description, Hypervisor, bhyve_command, bhyve_unmet, command_line, libvirt_domain};
use crate::image::DiskFormat;
use crate::launch::Stopped;
use crate::libvirt::CONNECTION;
use crate::lock::RunLock;
use crate::options::{Progress, UpOptions};
use crate::ready::ReadyWatch;
use crate::up::Ready;
use crate::{Vm, keys, port, raw_disk};
use process_runner::Command;
use std::path::Path;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(250);
/// bhyve's exit status for an error of its own: it could not make the machine, or not go on with it.
const BHYVE_REFUSES: i32 = 4;

/// How a machine under another hypervisor goes on.
#[derive(Debug)]
pub enum Foreign {
    /// bhyve's guest powered off.
    Ended,
    /// libvirt runs it.
    Running {
        /// How far it is.
        ready: Ready,
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
        self.directory().create()?;
        let Stopped { run_lock, operation } = self.lock_stopped()?.ok_or_else(|| self.already_running())?;
        self.remove_stale_files()?;
        let before = Config::load(self.directory())?;
        let (config, image) = self.settings(options, before.as_ref())?;
        self.warn_of_exposure(config.share.as_ref(), progress);
        raw_disk::prepare(self.directory(), &image, options.recreate, progress)?;
        config.store(self.directory())?;
        self.record_foreign(hypervisor, argv.clone(), &description)?;
        // From here on others may look at the machine, and stop it.
        drop(operation);
        progress.note("the console is this terminal; log in as root, and `poweroff` ends the machine");
        let ended = run_bhyve(hypervisor, &argv, &run_lock);
        if let Err(LaunchError::Foreign { .. } | LaunchError::Bhyve { status: BHYVE_REFUSES, .. }) = ended {
            // What went wrong with the start is what counts.
            let _ = self.take_back_settings(&config, before);
        }
        ended
    }

    /// The machine in the hypervisor's own terms.
    pub(crate) fn print_for(&self, hypervisor: Hypervisor, options: &UpOptions) -> Result<String, LaunchError> {
        let description = self.description(hypervisor, options)?;
        if hypervisor == Hypervisor::Libvirt {
            return Ok(libvirt_domain(&description)?);
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
            uuid: self.directory().uuid(),
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
        let description = self.description(Hypervisor::Libvirt, options)?;
        let domain = libvirt_domain(&description)?;
        let locks = self.lock_stopped()?.ok_or_else(|| self.already_running())?;
        self.remove_stale_files()?;
        self.finish_interrupted_snapshot()?;
        let before = Config::load(self.directory())?;
        let (mut config, image) = self.settings(options, before.as_ref())?;
        self.warn_of_exposure(config.share.as_ref(), progress);
        self.prepare_overlay(&mut config, &image, options, progress)?;
        config.ssh_port = Some(description.ssh_port);
        config.reset_nvram |= !self.directory().domain().exists();
        config.store(self.directory())?;
        let argv = ["virsh", "--connect", CONNECTION, "start", &self.domain_name()].map(str::to_owned).to_vec();
        let record = self.record_foreign(Hypervisor::Libvirt, argv, &description)?;
        write_file(&self.directory().domain(), domain.as_bytes())?;
        let started = Instant::now();
        if let Err(error) = self.start_in_libvirt(config.reset_nvram) {
            // What went wrong with the start is what counts.
            let _ = self.take_back_settings(&config, before);
            return Err(error);
        }
        config.reset_nvram = false;
        config.store(self.directory())?;
        // From here on libvirt says that the machine runs.
        drop(locks);
        progress.note(&format!("libvirt runs {}", self.domain_name()));
        let mut ready = Ready { after: None, ssh_port: description.ssh_port, services: Vec::new() };
        if let Some(timeout) = options.timeout {
            ready.services = self.wait_for(record, (started, timeout), progress)?;
            ready.after = Some(started.elapsed());
        }
        Ok(Foreign::Running { ready })
    }

    fn already_running(&self) -> LaunchError {
        LaunchError::AlreadyRunning { name: self.directory().name().clone() }
    }

    /// Writes down what is about to be started, and by whom.
    fn record_foreign(
        &self,
        hypervisor: Hypervisor,
        argv: Vec<String>,
        description: &Description,
    ) -> Result<RunRecord, StateError> {
        let log = &description.console_log;
        let record = RunRecord {
            format: FORMAT,
            hypervisor,
            argv,
            accelerator: description.accelerator,
            accelerator_reason: format!("what {hypervisor} is told"),
            ssh_port: description.ssh_port,
            console_offset: console_log::length(log).map_err(|error| StateError::io("read", log, error))?,
            ready_after_seconds: None,
        };
        record.store(self.directory())?;
        Ok(record)
    }

    /// Waits for the guest's word on the console.
    fn wait_for(
        &self,
        mut record: RunRecord,
        (started, timeout): (Instant, Duration),
        progress: &mut dyn Progress,
    ) -> Result<Vec<crate::Service>, LaunchError> {
        let (log, offset) = (self.directory().console_log(), record.console_offset);
        let mut watch = ReadyWatch::new(&log, offset, self.has_share()?);
        let console = || console_log::tail(&log, offset, console_log::TAIL_LINES).unwrap_or_default();
        loop {
            // First the machine, then the log: what it wrote last is read after it ended.
            let runs = self.runs_in_libvirt()?;
            let (seen, after) = (watch.poll(), started.elapsed());
            if let Some(services) = seen.map_err(|error| StateError::io("read", &log, error))? {
                record.ready_after_seconds = Some(after.as_secs_f64());
                record.store(self.directory())?;
                return Ok(services);
            }
            if !runs {
                let ending = "libvirt does not run it any more".to_owned();
                return Err(LaunchError::Died { ending, after, said: Vec::new(), console: console() });
            }
            if after >= timeout {
                return Err(LaunchError::NotReady { after: timeout, console: console() });
            }
            if progress.waiting(after).is_break() {
                return Err(LaunchError::Interrupted);
            }
            std::thread::sleep(POLL);
        }
    }
}

/// Runs bhyve until the guest is powered off. It inherits the lock: where we are killed it goes on, and still has it.
fn run_bhyve(hypervisor: Hypervisor, argv: &[String], run_lock: &RunLock) -> Result<Foreign, LaunchError> {
    let failed = |source| LaunchError::Foreign { hypervisor, source };
    let name = argv.last().map_or("", String::as_str);
    let destroy = || Command::new("bhyvectl").arg(format!("--vm={name}")).arg("--destroy").run();
    let hand_over = |error| StateError::io("hand over the lock to", Path::new(&argv[0]), error);
    let command = Command::new(&argv[0]).args(&argv[1..]);
    loop {
        let status = run_lock.inherited_by(|| command.run_interactive()).map_err(hand_over)?.map_err(failed)?;
        if status == BHYVE_REFUSES {
            // Nothing was made, or the name is that of a machine which another bhyve runs: it is not ours to destroy.
            let (name, meaning) = (name.to_owned(), "an error of bhyve's own, which it has told above");
            return Err(LaunchError::Bhyve { name, status, meaning });
        }
        // What is left of a machine keeps its name from being used again. None is left after some failures.
        let _ = destroy();
        let meaning = match status {
            0 => continue,
            1 | 2 => return Ok(Foreign::Ended),
            3 => "triple fault",
            _ => "unknown",
        };
        return Err(LaunchError::Bhyve { name: name.to_owned(), status, meaning });
    }
}
