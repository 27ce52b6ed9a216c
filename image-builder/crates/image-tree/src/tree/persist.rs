//! Trees in the store: every directory is an object named by its hash, and so is the tree itself.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::directory::{Directory, Entry};
use super::encode::{self, DirectoryObject, EntryObject, FormatError};
use super::links::LinkTable;
use super::{EntryRef, Tree};
use crate::hash::{BlobHash, TreeHash};
use crate::node::{Content, Node};
use crate::path::{DEPTH_MAX, ImagePath, PATH_BYTES_MAX};
use crate::store::{Gathering, Store, StoreError};

/// Why a tree could not be read from the store.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// An object of the tree is missing or cannot be read.
    #[error("tree {tree}: cannot read object {object}")]
    Store {
        /// The tree that was to be loaded.
        tree: TreeHash,
        /// The object.
        object: BlobHash,
        /// What the store says.
        #[source]
        source: StoreError,
    },
    /// An object is not what its name says: the store is damaged.
    #[error("tree {tree}: object {object} is damaged")]
    Damaged {
        /// The tree that was to be loaded.
        tree: TreeHash,
        /// The object.
        object: BlobHash,
    },
    /// An object is whole but does not hold what it should.
    #[error("tree {tree}: object {object} cannot be decoded")]
    Format {
        /// The tree that was to be loaded.
        tree: TreeHash,
        /// The object.
        object: BlobHash,
        /// What is wrong with it.
        #[source]
        source: FormatError,
    },
}

impl LoadError {
    /// Whether the tree is just not (or no longer) in the store, as opposed to unreadable.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Store { source: StoreError::Missing { .. }, .. })
    }
}

impl Tree {
    /// Writes the directories that the store does not hold yet, then the tree object. The contents of the
    /// files have to be in the store already.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn save(&self, store: &Store) -> Result<TreeHash, StoreError> {
        let mut objects = Gathering::new(store);
        save_directory(&self.root, &mut objects)?;
        let object = self.encode();
        let hash = BlobHash::of(&object);
        objects.put(hash, &object)?;
        objects.finish()?;
        Ok(TreeHash::from_bytes(*hash.as_bytes()))
    }

    /// Reads a tree that [`save`](Self::save) wrote. Directories that occur more than once are shared.
    ///
    /// # Errors
    /// An object is missing, unreadable or damaged; the hash of each is checked.
    pub fn load(store: &Store, hash: TreeHash) -> Result<Tree, LoadError> {
        let mut loader = Loader { objects: Objects { store, tree: hash }, directories: HashMap::new() };
        let object = loader.objects.tree()?;
        let root = loader.directory(object.root)?;
        let mut links = LinkTable::default();
        let mut tree = Tree { root, links: Arc::default() };
        for set in object.links {
            if !is_one_node(&tree, &set) {
                return Err(loader.objects.format_error(hash.blob(), "tree", "links to different nodes"));
            }
            links.add_set(set);
        }
        tree.links = Arc::new(links);
        Ok(tree)
    }
}

/// Adds all blobs that the tree needs to `found`: the tree object, the directories and the contents.
/// Directories that are in `found` already are not read again.
pub(crate) fn collect_references(
    store: &Store,
    hash: TreeHash,
    found: &mut HashSet<BlobHash>,
) -> Result<(), LoadError> {
    let objects = Objects { store, tree: hash };
    if !found.insert(hash.blob()) {
        return Ok(());
    }
    let mut todo = vec![objects.tree()?.root];
    while let Some(directory) = todo.pop() {
        if !found.insert(directory) {
            continue;
        }
        for entry in objects.directory(directory)?.entries.into_values() {
            match entry {
                EntryObject::Directory(below) => todo.push(below),
                EntryObject::Leaf(node) => found.extend(node.content().map(Content::blob)),
            }
        }
    }
    Ok(())
}

