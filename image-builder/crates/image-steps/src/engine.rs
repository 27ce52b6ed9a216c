//! Running the steps of one template, each only if its result is not known yet.
//!
//! The key of a step is the hash of what it can depend on: the state before it, the step after
//! expansion, and the content of every file it reads. The result is the state after it. So a
//! second build does nothing, a failed one goes on where it stopped, and two templates that
//! begin alike share the beginning.

use crate::history::{History, Now};
use crate::inputs::{FileIdentity, remember_output};
use crate::lineage::{self, Lineage, LineageStep};
use crate::progress::{Progress, StepState};
use crate::state::{ImageState, SavedState};
use crate::steps::{self, Context, Input, PlannedPackages, StepError};
use image_tree::{BlobHash, Content, LoadError, StoreError, Tree};
use serde::{Deserialize, Serialize};
use template::{Diagnostic, LocatedStep, Template};

/// Changes when a step would turn the same inputs into something else.
pub(crate) const ENGINE_VERSION: &str = "image-steps 4";

/// A build stopped.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A step failed; the diagnostic points at it.
    #[error("{}", _0.message())]
    Step(Box<Diagnostic>),
    /// The cache cannot be read or written.
    #[error("cannot {operation} the build cache")]
    Cache {
        /// What was being done.
        operation: &'static str,
        /// The store's reason.
        #[source]
        source: StoreError,
    },
    /// The store lacks content that a step needs.
    #[error("content of an earlier build is not there any more")]
    Lost(#[source] Box<StepError>),
    /// A state that the cache knows is not whole in the store.
    #[error("cannot take up the result of an earlier build")]
    Load(#[source] LoadError),
}

/// What `plan` tells of a step, for `plan`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedStep {
    /// The step's word and what it acts on.
    pub title: String,
    /// Where it is written: file, line and column.
    pub origin: String,
    /// `Some(true)`: the result is known. `Some(false)`: the step will run.
    /// `None`: that depends on a step before it, or on another template.
    pub cached: Option<bool>,
    /// The template, group and name, that has to be built before anything is known of this step.
    pub awaits: Option<String>,
    /// Why the step will run, when its result is not known though everything before it is.
    pub why: Option<String>,
    /// What a step that will run brings of packages.
    pub packages: Option<PlannedPackages>,
}

/// How a step went in a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepRun {
    /// The step's word and what it acts on.
    pub title: String,
    /// Where it is written: file, line and column.
    pub origin: String,
    /// The result of an earlier run was taken.
    pub cached: bool,
    /// When it began, in seconds since the run did.
    pub began: f64,
    /// Seconds that it took.
    pub seconds: f64,
}

/// What running the steps of a template came to.
pub(crate) struct Ran {
    pub(crate) saved: SavedState,
    pub(crate) lineage: Lineage,
    pub(crate) steps: Vec<StepRun>,
    /// What the steps read beside the state.
    pub(crate) inputs: Vec<Input>,
}

/// What is kept of a step that was done.
#[derive(Serialize, Deserialize)]
struct StepRecord {
    state: SavedState,
    /// Files that the step wrote to the output directory; they have to be there still.
    outputs: Vec<(String, FileIdentity)>,
    /// The paths that it made or changed.
    changes: Option<BlobHash>,
}

/// What the cache knows of a step.
enum Cached {
    Known(Box<StepRecord>),
    Unknown,
    /// It knows the result, but a file that the step wrote is another one now.
    Spoilt(String),
}

/// The key of a step's record, and what it was made of.
struct Key {
    hash: Vec<u8>,
    /// Hash of the step after expansion.
    step: String,
    inputs: Vec<Input>,
}

/// Runs the steps of `template` from `start`, to which `lineage` has led.
///
/// # Errors
/// The first step that fails, after everything before it was saved.
pub(crate) fn run(
    template: &Template,
    start: SavedState,
    lineage: Lineage,
    context: &Context<'_>,
    progress: &dyn Progress,
) -> Result<Ran, EngineError> {
    let history = History::new(state_hash(&start));
    let steps = Vec::with_capacity(template.steps.len());
    let mut run = Run { context, saved: start, live: None, pending: Vec::new(), history, lineage, steps };
    let result = template.steps.iter().enumerate().try_for_each(|(index, located)| {
        let begin = context.clock.elapsed();
        let cached = run.advance(index, located, progress)?;
        let (title, origin) = (title(located), origin(located));
        let (began, seconds) = (begin.as_secs_f64(), (context.clock.elapsed() - begin).as_secs_f64());
        run.steps.push(StepRun { title, origin, cached, began, seconds });
        Ok(())
    });
    if result.is_err() {
        // What was done before the failure is worth keeping; the failure is worth more than a failure to keep it.
        let _ = run.commit();
    }
    // Without it, `plan` knows less to say.
    let _ = run.history.write(&context.output_name, context.store);
    result?;
    run.commit()?;
    let inputs = run.history.inputs();
    Ok(Ran { saved: run.saved, lineage: run.lineage, steps: run.steps, inputs })
}

