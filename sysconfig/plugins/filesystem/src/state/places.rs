//! Looking at the places of a configuration, and into directories.

use super::State;
use crate::config::Config;
use crate::order::{self, Unit};
use crate::record::Record;
use std::collections::BTreeSet;
use sysconfig_platform::mount_table::{self, Mount};
use sysconfig_platform::mounting::mounted_at;
use sysconfig_platform::places::{MountPoint, Places, mount_point};
use sysconfig_platform::{Host, StorageError, gather};

/// Finds out where the places of the configuration and of the boot table are.
pub(super) fn follow_links(host: &Host, config: &Config, places: &Places<'_>, state: &mut State) {
    let units = order::units(config);
    let written = units.iter().filter_map(|unit| match unit {
        Unit::Mount(mount) => Some(mount.mountpoint.clone()),
        Unit::Dataset(_) => state.place(config, *unit),
    });
    let sources = config
        .mounts()
        .iter()
        .map(|mount| mount.device.clone())
        .filter(|device| device.starts_with('/') && !device.starts_with("/dev/"));
    let wanted: BTreeSet<String> = written.chain(sources).collect();
    // What others have written down must not make anybody wait.
    let local = Places::local(host, &state.mounts);
    let rows = state.rows.iter().filter_map(|row| row.mount_point.clone()).filter(|point| !wanted.contains(point));
    let rows: Vec<_> = rows.map(|point| (local.resolve(&point), point)).collect();
    let all = wanted.iter().map(|path| (places.resolve(path), path.clone())).chain(rows);
    let all: Vec<_> = all.filter(|(resolved, path)| resolved != path).collect();
    state.resolved = gather::map(all.into_iter().map(|(resolved, path)| (path, resolved)));
}

/// Looks at the places where something is to be mounted and nothing is.
pub(super) fn look_at_points(host: &Host, config: &Config, places: &Places<'_>, state: &mut State) {
    let units = order::units(config);
    let mut all: BTreeSet<String> = units.iter().filter_map(|unit| state.place(config, *unit)).collect();
    for place in destinations(config, state) {
        let resolved = places.resolve(&place);
        all.insert(resolved.clone());
        if resolved != place {
            state.resolved.insert(place, resolved);
        }
    }
    for place in all {
        if mounted_at(&state.mounts, &place).is_some() {
            continue;
        }
        match places.check(&place).and_then(|()| mount_point(host, &place)) {
            Ok(at) => {
                let mut leads_to = BTreeSet::new();
                if at == MountPoint::Filled && holds_only_ours(host, &place, &state.record, &mut leads_to) {
                    state.leads_to.insert(place.clone(), leads_to);
                }
                state.points.insert(place, at);
            }
            // One place that cannot be looked at holds up no others.
            Err(error) => drop(state.unseen.insert(place, reason(error))),
        }
    }
}

/// Looks for what is to be mounted and lies on a server that does not answer.
pub(super) fn look_at_sources(config: &Config, places: &Places<'_>, state: &mut State) {
    for device in config.mounts().iter().map(|entry| &entry.device).filter(|device| device.starts_with('/')) {
        if let Err(error) = places.check_target(device) {
            state.unseen.insert(device.clone(), reason(error));
        }
    }
}

/// Where comes what moves along with datasets that get another mount point.
fn destinations(config: &Config, state: &State) -> Vec<String> {
    let entries = config.datasets.iter().filter(|entry| !entry.absent);
    let moved = entries.filter_map(|entry| {
        let base = state.place(config, Unit::Dataset(entry))?;
        Some(state.followers(&entry.name).into_iter().map(move |one| one.destination(&entry.name, &base)))
    });
    moved.flatten().collect()
}

/// Why something could not be looked at, with what is behind it.
fn reason(error: StorageError) -> String {
    let (message, source, _) = error.into_parts();
    source.map_or(message.clone(), |source| format!("{message}: {source}"))
}

/// How many directories are looked into before it is enough: what has so many is in use.
const DIRECTORIES: usize = 2000;
/// How deep they may lie in each other. As many are open at once.
const DEPTH: usize = 64;

/// Whether there is anything in a file system but directories, which are places for mounts mostly. What cannot be read
/// counts; what is mounted in it does not.
pub(crate) fn holds_something(host: &Host, directory: &str, mounts: &[Mount]) -> bool {
    looks_filled(host, directory, mounts, DEPTH, &mut DIRECTORIES.clone())
}

fn looks_filled(host: &Host, directory: &str, mounts: &[Mount], depth: usize, left: &mut usize) -> bool {
    if depth == 0 || *left == 0 {
        return true;
    }
    *left -= 1;
    let Ok(entries) = std::fs::read_dir(host.root.locate(directory)) else { return true };
    entries.into_iter().any(|entry| {
        let Ok(entry) = entry else { return true };
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            return true;
        }
        let Ok(name) = entry.file_name().into_string() else { return true };
        let path = format!("{}/{name}", directory.trim_end_matches('/'));
        mounted_at(mounts, &path).is_none() && looks_filled(host, &path, mounts, depth - 1, left)
    })
}

/// Whether there is nothing in a directory but what was made for mounts of ours; collects their mount points.
fn holds_only_ours(host: &Host, directory: &str, record: &Record, found: &mut BTreeSet<String>) -> bool {
    let Ok(entries) = std::fs::read_dir(host.root.locate(directory)) else { return false };
    entries.into_iter().all(|entry| {
        let Some(name) = entry.ok().and_then(|entry| entry.file_name().into_string().ok()) else { return false };
        let path = format!("{}/{name}", directory.trim_end_matches('/'));
        let made_for = |ours: &crate::record::OurMount| ours.made_directory.is_some();
        if record.mounts.get(&path).is_some_and(made_for) {
            found.insert(path);
            return true;
        }
        let leads = record.mounts.iter().any(|(point, ours)| made_for(ours) && mount_table::is_below(point, &path));
        leads && holds_only_ours(host, &path, record, found)
    })
}
