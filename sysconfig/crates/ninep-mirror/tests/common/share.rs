//! The files of a share on an imagined host, as state: what the fake server serves and tests change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// A share. Clones are the same share.
#[derive(Clone, Default)]
pub(crate) struct Share(Arc<Mutex<Host>>);

/// The host's side of it.
pub(crate) struct Host {
    /// By path; the root is the empty path.
    pub(crate) nodes: BTreeMap<String, Node>,
    /// A clock that moves with every change.
    clock: u64,
    next_number: u64,
    /// Every request by its type, for all connections.
    pub(crate) requests: Vec<u8>,
    pub(crate) quirks: Quirks,
    /// Called before a request is answered, with its type and the path that it is about.
    pub(crate) before: Option<Before>,
    /// Called with every reply's request type and bytes; what it answers is sent instead.
    pub(crate) mangle: Option<Mangle>,
}

pub(crate) type Before = Box<dyn FnMut(&mut Host, u8, &str) + Send>;
pub(crate) type Mangle = Box<dyn FnMut(u8, Vec<u8>) -> Sent + Send>;

/// What is sent for an answer.
pub(crate) enum Sent {
    Messages(Vec<Vec<u8>>),
    /// The connection ends.
    Close,
}

/// In what servers differ.
#[derive(Clone, Default)]
pub(crate) struct Quirks {
    /// A walk goes at most so far in one message; 0 is no limit.
    pub(crate) walk_names: usize,
    /// `Rreaddir` has at most so many entries; 0 is no limit.
    pub(crate) entries: usize,
    /// `Rread` has at most so many bytes; 0 is no limit.
    pub(crate) read_bytes: usize,
    /// What `Rlopen` says; 0 is left to the client.
    pub(crate) io_unit: u32,
    /// The largest message that is granted; 0 is no limit.
    pub(crate) msize: u32,
    /// Requests that are answered with this error: type, path, number.
    pub(crate) errors: Vec<(u8, String, u32)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) content: Content,
    pub(crate) mode: u32,
    pub(crate) mtime: (u64, u64),
    pub(crate) ctime: (u64, u64),
    pub(crate) number: u64,
    /// What `Rgetattr` says instead of the true size.
    pub(crate) said_size: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Directory,
    File(Vec<u8>),
    Link(Vec<u8>),
    Pipe,
}

impl Default for Host {
    fn default() -> Self {
        let mut host = Self {
            nodes: BTreeMap::new(),
            clock: 1_700_000_000,
            next_number: 1,
            requests: Vec::new(),
            quirks: Quirks::default(),
            before: None,
            mangle: None,
        };
        host.put("", Content::Directory, 0o755);
        host
    }
}

impl Host {
    /// Puts something new at a path, and the directories above it.
    pub(crate) fn put(&mut self, path: &str, content: Content, mode: u32) {
        if let Some((directory, _)) = path.rsplit_once('/') {
            if self.nodes.get(directory).is_none_or(|node| node.content != Content::Directory) {
                self.put(directory, Content::Directory, 0o755);
            }
        }
        let time = self.tick();
        let number = self.next_number;
        self.next_number += 1;
        let node = Node { content, mode, mtime: time, ctime: time, number, said_size: None };
        self.nodes.insert(path.to_owned(), node);
    }

    /// Writes into a file as it is, as a linker does.
    pub(crate) fn write_in_place(&mut self, path: &str, bytes: &[u8]) {
        let time = self.tick();
        let node = self.nodes.get_mut(path).unwrap();
        node.content = Content::File(bytes.to_vec());
        (node.mtime, node.ctime) = (time, time);
    }

    /// Removes a path and what is below it.
    pub(crate) fn remove(&mut self, path: &str) {
        self.tick();
        let below = format!("{path}/");
        self.nodes.retain(|other, _| other != path && !other.starts_with(&below));
    }

    pub(crate) fn children(&self, directory: &str) -> Vec<String> {
        let parent = |path: &str| path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
        let below = self.nodes.keys().filter(|path| !path.is_empty() && parent(path) == directory);
        below.map(|path| path.rsplit('/').next().unwrap().to_owned()).collect()
    }

    fn tick(&mut self) -> (u64, u64) {
        self.clock += 1;
        (self.clock, 5)
    }
}

impl Share {
    pub(crate) fn host(&self) -> MutexGuard<'_, Host> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Puts a file of sources in place.
    pub(crate) fn file(&self, path: &str, text: &str) {
        self.host().put(path, Content::File(text.as_bytes().to_vec()), 0o644);
    }

    /// Puts an executable in place, as cargo does: a new file under the old name.
    pub(crate) fn executable(&self, path: &str, bytes: &[u8]) {
        self.host().put(path, Content::File(bytes.to_vec()), 0o755);
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        self.host().put(path, Content::Link(target.as_bytes().to_vec()), 0o777);
    }

    pub(crate) fn remove(&self, path: &str) {
        self.host().remove(path);
    }

    /// Writes `.git/index` of version 2 with these files.
    pub(crate) fn track(&self, paths: &[&str]) {
        let mut sorted = paths.to_vec();
        sorted.sort_unstable();
        let mut index = b"DIRC\0\0\0\x02".to_vec();
        index.extend(u32::try_from(sorted.len()).unwrap().to_be_bytes());
        for path in sorted {
            let mut entry = [0; 60].to_vec();
            entry[24..28].copy_from_slice(&0o100_644_u32.to_be_bytes());
            entry.extend(u16::try_from(path.len()).unwrap().to_be_bytes());
            entry.extend(path.as_bytes());
            entry.resize((entry.len() + 1).next_multiple_of(8), 0);
            index.extend(entry);
        }
        index.extend([0; 20]);
        self.host().put(".git/index", Content::File(index), 0o644);
    }

    /// How many requests of a type were made since the last call.
    pub(crate) fn count_requests(&self, kind: u8) -> usize {
        std::mem::take(&mut self.host().requests).iter().filter(|it| **it == kind).count()
    }
}
