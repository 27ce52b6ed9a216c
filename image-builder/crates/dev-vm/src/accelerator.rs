//! How guest code is executed, and what does it here.

mod probe;

pub use probe::{Acceleration, ProbeError, choose};

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// What QEMU may not do in its sandbox: it needs none of it.
pub(crate) const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// How guest code is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// The Linux kernel's virtual machines.
    Kvm,
    /// The macOS hypervisor framework.
    Hvf,
    /// The NetBSD virtual machine monitor.
    Nvmm,
    /// QEMU's own translation: works everywhere, several times slower.
    Tcg,
}

impl Accelerator {
    /// The device through which the accelerator is reached.
    fn device(self) -> Option<&'static Path> {
        match self {
            Self::Kvm => Some(Path::new("/dev/kvm")),
            Self::Nvmm => Some(Path::new("/dev/nvmm")),
            Self::Hvf | Self::Tcg => None,
        }
    }

    /// The name in QEMU's options.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Hvf => "hvf",
            Self::Nvmm => "nvmm",
            Self::Tcg => "tcg",
        }
    }

    /// The processor model: the host's own, or all that translation can do.
    #[must_use]
    pub fn cpu_model(self) -> &'static str {
        match self {
            Self::Kvm | Self::Hvf => "host",
            Self::Nvmm | Self::Tcg => "max",
        }
    }

    /// What this host could have besides translation.
    fn of_this_host(guest_architecture: &str) -> Option<Self> {
        if std::env::consts::ARCH != guest_architecture {
            return None;
        }
        match std::env::consts::OS {
            "linux" => Some(Self::Kvm),
            "macos" => Some(Self::Hvf),
            "netbsd" | "dragonfly" => Some(Self::Nvmm),
            _ => None,
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Accelerator {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Kvm, Self::Hvf, Self::Nvmm, Self::Tcg]
            .into_iter()
            .find(|accelerator| accelerator.as_str() == name)
            .ok_or_else(|| "one of kvm, hvf, nvmm, tcg".to_owned())
    }
}
