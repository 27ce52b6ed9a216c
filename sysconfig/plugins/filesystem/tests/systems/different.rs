//! Datasets that are there already, but different: each case ends in the right plan, or in the right refusal, on both systems.
//! Mounts have a table of their own.

use crate::support::{Fixture, illumos_with_tank, linux_with_zfs};
use sysconfig_platform::fake::storage::{FakeDataset, Storage};
use sysconfig_plugin::Risk;

struct Case {
    what: &'static str,
    setup: fn(&mut Storage),
    config: &'static str,
    /// Each step: its risk and the beginning of its line.
    plan: &'static [(Risk, &'static str)],
}

const DATA: &str =
    "[[storage.dataset]]\nname = \"tank/data\"\nproperties = { compression = \"lz4\", canmount = \"off\" }\n";
const ADOPTED: &str = "[[storage.dataset]]\nname = \"tank/data\"\nadopt = true\nproperties = { compression = \"lz4\", canmount = \"off\" }\n";
const PLACED: &str = "[[storage.dataset]]\nname = \"tank/data\"\nproperties = { mountpoint = \"/data\" }\n";
fn data(storage: &mut Storage, properties: &[(&str, &str)]) {
    let mut dataset = FakeDataset::filesystem([]);
    dataset.properties.extend(properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    storage.add_dataset("tank/data", dataset);
}

const CASES: &[Case] = &[
    Case {
        what: "as wanted, by whomever",
        setup: |storage| data(storage, &[("compression", "lz4"), ("canmount", "off")]),
        config: DATA,
        plan: &[],
    },
    Case {
        what: "inherited as wanted",
        setup: |storage| {
            storage.datasets.get_mut("tank").unwrap().properties.insert("compression".to_owned(), "lz4".to_owned());
            data(storage, &[("canmount", "off")]);
        },
        config: DATA,
        plan: &[],
    },
    Case {
        what: "another property, not ours",
        setup: |storage| data(storage, &[("canmount", "off")]),
        config: DATA,
        plan: &[(Risk::Safe, "leave tank/data alone: compression is off and not lz4, and it is not ours")],
    },
    Case {
        what: "another property, to be taken over",
        setup: |storage| data(storage, &[("canmount", "off")]),
        config: ADOPTED,
        plan: &[(Risk::Safe, "set compression=lz4 on tank/data")],
    },
    Case {
        what: "another property, ours",
        setup: |storage| data(storage, &[("canmount", "off"), ("sysconfig:owner", "filesystem")]),
        config: DATA,
        plan: &[(Risk::Safe, "set compression=lz4 on tank/data")],
    },
    Case {
        what: "a child of ours is not ours",
        setup: |storage| {
            let tank = storage.datasets.get_mut("tank").unwrap();
            tank.properties.insert("sysconfig:owner".to_owned(), "filesystem".to_owned());
            data(storage, &[("canmount", "off")]);
        },
        config: DATA,
        plan: &[(Risk::Safe, "leave tank/data alone: compression is off and not lz4, and it is not ours")],
    },
    Case {
        what: "a property of the creation",
        setup: |storage| data(storage, &[("canmount", "off"), ("sysconfig:owner", "filesystem")]),
        config: "[[storage.dataset]]\nname = \"tank/data\"\nproperties = { canmount = \"off\", utf8only = true }\n",
        plan: &[(Risk::Safe, "leave tank/data alone: utf8only is off and not on, and is chosen at creation only")],
    },
    Case {
        what: "a property that nobody knows",
        setup: |storage| data(storage, &[("canmount", "off"), ("sysconfig:owner", "filesystem")]),
        config: "[[storage.dataset]]\nname = \"tank/data\"\nproperties = { canmount = \"off\", speed = \"fast\" }\n",
        plan: &[(Risk::Safe, "leave tank/data alone: ZFS here knows no property speed")],
    },
    Case {
        what: "a volume of that name",
        setup: |storage| storage.add_dataset("tank/data", FakeDataset::volume(1 << 30, [])),
        config: DATA,
        plan: &[(Risk::Safe, "leave tank/data alone: it is a volume")],
    },
    Case {
        what: "a directory with something in it",
        setup: |storage| {
            // Something is mounted below, so the directory is not empty.
            storage.add_mount("swap", "/data/x", "tmpfs", &[]);
        },
        config: PLACED,
        plan: &[(Risk::Safe, "leave tank/data alone: the directory /data is not empty")],
    },
    Case {
        what: "something mounted at its place",
        setup: |storage| storage.add_mount("swap", "/data", "tmpfs", &[]),
        config: PLACED,
        plan: &[(Risk::Safe, "leave tank/data alone: swap is mounted at /data")],
    },
    Case {
        what: "absent, and not ours",
        setup: |storage| data(storage, &[("canmount", "off")]),
        config: "[[storage.dataset]]\nname = \"tank/data\"\nabsent = true\nallow-destructive = true\n",
        plan: &[(Risk::Safe, "leave tank/data alone: it is not ours")],
    },
    Case {
        what: "absent, and a volume",
        setup: |storage| {
            storage.add_dataset("tank/data", FakeDataset::volume(1 << 30, [("sysconfig:owner", "filesystem")]));
        },
        config: "[[storage.dataset]]\nname = \"tank/data\"\nabsent = true\nallow-destructive = true\nadopt = true\n",
        plan: &[(Risk::Safe, "leave tank/data alone: it is a volume")],
    },
];

fn planned(fixture: &mut Fixture, config: &str) -> Vec<(Risk, String)> {
    fixture.plan(config).into_iter().map(|step| (step.risk, step.summary)).collect()
}

#[test]
fn every_case_has_its_plan() {
    for (case, machine) in
        CASES.iter().flat_map(|case| [(case, illumos_with_tank as fn() -> Fixture), (case, linux_with_zfs)])
    {
        let mut fixture = machine();
        fixture.machine.storage(case.setup);
        let about = format!("{} on {}", case.what, fixture.host.system());
        let planned = planned(&mut fixture, case.config);
        assert_eq!(planned.len(), case.plan.len(), "{about}: {planned:#?}");
        for ((risk, summary), (wanted, begin)) in planned.iter().zip(case.plan) {
            assert!(risk == wanted && summary.starts_with(begin), "{about}: {planned:#?}");
        }
        let look = |fixture: &Fixture| fixture.machine.storage(|storage| (storage.datasets.clone(), storage.mounted()));
        let before = look(&fixture);
        let steps = fixture.plan(case.config);
        for step in steps.iter().filter(|step| step.action == "leave") {
            let error = fixture.harness.apply(step).unwrap_err();
            assert!(!error.data.unwrap().help.unwrap_or_default().is_empty(), "{about}: no way out is named");
        }
        assert_eq!(look(&fixture), before);
        if planned.iter().all(|(_, summary)| !summary.starts_with("leave")) {
            fixture.converge_up_to(case.config, Risk::Destructive);
        }
    }
}
