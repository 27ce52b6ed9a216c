//! What the machine is like.

use crate::config::{Backing, Config};
use crate::marks::{self, volume_of};
use crate::record::Record;
use crate::storage_error;
use serde::{Deserialize, Serialize};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;
use sysconfig_platform::boot_table::{self, BootRow};
use sysconfig_platform::device::{self, Content, Finding};
use sysconfig_platform::mount_table::{self, Mount};
use sysconfig_platform::places::{MountPoint, Places, mount_point};
use sysconfig_platform::swap::{self, SwapArea};
use sysconfig_platform::zfs::{self, Kind, family};
use sysconfig_platform::zpool;
use sysconfig_platform::{Host, StorageError, System, device_name, files, memory};
use sysconfig_plugin::PluginError;

/// Says on an encrypted volume that nobody has kept its key.
pub(crate) const KEY_PROPERTY: &str = "sysconfig:key";
/// The value of [`KEY_PROPERTY`].
pub(crate) const THROWN_AWAY: &str = "thrown-away";
/// Where the key of an encrypted volume lies for a moment.
pub(crate) const KEY_FILE: &str = "/var/run/sysconfig/swap-key";

/// What the header of a swap area is called where contents are told.
const SWAP_SPACE: &str = "swap space";
/// How many polls a look waits for the nodes of volumes, which appear some time after their pool is imported.
const NODE_POLLS: u32 = 100;

/// What the machine is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub(crate) system: System,
    pub(crate) page_size: u64,
    /// Installed memory; only when a rule asks for it.
    pub(crate) memory: Option<u64>,
    /// Sizes of the pools that rules ask for.
    pub(crate) pools: BTreeMap<String, u64>,
    pub(crate) used: Vec<SwapArea>,
    pub(crate) rows: Vec<Row>,
    /// Where the boot table mounts devices, by what they are.
    #[serde(default)]
    pub(crate) mounted_at_boot: BTreeMap<String, String>,
    pub(crate) record: Record,
    /// Whether the record cannot be read, so that nothing of it counts.
    pub(crate) record_is_damaged: bool,
    /// What there is at the names and paths of the configuration and the record.
    pub(crate) found: BTreeMap<String, Found>,
    /// Whether systemd may not have heard of the last change of the boot table.
    #[serde(default)]
    pub(crate) is_untold: bool,
    /// Whether an interrupted step has left the key of an encrypted volume behind.
    pub(crate) has_key: bool,
    /// Files beside which an interrupted step has left one that is not whole.
    pub(crate) unfinished: Vec<String>,
    /// Every dataset, because a volume needs a parent.
    pub(crate) datasets: Vec<String>,
}

/// A row of the boot table about swap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) row: BootRow,
    /// The path of what it names, also by its UUID or label, or by a link.
    pub(crate) identity: String,
}

/// What there is at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Found {
    /// The path under which the system lists it.
    pub(crate) identity: String,
    pub(crate) kind: FoundKind,
    /// Linux: the size for which it bears a header of a swap area.
    pub(crate) made_for: Option<u64>,
    /// Tells it from what may be at the path later: the guid of a volume, the inode and length of a file.
    pub(crate) what: Option<String>,
    /// What can be read of it, where it is not in use as swap.
    pub(crate) content: Option<Content>,
    /// The snapshots of a volume, which keep it.
    #[serde(default)]
    pub(crate) snapshots: Vec<String>,
    /// Whether it is a volume whose device has not appeared.
    #[serde(default)]
    pub(crate) is_coming: bool,
    /// For a file: the directory in which others could put another one in its place.
    #[serde(default)]
    pub(crate) open_to_others: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FoundKind {
    /// Nothing. For a file: whether its directory is there, and the type of the file system in which it lies.
    Nothing { directory: bool, fstype: Option<String> },
    /// A volume.
    Volume { bytes: u64, block: u64, is_ours: bool, encryption: Encryption },
    /// A dataset that is no volume.
    Filesystem,
    /// A regular file; whether it bears the mark of those that this plugin makes.
    File { bytes: u64, fstype: Option<String>, is_marked: bool },
    /// A device.
    Device,
    /// Something else.
    Other,
    /// It lies on a server that does not answer, so that whoever looks waits for it.
    Silent { why: String },
}

/// Whether a volume is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Encryption {
    /// It is not.
    Off,
    /// By the key of the pool, or of another dataset above it; whether that is loaded.
    Inherited { open: bool },
    /// With a key that is loaded; whether it is a throw-away one.
    Open { throw_away: bool },
    /// With a key that is not loaded; whether it is a throw-away one, and so gone for good.
    Locked { throw_away: bool },
}

