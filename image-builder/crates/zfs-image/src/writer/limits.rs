//! Quotas and reservations that ZFS would refuse to set, because of each other or because of what is in the datasets.
//!
//! Sources: `dsl_dir_set_quota_check` and `dsl_dir_set_reservation_check` in `dsl_dir.c`,
//! `dsl_dataset_set_refquota_check` and `dsl_dataset_set_refreservation_sync_impl` in `dsl_dataset.c`,
//! `dsl_pool_adjustedsize` in `dsl_pool.c`, `spa_get_slop_space` in `spa_misc.c`.

use std::collections::BTreeMap;

use zfs_format::label::usable_bytes;

use super::allocate::Geometry;
use super::error::SpecError;
use super::settings::Settings;
use super::spec::PoolSpec;

/// `spa_min_slop`: what ZFS keeps for itself at least, unless that is more than half of the pool.
const SLOP_BYTES_MIN: u64 = 128 << 20;

/// The limits of a dataset in bytes; 0 is none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    /// For the dataset with its snapshots and all below it.
    pub(super) quota: u64,
    /// For the same.
    pub(super) reservation: u64,
    /// For what the dataset refers to.
    pub(super) reference_quota: u64,
    /// For the same.
    pub(super) reference_reservation: u64,
}

impl Limits {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            quota: settings.number("quota"),
            reservation: settings.number("reservation"),
            reference_quota: settings.number("refquota"),
            reference_reservation: settings.number("refreservation"),
        }
    }

    /// Which limit is exceeded, and by what, in a dataset that refers to `referenced` bytes, and uses `used` bytes with what it and
    /// those below it reserve.
    pub(super) fn contradiction(&self, referenced: u64, used: u64) -> Option<(&'static str, String)> {
        let over = |what: &str, bytes: u64, quota: &'static str, limit: u64| {
            let exceeded = limit != 0 && bytes > limit;
            let reason = || format!("{what}, {}, is more than its {quota} of {}", shown(bytes), shown(limit));
            exceeded.then(|| (quota, reason()))
        };
        over("its reservation", self.reservation, "quota", self.quota)
            .or_else(|| over("its refreservation", self.reference_reservation, "refquota", self.reference_quota))
            .or_else(|| over("its content", referenced, "refquota", self.reference_quota))
            .or_else(|| over("what it and those below it use and reserve", used, "quota", self.quota))
    }
}

/// Finds what is wrong whatever is in the datasets.
pub(super) fn check(settings: &BTreeMap<String, Settings>, problems: &mut Vec<SpecError>) {
    let used = used_when_empty(settings);
    for (name, settings) in settings {
        let used = used.get(name.as_str()).copied().unwrap_or(0);
        if let Some((property, reason)) = Limits::of(settings).contradiction(0, used) {
            problems.push(SpecError::Limit { dataset: name.clone(), property, reason });
        }
    }
}

/// What all reservations take of the pool if nothing is in the datasets.
pub(super) fn reserved(spec: &PoolSpec, settings: &BTreeMap<String, Settings>) -> u64 {
    let root = settings.get(&spec.name).map(|settings| Limits::of(settings).reservation);
    let used = used_when_empty(settings);
    used.get(spec.name.as_str()).copied().unwrap_or(0).max(root.unwrap_or(0))
}

/// Finds out before anything is written that the reservations have no room in a device of `bytes` bytes, of which
/// `capacity` are for blocks.
pub(super) fn check_reserved(spec: &PoolSpec, bytes: u64, capacity: u64) -> Result<(), SpecError> {
    let (reserved, available) = (spec.reserved_bytes()?, available(capacity));
    if reserved <= available {
        return Ok(());
    }
    Err(SpecError::Reserved { pool: spec.name.clone(), reserved, bytes, available })
}

/// What each dataset uses with all below it, if only what is reserved counts.
fn used_when_empty(settings: &BTreeMap<String, Settings>) -> BTreeMap<&str, u64> {
    let mut used: BTreeMap<&str, u64> = BTreeMap::new();
    // A name that begins with another one comes behind it, so that from the end children come before their parents.
    for (name, settings) in settings.iter().rev() {
        let limits = Limits::of(settings);
        let own = used.entry(name).or_default();
        *own = own.saturating_add(limits.reference_reservation);
        let passed_on = (*own).max(limits.reservation);
        if let Some((parent, _)) = name.rsplit_once('/') {
            let above = used.entry(parent).or_default();
            *above = above.saturating_add(passed_on);
        }
    }
    used
}

/// Bytes that ZFS lets the datasets of a pool use and reserve on a device of so many bytes.
#[must_use]
pub fn available_bytes(device_bytes: u64, ashift: u8) -> u64 {
    available(Geometry::new(usable_bytes(device_bytes), ashift).capacity())
}

/// The same of a vdev with so many bytes for blocks.
pub(super) fn available(capacity: u64) -> u64 {
    capacity - (capacity / 32).max(SLOP_BYTES_MIN.min(capacity / 2))
}

/// A number of bytes as people write it, without rounding.
pub(super) fn shown(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = if bytes == 0 { 0 } else { (bytes.trailing_zeros() / 10).min(6) };
    format!("{} {}", bytes >> (10 * unit), UNITS[unit as usize])
}
