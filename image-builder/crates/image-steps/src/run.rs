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
    /// Seconds that checksums and manifest took afterwards; none when they were not written, and in the evidence, which is
    /// written with them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence_seconds: Option<f64>,
}

/// How many bytes are in a directory of the image, with everything below it, or in a large file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathSize {
    /// Path in the image.
    pub path: String,
    /// Bytes of the contents of regular files; one with several names counts once, where it comes first.
    pub bytes: u64,
    /// How many of them there are; none for a file.
    pub files: Option<u64>,
}

/// Directories are told apart down to here.
const DEPTH: usize = 5;
/// A file is large that has such a part of all bytes: 1 of so many.
const LARGE: u64 = 200;

/// The sizes of the directories of a tree and of its large files, the root first.
pub(crate) fn path_sizes(tree: &Tree) -> Vec<PathSize> {
    let mut sizes: BTreeMap<ImagePath, (u64, u64)> = BTreeMap::new();
    let mut files = Vec::new();
    for entry in tree.walk() {
        let Some(content) = entry.node.content() else { continue };
        if entry.links.as_ref().is_some_and(|links| *links.first() != entry.path) {
            continue;
        }
        files.push((entry.path.clone(), content.data_len()));
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
    let least = sizes.get(&ImagePath::root()).map_or(0, |all| all.0).div_ceil(LARGE).max(1);
    let is_told = |path: &ImagePath, bytes: u64| {
        bytes >= least && path.parent().is_some_and(|directory| directory.depth() <= DEPTH)
    };
    files.retain(|(path, bytes)| is_told(path, *bytes));
    let size = |path: ImagePath, bytes, files| PathSize { path: path.to_string(), bytes, files };
    let directories = sizes.into_iter().map(|(path, (bytes, files))| size(path, bytes, Some(files)));
    directories.chain(files.into_iter().map(|(path, bytes)| size(path, bytes, None))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image_tree::{BlobHash, Content, Metadata, Node};

    #[test]
    fn directories_have_all_that_is_below_them_and_large_files_stand_alone() {
        let metadata = Metadata::new(0, 0, 0o755);
        let mut tree = Tree::new(metadata.clone());
        let at = |path: &str| ImagePath::new(path).expect("a path");
        for directory in ["/a", "/a/b", "/empty"] {
            tree.create_dir(&at(directory), metadata.clone(), &metadata).expect("made");
        }
        for (path, bytes) in [("/a/b/large", 900), ("/a/small", 3), ("/half", 97)] {
            let content = Content::plain(BlobHash::of(path.as_bytes()), bytes);
            tree.insert(&at(path), Node::regular(content, metadata.clone())).expect("put");
        }
        tree.hard_link(&at("/a/b/large"), &at("/again")).expect("linked");
        let told: Vec<_> = path_sizes(&tree).into_iter().map(|size| (size.path, size.bytes, size.files)).collect();
        let expected = [
            ("/", 1000, Some(3)),
            ("/a", 903, Some(2)),
            ("/a/b", 900, Some(1)),
            ("/a/b/large", 900, None),
            ("/half", 97, None),
        ];
        assert_eq!(told, expected.map(|(path, bytes, files)| (path.to_owned(), bytes, files)));
    }
}
