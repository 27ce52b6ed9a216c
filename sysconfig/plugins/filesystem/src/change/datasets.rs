//! Steps about datasets.

use super::{busy_error, remember};
use crate::altroot;
use crate::properties::{AT_CREATION_ONLY, OWNER_NAME, SET_BY_US, is_so, list};
use crate::record::Record;
use crate::storage_error;
use std::collections::BTreeMap;
use sysconfig_platform::Host;
use sysconfig_platform::mount_table::{self, Mount};
use sysconfig_platform::places::Places;
use sysconfig_platform::storage::parse_size;
use sysconfig_platform::zfs::followers::{self, Obstacle};
use sysconfig_platform::zfs::{self, OWNER, Properties, Property};
use sysconfig_plugin::{Context, Level, Outcome, PluginError};

/// What can be done about a place that is not free.
const NOT_FREE: &str = "move away what is there, or choose another mountpoint";

/// The properties of a dataset, when it is there.
pub(super) fn present(host: &Host, name: &str) -> Result<Option<Properties>, PluginError> {
    let Some(mut properties) = zfs::properties_of(host, name).map_err(storage_error)? else { return Ok(None) };
    altroot::strip(&mut properties, &altroot::of(host, name).map_err(storage_error)?);
    Ok(Some(properties))
}

pub(super) fn create(
    host: &Host,
    name: &str,
    properties: &BTreeMap<String, String>,
    to: Option<&str>,
) -> Result<Outcome, PluginError> {
    if let Some(present) = present(host, name)? {
        return match is_ours(&present) {
            // An interrupted step; whether everything is as wanted the next plan tells.
            true => Ok(Outcome::AlreadySo),
            false => {
                Err(PluginError::new(format!("somebody has created {name} meanwhile")).help("plan and apply again"))
            }
        };
    }
    check_place(host, name, to)?;
    let mut all = properties.clone();
    all.insert(OWNER.to_owned(), OWNER_NAME.to_owned());
    // What is chosen at creation cannot be given back.
    let can_go = properties.keys().map(String::as_str).filter(|property| !AT_CREATION_ONLY.contains(property));
    all.insert(SET_BY_US.to_owned(), list(can_go));
    note_datasets(host)?;
    zfs::create(host, name, &all, None).map_err(storage_error)?;
    Ok(Outcome::Changed)
}

/// Notes that there is something that may be left over one day.
fn note_datasets(host: &Host) -> Result<(), PluginError> {
    remember(host, |record| record.datasets = true)
}

pub(super) fn is_ours(present: &Properties) -> bool {
    present.get(OWNER).is_some_and(|owner| owner.is_local() && owner.value == OWNER_NAME)
}

/// Whether a dataset is the one for which a change was planned.
pub(super) fn check(host: &Host, name: &str, guid: Option<&str>, was_ours: bool) -> Result<(), PluginError> {
    let refuse = |what: &str| {
        let message = format!("cannot change {name}: {what}");
        Err(PluginError::new(message).help("look at what is there now; then plan and apply again"))
    };
    let Some(present) = present(host, name)? else { return refuse("it is gone") };
    match (is_it(&present, guid), was_ours && !is_ours(&present)) {
        (false, _) => refuse("it is another one than when this was planned"),
        (true, true) => refuse("it is no longer ours"),
        (true, false) => Ok(()),
    }
}

/// Whether it is the very dataset; where ZFS tells no guids, the name has to do.
fn is_it(present: &Properties, guid: Option<&str>) -> bool {
    present.get(zfs::GUID).map(|now| now.value.as_str()) == guid
}

/// Looks once more at the place to which a file system is to come: on Linux ZFS mounts over whatever is there (`overlay` in
/// zfsprops(7)), and what was hidden when this was planned may be in sight now.
pub(super) fn check_place(host: &Host, name: &str, to: Option<&str>) -> Result<(), PluginError> {
    let Some(to) = to else { return Ok(()) };
    let mounts = mounts(host)?;
    let obstacle = Places::new(host, &mounts).obstacle(to, &|mount| mount.device == name).map_err(storage_error)?;
    match obstacle {
        Some(why) => Err(PluginError::new(format!("cannot mount {name} at {to}: {why}")).help(NOT_FREE)),
        None => Ok(()),
    }
}

/// Looks once more at the places to which others come along when a file system gets the mount point `base`; whether it is
/// mounted there itself is told as well.
pub(super) fn check_followers(
    host: &Host,
    name: &str,
    base: Option<&str>,
    is_mounted: bool,
) -> Result<(), PluginError> {
    let Some(base) = base else { return Ok(()) };
    let unmounted = unmounted_followers(host, name)?;
    match followers::in_the_way_with(host, name, base, is_mounted, &unmounted).map_err(storage_error)? {
        Some(Obstacle { name: other, place, why }) => {
            let message = format!("cannot move {name} to {base}: {other} would come along to {place}: {why}");
            Err(PluginError::new(message).help(NOT_FREE))
        }
        None => Ok(()),
    }
}

