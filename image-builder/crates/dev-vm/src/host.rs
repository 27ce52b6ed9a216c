//! What dev-vm has to know about the host: which programs, and where firmware is described.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The emulator for the only guest architecture that there is now.
const QEMU: &str = "qemu-system-x86_64";
/// Where descriptors are, below a configuration or data directory.
const FIRMWARE: &str = "qemu/firmware";

/// The programs and places on the host.
#[derive(Clone, Debug)]
pub struct Host {
    /// The emulator, as a path when it was found on `PATH`.
    pub qemu: OsString,
    /// Directories of firmware descriptors, in falling priority.
    pub firmware_directories: Vec<PathBuf>,
}

impl Host {
    /// Looks at the environment: `PATH`, `XDG_CONFIG_HOME` and `HOME`.
    #[must_use]
    pub fn from_environment() -> Self {
        let qemu = find_on_path(QEMU);
        let user = env::var_os("XDG_CONFIG_HOME")
            .filter(|directory| Path::new(directory).is_absolute())
            .map(PathBuf::from)
            .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
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
        Self { qemu: qemu.map_or_else(|| QEMU.into(), PathBuf::into_os_string), firmware_directories: directories }
    }

    /// The guest's processor architecture.
    #[must_use]
    pub fn guest_architecture(&self) -> &'static str {
        "x86_64"
    }
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
