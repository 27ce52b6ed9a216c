//! The machine's own key, made once and offered to the guest at each boot.

use crate::directory::VmDirectory;
use crate::error::{LaunchError, StateError};
use crate::files::file;
use process_runner::Command;
use std::fs;

/// Makes the key when there is none; answers its public half.
///
/// # Errors
/// [`LaunchError::Key`] when `ssh-keygen` is missing or fails; [`LaunchError::State`].
pub(crate) fn ensure(directory: &VmDirectory) -> Result<String, LaunchError> {
    let (private, public) = (directory.ssh_key(), directory.ssh_public_key());
    if !private.exists() || !public.exists() {
        make(directory)?;
    }
    let text = fs::read_to_string(&public);
    Ok(text.map_err(|error| StateError::io("read", &public, error))?)
}

/// Makes the key beside its place and moves it there, so that a half-made one is never used.
fn make(directory: &VmDirectory) -> Result<(), LaunchError> {
    let path = directory.private();
    let temporary = tempfile::Builder::new().prefix(".tmp-").tempdir_in(path);
    let temporary = temporary.map_err(|error| StateError::io("create a directory in", path, error))?;
    Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f", file::SSH_KEY])
        .args(["-C", &format!("dev-vm-{}", directory.name())])
        .current_dir(temporary.path())
        .run()
        .map_err(LaunchError::Key)?;
    for target in [directory.ssh_public_key(), directory.ssh_key()] {
        let name = target.file_name().expect("both paths end in a file name");
        fs::rename(temporary.path().join(name), &target).map_err(|error| StateError::io("create", &target, error))?;
    }
    Ok(())
}
