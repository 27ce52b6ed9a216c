//! What the last build of an output was made of, so that `plan` can say why a step has to run again.

use crate::engine::ENGINE_VERSION;
use crate::inputs::Input;
use crate::state::SavedState;
use image_tree::{Store, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Where the newest build of each output is that came to its end.
const FINISHED: &str = "history";
/// Where a later one is that did not: it failed, was killed, or goes on.
const UNFINISHED: &str = "history-unfinished";
/// The keys of what such a one has done since it was written there, one after the other.
const UNDER_WAY: &str = "history-under-way";
/// Bytes of the key of a step's record.
pub(crate) const KEY_BYTES: usize = blake3::OUT_LEN;

/// A build of one output, as far as it got.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct History {
    version: String,
    /// Hash of the state that the steps began with.
    start: String,
    steps: Vec<HistoryStep>,
    /// What it came to, if it came to its end.
    #[serde(default)]
    size: Option<BuiltSize>,
}

/// How large a finished build was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BuiltSize {
    /// Hash of the state after the last step.
    pub(crate) state: String,
    /// Bytes in the files of the image.
    pub(crate) files: u64,
    /// Bytes of all that the steps read.
    pub(crate) inputs: u64,
    /// Bytes of the image, if there is one.
    pub(crate) image: Option<u64>,
}

impl BuiltSize {
    /// Whether it is the size of this state.
    pub(crate) fn is_of(&self, saved: &SavedState) -> bool {
        self.state == saved.hash()
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct HistoryStep {
    title: String,
    /// Hash of the step after expansion.
    step: String,
    inputs: Vec<Input>,
    /// The key of its record.
    key: Vec<u8>,
}

/// A step as it is now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now<'a> {
    pub(crate) index: usize,
    pub(crate) title: &'a str,
    pub(crate) step: &'a str,
    pub(crate) inputs: &'a [Input],
}

impl History {
    pub(crate) fn new(start: String) -> Self {
        Self { version: ENGINE_VERSION.to_owned(), start, steps: Vec::new(), size: None }
    }

    pub(crate) fn push(&mut self, now: Now<'_>, key: &[u8]) {
        let (title, step) = (now.title.to_owned(), now.step.to_owned());
        self.steps.push(HistoryStep { title, step, inputs: now.inputs.to_vec(), key: key.to_vec() });
    }

    /// The last build of the output called `output_name`, finished or not; none when it was never built, or by a program
    /// that kept none.
    pub(crate) fn read(output_name: &str, store: &Store) -> Option<Self> {
        read(UNFINISHED, output_name, store).or_else(|| Self::read_finished(output_name, store))
    }

    /// The newest build of the output called `output_name` that came to its end.
    pub(crate) fn read_finished(output_name: &str, store: &Store) -> Option<Self> {
        read(FINISHED, output_name, store)
    }

    /// Remembers a build that has not come to its end, beside the newest that has: what that one made is still there.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn write_unfinished(&self, output_name: &str, store: &Store) -> Result<(), StoreError> {
        // A build that repeats the newest one needs nothing that is not kept for that.
        if Self::read_finished(output_name, store).is_some_and(|newest| newest.is_same(self)) {
            return forget_unfinished(output_name, store);
        }
        write(UNFINISHED, self, output_name, store)?;
        store.record_remove(UNDER_WAY, output_name.as_bytes())
    }

