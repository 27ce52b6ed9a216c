//! The vdevs: which of the wanted ones are there, what can be added to them, and what cannot.
//!
//! Two devices are the same when their guids are, or else their names. What a pool has and nobody configured stays.

use super::devices::Devices;
use super::{PoolPlan, Refusal, Step};
use crate::change::{Change, Role};
use crate::config::{Pool, WantedVdev};
use crate::state::{Members, State};
use std::fmt;
use sysconfig_platform::device::{Device, Presence};
use sysconfig_platform::zpool::{Kind, Layout, Vdev};
use sysconfig_plugin::{PlannedStep, Risk};

/// A pool as it is, imported or about to be.
pub(super) struct Actual<'a> {
    pub(super) name: &'a str,
    pub(super) guid: u64,
    pub(super) layout: &'a Layout,
    pub(super) members: &'a Members,
}

/// A place in a vdev: one device, or while one takes the place of another, both.
type Slot<'a> = Vec<&'a Vdev>;

/// A vdev of the pool as the configuration sees it.
struct Top<'a> {
    name: &'a str,
    kind: Kind,
    slots: Vec<Slot<'a>>,
}

impl<'a> Top<'a> {
    fn of(vdev: &'a Vdev) -> Self {
        let (kind, slots) = match vdev.kind {
            Kind::Device | Kind::Replacing | Kind::Spare => (Kind::Device, vec![vdev.devices()]),
            kind => (kind, vdev.members.iter().map(Vdev::devices).collect()),
        };
        Self { name: &vdev.name, kind, slots }
    }

    fn describe(&self) -> String {
        let devices: Vec<_> = self.slots.iter().flatten().map(|device| device.name.as_str()).collect();
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
        for (at, vdev) in absent {
            match tops.get(at) {
                // A single device in the place of another one is its replacement: adding it would be for good.
                Some(top) if same_number && !taken[at] && vdev.kind == Kind::Device && top.kind == Kind::Device => {
                    taken[at] = true;
                    self.replace(&top.slots[0], &vdev.devices[0]);
                }
                _ => {
                    let others = taken.iter().zip(&tops).filter(|(taken, _)| !**taken);
                    let others: Vec<_> = others.map(|(_, top)| top.describe()).collect();
                    self.new_vdev(vdev, role, &others, shapes.first().copied());
                }
            }
        }
        for (_, top) in taken.iter().zip(&tops).filter(|(taken, _)| !**taken) {
            self.note(format!("{} is not in the configuration, and stays", top.describe()));
        }
    }

    /// `others` are vdevs of the pool that nobody configured, and `shape` is what those that it keeps look like.
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

    /// A wanted vdev and the one of the pool that has some of its devices.
    fn vdev(&mut self, vdev: &WantedVdev, top: &Top<'_>) {
        let mut free: Vec<&Slot<'_>> = top.slots.iter().collect();
        let mut missing = Vec::new();
        for path in &vdev.devices {
            match free.iter().position(|slot| slot.iter().any(|member| self.is(path, member))) {
                Some(at) => {
                    let slot = free.remove(at);
                    self.present(path, slot);
                }
                None => missing.push(path),
            }
        }
        match (vdev.kind, top.kind) {
            (wanted, actual) if wanted == actual => {}
            (Kind::Mirror, Kind::Device) | (Kind::Device, Kind::Mirror) => {}
            (wanted, _) => {
                let what =
                    format!("{} cannot become a {} of {}", top.describe(), wanted.word(), vdev.devices.join(", "));
                return self.refuse(what, "the kind of a vdev cannot be changed; make another pool and copy the data");
            }
        }
        let can_grow = vdev.kind == Kind::Mirror;
        if !can_grow && missing.len() > free.len() {
            let what = format!("{} cannot get more members: {}", top.describe(), words(&missing));
            return self.refuse(what, "a raidz keeps its number of devices; add another one of the same number");
        }
        // Each missing device takes a place that nobody configured, in order; only what is left widens a mirror, and that
        // first, while the member that it is attached to is still there.
        let (replacing, widening) = missing.split_at(free.len().min(missing.len()));
        let partner = top.slots.iter().flatten().find(|member| member.state == "ONLINE");
        for path in widening {
            match partner {
                Some(partner) => self.attach(partner, path),
                None => self.refuse(format!("{} has no member that is online", top.describe()), "mend it first"),
            }
        }
        for (slot, path) in free.iter().zip(replacing) {
            self.replace(slot, path);
        }
        let free = free.split_off(replacing.len());
        for slot in free {
            let names: Vec<_> = slot.iter().map(|member| member.name.as_str()).collect();
            let note = format!("{} in {} is not in the configuration, and stays", names.join(", "), top.name);
            self.note(note);
        }
    }

