//! What was changed and not confirmed: it is taken back as far as that loses nothing.

use crate::support::{Fixture, SYSTEMS, config, disk, summaries, tank};
use sysconfig_platform::System;
use sysconfig_plugin::Outcome;
use sysconfig_protocol::Step;

fn value(fixture: &Fixture, property: &str) -> String {
    let row = fixture.machine.type_in("zfs get -Hp -o name,property,value,source all tank");
    let rows = row.lines().map(|row| row.split('\t').collect::<Vec<_>>());
    rows.filter(|row| row[1] == property).map(|row| row[2].to_owned()).collect()
}

/// Nobody had set them, and what no dataset has from another one, ZFS does not let inherit.
#[test]
fn properties_of_the_root_dataset_that_nobody_had_set() {
    for system in SYSTEMS {
        let mut fixture = Fixture::start(system);
        let plain = format!("vdevs = [\"{}\"]", disk(system, 0));
        fixture.converge(&tank(&plain));
        let wished = "quota = \"64M\", canmount = \"noauto\", atime = \"off\", \"org.example:x\" = \"1\"";
        let wished = tank(&format!("{plain}\nroot-properties = {{ {wished} }}"));
        let properties = ["quota", "canmount", "atime", "org.example:x"];
        let look = |fixture: &Fixture| properties.map(|property| value(fixture, property));
        let before = look(&fixture);
        let steps = fixture.plan(&wished);
        fixture.converge(&wished);
        assert_ne!(look(&fixture), before);
        for step in steps.iter().rev() {
            fixture.harness.undo(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
        }
        assert_eq!(look(&fixture), before);
    }
}

/// The import was an earlier apply's, which was ended before it came to that, and stays.
#[test]
fn what_was_mounted_later_than_the_import_is_unmounted() {
    for system in SYSTEMS {
        let mut fixture = Fixture::start(system);
        fixture.machine.type_in(&format!("zpool create -m /data tank {}", disk(system, 0)));
        fixture.machine.type_in("zfs create tank/a");
        fixture.machine.type_in("zfs unmount tank/a");
        fixture.machine.type_in("zpool export tank");
        let text = tank(&format!("vdevs = [\"{}\"]", disk(system, 0)));
        let import = fixture.plan(&text).remove(0);
        assert_eq!(import.action, "import");
        fixture.harness.apply(&import).unwrap();
        let steps = fixture.plan(&text);
        assert_eq!(
            steps.iter().map(|step| step.summary.as_str()).collect::<Vec<_>>(),
            ["mount the file systems of the pool tank"]
        );
        fixture.harness.apply(&steps[0]).unwrap();
        let mounted = |fixture: &Fixture| value(fixture, "mounted");
        assert_eq!(mounted(&fixture), "yes");
        // Whoever uses it keeps it, and is named.
        fixture.machine.storage(|storage| storage.set_users("/data", &[(99, "sleep")]));
        let error = fixture.harness.undo(&steps[0]).unwrap_err();
        assert!(error.message.contains("/data is used by sleep (process 99)"), "{error:?}");
        fixture.machine.storage(|storage| storage.set_users("/data", &[]));
        for outcome in [Outcome::Changed, Outcome::AlreadySo] {
            assert_eq!(fixture.harness.undo(&steps[0]), Ok(outcome));
            assert_eq!(mounted(&fixture), "no");
        }
        // The next apply is to mount it.
        fixture.harness.configure(config(&text));
        fixture.converge(&text);
        assert_eq!(mounted(&fixture), "yes");
    }
}

/// A pool on the first disk with these file systems, imported and with nothing mounted; what is configured.
fn imported(system: System, datasets: &[&str]) -> (Fixture, String) {
    let mut fixture = Fixture::start(system);
    fixture.machine.type_in(&format!("zpool create tank {}", disk(system, 0)));
    for dataset in datasets {
        fixture.machine.type_in(&format!("zfs create {dataset}"));
    }
    fixture.machine.type_in("zpool export tank");
    let text = tank(&format!("vdevs = [\"{}\"]", disk(system, 0)));
    let import = fixture.plan(&text).remove(0);
    fixture.harness.apply(&import).unwrap();
    (fixture, text)
}

/// The step that mounts what the pool has, and nothing else planned.
fn mounting(fixture: &mut Fixture, text: &str) -> Step {
    let mut steps = fixture.plan(text);
    assert_eq!(summaries(&steps), ["mount the file systems of the pool tank"]);
    steps.remove(0)
}

fn mounted(fixture: &Fixture) -> Vec<String> {
    let all = fixture.machine.storage(|storage| storage.mounted());
    let its = all.iter().filter_map(|mount| mount.split(' ').next()).filter(|device| device.starts_with("tank"));
    its.map(str::to_owned).collect()
}

/// The last one was unmounted already: the next apply mounts it again.
#[test]
fn an_undo_that_somebody_stops_is_mended_by_the_next_apply() {
    for system in SYSTEMS {
        let (mut fixture, text) = imported(system, &["tank/a", "tank/b"]);
        let step = mounting(&mut fixture, &text);
        fixture.harness.apply(&step).unwrap();
        fixture.machine.storage(|storage| storage.set_users("/tank/a", &[(99, "sleep")]));
        fixture.harness.undo(&step).unwrap_err();
        assert_eq!(mounted(&fixture), ["tank", "tank/a"]);
        fixture.converge(&text);
        assert_eq!(mounted(&fixture), ["tank", "tank/a", "tank/b"]);
    }
}

/// What an earlier apply has mounted, and somebody works in since, is not the later one's to unmount.
#[test]
fn an_undo_unmounts_what_its_own_apply_has_mounted() {
    for system in SYSTEMS {
        let (mut fixture, text) = imported(system, &["tank/a", "tank/b"]);
        let step = mounting(&mut fixture, &text);
        fixture.machine.type_in("zfs set mountpoint=/srv tank/b");
        let theirs = fixture.host.root.locate("/srv/theirs");
        std::fs::create_dir_all(theirs.parent().unwrap()).unwrap();
        std::fs::write(&theirs, "x").unwrap();
        fixture.harness.apply(&step).unwrap_err();
        std::fs::remove_file(&theirs).unwrap();
        let step = mounting(&mut fixture, &text);
        fixture.harness.apply(&step).unwrap();
        // The daemon that was killed then carries it out once more.
        assert_eq!(fixture.harness.apply(&step), Ok(Outcome::AlreadySo));
        assert_eq!(mounted(&fixture), ["tank", "tank/a", "tank/b"]);
        assert_eq!(fixture.harness.undo(&step), Ok(Outcome::Changed));
        assert_eq!(mounted(&fixture), ["tank", "tank/a"]);
    }
}

/// What was mounted and is gone since needs no unmounting.
#[test]
fn an_undo_passes_over_what_is_gone() {
    for system in SYSTEMS {
        let (mut fixture, text) = imported(system, &["tank/a", "tank/b"]);
        let step = mounting(&mut fixture, &text);
        fixture.harness.apply(&step).unwrap();
        fixture.machine.type_in("zfs destroy tank/b");
        assert_eq!(fixture.harness.undo(&step), Ok(Outcome::Changed));
        assert_eq!(mounted(&fixture), [""; 0]);
    }
}
