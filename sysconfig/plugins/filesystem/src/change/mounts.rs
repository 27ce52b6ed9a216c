//! Steps about mounts and their rows.

use super::{busy_error, file_error, outcome, remember};
use crate::record::{OurMount, Record};
use crate::state::{holds_something, is_in_memory};
use crate::storage_error;
use std::time::{Duration, Instant};
use sysconfig_platform::boot_table::{self, BootRow};
use sysconfig_platform::mount_table::{self, Mount};
use sysconfig_platform::mounting::{self, MountPoint, MountRequest, mounted_at};
use sysconfig_platform::{Host, System, files};
use sysconfig_plugin::{Context, Outcome, PluginError};

/// How often unmounting is tried: who looks into a directory in passing is gone soon.
const TRIES: u32 = 3;
/// How many polls lie between two tries.
const POLLS_BETWEEN_TRIES: u32 = 5;
/// Devices of file systems that need time to appear, as that of a disk that was just found.
const PATIENCE: Duration = Duration::from_secs(2);

fn table(host: &Host) -> Result<Vec<Mount>, PluginError> {
    mount_table::mounts(host).map_err(|source| file_error("look at the mounts", source))
}

/// Whether what is mounted is what was asked for.
fn is_it(host: &Host, mounts: &[Mount], mount: &Mount, request: &MountRequest) -> bool {
    let is_nfs = |fstype: &str| fstype == "nfs" || fstype == "nfs4";
    match request.fstype.as_str() {
        "bind" if host.system == System::Linux => {
            let others: Vec<Mount> =
                mounts.iter().filter(|other| other.mount_point != request.mount_point).cloned().collect();
            let source = host.root.resolve(&request.device).map(|path| path.display().to_string());
            mount.place.is_some()
                && mount.place == mount_table::place_of(&others, &source.unwrap_or_else(|_| request.device.clone()))
        }
        fstype if is_in_memory(fstype) => mount.fstype == request.fstype,
        fstype if is_nfs(fstype) => {
            is_nfs(&mount.fstype) && mount.device.trim_end_matches('/') == request.device.trim_end_matches('/')
        }
        _ => {
            mount.fstype == request.fstype
                && mounting::identity(host, &mount.device) == mounting::identity(host, &request.device)
        }
    }
}

pub(super) fn mount(host: &Host, request: &MountRequest, context: &Context) -> Result<Outcome, PluginError> {
    let point = &request.mount_point;
    let mounts = table(host)?;
    match mounted_at(&mounts, point) {
        Some(mount) if is_it(host, &mounts, mount, request) => return Ok(Outcome::AlreadySo),
        Some(mount) if !request.overlay => {
            let message = format!("cannot mount {} at {point}: {} is mounted there now", request.device, mount.device);
            return Err(PluginError::new(message).help("plan and apply again"));
        }
        _ => {}
    }
    let at = mounting::mount_point(host, point).map_err(storage_error)?;
    match at {
        MountPoint::Missing | MountPoint::Empty => {}
        MountPoint::Filled if request.overlay => {}
        MountPoint::Filled => {
            let message = format!("cannot mount {} at {point}: the directory is not empty", request.device);
            return Err(PluginError::new(message).help("move away what is there, or write overlay = true"));
        }
        MountPoint::NoDirectory => {
            return Err(PluginError::new(format!("cannot mount {} at {point}: it is no directory", request.device)));
        }
    }
    let makes_directory = at == MountPoint::Missing;
    let makes = if makes_directory { Some(topmost_missing(host, point)?) } else { None };
    remember(host, |record| {
        // What an interrupted step has made stays ours.
        let before = record.mounts.get(point).and_then(|ours| ours.made_directory.clone());
        let made_directory = before.or(makes);
        let covers = at == MountPoint::Filled || mounted_at(&mounts, point).is_some();
        record.mounts.insert(point.clone(), OurMount { request: request.clone(), made_directory, covers });
    })?;
    if makes_directory {
        files::make_directory(&host.root, point).map_err(|source| file_error("make the mount point", source))?;
    }
    let mounted = wait_for_device(host, request, context).and_then(|()| mounting::mount(host, request, false));
    if let Err(error) = mounted {
        clean_up(host, point)?;
        return Err(storage_error(error));
    }
    let mounts = table(host)?;
    match mounted_at(&mounts, point) {
        Some(mount) if is_it(host, &mounts, mount, request) => Ok(Outcome::Changed),
        other => {
            let there = other.map_or("nothing", |mount| mount.device.as_str());
            Err(PluginError::new(format!("{point} shows {there}, although {} was mounted", request.device)))
        }
    }
}

/// Waits a little for a device that is not there yet.
fn wait_for_device(
    host: &Host,
    request: &MountRequest,
    context: &Context,
) -> Result<(), sysconfig_platform::StorageError> {
    let until = Instant::now() + context.remaining().map_or(PATIENCE, |left| left.min(PATIENCE));
    let is_there = || host.root.exists(&request.device).unwrap_or(true);
    // A wrong name would only cost time, so this is for what the system makes by itself.
    while request.device.starts_with("/dev/zvol/") && !is_there() && Instant::now() < until {
        std::thread::sleep(host.poll_interval);
    }
    Ok(())
}

/// The topmost of the directories that have to be made for a mount point.
fn topmost_missing(host: &Host, point: &str) -> Result<String, PluginError> {
    let mut topmost = point;
    while let Some((above, _)) = topmost.rsplit_once('/').filter(|(above, _)| !above.is_empty()) {
        if host.root.exists(above).map_err(|source| file_error("look at the mount point", source))? {
            break;
        }
        topmost = above;
    }
    Ok(topmost.to_owned())
}