/// Tells which steps would run, without running or writing anything; and the last state, if it is known.
///
/// `start` is the state to begin with, or the template that will make it; `waits_for` answers the template that will
/// make a file of the output directory.
///
/// # Errors
/// When an input cannot be read, or the cache.
pub(crate) fn plan(
    template: &Template,
    start: Result<SavedState, String>,
    context: &Context<'_>,
    waits_for: &dyn Fn(&str) -> Option<String>,
) -> Result<(Vec<PlannedStep>, Option<SavedState>), EngineError> {
    let (mut saved, mut awaits) = match start {
        Ok(saved) => (Some(saved), None),
        Err(provider) => (None, Some(provider)),
    };
    let history = History::read(&context.output_name, context.store);
    let begin = saved.as_ref().map(state_hash).unwrap_or_default();
    let mut planned = Vec::new();
    for (index, located) in template.steps.iter().enumerate() {
        if let Some(provider) = steps::takes_output(&located.step).and_then(waits_for) {
            (saved, awaits) = (None, awaits.or(Some(provider)));
        }
        let (title, mut why, mut cached, mut packages) = (title(located), None, None, None);
        if let Some(before) = saved.take() {
            let key = step_key(&before, located, context)?;
            let now = Now { index, title: &title, step: &key.step, inputs: &key.inputs };
            match known(&key.hash, context)? {
                Cached::Known(record) if !context.redo => saved = Some(record.state),
                Cached::Known(_) => why = Some("everything is asked to be done again".to_owned()),
                Cached::Spoilt(name) => why = Some(format!("{name} in the output directory is not what it made")),
                Cached::Unknown => {
                    let never = || "it was never built in this workspace".to_owned();
                    why = Some(history.as_ref().map_or_else(never, |history| history.why(now, &begin)));
                }
            }
            if saved.is_none() {
                packages = steps::planned_packages(&located.step, &before, context);
            }
            cached = Some(saved.is_some());
        }
        planned.push(PlannedStep { title, origin: origin(located), cached, awaits: awaits.clone(), why, packages });
    }
    Ok((planned, saved))
}

struct Run<'a> {
    context: &'a Context<'a>,
    saved: SavedState,
    /// The state itself, once a step had to run.
    live: Option<ImageState>,
    /// Records of steps whose content is in the store but not sealed yet.
    pending: Vec<(Vec<u8>, StepRecord)>,
    history: History,
    lineage: Lineage,
    steps: Vec<StepRun>,
}

impl Run<'_> {
    /// Does one step; answers whether its result was known.
    fn advance(&mut self, index: usize, located: &LocatedStep, progress: &dyn Progress) -> Result<bool, EngineError> {
        let title = title(located);
        let key = step_key(&self.saved, located, self.context)?;
        self.history.push(Now { index, title: &title, step: &key.step, inputs: &key.inputs }, &key.hash);
        let known = if self.context.redo { Cached::Unknown } else { known(&key.hash, self.context)? };
        if let Cached::Known(record) = known {
            progress.step(index, &title, StepState::Cached);
            self.saved = record.state;
            self.live = None;
            self.descend(located, title, record.changes);
            return Ok(true);
        }
        progress.step(index, &title, StepState::Running);
        let mut state = match self.live.take() {
            Some(state) => state,
            None => ImageState::load(self.context.store, &self.saved).map_err(EngineError::Load)?,
        };
        let before = state.root.clone();
        let outputs = steps::run(&located.step, &mut state, self.context).map_err(|error| {
            // What a build makes that trusts nothing cannot be made again.
            let is_lost = !self.context.distrust && steps::lacks_content(&error);
            if is_lost { EngineError::Lost(Box::new(error)) } else { failed(located, &error) }
        })?;
        let outputs = self.identify(located, outputs)?;
        let changes = lineage::changes(&before, &state.root, self.context.store).map_err(cache("write"))?;
        // A file that was replaced while the step read it must not be remembered under its old content.
        let unchanged = step_key(&self.saved, located, self.context)?.hash == key.hash;
        self.saved = state.save(self.context.store).map_err(cache("write"))?;
        self.live = Some(state);
        if unchanged {
            self.pending.push((key.hash, StepRecord { state: self.saved.clone(), outputs, changes }));
        }
        if steps::is_expensive(&located.step) {
            self.commit()?;
        }
        progress.step(index, &title, StepState::Done);
        self.descend(located, title, changes);
        Ok(false)
    }

    fn descend(&mut self, located: &LocatedStep, title: String, changes: Option<BlobHash>) {
        let (template, origin) = (self.context.subject.clone(), origin(located));
        self.lineage.push(LineageStep { template, title, origin, changes });
    }

    fn identify(
        &self,
        located: &LocatedStep,
        outputs: Vec<String>,
    ) -> Result<Vec<(String, FileIdentity)>, EngineError> {
        let identify = |name: String| {
            let path = self.context.workspace.output().join(&name);
            remember_output(&name, &path, self.context.store).map_err(|error| failed(located, &error.into()))?;
            let identity = FileIdentity::of(&path)
                .map_err(|source| failed(located, &StepError::Host { operation: "read", path, source }))?;
            Ok((name, identity))
        };
        outputs.into_iter().map(identify).collect()
    }

    /// Makes the finished steps durable: first the content, then the records that name it.
    fn commit(&mut self) -> Result<(), EngineError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.context.store.seal().map_err(cache("write"))?;
        for (key, record) in self.pending.drain(..) {
            let value = serde_json::to_vec(&record).expect("hashes, names and numbers are JSON");
            self.context.store.record_put("step", &key, &value).map_err(cache("write"))?;
        }
        Ok(())
    }
}

