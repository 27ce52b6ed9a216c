//! Numbering the nodes of a tree before anything is written, so that directories can name what comes after them.

use std::collections::HashMap;

use image_tree::{ImagePath, LinkId, Node, NodeKind, Tree};
use zfs_format::object::MASTER_NODE_OBJECT;

/// The delete queue.
pub(super) const DELETE_QUEUE_OBJECT: u64 = MASTER_NODE_OBJECT + 1;
/// The root directory: the first object that is a node of the tree.
pub(super) const ROOT_OBJECT: u64 = DELETE_QUEUE_OBJECT + 1;

/// Where the type begins in the value of a directory entry: `ZFS_DIRENT_TYPE`.
const TYPE_SHIFT: u32 = 60;

/// A node with its object number. Its extended attributes have the numbers that follow: first their directory, then
/// one file for each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned<'t> {
    pub(super) node: &'t Node,
    pub(super) number: u64,
    /// The directory with its first name.
    pub(super) parent: u64,
    /// Names, or for a directory its subdirectories and two.
    pub(super) links: u64,
    /// For a directory, its index in [`Plan::directories`].
    pub(super) directory: Option<usize>,
}

impl Planned<'_> {
    /// The directory of its extended attributes.
    pub(super) fn xattr_directory(&self) -> Option<u64> {
        (!self.node.metadata.xattrs.is_empty()).then_some(self.number + 1)
    }
}

/// A directory's path and, in the order of its names, the values of its entries.
#[derive(Debug)]
pub(super) struct PlannedDirectory {
    pub(super) path: ImagePath,
    pub(super) entries: Vec<u64>,
    /// Index in [`Plan::nodes`].
    node: usize,
}

/// All nodes of a tree, numbered.
#[derive(Debug)]
pub(super) struct Plan<'t> {
    tree: &'t Tree,
    /// In the order of their numbers.
    pub(super) nodes: Vec<Planned<'t>>,
    pub(super) directories: Vec<PlannedDirectory>,
    /// The first number that no node has.
    pub(super) end: u64,
}

impl<'t> Plan<'t> {
    pub(super) fn new(tree: &'t Tree) -> Self {
        let mut plan = Self { tree, nodes: Vec::new(), directories: Vec::new(), end: ROOT_OBJECT };
        let mut linked: HashMap<LinkId, u64> = HashMap::new();
        // The directories that the walk is in, the root first.
        let mut entered: Vec<usize> = Vec::new();
        for entry in tree.walk() {
            entered.truncate(entry.path.depth());
            let above = entered.last().copied();
            let known = entry.links.as_ref().and_then(|links| linked.get(&links.id()).copied());
            let number = known.unwrap_or(plan.end);
            if let Some(above) = above {
                plan.directories[above].entries.push(entry_value(&entry.node.kind, number));
            }
            if known.is_some() {
                continue;
            }
            if let Some(links) = &entry.links {
                linked.insert(links.id(), number);
            }
            let links = entry.links.map_or(1, |links| links.count() as u64);
            plan.add(entry.node, above, links);
            if entry.node.is_directory() {
                entered.push(plan.directories.len());
                let node = plan.nodes.len() - 1;
                plan.directories.push(PlannedDirectory { path: entry.path, entries: Vec::new(), node });
            }
        }
        plan
    }

    fn add(&mut self, node: &'t Node, above: Option<usize>, links: u64) {
        let parent = above.map(|above| self.directories[above].node);
        let is_directory = node.is_directory();
        if let Some(parent) = parent.filter(|_| is_directory) {
            self.nodes[parent].links += 1;
        }
        let number = self.end;
        // The root is its own parent.
        let parent = parent.map_or(number, |parent| self.nodes[parent].number);
        let directory = is_directory.then_some(self.directories.len());
        let links = if is_directory { 2 } else { links };
        self.nodes.push(Planned { node, number, parent, links, directory });
        let xattrs = node.metadata.xattrs.len() as u64;
        self.end += 1 + if xattrs > 0 { 1 + xattrs } else { 0 };
    }

    /// The names in a directory, in the order of its entries.
    pub(super) fn names(&self, directory: &PlannedDirectory) -> impl Iterator<Item = &'t [u8]> {
        self.tree.read_dir(&directory.path).into_iter().flatten().map(|(name, _)| name)
    }

    /// The node that an object is, or that it is an extended attribute of.
    pub(super) fn node(&self, number: u64) -> Option<&Planned<'t>> {
        let after = self.nodes.partition_point(|planned| planned.number <= number);
        self.nodes.get(after.checked_sub(1)?).filter(|_| number < self.end)
    }

    /// The first path of a node; only for messages, because it walks the tree.
    pub(super) fn path(&self, number: u64) -> ImagePath {
        let node = self.node(number).map(|planned| planned.node);
        let found = self.tree.walk().find(|entry| node.is_some_and(|node| std::ptr::eq(node, entry.node)));
        found.map_or_else(ImagePath::root, |entry| entry.path)
    }
}

/// The value of a directory entry: the type (`IFTODT`) and the object.
pub(super) fn entry_value(kind: &NodeKind, number: u64) -> u64 {
    (type_bits(kind) >> 12) << TYPE_SHIFT | number
}

/// The type as it stands in the mode.
pub(super) fn type_bits(kind: &NodeKind) -> u64 {
    match kind {
        NodeKind::Fifo => 0o010_000,
        NodeKind::CharDevice { .. } => 0o020_000,
        NodeKind::Directory => 0o040_000,
        NodeKind::BlockDevice { .. } => 0o060_000,
        NodeKind::Regular(_) => 0o100_000,
        NodeKind::Symlink(_) => 0o120_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image_tree::Metadata;

    #[test]
    fn numbers_leave_room_for_attributes_and_links_share_them() {
        let metadata = Metadata::new(0, 0, 0o755);
        let mut tree = Tree::default();
        let path = |text: &str| ImagePath::new(text).expect("a path");
        tree.create_dir(&path("/a/b"), metadata.clone(), &metadata).expect("created");
        let mut rich = metadata.clone();
        rich.xattrs.insert(b"user.x".to_vec(), b"1".to_vec());
        tree.insert(&path("/a/file"), Node { kind: NodeKind::Fifo, metadata: rich }).expect("inserted");
        tree.hard_link(&path("/a/file"), &path("/a/b/link")).expect("linked");
        let plan = Plan::new(&tree);
        let seen: Vec<_> = plan.nodes.iter().map(|planned| (planned.number, planned.parent, planned.links)).collect();
        // Root, a, b, and the pipe, which is met first as /a/b/link.
        assert_eq!(seen, [(3, 3, 3), (4, 3, 3), (5, 4, 2), (6, 5, 2)]);
        assert_eq!(plan.end, 9);
        assert_eq!(plan.directories[1].entries, [4 << 60 | 5, 1 << 60 | 6]);
        assert_eq!(plan.directories[2].entries, [1 << 60 | 6]);
        assert_eq!(plan.path(8), path("/a/b/link"));
    }
}
