//! Pools: `zpool`.

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

use crate::{Properties, ZfsError, invocation, properties};
use sysconfig_platform::{Completed, Host, Invocation};

/// The command that prints every property of pools.
#[must_use]
pub fn get(host: &Host, pools: &[&str]) -> Invocation {
    let args = ["get", "-Hp", "-o", "name,property,value,source", "all"];
    invocation(host, "zpool", args.iter().chain(pools).copied())
}

/// The properties of a pool; `None` when there is no such pool.
///
/// # Errors
/// [`ZfsError`].
pub fn properties(host: &Host, pool: &str) -> Result<Option<Properties>, ZfsError> {
    let operation = format!("read the properties of the pool {pool}");
    let invocation = get(host, &[pool]);
    let completed = host.run_any(&invocation).map_err(ZfsError::command(&operation))?;
    if is_absent(&completed) {
        return Ok(None);
    }
    let completed = completed.success(&invocation).map_err(ZfsError::command(&operation))?;
    let mut all = properties::parse(&operation, &completed.stdout)?;
    all.remove(pool).map(Some).ok_or_else(|| ZfsError::answer(operation, completed.stdout))
}

/// Whether a command failed because its pool is not there.
#[must_use]
pub fn is_absent(completed: &Completed) -> bool {
    completed.code != 0 && completed.stderr.contains("no such pool")
}
