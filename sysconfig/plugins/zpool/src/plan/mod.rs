//! From what was found to what is wanted.
//!
//! Whatever a pool cannot become without losing something is refused. A refusal is a step that fails, after all
//! others, so that the plan and the status tell it, and other pools are not held up.

pub(crate) use properties::is_so;

mod devices;
mod layout;
mod properties;

use crate::change::{Change, Creation};
use crate::config::{Config, Pool};
use crate::state::{ActivePool, FoundPool, State};
use devices::Devices;
use layout::Actual;
use sysconfig_platform::zpool::{Importable, PoolStatus};
use sysconfig_plugin::{PlannedStep, Risk};

/// A step of this plugin.
pub(crate) type Step = PlannedStep<Change>;

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) what: String,
    pub(crate) help: String,
}

impl Refusal {
    pub(crate) fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into() }
    }
}

/// What is to be done about one pool, what is refused, and what is left as it is without being wrong.
#[derive(Debug, Default)]
pub(crate) struct PoolPlan {
    pub(crate) steps: Vec<Step>,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) notes: Vec<String>,
}

/// The steps for all pools.
pub(crate) fn plan(config: &Config, state: &State) -> Vec<Step> {
    let (mut steps, mut mounts, mut destructive, mut refused) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for pool in &config.pools {
        let plan = plan_pool(pool, state);
        let (last, first) = in_order(plan.steps);
        // A place that is taken is no reason to leave other pools undone.
        let (last_of_all, first): (Vec<_>, Vec<_>) =
            first.into_iter().partition(|step| matches!(step.change, Change::MountAll { .. }));
        steps.extend(first);
        mounts.extend(last_of_all);
        destructive.extend(last);
        refused.extend(plan.refusals.into_iter().map(|refusal| refuse(pool, refusal)));
    }
    [steps, mounts, destructive, refused].concat()
}

/// What loses something, and what else changes the layout behind it, apart from the rest: a step that is not allowed keeps later
/// ones from being done, of other pools too.
fn in_order(steps: Vec<Step>) -> (Vec<Step>, Vec<Step>) {
    let at = steps.iter().position(|step| step.risk == Risk::Destructive).unwrap_or(steps.len());
    let is_last = |(index, step): &(usize, Step)| *index >= at && !step.change.devices().is_empty();
    let (last, first): (Vec<_>, Vec<_>) = steps.into_iter().enumerate().partition(is_last);
    let steps = |indexed: Vec<(usize, Step)>| indexed.into_iter().map(|(_, step)| step).collect();
    (steps(last), steps(first))
}

/// What is left as it is, and why, in one line each.
pub(crate) fn notes(config: &Config, state: &State) -> Vec<String> {
    config.pools.iter().flat_map(|pool| plan_pool(pool, state).notes).collect()
}

fn refuse(pool: &Pool, refusal: Refusal) -> Step {
    let Refusal { what, help } = refusal;
    let message = format!("pool {}: {what}", pool.name);
    let summary = format!("not done: {message}");
    PlannedStep::new("refuse", &pool.name, summary, Risk::Safe, Change::Refuse { message, help })
}

fn plan_pool(pool: &Pool, state: &State) -> PoolPlan {
    let by_guid = pool.wanted_guid().and_then(|guid| state.pools.iter().find(|active| active.guid == guid));
    let by_name = state.pool(&pool.name);
    let refused = |refusal| PoolPlan { refusals: vec![refusal], ..PoolPlan::default() };
    match (by_guid, by_name) {
        (Some(active), _) if active.status.name != pool.name => refused(Refusal::new(
            format!("the pool with the guid {} is imported as {}", active.guid, active.status.name),
            format!(
                "name it so in the configuration, or: zpool export {0}; then it is imported as {1}",
                active.status.name, pool.name
            ),
        )),
        (None, Some(active)) if pool.guid.is_some() => refused(Refusal::new(
            format!("another pool of this name is imported, with the guid {}", active.guid),
            "export it, or correct the guid",
        )),
        (_, Some(active)) => of_active(pool, active, state),
        (_, None) => absent(pool, state),
    }
}

