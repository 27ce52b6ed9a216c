//! What the machine is like.

mod places;

use crate::altroot;
use crate::config::Config;
use crate::order::Unit;
use crate::plan;
use crate::record::{self, Record};
use crate::storage_error;
pub(crate) use places::holds_something;
use places::{follow_links, look_at_points, look_at_sources};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use sysconfig_platform::boot_table::{self, BootRow};
use sysconfig_platform::mount_table::{self, Mount, may_wait};
use sysconfig_platform::mounting::{MountRequest, mounted_at};
use sysconfig_platform::places::{MountPoint, Places};
use sysconfig_platform::zfs::family::{self, Relative, Snapshot};
use sysconfig_platform::zfs::followers::{Follower, followers};
use sysconfig_platform::zfs::{self, Dataset, Kind, OWNER, Properties, Property, Source};
use sysconfig_platform::{Host, StorageError, System, files, gather};
use sysconfig_plugin::PluginError;

/// What the machine is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub(crate) system: System,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) rows: Vec<BootRow>,
    /// Rows of the boot table that cannot be read.
    pub(crate) unreadable: Vec<String>,
    /// Devices of rows that are not there, so that systemd would unmount at once what else comes to their places.
    #[serde(default)]
    pub(crate) missing: Vec<String>,
    /// Whether systemd may not have heard of the last change of the boot table.
    #[serde(default)]
    pub(crate) is_untold: bool,
    /// Where the paths of the configuration and of the rows are when their links are followed, as far as that is elsewhere. The
    /// table of mounts shows them so.
    pub(crate) resolved: BTreeMap<String, String>,
    pub(crate) record: Record,
    /// Which boot it is.
    pub(crate) boot: String,
    /// The numbers of the users and groups that mount options name, by the option.
    pub(crate) ids: BTreeMap<String, u32>,
    /// Every dataset, when the configuration has some.
    pub(crate) datasets: Vec<Dataset>,
    /// The properties of the configured datasets and of those above them.
    pub(crate) properties: BTreeMap<String, Properties>,
    /// The directories below which pools are imported, by pool.
    #[serde(default)]
    pub(crate) altroots: BTreeMap<String, String>,
    /// The mount points of what lies in configured datasets and may move along with them.
    pub(crate) below: BTreeMap<String, Property>,
    /// The datasets that this plugin has made.
    pub(crate) ours: BTreeSet<String>,
    /// Every dataset of the pools in which something is to be destroyed.
    pub(crate) relatives: Vec<Relative>,
    /// The snapshots of what is to be destroyed.
    pub(crate) snapshots: BTreeMap<String, Vec<Snapshot>>,
    /// What is at the places where something is to be mounted and nothing is.
    pub(crate) points: BTreeMap<String, MountPoint>,
    /// Of those, and of what is to be mounted there, what cannot be looked at, and why.
    pub(crate) unseen: BTreeMap<String, String>,
    /// Of those of them that are not empty, those in which is nothing but directories that were made for mounts of
    /// ours, with the mount points.
    pub(crate) leads_to: BTreeMap<String, BTreeSet<String>>,
    /// The mount points of file systems in memory that are ours and hold something.
    pub(crate) holding: BTreeSet<String>,
    /// The mount points of ours that would go, and what does not answer: whoever unmounts them waits for its server.
    #[serde(default)]
    pub(crate) silent: BTreeMap<String, String>,
    /// The names under which devices are listed, where they differ from the configured ones.
    pub(crate) identities: BTreeMap<String, String>,
    /// Linux: what a bind mount of a directory must show.
    pub(crate) places: BTreeMap<String, (String, String)>,
}

impl State {
    /// The system; see [`System::met`].
    #[inline(always)]
    pub(crate) fn system(&self) -> System {
        self.system.met()
    }

    pub(crate) fn dataset(&self, name: &str) -> Option<&Dataset> {
        self.datasets.iter().find(|dataset| dataset.name == name)
    }

    fn identity<'a>(&'a self, device: &'a str) -> &'a str {
        self.identities.get(device).map_or(device, String::as_str)
    }

