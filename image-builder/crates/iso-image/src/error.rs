//! Why an image cannot be made.

use disk_image::illumos::BootError;
use image_tree::{ImagePath, PathError, StoreError, TreeError};
use std::io;

/// An ISO 9660 image cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IsoError {
    /// The volume descriptor has no room for it.
    #[error("`{label}` is not a volume label: at most 32 printable ASCII characters")]
    Label {
        /// The label asked for.
        label: String,
    },
    /// Path tables number directories with 16 bits.
    #[error("an ISO 9660 image holds 65535 directories at most, and the tree has {count}")]
    TooManyDirectories {
        /// How many there are.
        count: usize,
    },
    /// The target of a symbolic link does not fit into one sector of Rock Ridge entries.
    #[error("the target of the link {path} is too long for an ISO 9660 image")]
    LinkTooLong {
        /// The link.
        path: ImagePath,
    },
    /// Sectors are numbered with 32 bits.
    #[error("the image would be larger than 8 TiB")]
    TooLarge,
    /// The boot catalog needs a name, and that is taken.
    #[error("{path} is in the tree, and the boot catalog has this name")]
    CatalogName {
        /// The name.
        path: ImagePath,
    },
    /// A boot image is not a possible path.
    #[error("`{path}` is not a path in the image")]
    BootPath {
        /// The path as given.
        path: String,
        /// Why not.
        #[source]
        source: PathError,
    },
    /// A boot image is not in the tree.
    #[error("the image has no {path}, which it is to boot with")]
    BootMissing {
        /// The path as given.
        path: String,
        /// What is there instead.
        #[source]
        source: TreeError,
    },
    /// A boot image is not a regular file.
    #[error("{path} is a {found}, and only a regular file can be booted")]
    BootKind {
        /// The path.
        path: ImagePath,
        /// What it is.
        found: &'static str,
    },
    /// The boot information table does not fit, or the firmware could not load it.
    #[error("{path} has {bytes} bytes; a boot image has {wanted}")]
    BootLength {
        /// The path.
        path: ImagePath,
        /// Its length.
        bytes: u64,
        /// The lengths that do.
        wanted: &'static str,
    },
    /// A boot block of a hybrid image is not one.
    #[error("the image cannot be made hybrid")]
    Hybrid(#[source] BootError),
    /// Stage 2 does not fit before the first volume descriptor.
    #[error("{path} has {bytes} bytes, and there is room for {room} before the file system")]
    Stage2Length {
        /// Where stage 2 is.
        path: ImagePath,
        /// Its length.
        bytes: usize,
        /// The bytes that there are.
        room: usize,
    },
    /// A content cannot be read back.
    #[error("cannot read {path} from the content store")]
    Content {
        /// The file.
        path: ImagePath,
        /// Why not.
        #[source]
        source: StoreError,
    },
    /// The file system of the host refused.
    #[error("cannot write {what}")]
    Write {
        /// What was being written.
        what: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}
