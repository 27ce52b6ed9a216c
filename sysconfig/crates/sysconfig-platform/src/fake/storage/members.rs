//! Commands about single devices of pools.

use super::super::failed;
use super::Storage;
use super::pool::{Device, Slot, Top};
use super::vdevs::Refused;
use crate::zpool::Kind;

impl Storage {
    pub(super) fn attach(&mut self, name: &str, old: &str, new: &str, force: bool) -> Result<(), Refused> {
        self.pool(name)?;
        self.one(new, force)?;
        let bytes = self.size(new).unwrap_or(0);
        let old_path = self.label_path(old).unwrap_or_default();
        let device = self.member_unless_small(name, &old_path, bytes, new)?;
        let pool = self.pools.get_mut(name).expect("the pool was just there");
        let (top, at) =
            pool.slot_mut(|device| device.path == old || device.path == old_path).expect("it was looked up");
        match top.kind {
            Kind::Device | Kind::Mirror => {}
            _ => {
                return Err(failed(
                    1,
                    format!("cannot attach {new} to {old}: can only attach to mirrors and top-level disks\n"),
                ));
            }
        }
        top.kind = Kind::Mirror;
        top.slots.insert(at + 1, Slot { device, old: None, stand_in: None });
        let pool = pool.clone();
        self.write_labels(&pool, 0);
        Ok(())
    }

    pub(super) fn replace(&mut self, name: &str, old: &str, new: &str, force: bool) -> Result<(), Refused> {
        self.pool(name)?;
        self.one(new, force)?;
        let bytes = self.size(new).unwrap_or(0);
        let old_path = self.label_path(old).unwrap_or_default();
        let device = self.member_unless_small(name, &old_path, bytes, new)?;
        let looks = self.resilver_looks;
        let matches = |device: &Device| device.path == old || device.path == old_path || device.guid.to_string() == old;
        let pool = self.pools.get_mut(name).expect("the pool was just there");
        let Some((top, at)) = pool.slot_mut(matches) else {
            return Err(failed(1, format!("cannot replace {old} with {new}: no such device in pool\n")));
        };
        let slot = &mut top.slots[at];
        let old = std::mem::replace(&mut slot.device, device);
        // The spare goes back when the place is filled.
        slot.stand_in = None;
        match (old.lost, looks) {
            (false, 1..) => slot.old = Some((old, looks)),
            (false, 0) => self.clear_labels(&old),
            // What is gone cannot be copied from.
            (true, _) => {}
        }
        let pool = self.pools[name].clone();
        self.write_labels(&pool, 0);
        Ok(())
    }

    /// Lets a spare stand in for a member, as the fault management does when that is lost.
    ///
    /// # Panics
    /// When there is no such pool, member or spare.
    pub fn stand_in(&mut self, name: &str, member: &str, spare: &str) {
        let (member, spare) = (self.label_path(member), self.label_path(spare));
        let pool = self.pools.get_mut(name).expect("there is the pool");
        let spare = pool.spares.iter().find(|device| Some(&device.path) == spare.as_ref()).cloned();
        let (top, at) = pool.slot_mut(|device| Some(&device.path) == member.as_ref()).expect("there is the member");
        top.slots[at].stand_in = Some(spare.expect("there is the spare"));
    }

    fn one(&self, path: &str, force: bool) -> Result<(), Refused> {
        if self.size(path).is_none() {
            return Err(failed(1, format!("cannot open '{path}': No such device or address\n")));
        }
        self.free(path, force)
    }

    fn member_unless_small(&mut self, name: &str, old: &str, bytes: u64, new: &str) -> Result<Device, Refused> {
        let pool = &self.pools[name];
        let found = pool.devices().into_iter().find(|device| device.path == old || device.guid.to_string() == old);
        let Some(found) = found else {
            return Err(failed(1, format!("cannot attach {new} to {old}: no such device in pool\n")));
        };
        // The partition table takes a little of a whole disk.
        if bytes < found.bytes {
            return Err(failed(1, format!("cannot replace {old} with {new}: device is too small\n")));
        }
        Ok(self.member(new))
    }

    pub(super) fn detach(&mut self, name: &str, device: &str) -> Result<(), Refused> {
        self.pool(name)?;
        let pool = self.pools.get_mut(name).expect("the pool was just there");
        let Some((top, at)) = pool.slot_mut(|member| member.path == device) else {
            return Err(failed(1, format!("cannot detach {device}: no such device in pool\n")));
        };
        if top.kind != Kind::Mirror {
            return Err(failed(1, format!("cannot detach {device}: only applicable to mirror and replacing vdevs\n")));
        }
        let slot = top.slots.remove(at);
        if top.slots.len() == 1 {
            top.kind = Kind::Device;
        }
        self.clear_labels(&slot.device);
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str, device: &str) -> Result<(), Refused> {
        self.pool(name)?;
        let pool = self.pools.get_mut(name).expect("the pool was just there");
        let mut gone: Vec<Device> = Vec::new();
        for list in [&mut pool.cache, &mut pool.spares] {
            gone.extend(list.iter().filter(|member| member.path == device).cloned());
            list.retain(|member| member.path != device);
        }
        let first = pool.data.len();
        let is_it = |at: usize, top: &Top| match top.kind {
            Kind::Device => top.slots[0].device.path == device,
            kind => format!("{}-{}", kind.word(), first + at) == device,
        };
        if let Some(at) = (0..pool.logs.len()).find(|at| is_it(*at, &pool.logs[*at])) {
            gone.extend(pool.logs.remove(at).slots.into_iter().map(|slot| slot.device));
        }
        if gone.is_empty() {
            return Err(failed(
                1,
                format!(
                    "cannot remove {device}: only inactive hot spares, cache, top-level, or log devices can be removed\n"
                ),
            ));
        }
        gone.iter().for_each(|device| self.clear_labels(device));
        Ok(())
    }

    pub(super) fn online(&mut self, name: &str, device: &str, expand: bool) -> Result<(), Refused> {
        self.pool(name)?;
        let mut pool = self.pools[name].clone();
        let path = self.label_path(device).unwrap_or_default();
        let is_it = |member: &Device| member.path == device || member.path == path || member.guid.to_string() == device;
        let mut found = false;
        for member in pool.devices_mut().into_iter().filter(|member| is_it(member)) {
            found = true;
            member.lost = self.label(&member.path).is_none_or(|label| label.guid != member.guid);
            if expand {
                member.bytes = self.room(member);
            }
        }
        if !found {
            return Err(failed(1, format!("cannot online {device}: no such device in pool\n")));
        }
        self.write_labels(&pool, 0);
        self.pools.insert(name.to_owned(), pool);
        Ok(())
    }
}