/// Whether what was read is of a known kind that is not swap, where it bears the header of a swap area for some size, or none.
pub(crate) fn is_other(content: &Content, made_for: Option<u64>) -> bool {
    // Where the header says version 1, no file system has its superblock, however the rest of the header looks.
    let is_header =
        |found: &Finding| made_for.is_some() && (found.what == SWAP_SPACE || (1024..1536).contains(&found.at));
    content.label.is_some() || content.recognised().any(|found| !is_header(found))
}

impl Found {
    /// What is not looked at.
    fn silent(path: &str, why: &str) -> Self {
        let (identity, kind) = (path.to_owned(), FoundKind::Silent { why: why.to_owned() });
        let snapshots = Vec::new();
        let (what, content, is_coming) = (None, None, false);
        Self { identity, kind, made_for: None, what, content, snapshots, is_coming, open_to_others: None }
    }

    /// Whether it holds something of a known kind that is not swap: whoever makes a pool, for one, leaves the header of a swap
    /// area where it was.
    pub(crate) fn is_other(&self) -> bool {
        self.content.as_ref().is_some_and(|content| is_other(content, self.made_for))
    }

    /// Whether nothing is on it.
    pub(crate) fn is_blank(&self) -> bool {
        self.content.as_ref().is_some_and(|content| content.description().is_none())
    }
}

impl State {
    /// The system; see [`System::met`].
    #[inline(always)]
    pub(crate) fn system(&self) -> System {
        self.system.met()
    }

    pub(crate) fn found(&self, path: &str) -> &Found {
        self.found.get(path).expect("everything of the configuration was looked at")
    }

    /// The area in use at a path.
    pub(crate) fn used(&self, path: &str) -> Option<&SwapArea> {
        let identity = self.found.get(path).map_or(path, |found| found.identity.as_str());
        self.used.iter().find(|area| !area.leaving && (area.path == path || area.path == identity))
    }

    /// Whether the area at a path is on its way out of use.
    pub(crate) fn is_leaving(&self, path: &str) -> bool {
        self.used.iter().any(|area| area.leaving && area.path == path)
    }

    /// Where the boot table mounts what is at a path.
    pub(crate) fn mounted_at_boot(&self, path: &str) -> Option<&str> {
        let identity = self.found.get(path).map_or(path, |found| found.identity.as_str());
        self.mounted_at_boot.get(identity).map(String::as_str)
    }

    /// The rows of the boot table about a path.
    pub(crate) fn rows(&self, path: &str) -> Vec<&BootRow> {
        let identity = self.found.get(path).map_or(path, |found| found.identity.as_str());
        let is_about = |row: &&Row| row.row.device == path || row.identity == identity;
        self.rows.iter().filter(is_about).map(|row| &row.row).collect()
    }
}

pub(crate) fn observe(host: &Host, config: &Config) -> Result<State, PluginError> {
    look(host, config).map_err(storage_error)
}

