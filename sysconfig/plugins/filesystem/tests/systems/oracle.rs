//! Whether a machine is as configured. Nothing of the plugin is asked: the machine is compared with the configuration.

use serde_json::Value;
use sysconfig_platform::fake::storage::Storage;

/// Properties that datasets below do not get, with their defaults.
const OWN: &[(&str, &str)] = &[("quota", "0"), ("canmount", "on"), ("casesensitivity", "sensitive")];
/// Those of others that have one.
const INHERITED: &[(&str, &str)] =
    &[("compression", "off"), ("atime", "on"), ("readonly", "off"), ("aclinherit", "restricted")];

/// What of a configuration is not so, with the boot table as it is.
pub(crate) fn missing(storage: &Storage, table: &str, configuration: &Value) -> Vec<String> {
    let entries = |key: &str| configuration[key].as_array().cloned().unwrap_or_default();
    let datasets = entries("storage.dataset");
    let mut missing: Vec<String> = datasets.iter().flat_map(|entry| missing_of_dataset(storage, entry)).collect();
    for entry in entries("storage.mount") {
        missing.extend(missing_mount(storage, &entry));
        let point = word(&entry, "mountpoint");
        let has_row = table.lines().any(|row| row.split_whitespace().any(|column| column == point));
        if entry["persistent"] == true && !has_row {
            missing.push(format!("no row of {point}"));
        }
    }
    missing
}

fn word(entry: &Value, key: &str) -> String {
    entry[key].as_str().unwrap_or_default().to_owned()
}

fn missing_of_dataset(storage: &Storage, entry: &Value) -> Vec<String> {
    let name = word(entry, "name");
    if !storage.datasets.contains_key(&name) {
        return vec![format!("no dataset {name}")];
    }
    let wanted = entry["properties"].as_object().cloned().unwrap_or_default();
    let mut missing = Vec::new();
    for (property, value) in &wanted {
        let value = match value.as_str().unwrap_or_default() {
            "1 GiB" => "1073741824",
            "none" if property == "quota" => "0",
            "gzip-6" => "gzip",
            "secure" => "restricted",
            value => value,
        };
        let now = effective(storage, &name, property);
        if now != value {
            missing.push(format!("{property} of {name} is {now} and not {value}"));
        }
    }
    let place = wanted.get("mountpoint").and_then(Value::as_str);
    if let (Some(place), "on") = (place, effective(storage, &name, "canmount").as_str()) {
        let is_there = storage.mounts.iter().any(|mount| mount.device == name && mount.mount_point == place);
        if !is_there {
            missing.push(format!("{name} is not mounted at {place}"));
        }
    }
    missing
}

/// What counts of a property: the dataset's own value, or that of the nearest one above.
fn effective(storage: &Storage, name: &str, property: &str) -> String {
    let mut at = Some(name);
    while let Some(dataset) = at {
        if let Some(value) = storage.datasets.get(dataset).and_then(|dataset| dataset.local(property)) {
            return value.to_owned();
        }
        let is_own = OWN.iter().any(|(own, _)| *own == property);
        at = dataset.rsplit_once('/').map(|(above, _)| above).filter(|_| !is_own);
    }
    let default = OWN.iter().chain(INHERITED).find(|(name, _)| *name == property);
    default.map_or_else(String::new, |(_, default)| (*default).to_owned())
}

fn missing_mount(storage: &Storage, entry: &Value) -> Option<String> {
    let (device, point, fstype) = (word(entry, "device"), word(entry, "mountpoint"), word(entry, "type"));
    let Some(mount) = storage.mounts.iter().rfind(|mount| mount.mount_point == point) else {
        return Some(format!("nothing is mounted at {point}"));
    };
    let is_it = match fstype.as_str() {
        "tmpfs" => mount.fstype == "tmpfs",
        // Of what it shows, the file system that it lies in is told.
        "bind" => mount.device == "/dev/vda1" && mount.place.as_ref().is_some_and(|(_, root)| *root == device),
        _ => mount.fstype == fstype && mount.device == device,
    };
    if !is_it {
        return Some(format!("{} is mounted at {point}", mount.device));
    }
    let options = entry["options"].as_array().cloned().unwrap_or_default();
    let wants = |option: &str| options.iter().any(|wanted| wanted == option);
    let has = |option: &str| mount.options.iter().any(|mounted| mounted == option);
    let size = wants("size=64m") && !has("size=64m") && !has("size=65536k");
    let lacks = |option: &str| wants(option) && !has(option);
    let inodes = wants("nr_inodes=1m") && !has("nr_inodes=1m") && !has("nr_inodes=1048576");
    let differs = wants("ro") != has("ro") || lacks("nosuid") || wants("noatime") != has("noatime") || size || inodes;
    differs.then(|| format!("{point} has the options {:?} and not {options:?}", mount.options))
}
