//! What was in use as swap when a step was planned, or was made by one, and is put to another use before the step or its undo.

use crate::support::{Fixture, illumos, linux, linux_with_zfs, summaries};
use sysconfig_platform::fake::storage::Storage;
use sysconfig_plugin::Risk;
use sysconfig_protocol::Step;

const NOTHING: &str = "[storage]\nswap = []\n";
const VOLUME: &str = "[[storage.swap]]\nvolume = \"rpool/swap1\"\nsize = \"2 GiB\"\n";
const FILE: &str = "[[storage.swap]]\nfile = \"/var/swap\"\nsize = \"64 MiB\"\n";
const GONE_VOLUME: &str = "[[storage.swap]]\nvolume = \"rpool/swap1\"\nabsent = true\nallow-destructive = true\n";
const GONE_FILE: &str = "[[storage.swap]]\nfile = \"/var/swap\"\nabsent = true\nallow-destructive = true\n";

/// A machine, an area that it has, and where that is.
type Place = (fn() -> Fixture, &'static str, &'static str);

const PLACES: [Place; 4] = [
    (illumos, VOLUME, "/dev/zvol/dsk/rpool/swap1"),
    (linux_with_zfs, VOLUME, "/dev/zvol/rpool/swap1"),
    (illumos_with_ufs, FILE, "/var/swap"),
    (linux_with_zfs, FILE, "/var/swap"),
];

fn illumos_with_ufs() -> Fixture {
    let fixture = illumos();
    fixture.machine.storage(|storage| storage.add_mount("/dev/dsk/c2t0d0s0", "/var", "ufs", &["rw"]));
    fixture
}

type Use = (fn(&Fixture, &str), &'static str);

/// What somebody does with what is swap no more, and what is said about it. A pool leaves the first 8 KiB as they were, with our
/// mark and the header of swap.
const USES: [Use; 3] = [
    (
        |fixture, path| fixture.machine.storage(|storage| storage.scribble(path, 32769, b"CD001")),
        "it holds an ISO 9660",
    ),
    (|fixture, path| drop(fixture.machine.type_in(&format!("zpool create other {path}"))), "the imported pool other"),
    (
        |fixture, path| {
            fixture.machine.type_in(&format!("zpool create other {path}"));
            fixture.machine.type_in("zpool export other");
        },
        "the exported pool other",
    ),
];

fn swap_off(fixture: &Fixture) {
    fixture.machine.storage(|storage| storage.swaps.clear());
    fixture.machine.storage(Storage::refresh);
}

fn apply(fixture: &mut Fixture, text: &str) -> Vec<Step> {
    let steps = fixture.plan(text);
    for step in &steps {
        fixture.harness.apply(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
    }
    steps
}

fn step<'a>(steps: &'a [Step], action: &str, resource: &str) -> &'a Step {
    let found = steps.iter().find(|step| step.action == action && step.resource == resource);
    found.unwrap_or_else(|| panic!("{action} {resource}: {steps:?}"))
}

#[test]
fn what_left_the_configuration_is_not_swap_again_by_undo_when_something_is_on_it() {
    for (machine, text, path) in PLACES {
        for (others_use, why) in USES {
            let mut fixture = machine();
            apply(&mut fixture, text);
            let steps = apply(&mut fixture, NOTHING);
            let stop = step(&steps, "remove", path);
            fixture.harness.undo(stop).unwrap();
            assert_eq!(fixture.used().len(), 1, "nobody has touched it");
            fixture.harness.apply(stop).unwrap();
            others_use(&fixture, path);
            let before = fixture.machine.storage(|storage| storage.ends_of(path));
            let error = fixture.harness.undo(stop).expect_err(path);
            assert!(error.message.contains(why) && error.data.unwrap().help.is_some(), "{path}: {}", error.message);
            assert_eq!(fixture.used(), [""; 0]);
            assert!(fixture.machine.storage(|storage| storage.ends_of(path)) == before, "not one byte changes");
        }
    }
}

