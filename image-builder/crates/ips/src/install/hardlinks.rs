//! Hard links, made after what they lead to.

use std::collections::{BTreeMap, BTreeSet};

use image_tree::{Follow, ImagePath};

use super::error::InstallError;
use super::execute::{Run, tree_error};
use super::hardlink_order::{Targets, affected, in_order};
use super::objects::{Delivered, Objects};
use crate::manifest::{Action, ActionKind, AttributeError};

impl Run<'_> {
    /// Makes the hard links among what is `replaced` by the operation, and those to something that is. All others are left
    /// to whoever changed them. Links whose targets are links themselves come after those.
    pub(super) fn install_hardlinks<'o>(
        &mut self,
        after: &'o Objects<'_>,
        replaced: &BTreeSet<&'o ImagePath>,
    ) -> Result<(), InstallError> {
        let mut links: BTreeMap<&ImagePath, HardLink<'_>> = BTreeMap::new();
        for (path, delivered) in after.paths.iter().filter(|(_, d)| d.action.kind() == ActionKind::Hardlink) {
            let target = hardlink_target(path, delivered.action).map_err(|source| delivered.unusable(source))?;
            links.insert(path, HardLink { path, delivered: *delivered, target, is_new: replaced.contains(path) });
        }
        let targets: Targets<'_> = links.iter().map(|(path, link)| (*path, &link.target)).collect();
        // The way to a target may lead through symbolic links.
        let resolve = |target: &ImagePath| self.tree.lookup(target, Follow::No).ok().map(|(found, _)| found);
        let affected = affected(&targets, replaced, resolve);
        let (order, circle) = in_order(&targets, &affected);
        for link in order.iter().map(|path| &links[path]) {
            self.install_hardlink(link).map_err(|error| error.of(link.delivered))?;
        }
        circle.map_or(Ok(()), |path| Err(links[path].no_target()))
    }

    fn install_hardlink(&mut self, link: &HardLink<'_>) -> Result<(), InstallError> {
        let path = link.path;
        // The way to the target may lead through links that are there already; the target itself is what is meant.
        let found = self.tree.lookup(&link.target, Follow::No).ok().filter(|(_, node)| !node.is_directory());
        let Some((target, _)) = found else {
            // A file that somebody removed and that is not made again takes no link along.
            return if link.is_new { Err(link.no_target()) } else { Ok(()) };
        };
        let set_of = |path: &ImagePath| self.tree.links(path).map(|links| links.id());
        let is_linked = set_of(path).is_some_and(|set| set_of(&target) == Some(set));
        if is_linked || target == *path {
            return Ok(());
        }
        self.find_parent(path, link.delivered)?;
        self.clear(path)?;
        self.remove_if_there(path)?;
        self.tree.hard_link(&target, path).map(drop).map_err(|source| tree_error(path, source))
    }
}

/// A hard link on its way.
struct HardLink<'p> {
    path: &'p ImagePath,
    delivered: Delivered<'p>,
    target: ImagePath,
    /// Whether it is not as it was before the operation.
    is_new: bool,
}

impl HardLink<'_> {
    fn no_target(&self) -> InstallError {
        let (path, target) = (self.path.clone(), self.target.to_string());
        InstallError::NoTarget { package: self.delivered.package_name(), path, target }
    }
}

/// Where a hard link leads: from its own directory, or from the root; `..` cannot leave that.
///
/// # Errors
/// There is no target, or none that is a path.
pub fn hardlink_target(path: &ImagePath, action: &Action) -> Result<ImagePath, AttributeError> {
    let target = action.required("target")?;
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
    let joined = ImagePath::from_relative(names.join(&b'/'));
    joined.map_err(|source| AttributeError::Path { kind: action.kind(), source })
}
