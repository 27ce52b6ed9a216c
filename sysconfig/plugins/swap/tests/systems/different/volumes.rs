//! Volumes.

use super::OnLinux::{None as Unknown, Same, Steps};
use super::{Case, GIB, Plan, check_all};
use sysconfig_platform::fake::storage::{FakeDataset, Storage};
use sysconfig_platform::zfs::volume_path;
use sysconfig_plugin::Risk;

fn foreign_volume(storage: &mut Storage) {
    storage.add_dataset("rpool/swap1", FakeDataset::volume(GIB, [("volblocksize", "4096")]));
}

fn foreign_volume_in_use(storage: &mut Storage) {
    foreign_volume(storage);
    storage.swaps.push(sysconfig_platform::fake::storage::UsedSwap {
        path: volume_path(storage.system(), "rpool/swap1"),
        bytes: GIB,
        priority: 0,
    });
}

fn our_volume(storage: &mut Storage) {
    storage
        .add_dataset("rpool/swap1", FakeDataset::volume(GIB, [("sysconfig:owner", "swap"), ("volblocksize", "4096")]));
}

fn encrypted_pool(storage: &mut Storage) {
    let properties = &mut storage.datasets.get_mut("rpool").unwrap().properties;
    properties.insert("encryption".to_owned(), "on".to_owned());
}

fn our_volume_in_an_encrypted_pool(storage: &mut Storage) {
    encrypted_pool(storage);
    our_volume(storage);
}

const USE: (Risk, &str) = (Risk::Safe, "use /dev/zvol/dsk/rpool/swap1 as swap");
const ROW: (Risk, &str) = (Risk::Safe, "use /dev/zvol/dsk/rpool/swap1 as swap at boot");

const FORMAT: (Risk, &str) = (Risk::Safe, "make a swap area of /dev/zvol/dsk/rpool/swap1");
const VOLUME: &str = "volume = \"rpool/swap1\"\nsize = \"2 GiB\"\n";
const GIB_OF_VOLUME: &str = "volume = \"rpool/swap1\"\nsize = \"1 GiB\"\n";
const ENCRYPTED: &str = "volume = \"rpool/swap1\"\nsize = \"1 GiB\"\nencrypted = true\n";
const ENCRYPTED_ANEW: &str = "volume = \"rpool/swap1\"\nsize = \"1 GiB\"\nencrypted = true\nallow-destructive = true\n";
const ADOPTED_ANEW: &str =
    "volume = \"rpool/swap1\"\nsize = \"1 GiB\"\nencrypted = true\nallow-destructive = true\nadopt = true\n";
const ANEW: Plan = &[
    (Risk::Destructive, "destroy the volume rpool/swap1 and make it anew"),
    (Risk::Destructive, "use /dev/zvol/dsk/rpool/swap1 as swap"),
];
/// Where a superblock of UFS tells what it is.
const UFS: (u64, &[u8]) = (8192 + 1372, b"\x54\x19\x01\x00");

/// Writes into the volume, as whoever uses it otherwise.
fn write(storage: &mut Storage, (at, bytes): (u64, &[u8])) {
    let path = volume_path(storage.system(), "rpool/swap1");
    storage.scribble(&path, at, bytes);
}

fn our_volume_with_a_file_system(storage: &mut Storage) {
    our_volume(storage);
    write(storage, UFS);
}