#[test]
fn a_creation_is_not_undone_when_something_was_put_there() {
    for (machine, text, path) in PLACES {
        for (others_use, why) in USES {
            let mut fixture = machine();
            let steps = apply(&mut fixture, text);
            swap_off(&fixture);
            others_use(&fixture, path);
            let before = fixture.machine.storage(|storage| storage.ends_of(path));
            for step in steps.iter().rev() {
                let undone = fixture.harness.undo(step);
                if step.action == "create" {
                    let error = undone.expect_err(path);
                    let expected = format!("{path} is kept: ");
                    assert!(error.message.starts_with(&expected) && error.message.contains(why), "{}", error.message);
                    assert!(error.data.unwrap().help.is_some());
                }
            }
            assert!(fixture.machine.storage(|storage| storage.ends_of(path)) == before, "not one byte changes");
        }
        // What nobody has touched goes.
        let mut fixture = machine();
        for step in apply(&mut fixture, text).iter().rev() {
            fixture.harness.undo(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
        }
        assert!(!fixture.host.root.exists(path).unwrap(), "{path}");
    }
}

#[test]
fn what_was_planned_while_it_was_swap_is_not_done_to_what_came_after() {
    let encrypted = format!("{VOLUME}encrypted = true\nallow-destructive = true\n");
    for (machine, text, path) in PLACES {
        let (smaller, gone) = match text {
            VOLUME => (text.replace('2', "1"), GONE_VOLUME),
            _ => (text.replace("64", "32"), GONE_FILE),
        };
        let mut ways = vec![(smaller, "resize", path), (gone.to_owned(), "destroy", path)];
        if path.starts_with("/dev/zvol/dsk/") {
            ways.push((encrypted.clone(), "recreate", "rpool/swap1"));
        }
        for (other, action, resource) in &ways {
            for (others_use, why) in USES {
                let mut fixture = machine();
                apply(&mut fixture, text);
                let steps = fixture.plan(other);
                swap_off(&fixture);
                others_use(&fixture, path);
                let before = fixture.machine.storage(|storage| storage.ends_of(path));
                let error = fixture.harness.apply(step(&steps, action, resource)).expect_err(action);
                assert!(error.message.contains(why) && error.data.unwrap().help.is_some(), "{}", error.message);
                assert!(fixture.machine.storage(|storage| storage.ends_of(path)) == before, "not one byte changes");
            }
        }
    }
}

/// illumos writes no header: what cannot be told from a file system is not written over, until a new plan has seen it.
#[test]
fn what_is_out_of_use_since_the_plan_is_looked_at_by_a_new_plan() {
    let mut fixture = illumos();
    apply(&mut fixture, VOLUME);
    let steps = fixture.plan(GONE_VOLUME);
    swap_off(&fixture);
    let error = fixture.harness.apply(steps.last().unwrap()).unwrap_err();
    assert!(error.message.contains("may have put it to another use: it holds something unknown"), "{}", error.message);
    fixture.converge_up_to(GONE_VOLUME, Risk::Destructive);
}

/// After a boot nodes come late, and until then nobody knows what is on the volumes, whatever the record, a row or a permission say.
#[test]
fn a_volume_whose_node_has_not_appeared_yet_is_used_when_it_has() {
    for mut fixture in [illumos(), linux_with_zfs()] {
        let node = sysconfig_platform::zfs::volume_path(fixture.host.system(), "rpool/swap1");
        apply(&mut fixture, VOLUME);
        swap_off(&fixture);
        fixture.machine.storage(|storage| storage.pull(&node, false));
        for text in [VOLUME, &format!("{VOLUME}allow-destructive = true\n"), GONE_VOLUME] {
            let steps = fixture.plan(text);
            assert_eq!(summaries(&steps), [format!("leave {node} alone: its device has not appeared yet")]);
        }
        fixture.machine.storage(|storage| storage.pull(&node, true));
        assert_eq!(fixture.converge(VOLUME), [format!("use {node} as swap")]);
    }
}

/// The kernel goes on to swap to a file without a name, and a new one at its path is not it.
#[test]
fn a_file_that_was_removed_while_in_use_is_made_anew() {
    let mut fixture = linux();
    apply(&mut fixture, FILE);
    std::fs::remove_file(fixture.host.root.locate("/var/swap")).unwrap();
    fixture.machine.storage(|storage| "/var/swap (deleted)".clone_into(&mut storage.swaps[0].path));
    fixture.machine.storage(Storage::refresh);
    let done = fixture.converge(FILE);
    assert_eq!(done, ["create the file /var/swap with 64 MiB", "use /var/swap as swap"]);
    assert_eq!(fixture.used(), ["/var/swap (deleted) 64", "/var/swap 64"]);
    let told =
        |fixture: &Fixture| fixture.harness.logs().iter().any(|log| log.message.contains("was removed while it was"));
    assert!(told(&fixture));
    fixture.converge(&FILE.replace("64", "32"));
    fixture.converge(NOTHING);
    assert_eq!(fixture.used(), ["/var/swap (deleted) 64"]);
}

/// The label of the pool is in a slice that nobody was to look at.
#[test]
fn a_disk_with_an_imported_pool_in_a_slice_is_left_alone_whatever_is_permitted() {
    for name in ["c5t0d0p0", "c5t0d0p1", "c5t0d0s2"] {
        let mut fixture = illumos();
        let device = format!("/dev/dsk/{name}");
        fixture.machine.storage(|storage| {
            storage.add_device("/dev/dsk/c5t0d0s1", 64 << 20, None);
            storage.add_device(&device, 64 << 20, Some("ufs"));
        });
        fixture.machine.type_in("zpool create other /dev/dsk/c5t0d0s1");
        let steps = fixture.plan(&format!("[[storage.swap]]\ndevice = \"{device}\"\nallow-destructive = true\n"));
        let why = "it is in use: it is part of the imported pool other";
        assert_eq!(summaries(&steps), [format!("leave {device} alone: {why}")]);
    }
    // One that becomes a member after the plan is left alone, too.
    let mut fixture = illumos();
    fixture.machine.storage(|storage| {
        storage.add_device("/dev/dsk/c5t0d0s1", 64 << 20, None);
        storage.add_device("/dev/dsk/c5t0d0p1", 64 << 20, Some("ufs"));
    });
    let steps = fixture.plan("[[storage.swap]]\ndevice = \"/dev/dsk/c5t0d0p1\"\nallow-destructive = true\n");
    fixture.machine.type_in("zpool create other /dev/dsk/c5t0d0s1");
    let error = fixture.harness.apply(&steps[0]).unwrap_err();
    assert!(error.message.contains("part of the imported pool other"), "{}", error.message);
}
