//! The steps of the plugin, forwards and backwards. Each looks first, because time has passed since the plan, and
//! because it may have been interrupted before.

mod datasets;
mod destroy;
mod mounts;

use crate::record::Record;
use crate::storage_error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use sysconfig_platform::boot_table::{self, BootRow, Tells};
use sysconfig_platform::files::Written;
use sysconfig_platform::mounting::{self, MountRequest};
use sysconfig_platform::zfs::family::Snapshot;
use sysconfig_platform::{FileError, Host, StorageError};
use sysconfig_plugin::{Context, Level, Outcome, PluginError};

/// One change of the machine, with what was there before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Change {
    /// Create a dataset.
    Create {
        /// Its name.
        name: String,
        /// Its properties.
        properties: BTreeMap<String, String>,
        /// Where it comes to be mounted.
        #[serde(default)]
        to: Option<String>,
    },
    /// Set properties of a dataset, and give others back.
    Set {
        /// Its name.
        name: String,
        /// Which one of that name.
        #[serde(default)]
        guid: Option<String>,
        /// Whether it was ours before.
        #[serde(default)]
        was_ours: bool,
        /// What is set.
        set: BTreeMap<String, String>,
        /// What is given back.
        unset: Vec<String>,
        /// The properties that are ours afterwards.
        list: String,
        /// What was set on the dataset itself before.
        previous: BTreeMap<String, Option<String>>,
        /// What it was received with, of what is set or given back.
        #[serde(default)]
        received: BTreeMap<String, String>,
        /// Where it is mounted.
        place: Option<String>,
        /// Where it comes to be mounted, when that is another place.
        #[serde(default)]
        to: Option<String>,
        /// Where those are mounted that may come along.
        #[serde(default)]
        along: Vec<String>,
        /// The mount point below which they come, when it changes.
        #[serde(default)]
        base: Option<String>,
    },
    /// Mount a dataset where its properties say.
    MountDataset {
        /// Its name.
        name: String,
        /// Where that is.
        #[serde(default)]
        to: Option<String>,
    },
    /// Destroy a dataset.
    Destroy {
        /// Its name.
        name: String,
        /// Which one of that name.
        #[serde(default)]
        guid: Option<String>,
        /// The snapshots that go with it.
        #[serde(default)]
        snapshots: Vec<Snapshot>,
        /// Whether this plugin has made it.
        was_ours: bool,
        /// Where it is mounted.
        place: Option<String>,
    },
    /// Mount.
    Mount {
        /// What and where.
        request: MountRequest,
    },
    /// Change the options of a mount.
    Remount {
        /// As it shall be.
        request: MountRequest,
        /// As it was.
        previous: MountRequest,
        /// Whether that was ours.
        was_ours: bool,
    },
    /// Unmount something of ours.
    Unmount {
        /// As it was mounted.
        request: MountRequest,
    },
    /// Write, change or remove a row of the boot table.
    Row {
        /// Of which mount point.
        point: String,
        /// As it shall be, and what must have been mounted for that.
        row: Option<Box<(BootRow, MountRequest)>>,
        /// As it was.
        previous: Option<Box<BootRow>>,
        /// Whether that was ours.
        was_ours: bool,
        /// Whether something is mounted in its place next, which systemd would unmount if it went by the row still.
        #[serde(default)]
        makes_room: bool,
        /// When systemd is told.
        #[serde(default)]
        tells: Tells,
    },
    /// Tell systemd of the boot table, which an interrupted step has changed.
    Tell {},
    /// Strike a mount out of the record.
    Forget {
        /// Where it was.
        point: String,
    },
    /// Nothing is done, which is told as a failure.
    Leave {
        /// What.
        what: String,
        /// Why.
        why: String,
        /// What can be done.
        help: String,
    },
}

impl Change {
    pub(crate) fn apply(&self, host: &Host, context: &Context) -> Result<Outcome, PluginError> {
        let done = self.carry_out(host, context);
        if done.is_err() && !matches!(self, Self::Tell {} | Self::Row { makes_room: true, .. }) {
            // Nothing is done behind it that would tell.
            tell(host, context);
        }
        done
    }

