//! The steps of the plugin, forwards and backwards. Each looks first, because time has passed since the plan, and
//! because it may have been interrupted before.

use crate::plan::volume_of;
use crate::record::{Ours, Record};
use crate::state::{KEY_PROPERTY, OWNER_NAME, THROWN_AWAY};
use crate::storage_error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;
use sysconfig_platform::boot_table::{self, BootRow};
use sysconfig_platform::files::{self, Written};
use sysconfig_platform::zfs::{self, OWNER, VolumeSize};
use sysconfig_platform::{Host, Invocation, StorageError, System, memory, swap};
use sysconfig_plugin::{Context, Outcome, PluginError};

/// Where the key of an encrypted volume lies for a moment: in memory, and gone at the next boot at the latest.
const KEY_DIRECTORY: &str = "/var/run/sysconfig";
const KEY_FILE: &str = "/var/run/sysconfig/swap-key";
/// Bytes in a raw key, zfs-load-key(8).
const KEY_LENGTH: u64 = 32;
/// How long making a file may take: where its blocks cannot be reserved they are written.
const FILE_DEADLINE: Duration = Duration::from_secs(600);

/// One change of the machine, with what was there before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Change {
    /// Create a volume.
    Volume {
        /// Its name.
        name: String,
        /// Its size.
        bytes: u64,
        /// Whether with a throw-away key.
        encrypted: bool,
        /// Whether the one that is there is destroyed first.
        remake: bool,
    },
    /// Create a file.
    File {
        /// Where.
        path: String,
        /// Its size.
        bytes: u64,
    },
    /// Linux: write the header of a swap area.
    Format {
        /// Where.
        path: String,
    },
    /// Change the size.
    Resize {
        /// Of what.
        target: Target,
        /// In bytes.
        from: u64,
        /// In bytes.
        to: u64,
        /// With which priority it is used.
        priority: Option<i32>,
    },
    /// Take into use.
    Use {
        /// What.
        path: String,
        /// Linux: its priority.
        priority: Option<i32>,
    },
    /// Take out of use.
    Stop {
        /// What.
        path: String,
        /// The priority that it had.
        priority: Option<i32>,
    },
    /// Write, change or remove the row of the boot table.
    Row {
        /// Of what.
        path: String,
        /// As it shall be.
        row: Option<Box<BootRow>>,
        /// As it was.
        previous: Option<Box<BootRow>>,
        /// Whether that was ours.
        was_ours: bool,
    },
    /// Destroy a volume or file.
    Delete {
        /// Which.
        target: Target,
    },
    /// Strike out of the record.
    Forget {
        /// What.
        path: String,
    },
    /// Nothing is done, which is told as a failure.
    Leave {
        /// What.
        path: String,
        /// Why.
        why: String,
        /// What can be done.
        help: String,
    },
}

/// What an area lies in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "in")]
pub enum Target {
    /// A volume.
    Volume {
        /// Its name.
        name: String,
        /// Its device.
        path: String,
    },
    /// A device.
    Device {
        /// Its path.
        path: String,
    },
    /// A file.
    File {
        /// Its path.
        path: String,
    },
}

impl Target {
    fn path(&self) -> &str {
        match self {
            Self::Volume { path, .. } | Self::Device { path } | Self::File { path } => path,
        }
    }
}

impl Change {
    pub(crate) fn apply(&self, host: &Host, context: &Context) -> Result<Outcome, PluginError> {
        match self {
            Self::Volume { name, bytes, encrypted, remake } => {
                create_volume(host, name, *bytes, *encrypted, *remake, context)
            }
            Self::File { path, bytes } => create_file(host, path, *bytes),
            Self::Format { path } => format(host, path),
            Self::Resize { target, to, priority, .. } => resize(host, target, *to, *priority, context),
            Self::Use { path, priority } => start(host, path, *priority),
            Self::Stop { path, .. } => stop(host, path),
            Self::Row { path, row, .. } => set_row(host, path, row.as_deref()),
            Self::Delete { target } => delete(host, target),
            Self::Forget { path } => {
                remember(host, path, |ours| ours.used = false)?;
                Ok(Outcome::Changed)
            }
            Self::Leave { path, why, help } => {
                Err(PluginError::new(format!("{path} was left alone: {why}")).help(help.clone()))
            }
        }
    }

    pub(crate) fn undo(&self, host: &Host, context: &Context) -> Result<Outcome, PluginError> {
        match self {
            // What this very step has made holds nothing that anybody has put there.
            Self::Volume { name, remake: false, .. } => {
                let path = zfs::volume_path(host.system, name);
                delete(host, &Target::Volume { name: name.clone(), path })
            }
            Self::File { path, .. } => delete(host, &Target::File { path: path.clone() }),
            Self::Resize { target, from, priority, .. } => resize(host, target, *from, *priority, context),
            Self::Use { path, .. } => stop(host, path),
            Self::Stop { path, priority } => start(host, path, *priority),
            Self::Row { path, previous, was_ours, .. } => {
                let written = write_row(host, path, previous.as_deref())?;
                remember(host, path, |ours| ours.row = *was_ours && previous.is_some())?;
                Ok(written)
            }
            Self::Volume { name, remake: true, .. } => Err(gone(name)),
            Self::Delete { target } => Err(gone(target.path())),
            // A header on what nobody uses is no harm, and what was there before it is gone.
            Self::Format { .. } | Self::Forget { .. } | Self::Leave { .. } => Ok(Outcome::AlreadySo),
        }
    }
}

