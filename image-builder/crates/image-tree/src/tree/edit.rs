//! Changing a tree. Everything is checked before anything is touched: a failed call changes nothing.

use std::sync::Arc;

use super::directory::{Directory, Entry};
use super::error::TreeError;
use super::resolve::{Follow, Resolved};
use super::{EntryRef, Tree};
use crate::acl::{ACL_ENTRIES_MAX, AclEntry};
use crate::node::{FILE_BYTES_MAX, MODE_MASK, Metadata, Node, NodeKind, XATTR_BYTES_MAX, XATTRS_MAX};
use crate::path::{DEPTH_MAX, ImagePath, NAME_BYTES_MAX, PATH_BYTES_MAX};

impl Tree {
    /// Puts `node` at `path`, whose parent has to exist; links in the parent are followed, one at `path`
    /// itself is replaced. Whatever else is there but a directory is replaced, as by unlinking it first: its
    /// other hard links keep the old node. A directory put over a directory only sets the metadata.
    ///
    /// # Errors
    /// The parent is missing or no directory; something that is no directory was to replace a directory or
    /// the other way round; the node holds an impossible value.
    pub fn insert(&mut self, path: &ImagePath, node: Node) -> Result<ImagePath, TreeError> {
        let Resolved { path, node: existing } = self.resolve(path, Follow::No)?;
        check_node(&path, &node)?;
        match existing {
            Some(existing) if existing.is_directory() && node.is_directory() => {
                self.directory_mut(&path).node = node;
                return Ok(path);
            }
            Some(existing) if existing.is_directory() => {
                return Err(TreeError::IsADirectory { path });
            }
            Some(existing) if node.is_directory() => {
                return Err(TreeError::NotADirectory { path, kind: existing.kind.name() });
            }
            _ => {}
        }
        let entry = if node.is_directory() {
            Entry::Directory(Arc::new(Directory::new(node.metadata)))
        } else {
            Entry::Leaf(Arc::new(node))
        };
        self.place(&path, entry)?;
        Ok(path)
    }

    /// Makes sure that there is a directory at `path`, following symbolic links to directories. One that exists
    /// is left as it is; a new one gets `metadata`, and parents that are missing get `parents`.
    ///
    /// # Errors
    /// Something on the way is no directory, or the path becomes too long.
    pub fn create_dir(
        &mut self,
        path: &ImagePath,
        metadata: Metadata,
        parents: &Metadata,
    ) -> Result<ImagePath, TreeError> {
        let Resolved { path, node } = self.resolve_missing(path)?;
        match node {
            Some(node) if node.is_directory() => return Ok(path),
            Some(node) => {
                return Err(TreeError::NotADirectory { path, kind: node.kind.name() });
            }
            None => {}
        }
        check_metadata(&path, &metadata)?;
        check_metadata(&path, parents)?;
        let mut directory = &mut self.root;
        for name in path.components() {
            let entry = Directory::edit(directory).entries.entry(name.into());
            let entry = entry.or_insert_with(|| Entry::Directory(Arc::new(Directory::new(parents.clone()))));
            directory = match entry {
                Entry::Directory(below) => below,
                Entry::Leaf(_) => unreachable!("a resolved path leads through directories"),
            };
        }
        Directory::edit(directory).node = Node::directory(metadata);
        Ok(path)
    }

    /// Removes one name: anything but a directory, or an empty directory. A symbolic link is removed itself.
    ///
    /// # Errors
    /// Nothing is there, it is a directory with something in it, or it is the root.
    pub fn remove(&mut self, path: &ImagePath) -> Result<ImagePath, TreeError> {
        let (path, _) = self.lookup(path, Follow::No)?;
        if self.directory(&path).is_some_and(|directory| !directory.entries.is_empty()) {
            return Err(TreeError::NotEmpty { path });
        }
        self.unlink(&path)?;
        Ok(path)
    }

