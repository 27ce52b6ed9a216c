//! Changes of pools, each of which is right to repeat.
//!
//! Before a change the pool is looked at again, and so is every device that it is about: nothing may have changed since
//! the plan. After it, the pool is looked at once more, because an exit status is only a claim.

mod apply;
mod force;
mod undo;

use serde::{Deserialize, Serialize};
use std::fmt;
use sysconfig_platform::zfs::Property;
use sysconfig_platform::zpool::{Kind, Words};
use sysconfig_plugin::Risk;

/// A device that may be given to a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    /// Its path as it is configured.
    pub path: String,
    /// What its ends were like when it was approved.
    pub fingerprint: String,
    /// What it holds, when that may be lost; nothing for a blank one.
    pub holds: Option<String>,
    /// The pool of which it is a member by its label.
    #[serde(default)]
    pub pool_guid: Option<u64>,
    /// Whether what it bears is what `zpool` has left on a blank device that it was given before.
    #[serde(default)]
    pub left: bool,
}

/// What vdevs are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Data.
    Data,
    /// The intent log.
    Log,
    /// The read cache.
    Cache,
    /// Standing by.
    Spare,
}

impl Role {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Data => "vdevs",
            Self::Log => "log",
            Self::Cache => "cache devices",
            Self::Spare => "spares",
        }
    }
}

/// What a property belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The pool.
    Pool,
    /// Its root dataset.
    Root,
}

/// All that a new pool is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creation {
    pub(crate) data: Vec<(Kind, Vec<String>)>,
    pub(crate) logs: Vec<(Kind, Vec<String>)>,
    pub(crate) cache: Vec<String>,
    pub(crate) spares: Vec<String>,
    pub(crate) properties: Vec<(String, String)>,
    pub(crate) root_properties: Vec<(String, String)>,
}

impl Creation {
    fn command(&self, pool: &str) -> sysconfig_platform::zpool::Creation {
        let mut vdevs = Words::default();
        for (kind, devices) in &self.data {
            vdevs.data(*kind, devices);
        }
        vdevs.logs(&self.logs);
        vdevs.cache(&self.cache);
        vdevs.spares(&self.spares);
        sysconfig_platform::zpool::Creation {
            pool: pool.to_owned(),
            pool_properties: self.properties.clone(),
            root_properties: self.root_properties.clone(),
            vdevs,
        }
    }
}

impl fmt::Display for Creation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vdev = |(kind, devices): &(Kind, Vec<String>)| match kind {
            Kind::Device => devices.join(", "),
            kind => format!("a {} of {}", kind.word(), devices.join(", ")),
        };
        f.write_str(&self.data.iter().map(vdev).collect::<Vec<_>>().join(" and "))?;
        if !self.logs.is_empty() {
            write!(f, ", log {}", self.logs.iter().map(vdev).collect::<Vec<_>>().join(" and "))?;
        }
        for (word, devices) in [("cache", &self.cache), ("spares", &self.spares)] {
            if !devices.is_empty() {
                write!(f, ", {word} {}", devices.join(", "))?;
            }
        }
        Ok(())
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Change {
    /// Makes a pool.
    Create {
        /// Its name.
        pool: String,
        /// What it is to be.
        creation: Creation,
        /// Its devices.
        devices: Vec<Approved>,
    },
    /// Imports a pool.
    Import {
        /// The name that it is to have.
        pool: String,
        /// Which pool.
        guid: u64,
        /// The name that it has, where that is another one.
        old_name: Option<String>,
        /// Where to look for it; none for the usual places.
        directories: Vec<String>,
    },
    /// Adds a vdev.
    Add {
        /// The pool's name.
        pool: String,
        /// Which pool.
        guid: u64,
        /// What for.
        role: Role,
        /// The kind of vdev.
        kind: Kind,
        /// Its devices.
        devices: Vec<Approved>,
    },
    /// Makes a device a mirror of another one.
    Attach {
        /// The pool's name.
        pool: String,
        /// Which pool.
        guid: u64,
        /// The member.
        to: String,
        /// The new device.
        new: Approved,
    },
    /// Puts a device in the place of another one.
    Replace {
        /// The pool's name.
        pool: String,
        /// Which pool.
        guid: u64,
        /// The member.
        old: String,
        /// The new device.
        new: Approved,
    },
    /// Uses a member again that has come back.
    Online {
        /// The pool's name.
        pool: String,
        /// Which pool.
        guid: u64,
        /// The member as the pool calls it.
        device: String,
        /// Its path.
        path: String,
    },
    /// Uses what devices have gained.
    Expand {
        /// The pool's name.
        pool: String,
        /// Which pool.
        guid: u64,
        /// The members.
        devices: Vec<String>,
    },
    /// Sets a property.
    Set {
        /// Of what.
        target: Target,
        /// The pool's name.
        pool: String,
        /// Which pool.
        guid: u64,
        /// The property.
        property: String,
        /// What it was; unknown before an import.
        from: Option<Property>,
        /// What it is to be.
        to: String,
    },
    /// Mounts what a pool that was just imported mounts by itself.
    MountAll {
        /// The pool's name.
        pool: String,
        /// Which pool.
        guid: u64,
    },
    /// Mounts the root dataset where it is configured to be.
    Mount {
        /// The pool's name.
        pool: String,
        /// Which pool.
        guid: u64,
        /// Where.
        place: String,
    },
    /// Tells why something is not done.
    Refuse {
        /// Why.
        message: String,
        /// How to go on.
        help: String,
    },
}

impl Change {
    /// The devices that it gives to the pool.
    pub(crate) fn devices(&self) -> Vec<&Approved> {
        match self {
            Self::Create { devices, .. } | Self::Add { devices, .. } => devices.iter().collect(),
            Self::Attach { new, .. } | Self::Replace { new, .. } => vec![new],
            _ => Vec::new(),
        }
    }

    /// Its risk, which is at least `least`: what a device holds is lost.
    pub(crate) fn risk(&self, least: Risk) -> Risk {
        if self.overwrites() { Risk::Destructive } else { least }
    }

    /// Whether a device is given away that holds something.
    pub(crate) fn overwrites(&self) -> bool {
        self.devices().iter().any(|device| device.holds.is_some())
    }
}
