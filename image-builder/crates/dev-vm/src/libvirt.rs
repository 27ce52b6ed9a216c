//! What libvirt is told to do with a machine that it runs, and asked about it, by `virsh`.
//!
//! Its process is not ours and holds no lock of ours, so libvirt itself says whether it runs the machine. It is asked
//! only about machines that were handed to it once.

use crate::Vm;
use crate::down::{DownOptions, Stopped};
use crate::error::{ControlError, LaunchError, StateError};
use crate::hypervisor::Hypervisor;
use process_runner::{Command, CommandError, Output};
use std::time::{Duration, Instant};

/// The user's own libvirt, which needs no privileges.
pub(crate) const CONNECTION: &str = "qemu:///session";
const DEADLINE: Duration = Duration::from_secs(120);
/// How often libvirt is asked while the machine is to stop.
const POLL: Duration = Duration::from_millis(250);
/// A guest that is just booting misses the first press of the power button.
const PRESS_AGAIN: Duration = Duration::from_secs(10);

impl Vm {
    /// The machine's name in libvirt.
    pub(crate) fn domain_name(&self) -> String {
        format!("dev-vm-{}", self.directory().name())
    }

    /// Whether libvirt runs the machine.
    pub(crate) fn runs_in_libvirt(&self) -> Result<bool, StateError> {
        let domain = self.directory().domain();
        if !domain.exists() {
            return Ok(false);
        }
        match virsh(&["list", "--name"]) {
            Ok(active) => Ok(active.stdout_text().lines().any(|name| name.trim() == self.domain_name())),
            Err(error) if error.is_not_found() => Ok(false),
            Err(source) => Err(StateError::Libvirt { domain, source }),
        }
    }

    /// Hands the domain to libvirt and starts it. With `reset_nvram`, the firmware's variables that an earlier disk or an earlier
    /// machine of this name has left are thrown away (libvirt 8.1.0, and the machine's network needs 9.0.0).
    pub(crate) fn start_in_libvirt(&self, reset_nvram: bool) -> Result<(), LaunchError> {
        let (file, name) = (self.directory().domain(), self.domain_name());
        let start: &[&str] = if reset_nvram { &["start", "--reset-nvram", &name] } else { &["start", &name] };
        let begin = || {
            virsh(&["define", "--validate", &file.to_string_lossy()])?;
            virsh(start)
        };
        begin().map(drop).map_err(|source| self.why_libvirt_fails(source))
    }

    /// Stops the machine that libvirt runs.
    pub(crate) fn down_in_libvirt(&self, options: DownOptions) -> Result<Stopped, ControlError> {
        let domain = self.domain_name();
        let until = Instant::now() + options.timeout;
        let mut press = Instant::now();
        while !options.force && Instant::now() < until {
            if press <= Instant::now() {
                press += PRESS_AGAIN;
                // A guest that has just powered off cannot be asked any more.
                let _ = virsh(&["shutdown", &domain]);
            }
            if !self.runs_in_libvirt()? {
                return Ok(Stopped::PoweredOff);
            }
            std::thread::sleep(POLL);
        }
        let destroyed = virsh(&["destroy", &domain]);
        if !self.runs_in_libvirt()? {
            return Ok(Stopped::Quit);
        }
        destroyed.map_err(|source| ControlError::Foreign { hypervisor: Hypervisor::Libvirt, source })?;
        Err(ControlError::Unkillable { pid: None })
    }

    fn why_libvirt_fails(&self, source: CommandError) -> LaunchError {
        let (hypervisor, said) = (Hypervisor::Libvirt, source.to_string());
        // Some libvirts refuse the network's back end, whether passt is installed or not, and name nothing else.
        if said.contains("'passt'") {
            let needs =
                "the machine's network needs passt, and a libvirt that was built for it, as Debian 12's was not";
            let unmet = vec![format!("{needs} (`--hypervisor qemu` needs neither): {said}")];
            return LaunchError::Unmet { hypervisor, unmet };
        }
        // Made by an earlier version, which gave no uuid, or the machine of another directory.
        if said.contains("already exists with uuid") {
            return LaunchError::NameTaken { domain: self.domain_name(), source };
        }
        LaunchError::Foreign { hypervisor, source }
    }
}

fn virsh(arguments: &[&str]) -> Result<Output, CommandError> {
    Command::new("virsh").args(["--connect", CONNECTION, "--quiet"]).args(arguments).deadline(DEADLINE).run()
}
