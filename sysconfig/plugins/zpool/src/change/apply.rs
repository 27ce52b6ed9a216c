//! Carrying changes out.

use super::force::{self, run};
use super::{Approved, Change, Creation, Role, Target};
use crate::error::zfs_error;
use crate::places;
use crate::plan::is_so;
use crate::record::Record;
use crate::state::{State, is_lost};
use sysconfig_platform::device::{Looks, Presence};
use sysconfig_platform::places::Places;
use sysconfig_platform::zpool::{self, Kind, PoolStatus, Vdev, Words};
use sysconfig_platform::{Host, Invocation};
use sysconfig_platform::{StorageError, zfs};
use sysconfig_plugin::{Context, Level, Outcome, PluginError};

impl Change {
    pub(crate) fn apply(&self, host: &Host, context: &Context) -> Result<Outcome, PluginError> {
        if context.is_cancelled() {
            return Err(PluginError::cancelled("the step was given up before it began"));
        }
        match self {
            Self::Create { pool, creation, devices } => create(host, pool, creation, devices),
            Self::Import { pool, guid, old_name, directories } => {
                import(host, pool, *guid, old_name.as_deref(), directories)
            }
            Self::Add { pool, guid, role, kind, devices } => add(host, (pool, *guid), *role, *kind, devices),
            Self::Attach { pool, guid, to, new } => attach(host, (pool, *guid), to, new),
            Self::Replace { pool, guid, old, new } => replace(host, (pool, *guid), old, new),
            Self::Online { pool, guid, device, path } => online(host, (pool, *guid), device, path),
            Self::Expand { pool, guid, devices } => expand(host, (pool, *guid), devices),
            Self::Set { target, pool, guid, property, to, .. } => set(host, *target, (pool, *guid), property, to),
            Self::MountAll { pool, guid } => mount_all(host, (pool, *guid), context),
            Self::Mount { pool, guid, place } => mount(host, (pool, *guid), place, context),
            Self::Refuse { message, help } => Err(PluginError::new(message.clone()).help(help.clone())),
        }
    }
}

/// A pool by name and guid.
type Which<'a> = (&'a str, u64);

fn create(host: &Host, pool: &str, creation: &Creation, devices: &[Approved]) -> Result<Outcome, PluginError> {
    let operation = format!("cannot create the pool {pool}");
    if let Some(status) = status(host, pool, &operation)? {
        // Only a run that was cut off makes it of exactly these devices in between.
        let all = devices.iter().all(|device| member(host, &status, &device.path).is_some());
        return match all {
            true => Ok(Outcome::AlreadySo),
            false => Err(PluginError::new(operation).source("a pool of this name has appeared").help("plan anew")),
        };
    }
    check(host, devices, &operation)?;
    let command = creation.command(pool);
    give(host, devices, |force| zpool::create(host, force, &command), &operation)?;
    let status = status(host, pool, &operation)?;
    confirm(host, status.as_ref(), devices, &operation)
}

fn import(
    host: &Host,
    pool: &str,
    guid: u64,
    old: Option<&str>,
    directories: &[String],
) -> Result<Outcome, PluginError> {
    let operation = format!("cannot import the pool {pool}");
    let present = zpool::properties(host, pool).map_err(|error| zfs_error(&operation, error))?;
    if let Some(present) = present {
        let is_it = present.get("guid").is_some_and(|property| property.value == guid.to_string());
        if !is_it {
            return Err(PluginError::new(operation).source("a pool of this name has appeared").help("plan anew"));
        }
        return Ok(Outcome::AlreadySo);
    }
    remember(host, &operation, |record| record.begin_import(guid))?;
    let imported = run(host, &zpool::import_pool(host, directories, guid, old.map(|_| pool)), &operation);
    if imported.is_err() {
        // Who imports it later mounts what they like. The first error is the one to report.
        let _ = remember(host, &operation, |record| record.let_go(guid));
    }
    imported?;
    the_pool(host, (pool, guid), &operation).map(|_| Outcome::Changed)
}

