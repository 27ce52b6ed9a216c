//! The configuration of the plugin.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use sysconfig_platform::System;
use sysconfig_platform::zpool::Kind;

/// The configuration key that the plugin owns.
pub(crate) const KEY: &str = "storage.pool";

/// What is configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The pools.
    #[serde(rename = "storage.pool")]
    pub pools: Vec<Pool>,
}

/// One `[[storage.pool]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// What it is known by whatever it is called; decimal. With it, only that very pool is taken.
    pub guid: Option<String>,
    /// Where data is. Without any, the pool is imported and given properties, but never made.
    #[serde(default)]
    pub vdevs: Vec<Vdev>,
    /// The intent log.
    #[serde(default)]
    pub log: Vec<Vdev>,
    /// Devices of the read cache.
    #[serde(default)]
    pub cache: Vec<String>,
    /// Hot spares.
    #[serde(default)]
    pub spares: Vec<String>,
    /// Properties of the pool.
    #[serde(default)]
    pub properties: BTreeMap<String, Scalar>,
    /// Properties of its root dataset.
    #[serde(default)]
    pub root_properties: BTreeMap<String, Scalar>,
    /// Directories to look for the pool in, instead of the usual one.
    #[serde(default)]
    pub search: Vec<String>,
    /// Devices of this pool whose content may be lost.
    #[serde(default)]
    pub allow_destructive: Vec<String>,
}

/// A vdev: the path of a device, or a table with one of the kinds.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected the path of a device, or a table of mirror, raidz1, raidz2 or raidz3")]
pub enum Vdev {
    /// One device.
    Device(String),
    /// Several.
    Group(Group),
}

/// A group of devices; exactly one of these.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The same on each.
    pub mirror: Option<Vec<String>>,
    /// One may be lost.
    #[serde(alias = "raidz")]
    pub raidz1: Option<Vec<String>>,
    /// Two may be lost.
    pub raidz2: Option<Vec<String>>,
    /// Three may be lost.
    pub raidz3: Option<Vec<String>>,
}

impl Vdev {
    /// Its kind and its devices, each with the part of its key; `None` when it is not exactly one kind.
    pub(crate) fn parts(&self) -> Option<(Kind, Vec<(String, &str)>)> {
        let group = match self {
            Self::Device(path) => return Some((Kind::Device, vec![(String::new(), path)])),
            Self::Group(group) => group,
        };
        let kinds = [
            ("mirror", Kind::Mirror, &group.mirror),
            ("raidz1", Kind::Raidz(1), &group.raidz1),
            ("raidz2", Kind::Raidz(2), &group.raidz2),
            ("raidz3", Kind::Raidz(3), &group.raidz3),
        ];
        let mut set = kinds.into_iter().filter_map(|(word, kind, devices)| Some((word, kind, devices.as_ref()?)));
        let (word, kind, devices) = set.next()?;
        let items = devices.iter().enumerate().map(|(at, path)| (format!(".{word}[{at}]"), path.as_str()));
        set.next().is_none().then(|| (kind, items.collect()))
    }
}

/// The value of a property as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected a text or a number")]
pub enum Scalar {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// Not what ZFS calls it, which `validate` says.
    Truth(bool),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Truth(truth) => f.write_str(if *truth { "on" } else { "off" }),
        }
    }
}

/// A vdev that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedVdev {
    pub(crate) kind: Kind,
    pub(crate) devices: Vec<String>,
}

impl Pool {
    pub(crate) fn wanted_guid(&self) -> Option<u64> {
        self.guid.as_ref()?.parse().ok()
    }

    /// Where its root dataset is configured to be mounted.
    pub(crate) fn root_place(&self) -> Option<String> {
        self.root_properties.get("mountpoint").map(Scalar::to_string)
    }

    pub(crate) fn wanted_data(&self) -> Vec<WantedVdev> {
        wanted(&self.vdevs)
    }

    pub(crate) fn wanted_logs(&self) -> Vec<WantedVdev> {
        wanted(&self.log)
    }

