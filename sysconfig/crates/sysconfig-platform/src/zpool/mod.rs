//! Pools: `zpool`. Nothing here destroys one, and `-f` is given only on request: whoever requests it has two permissions.

mod change;
mod import;
mod layout;
mod status;

pub use change::{
    Creation, Words, add, attach, create, detach, expand, export, import_pool, online, remove, replace, set,
};
pub use import::{Importable, importable, parse_importable};
pub use layout::{Kind, Layout, Vdev};
pub use status::{PoolStatus, parse_status, statuses};

use crate::StorageError;
use crate::device::{Looks, Names};
use crate::zfs::{Properties, invocation, is_without_zfs, property};
use crate::{Completed, Host, Invocation, System};

/// The command that prints every property of pools.
#[must_use]
pub fn get(host: &Host, pools: &[&str]) -> Invocation {
    let args = ["get", "-Hp", "-o", "name,property,value,source", "all"];
    invocation(host, "zpool", args.iter().chain(pools).copied())
}

/// The properties of a pool; `None` when there is no such pool.
///
/// # Errors
/// [`StorageError`].
pub fn properties(host: &Host, pool: &str) -> Result<Option<Properties>, StorageError> {
    let operation = format!("read the properties of the pool {pool}");
    let invocation = get(host, &[pool]);
    let completed = host.run_any(&invocation).map_err(StorageError::command(&operation))?;
    if is_absent(&completed) {
        return Ok(None);
    }
    let completed = completed.success(&invocation).map_err(StorageError::command(&operation))?;
    let mut all = property::parse(&operation, &completed.stdout)?;
    all.remove(pool).map(Some).ok_or_else(|| StorageError::answer(operation, completed.stdout))
}

/// The size of a pool in bytes; nothing when there is no such pool, or no ZFS.
///
/// # Errors
/// [`StorageError`].
pub fn size(host: &Host, pool: &str) -> Result<Option<u64>, StorageError> {
    let operation = format!("find out the size of the pool {pool}");
    let command = invocation(host, "zpool", ["list", "-Hp", "-o", "name,size", pool]);
    let answer = match host.run(&command).map_err(StorageError::command(&operation)) {
        Err(error) if error.said().contains("no such pool") => return Ok(None),
        Err(error) if host.system() == System::Linux && is_without_zfs(&error) => return Ok(None),
        answer => answer?.stdout,
    };
    let size = answer.trim_end_matches('\n').split_once('\t').and_then(|(_, size)| size.parse().ok());
    size.map(Some).ok_or(StorageError::Answer { operation, answer })
}

/// The imported pool that has a device, by the names under which it has it; none without ZFS.
///
/// # Errors
/// [`StorageError`].
pub fn pool_of(host: &Host, names: &Names) -> Result<Option<String>, StorageError> {
    let statuses = match statuses(host) {
        Err(error) if host.system() == System::Linux && is_without_zfs(&error) => return Ok(None),
        statuses => statuses?,
    };
    let looks = Looks::new(host);
    // One that was lost may be another device by now.
    let has = |vdev: &&Vdev| {
        let path = vdev.path().filter(|_| vdev.shown_guid().is_none());
        path.is_some_and(|path| looks.names(path).overlaps_disk(names))
    };
    Ok(statuses.into_iter().find(|status| status.layout.devices().iter().any(has)).map(|status| status.name))
}

/// Whether a command failed because its pool is not there.
#[must_use]
pub fn is_absent(completed: &Completed) -> bool {
    completed.code != 0 && completed.stderr.contains("no such pool")
}
