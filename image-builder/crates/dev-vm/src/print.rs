//! `print`: the machine as a command or description.

use crate::Vm;
use crate::config::RunRecord;
use crate::error::LaunchError;
use crate::hypervisor::{Hypervisor, command_line};
use crate::options::{Progress, UpOptions};

impl Vm {
    /// The exact command that runs, or that `up` would run, or libvirt's description of the same machine. Everything
    /// that QEMU's command names is made first.
    ///
    /// # Errors
    /// Those of the preparation, [`LaunchError`].
    pub fn print(
        &self,
        hypervisor: Hypervisor,
        options: &UpOptions,
        progress: &mut dyn Progress,
    ) -> Result<String, LaunchError> {
        if hypervisor != Hypervisor::Qemu {
            return self.print_for(hypervisor, options);
        }
        let running = if self.is_running()? { RunRecord::load(&self.directory)? } else { None };
        let argv = match running {
            Some(record) => record.argv,
            None => self.prepare(options, progress)?.machine.argv(),
        };
        Ok(command_line(&argv, self.directory.path()))
    }
}
