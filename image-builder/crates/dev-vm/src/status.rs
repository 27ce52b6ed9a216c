//! `status` and `list`: what can be known about a machine without disturbing it.

use crate::accelerator::Accelerator;
use crate::config::{Config, RunRecord};
use crate::error::StateError;
use crate::hypervisor::Hypervisor;
use crate::hypervisor::Share;
use crate::image::ImageIdentity;
use crate::qmp::Qmp;
use crate::ready::{ReadyWatch, Service};
use crate::{Vm, raw_disk};
use rustix::process::Pid;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// How long QEMU may take to answer.
const ANSWER: Duration = Duration::from_secs(1);

/// How far a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No process runs it.
    Stopped,
    /// It runs, or is about to, and the guest has not said that it is ready.
    Booting,
    /// It runs and the guest said that it is ready.
    Ready,
    /// It runs, and nobody but its terminal hears its guest.
    Running,
}

impl State {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Booting => "booting",
            Self::Ready => "ready",
            Self::Running => "running",
        }
    }
}

/// Everything that `status` shows.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The machine's name.
    pub name: String,
    /// How far it is.
    pub state: State,
    /// What runs it, or ran it last.
    pub hypervisor: Option<Hypervisor>,
    /// Its directory.
    pub directory: PathBuf,
    /// The directory with its settings and its key, which no guest is to see.
    pub private_directory: PathBuf,
    /// The hypervisor's process, while it runs.
    pub pid: Option<i32>,
    /// QEMU's own word for what the guest's processors do, while it answers: `running`, `paused`,
    /// `io-error` (the host's disk is full), `guest-panicked`, …
    pub run_state: Option<String>,
    /// The port on 127.0.0.1 that leads to the guest's port 22.
    pub ssh_port: Option<u16>,
    /// Its image.
    pub image: PathBuf,
    /// Why the machine's disk does not fit the image any more.
    pub image_changed: Option<String>,
    /// The guest's memory in MiB.
    pub memory_mib: u32,
    /// The number of virtual processors.
    pub cpus: u32,
    /// The host directory that the guest sees.
    pub share: Option<Share>,
    /// How guest code is, or was last, executed.
    pub accelerator: Option<Accelerator>,
    /// Why so.
    pub accelerator_reason: Option<String>,
    /// Seconds from the start until the guest was ready.
    pub ready_after_seconds: Option<f64>,
    /// What the guest said of its services when it was ready; they may have changed since.
    pub services: Vec<Service>,
    /// The log of the serial console.
    pub console_log: PathBuf,
    /// The names of the snapshots.
    pub snapshots: Vec<String>,
}

impl Vm {
    /// Looks at the machine.
    ///
    /// # Errors
    /// [`StateError::NoVm`] and what reading its files gives.
    pub fn status(&self) -> Result<Status, StateError> {
        self.directory.require()?;
        let missing = || StateError::io("read", &self.directory.config(), std::io::ErrorKind::NotFound.into());
        let config = Config::load(&self.directory)?.ok_or_else(missing)?;
        let record = RunRecord::load(&self.directory)?;
        let (state, services) = self.state(record.as_ref(), config.share.is_some())?;
        let is_bhyve = record.as_ref().is_some_and(|record| record.hypervisor.is_bhyve());
        let made_on = if is_bhyve { raw_disk::origin(&self.directory)? } else { config.overlay_of };
        let image_changed = match (&made_on, ImageIdentity::of(&config.image)) {
            (Some(made_on), Ok(now)) => made_on.change_to(&now),
            (Some(_), Err(error)) => Some(error.to_string()),
            (None, _) => None,
        };
        Ok(Status {
            name: self.directory.name().to_string(),
            state,
            hypervisor: record.as_ref().map(|record| record.hypervisor),
            directory: self.directory.path().to_owned(),
            private_directory: self.directory.private().to_owned(),
            pid: self.hypervisor_pid()?.map(Pid::as_raw_pid),
            run_state: self.run_state(state),
            ssh_port: config.ssh_port,
            image: config.image,
            image_changed,
            memory_mib: config.memory_mib,
            cpus: config.cpus,
            share: config.share,
            accelerator: record.as_ref().filter(|_| !is_bhyve).map(|record| record.accelerator),
            accelerator_reason: record.as_ref().filter(|_| !is_bhyve).map(|record| record.accelerator_reason.clone()),
            ready_after_seconds: record.and_then(|record| record.ready_after_seconds),
            services,
            console_log: self.directory.console_log(),
            snapshots: self.snapshot_names()?,
        })
    }

    /// Whether the guest sees a directory of the host.
    pub(crate) fn has_share(&self) -> Result<bool, StateError> {
        Ok(Config::load(&self.directory)?.is_some_and(|config| config.share.is_some()))
    }

    fn state(&self, record: Option<&RunRecord>, has_share: bool) -> Result<(State, Vec<Service>), StateError> {
        if !self.is_running()? {
            return Ok((State::Stopped, Vec::new()));
        }
        let Some(record) = record else {
            return Ok((State::Booting, Vec::new()));
        };
        let is_started = match record.hypervisor {
            // Without the file a start is just being prepared, and the record is that of the last boot.
            Hypervisor::Qemu => self.directory.hypervisor_pid().exists(),
            Hypervisor::Libvirt => self.runs_in_libvirt()?,
            Hypervisor::BhyveIllumos | Hypervisor::BhyveFreebsd => return Ok((State::Running, Vec::new())),
        };
        if !is_started {
            return Ok((State::Booting, Vec::new()));
        }
        let log = self.directory.console_log();
        // Not from the record alone: whoever would have written it may have been interrupted.
        let seen = ReadyWatch::new(&log, record.console_offset, has_share)
            .poll()
            .map_err(|error| StateError::io("read", &log, error))?;
        Ok(seen.map_or((State::Booting, Vec::new()), |services| (State::Ready, services)))
    }

    /// A QEMU that does not answer in time is not worth an error here: the rest of the status says enough.
    fn run_state(&self, state: State) -> Option<String> {
        if state == State::Stopped {
            return None;
        }
        let mut qmp = Qmp::connect(&self.directory.qmp_socket(), ANSWER).ok()?;
        let answer = qmp.execute("query-status", None).ok()?;
        answer["status"].as_str().map(str::to_owned)
    }

    /// The record of the running boot.
    pub(crate) fn running_record(&self) -> Result<RunRecord, StateError> {
        self.directory.require()?;
        let not_running = || StateError::NotRunning { name: self.directory.name().clone() };
        if !self.is_running()? {
            return Err(not_running());
        }
        let record = RunRecord::load(&self.directory)?.ok_or_else(not_running)?;
        if record.hypervisor.is_bhyve() {
            return Err(StateError::OnTerminal { name: self.directory.name().clone() });
        }
        Ok(record)
    }
}
