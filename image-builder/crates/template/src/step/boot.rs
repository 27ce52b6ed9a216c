//! Steps about pools, devices and boot loaders.

use crate::field::{Empty, Fault, Integer, Kind, NOT_EMPTY, TEXT, Text, field_set};
use crate::zfs::{BELOW_POOL, CREATED_PROPERTY, ENVIRONMENT_PROPERTY, SNAPSHOT_NAME};

field_set! {
    /// Makes the boot environment's datasets; what follows is written into it.
    pub struct CreateBe {
        /// Further properties of the boot environment, native and user ones, each `name=value`.
        properties: Vec<String> = ENVIRONMENT_PROPERTY.expanded().list().or(Empty);
        /// Names of its snapshots, oldest first; all show what the image holds in the end.
        snapshots: Vec<String> = SNAPSHOT_NAME.expanded().list().or(Empty);
    }
}

field_set! {
    /// Makes a dataset in the pool, beside the boot environment.
    pub struct CreateDataset {
        /// Its name without the pool's; parents must exist.
        name: String = BELOW_POOL.required();
        /// The property `mountpoint`: a path, `none` or `legacy`.
        mountpoint: Option<String> = MOUNTPOINT.optional();
        /// Its further properties, native and user ones, each `name=value`.
        properties: Vec<String> = CREATED_PROPERTY.expanded().list().or(Empty);
        /// Names of its snapshots, oldest first; all show what the image holds in the end.
        snapshots: Vec<String> = SNAPSHOT_NAME.expanded().list().or(Empty);
    }
}

const MOUNTPOINT: Text = Text::with_rule(|text| {
    if text.starts_with('/') || text == "none" || text == "legacy" {
        return Ok(());
    }
    Err(Fault::path("must start with `/`, or be `none` or `legacy`"))
});

field_set! {
    /// Makes the boot environment the one that boots, with boot loader and boot archive.
    pub struct MakeBootable {}
}

field_set! {
    /// Fills `/dev` and `/devices` as a first boot would.
    pub struct Devfsadm {}
}

field_set! {
    /// Puts systemd-boot, the kernel and its initial file system on the EFI system partition.
    pub struct SystemdBoot {
        /// The menu entry's title.
        title: String = NOT_EMPTY.required();
        /// The kernel command line.
        options: String = TEXT.expanded().or("");
        /// How long the menu waits, in seconds.
        timeout: u64 = Integer { min: 0, max: 3600 }.or(0_u64);
    }
}
