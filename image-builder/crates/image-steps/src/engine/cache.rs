//! What the cache knows of a step: the keys of steps, and the records under them.
//!
//! Steps are looked up in stretches: removals in a row are one, every other step is one by itself. Within a stretch a
//! step's key is made of that of the step before it, so that no state has to be stored in between. Only here and there
//! a state is, and work on a stretch begins after the last one that is known.

use super::error::{EngineError, cache, failed};
use crate::context::Context;
use crate::history::Now;
use crate::inputs::{FileIdentity, Input};
use crate::lineage::Traces;
use crate::state::{ENGINE_VERSION, ImageState, SavedState};
use crate::steps;
use image_tree::{Content, Tree};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use template::LocatedStep;

/// After so many steps of a stretch its state is stored. To do them again takes no time that anybody would notice.
const STEPS_PER_STATE: usize = 1024;

/// Where it is kept at which other steps states were stored, by the key of the first step of a stretch.
pub(crate) const ENDS: &str = "row";
/// How many of them are known.
const ENDS_MAX: usize = 16;

/// What is kept of a step that was done.
#[derive(Serialize, Deserialize)]
pub(super) struct StepRecord {
    pub(super) state: SavedState,
    /// Bytes in the files of its root; none in records of versions that did not keep it.
    #[serde(default)]
    pub(super) files: Option<u64>,
    /// Files that the step wrote to the output directory; they have to be there still.
    pub(super) outputs: Vec<(String, FileIdentity)>,
    #[serde(flatten)]
    pub(super) traces: Traces,
}

/// The key of a step's record, and what it was made of.
pub(super) struct Key {
    pub(super) hash: Vec<u8>,
    /// Hash of the step after expansion.
    pub(super) step: String,
    pub(super) inputs: Vec<Input>,
}

impl Key {
    /// The step as it is now, for its history.
    pub(super) fn now<'a>(&'a self, title: &'a str) -> Now<'a> {
        Now { title, step: &self.step, inputs: &self.inputs, key: &self.hash }
    }
}

/// How far the cache knows the results of a stretch.
#[derive(Default)]
pub(super) struct Reached {
    /// How many of its steps need not be done.
    pub(super) steps: usize,
    /// What is kept of them: of the last one, and here and there of one before it. By their indexes in the stretch.
    pub(super) records: BTreeMap<usize, StepRecord>,
    /// A file that a step had written, and that is another one now.
    pub(super) spoilt: Option<String>,
}

/// The steps of a template, cut into what is done in one go.
pub(super) fn stretches(steps: &[LocatedStep]) -> impl Iterator<Item = &[LocatedStep]> {
    let removes = |located: &LocatedStep| steps::only_removes(&located.step);
    steps.chunk_by(move |step, next| removes(step) && removes(next))
}

/// Whether the state after this step of a stretch of so many, counted from 0, is stored.
pub(super) fn is_stored(index: usize, stretch_len: usize) -> bool {
    index + 1 == stretch_len || (index + 1) % STEPS_PER_STATE == 0
}

/// The keys of a stretch that begins with the state `saved`.
pub(super) fn keys(
    saved: &SavedState,
    stretch: &[LocatedStep],
    context: &Context<'_>,
) -> Result<Vec<Key>, EngineError> {
    let mut keys: Vec<Key> = Vec::with_capacity(stretch.len());
    for located in stretch {
        let key = match keys.last() {
            None => key(saved, located, context)?,
            Some(before) => key_after(before, located),
        };
        keys.push(key);
    }
    Ok(keys)
}

/// The key of a step after a state.
pub(super) fn key(saved: &SavedState, located: &LocatedStep, context: &Context<'_>) -> Result<Key, EngineError> {
    let inputs = steps::inputs(&located.step, saved, context).map_err(|error| {
        // What a step is made of may be in the state before it, as a package lock is by the packages that are there.
        let is_lost = !context.distrust && steps::lacks_content(&error);
        if is_lost { EngineError::Lost(Box::new(error)) } else { failed(located, &error) }
    })?;
    // Where an input is does not matter, only what it is.
    let hashes: Vec<&str> = inputs.iter().map(|input| input.hash.as_str()).collect();
    let material = serde_json::to_vec(&(ENGINE_VERSION, saved, &located.step, hashes));
    let material = material.expect("hashes, names and numbers are JSON");
    Ok(Key { hash: blake3::hash(&material).as_bytes().to_vec(), step: step_hash(located), inputs })
}

