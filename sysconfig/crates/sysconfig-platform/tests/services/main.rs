//! The SMF services of the development image: manifests, what they wait for, and their methods.

mod daemon_method;
mod graph;
mod guest;
mod manifest;
mod manifest_tests;
mod on_illumos;
mod ready_method;
mod share_method;

use std::path::PathBuf;

/// The files that go into the image.
const FILES: &str = "../../image/templates/files";

/// The image's manifests and profiles, with their names.
fn bundles() -> Vec<(PathBuf, String)> {
    let directory = std::fs::read_dir(format!("{FILES}/openindiana")).expect("the image's files");
    let paths = directory.flatten().map(|entry| entry.path());
    let mut bundles: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "xml"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a readable manifest");
            (path, text)
        })
        .collect();
    bundles.sort();
    assert_eq!(bundles.len(), 4, "three manifests and a profile");
    bundles
}
