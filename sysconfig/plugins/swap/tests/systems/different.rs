//! There already, but different: each case ends in the right plan, or in the right refusal.

use crate::support::{Fixture, illumos, linux, summaries};
use sysconfig_platform::fake::storage::{FakeDataset, Storage};
use sysconfig_plugin::Risk;

const GIB: u64 = 1 << 30;
const VOLUME: &str = "volume = \"rpool/swap1\"\nsize = \"2 GiB\"\n";
const DEVICE: &str = "/dev/zvol/dsk/rpool/swap1";

struct Case {
    what: &'static str,
    setup: fn(&mut Storage),
    config: &'static str,
    /// Each step: its risk and the beginning of its line.
    plan: &'static [(Risk, &'static str)],
}

fn foreign_volume(storage: &mut Storage) {
    storage.add_dataset("rpool/swap1", FakeDataset::volume(GIB, [("volblocksize", "4096")]));
}

fn foreign_volume_in_use(storage: &mut Storage) {
    foreign_volume(storage);
    storage.swaps.push(sysconfig_platform::fake::storage::UsedSwap {
        path: DEVICE.to_owned(),
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

const USE: (Risk, &str) = (Risk::Safe, "use /dev/zvol/dsk/rpool/swap1 as swap");
const ROW: (Risk, &str) = (Risk::Safe, "use /dev/zvol/dsk/rpool/swap1 as swap at boot");

const CASES: &[Case] = &[
    Case {
        what: "a volume that may hold data",
        setup: foreign_volume,
        config: VOLUME,
        plan: &[(Risk::Safe, "leave /dev/zvol/dsk/rpool/swap1 alone: it is not ours, and may hold data")],
    },
    Case {
        what: "a volume that may hold data, with one permission, but of another size",
        setup: foreign_volume,
        config: "volume = \"rpool/swap1\"\nsize = \"2 GiB\"\nallow-destructive = true\n",
        plan: &[(Risk::Safe, "leave /dev/zvol/dsk/rpool/swap1 alone: it has 1 GiB and is not ours")],
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
    },
    Case {
        what: "a volume that is swap, of the right size",
        setup: foreign_volume_in_use,
        config: "volume = \"rpool/swap1\"\nsize = \"1 GiB\"\n",
        plan: &[ROW],
    },
    Case {
        what: "a volume that is swap, of another size",
        setup: foreign_volume_in_use,
        config: VOLUME,
        plan: &[(Risk::Safe, "leave /dev/zvol/dsk/rpool/swap1 alone: it has 1 GiB and is not ours")],
    },
    Case {
        what: "a volume that is swap, of another size, to be taken over",
        setup: foreign_volume_in_use,
        config: "volume = \"rpool/swap1\"\nsize = \"2 GiB\"\nadopt = true\n",
        plan: &[
            (Risk::Disruptive, "change /dev/zvol/dsk/rpool/swap1 from 1 GiB to 2 GiB, and take it out of use"),
            ROW,
        ],
    },
    Case { what: "ours of another size", setup: our_volume, config: VOLUME, plan: &[(Risk::Safe, "change"), USE, ROW] },
    Case {
        what: "ours without encryption",
        setup: our_volume,
        config: "volume = \"rpool/swap1\"\nsize = \"1 GiB\"\nencrypted = true\n",
        plan: &[(Risk::Safe, "leave /dev/zvol/dsk/rpool/swap1 alone: the volume rpool/swap1 is not encrypted")],
    },
    Case {
        what: "ours without encryption, with permission",
        setup: our_volume,
        config: "volume = \"rpool/swap1\"\nsize = \"1 GiB\"\nencrypted = true\nallow-destructive = true\n",
        plan: &[
            (Risk::Destructive, "destroy the volume rpool/swap1 and make it anew"),
            (Risk::Destructive, "use /dev/zvol/dsk/rpool/swap1 as swap"),
        ],
    },
    Case {
        what: "ours in a pool that is encrypted itself",
        setup: |storage| {
            encrypted_pool(storage);
            our_volume(storage);
        },
        config: "volume = \"rpool/swap1\"\nsize = \"1 GiB\"\n",
        plan: &[USE, ROW],
    },
    Case {
        what: "nothing, in a pool that is encrypted itself",
        setup: encrypted_pool,
        config: "volume = \"rpool/swap1\"\nsize = \"1 GiB\"\n",
        plan: &[(Risk::Safe, "create the volume rpool/swap1"), USE, ROW],
    },
    Case {
        what: "with the key of the pool, where one to throw away is wanted",
        setup: |storage| {
            encrypted_pool(storage);
            our_volume(storage);
        },
        config: "volume = \"rpool/swap1\"\nsize = \"1 GiB\"\nencrypted = true\n",
        plan: &[(
            Risk::Safe,
            "leave /dev/zvol/dsk/rpool/swap1 alone: the volume rpool/swap1 is encrypted with the key of what it lies in",
        )],
    },
    Case {
        what: "with the key of the pool, where one to throw away is wanted, with permission",
        setup: |storage| {
            encrypted_pool(storage);
            our_volume(storage);
        },
        config: "volume = \"rpool/swap1\"\nsize = \"1 GiB\"\nencrypted = true\nallow-destructive = true\n",
        plan: &[
            (Risk::Destructive, "destroy the volume rpool/swap1 and make it anew"),
            (Risk::Destructive, "use /dev/zvol/dsk/rpool/swap1 as swap"),
        ],
    },
    Case {
        what: "in a pool whose key is not loaded",
        setup: |storage| {
            encrypted_pool(storage);
            our_volume(storage);
            storage.datasets.get_mut("rpool").unwrap().has_key = false;
        },
        config: "volume = \"rpool/swap1\"\nsize = \"1 GiB\"\n",
        plan: &[(Risk::Safe, "leave /dev/zvol/dsk/rpool/swap1 alone: the key of what it lies in is not loaded")],
    },
    Case {
        what: "a file system of that name",
        setup: |storage| storage.add_dataset("rpool/swap1", FakeDataset::filesystem([("mountpoint", "none")])),
        config: VOLUME,
        plan: &[(Risk::Safe, "leave /dev/zvol/dsk/rpool/swap1 alone: rpool/swap1 is a file system")],
    },
    Case {
        what: "no pool",
        setup: |_| (),
        config: "volume = \"tank/swap1\"\nsize = \"20 % of pool\"\n",
        plan: &[(
            Risk::Safe,
            "leave /dev/zvol/dsk/tank/swap1 alone: its size depends on the pool tank, which is not there",
        )],
    },
    Case {
        what: "a slice that nobody has said is free",
        setup: |storage| storage.add_device("/dev/dsk/c1t0d0s1", GIB, None),
        config: "device = \"/dev/dsk/c1t0d0s1\"\n",
        plan: &[(Risk::Safe, "leave /dev/dsk/c1t0d0s1 alone: it is not ours, and may hold data")],
    },
    Case {
        what: "absent, and not ours",
        setup: foreign_volume,
        config: "volume = \"rpool/swap1\"\nabsent = true\nallow-destructive = true\n",
        plan: &[(Risk::Safe, "leave /dev/zvol/dsk/rpool/swap1 alone: it is not ours")],
    },
];

fn planned(fixture: &mut Fixture, config: &str) -> Vec<(Risk, String)> {
    let steps = fixture.plan(&format!("[[storage.swap]]\n{config}"));
    steps.into_iter().map(|step| (step.risk, step.summary)).collect()
}

#[test]
fn every_case_has_its_plan() {
    for case in CASES {
        let mut fixture = illumos();
        fixture.machine.storage(case.setup);
        let planned = planned(&mut fixture, case.config);
        assert_eq!(planned.len(), case.plan.len(), "{}: {planned:#?}", case.what);
        for ((risk, summary), (wanted, begin)) in planned.iter().zip(case.plan) {
            assert!(risk == wanted && summary.starts_with(begin), "{}: {planned:#?}", case.what);
        }
        // Without the second permission nothing that is there changes, and what is allowed comes about.
        let before = fixture.machine.storage(|storage| storage.datasets.clone());
        let steps = fixture.plan(&format!("[[storage.swap]]\n{}", case.config));
        for step in steps.iter().filter(|step| step.action == "leave") {
            let error = fixture.harness.apply(step).unwrap_err();
            assert!(!error.data.unwrap().help.unwrap_or_default().is_empty(), "{}: no way out is named", case.what);
        }
        assert_eq!(fixture.machine.storage(|storage| storage.datasets.clone()), before);
        if planned.iter().all(|(_, summary)| !summary.starts_with("leave")) {
            fixture.converge_up_to(&format!("[[storage.swap]]\n{}", case.config), Risk::Destructive);
        }
    }
}

#[test]
fn rows_of_others() {
    let setup = |row: &str| {
        let fixture = linux();
        fixture.machine.storage(|storage| storage.add_device("/dev/sdb1", GIB, Some("swap")));
        let path = fixture.host.root.locate("/etc/fstab");
        std::fs::write(path, format!("/dev/vda1 / ext4 defaults 0 1\n{row}")).unwrap();
        fixture
    };
    let text = "[[storage.swap]]\ndevice = \"/dev/sdb1\"\npriority = 5\n";
    let mut same = setup("/dev/sdb1   none swap   sw,pri=5  0 0\n");
    assert_eq!(same.converge(text), ["use /dev/sdb1 as swap"], "a row that says the same is good");
    assert!(same.read("/etc/fstab").ends_with("/dev/sdb1   none swap   sw,pri=5  0 0\n"));
    let mut other = setup("/dev/sdb1 none swap sw 0 0\n");
    let steps = other.plan(text);
    assert_eq!(summaries(&steps)[1], "leave /dev/sdb1 alone: its row in /etc/fstab differs, and is not ours");
    other.converge(&format!("{text}adopt = true\n"));
    assert!(other.read("/etc/fstab").ends_with("/dev/sdb1\tnone\tswap\tpri=5\t0\t0\n"));
    let mut twice = setup("/dev/sdb1 none swap sw 0 0\n/dev/sdb1 none swap sw,pri=5 0 0\n");
    let steps = twice.plan(&format!("{text}adopt = true\n"));
    assert!(summaries(&steps)[1].contains("there are 2 rows about it"), "{:?}", summaries(&steps));
}

/// Installers write rows by UUID or label.
#[test]
fn a_row_by_another_name_is_a_row_about_it() {
    for (name, link) in [("UUID=1-2", "by-uuid/1-2"), ("LABEL=s", "by-label/s"), ("/dev/disk/by-id/x", "by-id/x")] {
        let mut fixture = linux();
        fixture.machine.storage(|storage| storage.add_device("/dev/sdb1", GIB, Some("swap")));
        let link = fixture.host.root.locate(format!("/dev/disk/{link}"));
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("../../sdb1", link).unwrap();
        let table = fixture.host.root.locate("/etc/fstab");
        let before = format!("/dev/vda1 / ext4 defaults 0 1\n{name}  none swap sw 0 0\n");
        std::fs::write(&table, &before).unwrap();
        let text = "[[storage.swap]]\ndevice = \"/dev/sdb1\"\n";
        assert_eq!(fixture.converge(text), ["use /dev/sdb1 as swap"], "{name}");
        assert_eq!(fixture.read("/etc/fstab"), before);
        let other = format!("{text}priority = 4\nadopt = true\n");
        fixture.harness.configure(crate::support::config(&other));
        let steps = fixture.harness.converge().unwrap().steps;
        let after = format!("/dev/vda1 / ext4 defaults 0 1\n{name}\tnone\tswap\tpri=4\t0\t0\n");
        assert_eq!(fixture.read("/etc/fstab"), after, "the row stays the only one");
        for (step, _) in steps.iter().rev() {
            fixture.harness.undo(step).unwrap();
        }
        assert_eq!(fixture.read("/etc/fstab"), before.replace("  none swap sw 0 0", "\tnone\tswap\tsw\t0\t0"));
        fixture.converge(&other);
        fixture.converge("[storage]\nswap = []\n");
        assert_eq!(fixture.read("/etc/fstab"), "/dev/vda1 / ext4 defaults 0 1\n");
    }
}
