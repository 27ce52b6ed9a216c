//! What a step was planned for: before anything is written or destroyed, it has to be there still.

use super::{Target, file_error, remember};
use crate::marks::{self, guid_of, is_ours};
use crate::record::Record;
use crate::state::{Encryption, FoundKind, is_locked};
use crate::storage_error;
use serde::{Deserialize, Serialize};
use sysconfig_platform::boot_table::{self, BootRow};
use sysconfig_platform::device::Content;
use sysconfig_platform::zfs::{self, Properties};
use sysconfig_platform::{Host, System, device_name, swap};
use sysconfig_plugin::PluginError;

/// What was there when the step was planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "seen")]
pub enum Seen {
    /// What this plugin makes, or has made, and nothing else: a volume tells it by its owner, a file by its mark.
    Ours,
    /// This volume.
    Volume {
        /// Its guid, which none that is made under the same name has.
        guid: String,
        /// Whether it was ours.
        is_ours: bool,
        /// What tells whether its content has changed, when that was read: not while it is in use.
        fingerprint: Option<String>,
        /// Whether its key was not there, so that nobody could read or write it.
        #[serde(default)]
        locked: bool,
    },
    /// This content of a device or file, as it was approved.
    Content {
        /// What tells whether it has changed.
        fingerprint: String,
    },
    /// This file of somebody else's.
    File {
        /// Its inode and length.
        what: String,
    },
    /// What is at this path, of which no more is known.
    Any,
}

impl Seen {
    /// Where no content was seen, because it was in use then or a step before this one writes it, it has to be in use still or to
    /// hold nothing but what that leaves: whoever has taken it out of use since may have put it to another one.
    ///
    /// # Errors
    /// When something else is there, or nothing.
    pub(super) fn check(&self, host: &Host, target: &Target) -> Result<(), PluginError> {
        let path = target.path();
        let kind = self.check_identity(host, target)?;
        let is_listed = swap::is_listed(host, path).map_err(storage_error)?;
        if !is_listed {
            refuse_row(host, path)?;
        }
        match (self, kind) {
            (Self::Volume { fingerprint: Some(_), .. } | Self::Content { .. }, _) if is_listed => {
                Err(changed(format!("{path} is in use as swap since this was planned")))
            }
            (Self::Volume { fingerprint: Some(fingerprint), .. } | Self::Content { fingerprint }, _) => {
                check_content(host, path, fingerprint)
            }
            _ if is_listed => Ok(()),
            // Nobody can read it ever again, or write it.
            (_, Some(FoundKind::Volume { encryption: Encryption::Locked { throw_away: true }, .. })) => Ok(()),
            // Nobody could write it in between.
            (Self::Volume { locked: true, .. }, Some(kind)) if is_locked(&kind) => Ok(()),
            (Self::File { what }, _) if what.ends_with(" of 0 bytes") => Ok(()),
            _ => check_left(host, path),
        }
    }

    /// Whether it is the same volume or file, whatever it holds; answers what a volume is like.
    ///
    /// # Errors
    /// When another is there, or none.
    pub(super) fn check_identity(&self, host: &Host, target: &Target) -> Result<Option<FoundKind>, PluginError> {
        let path = target.path();
        match (self, target) {
            (_, Target::Volume { name, .. }) => {
                let present = volume(host, name)?;
                let present = present.ok_or_else(|| changed(format!("there is no volume {name} any more")))?;
                self.check_volume(name, &present)?;
                Ok(Some(crate::state::volume(name, &present)))
            }
            (Self::Ours, Target::File { .. }) if !marks::bears_mark(host, path).map_err(storage_error)? => {
                Err(meanwhile(path))
            }
            (Self::File { what }, Target::File { .. }) if marks::what(host, path).as_ref() != Some(what) => {
                Err(changed(format!("{path} is not the file that was there when this was planned")))
            }
            _ => Ok(None),
        }
    }

