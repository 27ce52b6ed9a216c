//! Which steps would run, and why.

use super::cache::{Key, keys, reached, stretches};
use super::{EngineError, origin, state_hash, title};
use crate::history::{History, Now};
use crate::state::SavedState;
use crate::steps::{self, Context, PlannedPackages};
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
    /// Why the step will run, when its result is not known though everything before it is.
    pub why: Option<String>,
    /// What a step that will run brings of packages.
    pub packages: Option<PlannedPackages>,
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
    let mut planned: Vec<PlannedStep> = Vec::with_capacity(template.steps.len());
    for stretch in stretches(&template.steps) {
        if let Some(provider) = stretch.first().and_then(|first| steps::takes_output(&first.step)).and_then(waits_for) {
            (saved, awaits) = (None, awaits.or(Some(provider)));
        }
        let first = planned.len();
        let unplanned = |located| PlannedStep {
            title: title(located),
            origin: origin(located),
            cached: None,
            awaits: awaits.clone(),
            why: None,
            packages: None,
        };
        planned.extend(stretch.iter().map(unplanned));
        if let Some(before) = saved.take() {
            let past = Past { history: history.as_ref(), begin: &begin };
            saved = plan_stretch((first, stretch), &mut planned[first..], &before, past, context)?;
        }
    }
    Ok((planned, saved))
}

/// What is remembered of the last build, and what this one begins with.
#[derive(Clone, Copy)]
struct Past<'a> {
    history: Option<&'a History>,
    begin: &'a str,
}

/// Plans the steps of a stretch, whose first one is the template's step `first`, after the state `before`; answers the
/// state after it if that is known.
fn plan_stretch(
    (first, stretch): (usize, &[LocatedStep]),
    planned: &mut [PlannedStep],
    before: &SavedState,
    past: Past<'_>,
    context: &Context<'_>,
) -> Result<Option<SavedState>, EngineError> {
    let keys = keys(before, stretch, context)?;
    let reached = reached(&keys, context)?;
    let known = if context.redo { 0 } else { reached.steps };
    planned[..known].iter_mut().for_each(|step| step.cached = Some(true));
    if known == stretch.len() {
        return Ok(reached.record.map(|record| record.state));
    }
    let (index, why) = match reached.spoilt {
        _ if context.redo && reached.record.is_some() => (known, "everything is asked to be done again".to_owned()),
        Some(name) => (known, format!("{name} in the output directory is not what it made")),
        None => changed(first, known, &keys, planned, past),
    };
    for step in &mut planned[known..index] {
        step.why = Some("removals in a row are kept together, and those after it changed".to_owned());
    }
    planned[known..=index].iter_mut().for_each(|step| step.cached = Some(false));
    planned[index].why = Some(why);
    planned[index].packages = steps::planned_packages(&stretch[index].step, before, context);
    Ok(None)
}

/// The first step of a stretch, not before `known`, that is not as it was; and how it differs.
fn changed(first: usize, known: usize, keys: &[Key], planned: &[PlannedStep], past: Past<'_>) -> (usize, String) {
    let Some(history) = past.history else { return (known, "it was never built in this workspace".to_owned()) };
    let now = |index: usize| {
        let (key, title) = (&keys[index], &planned[index].title);
        Now { index: first + index, title, step: &key.step, inputs: &key.inputs }
    };
    let index = (known..keys.len()).find(|index| !history.has(now(*index), &keys[*index].hash)).unwrap_or(known);
    (index, history.why(now(index), past.begin))
}
