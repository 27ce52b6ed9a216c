//! What is different between two trees.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::directory::{Directory, Entry};
use super::links::LinkTable;
use super::{EntryRef, Tree};
use crate::node::{Node, NodeKind};
use crate::path::ImagePath;

/// One path that is different between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path.
    pub path: ImagePath,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// How a path is different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// Only the second tree has the path.
    Added,
    /// Only the first tree has the path.
    Removed,
    /// Both have the path, with these differences.
    Changed(BTreeSet<Field>),
}

/// A property of a node that can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The kind of node.
    Kind,
    /// The content of a regular file, or where its holes are.
    Content,
    /// The target of a symbolic link.
    Target,
    /// The numbers of a device.
    Device,
    /// The owner.
    Uid,
    /// The group.
    Gid,
    /// The permission, set-id and sticky bits.
    Mode,
    /// The time of modification.
    Mtime,
    /// The extended attributes.
    Xattrs,
    /// The access control list.
    Acl,
    /// Which other paths name the same node.
    Links,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind => "kind",
            Self::Content => "content",
            Self::Target => "target",
            Self::Device => "device",
            Self::Uid => "uid",
            Self::Gid => "gid",
            Self::Mode => "mode",
            Self::Mtime => "mtime",
            Self::Xattrs => "xattrs",
            Self::Acl => "access control list",
            Self::Links => "links",
        })
    }
}

/// The differences from `old` to `new`, in path order. Directories that both share are not entered.
#[must_use]
pub fn diff(old: &Tree, new: &Tree) -> Vec<Change> {
    let mut changes = Changes::new();
    let root = ImagePath::root();
    compare_directories(&root, &old.root, &new.root, &mut changes);
    if !Arc::ptr_eq(&old.links, &new.links) {
        compare_links(old, new, &mut changes);
    }
    changes.into_iter().map(|(path, kind)| Change { path, kind }).collect()
}

type Changes = BTreeMap<ImagePath, ChangeKind>;

fn compare_directories(path: &ImagePath, old: &Arc<Directory>, new: &Arc<Directory>, changes: &mut Changes) {
    let same_hash = old.known_hash().is_some() && old.known_hash() == new.known_hash();
    if Arc::ptr_eq(old, new) || same_hash {
        return;
    }
    note_fields(path, &old.node, &new.node, changes);
    let names: BTreeSet<&Arc<[u8]>> = old.entries.keys().chain(new.entries.keys()).collect();
    for name in names {
        let path = child(path, name);
        match (old.entries.get(name), new.entries.get(name)) {
            (Some(old), Some(new)) => compare_entries(&path, old, new, changes),
            (Some(old), None) => note_all(&path, old, &ChangeKind::Removed, changes),
            (None, Some(new)) => note_all(&path, new, &ChangeKind::Added, changes),
            (None, None) => unreachable!("the name comes from one of the two"),
        }
    }
}

fn compare_entries(path: &ImagePath, old: &Entry, new: &Entry, changes: &mut Changes) {
    match (old, new) {
        (Entry::Directory(old), Entry::Directory(new)) => {
            compare_directories(path, old, new, changes);
        }
        (Entry::Leaf(old), Entry::Leaf(new)) if Arc::ptr_eq(old, new) => {}
        _ => {
            note_fields(path, old.node(), new.node(), changes);
            note_below(path, old, &ChangeKind::Removed, changes);
            note_below(path, new, &ChangeKind::Added, changes);
        }
    }
}

fn note_all(path: &ImagePath, entry: &Entry, kind: &ChangeKind, changes: &mut Changes) {
    changes.insert(path.clone(), kind.clone());
    note_below(path, entry, kind, changes);
}

fn note_below(path: &ImagePath, entry: &Entry, kind: &ChangeKind, changes: &mut Changes) {
    if let Entry::Directory(directory) = entry {
        for (name, entry) in &directory.entries {
            note_all(&child(path, name), entry, kind, changes);
        }
    }
}

fn note_fields(path: &ImagePath, old: &Node, new: &Node, changes: &mut Changes) {
    let fields = different_fields(old, new);
    if !fields.is_empty() {
        changes.insert(path.clone(), ChangeKind::Changed(fields));
    }
}

fn different_fields(old: &Node, new: &Node) -> BTreeSet<Field> {
    let kind = match (&old.kind, &new.kind) {
        (old, new) if old == new => None,
        (NodeKind::Regular(_), NodeKind::Regular(_)) => Some(Field::Content),
        (NodeKind::Symlink(_), NodeKind::Symlink(_)) => Some(Field::Target),
        (NodeKind::CharDevice { .. }, NodeKind::CharDevice { .. })
        | (NodeKind::BlockDevice { .. }, NodeKind::BlockDevice { .. }) => Some(Field::Device),
        _ => Some(Field::Kind),
    };
    let (old, new) = (&old.metadata, &new.metadata);
    let metadata = [
        (old.uid != new.uid, Field::Uid),
        (old.gid != new.gid, Field::Gid),
        (old.mode != new.mode, Field::Mode),
        (old.mtime != new.mtime, Field::Mtime),
        (old.xattrs != new.xattrs, Field::Xattrs),
        (old.acl != new.acl, Field::Acl),
    ];
    kind.into_iter().chain(metadata.into_iter().filter_map(|(differs, field)| differs.then_some(field))).collect()
}

/// Notes paths that exist in both trees and have other names beside them than before.
fn compare_links(old: &Tree, new: &Tree, changes: &mut Changes) {
    let linked = [old, new].into_iter().flat_map(Tree::link_sets).flat_map(|links| links.paths());
    for path in linked.collect::<BTreeSet<_>>() {
        let is_leaf = |tree: &Tree| matches!(tree.entry(path), Some(EntryRef::Leaf(_)));
        if is_leaf(old) && is_leaf(new) && names(&old.links, path) != names(&new.links, path) {
            let kind = changes.entry(path.clone()).or_insert_with(|| ChangeKind::Changed(BTreeSet::new()));
            if let ChangeKind::Changed(fields) = kind {
                fields.insert(Field::Links);
            }
        }
    }
}

fn names<'t>(links: &'t LinkTable, path: &ImagePath) -> Option<&'t BTreeSet<ImagePath>> {
    links.of(path).map(|links| links.paths_set())
}

fn child(path: &ImagePath, name: &[u8]) -> ImagePath {
    path.join(name).expect("names in a tree make paths within the limits")
}
