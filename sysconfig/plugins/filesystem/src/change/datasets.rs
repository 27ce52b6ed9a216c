//! Steps about datasets.

use super::{busy_error, remember};
use crate::properties::{AT_CREATION_ONLY, OWNER_NAME, SET_BY_US, is_inherited, list};
use crate::storage_error;
use std::collections::BTreeMap;
use sysconfig_platform::zfs::{self, OWNER, Properties};
use sysconfig_platform::{Host, StorageError};
use sysconfig_plugin::{Context, Outcome, PluginError};

/// The properties of a dataset, when it is there.
fn present(host: &Host, name: &str) -> Result<Option<Properties>, PluginError> {
    zfs::properties_of(host, name).map_err(storage_error)
}

pub(super) fn create(host: &Host, name: &str, properties: &BTreeMap<String, String>) -> Result<Outcome, PluginError> {
    if let Some(present) = present(host, name)? {
        return match is_ours(&present) {
            // An interrupted step; whether everything is as wanted the next plan tells.
            true => Ok(Outcome::AlreadySo),
            false => {
                Err(PluginError::new(format!("somebody has created {name} meanwhile")).help("plan and apply again"))
            }
        };
    }
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

fn is_ours(present: &Properties) -> bool {
    present.get(OWNER).is_some_and(|owner| owner.is_local() && owner.value == OWNER_NAME)
}

pub(super) fn set(
    host: &Host,
    name: &str,
    set: &BTreeMap<String, String>,
    unset: &[String],
    ours: &str,
    place: Option<&str>,
) -> Result<Outcome, PluginError> {
    let busy = |error| busy_error(host, place, error);
    // The list names what is about to be set and what is still to be given back, so it never misses anything.
    let names = ours.split(',').filter(|name| !name.is_empty()).chain(unset.iter().map(String::as_str));
    note_datasets(host)?;
    zfs::set(host, name, SET_BY_US, &list(names)).map_err(storage_error)?;
    zfs::set(host, name, OWNER, OWNER_NAME).map_err(storage_error)?;
    let mut all: Vec<(&str, Option<&str>)> =
        set.iter().map(|(name, value)| (name.as_str(), Some(value.as_str()))).collect();
    all.extend(unset.iter().map(|property| (property.as_str(), None)));
    // What is not to be mounted must not be while it moves, and what is, only when it is where it belongs.
    all.sort_by_key(|change| match change {
        ("canmount", Some("off" | "noauto")) => 0,
        ("canmount", _) => 2,
        _ => 1,
    });
    for (property, value) in all {
        match value {
            Some(value) => zfs::set(host, name, property, value).map_err(busy)?,
            None => give_back(host, name, property).map_err(busy)?,
        }
    }
    zfs::set(host, name, SET_BY_US, ours).map_err(storage_error)?;
    Ok(Outcome::Changed)
}

fn give_back(host: &Host, name: &str, property: &str) -> Result<(), StorageError> {
    match is_inherited(property) {
        true => zfs::inherit(host, name, property),
        false => zfs::set(host, name, property, "none"),
    }
}

pub(super) fn restore(
    host: &Host,
    name: &str,
    previous: &BTreeMap<String, Option<String>>,
    place: Option<&str>,
) -> Result<Outcome, PluginError> {
    let Some(present) = present(host, name)? else { return Ok(Outcome::AlreadySo) };
    let now = |property: &str| present.get(property).filter(|now| now.is_local()).map(|now| now.value.as_str());
    let mut outcome = Outcome::AlreadySo;
    for (property, value) in previous {
        if now(property) == value.as_deref() {
            continue;
        }
        let done = match value {
            Some(value) => zfs::set(host, name, property, value),
            None => give_back(host, name, property),
        };
        done.map_err(|error| busy_error(host, place, error))?;
        outcome = Outcome::Changed;
    }
    Ok(outcome)
}

pub(super) fn mount(host: &Host, name: &str) -> Result<Outcome, PluginError> {
    let is_mounted = || {
        let datasets = zfs::datasets(host).map_err(storage_error)?;
        Ok::<_, PluginError>(datasets.iter().any(|dataset| dataset.name == name && dataset.mounted))
    };
    if is_mounted()? {
        return Ok(Outcome::AlreadySo);
    }
    zfs::mount(host, name).map_err(storage_error)?;
    match is_mounted()? {
        true => Ok(Outcome::Changed),
        false => Err(PluginError::new(format!("{name} is not mounted, although mounting it has succeeded"))),
    }
}

pub(super) fn unmount(host: &Host, name: &str, context: &Context) -> Result<Outcome, PluginError> {
    let mounts = sysconfig_platform::mount_table::mounts(host)
        .map_err(|source| super::file_error("look at the mounts", source))?;
    match mounts.iter().rev().find(|mount| mount.device == name && mount.fstype == "zfs") {
        Some(mount) => super::mounts::unmount_at(host, &mount.mount_point, context).map(|()| Outcome::Changed),
        None => Ok(Outcome::AlreadySo),
    }
}

pub(super) fn destroy(host: &Host, name: &str, place: Option<&str>, was_ours: bool) -> Result<Outcome, PluginError> {
    let Some(present) = present(host, name)? else { return Ok(Outcome::AlreadySo) };
    if was_ours && !is_ours(&present) {
        let message = format!("cannot destroy {name}: it is another one than when this was planned, and is not ours");
        return Err(PluginError::new(message).help("plan and apply again"));
    }
    zfs::destroy(host, name).map_err(|error| busy_error(host, place, error))?;
    Ok(Outcome::Changed)
}
