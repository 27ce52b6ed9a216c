//! Resolving paths inside the tree, as a process confined to it would.

use std::sync::Arc;

use super::Tree;
use super::directory::{Directory, Entry};
use super::error::TreeError;
use crate::node::{Node, NodeKind};
use crate::path::ImagePath;

/// How many symbolic links one path may lead through, as on Linux; then it counts as a loop.
pub(super) const SYMLINKS_MAX: usize = 40;

/// What to do with a symbolic link in the last component of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// Continue with what the link points to.
    Yes,
    /// Take the link itself.
    No,
}

/// Where a path leads.
#[derive(Debug, Clone)]
pub struct Resolved<'t> {
    /// The path without symbolic links before the last component (with [`Follow::Yes`]: without any).
    pub path: ImagePath,
    /// What is there; nothing if only the last component is missing, where something may be created.
    pub node: Option<&'t Node>,
}

impl Tree {
    /// Finds where `path` leads. Absolute symbolic links begin at the root of the image again, `..` at the
    /// root stays there.
    ///
    /// # Errors
    /// A component other than the last is missing or no directory, or too many symbolic links.
    pub fn resolve(&self, path: &ImagePath, follow: Follow) -> Result<Resolved<'_>, TreeError> {
        self.resolve_with(path, follow, Missing::OnlyLast)
    }

    /// Finds the existing node that `path` leads to, and the path it is at.
    ///
    /// # Errors
    /// As for [`resolve`](Self::resolve), and when nothing is there.
    pub fn lookup(&self, path: &ImagePath, follow: Follow) -> Result<(ImagePath, &Node), TreeError> {
        let Resolved { path, node } = self.resolve(path, follow)?;
        match node {
            Some(node) => Ok((path, node)),
            None => Err(TreeError::NotFound { path }),
        }
    }

    /// As [`resolve`](Self::resolve) following all links, but any number of components may be missing at the end.
    pub(super) fn resolve_missing(&self, path: &ImagePath) -> Result<Resolved<'_>, TreeError> {
        self.resolve_with(path, Follow::Yes, Missing::Any)
    }

    fn resolve_with(&self, path: &ImagePath, follow: Follow, missing: Missing) -> Result<Resolved<'_>, TreeError> {
        let mut position = Position::new(&self.root);
        let mut todo: Vec<&[u8]> = path.components().rev().collect();
        let mut symlinks = 0;
        while let Some(name) = todo.pop() {
            if position.directory().is_none() && missing == Missing::OnlyLast {
                return Err(TreeError::NotFound { path: position.path(path)? });
            }
            if name == b".." {
                position.up();
                continue;
            }
            let Some(leaf) = position.enter(name) else { continue };
            match &leaf.kind {
                NodeKind::Symlink(target) if follow == Follow::Yes || !todo.is_empty() => {
                    symlinks += 1;
                    if symlinks > SYMLINKS_MAX {
                        return Err(TreeError::TooManySymlinks { path: path.clone() });
                    }
                    if target.first() == Some(&b'/') {
                        position = Position::new(&self.root);
                    }
                    let parts = target.rsplit(|byte| *byte == b'/');
                    todo.extend(parts.filter(|part| !matches!(*part, b"" | b".")));
                }
                kind => {
                    position.below.push((name, None));
                    let path = position.path(path)?;
                    if todo.is_empty() {
                        return Ok(Resolved { path, node: Some(leaf) });
                    }
                    return Err(TreeError::NotADirectory { path, kind: kind.name() });
                }
            }
        }
        let node = position.directory().map(|directory| &directory.node);
        Ok(Resolved { path: position.path(path)?, node })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    OnlyLast,
    Any,
}

/// A place in the tree reached by going down and up; below a missing directory everything is missing.
struct Position<'t, 'n> {
    root: &'t Directory,
    /// Names on the way, which come from the path or from symbolic links.
    below: Vec<(&'n [u8], Option<&'t Directory>)>,
}

impl<'t, 'n> Position<'t, 'n> {
    fn new(root: &'t Arc<Directory>) -> Self {
        Self { root, below: Vec::new() }
    }

    fn directory(&self) -> Option<&'t Directory> {
        self.below.last().map_or(Some(self.root), |(_, directory)| *directory)
    }

    /// Goes to `name`, missing or not; unless something other than a directory is there, which is returned.
    fn enter(&mut self, name: &'n [u8]) -> Option<&'t Node> {
        let below = match self.directory().and_then(|directory| directory.entries.get(name)) {
            Some(Entry::Leaf(leaf)) => return Some(leaf),
            Some(Entry::Directory(directory)) => Some(Arc::as_ref(directory)),
            None => None,
        };
        self.below.push((name, below));
        None
    }

    fn up(&mut self) {
        self.below.pop();
    }

    fn path(&self, asked: &ImagePath) -> Result<ImagePath, TreeError> {
        let bytes = self.below.iter().flat_map(|(name, _)| [&b"/"[..], *name]).collect::<Vec<_>>().concat();
        ImagePath::from_relative(&bytes).map_err(|source| TreeError::Path { path: asked.clone(), source })
    }
}