fn of_active(pool: &Pool, active: &ActivePool, state: &State) -> PoolPlan {
    let mut plan = PoolPlan::default();
    report_health(pool, active, &mut plan);
    if !active.status.answers() {
        let what = format!("it is {}: {}", active.status.state, active.status.status);
        plan.refusals.push(Refusal::new(what, "bring its devices back, then: zpool clear"));
        return plan;
    }
    properties::of_pool(pool, active, &mut plan);
    let actual =
        Actual { name: &pool.name, guid: active.guid, layout: &active.status.layout, members: &active.members };
    let layout = layout::difference(pool, &actual, state);
    let is_boot_pool = active.holds_root || active.properties.get("bootfs").is_some_and(|bootfs| bootfs.value != "-");
    if is_boot_pool && !layout.steps.is_empty() {
        let what = "it is the pool that the machine boots from, whose layout is left alone";
        let help = "change it by hand, and install the boot loader on new devices";
        plan.refusals.push(Refusal::new(what, help));
        plan.notes.extend(layout.notes);
        return plan;
    }
    let changes_layout = !layout.steps.is_empty() || !layout.refusals.is_empty();
    plan.append(layout);
    if !changes_layout && !is_boot_pool {
        properties::growth(pool, active, &mut plan);
    }
    properties::of_root(pool, active, state, &mut plan);
    match state.record.to_mount.contains(&active.guid) {
        true => plan.steps.push(mount_all(pool, active.guid)),
        false => properties::mount_root(pool, active, state, &mut plan),
    }
    plan
}

impl PoolPlan {
    fn append(&mut self, other: Self) {
        // A layout that cannot be reached as a whole is not approached in part.
        if other.refusals.is_empty() {
            self.steps.extend(other.steps);
        }
        self.refusals.extend(other.refusals);
        self.notes.extend(other.notes);
    }
}

/// What the system says of a pool that wants nothing but what an upgrade would give it.
const MAY_BE_UPGRADED: &str = "features are not enabled";
/// Stands before how far a resilver has come.
const RESILVER: &str = ": a resilver is under way";

/// Tells what the system says of a pool: it is ONLINE, too, when a device or file has errors.
fn report_health(pool: &Pool, active: &ActivePool, plan: &mut PoolPlan) {
    let PoolStatus { state, status, scan, .. } = &active.status;
    let is_told = !status.is_empty() && !status.contains(MAY_BE_UPGRADED);
    if state != "ONLINE" || is_told {
        plan.notes.push(format!("pool {} is {state}: {status}", pool.name));
    }
    if active.status.is_resilvering() {
        let done = scan.split_whitespace().find(|word| word.ends_with('%')).map(|done| format!(", {done} done"));
        plan.notes.push(format!("pool {}{RESILVER}{}", pool.name, done.unwrap_or_default()));
    }
}

/// Whether two notes are the same, however far something has come.
pub(crate) fn is_same_note(one: &str, other: &str) -> bool {
    let stem = |note: &str| note.split_once(RESILVER).map(|(pool, _)| pool.to_owned());
    one == other || (stem(one).is_some() && stem(one) == stem(other))
}

fn absent(pool: &Pool, state: &State) -> PoolPlan {
    if let Some(why) = state.unsearched.get(&pool.name) {
        let what = format!("it cannot be looked for: {why}");
        let refusal = Refusal::new(what, "mend that, or name other directories with search");
        return PoolPlan { refusals: vec![refusal], ..PoolPlan::default() };
    }
    let chosen = choose(pool, state);
    // It may be in a directory that is not there, and is not made once more.
    if let (Some(missing), Ok(None) | Err(_)) = (state.missing.get(&pool.name), &chosen) {
        let why = chosen.err().map(|refusal| format!("; {}", refusal.what)).unwrap_or_default();
        let what = format!("it cannot be looked for in {}, which is not there{why}", missing.join(", "));
        let refusal = Refusal::new(what, "make or mount what search names, or take it out of search");
        return PoolPlan { refusals: vec![refusal], ..PoolPlan::default() };
    }
    match chosen {
        Ok(Some(found)) => import(pool, found, state),
        Ok(None) => create(pool, state),
        Err(refusal) => PoolPlan { refusals: vec![refusal], ..PoolPlan::default() },
    }
}

