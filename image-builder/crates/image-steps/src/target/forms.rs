//! An image in several forms: they get their names when all of them are complete.
//!
//! Readers take the forms for one image, so a set of which some are of an older build would be a trap. Until the last
//! one is on the disk, all of them are in a directory of their own beside the old set, which a failure or a kill leaves as it is.

use super::TargetError;
use crate::output::{set_mode, sync_parent};
use disk_image::Qcow2Error;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The forms of an image that is being written.
pub(super) struct Forms<'a> {
    /// What they will be called, the image itself first.
    files: &'a [PathBuf],
    /// Where they are until then; none for a single one, which its writer puts in place itself.
    directory: Option<TempDir>,
}

impl<'a> Forms<'a> {
    /// Begins with an image that is called `files` in its forms, all in one directory.
    pub(super) fn begin(files: &'a [PathBuf]) -> Result<Self, TargetError> {
        let output = files[0].parent().filter(|_| files.len() > 1);
        let begin = |output: &Path| tempfile::Builder::new().prefix(".writing-").tempdir_in(output);
        let failed = |source| TargetError::File { path: files[0].clone(), source };
        Ok(Self { files, directory: output.map(begin).transpose().map_err(failed)? })
    }

    /// Where the form is to be written that will be called `file`.
    pub(super) fn path(&self, file: &Path) -> PathBuf {
        match (&self.directory, file.file_name()) {
            (Some(directory), Some(name)) => directory.path().join(name),
            _ => file.to_owned(),
        }
    }

    /// Gives all of them their names and makes that durable. They are complete and on the disk.
    pub(super) fn put_in_place(self) -> Result<(), TargetError> {
        // An image holds /etc/shadow, and on a dataset the directory around it may be open to everybody.
        for file in self.files {
            set_mode(&self.path(file), 0o600).map_err(failed(file))?;
        }
        if self.directory.is_some() {
            for file in self.files {
                fs::rename(self.path(file), file).map_err(failed(file))?;
            }
            sync_parent(&self.files[0]).map_err(failed(&self.files[0]))?;
        }
        Ok(())
    }

    /// What went wrong, by the names that people know.
    pub(super) fn explain(&self, mut error: TargetError) -> TargetError {
        use TargetError::{Convert, Disk, File, Illumos, Iso};
        let path = match &mut error {
            Disk { path, .. } | File { path, .. } | Illumos { path, .. } | Iso { path, .. } => path,
            Convert(Qcow2Error::Convert { path, .. } | Qcow2Error::Finish { path, .. }) => path,
            _ => return error,
        };
        if let Some(known) = self.files.iter().find(|file| self.path(file) == *path) {
            path.clone_from(known);
        }
        error
    }
}

fn failed(file: &Path) -> impl FnOnce(std::io::Error) -> TargetError {
    let path = file.to_owned();
    move |source| TargetError::File { path, source }
}
