//! What packages may not deliver: the places where the image keeps what it knows of itself.

use image_tree::ImagePath;

use super::error::InstallError;
use super::execute::image_path;
use super::objects::{Delivered, Objects};
use crate::image::DIRECTORIES;
use crate::manifest::ActionKind;

/// Where an image keeps what it knows of itself.
pub(super) const IMAGE_DIRECTORY: &str = "var/pkg";

/// What is the client's there: names that packages cannot have.
const OWN: [&str; 14] = [
    "cache",
    "gui_cache",
    "history",
    "index",
    "license",
    "linked",
    "lock",
    "lost+found",
    "modified",
    "pkg5.image",
    "publisher",
    "ssl",
    "state",
    "tmp",
];

/// Where it keeps what it knows of packages.
const STATES: [&str; 2] = ["state/installed", "state/known"];

/// Refuses what would come over the metadata of the image, or lead away from it. What a package has delivered before is
/// left to whoever installed it.
pub(super) fn check(before: &Objects<'_>, after: &Objects<'_>) -> Result<(), InstallError> {
    let own = image_path(IMAGE_DIRECTORY)?;
    let is_new = |path: &ImagePath, new: &Delivered<'_>| !before.at(path).any(|old| old.action == new.action);
    let wrong = after.paths.iter().find(|(path, delivered)| {
        let is_dir = delivered.action.kind() == ActionKind::Dir;
        is_refused(&own, path, is_dir) && is_new(path, delivered)
    });
    wrong.map_or(Ok(()), |(path, delivered)| {
        Err(InstallError::Reserved {
            package: delivered.package_name(),
            action: delivered.action.outline(),
            path: path.clone(),
        })
    })
}

fn is_refused(own: &ImagePath, path: &ImagePath, is_dir: bool) -> bool {
    let Some(below) = path.strip_prefix(own) else { return own.starts_with(path) && !is_dir };
    if below.is_root() {
        return !is_dir;
    }
    let first = below.components().next().unwrap_or_default();
    OWN.iter().any(|name| name.as_bytes() == first) && !(is_dir && is_shared(below.relative_bytes()))
}

/// Whether it is a directory that every image has, or one above: packages may deliver those, too.
fn is_shared(below: &[u8]) -> bool {
    DIRECTORIES.iter().chain(&STATES).any(|directory| {
        let rest = directory.as_bytes().strip_prefix(below);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    })
}
