//! What the machine is like.

use crate::config::Config;
use crate::order::{self, Unit};
use crate::record::Record;
use crate::storage_error;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use sysconfig_platform::boot_table::{self, BootRow};
use sysconfig_platform::mount_table::{self, Mount};
use sysconfig_platform::mounting::{self, MountPoint, mounted_at};
use sysconfig_platform::zfs::{self, Dataset, Kind, OWNER, Properties};
use sysconfig_platform::{Host, StorageError, System};
use sysconfig_plugin::PluginError;

/// What the machine is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub(crate) system: System,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) rows: Vec<BootRow>,
    pub(crate) record: Record,
    /// Every dataset, when the configuration has some.
    pub(crate) datasets: Vec<Dataset>,
    /// The properties of the configured datasets and of those above them.
    pub(crate) properties: BTreeMap<String, Properties>,
    /// The datasets that this plugin has made.
    pub(crate) ours: BTreeSet<String>,
    /// What is at the places where something is to be mounted and nothing is.
    pub(crate) points: BTreeMap<String, MountPoint>,
    /// Of those of them that are not empty, those in which is nothing but directories that were made for mounts of
    /// ours, with the mount points.
    pub(crate) leads_to: BTreeMap<String, BTreeSet<String>>,
    /// The mount points of file systems in memory that are ours and hold something.
    pub(crate) holding: BTreeSet<String>,
    /// The names under which devices are listed, where they differ from the configured ones.
    pub(crate) identities: BTreeMap<String, String>,
    /// Linux: what a bind mount of a directory must show.
    pub(crate) places: BTreeMap<String, (String, String)>,
}

impl State {
    pub(crate) fn dataset(&self, name: &str) -> Option<&Dataset> {
        self.datasets.iter().find(|dataset| dataset.name == name)
    }

    fn identity<'a>(&'a self, device: &'a str) -> &'a str {
        self.identities.get(device).map_or(device, String::as_str)
    }

    /// Whether what is mounted is what was asked for, whatever its options are.
    pub(crate) fn is_same(&self, mount: &Mount, device: &str, fstype: &str) -> bool {
        let is_nfs = |fstype: &str| fstype == "nfs" || fstype == "nfs4";
        match fstype {
            "bind" => mount.place.is_some() && mount.place.as_ref() == self.places.get(device),
            // What stands for the device of a file system in memory is any word.
            _ if is_in_memory(fstype) => mount.fstype == fstype,
            _ if is_nfs(fstype) => {
                is_nfs(&mount.fstype) && mount.device.trim_end_matches('/') == device.trim_end_matches('/')
            }
            _ => mount.fstype == fstype && self.identity(&mount.device) == self.identity(device),
        }
    }

    /// Whether the mount at a place is one of ours.
    pub(crate) fn is_ours(&self, mount: &Mount) -> bool {
        let Some(ours) = self.record.mounts.get(&mount.mount_point).map(|ours| &ours.request) else { return false };
        // Somebody else's in the same place has another word, with luck; there is nothing else to tell them apart.
        let has_our_word = !is_in_memory(&mount.fstype) || mount.device == ours.device;
        has_our_word && self.is_same(mount, &ours.device, &ours.fstype)
    }

    /// Where a unit is mounted: by the configuration, or else by what its dataset inherits.
    pub(crate) fn place(&self, config: &Config, unit: Unit<'_>) -> Option<String> {
        match unit {
            Unit::Mount(mount) => Some(mount.mountpoint.clone()),
            Unit::Dataset(dataset) => self.dataset_place(config, &dataset.name).filter(|place| place.starts_with('/')),
        }
    }

