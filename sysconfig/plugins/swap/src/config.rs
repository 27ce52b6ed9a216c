//! The configuration of the plugin, and what can be wrong with it.

use crate::rule::Rule;
use serde::Deserialize;
use std::collections::BTreeMap;
use sysconfig_platform::{System, device, zfs};
use sysconfig_plugin::Diagnostic;

/// The configuration key that the plugin owns.
pub(crate) const KEY: &str = "storage.swap";
/// Less is no use, and less than a page no area.
const SMALLEST: u64 = 1024 * 1024;
/// Of Linux, swapon(2).
const HIGHEST_PRIORITY: i32 = 32767;

/// What is configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The areas.
    #[serde(rename = "storage.swap")]
    pub areas: Vec<Area>,
}

/// One `[[storage.swap]]`: one of `volume`, `device` and `file`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Area {
    /// A volume of ZFS, made when it is missing.
    pub volume: Option<String>,
    /// A partition or disk.
    pub device: Option<String>,
    /// A file, made when it is missing.
    pub file: Option<String>,
    /// The size of a volume or file, absolute or by rule.
    pub size: Option<String>,
    /// Whether it is used after a reboot too.
    #[serde(default = "yes")]
    pub persistent: bool,
    /// illumos: whether a volume is encrypted with a key that is thrown away.
    #[serde(default)]
    pub encrypted: bool,
    /// Linux: its priority.
    pub priority: Option<i32>,
    /// Whether what others have made may be changed.
    #[serde(default)]
    pub adopt: bool,
    /// Whether something may be destroyed; the command line has to allow it too.
    #[serde(default)]
    pub allow_destructive: bool,
    /// Whether it shall not exist.
    #[serde(default)]
    pub absent: bool,
}

fn yes() -> bool {
    true
}

/// What an area is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backing<'a> {
    Volume(&'a str),
    Device(&'a str),
    File(&'a str),
}

impl Area {
    /// What it is; `validate` has seen that it is exactly one.
    pub(crate) fn backing(&self) -> Backing<'_> {
        match (&self.volume, &self.device, &self.file) {
            (Some(name), _, _) => Backing::Volume(name),
            (None, Some(path), _) => Backing::Device(path),
            (None, None, path) => Backing::File(path.as_deref().unwrap_or_default()),
        }
    }

    /// The path under which it is used.
    pub(crate) fn path(&self, system: System) -> String {
        match self.backing() {
            Backing::Volume(name) => zfs::volume_path(system, name),
            Backing::Device(path) | Backing::File(path) => path.to_owned(),
        }
    }

    pub(crate) fn rule(&self) -> Option<Rule> {
        self.size.as_ref().and_then(|size| Rule::parse(size).ok())
    }
}

/// Everything that is wrong.
pub(crate) fn faults(config: &Config, system: System) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (at, area) in config.areas.iter().enumerate() {
        let key = format!("{KEY}[{at}]");
        let given = [&area.volume, &area.device, &area.file].iter().filter(|given| given.is_some()).count();
        if given != 1 {
            let help = "write one of volume = \"rpool/swap\", device = \"/dev/…\", file = \"/var/swap\"";
            found.push(Diagnostic::error(key, "swap is exactly one of a volume, a device and a file").help(help));
            continue;
        }
        if let Some(before) = seen.insert(area.path(system), key.clone()) {
            found.push(Diagnostic::error(key.clone(), format!("the same area as {before}")));
        }
        found.extend(backing_fault(&key, area, system));
        found.extend(size_fault(&key, area));
        found.extend(option_faults(&key, area, system));
    }
    found
}

fn backing_fault(key: &str, area: &Area, system: System) -> Option<Diagnostic> {
    let (field, fault) = match area.backing() {
        Backing::Volume(name) => {
            let fault = zfs::name_fault(name).or_else(|| {
                (!name.contains('/')).then(|| "it is a pool; a volume lies in one, as rpool/swap".to_owned())
            });
            return fault.map(|fault| {
                Diagnostic::error(format!("{key}.volume"), format!("{name:?} is not the name of a volume: {fault}"))
            });
        }
        Backing::Device(path) => ("device", path_fault(path, system)),
        Backing::File(path) => (
            "file",
            path_fault(path, system)
                .or_else(|| path.starts_with("/dev/").then(|| "devices are written with device = …".to_owned())),
        ),
    };
    let (Backing::Device(path) | Backing::File(path) | Backing::Volume(path)) = area.backing();
    if let (Backing::Device(path), true) = (area.backing(), path.starts_with("/dev/zvol/")) {
        let name = path.trim_start_matches("/dev/zvol/").trim_start_matches("dsk/").trim_start_matches("rdsk/");
        return Some(
            Diagnostic::error(format!("{key}.device"), format!("{path} is a volume"))
                .help(format!("write volume = {name:?}")),
        );
    }
    fault.map(|fault| Diagnostic::error(format!("{key}.{field}"), format!("{path:?} cannot be used: {fault}")))
}

