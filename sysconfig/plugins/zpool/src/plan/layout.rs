//! The vdevs: which of the wanted ones are there, what can be added to them, and what cannot.
//!
//! `member` is about the devices of one vdev. Two devices are the same when their guids are, or else their names. What a pool has and nobody configured stays.

mod member;

use super::devices::Devices;
use super::{PoolPlan, Refusal, Step};
use crate::change::{Change, Role};
use crate::config::{Pool, WantedVdev};
use crate::state::{Members, State};
use std::fmt;
use sysconfig_platform::device::Device;
use sysconfig_platform::zpool::{Kind, Layout, Vdev};
use sysconfig_plugin::{PlannedStep, Risk};

/// A pool as it is, imported or about to be.
pub(super) struct Actual<'a> {
    pub(super) name: &'a str,
    pub(super) guid: u64,
    pub(super) layout: &'a Layout,
    pub(super) members: &'a Members,
}

/// A place in a vdev: one device, or while one takes the place of another or stands in for it, both.
struct Slot<'a> {
    /// Why there are several, if there are.
    kind: Kind,
    devices: Vec<&'a Vdev>,
}

impl<'a> Slot<'a> {
    fn of(vdev: &'a Vdev) -> Self {
        Self { kind: vdev.kind, devices: vdev.devices() }
    }
}

/// A vdev of the pool as the configuration sees it.
struct Top<'a> {
    name: &'a str,
    kind: Kind,
    slots: Vec<Slot<'a>>,
}

impl<'a> Top<'a> {
    fn of(vdev: &'a Vdev) -> Self {
        let (kind, slots) = match vdev.kind {
            Kind::Device | Kind::Replacing | Kind::Spare => (Kind::Device, vec![Slot::of(vdev)]),
            kind => (kind, vdev.members.iter().map(Slot::of).collect()),
        };
        Self { name: &vdev.name, kind, slots }
    }

    /// Every device in it.
    fn devices(&self) -> impl Iterator<Item = &'a Vdev> {
        self.slots.iter().flat_map(|slot| slot.devices.iter().copied())
    }

    fn describe(&self) -> String {
        let devices: Vec<_> = self.devices().map(|device| device.name.as_str()).collect();
        match self.kind {
            Kind::Device => devices.join(", "),
            _ => format!("{} ({})", self.name, devices.join(", ")),
        }
    }
}

struct Difference<'a> {
    pool: &'a Pool,
    actual: &'a Actual<'a>,
    state: &'a State,
    plan: PoolPlan,
}

/// The steps from one layout to the other.
pub(super) fn difference(pool: &Pool, actual: &Actual<'_>, state: &State) -> PoolPlan {
    let mut difference = Difference { pool, actual, state, plan: PoolPlan::default() };
    if !pool.vdevs.is_empty() {
        difference.vdevs(&pool.wanted_data(), &actual.layout.data, Role::Data);
    }
    difference.vdevs(&pool.wanted_logs(), &actual.layout.logs, Role::Log);
    difference.single(&pool.cache, &actual.layout.cache, Role::Cache);
    difference.single(&pool.spares, &actual.layout.spares, Role::Spare);
    difference.plan
}