/// Mounts what an import has left out, because until then the places were not known to be right.
fn mount_all(host: &Host, which: Which<'_>, context: &Context) -> Result<Outcome, PluginError> {
    let operation = format!("cannot mount the file systems of the pool {}", which.0);
    the_pool(host, which, &operation)?;
    remember(host, &operation, |record| record.begin_mounting(which.1))?;
    let note = |name: &str| {
        remember(host, &operation, |record| record.mounted.entry(which.1).or_default().push(name.to_owned()))
    };
    let has_changed = places::mount_all(host, which.0, note, context)?;
    remember(host, &operation, |record| record.to_mount.retain(|pool| *pool != which.1))?;
    Ok(if has_changed { Outcome::Changed } else { Outcome::AlreadySo })
}

fn add(host: &Host, which: Which<'_>, role: Role, kind: Kind, devices: &[Approved]) -> Result<Outcome, PluginError> {
    let paths: Vec<_> = devices.iter().map(|device| device.path.clone()).collect();
    let operation = format!("cannot add {} to the pool {}", paths.join(", "), which.0);
    let status = the_pool(host, which, &operation)?;
    if paths.iter().all(|path| has_role(host, &status, role, path)) {
        return Ok(Outcome::AlreadySo);
    }
    check(host, devices, &operation)?;
    let mut words = Words::default();
    match role {
        Role::Data => words.data(kind, &paths),
        Role::Log => words.logs(&[(kind, paths.clone())]),
        Role::Cache => words.cache(&paths),
        Role::Spare => words.spares(&paths),
    }
    give(host, devices, |force| zpool::add(host, force, which.0, &words), &operation)?;
    let status = the_pool(host, which, &operation)?;
    confirm(host, Some(&status), devices, &operation)
}

fn attach(host: &Host, which: Which<'_>, to: &str, new: &Approved) -> Result<Outcome, PluginError> {
    let operation = format!("cannot attach {} to {to} of the pool {}", new.path, which.0);
    let status = the_pool(host, which, &operation)?;
    if member(host, &status, &new.path).is_some() {
        return Ok(Outcome::AlreadySo);
    }
    check(host, std::slice::from_ref(new), &operation)?;
    let command = |force| zpool::attach(host, force, which.0, to, &new.path);
    give(host, std::slice::from_ref(new), command, &operation)?;
    let status = the_pool(host, which, &operation)?;
    confirm(host, Some(&status), std::slice::from_ref(new), &operation)
}

fn replace(host: &Host, which: Which<'_>, old: &str, new: &Approved) -> Result<Outcome, PluginError> {
    let operation = format!("cannot replace {old} of the pool {} by {}", which.0, new.path);
    let status = the_pool(host, which, &operation)?;
    let is_done = |status: &PoolStatus| member(host, status, &new.path).is_some_and(|member| member.name != old);
    if is_done(&status) {
        return Ok(Outcome::AlreadySo);
    }
    check(host, std::slice::from_ref(new), &operation)?;
    let command = |force| zpool::replace(host, force, which.0, old, &new.path);
    give(host, std::slice::from_ref(new), command, &operation)?;
    let status = the_pool(host, which, &operation)?;
    confirm(host, Some(&status), std::slice::from_ref(new), &operation)
}

fn online(host: &Host, which: Which<'_>, device: &str, path: &str) -> Result<Outcome, PluginError> {
    let operation = format!("cannot use {path} in the pool {} again", which.0);
    let is_lost = |status: &PoolStatus| {
        let devices = status.layout.devices();
        devices.iter().any(|member| member.name == device && matches!(member.state.as_str(), "UNAVAIL" | "REMOVED"))
    };
    if !is_lost(&the_pool(host, which, &operation)?) {
        return Ok(Outcome::AlreadySo);
    }
    run(host, &zpool::online(host, which.0, device), &operation)?;
    match is_lost(&the_pool(host, which, &operation)?) {
        false => Ok(Outcome::Changed),
        true => Err(PluginError::new(operation)
            .source("it is still unavailable")
            .help("look at the device's cable and log")),
    }
}

fn expand(host: &Host, which: Which<'_>, devices: &[String]) -> Result<Outcome, PluginError> {
    let operation = format!("cannot use what the devices of the pool {} have gained", which.0);
    the_pool(host, which, &operation)?;
    let gained = || {
        let properties = zpool::properties(host, which.0).map_err(|error| zfs_error(&operation, error))?;
        let gained = properties.as_ref().and_then(|all| all.get("expandsize"));
        Ok::<_, PluginError>(gained.is_some_and(|property| !matches!(property.value.as_str(), "-" | "0")))
    };
    if !gained()? {
        return Ok(Outcome::AlreadySo);
    }
    for device in devices {
        run(host, &zpool::expand(host, which.0, device), &operation)?;
    }
    match gained()? {
        false => Ok(Outcome::Changed),
        true => Err(PluginError::new(operation)
            .source("the pool has not grown")
            .help("look at zpool list -v and the partitions")),
    }
}

