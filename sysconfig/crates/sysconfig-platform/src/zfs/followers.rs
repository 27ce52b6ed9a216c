//! File systems that come along when one gets another mount point: those below it that have theirs from it. ZFS unmounts and mounts
//! them, whoever has made them, and whether or not the one above is mounted itself.

use super::{Property, Source, mount_points};
use crate::mount_table::{self, Mount};
use crate::places::Places;
use crate::storage::StorageError;
use crate::{FileError, Host, gather};
use std::collections::BTreeMap;

/// One that is mounted, and comes along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follower {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub place: String,
}

impl Follower {
    /// Where it comes to be mounted when the one above gets the mount point `base`.
    #[must_use]
    pub fn destination(&self, above: &str, base: &str) -> String {
        destination(&self.name, above, base)
    }
}

fn destination(name: &str, above: &str, base: &str) -> String {
    format!("{}{}", base.trim_end_matches('/'), &name[above.len()..])
}

/// Whether `other` lies below `name` and has its mount point from it, and so comes along, mounted or not.
#[must_use]
pub fn follows(name: &str, other: &str, point: &Property) -> bool {
    let is_from_above = match &point.source {
        Source::Default => true,
        // From one in between, it does not move with this one.
        Source::Inherited(from) => from == name || name.starts_with(&format!("{from}/")),
        _ => false,
    };
    is_from_above && other.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'))
}

/// Those of `name`, by the mount points of what lies in it.
#[must_use]
pub fn followers(name: &str, points: &BTreeMap<String, Property>, mounts: &[Mount]) -> Vec<Follower> {
    let of_zfs = mounts.iter().rev().filter(|mount| mount.fstype == "zfs");
    let places = gather::map(of_zfs.map(|mount| (mount.device.as_str(), mount.mount_point.as_str())));
    let mounted = |(other, _): (&String, &Property)| {
        Some(Follower { name: other.clone(), place: (*places.get(other.as_str())?).to_owned() })
    };
    let comes = |(other, point): &(&String, &Property)| follows(name, other, point) && point.value.starts_with('/');
    points.iter().filter(comes).filter_map(mounted).collect()
}

/// What stands in the way when a file system comes to be mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// What would be mounted.
    pub name: String,
    /// Where.
    pub place: String,
    /// What is there.
    pub why: String,
}

/// Looks at the places to which others come along when a file system gets the mount point `base`; whether it comes to be mounted
/// there itself is told as well, because what lies in it is then its own.
///
/// # Errors
/// [`StorageError`] when that cannot be found out.
pub fn in_the_way(host: &Host, name: &str, base: &str, is_mounted: bool) -> Result<Option<Obstacle>, StorageError> {
    in_the_way_with(host, name, base, is_mounted, &[])
}

/// As [`in_the_way`], with others that come along, and may come to be mounted there although they are not mounted now: ZFS mounts
/// them at once when the one above had no mount point, or when they are shared, and else with the next `zfs mount -a`.
///
/// # Errors
/// [`StorageError`] when that cannot be found out.
pub fn in_the_way_with(
    host: &Host,
    name: &str,
    base: &str,
    is_mounted: bool,
    unmounted: &[String],
) -> Result<Option<Obstacle>, StorageError> {
    let failed = |source: FileError| StorageError::File { operation: "look at the mounts".to_owned(), source };
    let mounts = mount_table::mounts(host).map_err(failed)?;
    let followers = followers(name, &mount_points(host, name)?, &mounts);
    let moves = |mount: &Mount| mount.device == name || followers.iter().any(|one| one.name == mount.device);
    let places = Places::new(host, &mounts);
    // Those above come before those below.
    let mut all = gather::map(unmounted.iter().map(|other| (other.as_str(), None)));
    all.extend(followers.iter().map(|one| (one.name.as_str(), Some(one.place.as_str()))));
    let mut above: Vec<String> = is_mounted.then(|| base.to_owned()).into_iter().collect();
    for (other, place) in all {
        let to = destination(other, name, base);
        if place == Some(to.as_str()) || above.iter().any(|above| mount_table::is_below(&to, above)) {
            continue;
        }
        if let Some(why) = places.obstacle(&to, &moves)? {
            return Ok(Some(Obstacle { name: other.to_owned(), place: to, why }));
        }
        above.push(to);
    }
    Ok(None)
}