    fn carry_out(&self, host: &Host, context: &Context) -> Result<Outcome, PluginError> {
        match self {
            Self::Create { name, properties, to } => datasets::create(host, name, properties, to.as_deref()),
            Self::Set { name, guid, was_ours, set, unset, list, place, to, along, base, .. } => {
                datasets::check(host, name, guid.as_deref(), *was_ours)?;
                datasets::check_place(host, name, to.as_deref())?;
                datasets::check_followers(host, name, base.as_deref(), to.is_some())?;
                let places: Vec<&str> = place.iter().chain(along).map(String::as_str).collect();
                datasets::set(host, name, set, unset, list, &places)
            }
            Self::MountDataset { name, to } => datasets::mount(host, name, to.as_deref(), context),
            Self::Destroy { name, guid, snapshots, was_ours, place } => {
                let (guid, place) = (guid.as_deref(), place.as_deref());
                destroy::destroy(host, &destroy::Planned { name, guid, snapshots, was_ours: *was_ours, place })
            }
            Self::Mount { request } => mounts::mount(host, request, context),
            Self::Remount { request, was_ours, .. } => mounts::remount(host, request, !was_ours),
            Self::Unmount { request } => mounts::unmount(host, request, context),
            Self::Row { point, row, previous, makes_room, tells, .. } => {
                let row = row.as_deref().map(|(row, request)| (row, request));
                let outcome = mounts::set_row(host, point, row, previous.as_deref())?;
                // That comes last, so that whose the row is does not hang on it.
                match (makes_room, tells.forth) {
                    (true, _) => drop(boot_table::tell(host).map_err(storage_error)?),
                    (false, true) => tell(host, context),
                    (false, false) => {}
                }
                Ok(outcome)
            }
            Self::Tell {} => boot_table::tell(host).map(outcome).map_err(storage_error),
            Self::Forget { point } => mounts::forget(host, point),
            Self::Leave { what, why, help } => {
                Err(PluginError::new(format!("{what} was left alone: {why}")).help(help.clone()))
            }
        }
    }

    pub(crate) fn undo(&self, host: &Host, context: &Context) -> Result<Outcome, PluginError> {
        match self {
            Self::Create { name, .. } => Err(PluginError::unsupported(format!(
                "the dataset {name} stays: somebody may have put something into it since it was created"
            ))
            .help(format!("if nobody has: zfs destroy {name}"))),
            Self::Destroy { name, .. } => {
                Err(PluginError::unsupported(format!("the dataset {name} is destroyed, and does not come back")))
            }
            Self::Set { name, guid, set, unset, previous, received, place, .. } => {
                let (guid, place) = (guid.as_deref(), place.as_deref());
                datasets::restore(host, &datasets::Done { name, guid, set, unset, previous, received, place })
            }
            Self::MountDataset { name, .. } => datasets::unmount(host, name, context),
            Self::Mount { request } => mounts::unmount(host, request, context),
            Self::Remount { previous, was_ours, .. } => {
                let outcome = mounts::remount(host, previous, false)?;
                if !was_ours {
                    mounts::forget(host, &previous.mount_point)?;
                }
                Ok(outcome)
            }
            Self::Unmount { request } => mounts::mount(host, request, context),
            Self::Row { point, row, previous, was_ours, tells, .. } => {
                let row = row.as_deref().map(|(row, _)| row);
                let restored = mounts::restore_row(host, point, row, previous.as_deref(), *was_ours);
                // Another device is mounted there next, which systemd would unmount if that of the row it goes by were not there.
                let is_of_another =
                    row.is_some_and(|row| previous.as_ref().is_some_and(|previous| previous.device != row.device));
                if tells.back || is_of_another || restored.is_err() {
                    tell(host, context);
                }
                restored
            }
            Self::Tell {} | Self::Forget { .. } | Self::Leave { .. } => Ok(Outcome::AlreadySo),
        }
    }
}

fn remember(host: &Host, change: impl FnOnce(&mut Record)) -> Result<(), PluginError> {
    Record::update(host, change).map_err(|source| file_error("remember what is done", source))
}

fn file_error(operation: &str, source: FileError) -> PluginError {
    storage_error(StorageError::File { operation: operation.to_owned(), source })
}

fn outcome(written: Written) -> Outcome {
    match written {
        Written::Changed => Outcome::Changed,
        Written::AlreadySo => Outcome::AlreadySo,
    }
}

/// Tells systemd what was done to the boot table. Nothing depends on that here, so that the next plan does it if it fails.
fn tell(host: &Host, context: &Context) {
    if let Some(warning) = boot_table::tell_or_later(host) {
        context.log(Level::Warn, warning);
    }
}

/// A failure to unmount, with what uses the places.
fn busy_error(host: &Host, places: &[&str], error: StorageError) -> PluginError {
    if places.is_empty() || !mounting::is_busy(&error) {
        return storage_error(error);
    }
    let (place, message) = match mounting::users(host, places) {
        None => (places[0], format!("{error}: {} is busy", places[0])),
        Some((place, users)) => (place, format!("{error}: {place} is used by {users}")),
    };
    PluginError::new(message).help(format!("end what uses {place}, or make it leave the directory, and apply again"))
}
