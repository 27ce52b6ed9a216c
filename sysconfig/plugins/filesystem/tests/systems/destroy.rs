//! Destroying: what is named, with its snapshots by their names, and nothing else, and not what has come since the plan.

use crate::support::{Fixture, illumos_with_tank, linux_with_zfs, summaries};
use sysconfig_platform::fake::storage::{FakeDataset, Storage};
use sysconfig_plugin::Risk;

const DATA: &str = "[[storage.dataset]]\nname = \"tank/data\"\nproperties = { mountpoint = \"/data\" }\n";
const ABSENT: &str = "[[storage.dataset]]\nname = \"tank/data\"\nabsent = true\nallow-destructive = true\n";

/// Machines of both systems with a dataset of ours.
fn machines() -> [Fixture; 2] {
    let mut both = [illumos_with_tank(), linux_with_zfs()];
    both.iter_mut().for_each(|fixture| drop(fixture.converge(DATA)));
    both
}

fn absent(name: &str) -> String {
    ABSENT.replace("tank/data", name)
}

fn datasets(fixture: &Fixture) -> Vec<String> {
    fixture.machine.storage(|storage| {
        let all = storage.datasets.iter().filter(|(name, _)| name.starts_with("tank/"));
        let snapshots = |(name, dataset): (&String, &FakeDataset)| {
            let snapshots = dataset.snapshots.keys().map(|snapshot| format!("{name}@{snapshot}")).collect::<Vec<_>>();
            [vec![name.clone()], snapshots].concat()
        };
        all.flat_map(snapshots).collect()
    })
}

#[test]
fn destroying_needs_two_permissions_and_takes_nothing_along() {
    for mut fixture in machines() {
        fixture.converge(&format!("{DATA}[[storage.dataset]]\nname = \"tank/data/child\"\n"));
        assert_eq!(summaries(&fixture.plan(ABSENT)), ["leave tank/data alone: tank/data/child lies in it"]);
        let both = format!("{ABSENT}{}", absent("tank/data/child"));
        let steps = fixture.plan(&both);
        assert!(steps.iter().all(|step| step.risk == Risk::Destructive && !step.key.is_empty()), "{steps:?}");
        assert!(steps[0].resource == "tank/data/child", "children go first");
        fixture.machine.storage(|storage| storage.busy_in_passing = 2);
        fixture.converge_up_to(&both, Risk::Destructive);
        assert_eq!(datasets(&fixture), [""; 0]);
        assert!(fixture.harness.undo(&steps[0]).is_err(), "what is destroyed does not come back");
    }
}

#[test]
fn a_child_that_stays_keeps_its_parent() {
    for mut fixture in machines() {
        // Somebody else's, and so it stays although it is named.
        fixture.machine.storage(|storage| storage.add_dataset("tank/data/theirs", FakeDataset::filesystem([])));
        let both = format!("{ABSENT}{}", absent("tank/data/theirs"));
        assert_eq!(
            summaries(&fixture.plan(&both)),
            ["leave tank/data/theirs alone: it is not ours", "leave tank/data alone: tank/data/theirs lies in it"]
        );
    }
}

#[test]
fn snapshots_are_named_and_go_with_it() {
    for mut fixture in machines() {
        for snapshot in ["a", "b", "c", "d", "e", "f"] {
            fixture.machine.type_in(&format!("zfs snapshot tank/data@{snapshot}"));
        }
        let steps = fixture.plan(ABSENT);
        assert_eq!(
            summaries(&steps),
            [
                "destroy the dataset tank/data, everything in it, and its snapshots tank/data@a, tank/data@b, tank/data@c, \
              tank/data@d and 2 more"
            ]
        );
        assert_eq!(steps[0].risk, Risk::Destructive);
        let all = "tank/data@a, tank/data@b, tank/data@c, tank/data@d, tank/data@e, tank/data@f";
        assert_eq!(
            (steps[0].changes[0].field.as_str(), &steps[0].changes[0].from),
            ("snapshots", &serde_json::json!(all))
        );
        fixture.converge_up_to(ABSENT, Risk::Destructive);
        assert_eq!(datasets(&fixture), [""; 0]);
        assert!(!fixture.host.root.exists("/data").unwrap());
        let commands = fixture.machine.commands();
        assert!(!commands.iter().any(|line| line.contains("destroy -")), "nothing recursive: {commands:?}");
    }
}