fn set(host: &Host, target: Target, which: Which<'_>, property: &str, to: &str) -> Result<Outcome, PluginError> {
    let operation = format!("cannot set {property} of the pool {}", which.0);
    the_pool(host, which, &operation)?;
    let value = || value(host, target, which.0, property).map_err(|error| zfs_error(&operation, error));
    if value()?.is_some_and(|present| is_so(target, property, &present, to)) {
        return Ok(Outcome::AlreadySo);
    }
    if (target, property) == (Target::Root, "mountpoint") {
        places::check_move(host, which.0, to, &operation)?;
    }
    match target {
        Target::Pool => run(host, &zpool::set(host, property, to, which.0), &operation)?,
        Target::Root => zfs::set(host, which.0, property, to).map_err(|error| zfs_error(&operation, error))?,
    }
    match value()? {
        Some(present) if is_so(target, property, &present, to) => Ok(Outcome::Changed),
        present => {
            Err(PluginError::new(operation)
                .source(format!("it is {} afterwards", present.as_deref().unwrap_or("not set"))))
        }
    }
}

pub(super) fn value(host: &Host, target: Target, pool: &str, property: &str) -> Result<Option<String>, StorageError> {
    let all = match target {
        Target::Pool => zpool::properties(host, pool)?,
        Target::Root => zfs::properties_of(host, pool)?,
    };
    Ok(all.and_then(|mut all| all.remove(property)).map(|property| property.value))
}

fn mount(host: &Host, which: Which<'_>, place: &str, context: &Context) -> Result<Outcome, PluginError> {
    let operation = format!("cannot mount the root dataset of the pool {} at {place}", which.0);
    let failed = |error| zfs_error(&operation, error);
    the_pool(host, which, &operation)?;
    let is_mounted = || value(host, Target::Root, which.0, "mounted").map(|mounted| mounted.as_deref() == Some("yes"));
    if is_mounted().map_err(failed)? {
        return Ok(Outcome::AlreadySo);
    }
    let mounts = places::mounts(host).map_err(failed)?;
    if let Some(why) = places::obstacle(&Places::new(host, &mounts), which.0, place).map_err(failed)? {
        return Err(PluginError::new(operation.clone()).source(why).help(places::HELP));
    }
    if let Some(unshared) = zfs::mount(host, which.0).map_err(failed)? {
        context.log(Level::Warn, unshared.to_string());
    }
    match is_mounted().map_err(failed)? {
        true => Ok(Outcome::Changed),
        false => Err(PluginError::new(operation).source("the command has ended well, but it is not mounted")),
    }
}

/// The devices must be as they were when they were approved, and nobody else's since.
fn check(host: &Host, devices: &[Approved], operation: &str) -> Result<(), PluginError> {
    let changed =
        |why: String| PluginError::new(operation).source(why).help("plan anew, and look at what is there now");
    let statuses = zpool::statuses(host).map_err(|error| zfs_error(operation, error))?;
    let looks = Looks::new(host);
    for approved in devices {
        let now = looks.look(&approved.path);
        let Presence::Read(content) = &now.presence else {
            return Err(changed(format!("{} can no longer be read", approved.path)));
        };
        if content.fingerprint != approved.fingerprint || (!approved.left && content.description() != approved.holds) {
            let holds = content.description().unwrap_or_else(|| "nothing".to_owned());
            return Err(changed(format!("{} has changed since the plan; it holds {holds}", approved.path)));
        }
        if let Some(used) = &content.used {
            return Err(changed(format!("{} is in use: {used}", approved.path)));
        }
        let owner = statuses.iter().find(|status| {
            let members = status.layout.devices();
            members
                .iter()
                .filter(|member| !is_lost(member))
                .filter_map(|member| member.path())
                .any(|path| looks.names(path).overlaps_disk(&now.names))
        });
        if let Some(owner) = owner {
            return Err(changed(format!("{} is part of the imported pool {}", approved.path, owner.name)));
        }
    }
    Ok(())
}

