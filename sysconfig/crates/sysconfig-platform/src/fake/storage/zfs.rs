//! `zfs`.

use super::super::{failed, printed};
use super::properties::{self, KNOWN};
use super::{Pool, Storage};
use crate::storage::parse_size;
use crate::zfs::{Kind, volume_path};
use crate::{Completed, System};
use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

const USAGE: &str = "usage: zfs command args ...\n";

/// A dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeDataset {
    /// What it is.
    pub kind: Kind,
    /// The properties that are set on it.
    pub properties: BTreeMap<String, String>,
    /// Whether it is mounted.
    pub mounted: bool,
    /// Whether the key is loaded, when it is encrypted.
    pub has_key: bool,
    /// Tells it from others that were or will be of the same name.
    pub guid: u64,
}

/// The guid that the next dataset gets.
static NEXT_GUID: AtomicU64 = AtomicU64::new(7_000_001);

impl FakeDataset {
    /// A file system.
    #[must_use]
    pub fn filesystem<const N: usize>(properties: [(&str, &str); N]) -> Self {
        Self::new(Kind::Filesystem, &properties)
    }

    /// A volume.
    #[must_use]
    pub fn volume<const N: usize>(bytes: u64, properties: [(&str, &str); N]) -> Self {
        let mut volume = Self::new(Kind::Volume, &properties);
        volume.properties.insert("volsize".to_owned(), bytes.to_string());
        volume
    }

    fn new(kind: Kind, properties: &[(&str, &str)]) -> Self {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { kind, properties, mounted: false, has_key: true, guid: NEXT_GUID.fetch_add(1, Ordering::Relaxed) }
    }

    /// The value of a property that is set on the dataset itself.
    #[must_use]
    pub fn local(&self, property: &str) -> Option<&str> {
        self.properties.get(property).map(String::as_str)
    }

    fn is_encrypted(&self) -> bool {
        self.local("encryption").is_some_and(|value| value != "off")
    }
}

fn parent(name: &str) -> Option<&str> {
    name.rsplit_once('/').map(|(parent, _)| parent)
}

impl Storage {
    /// Adds a dataset without a program, with the node of a volume.
    pub fn add_dataset(&mut self, name: &str, dataset: FakeDataset) {
        let is_volume = dataset.kind == Kind::Volume;
        self.datasets.insert(name.to_owned(), dataset);
        if is_volume {
            self.write(&volume_path(self.system, name), "");
        }
    }

    /// The value of a property and where it comes from.
    pub(super) fn property(&self, name: &str, property: &str) -> Option<(String, String)> {
        let dataset = self.datasets.get(name)?;
        match property {
            "type" => return Some((kind_word(dataset.kind).to_owned(), "-".to_owned())),
            "mounted" if dataset.kind == Kind::Filesystem => {
                return Some((if dataset.mounted { "yes" } else { "no" }.to_owned(), "-".to_owned()));
            }
            "mounted" => return Some(("-".to_owned(), "-".to_owned())),
            "guid" => return Some((dataset.guid.to_string(), "-".to_owned())),
            // What lies in an encrypted dataset is encrypted with its key, which is shown without a source.
            "encryption" | "encryptionroot" | "keystatus" => {
                let root = self.encryption_root(name);
                let value = match (property, root) {
                    ("encryption", None) => return Some(("off".to_owned(), "default".to_owned())),
                    ("encryption", Some((_, root))) => root.local("encryption").unwrap_or("on"),
                    ("encryptionroot", Some((name, _))) => name,
                    ("keystatus", Some((_, root))) if root.has_key => "available",
                    ("keystatus", Some(_)) => "unavailable",
                    _ => "-",
                };
                return Some((value.to_owned(), "-".to_owned()));
            }
            _ => {}
        }
        let known = properties::find(property);
        if known.is_some_and(|known| !applies(known.of, dataset.kind)) || (known.is_none() && !property.contains(':')) {
            return None;
        }
        if let Some(value) = dataset.local(property) {
            return Some((value.to_owned(), "local".to_owned()));
        }
        let mut above = parent(name);
        while let (true, Some(ancestor)) = (known.is_none_or(|known| known.inherits), above) {
            if let Some(value) = self.datasets.get(ancestor).and_then(|dataset| dataset.local(property)) {
                let value = match property {
                    "mountpoint" if value.starts_with('/') => {
                        format!("{}{}", value.trim_end_matches('/'), &name[ancestor.len()..])
                    }
                    _ => value.to_owned(),
                };
                return Some((value, format!("inherited from {ancestor}")));
            }
            above = parent(ancestor);
        }
        let default = match property {
            "mountpoint" => format!("/{name}"),
            _ => known?.default.to_owned(),
        };
        Some((default, "default".to_owned()))
    }

