//! The image that a machine starts from: which one, and whether it is still the same.

use miette::Diagnostic;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// How much of the image's beginning and end is hashed: both partition tables lie there.
const SAMPLE: u64 = 1 << 20;
/// The first bytes of a qcow2 file.
const QCOW2_MAGIC: &[u8; 4] = b"QFI\xfb";
/// The endings of file names that are taken for images.
const ENDINGS: [&str; 3] = ["raw", "img", "qcow2"];

/// The image cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum ImageError {
    /// The image cannot be read.
    #[error("cannot read the image {}", path.display())]
    #[diagnostic(help("`./dev-build.sh` builds one; `--image FILE` names another"))]
    Read {
        /// The image.
        path: PathBuf,
        /// The reason given by the system.
        #[source]
        source: io::Error,
    },
    /// No image was named and none lies in the usual places.
    #[error("there is no image in {}", join(searched))]
    #[diagnostic(help("`./dev-build.sh` builds one; `--image FILE` names another"))]
    None {
        /// Where one was looked for.
        searched: Vec<PathBuf>,
    },
    /// No image was named and several lie in the usual places.
    #[error("there are several images: {}", join(found))]
    #[diagnostic(help("name one with `--image FILE`"))]
    Several {
        /// The images.
        found: Vec<PathBuf>,
    },
    /// The image is not the one that the overlay was made on.
    #[error("the image {} is no longer what the machine's disk was made on: {change}", path.display())]
    #[diagnostic(help(
        "the machine's changes cannot be carried over; `dev-vm up --recreate` throws them away and starts from the new image (`dev-vm reset` does the same without starting)"
    ))]
    Changed {
        /// The image as it is now.
        path: PathBuf,
        /// What differs.
        change: String,
    },
    /// The disk on top of the image could not be made or read.
    #[error("cannot {operation} the disk {}", path.display())]
    Overlay {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
}

fn join(paths: &[PathBuf]) -> String {
    let texts: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    texts.join(", ")
}

/// How a disk's bytes are laid out in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskFormat {
    /// The bytes of the disk.
    Raw,
    /// QEMU's own format, version 2 or 3.
    Qcow2,
}

impl DiskFormat {
    /// The name in QEMU's options and in a qcow2 header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// What an image looked like at some time; any difference means that an overlay on it is worthless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageIdentity {
    /// The image, absolute.
    pub path: PathBuf,
    /// Its format.
    pub format: DiskFormat,
    /// The size of the file in bytes.
    pub size: u64,
    /// The time of its last change, seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// SHA-256 of its first and last MiB, as hexadecimal digits.
    pub sample: String,
}

impl ImageIdentity {
    /// Looks at the image at `path`, which is made absolute and free of symbolic links.
    ///
    /// # Errors
    /// [`ImageError::Read`].
    pub fn of(path: &Path) -> Result<Self, ImageError> {
        let read = || -> io::Result<Self> {
            let absolute = fs::canonicalize(path)?;
            let file = File::open(&absolute)?;
            let metadata = file.metadata()?;
            if !metadata.is_file() {
                return Err(io::Error::other("it is not a regular file"));
            }
            let size = metadata.len();
            let head = read_at(&file, 0, SAMPLE.min(size))?;
            let tail_start = size.saturating_sub(SAMPLE).max(SAMPLE.min(size));
            let tail = read_at(&file, tail_start, size - tail_start)?;
            let hash = Sha256::new().chain_update(&head).chain_update(&tail);
            Ok(Self {
                path: absolute,
                format: if head.starts_with(QCOW2_MAGIC) { DiskFormat::Qcow2 } else { DiskFormat::Raw },
                size,
                mtime: (metadata.mtime(), metadata.mtime_nsec()),
                sample: hash.finalize().iter().map(|b| format!("{b:02x}")).collect(),
            })
        };
        read().map_err(|source| ImageError::Read { path: path.to_owned(), source })
    }