/// The pool to be imported; `None` when there is none, so that it is made.
fn choose<'a>(pool: &Pool, state: &'a State) -> Result<Option<&'a FoundPool>, Refusal> {
    if let Some(guid) = pool.wanted_guid() {
        let found = state.importable.iter().find(|found| found.pool.guid == guid);
        let nowhere = || {
            Refusal::new(
                format!("the pool with the guid {guid} is not on any device"),
                "attach its devices; or without the guid, another pool is made of the configured devices",
            )
        };
        return found.map(Some).ok_or_else(nowhere);
    }
    let named: Vec<_> = state.importable.iter().filter(|found| found.pool.name == pool.name).collect();
    let devices: Vec<_> = pool.devices().into_iter().filter_map(|(_, path)| state.device(path)).collect();
    let is_on_devices = |found: &&&FoundPool| {
        devices.iter().any(|device| device.label().is_some_and(|label| label.pool_guid == found.pool.guid))
    };
    let ours: Vec<_> = named.iter().filter(is_on_devices).copied().collect();
    let guids =
        |pools: &[&FoundPool]| pools.iter().map(|found| found.pool.guid.to_string()).collect::<Vec<_>>().join(", ");
    match (ours.as_slice(), named.as_slice()) {
        ([one], _) => Ok(Some(one)),
        ([], [one]) if devices.is_empty() => Ok(Some(one)),
        ([], []) if devices.is_empty() => Err(Refusal::new(
            "there is no pool of this name to be imported",
            "attach its devices; with vdevs it would be made",
        )),
        ([], []) => Ok(None),
        ([], named) if !devices.is_empty() => Err(Refusal::new(
            format!("a pool of this name is on other devices than configured (guid {})", guids(named)),
            "to import that one, set its guid and name its devices; to have both, choose another name",
        )),
        _ => Err(Refusal::new(
            format!("several pools of this name can be imported, with the guids {}", guids(&named)),
            "say which by its guid",
        )),
    }
}

fn import(pool: &Pool, found: &FoundPool, state: &State) -> PoolPlan {
    let mut plan = PoolPlan::default();
    if let Some(refusal) = cannot_import(&found.pool) {
        plan.refusals.push(refusal);
        return plan;
    }
    let guid = found.pool.guid;
    let renamed = (found.pool.name != pool.name).then(|| found.pool.name.clone());
    let mut summary = format!("import the pool {} (guid {guid})", pool.name);
    if let Some(old) = &renamed {
        summary += &format!(", which is called {old} until now");
    }
    if found.pool.state != "ONLINE" {
        plan.notes.push(format!("pool {} is {}: {}", pool.name, found.pool.state, found.pool.status));
    }
    let risk = if renamed.is_some() { Risk::Disruptive } else { Risk::Safe };
    let change = Change::Import {
        pool: pool.name.clone(),
        guid,
        old_name: renamed,
        directories: pool.search_directories(state.system),
    };
    plan.steps.push(PlannedStep::new("import", &pool.name, summary, risk, change).field("imported", false, true));
    // The root dataset may be configured to be elsewhere than where the pool was before.
    properties::after_import(pool, guid, &mut plan);
    plan.steps.push(mount_all(pool, guid));
    let actual = Actual { name: &pool.name, guid, layout: &found.pool.layout, members: &found.members };
    plan.append(layout::difference(pool, &actual, state));
    plan
}

fn mount_all(pool: &Pool, guid: u64) -> Step {
    let summary = format!("mount the file systems of the pool {}", pool.name);
    let change = Change::MountAll { pool: pool.name.clone(), guid };
    PlannedStep::new("mount", &pool.name, summary, Risk::Safe, change)
}

