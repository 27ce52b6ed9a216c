//! What can be wrong with a configuration.

mod properties;

use crate::config::{Config, KEY, Pool, Scalar, Vdev};
use std::collections::BTreeMap;
use sysconfig_platform::System;
use sysconfig_platform::device::is_kernel_name;
use sysconfig_platform::zpool::Kind;
use sysconfig_plugin::Diagnostic;
use zfs_format::name::check_pool;

/// Everything that is wrong.
pub(crate) fn faults(config: &Config, system: System) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    let mut guids: BTreeMap<u64, String> = BTreeMap::new();
    let mut devices: BTreeMap<&str, String> = BTreeMap::new();
    for (at, pool) in config.pools.iter().enumerate() {
        let key = format!("{KEY}[{at}]");
        found.extend(name_fault(&key, pool, &mut names));
        found.extend(guid_fault(&key, pool, &mut guids));
        found.extend(vdev_faults(&key, pool));
        found.extend(device_faults(&key, pool, system, &mut devices));
        found.extend(search_faults(&key, pool));
        found.extend(permission_faults(&key, pool, system));
        found.extend(properties::faults(&key, pool, system));
    }
    found
}

fn name_fault<'a>(key: &str, pool: &'a Pool, seen: &mut BTreeMap<&'a str, String>) -> Option<Diagnostic> {
    let key = format!("{key}.name");
    if let Err(fault) = check_pool(&pool.name) {
        return Some(Diagnostic::error(key, format!("{:?} cannot be the name of a pool: {fault}", pool.name)));
    }
    if pool.name.contains(' ') {
        let message = format!("{:?} has a space in it, which scripts of others stumble over", pool.name);
        return Some(Diagnostic::error(key, message).help("use letters, digits, and any of _ - . :"));
    }
    let before = seen.insert(&pool.name, key.clone())?;
    Some(Diagnostic::error(key, format!("the same pool as in {before}")).help("put everything about a pool into one"))
}

fn guid_fault(key: &str, pool: &Pool, seen: &mut BTreeMap<u64, String>) -> Option<Diagnostic> {
    let text = pool.guid.as_ref()?;
    let key = format!("{key}.guid");
    match pool.wanted_guid().filter(|guid| *guid != 0) {
        None => Some(
            Diagnostic::error(key, format!("{text:?} is not the guid of a pool"))
                .help("a decimal number, as zpool get guid prints it"),
        ),
        Some(guid) => {
            let before = seen.insert(guid, key.clone())?;
            Some(Diagnostic::error(key, format!("the same guid as in {before}")))
        }
    }
}

fn vdev_faults(key: &str, pool: &Pool) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (part, vdevs) in [("vdevs", &pool.vdevs), ("log", &pool.log)] {
        for (at, vdev) in vdevs.iter().enumerate() {
            found.extend(vdev_fault(&format!("{key}.{part}[{at}]"), vdev, part == "log"));
        }
    }
    found.extend(unlike_fault(key, pool));
    for (part, is_empty) in
        [("log", pool.log.is_empty()), ("cache", pool.cache.is_empty()), ("spares", pool.spares.is_empty())]
    {
        if pool.vdevs.is_empty() && !is_empty {
            let message = "a pool is not extended by one whose vdevs are not named";
            found.push(Diagnostic::error(format!("{key}.{part}"), message).help("name its vdevs, too"));
        }
    }
    found
}

fn vdev_fault(key: &str, vdev: &Vdev, is_log: bool) -> Option<Diagnostic> {
    let Some((kind, devices)) = vdev.parts() else {
        let message = "a group of devices is of exactly one kind";
        return Some(
            Diagnostic::error(key, message).help("write one of mirror, raidz1, raidz2, raidz3 = [\"/dev/…\", …]"),
        );
    };
    let least = match kind {
        Kind::Mirror => 2,
        Kind::Raidz(parity) => usize::from(parity) + 1,
        _ => 1,
    };
    if devices.len() < least {
        let message = format!("a {} needs {least} devices at least, and has {}", kind.word(), devices.len());
        return Some(Diagnostic::error(key, message));
    }
    (is_log && matches!(kind, Kind::Raidz(_)))
        .then(|| Diagnostic::error(key, "a log cannot be a raidz").help("use single devices or mirrors"))
}

