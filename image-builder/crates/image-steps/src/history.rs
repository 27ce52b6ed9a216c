//! What the last build of an output was made of, so that `plan` can say why a step has to run again.

use crate::inputs::Input;
use crate::state::{ENGINE_VERSION, SavedState};
use image_tree::{Record, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Where the newest build of each output is that came to its end.
const FINISHED: &str = "history";
/// Where a later one is that did not: it failed, was killed, or goes on.
const UNFINISHED: &str = "history-unfinished";
/// The keys of what such a one has done since it was written there, one after the other.
const UNDER_WAY: &str = "history-under-way";
/// The keys of the templates before the newest build of each output that came to its end, and before a later one.
const FINISHED_CHAIN: &str = "history-chain";
const UNFINISHED_CHAIN: &str = "history-unfinished-chain";
/// Bytes of the key of a step's record.
pub(crate) const KEY_BYTES: usize = blake3::OUT_LEN;

/// Keys of steps' records, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys(BTreeSet<Vec<u8>>);

impl Keys {
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.chunks_exact(KEY_BYTES).map(<[u8]>::to_vec).collect())
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flatten().copied().collect()
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.0.contains(key)
    }
}

/// Whose builds are remembered together: those of one template under one output name. Several templates may be built with the
/// same `-N`, and each goes on with its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutputKey(Vec<u8>);

impl OutputKey {
    /// `template` is group and name; none of it has a NUL in it.
    pub(crate) fn new(template: &str, output_name: &str) -> Self {
        Self([template.as_bytes(), &[0], output_name.as_bytes()].concat())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether a record's key is one. Earlier versions had the output's name alone.
    pub(crate) fn is_one(key: &[u8]) -> bool {
        key.contains(&0)
    }
}

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
    /// The steps of the templates before it, in records of their own.
    #[serde(skip)]
    chain: Keys,
    /// It did not come to its end.
    #[serde(skip)]
    is_unfinished: bool,
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
    pub(crate) title: &'a str,
    /// Hash of the step after expansion.
    pub(crate) step: &'a str,
    pub(crate) inputs: &'a [Input],
    /// The key of its record.
    pub(crate) key: &'a [u8],
}

impl History {
    /// A build that begins with the state `start`, to which the steps of `chain` have led.
    pub(crate) fn new(start: String, chain: Keys) -> Self {
        Self { version: ENGINE_VERSION.to_owned(), start, chain, ..Self::default() }
    }

    /// The keys of its steps and of those before them.
    pub(crate) fn keys(&self) -> Keys {
        let mut keys = self.chain.clone();
        keys.0.extend(self.steps.iter().map(|step| step.key.clone()));
        keys
    }

    pub(crate) fn push(&mut self, now: Now<'_>) {
        let (title, step) = (now.title.to_owned(), now.step.to_owned());
        self.steps.push(HistoryStep { title, step, inputs: now.inputs.to_vec(), key: now.key.to_vec() });
    }

    /// The builds of `output` that are remembered: the newest that came to its end, and a later one that did not.
    pub(crate) fn read_all(output: &OutputKey, store: &Store) -> Vec<Self> {
        let unfinished = read(UNFINISHED, output, store).map(|history| Self { is_unfinished: true, ..history });
        Self::read_finished(output, store).into_iter().chain(unfinished).collect()
    }

    /// The newest build of `output` that came to its end.
    pub(crate) fn read_finished(output: &OutputKey, store: &Store) -> Option<Self> {
        read(FINISHED, output, store)
    }

