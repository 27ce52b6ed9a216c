//! One daemon per machine: directories of its own, and a lock.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use sysconfig_protocol::admin::DEFAULT_SOCKET;

use crate::state;

/// The lock file's name.
const FILE: &str = "lock";

/// The daemon cannot have its directories for itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceError {
    /// A directory cannot be made or used.
    #[error("cannot prepare directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: std::io::Error,
    },
    /// A directory belongs to somebody else, who could replace what is in it.
    #[error("directory {} belongs to user {owner}, not to the user of the daemon", path.display())]
    ForeignDirectory {
        /// The directory.
        path: PathBuf,
        /// The user id of its owner.
        owner: u32,
    },
    /// The lock file cannot be opened or locked.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: std::io::Error,
    },
    /// The directory has become another one, or another daemon has used it, while this one could not lock it.
    #[error(
        "what is in {} is not what this sysconfig found there: another one has written into it, or another file system \
         was mounted",
        path.display()
    )]
    Overtaken {
        /// The directory.
        path: PathBuf,
    },
    /// Each of the two directories has a lock of its own, and what closes the file of one would end the other.
    #[error("directory {} cannot be the run directory and the state directory at the same time", path.display())]
    OneDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// Another daemon runs with the same directory.
    #[error("another sysconfig runs already{}, with {}", holder.map(|pid| format!(" as process {pid}")).unwrap_or_default(), path.display())]
    RunsAlready {
        /// The lock file.
        path: PathBuf,
        /// Its process.
        holder: Option<u32>,
    },
}

impl InstanceError {
    /// Whether the file system takes nothing, which is no reason for a daemon to end: what needs the state is refused then.
    pub fn is_of_full_or_read_only_disk(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match self {
            Self::Directory { source, .. } | Self::Lock { source, .. } => {
                matches!(source.kind(), QuotaExceeded | ReadOnlyFilesystem | StorageFull)
            }
            Self::ForeignDirectory { .. }
            | Self::Overtaken { .. }
            | Self::OneDirectory { .. }
            | Self::RunsAlready { .. } => false,
        }
    }

    /// Whether it is because of another daemon or user, or of a record that another daemon has written.
    pub fn is_of_another(&self) -> bool {
        match self {
            Self::ForeignDirectory { .. } | Self::Overtaken { .. } | Self::RunsAlready { .. } => true,
            Self::Directory { .. } | Self::OneDirectory { .. } | Self::Lock { .. } => false,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::RunsAlready { .. } => Some(
                "stop it first (svcadm disable -t svc:/system/installer/sysconfig:default, systemctl stop sysconfig): two daemons \
                 on one machine undo each other's work, also with directories of their own. One that has nothing to do with the \
                 machine, as in a test, is started with --beside-service",
            ),
            Self::Overtaken { .. } => Some("start it again: it reads anew what is there"),
            Self::OneDirectory { .. } => Some("name two with --run-dir and --state-dir"),
            Self::Directory { .. } => Some("run as root, or name other directories with --run-dir and --state-dir"),
            Self::ForeignDirectory { .. } => Some(
                "run as that user, have root give it away or remove it, or name another one with --run-dir or --state-dir",
            ),
            Self::Lock { .. } => None,
        }
    }
}

/// The proof that no other daemon uses a directory, until it is dropped or the process ends.
#[derive(Debug)]
pub struct InstanceLock {
    file: File,
}

impl InstanceLock {
    /// Whether whoever locks the directory now meets this lock.
    pub(super) fn is_of(&self, directory: &Path) -> bool {
        state::is_found(&self.file, &directory.join(FILE))
    }
}