/// Takes back what a mount that failed or went has needed.
fn clean_up(host: &Host, point: &str) -> Result<(), PluginError> {
    let record = Record::load(host).map_err(|source| file_error("read what was done", source))?;
    if let Some(topmost) = record.mounts.get(point).and_then(|ours| ours.made_directory.as_ref()) {
        let mut directory = point;
        while directory == topmost || mount_table::is_below(directory, topmost) {
            let Ok(resolved) = host.root.resolve(directory) else { break };
            // One that somebody has put something into stays, and so does what is above it.
            if std::fs::remove_dir(host.root.locate(resolved)).is_err() {
                break;
            }
            directory = directory.rsplit_once('/').map_or("/", |(above, _)| above);
        }
    }
    remember(host, |record| {
        record.mounts.remove(point);
    })
}

pub(super) fn remount(host: &Host, request: &MountRequest) -> Result<Outcome, PluginError> {
    let point = &request.mount_point;
    let mounts = table(host)?;
    let there = mounted_at(&mounts, point).filter(|mount| is_it(host, &mounts, mount, request));
    let Some(there) = there else {
        let message = format!("cannot change the options of {point}: {} is not mounted there now", request.device);
        return Err(PluginError::new(message).help("plan and apply again"));
    };
    // What is in memory keeps its word, by which it is known.
    let device = if is_in_memory(&there.fstype) { there.device.clone() } else { request.device.clone() };
    let mounted = MountRequest { device, ..request.clone() };
    remember(host, |record| {
        let before = record.mounts.get(point);
        let (made_directory, covers) = before.map_or((None, true), |ours| (ours.made_directory.clone(), ours.covers));
        record.mounts.insert(point.clone(), OurMount { request: mounted, made_directory, covers });
    })?;
    mounting::mount(host, request, true).map_err(storage_error)?;
    Ok(Outcome::Changed)
}

pub(super) fn unmount(host: &Host, request: &MountRequest, context: &Context) -> Result<Outcome, PluginError> {
    let point = &request.mount_point;
    let mounts = table(host)?;
    let done = match mounted_at(&mounts, point) {
        None => Outcome::AlreadySo,
        Some(mount) if is_it(host, &mounts, mount, request) => {
            refuse_loss(host, &mounts, mount)?;
            unmount_at(host, point, context)?;
            Outcome::Changed
        }
        Some(mount) => {
            let message = format!("cannot unmount {point}: {} is mounted there now, and is not ours", mount.device);
            return Err(PluginError::new(message).help("plan and apply again"));
        }
    };
    clean_up(host, point)?;
    Ok(done)
}

/// Refuses what the plan did not see: somebody has written into a file system in memory since.
fn refuse_loss(host: &Host, mounts: &[Mount], mount: &Mount) -> Result<(), PluginError> {
    let point = &mount.mount_point;
    if !is_in_memory(&mount.fstype) || !holds_something(host, point, mounts) {
        return Ok(());
    }
    let message = format!("cannot unmount {point}: what is in it is in memory only, and would be lost");
    Err(PluginError::new(message).help("move away what is in it, or unmount it by hand"))
}

/// Unmounts, patiently but never by force.
pub(super) fn unmount_at(host: &Host, point: &str, context: &Context) -> Result<(), PluginError> {
    let mut tries = 1;
    loop {
        match mounting::unmount(host, point) {
            Ok(()) => return Ok(()),
            Err(error) if mounting::is_busy(&error) && tries < TRIES && !context.is_cancelled() => {
                tries += 1;
                std::thread::sleep(host.poll_interval * POLLS_BETWEEN_TRIES);
            }
            Err(error) => return Err(busy_error(host, Some(point), error)),
        }
    }
}

pub(super) fn forget(host: &Host, point: &str) -> Result<Outcome, PluginError> {
    remember(host, |record| {
        record.mounts.remove(point);
    })?;
    Ok(Outcome::Changed)
}

/// Writes the row of what a request has mounted, or removes the row.
pub(super) fn set_row(
    host: &Host,
    point: &str,
    row: Option<(&BootRow, &MountRequest)>,
) -> Result<Outcome, PluginError> {
    if let Some((row, request)) = row {
        // A row for what does not work can keep the machine from booting.
        let mounts = table(host)?;
        if !mounted_at(&mounts, point).is_some_and(|mount| is_it(host, &mounts, mount, request)) {
            let message = format!("{} is not mounted at {point}, so no row for it is written", request.device);
            return Err(PluginError::new(message).help("plan and apply again"));
        }
        remember(host, |record| {
            record.rows.insert(point.to_owned());
        })?;
        return write_row(host, point, Some(row));
    }
    let written = write_row(host, point, None)?;
    remember(host, |record| {
        record.rows.remove(point);
    })?;
    // To forget is a change too, of the record.
    Ok(if written == Outcome::AlreadySo { Outcome::Changed } else { written })
}

pub(super) fn restore_row(
    host: &Host,
    point: &str,
    previous: Option<&BootRow>,
    was_ours: bool,
) -> Result<Outcome, PluginError> {
    let written = write_row(host, point, previous)?;
    remember(host, |record| {
        if was_ours && previous.is_some() {
            record.rows.insert(point.to_owned());
        } else {
            record.rows.remove(point);
        }
    })?;
    Ok(written)
}

fn write_row(host: &Host, point: &str, row: Option<&BootRow>) -> Result<Outcome, PluginError> {
    let operation = format!("write the row of {point} in {}", boot_table::path(host.system));
    boot_table::set_row(host, point, row).map(outcome).map_err(|source| file_error(&operation, source))
}
