//! What dev-vm has to know about the host: which programs, and where firmware is described.

use crate::hypervisor::Hypervisor;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The emulator for the only guest architecture that there is now.
const QEMU: &str = "qemu-system-x86_64";
/// Where descriptors are, below a configuration or data directory.
const FIRMWARE: &str = "qemu/firmware";

/// The machines' private files, below the user's state directory.
const STATE: &str = "dev-vm";

/// The programs and places on the host.
#[derive(Clone, Debug)]
pub struct Host {
    /// The emulator, as a path when it was found on `PATH`.
    pub qemu: OsString,
    /// Directories of firmware descriptors, in falling priority.
    pub firmware_directories: Vec<PathBuf>,
    /// Where the user's programs keep their state; `None` when the environment does not say.
    pub state_directory: Option<PathBuf>,
    /// What bhyve shall use instead of what its system's packages and documentation call so.
    pub bhyve: BhyveParts,
}

/// Parts of a host that bhyve needs, where they are not the usual ones.
#[derive(Clone, Debug, Default)]
pub struct BhyveParts {
    /// The UEFI firmware.
    pub firmware: Option<PathBuf>,
    /// The VNIC of illumos, the tap device of FreeBSD.
    pub network: Option<String>,
}

impl Host {
    /// Looks at the environment: `PATH`, `XDG_CONFIG_HOME`, `XDG_STATE_HOME`, `HOME`, and `DEV_VM_BHYVE_FIRMWARE` and
    /// `DEV_VM_BHYVE_NETWORK`.
    #[must_use]
    pub fn from_environment() -> Self {
        let qemu = find_on_path(QEMU);
        let user = xdg_directory("XDG_CONFIG_HOME", ".config");
        let mut directories: Vec<PathBuf> = user
            .into_iter()
            .chain([PathBuf::from("/etc"), PathBuf::from("/usr/share")])
            .map(|directory| directory.join(FIRMWARE))
            .collect();
        // Where packages go elsewhere (/usr/local, /opt/…), QEMU's own data directory is beside its program.
        if let Some(prefix) = qemu.as_deref().and_then(Path::parent).and_then(Path::parent) {
            let beside = prefix.join("share").join(FIRMWARE);
            if !directories.contains(&beside) {
                directories.push(beside);
            }
        }
        let state = xdg_directory("XDG_STATE_HOME", ".local/state");
        Self {
            qemu: qemu.map_or_else(|| QEMU.into(), PathBuf::into_os_string),
            firmware_directories: directories,
            state_directory: state.map(|state| state.join(STATE)),
            bhyve: BhyveParts {
                firmware: env::var_os("DEV_VM_BHYVE_FIRMWARE").map(PathBuf::from),
                network: env::var("DEV_VM_BHYVE_NETWORK").ok(),
            },
        }
    }

    /// What runs machines here: QEMU where it is installed, else the system's bhyve, else libvirt. Without any it is
    /// QEMU, which is what can be installed nearly everywhere.
    #[must_use]
    pub fn hypervisor(&self) -> Hypervisor {
        if Path::new(&self.qemu).is_absolute() {
            Hypervisor::Qemu
        } else if find_on_path("bhyve").is_some() {
            Hypervisor::BHYVE_HERE
        } else if find_on_path("virsh").is_some() {
            Hypervisor::Libvirt
        } else {
            Hypervisor::Qemu
        }
    }

    /// The guest's processor architecture.
    #[must_use]
    pub fn guest_architecture(&self) -> &'static str {
        "x86_64"
    }
}

/// A directory of the XDG base directory specification, which wants relative paths to be ignored.
fn xdg_directory(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)))
}

/// The first executable of that name on `PATH`.
#[must_use]
pub fn find_on_path(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(name)).find(|file| {
        let metadata = file.metadata();
        metadata.is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    })
}

/// The package that QEMU is in, for the systems where it is known.
pub(crate) fn qemu_package_hint() -> &'static str {
    "install QEMU with the UEFI firmware and an ssh client: \
     `apt-get install qemu-system-x86 ovmf openssh-client` (Debian), \
     `dnf install qemu-system-x86 edk2-ovmf openssh-clients` (Fedora), \
     `pkg install qemu edk2-qemu-x64` (FreeBSD)"
}
