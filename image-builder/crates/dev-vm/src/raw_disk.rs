//! The machine's disk under bhyve, which has no overlays: a copy of the image, and beside it what it is a copy of.

use crate::directory::VmDirectory;
use crate::error::{LaunchError, StateError};
use crate::files::{self, remove_file};
use crate::image::{ImageError, ImageIdentity};
use crate::options::Progress;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Zeros are left out in pieces of this size.
const PIECE: usize = 64 << 10;

/// What the disk is a copy of; unknown for one that an earlier version has made.
pub(crate) fn origin(directory: &VmDirectory) -> Result<Option<ImageIdentity>, StateError> {
    files::load(&directory.raw_disk_origin())
}

/// Copies the image, unless there is a copy of it that the guest may have written to.
///
/// # Errors
/// [`ImageError::Changed`] when there is a copy of something else.
pub(crate) fn prepare(
    directory: &VmDirectory,
    image: &ImageIdentity,
    recreate: bool,
    progress: &mut dyn Progress,
) -> Result<(), LaunchError> {
    let disk = directory.raw_disk();
    if disk.exists() && !recreate {
        let unknown = || Some("what it was made on is not known".to_owned());
        return match origin(directory)?.map_or_else(unknown, |made_on| made_on.change_to(image)) {
            None => Ok(()),
            Some(change) => Err(ImageError::Changed { path: image.path.clone(), change }.into()),
        };
    }
    progress.note(&format!("copying {} to {}", image.path.display(), disk.display()));
    let partial = PathBuf::from(format!("{}.new", disk.display()));
    copy(&image.path, &partial).map_err(|error| StateError::io("copy the image to", &disk, error))?;
    // In this order no disk is ever taken for a copy of something else, wherever we are killed.
    remove(directory)?;
    files::store(&directory.raw_disk_origin(), image)?;
    Ok(fs::rename(&partial, &disk).map_err(|error| StateError::io("create", &disk, error))?)
}

/// Throws the disk away.
pub(crate) fn remove(directory: &VmDirectory) -> Result<(), StateError> {
    remove_file(&directory.raw_disk())?;
    remove_file(&directory.raw_disk_origin())
}

/// Copies what is not zero; it may hold what only root may read in the guest.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = File::open(from)?;
    let mut to = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    let mut piece = vec![0; PIECE];
    let mut length = 0;
    loop {
        let read = from.read(&mut piece)?;
        if read == 0 {
            break;
        }
        if piece[..read].iter().any(|byte| *byte != 0) {
            to.seek(SeekFrom::Start(length))?;
            to.write_all(&piece[..read])?;
        }
        length += read as u64;
    }
    to.set_len(length)?;
    to.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_copy_has_the_bytes_and_not_the_zeros() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("a"), directory.path().join("b"));
        let mut bytes = vec![0; 40 * PIECE + 100];
        for place in [0, 7 * PIECE + 5, 20 * PIECE - 1] {
            bytes[place] = 1;
        }
        fs::write(&from, &bytes).unwrap();
        copy(&from, &to).unwrap();
        assert!(fs::read(&to).unwrap() == bytes);
        let metadata = fs::metadata(&to).unwrap();
        assert_eq!(metadata.mode() & 0o777, 0o600);
        assert!(metadata.blocks() * 512 <= 8 * PIECE as u64, "{} blocks", metadata.blocks());
    }
}
