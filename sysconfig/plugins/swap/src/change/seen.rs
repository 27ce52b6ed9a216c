//! What a step was planned for: before anything is written or destroyed, it has to be there still.

use super::{Target, file};
use crate::state::OWNER_NAME;
use crate::storage_error;
use serde::{Deserialize, Serialize};
use sysconfig_platform::zfs::{self, OWNER, Properties};
use sysconfig_platform::{Host, device};
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
        /// What tells whether its content has changed, when that was read.
        fingerprint: Option<String>,
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
    /// # Errors
    /// When something else is there, or nothing.
    pub(super) fn check(&self, host: &Host, target: &Target) -> Result<(), PluginError> {
        let path = target.path();
        match (self, target) {
            (_, Target::Volume { name, .. }) => match volume(host, name)? {
                None => Err(changed(format!("there is no volume {name} any more"))),
                Some(present) => {
                    self.check_volume(name, &present)?;
                    match self {
                        Self::Volume { fingerprint: Some(fingerprint), .. } => check_content(host, path, fingerprint),
                        _ => Ok(()),
                    }
                }
            },
            (Self::Content { fingerprint }, _) => check_content(host, path, fingerprint),
            (Self::Ours, Target::File { .. }) if !file::bears_mark(host, path).map_err(storage_error)? => {
                Err(meanwhile(path))
            }
            (Self::File { what }, Target::File { .. }) if file::what(host, path).as_ref() != Some(what) => {
                Err(changed(format!("{path} is not the file that was there when this was planned")))
            }
            _ => Ok(()),
        }
    }

    /// The same, after its content was written over.
    pub(crate) fn without_content(&self) -> Self {
        match self {
            Self::Volume { guid, is_ours, .. } => {
                Self::Volume { guid: guid.clone(), is_ours: *is_ours, fingerprint: None }
            }
            Self::Content { .. } => Self::Any,
            other => other.clone(),
        }
    }

    pub(super) fn check_volume(&self, name: &str, present: &Properties) -> Result<(), PluginError> {
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

fn check_content(host: &Host, path: &str, fingerprint: &str) -> Result<(), PluginError> {
    let now = device::look(host, path);
    let Some(content) = now.content() else {
        return Err(changed(format!("{path} can no longer be read")));
    };
    if let Some(used) = &content.used {
        return Err(changed(format!("{path} is in use: {used}")));
    }
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

/// Whether the plugin has made a volume.
pub(crate) fn is_ours(present: &Properties) -> bool {
    present.get(OWNER).is_some_and(|owner| owner.is_local() && owner.value == OWNER_NAME)
}

/// The guid of a volume.
pub(crate) fn guid_of(present: &Properties) -> Option<&String> {
    present.get("guid").map(|property| &property.value)
}