    /// The dataset with whose key another is encrypted: itself, or one above it.
    fn encryption_root<'a>(&'a self, name: &'a str) -> Option<(&'a str, &'a FakeDataset)> {
        let mut above = Some(name);
        while let Some(name) = above {
            let dataset = self.datasets.get(name)?;
            if dataset.is_encrypted() {
                return Some((name, dataset));
            }
            above = parent(name);
        }
        None
    }

    pub(super) fn is_locked(&self, name: &str) -> bool {
        self.encryption_root(name).is_some_and(|(_, root)| !root.has_key)
    }

    pub(super) fn zfs(&mut self, args: &[&str]) -> Completed {
        match args {
            ["list", "-Hp", "-t", "filesystem,volume", "-o", columns] => self.list(columns),
            ["get", "-Hp", rest @ ..] => self.get(rest),
            ["create", rest @ ..] => self.create(rest),
            ["set", assignment, name] => self.set(assignment, name),
            ["inherit", property, name] => self.inherit(property, name),
            ["mount", name] => self.zfs_mount(name),
            ["destroy", name] if !name.starts_with('-') => self.destroy(name),
            _ => failed(2, USAGE),
        }
    }

    fn list(&self, columns: &str) -> Completed {
        if self.datasets.is_empty() {
            return failed(1, "no datasets available\n");
        }
        let mut text = String::new();
        for name in self.datasets.keys() {
            let cells = columns.split(',').map(|column| match column {
                "name" => Some(name.clone()),
                column => self.property(name, column).map(|(value, _)| value),
            });
            let Some(cells) = cells.collect::<Option<Vec<_>>>() else {
                return failed(2, "bad property list: invalid property\n");
            };
            text += &format!("{}\n", cells.join("\t"));
        }
        printed(text)
    }

    fn get(&self, args: &[&str]) -> Completed {
        let (local_only, args) = match args {
            ["-s", "local", "-t", "filesystem,volume", rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let ["-o", "name,property,value,source", property, names @ ..] = args else { return failed(2, USAGE) };
        let names: Vec<&str> = match names.is_empty() {
            true => self.datasets.keys().map(String::as_str).collect(),
            false => names.to_vec(),
        };
        let mut text = String::new();
        for name in names {
            let Some(dataset) = self.datasets.get(name) else {
                return failed(1, format!("cannot open '{name}': dataset does not exist\n"));
            };
            let mut all: Vec<&str> = vec!["type", "mounted", "keystatus"];
            all.extend(KNOWN.iter().map(|known| known.name));
            let user = self.datasets.values().flat_map(|dataset| dataset.properties.keys());
            all.extend(user.map(String::as_str).filter(|property| property.contains(':')));
            all.sort_unstable();
            all.dedup();
            for known in all.iter().filter(|known| *property == "all" || *known == property) {
                // An unmounted or inapplicable one is not listed.
                if dataset.kind == Kind::Volume && *known == "mounted" {
                    continue;
                }
                let Some((value, source)) = self.property(name, known) else { continue };
                if !local_only || source == "local" {
                    text += &format!("{name}\t{known}\t{value}\t{source}\n");
                }
            }
        }
        printed(text)
    }

    fn create(&mut self, args: &[&str]) -> Completed {
        let (mut size, mut block, mut given, mut names) = (None, None, Vec::new(), Vec::new());
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match *arg {
                "-V" => size = args.next().and_then(|size| parse_size(size)),
                "-b" => block = args.next().copied(),
                "-o" => given.extend(args.next().and_then(|pair| pair.split_once('='))),
                flag if flag.starts_with('-') => return failed(2, USAGE),
                name => names.push(name),
            }
        }
        let [name] = names[..] else { return failed(2, USAGE) };
        let refuse = |why: &str| failed(1, format!("cannot create '{name}': {why}\n"));
        if self.datasets.contains_key(name) {
            return refuse("dataset already exists");
        }
        let Some(parent) = parent(name) else { return refuse("missing dataset name") };
        if !self.datasets.contains_key(parent) {
            let pool = name.split('/').next().unwrap_or_default();
            return refuse(if self.pools.contains_key(pool) { "parent does not exist" } else { "no such pool" });
        }
        let kind = if size.is_some() { Kind::Volume } else { Kind::Filesystem };
        let mut dataset = FakeDataset::new(kind, &[]);
        if let Some(block) = block {
            given.push(("volblocksize", block));
        }
        for (property, value) in given {
            match self.stored(kind, property, value) {
                Ok(value) => dataset.properties.insert(property.to_owned(), value),
                Err(why) => return refuse(&why),
            };
        }
        if let Some(bytes) = size {
            let block: u64 = dataset.local("volblocksize").map_or(8192, |block| block.parse().unwrap_or(8192));
            if bytes % block != 0 {
                return refuse("volume size must be a multiple of volume block size");
            }
            if bytes > self.volume_room(name) {
                return refuse("out of space");
            }
            dataset.properties.insert("volsize".to_owned(), bytes.to_string());
        }
        if let Some(refusal) = self.key_fault(&dataset) {
            return refuse(&refusal);
        }
        self.datasets.insert(name.to_owned(), dataset);
        if kind == Kind::Volume {
            self.node_appears(name);
            return printed("");
        }
        match self.try_mount(name) {
            Ok(()) => printed(""),
            Err(why) => failed(1, format!("{why}filesystem successfully created, but not mounted\n")),
        }
    }

    /// How large a volume can be.
    fn volume_room(&self, name: &str) -> u64 {
        let pool = name.split('/').next().unwrap_or_default();
        self.pools.get(pool).map(Pool::size).unwrap_or_default()
    }

    /// An encrypted dataset needs a key of 32 bytes in a file.
    fn key_fault(&self, dataset: &FakeDataset) -> Option<String> {
        if dataset.local("encryption").is_none_or(|value| value == "off") {
            return None;
        }
        let place = dataset.local("keylocation").and_then(|place| place.strip_prefix("file://"));
        let length = place.and_then(|place| fs::read(self.root.locate(place)).ok()).map(|key| key.len());
        match (dataset.local("keyformat"), length) {
            (Some("raw"), Some(32)) => None,
            (Some("raw"), Some(_)) => Some("Raw key too long (expected 32).".to_owned()),
            (Some("raw"), None) => Some("Failed to open key material file".to_owned()),
            _ => Some("Keyformat required for new encryption root.".to_owned()),
        }
    }

    pub(super) fn stored(&self, kind: Kind, property: &str, value: &str) -> Result<String, String> {
        if property.contains(':') {
            return Ok(value.to_owned());
        }
        let known =
            properties::find(property).ok_or_else(|| format!("bad property list: invalid property '{property}'"))?;
        if !applies(known.of, kind) {
            return Err(format!("'{property}' does not apply to datasets of this type"));
        }
        known.normalise(value).ok_or_else(|| format!("'{property}' must be one of other values than '{value}'"))
    }

    fn node_appears(&self, name: &str) {
        let node = self.root.locate(volume_path(self.system, name));
        let delay = self.node_delay;
        // What a finished test has taken away stays away: the directory above is made now, the node later.
        let _ = node.parent().map(fs::create_dir_all);
        std::thread::spawn(move || {
            std::thread::sleep(delay);
            // It is whole when it appears.
            let new = node.with_extension("coming");
            let _ = fs::write(&new, vec![0; 8192]).and_then(|()| fs::rename(new, node));
        });
    }

    fn set(&mut self, assignment: &str, name: &str) -> Completed {
        let (Some((property, value)), Some(dataset)) = (assignment.split_once('='), self.datasets.get(name)) else {
            return failed(1, format!("cannot open '{name}': dataset does not exist\n"));
        };
        let refuse = |why: &str| failed(1, format!("cannot set property for '{name}': {why}\n"));
        let value = match self.stored(dataset.kind, property, value) {
            Ok(value) => value,
            Err(why) => return refuse(&why),
        };
        if properties::find(property).is_some_and(|known| known.at_creation_only) {
            return refuse(&format!("'{property}' is readonly"));
        }
        if property == "volsize" && value.parse().unwrap_or(u64::MAX) > self.volume_room(name) {
            return refuse("out of space");
        }
        if property == "volsize" && self.swaps.iter().any(|area| area.path == volume_path(self.system, name)) {
            return refuse("dataset is busy");
        }
        self.change(name, property, |dataset| {
            dataset.properties.insert(property.to_owned(), value);
        })
    }

    fn inherit(&mut self, property: &str, name: &str) -> Completed {
        if !self.datasets.contains_key(name) {
            return failed(1, format!("cannot open '{name}': dataset does not exist\n"));
        }
        if properties::find(property).is_some_and(|known| !known.inherits) && property != "canmount" {
            return failed(
                1,
                format!("'{property}' property cannot be inherited\nuse 'zfs set {property}=none' to clear\n"),
            );
        }
        self.change(name, property, |dataset| {
            dataset.properties.remove(property);
        })
    }

    fn destroy(&mut self, name: &str) -> Completed {
        let Some(dataset) = self.datasets.get(name) else {
            return failed(1, format!("cannot open '{name}': dataset does not exist\n"));
        };
        if self.datasets.keys().any(|other| other.starts_with(&format!("{name}/"))) {
            let kind = kind_word(dataset.kind);
            return failed(
                1,
                format!("cannot destroy '{name}': {kind} has children\nuse '-r' to destroy the following datasets:\n"),
            );
        }
        let path = volume_path(self.system, name);
        let point = self.mounts.iter().find(|mount| mount.device == name).map(|mount| mount.mount_point.clone());
        let used = point.as_ref().is_some_and(|point| self.users.get(point).is_some_and(|users| !users.is_empty()));
        let holds = point.as_ref().is_some_and(|point| self.holds_others(point, &[]));
        if self.busy_in_passing > 0 || used || holds || self.swaps.iter().any(|area| area.path == path) {
            self.busy_in_passing = self.busy_in_passing.saturating_sub(1);
            return failed(1, format!("cannot destroy '{name}': dataset is busy\n"));
        }
        if let Some(point) = point {
            self.drop_mount(&point);
        }
        self.datasets.remove(name);
        // The node goes with its volume; a file system has none.
        let _ = fs::remove_file(self.root.locate(path));
        printed("")
    }
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Filesystem => "filesystem",
        Kind::Volume => "volume",
    }
}

fn applies((filesystems, volumes): (bool, bool), kind: Kind) -> bool {
    match kind {
        Kind::Filesystem => filesystems,
        Kind::Volume => volumes,
    }
}

impl Storage {
    /// Which system the machine runs.
    #[must_use]
    pub fn system(&self) -> System {
        self.system
    }
}
