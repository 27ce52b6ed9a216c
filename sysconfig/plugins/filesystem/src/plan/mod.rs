//! From what is there to what is wanted.

mod datasets;
mod destroy;
mod mounts;
mod moves;
mod rows;

use crate::change::Change;
use crate::config::Config;
use crate::order::{self, Unit};
use crate::state::State;
use moves::Move;
use std::collections::{BTreeMap, BTreeSet};
use sysconfig_platform::boot_table;
use sysconfig_platform::gather;
use sysconfig_platform::mount_table::{Mount, is_below, is_remote};
use sysconfig_platform::mounting::mounted_at;
use sysconfig_plugin::{PlannedStep, Risk};

pub(crate) type Step = PlannedStep<Change>;

/// The steps, in the order in which they are done.
#[derive(Default)]
pub(crate) struct Steps {
    /// What goes, which makes room.
    removals: Vec<Step>,
    /// What comes and changes.
    changes: Vec<Step>,
    /// What goes and makes room for nobody: whatever is busy there keeps nothing else from being done.
    late: Vec<Step>,
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

/// What cannot be moved from where it is, by name, with why and what can be done about it.
type Stuck = BTreeMap<String, (String, String)>;

pub(crate) fn plan(config: &Config, state: &State) -> Vec<Step> {
    let (config, doubles) = without_doubles(state.resolve(config), state);
    let mut steps: Vec<Step> = rows::tell(state).into_iter().chain(settle(&config, state)).collect();
    for (place, device) in doubles {
        let mut left = Steps::default();
        let help = "leave one of them out; links that lead to the same place do not make it another one";
        left.leave(&place, format!("it is the place of another entry already, and {device} has none"), help);
        steps.extend(left.left);
    }
    // Rows that go come first. Systemd would end what is mounted next where one of them was, if it went by that still.
    for goes in [true, false] {
        boot_table::tell_once(steps.iter_mut().filter_map(|step| match &mut step.change {
            Change::Row { row, tells, .. } if row.is_none() == goes => Some(tells),
            _ => None,
        }));
    }
    steps
}

/// The mount points of what would be unmounted if no server kept it from that.
pub(crate) fn going(config: &Config, state: &State) -> BTreeSet<String> {
    let (config, _) = without_doubles(state.resolve(config), state);
    let stuck = Stuck::new();
    let moves = moves::moves(&config, state, &stuck);
    mounts::take_down(&config, state, &moves, &stuck, &mut Steps::default()).points
}

/// The configuration without the mounts for which another entry is first at the same place, and these.
fn without_doubles(mut config: Config, state: &State) -> (Config, Vec<(String, String)>) {
    let datasets = config.datasets.iter().filter(|dataset| !dataset.absent && dataset.property("mountpoint").is_some());
    let mut taken: BTreeSet<String> =
        datasets.filter_map(|dataset| state.place(&config, Unit::Dataset(dataset))).collect();
    let mut doubles = Vec::new();
    if let Some(mounts) = &mut config.mounts {
        mounts.retain(|entry| {
            let is_first = taken.insert(entry.mountpoint.clone());
            if !is_first {
                doubles.push((entry.mountpoint.clone(), entry.device.clone()));
            }
            is_first
        });
    }
    (config, doubles)
}

fn settle(config: &Config, state: &State) -> Vec<Step> {
    // What is to move makes room, and others make room for it. When it then has to stay, they stay as well, so the plan is
    // made anew without its move; each round finds something more that stays, or is the last.
    let mut stuck = Stuck::new();
    loop {
        let (steps, found) = attempt(config, state, &stuck);
        if found.is_empty() {
            return [steps.removals, steps.changes, steps.late, steps.destructive, steps.left].concat();
        }
        stuck.extend(found);
    }
}

/// A plan in which what is stuck stays where it is; and what else turned out to be.
fn attempt(config: &Config, state: &State, stuck: &Stuck) -> (Steps, Stuck) {
    let mut steps = Steps::default();
    let moves = moves::moves(config, state, stuck);
    let mut down = mounts::take_down(config, state, &moves, stuck, &mut steps);
    // Every unit is asked about with every other one, so what is known of each is found out once.
    let units = order::units(config);
    let places = gather::map(units.iter().map(|unit| (unit.name(), state.place(config, *unit))));
    let place = |unit: Unit<'_>| places.get(unit.name()).cloned().flatten();
    let present = present(&units, &moves, state);
    // Where a dataset is that moves, and in it, something else can come only after it.
    let is_in_the_way = |one: Unit<'_>, other: Unit<'_>| match (place(one), other) {
        (Some(mine), Unit::Dataset(dataset)) if place(other).as_ref() != Some(&mine) && one.name() != dataset.name => {
            let (moves, points) = &present[dataset.name.as_str()];
            points.iter().any(|point| *point == mine || (*moves && is_below(&mine, point)))
        }
        _ => false,
    };
    let needs = |one: Unit<'_>, other: Unit<'_>| {
        order::needs(one, other, place, |mount| state.resolved(&mount.device).to_owned()) || is_in_the_way(one, other)
    };
    // A place that is still hidden may turn out to be taken, which holds up no others.
    let is_hidden = |unit: &Unit<'_>| place(*unit).is_some_and(|place| down.hides(&place, state));
    let (hidden, seen): (Vec<_>, Vec<_>) = units.iter().copied().partition(is_hidden);
    // A server that is away holds up those only that need what it has.
    let is_risky = |unit: &Unit<'_>| match unit {
        Unit::Mount(mount) => is_remote(&mount.fstype) && mounted_at(&state.mounts, &mount.mountpoint).is_none(),
        Unit::Dataset(_) => false,
    };
    let (risky, safe): (Vec<_>, Vec<_>) = seen.into_iter().partition(is_risky);
    let (sorted, circle) = order::sort(&[safe, risky, hidden].concat(), needs);
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
            Unit::Dataset(dataset) => datasets::ensure(dataset, config, &mut down, stuck, state, &mut steps),
            Unit::Mount(mount) => match stuck.get(&mount.mountpoint) {
                Some((why, help)) => {
                    steps.leave(&mount.mountpoint, why, help);
                    false
                }
                None => mounts::ensure(mount, &down, state, &mut steps),
            },
        };
        if !is_usable {
            left.push(unit);
        }
    }
    destroy::destroy(config, &down, state, &mut steps);
    let found = found_stuck(&left, &moves, &down, stuck, &steps);
    (steps, found)
}

