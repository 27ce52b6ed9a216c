//! Taking changes back, where that loses nothing.

use super::apply::{member, remember, status, the_pool, value};
use super::force::run;
use super::{Approved, Change, Role, Target};
use crate::error::zfs_error;
use crate::places;
use crate::record::Record;
use sysconfig_platform::device;
use sysconfig_platform::mount_table::Mount;
use sysconfig_platform::mounting;
use sysconfig_platform::zfs::{self, Property, Source};
use sysconfig_platform::zpool;
use sysconfig_platform::{Host, StorageError};
use sysconfig_plugin::{Context, Outcome, PluginError};

impl Change {
    pub(crate) fn undo(&self, host: &Host, _: &Context) -> Result<Outcome, PluginError> {
        match self {
            // A pool is never destroyed; it is let go of, and can be imported.
            Self::Create { pool, devices, .. } => export_created(host, pool, devices),
            Self::Import { pool, guid, old_name, .. } => export_imported(host, pool, *guid, old_name.as_deref()),
            Self::Add { pool, guid, role: Role::Log | Role::Cache | Role::Spare, devices, .. } => {
                take_out(host, (pool, *guid), devices.iter().collect(), zpool::remove)
            }
            Self::Attach { pool, guid, new, .. } => take_out(host, (pool, *guid), vec![new], zpool::detach),
            Self::Set { target, pool, guid, property, from: Some(from), to } => {
                put_back(host, *target, (pool, *guid), property, from, to)
            }
            // It had the value that it was to have, or another one that nobody knows.
            Self::Set { property, pool, .. } => Err(PluginError::unsupported(format!(
                "what {property} of the pool {pool} was before the import is not known"
            ))),
            Self::Mount { pool, guid, .. } => {
                let operation = format!("cannot unmount the root dataset of the pool {pool}");
                the_pool(host, (pool, *guid), &operation)?;
                let unmounted = zfs::unmount(host, pool).map(|()| Outcome::Changed);
                unmounted.map_err(|error| busy_error(host, pool, &operation, error))
            }
            Self::MountAll { pool, guid } => unmount_all(host, (pool, *guid)),
            Self::Online { .. } | Self::Refuse { .. } => Ok(Outcome::AlreadySo),
            Self::Add { pool, .. } => {
                Err(PluginError::unsupported(format!("a vdev of the pool {pool} cannot be taken away")))
            }
            Self::Replace { pool, new, .. } => Err(PluginError::unsupported(format!(
                "the place of {} in the pool {pool} is not given back by itself",
                new.path
            ))
            .help("while it is still copied to: zpool detach POOL DEVICE")),
            Self::Expand { pool, .. } => Err(PluginError::unsupported(format!("the pool {pool} cannot shrink"))),
        }
    }
}

fn export_created(host: &Host, pool: &str, devices: &[Approved]) -> Result<Outcome, PluginError> {
    let operation = format!("cannot export the pool {pool}, which was just created");
    let Some(status) = status(host, pool, &operation)? else { return Ok(Outcome::AlreadySo) };
    if !devices.iter().all(|device| member(host, &status, &device.path).is_some()) {
        return Err(PluginError::new(operation).source("another pool of this name is imported"));
    }
    export(host, pool, &operation).map(|()| Outcome::Changed)
}

/// Lets go of a pool; who uses what it has mounted is named.
fn export(host: &Host, pool: &str, operation: &str) -> Result<(), PluginError> {
    let exported =
        host.run(&zpool::export(host, pool)).map_err(StorageError::command(format!("export the pool {pool}")));
    exported.map(drop).map_err(|error| busy_error(host, pool, operation, error))
}

/// A failure to unmount what a pool has, with what uses it.
fn busy_error(host: &Host, pool: &str, operation: &str, error: StorageError) -> PluginError {
    if !mounting::is_busy(&error) {
        return zfs_error(operation, error);
    }
    let mounts = places::mounts(host).unwrap_or_default();
    let is_its = |mount: &&Mount| mount.fstype == "zfs" && mount.device.split('/').next() == Some(pool);
    let places: Vec<&str> = mounts.iter().filter(is_its).map(|mount| mount.mount_point.as_str()).collect();
    match mounting::users(host, &places) {
        None => zfs_error(operation, error),
        Some((place, users)) => PluginError::new(format!("{operation}: {place} is used by {users}"))
            .source(error)
            .help(format!("end what uses {place}, or make it leave the directory, and try again")),
    }
}