/// Waits until the plugins of an earlier daemon are gone, and answers the file that shows the same to the next one.
///
/// A killed daemon leaves its plugins behind, each of which finishes its step before it ends. Who observed before that
/// would see a state that is about to change. So every plugin has, as its standard input, an empty file that is locked:
/// the lock ends with the last process that holds the file. `waiting` is called when there is something to wait for.
///
/// After `patience` it goes on without the lock, because a grandchild may keep its input for ever.
///
/// # Errors
///
/// When the file cannot be made or locked.
pub fn await_former_plugins(
    run_directory: &Path,
    patience: Duration,
    waiting: impl FnOnce(),
) -> Result<(File, bool), InstanceError> {
    let path = run_directory.join("plugins.lock");
    let lock_error = |source| InstanceError::Lock { path: path.clone(), source };
    let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
    drop(options.map_err(lock_error)?);
    let file = File::open(&path).map_err(lock_error)?;
    let give_up = Instant::now() + patience;
    let mut waiting = Some(waiting);
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok((file, true)),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() >= give_up => return Ok((file, false)),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                if let Some(waiting) = waiting.take() {
                    waiting();
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(errno) => return Err(lock_error(errno.into())),
        }
    }
}

/// Makes a directory that only its owner can enter, with what is missing above it.
///
/// # Errors
///
/// When it cannot be made, or is there and somebody else's.
pub fn prepare_directory(path: &Path) -> Result<(), InstanceError> {
    let error = |source| InstanceError::Directory { path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(error)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => return Err(error(source)),
        _ => (),
    }
    let metadata = std::fs::metadata(path).map_err(error)?;
    if !metadata.is_dir() {
        return Err(error(rustix::io::Errno::NOTDIR.into()));
    }
    let is_private = metadata.permissions().mode() & 0o7777 == 0o700;
    let ours = rustix::process::geteuid().as_raw();
    if metadata.uid() != ours {
        return Err(InstanceError::ForeignDirectory { path: path.to_owned(), owner: metadata.uid() });
    }
    if is_private {
        return Ok(());
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(error)
}

/// Locks a directory for this daemon.
///
/// The lock is a record lock: it ends with the process, is not inherited by plugins, and works on every system
/// and file system that the daemon runs on.
///
/// # Errors
///
/// When another daemon has it.
pub fn lock_directory(directory: &Path) -> Result<InstanceLock, InstanceError> {
    let path = directory.join(FILE);
    let lock_error = |source| InstanceError::Lock { path: path.clone(), source };
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = options.map_err(lock_error)?;
    match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => (),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {
            return Err(InstanceError::RunsAlready { holder: holder(&mut file), path });
        }
        Err(errno) => return Err(lock_error(errno.into())),
    }
    // The number is only for the message of a second daemon, and a full disk is no reason to do without one.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(InstanceLock { file })
}

/// A lock that another daemon's is in the way of, where none can be had that keeps the next one out. None without a file.
pub(super) fn lock_to_read(directory: &Path) -> Result<Option<InstanceLock>, InstanceError> {
    let path = directory.join(FILE);
    let Ok(mut file) = File::open(&path) else { return Ok(None) };
    match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {
            Err(InstanceError::RunsAlready { holder: holder(&mut file), path })
        }
        // Whatever else it says: there is nothing to be had.
        _ => Ok(Some(InstanceLock { file })),
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok())
}

/// Refuses to be a second daemon on a machine whose service's daemon answers, whatever directories it would have: the two
/// would undo each other's work.
///
/// # Errors
///
/// When the service's daemon runs, and `run_directory` is not its.
pub fn refuse_beside_service(run_directory: &Path) -> Result<(), InstanceError> {
    let socket = Path::new(DEFAULT_SOCKET);
    let Some(directory) = socket.parent().filter(|directory| *directory != run_directory) else { return Ok(()) };
    match UnixStream::connect(socket) {
        Err(_) => Ok(()),
        Ok(_) => {
            let holder = File::open(directory.join(FILE)).ok().and_then(|mut file| holder(&mut file));
            Err(InstanceError::RunsAlready { path: directory.to_owned(), holder })
        }
    }
}
