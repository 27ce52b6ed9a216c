//! Properties of the pool and of its root dataset, and what grows by them.

use super::{PoolPlan, Refusal, Step};
use crate::change::{Change, Target};
use crate::config::{Pool, Scalar};
use crate::state::{ActivePool, State};
use sysconfig_platform::storage::parse_size;
use sysconfig_platform::zfs::property::{same_dataset_value, same_pool_value};
use sysconfig_platform::zfs::{Property, Source};
use sysconfig_plugin::{PlannedStep, Risk};

/// Of pools: what counts when devices are added only, so that a present value says nothing.
const WHEN_MADE: &[&str] = &["ashift"];
/// Of datasets: what is decided when they are made.
pub(crate) const ROOT_WHEN_MADE: &[&str] = &["casesensitivity", "normalization", "utf8only"];

/// The steps for an imported pool's own properties.
pub(super) fn of_pool(pool: &Pool, active: &ActivePool, plan: &mut PoolPlan) {
    for (name, wanted) in &pool.properties {
        if WHEN_MADE.contains(&name.as_str()) {
            continue;
        }
        let Some(present) = active.properties.get(name) else {
            plan.refusals.push(unknown(name, "pool"));
            continue;
        };
        let wanted = wanted.to_string();
        if is_so(Target::Pool, name, &present.value, &wanted) {
            continue;
        }
        if name.starts_with("feature@") && wanted == "disabled" {
            let what = format!("{name} is {}, and cannot be disabled again", present.value);
            plan.refusals.push(Refusal::new(what, "make another pool without it, and copy the data"));
            continue;
        }
        plan.steps.push(set(Target::Pool, pool, active.guid, name, Some(present), &wanted));
    }
}

/// The steps for the root dataset's properties.
pub(super) fn of_root(pool: &Pool, active: &ActivePool, state: &State, plan: &mut PoolPlan) {
    for (name, wanted) in &pool.root_properties {
        let wanted = wanted.to_string();
        let present = active.root.get(name);
        match present {
            _ if name == "mountpoint" && altroot(active).is_some() => {
                let place = altroot(active).unwrap_or_default();
                plan.notes.push(format!(
                    "pool {}: it is imported below {place} (altroot), so that the mountpoint of its root dataset is not looked at",
                    pool.name
                ));
            }
            // A property of the user's own is there only once it is set.
            None if !name.contains(':') => plan.refusals.push(unknown(name, "root dataset")),
            Some(present) if is_so(Target::Root, name, &present.value, &wanted) => {}
            Some(present) if ROOT_WHEN_MADE.contains(&name.as_str()) => {
                let what = format!("{name} of the root dataset is {}, not {wanted}", present.value);
                plan.refusals.push(Refusal::new(
                    what,
                    "it is decided when the pool is made; make another pool, and copy the data",
                ));
            }
            _ if name == "mountpoint" && is_automatic(pool, active) && state.occupied.contains_key(&pool.name) => {
                plan.refusals.extend(no_place(pool, state));
            }
            _ => {
                let unset = Property { value: "-".to_owned(), source: Source::None };
                let present = Some(present.unwrap_or(&unset));
                plan.steps.push(set(Target::Root, pool, active.guid, name, present, &wanted));
            }
        }
    }
}

/// Mounts the root dataset where it is configured to be: without that programs write into its directory unnoticed.
pub(super) fn mount_root(pool: &Pool, active: &ActivePool, state: &State, plan: &mut PoolPlan) {
    let present = |name| active.root.get(name).map(|property| property.value.clone());
    let Some(place) = pool.root_place().filter(|place| place.starts_with('/')) else { return };
    if altroot(active).is_some() {
        return;
    }
    if present("mounted").as_deref() != Some("no") || !is_automatic(pool, active) {
        return;
    }
    if let Some(refusal) = no_place(pool, state) {
        // The mount point itself was perhaps refused for the same reason.
        if !plan.refusals.contains(&refusal) {
            plan.refusals.push(refusal);
        }
        return;
    }
    if present("keystatus").as_deref() == Some("unavailable") {
        let help = format!("load the key: zfs load-key {}", pool.name);
        return plan.refusals.push(Refusal::new("its root dataset is encrypted, and its key is not loaded", help));
    }
    let summary = format!("mount the root dataset of the pool {} at {place}", pool.name);
    let change = Change::Mount { pool: pool.name.clone(), guid: active.guid, place };
    plan.steps.push(PlannedStep::new("mount", &pool.name, summary, Risk::Safe, change).field("mounted", "no", "yes"));
}

