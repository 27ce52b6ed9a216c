//! Takes ownership of a file descriptor that the parent process passed on.
//!
//! A parent that starts a program with an open socket tells it the descriptor's number in an environment
//! variable. Turning a number into an owned descriptor is the one thing that Rust's I/O safety cannot check, so it
//! is done here, in a crate of its own because of its `unsafe`, with every check that is possible: the number
//! is one that a parent may pass on, the descriptor is open, it is a UNIX stream socket, and nobody has taken it
//! before. The descriptor is closed on `exec` from then on, so that the program's own children do not hold it.
//!
//! What else it was started with, the program does not know, and its children must not get it: that is here, too, because
//! those descriptors have no owner either.

use std::collections::BTreeSet;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;

use rustix::io::{Errno, FdFlags};
use rustix::net::{AddressFamily, SocketType};

/// Descriptors that were taken already. A number stays here when its descriptor is closed: the same number may then
/// belong to something else, and the variable still names it.
static TAKEN: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

/// Why there is no inherited socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InheritedFdError {
    /// The variable is not set: the program was not started by the parent it expects.
    #[error("environment variable {variable} is not set")]
    NotSet {
        /// The variable's name.
        variable: String,
    },
    /// The variable does not hold a number that a parent may pass on (3 and up: 0 to 2 are the standard streams).
    #[error("environment variable {variable} holds {value:?}, not the number of an inherited descriptor")]
    NotANumber {
        /// The variable's name.
        variable: String,
        /// What it holds.
        value: String,
    },
    /// The descriptor was taken before.
    #[error("descriptor {fd} was taken already")]
    TakenAlready {
        /// The descriptor.
        fd: RawFd,
    },
    /// Nothing is open under that number.
    #[error("descriptor {fd} is not open")]
    NotOpen {
        /// The descriptor.
        fd: RawFd,
        /// What the operating system says.
        #[source]
        source: Errno,
    },
    /// Something is open under that number, and it is not a UNIX stream socket. It is left alone.
    #[error("descriptor {fd} is not a UNIX stream socket")]
    NotASocket {
        /// The descriptor.
        fd: RawFd,
    },
    /// The descriptor could not be set to close on `exec`.
    #[error("cannot set descriptor {fd} to close on exec")]
    CloseOnExec {
        /// The descriptor.
        fd: RawFd,
        /// What the operating system says.
        #[source]
        source: Errno,
    },
}

/// Takes the socket whose number is in the environment variable `variable`.
///
/// Call it at the start of `main`, before the program opens anything that could get the same number in case the
/// parent passed nothing on.
///
/// # Errors
///
/// See [`InheritedFdError`]. A descriptor that is not taken stays as it was.
pub fn take_unix_stream(variable: &str) -> Result<UnixStream, InheritedFdError> {
    let value = std::env::var_os(variable)
        .ok_or_else(|| InheritedFdError::NotSet { variable: variable.to_owned() })?
        .to_string_lossy()
        .into_owned();
    match value.parse::<RawFd>() {
        Ok(fd) if fd > 2 => take_unix_stream_fd(fd),
        _ => Err(InheritedFdError::NotANumber { variable: variable.to_owned(), value }),
    }
}

/// Takes the socket with the number `fd`.
///
/// # Errors
///
/// See [`InheritedFdError`].
fn take_unix_stream_fd(fd: RawFd) -> Result<UnixStream, InheritedFdError> {
    let mut taken = TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if taken.contains(&fd) {
        return Err(InheritedFdError::TakenAlready { fd });
    }
    let socket = adopt(fd)?;
    taken.insert(fd);
    drop(taken);
    rustix::io::fcntl_setfd(&socket, FdFlags::CLOEXEC)
        .map_err(|source| InheritedFdError::CloseOnExec { fd, source })?;
    Ok(UnixStream::from(socket))
}

/// As many numbers are tried where the system does not list what is open.
const UNLISTED: RawFd = 1024;

/// Has every descriptor but the standard streams closed on `exec`, whoever opened it. Programs that this one starts get what
/// it hands them.
pub fn close_all_on_exec() {
    let listed = std::fs::read_dir("/proc/self/fd").map(|entries| {
        let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers.collect::<Vec<RawFd>>()
    });
    let numbers = listed.unwrap_or_else(|_| (0..UNLISTED).collect());
    numbers.into_iter().filter(|fd| *fd > 2).for_each(close_on_exec);
}