fn gone(what: &str) -> PluginError {
    PluginError::unsupported(format!("{what} as it was before is destroyed, and does not come back"))
}

fn remember(host: &Host, path: &str, change: impl FnOnce(&mut Ours)) -> Result<(), PluginError> {
    let updated = Record::update(host, |record| change(record.areas.entry(path.to_owned()).or_default()));
    updated.map_err(|source| file_error("remember what is done", source))
}

fn file_error(operation: &str, source: sysconfig_platform::FileError) -> PluginError {
    storage_error(StorageError::File { operation: operation.to_owned(), source })
}

fn outcome(written: Written) -> Outcome {
    match written {
        Written::Changed => Outcome::Changed,
        Written::AlreadySo => Outcome::AlreadySo,
    }
}

/// The properties of a volume, when it is there.
fn volume(host: &Host, name: &str) -> Result<Option<zfs::Properties>, PluginError> {
    zfs::properties_of(host, name).map_err(storage_error)
}

fn create_volume(
    host: &Host,
    name: &str,
    bytes: u64,
    encrypted: bool,
    remake: bool,
    context: &Context,
) -> Result<Outcome, PluginError> {
    let path = zfs::volume_path(host.system, name);
    remember(host, &path, |ours| ours.made = true)?;
    let present = volume(host, name)?;
    if present.is_some() {
        if !remake {
            return Ok(Outcome::AlreadySo);
        }
        stop_if_used(host, &path)?;
        zfs::destroy(host, name).map_err(storage_error)?;
    }
    let mut properties: BTreeMap<String, String> = [
        // Pages that are written out are in memory no more, and nothing is gained by keeping them in the cache.
        ("primarycache", "metadata"),
        ("secondarycache", "none"),
        ("logbias", "throughput"),
        ("compression", "zle"),
        ("sync", "always"),
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
        files::remove(&host.root, KEY_FILE).map_err(|source| file_error("throw the key away", source))?;
    }
    created?;
    zfs::wait_for_node(host, &path, context.deadline()).map_err(storage_error)?;
    Ok(Outcome::Changed)
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
    files::remove(&host.root, KEY_FILE).map_err(|source| file_error("remove an old key", source))?;
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

/// Where a file grows before it is whole.
fn unfinished(path: &str) -> String {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    format!("{directory}/.{name}.sysconfig-new")
}

fn length(host: &Host, path: &str) -> Option<u64> {
    let resolved = host.root.resolve(path).ok()?;
    std::fs::metadata(host.root.locate(resolved)).ok().map(|metadata| metadata.len())
}

fn create_file(host: &Host, path: &str, bytes: u64) -> Result<Outcome, PluginError> {
    if length(host, path).is_some() {
        return match length(host, path) == Some(bytes) {
            true => Ok(Outcome::AlreadySo),
            false => Err(PluginError::new(format!("there is a file {path} now")).help("plan and apply again")),
        };
    }
    remember(host, path, |ours| ours.made = true)?;
    put_file(host, path, bytes)?;
    Ok(Outcome::Changed)
}

/// Makes a file beside its place, prepares it, and puts it there: what is at the place is whole.
fn put_file(host: &Host, path: &str, bytes: u64) -> Result<(), PluginError> {
    let operation = format!("create the file {path}");
    let new = unfinished(path);
    files::remove(&host.root, &new).map_err(|source| file_error(&operation, source))?;
    let made = fill_file(host, &new, bytes, &operation).and_then(|()| {
        let (from, to) = (host.root.locate(&new), host.root.locate(path));
        std::fs::rename(from, to).map_err(|source| StorageError::Kernel { operation, source })
    });
    if let Err(error) = made {
        // The first error is the one to report.
        let _ = files::remove(&host.root, &new);
        return Err(storage_error(error));
    }
    Ok(())
}

fn fill_file(host: &Host, path: &str, bytes: u64, operation: &str) -> Result<(), StorageError> {
    let kernel = |source| StorageError::Kernel { operation: operation.to_owned(), source };
    let located = host.root.locate(path);
    // Nobody but root may ever read it: other people's memory goes there.
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&located).map_err(kernel)?;
    let size = bytes.to_string();
    let make = match host.system {
        System::Illumos => Invocation::new("/usr/sbin/mkfile", [size.as_str(), path]),
        System::Linux => Invocation::new("/usr/bin/fallocate", ["--posix", "--length", &size, path]),
    };
    let make = Invocation { deadline: FILE_DEADLINE, ..make };
    host.run(&make).map_err(|source| StorageError::Command { operation: operation.to_owned(), source })?;
    // mkfile makes files that only root may read, but sticky ones.
    std::fs::set_permissions(&located, std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(kernel)?;
    match host.system {
        System::Linux => swap::make(host, path),
        System::Illumos => Ok(()),
    }
}

fn format(host: &Host, path: &str) -> Result<Outcome, PluginError> {
    if swap::is_used(host, path).map_err(storage_error)? {
        return Ok(Outcome::AlreadySo);
    }
    if volume_of(host.system, path).is_some() {
        zfs::wait_for_node(host, path, None).map_err(storage_error)?;
    }
    swap::make(host, path).map_err(storage_error)?;
    Ok(Outcome::Changed)
}

fn resize(
    host: &Host,
    target: &Target,
    to: u64,
    priority: Option<i32>,
    context: &Context,
) -> Result<Outcome, PluginError> {
    let path = target.path();
    let was_used = swap::is_used(host, path).map_err(storage_error)?;
    stop_if_used(host, path)?;
    match target {
        Target::Volume { name, .. } => {
            let block = volume(host, name)?.and_then(|all| all.get("volblocksize")?.value.parse::<u64>().ok());
            let block = block.unwrap_or(1).max(1);
            zfs::set(host, name, "volsize", &(to.div_ceil(block) * block).to_string()).map_err(storage_error)?;
            zfs::wait_for_node(host, path, context.deadline()).map_err(storage_error)?;
            if host.system == System::Linux {
                swap::make(host, path).map_err(storage_error)?;
            }
        }
        Target::File { .. } => {
            remember(host, path, |ours| ours.made = true)?;
            put_file(host, path, to)?;
        }
        Target::Device { .. } => {}
    }
    if was_used {
        swap::add(host, path, priority.filter(|priority| *priority >= 0)).map_err(storage_error)?;
    }
    Ok(Outcome::Changed)
}

fn start(host: &Host, path: &str, priority: Option<i32>) -> Result<Outcome, PluginError> {
    remember(host, path, |ours| ours.used = true)?;
    if swap::is_used(host, path).map_err(storage_error)? {
        return Ok(Outcome::AlreadySo);
    }
    if volume_of(host.system, path).is_some() {
        zfs::wait_for_node(host, path, None).map_err(storage_error)?;
    }
    swap::add(host, path, priority.filter(|priority| *priority >= 0)).map_err(storage_error)?;
    Ok(Outcome::Changed)
}

fn stop(host: &Host, path: &str) -> Result<Outcome, PluginError> {
    let stopped = stop_if_used(host, path)?;
    remember(host, path, |ours| ours.used = false)?;
    Ok(if stopped { Outcome::Changed } else { Outcome::AlreadySo })
}

fn stop_if_used(host: &Host, path: &str) -> Result<bool, PluginError> {
    if !swap::is_used(host, path).map_err(storage_error)? {
        return Ok(false);
    }
    swap::remove(host, path).map_err(|error| {
        storage_error(error)
            .help("what is in it has to go elsewhere; end what needs much memory, or add other swap first")
    })?;
    Ok(true)
}

fn set_row(host: &Host, path: &str, row: Option<&BootRow>) -> Result<Outcome, PluginError> {
    if row.is_some() {
        // A row for what does not work would be tried at every boot.
        if !swap::is_used(host, path).map_err(storage_error)? {
            let message = format!("{path} is not in use, so no row for it is written");
            return Err(PluginError::new(message).help("plan and apply again"));
        }
        remember(host, path, |ours| ours.row = true)?;
        return write_row(host, path, row);
    }
    let written = write_row(host, path, None)?;
    remember(host, path, |ours| ours.row = false)?;
    Ok(written)
}

fn write_row(host: &Host, path: &str, row: Option<&BootRow>) -> Result<Outcome, PluginError> {
    let operation = format!("write the row of {path} in {}", boot_table::path(host.system));
    boot_table::set_row(host, path, row).map(outcome).map_err(|source| file_error(&operation, source))
}

fn delete(host: &Host, target: &Target) -> Result<Outcome, PluginError> {
    let path = target.path();
    if swap::is_used(host, path).map_err(storage_error)? {
        return Err(PluginError::new(format!("{path} is in use")).help("plan and apply again"));
    }
    let outcome = match target {
        Target::Volume { name, .. } => match volume(host, name)? {
            Some(_) => zfs::destroy(host, name).map_err(storage_error).map(|()| Outcome::Changed)?,
            None => Outcome::AlreadySo,
        },
        Target::File { .. } => {
            let failed = |source| file_error("destroy a swap file", source);
            files::remove(&host.root, unfinished(path)).map_err(failed)?;
            outcome(files::remove(&host.root, path).map_err(failed)?)
        }
        Target::Device { .. } => Outcome::AlreadySo,
    };
    remember(host, path, |ours| *ours = Ours::default())?;
    Ok(outcome)
}