    /// Remembers a build that has not come to its end, beside the newest that has: what that one made is still there.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn write_unfinished(&self, output: &OutputKey, store: &Store) -> Result<(), StoreError> {
        // A build that repeats the newest one needs nothing that is not kept for that.
        if Self::read_finished(output, store).is_some_and(|newest| newest.is_same(self)) {
            return forget_unfinished(output, store);
        }
        write_chain(UNFINISHED_CHAIN, &self.chain, output, store)?;
        write(UNFINISHED, self, output, store)?;
        store.record_remove(UNDER_WAY, &output.0)
    }

    /// Remembers a build whose output is there, and its size; the one before it is forgotten.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn write_finished(
        self,
        size: Option<BuiltSize>,
        output: &OutputKey,
        store: &Store,
    ) -> Result<(), StoreError> {
        write_chain(FINISHED_CHAIN, &self.chain, output, store)?;
        let newest = Self::read_finished(output, store);
        if !newest.is_some_and(|newest| newest.is_same(&self) && newest.size == size) {
            write(FINISHED, &Self { size, ..self }, output, store)?;
        }
        forget_unfinished(output, store)
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.version, &self.start, &self.steps) == (&other.version, &other.start, &other.steps)
    }

    /// What it came to, if it came to its end.
    pub(crate) fn size(&self) -> Option<&BuiltSize> {
        self.size.as_ref()
    }

    /// Forgets what earlier versions have left that no build of this one can find: what they remembered by the name of the
    /// output alone, and keys of steps, which have the version in them. Of a build that came to its end it is kept that
    /// there was one, for `plan` to say so.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub(crate) fn forget_other_versions(store: &Store) -> Result<(), StoreError> {
        for namespace in [FINISHED, UNFINISHED] {
            for record in store.records(namespace)? {
                let is_known = read_record(&record).is_some_and(|history| history.is_of_this_version());
                let is_told = namespace == FINISHED && OutputKey::is_one(&record.key);
                if !is_known && !is_told {
                    store.record_remove(namespace, &record.key)?;
                }
            }
        }
        // What is under way goes on from an unfinished build, or repeats the finished one.
        let belongings: [(_, &[_]); 3] =
            [(FINISHED_CHAIN, &[FINISHED]), (UNFINISHED_CHAIN, &[UNFINISHED]), (UNDER_WAY, &[UNFINISHED, FINISHED])];
        for (namespace, owners) in belongings {
            for record in store.records(namespace)? {
                let output = OutputKey(record.key.clone());
                let mut histories = owners.iter().filter_map(|of| read(of, &output, store));
                if !histories.any(|history| history.is_of_this_version()) {
                    store.record_remove(namespace, &record.key)?;
                }
            }
        }
        Ok(())
    }

    fn is_of_this_version(&self) -> bool {
        self.version == ENGINE_VERSION
    }

    /// The keys of all that the newest finished build of every output is made of, and later ones that are not: their own
    /// steps, and those of all templates before them as they were then.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn all_keys(store: &Store) -> Result<Keys, StoreError> {
        let histories = store.records(FINISHED)?.into_iter().chain(store.records(UNFINISHED)?);
        let histories = histories.filter_map(|record| read_record(&record)).filter(Self::is_of_this_version);
        let mut keys = Keys(histories.flat_map(|history| history.steps.into_iter().map(|step| step.key)).collect());
        for namespace in [UNDER_WAY, FINISHED_CHAIN, UNFINISHED_CHAIN] {
            for record in store.records(namespace)? {
                keys.extend(Keys::from_bytes(&record.value));
            }
        }
        Ok(keys)
    }

    /// The hashes of all that the same builds have read.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn all_inputs(store: &Store) -> Result<BTreeSet<String>, StoreError> {
        let histories = store.records(FINISHED)?.into_iter().chain(store.records(UNFINISHED)?);
        let histories = histories.filter_map(|record| read_record(&record));
        Ok(histories.flat_map(|history| history.inputs()).map(|input| input.hash).collect())
    }

    /// Everything that was read, each once.
    pub(crate) fn inputs(&self) -> Vec<Input> {
        let mut inputs: Vec<Input> = self.steps.iter().flat_map(|step| step.inputs.clone()).collect();
        inputs.sort_by(|first, second| first.what.cmp(&second.what));
        inputs.dedup();
        inputs
    }

    /// How many steps it has begun with that are these, with all that they depend on.
    pub(crate) fn common(&self, now: &[Now<'_>]) -> usize {
        self.steps.iter().zip(now).take_while(|(step, now)| step.key == now.key).count()
    }

    /// Why the result of the last of these steps is not known, though that of the one before it is. The steps begin with
    /// the state `start`.
    pub(crate) fn why(&self, now: &[Now<'_>], start: &str) -> String {
        if !self.is_of_this_version() {
            return "the last build was done by another version of image-builder".to_owned();
        }
        let (common, last) = (self.common(now), now.len() - 1);
        if common > last {
            let is_end = self.is_unfinished && self.steps.len() == now.len();
            let gone = "its result is not in the cache any more";
            return if is_end { "the last build failed or was ended here" } else { gone }.to_owned();
        }
        if common == self.steps.len() && common > 0 {
            return "the last build did not get so far".to_owned();
        }
        if common == 0 && self.start != start {
            return "what it begins with changed".to_owned();
        }
        let (first, title) = (now[common], now[common].title);
        match (self.difference(common, first), common == last) {
            (Difference::Input(what), true) => format!("{what} changed"),
            (Difference::Input(what), false) => format!("{what} changed, which {title} before it reads"),
            (Difference::Step, true) => "the step was changed".to_owned(),
            (Difference::Step, false) => format!("{title} before it was changed"),
            (Difference::New, true) => "the step is new".to_owned(),
            (Difference::New | Difference::Place, _) => "the steps before it are others".to_owned(),
            (Difference::State, true) => "the step before it came to something else".to_owned(),
            (Difference::State, false) => format!("what comes before {title} came to something else"),
        }
    }

    /// How a step differs from the one that was at its place, where everything before it is the same.
    fn difference(&self, index: usize, now: Now<'_>) -> Difference {
        let is_same = |step: &&HistoryStep| step.step == now.step;
        let here = self.steps.get(index);
        let Some(before) = here.filter(is_same).or_else(|| self.steps.iter().find(is_same)) else {
            let is_changed = here.is_some_and(|step| step.title == now.title);
            return if is_changed { Difference::Step } else { Difference::New };
        };
        match now.inputs.iter().find(|input| !before.inputs.contains(input)) {
            Some(input) => Difference::Input(input.what.clone()),
            None if here.is_some_and(|step| is_same(&step)) => Difference::State,
            None => Difference::Place,
        }
    }
}

/// How a step differs from what it was in the last build.
enum Difference {
    /// Something that it reads is another one.
    Input(String),
    /// It does the same to the same thing in another way.
    Step,
    /// There was none like it.
    New,
    /// It was at another place.
    Place,
    /// It is the same, and begins with something else.
    State,
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
        output: &OutputKey,
        store: &Store,
    ) -> Result<(), StoreError> {
        const SINCE_MAX: usize = 256 * KEY_BYTES;
        if self.is_written && self.since.len() < SINCE_MAX {
            self.since.extend(key);
            return store.record_put(UNDER_WAY, &output.0, &self.since);
        }
        self.is_written = true;
        self.since.clear();
        history.write_unfinished(output, store)
    }
}

