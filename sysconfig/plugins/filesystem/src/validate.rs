//! What can be wrong with a configuration.

use crate::config::{Config, DATASETS, DatasetEntry, MOUNTS, MountEntry};
use crate::order;
use crate::properties::{NOT_SETTABLE, RESERVED_PREFIX, SIZES};
use std::collections::BTreeMap;
use sysconfig_platform::device::is_kernel_name;
use sysconfig_platform::mount_table::is_below;
use sysconfig_platform::storage::parse_size;
use sysconfig_platform::{System, zfs};
use sysconfig_plugin::Diagnostic;

/// Types by what they are called on illumos and on Linux.
const COUNTERPARTS: &[(&str, &str)] =
    &[("pcfs", "vfat"), ("hsfs", "iso9660"), ("lofs", "bind"), ("udfs", "udf"), ("smbfs", "cifs")];
/// Types that only one of the systems has.
const ILLUMOS_ONLY: &[&str] = &["ufs", "ctfs", "objfs", "mntfs", "fd"];
const LINUX_ONLY: &[&str] = &["ext2", "ext3", "ext4", "xfs", "btrfs", "squashfs", "overlay", "9p", "virtiofs", "ramfs"];
/// Mount points without which the machine does not run, and which are not ours to mount or unmount.
const OF_THE_SYSTEM: &[&str] =
    &["/", "/proc", "/dev", "/sys", "/devices", "/system", "/etc/mnttab", "/etc/svc/volatile"];

/// Everything that is wrong.
pub(crate) fn faults(config: &Config, system: System) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    for (at, dataset) in config.datasets.iter().enumerate() {
        let key = format!("{DATASETS}[{at}]");
        if let Some(before) = names.insert(&dataset.name, key.clone()) {
            found.push(Diagnostic::error(format!("{key}.name"), format!("the same dataset as {before}")));
        }
        found.extend(dataset_faults(&key, dataset));
        let place = dataset.property("mountpoint").filter(|place| place.starts_with('/') && !dataset.absent);
        if let Some(before) = place.and_then(|place| places.insert(place, key.clone())) {
            let key = format!("{key}.properties.mountpoint");
            found.push(Diagnostic::error(key, format!("{before} is mounted there")));
        }
    }
    for (at, mount) in config.mounts().iter().enumerate() {
        let key = format!("{MOUNTS}[{at}]");
        if let Some(before) = places.insert(mount.mountpoint.clone(), key.clone()) {
            found.push(Diagnostic::error(format!("{key}.mountpoint"), format!("{before} is mounted there")));
        }
        found.extend(mount_faults(&key, mount, config, system));
    }
    if !found.iter().any(Diagnostic::is_error) {
        found.extend(circle(config));
    }
    found
}

fn dataset_faults(key: &str, dataset: &DatasetEntry) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let name = &dataset.name;
    if let Some(fault) = zfs::name_fault(name) {
        found.push(Diagnostic::error(format!("{key}.name"), format!("{name:?} is not the name of a dataset: {fault}")));
    }
    for (property, value) in &dataset.properties {
        let key = format!("{key}.properties.{property}");
        if let Some(fault) = property_fault(property) {
            found.push(Diagnostic::error(key, format!("{property} cannot be set: {fault}")));
        } else if let Some(fault) = value_fault(property, &value.to_string()) {
            found.push(Diagnostic::error(key, format!("{:?} is no value of {property}: {fault}", value.to_string())));
        }
    }
    for (quota, reserved) in [("quota", "reservation"), ("refquota", "refreservation")] {
        let bytes = |property: &str| dataset.property(property).and_then(|value| parse_size(&value));
        if let (Some(limit), Some(bytes)) = (bytes(quota).filter(|limit| *limit > 0), bytes(reserved)) {
            if bytes > limit {
                let message = format!("{reserved} is more than {quota} allows");
                let key = format!("{key}.properties.{reserved}");
                found.push(Diagnostic::error(key, message).help(format!("lower it, or raise {quota}")));
            }
        }
    }
    if dataset.absent && !dataset.allow_destructive {
        let help = "write allow-destructive = true beside it, and apply with --allow-destructive; or leave the entry \
                    out, and the dataset stays";
        found.push(Diagnostic::error(format!("{key}.absent"), "this destroys, which needs permission").help(help));
    }
    if dataset.absent && !name.contains('/') {
        let help = "pools are not destroyed here";
        found.push(Diagnostic::error(format!("{key}.absent"), format!("{name} is a pool")).help(help));
    }
    found
}