    /// What differs between the image that an overlay was made on and `now`, in words.
    #[must_use]
    pub fn change_to(&self, now: &Self) -> Option<String> {
        if self.path != now.path {
            Some(format!("it was made on {}", self.path.display()))
        } else if self.size != now.size {
            Some(format!("its size was {} and is {} bytes", self.size, now.size))
        } else if self.sample != now.sample || self.format != now.format {
            Some("its content changed".to_owned())
        } else if self.mtime != now.mtime {
            Some("it was written again since".to_owned())
        } else {
            None
        }
    }
}

fn read_at(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// The one image below the images' directory: in `output` if there is any, else directly in it.
///
/// # Errors
/// [`ImageError::None`], [`ImageError::Several`], [`ImageError::Read`].
pub fn find(images: &Path) -> Result<PathBuf, ImageError> {
    let searched = vec![images.join("output"), images.to_owned()];
    for directory in &searched {
        let mut found = images_in(directory)?;
        // An image made for development goes before others that lie beside it.
        let development = |path: &PathBuf| {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            stem.is_some_and(|stem| stem.ends_with("-dev"))
        };
        if found.iter().filter(|path| development(path)).count() == 1 {
            found.retain(development);
        }
        match found.len() {
            0 => {}
            1 => return Ok(found.remove(0)),
            _ => return Err(ImageError::Several { found }),
        }
    }
    Err(ImageError::None { searched })
}

fn images_in(directory: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let error = |source| ImageError::Read { path: directory.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(error(e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(error)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if ending.is_some_and(|ending| ENDINGS.contains(&ending)) && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn image(directory: &Path, bytes: &[u8]) -> PathBuf {
        let path = directory.join("a.raw");
        fs::write(&path, bytes).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000)).unwrap();
        path
    }

    #[test]
    fn every_kind_of_change_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let base = vec![7u8; 3 << 20];
        let path = image(directory.path(), &base);
        let before = ImageIdentity::of(&path).unwrap();
        assert_eq!(before.change_to(&ImageIdentity::of(&path).unwrap()), None);

        let mut last_byte = base.clone();
        *last_byte.last_mut().unwrap() = 8;
        for (bytes, words) in [(&last_byte, "content changed"), (&vec![7u8; 512], "size was")] {
            image(directory.path(), bytes);
            let change = before.change_to(&ImageIdentity::of(&path).unwrap()).unwrap();
            assert!(change.contains(words), "{change}");
        }

        fs::write(&path, &base).unwrap();
        let change = before.change_to(&ImageIdentity::of(&path).unwrap()).unwrap();
        assert!(change.contains("written again"), "{change}");
    }

    #[test]
    fn small_and_empty_files_are_looked_at_without_failing() {
        let directory = tempfile::tempdir().unwrap();
        for bytes in [&b""[..], b"x", b"QFI\xfb"] {
            let identity = ImageIdentity::of(&image(directory.path(), bytes)).unwrap();
            assert_eq!(identity.size, bytes.len() as u64);
            assert_eq!(identity.format == DiskFormat::Qcow2, bytes.len() == 4);
        }
    }

    #[test]
    fn one_image_is_found_and_several_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let images = directory.path();
        assert!(matches!(find(images), Err(ImageError::None { .. })));
        fs::write(images.join("only.raw"), "").unwrap();
        assert_eq!(find(images).unwrap(), images.join("only.raw"));
        fs::create_dir(images.join("output")).unwrap();
        fs::write(images.join("output/x.raw"), "").unwrap();
        fs::write(images.join("output/notes.txt"), "").unwrap();
        assert_eq!(find(images).unwrap(), images.join("output/x.raw"));
        fs::write(images.join("output/y-dev.raw"), "").unwrap();
        assert_eq!(find(images).unwrap(), images.join("output/y-dev.raw"));
        fs::write(images.join("output/z-dev.raw"), "").unwrap();
        assert!(matches!(find(images), Err(ImageError::Several { found }) if found.len() == 3));
    }
}
