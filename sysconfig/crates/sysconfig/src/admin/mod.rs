//! The admin socket: who may connect, and what is answered.
//!
//! The thread `admin` accepts connections; each has a thread `client` of its own. What the board knows is answered
//! at once; everything else is handed to the engine, whose answer is awaited.

mod answering;
mod client;
mod fit;
mod peer;
mod unread;

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use answering::Answering;
use rustix::event::{PollFd, PollFlags, Timespec};
use sysconfig_protocol::envelope::code;

use crate::board::Board;
use crate::config::Sources;
use crate::engine::{Event, Turns};
use crate::log::Log;
use crate::service::instance::prepare_directory;
use crate::text::chain;
pub use unread::Lookout;

/// Connections at the same time; further ones are told so and closed.
const MAX_CLIENTS: usize = 32;

/// Commands that wait for the engine, which may be in one call for minutes; half of the connections, so that there is always
/// one for those that are answered at once.
const MAX_COMMANDS: usize = 16;

/// The same for what must not be refused because others wait: a change that nobody can confirm is undone.
const MAX_URGENT_COMMANDS: usize = 24;

/// The name of the socket in the run directory.
pub const SOCKET_NAME: &str = "sysconfig.sock";

/// The admin socket cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {}", path.display())]
pub struct AdminError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

impl AdminError {
    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        match self.source.kind() {
            ErrorKind::IsADirectory | ErrorKind::PermissionDenied => Some("remove what is in its place"),
            ErrorKind::InvalidInput => Some("name a directory with a shorter path with --run-dir"),
            _ => None,
        }
    }
}

/// What requests are answered from.
#[derive(Debug, Clone)]
pub struct Desk {
    /// The status.
    pub board: Board,
    /// Where the engine takes commands.
    pub engine: Sender<Event>,
    /// How many commands wait there.
    pub turns: Turns,
    /// The log, whose last lines can be asked for.
    pub log: Log,
    /// Where the journal is.
    pub state_directory: PathBuf,
    /// The configuration files.
    pub sources: Sources,
    /// Who looks whether they are as they were when they were read.
    pub lookout: Lookout,
}

/// How long the end of the process waits for clients to read what they asked for.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// The socket; its file goes with it, and before that the last answers.
#[derive(Debug)]
pub struct AdminSocket {
    place: Arc<Place>,
    answering: Answering,
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        self.answering.wait(LAST_ANSWERS);
        self.place.leave();
    }
}

/// Where the socket is, and which file it is.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    bound: Mutex<Bound>,
}

/// Device and inode of the socket's file, while there is one.
#[derive(Debug, Default)]
struct Bound {
    file: Option<(u64, u64)>,
    /// The process ends, and binds no more.
    is_over: bool,
}

impl Place {
    /// Listens there, whatever file was in its place before.
    fn bind(&self) -> Result<UnixListener, AdminError> {
        let mut bound = self.bound();
        if bound.is_over {
            return Err(AdminError { path: self.path.clone(), source: ErrorKind::Interrupted.into() });
        }
        let error = |source| AdminError { path: self.path.clone(), source };
        match std::fs::remove_file(&self.path) {
            Err(source) if source.kind() != ErrorKind::NotFound => return Err(error(source)),
            _ => (),
        }
        let listener = UnixListener::bind(&self.path).map_err(error)?;
        std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(0o600)).map_err(error)?;
        // Whoever connects may have gone before he is accepted.
        listener.set_nonblocking(true).map_err(error)?;
        bound.file = self.identity();
        Ok(listener)
    }

    /// Removes the file, for good. Left behind, it would only be replaced by the next daemon; somebody else's is not ours
    /// to remove.
    fn leave(&self) {
        let mut bound = self.bound();
        bound.is_over = true;
        if bound.file.is_some() && self.identity() == bound.file {
            drop(std::fs::remove_file(&self.path));
        }
    }

    fn bound(&self) -> MutexGuard<'_, Bound> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn identity(&self) -> Option<(u64, u64)> {
        std::fs::symlink_metadata(&self.path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
    }

    fn is_ours(&self) -> bool {
        let bound = self.bound();
        bound.is_over || bound.file.is_some() && self.identity() == bound.file
    }
}

