//! `up`: starts the machine and waits until the guest says that it is ready.

use crate::Vm;
use crate::config::{FORMAT, RunRecord};
use crate::console_log::{self, TAIL_LINES};
use crate::error::{LaunchError, StateError};
use crate::hypervisor::Hypervisor;
use crate::launch::Prepared;
use crate::options::{Progress, UpOptions};
use crate::port;
use crate::qmp::Qmp;
use crate::ready::{ReadyWatch, Service};
use process_runner::{Command, Detached};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// How long the hypervisor may take until it takes commands.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How often a port that somebody else took in the meantime is replaced.
const PORT_ATTEMPTS: usize = 5;
/// A console log longer than this is put aside at the next start.
const LOG_LIMIT: u64 = 16 << 20;
const POLL: Duration = Duration::from_millis(50);
/// What QEMU says when a forwarded port is taken.
const PORT_TAKEN: &str = "Could not set up host forwarding rule";

/// A machine that was started.
#[derive(Clone, Debug, PartialEq)]
pub struct Ready {
    /// From the start of the hypervisor until the guest was ready; `None` when nobody waited for that.
    pub after: Option<Duration>,
    /// The port on 127.0.0.1 that leads to the guest's port 22.
    pub ssh_port: u16,
    /// What the guest said of its services when it was ready.
    pub services: Vec<Service>,
}

impl Vm {
    /// Starts the machine, making what is not there yet, and waits for the guest.
    ///
    /// # Errors
    /// Every [`LaunchError`]. After [`LaunchError::NotReady`] and [`LaunchError::Interrupted`] the machine still runs.
    pub fn up(&self, options: &UpOptions, progress: &mut dyn Progress) -> Result<Ready, LaunchError> {
        let mut prepared = self.prepare(options, progress)?;
        progress.note(&format!(
            "starting `{}` on {} ({}: {})",
            self.directory.name(),
            prepared.config.image.display(),
            prepared.acceleration.accelerator,
            prepared.acceleration.reason,
        ));
        let started = Instant::now();
        let (child, record) = match self.start(&mut prepared) {
            Ok(started) => started,
            Err(error) => {
                // What went wrong with the start is what counts.
                let _ = self.take_back_settings(&prepared.config, prepared.before.clone());
                return Err(error);
            }
        };
        // From here on others may look at the machine, and stop it: the run lock is the child's now.
        drop(prepared);
        match options.timeout {
            None => Ok(Ready { after: None, ssh_port: record.ssh_port, services: Vec::new() }),
            Some(timeout) => self.wait_for_guest(child, record, started, timeout, progress),
        }
    }

    /// Starts the hypervisor, with another port when somebody was faster.
    fn start(&self, prepared: &mut Prepared) -> Result<(Detached, RunRecord), LaunchError> {
        for _ in 0..PORT_ATTEMPTS {
            let record = self.record(prepared)?;
            match self.start_once(prepared, &record.argv)? {
                Ok(child) => return Ok((child, record)),
                Err(PortTaken) => {
                    // The port was free a moment ago: any other will do.
                    let port = port::free_port(None).map_err(LaunchError::Port)?;
                    prepared.machine.ssh_port = port;
                    prepared.config.ssh_port = Some(port);
                    prepared.config.store(&self.directory)?;
                }
            }
        }
        Err(LaunchError::Port(std::io::ErrorKind::AddrInUse.into()))
    }

    /// Writes down what is about to be started, so that a killed dev-vm loses nothing.
    fn record(&self, prepared: &Prepared) -> Result<RunRecord, StateError> {
        let log = self.directory.console_log();
        let offset = console_log::length(&log).map_err(|error| StateError::io("read", &log, error))?;
        let offset = if offset > LOG_LIMIT {
            let old = log.with_extension("log.old");
            fs::rename(&log, &old).map_err(|error| StateError::io("put aside", &log, error))?;
            0
        } else {
            offset
        };
        let record = RunRecord {
            format: FORMAT,
            hypervisor: Hypervisor::Qemu,
            argv: prepared.machine.argv(),
            accelerator: prepared.acceleration.accelerator,
            accelerator_reason: prepared.acceleration.reason.clone(),
            ssh_port: prepared.machine.ssh_port,
            console_offset: offset,
            ready_after_seconds: None,
        };
        record.store(&self.directory)?;
        Ok(record)
    }