/// Those that are not mounted and would be, at once or with the next `zfs mount -a`.
fn unmounted_followers(host: &Host, name: &str) -> Result<Vec<String>, PluginError> {
    let points = zfs::mount_points(host, name).map_err(storage_error)?;
    let follow = points.into_iter().filter(|(other, point)| followers::follows(name, other, point));
    let names: Vec<String> = follow.map(|(other, _)| other).collect();
    let all = zfs::properties(host, &names).map_err(storage_error)?;
    let is = |properties: &Properties, property: &str, value: &str| {
        properties.get(property).is_some_and(|known| known.value == value)
    };
    let waits = |properties: &Properties| is(properties, "canmount", "on") && !is(properties, "mounted", "yes");
    Ok(all.into_iter().filter(|(_, properties)| waits(properties)).map(|(other, _)| other).collect())
}

fn mounts(host: &Host) -> Result<Vec<Mount>, PluginError> {
    mount_table::mounts(host).map_err(|source| super::file_error("look at the mounts", source))
}

pub(super) fn set(
    host: &Host,
    name: &str,
    set: &BTreeMap<String, String>,
    unset: &[String],
    ours: &str,
    places: &[&str],
) -> Result<Outcome, PluginError> {
    let busy = |error| busy_error(host, places, error);
    // The list names what is about to be set and what is still to be given back, so it never misses anything.
    let names = ours.split(',').filter(|name| !name.is_empty()).chain(unset.iter().map(String::as_str));
    note_datasets(host)?;
    zfs::set(host, name, SET_BY_US, &list(names)).map_err(storage_error)?;
    zfs::set(host, name, OWNER, OWNER_NAME).map_err(storage_error)?;
    let mut all: Vec<(&str, Option<&str>)> =
        set.iter().map(|(name, value)| (name.as_str(), Some(value.as_str()))).collect();
    all.extend(unset.iter().map(|property| (property.as_str(), None)));
    let before = present(host, name)?.unwrap_or_default();
    all.sort_by_key(|one| rank(one, &before, true));
    for (property, value) in all {
        match value {
            Some(value) => zfs::set(host, name, property, value).map_err(busy)?,
            None => zfs::give_back(host, name, property).map_err(busy)?,
        }
    }
    zfs::set(host, name, SET_BY_US, ours).map_err(storage_error)?;
    let now = present(host, name)?.unwrap_or_default();
    match set.iter().find(|(property, value)| !is_so(&now, property, value)) {
        None => Ok(Outcome::Changed),
        Some((property, value)) => {
            let now = now.get(property).map_or("-", |now| now.value.as_str());
            Err(PluginError::new(format!("{property} of {name} is {now}, although it was set to {value}")))
        }
    }
}

/// When a property is set among others: what is not to be mounted must not be while it moves, and what is, only when it is
/// where it belongs. One `to_mount` that has no place at all comes to its own mounted by ZFS, before those below it, if it may be
/// mounted by then; afterwards they would be in its way. A quota is never below what is reserved, so reservations shrink
/// before it and grow after it. Whose the dataset is, is known until the end.
fn rank((property, value): &(&str, Option<&str>), present: &Properties, to_mount: bool) -> u8 {
    let has_no_place = matches!(present_value(present, "mountpoint"), Some("none" | "legacy"));
    match (*property, *value) {
        ("canmount", Some("off" | "noauto")) => 0,
        ("reservation" | "refreservation", value) if bytes(value) <= bytes(present_value(present, property)) => 1,
        ("reservation" | "refreservation", _) => 3,
        ("canmount", _) if to_mount && has_no_place => 1,
        ("canmount", _) => 4,
        (OWNER | SET_BY_US, _) => 5,
        _ => 2,
    }
}

fn present_value<'a>(present: &'a Properties, property: &str) -> Option<&'a str> {
    present.get(property).map(|present| present.value.as_str())
}

/// A size in bytes, of which nothing and `none` are 0.
fn bytes(value: Option<&str>) -> u64 {
    value.and_then(parse_size).unwrap_or_default()
}

/// What a step has done to the properties of a dataset.
pub(super) struct Done<'a> {
    pub(super) name: &'a str,
    /// A step of an earlier version has none.
    pub(super) guid: Option<&'a str>,
    pub(super) set: &'a BTreeMap<String, String>,
    pub(super) unset: &'a [String],
    pub(super) previous: &'a BTreeMap<String, Option<String>>,
    /// What it was received with, of that.
    pub(super) received: &'a BTreeMap<String, String>,
    /// Where it was mounted before.
    pub(super) place: Option<&'a str>,
}

