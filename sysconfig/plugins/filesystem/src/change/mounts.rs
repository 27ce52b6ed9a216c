//! Steps about mounts and their rows.

use super::{busy_error, file_error, outcome, remember};
use crate::options::{self, Past, Shown};
use crate::record::{OurMount, Record, Seen, boot};
use crate::state::{holds_something, ids, is_in_memory, keeps_memory};
use crate::storage_error;
use std::time::{Duration, Instant};
use sysconfig_platform::boot_table::{self, BootRow, Subject};
use sysconfig_platform::device;
use sysconfig_platform::mount_table::{self, Mount};
use sysconfig_platform::mounting::{self, MountRequest, mounted_at};
use sysconfig_platform::places::{MountPoint, Places, mount_point};
use sysconfig_platform::{CommandError, Host, StorageError, System, device_name, files};
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
    let places = || Places::new(host, mounts);
    match request.fstype.as_str() {
        "bind" if host.system() == System::Linux => {
            let others: Vec<Mount> =
                mounts.iter().filter(|other| other.mount_point != request.mount_point).cloned().collect();
            let source = places().resolve(&request.device);
            mount.place.is_some() && mount.place == mount_table::place_of(&others, &source)
        }
        _ if !mount_table::is_whole(mount, &request.options) => false,
        fstype if is_in_memory(fstype) => mount.fstype == request.fstype,
        fstype if is_nfs(fstype) => {
            is_nfs(&mount.fstype) && mount.device.trim_end_matches('/') == request.device.trim_end_matches('/')
        }
        _ => {
            mount_table::is_type(&request.fstype, &mount.fstype)
                && places().identity(&mount.device) == places().identity(&request.device)
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
    let places = Places::new(host, &mounts);
    places.check(point).map_err(storage_error)?;
    if request.device.starts_with('/') {
        places.check_target(&request.device).map_err(storage_error)?;
    }
    let resolved = places.resolve(point);
    if resolved != *point {
        let message = format!("cannot mount {} at {point}: links lead from there to {resolved} now", request.device);
        return Err(PluginError::new(message).help("plan and apply again"));
    }
    let at = mount_point(host, point).map_err(storage_error)?;
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
    wait_for_device(host, request, context);
    refuse_other_path(host, request)?;
    let makes_directory = at == MountPoint::Missing;
    let makes = if makes_directory { Some(topmost_missing(host, point)?) } else { None };
    remember(host, |record| {
        // What an interrupted step has made stays ours.
        let before = record.mounts.get(point).and_then(|ours| ours.made_directory.clone());
        let made_directory = before.or(makes);
        let covers = at == MountPoint::Filled || mounted_at(&mounts, point).is_some();
        record.mounts.insert(point.clone(), OurMount { request: request.clone(), made_directory, covers, seen: None });
    })?;
    if makes_directory {
        files::make_directory(&host.root, point).map_err(|source| file_error("make the mount point", source))?;
    }
    let mounted = mounting::mount(host, request, false);
    let before = mounts;
    let mounts = table(host)?;
    match (mounted_at(&mounts, point), mounted) {
        // What the program says is only a claim.
        (Some(mount), _) if is_it(host, &mounts, mount, request) => {
            let seen = Seen::of(mount, &boot(host));
            remember(host, |record| {
                if let Some(ours) = record.mounts.get_mut(point) {
                    ours.seen = Some(seen);
                }
            })?;
            Ok(Outcome::Changed)
        }
        (_, Err(error)) => {
            // The kernel may still be at it, and what it mounts then is ours.
            if !is_late(&error) {
                clean_up(host, point)?;
            }
            Err(storage_error(error))
        }
        (other, Ok(())) => {
            let differs = |mount: &&Mount| mount.fstype != request.fstype;
            let there = other.map_or("nothing", |mount| mount.device.as_str());
            let of_type = other.filter(differs).map(|mount| format!(" of type {}", mount.fstype)).unwrap_or_default();
            let message = format!("{point} shows {there}{of_type}, although {} was mounted", request.device);
            take_away(host, &before, &mounts, request)?;
            clean_up(host, point)?;
            let help = match other.filter(differs) {
                Some(mount) => format!("write type = {:?}, or plan and apply again", mount.fstype),
                None => "plan and apply again".to_owned(),
            };
            Err(PluginError::new(message).help(help))
        }
    }
}

/// Refuses a disk that is in use by another path: the kernel would take it for two, and both would write on it.
fn refuse_other_path(host: &Host, request: &MountRequest) -> Result<(), PluginError> {
    let operation = format!("cannot mount {} at {}", request.device, request.mount_point);
    let node = device_name::node(host, &request.device);
    if !node.starts_with("/dev/") {
        return Ok(());
    }
    match device::used_by_other_path(host, &node) {
        Ok(None) => Ok(()),
        Ok(Some(why)) => {
            Err(PluginError::new(format!("{operation}: {why}"))
                .help("mount it by the path that is in use, or end that"))
        }
        Err(error) => Err(PluginError::new(operation).source(error.to_string())),
    }
}

/// Whether something was given up because it took too long.
fn is_late(error: &StorageError) -> bool {
    matches!(error, StorageError::Command { source: CommandError::Deadline { .. }, .. })
}

/// Unmounts what has come to be mounted in another place than it should: the next apply would mount it once more.
fn take_away(host: &Host, before: &[Mount], now: &[Mount], request: &MountRequest) -> Result<(), PluginError> {
    let is_stray = |mount: &&Mount| mount.mount_point == request.mount_point || is_it(host, now, mount, request);
    let new: Vec<&Mount> = now.iter().filter(|mount| !before.contains(mount)).filter(is_stray).collect();
    // Others mount, too, and what is in memory looks alike everywhere: of several nobody knows which one it is, and what holds
    // anything is somebody's.
    let [stray] = new[..] else { return Ok(()) };
    let is_somebodys = is_in_memory(&stray.fstype)
        && mount_point(host, &stray.mount_point).map_err(storage_error)? != MountPoint::Empty;
    if is_somebodys {
        Ok(())
    } else {
        mounting::unmount(host, &stray.mount_point, &stray.fstype).map_err(storage_error)
    }
}

/// Waits a little for a device that is not there yet.
fn wait_for_device(host: &Host, request: &MountRequest, context: &Context) {
    let until = Instant::now() + context.remaining().map_or(PATIENCE, |left| left.min(PATIENCE));
    let is_there = || host.root.exists(&request.device).unwrap_or(true);
    // A wrong name would only cost time, so this is for what the system makes by itself.
    while request.device.starts_with("/dev/zvol/") && !is_there() && Instant::now() < until {
        std::thread::sleep(host.poll_interval);
    }
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

/// Changes the options of a mount of ours, or of one that is to be ours from now on.
pub(super) fn remount(host: &Host, request: &MountRequest, adopts: bool) -> Result<Outcome, PluginError> {
    let point = &request.mount_point;
    let mounts = table(host)?;
    let there = mounted_at(&mounts, point).filter(|mount| is_it(host, &mounts, mount, request));
    let Some(there) = there else {
        let message = format!("cannot change the options of {point}: {} is not mounted there now", request.device);
        return Err(PluginError::new(message).help("plan and apply again"));
    };
    if !adopts && is_in_memory(&there.fstype) && !has_our_word(host, there)? {
        let message =
            format!("cannot change the options of {point}: {} is mounted there now, and is not ours", there.device);
        return Err(PluginError::new(message).help("plan and apply again"));
    }
    // What is in memory keeps its word, by which it is known.
    let device = if is_in_memory(&there.fstype) { there.device.clone() } else { request.device.clone() };
    let wanted = MountRequest { device, ..request.clone() };
    let record = Record::load(host).map_err(|source| file_error("read what was done", source))?;
    let ours = record.mounts.get(point).cloned().unwrap_or_else(|| {
        // It is ours from now on, with what it has.
        let request = MountRequest { options: there.options.clone(), ..wanted.clone() };
        OurMount { request, made_directory: None, covers: true, seen: None }
    });
    let applied = ours.request.options.clone();
    let in_force = |mount: &Mount| -> Vec<String> {
        let left = options::left_over(host.system(), &applied, &request.options, &mount.options);
        left.filter(|_| record.mounts.contains_key(point)).cloned().collect()
    };
    let mut told = request.clone();
    if host.system() == System::Linux {
        told.options.extend(in_force(there).iter().filter_map(|option| options::opposite(option)).map(str::to_owned));
    }
    // Until it is done, what is in force is what was asked for before; and somebody else's is theirs until it has worked.
    if record.mounts.contains_key(point) {
        remember(host, |record| drop(record.mounts.insert(point.clone(), ours.clone())))?;
    }
    mounting::mount(host, &told, true).map_err(storage_error)?;
    let mounts = table(host)?;
    let now = mounted_at(&mounts, point).filter(|mount| is_it(host, &mounts, mount, request));
    let stays = |mount: &Mount| in_force(mount).iter().any(|option| mount.options.contains(option));
    let Some(now) = now.filter(|mount| !stays(mount) && is_as_told(host, mount, request)) else {
        let shown = now.map_or_else(|| "nothing".to_owned(), |mount| mount.options.join(","));
        let message = format!("{point} shows {shown}, although its options were changed to {}", told.options.join(","));
        return Err(PluginError::new(message).help("unmount it by hand, then apply"));
    };
    let seen = Some(Seen::of(now, &boot(host)));
    remember(host, |record| drop(record.mounts.insert(point.clone(), OurMount { request: wanted, seen, ..ours })))?;
    Ok(Outcome::Changed)
}

/// Whether a mount has the options that it was just given, as far as the table tells.
fn is_as_told(host: &Host, mount: &Mount, request: &MountRequest) -> bool {
    let past = Past { applied: Some(&request.options), shown: None };
    let ids = ids(host, request.options.iter());
    let (system, fstype, options) = (host.system(), request.fstype.as_str(), mount.options.as_slice());
    Shown { system, fstype, options, past, ids: &ids }.has_all(&request.options)
}

/// Whether a file system in memory is called as the one of ours at its place: nothing else tells them apart.
fn has_our_word(host: &Host, mount: &Mount) -> Result<bool, PluginError> {
    let record = Record::load(host).map_err(|source| file_error("read what was done", source))?;
    Ok(record.mounts.get(&mount.mount_point).is_some_and(|ours| ours.request.device == mount.device))
}

pub(super) fn unmount(host: &Host, request: &MountRequest, context: &Context) -> Result<Outcome, PluginError> {
    let point = &request.mount_point;
    let mounts = table(host)?;
    let done = match mounted_at(&mounts, point) {
        None => Outcome::AlreadySo,
        // What stands for the device of a file system in memory is all that tells ours from somebody else's.
        Some(mount)
            if (is_it(host, &mounts, mount, request) || is_as_seen(host, mount)?)
                && (!is_in_memory(&request.fstype) || mount.device == request.device) =>
        {
            refuse_loss(host, &mounts, mount, request)?;
            unmount_at(host, (point, &mount.fstype), context)?;
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

/// Whether it is the very directory that was shown at a place: where its source was is another one perhaps, when that goes first.
fn is_as_seen(host: &Host, mount: &Mount) -> Result<bool, PluginError> {
    let record = Record::load(host).map_err(|source| file_error("read what was done", source))?;
    Ok(record.mounts.get(&mount.mount_point).is_some_and(|ours| ours.shows(mount, &boot(host))))
}

/// Refuses what the plan did not see: somebody has written into a file system in memory since.
fn refuse_loss(host: &Host, mounts: &[Mount], mount: &Mount, request: &MountRequest) -> Result<(), PluginError> {
    let point = &request.mount_point;
    if !keeps_memory(request, mount, mounts) || !holds_something(host, point, mounts) {
        return Ok(());
    }
    let message = format!("cannot unmount {point}: what is in it is in memory only, and would be lost");
    Err(PluginError::new(message).help("move away what is in it, or unmount it by hand"))
}

/// Unmounts, patiently but never by force.
pub(super) fn unmount_at(host: &Host, (point, fstype): (&str, &str), context: &Context) -> Result<(), PluginError> {
    let mut tries = 1;
    loop {
        match mounting::unmount(host, point, fstype) {
            Ok(()) => return Ok(()),
            Err(error) if mounting::is_busy(&error) && tries < TRIES && !context.is_cancelled() => {
                tries += 1;
                std::thread::sleep(host.poll_interval * POLLS_BETWEEN_TRIES);
            }
            Err(error) => return Err(busy_error(host, &[point], error)),
        }
    }
}

/// Forgets a mount that is gone, and the directory that was made for it.
pub(super) fn forget(host: &Host, point: &str) -> Result<Outcome, PluginError> {
    clean_up(host, point)?;
    Ok(Outcome::Changed)
}

/// Writes the row of what a request has mounted instead of the one that was there, or removes that.
pub(super) fn set_row(
    host: &Host,
    point: &str,
    row: Option<(&BootRow, &MountRequest)>,
    previous: Option<&BootRow>,
) -> Result<Outcome, PluginError> {
    let Some((row, request)) = row else {
        let written = if previous.is_some() { write_row(host, point, previous, None)? } else { Outcome::AlreadySo };
        remember(host, |record| record.set_rows(point, &[]))?;
        // To forget is a change too, of the record.
        return Ok(if written == Outcome::AlreadySo { Outcome::Changed } else { written });
    };
    // A row for what does not work can keep the machine from booting.
    let mounts = table(host)?;
    // Where the row is waited for, it has worked.
    let waits = previous.is_some_and(|old| old.is_automount() && old.device == row.device);
    let is_there = |mount: &Mount| is_it(host, &mounts, mount, request) || (waits && mount.fstype == "autofs");
    if !mounted_at(&mounts, point).is_some_and(is_there) {
        let message = format!("{} is not mounted at {point}, so no row for it is written", request.device);
        return Err(PluginError::new(message).help("plan and apply again"));
    }
    let mut before = Record::default();
    remember(host, |record| {
        before = record.clone();
        let old = previous.filter(|old| before.has_row(point, old));
        record.set_rows(point, &[Some(row), old].into_iter().flatten().collect::<Vec<_>>());
    })?;
    let written = write_row(host, point, previous, Some(row));
    remember(host, |record| match &written {
        Ok(_) => record.set_rows(point, &[row]),
        // What is there is whose it was before.
        Err(_) => (record.rows, record.row_of) = (before.rows, before.row_of),
    })?;
    written
}

/// Gives the row back that was there before `row`.
pub(super) fn restore_row(
    host: &Host,
    point: &str,
    row: Option<&BootRow>,
    previous: Option<&BootRow>,
    was_ours: bool,
) -> Result<Outcome, PluginError> {
    if row.is_none() && previous.is_none() {
        // It was only forgotten.
        return Ok(Outcome::AlreadySo);
    }
    let written = write_row(host, point, row, previous)?;
    remember(host, |record| record.set_rows(point, previous.filter(|_| was_ours).as_slice()))?;
    Ok(written)
}

fn write_row(
    host: &Host,
    point: &str,
    previous: Option<&BootRow>,
    row: Option<&BootRow>,
) -> Result<Outcome, PluginError> {
    let written = boot_table::set_row(host, Subject::Mount(point), previous, row);
    written.map(outcome).map_err(storage_error)
}
