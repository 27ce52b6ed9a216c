//! A depot for tests: the paths of pkg.depotd(8) over a repository of version 4, with keep-alive and ranges.

use std::collections::HashMap;
use std::io::BufReader;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::answers::{answer, read_request};
use crate::socks;

/// What goes wrong with one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status instead of an answer.
    Status(u16),
    /// The connection ends after so many bytes of the content.
    Truncate(usize),
    /// Nothing comes any more after so many bytes of the content.
    Stall(usize),
    /// Other content.
    Wrong(Vec<u8>),
    /// The connection ends without any answer.
    Close,
    /// The answer is right, and the connection ends when the next request comes over it.
    Last,
    /// The length is not told, and the connection ends after so many bytes of the content.
    EndUntold(usize),
    /// It leads elsewhere.
    Redirect(String),
    /// Text is packed on its way, and damaged.
    Mangle,
}

type Mischief = dyn Fn(&str, usize) -> Option<Fault> + Send + Sync;

pub(crate) struct Shared {
    pub(crate) root: PathBuf,
    mischief: Box<Mischief>,
    requests: Mutex<Vec<String>>,
    /// What was packed on its way.
    pub(crate) packed: Mutex<Vec<String>>,
    counts: Mutex<HashMap<String, usize>>,
    pub(crate) is_ending: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
    pub(crate) has_prefixes: bool,
}

/// A depot on a port of this machine, until it is dropped. As a proxy, it takes every server that it is to reach for itself;
/// what it is asked for as one is told with the server.
pub struct Depot {
    shared: Arc<Shared>,
    address: std::net::SocketAddr,
}

impl std::fmt::Debug for Depot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Depot").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Depot {
    /// Serves the repository in `root`.
    #[must_use]
    pub fn serve(root: &Path) -> Self {
        Self::serve_with(root, |_, _| None)
    }

    /// Serves the repository in `root`. `mischief` is asked before each answer, with the path and how often that path was
    /// asked for before.
    ///
    /// # Panics
    /// If there is no port.
    #[must_use]
    pub fn serve_with(root: &Path, mischief: impl Fn(&str, usize) -> Option<Fault> + Send + Sync + 'static) -> Self {
        Self::start(root, Box::new(mischief), true)
    }

    /// Serves the repository in `root` as an old depot does: without publishers in paths.
    #[must_use]
    pub fn serve_old(root: &Path) -> Self {
        Self::start(root, Box::new(|_, _| None), false)
    }

    fn start(root: &Path, mischief: Box<Mischief>, has_prefixes: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("the port's address");
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            mischief,
            requests: Mutex::default(),
            packed: Mutex::default(),
            counts: Mutex::default(),
            is_ending: AtomicBool::new(false),
            connections: Mutex::default(),
            has_prefixes,
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.is_ending.load(Ordering::Acquire) {
                    break;
                }
                lock(&serving.connections).extend(stream.try_clone());
                let serving = Arc::clone(&serving);
                thread::spawn(move || serve_connection(&serving, &stream));
            }
        });
        Self { shared, address }
    }

    /// Where it is: `http://127.0.0.1:PORT/`.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The paths that were asked for so far, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        lock(&self.shared.requests).clone()
    }

    /// The paths of texts that were packed on their way, as they were asked for so.
    #[must_use]
    pub fn packed(&self) -> Vec<String> {
        lock(&self.shared.packed).clone()
    }

    /// Forgets what was asked for.
    pub fn forget(&self) {
        lock(&self.shared.requests).clear();
    }
}

impl Drop for Depot {
    fn drop(&mut self) {
        self.shared.is_ending.store(true, Ordering::Release);
        // Wakes up the one that waits for connections.
        drop(TcpStream::connect(self.address));
        for connection in lock(&self.shared.connections).drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve_connection(shared: &Shared, stream: &TcpStream) {
    let Ok(reading) = stream.try_clone() else { return };
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(reading);
    match socks::begin(&mut reader, stream) {
        Ok(Some(target)) => lock(&shared.requests).push(format!("{SOCKS}{target}")),
        Ok(None) => {}
        Err(_) => return,
    }
    while let Some(request) = read_request(&mut reader) {
        let path = request.path.clone();
        let count = {
            let mut counts = lock(&shared.counts);
            let count = counts.entry(path.clone()).or_default();
            *count += 1;
            *count - 1
        };
        lock(&shared.requests).push(path.clone());
        let fault = (shared.mischief)(&path, count);
        let is_open = answer(shared, stream, &request, fault.as_ref()).unwrap_or(false);
        if fault == Some(Fault::Last) {
            read_request(&mut reader);
        }
        if !is_open || fault == Some(Fault::Last) {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// What begins the note of a server that a SOCKS proxy is to reach: here, the depot itself.
const SOCKS: &str = "SOCKS ";
