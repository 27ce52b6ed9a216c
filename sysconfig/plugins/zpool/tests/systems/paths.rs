//! illumos without multipathing: one disk with two names, each of a path to it.

use crate::support::{DISK, Fixture, tank};

/// Another path to the disk `c0t0d0`: `c1t0d0`, with all nodes that the disk has by now.
fn second_path(fixture: &Fixture, is_known: bool) {
    for part in ["p0", "s0", "s3"] {
        let node = |controller: u8| fixture.host.root.locate(format!("/dev/rdsk/c{controller}t0d0{part}"));
        if node(0).exists() {
            std::fs::hard_link(node(0), node(1)).unwrap();
        }
    }
    if is_known {
        fixture.machine.storage(|storage| {
            for (disk, driver) in [("c0t0d0", "sd"), ("c1t0d0", "ssd")] {
                storage.devids.insert(disk.to_owned(), format!("id1,{driver}@n600a0b80001234"));
            }
            storage.devids.insert("c0t1d0".to_owned(), "id1,sd@n600a0b80005678".to_owned());
        });
    }
}

fn permitted(disk: &str) -> String {
    tank(&format!("vdevs = [\"c#{disk}\"]\nallow-destructive = [\"c#{disk}\"]"))
}

#[test]
fn a_disk_that_is_used_by_one_path_is_in_use_by_the_other() {
    let mut fixture = Fixture::illumos();
    fixture.machine.storage(|storage| storage.add_file("/dev/rdsk/c0t0d0s3", DISK / 2));
    second_path(&fixture, true);
    fixture.machine.storage(|storage| storage.add_mount("/dev/dsk/c0t0d0s3", "/export", "ufs", &[]));
    let said = "is in use: /dev/dsk/c0t0d0s3 is mounted on /export, and is another path to it by the identifier \
                n600a0b80001234";
    for disk in ["1t0d0", "1t0d0s3"] {
        assert_eq!(fixture.refusals(&permitted(disk)), [format!("/dev/dsk/c{disk} {said}")]);
        assert_eq!(
            sysconfig_platform::device::used_by_other_path(&fixture.host, &format!("/dev/dsk/c{disk}")).unwrap(),
            Some(said.trim_start_matches("is in use: ").to_owned())
        );
    }
    let own = sysconfig_platform::device::used_by_other_path(&fixture.host, "/dev/dsk/c0t0d0");
    assert_eq!(own.unwrap(), None, "by its own path it is known to the kernel");
    // Another slice is another device, and another disk another one.
    fixture.converge(&tank(r#"vdevs = ["c#0t1d0"]"#));
    fixture.machine.storage(|storage| storage.add_file("/dev/rdsk/c1t0d0s4", DISK));
    let steps = fixture.plan(&permitted("1t0d0s4").replace("tank", "other"));
    assert_eq!(steps[0].action, "create");
}

#[test]
fn both_paths_are_not_given_to_a_pool() {
    let mut fixture = Fixture::illumos();
    second_path(&fixture, true);
    let refusals = fixture.refusals(&tank(r#"vdevs = [{ mirror = ["c#0t0d0", "c#1t0d0"] }]"#));
    let said = "is /dev/dsk/c1t0d0, which is configured as well, or has a part in common with it";
    assert!(refusals.iter().any(|refusal| *refusal == format!("/dev/dsk/c0t0d0 {said}")), "{refusals:?}");
    assert_eq!(fixture.commands(), [""; 0]);
}

/// The label that both show tells it, also where the kernel does not know the disk by anything.
#[test]
fn a_member_of_a_pool_is_one_by_both_paths() {
    for is_known in [true, false] {
        let mut fixture = Fixture::illumos();
        fixture.machine.type_in("zpool create tank mirror /dev/dsk/c0t0d0 /dev/dsk/c0t1d0");
        second_path(&fixture, is_known);
        let other = permitted("1t0d0").replace("tank", "other");
        let steps = fixture.plan(&other);
        assert!(
            steps[0].summary.ends_with("/dev/dsk/c1t0d0 is part of the imported pool tank"),
            "{}",
            steps[0].summary
        );
        assert_eq!(fixture.plan(&tank(r#"vdevs = [{ mirror = ["c#1t0d0", "c#0t1d0"] }]"#)), []);
    }
}

/// What cheap bridges give is the same for all of them, and what the kernel has made up is copied with the disk.
#[test]
fn one_identifier_of_two_disks() {
    let same = |fixture: &Fixture, devid: &str| {
        for disk in ["c0t0d0", "c0t1d0"] {
            fixture.machine.storage(|storage| storage.devids.insert(disk.to_owned(), devid.to_owned()));
        }
    };
    let mirror = tank(r#"vdevs = [{ mirror = ["c#0t0d0", "c#0t1d0"] }]"#);
    let mut fixture = Fixture::illumos();
    same(&fixture, "id1,cmdk@f5f0e0a7c4b1");
    assert_eq!(fixture.plan(&mirror)[0].action, "create", "made up");
    let mut fixture = Fixture::illumos();
    same(&fixture, "id1,sd@sUSB-BRIDGE-0123");
    assert_eq!(fixture.plan(&mirror)[0].action, "refuse", "nothing tells blank ones of one size apart");
    fixture.machine.storage(|storage| storage.add_disk("c0t1d0", DISK + (8 << 20)));
    assert_eq!(fixture.plan(&mirror)[0].action, "create", "their sizes do");
    let mut fixture = Fixture::illumos();
    same(&fixture, "id1,sd@sUSB-BRIDGE-0123");
    fixture.machine.type_in("zpool create tank /dev/dsk/c0t0d0");
    assert_eq!(fixture.converge(&mirror), ["attach /dev/dsk/c0t1d0 to /dev/dsk/c0t0d0s0 of the pool tank"]);
}