fn property_fault(property: &str) -> Option<String> {
    if property.starts_with(RESERVED_PREFIX) {
        return Some("it is for this program's own notes".to_owned());
    }
    if NOT_SETTABLE.contains(&property) {
        return Some("the system computes it, or only volumes have it".to_owned());
    }
    // ZFS takes it, and reads out the whole one.
    if let Some(whole) = zfs::property::whole_name(property) {
        return Some(format!("its whole name is {whole}"));
    }
    if property.contains('@') {
        return Some("quotas of users and groups are not kept here".to_owned());
    }
    let is_name =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || "_-.:+".contains(character);
    let is_good = !property.is_empty() && property.len() <= 255 && property.chars().all(is_name);
    (!is_good).then(|| "it is not the name of a property".to_owned())
}

/// What is wrong with a value, as far as that can be known without the machine.
fn value_fault(property: &str, value: &str) -> Option<String> {
    if value.chars().any(char::is_control) {
        return Some("it holds a control character".to_owned());
    }
    if SIZES.contains(&property) && value != "none" && value != "auto" && parse_size(value).is_none() {
        return Some("it is no size".to_owned());
    }
    match property {
        "mountpoint" if !["none", "legacy"].contains(&value) => directory_fault(value),
        "canmount" if !["on", "off", "noauto"].contains(&value) => Some("it is none of on, off, noauto".to_owned()),
        _ => None,
    }
}

/// Why a path cannot be a mount point.
pub(crate) fn directory_fault(path: &str) -> Option<String> {
    if !path.starts_with('/') {
        return Some("it is no absolute path".to_owned());
    }
    if path.len() > 1 && path.ends_with('/') {
        return Some("it ends with a slash".to_owned());
    }
    if path != "/" && path.split('/').skip(1).any(|component| ["", ".", ".."].contains(&component)) {
        return Some("it goes roundabout".to_owned());
    }
    path.chars().any(char::is_control).then(|| "it holds a control character".to_owned())
}

fn mount_faults(key: &str, mount: &MountEntry, config: &Config, system: System) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let point = &mount.mountpoint;
    let fault = directory_fault(point).or_else(|| {
        let is_systems = OF_THE_SYSTEM.iter().any(|own| point == own || (*own != "/" && is_below(point, own)));
        // Linux has real file systems below /dev and /sys that may be wanted.
        let is_shared = system == System::Linux && (is_below(point, "/dev") || is_below(point, "/sys"));
        (is_systems && !is_shared).then(|| "it belongs to the system itself".to_owned())
    });
    if let Some(fault) = fault {
        let message = format!("{point:?} cannot be a mount point: {fault}");
        found.push(Diagnostic::error(format!("{key}.mountpoint"), message));
    }
    found.extend(type_fault(key, &mount.fstype, system));
    found.extend(device_fault(key, mount, system));
    if system == System::Linux && is_kernel_name(&mount.device) {
        let message = format!("{} may be another disk after a reboot", mount.device);
        let help = "write UUID=… as blkid prints it, or its name in /dev/disk/by-id or /dev/disk/by-path";
        found.push(Diagnostic::warning(format!("{key}.device"), message).help(help));
    }
    found.extend(option_faults(key, mount));
    if system == System::Illumos
        && (format!("{}{point}{}", mount.device, mount.options.join(","))).contains([' ', '\t'])
    {
        found.push(Diagnostic::error(key, "vfstab cannot express spaces"));
    }
    if mount.fsck_pass > 9 {
        found.push(Diagnostic::error(format!("{key}.fsck-pass"), "passes are numbered from 1 to 9; 0 is none"));
    }
    if mount.fstype == "zfs" {
        found.extend(legacy_fault(key, mount, config));
    }
    found
}

fn type_fault(key: &str, fstype: &str, system: System) -> Option<Diagnostic> {
    let key = format!("{key}.type");
    let is_word =
        !fstype.is_empty() && fstype.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if fstype == "auto" {
        let help = "write the type that blkid, or fstyp on illumos, names";
        return Some(Diagnostic::error(key, "what is mounted with the type auto is shown with its own").help(help));
    }
    if !is_word || fstype == "swap" {
        return Some(Diagnostic::error(key, format!("{fstype:?} is no type of file system that can be mounted")));
    }
    let counterpart = COUNTERPARTS.iter().find_map(|(illumos, linux)| match system {
        System::Illumos => (fstype == *linux).then_some(*illumos),
        System::Linux => (fstype == *illumos).then_some(*linux),
    });
    if let Some(counterpart) = counterpart {
        let message = format!("{system} has no type {fstype}");
        return Some(Diagnostic::error(key, message).help(format!("it is called {counterpart} there")));
    }
    let elsewhere = match system {
        System::Illumos => LINUX_ONLY,
        System::Linux => ILLUMOS_ONLY,
    };
    elsewhere.contains(&fstype).then(|| Diagnostic::error(key, format!("{system} has no type {fstype}")))
}