pub(super) fn status(host: &Host, pool: &str, operation: &str) -> Result<Option<PoolStatus>, PluginError> {
    let statuses = zpool::statuses(host).map_err(|error| zfs_error(operation, error))?;
    Ok(statuses.into_iter().find(|status| status.name == pool))
}

/// The very pool that was planned for; another one of its name is none of the plan's business.
pub(super) fn the_pool(host: &Host, (pool, guid): Which<'_>, operation: &str) -> Result<PoolStatus, PluginError> {
    let properties = zpool::properties(host, pool).map_err(|error| zfs_error(operation, error))?;
    let found = properties.as_ref().and_then(|all| all.get("guid")).map(|property| property.value.as_str());
    if found != Some(guid.to_string().as_str()) {
        let why = format!("the pool with the guid {guid} is not imported under this name any more");
        return Err(PluginError::new(operation).source(why).help("plan anew"));
    }
    status(host, pool, operation)?
        .ok_or_else(|| PluginError::new(operation).source("the pool is gone").help("plan anew"))
}

/// The member of a pool at a configured path, if it is used.
pub(super) fn member<'a>(host: &Host, status: &'a PoolStatus, path: &str) -> Option<&'a Vdev> {
    at_path(host, status.layout.devices(), path)
}

/// Whether a pool has the device at a path, and for this.
fn has_role(host: &Host, status: &PoolStatus, role: Role, path: &str) -> bool {
    let layout = &status.layout;
    let vdevs = match role {
        Role::Data => &layout.data,
        Role::Log => &layout.logs,
        Role::Cache => &layout.cache,
        Role::Spare => &layout.spares,
    };
    at_path(host, vdevs.iter().flat_map(Vdev::devices).collect(), path).is_some()
}

fn at_path<'a>(host: &Host, devices: Vec<&'a Vdev>, path: &str) -> Option<&'a Vdev> {
    let looks = Looks::new(host);
    let names = looks.names(path);
    let used = devices.into_iter().filter(|member| member.shown_guid().is_none());
    let used: Vec<_> = used.filter_map(|member| Some((member, looks.names(member.path()?)))).collect();
    // Another disk may give the same identifier.
    let found = used.iter().find(|(_, other)| other.same_by_path(&names));
    found.or_else(|| used.iter().find(|(_, other)| other.same(&names))).map(|(member, _)| *member)
}

/// Runs a command that gives devices to a pool; what it leaves on blank ones when it fails is known afterwards.
fn give(
    host: &Host,
    devices: &[Approved],
    command: impl Fn(bool) -> Invocation,
    operation: &str,
) -> Result<(), PluginError> {
    let blank = devices.iter().filter(|device| device.holds.is_none()).map(|device| device.path.as_str());
    remember(host, operation, |record| record.give(host.system(), blank))?;
    force::run_permitted(host, devices, command, operation)
}

pub(super) fn remember(host: &Host, operation: &str, change: impl FnOnce(&mut Record)) -> Result<(), PluginError> {
    let updated = Record::update(host, change).map_err(StorageError::file("remember what is done"));
    updated.map_err(|error| zfs_error(operation, error))
}

fn confirm(
    host: &Host,
    status: Option<&PoolStatus>,
    devices: &[Approved],
    operation: &str,
) -> Result<Outcome, PluginError> {
    let mut paths = devices.iter().map(|device| device.path.as_str());
    let missing = paths.find(|path| status.is_none_or(|status| member(host, status, path).is_none()));
    if let Some(path) = missing {
        let why = format!("the command has ended well, but {path} is not in the pool");
        return Err(PluginError::new(operation).source(why));
    }
    let paths = devices.iter().map(|device| device.path.as_str());
    remember(host, operation, |record| record.forget(paths)).map(|()| Outcome::Changed)
}

impl State {
    /// How the pools are, for whoever listens.
    pub(crate) fn health(&self) -> serde_json::Value {
        let pool = |pool: &crate::state::ActivePool| serde_json::json!({ "name": pool.status.name, "guid": pool.guid.to_string(), "health": pool.status.state, "status": pool.status.status });
        self.pools.iter().map(pool).collect()
    }
}
