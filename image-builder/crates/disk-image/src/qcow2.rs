//! The same disk in QEMU's own format, which is compact on file systems without holes.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use process_runner::{Command, CommandError};

/// A conversion reads the whole disk once; a slow disk may take its time.
const DEADLINE: Duration = Duration::from_secs(30 * 60);

/// A disk image could not be converted to qcow2.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Qcow2Error {
    /// `qemu-img` is not installed, or failed.
    #[error("cannot convert {} to qcow2", path.display())]
    Convert {
        /// The raw image.
        path: PathBuf,
        /// What the program said.
        #[source]
        source: CommandError,
    },
    /// The finished file could not be brought to the disk, or put in place.
    #[error("cannot {operation} the finished image {}", path.display())]
    Finish {
        /// What could not be done.
        operation: &'static str,
        /// The output.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl Qcow2Error {
    /// The package to install, when that is what is missing.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Convert { source, .. } if source.is_not_found() => {
                Some("install the Debian package qemu-utils".to_owned())
            }
            _ => None,
        }
    }
}

/// Converts the raw image `raw` to a qcow2 image that appears at `output` when it is complete.
///
/// # Errors
/// When `qemu-img` is missing or fails, or the result cannot be made durable and renamed.
pub fn convert_qcow2(raw: &Path, output: &Path) -> Result<(), Qcow2Error> {
    let mut partial = OsString::from(output);
    partial.push(".tmp");
    let partial = PathBuf::from(partial);
    let converted = Command::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2"])
        .arg(raw)
        .arg(&partial)
        .deadline(DEADLINE)
        .run();
    if let Err(source) = converted {
        // The partial file is useless, and the error that matters is the program's.
        let _ = fs::remove_file(&partial);
        return Err(Qcow2Error::Convert { path: raw.to_owned(), source });
    }
    // qemu-img leaves it to the kernel when its output reaches the disk.
    let failed = |operation| move |source| Qcow2Error::Finish { operation, path: output.to_owned(), source };
    File::open(&partial).and_then(|file| file.sync_all()).map_err(failed("make durable"))?;
    fs::rename(&partial, output).map_err(failed("put in place"))?;
    let directory = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed("make durable"))
}
