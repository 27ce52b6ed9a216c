//! Running the steps of one template, each only if its result is not known yet.
//!
//! The key of a step is the hash of what it can depend on: the state before it, the step after
//! expansion, and the content of every file it reads. The result is the state after it. So a
//! second build does nothing, a failed one goes on where it stopped, and two templates that
//! begin alike share the beginning.

mod cache;
mod error;
mod plan;
mod size;

pub(crate) use cache::{ENDS, recorded};
pub use error::EngineError;
pub(crate) use error::cache;
pub(crate) use plan::{Others, plan};
pub use plan::{PlannedInput, PlannedStep};
pub(crate) use size::{Basis, bytes_of, estimate, input_bytes};
pub use size::{EstimatedSize, SizeBasis};

use crate::context::Context;
use crate::history::{History, Keys, UnderWay};
use crate::inputs::{FileIdentity, remember_output};
use crate::lineage::{self, Lineage, LineageStep, Removal, Traces};
use crate::progress::{Progress, StepState};
use crate::state::{ImageState, SavedState};
use crate::steps::{self, StepError};
use cache::{Key, Reached, StepRecord, is_stored, keys, reached, stretches};
use error::failed;
use image_tree::ImagePath;
use serde::Serialize;
use template::{LocatedStep, Template};

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

/// What the steps of a template begin with.
pub(crate) struct Beginning {
    pub(crate) saved: SavedState,
    /// Bytes in the files of its root, if that is known.
    pub(crate) files: Option<u64>,
    /// The steps that led to it.
    pub(crate) lineage: Lineage,
}

/// What running the steps of a template came to.
pub(crate) struct Ran {
    pub(crate) saved: SavedState,
    /// Bytes in the files of its root, if that is known.
    pub(crate) files: Option<u64>,
    /// The same state itself, if a step had to run.
    pub(crate) live: Option<ImageState>,
    pub(crate) lineage: Lineage,
    pub(crate) steps: Vec<StepRun>,
    /// What the steps were made of.
    pub(crate) history: History,
}

/// Runs the steps of `template` from where it has its `beginning`, to which the steps of `chain` have led.
///
/// # Errors
/// The first step that fails, after everything before it was saved.
pub(crate) fn run(
    template: &Template,
    beginning: Beginning,
    chain: Keys,
    context: &Context<'_>,
    progress: &dyn Progress,
) -> Result<Ran, EngineError> {
    let Beginning { saved, files, lineage } = beginning;
    let history = History::new(saved.hash(), chain);
    let (under_way, removed) = (UnderWay::default(), Vec::new());
    let steps = Vec::with_capacity(template.steps.len());
    let mut run = Run { context, saved, files, live: None, history, under_way, lineage, removed, steps };
    let result = stretches(&template.steps).try_for_each(|stretch| run.advance(stretch, progress));
    // What was done before a failure is worth keeping; the failure is worth more than a failure to keep it.
    let sealed = context.store.seal().map_err(cache("write"));
    let remembered = run.history.write_unfinished(&context.output_key(), context.store);
    result?;
    sealed?;
    remembered.map_err(cache("write"))?;
    let Run { saved, files, live, lineage, steps, history, .. } = run;
    Ok(Ran { saved, files, live, lineage, steps, history })
}

struct Run<'a> {
    context: &'a Context<'a>,
    saved: SavedState,
    /// Bytes in the files of its root, if that is known.
    files: Option<u64>,
    /// The state itself, once a step had to run.
    live: Option<ImageState>,
    history: History,
    under_way: UnderWay,
    lineage: Lineage,
    /// What was removed since a state was stored, and by which step, counted from the first.
    removed: Vec<(usize, ImagePath)>,
    steps: Vec<StepRun>,
}

