//! Where file systems of pools come to be mounted, and what is there.

use crate::support::{Fixture, SYSTEMS, disk, summaries, tank};

#[test]
fn a_root_dataset_that_is_not_mounted_is_mounted_where_nothing_is_hidden() {
    for system in SYSTEMS {
        let mut fixture = Fixture::start(system);
        let text = tank(&format!("vdevs = [\"{}\"]\nroot-properties = {{ mountpoint = \"/data\" }}", disk(system, 0)));
        fixture.converge(&text);
        fixture.machine.type_in("zfs unmount tank");
        let steps = fixture.plan(&text);
        assert_eq!(summaries(&steps), ["mount the root dataset of the pool tank at /data"]);
        // A program has written where the data should be.
        let directory = fixture.host.root.locate("/data");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("log"), "x").unwrap();
        let error = fixture.harness.apply(&steps[0]).unwrap_err();
        assert!(error.chain().contains("the directory is not empty"), "{}", error.chain());
        assert!(directory.join("log").exists() && fixture.commands().last().unwrap() == "zfs unmount tank");
        // Seen beforehand it is a refusal, which does not hold up another pool.
        let other = tank(&format!("vdevs = [\"{}\"]", disk(system, 1))).replace("tank", "other");
        let both = fixture.plan(&format!("{text}{other}"));
        let refusal = "not done: pool tank: its root dataset cannot be mounted at /data: the directory is not empty";
        assert_eq!(summaries(&both)[1..], [refusal]);
        fixture.harness.apply(&both[0]).unwrap();
        fixture.machine.type_in("zpool export other");
        std::fs::remove_file(directory.join("log")).unwrap();
        fixture.converge(&text);
        fixture.harness.undo(&steps[0]).unwrap();
        assert_eq!(summaries(&fixture.plan(&text)), summaries(&steps));
        // It is not mounted by itself when that is what is wanted.
        fixture.machine.type_in("zfs set canmount=noauto tank");
        assert_eq!(fixture.plan(&text), []);
    }
}

/// A directory with somebody's file in it.
fn fill(fixture: &Fixture, place: &str) -> std::path::PathBuf {
    let directory = fixture.host.root.locate(place);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("theirs"), "x").unwrap();
    directory.join("theirs")
}

/// Where the file systems of the pool are mounted.
fn places(fixture: &Fixture) -> Vec<String> {
    let mounted = fixture.machine.storage(|storage| storage.mounted());
    let places = mounted.iter().filter(|mount| mount.starts_with("tank"));
    places.filter_map(|mount| mount.split(' ').nth(2)).map(str::to_owned).collect()
}

#[test]
fn a_root_dataset_never_moves_over_what_is_there() {
    for system in SYSTEMS {
        let mut fixture = Fixture::start(system);
        let text = |place: &str| {
            tank(&format!("vdevs = [\"{}\"]\nroot-properties = {{ mountpoint = \"{place}\" }}", disk(system, 0)))
        };
        fill(&fixture, "/home");
        let refusal = "its root dataset cannot be mounted at /home: the directory is not empty";
        assert_eq!(fixture.refusals(&text("/home")), [refusal], "nor is a pool made there");
        fixture.converge(&text("/data"));
        assert_eq!(fixture.refusals(&text("/home")), [refusal]);
        // It was free when that was planned.
        let steps = fixture.plan(&text("/srv"));
        let theirs = fill(&fixture, "/srv");
        let error = fixture.harness.apply(&steps[0]).unwrap_err();
        assert!(
            error.chain().contains("tank would be mounted at /srv: the directory is not empty"),
            "{}",
            error.chain()
        );
        std::fs::remove_file(theirs).unwrap();
        fixture.harness.apply(&steps[0]).unwrap();
        // And so it is on the way back.
        fill(&fixture, "/data");
        let error = fixture.harness.undo(&steps[0]).unwrap_err();
        assert!(error.chain().contains("tank would be mounted at /data"), "{}", error.chain());
        assert_eq!(places(&fixture), ["/srv"]);
    }
}

/// ZFS moves what follows the root dataset, and may mount at once what is not mounted: because that had no mount point, or shares it.
#[test]
fn what_follows_the_root_dataset_is_not_mounted_over_what_is_there() {
    let roots =
        ["canmount=off", "canmount=noauto", "mountpoint=none canmount=off", "mountpoint=legacy canmount=noauto"];
    // What was never away is mounted, but for its root dataset.
    let aways: [&[&str]; 3] = [&[], &["zpool export tank"], &["zpool export tank", "zpool import -N tank"]];
    for (system, root) in SYSTEMS.into_iter().flat_map(|system| roots.map(|root| (system, root))) {
        for away in aways.into_iter().filter(|away| !away.is_empty() || root == "canmount=off") {
            let mut fixture = Fixture::start(system);
            fixture.machine.type_in(&format!("zpool create tank {}", disk(system, 0)));
            fixture.machine.type_in("zfs create tank/home");
            for property in root.split(' ') {
                fixture.machine.type_in(&format!("zfs set {property} tank"));
            }
            away.iter().for_each(|line| drop(fixture.machine.type_in(line)));
            let theirs = fill(&fixture, "/export/home");
            let text =
                tank(&format!("vdevs = [\"{}\"]\nroot-properties = {{ mountpoint = \"/export\" }}", disk(system, 0)));
            let steps = fixture.plan(&text);
            let (before, set) = steps.split_at(steps.iter().position(|step| step.action == "set").unwrap());
            for step in before {
                fixture.harness.apply(step).unwrap();
            }
            let error = fixture.harness.apply(&set[0]).unwrap_err();
            let said = "tank/home would be mounted at /export/home: the directory is not empty";
            assert!(error.chain().contains(said), "{root} {away:?} {}", error.chain());
            assert!(!places(&fixture).contains(&"/export/home".to_owned()), "{root} {away:?}");
            std::fs::remove_file(theirs).unwrap();
            fixture.harness.apply(&set[0]).unwrap();
        }
    }
}

