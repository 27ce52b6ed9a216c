//! Directories and links, and the removal of whatever is at a path.

use std::collections::{BTreeMap, BTreeSet};

use image_tree::{ImagePath, Node, NodeKind, PathError, TreeError};

use super::error::InstallError;
use super::execute::{Run, image_path, tree_error};
use super::files::Moved;
use super::objects::{Delivered, Objects};
use super::sundry;
use crate::manifest::ActionKind;

/// Where things go that nobody packaged and that stand in the way.
const LOST_AND_FOUND: &str = "var/pkg/lost+found";

impl Run<'_> {
    /// Removes what is not delivered any more, or as something else, from the deepest path up.
    pub(super) fn remove_paths(&mut self, before: &Objects<'_>, after: &Objects<'_>) -> Result<(), InstallError> {
        let stays = |path: &ImagePath, old: &Delivered<'_>| {
            after.paths.get(path).is_some_and(|new| new.action.kind() == old.action.kind())
        };
        for (path, old) in before.paths.iter().rev().filter(|(path, old)| !is_dir(old) && !stays(path, old)) {
            match old.action.kind() {
                ActionKind::File => self.remove_file(path, *old)?,
                _ => self.remove_if_there(path)?,
            }
        }
        let needed = directories(after);
        for path in directories(before).iter().rev().filter(|path| !needed.contains(*path)) {
            if self.tree.get(path).is_some_and(Node::is_directory) && !self.remove_if_empty(path)? {
                // Directories that nobody delivered are left to what is still in them, and those that the image
                // itself needs to what they are for.
                let is_own = image_path(LOST_AND_FOUND)?.starts_with(path);
                if before.paths.contains_key(path) && !is_own {
                    self.salvage(path)?;
                }
            }
        }
        Ok(())
    }

    /// Makes everything at paths that is new or different.
    pub(super) fn install_paths(
        &mut self,
        before: &Objects<'_>,
        after: &Objects<'_>,
        moved: &BTreeMap<ImagePath, Moved<'_>>,
    ) -> Result<(), InstallError> {
        let changed = |kind: ActionKind| {
            after.paths.iter().filter(move |(_, new)| new.action.kind() == kind).filter_map(|(path, new)| {
                let old = before.paths.get(path).filter(|old| old.action.kind() == new.action.kind());
                let is_same = old.is_some_and(|old| is_same(*old, *new));
                (!is_same).then(|| (path, *new, old.copied()))
            })
        };
        for (path, delivered, _) in changed(ActionKind::Dir) {
            self.install_dir(path, delivered)?;
        }
        for (path, delivered, old) in changed(ActionKind::File) {
            self.install_file(path, delivered, old, moved.get(path))?;
        }
        self.install_hardlinks(after)?;
        for (path, delivered, _) in changed(ActionKind::Link) {
            self.install_link(path, delivered)?;
        }
        Ok(())
    }

    fn install_dir(&mut self, path: &ImagePath, delivered: Delivered<'_>) -> Result<(), InstallError> {
        let (uid, gid) = self.owner(path, delivered)?;
        let mode = delivered.action.mode().map_err(|source| delivered.unusable(source))?;
        self.find_parent(path, delivered)?;
        let existing = self.tree.get(path).map(|node| (node.is_directory(), node.symlink_target().is_some()));
        match existing {
            Some((_, true)) => return Err(through_link(path, path, delivered)),
            Some((false, _)) => self.salvage(path)?,
            _ => {}
        }
        let mut metadata = self.metadata(uid, gid, mode);
        if let Some(existing) = self.tree.get(path) {
            metadata = image_tree::Metadata { uid, gid, mode, ..existing.metadata.clone() };
        }
        self.insert(path, Node::directory(metadata))?;
        for from in delivered.action.values("salvage-from") {
            let from = ImagePath::from_relative(from.trim_matches('/')).map_err(|source| {
                let kind = delivered.action.kind();
                delivered.unusable(crate::manifest::AttributeError::Path { kind, source })
            })?;
            self.recover(&from, path)?;
        }
        Ok(())
    }

    fn install_link(&mut self, path: &ImagePath, delivered: Delivered<'_>) -> Result<(), InstallError> {
        let target = delivered.action.required("target").map_err(|source| delivered.unusable(source))?;
        self.find_parent(path, delivered)?;
        self.clear(path)?;
        self.insert(path, Node::symlink(target, self.root_metadata(0o777)))
    }

    /// Links whose targets are links themselves come after those.
    fn install_hardlinks(&mut self, after: &Objects<'_>) -> Result<(), InstallError> {
        let mut waiting: BTreeMap<&ImagePath, (Delivered<'_>, ImagePath)> = BTreeMap::new();
        for (path, delivered) in after.paths.iter().filter(|(_, d)| d.action.kind() == ActionKind::Hardlink) {
            waiting.insert(path, (*delivered, hardlink_target(path, *delivered)?));
        }
        while !waiting.is_empty() {
            let is_ready = |target: &ImagePath| !waiting.contains_key(target);
            let ready: Vec<&ImagePath> =
                waiting.iter().filter(|(_, (_, target))| is_ready(target)).map(|(path, _)| *path).collect();
            if ready.is_empty() {
                let (path, (delivered, target)) = waiting.pop_first().expect("it is not empty");
                return Err(no_target(path, delivered, &target));
            }
            for path in ready {
                let (delivered, target) = waiting.remove(path).expect("it was just found there");
                self.install_hardlink(path, delivered, &target)?;
            }
        }
        Ok(())
    }

    fn install_hardlink(
        &mut self,
        path: &ImagePath,
        delivered: Delivered<'_>,
        target: &ImagePath,
    ) -> Result<(), InstallError> {
        let is_linked = self.tree.links(path).is_some_and(|links| links.paths().any(|other| other == target));
        if is_linked {
            return Ok(());
        }
        if self.tree.get(target).is_none_or(Node::is_directory) {
            return Err(no_target(path, delivered, target));
        }
        self.find_parent(path, delivered)?;
        self.clear(path)?;
        self.remove_if_there(path)?;
        self.tree.hard_link(target, path).map(drop).map_err(|source| tree_error(path, source))
    }

    /// Sees to it that the parent directory is there, and not by way of a symbolic link. Missing ones get the owner of
    /// the nearest that is there, and its mode, too; but the one right above something that is no directory gets 0755.
    pub(super) fn find_parent(&mut self, path: &ImagePath, delivered: Delivered<'_>) -> Result<(), InstallError> {
        let Some(parent) = path.parent() else { return Ok(()) };
        if self.known_directories.contains(&parent) {
            return Ok(());
        }
        let mut above: Vec<ImagePath> = Vec::new();
        let mut next = Some(parent.clone());
        while let Some(directory) = next {
            next = directory.parent();
            above.push(directory);
        }
        let root = self.tree.root_metadata();
        let mut nearest = (root.uid, root.gid, root.mode);
        let is_leaf = |directory: &ImagePath| !is_dir(&delivered) && *directory == parent;
        for directory in above.into_iter().rev() {
            match self.tree.get(&directory) {
                Some(Node { kind: NodeKind::Symlink(_), .. }) => {
                    return Err(through_link(path, &directory, delivered));
                }
                Some(node) if node.is_directory() => {
                    nearest = (node.metadata.uid, node.metadata.gid, node.metadata.mode);
                    continue;
                }
                Some(_) => self.salvage(&directory)?,
                None => {}
            }
            let (uid, gid, mode) = nearest;
            let mode = if is_leaf(&directory) { 0o755 } else { mode };
            self.insert(&directory, Node::directory(self.metadata(uid, gid, mode)))?;
        }
        self.known_directories.insert(parent);
        Ok(())
    }

    /// Makes room for something that is no directory: an empty directory is removed, a full one salvaged.
    pub(super) fn clear(&mut self, path: &ImagePath) -> Result<(), InstallError> {
        if self.tree.get(path).is_some_and(Node::is_directory) && !self.remove_if_empty(path)? {
            self.salvage(path)?;
        }
        Ok(())
    }

    /// Moves something away that nobody packaged, to where it can be found: its path below `lost+found`, with the time.
    pub(super) fn salvage(&mut self, path: &ImagePath) -> Result<(), InstallError> {
        if image_path(LOST_AND_FOUND)?.starts_with(path) {
            let kind = self.tree.get(path).map_or("nothing", |node| node.kind.name());
            return Err(tree_error(path, TreeError::NotADirectory { path: path.clone(), kind }));
        }
        let place = |number: usize| {
            let below = String::from_utf8_lossy(path.relative_bytes()).into_owned();
            let suffix = if number == 0 { String::new() } else { format!("-{number}") };
            image_path(&format!("{LOST_AND_FOUND}/{below}-{}{suffix}", self.time().compact()))
        };
        let mut to = place(0)?;
        let mut number = 0;
        while self.tree.get(&to).is_some() {
            number += 1;
            to = place(number)?;
        }
        self.make_parents(&to, &self.root_metadata(0o755))?;
        let moved = match (self.tree.subtree(path), self.tree.get(path).cloned()) {
            (Some(subtree), _) => self.tree.graft(&to, &subtree).map(drop),
            (None, Some(node)) => self.tree.insert(&to, node).map(drop),
            (None, None) => return Ok(()),
        };
        moved.and_then(|()| self.tree.remove_subtree(path)).map_err(|source| tree_error(path, source))?;
        self.known_directories.clear();
        self.salvaged.push((path.clone(), to));
        Ok(())
    }

    /// Brings what was salvaged from a directory, or from below it, to another one: directories that change their names
    /// keep what nobody packaged. What is there already stays, and so does the salvaged thing of that name.
    fn recover(&mut self, from: &ImagePath, into: &ImagePath) -> Result<(), InstallError> {
        let (ours, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.salvaged).into_iter().partition(|(path, _)| path.starts_with(from));
        self.salvaged = others;
        for (path, kept_at) in ours {
            let below = path.strip_prefix(from).unwrap_or_else(ImagePath::root);
            let to = into.join_path(&below).map_err(|source| path_error(into, source))?;
            if !self.merge(&kept_at, into, &to)? {
                self.salvaged.push((path, kept_at));
            }
        }
        Ok(())
    }

    /// Moves something below `into`, unless something else is in its place; of two directories, what is in them. The
    /// result says whether all of it was moved.
    fn merge(&mut self, from: &ImagePath, into: &ImagePath, to: &ImagePath) -> Result<bool, InstallError> {
        let Some(node) = self.tree.get(from).cloned() else { return Ok(true) };
        let is_free = self.tree.get(to).is_none() && self.make_way(into, to)?;
        match self.tree.get(to) {
            Some(there) if there.is_directory() && node.is_directory() => {
                let names: Vec<Vec<u8>> =
                    self.tree.read_dir(from).into_iter().flatten().map(|(name, _)| name.to_vec()).collect();
                for name in names {
                    let child = |parent: &ImagePath| parent.join(&name).map_err(|source| path_error(parent, source));
                    self.merge(&child(from)?, into, &child(to)?)?;
                }
                self.remove_if_empty(from)
            }
            Some(_) => Ok(false),
            None if !is_free => Ok(false),
            None => {
                let moved = match self.tree.subtree(from) {
                    Some(subtree) => self.tree.graft(to, &subtree).map(drop),
                    None => self.tree.insert(to, node).map(drop),
                };
                let moved = moved.and_then(|()| self.tree.remove_subtree(from));
                moved.map(|_| true).map_err(|source| tree_error(to, source))
            }
        }
    }

    /// Makes the directories between `into` and `to`, like the one above each; false if there is something else, a link
    /// above all, through which nothing is put anywhere.
    fn make_way(&mut self, into: &ImagePath, to: &ImagePath) -> Result<bool, InstallError> {
        let mut missing = Vec::new();
        let mut above = to.parent();
        while let Some(directory) = above.filter(|directory| directory != into) {
            match self.tree.get(&directory) {
                Some(node) if node.is_directory() => {}
                Some(_) => return Ok(false),
                None => missing.push(directory.clone()),
            }
            above = directory.parent();
        }
        for directory in missing.into_iter().rev() {
            let like = directory.parent().and_then(|parent| self.tree.get(&parent).map(|node| node.metadata.clone()));
            let like = like.unwrap_or_else(|| self.root_metadata(0o755));
            self.insert(&directory, Node::directory(self.metadata(like.uid, like.gid, like.mode)))?;
        }
        Ok(true)
    }

    /// The numbers of the owner and the group that an action names.
    pub(super) fn owner(&self, path: &ImagePath, delivered: Delivered<'_>) -> Result<(u32, u32), InstallError> {
        let number = |what: &'static str, attribute, known: &BTreeMap<String, u32>| {
            let name = delivered.action.required(attribute).map_err(|source| delivered.unusable(source))?;
            known.get(name).copied().ok_or_else(|| InstallError::UnknownOwner {
                package: delivered.package_name(),
                path: path.to_string(),
                what,
                name: crate::text::shown(name),
            })
        };
        Ok((number("user", "owner", &self.ids.users)?, number("group", "group", &self.ids.groups)?))
    }
}

