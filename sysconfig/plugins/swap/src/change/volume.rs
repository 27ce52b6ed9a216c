//! Steps about volumes.

use super::seen::{Seen, meanwhile, volume};
use super::usage::stop_if_used;
use super::{Target, file_error, remember};
use crate::marks::{OWNER_NAME, guid_of, is_ours};
use crate::state::{KEY_FILE, KEY_PROPERTY, THROWN_AWAY};
use crate::storage_error;
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use sysconfig_platform::zfs::{self, OWNER, VolumeSize, family};
use sysconfig_platform::{Host, StorageError, System, files, memory, swap};
use sysconfig_plugin::{Context, Outcome, PluginError};

/// Where the key of an encrypted volume lies for a moment: in memory, and gone at the next boot at the latest.
const KEY_DIRECTORY: &str = "/var/run/sysconfig";
/// Bytes in a raw key, zfs-load-key(8).
const KEY_LENGTH: u64 = 32;

/// Creates a volume, perhaps in the place of another.
pub(super) fn create(
    host: &Host,
    name: &str,
    (bytes, encrypted): (u64, bool),
    replaces: Option<&Seen>,
    context: &Context,
) -> Result<Outcome, PluginError> {
    let path = zfs::volume_path(host.system(), name);
    if let Some(present) = volume(host, name)? {
        let is_replaced = match replaces {
            Some(Seen::Volume { guid, .. }) => guid_of(&present) == Some(guid),
            _ => false,
        };
        match (is_replaced, replaces) {
            (true, Some(seen)) => {
                seen.check(host, &Target::Volume { name: name.to_owned(), path: path.clone() })?;
                refuse_snapshots(host, name)?;
                stop_if_used(host, &path, context)?;
                zfs::destroy(host, name).map_err(storage_error)?;
            }
            // An interrupted step; whether everything is as wanted the next plan tells.
            _ if is_ours(&present) => return Ok(Outcome::AlreadySo),
            _ => return Err(meanwhile(name)),
        }
    }
    remember(host, &path, |ours| ours.made = true)?;
    let created = make(host, name, bytes, encrypted);
    if created.is_err() {
        // The first error is the one to report.
        let _ = remember(host, &path, |ours| ours.made = false);
    }
    created?;
    zfs::wait_for_node(host, &path, context.deadline()).map_err(storage_error)?;
    Ok(Outcome::Changed)
}

/// Somebody has kept what was in it, and ZFS destroys no volume without its snapshots.
fn refuse_snapshots(host: &Host, name: &str) -> Result<(), PluginError> {
    let snapshots = family::snapshots(host, name).map_err(storage_error)?;
    let Some(first) = snapshots.first() else { return Ok(()) };
    let names: Vec<&str> = snapshots.iter().map(|snapshot| snapshot.name.as_str()).collect();
    let message = format!("cannot destroy {name}: it has the snapshots {}", names.join(", "));
    Err(PluginError::new(message).help(format!("destroy them by hand, and apply again: zfs destroy {}", first.name)))
}

fn make(host: &Host, name: &str, bytes: u64, encrypted: bool) -> Result<(), PluginError> {
    let mut properties: BTreeMap<String, String> = [
        // Pages that are written out are in memory no more, and nothing is gained by keeping them in the cache.
        ("primarycache", "metadata"),
        ("secondarycache", "none"),
        ("logbias", "throughput"),
        ("compression", "zle"),
        ("sync", "always"),
        // Of pages nobody wants snapshots, which would keep the volume from being made anew.
        ("com.sun:auto-snapshot", "false"),
        (OWNER, OWNER_NAME),
    ]
    .map(|(property, value)| (property.to_owned(), value.to_owned()))
    .into();
    let block = memory::page_size(host).map_err(storage_error)?;
    let size = VolumeSize { bytes: bytes.div_ceil(block) * block, block: Some(block) };
    if encrypted {
        properties.extend(throw_away_key(host)?);
    }
    let created = zfs::create(host, name, &properties, Some(size)).map_err(storage_error);
    if encrypted {
        throw_key_away(host)?;
    }
    created
}

/// Makes a key, and answers the properties that take it.
fn throw_away_key(host: &Host) -> Result<BTreeMap<String, String>, PluginError> {
    let failed = |source| {
        storage_error(StorageError::Kernel { operation: "make a key for the encrypted volume".to_owned(), source })
    };
    let mut key = Vec::new();
    let random = std::fs::File::open("/dev/urandom").map_err(failed)?;
    random.take(KEY_LENGTH).read_to_end(&mut key).map_err(failed)?;
    files::make_directory(&host.root, KEY_DIRECTORY)
        .map_err(|source| file_error("make a place for the key", source))?;
    // One that an interrupted step has left behind is not used again.
    throw_key_away(host)?;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(host.root.locate(KEY_FILE));
    file.and_then(|mut file| std::io::Write::write_all(&mut file, &key)).map_err(failed)?;
    let location = format!("file://{KEY_FILE}");
    let properties = [
        ("encryption", "aes-256-gcm"),
        ("keyformat", "raw"),
        ("keylocation", location.as_str()),
        (KEY_PROPERTY, THROWN_AWAY),
    ];
    Ok(properties.map(|(property, value)| (property.to_owned(), value.to_owned())).into())
}

/// Removes the file with the key.
pub(super) fn throw_key_away(host: &Host) -> Result<Outcome, PluginError> {
    let removed = files::remove_entry(&host.root, KEY_FILE);
    removed.map(super::outcome).map_err(|source| file_error("throw the key away", source))
}

/// Sets the size of a volume that is not in use.
pub(super) fn set_size(host: &Host, name: &str, path: &str, to: u64, context: &Context) -> Result<(), PluginError> {
    let block = volume(host, name)?.and_then(|all| all.get("volblocksize")?.value.parse::<u64>().ok());
    let block = block.unwrap_or(1).max(1);
    zfs::set(host, name, "volsize", &(to.div_ceil(block) * block).to_string()).map_err(storage_error)?;
    zfs::wait_for_node(host, path, context.deadline()).map_err(storage_error)?;
    match host.system() {
        System::Linux => swap::make(host, path).map_err(storage_error),
        System::Illumos => Ok(()),
    }
}

pub(super) fn delete(host: &Host, target: &Target, name: &str, seen: &Seen) -> Result<Outcome, PluginError> {
    if volume(host, name)?.is_none() {
        return Ok(Outcome::AlreadySo);
    }
    seen.check(host, target)?;
    refuse_snapshots(host, name)?;
    zfs::destroy(host, name).map_err(storage_error).map(|()| Outcome::Changed)
}
