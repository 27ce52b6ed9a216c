//! A tree compared with the plainest possible model of one, over random operations.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use image_tree::{ChangeKind, Follow, ImagePath, Metadata, Node, NodeKind, Tree, diff};
use proptest::prelude::*;
use support::{build, mode, plans};

/// Paths to inode numbers, and inodes. Every operation costs a walk, and nothing is shared.
#[derive(Debug, Clone, Default)]
struct Model {
    names: BTreeMap<ImagePath, usize>,
    inodes: BTreeMap<usize, Node>,
    next: usize,
}

impl Model {
    fn insert(&mut self, path: &ImagePath, node: Node) -> bool {
        let parent_is_there = path.parent().is_none_or(|parent| self.is_directory(&parent));
        let existing = self.node(path);
        if !parent_is_there || existing.is_some_and(|old| old.is_directory() != node.is_directory()) {
            return false;
        }
        if node.is_directory() && existing.is_some() {
            self.inodes.insert(self.names[path], node);
        } else {
            self.next += 1;
            self.names.insert(path.clone(), self.next);
            self.inodes.insert(self.next, node);
        }
        true
    }

    fn link(&mut self, existing: &ImagePath, new: &ImagePath) -> bool {
        let is_possible = self.node(existing).is_some_and(|node| !node.is_directory())
            && self.node(new).is_none()
            && new.parent().is_some_and(|parent| self.is_directory(&parent));
        if is_possible {
            self.names.insert(new.clone(), self.names[existing]);
        }
        is_possible
    }

    fn remove(&mut self, path: &ImagePath) -> bool {
        let is_possible = !path.is_root() && self.names.contains_key(path);
        if is_possible {
            self.names.retain(|name, _| !name.starts_with(path));
        }
        is_possible
    }

    fn set_metadata(&mut self, path: &ImagePath, metadata: Metadata) -> bool {
        let inode = self.names.get(path).and_then(|inode| self.inodes.get_mut(inode));
        inode.map(|node| node.metadata = metadata).is_some()
    }

    fn graft(&mut self, at: &ImagePath, from: &ImagePath) -> bool {
        let is_possible = self.is_directory(from) && at.parent().is_none_or(|parent| self.is_directory(&parent));
        if is_possible {
            let part: Vec<_> =
                self.names.iter().filter_map(|(path, inode)| Some((path.strip_prefix(from)?, *inode))).collect();
            self.names.retain(|name, _| !name.starts_with(at));
            let shift = self.next;
            for (below, inode) in part {
                self.next = self.next.max(inode + shift);
                self.names.insert(at.join_path(&below).unwrap(), inode + shift);
                self.inodes.insert(inode + shift, self.inodes[&inode].clone());
            }
        }
        is_possible
    }

    fn node(&self, path: &ImagePath) -> Option<&Node> {
        self.names.get(path).map(|inode| &self.inodes[inode])
    }

    fn is_directory(&self, path: &ImagePath) -> bool {
        self.node(path).is_some_and(Node::is_directory)
    }

    fn names_of(&self, path: &ImagePath) -> Vec<&ImagePath> {
        self.names.iter().filter(|(_, inode)| **inode == self.names[path]).map(|(path, _)| path).collect()
    }

    /// The tree made in the plainest order.
    fn tree(&self) -> Tree {
        let mut tree = Tree::default();
        for (path, inode) in &self.names {
            match self.names_of(path)[0] {
                first if first == path => tree.insert(path, self.inodes[inode].clone()).map(drop).unwrap(),
                first => tree.hard_link(first, path).map(drop).unwrap(),
            }
        }
        tree
    }

    fn differences(&self, new: &Model) -> BTreeMap<ImagePath, &'static str> {
        let all: BTreeSet<&ImagePath> = self.names.keys().chain(new.names.keys()).collect();
        let difference = |path: &ImagePath| match (self.node(path), new.node(path)) {
            (Some(_), None) => Some("removed"),
            (None, Some(_)) => Some("added"),
            (Some(old), Some(node)) if old != node => Some("changed"),
            (Some(old), Some(_)) if !old.is_directory() && self.names_of(path) != new.names_of(path) => Some("changed"),
            _ => None,
        };
        all.into_iter().filter_map(|path| Some((path.clone(), difference(path)?))).collect()
    }
}

#[derive(Debug, Clone)]
enum Operation {
    Insert(ImagePath, NodeKind, u16),
    Link(ImagePath, ImagePath),
    Remove(ImagePath),
    SetMode(ImagePath, u16),
    Graft(ImagePath, ImagePath),
    Snapshot,
}

