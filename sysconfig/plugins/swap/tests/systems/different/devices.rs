//! Slices and partitions.

use super::OnLinux::{Same, Steps};
use super::{Case, GIB, OnLinux, Plan, check_all, of};
use sysconfig_platform::System;
use sysconfig_platform::fake::storage::Storage;
use sysconfig_plugin::Risk;

const SLICE: &str = "device = \"/dev/dsk/c1t0d0s1\"\n";

fn slice(storage: &mut Storage, content: Option<&str>) {
    let path = of(storage.system(), "/dev/dsk/c1t0d0s1");
    storage.add_device(&path, GIB, content);
}

fn slice_with_a_file_system(storage: &mut Storage) {
    slice(storage, Some(if storage.system() == System::Illumos { "ufs" } else { "ext4" }));
}

fn row_of_swap(storage: &mut Storage) {
    storage.add_row(&of(storage.system(), "/dev/dsk/c1t0d0s1 - - swap - no -\n"));
}

const HOLDS_UFS: Plan = &[(Risk::Safe, "leave /dev/dsk/c1t0d0s1 alone: it is not ours, and holds a UFS file system")];
const HOLDS_EXT4: OnLinux = Steps(&[(
    Risk::Safe,
    "leave /dev/disk/by-partlabel/swap alone: it is not ours, and holds an ext2, ext3 or ext4 file system",
)]);

const CASES: &[Case] = &[
    Case {
        what: "a slice that nobody has said is free",
        setup: |storage| slice(storage, None),
        config: SLICE,
        plan: &[(Risk::Safe, "leave /dev/dsk/c1t0d0s1 alone: it is not ours, and may hold data")],
        linux: Same,
    },
    Case {
        what: "a slice with a file system",
        setup: slice_with_a_file_system,
        config: SLICE,
        plan: HOLDS_UFS,
        linux: HOLDS_EXT4,
    },
    Case {
        what: "a slice with a file system that may be lost",
        setup: |storage| slice(storage, Some("ext4")),
        config: "device = \"/dev/dsk/c1t0d0s1\"\nallow-destructive = true\n",
        plan: &[
            (Risk::Destructive, "use /dev/dsk/c1t0d0s1 as swap, which loses an ext2, ext3 or ext4 file system"),
            (Risk::Destructive, "use /dev/dsk/c1t0d0s1 as swap at boot"),
        ],
        linux: Steps(&[
            (
                Risk::Destructive,
                "make a swap area of /dev/disk/by-partlabel/swap, which loses an ext2, ext3 or ext4 file system",
            ),
            (Risk::Destructive, "use /dev/disk/by-partlabel/swap as swap"),
            (Risk::Destructive, "use /dev/disk/by-partlabel/swap as swap at boot"),
        ]),
    },
    Case {
        what: "a slice with a file system, of which a row says that it is swap",
        setup: |storage| {
            slice_with_a_file_system(storage);
            row_of_swap(storage);
        },
        config: SLICE,
        plan: HOLDS_UFS,
        linux: HOLDS_EXT4,
    },
    Case {
        what: "a blank slice, of which a row says that it is swap",
        setup: |storage| {
            slice(storage, None);
            row_of_swap(storage);
        },
        config: SLICE,
        plan: &[(Risk::Safe, "use /dev/dsk/c1t0d0s1 as swap")],
        linux: Steps(&[(
            Risk::Safe,
            "leave /dev/disk/by-partlabel/swap alone: it does not bear the header of a swap area",
        )]),
    },
    // On illumos the header of Linux is nothing that makes a slice swap.
    Case {
        what: "a slice with the header of swap",
        setup: |storage| slice(storage, Some("swap")),
        config: SLICE,
        plan: &[(Risk::Safe, "leave /dev/dsk/c1t0d0s1 alone: it is not ours, and holds swap space")],
        linux: Steps(&[
            (Risk::Safe, "use /dev/disk/by-partlabel/swap as swap"),
            (Risk::Safe, "use /dev/disk/by-partlabel/swap as swap at boot"),
        ]),
    },
    Case {
        what: "no slice",
        setup: |_| (),
        config: SLICE,
        plan: &[(Risk::Safe, "leave /dev/dsk/c1t0d0s1 alone: there is no such device")],
        linux: Same,
    },
    Case {
        what: "a slice with the header of swap, which a row mounts",
        setup: |storage| {
            slice(storage, Some("swap"));
            storage.add_row(match storage.system() {
                System::Illumos => "/dev/dsk/c1t0d0s1 /dev/rdsk/c1t0d0s1 /x ufs 2 yes -\n",
                System::Linux => "/dev/disk/by-partlabel/swap /x ext4 defaults 0 2\n",
            });
        },
        config: "device = \"/dev/dsk/c1t0d0s1\"\nallow-destructive = true\n",
        plan: &[(Risk::Safe, "leave /dev/dsk/c1t0d0s1 alone: /etc/vfstab mounts it at /x")],
        linux: Steps(&[(Risk::Safe, "leave /dev/disk/by-partlabel/swap alone: /etc/fstab mounts it at /x")]),
    },
    Case {
        what: "a slice with the header of swap and something of another kind",
        setup: |storage| {
            slice(storage, Some("swap"));
            let path = of(storage.system(), "/dev/dsk/c1t0d0s1");
            storage.scribble(&path, 65536 + 64, b"_BHRfS_M");
        },
        config: SLICE,
        plan: &[(Risk::Safe, "leave /dev/dsk/c1t0d0s1 alone: it is not ours, and holds a btrfs file system")],
        linux: Same,
    },
];

#[test]
fn every_device_has_its_plan() {
    check_all(CASES);
}