    /// Removes whatever is at `path` and everything below it. A symbolic link is removed itself.
    ///
    /// # Errors
    /// Nothing is there, or it is the root.
    pub fn remove_subtree(&mut self, path: &ImagePath) -> Result<ImagePath, TreeError> {
        let (path, _) = self.lookup(path, Follow::No)?;
        self.unlink(&path)?;
        Ok(path)
    }

    /// Replaces the metadata of what is at `path`, for all names of a hard-linked node.
    ///
    /// # Errors
    /// Nothing is there, or the metadata is impossible.
    pub fn set_metadata(
        &mut self,
        path: &ImagePath,
        follow: Follow,
        metadata: Metadata,
    ) -> Result<ImagePath, TreeError> {
        self.update_metadata(path, follow, |old| *old = metadata)
    }

    /// Changes the metadata of what is at `path` in place, for all names of a hard-linked node. If nothing
    /// changes, the tree remains the same value, sharing included.
    ///
    /// # Errors
    /// Nothing is there, or the metadata is impossible.
    pub fn update_metadata(
        &mut self,
        path: &ImagePath,
        follow: Follow,
        change: impl FnOnce(&mut Metadata),
    ) -> Result<ImagePath, TreeError> {
        let (path, node) = self.lookup(path, follow)?;
        let mut metadata = node.metadata.clone();
        change(&mut metadata);
        check_metadata(&path, &metadata)?;
        if metadata != node.metadata {
            let node = Node { kind: node.kind.clone(), metadata };
            self.replace_node(&path, node);
        }
        Ok(path)
    }

    /// Makes `new` another name of the node at `existing`, neither of which is followed if it is a symbolic link.
    ///
    /// # Errors
    /// `existing` is missing or a directory; `new` exists; its parent is missing or no directory.
    pub fn hard_link(&mut self, existing: &ImagePath, new: &ImagePath) -> Result<ImagePath, TreeError> {
        let (existing, _) = self.lookup(existing, Follow::No)?;
        let new = self.resolve(new, Follow::No)?;
        if new.node.is_some() {
            return Err(TreeError::AlreadyExists { path: new.path });
        }
        let new = new.path;
        let Some(leaf) = self.shared_leaf(&existing) else {
            return Err(TreeError::IsADirectory { path: existing });
        };
        self.place(&new, Entry::Leaf(leaf))?;
        Arc::make_mut(&mut self.links).link(&existing, new.clone());
        Ok(new)
    }

    /// Puts the whole of `tree` at `path`, replacing whatever is there; its root directory becomes the
    /// directory at `path`. The parent has to exist. Nothing is copied.
    ///
    /// # Errors
    /// The parent is missing or no directory, or paths become too long or too deep.
    pub fn graft(&mut self, path: &ImagePath, tree: &Tree) -> Result<ImagePath, TreeError> {
        let Resolved { path, .. } = self.resolve(path, Follow::No)?;
        if path.is_root() {
            *self = tree.clone();
            return Ok(path);
        }
        let needs = tree.root.summary();
        if path.depth() + needs.depth > DEPTH_MAX || path.as_bytes().len() + needs.path_bytes > PATH_BYTES_MAX {
            let source = crate::path::PathError::TooLong { text: format!("{path}/…") };
            return Err(TreeError::Path { path, source });
        }
        self.place(&path, Entry::Directory(Arc::clone(&tree.root)))?;
        if !tree.links.is_empty() {
            let links = Arc::make_mut(&mut self.links);
            for set in tree.links.sets() {
                let placed = set.paths().map(|below| path.join_path(below));
                // Checked above: the longest path of the tree fits.
                links.add_set(placed.collect::<Result<_, _>>().expect("paths within the limits"));
            }
        }
        Ok(path)
    }

