//! Why a workspace cannot be worked in.

use crate::holder::{Holder, busy};
use crate::target::TargetError;
use crate::users::name_of;
use std::io;
use std::path::PathBuf;
use workspace_location::{LocationError, Refusal};

/// A workspace cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// A directory cannot be made or entered.
    #[error("cannot {operation} workspace directory {path}")]
    Directory {
        /// What was being done.
        operation: &'static str,
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Another process works in it.
    #[error("{}", busy(path, holder.as_ref()))]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// Who that is, as far as it has said so.
        holder: Option<Holder>,
    },
    /// The lock file cannot be used.
    #[error("cannot {operation} {path}")]
    Lock {
        /// What was being done.
        operation: &'static str,
        /// The lock file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Something in it was made by another user, so that it could not be changed, or would become a mixture.
    #[error("{path} belongs to {}, and this program runs as {}", name_of(*owner), name_of(*user))]
    Owner {
        /// What belongs to somebody else.
        path: PathBuf,
        /// The directory of the workspace.
        root: PathBuf,
        /// User id of its owner.
        owner: u32,
        /// User id of this process.
        user: u32,
    },
    /// Files of somebody else are where this program would keep, and remove, its own.
    #[error("{path} was not made by image-builder, so {root} cannot be a workspace")]
    Foreign {
        /// What is in the way.
        path: PathBuf,
        /// The directory that was to be the workspace.
        root: PathBuf,
    },
    /// A directory holds something, and is not marked as a workspace: nobody has said that it is to become one.
    #[error("{root} is no workspace, and not empty: {entry} is in it")]
    Filled {
        /// Something that is in it.
        entry: String,
        /// The directory.
        root: PathBuf,
    },
    /// There is no workspace where one was named.
    #[error("there is no workspace in {root}")]
    Absent {
        /// The directory.
        root: PathBuf,
    },
    /// An image that was complete when a run was killed cannot be put in place.
    #[error("cannot put an image in place that an earlier run has finished")]
    TakeUp(#[source] Box<TargetError>),
    /// A dataset was named that is none to work in.
    #[error(transparent)]
    Location(#[from] LocationError),
}

impl WorkspaceError {
    /// How to go on.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Location(error) => error.help(),
            Self::TakeUp(error) => error.help(),
            Self::Foreign { path, .. } => Some(format!(
                "use a directory that holds nothing else, for instance -d ./images, or move {} away",
                path.display()
            )),
            Self::Filled { root, .. } => Some(format!(
                "use a new directory, for instance -d {}, or say that this one is to be filled: image-builder workspace -d {}",
                root.join("images").display(),
                root.display()
            )),
            Self::Absent { .. } => {
                Some("-d names the workspace that a build was given; `image-builder build` makes one".to_owned())
            }
            Self::Busy { holder, .. } => Some(busy_help(holder.as_ref())),
            Self::Owner { owner, user: 0, .. } => {
                let name = name_of(*owner);
                Some(format!(
                    "run it as that user (sudo -u {name} …), or use another workspace, for instance -d ./images-root"
                ))
            }
            Self::Owner { root, user, .. } => {
                let name = name_of(*user);
                Some(format!(
                    "sudo chown -R {name}: {}, or use another workspace, for instance -d ./images-{name}",
                    root.display()
                ))
            }
            Self::Directory { path, source, .. } | Self::Lock { path, source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => Some(format!(
                    "you may not write there: have it made yours (chown {} {}), or use another workspace, for instance -d ./images",
                    name_of(rustix::process::geteuid().as_raw()),
                    path.display()
                )),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some("make room: the file system is full; -d names another place".to_owned())
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    Some("nothing can be written there; -d names another place".to_owned())
                }
                _ => None,
            },
        }
    }

    /// Whether this user may not work there, and another could.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        match self {
            Self::Owner { .. } => true,
            Self::Location(error) => error.refusal() == Some(Refusal::Permission),
            Self::Directory { source, .. } | Self::Lock { source, .. } => {
                source.kind() == io::ErrorKind::PermissionDenied
            }
            Self::Busy { .. } | Self::Foreign { .. } | Self::Filled { .. } | Self::Absent { .. } | Self::TakeUp(_) => {
                false
            }
        }
    }
}

fn busy_help(holder: Option<&Holder>) -> String {
    let end = holder.map_or(String::new(), |holder| format!(", or end it with `kill {}`", holder.pid));
    format!(
        "wait until it has ended, as `build --wait` does{end}; in another workspace, for instance -d ./images-2, both can work at once"
    )
}
