//! The files of a machine: their names, and how they are read and written.

use crate::error::StateError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// Names inside the machine's directories. The hypervisor works in the one, and `ssh` in the private one.
pub(crate) mod file {
    pub(crate) const OVERLAY: &str = "overlay.qcow2";
    pub(crate) const RAW_DISK: &str = "disk.raw";
    pub(crate) const RAW_DISK_ORIGIN: &str = "disk.json";
    pub(crate) const DOMAIN: &str = "domain.xml";
    pub(crate) const FIRMWARE_VARIABLES: &str = "firmware-vars.fd";
    pub(crate) const QMP_SOCKET: &str = "qmp.sock";
    pub(crate) const SERIAL_SOCKET: &str = "serial.sock";
    pub(crate) const GDB_SOCKET: &str = "gdb.sock";
    pub(crate) const CONSOLE_LOG: &str = "console.log";
    pub(crate) const QEMU_PID: &str = "qemu.pid";
    pub(crate) const CONFIG: &str = "vm.json";
    pub(crate) const RUN_RECORD: &str = "run.json";
    pub(crate) const SSH_KEY: &str = "ssh_key";
    pub(crate) const SSH_PUBLIC_KEY: &str = "ssh_key.pub";
    pub(crate) const KNOWN_HOSTS: &str = "known_hosts";
}

/// Makes a directory, and those above it, for the owner only.
pub(crate) fn create_directory(path: &Path) -> Result<(), StateError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| StateError::io("create", path, error))
}

/// Replaces `path` by `bytes` in one step, mode 0600.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let parent = path.parent().unwrap_or_else(|| Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".tmp-")
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(parent)?;
        file.write_all(bytes)?;
        file.as_file().sync_data()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|error| StateError::io("write", path, error))
}

/// Removes a file; one that is not there is as good as removed.
pub(crate) fn remove_file(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StateError::io("remove", path, error)),
        _ => Ok(()),
    }
}

/// Reads a file in JSON; `None` when it is not there.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StateError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StateError::io("read", path, error)),
    };
    let value = serde_json::from_slice(&text).map_err(|source| StateError::Parse { path: path.to_owned(), source })?;
    Ok(Some(value))
}

/// Writes a file in JSON, as [`write_file`] does.
pub(crate) fn store<T: Serialize>(path: &Path, value: &T) -> Result<(), StateError> {
    let parse = |source| StateError::Parse { path: path.to_owned(), source };
    let mut text = serde_json::to_vec_pretty(value).map_err(parse)?;
    text.push(b'\n');
    write_file(path, &text)
}