    /// Puts an entry at a resolved path whose parent exists.
    fn place(&mut self, path: &ImagePath, entry: Entry) -> Result<(), TreeError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(TreeError::Root);
        };
        self.forget_links(path);
        self.directory_mut(&parent).entries.insert(name.into(), entry);
        Ok(())
    }

    fn unlink(&mut self, path: &ImagePath) -> Result<(), TreeError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(TreeError::Root);
        };
        self.forget_links(path);
        self.directory_mut(&parent).entries.remove(name);
        Ok(())
    }

    fn forget_links(&mut self, path: &ImagePath) {
        if self.links.any_below(path) {
            Arc::make_mut(&mut self.links).remove_below(path);
        }
    }

    /// Replaces the node at an existing path by one of the same kind, under all its names.
    fn replace_node(&mut self, path: &ImagePath, node: Node) {
        if node.is_directory() {
            self.directory_mut(path).node = node;
            return;
        }
        let leaf = Arc::new(node);
        let linked: Vec<ImagePath> = self.links(path).map(|links| links.paths().cloned().collect()).unwrap_or_default();
        for name in if linked.is_empty() { std::slice::from_ref(path) } else { &linked } {
            let (Some(parent), Some(file_name)) = (name.parent(), name.file_name()) else {
                continue;
            };
            self.directory_mut(&parent).entries.insert(file_name.into(), Entry::Leaf(Arc::clone(&leaf)));
        }
    }

    fn shared_leaf(&self, path: &ImagePath) -> Option<Arc<Node>> {
        match (self.directory(&path.parent()?)?.entries.get(path.file_name()?)?, self.entry(path)?) {
            (Entry::Leaf(leaf), EntryRef::Leaf(_)) => Some(Arc::clone(leaf)),
            _ => None,
        }
    }

    /// The directory at a path that is known to be one, for changing.
    fn directory_mut(&mut self, path: &ImagePath) -> &mut Directory {
        let mut directory = Directory::edit(&mut self.root);
        for name in path.components() {
            directory = match directory.entries.get_mut(name) {
                Some(Entry::Directory(below)) => Directory::edit(below),
                _ => unreachable!("a resolved path leads through directories"),
            };
        }
        directory
    }
}

fn check_node(path: &ImagePath, node: &Node) -> Result<(), TreeError> {
    if let NodeKind::Symlink(target) = &node.kind {
        let what = match target.len() {
            0 => Some("an empty link target"),
            length if length > PATH_BYTES_MAX => Some("a link target longer than a path can be"),
            _ => target.contains(&0).then_some("a link target with a NUL byte"),
        };
        if let Some(what) = what {
            return Err(TreeError::InvalidNode { path: path.clone(), what });
        }
    }
    if node.content().is_some_and(|content| content.len() > FILE_BYTES_MAX) {
        let what = "more than 9223372036854775807 bytes, which no system could open";
        return Err(TreeError::InvalidNode { path: path.clone(), what });
    }
    check_metadata(path, &node.metadata)
}

fn is_valid_acl(acl: &[AclEntry]) -> bool {
    (1..=ACL_ENTRIES_MAX).contains(&acl.len()) && acl.iter().all(AclEntry::is_valid)
}

fn check_metadata(path: &ImagePath, metadata: &Metadata) -> Result<(), TreeError> {
    let what = if metadata.mode & !MODE_MASK != 0 {
        "mode bits beyond 07777"
    } else if metadata.mtime.nanos >= 1_000_000_000 {
        "a time with a billion nanoseconds or more"
    } else if metadata.xattrs.keys().any(|name| !(1..=NAME_BYTES_MAX).contains(&name.len()) || name.contains(&0)) {
        "an extended attribute whose name is empty, longer than 255 bytes or has a NUL byte"
    } else if metadata.xattrs.len() > XATTRS_MAX {
        "more than 16384 extended attributes"
    } else if metadata.xattr_bytes() > XATTR_BYTES_MAX {
        "extended attributes of more than 16 MiB together"
    } else if metadata.acl.as_ref().is_some_and(|acl| !is_valid_acl(acl)) {
        "an access control list that is empty, too long, or has unknown bits"
    } else {
        return Ok(());
    };
    Err(TreeError::InvalidNode { path: path.clone(), what })
}
