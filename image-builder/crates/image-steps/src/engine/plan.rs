//! Which steps would run, and why.

use super::cache::{Key, StepRecord, keys, reached, stretches};
use super::error::{EngineError, all_reasons, failed};
use crate::context::Context;
use crate::history::{History, Now};
use crate::state::SavedState;
use crate::steps::{self, Forecast, InputFile, InputSource, PlannedPackages};
use serde::Serialize;
use template::{LocatedStep, Template};

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
    /// Why its result is not known.
    pub why: Option<String>,
    /// The files that it reads.
    pub inputs: Vec<PlannedInput>,
    /// What a step that will run brings of packages.
    pub packages: Option<PlannedPackages>,
}

/// A file that a step reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedInput {
    /// Where it is.
    pub path: String,
    /// Where it comes from.
    pub source: InputSource,
    /// Its size; none if it is not there yet.
    pub bytes: Option<u64>,
    /// The template, group and name, that makes it.
    pub made_by: Option<String>,
}

/// What is told of all steps of a template.
pub(crate) struct Planned {
    pub(crate) steps: Vec<PlannedStep>,
    /// The state after the last one, if it is known.
    pub(crate) saved: Option<SavedState>,
    /// What is known of the package image after it otherwise.
    pub(crate) forecast: Forecast,
    /// How many steps nothing has to be done for.
    pub(crate) known_steps: usize,
    /// Bytes in the files of the root after these, if that is known.
    pub(crate) files: Option<u64>,
}

/// What a template begins with: the state, or the template that will make it and what is known of the image in it.
pub(crate) type Start = Result<SavedState, (String, Forecast)>;

/// What other templates have to do with a file of the output directory.
pub(crate) struct Others<'a> {
    /// The template that makes it.
    pub(crate) maker: &'a dyn Fn(&str) -> Option<String>,
    /// The template that will make it before anything is known of it, but for what can be told of the image in it.
    pub(crate) waits_for: &'a dyn Fn(&str) -> Option<(String, Forecast)>,
}

/// Tells which steps would run, without running or writing anything.
///
/// `start` is the state to begin with, or the template that will make it; and the bytes in its files, if that is known.
///
/// # Errors
/// When an input cannot be read, or the cache; or packages cannot be chosen although publishers may be asked.
pub(crate) fn plan(
    template: &Template,
    (start, mut files): (Start, Option<u64>),
    context: &Context<'_>,
    others: &Others<'_>,
) -> Result<Planned, EngineError> {
    let (mut saved, mut awaits, mut forecast) = match start {
        Ok(saved) => (Some(saved), None, Forecast::default()),
        Err((provider, forecast)) => (None, Some(provider), forecast),
    };
    let histories = History::read_all(&context.output_key(), context.store);
    let begin = saved.as_ref().map(SavedState::hash).unwrap_or_default();
    let mut planned: Vec<PlannedStep> = Vec::with_capacity(template.steps.len());
    let mut past = Past { histories, begin, keys: Vec::with_capacity(template.steps.len()) };
    let mut known_steps = 0;
    for stretch in stretches(&template.steps) {
        let taken = stretch.first().and_then(|first| steps::takes_output(&first.step)).and_then(others.waits_for);
        if let Some((provider, _)) = &taken {
            if let Some(known) = saved.take() {
                forecast = Forecast::State(known);
            }
            awaits.get_or_insert_with(|| provider.clone());
        }
        let first = planned.len();
        let unplanned = |located| unplanned(located, saved.as_ref(), awaits.clone(), context, others);
        planned.extend(stretch.iter().map(unplanned));
        if let Some(before) = saved.take() {
            if let Some(record) = plan_stretch((first, stretch), &mut planned, &before, &mut past, context)? {
                (saved, files, known_steps) = (Some(record.state), record.files, planned.len());
                continue;
            }
            forecast = Forecast::State(before.clone());
            foresee(stretch, &mut planned[first..], &mut forecast, Some(&before), context)?;
        } else {
            foresee(stretch, &mut planned[first..], &mut forecast, None, context)?;
        }
        if let (Some((_, inside)), Some(true)) = (taken, stretch.first().map(|first| steps::unpacks(&first.step))) {
            forecast = inside;
        }
    }
    Ok(Planned { steps: planned, saved, forecast, known_steps, files })
}