/// Where each dataset is mounted, and what moves along with it; and whether it moves.
fn present<'a>(units: &[Unit<'a>], moves: &[Move], state: &'a State) -> BTreeMap<&'a str, (bool, Vec<&'a str>)> {
    let mut by_device: BTreeMap<&str, Vec<&Mount>> = BTreeMap::new();
    for mount in &state.mounts {
        by_device.entry(&mount.device).or_default().push(mount);
    }
    let of = |device: &str| by_device.get(device).into_iter().flatten();
    let datasets = units.iter().filter_map(|unit| match unit {
        Unit::Dataset(dataset) => Some(dataset.name.as_str()),
        Unit::Mount(_) => None,
    });
    let known = datasets.map(|name| {
        let moving = moves.iter().find(|one| one.name == name);
        let along = moving.into_iter().flat_map(Move::along).flat_map(&of);
        let points = of(name).chain(along).map(|mount| mount.mount_point.as_str()).collect();
        (name, (moving.is_some(), points))
    });
    gather::map(known)
}

/// What has made others make room, and then is left alone.
fn found_stuck(left: &[Unit<'_>], moves: &[Move], down: &mounts::Down, stuck: &Stuck, steps: &Steps) -> Stuck {
    let was_to_move = |unit: &&Unit<'_>| match unit {
        Unit::Dataset(dataset) => moves.iter().any(|one| one.name == dataset.name),
        Unit::Mount(mount) => down.is_for_another(&mount.mountpoint),
    };
    let reason = |name: &str| {
        steps.left.iter().find_map(|step| match &step.change {
            Change::Leave { what, why, help } if what == name => Some((why.clone(), help.clone())),
            _ => None,
        })
    };
    let names = left.iter().filter(was_to_move).map(Unit::name).filter(|name| !stuck.contains_key(*name));
    gather::map(names.filter_map(|name| Some((name.to_owned(), reason(name)?))))
}

/// What is left as it is, and worth telling: above all what is no longer configured and kept nevertheless.
pub(crate) fn remarks(config: &Config, state: &State) -> Vec<String> {
    let damaged = state.record.is_damaged.then(|| {
        format!("{} is damaged, so no mount and no row of the boot table counts as ours", crate::record::PATH)
    });
    damaged.into_iter().chain(kept(config, state)).collect()
}

fn kept(config: &Config, state: &State) -> Vec<String> {
    let is_configured = |name: &&String| config.datasets.iter().any(|dataset| &&dataset.name == name);
    let kept = state.ours.iter().filter(|name| !is_configured(name));
    kept.map(|name| {
        format!(
            "{name} is no longer configured; it is kept, and absent = true with allow-destructive = true destroys it"
        )
    })
    .collect()
}
