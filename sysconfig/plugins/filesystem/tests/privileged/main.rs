//! The plugin with the real kernel and the real `mount`, in a mount namespace of its own.
//!
//! Datasets are those of a real ZFS, zfs-fuse, on a pool of a file.
//!
//! Each test starts this very program again as `other_process`, in new mount and process namespaces with a private `/etc`,
//! `/mnt` and `/var/lib/sysconfig`: nothing of the machine that runs the tests is touched, and what was mounted ends with
//! the namespace. Only root may do this. A test that cannot be run, or a file system that this kernel does not have, is
//! a visible skip.

mod datasets;
mod names;
mod scenarios;
mod world;

use plugin_testing::{namespace, zfs_fuse};

/// No test, but the process that the tests start.
#[test]
#[ignore = "the other tests start it, in a namespace"]
fn other_process() {
    let Some(scenario) = namespace::scenario() else { return };
    let scenarios: [(&str, fn()); 14] = [
        ("tmpfs", scenarios::tmpfs),
        ("bind", scenarios::bind),
        ("link", scenarios::link),
        ("spelling", scenarios::spelling),
        ("ext4", || scenarios::disk("ext4", "mkfs.ext4 -q")),
        ("vfat", || scenarios::disk("vfat", "mkfs.vfat")),
        ("iso9660", scenarios::iso),
        ("busy", scenarios::busy),
        ("paths", scenarios::paths),
        ("names", names::names),
        ("again", names::again),
        ("datasets", datasets::life),
        ("foreign", datasets::what_is_not_ours),
        ("along", datasets::what_comes_along),
    ];
    let found = scenarios.iter().find(|(name, _)| *name == scenario);
    found.unwrap_or_else(|| panic!("there is no scenario {scenario}")).1();
}

#[test]
fn privileged_tmpfs_with_another_size_and_without() {
    namespace::run("tmpfs", &[], &[], &[]);
}

#[test]
fn privileged_bind_mount_read_only() {
    namespace::run("bind", &[], &[], &[]);
}

#[test]
fn privileged_mount_point_behind_a_link_is_mounted_once() {
    namespace::run("link", &[], &[], &[]);
}

#[test]
fn privileged_options_that_the_kernel_shows_in_other_words() {
    namespace::run("spelling", &[], &[], &[]);
}

#[test]
fn privileged_disk_that_is_in_use_by_another_path() {
    namespace::run("paths", &[], &[("mkfs.ext4", "e2fsprogs"), ("losetup", "mount")], &[]);
}

#[test]
fn privileged_ext4_in_a_file() {
    namespace::run("ext4", &[], &[("mkfs.ext4", "e2fsprogs")], &[]);
}

#[test]
fn privileged_vfat_in_a_file() {
    namespace::run("vfat", &[], &[("mkfs.vfat", "dosfstools")], &[]);
}

#[test]
fn privileged_iso9660_in_a_file() {
    namespace::run("iso9660", &[], &[("xorriso", "xorriso")], &[]);
}

#[test]
fn privileged_busy_mount_names_the_process() {
    namespace::run("busy", &[], &[], &[]);
}

#[test]
fn privileged_names_of_every_kind() {
    namespace::run("names", &[], &[], &[]);
}

#[test]
fn privileged_binds_of_binds_and_what_is_mounted_twice() {
    namespace::run("again", &[], &[], &[]);
}

#[test]
fn privileged_life_of_datasets() {
    zfs_fuse::run("datasets");
}

#[test]
fn privileged_datasets_that_come_along() {
    zfs_fuse::run("along");
}

#[test]
fn privileged_datasets_of_somebody_else() {
    zfs_fuse::run("foreign");
}
