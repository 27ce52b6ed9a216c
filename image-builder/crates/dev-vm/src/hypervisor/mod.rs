//! What a machine looks like to each hypervisor, from one description.
//!
//! QEMU is driven by [`crate::qemu`] with everything that dev-vm can do. bhyve and libvirt get the same machine in
//! their own words, to be run by `up`, or by hand.

mod bhyve;
mod libvirt;

use crate::accelerator::Accelerator;
use crate::image::DiskFormat;
use crate::name::VmName;
use miette::Diagnostic;
use process_runner::shell_quote;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use thiserror::Error;

pub(crate) use bhyve::{command as bhyve_command, unmet as bhyve_unmet};
pub(crate) use libvirt::domain as libvirt_domain;

/// The name under which the guest finds the share. bhyve's guests see 31 characters of it.
pub const MOUNT_TAG: &str = "repo";

/// The programs that could run a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hypervisor {
    /// QEMU.
    #[default]
    Qemu,
    /// bhyve as illumos has it.
    BhyveIllumos,
    /// bhyve as FreeBSD has it.
    BhyveFreebsd,
    /// libvirt's domain description.
    Libvirt,
}

impl Hypervisor {
    /// Every one, in the order in which they are offered.
    pub const ALL: [Self; 4] = [Self::Qemu, Self::BhyveIllumos, Self::BhyveFreebsd, Self::Libvirt];

    /// The bhyve of the host; where there is none, that of illumos.
    pub const BHYVE_HERE: Self = if cfg!(target_os = "freebsd") { Self::BhyveFreebsd } else { Self::BhyveIllumos };

    /// Whether its machines have their console on a terminal of their own, so that nothing else can hear or enter them.
    #[must_use]
    pub fn is_bhyve(self) -> bool {
        matches!(self, Self::BhyveIllumos | Self::BhyveFreebsd)
    }

    /// The name in options.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::BhyveIllumos => "bhyve-illumos",
            Self::BhyveFreebsd => "bhyve-freebsd",
            Self::Libvirt => "libvirt",
        }
    }
}

impl fmt::Display for Hypervisor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Hypervisor {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name == "bhyve" {
            return Ok(Self::BHYVE_HERE);
        }
        let found = Self::ALL.into_iter().find(|hypervisor| hypervisor.as_str() == name);
        found.ok_or_else(|| format!("one of {}, bhyve (that of this host)", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// A host directory offered to the guest over virtio-9p.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The directory, absolute.
    pub path: PathBuf,
    /// Whether the guest may change it.
    pub writable: bool,
}

/// A machine in nobody's words.
#[derive(Clone, Debug)]
pub struct Description {
    /// The machine's name.
    pub name: VmName,
    /// The disk that the guest writes to.
    pub disk: PathBuf,
    /// The disk's format.
    pub disk_format: DiskFormat,
    /// The image that the disk begins as.
    pub image: PathBuf,
    /// The machine type, as QEMU names it.
    pub machine: String,
    /// How guest code is executed, where that can be chosen.
    pub accelerator: Accelerator,
    /// The guest's memory in MiB.
    pub memory_mib: u32,
    /// The number of virtual processors.
    pub cpus: u32,
    /// The host directory that the guest sees.
    pub share: Option<Share>,
    /// The port on 127.0.0.1 that leads to the guest's port 22, where the hypervisor forwards one.
    pub ssh_port: u16,
    /// The public half of the machine's key, one line.
    pub public_key: String,
    /// What libvirt knows the machine by, beside its name.
    pub uuid: String,
    /// Where the serial console is written down.
    pub console_log: PathBuf,
}

/// A machine that a hypervisor has no words for.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum DescribeError {
    /// bhyve splits its options at commas, and knows no way around.
    #[error("bhyve cannot be told of {}, because there is a comma in its path", path.display())]
    #[diagnostic(help("move it to a path without one"))]
    Comma {
        /// The path.
        path: PathBuf,
    },
    /// bhyve replaces `%(name)` by the value of a variable of its configuration, and its manuals know no way around.
    #[error("bhyve cannot be told of {}, because it would read a variable in its path", path.display())]
    #[diagnostic(help("move it to a path without a per cent sign"))]
    Reference {
        /// The path.
        path: PathBuf,
    },
    /// XML has no words for control characters, and takes a tab or line feed in an attribute for a space.
    #[error("libvirt cannot be told of {path:?}, because there is a control character in its path")]
    #[diagnostic(help("move it to a path without one"))]
    Control {
        /// The path.
        path: PathBuf,
    },
    /// bhyve knows by its name what kind of network device it is given.
    #[error("bhyve cannot use {name} as its network: the name has to begin with {}", prefixes.join(" or "))]
    #[diagnostic(help("DEV_VM_BHYVE_NETWORK names the device"))]
    Network {
        /// The device.
        name: String,
        /// What names of such devices begin with.
        prefixes: &'static [&'static str],
    },
    /// bhyve reads nothing but the bytes of a disk.
    #[error("bhyve reads raw images only, and {} is a qcow2 one", image.display())]
    #[diagnostic(help("`qemu-img convert -O raw` makes one of it; image-builder writes the raw one beside it"))]
    NotRaw {
        /// The image.
        image: PathBuf,
    },
}

/// The command for a POSIX shell: in the machine's directory, one option on each line.
#[must_use]
pub fn command_line(argv: &[String], directory: &Path) -> String {
    let mut text = format!("cd {} &&\n", shell_quote(directory.as_os_str()));
    for (index, argument) in argv.iter().enumerate() {
        if index > 0 {
            text.push_str(if argument.starts_with('-') { " \\\n  " } else { " " });
        }
        text.push_str(&shell_quote(OsStr::new(argument)));
    }
    text.push('\n');
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The machine of the tests of each hypervisor.
    pub(crate) fn description() -> Description {
        Description {
            name: "dev".parse().unwrap(),
            disk: "/home/me/images/vm/dev/disk".into(),
            disk_format: DiskFormat::Raw,
            image: "/home/me/images/output/dev.raw".into(),
            machine: "pc".to_owned(),
            accelerator: Accelerator::Kvm,
            memory_mib: 4096,
            cpus: 2,
            share: Some(Share { path: "/home/me/installer".into(), writable: false }),
            ssh_port: 2222,
            public_key: "ssh-ed25519 AAAA dev-vm\n".to_owned(),
            uuid: "01234567-89ab-8def-8123-456789abcdef".to_owned(),
            console_log: "/home/me/images/vm/dev/console.log".into(),
        }
    }

    #[test]
    fn names_are_read_back() {
        for hypervisor in Hypervisor::ALL {
            assert_eq!(hypervisor.to_string().parse(), Ok(hypervisor));
        }
        assert_eq!("bhyve".parse(), Ok(Hypervisor::BHYVE_HERE));
        assert!("xen".parse::<Hypervisor>().unwrap_err().starts_with("one of qemu, bhyve-illumos,"));
    }
}