    /// Starts the hypervisor once and waits until it takes commands.
    fn start_once(&self, prepared: &Prepared, argv: &[String]) -> Result<Result<Detached, PortTaken>, LaunchError> {
        // Also what an attempt with a taken port left.
        self.remove_stale_files()?;
        let log_path = self.directory.hypervisor_log();
        let log = File::create(&log_path).map_err(|e| StateError::io("create", &log_path, e))?;
        let command = Command::new(&argv[0]).args(&argv[1..]).current_dir(self.directory.path());
        let lock_path = self.directory.run_lock();
        let mut child = prepared
            .run_lock
            .inherited_by(|| command.spawn_detached(&log))
            .map_err(|error| StateError::io("hand over", &lock_path, error))?
            .map_err(LaunchError::Start)?;
        let until = Instant::now() + START_DEADLINE;
        loop {
            if Qmp::connect(&self.directory.qmp_socket(), START_DEADLINE).is_ok() {
                return Ok(Ok(child));
            }
            let ended = child.try_wait().map_err(|e| StateError::io("wait for", &log_path, e))?;
            let ending = match ended {
                Some(status) => ending(status),
                None if Instant::now() < until => {
                    std::thread::sleep(POLL);
                    continue;
                }
                None => {
                    child.kill();
                    format!("it took no commands for {} s", START_DEADLINE.as_secs())
                }
            };
            let said = last_lines(&log_path);
            if said.iter().any(|line| line.contains(PORT_TAKEN)) {
                return Ok(Err(PortTaken));
            }
            return Err(LaunchError::Rejected { ending, said });
        }
    }

    fn wait_for_guest(
        &self,
        mut child: Detached,
        mut record: RunRecord,
        started: Instant,
        timeout: Duration,
        progress: &mut dyn Progress,
    ) -> Result<Ready, LaunchError> {
        let log = self.directory.console_log();
        let read = |error| StateError::io("read", &log, error);
        let mut watch = ReadyWatch::new(&log, record.console_offset, self.has_share()?);
        let console = || console_log::tail(&log, record.console_offset, TAIL_LINES);
        loop {
            // First the process, then the log: what it wrote last is read after it ended.
            let ended = child.try_wait().map_err(read)?;
            let elapsed = started.elapsed();
            if let Some(services) = watch.poll().map_err(read)? {
                record.ready_after_seconds = Some(elapsed.as_secs_f64());
                record.store(&self.directory)?;
                return Ok(Ready { after: Some(elapsed), ssh_port: record.ssh_port, services });
            }
            if let Some(status) = ended {
                return Err(LaunchError::Died {
                    ending: ending(status),
                    after: elapsed,
                    said: last_lines(&self.directory.hypervisor_log()),
                    console: console().map_err(read)?,
                });
            }
            if elapsed >= timeout {
                return Err(LaunchError::NotReady { after: timeout, console: console().map_err(read)? });
            }
            if progress.waiting(elapsed).is_break() {
                return Err(LaunchError::Interrupted);
            }
            std::thread::sleep(POLL);
        }
    }
}

/// Somebody listens on the chosen port by now.
struct PortTaken;

/// How a process ended, in words.
fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "the guest powered off, or somebody stopped it".to_owned(),
        (Some(code), _) => format!("QEMU ended with exit status {code}"),
        (None, Some(signal)) => format!("QEMU was ended by signal {signal}"),
        (None, None) => "QEMU ended in an unknown way".to_owned(),
    }
}

/// The end of QEMU's own log; a log that cannot be read has nothing to add to the error it is for.
fn last_lines(path: &Path) -> Vec<String> {
    console_log::tail(path, 0, TAIL_LINES).unwrap_or_default()
}
