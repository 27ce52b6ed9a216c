//! Datasets: `zfs`.

use crate::{Properties, ZfsError, invocation, properties};
use sysconfig_platform::{Completed, Host, Invocation};

/// The command that prints `wanted` properties (`all` for every one) of datasets.
#[must_use]
pub fn get(host: &Host, wanted: &str, datasets: &[&str]) -> Invocation {
    let args = ["get", "-Hp", "-o", "name,property,value,source", wanted];
    invocation(host, "zfs", args.iter().chain(datasets).copied())
}

/// The command that sets a property.
#[must_use]
pub fn set(host: &Host, property: &str, value: &str, dataset: &str) -> Invocation {
    invocation(host, "zfs", ["set", &format!("{property}={value}"), dataset])
}

/// The command that gives a property back to what is above.
#[must_use]
pub fn inherit(host: &Host, property: &str, dataset: &str) -> Invocation {
    invocation(host, "zfs", ["inherit", property, dataset])
}

/// The properties of a dataset; `None` when there is no such dataset.
///
/// # Errors
/// [`ZfsError`].
pub fn properties(host: &Host, dataset: &str) -> Result<Option<Properties>, ZfsError> {
    let operation = format!("read the properties of {dataset}");
    let invocation = get(host, "all", &[dataset]);
    let completed = host.run_any(&invocation).map_err(ZfsError::command(&operation))?;
    if is_absent(&completed) {
        return Ok(None);
    }
    let completed = completed.success(&invocation).map_err(ZfsError::command(&operation))?;
    let mut all = properties::parse(&operation, &completed.stdout)?;
    all.remove(dataset).map(Some).ok_or_else(|| ZfsError::answer(operation, completed.stdout))
}

/// Whether a command failed because its dataset does not exist.
#[must_use]
pub fn is_absent(completed: &Completed) -> bool {
    completed.code != 0 && completed.stderr.contains("dataset does not exist")
}
