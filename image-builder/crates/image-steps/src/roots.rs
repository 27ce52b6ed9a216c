//! What is below the template roots.

use std::path::{Path, PathBuf};

/// Every main template below the roots, in order: `(group, name)`.
#[must_use]
pub fn template_names(roots: &[PathBuf]) -> Vec<(String, String)> {
    let mut names = Vec::new();
    for root in roots {
        for group in directory_names(root) {
            if group == "include" || group == "files" {
                continue;
            }
            for file in directory_names(&root.join(&group)) {
                if let Some(name) = file.strip_suffix(".json") {
                    names.push((group.clone(), name.to_owned()));
                }
            }
        }
    }
    names.sort();
    names.dedup();
    names
}

/// Every include below the roots, where includes are found by name.
#[must_use]
pub fn include_files(roots: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for root in roots {
        let groups = directory_names(root).into_iter().filter(|group| group != "files").map(|group| root.join(group));
        let groups = groups.map(|group| if group.ends_with("include") { group } else { group.join("include") });
        for directory in groups {
            let names = directory_names(&directory).into_iter().filter(|name| name.ends_with(".json"));
            found.extend(names.map(|name| directory.join(name)));
        }
    }
    found
}

fn directory_names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
