//! What a run did, and when: for evidence and reports.

use crate::engine::StepRun;
use crate::wanted::Need;
use image_tree::{ImagePath, Tree};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One template in a run. Times are in seconds since the run began.
#[derive(Clone, Debug, Serialize)]
pub struct TemplateRun {
    /// Group and name.
    pub template: String,
    /// The kind of its target.
    pub target: &'static str,
    /// What it takes from others.
    pub needs: Vec<Need>,
    /// When its own work began.
    pub began: f64,
    /// Seconds until it was done.
    pub seconds: f64,
    /// Its steps.
    pub steps: Vec<StepRun>,
    /// Seconds that writing the image took; 0 when it was there already.
    pub target_seconds: f64,
    /// The image.
    pub image: Option<PathBuf>,
    /// The image was there already.
    pub unchanged: bool,
}

/// How many bytes are in a directory of the image, with everything below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DirectorySize {
    /// Path in the image.
    pub path: String,
    /// Bytes of the contents of regular files; one with several names counts once, where it comes first.
    pub bytes: u64,
    /// How many of them there are.
    pub files: u64,
}

/// Directories are told apart down to here.
const DEPTH: usize = 4;

/// The sizes of the directories of a tree, the root first.
pub(crate) fn directory_sizes(tree: &Tree) -> Vec<DirectorySize> {
    let mut sizes: BTreeMap<ImagePath, (u64, u64)> = BTreeMap::new();
    for entry in tree.walk() {
        let Some(content) = entry.node.content() else { continue };
        if entry.links.as_ref().is_some_and(|links| *links.first() != entry.path) {
            continue;
        }
        let mut directory = entry.path.parent();
        while let Some(path) = directory {
            directory = path.parent();
            if path.depth() <= DEPTH {
                let size = sizes.entry(path).or_default();
                size.0 += content.data_len();
                size.1 += 1;
            }
        }
    }
    sizes.into_iter().map(|(path, (bytes, files))| DirectorySize { path: path.to_string(), bytes, files }).collect()
}
