//! Regular files, and what happens to those that somebody edited.

use std::collections::{BTreeMap, BTreeSet};

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
            // It may be below an overlay, which stays where it is.
            let old = before.at(&old_path).find(|old| {
                old.action.kind() == ActionKind::File && old.package.id.stem.as_str() == stem && old_path != *path
            });
            let node = self.tree.get(&old_path).filter(|node| node.content().is_some());
            if let (Some(old), Some(node), false) = (old, node, before.paths.contains_key(path)) {
                moved.insert(path.clone(), Moved { node: node.clone(), old });
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
        self.find_parent(path, delivered)?;
        let old = match (old, moved) {
            (Some(old), _) => Some(old),
            (None, Some(moved)) => {
                self.clear(path)?;
                self.insert(path, moved.node.clone())?;
                Some(moved.old)
            }
            (None, None) => {
                self.salvage_unpackaged(path, delivered)?;
                None
            }
        };
        let place = self.place_of(path, delivered, old)?;
        let mut metadata = self.metadata(uid, gid, mode);
        let time = self.timestamp(delivered)?;
        metadata.mtime = time.unwrap_or(metadata.mtime);
        let Some(to) = self.make_place(path, &place, &metadata)? else { return Ok(()) };
        let content = self.payload(delivered, &path.to_string())?;
        self.clear(&to)?;
        self.insert(&to, Node::regular(content, metadata))
    }

    /// A file that is there before its package is first installed is somebody's, if the package says that such files
    /// matter. Where another version of the package was installed, the file is treated as an edited one.
    fn salvage_unpackaged(&mut self, path: &ImagePath, delivered: Delivered<'_>) -> Result<(), InstallError> {
        let is_there = self.tree.get(path).is_some_and(|node| node.content().is_some());
        let matters = !matches!(delivered.action.get("preserve"), None | Some("abandon" | "install-only"));
        if is_there && matters && self.package_before(delivered).is_none() {
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
            // What somebody removed is not made again.
            Place::KeepContent { .. } if self.tree.get(path).is_none_or(|node| node.content().is_none()) => Ok(None),
            Place::KeepContent { time } => {
                let changed = self.tree.update_metadata(path, Follow::No, |kept| {
                    (kept.uid, kept.gid, kept.mode) = (metadata.uid, metadata.gid, metadata.mode);
                    kept.mtime = time.unwrap_or(kept.mtime);
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

    /// Removes a file that is not delivered any more. What somebody edited is not thrown away if its package goes;
    /// a package that goes on without the file is taken to know why.
    pub(super) fn remove_file(&mut self, path: &ImagePath, old: Delivered<'_>) -> Result<(), InstallError> {
        let preserve = old.action.get("preserve");
        let Some(content) = self.tree.get(path).and_then(Node::content).cloned() else {
            return self.remove_if_there(path);
        };
        match preserve {
            Some("abandon" | "install-only") => Ok(()),
            None | Some("false") => self.remove_if_there(path),
            Some(_) if !self.stays_installed(old) && self.is_edited(path, old, &content)? => self.salvage(path),
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
        const KEEP: Place = Place::KeepContent { time: None };
        let disk = self.tree.get(path).and_then(Node::content);
        let is_changed = old.is_some_and(|old| !is_same_content(old, delivered));
        let before = self.package_before(delivered);
        let is_same_package = before.is_some_and(|before| before.id == delivered.package.id);
        let preserve = match delivered.action.get("preserve") {
            // Programs are never taken for edited.
            Some(preserve) if delivered.action.get("elfhash").is_none() => preserve,
            // Only mode or owner may differ; the content is not fetched again for that.
            _ if old.is_some() && !is_changed && disk.is_some() => {
                return Ok(Place::KeepContent { time: self.timestamp(delivered)? });
            }
            _ => return Ok(Place::Replace),
        };
        match (preserve, old) {
            ("abandon", _) => return Ok(Place::Untouched),
            ("legacy", Some(old)) if !is_same_package => {
                let was_legacy = old.action.get("preserve") == Some("legacy");
                return Ok(if was_legacy { Place::Replace } else { Place::MoveOld(".legacy") });
            }
            ("legacy", _) | ("install-only", Some(_)) => return Ok(KEEP),
            ("install-only", None) if disk.is_some() => return Ok(KEEP),
            _ => {}
        }
        let Some(disk) = disk else { return Ok(Place::Replace) };
        let is_edited = old.map_or(Ok(true), |old| self.is_edited(path, old, disk))?;
        if is_changed && before.is_some_and(|before| delivered.package.id.version < before.id.version) {
            return Ok(if is_edited { Place::MoveOld(".update") } else { Place::Replace });
        }
        Ok(match preserve {
            _ if is_same_package && is_edited => KEEP,
            "renamenew" if is_edited => Place::Beside,
            "renameold" if is_edited => Place::MoveOld(".old"),
            _ if is_edited || !is_changed => KEEP,
            _ => Place::Replace,
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
    /// The content stays, owner and mode are set, and the time if there is one.
    KeepContent {
        time: Option<Timestamp>,
    },
    Replace,
    /// The new content goes to a file beside it.
    Beside,
    /// The old content goes to a file with this suffix.
    MoveOld(&'static str),
}

/// Whether two actions deliver the same bytes, by the strongest hashes that both have.
fn is_same_content(old: Delivered<'_>, new: Delivered<'_>) -> bool {
    let hashes = |delivered: Delivered<'_>| -> BTreeSet<String> {
        let all = delivered.action.values("pkg.content-hash").filter(|hash| hash.starts_with("file:"));
        all.map(str::to_owned).collect()
    };
    let of_algorithm =
        |hashes: &BTreeSet<String>, name: &str| hashes.iter().find(|hash| hash.starts_with(name)).cloned();
    let (ours, theirs) = (hashes(new), hashes(old));
    for name in ["file:sha512t_256:", "file:sha256:"] {
        if let (Some(a), Some(b)) = (of_algorithm(&ours, name), of_algorithm(&theirs, name)) {
            return a == b;
        }
    }
    old.action.hash() == new.action.hash()
}

fn with_suffix(path: &ImagePath, suffix: &str) -> Result<ImagePath, InstallError> {
    let new = ImagePath::from_relative([path.relative_bytes(), suffix.as_bytes()].concat());
    new.map_err(|source| tree_error(path, image_tree::TreeError::Path { path: path.clone(), source }))
}
