//! Datasets.

use crate::support::{Fixture, illumos_with_tank, linux, linux_with_zfs, summaries};
use sysconfig_platform::fake::storage::{FakeDataset, Storage};
use sysconfig_plugin::Risk;

const DATA: &str = "[[storage.dataset]]\nname = \"tank/data\"\n\
    properties = { mountpoint = \"/data\", compression = \"lz4\", quota = \"10 GiB\", casesensitivity = \"mixed\", atime = false }\n";

#[test]
fn properties_are_set_at_creation_and_kept() {
    for mut fixture in [illumos_with_tank(), linux_with_zfs()] {
        assert_eq!(fixture.converge(DATA), ["create the dataset tank/data at /data"]);
        assert_eq!(fixture.mounted(), ["tank/data on /data zfs (rw)"]);
        let creating = fixture.machine.commands().into_iter().find(|line| line.contains("zfs create")).unwrap();
        assert!(creating.contains("casesensitivity=mixed") && creating.contains("quota=10737418240"), "{creating}");
        let changed = DATA.replace("lz4", "zle").replace("10 GiB", "none");
        assert_eq!(fixture.converge(&changed), ["set compression=zle, quota=none on tank/data"]);
        fixture.machine.storage(|storage| {
            let data = storage.datasets.get_mut("tank/data").unwrap();
            data.properties.insert("compression".to_owned(), "off".to_owned());
        });
        assert_eq!(fixture.converge(&changed), ["set compression=zle on tank/data"], "somebody's change is undone");
    }
}

#[test]
fn what_leaves_the_properties_is_given_back() {
    let mut fixture = illumos_with_tank();
    fixture.converge(DATA);
    let fewer = "[[storage.dataset]]\nname = \"tank/data\"\nproperties = { mountpoint = \"/data\", casesensitivity = \"mixed\" }\n";
    let done = fixture.converge(fewer);
    assert_eq!(done, ["set no atime, no compression, no quota on tank/data"]);
    let data = fixture.machine.storage(|storage| storage.datasets["tank/data"].clone());
    assert_eq!((data.local("compression"), data.local("quota")), (None, Some("0")), "a quota is not inherited");
    assert_eq!(data.local("mountpoint"), Some("/data"));
}

#[test]
fn a_dataset_that_leaves_the_configuration_stays() {
    let mut fixture = illumos_with_tank();
    fixture.converge(DATA);
    assert_eq!(fixture.converge("[[storage.dataset]]\nname = \"tank/other\"\n").len(), 1);
    assert!(fixture.machine.storage(|storage| storage.datasets["tank/data"].mounted));
    let said = |fixture: &Fixture, name: &str| {
        let text = format!("{name} is no longer configured; it is kept");
        fixture.harness.logs().iter().filter(|log| log.message.starts_with(&text)).count()
    };
    assert_eq!(said(&fixture, "tank/data"), 1);
    // With none left it is told of the last one as well.
    assert_eq!(fixture.converge("[storage]\nmount = []\n"), [""; 0]);
    assert_eq!((said(&fixture, "tank/data"), said(&fixture, "tank/other")), (1, 1));
    fixture.machine.storage(|storage| storage.has_zfs = false);
    assert_eq!(fixture.converge("[storage]\nmount = []\n"), [""; 0], "mounts need no ZFS");
}

#[test]
fn one_that_somebody_has_made_anew_is_not_destroyed() {
    let mut fixture = illumos_with_tank();
    fixture.converge(DATA);
    let absent = "[[storage.dataset]]\nname = \"tank/data\"\nabsent = true\nallow-destructive = true\n";
    let steps = fixture.plan(absent);
    fixture.machine.storage(|storage| {
        let data = storage.datasets.get_mut("tank/data").unwrap();
        data.properties.remove("sysconfig:owner");
    });
    let error = fixture.harness.apply(&steps[0]).unwrap_err();
    assert!(error.message.starts_with("cannot destroy tank/data: it is another one"), "{error:?}");
    assert!(fixture.machine.storage(|storage| storage.datasets.contains_key("tank/data")));
}

#[test]
fn parents_come_before_children_and_places_before_what_lies_in_them() {
    let mut fixture = illumos_with_tank();
    fixture.machine.storage(|storage| storage.add_device("/dev/dsk/c1t0d0s6", 1 << 30, Some("ufs")));
    let text = "[[storage.dataset]]\nname = \"tank/a/b\"\nproperties = { mountpoint = \"/srv/disk/b\" }\n\
        [[storage.dataset]]\nname = \"tank/a\"\nproperties = { mountpoint = \"/srv\" }\n\
        [[storage.dataset]]\nname = \"tank/l\"\nproperties = { mountpoint = \"legacy\" }\n\
        [[storage.mount]]\ndevice = \"tank/l\"\nmountpoint = \"/srv/disk/b/legacy\"\ntype = \"zfs\"\n\
        [[storage.mount]]\ndevice = \"/dev/dsk/c1t0d0s6\"\nmountpoint = \"/srv/disk\"\ntype = \"ufs\"\n";
    fixture.converge(text);
    let order: Vec<String> = fixture.mounted().iter().map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect();
    assert_eq!(order, ["/srv", "/srv/disk", "/srv/disk/b", "/srv/disk/b/legacy"]);
    let rows = fixture.read("/etc/vfstab");
    assert!(rows.ends_with(
        "/dev/dsk/c1t0d0s6\t/dev/rdsk/c1t0d0s6\t/srv/disk\tufs\t-\tyes\t-\ntank/l\t-\t/srv/disk/b/legacy\tzfs\t-\tyes\t-\n"
    ));
    let done = fixture.converge(&text.split("[[storage.mount]]").next().map(|text| format!("{text}[[storage.mount]]\ndevice = \"/dev/dsk/c1t0d0s6\"\nmountpoint = \"/srv/disk\"\ntype = \"ufs\"\n")).unwrap());
    assert_eq!(done.len(), 2, "the legacy mount goes, with its row: {done:?}");
}

