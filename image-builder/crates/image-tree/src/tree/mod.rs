//! The tree: a value that maps paths to nodes.

mod diff;
mod directory;
mod edit;
mod encode;
mod error;
mod links;
mod persist;
mod resolve;
mod walk;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use diff::{Change, ChangeKind, Field, diff};
pub use encode::FormatError;
pub use error::TreeError;
pub use links::{LinkId, Links};
pub use persist::LoadError;
pub use resolve::{Follow, Resolved};
pub use walk::{Walk, WalkEntry};

use crate::hash::TreeHash;
use crate::node::{Metadata, Node};
use crate::path::ImagePath;
use directory::{Directory, Entry};
use links::LinkTable;

pub(crate) use persist::collect_references;

/// The root file system of an image, as a value.
///
/// Cloning is free and later changes to either side are not seen by the other: directories are shared
/// until they are changed. Every directory caches the hash of all that is below it, so that comparing,
/// storing and hashing cost what has changed, not what there is.
///
/// Two kinds of methods take a path. Those that only look (`get`, `read_dir`, `walk_from`, `links`) take
/// it literally. Those that change something, and [`resolve`](Self::resolve), see it as a process confined to
/// the image would: symbolic links in all components but the last are followed, inside the image; whether
/// the last one is followed is the caller's choice where it makes sense. They return the path they arrived at.
#[derive(Debug, Clone)]
pub struct Tree {
    root: Arc<Directory>,
    links: Arc<LinkTable>,
}

/// Counts of what is in a tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Directories, the root included.
    pub directories: u64,
    /// Names of everything that is not a directory.
    pub other_names: u64,
    /// Names beyond the first of hard-linked files: these are no nodes of their own.
    pub extra_links: u64,
    /// Length of all regular files in bytes, holes included, hard-linked files once.
    pub content_bytes: u64,
    /// Bytes of data in all regular files, holes left out, hard-linked files once.
    pub data_bytes: u64,
}

impl Statistics {
    /// The number of nodes (inodes, in a file system).
    #[must_use]
    pub fn nodes(&self) -> u64 {
        self.directories + self.other_names - self.extra_links
    }
}

impl Tree {
    /// A tree that is an empty root directory.
    #[must_use]
    pub fn new(root: Metadata) -> Self {
        Self { root: Arc::new(Directory::new(root)), links: Arc::default() }
    }

    /// The node at `path`, taken literally: a symbolic link is returned itself, and is no directory.
    #[must_use]
    pub fn get(&self, path: &ImagePath) -> Option<&Node> {
        self.entry(path).map(EntryRef::node)
    }

    /// The metadata of the root directory.
    #[must_use]
    pub fn root_metadata(&self) -> &Metadata {
        &self.root.node.metadata
    }

    /// The names and nodes in the directory at `path` (literally), sorted by the bytes of the names; none
    /// if there is no directory.
    #[must_use]
    pub fn read_dir(&self, path: &ImagePath) -> Option<impl Iterator<Item = (&[u8], &Node)>> {
        let directory = self.directory(path)?;
        Some(directory.entries.iter().map(|(name, entry)| (&**name, entry.node())))
    }

    /// Everything in the tree in path order, the root first.
    #[must_use]
    pub fn walk(&self) -> Walk<'_> {
        Walk::over(self, &ImagePath::root())
    }

    /// `path` (literally) and everything below it in path order; nothing if there is no such path.
    #[must_use]
    pub fn walk_from(&self, path: &ImagePath) -> Walk<'_> {
        Walk::over(self, path)
    }

    /// The hard links that the path is one of; none for a node with a single name.
    #[must_use]
    pub fn links(&self, path: &ImagePath) -> Option<Links<'_>> {
        self.links.of(path)
    }

    /// Every set of hard links, ordered by their first paths.
    pub fn link_sets(&self) -> impl Iterator<Item = Links<'_>> {
        self.links.sets()
    }

    /// The tree below the directory at `path` (literally), as a tree of its own; none if there is no
    /// directory. Links to names outside are cut.
    #[must_use]
    pub fn subtree(&self, path: &ImagePath) -> Option<Tree> {
        if path.is_root() {
            return Some(self.clone());
        }
        match self.entry(path)? {
            EntryRef::Directory(directory) => {
                Some(Tree { root: Arc::clone(directory), links: Arc::new(self.links.below(path)) })
            }
            EntryRef::Leaf(_) => None,
        }
    }

    /// The number of names in the tree, the root included.
    #[must_use]
    pub fn len(&self) -> u64 {
        let summary = self.root.summary();
        summary.directories.saturating_add(summary.leaves)
    }

    /// Whether there is nothing but the root directory.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.root.entries.is_empty()
    }

    /// Counts of what is in the tree; those of unchanged directories are remembered.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let summary = self.root.summary();
        let mut statistics = Statistics {
            directories: summary.directories,
            other_names: summary.leaves,
            extra_links: 0,
            content_bytes: summary.content_bytes,
            data_bytes: summary.data_bytes,
        };
        for links in self.links.sets() {
            let extra = links.count() as u64 - 1;
            statistics.extra_links += extra;
            if let Some(content) = self.get(links.first()).and_then(Node::content) {
                statistics.content_bytes -= extra * content.len();
                statistics.data_bytes -= extra * content.data_len();
            }
        }
        statistics
    }

    /// The hash of the whole tree: equal hashes mean equal names, metadata, contents and hard links.
    #[must_use]
    pub fn hash(&self) -> TreeHash {
        TreeHash::from_bytes(*blake3::hash(&self.encode()).as_bytes())
    }

    /// The tree object, which stands for the whole tree.
    fn encode(&self) -> Vec<u8> {
        let sets: Vec<&BTreeSet<ImagePath>> = self.links.sets().map(|links| links.paths_set()).collect();
        encode::encode_tree(&self.root.hash(), &sets)
    }

    fn directory(&self, path: &ImagePath) -> Option<&Arc<Directory>> {
        match self.entry(path)? {
            EntryRef::Directory(directory) => Some(directory),
            EntryRef::Leaf(_) => None,
        }
    }

    fn entry(&self, path: &ImagePath) -> Option<EntryRef<'_>> {
        let mut found = EntryRef::Directory(&self.root);
        for name in path.components() {
            let EntryRef::Directory(directory) = found else {
                return None;
            };
            found = match directory.entries.get(name)? {
                Entry::Directory(directory) => EntryRef::Directory(directory),
                Entry::Leaf(node) => EntryRef::Leaf(node),
            };
        }
        Some(found)
    }
}

impl Default for Tree {
    /// An empty root directory of root:root, mode 0755.
    fn default() -> Self {
        Self::new(Metadata::new(0, 0, 0o755))
    }
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        let same_directories = Arc::ptr_eq(&self.root, &other.root) || self.root.hash() == other.root.hash();
        same_directories && (Arc::ptr_eq(&self.links, &other.links) || self.links.same_sets(&other.links))
    }
}

impl Eq for Tree {}

#[derive(Debug, Clone, Copy)]
enum EntryRef<'t> {
    Directory(&'t Arc<Directory>),
    Leaf(&'t Node),
}

impl<'t> EntryRef<'t> {
    fn node(self) -> &'t Node {
        match self {
            Self::Directory(directory) => &directory.node,
            Self::Leaf(node) => node,
        }
    }
}