fn look(host: &Host, config: &Config) -> Result<State, StorageError> {
    let file = |source| StorageError::File { operation: "look at the swap areas".to_owned(), source };
    let rules: Vec<_> = config.areas.iter().map(|area| (area, area.rule())).collect();
    let uses_memory = rules.iter().any(|(_, rule)| rule.as_ref().is_some_and(crate::rule::Rule::uses_memory));
    let (record, record_is_damaged) = Record::load(host).map_err(file)?;
    let configured = config.areas.iter().map(|area| area.path(host.system()));
    let wanted: BTreeSet<String> = configured.chain(record.areas.keys().cloned()).collect();
    let mounts = mount_table::mounts(host).map_err(file)?;
    let silent = silent(host, &mounts, &wanted);
    let is_wanted = |device: &str| wanted.contains(device) && !silent.contains_key(device);
    let row = |row: BootRow| Row { identity: row_identity(host, &row.device, is_wanted), row };
    let rows = boot_table::rows(host).map_err(file)?.into_iter().map(row);
    let (rows, others): (Vec<_>, Vec<_>) = rows.partition(|row| row.row.fstype == "swap");
    let mounted = others.into_iter().filter_map(|row| Some((row.identity, row.row.mount_point?)));
    let mut state = State {
        system: host.system(),
        page_size: memory::page_size(host)?,
        memory: if uses_memory { Some(memory::installed(host)?) } else { None },
        pools: BTreeMap::new(),
        used: swap::areas(host)?,
        rows,
        mounted_at_boot: mounted.collect(),
        record,
        record_is_damaged,
        found: BTreeMap::new(),
        is_untold: boot_table::is_untold(host)?,
        has_key: host.root.exists(KEY_FILE).map_err(file)?,
        unfinished: Vec::new(),
        datasets: Vec::new(),
    };
    let made = state.record.areas.iter().filter(|(_, ours)| ours.made).map(|(path, _)| path.clone());
    let files = config.areas.iter().filter(|area| matches!(area.backing(), Backing::File(_)));
    let paths: BTreeSet<String> = files.map(|area| area.path(host.system())).chain(made).collect();
    // Where others may write, what lies there is theirs.
    let is_closed = |path: &String| matches!(files::open_to_others(&host.root, path), Ok(None));
    let paths = paths.into_iter().filter(|path| !silent.contains_key(path));
    state.unfinished = paths.filter(|path| marks::is_unfinished(host, path) && is_closed(path)).collect();
    for (area, rule) in &rules {
        if let (Backing::Volume(name), Some(true)) = (area.backing(), rule.as_ref().map(crate::rule::Rule::uses_pool)) {
            let pool = name.split('/').next().unwrap_or_default();
            if let Some(size) = zpool::size(host, pool)? {
                state.pools.insert(pool.to_owned(), size);
            }
        }
    }
    let volumes: Vec<(String, String)> = wanted.iter().filter_map(|path| volume_at(host.system(), path)).collect();
    look_at_volumes(host, &volumes, &mut state)?;
    for path in wanted {
        if let Entry::Vacant(place) = state.found.entry(path) {
            let found = match silent.get(place.key()) {
                Some(why) => Found::silent(place.key(), why),
                None => look_at_path(host, place.key(), &mounts, &state.used)?,
            };
            place.insert(found);
        }
    }
    Ok(state)
}

/// The paths that lie on servers that do not answer, and which ones these are. Whoever looked there would wait for them, and
/// nothing else of swap would be seen to.
fn silent(host: &Host, mounts: &[Mount], paths: &BTreeSet<String>) -> BTreeMap<String, String> {
    let places = Places::new(host, mounts);
    let silent = |path: &String| Some((path.clone(), places.check_target(path).err()?.to_string()));
    paths.iter().filter_map(silent).collect()
}

/// The path of what a row names. What is neither a device nor asked for is not looked at: it may lie where looking waits for a dead
/// server for ever.
pub(crate) fn row_identity(host: &Host, device: &str, is_wanted: impl FnOnce(&str) -> bool) -> String {
    let is_device = device.starts_with("/dev/") || !device.starts_with('/');
    if is_device || is_wanted(device) { device_name::node(host, device) } else { device.to_owned() }
}

fn volume_at(system: System, path: &str) -> Option<(String, String)> {
    volume_of(system, path).map(|name| (path.to_owned(), name.to_owned()))
}

fn look_at_volumes(host: &Host, volumes: &[(String, String)], state: &mut State) -> Result<(), StorageError> {
    if volumes.is_empty() {
        return Ok(());
    }
    let datasets = zfs::datasets(host)?;
    let kind = |name: &str| datasets.iter().find(|dataset| dataset.name == name).map(|dataset| dataset.kind);
    let there: Vec<String> =
        volumes.iter().map(|(_, name)| name.clone()).filter(|name| kind(name) == Some(Kind::Volume)).collect();
    let properties = zfs::properties(host, &there)?;
    let until = Instant::now() + host.poll_interval * NODE_POLLS;
    for (path, name) in volumes {
        let found = match kind(name) {
            None => FoundKind::Nothing { directory: true, fstype: None },
            Some(Kind::Filesystem) => FoundKind::Filesystem,
            Some(Kind::Volume) => volume(name, properties.get(name).unwrap_or(&zfs::Properties::new())),
        };
        let is_volume = matches!(found, FoundKind::Volume { .. });
        let has_node = is_volume && !is_locked(&found);
        let is_coming = has_node && zfs::wait_for_node(host, path, Some(until)).is_err();
        let made_for = if host.system() == System::Linux && is_volume { swap::made_for(host, path)? } else { None };
        let identity = device_name::node(host, path);
        let what = properties.get(name).and_then(|all| marks::guid_of(all).cloned());
        // One of ours may have been put to another use, too.
        let content = if is_volume { content(host, path, &state.used)? } else { None };
        let snapshots = if is_volume { family::snapshots(host, name)? } else { Vec::new() };
        let snapshots = snapshots.into_iter().map(|snapshot| snapshot.name).collect();
        state.found.insert(
            path.clone(),
            Found { identity, kind: found, made_for, what, content, snapshots, is_coming, open_to_others: None },
        );
    }
    state.datasets = datasets.into_iter().map(|dataset| dataset.name).collect();
    Ok(())
}