#[expect(unsafe_code, reason = "a descriptor that is known by its number alone cannot be borrowed in any safe way")]
fn close_on_exec(fd: RawFd) {
    use std::os::fd::BorrowedFd;

    // SAFETY: `fd` is not -1. Whoever owns the descriptor may close it meanwhile: then the call fails with EBADF, or sets the
    // flag of another one, which is to have it as well. The borrow ends in this function.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    // What is not open needs no flag.
    let _ =
        rustix::io::fcntl_getfd(borrowed).and_then(|flags| rustix::io::fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC));
}

/// Turns the number of an open UNIX stream socket into its owner.
#[expect(unsafe_code, reason = "a descriptor that is passed on by number cannot be owned in any safe way")]
fn adopt(fd: RawFd) -> Result<OwnedFd, InheritedFdError> {
    use std::os::fd::{BorrowedFd, FromRawFd};

    // SAFETY: `fd` is not -1, which is all that the type's niche needs. Whether it is open is what the calls below
    // ask; on a closed descriptor they fail with EBADF and touch nothing. The borrow ends in this function.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    rustix::io::fcntl_getfd(borrowed).map_err(|source| InheritedFdError::NotOpen { fd, source })?;
    let is_stream = rustix::net::sockopt::socket_type(borrowed) == Ok(SocketType::STREAM);
    // Systems differ in what they answer for the unnamed end of a pair; only another family is a refusal.
    let is_other_family = rustix::net::getsockname(borrowed)
        .is_ok_and(|address| ![AddressFamily::UNIX, AddressFamily::UNSPEC].contains(&address.address_family()));
    if !is_stream || is_other_family {
        return Err(InheritedFdError::NotASocket { fd });
    }
    // SAFETY: the descriptor is open, as just checked. It has no other owner: the parent opened it before this
    // program existed and passed it on for this purpose, the standard library owns only 0 to 2, and the caller
    // holds `TAKEN`, which keeps a second owner from being made here.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::fd::{AsRawFd, IntoRawFd};

    use super::*;

    #[test]
    fn takes_a_socket_once_and_closes_it_on_exec() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let fd = theirs.into_raw_fd();
        let mut taken = take_unix_stream_fd(fd).unwrap();
        ours.write_all(b"x").unwrap();
        let mut byte = [0];
        taken.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        assert!(rustix::io::fcntl_getfd(&taken).unwrap().contains(FdFlags::CLOEXEC));
        assert!(matches!(take_unix_stream_fd(fd), Err(InheritedFdError::TakenAlready { .. })));
    }

    #[test]
    fn what_was_to_stay_open_on_exec_is_closed() {
        let file = std::fs::File::open("/dev/null").unwrap();
        rustix::io::fcntl_setfd(&file, FdFlags::empty()).unwrap();
        let standard = rustix::io::fcntl_getfd(std::io::stdout()).unwrap();
        close_all_on_exec();
        assert_eq!(rustix::io::fcntl_getfd(&file), Ok(FdFlags::CLOEXEC));
        assert_eq!(rustix::io::fcntl_getfd(std::io::stdout()), Ok(standard));
    }

    #[test]
    fn refuses_what_is_not_a_unix_socket_and_leaves_it_open() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(matches!(take_unix_stream_fd(file.as_raw_fd()), Err(InheritedFdError::NotASocket { .. })));
        assert!(file.metadata().is_ok());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(matches!(take_unix_stream_fd(listener.as_raw_fd()), Err(InheritedFdError::NotASocket { .. })));
        assert!(listener.local_addr().is_ok());
    }

    #[test]
    fn refuses_a_closed_descriptor() {
        assert!(matches!(take_unix_stream_fd(900_000), Err(InheritedFdError::NotOpen { .. })));
    }

    #[test]
    fn refuses_a_variable_without_a_usable_number() {
        let absent = "INHERITED_FD_TEST_VARIABLE_THAT_NOBODY_SETS";
        assert!(matches!(take_unix_stream(absent), Err(InheritedFdError::NotSet { .. })));
        // PATH is set in every test run and is no number.
        assert!(matches!(take_unix_stream("PATH"), Err(InheritedFdError::NotANumber { .. })));
    }
}
