//! What nobody packaged and is in the way: moved to where it can be found, and back where a package says so.

use image_tree::{ImagePath, Node, PathError, TreeError};

use super::error::InstallError;
use super::execute::{Run, image_path, tree_error};

/// Where things go that nobody packaged and that stand in the way.
const LOST_AND_FOUND: &str = "var/pkg/lost+found";

impl Run<'_> {
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
    pub(super) fn recover(&mut self, from: &ImagePath, into: &ImagePath) -> Result<(), InstallError> {
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
}

fn path_error(directory: &ImagePath, source: PathError) -> InstallError {
    tree_error(directory, TreeError::Path { path: directory.clone(), source })
}