    /// A device in its place: perhaps it was lost, has come back, or another one is there now.
    fn present(&mut self, path: &str, slot: &[&Vdev]) {
        let Some(device) = self.state.device(path) else { return };
        let is_well = |member: &&Vdev| !matches!(member.state.as_str(), "UNAVAIL" | "REMOVED" | "FAULTED" | "OFFLINE");
        let named: Vec<_> = slot.iter().copied().filter(|member| self.is(path, member)).collect();
        // A spare may stand in for it, and what takes its place in the same slot is called as it was.
        let Some(member) = named.first().copied().filter(|_| !named.iter().any(is_well)) else { return };
        // What the pool knows the lost member by, and not what is written on what stands in its place.
        let guid = member.shown_guid();
        let is_same = device
            .label()
            .is_some_and(|label| label.pool_guid == self.actual.guid && guid.is_none_or(|guid| label.guid == guid));
        match (&device.presence, is_same, member.state.as_str()) {
            (Presence::Absent, ..) => self.note(format!("{path} is missing")),
            (_, true, "UNAVAIL" | "REMOVED") => {
                let summary = format!("use {path} in the pool {} again", self.actual.name);
                let (device, path) = (member.name.clone(), path.to_owned());
                self.step("online", summary, Risk::Safe, |pool, guid| Change::Online { pool, guid, device, path });
            }
            (_, true, state) => {
                self.note(format!("{path} is {state}, which is somebody's decision or its own failure"));
            }
            (_, false, _) => self.replace(&[member], path),
        }
    }

    fn replace(&mut self, slot: &[&Vdev], path: &str) {
        let [old] = slot else {
            let names: Vec<_> = slot.iter().map(|member| member.name.as_str()).collect();
            return self.refuse(
                format!("{} are just taking each other's place", names.join(" and ")),
                "wait until that is done",
            );
        };
        let mut devices = Devices::new(self.pool, self.state, Some(self.actual.guid));
        let bytes = match devices.approve(path) {
            Ok(content) => content.bytes,
            Err(refusal) => return self.plan.refusals.push(refusal),
        };
        let old_bytes = self.actual.members.get(&old.name).and_then(|member| member.bytes);
        if let Some(old_bytes) = old_bytes.filter(|old_bytes| bytes < *old_bytes) {
            let what =
                format!("{path} is smaller than {}, which it is to replace ({bytes} and {old_bytes} bytes)", old.name);
            return self.refuse(what, "choose a device that is at least as large");
        }
        let what = format!("replace {} of the pool {} by {path}", old.path().unwrap_or(&old.name), self.actual.name);
        let summary = devices.summary(what);
        let (old, new) = (old.name.clone(), devices.approved.remove(0));
        self.step("replace", summary, Risk::Disruptive, |pool, guid| Change::Replace { pool, guid, old, new });
    }

    fn attach(&mut self, partner: &Vdev, path: &str) {
        let mut devices = Devices::new(self.pool, self.state, Some(self.actual.guid));
        if let Err(refusal) = devices.approve(path) {
            return self.plan.refusals.push(refusal);
        }
        let summary = devices.summary(format!("attach {path} to {} of the pool {}", partner.name, self.actual.name));
        let (to, new) = (partner.name.clone(), devices.approved.remove(0));
        self.step("attach", summary, Risk::Safe, |pool, guid| Change::Attach { pool, guid, to, new });
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
        vdev.devices.iter().any(|path| top.slots.iter().flatten().any(|member| self.is(path, member)))
    }

