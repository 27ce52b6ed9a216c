//! What an image must have to boot, and which package brings it.
//!
//! Facts: illumos-gate's boot loader, `vfs_mountfs` of the root file system, and the manifests of its packages.

use crate::steps::StepError;
use image_tree::{Follow, ImagePath, Tree};

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

use Wanted::{Directory, File};

/// Every path that a boot of illumos needs, whatever the firmware and the disk, with the package that has it.
pub const REQUIRED: [(&str, Wanted, &str); 29] = [
    // Without it the loader takes the dataset for one that does not boot.
    ("/boot/defaults/loader.conf", File, "system/boot/loader"),
    ("/boot/loader", File, "system/boot/loader"),
    ("/boot/loader64.efi", File, "system/boot/loader"),
    ("/boot/loader.rc", File, "system/boot/loader"),
    ("/boot/forth/loader.4th", File, "system/boot/loader"),
    ("/boot/solaris/bootenv.rc", File, "system/boot/real-mode"),
    ("/boot/solaris/filelist.ramdisk", File, "system/kernel"),
    ("/platform/i86pc/kernel/amd64/unix", File, "system/kernel/platform"),
    ("/platform/i86pc/kernel/drv/amd64/isa", File, "system/kernel/platform"),
    ("/platform/i86pc/kernel/drv/amd64/npe", File, "system/kernel/platform"),
    ("/platform/i86pc/kernel/drv/amd64/pci", File, "system/kernel/platform"),
    ("/kernel/amd64/genunix", File, "system/kernel"),
    ("/kernel/fs/amd64/zfs", File, "system/file-system/zfs"),
    ("/etc/name_to_major", File, "SUNWcsd"),
    ("/etc/driver_aliases", File, "SUNWcsd"),
    ("/etc/driver_classes", File, "SUNWcsd"),
    ("/etc/minor_perm", File, "SUNWcsd"),
    // Its one line as delivered makes the first boot find the devices.
    ("/etc/path_to_inst", File, "SUNWcsd"),
    ("/etc/system", File, "SUNWcs"),
    ("/etc/vfstab", File, "SUNWcs"),
    // The kernel mounts on these by itself.
    ("/devices", Directory, "SUNWcsd"),
    ("/dev", Directory, "SUNWcsd"),
    ("/system/contract", Directory, "SUNWcs"),
    ("/proc", Directory, "SUNWcs"),
    ("/etc/mnttab", File, "SUNWcs"),
    ("/etc/svc/volatile", Directory, "SUNWcs"),
    ("/system/object", Directory, "SUNWcs"),
    ("/system/boot", Directory, "SUNWcs"),
    ("/etc/dfs/sharetab", File, "SUNWcs"),
];

/// A kernel module, and the package that has it.
type Module = (&'static str, &'static str);

const BLKDEV: Module = ("/kernel/drv/amd64/blkdev", "driver/storage/blkdev");
const SD: Module = ("/kernel/drv/amd64/sd", "system/kernel");
const VIRTIO: Module = ("/kernel/misc/amd64/virtio", "driver/misc/virtio");

/// The driver of a kind of disk.
#[derive(Clone, Copy, Debug)]
pub struct DiskDriver {
    /// The driver itself.
    pub module: Module,
    /// What it does not work without.
    pub needs: &'static [Module],
}

/// Drivers of the disks that a machine may have: of virtio as blocks and as SCSI, NVMe, SCSI and SATA, IDE. A boot needs one
/// of them.
pub const DISK_DRIVERS: [DiskDriver; 5] = [
    DiskDriver { module: ("/kernel/drv/amd64/vioblk", "driver/storage/vioblk"), needs: &[VIRTIO, BLKDEV] },
    DiskDriver { module: ("/kernel/drv/amd64/vioscsi", "driver/storage/vioscsi"), needs: &[VIRTIO, SD] },
    DiskDriver { module: ("/kernel/drv/amd64/nvme", "driver/storage/nvme"), needs: &[BLKDEV] },
    DiskDriver { module: SD, needs: &[] },
    DiskDriver { module: ("/kernel/drv/amd64/cmdk", "system/kernel"), needs: &[] },
];

/// Which of the drivers of disks, and of what they need, a boot lacks: modules for which `has` says no. All drivers of disks
/// when there is none of them.
///
/// # Errors
/// What `has` does.
pub fn missing_disk_modules<E>(mut has: impl FnMut(&str) -> Result<bool, E>) -> Result<Vec<Module>, E> {
    let (mut missing, mut any) = (Vec::new(), false);
    for driver in &DISK_DRIVERS {
        if !has(driver.module.0)? {
            continue;
        }
        any = true;
        for needed in driver.needs {
            if !has(needed.0)? && !missing.contains(needed) {
                missing.push(*needed);
            }
        }
    }
    if any { Ok(missing) } else { Ok(DISK_DRIVERS.iter().map(|driver| driver.module).collect()) }
}

/// Tells everything that is missing at once.
///
/// # Errors
/// When anything is.
pub(crate) fn check(root: &Tree) -> Result<(), StepError> {
    let missing: Vec<_> = REQUIRED.iter().filter(|(path, wanted, _)| !has(root, path, *wanted)).collect();
    let Ok(modules) = missing_disk_modules(|path| Ok::<_, std::convert::Infallible>(has(root, path, File)));
    if missing.is_empty() && modules.is_empty() {
        return Ok(());
    }
    let paths: Vec<&str> =
        missing.iter().map(|(path, ..)| *path).chain(modules.iter().map(|(path, _)| *path)).collect();
    let mut packages: Vec<&str> =
        missing.iter().map(|(.., package)| *package).chain(modules.iter().map(|(_, package)| *package)).collect();
    packages.sort_unstable();
    packages.dedup();
    // Of the drivers of disks one is enough.
    let of_these = if modules.len() == DISK_DRIVERS.len() { ", one of the drivers of disks" } else { "" };
    Err(StepError::NotBootable {
        missing: paths.join(", "),
        help: format!("add to the base what has them{of_these}: {}", packages.join("; ")),
    })
}

/// Parts of the system that a boot needs before anything but the boot environment is mounted, or that the kernel
/// itself mounts on: no dataset can be there or in them.
const UNDIVIDED: [&str; 10] = [
    "/boot",
    "/dev",
    "/devices",
    "/etc/svc/volatile",
    "/kernel",
    "/platform",
    "/proc",
    "/system/boot",
    "/system/contract",
    "/system/object",
];
/// Where no dataset can be mounted, although one deeper can: init, the first services and their shell are there.
const BASE: [&str; 4] = ["/bin", "/lib", "/sbin", "/usr"];

/// What a boot would not find if a dataset was mounted at `mountpoint`, which happens after it is needed.
pub(crate) fn hidden_by(mountpoint: &ImagePath) -> Option<&'static str> {
    let path = |text: &str| ImagePath::new(text).expect("a constant path");
    let required = REQUIRED.iter().map(|(path, ..)| *path).chain(BASE).chain(UNDIVIDED);
    let hidden = required.into_iter().find(|required| path(required).starts_with(mountpoint));
    hidden.or_else(|| UNDIVIDED.into_iter().find(|undivided| mountpoint.starts_with(&path(undivided))))
}

fn has(root: &Tree, path: &str, wanted: Wanted) -> bool {
    let at = ImagePath::new(path).expect("a constant path");
    root.lookup(&at, Follow::Yes).is_ok_and(|(_, node)| match wanted {
        File => node.content().is_some(),
        Directory => node.is_directory(),
    })
}