/// Why a path cannot stand in the boot table, or names different things at different times.
fn path_fault(path: &str, system: System) -> Option<String> {
    if !path.starts_with('/') || path.ends_with('/') {
        return Some("it is no absolute path of a file".to_owned());
    }
    if path.split('/').skip(1).any(|component| ["", ".", ".."].contains(&component)) {
        return Some("it goes roundabout".to_owned());
    }
    if path.chars().any(char::is_control) {
        return Some("it holds a control character".to_owned());
    }
    let has_space = path.contains([' ', '\t']);
    (has_space && system == System::Illumos).then(|| "vfstab cannot express spaces".to_owned())
}

fn size_fault(key: &str, area: &Area) -> Option<Diagnostic> {
    let key = format!("{key}.size");
    let text = match (&area.size, area.backing()) {
        (Some(_), Backing::Device(_)) => {
            return Some(Diagnostic::error(key, "a device has the size that it has").help("leave size out"));
        }
        (None, Backing::Device(_)) => return None,
        (None, _) if area.absent => return None,
        (None, _) => {
            let help = "for example size = \"4 GiB\", or size = \"min(2 x memory, 20 % of pool)\"";
            return Some(Diagnostic::error(key, "a volume or file needs a size").help(help));
        }
        (Some(text), _) => text,
    };
    let rule = match Rule::parse(text) {
        Ok(rule) => rule,
        Err(fault) => {
            let help = "sizes are like 4 GiB, 2 x memory, 20 % of pool, and min(…, …) and max(…, …) of them";
            return Some(Diagnostic::error(key, format!("{text:?} is not a size: {fault}")).help(help));
        }
    };
    if rule.uses_pool() && !matches!(area.backing(), Backing::Volume(_)) {
        return Some(Diagnostic::error(key, "a file lies in no pool").help("use a share of memory, or a fixed size"));
    }
    match rule {
        Rule::Bytes(bytes) if bytes < SMALLEST => Some(Diagnostic::error(key, format!("{text} is less than 1 MiB"))),
        _ => None,
    }
}

fn option_faults(key: &str, area: &Area, system: System) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if area.encrypted && (system == System::Linux || !matches!(area.backing(), Backing::Volume(_))) {
        let message = "only volumes, and only on illumos, can be encrypted with a throw-away key";
        found.push(Diagnostic::error(format!("{key}.encrypted"), message));
    }
    match area.priority {
        Some(_) if system == System::Illumos => {
            found.push(Diagnostic::error(format!("{key}.priority"), "swap has no priorities on illumos"));
        }
        Some(priority) if !(0..=HIGHEST_PRIORITY).contains(&priority) => {
            let message = format!("{priority} is not between 0 and {HIGHEST_PRIORITY}");
            found.push(Diagnostic::error(format!("{key}.priority"), message));
        }
        _ => {}
    }
    if let (Backing::Device(path), true, System::Linux) = (area.backing(), area.allow_destructive, system) {
        if device::is_kernel_name(path) {
            let message = format!("the content of {path} cannot be given away: it may be another disk after a reboot");
            let help = "use its name in /dev/disk/by-id, /dev/disk/by-partuuid or /dev/disk/by-partlabel";
            found.push(Diagnostic::error(format!("{key}.allow-destructive"), message).help(help));
        }
    }
    if area.absent && !area.allow_destructive && !matches!(area.backing(), Backing::Device(_)) {
        let help = "write allow-destructive = true beside it, and apply with --allow-destructive; or leave the entry \
                    out, and the volume or file is no longer used, but kept";
        found.push(Diagnostic::error(format!("{key}.absent"), "this destroys, which needs permission").help(help));
    }
    found
}

/// The JSON Schema of `storage.swap`.
pub(crate) fn schema() -> serde_json::Value {
    let boolean = |description: &str| serde_json::json!({ "type": "boolean", "description": description });
    let text = |description: &str, examples: &[&str]| serde_json::json!({ "type": "string", "description": description, "examples": examples });
    serde_json::json!({
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "volume": text("A volume of ZFS, made when it is missing.", &["rpool/swap"]),
                "device": text("A partition.", &["/dev/dsk/c1t0d0s1", "/dev/disk/by-partlabel/swap"]),
                "file": text("A file, made when it is missing; not on ZFS.", &["/var/swap"]),
                "size": text("The size, absolute or by rule.", &["4 GiB", "min(2 x memory, 20 % of pool)"]),
                "persistent": boolean("Whether it is used after a reboot too."),
                "encrypted": boolean("illumos: whether a volume is encrypted with a key that is thrown away."),
                "priority": { "type": "integer", "minimum": 0, "maximum": HIGHEST_PRIORITY, "description": "Linux: higher ones are used first." },
                "adopt": boolean("Whether what others have made may be changed."),
                "allow-destructive": boolean("Whether something may be destroyed; the command line has to allow it too."),
                "absent": boolean("Whether it shall not exist."),
            },
        },
    })
}
