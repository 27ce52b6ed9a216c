//! Which step made what: for the manifest of an image, and for the difference of two.

use image_tree::{BlobHash, ChangeKind, ImagePath, Store, StoreError, Tree, diff};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A step that was done on the way to a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LineageStep {
    /// The template, group and name.
    pub(crate) template: String,
    /// The step's word and what it acts on.
    pub(crate) title: String,
    /// Where it is written: file, line and column.
    pub(crate) origin: String,
    /// What it made or changed; none for a step that did neither.
    pub(crate) changes: Option<BlobHash>,
}

/// All steps on the way to a state, the first one first.
pub(crate) type Lineage = Vec<LineageStep>;

/// Stores the paths that `after` has and that were not so before.
///
/// # Errors
/// When the store cannot be written.
pub(crate) fn changes(before: &Tree, after: &Tree, store: &Store) -> Result<Option<BlobHash>, StoreError> {
    let is_there = |kind: &ChangeKind| *kind != ChangeKind::Removed;
    let changes = diff(before, after);
    let paths = changes.iter().filter(|change| is_there(&change.kind)).map(|change| change.path.as_bytes());
    // No path has a NUL in it.
    let list = paths.collect::<Vec<_>>().join(&0);
    if list.is_empty() {
        return Ok(None);
    }
    store.put_bytes(&list).map(|content| Some(content.blob()))
}

/// For each path, the last step that made or changed it.
///
/// # Errors
/// When the store cannot be read. A list that it has lost leaves its paths with an earlier step or without one.
pub(crate) fn last_steps<'l>(
    lineage: &'l [LineageStep],
    store: &Store,
) -> Result<BTreeMap<ImagePath, &'l LineageStep>, StoreError> {
    let mut last = BTreeMap::new();
    for step in lineage {
        let Some(blob) = step.changes.filter(|blob| store.contains(*blob)) else { continue };
        let list = store.read_blob(blob)?;
        let paths = list.split(|byte| *byte == 0).filter_map(|path| ImagePath::new(path).ok());
        last.extend(paths.map(|path| (path, step)));
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image_tree::{Metadata, Node};

    #[test]
    fn the_last_step_that_changed_a_path_counts() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path()).expect("a store");
        let file =
            |text: &str| Node::regular(store.put_bytes(text.as_bytes()).expect("stored"), Metadata::new(0, 0, 0o644));
        let path = |text: &str| ImagePath::new(text).expect("a path");
        let mut lineage = Vec::new();
        let mut tree = Tree::new(Metadata::new(0, 0, 0o755));
        let mut step = |title: &str, change: &dyn Fn(&mut Tree)| {
            let before = tree.clone();
            change(&mut tree);
            let changes = changes(&before, &tree, &store).expect("stored");
            let (title, template, origin) = (title.to_owned(), "g/t".to_owned(), "t.json:1:1".to_owned());
            lineage.push(LineageStep { template, title, origin, changes });
        };
        step("first", &|tree| {
            tree.insert(&path("/a"), file("a")).expect("inserted");
            tree.insert(&path("/b"), file("b")).expect("inserted");
        });
        step("second", &|tree| drop(tree.insert(&path("/b"), file("other")).expect("inserted")));
        step("third", &|tree| drop(tree.remove(&path("/a")).expect("removed")));
        step("fourth", &|_| {});
        let last = last_steps(&lineage, &store).expect("read");
        let title = |text: &str| last.get(&path(text)).map(|step| step.title.as_str());
        assert_eq!((title("/a"), title("/b")), (Some("first"), Some("second")));
        assert_eq!(lineage[3].changes, None);
    }
}
