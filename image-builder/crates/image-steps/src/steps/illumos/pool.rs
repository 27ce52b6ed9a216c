//! What steps say about the pool's datasets. It depends on no file, so that `check` knows it, too.

use crate::state::{DatasetState, EnvironmentState, PoolState};
use crate::steps::StepError;
use template::{CreateDataset, Step};

/// The dataset that holds the boot environments.
pub(crate) const CONTAINER: &str = "ROOT";

/// Notes what a step says about the pool; the pool writer does it. Most steps say nothing.
///
/// # Errors
/// The steps contradict each other.
pub(crate) fn note(step: &Step, pool: &mut PoolState) -> Result<(), StepError> {
    match step {
        Step::CreateBe(step) => {
            let (properties, snapshots) = (named(&step.properties), step.snapshots.clone());
            create_be(EnvironmentState { properties, snapshots }, pool)
        }
        Step::CreateDataset(step) => create_dataset(step, pool),
        Step::MakeBootable(_) if pool.boot_environment.is_none() => {
            Err(StepError::Order { reason: "make_bootable needs a create_be before it" })
        }
        Step::MakeBootable(_) => {
            pool.bootable = true;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// `name=value` as a pair; the template language has seen to it that it is one.
fn named(properties: &[String]) -> Vec<(String, String)> {
    let split = |property: &String| property.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    properties.iter().filter_map(split).collect()
}

fn create_be(environment: EnvironmentState, pool: &mut PoolState) -> Result<(), StepError> {
    if pool.boot_environment.is_some() {
        return Err(StepError::Order { reason: "create_be was done already" });
    }
    if pool.datasets.iter().any(|dataset| dataset.name == CONTAINER) {
        return Err(StepError::Order { reason: "create_be makes the dataset ROOT itself, which is there already" });
    }
    pool.boot_environment = Some(environment);
    Ok(())
}

/// The parent has to be noted before. Below `ROOT` nothing more is known here, as the target knows the boot
/// environment's name.
fn create_dataset(step: &CreateDataset, pool: &mut PoolState) -> Result<(), StepError> {
    let has_container = pool.boot_environment.is_some();
    let exists = |name: &str| {
        let is_environment = name.strip_prefix(CONTAINER).is_some_and(|rest| rest.matches('/').count() <= 1);
        pool.datasets.iter().any(|dataset| dataset.name == name) || (has_container && is_environment)
    };
    if pool.datasets.iter().any(|dataset| dataset.name == step.name) {
        return Err(StepError::Order { reason: "create_dataset was done already for this name" });
    }
    if has_container && step.name == CONTAINER {
        return Err(StepError::Order { reason: "create_be has made the dataset ROOT already" });
    }
    if let Some((parent, _)) = step.name.rsplit_once('/') {
        if !exists(parent) {
            return Err(StepError::Order { reason: "create_dataset needs one for the parent dataset before it" });
        }
    }
    pool.datasets.push(DatasetState {
        name: step.name.clone(),
        mountpoint: step.mountpoint.clone(),
        properties: named(&step.properties),
        snapshots: step.snapshots.clone(),
    });
    Ok(())
}