/// The directory below which the pool has all its mount points until it is exported, as an installer wants it: the kernel shows them
/// with it in front, and takes them without.
fn altroot(active: &ActivePool) -> Option<&str> {
    active.properties.get("altroot").map(|altroot| altroot.value.as_str()).filter(|altroot| altroot.starts_with('/'))
}

/// Whether the root dataset is mounted by itself once it is as configured.
fn is_automatic(pool: &Pool, active: &ActivePool) -> bool {
    let configured = pool.root_properties.get("canmount").map(Scalar::to_string);
    let present = || active.root.get("canmount").map(|property| property.value.clone());
    configured.or_else(present).is_none_or(|canmount| canmount == "on")
}

/// Why the root dataset is not mounted where it is configured to be.
pub(super) fn no_place(pool: &Pool, state: &State) -> Option<Refusal> {
    let why = state.occupied.get(&pool.name)?;
    let place = pool.root_place()?;
    Some(Refusal::new(format!("its root dataset cannot be mounted at {place}: {why}"), crate::places::HELP))
}

/// The steps for a pool whose properties will be known when it is imported.
pub(super) fn after_import(pool: &Pool, guid: u64, plan: &mut PoolPlan) {
    let settable =
        |names: &'static [&'static str]| move |setting: &(&String, &Scalar)| !names.contains(&setting.0.as_str());
    for (name, wanted) in pool.properties.iter().filter(settable(WHEN_MADE)) {
        plan.steps.push(set(Target::Pool, pool, guid, name, None, &wanted.to_string()));
    }
    for (name, wanted) in pool.root_properties.iter().filter(settable(ROOT_WHEN_MADE)) {
        plan.steps.push(set(Target::Root, pool, guid, name, None, &wanted.to_string()));
    }
}

/// A pool uses what its devices have gained only when it is told, or when they are opened again.
pub(super) fn growth(pool: &Pool, active: &ActivePool, plan: &mut PoolPlan) {
    let wants = pool.properties.get("autoexpand").is_some_and(|value| value.to_string() == "on");
    let gained = active.properties.get("expandsize").and_then(|property| parse_size(&property.value)).unwrap_or(0);
    if !wants || gained == 0 {
        return;
    }
    let devices = active.status.layout.data.iter().flat_map(sysconfig_platform::zpool::Vdev::devices);
    let devices: Vec<_> = devices.filter(|device| device.state == "ONLINE").map(|device| device.name.clone()).collect();
    let summary = format!("use {gained} bytes more that the devices of the pool {} have", pool.name);
    let change = Change::Expand { pool: pool.name.clone(), guid: active.guid, devices };
    let step = PlannedStep::new("expand", &pool.name, summary, Risk::Safe, change);
    plan.steps.push(step.field("expandsize", gained, 0));
}

/// Whether a value is as wanted, in whatever word; a feature that is used is enabled, too.
pub(crate) fn is_so(target: Target, name: &str, present: &str, wanted: &str) -> bool {
    match target {
        Target::Pool if name.starts_with("feature@") => present == wanted || (present, wanted) == ("active", "enabled"),
        Target::Pool => same_pool_value(name, wanted, present),
        Target::Root => same_dataset_value(name, wanted, present),
    }
}

fn unknown(name: &str, of: &str) -> Refusal {
    Refusal::new(format!("this system's ZFS knows no property {name} of a {of}"), "leave it out")
}

fn set(target: Target, pool: &Pool, guid: u64, name: &str, present: Option<&Property>, wanted: &str) -> Step {
    let object = match target {
        Target::Pool => format!("the pool {}", pool.name),
        Target::Root => format!("the root dataset of the pool {}", pool.name),
    };
    let summary = format!("set {name} of {object} to {wanted}");
    let risk = match name {
        // The root dataset, and what is below it, is mounted elsewhere; and what a feature writes, older systems cannot read.
        "mountpoint" | "canmount" | "readonly" | "sharenfs" | "sharesmb" => Risk::Disruptive,
        name if name.starts_with("feature@") => Risk::Disruptive,
        _ => Risk::Safe,
    };
    let change = Change::Set {
        target,
        pool: pool.name.clone(),
        guid,
        property: name.to_owned(),
        from: present.cloned(),
        to: wanted.to_owned(),
    };
    let from = present.map(|present| present.value.clone());
    PlannedStep::new("set", &pool.name, summary, risk, change).field(name, from, wanted)
}
