//! The steps of the plugin, forwards and backwards. Each looks first, because time has passed since the plan, and
//! because it may have been interrupted before.

mod datasets;
mod mounts;

use crate::record::Record;
use crate::storage_error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use sysconfig_platform::boot_table::BootRow;
use sysconfig_platform::files::Written;
use sysconfig_platform::mounting::{self, MountRequest};
use sysconfig_platform::{FileError, Host, StorageError};
use sysconfig_plugin::{Context, Outcome, PluginError};

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
    },
    /// Set properties of a dataset, and give others back.
    Set {
        /// Its name.
        name: String,
        /// What is set.
        set: BTreeMap<String, String>,
        /// What is given back.
        unset: Vec<String>,
        /// The properties that are ours afterwards.
        list: String,
        /// What was set on the dataset itself before.
        previous: BTreeMap<String, Option<String>>,
        /// Where it is mounted.
        place: Option<String>,
    },
    /// Mount a dataset where its properties say.
    MountDataset {
        /// Its name.
        name: String,
    },
    /// Destroy a dataset.
    Destroy {
        /// Its name.
        name: String,
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
    },
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
        match self {
            Self::Create { name, properties } => datasets::create(host, name, properties),
            Self::Set { name, set, unset, list, place, .. } => {
                datasets::set(host, name, set, unset, list, place.as_deref())
            }
            Self::MountDataset { name } => datasets::mount(host, name),
            Self::Destroy { name, was_ours, place } => datasets::destroy(host, name, place.as_deref(), *was_ours),
            Self::Mount { request } => mounts::mount(host, request, context),
            Self::Remount { request, .. } => mounts::remount(host, request),
            Self::Unmount { request } => mounts::unmount(host, request, context),
            Self::Row { point, row, .. } => {
                mounts::set_row(host, point, row.as_deref().map(|(row, request)| (row, request)))
            }
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
            Self::Set { name, previous, place, .. } => datasets::restore(host, name, previous, place.as_deref()),
            Self::MountDataset { name } => datasets::unmount(host, name, context),
            Self::Mount { request } => mounts::unmount(host, request, context),
            Self::Remount { previous, was_ours, .. } => {
                let outcome = mounts::remount(host, previous)?;
                if !was_ours {
                    mounts::forget(host, &previous.mount_point)?;
                }
                Ok(outcome)
            }
            Self::Unmount { request } => mounts::mount(host, request, context),
            Self::Row { point, previous, was_ours, .. } => {
                mounts::restore_row(host, point, previous.as_deref(), *was_ours)
            }
            Self::Forget { .. } | Self::Leave { .. } => Ok(Outcome::AlreadySo),
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

/// A failure to unmount, with the processes that are in the way.
fn busy_error(host: &Host, place: Option<&str>, error: StorageError) -> PluginError {
    let Some(place) = place.filter(|_| mounting::is_busy(&error)) else { return storage_error(error) };
    let holders: Vec<String> = mounting::holders(host, place).iter().map(ToString::to_string).collect();
    let message = match holders.is_empty() {
        true => format!("{error}: {place} is busy"),
        false => format!("{error}: {place} is used by {}", holders.join(", ")),
    };
    PluginError::new(message).help(format!("end what uses {place}, or make it leave the directory, and apply again"))
}
