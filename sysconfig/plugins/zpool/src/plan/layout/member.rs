//! The devices of one vdev: which are in their places, which take another's, and which widen a mirror.

use super::super::devices::Devices;
use super::{Difference, Slot, Top};
use crate::change::Change;
use crate::config::WantedVdev;
use sysconfig_platform::System;
use sysconfig_platform::device::{self, Presence};
use sysconfig_platform::zpool::{Kind, Vdev};
use sysconfig_plugin::Risk;

impl Difference<'_> {
    /// A wanted vdev and the one of the pool that has some of its devices.
    pub(super) fn vdev(&mut self, vdev: &WantedVdev, top: &Top<'_>) {
        let mut free: Vec<&Slot<'_>> = top.slots.iter().collect();
        let mut missing = Vec::new();
        for path in &vdev.devices {
            match free.iter().position(|slot| slot.devices.iter().any(|member| self.is(path, member))) {
                Some(at) => {
                    let slot = free.remove(at);
                    self.present(path, &slot.devices);
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
        // Nothing is attached to what only stands in for another device, or is taking its place.
        let own = top.slots.iter().filter(|slot| slot.kind == Kind::Device).flat_map(|slot| &slot.devices);
        let partner = own.copied().find(|member| member.state == "ONLINE");
        for path in widening {
            match partner {
                Some(partner) => self.attach(partner, path),
                None => {
                    self.refuse(format!("{} has no member of its own that is online", top.describe()), "mend it first");
                }
            }
        }
        for (slot, path) in free.iter().zip(replacing) {
            self.replace_in(slot, path);
        }
        let free = free.split_off(replacing.len());
        for slot in free {
            let names: Vec<_> = slot.devices.iter().map(|member| member.name.as_str()).collect();
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
            // Nor is what was taken offline given up because another disk is in its place.
            (_, false, "OFFLINE") => {
                self.note(format!(
                    "{path} is OFFLINE, which is somebody's decision, and what is there now is another device"
                ));
            }
            (_, false, _) => self.replace(member, path),
        }
    }

    /// Puts a device in the place of what nobody configured.
    pub(super) fn replace_in(&mut self, slot: &Slot<'_>, path: &str) {
        let is_spare = |member: &&&Vdev| self.actual.layout.spares.iter().any(|spare| spare.name == member.name);
        let staying: Vec<_> = match slot.kind {
            // What stands in goes back by itself when the place is filled.
            Kind::Spare => slot.devices.iter().filter(|member| !is_spare(member)).collect(),
            _ => slot.devices.iter().collect(),
        };
        match staying[..] {
            [old] => self.replace(old, path),
            _ => {
                let names: Vec<_> = slot.devices.iter().map(|member| member.name.as_str()).collect();
                let what = format!("{} are just taking each other's place", names.join(" and "));
                self.refuse(what, "wait until that is done");
            }
        }
    }

    fn replace(&mut self, old: &Vdev, path: &str) {
        if self.state.system == System::Linux && device::is_kernel_name(path) {
            let what = format!("{path} may be another device after a reboot, so it takes no place in the pool");
            return self.refuse(what, "write its name in /dev/disk/by-id or by-path");
        }
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
}

fn words(paths: &[&String]) -> String {
    paths.iter().map(|path| path.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::{Actual, difference};
    use super::*;
    use crate::config::Pool;
    use crate::state::{Member, Members, State};
    use sysconfig_platform::fake::Machine;
    use sysconfig_platform::zpool::parse_status;

    /// What there is to do about a mirror of `c0t0d0` and `c0t1d0` whose configuration lines are these.
    fn planned(rows: &str, has_disk: bool) -> (Vec<String>, Vec<String>) {
        planned_with(rows, |machine| {
            if has_disk {
                machine.storage(|storage| storage.add_disk("c0t1d0", 128 << 20));
            }
        })
    }

    fn planned_with(rows: &str, furnish: impl FnOnce(&Machine)) -> (Vec<String>, Vec<String>) {
        planned_as("/dev/dsk/c0t1d0", rows, furnish)
    }

    fn planned_as(second: &str, rows: &str, furnish: impl FnOnce(&Machine)) -> (Vec<String>, Vec<String>) {
        planned_of(&["/dev/dsk/c0t0d0", second], rows, furnish)
    }

    fn planned_of(mirror: &[&str], rows: &str, furnish: impl FnOnce(&Machine)) -> (Vec<String>, Vec<String>) {
        let (_directory, host, machine) = Machine::start(System::Illumos);
        furnish(&machine);
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
            "name": "tank", "vdevs": [{ "mirror": mirror }], "spares": ["/dev/dsk/c0t9d0"],
        }))
        .unwrap();
        let devices = pool.devices().into_iter().map(|(_, path)| device::look(&host, path)).collect();
        let state = State {
            system: System::Illumos,
            pools: Vec::new(),
            importable: Vec::new(),
            devices,
            record: crate::record::Record::default(),
            occupied: std::collections::BTreeMap::new(),
            unsearched: std::collections::BTreeMap::new(),
            missing: std::collections::BTreeMap::new(),
        };
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

    /// The spare goes back by itself when that is done.
    #[test]
    fn a_member_that_a_spare_stands_in_for_is_replaced_by_another_disk() {
        let (steps, notes) = planned_as("/dev/dsk/c0t5d0", SPARE, |machine| {
            drop(machine.storage(|storage| storage.add_disk("c0t5d0", 128 << 20)));
        });
        let replaced = "replace /dev/dsk/c0t1d0s0 of the pool tank by /dev/dsk/c0t5d0".to_owned();
        assert_eq!((steps, notes), (vec![replaced], vec![]));
    }

    /// ZFS attaches to no device that only stands in for another one.
    #[test]
    fn a_mirror_is_widened_at_a_member_of_its_own() {
        let (spare, own) = (SPARE.find("\t    spare-1").unwrap(), SPARE.find("\t    /dev/dsk/c0t0d0s0").unwrap());
        let end = SPARE.find("\tspares").unwrap();
        let rows = [&SPARE[..own], &SPARE[spare..end], &SPARE[own..spare], &SPARE[end..]].concat();
        let (steps, notes) = planned_of(&["/dev/dsk/c0t0d0", "/dev/dsk/c0t1d0", "/dev/dsk/c0t5d0"], &rows, |machine| {
            drop(machine.storage(|storage| storage.add_disk("c0t5d0", 128 << 20)));
        });
        let attached = "attach /dev/dsk/c0t5d0 to /dev/dsk/c0t0d0s0 of the pool tank".to_owned();
        assert_eq!((steps, notes), (vec![attached], vec!["pool tank: /dev/dsk/c0t1d0 is missing".to_owned()]));
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
        let said = |furnish: fn(&Machine)| {
            let (steps, notes) = planned_with(rows, furnish);
            assert_eq!((&steps[..], notes.len()), (&[][..], 1), "{notes:?}");
            notes[0].trim_start_matches("pool tank: /dev/dsk/c0t1d0 is ").to_owned()
        };
        assert_eq!(said(|_| {}), "missing");
        let own = said(|machine| {
            machine.storage(|storage| storage.add_disk("c0t1d0", 128 << 20));
            machine.storage(|storage| storage.next_guid_is(7));
            machine.type_in("zpool create tank /dev/dsk/c0t1d0");
        });
        assert_eq!(own, "OFFLINE, which is somebody's decision or its own failure");
        let blank = said(|machine| drop(machine.storage(|storage| storage.add_disk("c0t1d0", 128 << 20))));
        assert_eq!(blank, "OFFLINE, which is somebody's decision, and what is there now is another device");
    }
}
