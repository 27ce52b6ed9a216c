//! The tables of drivers, and what their lines are found by.

use crate::install::indexed_table::Keys;

pub(super) const NAME_TO_MAJOR: &str = "etc/name_to_major";
pub(super) const REM_NAME_TO_MAJOR: &str = "etc/rem_name_to_major";
pub(super) const ALIASES: &str = "etc/driver_aliases";
pub(super) const CLASSES: &str = "etc/driver_classes";
pub(super) const MINOR_PERM: &str = "etc/minor_perm";
pub(super) const EXTRA_PRIVS: &str = "etc/security/extra_privs";
pub(super) const DEVICE_POLICY: &str = "etc/security/device_policy";
pub(super) const DEVLINK: &str = "etc/devlink.tab";

/// All of them.
pub(super) const ALL: [&str; 8] =
    [NAME_TO_MAJOR, REM_NAME_TO_MAJOR, ALIASES, CLASSES, MINOR_PERM, EXTRA_PRIVS, DEVICE_POLICY, DEVLINK];

/// The words of a line, up to a comment, without quotes.
pub(super) fn words(line: &str) -> Vec<&str> {
    let words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
    words.map(|word| word.trim_matches('"')).collect()
}

pub(super) fn by_driver(name: &str) -> String {
    format!("driver {name}")
}

pub(super) fn by_alias(alias: &str) -> String {
    format!("alias {alias}")
}

pub(super) fn by_class(name: &str, class: &str) -> String {
    format!("class {name} {class}")
}

/// A device is `<driver>:<minor>`.
pub(super) fn by_device(device: &str) -> String {
    format!("device {device}")
}

/// What the lines of a table are found by.
pub(super) fn keys_of(path: &'static str) -> Keys {
    match path {
        ALIASES => |line| match words(line)[..] {
            [name, alias, ..] => vec![by_driver(name), by_alias(alias)],
            [name] => vec![by_driver(name)],
            [] => Vec::new(),
        },
        CLASSES => |line| match words(line)[..] {
            [name, class, ..] => vec![by_driver(name), by_class(name, class)],
            [name] => vec![by_driver(name)],
            [] => Vec::new(),
        },
        MINOR_PERM | EXTRA_PRIVS | DEVICE_POLICY => |line| {
            let Some(device) = words(line).first().copied() else { return Vec::new() };
            vec![by_driver(device.split(':').next().unwrap_or_default()), by_device(device)]
        },
        DEVLINK => |line| vec![line.to_owned()],
        _ => |line| words(line).first().map(|name| by_driver(name)).into_iter().collect(),
    }
}