/// Few names, so that operations meet; one of them below the slash, for the order of paths.
fn some_paths() -> impl Strategy<Value = ImagePath> {
    prop::collection::vec(prop::sample::select(vec!["a", "a-", "b"]), 0..4)
        .prop_map(|names| ImagePath::from_relative(names.join("/")).unwrap())
}

fn operations() -> impl Strategy<Value = Operation> {
    let kind = prop_oneof![2 => Just(NodeKind::Directory), 1 => Just(NodeKind::Fifo)];
    prop_oneof![
        6 => (some_paths(), kind, 0..4_u16).prop_map(|(path, kind, mode)| Operation::Insert(path, kind, mode)),
        3 => (some_paths(), some_paths()).prop_map(|(existing, new)| Operation::Link(existing, new)),
        1 => some_paths().prop_map(Operation::Remove),
        2 => (some_paths(), 0..4_u16).prop_map(|(path, mode)| Operation::SetMode(path, mode)),
        1 => (some_paths(), some_paths()).prop_map(|(at, from)| Operation::Graft(at, from)),
        1 => Just(Operation::Snapshot),
    ]
}

fn apply(operation: &Operation, tree: &mut Tree, model: &mut Model) -> (bool, bool) {
    match operation {
        Operation::Insert(path, kind, bits) => {
            let node = Node { kind: kind.clone(), metadata: mode(*bits) };
            (tree.insert(path, node.clone()).is_ok(), model.insert(path, node))
        }
        Operation::Link(existing, new) => (tree.hard_link(existing, new).is_ok(), model.link(existing, new)),
        Operation::Remove(path) => (tree.remove_subtree(path).is_ok(), model.remove(path)),
        Operation::SetMode(path, bits) => {
            (tree.set_metadata(path, Follow::No, mode(*bits)).is_ok(), model.set_metadata(path, mode(*bits)))
        }
        Operation::Graft(at, from) => {
            let part = tree.subtree(from);
            (part.is_some_and(|part| tree.graft(at, &part).is_ok()), model.graft(at, from))
        }
        Operation::Snapshot => (true, true),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn operations_do_what_the_model_says(operations in prop::collection::vec(operations(), 0..60)) {
        let mut tree = Tree::default();
        let mut model = Model::default();
        model.insert(&ImagePath::root(), Node::directory(mode(0o755)));
        let mut snapshots = vec![(tree.clone(), model.clone())];
        for operation in &operations {
            let (done, wanted) = apply(operation, &mut tree, &mut model);
            prop_assert_eq!(done, wanted, "{:?}", operation);
            if let Operation::Snapshot = operation {
                // From here on the snapshot's hashes are known, which takes other ways through `diff`.
                let _ = tree.hash();
                snapshots.push((tree.clone(), model.clone()));
            }
        }
        let walked: Vec<_> = tree.walk().map(|entry| (entry.path, entry.node.clone())).collect();
        let wanted: Vec<_> = model.names.iter().map(|(path, inode)| (path.clone(), model.inodes[inode].clone())).collect();
        prop_assert_eq!(walked, wanted);
        prop_assert_eq!(tree.len(), model.names.len() as u64);
        let inodes: BTreeSet<_> = model.names.values().collect();
        prop_assert_eq!(tree.statistics().nodes(), inodes.len() as u64);
        for entry in tree.walk() {
            let names = model.names_of(&entry.path);
            prop_assert_eq!(entry.links.map(|links| links.paths().collect()), (names.len() > 1).then_some(names));
        }
        prop_assert_eq!(&tree, &model.tree());
        prop_assert_eq!(tree.hash(), model.tree().hash());
        for (old, old_model) in snapshots {
            prop_assert_eq!(&old, &old_model.tree(), "a snapshot has changed");
            let found: BTreeMap<_, _> = diff(&old, &tree).into_iter().map(|change| (change.path, match change.kind {
                ChangeKind::Added => "added",
                ChangeKind::Removed => "removed",
                ChangeKind::Changed(_) => "changed",
            })).collect();
            prop_assert_eq!(found, old_model.differences(&model));
        }
    }

    #[test]
    fn a_saved_tree_loads_as_it_was(plan in plans()) {
        let (_scratch, store) = support::store();
        let tree = build(&store, &plan);
        let hash = tree.save(&store).unwrap();
        prop_assert_eq!(hash, tree.hash());
        let loaded = Tree::load(&store, hash).unwrap();
        prop_assert_eq!(&loaded, &tree);
        prop_assert_eq!(diff(&loaded, &tree), vec![]);
        prop_assert_eq!(loaded.statistics(), tree.statistics());
    }
}
