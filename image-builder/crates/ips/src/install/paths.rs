//! Directories and links, and the removal of whatever is at a path.

use std::collections::{BTreeMap, BTreeSet};

use image_tree::{ImagePath, Node, NodeKind};

use super::error::InstallError;
use super::execute::{Run, image_path};
use super::files::Moved;
use super::objects::{Delivered, Objects};
use super::reserved::IMAGE_DIRECTORY;
use super::sundry;
use crate::manifest::ActionKind;

/// Directories that stay whether packages deliver something in them or not.
const ALWAYS_THERE: [&str; 4] = ["var", "var/sadm", "var/sadm/install", IMAGE_DIRECTORY];

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
        let mut needed = directories(after);
        needed.insert(ImagePath::root());
        for path in ALWAYS_THERE {
            needed.insert(image_path(path)?);
        }
        let own = image_path(IMAGE_DIRECTORY)?;
        for path in directories(before).iter().rev().filter(|path| !needed.contains(*path)) {
            let is_gone = match self.tree.get(path).map(Node::is_directory) {
                Some(true) => self.remove_if_empty(path)?,
                // Somebody put something else in its place.
                Some(false) => false,
                None => true,
            };
            // What is left there is nobody's, whether the directory itself was delivered or only what was in it.
            if !is_gone && !path.starts_with(&own) {
                self.salvage(path)?;
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
                let old = before.predecessor(after, path, *new);
                let is_same = old.is_some_and(|old| is_same(old, *new));
                let is_shared = new.action.kind() != ActionKind::File;
                (!is_same || is_shared && before.has_newcomer(after, path)).then_some((path, *new, old))
            })
        };
        // Links to links follow in their turn.
        let mut replaced: BTreeSet<&ImagePath> = changed(ActionKind::File).map(|(path, ..)| path).collect();
        replaced.extend(changed(ActionKind::Hardlink).map(|(path, ..)| path));
        for (path, delivered, _) in changed(ActionKind::Dir) {
            self.install_dir(path, delivered).map_err(|error| error.of(delivered))?;
        }
        for (path, delivered, old) in changed(ActionKind::File) {
            let installed = self.install_file(path, delivered, old, moved.get(path));
            installed.map_err(|error| error.of(delivered))?;
        }
        self.install_hardlinks(after, &replaced)?;
        for (path, delivered, _) in changed(ActionKind::Link) {
            self.install_link(path, delivered).map_err(|error| error.of(delivered))?;
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

    /// Refuses what would be put at a path by way of a symbolic link.
    pub(super) fn refuse_links_above(&self, path: &ImagePath, delivered: Delivered<'_>) -> Result<(), InstallError> {
        let mut above = path.parent();
        while let Some(directory) = above {
            if self.tree.get(&directory).is_some_and(|node| node.symlink_target().is_some()) {
                return Err(through_link(path, &directory, delivered));
            }
            above = directory.parent();
        }
        Ok(())
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

/// Whether an action would do what the old one did.
fn is_same(old: Delivered<'_>, new: Delivered<'_>) -> bool {
    const COMPARED: [&str; 5] = ["mode", "owner", "group", "target", "salvage-from"];
    if new.action.kind() == ActionKind::File {
        return old.action == new.action;
    }
    COMPARED.into_iter().all(|attribute| old.action.values(attribute).eq(new.action.values(attribute)))
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
