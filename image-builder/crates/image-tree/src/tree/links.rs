//! Hard links: which paths are names of the same node.

use std::collections::{BTreeMap, BTreeSet};

use crate::path::ImagePath;

/// Identifies one set of hard links within one tree value, for instance as a key while writing it out.
/// It means nothing in another tree, not even in a later version of the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

/// The names of one hard-linked node, of which there are at least two.
#[derive(Debug, Clone, Copy)]
pub struct Links<'t> {
    id: LinkId,
    paths: &'t BTreeSet<ImagePath>,
}

impl<'t> Links<'t> {
    /// Identifies the set within this tree value.
    #[must_use]
    pub fn id(&self) -> LinkId {
        self.id
    }

    /// The name that comes first in path order.
    #[must_use]
    pub fn first(&self) -> &'t ImagePath {
        self.paths.first().expect("a set of links has two paths or more")
    }

    /// The number of names, the link count of the node.
    #[must_use]
    pub fn count(&self) -> usize {
        self.paths.len()
    }

    /// All names in path order.
    pub fn paths(&self) -> impl Iterator<Item = &'t ImagePath> + use<'t> {
        self.paths.iter()
    }

    pub(super) fn paths_set(&self) -> &'t BTreeSet<ImagePath> {
        self.paths
    }
}

/// All sets of hard links of a tree.
///
/// A set has at least two paths, and every path is in one set at most. That all paths of a set hold the
/// same node is kept by the operations on the tree.
#[derive(Debug, Clone, Default)]
pub(super) struct LinkTable {
    by_path: BTreeMap<ImagePath, LinkId>,
    sets: BTreeMap<LinkId, BTreeSet<ImagePath>>,
    next: u64,
}

impl LinkTable {
    pub(super) fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }

    pub(super) fn of(&self, path: &ImagePath) -> Option<Links<'_>> {
        let id = *self.by_path.get(path)?;
        Some(Links { id, paths: self.sets.get(&id)? })
    }

    /// The sets, ordered by their first paths, so that the order does not tell how the tree came about.
    pub(super) fn sets(&self) -> impl Iterator<Item = Links<'_>> {
        self.by_path.iter().filter_map(|(path, id)| {
            let paths = self.sets.get(id)?;
            (paths.first() == Some(path)).then_some(Links { id: *id, paths })
        })
    }

    pub(super) fn same_sets(&self, other: &Self) -> bool {
        self.by_path.len() == other.by_path.len()
            && self.sets.len() == other.sets.len()
            && self.sets().map(|links| links.paths).eq(other.sets().map(|links| links.paths))
    }

    /// Makes `new` another name of whatever `existing` names.
    pub(super) fn link(&mut self, existing: &ImagePath, new: ImagePath) {
        let id = match self.by_path.get(existing) {
            Some(id) => *id,
            None => self.add_set(BTreeSet::from([existing.clone()])),
        };
        self.sets.entry(id).or_default().insert(new.clone());
        self.by_path.insert(new, id);
    }

    /// Adds a set of two paths or more, none of them in a set yet.
    pub(super) fn add_set(&mut self, paths: BTreeSet<ImagePath>) -> LinkId {
        let id = LinkId(self.next);
        self.next += 1;
        self.by_path.extend(paths.iter().map(|path| (path.clone(), id)));
        self.sets.insert(id, paths);
        id
    }

    /// Whether `path` or anything below it is a hard link.
    pub(super) fn any_below(&self, path: &ImagePath) -> bool {
        self.range_below(path).next().is_some()
    }

    /// Forgets `path` and everything below it.
    pub(super) fn remove_below(&mut self, path: &ImagePath) {
        let gone: Vec<(ImagePath, LinkId)> = self.range_below(path).map(|(path, id)| (path.clone(), *id)).collect();
        for (path, id) in gone {
            self.by_path.remove(&path);
            let Some(paths) = self.sets.get_mut(&id) else {
                continue;
            };
            paths.remove(&path);
            if paths.len() < 2 {
                // A node with one name left is an ordinary one again.
                paths.iter().for_each(|last| {
                    self.by_path.remove(last);
                });
                self.sets.remove(&id);
            }
        }
    }

    /// The links of which two names or more are below `directory`, as seen from there.
    pub(super) fn below(&self, directory: &ImagePath) -> Self {
        let mut sets: BTreeMap<LinkId, BTreeSet<ImagePath>> = BTreeMap::new();
        for (path, id) in self.range_below(directory) {
            sets.entry(*id).or_default().extend(path.strip_prefix(directory));
        }
        let mut table = Self::default();
        for paths in sets.into_values().filter(|paths| paths.len() > 1) {
            table.add_set(paths);
        }
        table
    }

    fn range_below<'a>(&'a self, path: &'a ImagePath) -> impl Iterator<Item = (&'a ImagePath, &'a LinkId)> {
        self.by_path.range(path..).take_while(move |(found, _)| found.starts_with(path))
    }
}