/// Unmounts what one apply has mounted after an import, which may have been made by an earlier one and stays then.
fn unmount_all(host: &Host, which: (&str, u64)) -> Result<Outcome, PluginError> {
    let operation = format!("cannot unmount the file systems of the pool {}", which.0);
    the_pool(host, which, &operation)?;
    let record = Record::load(host).map_err(StorageError::file("look at what is remembered"));
    let record = record.map_err(|error| zfs_error(&operation, error))?;
    let Some(mounted) = record.mounted.get(&which.1) else { return Ok(Outcome::AlreadySo) };
    // They were not mounted before, and are still to be: also those that are unmounted when this ends on the way.
    remember(host, &operation, |record| record.to_mount.extend([which.1]))?;
    for name in mounted.iter().rev() {
        match zfs::unmount(host, name) {
            // Somebody has destroyed it since, or given it another name.
            Err(error) if error.said().contains("dataset does not exist") => {}
            done => done.map_err(|error| busy_error(host, which.0, &operation, error))?,
        }
    }
    remember(host, &operation, |record| drop(record.mounted.remove(&which.1)))?;
    Ok(Outcome::Changed)
}

fn export_imported(host: &Host, pool: &str, guid: u64, old_name: Option<&str>) -> Result<Outcome, PluginError> {
    let operation = format!("cannot export the pool {pool} again");
    let present = zpool::properties(host, pool).map_err(|error| zfs_error(&operation, error))?;
    let is_it = present.is_some_and(|all| all.get("guid").is_some_and(|property| property.value == guid.to_string()));
    if !is_it {
        return Ok(Outcome::AlreadySo);
    }
    export(host, pool, &operation)?;
    remember(host, &operation, |record| record.let_go(guid))?;
    match old_name {
        None => Ok(Outcome::Changed),
        Some(old) => Err(PluginError::unsupported(format!("the pool {pool} was called {old}, and keeps its new name"))),
    }
}

fn take_out(
    host: &Host,
    which: (&str, u64),
    devices: Vec<&Approved>,
    command: impl Fn(&Host, &str, &str) -> sysconfig_platform::Invocation,
) -> Result<Outcome, PluginError> {
    let operation = format!("cannot take out what was added to the pool {}", which.0);
    let mut outcome = Outcome::AlreadySo;
    for device in devices {
        let status = the_pool(host, which, &operation)?;
        // A mirrored log goes as a whole.
        let group = status.layout.logs.iter().find(|vdev| {
            !vdev.members.is_empty()
                && member(host, &status, &device.path).is_some_and(|one| vdev.devices().contains(&one))
        });
        let name = group.or_else(|| member(host, &status, &device.path)).map(|vdev| vdev.name.clone());
        if let Some(name) = name {
            run(host, &command(host, which.0, &name), &operation)?;
            outcome = Outcome::Changed;
        }
        take_back(host, device, &operation)?;
    }
    Ok(outcome)
}

/// Notes what the pool has left on a device that was blank, so that it can be given again.
fn take_back(host: &Host, device: &Approved, operation: &str) -> Result<(), PluginError> {
    let now = device::look(host, &device.path);
    match now.content().filter(|_| device.holds.is_none()) {
        Some(content) => remember(host, operation, |record| {
            record.take_back(host.system(), &device.path, content.fingerprint.clone());
        }),
        None => Ok(()),
    }
}

fn put_back(
    host: &Host,
    target: Target,
    which: (&str, u64),
    property: &str,
    from: &Property,
    to: &str,
) -> Result<Outcome, PluginError> {
    let operation = format!("cannot put {property} of the pool {} back", which.0);
    the_pool(host, which, &operation)?;
    let present = value(host, target, which.0, property).map_err(|error| zfs_error(&operation, error))?;
    if !present.is_some_and(|present| crate::plan::is_so(target, property, &present, to)) {
        return Ok(Outcome::AlreadySo);
    }
    if property.starts_with("feature@") {
        return Err(PluginError::unsupported(format!("{property} of the pool {} cannot be disabled again", which.0)));
    }
    if (target, property) == (Target::Root, "mountpoint") {
        crate::places::check_move(host, which.0, &from.value, &operation)?;
    }
    let old = if from.value == "-" { "" } else { from.value.as_str() };
    let done = match (target, &from.source) {
        (Target::Pool, _) => {
            return run(host, &zpool::set(host, property, old, which.0), &operation).map(|()| Outcome::Changed);
        }
        (Target::Root, Source::Local) => zfs::set(host, which.0, property, old),
        (Target::Root, Source::Received) => zfs::inherit_received(host, which.0, property),
        (Target::Root, _) => zfs::give_back(host, which.0, property),
    };
    done.map(|()| Outcome::Changed).map_err(|error| zfs_error(&operation, error))
}