pub(crate) fn volume(name: &str, properties: &zfs::Properties) -> FoundKind {
    let value = |property: &str| properties.get(property).map(|found| found.value.as_str());
    let is_local = |name: &str, wanted: &str| {
        properties.get(name).is_some_and(|property| property.is_local() && property.value == wanted)
    };
    // Somebody may have given it another key since, zfs-change-key(8), and has that.
    let throw_away = is_local(KEY_PROPERTY, THROWN_AWAY)
        && (value("keyformat"), value("keylocation")) == (Some("raw"), Some(&format!("file://{KEY_FILE}")));
    let has_own_key = value("encryptionroot").is_none_or(|root| root == name || root == "-");
    let encryption = match (value("encryption"), value("keystatus")) {
        (None | Some("off" | "-"), _) => Encryption::Off,
        (_, status) if !has_own_key => Encryption::Inherited { open: status != Some("unavailable") },
        (_, Some("unavailable")) => Encryption::Locked { throw_away },
        _ => Encryption::Open { throw_away },
    };
    let number = |name: &str| value(name).and_then(|value| value.parse().ok()).unwrap_or_default();
    let is_ours = marks::is_ours(properties);
    FoundKind::Volume { bytes: number("volsize"), block: number("volblocksize"), is_ours, encryption }
}

/// Whether its key is not there, so that its device cannot be read.
pub(crate) fn is_locked(found: &FoundKind) -> bool {
    matches!(
        found,
        FoundKind::Volume { encryption: Encryption::Locked { .. } | Encryption::Inherited { open: false }, .. }
    )
}

/// What can be read of what is not in use as swap.
fn content(host: &Host, path: &str, used: &[SwapArea]) -> Result<Option<Content>, StorageError> {
    let identity = device_name::node(host, path);
    let is_used = used.iter().any(|area| area.path == path || area.path == identity);
    if is_used { Ok(None) } else { read(host, path) }
}

/// What can be read of a device or file, and whether anybody uses it.
pub(crate) fn read(host: &Host, path: &str) -> Result<Option<Content>, StorageError> {
    let device = device::look(host, path);
    let Some(content) = device.content().cloned() else { return Ok(None) };
    // The kernel of illumos does not tell, as that of Linux does, that a pool has it, and the label of the pool may lie in a
    // slice that was not looked at.
    let asks = content.used.is_none() && (host.system() == System::Illumos || content.label.is_some());
    let pool = if asks { zpool::pool_of(host, &device.names)? } else { None };
    Ok(Some(Content {
        used: content.used.or(pool.map(|pool| format!("it is part of the imported pool {pool}"))),
        ..content
    }))
}

fn look_at_path(host: &Host, path: &str, mounts: &[Mount], used: &[SwapArea]) -> Result<Found, StorageError> {
    let operation = format!("look at {path}");
    let file = |source| StorageError::File { operation: operation.clone(), source };
    let resolved = host.root.resolve(path).map_err(file)?;
    let holding = mount_table::holding(mounts, &resolved.display().to_string());
    let fstype = holding.map(|mount| mount.fstype.clone());
    let kind = match std::fs::symlink_metadata(host.root.locate(&resolved)) {
        // In tests a device is a plain file below /dev.
        Ok(_) if path.starts_with("/dev/") => FoundKind::Device,
        Ok(metadata) if metadata.is_file() => {
            FoundKind::File { bytes: metadata.len(), fstype, is_marked: marks::bears_mark(host, path)? }
        }
        Ok(_) => FoundKind::Other,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let parent = path.rsplit_once('/').map_or("/", |(parent, _)| if parent.is_empty() { "/" } else { parent });
            let is_directory = |at| matches!(at, MountPoint::Empty | MountPoint::Filled);
            FoundKind::Nothing { directory: mount_point(host, parent).map(is_directory)?, fstype }
        }
        Err(source) => return Err(StorageError::Kernel { operation, source }),
    };
    let readable = matches!(kind, FoundKind::Device | FoundKind::File { .. });
    let made_for = if host.system() == System::Linux && readable { swap::made_for(host, path)? } else { None };
    let what = if let FoundKind::File { .. } = kind { marks::what(host, path) } else { None };
    let content = if readable { content(host, path, used)? } else { None };
    let is_device = path.starts_with("/dev/");
    let open_to_others = if is_device { None } else { files::open_to_others(&host.root, path).map_err(file)? };
    let identity = device_name::node(host, path);
    Ok(Found { identity, kind, made_for, what, content, snapshots: Vec::new(), is_coming: false, open_to_others })
}