impl Difference<'_> {
    fn vdevs(&mut self, wanted: &[WantedVdev], actual: &[Vdev], role: Role) {
        let tops: Vec<_> = actual.iter().map(Top::of).collect();
        let mut taken = vec![false; tops.len()];
        // What the vdevs are once everything before an addition is done.
        let mut shapes: Vec<_> = tops.iter().map(|top| (top.kind, top.slots.len())).collect();
        let mut absent = Vec::new();
        for (at, vdev) in wanted.iter().enumerate() {
            let found: Vec<_> = (0..tops.len()).filter(|top| self.shares(vdev, &tops[*top])).collect();
            match found.as_slice() {
                [] => absent.push((at, vdev)),
                [top] if !taken[*top] => {
                    taken[*top] = true;
                    self.vdev(vdev, &tops[*top]);
                    if vdev.kind == Kind::Mirror && matches!(tops[*top].kind, Kind::Device | Kind::Mirror) {
                        shapes[*top] = (Kind::Mirror, tops[*top].slots.len().max(vdev.devices.len()));
                    }
                }
                _ => {
                    let names: Vec<_> = found.iter().map(|top| tops[*top].describe()).collect();
                    let what = format!(
                        "the devices {} are not in one vdev of their own, but in {}",
                        vdev.devices.join(", "),
                        names.join(" and ")
                    );
                    self.refuse(what, "vdevs cannot be joined or divided; write them as they are");
                }
            }
        }
        let same_number = wanted.len() == tops.len();
        // Where nothing is as configured, the pool may be another one of the same name, unless its guid says that it is meant.
        let is_known = role != Role::Data
            || taken.contains(&true)
            || tops.is_empty()
            || self.pool.wanted_guid() == Some(self.actual.guid);
        for (at, vdev) in absent {
            match tops.get(at) {
                _ if !is_known => {
                    let has: Vec<_> = tops.iter().map(Top::describe).collect();
                    let what = format!(
                        "none of {} is in the pool, which has {} instead",
                        vdev.devices.join(", "),
                        has.join(" and ")
                    );
                    let help = format!(
                        "if it is the pool that is meant, say so with guid = \"{}\"; else choose another name",
                        self.actual.guid
                    );
                    self.refuse(what, &help);
                }
                // A single device in the place of another one is its replacement: adding it would be for good.
                Some(top) if same_number && !taken[at] && vdev.kind == Kind::Device && top.kind == Kind::Device => {
                    taken[at] = true;
                    self.replace_in(&top.slots[0], &vdev.devices[0]);
                }
                _ => {
                    let others = taken.iter().zip(&tops).filter(|(taken, _)| !**taken);
                    let others: Vec<_> = others.map(|(_, top)| top.describe()).collect();
                    // ZFS itself holds a new one against the others only where these are alike.
                    let shape = shapes.first().filter(|first| shapes.iter().all(|shape| shape == *first));
                    self.new_vdev(vdev, role, &others, shape.copied());
                }
            }
        }
        for (_, top) in taken.iter().zip(&tops).filter(|(taken, _)| !**taken) {
            self.note(format!("{} is not in the configuration, and stays", top.describe()));
        }
    }

    /// `others` are vdevs of the pool that nobody configured, and `shape` is what those that it keeps look like, if they are alike.
    fn new_vdev(&mut self, vdev: &WantedVdev, role: Role, others: &[String], shape: Option<(Kind, usize)>) {
        if role == Role::Data && !others.is_empty() {
            // Whether it is to be added or to take a place is a guess, and a vdev that was added stays.
            let what = format!(
                "none of {} is in the pool, which has {} instead",
                vdev.devices.join(", "),
                others.join(" and ")
            );
            return self
                .refuse(what, "name all vdevs of the pool to add one, and replace devices of a group one by one");
        }
        if let (Role::Data, Some((kind, number))) = (role, shape) {
            if (kind, number) != (vdev.kind, vdev.devices.len()) {
                let what = format!(
                    "a {} of {} beside a {} of {number} is something that ZFS does by force only",
                    vdev.kind.word(),
                    vdev.devices.len(),
                    kind.word()
                );
                return self.refuse(what, "add vdevs that are like those that the pool has");
            }
        }
        let mut devices = Devices::new(self.pool, self.state, Some(self.actual.guid));
        let refusals = if role == Role::Data { devices.group(vdev) } else { devices.loose(&vdev.devices) };
        if !refusals.is_empty() {
            return self.plan.refusals.extend(refusals);
        }
        let what = match vdev.kind {
            Kind::Device => vdev.devices.join(", "),
            kind => format!("a {} of {}", kind.word(), vdev.devices.join(", ")),
        };
        let tail = if role == Role::Data { ", for good" } else { "" };
        let summary =
            devices.summary(format!("add {what} to the {} of the pool {}{tail}", role.word(), self.actual.name));
        // What is added for data can in general not be taken away again.
        let least = if role == Role::Data { Risk::Disruptive } else { Risk::Safe };
        self.step("add", summary, least, |pool, guid| Change::Add {
            pool,
            guid,
            role,
            kind: vdev.kind,
            devices: devices.approved,
        });
    }

    fn single(&mut self, wanted: &[String], actual: &[Vdev], role: Role) {
        for path in wanted {
            if !actual.iter().any(|vdev| self.is(path, vdev)) {
                let vdev = WantedVdev { kind: Kind::Device, devices: vec![path.clone()] };
                self.new_vdev(&vdev, role, &[], None);
            }
        }
        let others: Vec<_> = actual.iter().filter(|vdev| !wanted.iter().any(|path| self.is(path, vdev))).collect();
        for vdev in others {
            self.note(format!("{} among the {} is not in the configuration, and stays", vdev.name, role.word()));
        }
    }

    fn shares(&self, vdev: &WantedVdev, top: &Top<'_>) -> bool {
        vdev.devices.iter().any(|path| top.devices().any(|member| self.is(path, member)))
    }

    /// Whether a configured device is a member of the pool: by path, by guid where both have one, or else by what else it is called.
    fn is(&self, path: &str, member: &Vdev) -> bool {
        let (Some(device), Some(known)) = (self.state.device(path), self.actual.members.get(&member.name)) else {
            return false;
        };
        let names = known.names.as_ref();
        let by_path = names.is_some_and(|names| names.same_by_path(&device.names));
        by_path
            || match (self.own_guid(device), known.guid) {
                // Two disks may give the same identifier.
                (Some(one), Some(other)) => one == other,
                _ => names.is_some_and(|names| names.same(&device.names)),
            }
    }

    /// The guid on a device, if it is of this pool; spares and caches do not say.
    fn own_guid(&self, device: &Device) -> Option<u64> {
        let label = device.label()?;
        (label.guid != 0 && (label.pool_guid == self.actual.guid || label.pool_guid == 0)).then_some(label.guid)
    }

    fn step(&mut self, action: &str, summary: String, least: Risk, change: impl FnOnce(String, u64) -> Change) {
        let change = change(self.actual.name.to_owned(), self.actual.guid);
        let risk = change.risk(least);
        let step: Step = PlannedStep::new(action, self.actual.name, summary, risk, change);
        self.plan.steps.push(step);
    }

    fn refuse(&mut self, what: impl Into<String>, help: &str) {
        self.plan.refusals.push(Refusal::new(what, help));
    }

    fn note(&mut self, what: impl fmt::Display) {
        self.plan.notes.push(format!("pool {}: {what}", self.actual.name));
    }
}