/// ZFS makes a pool of unlike vdevs by force only, and it is not given for that; but somebody may have made such a pool.
fn unlike_fault(key: &str, pool: &Pool) -> Option<Diagnostic> {
    let (at, first) = pool.unlike()?;
    let message = format!("this vdev is unlike the first one, a {first}, so the pool is imported, but never made");
    let help = "give all vdevs of a pool the same kind and number of devices";
    Some(Diagnostic::warning(format!("{key}.vdevs[{at}]"), message).help(help))
}

fn device_faults<'a>(
    key: &str,
    pool: &'a Pool,
    system: System,
    seen: &mut BTreeMap<&'a str, String>,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (part, path) in pool.devices() {
        let key = format!("{key}.{part}");
        if let Some(fault) = path_fault(path, system) {
            found.push(Diagnostic::error(&key, format!("{path:?} is not the path of a device: {fault}")));
            continue;
        }
        if system == System::Linux && is_kernel_name(path) {
            let message = format!("{path} may be another disk after a reboot");
            found.push(Diagnostic::warning(&key, message).help("use its name in /dev/disk/by-id or /dev/disk/by-path"));
        }
        if is_volume_of(path, &pool.name) {
            let message = format!("{path} is a volume of this very pool");
            found.push(Diagnostic::error(&key, message).help("choose a device outside of the pool"));
        }
        // Configurations of illumos are checked on Linux, too.
        if system == System::Linux && path.starts_with("/dev/dsk/") {
            found.push(Diagnostic::warning(&key, format!("{path} is a name that only illumos has")));
        }
        if let Some(before) = seen.insert(path, key.clone()) {
            found.push(Diagnostic::error(key, format!("{path} is also in {before}")));
        }
    }
    found
}

/// Whether a path is that of a volume in the pool: a pool on itself waits for itself.
fn is_volume_of(path: &str, pool: &str) -> bool {
    let volume = ["/dev/zvol/dsk/", "/dev/zvol/"].iter().find_map(|directory| path.strip_prefix(directory));
    volume.and_then(|volume| volume.split('/').next()) == Some(pool)
}

fn path_fault(path: &str, system: System) -> Option<String> {
    if !path.starts_with('/') {
        let place = if system == System::Illumos { "/dev/dsk" } else { "/dev/disk/by-id" };
        return Some(format!("it is not absolute; disks are in {place}"));
    }
    if path.split('/').skip(1).any(|component| matches!(component, "" | "." | "..")) {
        return Some("it is not in its shortest form".to_owned());
    }
    if path.chars().any(char::is_control) {
        return Some("it has control characters in it".to_owned());
    }
    match system {
        System::Illumos if path.starts_with("/dev/rdsk/") => Some("ZFS takes the block device in /dev/dsk".to_owned()),
        _ => None,
    }
}

fn search_faults(key: &str, pool: &Pool) -> Vec<Diagnostic> {
    let wrong = pool.search.iter().enumerate().filter(|(_, directory)| !directory.starts_with('/'));
    wrong
        .map(|(at, directory)| {
            Diagnostic::error(format!("{key}.search[{at}]"), format!("{directory:?} is not an absolute path"))
        })
        .collect()
}

fn permission_faults(key: &str, pool: &Pool, system: System) -> Vec<Diagnostic> {
    let devices = pool.devices();
    let mut found = Vec::new();
    for (at, path) in pool.allow_destructive.iter().enumerate() {
        let key = format!("{key}.allow-destructive[{at}]");
        if !devices.iter().any(|(_, device)| device == path) {
            let message = format!("{path} is not a device of this pool");
            found
                .push(Diagnostic::error(key, message).help("write it as it is written in vdevs, log, cache or spares"));
        } else if system == System::Linux && is_kernel_name(path) {
            let message = format!("the content of {path} cannot be given away: it may be another disk after a reboot");
            found.push(
                Diagnostic::error(key, message)
                    .help("use its name in /dev/disk/by-id or /dev/disk/by-path, here and above"),
            );
        }
    }
    found
}

/// TOML has truth values, and ZFS words.
fn truth_fault(key: &str, value: &Scalar) -> Option<Diagnostic> {
    matches!(value, Scalar::Truth(_))
        .then(|| Diagnostic::error(key, "a property is a text or a number").help(format!("write \"{value}\"")))
}
