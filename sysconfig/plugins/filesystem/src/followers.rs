//! File systems that come along when one gets another mount point: those below it that have theirs from it. ZFS unmounts and mounts
//! them, whoever has made them, and whether or not the one above is mounted itself.

use std::collections::BTreeMap;
use sysconfig_platform::mount_table::Mount;
use sysconfig_platform::zfs::{Property, Source};

/// One that is mounted, and comes along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Follower {
    pub(crate) name: String,
    /// Where it is.
    pub(crate) place: String,
}

impl Follower {
    /// Where it comes to be mounted when the one above gets the mount point `base`.
    pub(crate) fn destination(&self, above: &str, base: &str) -> String {
        format!("{}{}", base.trim_end_matches('/'), &self.name[above.len()..])
    }
}

/// Those of `name`, by the mount points of what lies in it.
pub(crate) fn followers(name: &str, points: &BTreeMap<String, Property>, mounts: &[Mount]) -> Vec<Follower> {
    let below = format!("{name}/");
    let follows = |(other, point): &(&String, &Property)| {
        let is_from_above = match &point.source {
            Source::Default => true,
            // From one in between, it does not move with this one.
            Source::Inherited(from) => from == name || name.starts_with(&format!("{from}/")),
            _ => false,
        };
        other.starts_with(&below) && is_from_above && point.value.starts_with('/')
    };
    let mounted = |(other, _): (&String, &Property)| {
        let mount = mounts.iter().find(|mount| mount.device == *other && mount.fstype == "zfs")?;
        Some(Follower { name: other.clone(), place: mount.mount_point.clone() })
    };
    points.iter().filter(follows).filter_map(mounted).collect()
}