fn is_dir(delivered: &Delivered<'_>) -> bool {
    delivered.action.kind() == ActionKind::Dir
}

fn through_link(path: &ImagePath, link: &ImagePath, delivered: Delivered<'_>) -> InstallError {
    InstallError::ThroughLink { package: delivered.package_name(), path: path.clone(), link: link.clone() }
}

fn no_target(path: &ImagePath, delivered: Delivered<'_>, target: &ImagePath) -> InstallError {
    InstallError::NoTarget { package: delivered.package_name(), path: path.clone(), target: target.to_string() }
}

/// Whether an action would do what the old one did.
fn is_same(old: Delivered<'_>, new: Delivered<'_>) -> bool {
    const COMPARED: [&str; 5] = ["mode", "owner", "group", "target", "salvage-from"];
    if new.action.kind() == ActionKind::File {
        return old.action == new.action;
    }
    COMPARED.into_iter().all(|attribute| old.action.values(attribute).eq(new.action.values(attribute)))
}

fn path_error(directory: &ImagePath, source: PathError) -> InstallError {
    tree_error(directory, TreeError::Path { path: directory.clone(), source })
}

/// All directories that are delivered, or above something that is.
fn directories(objects: &Objects<'_>) -> BTreeSet<ImagePath> {
    let mut directories = BTreeSet::new();
    let legacy =
        objects.legacy.keys().filter_map(|name| image_path(&format!("{}/pkginfo", sundry::legacy_dir(name))).ok());
    let own = objects.paths.iter().filter(|(_, delivered)| is_dir(delivered)).map(|(path, _)| path.clone());
    let paths: Vec<ImagePath> = own.collect();
    let leaves = objects.paths.keys().chain(objects.licenses.keys()).cloned().chain(legacy);
    for path in leaves {
        let mut above = path.parent();
        while let Some(directory) = above.filter(|directory| !directories.contains(directory)) {
            above = directory.parent();
            directories.insert(directory);
        }
    }
    directories.extend(paths);
    directories
}

/// Where a hard link leads: from its own directory, or from the root; `..` cannot leave that.
fn hardlink_target(path: &ImagePath, delivered: Delivered<'_>) -> Result<ImagePath, InstallError> {
    let target = delivered.action.required("target").map_err(|source| delivered.unusable(source))?;
    let mut names: Vec<&[u8]> = Vec::new();
    let parent = path.parent().unwrap_or_else(ImagePath::root);
    if !target.starts_with('/') {
        names.extend(parent.components());
    }
    for name in target.as_bytes().split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    let kind = delivered.action.kind();
    let joined = ImagePath::from_relative(names.join(&b'/'));
    joined.map_err(|source| delivered.unusable(crate::manifest::AttributeError::Path { kind, source }))
}
