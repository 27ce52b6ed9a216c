//! Telling the service manager when the daemon is ready.
//!
//! Two ways, one interface. SMF counts a contract service online when its start method returns, so with `--smf`
//! the program starts itself once more and waits; the second process is the daemon, and a byte on a socket between
//! the two lets the first one exit. systemd wants one process and a datagram to `NOTIFY_SOCKET`. Nothing is forked:
//! the second process is started afresh, before any thread exists in the first.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};

use command_fds::{CommandFdExt, FdMapping};

/// Tells the second process its descriptor.
const READY_FD_VARIABLE: &str = "SYSCONFIG_READY_FD";

/// What the second process writes.
const READY: &[u8] = b"R";

/// Whom to tell.
#[derive(Debug)]
pub enum Readiness {
    /// Nobody: started by hand.
    Nobody,
    /// The waiting first process under SMF.
    Parent(Option<UnixStream>),
    /// systemd.
    Systemd(UnixDatagram),
}

/// Readiness cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadinessError {
    /// The first process's socket is not usable.
    #[error("cannot use the readiness socket")]
    Inherited(#[from] inherited_fd::InheritedFdError),
    /// `NOTIFY_SOCKET` is not usable.
    #[error("cannot use NOTIFY_SOCKET {address:?}")]
    NotifySocket {
        /// What the variable holds.
        address: String,
        /// What the operating system says.
        #[source]
        source: std::io::Error,
    },
    /// The second process cannot be started.
    #[error("cannot start the daemon process")]
    Start(#[source] std::io::Error),
}

/// Which of the two processes of `--smf` this is.
#[derive(Debug)]
pub enum Role {
    /// The one that waits.
    First,
    /// The daemon.
    Daemon(Readiness),
}

/// Finds out whom to tell. Must be called before the program opens files.
///
/// # Errors
///
/// When the environment names a socket that cannot be used.
pub fn role(smf: bool) -> Result<Role, ReadinessError> {
    if smf {
        return match inherited_fd::take_unix_stream(READY_FD_VARIABLE) {
            Ok(stream) => Ok(Role::Daemon(Readiness::Parent(Some(stream)))),
            Err(inherited_fd::InheritedFdError::NotSet { .. }) => Ok(Role::First),
            Err(error) => Err(error.into()),
        };
    }
    match std::env::var("NOTIFY_SOCKET") {
        Ok(address) if !address.is_empty() => match connect_notify(&address) {
            Ok(socket) => Ok(Role::Daemon(Readiness::Systemd(socket))),
            Err(source) => Err(ReadinessError::NotifySocket { address, source }),
        },
        _ => Ok(Role::Daemon(Readiness::Nobody)),
    }
}

fn connect_notify(address: &str) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&notify_address(address)?)?;
    Ok(socket)
}

/// A path, or on Linux a name in the abstract space, which is written with `@`.
fn notify_address(address: &str) -> std::io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = address.strip_prefix('@') {
        return <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name);
    }
    SocketAddr::from_pathname(address)
}

/// The first process: starts the daemon with the same arguments and waits until it is ready. Answers the exit
/// status to end with: 0 when the daemon is ready, otherwise what the daemon ended with.
///
/// # Errors
///
/// When the daemon cannot be started.
#[expect(clippy::disallowed_methods, reason = "the daemon starts itself; the process runner waits for what it starts")]
pub fn start_daemon_and_wait() -> Result<u8, ReadinessError> {
    let (mut ours, theirs) = UnixStream::pair().map_err(ReadinessError::Start)?;
    let program = std::env::current_exe().map_err(ReadinessError::Start)?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).env(READY_FD_VARIABLE, "3").process_group(0);
    command.stdin(std::process::Stdio::null());
    let mapping = FdMapping { parent_fd: OwnedFd::from(theirs), child_fd: 3 };
    command.fd_mappings(vec![mapping]).expect("one mapping cannot collide");
    let mut daemon = command.spawn().map_err(ReadinessError::Start)?;
    // The command holds the daemon's end of the pair; without dropping it the daemon's death would go unnoticed.
    drop(command);
    let mut answer = [0; 1];
    match ours.read(&mut answer) {
        Ok(1) if answer == READY => Ok(0),
        _ => Ok(exit_code(daemon.wait().map_err(ReadinessError::Start)?)),
    }
}

/// The exit status that stands for how the daemon ended. An end without readiness is never a success.
fn exit_code(status: ExitStatus) -> u8 {
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(0) | None => 1,
        Some(code) => code,
    }
}

impl Readiness {
    /// Whether somebody supervises this daemon.
    pub fn is_service(&self) -> bool {
        !matches!(self, Self::Nobody)
    }

    /// The daemon is ready. Told once; later calls do nothing under SMF.
    pub fn ready(&mut self, status: &str) {
        match self {
            Self::Nobody => (),
            // A first process that was killed by the start timeout needs no answer.
            Self::Parent(parent) => drop(parent.take().map(|mut stream| stream.write_all(READY))),
            Self::Systemd(socket) => notify(socket, &format!("READY=1\nSTATUS={status}")),
        }
    }

    /// The daemon is ending.
    pub fn stopping(&mut self) {
        if let Self::Systemd(socket) = self {
            notify(socket, "STOPPING=1\nSTATUS=stopping plugins");
        }
    }
}

/// Readiness that systemd cannot be told shows as its start timeout, so a failure needs no report of its own.
fn notify(socket: &UnixDatagram, message: &str) {
    drop(socket.send(message.as_bytes()));
}
