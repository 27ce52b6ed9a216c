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

/// Every path that a boot of illumos needs, whatever the firmware, with the package that has it.
pub const REQUIRED: [(&str, Wanted, &str); 19] = [
    // Without it the loader takes the dataset for one that does not boot.
    ("/boot/defaults/loader.conf", File, "system/boot/loader"),
    ("/boot/loader.rc", File, "system/boot/loader"),
    ("/boot/solaris/filelist.ramdisk", File, "system/kernel"),
    ("/platform/i86pc/kernel/amd64/unix", File, "system/kernel/platform"),
    ("/kernel/amd64/genunix", File, "system/kernel"),
    ("/kernel/fs/amd64/zfs", File, "system/file-system/zfs"),
    ("/etc/name_to_major", File, "SUNWcsd"),
    ("/etc/driver_aliases", File, "SUNWcsd"),
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

/// Tells everything that is missing at once.
///
/// # Errors
/// When anything is.
pub(crate) fn check(root: &Tree) -> Result<(), StepError> {
    let missing: Vec<_> = REQUIRED.iter().filter(|(path, wanted, _)| !has(root, path, *wanted)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let paths: Vec<&str> = missing.iter().map(|(path, _, _)| *path).collect();
    let mut packages: Vec<&str> = missing.iter().map(|(_, _, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    Err(StepError::NotBootable {
        missing: paths.join(", "),
        help: format!("add to the base what has them: {}", packages.join("; ")),
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