    /// Whether what is mounted is what was asked for, whatever its other options are.
    pub(crate) fn is_same(&self, mount: &Mount, device: &str, fstype: &str, options: &[String]) -> bool {
        let is_nfs = |fstype: &str| fstype == "nfs" || fstype == "nfs4";
        match fstype {
            "bind" => mount.place.is_some() && mount.place.as_ref() == self.places.get(device),
            _ if !mount_table::is_whole(mount, options) => false,
            // What stands for the device of a file system in memory is any word.
            _ if is_in_memory(fstype) => mount.fstype == fstype,
            _ if is_nfs(fstype) => {
                is_nfs(&mount.fstype) && mount.device.trim_end_matches('/') == device.trim_end_matches('/')
            }
            _ => mount_table::is_type(fstype, &mount.fstype) && self.identity(&mount.device) == self.identity(device),
        }
    }

    /// Whether the mount at a place is one of ours.
    pub(crate) fn is_ours(&self, mount: &Mount) -> bool {
        let Some(one) = self.record.mounts.get(&mount.mount_point) else { return false };
        let ours = &one.request;
        // Somebody else's in the same place has another word, with luck; there is nothing else to tell them apart.
        let has_our_word = !is_in_memory(&ours.fstype) || mount.device == ours.device;
        has_our_word && (self.is_same(mount, &ours.device, &ours.fstype, &ours.options) || one.shows(mount, &self.boot))
    }

    /// Whether a mount is one of ours, with which goes what is in it.
    fn is_ours_in_memory(&self, mount: &Mount) -> bool {
        let ours = self.record.mounts.get(&mount.mount_point);
        ours.is_some_and(|ours| keeps_memory(&ours.request, mount, &self.mounts)) && self.is_ours(mount)
    }

    /// Where a unit is mounted: by the configuration, or else by what its dataset inherits.
    pub(crate) fn place(&self, config: &Config, unit: Unit<'_>) -> Option<String> {
        match unit {
            Unit::Mount(mount) => Some(self.resolved(&mount.mountpoint).to_owned()),
            Unit::Dataset(dataset) => {
                let point = self.dataset_place(config, &dataset.name).filter(|point| point.starts_with('/'))?;
                let place = self.place_of_point(&dataset.name, point);
                Some(self.resolved(&place).to_owned())
            }
        }
    }

    /// Where a dataset with that mount point is mounted.
    pub(crate) fn place_of_point(&self, dataset: &str, point: String) -> String {
        altroot::place(self.altroots.get(altroot::pool(dataset)).map_or("", String::as_str), point)
    }

    /// What moves along when a dataset gets another mount point.
    pub(crate) fn followers(&self, name: &str) -> Vec<Follower> {
        followers(name, &self.below, &self.mounts)
    }

    /// A path as the table of mounts shows it.
    pub(crate) fn resolved<'a>(&'a self, path: &'a str) -> &'a str {
        self.resolved.get(path).map_or(path, String::as_str)
    }

    /// The configuration with its mount points as the table of mounts shows them.
    pub(crate) fn resolve(&self, config: &Config) -> Config {
        let mut config = config.clone();
        for entry in config.mounts.iter_mut().flatten() {
            entry.mountpoint = self.resolved(&entry.mountpoint).to_owned();
        }
        config
    }