/// The root dataset itself, too, when it had no mount point: what it is like is not known before the import.
#[test]
fn a_root_dataset_without_a_mount_point_gets_none_over_what_is_there() {
    for system in SYSTEMS {
        let mut fixture = Fixture::start(system);
        fixture.machine.type_in(&format!("zpool create -m none tank {}", disk(system, 0)));
        fixture.machine.type_in("zpool export tank");
        let text = tank(&format!("vdevs = [\"{}\"]\nroot-properties = {{ mountpoint = \"/data\" }}", disk(system, 0)));
        let steps = fixture.plan(&text);
        fixture.harness.apply(&steps[0]).unwrap();
        fill(&fixture, "/data");
        let error = fixture.harness.apply(&steps[1]).unwrap_err();
        let said = "tank would be mounted at /data: the directory is not empty";
        assert!(error.chain().contains(said), "{}", error.chain());
        assert_eq!(places(&fixture), [""; 0]);
    }
}

/// On Linux `zpool import` would cover the homes of the machine.
#[test]
fn an_import_mounts_nothing_over_what_is_there() {
    for system in SYSTEMS {
        let mut fixture = Fixture::start(system);
        fixture.machine.type_in(&format!("zpool create tank {}", disk(system, 0)));
        for line in [
            "zfs create -o mountpoint=/home tank/home",
            "zfs create tank/home/x",
            "zfs create tank/y",
            "zpool export tank",
        ] {
            fixture.machine.type_in(line);
        }
        let theirs = fill(&fixture, "/home");
        let text = tank(&format!("vdevs = [\"{}\"]", disk(system, 0)));
        let steps = fixture.plan(&text);
        fixture.harness.apply(&steps[0]).unwrap();
        assert_eq!(places(&fixture), [""; 0]);
        let error = fixture.harness.apply(&steps[1]).unwrap_err();
        let said = "tank/home at /home: the directory is not empty; tank/home/x at /home/x: /home is not free";
        assert!(error.chain().contains(said), "{}", error.chain());
        assert_eq!(places(&fixture), ["/tank", "/tank/y"]);
        // It is not forgotten.
        assert_eq!(summaries(&fixture.plan(&text)), ["mount the file systems of the pool tank"]);
        // And no other pool waits for it.
        let other = tank(&format!("vdevs = [\"{}\"]", disk(system, 1))).replace("tank", "other");
        let steps = fixture.plan(&format!("{text}{other}"));
        assert_eq!(steps.last().map(|step| step.summary.as_str()), Some("mount the file systems of the pool tank"));
        assert!(steps.len() > 1 && steps[0].action == "create", "{:?}", summaries(&steps));
        std::fs::remove_file(theirs).unwrap();
        fixture.converge(&text);
        assert_eq!(places(&fixture), ["/tank", "/tank/y", "/home", "/home/x"]);
    }
}

/// Where the pool was mounted before is of no account.
#[test]
fn an_imported_pool_is_mounted_where_it_is_configured_to_be() {
    for system in SYSTEMS {
        let mut fixture = Fixture::start(system);
        fixture.machine.type_in(&format!("zpool create -m /data tank {}", disk(system, 0)));
        for line in ["zfs create tank/home", "zpool export tank"] {
            fixture.machine.type_in(line);
        }
        fill(&fixture, "/data");
        let root = "root-properties = { mountpoint = \"/archive\" }";
        fixture.converge(&tank(&format!("vdevs = [\"{}\"]\n{root}", disk(system, 0))));
        assert_eq!(places(&fixture), ["/archive", "/archive/home"]);
    }
}

/// `zfs mount` shares nothing by itself, and `zpool import` would have.
#[test]
fn what_an_import_mounts_is_shared_as_its_properties_say() {
    for system in SYSTEMS {
        let mut fixture = Fixture::start(system);
        fixture.machine.type_in(&format!("zpool create tank {}", disk(system, 0)));
        for line in [
            "zfs create -o sharenfs=on tank/nfs",
            "zfs create tank/nfs/below",
            "zfs create -o sharesmb=name=x tank/smb",
            "zfs create -o sharenfs=on -o mountpoint=legacy tank/legacy",
            "zfs create tank/own",
            "zpool export tank",
        ] {
            fixture.machine.type_in(line);
        }
        let shared = |fixture: &Fixture| fixture.machine.storage(|storage| storage.shared.clone());
        assert!(shared(&fixture).is_empty());
        fixture.converge(&tank(&format!("vdevs = [\"{}\"]", disk(system, 0))));
        assert_eq!(Vec::from_iter(shared(&fixture)), ["tank/nfs", "tank/nfs/below", "tank/smb"], "{system}");
    }
}