fn device_fault(key: &str, mount: &MountEntry, system: System) -> Option<Diagnostic> {
    let (device, key) = (&mount.device, format!("{key}.device"));
    if device.is_empty() || device.chars().any(char::is_control) {
        return Some(Diagnostic::error(key, format!("{device:?} is nothing that can be mounted")));
    }
    let fault = match mount.fstype.as_str() {
        "nfs" | "nfs4" => (!device.contains(":/")).then(|| "it is written as server:/path".to_owned()),
        "zfs" => zfs::name_fault(device),
        "bind" | "lofs" => directory_fault(device)
            .or_else(|| is_below(device, &mount.mountpoint).then(|| "it lies below its own mount point".to_owned()))
            .or_else(|| (*device == mount.mountpoint).then(|| "it is its own mount point".to_owned())),
        "ufs" | "pcfs" | "hsfs" => (!device.starts_with('/')).then(|| "it is no absolute path".to_owned()),
        "ext4" | "vfat" | "xfs" | "iso9660" => {
            let is_tag = ["UUID=", "LABEL=", "PARTUUID=", "PARTLABEL="].iter().any(|tag| device.starts_with(tag));
            (!device.starts_with('/') && !is_tag).then(|| "it is no absolute path, and no UUID= or LABEL=".to_owned())
        }
        _ => None,
    };
    let raw = (system == System::Illumos && device.starts_with("/dev/rdsk/"))
        .then(|| format!("it is a raw device; mounted is /dev/dsk/{}", &device["/dev/rdsk/".len()..]));
    let fault = fault.or(raw)?;
    Some(Diagnostic::error(key, format!("{device:?} cannot be mounted as {}: {fault}", mount.fstype)))
}

fn option_faults(key: &str, mount: &MountEntry) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (at, option) in mount.options.iter().enumerate() {
        let key = format!("{key}.options[{at}]");
        let fault = match option.as_str() {
            "" => Some(("is empty", "leave it out")),
            option if option.contains(',') => Some(("holds a comma", "write each option by itself")),
            option if option.chars().any(char::is_whitespace) => Some(("holds a blank", "leave it out")),
            "noauto" | "auto" => Some(("says whether it is mounted at boot", "write at-boot = false or true")),
            "remount" | "bind" | "rbind" => Some(("is no property of a mount", "type = \"bind\" makes bind mounts")),
            option if mount.options[..at].iter().any(|before| before == option) => {
                Some(("is listed twice", "leave one out"))
            }
            _ => None,
        };
        if let Some((fault, help)) = fault {
            found.push(Diagnostic::error(key, format!("the option {option:?} {fault}")).help(help));
        }
    }
    found
}

fn legacy_fault(key: &str, mount: &MountEntry, config: &Config) -> Option<Diagnostic> {
    let dataset = config.datasets.iter().find(|dataset| dataset.name == mount.device)?;
    let is_legacy = dataset.property("mountpoint").as_deref() == Some("legacy");
    (!is_legacy || dataset.absent).then(|| {
        let message = format!("{} is not a legacy file system, so ZFS mounts it itself", mount.device);
        let help = "set properties.mountpoint = \"legacy\" on the dataset, or leave the mount out";
        Diagnostic::error(format!("{key}.device"), message).help(help)
    })
}

/// Things that have to be there before themselves.
fn circle(config: &Config) -> Option<Diagnostic> {
    let needs = |one: order::Unit<'_>, other: order::Unit<'_>| {
        order::needs(one, other, order::configured_place, |mount| mount.device.clone())
    };
    let (_, left) = order::sort(&order::units(config), needs);
    let names: Vec<&str> = left.iter().map(order::Unit::name).collect();
    let message = format!("each of {} has to be there before another of them", names.join(", "));
    let key = match left.first()? {
        order::Unit::Dataset(_) => DATASETS,
        order::Unit::Mount(_) => MOUNTS,
    };
    Some(Diagnostic::error(key, message).help("mount a child below its parent, and not the other way round"))
}