impl Run<'_> {
    /// Does a stretch of steps, as far as its results are not known.
    fn advance(&mut self, stretch: &[LocatedStep], progress: &dyn Progress) -> Result<(), EngineError> {
        let mut begin = self.context.clock.elapsed();
        let keys = keys(&self.saved, stretch, self.context)?;
        let mut known = if self.context.redo { Reached::default() } else { reached(&keys, self.context)? };
        let known_steps = known.steps;
        for (at, (located, key)) in stretch.iter().zip(&keys).enumerate() {
            let (index, title, origin) = (self.steps.len(), steps::title(located), steps::origin(located));
            self.history.push(key.now(&title));
            let cached = at < known.steps;
            let traces = if cached {
                progress.step(index, &title, StepState::Cached);
                let goes_on = at + 1 == known.steps && !is_stored(at, stretch.len());
                let record = known.records.remove(&at);
                record.map(|record| self.take_up(record, goes_on)).transpose()?.unwrap_or_default()
            } else {
                progress.step(index, &title, StepState::Running);
                let traces = self.perform(located, key, is_stored(at, stretch.len()))?;
                progress.step(index, &title, StepState::Done);
                traces
            };
            let template = self.context.subject.clone();
            let unpacked = steps::unpacks(&located.step).then(|| key.inputs.first().map(|input| input.hash.clone()));
            let (title_of, origin_of, unpacked) = (title.clone(), origin.clone(), unpacked.flatten());
            self.lineage.push(LineageStep { template, title: title_of, origin: origin_of, traces, unpacked });
            let end = self.context.clock.elapsed();
            let (began, seconds) = (begin.as_secs_f64(), (end - begin).as_secs_f64());
            self.steps.push(StepRun { title, origin, cached, began, seconds });
            begin = end;
        }
        if let ([first, _, ..], true) = (keys.as_slice(), known_steps < keys.len()) {
            cache::note_end(first, keys.len() - 1, self.context)?;
        }
        Ok(())
    }

    /// Takes a known result; answers what led to it. If the stretch `goes_on` where an earlier build had its end, the
    /// next state that is stored comes to know of the removals before it.
    fn take_up(&mut self, record: StepRecord, goes_on: bool) -> Result<Traces, EngineError> {
        (self.saved, self.files) = (record.state, record.files);
        self.live = None;
        if !goes_on {
            return Ok(record.traces);
        }
        let index = self.steps.len();
        let removed = lineage::read_removals(record.traces, self.context.store).map_err(cache("read"))?.into_iter();
        let numbered = removed.filter_map(|one| Some((index.checked_sub(one.steps_ago)?, one.path)));
        self.removed = numbered.collect();
        Ok(Traces { removals: None, ..record.traces })
    }

    /// Does one step, and stores the state after it if it `is_stored`; answers what the step left.
    fn perform(&mut self, located: &LocatedStep, key: &Key, is_stored: bool) -> Result<Traces, EngineError> {
        let mut state = match self.live.take() {
            Some(state) => state,
            None => ImageState::load(self.context.store, &self.saved).map_err(EngineError::Load)?,
        };
        // What only removes says itself what. A second holder of the tree would cost a copy of every directory that it is
        // removed from.
        let before = (!steps::only_removes(&located.step)).then(|| state.root.clone());
        let done = steps::run(&located.step, &mut state, self.context).map_err(|error| {
            // What a build makes that trusts nothing cannot be made again.
            let is_lost = !self.context.distrust && steps::lacks_content(&error);
            if is_lost { EngineError::Lost(Box::new(error)) } else { failed(located, &error) }
        })?;
        let outputs = self.identify(located, done.outputs)?;
        let traces = match before {
            Some(before) => lineage::trace(&before, &state.root, self.context.store).map_err(cache("write"))?,
            None => self.trace_removals(done.removed, is_stored)?,
        };
        if is_stored {
            // A file that was replaced while the step read it must not be remembered under its old content.
            let unchanged = key.inputs.is_empty() || cache::key(&self.saved, located, self.context)?.hash == key.hash;
            self.saved = state.save(self.context.store).map_err(cache("write"))?;
            self.files = Some(state.root.statistics().data_bytes);
            if unchanged {
                let record = StepRecord { state: self.saved.clone(), files: self.files, outputs, traces };
                self.keep(&key.hash, &record, steps::is_expensive(&located.step))?;
            }
        }
        self.live = Some(state);
        Ok(traces)
    }

    /// Notes what a removal has removed, and lists it once the state is stored.
    fn trace_removals(&mut self, removed: Vec<ImagePath>, is_stored: bool) -> Result<Traces, EngineError> {
        let index = self.steps.len();
        self.removed.extend(removed.into_iter().map(|path| (index, path)));
        if !is_stored {
            return Ok(Traces::default());
        }
        let removal = |(step, path)| Removal { steps_ago: index - step, path };
        let list: Vec<Removal> = self.removed.drain(..).map(removal).collect();
        let removals = lineage::store_removals(&list, self.context.store).map_err(cache("write"))?;
        Ok(Traces { removals, ..Traces::default() })
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

    /// Keeps the result of a step before anybody hears that it is done. What it is made of was written to the store, so
    /// that it outlives this process, however that ends. It outlives the machine, too, once it is sealed; what takes
    /// long is. Of other steps a machine that crashes may leave a record without its content, and they are done again.
    fn keep(&mut self, key: &[u8], record: &StepRecord, seal: bool) -> Result<(), EngineError> {
        let store = self.context.store;
        if seal {
            store.seal().map_err(cache("write"))?;
        }
        // Should this build be killed, `gc` does not forget the step either.
        self.under_way.note(key, &self.history, &self.context.output_key(), store).map_err(cache("write"))?;
        let value = serde_json::to_vec(record).expect("hashes, names and numbers are JSON");
        store.record_put("step", key, &value).map_err(cache("write"))
    }
}
