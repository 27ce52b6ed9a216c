//! Where the entries of an archive go in a tree.

use crate::node::{Metadata, Node};
use crate::path::ImagePath;
use crate::tree::{Follow, Tree, TreeError};

/// Puts an entry at its path, making parents that are missing.
pub(super) fn place(tree: &mut Tree, path: &ImagePath, node: Node) -> Result<(), TreeError> {
    let path = make_way(tree, path)?;
    let is_directory = |found: Option<&Node>| found.is_some_and(Node::is_directory);
    if is_directory(tree.get(&path)) != node.is_directory() && tree.get(&path).is_some() {
        tree.remove(&path)?;
    }
    tree.insert(&path, node).map(drop)
}

/// Makes `path` another name of what is at `target`.
pub(super) fn hard_link(tree: &mut Tree, target: &ImagePath, path: &ImagePath) -> Result<(), TreeError> {
    let (target, node) = tree.lookup(target, Follow::No)?;
    if node.is_directory() {
        return Err(TreeError::IsADirectory { path: target });
    }
    let path = make_way(tree, path)?;
    let is_linked_already = tree.links(&target).is_some_and(|links| links.paths().any(|other| *other == path));
    if path == target || is_linked_already {
        return Ok(());
    }
    if tree.get(&path).is_some() {
        tree.remove(&path)?;
    }
    tree.hard_link(&target, &path).map(drop)
}

/// The path with its parents resolved, and made where they are missing.
fn make_way(tree: &mut Tree, path: &ImagePath) -> Result<ImagePath, TreeError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(path.clone());
    };
    let made = Metadata::new(0, 0, 0o755);
    let parent = tree.create_dir(&parent, made.clone(), &made)?;
    parent.join(name).map_err(|source| TreeError::Path { path: path.clone(), source })
}