fn forget_unfinished(output: &OutputKey, store: &Store) -> Result<(), StoreError> {
    [UNDER_WAY, UNFINISHED, UNFINISHED_CHAIN]
        .into_iter()
        .try_for_each(|namespace| store.record_remove(namespace, &output.0))
}

fn write_chain(namespace: &str, chain: &Keys, output: &OutputKey, store: &Store) -> Result<(), StoreError> {
    let value = chain.to_bytes();
    let known = store.record_get(namespace, &output.0)?;
    if known.unwrap_or_default() == value {
        return Ok(());
    }
    store.record_put(namespace, &output.0, &value)
}

fn read_record(record: &Record) -> Option<History> {
    serde_json::from_slice(&record.value).ok()
}

fn read(namespace: &str, output: &OutputKey, store: &Store) -> Option<History> {
    let bytes = store.record_get(namespace, &output.0).ok().flatten()?;
    serde_json::from_slice(&bytes).ok()
}

fn write(namespace: &str, history: &History, output: &OutputKey, store: &Store) -> Result<(), StoreError> {
    let value = serde_json::to_vec(history).expect("texts and hashes are JSON");
    store.record_put(namespace, &output.0, &value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(what: &str, hash: &str) -> Input {
        Input { what: what.to_owned(), hash: hash.to_owned() }
    }

    const NONE: &[Input] = &[];

    fn now<'a>(title: &'a str, step: &'a str, inputs: &'a [Input], key: &'a str) -> Now<'a> {
        Now { title, step, inputs, key: key.as_bytes() }
    }

    /// It has done `ensure_file /a`, which reads `files/a`, and `ensure_file /b`.
    fn history(is_unfinished: bool) -> History {
        let mut history = History::new("start".to_owned(), Keys::default());
        history.push(now("ensure_file /a", "A", &[input("files/a", "1")], "a1"));
        history.push(now("ensure_file /b", "B", NONE, "b1"));
        History { is_unfinished, ..history }
    }

    #[test]
    fn the_reason_is_what_differs() {
        let (read, changed) = ([input("files/a", "1")], [input("files/a", "2")]);
        let (a, b, c) = (
            now("ensure_file /a", "A", &read, "a1"),
            now("ensure_file /b", "B", NONE, "b1"),
            now("ensure_file /c", "C", NONE, "c1"),
        );
        let other_a = Now { key: b"a2", ..a };
        let other_b = Now { key: b"b2", ..b };
        for (now, start, expected) in [
            (vec![Now { inputs: &changed, ..other_a }], "start", "files/a changed"),
            (vec![Now { step: "A2", ..other_a }], "start", "the step was changed"),
            (vec![now("ensure_dir /x", "X", NONE, "x")], "start", "the step is new"),
            (vec![other_a], "other", "what it begins with changed"),
            (vec![a], "start", "its result is not in the cache any more"),
            (vec![a, b], "start", "its result is not in the cache any more"),
            (vec![other_b], "start", "the steps before it are others"),
            (vec![a, other_b], "start", "the step before it came to something else"),
            (vec![a, b, c], "start", "the last build did not get so far"),
            // Its result was said to be lost, where another state was before it.
            (
                vec![Now { inputs: &changed, ..other_a }, other_b],
                "start",
                "files/a changed, which ensure_file /a before it reads",
            ),
            (vec![Now { step: "A2", ..other_a }, other_b], "start", "ensure_file /a before it was changed"),
            (vec![c, Now { key: b"a2", ..a }], "start", "the steps before it are others"),
            (vec![other_a, other_b], "other", "what it begins with changed"),
        ] {
            assert_eq!(history(false).why(&now, start), expected, "{now:?}");
        }
        assert_eq!(history(true).why(&[a, b], "start"), "the last build failed or was ended here");
        assert_eq!(history(true).why(&[a], "start"), "its result is not in the cache any more");
    }

    /// A build that repeats the finished one leaves no unfinished one beside it, and what it had done was forgotten.
    #[test]
    fn what_repeats_the_finished_build_is_kept_while_it_is_under_way() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("store")).unwrap();
        let [this, other] = ["this", "other"].map(|name| OutputKey::new("g/t", name));
        let [this_key, other_key] = [[1; KEY_BYTES], [2; KEY_BYTES]];
        let older = History { version: "older".to_owned(), ..history(false) };
        for (history, key, output) in [(history(false), this_key, &this), (older, other_key, &other)] {
            write(FINISHED, &history, output, &store).unwrap();
            let mut under_way = UnderWay::default();
            under_way.note(b"a1", &history, output, &store).unwrap();
            under_way.note(&key, &history, output, &store).unwrap();
            assert!(read(UNFINISHED, output, &store).is_none());
        }
        History::forget_other_versions(&store).unwrap();
        let keys = History::all_keys(&store).unwrap();
        assert!(keys.contains(&this_key) && !keys.contains(&other_key));
    }

    #[test]
    fn another_version_is_a_reason_for_everything() {
        let history = History { version: "older".to_owned(), ..history(false) };
        let why = history.why(&[now("t", "A", NONE, "k")], "");
        assert!(why.contains("another version"), "{why}");
    }
}