fn save_directory(directory: &Directory, objects: &mut Gathering<'_>) -> Result<(), StoreError> {
    // What is below is always written before, so an object in the store has everything below it there too.
    if directory.known_hash().is_some_and(|hash| objects.contains(hash)) {
        return Ok(());
    }
    for entry in directory.entries.values() {
        if let Entry::Directory(below) = entry {
            save_directory(below, objects)?;
        }
    }
    let object = encode::encode_directory(directory);
    objects.put(directory.hash_of_object(&object), &object)
}

fn is_one_node(tree: &Tree, paths: &BTreeSet<ImagePath>) -> bool {
    let leaf = |path: &ImagePath| match tree.entry(path) {
        Some(EntryRef::Leaf(node)) => Some(node),
        _ => None,
    };
    let nodes: Option<Vec<&Node>> = paths.iter().map(leaf).collect();
    nodes.is_some_and(|nodes| nodes.windows(2).all(|pair| pair[0] == pair[1]))
}

struct Loader<'s> {
    objects: Objects<'s>,
    directories: HashMap<BlobHash, Arc<Directory>>,
}

impl Loader<'_> {
    /// Reads a directory with everything below it, children before parents.
    fn directory(&mut self, hash: BlobHash) -> Result<Arc<Directory>, LoadError> {
        let mut todo = vec![(hash, None)];
        while let Some((hash, object)) = todo.pop() {
            if self.directories.contains_key(&hash) {
                continue;
            }
            let Some(object) = object else {
                let object = self.objects.directory(hash)?;
                let below: Vec<BlobHash> = object.entries.values().filter_map(EntryObject::directory).collect();
                todo.push((hash, Some(object)));
                todo.extend(below.into_iter().map(|hash| (hash, None)));
                continue;
            };
            let directory = self.assemble(hash, object)?;
            self.directories.insert(hash, directory);
        }
        Ok(Arc::clone(&self.directories[&hash]))
    }

    /// Puts a directory together, everything below which has been read.
    fn assemble(&self, hash: BlobHash, object: DirectoryObject) -> Result<Arc<Directory>, LoadError> {
        let entry = |entry| match entry {
            EntryObject::Directory(below) => Entry::Directory(Arc::clone(&self.directories[&below])),
            EntryObject::Leaf(node) => Entry::Leaf(Arc::new(node)),
        };
        let entries = object.entries.into_iter().map(|(name, object)| (name, entry(object)));
        let directory = Directory::with_entries(object.metadata, entries.collect()).with_known_hash(hash);
        // Also asking for the summary at every level keeps anything from recursing below the limit.
        let summary = directory.summary();
        if summary.depth > DEPTH_MAX || summary.path_bytes > PATH_BYTES_MAX {
            return Err(self.objects.format_error(hash, "directory", "a path beyond the limits"));
        }
        Ok(Arc::new(directory))
    }
}

/// Reads the objects of one tree, checking each against its hash.
struct Objects<'s> {
    store: &'s Store,
    tree: TreeHash,
}

impl Objects<'_> {
    fn tree(&self) -> Result<encode::TreeObject, LoadError> {
        let object = self.tree.blob();
        encode::decode_tree(&self.read(object)?).map_err(|source| LoadError::Format { tree: self.tree, object, source })
    }

    fn directory(&self, object: BlobHash) -> Result<DirectoryObject, LoadError> {
        encode::decode_directory(&self.read(object)?).map_err(|source| LoadError::Format {
            tree: self.tree,
            object,
            source,
        })
    }

    fn read(&self, object: BlobHash) -> Result<Vec<u8>, LoadError> {
        let tree = self.tree;
        let bytes = self.store.read_blob(object).map_err(|source| LoadError::Store { tree, object, source })?;
        if BlobHash::of(&bytes) == object { Ok(bytes) } else { Err(LoadError::Damaged { tree, object }) }
    }

    fn format_error(&self, object: BlobHash, kind: &'static str, what: &'static str) -> LoadError {
        LoadError::Format { tree: self.tree, object, source: FormatError { object: kind, what, offset: 0 } }
    }
}