    /// The same, after its content was written over.
    pub(crate) fn without_content(&self) -> Self {
        match self {
            Self::Volume { guid, is_ours, .. } => {
                Self::Volume { guid: guid.clone(), is_ours: *is_ours, fingerprint: None, locked: false }
            }
            Self::Content { .. } => Self::Any,
            other => other.clone(),
        }
    }

    fn check_volume(&self, name: &str, present: &Properties) -> Result<(), PluginError> {
        match self {
            Self::Ours if is_ours(present) => Ok(()),
            Self::Ours => Err(meanwhile(name)),
            Self::Volume { guid, is_ours: was_ours, .. } => {
                let is_it = guid_of(present) == Some(guid) && is_ours(present) == *was_ours;
                let fault = || changed(format!("{name} is not the volume that was there when this was planned"));
                is_it.then_some(()).ok_or_else(fault)
            }
            _ => Ok(()),
        }
    }
}

/// What can be read of what nobody else uses.
fn unused(host: &Host, path: &str) -> Result<Content, PluginError> {
    let Some(content) = crate::state::read(host, path).map_err(storage_error)? else {
        return Err(changed(format!("{path} can no longer be read")));
    };
    match &content.used {
        Some(used) => Err(changed(format!("{path} is in use: {used}"))),
        None => Ok(content),
    }
}

/// Remembers what our steps have left at a path, or are about to put there from another, so that the next one knows whether anybody
/// has written there since.
pub(super) fn remember_left(host: &Host, path: &str, from: &str) -> Result<(), PluginError> {
    let left = crate::state::read(host, from).map_err(storage_error)?.map(|content| content.fingerprint);
    remember(host, path, |ours| ours.left = left)
}

/// Whether what is not in use holds nothing but what our steps have left there, or the header of a swap area.
fn check_left(host: &Host, path: &str) -> Result<(), PluginError> {
    let content = unused(host, path)?;
    let Some(holds) = content.description() else { return Ok(()) };
    let (record, _) = Record::load(host).map_err(|source| file_error("look at what was left", source))?;
    let left = record.areas.get(path).and_then(|ours| ours.left.as_ref());
    let has_header = host.system() == System::Linux
        && swap::made_for(host, path)
            .map_err(storage_error)?
            .is_some_and(|made_for| !crate::state::is_other(&content, Some(made_for)));
    if left == Some(&content.fingerprint) || has_header {
        return Ok(());
    }
    Err(changed(format!("{path} is not in use as swap, and somebody may have put it to another use: it holds {holds}")))
}

/// Refuses what a row of the boot table mounts somewhere.
fn refuse_row(host: &Host, path: &str) -> Result<(), PluginError> {
    let rows = boot_table::rows(host).map_err(|source| file_error("look at the boot table", source))?;
    let node = device_name::node(host, path);
    let identity = |row: &BootRow| crate::state::row_identity(host, &row.device, |device| device == path);
    let is_about = |row: &BootRow| row.fstype != "swap" && identity(row) == node;
    match rows.into_iter().filter(is_about).find_map(|row| row.mount_point) {
        Some(point) => Err(changed(format!("{} mounts {path} at {point}", boot_table::path(host.system())))),
        None => Ok(()),
    }
}

fn check_content(host: &Host, path: &str, fingerprint: &str) -> Result<(), PluginError> {
    let content = unused(host, path)?;
    if content.fingerprint != fingerprint {
        let holds = content.description().unwrap_or_else(|| "nothing".to_owned());
        return Err(changed(format!("{path} has changed since the plan; it holds {holds}")));
    }
    Ok(())
}

/// What is there now is not what a step was planned for.
pub(super) fn changed(what: String) -> PluginError {
    PluginError::new(what).help("look at what is there now; then plan and apply again")
}

/// A step was to make what somebody else has made since.
pub(super) fn meanwhile(what: &str) -> PluginError {
    changed(format!("somebody has created {what} meanwhile"))
}

/// The properties of a volume, when it is there.
pub(super) fn volume(host: &Host, name: &str) -> Result<Option<Properties>, PluginError> {
    zfs::properties_of(host, name).map_err(storage_error)
}
