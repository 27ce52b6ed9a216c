//! A depot for tests: the paths of pkg.depotd(8) over a repository of version 4, with keep-alive and ranges.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

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
}

type Mischief = dyn Fn(&str, usize) -> Option<Fault> + Send + Sync;

struct Shared {
    root: PathBuf,
    mischief: Box<Mischief>,
    requests: Mutex<Vec<String>>,
    counts: Mutex<HashMap<String, usize>>,
    is_ending: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
    has_prefixes: bool,
}

/// A depot on a port of this machine, until it is dropped.
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve_connection(shared: &Shared, stream: &TcpStream) {
    let Ok(reading) = stream.try_clone() else { return };
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(reading);
    while let Some((path, range)) = read_request(&mut reader) {
        let count = {
            let mut counts = lock(&shared.counts);
            let count = counts.entry(path.clone()).or_default();
            *count += 1;
            *count - 1
        };
        lock(&shared.requests).push(path.clone());
        let fault = (shared.mischief)(&path, count);
        let is_open = answer(shared, stream, &path, range, fault.as_ref()).unwrap_or(false);
        if !is_open {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// The path, and where a wanted range begins.
fn read_request(reader: &mut impl BufRead) -> Option<(String, Option<usize>)> {
    let mut line = String::new();
    reader.take(1 << 16).read_line(&mut line).ok().filter(|count| *count > 0)?;
    let target = line.split(' ').nth(1)?;
    // A proxy is asked for whole addresses.
    let path = target.strip_prefix("http://").and_then(|rest| rest.split_once('/')).map_or(target, |(_, path)| path);
    let path = path.trim_start_matches('/').to_owned();
    let mut range = None;
    loop {
        let mut header = String::new();
        reader.take(1 << 16).read_line(&mut header).ok().filter(|count| *count > 0)?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            return Some((path, range));
        }
        if let Some(wanted) = header.strip_prefix("range: bytes=") {
            range = wanted.split('-').next().and_then(|begin| begin.parse().ok());
        }
    }
}

/// Whether the connection goes on.
fn answer(
    shared: &Shared,
    mut stream: &TcpStream,
    path: &str,
    range: Option<usize>,
    fault: Option<&Fault>,
) -> std::io::Result<bool> {
    let content = match fault {
        Some(Fault::Wrong(bytes)) => Some(bytes.clone()),
        Some(Fault::Close) => return Ok(false),
        Some(Fault::Status(status)) => {
            write!(stream, "HTTP/1.1 {status} Trouble\r\nContent-Length: 0\r\n\r\n")?;
            return Ok(true);
        }
        _ => content(shared, path),
    };
    let Some(content) = content else {
        write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(true);
    };
    let begin = range.filter(|begin| *begin < content.len());
    let part = &content[begin.unwrap_or(0)..];
    let status = match begin {
        Some(begin) => {
            format!("206 Partial Content\r\nContent-Range: bytes {begin}-{}/{}", content.len() - 1, content.len())
        }
        None => "200 OK".to_owned(),
    };
    // In one piece, as the kernel holds back a small second one until the first is confirmed.
    let mut bytes =
        format!("HTTP/1.1 {status}\r\nETag: \"{}\"\r\nContent-Length: {}\r\n\r\n", content.len(), part.len())
            .into_bytes();
    let sent = match fault {
        Some(Fault::Truncate(count) | Fault::Stall(count)) => part.len().min(*count),
        _ => part.len(),
    };
    bytes.extend_from_slice(&part[..sent]);
    stream.write_all(&bytes)?;
    match fault {
        Some(Fault::Truncate(_)) => Ok(false),
        Some(Fault::Stall(_)) => {
            while !shared.is_ending.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(20));
            }
            Ok(false)
        }
        _ => Ok(true),
    }
}

fn content(shared: &Shared, path: &str) -> Option<Vec<u8>> {
    if path == "versions/0" {
        let publisher = if shared.has_prefixes { "publisher 0 1" } else { "publisher 0" };
        return Some(
            format!("pkg-server test\ncatalog 1\nfile 0 1\nmanifest 0\n{publisher}\nversions 0\n").into_bytes(),
        );
    }
    let mut publishers: Vec<String> = fs::read_dir(shared.root.join("publisher"))
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    publishers.sort();
    if path == "publisher/0" {
        let list: Vec<String> = publishers.iter().map(|name| format!(r#"{{"name":"{name}"}}"#)).collect();
        return Some(format!(r#"{{"packages":[],"publishers":[{}],"version":1}}"#, list.join(",")).into_bytes());
    }
    let (first, rest) = path.split_once('/')?;
    let is_publisher = shared.has_prefixes && publishers.iter().any(|name| name == first);
    let (publisher, rest) = if is_publisher { (first, rest) } else { (publishers.first()?.as_str(), path) };
    let (operation, rest) = rest.split_once('/')?;
    let (_version, name) = rest.split_once('/')?;
    if name.split('/').any(|part| part.starts_with('.')) {
        return None;
    }
    let below = match operation {
        "catalog" => format!("catalog/{name}"),
        "manifest" => format!("pkg/{}", name.replacen('@', "/", 1)),
        "file" => format!("file/{}/{name}", name.get(..2)?),
        _ => return None,
    };
    fs::read(shared.root.join("publisher").join(publisher).join(below)).ok()
}
