//! Regular files, and what happens to those that somebody edited.

use std::collections::BTreeMap;

use image_tree::{Content, Follow, ImagePath, Metadata, Node, Timestamp};

use super::error::InstallError;
use super::execute::{Run, tree_error};
use super::objects::{Delivered, Objects};
use crate::manifest::ActionKind;
use crate::version::PublicationTime;

/// A file that is delivered at another path now, as it was found at the old one.
pub(super) struct Moved<'p> {
    node: Node,
    old: Delivered<'p>,
}

impl Run<'_> {
    /// Remembers files that go on elsewhere: their new actions say `original_name=<package>:<path>`.
    pub(super) fn save_moved<'p>(&self, before: &Objects<'p>, after: &Objects<'p>) -> BTreeMap<ImagePath, Moved<'p>> {
        let mut moved = BTreeMap::new();
        for (path, new) in &after.paths {
            let Some((stem, old_path)) = new.action.get("original_name").and_then(|name| name.split_once(':')) else {
                continue;
            };
            let Ok(old_path) = ImagePath::from_relative(old_path) else { continue };
            let old = before.paths.get(&old_path).filter(|old| {
                old.action.kind() == ActionKind::File && old.package.id.stem.as_str() == stem && old_path != *path
            });
            let node = self.tree.get(&old_path).filter(|node| node.content().is_some());
            if let (Some(old), Some(node), false) = (old, node, before.paths.contains_key(path)) {
                moved.insert(path.clone(), Moved { node: node.clone(), old: *old });
            }
        }
        moved
    }

    pub(super) fn install_file(
        &mut self,
        path: &ImagePath,
        delivered: Delivered<'_>,
        old: Option<Delivered<'_>>,
        moved: Option<&Moved<'_>>,
    ) -> Result<(), InstallError> {
        let action = delivered.action;
        let (uid, gid) = self.owner(path, delivered)?;
        let mode = action.mode().map_err(|source| delivered.unusable(source))?;
        // A file system's attributes, such as `sensitive`, are no part of an image tree.
        let attributes: Vec<&str> = action.values("sysattr").collect();
        if !attributes.is_empty() {
            self.warnings
                .push(format!("{path} is to have the attributes {}, which are left out", attributes.join(", ")));
        }
        let preserve = action.get("preserve");
        if old.is_none() && moved.is_none() && matches!(preserve, Some("legacy" | "abandon")) {
            return Ok(());
        }
        self.find_parent(path, delivered)?;
        self.clear(path)?;
        let old = match (old, moved) {
            (Some(old), _) => Some(old),
            (None, Some(moved)) => {
                self.insert(path, moved.node.clone())?;
                Some(moved.old)
            }
            (None, None) => {
                self.salvage_unpackaged(path, delivered)?;
                None
            }
        };
        let mut metadata = self.metadata(uid, gid, mode);
        if let Some(time) = self.timestamp(delivered)? {
            metadata.mtime = time;
        }
        let place = self.place_of(path, delivered, old)?;
        let Some(to) = self.make_place(path, &place, &metadata)? else { return Ok(()) };
        let content = self.payload(delivered, &path.to_string())?;
        self.clear(&to)?;
        self.insert(&to, Node::regular(content, metadata))
    }

    /// A file that is there before a package first delivers it is somebody's, if the package says that such files matter.
    fn salvage_unpackaged(&mut self, path: &ImagePath, delivered: Delivered<'_>) -> Result<(), InstallError> {
        let is_there = self.tree.get(path).is_some_and(|node| node.content().is_some());
        if is_there && delivered.action.get("preserve").is_some() {
            self.salvage(path)?;
            self.find_parent(path, delivered)?;
        }
        Ok(())
    }

    /// Does with the old content what has to be done; the result is where the new one goes, if it goes anywhere.
    fn make_place(
        &mut self,
        path: &ImagePath,
        place: &Place,
        metadata: &Metadata,
    ) -> Result<Option<ImagePath>, InstallError> {
        match place {
            Place::Untouched => Ok(None),
            Place::KeepContent => {
                let changed = self.tree.update_metadata(path, Follow::No, |kept| {
                    (kept.uid, kept.gid, kept.mode) = (metadata.uid, metadata.gid, metadata.mode);
                });
                changed.map(|_| None).map_err(|source| tree_error(path, source))
            }
            Place::Replace => Ok(Some(path.clone())),
            Place::Beside => with_suffix(path, ".new").map(Some),
            Place::MoveOld(suffix) => {
                let to = with_suffix(path, suffix)?;
                if let Some(node) = self.tree.get(path).cloned() {
                    self.clear(&to)?;
                    self.insert(&to, node)?;
                }
                Ok(Some(path.clone()))
            }
        }
    }

    /// Removes a file that is not delivered any more. What somebody edited is not thrown away.
    pub(super) fn remove_file(&mut self, path: &ImagePath, old: Delivered<'_>) -> Result<(), InstallError> {
        let preserve = old.action.get("preserve");
        let Some(content) = self.tree.get(path).and_then(Node::content).cloned() else {
            return self.remove_if_there(path);
        };
        match preserve {
            Some("abandon") => Ok(()),
            Some(_) if self.is_edited(path, old, &content)? => self.salvage(path),
            _ => self.remove_if_there(path),
        }
    }

    /// Where the new content goes, by what became of the old one.
    fn place_of(
        &self,
        path: &ImagePath,
        delivered: Delivered<'_>,
        old: Option<Delivered<'_>>,
    ) -> Result<Place, InstallError> {
        let preserve = delivered.action.get("preserve");
        let disk = self.tree.get(path).and_then(Node::content);
        // A file that is abandoned is not made again either, if somebody removed it.
        if old.is_some() && preserve == Some("abandon") {
            return Ok(Place::Untouched);
        }
        let (Some(old), Some(preserve), Some(disk)) = (old, preserve, disk) else { return Ok(Place::Replace) };
        if !self.is_edited(path, old, disk)? {
            return Ok(Place::Replace);
        }
        let is_same_package_content = old.action.hash() == delivered.action.hash();
        Ok(match preserve {
            _ if is_same_package_content => Place::KeepContent,
            "renamenew" => Place::Beside,
            "renameold" => Place::MoveOld(".old"),
            "legacy" => Place::MoveOld(".legacy"),
            _ => Place::KeepContent,
        })
    }

    /// Whether a file is not what the package delivered.
    fn is_edited(&self, path: &ImagePath, old: Delivered<'_>, disk: &Content) -> Result<bool, InstallError> {
        let Some(payload) = old.action.payload() else { return Ok(true) };
        let (package, text) = (old.package_name(), path.to_string());
        let hash = payload.strongest_hash().map_err(|source| {
            let source = Box::new(source);
            InstallError::Payload { package, path: text, source }
        })?;
        Ok(!hash.is_of(&self.read(old, path, disk)?))
    }

    fn timestamp(&self, delivered: Delivered<'_>) -> Result<Option<Timestamp>, InstallError> {
        let action = delivered.action;
        let text = action.optional("timestamp").map_err(|source| delivered.unusable(source))?;
        let Some(text) = text else { return Ok(None) };
        let time: PublicationTime =
            text.parse().map_err(|_| delivered.unusable(action.invalid("timestamp", text, "a time")))?;
        Ok(Some(Timestamp { secs: time.unix_seconds(), nanos: 0 }))
    }
}

enum Place {
    /// Nothing is done to the file.
    Untouched,
    /// The content stays, owner and mode are set.
    KeepContent,
    Replace,
    /// The new content goes to a file beside it.
    Beside,
    /// The old content goes to a file with this suffix.
    MoveOld(&'static str),
}

fn with_suffix(path: &ImagePath, suffix: &str) -> Result<ImagePath, InstallError> {
    let new = ImagePath::from_relative([path.relative_bytes(), suffix.as_bytes()].concat());
    new.map_err(|source| tree_error(path, image_tree::TreeError::Path { path: path.clone(), source }))
}