fn cannot_import(pool: &Importable) -> Option<Refusal> {
    // The system knows better what can be done.
    let help = |own: &str| if pool.action.is_empty() { own.to_owned() } else { format!("ZFS says: {}", pool.action) };
    if pool.is_imported_elsewhere() {
        let what = format!("another machine is using it now: {}", pool.status);
        return Some(Refusal::new(what, help("export it there")));
    }
    if pool.needs_force() {
        let what = format!("it can be imported by force only: {}", pool.status);
        return Some(Refusal::new(
            what,
            format!("if no other machine uses it any more: zpool import -f {}", pool.guid),
        ));
    }
    (!pool.is_usable()).then(|| {
        Refusal::new(
            format!("it is {}, so it cannot be imported: {}", pool.state, pool.status),
            help("bring its devices back"),
        )
    })
}

fn create(pool: &Pool, state: &State) -> PoolPlan {
    let mut plan = PoolPlan::default();
    if let Some((_, first)) = pool.unlike() {
        let what = format!("ZFS makes a pool by force only when a vdev is unlike the first one, a {first}");
        plan.refusals.push(Refusal::new(what, "give all its vdevs the same kind and number of devices"));
    }
    let mut devices = Devices::new(pool, state, None);
    for vdev in pool.wanted_data() {
        let ready = devices.group(&vdev);
        plan.refusals.extend(ready);
    }
    for vdev in pool.wanted_logs() {
        plan.refusals.extend(devices.loose(&vdev.devices));
    }
    plan.refusals.extend(devices.loose(&pool.cache));
    plan.refusals.extend(devices.loose(&pool.spares));
    // ZFS would not make it either.
    plan.refusals.extend(properties::no_place(pool, state));
    if !plan.refusals.is_empty() {
        return plan;
    }
    let text = |settings: &std::collections::BTreeMap<String, crate::config::Scalar>| {
        settings.iter().map(|(name, value)| (name.clone(), value.to_string())).collect::<Vec<_>>()
    };
    let creation = Creation {
        data: pool.wanted_data().into_iter().map(|vdev| (vdev.kind, vdev.devices)).collect(),
        logs: pool.wanted_logs().into_iter().map(|vdev| (vdev.kind, vdev.devices)).collect(),
        cache: pool.cache.clone(),
        spares: pool.spares.clone(),
        properties: text(&pool.properties),
        root_properties: text(&pool.root_properties),
    };
    let summary = devices.summary(format!("create the pool {} of {creation}", pool.name));
    let change = Change::Create { pool: pool.name.clone(), creation, devices: devices.approved };
    let risk = change.risk(Risk::Safe);
    plan.steps.push(PlannedStep::new("create", &pool.name, summary, risk, change).field("exists", false, true));
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use sysconfig_platform::zpool::parse_importable;

    #[test]
    fn what_zfs_says_about_a_pool_that_is_not_imported_is_passed_on() {
        let refused = |state: &str, status: &str, action: &str| {
            let text = format!(
                "   pool: tank\n     id: 7\n  state: {state}\n status: {status}\n action: {action}\n config:\n\n\ttank  {state}\n"
            );
            cannot_import(&parse_importable("look", &text).unwrap()[0]).map(|refusal| (refusal.what, refusal.help))
        };
        assert_eq!(refused("ONLINE", "", "The pool can be imported using its name."), None);
        let newer = "The pool uses the following feature(s) not supported by this system:\n\torg.example:new";
        let action = "Access the pool on a system that supports the required feature(s).";
        let (what, help) = refused("UNAVAIL", newer, action).unwrap();
        assert!(what.ends_with("not supported by this system: org.example:new"), "{what}");
        assert_eq!(help, format!("ZFS says: {action}"));
        let forced = "The pool can be imported using its name or numeric identifier and\n\tthe '-f' flag.";
        let (what, help) = refused("ONLINE", "The pool was last accessed by another system.", forced).unwrap();
        assert!(what.starts_with("it can be imported by force only") && help.ends_with("zpool import -f 7"), "{help}");
        let exported = "The pool must be exported from other (hostid=1)\n\tbefore it can be safely imported.";
        let (what, help) = refused("ONLINE", "The pool is currently imported by another system.", exported).unwrap();
        assert!(what.starts_with("another machine is using it now") && help.contains("exported from other"), "{help}");
        assert!(refused("UNAVAIL", "One or more devices are missing.", "").unwrap().1.contains("bring its devices"));
    }
}