    /// Whether a configured device is a member of the pool: by guid where both have one, or else by name.
    fn is(&self, path: &str, member: &Vdev) -> bool {
        let (Some(device), Some(known)) = (self.state.device(path), self.actual.members.get(&member.name)) else {
            return false;
        };
        let by_name = known.names.as_ref().is_some_and(|names| names.same(&device.names));
        by_name || matches!((self.own_guid(device), known.guid), (Some(one), Some(other)) if one == other)
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

fn words(paths: &[&String]) -> String {
    paths.iter().map(|path| path.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Member;
    use sysconfig_platform::System;
    use sysconfig_platform::device;
    use sysconfig_platform::fake::Machine;
    use sysconfig_platform::zpool::parse_status;

    /// What there is to do about a mirror of `c0t0d0` and `c0t1d0` whose configuration lines are these.
    fn planned(rows: &str, has_disk: bool) -> (Vec<String>, Vec<String>) {
        let (_directory, host, machine) = Machine::start(System::Illumos);
        if has_disk {
            machine.storage(|storage| storage.add_disk("c0t1d0", 128 << 20));
        }
        let text = format!(
            "  pool: tank\n state: DEGRADED\nconfig:\n\n\tNAME                         STATE     READ WRITE CKSUM\n\ttank                         DEGRADED     0     0     0\n{rows}"
        );
        let status = parse_status("look", &text).unwrap().remove(0);
        let member = |vdev: &Vdev| Member {
            names: vdev.path().map(|path| device::names(&host, path)),
            guid: vdev.shown_guid(),
            bytes: None,
            lost: crate::state::is_lost(vdev),
        };
        let members: Members =
            status.layout.devices().into_iter().map(|vdev| (vdev.name.clone(), member(vdev))).collect();
        let pool: Pool = serde_json::from_value(serde_json::json!({
            "name": "tank", "vdevs": [{ "mirror": ["/dev/dsk/c0t0d0", "/dev/dsk/c0t1d0"] }], "spares": ["/dev/dsk/c0t9d0"],
        }))
        .unwrap();
        let devices = pool.devices().into_iter().map(|(_, path)| device::look(&host, path)).collect();
        let state = State { system: System::Illumos, pools: Vec::new(), importable: Vec::new(), devices };
        let actual = Actual { name: "tank", guid: 7, layout: &status.layout, members: &members };
        let plan = difference(&pool, &actual, &state);
        assert_eq!(plan.refusals, []);
        (plan.steps.into_iter().map(|step| step.summary).collect(), plan.notes)
    }

    const SPARE: &str = "\t  mirror-0                   DEGRADED     0     0     0\n\
        \t    /dev/dsk/c0t0d0s0        ONLINE       0     0     0\n\
        \t    spare-1                  DEGRADED     0     0     0\n\
        \t      1339667020650979168    UNAVAIL      0     0     0  was /dev/dsk/c0t1d0s0\n\
        \t      /dev/dsk/c0t9d0s0      ONLINE       0     0     0\n\
        \tspares\n\t  /dev/dsk/c0t9d0s0          INUSE     currently in use\n";

    #[test]
    fn a_member_that_a_spare_stands_in_for_is_replaced_when_a_blank_disk_is_in_its_place() {
        let (steps, notes) = planned(SPARE, false);
        assert_eq!((steps, notes), (vec![], vec!["pool tank: /dev/dsk/c0t1d0 is missing".to_owned()]));
        let (steps, notes) = planned(SPARE, true);
        let replaced = "replace /dev/dsk/c0t1d0s0 of the pool tank by /dev/dsk/c0t1d0".to_owned();
        assert_eq!((steps, notes), (vec![replaced], vec![]));
    }

    #[test]
    fn a_replacement_in_the_same_place_is_not_begun_again() {
        let rows = SPARE.replace("spare-1    ", "replacing-1").replace("c0t9d0s0      ONLINE", "c0t1d0s0      ONLINE");
        assert_eq!(planned(&rows, true), (vec![], vec![]));
    }

    #[test]
    fn a_member_that_somebody_took_offline_stays_so() {
        let rows = "\t  mirror-0                   DEGRADED     0     0     0\n\
            \t    /dev/dsk/c0t0d0s0        ONLINE       0     0     0\n\
            \t    /dev/dsk/c0t1d0s0        OFFLINE      0     0     0\n\tspares\n\t  /dev/dsk/c0t9d0s0          AVAIL\n";
        let (steps, notes) = planned(rows, false);
        assert_eq!((steps.len(), notes.len()), (0, 1), "{steps:?} {notes:?}");
    }
}
