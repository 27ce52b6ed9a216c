//! Pools and their vdevs.

use super::FakeDataset;
use crate::zpool::Kind;
use std::collections::BTreeMap;

/// A pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// What it is known by.
    pub guid: u64,
    /// Properties that were set.
    pub properties: BTreeMap<String, String>,
    /// What is in it while it is not imported, by the part of the name behind the pool's; then that is with the others.
    pub(super) datasets: BTreeMap<String, FakeDataset>,
    /// Vdevs for data.
    pub data: Vec<Top>,
    /// The intent log.
    pub logs: Vec<Top>,
    /// Cache devices.
    pub cache: Vec<Device>,
    /// Spares.
    pub spares: Vec<Device>,
    /// Whether another machine was the last one that used it, and did not let go of it.
    pub foreign: bool,
}

/// A vdev below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Top {
    /// What it is.
    pub kind: Kind,
    /// Its places.
    pub slots: Vec<Slot>,
}

/// A place for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The device.
    pub device: Device,
    /// The one that it replaces, and for how many looks still.
    pub old: Option<(Device, u32)>,
    /// The spare that stands in for the device.
    pub stand_in: Option<Device>,
}

/// A device of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its path as the label has it: `/dev/dsk/c1t0d0s0`.
    pub path: String,
    /// What it is known by; 0 for one that is just there, without a label that anybody could look at.
    pub guid: u64,
    /// How much of it is used, in bytes.
    pub bytes: u64,
    /// Set when it was found to be gone, until it is taken back.
    pub lost: bool,
}

impl Device {
    /// Whether it is just there.
    pub(super) fn is_given(&self) -> bool {
        self.guid == 0
    }
}

impl Pool {
    /// A pool that is just there, on a device that nobody can look at.
    pub(super) fn given(name: &str, guid: u64, bytes: u64) -> Self {
        let device = Device { path: format!("/dev/dsk/of-{name}"), guid: 0, bytes, lost: false };
        let top = Top { kind: Kind::Device, slots: vec![Slot { device, old: None, stand_in: None }] };
        Self::new(name, guid, vec![top])
    }

    /// A pool of some vdevs for data.
    pub(super) fn new(name: &str, guid: u64, data: Vec<Top>) -> Self {
        Self {
            name: name.to_owned(),
            guid,
            properties: BTreeMap::new(),
            datasets: BTreeMap::new(),
            data,
            logs: Vec::new(),
            cache: Vec::new(),
            spares: Vec::new(),
            foreign: false,
        }
    }

    /// Its size in bytes: that of one side of a mirror, and all of everything else.
    #[must_use]
    pub fn size(&self) -> u64 {
        let top = |top: &Top| {
            let sizes = top.slots.iter().map(|slot| slot.device.bytes);
            if top.kind == Kind::Mirror { sizes.min().unwrap_or(0) } else { sizes.sum() }
        };
        self.data.iter().map(top).sum()
    }

    /// Its state by its devices.
    #[must_use]
    pub fn health(&self) -> &'static str {
        let mut any = false;
        for top in &self.data {
            let lost = top.slots.iter().filter(|slot| slot.device.lost).count();
            any |= lost > 0;
            let spare = match top.kind {
                Kind::Mirror => top.slots.len() - 1,
                Kind::Raidz(parity) => usize::from(parity),
                _ => 0,
            };
            if lost > spare {
                return "UNAVAIL";
            }
        }
        if any { "DEGRADED" } else { "ONLINE" }
    }

    /// Every device, also those that are being replaced.
    pub fn devices_mut(&mut self) -> Vec<&mut Device> {
        let tops = self.data.iter_mut().chain(&mut self.logs);
        let slots = tops.flat_map(|top| &mut top.slots);
        let in_slots =
            slots.flat_map(|slot| std::iter::once(&mut slot.device).chain(slot.old.as_mut().map(|(old, _)| old)));
        in_slots.chain(&mut self.cache).chain(&mut self.spares).collect()
    }

    /// Every device.
    #[must_use]
    pub fn devices(&self) -> Vec<&Device> {
        let slots = self.data.iter().chain(&self.logs).flat_map(|top| &top.slots);
        let in_slots =
            slots.flat_map(|slot| std::iter::once(&slot.device).chain(slot.old.as_ref().map(|(old, _)| old)));
        in_slots.chain(&self.cache).chain(&self.spares).collect()
    }

    /// The place of a device by path or guid.
    pub(super) fn slot_mut(&mut self, matches: impl Fn(&Device) -> bool) -> Option<(&mut Top, usize)> {
        let tops = self.data.iter_mut().chain(&mut self.logs);
        tops.into_iter().find_map(|top| {
            let at = top.slots.iter().position(|slot| matches(&slot.device))?;
            Some((top, at))
        })
    }

    /// What a test compares: kinds and devices without their directories.
    #[must_use]
    pub fn drawing(&self) -> String {
        let short = |device: &Device| device.path.rsplit('/').next().unwrap_or_default().to_owned();
        let top = |top: &Top| {
            let devices: Vec<_> = top.slots.iter().map(|slot| short(&slot.device)).collect();
            match top.kind {
                Kind::Device => devices.join(" "),
                kind => format!("{}({})", kind.word(), devices.join(" ")),
            }
        };
        let mut parts: Vec<String> = self.data.iter().map(top).collect();
        parts.extend(self.logs.iter().map(|log| format!("log:{}", top(log))));
        parts.extend(self.cache.iter().map(|device| format!("cache:{}", short(device))));
        parts.extend(self.spares.iter().map(|device| format!("spare:{}", short(device))));
        parts.join(" ")
    }
}