/// The key of a removal after another: what it depends on beside itself is what that one does.
fn key_after(before: &Key, located: &LocatedStep) -> Key {
    let step = step_hash(located);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&before.hash).update(step.as_bytes());
    Key { hash: hasher.finalize().as_bytes().to_vec(), step, inputs: Vec::new() }
}

fn step_hash(located: &LocatedStep) -> String {
    let step = serde_json::to_vec(&located.step).expect("names and numbers are JSON");
    blake3::hash(&step).to_hex().to_string()
}

/// Looks for the last step of a stretch whose result is known.
pub(super) fn reached(keys: &[Key], context: &Context<'_>) -> Result<Reached, EngineError> {
    for index in maybe_stored(keys, context)?.into_iter().rev() {
        let Some(record) = read(&keys[index], context)? else { continue };
        if let Some(name) = spoilt(&record, context) {
            return Ok(Reached { spoilt: Some(name), ..Reached::default() });
        }
        if !context.distrust || is_whole(&record.state, context)? {
            let mut records = BTreeMap::from([(index, record)]);
            // One that ended in between is known to the next regular one.
            for earlier in (0..index).filter(|earlier| is_stored(*earlier, keys.len())) {
                records.extend(read(&keys[earlier], context)?.map(|record| (earlier, record)));
            }
            return Ok(Reached { steps: index + 1, records, spoilt: None });
        }
    }
    Ok(Reached::default())
}

/// The steps of a stretch whose states may be stored: to ask for every one would take longer than to do it.
fn maybe_stored(keys: &[Key], context: &Context<'_>) -> Result<BTreeSet<usize>, EngineError> {
    let regular = (0..keys.len()).filter(|index| *index == 0 || is_stored(*index, keys.len()));
    let ends = if keys.len() > 1 { ends(&keys[0], context)? } else { Vec::new() };
    Ok(regular.chain(ends.into_iter().filter(|end| *end < keys.len())).collect())
}

/// Where stretches have ended that began as this one does, the newest last.
fn ends(first: &Key, context: &Context<'_>) -> Result<Vec<usize>, EngineError> {
    let bytes = context.store.record_get(ENDS, &first.hash).map_err(cache("read"))?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
}

/// Remembers where a stretch ends: one that goes on from there finds the state.
pub(super) fn note_end(first: &Key, end: usize, context: &Context<'_>) -> Result<(), EngineError> {
    let mut ends = ends(first, context)?;
    ends.retain(|known| *known != end);
    ends.push(end);
    ends.drain(..ends.len().saturating_sub(ENDS_MAX));
    let value = serde_json::to_vec(&ends).expect("numbers are JSON");
    context.store.record_put(ENDS, &first.hash, &value).map_err(cache("write"))
}

/// A record that cannot be understood is one of another version: the step is done again.
fn read(key: &Key, context: &Context<'_>) -> Result<Option<StepRecord>, EngineError> {
    let bytes = context.store.record_get("step", &key.hash).map_err(cache("read"))?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// A file that the step wrote to the output directory and that is not what it was.
fn spoilt(record: &StepRecord, context: &Context<'_>) -> Option<String> {
    let is_spoilt = |(name, identity): &&(String, FileIdentity)| {
        !FileIdentity::of(&context.workspace.output().join(name)).is_ok_and(|found| found == *identity)
    };
    record.outputs.iter().find(is_spoilt).map(|(name, _)| name.clone())
}

/// The state that a step's record keeps, and the step's traces; none when the record is of another version.
pub(crate) fn recorded(value: &[u8]) -> Option<(SavedState, Traces)> {
    let record = serde_json::from_slice::<StepRecord>(value).ok()?;
    Some((record.state, record.traces))
}

/// Whether the store has everything that a state is made of.
fn is_whole(saved: &SavedState, context: &Context<'_>) -> Result<bool, EngineError> {
    let state = match ImageState::load(context.store, saved) {
        Ok(state) => state,
        Err(error) if error.is_missing() => return Ok(false),
        Err(error) => return Err(EngineError::Load(error)),
    };
    let trees = [Some(&state.root), Some(&state.esp), state.scratch.as_ref()];
    let contents = trees.into_iter().flatten().flat_map(Tree::walk).filter_map(|entry| entry.node.content());
    Ok(contents.map(Content::blob).all(|blob| context.store.contains(blob)))
}
