//! What a pool is, in words and for `diff`: version, disk, properties, features.

use super::long::shown;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use zfs_image::reader::{Description, FeatureState};

/// Lines of the overview.
pub(super) fn lines(about: &Description) -> Vec<String> {
    let set = |map: &BTreeMap<String, String>| {
        let pairs: Vec<String> = map.iter().map(|(name, value)| format!("{name}={value}")).collect();
        shown(pairs.join(" ").as_bytes())
    };
    let with = |state: FeatureState| {
        let names = about.features.iter().filter(|(_, found)| **found == state);
        shown(names.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ").as_bytes())
    };
    let all = [
        ("version", about.version.to_string()),
        ("label", set(&about.label)),
        ("properties", set(&about.properties)),
        ("features active", with(FeatureState::Active)),
        ("features enabled", with(FeatureState::Enabled)),
    ];
    all.iter().filter(|(_, text)| !text.is_empty()).map(|(title, text)| format!("  {title}: {text}")).collect()
}

/// The same for machines.
pub(super) fn value(about: &Description) -> Map<String, Value> {
    let features = about.features.iter().map(|(name, state)| (name.clone(), json!(state.to_string())));
    let mut value = Map::new();
    for (key, part) in [
        ("version", json!(about.version)),
        ("label", json!(about.label)),
        ("properties", json!(about.properties)),
        ("features", Value::Object(features.collect())),
    ] {
        value.insert(key.to_owned(), part);
    }
    value
}

/// All of it by names that `zpool get` and `zdb -l` have for it.
pub(super) fn flat(about: &Description) -> BTreeMap<String, String> {
    let mut all = about.label.clone();
    all.extend(about.properties.clone());
    all.insert("version".to_owned(), about.version.to_string());
    all.extend(about.features.iter().map(|(name, state)| (format!("feature@{name}"), state.to_string())));
    all
}
