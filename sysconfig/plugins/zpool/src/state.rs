//! What the machine is like: its pools, those that it could import, and the devices that the configuration names.

use crate::config::Config;
use crate::error::zfs_error;
use crate::places;
use crate::record::Record;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use sysconfig_platform::device::{Device, Looks, Names};
use sysconfig_platform::mount_table::Mount;
use sysconfig_platform::places::{Places, Servers};
use sysconfig_platform::zfs::{self, Properties};
use sysconfig_platform::zpool::{self, Importable, Layout, PoolStatus, Vdev};
use sysconfig_platform::{Host, StorageError, System};
use sysconfig_plugin::PluginError;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub(crate) system: System,
    /// Every pool that is imported.
    pub(crate) pools: Vec<ActivePool>,
    /// Pools that could be imported, of those places in which configured ones are sought.
    pub(crate) importable: Vec<FoundPool>,
    /// Every device that the configuration names.
    pub(crate) devices: Vec<Device>,
    /// What is remembered.
    #[serde(default)]
    pub(crate) record: Record,
    /// Why the root dataset of a configured pool, by name, cannot be mounted where it belongs.
    pub(crate) occupied: BTreeMap<String, String>,
    /// Why a configured pool, by name, could not be looked for.
    #[serde(default)]
    pub(crate) unsearched: BTreeMap<String, String>,
    /// Directories in which a configured pool, by name, is to be looked for, and which are not there.
    #[serde(default)]
    pub(crate) missing: BTreeMap<String, Vec<String>>,
}

/// An imported pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ActivePool {
    pub(crate) status: PoolStatus,
    pub(crate) guid: u64,
    /// Whether the machine runs from it: one of its datasets is mounted at `/`.
    pub(crate) holds_root: bool,
    pub(crate) properties: Properties,
    /// The properties of the root dataset, where any are configured.
    pub(crate) root: Properties,
    pub(crate) members: Members,
}

/// A pool that could be imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FoundPool {
    pub(crate) pool: Importable,
    pub(crate) members: Members,
}

/// What is known of the devices of a pool beside its status, by the name that the status shows.
pub(crate) type Members = BTreeMap<String, Member>;

/// A device of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) names: Option<Names>,
    pub(crate) guid: Option<u64>,
    pub(crate) bytes: Option<u64>,
    /// Whether the system has lost it, so that its names may mean another device now.
    pub(crate) lost: bool,
}

impl State {
    pub(crate) fn device(&self, path: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.path == path)
    }

    pub(crate) fn pool(&self, name: &str) -> Option<&ActivePool> {
        self.pools.iter().find(|pool| pool.status.name == name)
    }

    /// The imported pool that a device belongs to, by guid or by name.
    pub(crate) fn owner(&self, device: &Device) -> Option<&ActivePool> {
        let guid = device.label().map(|label| label.guid).filter(|guid| *guid != 0);
        self.pools.iter().find(|pool| {
            pool.members.values().any(|member| {
                let overlaps = member.names.as_ref().is_some_and(|names| names.overlaps_disk(&device.names));
                (overlaps && !member.lost) || (guid.is_some() && member.guid == guid)
            })
        })
    }
}

