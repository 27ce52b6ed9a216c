//! Properties of pools and of root datasets.

use super::truth_fault;
use crate::config::Pool;
use sysconfig_platform::System;
use sysconfig_plugin::Diagnostic;
use zfs_format::property::{PropertyError, parse_dataset};

const SWITCH: &[&str] = &["on", "off"];

/// What a pool can be given (zpoolprops(8)), with the values where they are words. `version` is not among them: the
/// features have taken its place, and it only goes up.
const POOL: &[(&str, &[&str])] = &[
    ("ashift", &[]),
    ("autoexpand", SWITCH),
    ("autoreplace", SWITCH),
    ("autotrim", SWITCH),
    ("bootfs", &[]),
    ("cachefile", &[]),
    ("comment", &[]),
    ("compatibility", &[]),
    ("dedupditto", &[]),
    ("delegation", SWITCH),
    ("failmode", &["wait", "continue", "panic"]),
    ("listsnapshots", SWITCH),
    ("multihost", SWITCH),
];

/// What only says how a pool is.
const FACTS: &[&str] = &[
    "allocated",
    "altroot",
    "capacity",
    "checkpoint",
    "dedupratio",
    "expandsize",
    "fragmentation",
    "free",
    "freeing",
    "guid",
    "health",
    "leaked",
    "load_guid",
    "readonly",
    "size",
    "tname",
    "version",
];

pub(super) fn faults(key: &str, pool: &Pool, system: System) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (name, value) in &pool.properties {
        // A name may hold what a dotted key cannot, so the finding is about the whole table.
        let key = format!("{key}.properties");
        found.extend(truth_fault(&key, value).or_else(|| pool_fault(&key, name, &value.to_string())));
    }
    for (name, value) in &pool.root_properties {
        let key = format!("{key}.root-properties");
        found.extend(truth_fault(&key, value).or_else(|| root_fault(&key, name, &value.to_string(), system)));
    }
    found
}

fn pool_fault(key: &str, name: &str, value: &str) -> Option<Diagnostic> {
    if let Some(feature) = name.strip_prefix("feature@") {
        let is_word = !feature.is_empty()
            && feature.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        return (!is_word || !matches!(value, "enabled" | "disabled"))
            .then(|| Diagnostic::error(key, format!("{name} is enabled or disabled, not {value:?}")));
    }
    if FACTS.contains(&name) {
        return Some(Diagnostic::error(key, format!("{name} of a pool is not set but found out")));
    }
    let Some((_, words)) = POOL.iter().find(|(known, _)| *known == name) else {
        let known: Vec<_> = POOL.iter().map(|(name, _)| *name).collect();
        return Some(
            Diagnostic::error(key, format!("a pool has no property {name}"))
                .help(format!("there are {}, and feature@NAME", known.join(", "))),
        );
    };
    if !words.is_empty() && !words.contains(&value) {
        return Some(Diagnostic::error(key, format!("{name} is not {value:?} but one of {}", words.join(", "))));
    }
    if name == "ashift" && !value.parse::<u8>().is_ok_and(|ashift| ashift == 0 || (9..=16).contains(&ashift)) {
        return Some(Diagnostic::error(key, format!("ashift is not {value:?} but 0, or 9 to 16")));
    }
    value
        .chars()
        .any(char::is_control)
        .then(|| Diagnostic::error(key, format!("the value of {name} has control characters in it")))
}

fn root_fault(key: &str, name: &str, value: &str, system: System) -> Option<Diagnostic> {
    if matches!(name, "encryption" | "keyformat" | "keylocation" | "pbkdf2iters") {
        let message = "an encrypted root dataset is not made here, because its key would have to be asked for";
        return Some(Diagnostic::error(key, message).help("encrypt a dataset below it"));
    }
    let error = parse_dataset(name, value).err()?;
    match error {
        // OpenZFS has properties that illumos has not.
        PropertyError::Unknown { .. } if system == System::Linux => Some(Diagnostic::warning(key, error.to_string())),
        PropertyError::Unknown { .. }
        | PropertyError::ReadOnly(_)
        | PropertyError::Value { .. }
        | PropertyError::Name(_) => Some(Diagnostic::error(key, error.to_string())),
        PropertyError::Keyword(wrong) if wrong.allowed == "off | on" => Some(Diagnostic::error(key, wrong.to_string())),
        // Systems differ in the words, and images take fewer than a pool does.
        _ => None,
    }
}