    fn dataset_place(&self, config: &Config, name: &str) -> Option<String> {
        let entry = config.datasets.iter().find(|dataset| dataset.name == name);
        if let Some(place) = entry.and_then(|entry| entry.property("mountpoint")) {
            return Some(place);
        }
        // What was set on it stays, unless an earlier configuration has set it and this one no longer does.
        let present = self.properties.get(name).and_then(|properties| properties.get("mountpoint"));
        let was_ours = entry.is_some() && self.set_by_us(name).any(|property| property == "mountpoint");
        if let Some(present) = present.filter(|present| present.is_local() && !was_ours) {
            return Some(present.value.clone());
        }
        match name.rsplit_once('/') {
            Some((parent, last)) => {
                let above = self.dataset_place(config, parent)?;
                match above.starts_with('/') {
                    true => Some(format!("{}/{last}", above.trim_end_matches('/'))),
                    false => Some(above),
                }
            }
            None => present.map(|present| present.value.clone()).or_else(|| Some(format!("/{name}"))),
        }
    }

    /// The properties that earlier configurations have set on a dataset.
    pub(crate) fn set_by_us(&self, name: &str) -> impl Iterator<Item = &str> {
        let list = self.properties.get(name).and_then(|properties| properties.get(crate::properties::SET_BY_US));
        let list = list.filter(|list| list.is_local()).map_or("", |list| list.value.as_str());
        list.split(',').filter(|property| !property.is_empty())
    }
}

/// Whether what is in a file system of that type is lost when it is unmounted.
pub(crate) fn is_in_memory(fstype: &str) -> bool {
    ["tmpfs", "ramfs"].contains(&fstype)
}

pub(crate) fn observe(host: &Host, config: &Config) -> Result<State, PluginError> {
    look(host, config).map_err(storage_error)
}

fn look(host: &Host, config: &Config) -> Result<State, StorageError> {
    let file = |source| StorageError::File { operation: "look at the file systems".to_owned(), source };
    let mut state = State {
        system: host.system,
        mounts: mount_table::mounts(host).map_err(file)?,
        rows: boot_table::rows(host).map_err(file)?,
        record: Record::load(host).map_err(file)?,
        datasets: Vec::new(),
        properties: BTreeMap::new(),
        ours: BTreeSet::new(),
        points: BTreeMap::new(),
        leads_to: BTreeMap::new(),
        holding: BTreeSet::new(),
        identities: BTreeMap::new(),
        places: BTreeMap::new(),
    };
    if !config.datasets.is_empty() {
        look_at_datasets(host, config, &mut state)?;
    } else if state.record.datasets && look_at_datasets(host, config, &mut state).is_err() {
        // Only what is kept is told of them, which must not keep mounts from being seen to.
        (state.datasets, state.ours) = (Vec::new(), BTreeSet::new());
    }
    look_at_devices(host, config, &mut state);
    let ours_in_memory = state.mounts.iter().filter(|mount| is_in_memory(&mount.fstype) && state.is_ours(mount));
    let holds = |mount: &&Mount| holds_something(host, &mount.mount_point, &state.mounts);
    state.holding = ours_in_memory.filter(holds).map(|mount| mount.mount_point.clone()).collect();
    let units = order::units(config);
    for place in units.iter().filter_map(|unit| state.place(config, *unit)).collect::<BTreeSet<_>>() {
        if mounted_at(&state.mounts, &place).is_none() {
            let at = mounting::mount_point(host, &place)?;
            if at == MountPoint::Filled {
                let mut leads_to = BTreeSet::new();
                if holds_only_ours(host, &place, &state.record, &mut leads_to) {
                    state.leads_to.insert(place.clone(), leads_to);
                }
            }
            state.points.insert(place, at);
        }
    }
    Ok(state)
}

/// How many directories are looked into before it is enough: what has so many is in use.
const DIRECTORIES: usize = 2000;
/// How deep they may lie in each other. As many are open at once.
const DEPTH: usize = 64;

/// Whether there is anything in a file system but directories, which are places for mounts mostly. What cannot be read
/// counts; what is mounted in it does not.
pub(crate) fn holds_something(host: &Host, directory: &str, mounts: &[Mount]) -> bool {
    looks_filled(host, directory, mounts, DEPTH, &mut DIRECTORIES.clone())
}