    /// Remembers a build whose output is there, and its size; the one before it is forgotten.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn write_finished(
        self,
        size: Option<BuiltSize>,
        output_name: &str,
        store: &Store,
    ) -> Result<(), StoreError> {
        let newest = Self::read_finished(output_name, store);
        if !newest.is_some_and(|newest| newest.is_same(&self) && newest.size == size) {
            write(FINISHED, &Self { size, ..self }, output_name, store)?;
        }
        forget_unfinished(output_name, store)
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.version, &self.start, &self.steps) == (&other.version, &other.start, &other.steps)
    }

    /// What it came to, if it came to its end.
    pub(crate) fn size(&self) -> Option<&BuiltSize> {
        self.size.as_ref()
    }

    /// The keys of all that the newest finished build of every output is made of, and later ones that are not.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn all_keys(store: &Store) -> Result<BTreeSet<Vec<u8>>, StoreError> {
        let histories = store.records(FINISHED)?.into_iter().chain(store.records(UNFINISHED)?);
        let histories = histories.filter_map(|record| serde_json::from_slice::<Self>(&record.value).ok());
        let mut keys: BTreeSet<Vec<u8>> =
            histories.flat_map(|history| history.steps.into_iter().map(|step| step.key)).collect();
        for record in store.records(UNDER_WAY)? {
            keys.extend(record.value.chunks_exact(KEY_BYTES).map(<[u8]>::to_vec));
        }
        Ok(keys)
    }

    /// Everything that was read, each once.
    pub(crate) fn inputs(&self) -> Vec<Input> {
        let mut inputs: Vec<Input> = self.steps.iter().flat_map(|step| step.inputs.clone()).collect();
        inputs.sort_by(|first, second| first.what.cmp(&second.what));
        inputs.dedup();
        inputs
    }

    /// Whether the last build did this step at this place, after the same ones.
    pub(crate) fn has(&self, now: Now<'_>, key: &[u8]) -> bool {
        self.steps.get(now.index).is_some_and(|step| step.key == key)
    }

    /// Why the result of a step is not known, though that of the step before it is.
    pub(crate) fn why(&self, now: Now<'_>, start: &str) -> String {
        if self.version != ENGINE_VERSION {
            return "the last build was done by another version of image-builder".to_owned();
        }
        let here = self.steps.get(now.index).filter(|step| step.step == now.step);
        let Some(before) = here.or_else(|| self.steps.iter().find(|step| step.step == now.step)) else {
            return match self.steps.get(now.index) {
                Some(step) if step.title == now.title => "the step was changed".to_owned(),
                None if !self.steps.is_empty() => "the last build did not get so far".to_owned(),
                _ => "the step is new".to_owned(),
            };
        };
        let changed = now.inputs.iter().find(|input| !before.inputs.contains(input));
        match changed {
            Some(input) => format!("{} changed", input.what),
            None if now.index == 0 && self.start != start => "what it begins with changed".to_owned(),
            None if here.is_none() => "the steps before it are others".to_owned(),
            None => "its result is not in the cache any more".to_owned(),
        }
    }
}

/// What a build has done that goes on: should it be killed, `gc` does not forget any of it.
///
/// The whole of it is written when its first step is done, and once in a while; in between, only the keys of what came
/// since, so that a template of a thousand steps does not write itself a thousand times.
#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    is_written: bool,
    /// The keys since then.
    since: Vec<u8>,
}

impl UnderWay {
    /// Remembers that a build comes to the record `key`, of a step that is the last one in its history so far.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn note(
        &mut self,
        key: &[u8],
        history: &History,
        output_name: &str,
        store: &Store,
    ) -> Result<(), StoreError> {
        const SINCE_MAX: usize = 256 * KEY_BYTES;
        if self.is_written && self.since.len() < SINCE_MAX {
            self.since.extend(key);
            return store.record_put(UNDER_WAY, output_name.as_bytes(), &self.since);
        }
        self.is_written = true;
        self.since.clear();
        history.write_unfinished(output_name, store)
    }
}

fn forget_unfinished(output_name: &str, store: &Store) -> Result<(), StoreError> {
    store.record_remove(UNDER_WAY, output_name.as_bytes())?;
    store.record_remove(UNFINISHED, output_name.as_bytes())
}

fn read(namespace: &str, output_name: &str, store: &Store) -> Option<History> {
    let bytes = store.record_get(namespace, output_name.as_bytes()).ok().flatten()?;
    serde_json::from_slice(&bytes).ok()
}

fn write(namespace: &str, history: &History, output_name: &str, store: &Store) -> Result<(), StoreError> {
    let value = serde_json::to_vec(history).expect("texts and hashes are JSON");
    store.record_put(namespace, output_name.as_bytes(), &value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(what: &str, hash: &str) -> Input {
        Input { what: what.to_owned(), hash: hash.to_owned() }
    }

    #[test]
    fn the_reason_is_what_differs() {
        let inputs = [input("files/a", "1")];
        let now = |index, title, step| Now { index, title, step, inputs: &inputs };
        let mut history = History::new("start".to_owned());
        history.push(now(0, "ensure_file /a", "A"), b"key");
        history.push(now(1, "ensure_file /b", "B"), b"key");
        let changed = [input("files/a", "2")];
        for (now, start, expected) in [
            (Now { inputs: &changed, ..now(0, "ensure_file /a", "A") }, "start", "files/a changed"),
            (now(0, "ensure_file /a", "A2"), "start", "the step was changed"),
            (now(0, "ensure_dir /x", "X"), "start", "the step is new"),
            (now(0, "ensure_file /a", "A"), "other", "what it begins with changed"),
            (now(0, "ensure_file /a", "A"), "start", "its result is not in the cache any more"),
            (now(0, "ensure_file /b", "B"), "start", "the steps before it are others"),
            (now(2, "ensure_file /c", "C"), "start", "the last build did not get so far"),
        ] {
            assert_eq!(history.why(now, start), expected, "{now:?}");
        }
    }

    #[test]
    fn another_version_is_a_reason_for_everything() {
        let history = History { version: "older".to_owned(), ..History::new(String::new()) };
        let why = history.why(Now { index: 0, title: "t", step: "A", inputs: &[] }, "");
        assert!(why.contains("another version"), "{why}");
    }
}