/// Starts listening in `run_directory`, which must be the daemon's alone (0700, locked): that is what makes it safe
/// to remove a socket that an earlier daemon left, and to set the mode after binding.
///
/// # Errors
///
/// When the socket or the thread cannot be made.
pub fn listen(run_directory: &Path, desk: Desk) -> Result<AdminSocket, AdminError> {
    let place = Arc::new(Place { path: run_directory.join(SOCKET_NAME), bound: Mutex::default() });
    let listener = place.bind()?;
    let watched = place.clone();
    let answering = Answering::default();
    let ours = answering.clone();
    let accept = move || accept_on(listener, &watched, &desk, &ours);
    let started = std::thread::Builder::new().name("admin".to_owned()).spawn(accept);
    started.map_err(|source| AdminError { path: place.path.clone(), source })?;
    Ok(AdminSocket { place, answering })
}

/// How often is looked whether the socket's file is still there: without it nobody can ask for anything.
const LOOK: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Goes on after a fault of the daemon itself: otherwise nobody could ask for anything any more.
fn accept_on(mut listener: UnixListener, place: &Place, desk: &Desk, answering: &Answering) {
    let clients = Clients::default();
    let mut accept = || accept_all(&mut listener, place, desk, answering, &clients);
    while catch_unwind(AssertUnwindSafe(&mut accept)).is_err() {
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Counts the connections.
#[derive(Debug, Clone, Default)]
struct Clients(Arc<AtomicUsize>);

/// A place among them, until it is dropped, however whoever has it ends.
#[derive(Debug)]
struct Seat(Clients);

impl Clients {
    /// A place, unless so many are taken.
    fn take(&self, most: usize) -> Option<Seat> {
        let seat = Seat(self.clone());
        (self.0.fetch_add(1, Ordering::Relaxed) < most).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn accept_all(
    listener: &mut UnixListener,
    place: &Place,
    desk: &Desk,
    answering: &Answering,
    clients: &Clients,
) -> std::convert::Infallible {
    let mut is_told = false;
    loop {
        let waited = rustix::event::poll(&mut [PollFd::new(&*listener, PollFlags::IN)], Some(&LOOK));
        if matches!(waited, Ok(0)) && !place.is_ours() {
            match bind_anew(place) {
                Ok(fresh) => {
                    *listener = fresh;
                    is_told = false;
                    desk.log
                        .warn("admin", format!("{} was removed or replaced, and is made anew", place.path.display()));
                }
                Err(error) if !is_told => {
                    is_told = true;
                    desk.log.error("admin", format!("nobody can ask for anything: {}", chain(error.as_ref())));
                }
                Err(_) => (),
            }
            continue;
        }
        match listener.accept() {
            Ok((stream, _)) => welcome(stream, desk, clients, answering),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => (),
            Err(error) => {
                // Out of descriptors, most likely; trying again at once would only burn the processor.
                desk.log.warn("admin", format!("cannot accept a connection: {error}"));
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// The directory may be gone, too.
fn bind_anew(place: &Place) -> Result<UnixListener, Box<dyn std::error::Error>> {
    if let Some(directory) = place.path.parent() {
        prepare_directory(directory)?;
    }
    Ok(place.bind()?)
}

fn welcome(stream: UnixStream, desk: &Desk, clients: &Clients, answering: &Answering) {
    let log = &desk.log;
    // Some systems pass that on from the listener.
    if let Err(error) = stream.set_nonblocking(false) {
        log.warn("admin", format!("cannot serve a connection: {error}"));
        return;
    }
    if let Err(reason) = peer::check(&stream) {
        log.warn("admin", format!("refused a connection: {reason}"));
        client::refuse(&stream, code::NOT_PERMITTED, &reason);
        return;
    }
    let Some(seat) = clients.take(MAX_CLIENTS) else {
        let reason = format!("there are {MAX_CLIENTS} connections already");
        log.warn("admin", format!("refused a connection: {reason}"));
        client::refuse(&stream, code::TOO_MANY_CONNECTIONS, &reason);
        return;
    };
    let (desk, answering) = (desk.clone(), answering.clone());
    let serve = move || {
        client::serve(&stream, &desk, &answering);
        drop(seat);
    };
    if let Err(error) = std::thread::Builder::new().name("client".to_owned()).spawn(serve) {
        log.warn("admin", format!("cannot serve a connection: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After as many as there are places, nobody could connect any more.
    #[test]
    fn whoever_serves_a_client_and_panics_gives_its_place_back() {
        let clients = Clients::default();
        for _ in 0..3 {
            let seat = clients.take(1).unwrap();
            assert!(clients.take(1).is_none(), "a refusal takes no place");
            let serve = move || {
                let _seat = seat;
                panic!("a fault of the daemon, for the test");
            };
            assert!(std::thread::spawn(serve).join().is_err());
        }
    }
}
