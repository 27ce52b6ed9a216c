//! The machine's disk: an overlay that takes all writes, on top of the image or of a snapshot.

use crate::directory::VmDirectory;
use crate::image::{DiskFormat, ImageError, ImageIdentity};
use crate::qcow2::{self, Header};
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What is to become of the overlay before the machine starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OverlayChoice {
    /// It stays.
    Keep,
    /// It is made new, because of this; nothing of worth is lost or the user asked for it.
    Create {
        /// Why, in words.
        reason: &'static str,
    },
}

/// Decides what to do with the overlay, given what it was made on and what the image is now.
///
/// # Errors
/// [`ImageError::Changed`] when the image changed under an overlay that was written to;
/// [`ImageError::Overlay`] when the overlay cannot be read.
pub fn choose(
    directory: &VmDirectory,
    made_on: Option<&ImageIdentity>,
    image: &ImageIdentity,
    recreate: bool,
) -> Result<OverlayChoice, ImageError> {
    let create = |reason| Ok(OverlayChoice::Create { reason });
    let path = directory.overlay();
    if recreate {
        return create("as asked for");
    }
    if !path.exists() {
        return create("there is none yet");
    }
    let change = match made_on {
        Some(made_on) => made_on.change_to(image),
        None => Some("what it was made on is not known".to_owned()),
    };
    let Some(change) = change else {
        return Ok(OverlayChoice::Keep);
    };
    let untouched = qcow2::is_untouched(&path).map_err(|source| ImageError::Overlay {
        operation: "read",
        path: path.clone(),
        source,
    })?;
    // One that lies on a snapshot carries the snapshot's changes even when it has none of its own.
    if untouched && backing_snapshot(&path)?.is_none() {
        return create("the image changed and the old disk was never written to");
    }
    Err(ImageError::Changed { path: image.path.clone(), change })
}

/// Makes a new, empty overlay on `image`, replacing the old one in one step.
///
/// # Errors
/// [`ImageError::Overlay`].
pub fn create_on_image(directory: &VmDirectory, image: &ImageIdentity) -> Result<(), ImageError> {
    let size = match image.format {
        DiskFormat::Raw => Ok(image.size),
        DiskFormat::Qcow2 => Header::read(&image.path).map(|header| header.virtual_size),
    };
    let path = directory.overlay();
    let name = image
        .path
        .to_str()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the image's path is not valid UTF-8"));
    let made = size.and_then(|size| replace(&path, size, name?, image.format));
    made.map_err(|source| ImageError::Overlay { operation: "create", path, source })
}

/// Makes a new, empty overlay on the snapshot file `name` in the same directory.
///
/// # Errors
/// [`ImageError::Overlay`].
pub(crate) fn create_on_snapshot(directory: &VmDirectory, name: &str) -> Result<(), ImageError> {
    let path = directory.overlay();
    // The name is relative, so that the machine's directory can be moved. It stays
    // right when the overlay becomes a snapshot itself: that is a link beside it.
    let made = Header::read(&directory.path().join(name))
        .and_then(|header| replace(&path, header.virtual_size, name, DiskFormat::Qcow2));
    made.map_err(|source| ImageError::Overlay { operation: "create", path, source })
}

/// The snapshot file that the disk at `path` lies on, if it lies on one and not on the image.
///
/// # Errors
/// [`ImageError::Overlay`].
pub(crate) fn backing_snapshot(path: &Path) -> Result<Option<String>, ImageError> {
    let header = Header::read(path).map_err(|source| ImageError::Overlay {
        operation: "read",
        path: path.to_owned(),
        source,
    })?;
    Ok(header.backing_file.filter(|name| !name.contains('/')))
}

fn replace(path: &Path, size: u64, backing: &str, format: DiskFormat) -> io::Result<()> {
    let parent = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file =
        tempfile::Builder::new().prefix(".tmp-").permissions(Permissions::from_mode(0o600)).tempfile_in(parent)?;
    qcow2::write_overlay(file.as_file_mut(), size, backing, format)?;
    file.as_file().sync_data()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt;

    struct Case {
        _root: tempfile::TempDir,
        directory: VmDirectory,
        image: std::path::PathBuf,
    }

    fn case() -> Case {
        let root = tempfile::tempdir().unwrap();
        let directory = VmDirectory::new(root.path(), &root.path().join("state"), "dev".parse().unwrap()).unwrap();
        directory.create().unwrap();
        let image = root.path().join("a.raw");
        fs::write(&image, [1u8; 4096]).unwrap();
        Case { _root: root, directory, image }
    }

    fn touch(directory: &VmDirectory) {
        let overlay = File::options().write(true).open(directory.overlay()).unwrap();
        overlay.write_all_at(&[0x80], 3 << 16).unwrap();
    }

    #[test]
    fn a_written_overlay_survives_only_on_the_same_image() {
        let case = case();
        let image = ImageIdentity::of(&case.image).unwrap();
        let choose = |made_on, image: &_, recreate| choose(&case.directory, made_on, image, recreate);
        assert!(matches!(choose(None, &image, false), Ok(OverlayChoice::Create { .. })));

        create_on_image(&case.directory, &image).unwrap();
        touch(&case.directory);
        assert_eq!(choose(Some(&image), &image, false).unwrap(), OverlayChoice::Keep);

        fs::write(&case.image, [2u8; 4096]).unwrap();
        let newer = ImageIdentity::of(&case.image).unwrap();
        let error = choose(Some(&image), &newer, false).unwrap_err();
        assert!(matches!(error, ImageError::Changed { .. }), "{error}");
        assert!(matches!(choose(Some(&image), &newer, true), Ok(OverlayChoice::Create { .. })));
    }

    #[test]
    fn an_overlay_that_was_never_written_gives_way_by_itself() {
        let case = case();
        let image = ImageIdentity::of(&case.image).unwrap();
        create_on_image(&case.directory, &image).unwrap();
        fs::write(&case.image, [2u8; 8192]).unwrap();
        let newer = ImageIdentity::of(&case.image).unwrap();
        let choice = choose(&case.directory, Some(&image), &newer, false).unwrap();
        assert!(matches!(choice, OverlayChoice::Create { .. }));
    }

    #[test]
    fn an_empty_overlay_on_a_snapshot_is_not_thrown_away_silently() {
        let case = case();
        let image = ImageIdentity::of(&case.image).unwrap();
        create_on_image(&case.directory, &image).unwrap();
        touch(&case.directory);
        fs::rename(case.directory.overlay(), case.directory.path().join("snapshot-a.qcow2")).unwrap();
        create_on_snapshot(&case.directory, "snapshot-a.qcow2").unwrap();
        fs::write(&case.image, [2u8; 8192]).unwrap();
        let newer = ImageIdentity::of(&case.image).unwrap();
        assert!(choose(&case.directory, Some(&image), &newer, false).is_err());
    }
}
