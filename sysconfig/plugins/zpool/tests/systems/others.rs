//! Pools that are there under another name, of the same name, on other devices, or not imported.

use crate::matrix::long;
use crate::support::{Fixture, SYSTEMS, tank};
use sysconfig_platform::System;

#[test]
fn pools_that_are_there_and_others() {
    for system in SYSTEMS {
        others(system);
    }
}

fn others(system: System) {
    let long = |text: &str| long(system, text);
    // Of the same name, on other devices.
    let mut fixture = Fixture::start(system);
    fixture.machine.type_in(&long("zpool create tank c#5"));
    fixture.machine.type_in("zpool export tank");
    let guid = fixture.machine.storage(|storage| storage.exported[0].guid);
    let text = tank(&long(r#"vdevs = ["c#0"]"#));
    assert_eq!(
        fixture.refusals(&text),
        [format!("a pool of this name is on other devices than configured (guid {guid})")]
    );
    // Two of the same name: the one whose devices are configured.
    fixture.machine.type_in(&long("zpool create tank c#6"));
    fixture.machine.type_in("zpool export tank");
    let both: Vec<_> = fixture.machine.storage(|storage| storage.exported.iter().map(|pool| pool.guid).collect());
    let unnamed = "[[storage.pool]]\nname = \"tank\"\n";
    let refusals = fixture.refusals(unnamed);
    assert_eq!(
        refusals,
        [format!("several pools of this name can be imported, with the guids {}, {}", both[0], both[1])]
    );
    fixture.converge(&tank(&long(r#"vdevs = ["c#6"]"#)));
    assert_eq!(fixture.machine.storage(|storage| storage.pools["tank"].guid), both[1]);
    // Imported under the name, and another guid than asked for.
    let other = tank(&format!("guid = \"{}\"", both[0]));
    assert_eq!(fixture.refusals(&other), [format!("another pool of this name is imported, with the guid {}", both[1])]);
    // The right guid under another name.
    let renamed = format!("[[storage.pool]]\nname = \"data\"\nguid = \"{}\"\n", both[1]);
    let steps = fixture.plan(&renamed);
    assert!(
        steps[0].summary.contains(&format!("the pool with the guid {} is imported as tank", both[1])),
        "{}",
        steps[0].summary
    );
    // A guid that is nowhere is never made.
    let nowhere = long("[[storage.pool]]\nname = \"new\"\nguid = \"5\"\nvdevs = [\"c#1\"]\n");
    assert!(fixture.plan(&nowhere)[0].summary.contains("the pool with the guid 5 is not on any device"));
}

#[test]
fn an_imported_pool_is_extended_in_the_same_plan() {
    for system in SYSTEMS {
        let long = |text: &str| long(system, text);
        let mut fixture = Fixture::start(system);
        fixture.machine.type_in(&long("zpool create tank c#0"));
        fixture.machine.type_in("zpool export tank");
        let done = fixture.converge(&tank(&long("vdevs = [{ mirror = [\"c#0\", \"c#1\"] }]\nspares = [\"c#2\"]")));
        assert_eq!(done.len(), 4, "{done:?}");
    }
}

/// Caches and spares bear no label of their pool; that it has them is known from the pool before it is imported.
#[test]
fn a_device_that_an_exported_pool_uses_otherwise_is_refused_in_the_same_plan() {
    for system in SYSTEMS {
        for (before, wanted) in [("spare", "cache"), ("cache", "log"), ("log", "spares")] {
            let mut fixture = Fixture::start(system);
            fixture.machine.type_in(&long(system, &format!("zpool create tank c#0 {before} c#1")));
            fixture.machine.type_in("zpool export tank");
            let allowed = "allow-destructive = [\"c#1\"]";
            let text = tank(&long(system, &format!("vdevs = [\"c#0\"]\n{wanted} = [\"c#1\"]\n{allowed}")));
            let refusals = fixture.refusals(&text);
            assert!(refusals.len() == 1 && refusals[0].contains("part of the pool tank"), "{before}: {refusals:?}");
            let steps = fixture.plan(&text);
            assert_eq!(steps[0].action, "import");
            fixture.harness.apply(&steps[0]).unwrap();
            assert_eq!(fixture.refusals(&text).len(), 1, "and so it is afterwards");
        }
    }
}

#[test]
fn disks_that_changed_their_names_are_known_by_their_guids() {
    let mut fixture = Fixture::illumos();
    fixture.machine.type_in("zpool create tank mirror /dev/dsk/c0t0d0 /dev/dsk/c0t1d0");
    // The controller got another number: the same disks, and a pool that still says where they were.
    for part in ["p0", "s0"] {
        for disk in 0..2 {
            let node = |controller: u8| fixture.host.root.locate(format!("/dev/rdsk/c{controller}t{disk}d0{part}"));
            std::fs::hard_link(node(0), node(4)).unwrap();
        }
    }
    assert_eq!(fixture.converge(&tank(r#"vdevs = [{ mirror = ["c#4t0d0", "c#4t1d0"] }]"#)), [""; 0]);
}