#[test]
fn an_unmounted_dataset_is_mounted_again() {
    let mut fixture = illumos_with_tank();
    fixture.converge(DATA);
    fixture.machine.storage(|storage| storage.drop_mount("/data"));
    assert_eq!(fixture.converge(DATA), ["mount tank/data at /data"]);
    fixture.machine.storage(|storage| storage.drop_mount("/data"));
    std::fs::write(fixture.host.root.locate("/data/written-meanwhile"), "x").unwrap();
    let (message, help) = fixture.fail(DATA);
    assert_eq!(message, "tank/data was left alone: the directory /data is not empty");
    assert!(help.contains("hidden"), "{help}");
}

#[test]
fn a_busy_mount_point_is_not_moved_and_the_processes_are_named() {
    for mut fixture in [illumos_with_tank(), linux_with_zfs()] {
        fixture.converge(DATA);
        fixture.machine.storage(|storage| storage.set_users("/data", &[(4711, "vi"), (4712, "bash")]));
        let moved = DATA.replace("\"/data\"", "\"/moved\"");
        let steps = fixture.plan(&moved);
        assert_eq!(steps[0].risk, Risk::Disruptive);
        let (message, help) = fixture.fail(&moved);
        assert!(message.contains("/data is used by vi (process 4711), bash (process 4712)"), "{message}");
        assert!(help.contains("apply again"));
        fixture.machine.storage(|storage| storage.set_users("/data", &[]));
        fixture.converge(&moved);
        assert_eq!(fixture.mounted(), ["tank/data on /moved zfs (rw)"]);
    }
}

#[test]
fn destroying_needs_two_permissions_and_takes_nothing_along() {
    let mut fixture = illumos_with_tank();
    fixture.converge(&format!("{DATA}[[storage.dataset]]\nname = \"tank/data/child\"\n"));
    let absent = "[[storage.dataset]]\nname = \"tank/data\"\nabsent = true\nallow-destructive = true\n";
    let steps = fixture.plan(absent);
    assert_eq!(summaries(&steps), ["leave tank/data alone: tank/data/child lies in it"]);
    let both =
        format!("{absent}[[storage.dataset]]\nname = \"tank/data/child\"\nabsent = true\nallow-destructive = true\n");
    let steps = fixture.plan(&both);
    assert!(steps.iter().all(|step| step.risk == Risk::Destructive), "{steps:?}");
    assert!(steps[0].resource == "tank/data/child", "children go first");
    fixture.machine.storage(|storage| storage.busy_in_passing = 2);
    fixture.converge_up_to(&both, Risk::Destructive);
    assert!(fixture.machine.storage(|storage| !storage.datasets.contains_key("tank/data")));
    assert!(fixture.harness.undo(&steps[0]).is_err(), "what is destroyed does not come back");
}

#[test]
fn changes_of_properties_can_be_undone_and_a_creation_stays() {
    let mut fixture = illumos_with_tank();
    fixture.converge(DATA);
    fixture
        .harness
        .configure(crate::support::config(&DATA.replace("\"lz4\"", "\"zle\"").replace(", atime = false", "")));
    let steps = fixture.harness.converge().unwrap().steps;
    for (step, _) in steps.iter().rev() {
        fixture.harness.undo(step).unwrap();
    }
    assert_eq!(fixture.converge(DATA), [""; 0]);
    fixture.harness.configure(crate::support::config("[[storage.dataset]]\nname = \"tank/new\"\n"));
    let steps = fixture.harness.converge().unwrap().steps;
    let error = fixture.harness.undo(&steps[0].0).unwrap_err();
    assert!(error.message.contains("tank/new stays"), "{error:?}");
}

#[test]
fn without_zfs_and_without_a_pool() {
    assert_eq!(summaries(&linux().plan(DATA)), ["leave tank/data alone: there is no dataset tank"]);
    let mut fixture = illumos_with_tank();
    fixture.machine.storage(|storage: &mut Storage| {
        storage.datasets.clear();
    });
    assert_eq!(summaries(&fixture.plan(DATA)), ["leave tank/data alone: there is no dataset tank"]);
}

#[test]
fn an_encrypted_dataset_without_its_key_is_left_alone() {
    let mut fixture = illumos_with_tank();
    fixture.machine.storage(|storage| {
        let mut data = FakeDataset::filesystem([("mountpoint", "/data"), ("encryption", "on")]);
        data.has_key = false;
        storage.add_dataset("tank/data", data);
    });
    let steps = fixture.plan("[[storage.dataset]]\nname = \"tank/data\"\nproperties = { mountpoint = \"/data\" }\n");
    assert_eq!(summaries(&steps), ["leave tank/data alone: it is encrypted, and its key is not loaded"]);
}