/// Tells what steps bring of packages that will be done. `before` is the state before the stretch, if it is known.
fn foresee(
    stretch: &[LocatedStep],
    planned: &mut [PlannedStep],
    forecast: &mut Forecast,
    before: Option<&SavedState>,
    context: &Context<'_>,
) -> Result<(), EngineError> {
    for (located, planned) in stretch.iter().zip(planned) {
        match forecast.advance(&located.step, before, context) {
            Ok(packages) => planned.packages = packages,
            // Whoever asks publishers is told what they do not answer; a plan without them goes on.
            Err(error) if context.packages.is_offline() => {
                *forecast = Forecast::Unknown;
                let problem = Some(all_reasons(&error));
                planned.packages = Some(PlannedPackages { problem, ..PlannedPackages::default() });
            }
            Err(error) => return Err(failed(located, &error.into())),
        }
    }
    Ok(())
}

/// A step of which nothing is known yet but what it reads; `saved` is the state before it, if it is known.
fn unplanned(
    located: &LocatedStep,
    saved: Option<&SavedState>,
    awaits: Option<String>,
    context: &Context<'_>,
    others: &Others<'_>,
) -> PlannedStep {
    let input = |file: InputFile| PlannedInput {
        path: file.path.display().to_string(),
        source: file.source,
        bytes: file.path.metadata().ok().map(|metadata| metadata.len()),
        made_by: steps::takes_output(&located.step).and_then(others.maker),
    };
    let why = match &awaits {
        Some(provider) => format!("{provider} is built before it"),
        None => "a step before it will run".to_owned(),
    };
    PlannedStep {
        title: steps::title(located),
        origin: steps::origin(located),
        cached: None,
        awaits,
        why: Some(why),
        inputs: steps::files_to_tell(&located.step, saved, context).into_iter().map(input).collect(),
        packages: None,
    }
}

/// What is remembered of earlier builds, what this one begins with, and its steps so far.
struct Past {
    histories: Vec<History>,
    begin: String,
    keys: Vec<Key>,
}

impl Past {
    /// The first step, not before `known`, that is not as it was in the build that is nearest; and how it differs.
    fn changed(&self, known: usize, planned: &[PlannedStep]) -> (usize, String) {
        let now: Vec<Now<'_>> = self.keys.iter().zip(planned).map(|(key, step)| key.now(&step.title)).collect();
        // Of builds that are as near, the newest is the last.
        let Some(history) = self.histories.iter().max_by_key(|history| history.common(&now)) else {
            return (known, "it was never built in this workspace".to_owned());
        };
        let common = history.common(&now);
        let index = if common == now.len() { known } else { common.max(known) };
        (index, history.why(&now[..=index], &self.begin))
    }
}

/// Plans the steps of a stretch, the first of which is the template's step `first`, after the state `before`; answers the
/// record of its last step if that is known. `planned` has the steps so far, those of the stretch among them.
fn plan_stretch(
    (first, stretch): (usize, &[LocatedStep]),
    planned: &mut [PlannedStep],
    before: &SavedState,
    past: &mut Past,
    context: &Context<'_>,
) -> Result<Option<StepRecord>, EngineError> {
    let keys = keys(before, stretch, context)?;
    let reached = reached(&keys, context)?;
    past.keys.extend(keys);
    let known = first + if context.redo { 0 } else { reached.steps };
    planned[first..known].iter_mut().for_each(|step| (step.cached, step.why) = (Some(true), None));
    if known == first + stretch.len() {
        return Ok(reached.records.into_values().last());
    }
    let (index, why) = match reached.spoilt {
        _ if context.redo && reached.steps > 0 => (known, "everything is asked to be done again".to_owned()),
        Some(name) => (known, format!("{name} in the output directory is not what it made")),
        None => past.changed(known, planned),
    };
    for step in &mut planned[known..index] {
        step.why = Some("removals in a row are kept together, and those after it changed".to_owned());
    }
    planned[known..=index].iter_mut().for_each(|step| step.cached = Some(false));
    planned[index].why = Some(why);
    Ok(None)
}