impl Done<'_> {
    /// Whether a property still is as the step has left it. What somebody has changed since, stays so.
    fn is_untouched(&self, present: &Properties, property: &str) -> bool {
        let is_local = present.get(property).is_some_and(Property::is_local);
        match self.set.get(property) {
            // The notes of this program are nobody else's.
            _ if [OWNER, SET_BY_US].contains(&property) => true,
            Some(value) => is_local && is_so(present, property, value),
            None if self.unset.iter().any(|unset| unset == property) => {
                !is_local || zfs::unset_word(property).is_some_and(|word| is_so(present, property, word))
            }
            None => false,
        }
    }

    /// Where the file system comes to be mounted when it gets its mount point back.
    fn place_again(&self, host: &Host, present: &Properties) -> Result<Option<String>, PluginError> {
        if let Some(place) = self.place {
            return Ok(Some(place.to_owned()));
        }
        let canmount = match self.previous.get("canmount").filter(|_| self.is_untouched(present, "canmount")) {
            Some(previous) => previous.as_deref().unwrap_or("on"),
            None => present.get("canmount").map_or("on", |now| now.value.as_str()),
        };
        if canmount == "on" { self.point_again(host) } else { Ok(None) }
    }

    /// Where the mount point is that it gets back.
    fn point_again(&self, host: &Host) -> Result<Option<String>, PluginError> {
        let previous = self.previous.get("mountpoint").cloned().flatten();
        let own = previous.or_else(|| self.received.get("mountpoint").cloned());
        let place = match (own, self.name.rsplit_once('/')) {
            (Some(place), _) => Some(place),
            (None, Some((parent, last))) => self::present(host, parent)?
                .and_then(|above| Some(format!("{}/{last}", above.get("mountpoint")?.value.trim_end_matches('/')))),
            (None, None) => Some(format!("/{}", self.name)),
        };
        let Some(point) = place.filter(|place| place.starts_with('/')) else { return Ok(None) };
        Ok(Some(altroot::place(&altroot::of(host, self.name).map_err(storage_error)?, point)))
    }
}

/// Gives properties back as far as they still are what the step has made of them.
pub(super) fn restore(host: &Host, done: &Done<'_>) -> Result<Outcome, PluginError> {
    let Done { name, guid, previous, place, .. } = *done;
    // What has taken its place was not changed by the step.
    let is_it = |present: &Properties| guid.is_none() || is_it(present, guid);
    let Some(present) = present(host, name)?.filter(is_it) else {
        let message = format!("cannot give {name} back what it had: it is gone, or another one by that name is there");
        return Err(PluginError::new(message).help("look at what is there now; there is nothing that could be undone"));
    };
    let now = |property: &str| present.get(property).filter(|now| now.is_local()).map(|now| now.value.as_str());
    let back = previous.iter().map(|(property, value)| (property.as_str(), value.as_deref()));
    let mut back: Vec<_> =
        back.filter(|(property, value)| now(property) != *value && done.is_untouched(&present, property)).collect();
    back.sort_by_key(|one| rank(one, &present, place.is_some()));
    if back.iter().any(|(property, _)| *property == "mountpoint") {
        let to = done.place_again(host, &present)?;
        check_place(host, name, to.as_deref())?;
        check_followers(host, name, done.point_again(host)?.as_deref(), to.is_some())?;
    }
    for (property, value) in &back {
        let given = match value {
            Some(value) => zfs::set(host, name, property, value),
            None if done.received.contains_key(*property) => zfs::inherit_received(host, name, property),
            None => zfs::give_back(host, name, property),
        };
        given.map_err(|error| busy_error(host, place.as_slice(), error))?;
    }
    Ok(if back.is_empty() { Outcome::AlreadySo } else { Outcome::Changed })
}

pub(super) fn mount(host: &Host, name: &str, to: Option<&str>, context: &Context) -> Result<Outcome, PluginError> {
    let is_mounted = || {
        let datasets = zfs::datasets(host).map_err(storage_error)?;
        Ok::<_, PluginError>(datasets.iter().any(|dataset| dataset.name == name && dataset.mounted))
    };
    if is_mounted()? {
        let record = Record::load(host).map_err(|source| super::file_error("read what was done", source))?;
        if !record.unshared.contains(name) {
            return Ok(Outcome::AlreadySo);
        }
    } else {
        check_place(host, name, to)?;
        remember(host, |record| {
            record.unshared.insert(name.to_owned());
        })?;
    }
    let mounted = zfs::mount(host, name).map_err(storage_error);
    remember(host, |record| {
        record.unshared.remove(name);
    })?;
    if let Some(unshared) = mounted? {
        context.log(Level::Warn, unshared.to_string());
    }
    match is_mounted()? {
        true => Ok(Outcome::Changed),
        false => Err(PluginError::new(format!("{name} is not mounted, although mounting it has succeeded"))),
    }
}

pub(super) fn unmount(host: &Host, name: &str, context: &Context) -> Result<Outcome, PluginError> {
    let mounts = mounts(host)?;
    match mounts.iter().rev().find(|mount| mount.device == name && mount.fstype == "zfs") {
        Some(mount) => super::mounts::unmount_at(host, (&mount.mount_point, "zfs"), context).map(|()| Outcome::Changed),
        None => Ok(Outcome::AlreadySo),
    }
}
