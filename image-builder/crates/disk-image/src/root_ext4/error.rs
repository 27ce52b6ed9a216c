//! What can go wrong while a root file system is made.

use std::io;
use std::path::PathBuf;

use image_tree::StoreError;
use process_runner::CommandError;

/// A root file system cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Ext4Error {
    /// The label has more than 16 bytes.
    #[error("`{label}` is not a label for ext4: at most 16 bytes")]
    Label {
        /// The label asked for.
        label: String,
    },
    /// The partition is too small for the tree.
    #[error("a root file system of {bytes} bytes is too small; the tree needs {needed}")]
    TooSmall {
        /// The partition's size.
        bytes: u64,
        /// The size that would do.
        needed: u64,
    },
    /// Something in the tree cannot be represented.
    #[error("`{path}` cannot be in an ext4 root file system: {problem}")]
    Unsupported {
        /// Where it is.
        path: String,
        /// What it is.
        problem: String,
    },
    /// The content of a file cannot be read.
    #[error("cannot read the content of `{path}`")]
    Content {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: Box<StoreError>,
    },
    /// The content of a file ends early or cannot be read from the store's files.
    #[error("cannot copy the content of `{path}`")]
    CopyContent {
        /// The file.
        path: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A program is not installed.
    #[error("cannot {step}: {program} is not installed")]
    MissingProgram {
        /// What it was needed for.
        step: &'static str,
        /// The program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
        /// The runner's report.
        #[source]
        source: Box<CommandError>,
    },
    /// A program failed.
    #[error("cannot {step}")]
    Program {
        /// What it was to do.
        step: &'static str,
        /// The runner's report.
        #[source]
        source: Box<CommandError>,
    },
    /// A program ended well but reported a problem.
    #[error("cannot {step}: the program said:\n{said}")]
    Complaint {
        /// What it was to do.
        step: &'static str,
        /// The end of what it said.
        said: String,
    },
    /// The file system has not as many files as the tree.
    #[error("the file system has {found} files, the tree has {expected}")]
    LostFiles {
        /// Files of the tree.
        expected: u64,
        /// Files of the file system.
        found: u64,
    },
    /// A scratch file cannot be made, written or read.
    #[error("cannot {action} in {}", path.display())]
    Scratch {
        /// What was being done.
        action: &'static str,
        /// The directory or file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The finished file system cannot be copied into the partition.
    #[error("cannot copy the root file system into its partition")]
    CopyImage(#[source] io::Error),
}

impl Ext4Error {
    /// What the user can do about it, where that is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::MissingProgram { package, .. } => Some(format!("install the Debian package {package}")),
            Self::TooSmall { needed, .. } => {
                let mib = needed.div_ceil(1024 * 1024);
                Some(format!("give it at least {mib} MiB, or the size `auto`"))
            }
            _ => None,
        }
    }
}
