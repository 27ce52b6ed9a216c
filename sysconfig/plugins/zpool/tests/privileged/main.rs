//! The plugin with a real ZFS, zfs-fuse: a complete one in user space, of pool version 23.
//!
//! Each test starts this very program again as `other_process`, in mount and process namespaces of its own, because the
//! socket and the cache of zfs-fuse have fixed places: nothing of the machine that runs the tests is touched, and what was
//! started there ends with the namespace. Pools are made of files.
//!
//! Only root may do this. A test that cannot be run is a visible skip.

mod daemon;
mod loops;
mod scenarios;
mod world;

/// No test, but the process that the tests start.
#[test]
#[ignore = "the other tests start it, in a namespace"]
fn other_process() {
    let Some(scenario) = plugin_testing::namespace::scenario() else { return };
    let scenarios: [(&str, fn()); 9] = [
        ("create", scenarios::create),
        ("export", scenarios::export_behind_our_back),
        ("missing", scenarios::missing_device),
        ("full", scenarios::full_pool),
        ("foreign", scenarios::foreign_pool),
        ("extend", scenarios::extend),
        ("taken back", scenarios::taken_back),
        ("permissions", daemon::two_permissions),
        ("loops", loops::over_a_device),
    ];
    let found = scenarios.iter().find(|(name, _)| *name == scenario);
    found.unwrap_or_else(|| panic!("there is no scenario {scenario}")).1();
}

macro_rules! privileged {
    ($($test:ident => $scenario:literal;)*) => {
        $(#[test]
        fn $test() {
            world::run($scenario);
        })*
    };
}

privileged! {
    privileged_create => "create";
    privileged_export_behind_our_back => "export";
    privileged_missing_device => "missing";
    privileged_full_pool => "full";
    privileged_foreign_pool_on_the_disk => "foreign";
    privileged_extend => "extend";
    privileged_what_was_taken_out_again_is_blank_still => "taken back";
    privileged_content_is_lost_with_two_permissions_only => "permissions";
}

#[test]
fn privileged_a_device_that_a_loop_device_is_made_of_is_in_use() {
    plugin_testing::namespace::run("loops", &[], &[("mkfs.ext4", "e2fsprogs"), ("losetup", "mount")], &[]);
}
