//! What a command leaves that has failed: `zpool` puts tables on whole disks before anything that can be wrong.

use crate::support::{DISK, Fixture, SYSTEMS, disk, summaries, tank};
use sysconfig_platform::System;

/// A pool that ZFS refuses when its disk has a table already: that of its name is imported meanwhile.
fn failed(system: System) -> (Fixture, String) {
    let mut fixture = Fixture::start(system);
    let text = tank(&format!("vdevs = [\"{}\"]", disk(system, 0)));
    let bad = format!("{text}root-properties = {{ compression = \"zle-9\" }}\n");
    let steps = fixture.plan(&bad);
    let error = fixture.harness.apply(&steps[0]).unwrap_err();
    assert!(error.chain().contains("compression"), "{}", error.chain());
    (fixture, text)
}

#[test]
fn a_disk_that_a_failed_creation_has_prepared_is_blank_still() {
    for system in SYSTEMS {
        let (mut fixture, text) = failed(system);
        assert_eq!(fixture.converge(&text).len(), 1);
    }
}

#[test]
fn what_has_come_to_be_on_it_since_is_somebodys() {
    for system in SYSTEMS {
        for at in [64 << 10, 1 << 20, 40 << 20, DISK - (20 << 10)] {
            let (mut fixture, text) = failed(system);
            let path = disk(system, 0);
            fixture.machine.storage(|storage| storage.scribble(&path, at, &[7; 4096]));
            let steps = fixture.plan(&text);
            assert!(steps[0].summary.contains(" holds a GUID partition table"), "{at}: {:?}", summaries(&steps));
        }
    }
}

#[test]
fn a_table_that_was_there_before_is_somebodys() {
    for system in SYSTEMS {
        let (fixture, text) = failed(system);
        let record = fixture.host.root.locate("/var/lib/sysconfig/zpool.json");
        std::fs::remove_file(record).unwrap();
        let mut fixture = fixture;
        assert!(fixture.refusals(&text)[0].contains("holds a GUID partition table"));
    }
}
