//! Walking a tree in path order.

use std::collections::btree_map;
use std::sync::Arc;

use super::directory::Entry;
use super::links::Links;
use super::{EntryRef, Tree};
use crate::node::Node;
use crate::path::ImagePath;

/// One step of a [`Walk`].
#[derive(Debug, Clone)]
pub struct WalkEntry<'t> {
    /// The path from the root of the tree.
    pub path: ImagePath,
    /// What is there.
    pub node: &'t Node,
    /// The set of hard links that this path is one of; none for a node with a single name.
    pub links: Option<Links<'t>>,
}

/// Yields a directory before what is in it, names sorted by bytes. See [`Tree::walk`].
#[derive(Debug)]
pub struct Walk<'t> {
    tree: &'t Tree,
    /// The entry that the walk begins with.
    start: Option<(ImagePath, EntryRef<'t>)>,
    /// The directory that was just yielded; it is entered by the next step.
    pending: Option<Entries<'t>>,
    /// The directories entered, each with the length of its own path in `path`.
    entered: Vec<(Entries<'t>, usize)>,
    path: Vec<u8>,
}

type Entries<'t> = btree_map::Iter<'t, Arc<[u8]>, Entry>;

impl<'t> Walk<'t> {
    pub(super) fn over(tree: &'t Tree, start: &ImagePath) -> Self {
        let path = if start.is_root() { Vec::new() } else { start.as_bytes().to_vec() };
        let start = tree.entry(start).map(|entry| (start.clone(), entry));
        Self { tree, start, pending: None, entered: Vec::new(), path }
    }

    /// Leaves out what is in the directory that was yielded last. After anything else it changes nothing.
    pub fn skip_subtree(&mut self) {
        self.pending = None;
    }

    fn yielded(&mut self, path: ImagePath, entry: EntryRef<'t>) -> WalkEntry<'t> {
        let links = match entry {
            EntryRef::Directory(directory) => {
                self.pending = Some(directory.entries.iter());
                None
            }
            EntryRef::Leaf(_) => self.tree.links.of(&path),
        };
        WalkEntry { path, node: entry.node(), links }
    }
}

impl<'t> Iterator for Walk<'t> {
    type Item = WalkEntry<'t>;

    fn next(&mut self) -> Option<WalkEntry<'t>> {
        if let Some((path, entry)) = self.start.take() {
            return Some(self.yielded(path, entry));
        }
        if let Some(entries) = self.pending.take() {
            self.entered.push((entries, self.path.len()));
        }
        loop {
            let (entries, length) = self.entered.last_mut()?;
            self.path.truncate(*length);
            let Some((name, entry)) = entries.next() else {
                self.entered.pop();
                continue;
            };
            self.path.push(b'/');
            self.path.extend_from_slice(name);
            let path = ImagePath::from_walk(&self.path);
            let entry = match entry {
                Entry::Directory(directory) => EntryRef::Directory(directory),
                Entry::Leaf(node) => EntryRef::Leaf(node),
            };
            return Some(self.yielded(path, entry));
        }
    }
}
