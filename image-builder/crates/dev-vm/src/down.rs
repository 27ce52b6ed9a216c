//! `down`: asks the guest to power off, and insists when it does not.

use crate::Vm;
use crate::config::RunRecord;
use crate::error::{ControlError, StateError};
use crate::hypervisor::Hypervisor;
use crate::lock;
use crate::qmp::Qmp;
use process_runner::Command;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::time::{Duration, Instant};

/// How long QEMU may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// A guest that is just booting misses the first press of the power button.
const PRESS_AGAIN: Duration = Duration::from_secs(10);
/// How long QEMU may take to end after it was told to, and to die after it was killed.
const INSIST: Duration = Duration::from_secs(5);

/// What is asked of `down`.
#[derive(Clone, Copy, Debug)]
pub struct DownOptions {
    /// Whether the guest is not even asked.
    pub force: bool,
    /// How long the guest may take to power off.
    pub timeout: Duration,
}

/// How the machine came to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It was not running.
    WasNotRunning,
    /// The guest powered off by itself.
    PoweredOff,
    /// The hypervisor was told to end; what the guest had not written is lost.
    Quit,
    /// QEMU was killed, because it did not answer.
    Killed,
}

impl Vm {
    /// Stops the machine.
    ///
    /// # Errors
    /// [`ControlError::State`], or [`ControlError::Unkillable`] when even killing did not help.
    pub fn down(&self, options: DownOptions) -> Result<Stopped, ControlError> {
        self.directory.require()?;
        let _operation = self.lock_operation()?;
        if !self.is_running()? {
            return Ok(Stopped::WasNotRunning);
        }
        if self.runs_in_libvirt()? {
            return self.down_in_libvirt(options);
        }
        let record = RunRecord::load(&self.directory)?;
        if let Some(record) = record.filter(|record| record.hypervisor.is_bhyve()) {
            return self.down_in_bhyve(&record, options);
        }
        if !options.force && self.power_off(options.timeout)? {
            return Ok(Stopped::PoweredOff);
        }
        if self.quit()? {
            return Ok(Stopped::Quit);
        }
        self.kill()
    }

    /// Whether the machine runs: whether its process holds the lock, or libvirt says so.
    ///
    /// # Errors
    /// [`StateError::Io`], [`StateError::Libvirt`].
    pub fn is_running(&self) -> Result<bool, StateError> {
        Ok(lock::is_held(&self.directory.run_lock())? || self.runs_in_libvirt()?)
    }

    /// Switches the machine off. Its process is root's, and of its guest bhyve knows no more than that it runs.
    fn down_in_bhyve(&self, record: &RunRecord, options: DownOptions) -> Result<Stopped, ControlError> {
        let (hypervisor, name) = (record.hypervisor, self.directory.name().clone());
        if !options.force {
            return Err(ControlError::OnlyFromInside { name });
        }
        let machine = record.argv.last().map_or("", String::as_str);
        let off = Command::new("bhyvectl").arg(format!("--vm={machine}")).arg("--force-poweroff").deadline(ANSWER);
        let asked = off.run();
        if lock::wait_until_free(&self.directory.run_lock(), INSIST)? {
            return Ok(Stopped::Quit);
        }
        asked.map_err(|source| ControlError::Foreign { hypervisor, source })?;
        Err(ControlError::Unkillable { pid: None })
    }

    /// Presses the power button until the machine stops or the time is over.
    fn power_off(&self, timeout: Duration) -> Result<bool, StateError> {
        let until = Instant::now() + timeout;
        loop {
            // A QEMU that does not listen is dealt with after the time is over, like a guest that does not.
            if let Ok(mut qmp) = Qmp::connect(&self.directory.qmp_socket(), ANSWER) {
                let _ = qmp.execute("system_powerdown", None);
            }
            let left = until.saturating_duration_since(Instant::now());
            if lock::wait_until_free(&self.directory.run_lock(), left.min(PRESS_AGAIN))? {
                return Ok(true);
            }
            if left <= PRESS_AGAIN {
                return Ok(false);
            }
        }
    }

    fn quit(&self) -> Result<bool, StateError> {
        if let Ok(mut qmp) = Qmp::connect(&self.directory.qmp_socket(), ANSWER) {
            // QEMU may be gone before it has answered.
            let _ = qmp.execute("quit", None);
        }
        lock::wait_until_free(&self.directory.run_lock(), INSIST)
    }

    fn kill(&self) -> Result<Stopped, ControlError> {
        let pid = self.hypervisor_pid()?;
        for signal in [Signal::TERM, Signal::KILL] {
            if let Some(pid) = pid {
                // It may have ended in this moment; the lock tells.
                let _ = kill_process(pid, signal);
            }
            if lock::wait_until_free(&self.directory.run_lock(), INSIST)? {
                return Ok(Stopped::Killed);
            }
        }
        Err(ControlError::Unkillable { pid: pid.map(Pid::as_raw_pid) })
    }

    /// QEMU's process, while it runs.
    ///
    /// The file is removed before each start, so while a QEMU holds the lock the number in it is the holder's. The others
    /// write none.
    pub(crate) fn hypervisor_pid(&self) -> Result<Option<Pid>, StateError> {
        let record = RunRecord::load(&self.directory)?;
        let is_qemu = record.is_some_and(|record| record.hypervisor == Hypervisor::Qemu);
        if !is_qemu || !lock::is_held(&self.directory.run_lock())? {
            return Ok(None);
        }
        let path = self.directory.hypervisor_pid();
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim().parse().ok().and_then(Pid::from_raw)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StateError::io("read", &path, error)),
        }
    }
}
