//! Steps about pools, devices and boot loaders.

use zfs_format::name;

use crate::field::{Fault, Integer, Kind, NOT_EMPTY, TEXT, Text, field_set};

field_set! {
    /// Makes the boot environment's datasets; what follows is written into it.
    pub struct CreateBe {}
}

field_set! {
    /// Makes a dataset in the pool, beside the boot environment.
    pub struct CreateDataset {
        /// Its name without the pool's; parents must exist.
        name: String = BELOW_POOL.required();
        /// The property `mountpoint`: a path, `none` or `legacy`.
        mountpoint: Option<String> = MOUNTPOINT.optional();
    }
}

const BELOW_POOL: Text = Text::with_rule(|text| {
    if text.split('/').count() >= name::NESTING_MAX || text.len() >= name::NAME_BYTES_MAX {
        return Err(Fault::value("is longer, or deeper, than ZFS allows"));
    }
    let checked = text.split('/').try_for_each(name::check_snapshot_component);
    checked.map_err(|error| Fault::value(format!("is refused by ZFS: {error}")))
});

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
