//! Where file systems of pools come to be mounted.
//!
//! On Linux ZFS mounts over whatever is there (`overlay` in zfsprops(7)), and on illumos it fails in the middle of a
//! command. So each place is looked at before, on both.

use crate::error::zfs_error;
use sysconfig_platform::mount_table::{self, Mount, is_below};
use sysconfig_platform::places::{Places, Servers};
use sysconfig_platform::zfs::followers::{self, Obstacle};
use sysconfig_platform::zfs::{self, Kind, Properties};
use sysconfig_platform::{Host, StorageError};
use sysconfig_plugin::{Context, Level, PluginError};

/// What can be done about a place that is not free.
pub(crate) const HELP: &str = "move away what is there, or choose another mountpoint";
/// How many datasets are asked about at once, so that a command line does not get too long.
const AT_ONCE: usize = 100;

/// The mount table.
pub(crate) fn mounts(host: &Host) -> Result<Vec<Mount>, StorageError> {
    let failed = |source| StorageError::File { operation: "look at what is mounted".to_owned(), source };
    mount_table::mounts(host).map_err(failed)
}

/// Why `dataset` cannot be mounted at a place without hiding what is there; nothing when it can, or is.
pub(crate) fn obstacle(places: &Places<'_>, dataset: &str, place: &str) -> Result<Option<String>, StorageError> {
    places.obstacle(place, &|mount| mount.device == dataset)
}

/// A file system that ZFS mounts by itself.
struct Automatic {
    name: String,
    place: String,
    is_mounted: bool,
}

fn is(properties: &Properties, property: &str, wanted: &str) -> bool {
    properties.get(property).is_some_and(|found| found.value == wanted)
}

/// Whether ZFS mounts a file system by itself where it has a mount point.
fn is_automatic(properties: &Properties) -> bool {
    let is = |property, wanted| is(properties, property, wanted);
    is("canmount", "on") && !is("zoned", "on") && !is("keystatus", "unavailable")
}

impl Automatic {
    fn of(name: String, properties: &Properties) -> Option<Self> {
        let place = properties.get("mountpoint").filter(|found| found.value.starts_with('/'))?;
        if !is_automatic(properties) {
            return None;
        }
        Some(Self { is_mounted: is(properties, "mounted", "yes"), place: place.value.clone(), name })
    }

    /// Why it cannot be mounted now.
    fn obstacle(&self, host: &Host, servers: &Servers) -> Result<Option<String>, StorageError> {
        obstacle(&Places::asking(host, &mounts(host)?, servers), &self.name, &self.place)
    }
}

/// The file systems of a pool, with their properties.
fn filesystems(host: &Host, pool: &str) -> Result<Vec<(String, Properties)>, StorageError> {
    let below = format!("{pool}/");
    let is_its = |name: &str| name == pool || name.starts_with(&below);
    let all = zfs::datasets(host)?.into_iter().filter(|one| one.kind == Kind::Filesystem && is_its(&one.name));
    let names: Vec<_> = all.map(|one| one.name).collect();
    let mut found = Vec::new();
    for names in names.chunks(AT_ONCE) {
        found.extend(zfs::properties(host, names)?);
    }
    Ok(found)
}

/// Those that are mounted by themselves, those above before those below.
fn automatic(host: &Host, pool: &str) -> Result<Vec<Automatic>, StorageError> {
    let all = filesystems(host, pool)?.into_iter();
    let mut found: Vec<_> = all.filter_map(|(name, properties)| Automatic::of(name, &properties)).collect();
    found.sort_by(|one, other| (&one.place, &one.name).cmp(&(&other.place, &other.name)));
    Ok(found)
}

/// Mounts what a pool that was imported without mounting anything would have mounted; whether there was anything to do.
///
/// Each is noted before.
///
/// # Errors
/// What could not be mounted, and why; everything else is.
pub(crate) fn mount_all(
    host: &Host,
    pool: &str,
    note: impl Fn(&str) -> Result<(), PluginError>,
    context: &Context,
) -> Result<bool, PluginError> {
    let operation = format!("cannot mount all file systems of the pool {pool}, which is imported");
    let failed = |error| zfs_error(&operation, error);
    let told = |error: StorageError| PluginError::from_error(error).to_error_object().chain();
    let mut left: Vec<(String, String)> = Vec::new();
    let mut changed = false;
    // The table changes on the way, but a server that is away is waited for once.
    let servers = Servers::default();
    for one in automatic(host, pool).map_err(failed)?.iter().filter(|one| !one.is_mounted) {
        // Its directory would be made in what is in the way of the one above.
        let above = left.iter().find(|(place, _)| is_below(&one.place, place));
        let why = match above {
            Some((place, _)) => Some(format!("{place} is not free")),
            // One that cannot be looked at keeps no other unmounted.
            None => one.obstacle(host, &servers).unwrap_or_else(|error| Some(told(error))),
        };
        let done = match why {
            Some(why) => Err(why),
            None => {
                changed = true;
                note(&one.name)?;
                zfs::mount(host, &one.name).map_err(told).map(|unshared| {
                    if let Some(unshared) = unshared {
                        context.log(Level::Warn, told(unshared));
                    }
                })
            }
        };
        if let Err(why) = done {
            left.push((one.place.clone(), format!("{} at {}: {why}", one.name, one.place)));
        }
    }
    if left.is_empty() {
        return Ok(changed);
    }
    let what: Vec<_> = left.into_iter().map(|(_, what)| what).collect();
    Err(PluginError::new(operation)
        .source(what.join("; "))
        .help("move away what is there, then: zfs mount DATASET; or give it another mountpoint"))
}

/// Looks at the places to which file systems of a pool come when its root dataset gets another mount point.
///
/// # Errors
/// Which place is not free.
pub(crate) fn check_move(host: &Host, pool: &str, to: &str, operation: &str) -> Result<(), PluginError> {
    if !to.starts_with('/') {
        return Ok(());
    }
    let failed = |error| zfs_error(operation, error);
    let refused = |name: &str, place: &str, why: &str| {
        let why = format!("{name} would be mounted at {place}: {why}");
        Err(PluginError::new(operation).source(why).help(HELP))
    };
    let all = filesystems(host, pool).map_err(failed)?;
    let is_mounted = |properties| is(properties, "mounted", "yes");
    // Where it had no mount point, it gets one now.
    let comes = all.iter().any(|(name, root)| name == pool && (is_mounted(root) || is_automatic(root)));
    let mounts = mounts(host).map_err(failed)?;
    if let Some(why) =
        comes.then(|| obstacle(&Places::new(host, &mounts), pool, to)).transpose().map_err(failed)?.flatten()
    {
        return refused(pool, to, &why);
    }
    let follows = |name: &str, properties: &Properties| {
        properties.get("mountpoint").is_some_and(|point| followers::follows(pool, name, point))
    };
    let unmounted = all.iter().filter(|(_, properties)| is_automatic(properties) && !is_mounted(properties));
    let unmounted = unmounted.filter(|(name, properties)| follows(name, properties));
    let unmounted: Vec<String> = unmounted.map(|(name, _)| name.clone()).collect();
    match followers::in_the_way_with(host, pool, to, comes, &unmounted).map_err(failed)? {
        Some(Obstacle { name, place, why }) => refused(&name, &place, &why),
        None => Ok(()),
    }
}
