//! `zfs`.

use super::super::{failed, printed};
use super::properties;
use super::{FakeDataset, Storage};
use crate::zfs::{Kind, volume_path};
use crate::{Completed, System};
use std::fs;

pub(super) const USAGE: &str = "usage: zfs command args ...\n";

pub(super) fn parent(name: &str) -> Option<&str> {
    name.rsplit_once('/').map(|(parent, _)| parent)
}

impl Storage {
    /// The value of a property and where it comes from.
    pub(super) fn property(&self, name: &str, property: &str) -> Option<(String, String)> {
        let (value, source) = self.property_of_dataset(name, property)?;
        let pool = self.pools.get(name.split('/').next().unwrap_or_default());
        match pool.and_then(|pool| pool.properties.get("altroot")) {
            Some(altroot) if property == "mountpoint" && value.starts_with('/') => {
                Some((format!("{altroot}{}", value.trim_end_matches('/')), source))
            }
            _ => Some((value, source)),
        }
    }

    fn property_of_dataset(&self, name: &str, property: &str) -> Option<(String, String)> {
        let dataset = self.datasets.get(name)?;
        match property {
            "type" => return Some((kind_word(dataset.kind).to_owned(), "-".to_owned())),
            "mounted" if dataset.kind == Kind::Filesystem => {
                return Some((if dataset.mounted { "yes" } else { "no" }.to_owned(), "-".to_owned()));
            }
            "mounted" => return Some(("-".to_owned(), "-".to_owned())),
            "used" => return Some((self.space_used(name).to_string(), "-".to_owned())),
            "usedbychildren" => return Some((self.used_below(name).to_string(), "-".to_owned())),
            "usedbyrefreservation" => {
                let all = self.space_used(name) - self.used_below(name);
                return Some((all.saturating_sub(dataset.used).to_string(), "-".to_owned()));
            }
            "referenced" => return Some((dataset.used.to_string(), "-".to_owned())),
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
        let known = properties::find(self.system, property);
        if known.is_some_and(|known| !applies(known.of, dataset.kind)) || (known.is_none() && !property.contains(':')) {
            return None;
        }
        if let Some(value) = dataset.local(property) {
            return Some((value.to_owned(), "local".to_owned()));
        }
        if let Some(value) = dataset.received(property) {
            return Some((value.to_owned(), "received".to_owned()));
        }
        let mut above = parent(name);
        while let (true, Some(ancestor)) = (known.is_none_or(|known| known.inherits), above) {
            if let Some(value) =
                self.datasets.get(ancestor).and_then(|above| above.local(property).or(above.received(property)))
            {
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
            ["list", "-Hp", "-r", "-t", "filesystem,volume", "-o", "name,guid,origin", name] => self.relatives(name),
            ["list", "-Hp", "-r", "-t", "snapshot", "-o", "name,guid,userrefs", name] => self.list_snapshots(name),
            ["get", "-Hp", rest @ ..] => self.get(rest),
            ["create", rest @ ..] => self.create(rest),
            ["set", assignment, name] => self.set(assignment, name),
            ["inherit", "-S", property, name] => self.inherit(property, name, true),
            ["inherit", property, name] => self.inherit(property, name, false),
            ["mount", name] => self.zfs_mount(name),
            ["share", name] => self.zfs_share(name),
            ["unmount", name] if !name.starts_with('-') => self.zfs_unmount(name),
            ["snapshot", name] => self.snapshot(name),
            ["clone", snapshot, name] => self.clone_snapshot(snapshot, name),
            ["destroy", name] if name.contains('@') => self.destroy_snapshot(name),
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
            ["-r", "-t", "filesystem", "-o", columns, property, name] => {
                let below = format!("{name}/");
                let is_its = |other: &&str| *other == *name || other.starts_with(&below);
                let all = self.datasets.iter().filter(|(_, dataset)| dataset.kind == Kind::Filesystem);
                let names = all.map(|(name, _)| name.as_str()).filter(is_its);
                let args: Vec<&str> = ["-o", *columns, *property].into_iter().chain(names).collect();
                return self.get(&args);
            }
            ["-s", "local", "-t", "filesystem,volume", "-o", "name", property] => {
                let is_set = |name: &&String| self.property(name, property).is_some_and(|(_, from)| from == "local");
                return printed(
                    self.datasets.keys().filter(is_set).map(|name| format!("{name}\n")).collect::<String>(),
                );
            }
            ["-s", "local", "-t", "filesystem,volume", rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let ["-o", "name,property,value,source", property, names @ ..] = args else { return failed(2, USAGE) };
        let names: Vec<&str> = match names.is_empty() {
            true => self.datasets.keys().map(String::as_str).collect(),
            false => names.to_vec(),
        };
        if let Some(refusal) = self.guid_refusal.as_ref().filter(|_| *property == "guid") {
            return failed(2, refusal.clone());
        }
        let mut text = String::new();
        for name in names {
            let Some(dataset) = self.datasets.get(name) else {
                return failed(1, format!("cannot open '{name}': dataset does not exist\n"));
            };
            let mut all: Vec<&str> = vec!["type", "mounted", "keystatus", "used", "referenced"];
            all.extend(["usedbychildren", "usedbyrefreservation"]);
            all.extend(properties::all(self.system).map(|known| known.name));
            let user = self.datasets.values().flat_map(|dataset| dataset.properties.keys());
            all.extend(user.map(String::as_str).filter(|property| property.contains(':')));
            all.sort_unstable();
            all.dedup();
            // Of illumos the guid is told on demand only, which is what a version may do.
            let is_hidden = |known: &str| *property == "all" && known == "guid" && self.system == System::Illumos;
            let is_asked = |known: &str| (*property == "all" && !is_hidden(known)) || known == *property;
            for known in all.iter().filter(|known| is_asked(known)) {
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

    pub(super) fn stored(&self, kind: Kind, property: &str, value: &str) -> Result<String, String> {
        if property.contains(':') {
            return Ok(value.to_owned());
        }
        let known = properties::find(self.system, property)
            .ok_or_else(|| format!("bad property list: invalid property '{property}'"))?;
        if !applies(known.of, kind) {
            return Err(format!("'{property}' does not apply to datasets of this type"));
        }
        known.normalise(value).ok_or_else(|| format!("'{property}' must be one of other values than '{value}'"))
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
        if properties::find(self.system, property).is_some_and(|known| known.at_creation_only) {
            return refuse(&format!("'{property}' is readonly"));
        }
        if property == "volsize" && value.parse().unwrap_or(u64::MAX) > self.volume_room(name) {
            return refuse("out of space");
        }
        if property == "volsize" && self.swaps.iter().any(|area| area.path == volume_path(self.system, name)) {
            return refuse("dataset is busy");
        }
        if let Some(why) = self.lacks_space(name, property, value.parse().unwrap_or_default()) {
            return refuse(why);
        }
        let done = self.change(name, property, |dataset| {
            dataset.properties.insert(property.to_owned(), value);
        });
        if property == "volsize" {
            self.nodes_of(name);
        }
        done
    }

    /// What a dataset takes of its pool: what is in it and below it, or at least what is reserved.
    fn space_used(&self, name: &str) -> u64 {
        let own = self.datasets.get(name).map_or(0, |dataset| dataset.used);
        own.max(self.number_of(name, "refreservation")) + self.used_below(name)
    }

    fn used_below(&self, name: &str) -> u64 {
        let children = self.datasets.keys().filter(|other| parent(other) == Some(name));
        children.map(|child| self.space_used(child).max(self.number_of(child, "reservation"))).sum()
    }

    fn number_of(&self, name: &str, property: &str) -> u64 {
        self.property(name, property).and_then(|(value, _)| value.parse().ok()).unwrap_or_default()
    }

    /// Why a quota or reservation cannot be set: a quota is at least what is used and reserved, and a reservation at most the quota.
    fn lacks_space(&self, name: &str, property: &str, bytes: u64) -> Option<&'static str> {
        let of = |property| self.number_of(name, property);
        let (is_too_small, is_too_large) = match property {
            "quota" => (bytes < self.space_used(name).max(of("reservation")), false),
            "refquota" => (bytes < of("referenced").max(of("refreservation")), false),
            "reservation" => (false, of("quota") > 0 && bytes > of("quota")),
            "refreservation" => (false, of("refquota") > 0 && bytes > of("refquota")),
            _ => (false, false),
        };
        match (is_too_small && bytes > 0, is_too_large) {
            (true, _) => Some("size is less than current used or reserved space"),
            (_, true) => Some("size is greater than available space"),
            _ => None,
        }
    }

    fn inherit(&mut self, property: &str, name: &str, as_received: bool) -> Completed {
        if !self.datasets.contains_key(name) {
            return failed(1, format!("cannot open '{name}': dataset does not exist\n"));
        }
        // With -S it is taken as well, zfs-inherit(8).
        if properties::find(self.system, property).is_some_and(|known| !known.inherits) && !as_received {
            let advice = match property {
                "canmount" => String::new(),
                _ => format!("use 'zfs set {property}=none' to clear\n"),
            };
            return failed(1, format!("'{property}' property cannot be inherited\n{advice}"));
        }
        self.change(name, property, |dataset| {
            dataset.properties.remove(property);
            // Without -S what was received counts no longer.
            match as_received {
                true => drop(dataset.overruled.remove(property)),
                false if dataset.received.contains_key(property) => drop(dataset.overruled.insert(property.to_owned())),
                false => {}
            }
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
        if let Some(snapshot) = dataset.snapshots.keys().next() {
            let what = format!("{} has children\nuse '-r' to destroy the following datasets:", kind_word(dataset.kind));
            return failed(1, format!("cannot destroy '{name}': {what}\n{name}@{snapshot}\n"));
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