fn step_key(saved: &SavedState, located: &LocatedStep, context: &Context<'_>) -> Result<Key, EngineError> {
    let inputs = steps::inputs(&located.step, saved, context).map_err(|error| failed(located, &error))?;
    // Where an input is does not matter, only what it is.
    let hashes: Vec<&str> = inputs.iter().map(|input| input.hash.as_str()).collect();
    let material = serde_json::to_vec(&(ENGINE_VERSION, saved, &located.step, hashes));
    let material = material.expect("hashes, names and numbers are JSON");
    let step = serde_json::to_vec(&located.step).expect("names and numbers are JSON");
    let step = blake3::hash(&step).to_hex().to_string();
    Ok(Key { hash: blake3::hash(&material).as_bytes().to_vec(), step, inputs })
}

fn state_hash(saved: &SavedState) -> String {
    let material = serde_json::to_vec(saved).expect("hashes and names are JSON");
    blake3::hash(&material).to_hex().to_string()
}

fn known(key: &[u8], context: &Context<'_>) -> Result<Cached, EngineError> {
    let bytes = context.store.record_get("step", key).map_err(cache("read"))?;
    // A record that cannot be understood is one of another version: the step is done again.
    let record = bytes.and_then(|bytes| serde_json::from_slice::<StepRecord>(&bytes).ok());
    let Some(record) = record else { return Ok(Cached::Unknown) };
    let is_spoilt = |(name, identity): &&(String, FileIdentity)| {
        !FileIdentity::of(&context.workspace.output().join(name)).is_ok_and(|found| found == *identity)
    };
    if let Some((name, _)) = record.outputs.iter().find(is_spoilt) {
        return Ok(Cached::Spoilt(name.clone()));
    }
    if context.distrust && !is_whole(&record.state, context)? {
        return Ok(Cached::Unknown);
    }
    Ok(Cached::Known(Box::new(record)))
}

/// The state that a step's record keeps, and the list of what it changed; none when the record is of another version.
pub(crate) fn recorded(value: &[u8]) -> Option<(SavedState, Option<BlobHash>)> {
    let record = serde_json::from_slice::<StepRecord>(value).ok()?;
    Some((record.state, record.changes))
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

fn cache(operation: &'static str) -> impl Fn(StoreError) -> EngineError {
    move |source| EngineError::Cache { operation, source }
}

fn failed(located: &LocatedStep, error: &StepError) -> EngineError {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        message.push_str(": ");
        message.push_str(&inner.to_string());
        cause = inner.source();
    }
    let mut diagnostic = Diagnostic::error("step::failed", message).at(&located.origin, "this step");
    if let Some(help) = error.help() {
        diagnostic = diagnostic.help(help);
    }
    EngineError::Step(Box::new(diagnostic))
}

/// The step's word and what it acts on, for people.
fn title(located: &LocatedStep) -> String {
    match steps::subject(&located.step) {
        Some(subject) => format!("{} {subject}", located.step.name()),
        None => located.step.name().to_owned(),
    }
}

fn origin(located: &LocatedStep) -> String {
    let origin = &located.origin;
    format!("{}:{}:{}", origin.file().display(), origin.line(), origin.column())
}