/// Each of these is done between the plan and the step, which then destroys nothing.
#[test]
fn what_has_come_since_the_plan_is_not_destroyed() {
    type Meanwhile = (&'static str, fn(&Fixture), &'static str);
    let cases: [Meanwhile; 5] = [
        (
            "another dataset of the name",
            |fixture| {
                fixture.machine.storage(|storage: &mut Storage| {
                    let other = FakeDataset::filesystem([("sysconfig:owner", "filesystem")]);
                    storage.datasets.get_mut("tank/data").unwrap().guid = other.guid;
                });
            },
            "it is another one than when this was planned",
        ),
        (
            "one that is no longer ours",
            |fixture| {
                fixture.machine.storage(|storage: &mut Storage| {
                    storage.datasets.get_mut("tank/data").unwrap().properties.remove("sysconfig:owner");
                });
            },
            "it is another one than when this was planned, and is not ours",
        ),
        (
            "a new snapshot",
            |fixture| drop(fixture.machine.type_in("zfs snapshot tank/data@new")),
            "the snapshot tank/data@new was made since this was planned",
        ),
        (
            "a new child",
            |fixture| drop(fixture.machine.type_in("zfs create tank/data/new")),
            "tank/data/new lies in it now",
        ),
        (
            "a clone",
            |fixture| drop(fixture.machine.type_in("zfs clone tank/data@old tank/clone")),
            "tank/clone was cloned from it since this was planned",
        ),
    ];
    for (what, meanwhile, why) in cases {
        for mut fixture in machines() {
            fixture.machine.type_in("zfs snapshot tank/data@old");
            let steps = fixture.plan(ABSENT);
            meanwhile(&fixture);
            let (before, mounted) = (datasets(&fixture), fixture.mounted());
            let error = fixture.harness.apply(&steps[0]).unwrap_err();
            assert_eq!(error.message, format!("cannot destroy tank/data: {why}"), "{what}");
            assert!(error.data.unwrap().help.is_some_and(|help| help.contains("plan and apply again")));
            assert_eq!((datasets(&fixture), fixture.mounted()), (before, mounted), "{what}");
        }
    }
}

#[test]
fn a_snapshot_made_anew_under_a_planned_name_is_not_destroyed() {
    let [mut fixture, _] = machines();
    fixture.machine.type_in("zfs snapshot tank/data@daily");
    let steps = fixture.plan(ABSENT);
    fixture.machine.type_in("zfs destroy tank/data@daily");
    fixture.machine.type_in("zfs snapshot tank/data@daily");
    let error = fixture.harness.apply(&steps[0]).unwrap_err();
    assert!(error.message.contains("the snapshot tank/data@daily was made since"), "{error:?}");
    assert_eq!(datasets(&fixture), ["tank/data", "tank/data@daily"]);
}

#[test]
fn who_uses_it_is_named_and_its_snapshots_stay() {
    for mut fixture in machines() {
        fixture.machine.type_in("zfs snapshot tank/data@a");
        fixture.machine.storage(|storage| storage.set_users("/data", &[(4711, "vi")]));
        let (message, _) = fixture.fail(ABSENT);
        assert!(message.contains("/data is used by vi (process 4711)"), "{message}");
        assert_eq!(datasets(&fixture), ["tank/data", "tank/data@a"]);
    }
}

/// Snapshots go one after the other, so those that could go stay as well.
#[test]
fn a_snapshot_that_somebody_holds_keeps_the_dataset_and_all_its_snapshots() {
    for mut fixture in machines() {
        for name in ["a", "b", "c"] {
            fixture.machine.type_in(&format!("zfs snapshot tank/data@{name}"));
        }
        let planned = fixture.plan(ABSENT);
        fixture.machine.storage(|storage| storage.held.insert("tank/data@b".to_owned()));
        let error = fixture.harness.apply(&planned[0]).unwrap_err();
        assert_eq!(error.message, "cannot destroy tank/data: somebody holds its snapshot tank/data@b");
        assert!(error.data.unwrap().help.is_some_and(|help| help.contains("zfs holds tank/data@b")));
        let steps = fixture.plan(ABSENT);
        assert_eq!(summaries(&steps), ["leave tank/data alone: somebody holds its snapshot tank/data@b"]);
        assert_eq!(datasets(&fixture), ["tank/data", "tank/data@a", "tank/data@b", "tank/data@c"]);
        assert_eq!(fixture.mounted().len(), 1);
        fixture.machine.storage(|storage| storage.held.clear());
        fixture.converge_up_to(ABSENT, Risk::Destructive);
        assert_eq!(datasets(&fixture), [""; 0]);
    }
}

#[test]
fn clones_keep_it_unless_they_go_too() {
    for mut fixture in machines() {
        fixture.machine.type_in("zfs snapshot tank/data@s");
        // By name it would come after what it was cloned from.
        fixture.machine.type_in("zfs clone tank/data@s tank/a-clone");
        let steps = fixture.plan(ABSENT);
        assert_eq!(summaries(&steps), ["leave tank/data alone: tank/a-clone was cloned from tank/data@s"]);
        let (_, help) = fixture.fail(ABSENT);
        assert!(help.contains("zfs promote tank/a-clone"), "{help}");
        let both = format!("{ABSENT}{}adopt = true\n", absent("tank/a-clone"));
        fixture.converge_up_to(&both, Risk::Destructive);
        assert_eq!(datasets(&fixture), [""; 0]);
    }
}

/// A journal of an earlier version knows no guid, and what it has planned is planned anew.
#[test]
fn a_step_that_does_not_say_which_one_is_refused() {
    let [mut fixture, _] = machines();
    let mut step = fixture.plan(ABSENT).remove(0);
    step.data.as_object_mut().unwrap().remove("guid");
    let error = fixture.harness.apply(&step).unwrap_err();
    assert!(error.message.contains("another one than when this was planned"), "{error:?}");
    assert_eq!(datasets(&fixture), ["tank/data"]);
}
