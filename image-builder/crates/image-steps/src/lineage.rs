//! Which step made what, and which removed it: for the manifest of an image, and for the difference of two.

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
    #[serde(flatten)]
    pub(crate) traces: Traces,
}

/// What steps leave beside the state: lists in the store, none where there is nothing to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Traces {
    /// The paths that the step made or changed.
    pub(crate) changes: Option<BlobHash>,
    /// The paths that it removed, and those that the removals right before it did: they are kept together.
    #[serde(default)]
    pub(crate) removals: Option<BlobHash>,
}

impl Traces {
    /// The lists that there are.
    pub(crate) fn blobs(self) -> impl Iterator<Item = BlobHash> {
        self.changes.into_iter().chain(self.removals)
    }
}

/// All steps on the way to a state, the first one first.
pub(crate) type Lineage = Vec<LineageStep>;

/// A path that is not there any more, and how many steps ago it was removed: by this step, 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Removal {
    pub(crate) steps_ago: usize,
    pub(crate) path: ImagePath,
}

/// Stores what a step has made of `before`.
///
/// # Errors
/// When the store cannot be written.
pub(crate) fn trace(before: &Tree, after: &Tree, store: &Store) -> Result<Traces, StoreError> {
    let (mut changed, mut removed) = (Vec::new(), Vec::<Removal>::new());
    for change in diff(before, after) {
        if change.kind != ChangeKind::Removed {
            changed.push(change.path.as_bytes().to_vec());
        } else if !removed.last().is_some_and(|above| change.path.starts_with(&above.path)) {
            // What was below goes without saying; it comes next, in path order.
            removed.push(Removal { steps_ago: 0, path: change.path });
        }
    }
    Ok(Traces { changes: store_list(&changed, store)?, removals: store_removals(&removed, store)? })
}

/// Stores a list of removals.
///
/// # Errors
/// When the store cannot be written.
pub(crate) fn store_removals(removed: &[Removal], store: &Store) -> Result<Option<BlobHash>, StoreError> {
    let line = |one: &Removal| [one.steps_ago.to_string().as_bytes(), one.path.as_bytes()].concat();
    store_list(&removed.iter().map(line).collect::<Vec<_>>(), store)
}

fn store_list(items: &[Vec<u8>], store: &Store) -> Result<Option<BlobHash>, StoreError> {
    if items.is_empty() {
        return Ok(None);
    }
    // No path has a NUL in it.
    store.put_bytes(&items.join(&0)).map(|content| Some(content.blob()))
}

/// What became of paths on the way to a state.
#[derive(Debug, Default)]
pub(crate) struct Traced<'l> {
    /// For each path, the last step that made or changed it.
    pub(crate) made: BTreeMap<ImagePath, &'l LineageStep>,
    /// Every removal, in the order of the steps.
    pub(crate) removed: Vec<(ImagePath, &'l LineageStep)>,
}

/// Reads what steps have left.
///
/// # Errors
/// When the store cannot be read. A list that it has lost leaves its paths with an earlier step or without one.
pub(crate) fn traced<'l>(lineage: &'l [LineageStep], store: &Store) -> Result<Traced<'l>, StoreError> {
    let mut traced = Traced::default();
    for (index, step) in lineage.iter().enumerate() {
        let made = read_list(step.traces.changes, store)?;
        traced.made.extend(made.iter().filter_map(|path| Some((ImagePath::new(path).ok()?, step))));
        let removed = read_removals(step.traces, store)?.into_iter();
        traced.removed.extend(removed.filter_map(|one| Some((one.path, &lineage[index.checked_sub(one.steps_ago)?]))));
    }
    Ok(traced)
}

/// Reads a list of removals.
///
/// # Errors
/// As for [`traced`].
pub(crate) fn read_removals(traces: Traces, store: &Store) -> Result<Vec<Removal>, StoreError> {
    let removal = |item: &Vec<u8>| {
        let (steps_ago, path) = item.split_at(item.iter().position(|byte| *byte == b'/')?);
        let steps_ago = std::str::from_utf8(steps_ago).ok()?.parse().ok()?;
        Some(Removal { steps_ago, path: ImagePath::new(path).ok()? })
    };
    Ok(read_list(traces.removals, store)?.iter().filter_map(removal).collect())
}

fn read_list(blob: Option<BlobHash>, store: &Store) -> Result<Vec<Vec<u8>>, StoreError> {
    let Some(blob) = blob.filter(|blob| store.contains(*blob)) else { return Ok(Vec::new()) };
    Ok(store.read_blob(blob)?.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image_tree::{Metadata, Node};

    fn path(text: &str) -> ImagePath {
        ImagePath::new(text).expect("a path")
    }

    fn step(title: &str, traces: Traces) -> LineageStep {
        let (title, template, origin) = (title.to_owned(), "g/t".to_owned(), "t.json:1:1".to_owned());
        LineageStep { template, title, origin, traces }
    }

    #[test]
    fn the_last_step_that_changed_a_path_counts() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path()).expect("a store");
        let file =
            |text: &str| Node::regular(store.put_bytes(text.as_bytes()).expect("stored"), Metadata::new(0, 0, 0o644));
        let mut lineage = Vec::new();
        let mut tree = Tree::new(Metadata::new(0, 0, 0o755));
        let mut done = |title: &str, change: &dyn Fn(&mut Tree)| {
            let before = tree.clone();
            change(&mut tree);
            lineage.push(step(title, trace(&before, &tree, &store).expect("stored")));
        };
        done("first", &|tree| {
            let metadata = Metadata::new(0, 0, 0o755);
            tree.create_dir(&path("/d/e"), metadata.clone(), &metadata).expect("made");
            for name in ["/a", "/b", "/d/e/f", "/d.x"] {
                tree.insert(&path(name), file(name)).expect("inserted");
            }
        });
        done("second", &|tree| drop(tree.insert(&path("/b"), file("other")).expect("inserted")));
        done("third", &|tree| {
            for name in ["/a", "/d", "/d.x"] {
                tree.remove_subtree(&path(name)).expect("removed");
            }
        });
        done("fourth", &|_| {});
        let traced = traced(&lineage, &store).expect("read");
        let title = |text: &str| traced.made.get(&path(text)).map(|step| step.title.as_str());
        assert_eq!((title("/a"), title("/b")), (Some("first"), Some("second")));
        assert_eq!(lineage[3].traces, Traces::default());
        let removed: Vec<_> = traced.removed.iter().map(|(path, step)| (path.to_string(), &*step.title)).collect();
        let third = |path: &str| (path.to_owned(), "third");
        // What was in a removed directory goes with it.
        assert_eq!(removed, [third("/a"), third("/d"), third("/d.x")]);
    }

    #[test]
    fn removals_that_are_kept_together_are_those_of_their_steps() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path()).expect("a store");
        let removal = |steps_ago, text| Removal { steps_ago, path: path(text) };
        let list = [removal(2, "/a"), removal(0, "/9/c")];
        let removals = store_removals(&list, &store).expect("stored");
        let none = Traces::default();
        let lineage =
            [step("one", none), step("two", none), step("three", none), step("four", Traces { removals, ..none })];
        let traced = traced(&lineage, &store).expect("read");
        let found: Vec<_> = traced.removed.iter().map(|(path, step)| (path.to_string(), &*step.title)).collect();
        assert_eq!(found, [("/a".to_owned(), "two"), ("/9/c".to_owned(), "four")]);
    }
}
