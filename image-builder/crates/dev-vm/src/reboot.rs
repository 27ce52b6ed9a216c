//! `wait` and `reboot`: the guest comes up again without its machine being stopped.

use crate::Vm;
use crate::config::RunRecord;
use crate::console_log::{self, TAIL_LINES};
use crate::error::{GuestError, StateError};
use crate::options::Progress;
use crate::ready::{ReadyWatch, Service};
use crate::up::Ready;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(50);
/// A clean restart on systemd and on illumos; plain `reboot` would skip the services there.
const RESTART: &str = "if command -v systemctl >/dev/null; then systemctl reboot; else shutdown -y -g 0 -i 6; fi";

impl Vm {
    /// Waits until the guest of the running machine has said that it is ready, and how its services are.
    ///
    /// # Errors
    /// [`GuestError::NotBack`] when it takes longer than `timeout`; [`GuestError::State`] when
    /// the machine does not run or stops.
    pub fn wait(&self, timeout: Duration, progress: &mut dyn Progress) -> Result<Vec<Service>, GuestError> {
        let record = self.running_record()?;
        Ok(self.wait_from(&record, timeout, progress)?.1)
    }

    /// Restarts the guest and waits until it is ready again; answers how long that took.
    ///
    /// # Errors
    /// As [`Vm::wait`], and [`GuestError::Ask`] when the guest does not take the order.
    pub fn reboot(&self, timeout: Duration, progress: &mut dyn Progress) -> Result<Ready, GuestError> {
        let mut record = self.running_record()?;
        let log = self.directory.console_log();
        let length = console_log::length(&log);
        record.console_offset = length.map_err(|error| StateError::io("read", &log, error))?;
        record.ready_after_seconds = None;
        // The connection may go down before the answer comes: then ssh says 255.
        let asked = self.ssh_command(&["-T", "-o", "BatchMode=yes"])?.arg(RESTART).run_any();
        match asked.map_err(GuestError::Ask)?.code {
            Some(0 | 255) => {}
            code => {
                let code = code.unwrap_or(-1);
                progress.note(&format!("the guest's restart command ended with {code}"));
            }
        }
        record.store(&self.directory)?;
        let (took, services) = self.wait_from(&record, timeout, progress)?;
        record.ready_after_seconds = Some(took.as_secs_f64());
        record.store(&self.directory)?;
        Ok(Ready { after: Some(took), ssh_port: record.ssh_port, services })
    }

    fn wait_from(
        &self,
        record: &RunRecord,
        timeout: Duration,
        progress: &mut dyn Progress,
    ) -> Result<(Duration, Vec<Service>), GuestError> {
        let log = self.directory.console_log();
        let read = |error| StateError::io("read", &log, error);
        let started = Instant::now();
        let mut watch = ReadyWatch::new(&log, record.console_offset, self.has_share()?);
        loop {
            if let Some(services) = watch.poll().map_err(read)? {
                return Ok((started.elapsed(), services));
            }
            // Fails when the machine has stopped.
            self.running_record()?;
            let elapsed = started.elapsed();
            if elapsed >= timeout {
                let console = console_log::tail(&log, record.console_offset, TAIL_LINES);
                return Err(GuestError::NotBack { after: timeout, console: console.map_err(read)? });
            }
            if progress.waiting(elapsed).is_break() {
                return Err(GuestError::Interrupted);
            }
            std::thread::sleep(POLL);
        }
    }
}
