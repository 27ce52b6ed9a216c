//! `print`: the machine as a command or description.

use crate::Vm;
use crate::config::RunRecord;
use crate::error::LaunchError;
use crate::hypervisor::{self, Hypervisor};
use crate::up::{Progress, UpOptions};

impl Vm {
    /// The exact command that runs, or that `up` would run; everything it names is made first.
    ///
    /// # Errors
    /// Those of the preparation, [`LaunchError`].
    pub fn print(
        &self,
        hypervisor: Hypervisor,
        options: &UpOptions,
        progress: &mut dyn Progress,
    ) -> Result<String, LaunchError> {
        if hypervisor == Hypervisor::Qemu && self.is_running()? {
            if let Some(record) = RunRecord::load(&self.directory)? {
                return Ok(hypervisor::qemu_line(&record.argv, self.directory.path()));
            }
        }
        let prepared = self.prepare(options, progress)?;
        Ok(hypervisor.describe(&prepared.machine, &prepared.config, &self.directory))
    }
}
