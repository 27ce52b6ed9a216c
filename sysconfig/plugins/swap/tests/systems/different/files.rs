//! Files.

use super::OnLinux::Same;
use super::{Case, check_all};
use sysconfig_platform::fake::storage::Storage;
use sysconfig_plugin::Risk;

const FILE: &str = "file = \"/var/swap\"\nsize = \"2 MiB\"\n";

/// A file of somebody's, where it can be swap.
fn file(storage: &mut Storage) {
    storage.add_mount("/dev/theirs", "/var", "ufs", &["rw"]);
    storage.add_file("/var/swap", 1 << 20);
}

const CASES: &[Case] = &[
    Case {
        what: "a file of somebody's",
        setup: file,
        config: FILE,
        plan: &[(Risk::Safe, "leave /var/swap alone: it is not ours, and may hold data")],
        linux: Same,
    },
    Case {
        what: "a file of somebody's that is swap, of another size",
        setup: |storage| {
            file(storage);
            let path = "/var/swap".to_owned();
            storage.swaps.push(sysconfig_platform::fake::storage::UsedSwap { path, bytes: 1 << 20, priority: 0 });
        },
        config: FILE,
        plan: &[(Risk::Safe, "leave /var/swap alone: it has 1 MiB and is not ours")],
        linux: Same,
    },
    Case {
        what: "a directory of that name",
        setup: |storage| storage.add_mount("/dev/theirs", "/var/swap", "ufs", &["rw"]),
        config: FILE,
        plan: &[(Risk::Safe, "leave /var/swap alone: it is no file")],
        linux: Same,
    },
    Case {
        what: "a file on ZFS",
        setup: |storage| storage.add_mount("rpool/var", "/var", "zfs", &["rw"]),
        config: FILE,
        plan: &[(Risk::Safe, "leave /var/swap alone: it lies on zfs")],
        linux: Same,
    },
    Case {
        what: "absent, and a file of somebody's",
        setup: file,
        config: "file = \"/var/swap\"\nabsent = true\nallow-destructive = true\n",
        plan: &[(Risk::Safe, "leave /var/swap alone: it is not ours")],
        linux: Same,
    },
];

#[test]
fn every_file_has_its_plan() {
    check_all(CASES);
}