fn looks_filled(host: &Host, directory: &str, mounts: &[Mount], depth: usize, left: &mut usize) -> bool {
    if depth == 0 || *left == 0 {
        return true;
    }
    *left -= 1;
    let Ok(entries) = std::fs::read_dir(host.root.locate(directory)) else { return true };
    entries.into_iter().any(|entry| {
        let Ok(entry) = entry else { return true };
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            return true;
        }
        let Ok(name) = entry.file_name().into_string() else { return true };
        let path = format!("{}/{name}", directory.trim_end_matches('/'));
        mounted_at(mounts, &path).is_none() && looks_filled(host, &path, mounts, depth - 1, left)
    })
}

/// Whether there is nothing in a directory but what was made for mounts of ours; collects their mount points.
fn holds_only_ours(host: &Host, directory: &str, record: &Record, found: &mut BTreeSet<String>) -> bool {
    let Ok(entries) = std::fs::read_dir(host.root.locate(directory)) else { return false };
    entries.into_iter().all(|entry| {
        let Some(name) = entry.ok().and_then(|entry| entry.file_name().into_string().ok()) else { return false };
        let path = format!("{}/{name}", directory.trim_end_matches('/'));
        let made_for = |ours: &crate::record::OurMount| ours.made_directory.is_some();
        if record.mounts.get(&path).is_some_and(made_for) {
            found.insert(path);
            return true;
        }
        let leads = record.mounts.iter().any(|(point, ours)| made_for(ours) && mount_table::is_below(point, &path));
        leads && holds_only_ours(host, &path, record, found)
    })
}

fn look_at_datasets(host: &Host, config: &Config, state: &mut State) -> Result<(), StorageError> {
    state.datasets = zfs::datasets(host)?;
    let mut names: BTreeSet<String> = BTreeSet::new();
    for entry in &config.datasets {
        let mut name = entry.name.as_str();
        names.insert(name.to_owned());
        while let Some((parent, _)) = name.rsplit_once('/') {
            names.insert(parent.to_owned());
            name = parent;
        }
    }
    let there: Vec<String> = names.into_iter().filter(|name| state.dataset(name).is_some()).collect();
    state.properties = zfs::properties(host, &there)?;
    let owners = zfs::where_set(host, OWNER)?;
    let ours = owners.into_iter().filter(|(_, owner)| owner == crate::properties::OWNER_NAME).map(|(name, _)| name);
    state.ours = ours.filter(|name| state.dataset(name).is_some_and(|found| found.kind == Kind::Filesystem)).collect();
    Ok(())
}

fn look_at_devices(host: &Host, config: &Config, state: &mut State) {
    let wanted =
        config.mounts().iter().map(|mount| (mount.device.clone(), mount.fstype.clone(), mount.mountpoint.clone()));
    let remembered = state.record.mounts.values().map(|ours| &ours.request);
    let remembered = remembered.map(|ours| (ours.device.clone(), ours.fstype.clone(), ours.mount_point.clone()));
    let all: Vec<_> = wanted.chain(remembered).collect();
    for (device, fstype, point) in all {
        if fstype == "bind" {
            // What is already mounted at the place must not be taken for what is shown there.
            let others: Vec<Mount> = state.mounts.iter().filter(|mount| mount.mount_point != point).cloned().collect();
            let resolved = host.root.resolve(&device).map_or(device.clone(), |path| path.display().to_string());
            if let Some(place) = mount_table::place_of(&others, &resolved) {
                state.places.insert(device, place);
            }
            continue;
        }
        let mounted = mounted_at(&state.mounts, &point).map(|mount| mount.device.clone());
        for device in mounted.into_iter().chain([device]) {
            let identity = mounting::identity(host, &device);
            if identity != device {
                state.identities.insert(device, identity);
            }
        }
    }
}
