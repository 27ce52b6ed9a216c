//! A directory with what is below it: the unit of sharing, hashing and storing.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::encode;
use crate::hash::BlobHash;
use crate::node::{Content, Metadata, Node};

/// A directory: its own node and its entries by name.
///
/// Directories are reached through `Arc`s and shared between trees. The two caches are facts about the
/// value, so a clone may keep them; [`Directory::edit`], the only way to change one, drops them.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    pub(super) node: Node,
    pub(super) entries: BTreeMap<Arc<[u8]>, Entry>,
    hash: OnceLock<BlobHash>,
    summary: OnceLock<Summary>,
}

/// What a name in a directory stands for.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Directory(Arc<Directory>),
    /// Any other node. The paths of one hard-linked node hold equal ones.
    Leaf(Arc<Node>),
}

/// Counts over a directory and everything below it, and the room its paths need.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Summary {
    pub(super) directories: u64,
    pub(super) leaves: u64,
    /// Every name counted, hard links or not.
    pub(super) content_bytes: u64,
    pub(super) data_bytes: u64,
    /// Components of the deepest path below.
    pub(super) depth: usize,
    /// Bytes of the longest path below, slashes included.
    pub(super) path_bytes: usize,
}

impl Directory {
    pub(super) fn new(metadata: Metadata) -> Self {
        Self::with_entries(metadata, BTreeMap::new())
    }

    pub(super) fn with_entries(metadata: Metadata, entries: BTreeMap<Arc<[u8]>, Entry>) -> Self {
        Self { node: Node::directory(metadata), entries, hash: OnceLock::new(), summary: OnceLock::new() }
    }

    /// A directory just decoded from the object with this hash.
    pub(super) fn with_known_hash(self, hash: BlobHash) -> Self {
        Self { hash: OnceLock::from(hash), ..self }
    }

    /// The directory for changing: a copy of its own if it is shared, and its caches dropped.
    pub(super) fn edit(shared: &mut Arc<Directory>) -> &mut Directory {
        let directory = Arc::make_mut(shared);
        directory.hash = OnceLock::new();
        directory.summary = OnceLock::new();
        directory
    }

    /// The address of the directory object.
    pub(super) fn hash(&self) -> BlobHash {
        *self.hash.get_or_init(|| BlobHash::of(&encode::encode_directory(self)))
    }

    /// The same, where the directory object is at hand.
    pub(super) fn hash_of_object(&self, object: &[u8]) -> BlobHash {
        *self.hash.get_or_init(|| BlobHash::of(object))
    }

    /// The hash if it has been computed already.
    pub(super) fn known_hash(&self) -> Option<BlobHash> {
        self.hash.get().copied()
    }

    pub(super) fn summary(&self) -> Summary {
        *self.summary.get_or_init(|| self.entries.iter().fold(Summary::of_empty(), Summary::with_entry))
    }
}

impl Entry {
    pub(super) fn node(&self) -> &Node {
        match self {
            Self::Directory(directory) => &directory.node,
            Self::Leaf(node) => node,
        }
    }
}

impl Summary {
    fn of_empty() -> Self {
        Self { directories: 1, ..Self::default() }
    }

    fn with_entry(mut self, (name, entry): (&Arc<[u8]>, &Entry)) -> Self {
        let below = match entry {
            Entry::Directory(directory) => directory.summary(),
            Entry::Leaf(node) => Self {
                leaves: 1,
                content_bytes: node.content().map_or(0, Content::len),
                data_bytes: node.content().map_or(0, Content::data_len),
                ..Self::default()
            },
        };
        self.directories = self.directories.saturating_add(below.directories);
        self.leaves = self.leaves.saturating_add(below.leaves);
        self.content_bytes = self.content_bytes.saturating_add(below.content_bytes);
        self.data_bytes = self.data_bytes.saturating_add(below.data_bytes);
        self.depth = self.depth.max(below.depth + 1);
        self.path_bytes = self.path_bytes.max(below.path_bytes + 1 + name.len());
        self
    }
}