const CASES: &[Case] = &[
    Case {
        what: "a volume that may hold data",
        setup: foreign_volume,
        config: VOLUME,
        plan: &[(Risk::Safe, "leave /dev/zvol/dsk/rpool/swap1 alone: it is not ours, and may hold data")],
        linux: Same,
    },
    Case {
        what: "a volume that may hold data, with one permission, but of another size",
        setup: foreign_volume,
        config: "volume = \"rpool/swap1\"\nsize = \"2 GiB\"\nallow-destructive = true\n",
        plan: &[(Risk::Safe, "leave /dev/zvol/dsk/rpool/swap1 alone: it has 1 GiB and is not ours")],
        linux: Same,
    },
    Case {
        what: "a volume that may hold data, to be shrunk",
        setup: foreign_volume,
        config: "volume = \"rpool/swap1\"\nsize = \"512 MiB\"\nallow-destructive = true\nadopt = true\n",
        plan: &[
            (Risk::Destructive, "change /dev/zvol/dsk/rpool/swap1 from 1 GiB to 512 MiB"),
            (Risk::Destructive, "use /dev/zvol/dsk/rpool/swap1 as swap, which loses"),
            (Risk::Destructive, "use /dev/zvol/dsk/rpool/swap1 as swap at boot"),
        ],
        linux: Steps(&[
            (Risk::Destructive, "make a swap area of /dev/zvol/rpool/swap1, which loses"),
            (Risk::Destructive, "change /dev/zvol/rpool/swap1 from 1 GiB to 512 MiB"),
            (Risk::Destructive, "use /dev/zvol/rpool/swap1 as swap, which loses"),
            (Risk::Destructive, "use /dev/zvol/rpool/swap1 as swap at boot"),
        ]),
    },
    Case {
        what: "a volume that is swap, of the right size",
        setup: foreign_volume_in_use,
        config: GIB_OF_VOLUME,
        plan: &[ROW],
        linux: Same,
    },
    Case {
        what: "a volume that is swap, of another size",
        setup: foreign_volume_in_use,
        config: VOLUME,
        plan: &[(Risk::Safe, "leave /dev/zvol/dsk/rpool/swap1 alone: it has 1 GiB and is not ours")],
        linux: Same,
    },
    Case {
        what: "a volume that is swap, of another size, to be taken over",
        setup: foreign_volume_in_use,
        config: "volume = \"rpool/swap1\"\nsize = \"2 GiB\"\nadopt = true\n",
        plan: &[
            (Risk::Disruptive, "change /dev/zvol/dsk/rpool/swap1 from 1 GiB to 2 GiB, and take it out of use"),
            ROW,
        ],
        linux: Same,
    },
    Case {
        what: "ours of another size",
        setup: our_volume,
        config: VOLUME,
        plan: &[(Risk::Safe, "change"), USE, ROW],
        linux: Steps(&[FORMAT, (Risk::Safe, "change"), USE, ROW]),
    },
    Case {
        what: "ours without encryption",
        setup: our_volume,
        config: ENCRYPTED,
        plan: &[(Risk::Safe, "leave /dev/zvol/dsk/rpool/swap1 alone: the volume rpool/swap1 is not encrypted")],
        linux: Unknown,
    },
    Case {
        what: "ours without encryption, with permission",
        setup: our_volume,
        config: ENCRYPTED_ANEW,
        plan: ANEW,
        linux: Unknown,
    },
    Case {
        what: "ours in a pool that is encrypted itself",
        setup: our_volume_in_an_encrypted_pool,
        config: GIB_OF_VOLUME,
        plan: &[USE, ROW],
        linux: Steps(&[FORMAT, USE, ROW]),
    },
    Case {
        what: "nothing, in a pool that is encrypted itself",
        setup: encrypted_pool,
        config: GIB_OF_VOLUME,
        plan: &[(Risk::Safe, "create the volume rpool/swap1"), USE, ROW],
        linux: Steps(&[(Risk::Safe, "create the volume rpool/swap1"), FORMAT, USE, ROW]),
    },
    Case {
        what: "with the key of the pool, where one to throw away is wanted",
        setup: our_volume_in_an_encrypted_pool,
        config: ENCRYPTED,
        plan: &[(
            Risk::Safe,
            "leave /dev/zvol/dsk/rpool/swap1 alone: the volume rpool/swap1 is encrypted with the key of what it lies in",
        )],
        linux: Unknown,
    },
    Case {
        what: "with the key of the pool, where one to throw away is wanted, with permission",
        setup: our_volume_in_an_encrypted_pool,
        config: ENCRYPTED_ANEW,
        plan: ANEW,
        linux: Unknown,
    },
    Case {
        what: "in a pool whose key is not loaded",
        setup: |storage| {
            encrypted_pool(storage);
            our_volume(storage);
            storage.datasets.get_mut("rpool").unwrap().has_key = false;
        },
        config: GIB_OF_VOLUME,
        plan: &[(Risk::Safe, "leave /dev/zvol/dsk/rpool/swap1 alone: the key of what it lies in is not loaded")],
        linux: Same,
    },
    Case {
        what: "a file system of that name",
        setup: |storage| storage.add_dataset("rpool/swap1", FakeDataset::filesystem([("mountpoint", "none")])),
        config: VOLUME,
        plan: &[(Risk::Safe, "leave /dev/zvol/dsk/rpool/swap1 alone: rpool/swap1 is a file system")],
        linux: Same,
    },
    Case {
        what: "no pool",
        setup: |_| (),
        config: "volume = \"tank/swap1\"\nsize = \"20 % of pool\"\n",
        plan: &[(
            Risk::Safe,
            "leave /dev/zvol/dsk/tank/swap1 alone: its size depends on the pool tank, which is not there",
        )],
        linux: Same,
    },
    Case {
        what: "absent, and not ours",
        setup: foreign_volume,
        config: "volume = \"rpool/swap1\"\nabsent = true\nallow-destructive = true\n",
        plan: &[(Risk::Safe, "leave /dev/zvol/dsk/rpool/swap1 alone: it is not ours")],
        linux: Same,
    },
    Case {
        what: "ours with a file system",
        setup: our_volume_with_a_file_system,
        config: GIB_OF_VOLUME,
        plan: &[(
            Risk::Safe,
            "leave /dev/zvol/dsk/rpool/swap1 alone: nothing tells that it is still swap, and holds a UFS file system",
        )],
        linux: Same,
    },
    Case {
        what: "ours with a file system that may be lost",
        setup: our_volume_with_a_file_system,
        config: "volume = \"rpool/swap1\"\nsize = \"1 GiB\"\nallow-destructive = true\n",
        plan: &[
            (Risk::Destructive, "use /dev/zvol/dsk/rpool/swap1 as swap, which loses a UFS file system"),
            (Risk::Destructive, "use /dev/zvol/dsk/rpool/swap1 as swap at boot"),
        ],
        linux: Steps(&[
            (Risk::Destructive, "make a swap area of /dev/zvol/rpool/swap1, which loses a UFS file system"),
            (Risk::Destructive, "use /dev/zvol/rpool/swap1 as swap, which loses"),
            (Risk::Destructive, "use /dev/zvol/rpool/swap1 as swap at boot"),
        ]),
    },
    Case {
        what: "ours with something unknown, of which nothing says that it is swap",
        setup: |storage| {
            our_volume(storage);
            write(storage, (5000, b"?"));
        },
        config: GIB_OF_VOLUME,
        plan: &[(
            Risk::Safe,
            "leave /dev/zvol/dsk/rpool/swap1 alone: nothing tells that it is still swap, and holds something unknown",
        )],
        linux: Same,
    },
    Case {
        what: "one of somebody's with a file system, to be encrypted",
        setup: |storage| {
            foreign_volume(storage);
            write(storage, UFS);
        },
        config: ADOPTED_ANEW,
        plan: &[
            (
                Risk::Destructive,
                "destroy the volume rpool/swap1 and make it anew, because encryption is chosen when it is made; it loses a UFS",
            ),
            (Risk::Destructive, "use /dev/zvol/dsk/rpool/swap1 as swap"),
        ],
        linux: Unknown,
    },
    Case {
        what: "one of somebody's that is mounted, to be encrypted",
        setup: |storage| {
            foreign_volume(storage);
            storage.add_mount(&volume_path(storage.system(), "rpool/swap1"), "/x", "ufs", &[]);
        },
        config: ADOPTED_ANEW,
        plan: &[(
            Risk::Safe,
            "leave /dev/zvol/dsk/rpool/swap1 alone: it is in use: /dev/zvol/dsk/rpool/swap1 is mounted on /x",
        )],
        linux: Unknown,
    },
    Case {
        what: "ours with a file system, to be destroyed",
        setup: our_volume_with_a_file_system,
        config: "volume = \"rpool/swap1\"\nabsent = true\nallow-destructive = true\n",
        plan: &[(Risk::Destructive, "destroy /dev/zvol/dsk/rpool/swap1; it loses a UFS file system")],
        linux: Same,
    },
];

#[test]
fn every_volume_has_its_plan() {
    check_all(CASES);
}
