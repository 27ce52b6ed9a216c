//! Which step made what, and which removed it: for the manifest of an image, and for the difference of two.

use crate::wanted::CHAIN_MAX;
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
    /// Hash of the archive that the step has unpacked into the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unpacked: Option<String>,
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

/// Where the steps are kept that have led to an archive, by the hash of its content.
pub(crate) const ARCHIVE: &str = "archive-lineage";

/// The steps that have led to archives, by the hashes of these. None of them leads to itself.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Archives(pub(crate) BTreeMap<String, Lineage>);

impl Archives {
    /// Those that steps have unpacked, and that were unpacked on the way to these, as far as builds here have made them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn of(lineage: &[LineageStep], store: &Store) -> Result<Self, StoreError> {
        let mut archives = Self::default();
        archives.follow(lineage, &mut Vec::new(), store)?;
        Ok(archives)
    }

    fn follow(&mut self, lineage: &[LineageStep], way: &mut Vec<String>, store: &Store) -> Result<(), StoreError> {
        for hash in lineage.iter().filter_map(|step| step.unpacked.as_ref()) {
            // Archives of archives may have been packed for years. What came so long before them is of no interest, and reading
            // all of it would need a deep stack.
            if self.0.contains_key(hash) || way.contains(hash) || way.len() == CHAIN_MAX {
                continue;
            }
            let bytes = store.record_get(ARCHIVE, hash.as_bytes())?;
            let Some(inside) = bytes.and_then(|bytes| serde_json::from_slice::<Lineage>(&bytes).ok()) else { continue };
            way.push(hash.clone());
            self.follow(&inside, way, store)?;
            way.pop();
            if !self.leads_to(&inside, hash) {
                self.0.insert(hash.clone(), inside);
            }
        }
        Ok(())
    }

    /// Whether an archive was unpacked on a way.
    fn leads_to(&self, lineage: &[LineageStep], hash: &str) -> bool {
        lineage
            .iter()
            .filter_map(|step| step.unpacked.as_deref())
            .any(|unpacked| unpacked == hash || self.0.get(unpacked).is_some_and(|inside| self.leads_to(inside, hash)))
    }
}

/// Remembers the steps that have led to an archive. One that was unpacked and packed again as it was has been made before.
///
/// # Errors
/// When the store cannot be read or written.
pub(crate) fn remember_archive(hash: &str, lineage: &[LineageStep], store: &Store) -> Result<(), StoreError> {
    if Archives::of(lineage, store)?.leads_to(lineage, hash) {
        return Ok(());
    }
    let value = serde_json::to_vec(lineage).expect("hashes and names are JSON");
    if store.record_get(ARCHIVE, hash.as_bytes())?.as_ref() == Some(&value) {
        return Ok(());
    }
    store.record_put(ARCHIVE, hash.as_bytes(), &value)
}

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

/// The step that made or changed a path last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made<'l> {
    /// The step that has put it there as it is.
    pub(crate) step: &'l LineageStep,
    /// Where that has unpacked it, the step of another template that made it before it was packed.
    pub(crate) packed: Option<&'l LineageStep>,
}

/// What became of paths on the way to a state.
#[derive(Debug, Default)]
pub(crate) struct Traced<'l> {
    /// For each path, the last step that made or changed it.
    pub(crate) made: BTreeMap<ImagePath, Made<'l>>,
    /// Every removal, in the order of the steps; those of an archive before what was unpacked of it.
    pub(crate) removed: Vec<(ImagePath, &'l LineageStep)>,
}

/// Reads what steps have left, those that led to unpacked archives among them.
///
/// # Errors
/// When the store cannot be read. A list that it has lost leaves its paths with an earlier step or without one.
pub(crate) fn traced<'l>(
    lineage: &'l [LineageStep],
    archives: &'l Archives,
    store: &Store,
) -> Result<Traced<'l>, StoreError> {
    let mut traced = Traced::default();
    for (index, step) in lineage.iter().enumerate() {
        let inside = step.unpacked.as_ref().and_then(|hash| archives.0.get(hash));
        let inside = inside.map(|inside| self::traced(inside, archives, store)).transpose()?.unwrap_or_default();
        let made = |path: &Vec<u8>| {
            let path = ImagePath::new(path).ok()?;
            let packed = inside.made.get(&path).map(|made| made.packed.unwrap_or(made.step));
            Some((path, Made { step, packed }))
        };
        traced.made.extend(read_list(step.traces.changes, store)?.iter().filter_map(made));
        traced.removed.extend(inside.removed);
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
        LineageStep { template, title, origin, traces, unpacked: None }
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
        let archives = Archives::default();
        let traced = traced(&lineage, &archives, &store).expect("read");
        let title = |text: &str| traced.made.get(&path(text)).map(|made| made.step.title.as_str());
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
        let archives = Archives::default();
        let traced = traced(&lineage, &archives, &store).expect("read");
        let found: Vec<_> = traced.removed.iter().map(|(path, step)| (path.to_string(), &*step.title)).collect();
        assert_eq!(found, [("/a".to_owned(), "two"), ("/9/c".to_owned(), "four")]);
    }
    /// An archive that is unpacked, changed and packed again, and one that is packed as it was.
    #[test]
    fn what_was_unpacked_is_followed_to_who_made_it() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path()).expect("a store");
        let list =
            |paths: &[&str]| store_list(&paths.iter().map(|path| path.as_bytes().to_vec()).collect::<Vec<_>>(), &store);
        let made = |title: &str, paths: &[&str], unpacked: Option<&str>| {
            let traces = Traces { changes: list(paths).expect("stored"), removals: None };
            LineageStep { unpacked: unpacked.map(str::to_owned), ..step(title, traces) }
        };
        let first = [made("first", &["/a", "/b"], None)];
        let second = [made("unpack 1", &["/a", "/b"], Some("1")), made("second", &["/b"], None)];
        let again = [made("unpack 2", &["/a", "/b"], Some("2"))];
        for (hash, lineage) in [("1", &first[..]), ("2", &second[..]), ("2", &again[..])] {
            remember_archive(hash, lineage, &store).expect("remembered");
        }
        let last = [made("unpack", &["/a", "/b", "/c"], Some("2"))];
        let archives = Archives::of(&last, &store).expect("read");
        let traced = traced(&last, &archives, &store).expect("read");
        let told = |at: &str| {
            let made = traced.made[&path(at)];
            (made.step.title.as_str(), made.packed.map(|packed| packed.title.as_str()))
        };
        assert_eq!(told("/a"), ("unpack", Some("first")));
        assert_eq!(told("/b"), ("unpack", Some("second")));
        assert_eq!(told("/c"), ("unpack", None), "nobody knows who packed it");
    }
}