    /// The first vdev that is unlike the first one, and what that is like.
    pub(crate) fn unlike(&self) -> Option<(usize, String)> {
        let shape = |vdev: &WantedVdev| (vdev.kind, vdev.devices.len());
        let wanted = self.wanted_data();
        let first = shape(wanted.first()?);
        let at = wanted.iter().position(|vdev| shape(vdev) != first)?;
        Some((at, format!("{} of {}", first.0.word(), first.1)))
    }

    /// Every device with its key below the pool's, in the order of the configuration.
    pub(crate) fn devices(&self) -> Vec<(String, &str)> {
        let mut all = Vec::new();
        for (key, vdevs) in [("vdevs", &self.vdevs), ("log", &self.log)] {
            for (at, vdev) in vdevs.iter().enumerate() {
                let items = vdev.parts().map(|(_, items)| items).unwrap_or_default();
                all.extend(items.into_iter().map(|(part, path)| (format!("{key}[{at}]{part}"), path)));
            }
        }
        for (key, paths) in [("cache", &self.cache), ("spares", &self.spares)] {
            all.extend(paths.iter().enumerate().map(|(at, path)| (format!("{key}[{at}]"), path.as_str())));
        }
        all
    }

    /// Where to look for the pool when it is not imported; none for the usual places. Devices that are files, and on illumos volumes,
    /// are found only in their directories, and these take the place of the usual ones.
    pub(crate) fn search_directories(&self, system: System) -> Vec<String> {
        if !self.search.is_empty() {
            return self.search.clone();
        }
        let mut directories: Vec<String> = Vec::new();
        for (_, path) in self.devices() {
            let directory = path.rsplit_once('/').map_or("/", |(directory, _)| directory);
            if !directories.iter().any(|known| known == directory) {
                directories.push(directory.to_owned());
            }
        }
        let is_usual = |directory: &String| match system {
            System::Illumos => directory == "/dev/dsk",
            System::Linux => directory.starts_with("/dev"),
        };
        match directories.iter().all(is_usual) {
            true => Vec::new(),
            false => directories,
        }
    }
}

fn wanted(vdevs: &[Vdev]) -> Vec<WantedVdev> {
    let parts = vdevs.iter().filter_map(Vdev::parts);
    parts
        .map(|(kind, devices)| WantedVdev {
            kind,
            devices: devices.into_iter().map(|(_, path)| path.to_owned()).collect(),
        })
        .collect()
}

/// The JSON Schema of `storage.pool`.
pub(crate) fn schema() -> serde_json::Value {
    let path = serde_json::json!({ "type": "string", "pattern": "^/", "examples": ["/dev/dsk/c1t0d0", "/dev/disk/by-id/ata-X"] });
    let group = |least: u32| serde_json::json!({ "type": "array", "minItems": least, "items": path });
    let vdevs = |description: &str| {
        serde_json::json!({
            "description": description,
            "type": "array",
            "items": { "anyOf": [path, {
                "type": "object",
                "additionalProperties": false,
                "minProperties": 1,
                "maxProperties": 1,
                "properties": {
                    "mirror": group(2), "raidz1": group(2), "raidz": group(2), "raidz2": group(3), "raidz3": group(4),
                },
            }] },
        })
    };
    let properties = |description: &str| {
        serde_json::json!({
            "description": description,
            "type": "object",
            "additionalProperties": { "type": ["string", "integer"] },
        })
    };
    let paths = |description: &str| serde_json::json!({ "description": description, "type": "array", "items": path });
    serde_json::json!({
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": false,
            "required": ["name"],
            "properties": {
                "name": { "type": "string" },
                "guid": { "description": "Only the pool with this guid is taken.", "type": "string", "pattern": "^[0-9]+$" },
                "vdevs": vdevs("Where data is; without any, the pool is imported, but never made."),
                "log": vdevs("The intent log."),
                "cache": paths("Devices of the read cache."),
                "spares": paths("Hot spares."),
                "properties": properties("Properties of the pool."),
                "root-properties": properties("Properties of the pool's root dataset."),
                "search": paths("Directories to look for the pool in, instead of the usual one."),
                "allow-destructive": paths("Devices of this pool whose content may be lost."),
            },
        },
    })
}
