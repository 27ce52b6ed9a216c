//! From what is there to what is wanted.

mod datasets;
mod mounts;

use crate::change::Change;
use crate::config::Config;
use crate::order::{self, Unit};
use crate::state::State;
use sysconfig_plugin::{PlannedStep, Risk};

pub(crate) type Step = PlannedStep<Change>;

/// The steps, in the order in which they are done.
#[derive(Default)]
pub(crate) struct Steps {
    /// What goes, which makes room.
    removals: Vec<Step>,
    /// What comes and changes.
    changes: Vec<Step>,
    /// What loses data. A step that is not allowed keeps later ones from being done, so these come after the others.
    destructive: Vec<Step>,
    /// What is left alone. These fail and say why.
    left: Vec<Step>,
}

impl Steps {
    fn leave(&mut self, what: &str, why: impl Into<String>, help: impl Into<String>) {
        let (why, help) = (why.into(), help.into());
        let summary = format!("leave {what} alone: {why}");
        let change = Change::Leave { what: what.to_owned(), why, help };
        self.left.push(PlannedStep::new("leave", what, summary, Risk::Safe, change));
    }
}

pub(crate) fn plan(config: &Config, state: &State) -> Vec<Step> {
    let mut steps = Steps::default();
    let mut down = mounts::take_down(config, state, &mut steps);
    let place = |unit: Unit<'_>| state.place(config, unit);
    // Where a dataset is that moves, something else can come only after it.
    let is_in_the_way = |one: Unit<'_>, other: Unit<'_>| match (place(one), other) {
        (Some(mine), Unit::Dataset(dataset)) if place(other).as_ref() != Some(&mine) => state
            .mounts
            .iter()
            .any(|mount| mount.device == dataset.name && mount.mount_point == mine && one.name() != dataset.name),
        _ => false,
    };
    let needs = |one: Unit<'_>, other: Unit<'_>| order::needs(one, other, place) || is_in_the_way(one, other);
    let (sorted, circle) = order::sort(&order::units(config), needs);
    for unit in &circle {
        steps.leave(unit.name(), "it has to be there before itself", "mount a child below its parent");
    }
    let mut left = circle;
    for unit in sorted {
        // What should lie in it would end up somewhere else.
        if let Some(needed) = left.iter().find(|other| needs(unit, **other)) {
            let why = format!("it needs {}, which is left alone", needed.name());
            steps.leave(unit.name(), why, "see to the other one first");
            left.push(unit);
            continue;
        }
        let is_usable = match unit {
            Unit::Dataset(dataset) => datasets::ensure(dataset, config, &mut down, state, &mut steps),
            Unit::Mount(mount) => mounts::ensure(mount, &down, state, &mut steps),
        };
        if !is_usable {
            left.push(unit);
        }
    }
    datasets::destroy(config, state, &mut steps);
    [steps.removals, steps.changes, steps.destructive, steps.left].concat()
}

/// What is no longer configured and kept nevertheless.
pub(crate) fn kept(config: &Config, state: &State) -> Vec<String> {
    let is_configured = |name: &&String| config.datasets.iter().any(|dataset| &&dataset.name == name);
    let kept = state.ours.iter().filter(|name| !is_configured(name));
    kept.map(|name| {
        format!(
            "{name} is no longer configured; it is kept, and absent = true with allow-destructive = true destroys it"
        )
    })
    .collect()
}