/// Looks at everything that the configuration is about.
pub(crate) fn observe(host: &Host, config: &Config) -> Result<State, PluginError> {
    let failed = |error| zfs_error("cannot look at the pools", error);
    let mut pools = Vec::new();
    let mounts = places::mounts(host).map_err(failed)?;
    let servers = Servers::default();
    let (places, looks) = (Places::asking(host, &mounts, &servers), Looks::asking(host, &servers));
    for status in zpool::statuses(host).map_err(failed)? {
        pools.extend(active((host, &looks), config, &mounts, status)?);
    }
    let remembered = StorageError::file("look at what is remembered");
    let mut state = State {
        system: host.system(),
        pools,
        importable: Vec::new(),
        devices: Vec::new(),
        record: Record::load(host).map_err(remembered).map_err(failed)?,
        occupied: BTreeMap::new(),
        unsearched: BTreeMap::new(),
        missing: BTreeMap::new(),
    };
    let paths: BTreeSet<&str> =
        config.pools.iter().flat_map(crate::config::Pool::devices).map(|(_, path)| path).collect();
    state.devices = paths.into_iter().map(|path| looks.look(path)).collect();
    for pool in &config.pools {
        let place = pool.root_place().filter(|place| place.starts_with('/'));
        // One that cannot be looked at is not free, and concerns no other pool.
        let obstacle = |place: String| {
            places::obstacle(&places, &pool.name, &place).unwrap_or_else(|error| Some(error.to_string()))
        };
        state.occupied.extend(place.and_then(obstacle).map(|why| (pool.name.clone(), why)));
    }
    let mut searched: Vec<Vec<String>> = Vec::new();
    for pool in &config.pools {
        if state.pool(&pool.name).is_some() {
            continue;
        }
        let directories = pool.search_directories(host.system());
        let silent = |directory: &String| {
            let mount = places.silent(&format!("{directory}/_"))?;
            Some(format!("{} does not answer, which has what is in {directory}", mount.device))
        };
        if let Some(why) = directories.iter().find_map(silent) {
            state.unsearched.insert(pool.name.clone(), why);
            continue;
        }
        // The pool itself may lie where a disk or a server is not mounted yet.
        let is_missing = |directory: &&String| !host.root.exists(directory).unwrap_or(true);
        let missing: Vec<String> = pool.search.iter().filter(is_missing).cloned().collect();
        if !missing.is_empty() {
            state.missing.insert(pool.name.clone(), missing);
        }
        if !searched.contains(&directories) {
            let found = match zpool::importable(host, &directories) {
                Ok(found) => found,
                // What is wrong where one pool is to be is no reason to leave the others.
                Err(error) if !directories.is_empty() => {
                    let why = PluginError::from_error(error).to_error_object().chain();
                    state.unsearched.insert(pool.name.clone(), why);
                    continue;
                }
                Err(error) => return Err(failed(error)),
            };
            for found in found {
                let members = members(host, &looks, &found.layout);
                if !state.importable.iter().any(|known| known.pool.guid == found.guid) {
                    state.importable.push(FoundPool { pool: found, members });
                }
            }
            searched.push(directories);
        }
    }
    Ok(state)
}

/// `None` when somebody exported the pool just now.
fn active(
    (host, looks): (&Host, &Looks<'_>),
    config: &Config,
    mounts: &[Mount],
    status: PoolStatus,
) -> Result<Option<ActivePool>, PluginError> {
    let failed = |error| zfs_error(&format!("cannot look at the pool {}", status.name), error);
    let Some(properties) = zpool::properties(host, &status.name).map_err(failed)? else { return Ok(None) };
    let guid = properties.get("guid").and_then(|property| property.value.parse().ok());
    let Some(guid) = guid else {
        return Err(PluginError::new(format!("cannot find out the guid of the pool {}", status.name)));
    };
    let wants_root = |pool: &crate::config::Pool| pool.name == status.name && !pool.root_properties.is_empty();
    let wants_root = status.answers() && config.pools.iter().any(wants_root);
    let root = match wants_root {
        true => zfs::properties_of(host, &status.name).map_err(failed)?.unwrap_or_default(),
        false => Properties::new(),
    };
    let members = members(host, looks, &status.layout);
    let is_of_it = |device: &str| device.split('/').next() == Some(status.name.as_str());
    let holds_root =
        mounts.iter().any(|mount| mount.mount_point == "/" && mount.fstype == "zfs" && is_of_it(&mount.device));
    Ok(Some(ActivePool { status, guid, holds_root, properties, root, members }))
}

fn members(host: &Host, looks: &Looks<'_>, layout: &Layout) -> Members {
    let member = |vdev: &Vdev| {
        let path = vdev.path().map(|path| absolute(host, path));
        let label = path.as_ref().and_then(|path| looks.member_label(path));
        Member {
            names: path.as_ref().map(|path| looks.names(path)),
            // A path under which something else is now does not make that a member.
            guid: vdev.shown_guid().or_else(|| label.map(|label| label.guid)),
            bytes: path.as_ref().filter(|_| vdev.shown_guid().is_none()).and_then(|path| looks.member_bytes(path)),
            lost: is_lost(vdev),
        }
    };
    layout.devices().into_iter().map(|vdev| (vdev.name.clone(), member(vdev))).collect()
}

/// Whether the system has lost a device.
pub(crate) fn is_lost(vdev: &Vdev) -> bool {
    vdev.shown_guid().is_some() || matches!(vdev.state.as_str(), "UNAVAIL" | "REMOVED")
}

/// The list of what can be imported shows devices without their directory.
fn absolute(host: &Host, name: &str) -> String {
    match (name.starts_with('/'), host.system()) {
        (true, _) => name.to_owned(),
        (false, System::Illumos) => format!("/dev/dsk/{name}"),
        (false, System::Linux) => {
            let places = ["/dev/disk/by-id", "/dev/disk/by-vdev", "/dev/disk/by-path", "/dev/mapper"];
            let paths = places.iter().map(|place| format!("{place}/{name}"));
            paths
                .into_iter()
                .find(|path| host.root.exists(path).unwrap_or(false))
                .unwrap_or_else(|| format!("/dev/{name}"))
        }
    }
}