    /// The rows of the boot table about a mount point.
    pub(crate) fn rows_at<'a>(&'a self, point: &str) -> Vec<&'a BootRow> {
        let is_there = |row: &&BootRow| {
            row.mount_point.as_deref().is_some_and(|place| self.resolved(place) == self.resolved(point))
        };
        self.rows.iter().filter(is_there).collect()
    }

    fn dataset_place(&self, config: &Config, name: &str) -> Option<String> {
        let entry = config.datasets.iter().find(|dataset| dataset.name == name);
        if let Some(place) = entry.and_then(|entry| entry.property("mountpoint")) {
            return Some(place);
        }
        // What was set on it stays, unless an earlier configuration has set it and this one no longer does.
        let present = self.properties.get(name).and_then(|properties| properties.get("mountpoint"));
        let was_ours = entry.is_some() && self.set_by_us(name).any(|property| property == "mountpoint");
        // So does what it was received with, or was given for this one time.
        let is_its_own = |present: &&Property| {
            matches!(present.source, Source::Local | Source::Received | Source::Temporary) && !was_ours
        };
        if let Some(present) = present.filter(is_its_own) {
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

/// Whether what a mount shows is in memory, and gone without it. A bind mount is shown with the type of what its directory lies
/// in, and keeps that only where it is the last one to show it.
pub(crate) fn keeps_memory(request: &MountRequest, mount: &Mount, mounts: &[Mount]) -> bool {
    let number = |mount: &Mount| mount.place.as_ref().map(|(number, _)| number.clone());
    let is_another = |other: &&Mount| other.mount_point != mount.mount_point && number(other) == number(mount);
    let is_shown_elsewhere = || mount.place.is_some() && mounts.iter().any(|other| is_another(&other));
    is_in_memory(&mount.fstype) && (is_in_memory(&request.fstype) || !is_shown_elsewhere())
}

pub(crate) fn observe(host: &Host, config: &Config) -> Result<State, PluginError> {
    look(host, config).map_err(storage_error)
}

fn look(host: &Host, config: &Config) -> Result<State, StorageError> {
    let file = |source| StorageError::File { operation: "look at the file systems".to_owned(), source };
    let table = files::read(&host.root, boot_table::path(host.system())).map_err(file)?.unwrap_or_default();
    let rows = boot_table::parse(host.system(), &table);
    let mounted = rows.iter().filter(|row| row.mount_point.is_some()).map(|row| &row.device);
    let devices = mounted.chain(config.mounts().iter().map(|entry| &entry.device));
    let mut state = State {
        system: host.system(),
        mounts: mount_table::mounts(host).map_err(file)?,
        missing: boot_table::missing_devices(host, devices)?,
        is_untold: boot_table::is_untold(host)?,
        rows,
        unreadable: boot_table::unreadable(host.system(), &table),
        record: Record::load(host).map_err(file)?,
        boot: record::boot(host),
        ids: ids(host, config.mounts().iter().flat_map(|mount| &mount.options)),
        datasets: Vec::new(),
        properties: BTreeMap::new(),
        altroots: BTreeMap::new(),
        below: BTreeMap::new(),
        ours: BTreeSet::new(),
        relatives: Vec::new(),
        snapshots: BTreeMap::new(),
        resolved: BTreeMap::new(),
        points: BTreeMap::new(),
        unseen: BTreeMap::new(),
        leads_to: BTreeMap::new(),
        holding: BTreeSet::new(),
        silent: BTreeMap::new(),
        identities: BTreeMap::new(),
        places: BTreeMap::new(),
    };
    if !config.datasets.is_empty() {
        look_at_datasets(host, config, &mut state)?;
        look_at_families(host, config, &mut state)?;
    } else if state.record.datasets && look_at_datasets(host, config, &mut state).is_err() {
        // Only what is kept is told of them, which must not keep mounts from being seen to.
        (state.datasets, state.ours) = (Vec::new(), BTreeSet::new());
    }
    let mounts = state.mounts.clone();
    let places = Places::new(host, &mounts);
    follow_links(host, config, &places, &mut state);
    look_at_devices(config, &places, &mut state);
    // What cannot be unmounted for this reason is not kept for what it may hold.
    if state.mounts.iter().any(|mount| may_wait(mount) && state.is_ours(mount)) {
        let going = plan::going(config, &state);
        let going = mounts.iter().filter(|mount| going.contains(&mount.mount_point));
        let silent =
            going.filter_map(|mount| Some((mount.mount_point.clone(), places.holding_up(mount)?.device.clone())));
        state.silent = gather::map(silent);
    }
    let ours_in_memory = state.mounts.iter().filter(|mount| state.is_ours_in_memory(mount));
    let is_unknown = |point: &str| places.silent(point).is_some();
    let holds = |point: &str| is_unknown(point) || holds_something(host, point, &state.mounts);
    state.holding = ours_in_memory.map(|mount| mount.mount_point.clone()).filter(|point| holds(point)).collect();
    look_at_points(host, config, &places, &mut state);
    look_at_sources(config, &places, &mut state);
    Ok(state)
}

/// The numbers of users and groups in `uid=NAME` and the like, as far as the machine's own lists have them.
pub(crate) fn ids<'a>(host: &Host, options: impl Iterator<Item = &'a String>) -> BTreeMap<String, u32> {
    let number = |option: &String| {
        let (key, name) = option.split_once('=')?;
        let list = match key {
            "uid" => "/etc/passwd",
            "gid" => "/etc/group",
            _ => return None,
        };
        // name:password:number, passwd(5) and group(5).
        let list = files::read_text(&host.root, list).ok().flatten()?;
        let mut rows = list.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let row = rows.find(|row| row.first() == Some(&name))?;
        Some((option.clone(), row.get(2)?.parse().ok()?))
    };
    gather::map(options.filter_map(number))
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
    for pool in there.iter().filter(|name| altroot::pool(name) == name.as_str()) {
        state.altroots.insert(pool.clone(), altroot::of(host, pool)?);
    }
    for (name, properties) in &mut state.properties {
        altroot::strip(properties, state.altroots.get(altroot::pool(name)).map_or("", String::as_str));
    }
    let mounted = |below: &str| state.datasets.iter().any(|dataset| dataset.mounted && dataset.name.starts_with(below));
    let mut asked: Vec<String> = Vec::new();
    for name in config.datasets.iter().filter(|entry| !entry.absent).map(|entry| &entry.name) {
        let below = format!("{name}/");
        let is_known = asked.iter().any(|other| other == name || name.starts_with(&format!("{other}/")));
        if !is_known && state.dataset(name).is_some_and(|found| found.kind == Kind::Filesystem) && mounted(&below) {
            state.below.extend(zfs::mount_points(host, name)?);
            asked.push(name.clone());
        }
    }
    let owners = zfs::where_set(host, OWNER)?;
    let ours = owners.into_iter().filter(|(_, owner)| owner == crate::properties::OWNER_NAME).map(|(name, _)| name);
    state.ours = ours.filter(|name| state.dataset(name).is_some_and(|found| found.kind == Kind::Filesystem)).collect();
    Ok(())
}

/// Looks at what would go with what is to be destroyed.
fn look_at_families(host: &Host, config: &Config, state: &mut State) -> Result<(), StorageError> {
    let mut pools = BTreeSet::new();
    for entry in config.datasets.iter().filter(|entry| entry.absent) {
        if state.dataset(&entry.name).is_none() {
            continue;
        }
        state.snapshots.insert(entry.name.clone(), family::snapshots(host, &entry.name)?);
        if pools.insert(entry.name.split('/').next().unwrap_or_default()) {
            state.relatives.extend(family::relatives(host, &entry.name)?);
        }
    }
    Ok(())
}

fn look_at_devices(config: &Config, places: &Places<'_>, state: &mut State) {
    let wanted = config
        .mounts()
        .iter()
        .map(|mount| (mount.device.clone(), mount.fstype.clone(), state.resolved(&mount.mountpoint).to_owned()));
    let remembered = state.record.mounts.values().map(|ours| &ours.request);
    let remembered = remembered.map(|ours| (ours.device.clone(), ours.fstype.clone(), ours.mount_point.clone()));
    let all: Vec<_> = wanted.chain(remembered).collect();
    for (device, fstype, point) in all {
        if fstype == "bind" {
            // What is already mounted at the place must not be taken for what is shown there.
            let others: Vec<Mount> = state.mounts.iter().filter(|mount| mount.mount_point != point).cloned().collect();
            if let Some(place) = mount_table::place_of(&others, &places.resolve(&device)) {
                state.places.insert(device, place);
            }
            continue;
        }
        let mounted = mounted_at(&state.mounts, &point).map(|mount| mount.device.clone());
        for device in mounted.into_iter().chain([device]) {
            let identity = places.identity(&device);
            if identity != device {
                state.identities.insert(device, identity);
            }
        }
    }
}
