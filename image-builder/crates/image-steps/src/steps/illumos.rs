//! Steps of illumos images: what a running system would do, as data.
//!
//! Facts: illumos-gate's SUNWcsd (the `/dev` and `/devices` skeleton), svc.configd (the seed
//! repository is not used unless it is copied), libbe (properties of boot environments).

use super::StepError;
use super::error::tree;
use super::files::{put, tree_content};
use crate::state::{DatasetState, ImageState, written};
use image_tree::{ImagePath, Node};
use template::{CreateDataset, SeedSmf};

/// Notes that the pool gets a boot environment; the pool writer makes it.
pub(super) fn create_be(state: &mut ImageState) -> Result<(), StepError> {
    if state.pool.boot_environment {
        return Err(StepError::Order { reason: "create_be was done already" });
    }
    state.pool.boot_environment = true;
    Ok(())
}

/// Notes a dataset; its parent has to be noted before it.
pub(super) fn create_dataset(step: &CreateDataset, state: &mut ImageState) -> Result<(), StepError> {
    let exists = |name: &str| state.pool.datasets.iter().any(|dataset| dataset.name == name);
    if exists(&step.name) {
        return Err(StepError::Order { reason: "create_dataset was done already for this name" });
    }
    if let Some((parent, _)) = step.name.rsplit_once('/') {
        if !exists(parent) {
            return Err(StepError::Order { reason: "create_dataset needs one for the parent dataset before it" });
        }
    }
    state.pool.datasets.push(DatasetState { name: step.name.clone(), mountpoint: step.mountpoint.clone() });
    Ok(())
}

/// Notes that the pool writer sets `bootfs` and writes the boot loader.
pub(super) fn make_bootable(state: &mut ImageState) -> Result<(), StepError> {
    if !state.pool.boot_environment {
        return Err(StepError::Order { reason: "make_bootable needs a create_be before it" });
    }
    state.pool.bootable = true;
    Ok(())
}

/// The directories and links that `devfsadm -r` leaves in `/dev` whatever the host's devices are.
///
/// Nothing else is needed: the devfs and `/dev` file systems make the nodes at run time.
pub(super) fn devfsadm(state: &mut ImageState) -> Result<(), StepError> {
    const DIRECTORIES: [&str; 9] =
        ["/dev", "/devices", "/dev/cfg", "/dev/dsk", "/dev/rdsk", "/dev/usb", "/dev/fd", "/dev/pts", "/dev/term"];
    const LINKS: [(&str, &str); 3] = [("/dev/stdin", "./fd/0"), ("/dev/stdout", "./fd/1"), ("/dev/stderr", "./fd/2")];
    for directory in DIRECTORIES {
        let at = ImagePath::new(directory).expect("a constant path");
        let metadata = written(0, 3, 0o755);
        state.root.create_dir(&at, metadata.clone(), &metadata).map_err(tree("make", directory))?;
    }
    for (link, target) in LINKS {
        put(&mut state.root, link, Node::symlink(target, written(0, 0, 0o777)))?;
    }
    Ok(())
}

/// Puts the seed repository in place; the first boot imports the manifests.
pub(super) fn seed_smf(step: &SeedSmf, state: &mut ImageState) -> Result<(), StepError> {
    let Some(seed) = &step.seed else {
        return Err(StepError::Unsupported { step: "seed_smf with skip_seed" });
    };
    if step.debug || !step.profiles.is_empty() {
        return Err(StepError::Unsupported { step: "seed_smf with debug or profiles" });
    }
    let content = tree_content(&state.root, &format!("/lib/svc/seed/{seed}.db"))?;
    put(&mut state.root, "/etc/svc/repository.db", Node::regular(content, written(0, 3, 0o600)))
}
