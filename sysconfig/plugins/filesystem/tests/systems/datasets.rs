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

/// Of several words for one value ZFS reads out the first.
#[test]
fn values_that_are_read_out_in_another_word_are_as_wanted() {
    for (mut fixture, words) in
        [(illumos_with_tank(), ""), (linux_with_zfs(), "acltype = \"posixacl\", xattr = \"dir\", ")]
    {
        std::fs::write(fixture.host.root.locate("/etc/key"), [7; 32]).unwrap();
        let text = format!(
            "[[storage.dataset]]\nname = \"tank/secret\"\nproperties = {{ {words}compression = \"gzip-6\", \
             aclinherit = \"secure\", encryption = \"on\", keyformat = \"raw\", keylocation = \"file:///etc/key\" }}\n"
        );
        fixture.converge(&text);
        let read = |property: &str| {
            fixture.machine.storage(|storage| storage.datasets["tank/secret"].local(property).map(str::to_owned))
        };
        assert_eq!(read("compression").as_deref(), Some("gzip"));
        assert_eq!(
            (read("aclinherit").as_deref(), read("encryption").as_deref()),
            (Some("restricted"), Some("aes-256-gcm"))
        );
    }
}

/// Between the plan and the step somebody has put another one in its place, or has taken it over.
#[test]
fn a_dataset_that_is_another_one_by_then_is_not_changed() {
    type Meanwhile = (fn(&mut Storage), &'static str);
    let cases: [Meanwhile; 3] = [
        (
            |storage| {
                let other = FakeDataset::filesystem([("sysconfig:owner", "filesystem"), ("mountpoint", "/data")]);
                storage.datasets.insert("tank/data".to_owned(), other);
            },
            "it is another one than when this was planned",
        ),
        (
            |storage| drop(storage.datasets.get_mut("tank/data").unwrap().properties.remove("sysconfig:owner")),
            "it is no longer ours",
        ),
        (|storage| drop(storage.datasets.remove("tank/data")), "it is gone"),
    ];
    for (meanwhile, why) in cases {
        for mut fixture in [illumos_with_tank(), linux_with_zfs()] {
            fixture.converge(DATA);
            let steps = fixture.plan(&DATA.replace("lz4", "zle"));
            fixture.machine.storage(meanwhile);
            let before = fixture.machine.storage(|storage| storage.datasets.clone());
            let error = fixture.harness.apply(&steps[0]).unwrap_err();
            assert_eq!(error.message, format!("cannot change tank/data: {why}"));
            assert_eq!(fixture.machine.storage(|storage| storage.datasets.clone()), before);
        }
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

/// What the settings of a dataset are, without the notes of the program.
fn settings(fixture: &Fixture) -> Vec<String> {
    let found = fixture.machine.storage(|storage| storage.datasets["tank/data"].properties.clone());
    let settings = found.into_iter().filter(|(property, _)| !property.contains(':'));
    settings.map(|(property, value)| format!("{property}={value}")).collect()
}

/// With some time before nobody confirmed, somebody has changed things by hand.
#[test]
fn an_undo_gives_back_only_what_is_still_as_the_step_has_left_it() {
    for mut fixture in [illumos_with_tank(), linux_with_zfs()] {
        let text =
            |properties: &str| format!("[[storage.dataset]]\nname = \"tank/data\"\nproperties = {{ {properties} }}\n");
        fixture.converge(&text("mountpoint = \"/data\", compression = \"lz4\", atime = \"off\", quota = \"1 GiB\""));
        let before = settings(&fixture);
        fixture.harness.configure(crate::support::config(&text("mountpoint = \"/moved\", compression = \"zle\"")));
        let step = fixture.harness.converge().unwrap().steps.remove(0).0;
        for line in ["zfs set compression=off tank/data", "zfs set atime=on tank/data", "zfs set quota=7 tank/data"] {
            fixture.machine.type_in(line);
        }
        fixture.harness.undo(&step).unwrap();
        assert_eq!(settings(&fixture), ["atime=on", "compression=off", "mountpoint=/data", "quota=7"]);
        // Without anybody in between it is as before.
        fixture.converge(&text("mountpoint = \"/data\", compression = \"lz4\", atime = \"off\", quota = \"1 GiB\""));
        fixture.harness.configure(crate::support::config(&text("mountpoint = \"/moved\", compression = \"zle\"")));
        let step = fixture.harness.converge().unwrap().steps.remove(0).0;
        fixture.harness.undo(&step).unwrap();
        assert_eq!(settings(&fixture), before);
    }
}

/// It was not mounted, so that nothing was known of the place to which it comes back.
#[test]
fn an_undo_mounts_nothing_over_what_has_come_since() {
    for mut fixture in [illumos_with_tank(), linux_with_zfs()] {
        let text =
            |properties: &str| format!("[[storage.dataset]]\nname = \"tank/data\"\nproperties = {{ {properties} }}\n");
        fixture.converge(&text("mountpoint = \"/data\""));
        fixture.machine.type_in("zfs unmount tank/data");
        fixture.harness.configure(crate::support::config(&text("mountpoint = \"none\", canmount = \"noauto\"")));
        let step = fixture.harness.converge().unwrap().steps.remove(0).0;
        let place = fixture.host.root.locate("/data");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("theirs"), "x").unwrap();
        let commands = fixture.machine.commands().len();
        let error = fixture.harness.undo(&step).unwrap_err();
        assert!(error.message.contains("cannot mount tank/data at /data: the directory is not empty"), "{error:?}");
        let changes = fixture.machine.commands().split_off(commands);
        assert!(!changes.iter().any(|line| line.contains("/zfs set") || line.contains("inherit")), "{changes:?}");
        // It comes to its place first, and only then may be mounted.
        std::fs::remove_file(place.join("theirs")).unwrap();
        fixture.harness.undo(&step).unwrap();
        let changes = fixture.machine.commands().split_off(commands);
        let at = |word: &str| changes.iter().position(|line| line.contains(word) && !line.contains("/zfs get"));
        assert!(at("mountpoint") < at("canmount"), "{changes:?}");
    }
}

/// A step that another build of the plugin has planned, and one whose dataset somebody has replaced since.
#[test]
fn an_undo_that_cannot_be_is_told_and_one_of_an_earlier_build_works() {
    for mut fixture in [illumos_with_tank(), linux_with_zfs()] {
        fixture.converge(DATA);
        fixture.harness.configure(crate::support::config(&DATA.replace("\"lz4\"", "\"zle\"")));
        let mut step = fixture.harness.converge().unwrap().steps.remove(0).0;
        let whole = step.clone();
        step.data.as_object_mut().unwrap().remove("guid").expect("a guid was planned");
        fixture.harness.undo(&step).unwrap();
        assert_eq!(fixture.converge(DATA), [""; 0]);

        fixture.machine.type_in("zfs destroy tank/data");
        let error = fixture.harness.undo(&whole).unwrap_err();
        assert!(error.message.contains("cannot give tank/data back what it had: it is gone"), "{error:?}");
    }
}

fn sized(properties: &str) -> String {
    format!("[[storage.dataset]]\nname = \"tank/data\"\nproperties = {{ {properties} }}\n")
}

/// ZFS takes no quota below what is reserved, and no reservation above the quota, not even for a moment.
#[test]
fn quotas_and_reservations_change_together() {
    for mut fixture in [illumos_with_tank(), linux_with_zfs()] {
        let large = "quota = \"10 GiB\", reservation = \"5 GiB\", refquota = \"8 GiB\", refreservation = \"4 GiB\"";
        let small = "quota = \"2 GiB\", reservation = \"1 GiB\", refquota = \"2 GiB\", refreservation = \"1 GiB\"";
        fixture.converge(&sized(large));
        let before = settings(&fixture);
        let step = fixture.plan(&sized(small)).remove(0);
        fixture.converge(&sized(small));
        fixture.harness.undo(&step).unwrap();
        assert_eq!(settings(&fixture), before);
        fixture.converge(&sized(small));
        fixture.converge(&sized(large));
        fixture.converge(&sized("quota = \"1 GiB\""));
    }
}

/// What ZFS would refuse holds up nothing else.
#[test]
fn a_quota_below_what_is_used_is_told() {
    for mut fixture in [illumos_with_tank(), linux_with_zfs()] {
        fixture.converge(&sized(""));
        fixture.machine.storage(|storage| storage.datasets.get_mut("tank/data").unwrap().used = 3 << 30);
        let more = "[[storage.dataset]]\nname = \"tank/other\"\n";
        let text = format!("{}{more}", sized("quota = \"2 GiB\", atime = false"));
        let left = "leave tank/data alone: quota is to be 2 GiB, and used is 3 GiB";
        let steps = fixture.plan(&text);
        assert_eq!(summaries(&steps), ["set atime=off on tank/data", "create the dataset tank/other", left]);
        fixture.fail(&text);
        assert_eq!(summaries(&fixture.plan(&text)), [left]);
        fixture.converge(&format!("{}{more}", sized("quota = \"4 GiB\", atime = false")));
    }
}

/// What came with `zfs receive` is where it says, and gets back what it came with.
#[test]
fn a_received_mount_point_counts() {
    for mut fixture in [illumos_with_tank(), linux_with_zfs()] {
        fixture.machine.storage(|storage| {
            let mut dataset = FakeDataset::filesystem([]);
            dataset.received.insert("mountpoint".to_owned(), "/data".to_owned());
            storage.add_dataset("tank/x", dataset);
        });
        let taken = fixture.host.root.locate("/data");
        std::fs::create_dir_all(&taken).unwrap();
        std::fs::write(taken.join("theirs"), "x").unwrap();
        let text = "[[storage.dataset]]\nname = \"tank/x\"\nadopt = true\n";
        assert_eq!(summaries(&fixture.plan(text)), ["leave tank/x alone: the directory /data is not empty"]);
        std::fs::remove_file(taken.join("theirs")).unwrap();
        assert_eq!(fixture.converge(text), ["mount tank/x at /data"]);
        // Another one is set over it, and taken back.
        let moved = format!("{text}properties = {{ mountpoint = \"/moved\" }}\n");
        let step = fixture.plan(&moved).remove(0);
        fixture.converge(&moved);
        fixture.harness.undo(&step).unwrap();
        assert!(fixture.mounted().iter().any(|line| line.starts_with("tank/x on /data ")), "{:?}", fixture.mounted());
        fixture.machine.storage(|storage| {
            let dataset = &storage.datasets["tank/x"];
            assert_eq!((dataset.received("mountpoint"), dataset.local("mountpoint")), (Some("/data"), None));
        });
    }
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

/// On Linux ZFS mounts over whatever is there.
#[test]
fn what_somebody_puts_into_a_place_after_the_plan_is_not_covered() {
    const AT: &str = "[[storage.dataset]]\nname = \"tank/a\"\nproperties = { mountpoint = \"/srv\" }\n";
    let moved = AT.replace("/srv", "/mnt");
    let unmounted: fn(&Fixture) = |fixture| drop(fixture.machine.type_in("zfs unmount tank/a"));
    type Case<'a> = (&'a str, fn(&Fixture), &'a str, &'a str);
    let cases: [Case<'_>; 3] = [("", |_| (), AT, "/srv"), (AT, |_| (), &moved, "/mnt"), (AT, unmounted, AT, "/srv")];
    for (before, meanwhile, to, place) in cases {
        for mut fixture in [illumos_with_tank(), linux_with_zfs()] {
            fixture.converge(if before.is_empty() { "[storage]\ndataset = []\n" } else { before });
            meanwhile(&fixture);
            let steps = fixture.plan(to);
            let directory = fixture.host.root.locate(place);
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(directory.join("theirs"), "x").unwrap();
            let look =
                |fixture: &Fixture| (fixture.mounted(), fixture.machine.storage(|storage| storage.datasets.clone()));
            let was = look(&fixture);
            let error = fixture.harness.apply(&steps[0]).unwrap_err();
            assert_eq!(error.message, format!("cannot mount tank/a at {place}: the directory is not empty"));
            assert_eq!(look(&fixture), was, "{}", steps[0].summary);
        }
    }
}

/// What is mounted again is shared again; `zfs mount` would leave that out.
#[test]
fn what_is_mounted_is_shared_as_its_properties_say() {
    for mut fixture in [illumos_with_tank(), linux_with_zfs()] {
        let text =
            "[[storage.dataset]]\nname = \"tank/data\"\nproperties = { mountpoint = \"/data\", sharenfs = \"ro\" }\n";
        let is_shared = |fixture: &Fixture| fixture.machine.storage(|storage| storage.shared.contains("tank/data"));
        fixture.converge(text);
        assert!(is_shared(&fixture));
        fixture.machine.type_in("zfs unmount tank/data");
        assert!(!is_shared(&fixture));
        fixture.converge(text);
        assert!(is_shared(&fixture));
        // Without a server it is mounted all the same.
        fixture.machine.storage(|storage| storage.shares_nothing = true);
        fixture.machine.type_in("zfs unmount tank/data");
        fixture.converge(text);
        let logs = fixture.harness.logs();
        let told: Vec<_> =
            logs.iter().filter(|log| log.message.contains("share tank/data, which is mounted")).collect();
        assert_eq!(told.len(), 1, "{logs:?}");
        assert!(!is_shared(&fixture));
        fixture.machine.storage(|storage| storage.shares_nothing = false);
        fixture.converge(&text.replace(", sharenfs = \"ro\"", ""));
        assert!(!is_shared(&fixture));
    }
}

/// As an installer imports what it installs to: zpoolprops(7).
#[test]
fn a_pool_that_is_imported_below_another_directory_has_its_mount_points_there() {
    for mut fixture in [illumos_with_tank(), linux_with_zfs()] {
        fixture.machine.storage(|storage| {
            let pool = storage.pools.get_mut("tank").unwrap();
            pool.properties.insert("altroot".to_owned(), "/a".to_owned());
        });
        let set = |fixture: &Fixture| {
            let read = |storage: &mut Storage| storage.datasets["tank/data"].local("mountpoint").map(str::to_owned);
            fixture.machine.storage(read).unwrap()
        };
        let below = "[[storage.dataset]]\nname = \"tank/data/x\"\n";
        let text = format!("{DATA}{below}");
        let done = fixture.converge(&text);
        assert_eq!(done, ["create the dataset tank/data at /a/data", "create the dataset tank/data/x at /a/data/x"]);
        let mounted = fixture.mounted();
        assert_eq!(mounted, ["tank/data on /a/data zfs (rw)", "tank/data/x on /a/data/x zfs (rw)"]);
        let moved = text.replace("\"/data\"", "\"/other\"");
        let steps = fixture.plan(&moved);
        assert_eq!(summaries(&steps), ["set mountpoint=/other on tank/data"]);
        fixture.harness.apply(&steps[0]).unwrap();
        assert_eq!(
            (set(&fixture).as_str(), fixture.mounted().concat().contains("tank/data/x on /a/other/x")),
            ("/other", true)
        );
        fixture.harness.undo(&steps[0]).unwrap();
        assert_eq!((set(&fixture).as_str(), fixture.mounted()), ("/data", mounted));
        fixture.converge(&moved);
        // Without a mount point of its own it has its place from the one above.
        fixture.machine.storage(|storage| {
            storage.datasets.get_mut("tank").unwrap().properties.insert("mountpoint".to_owned(), "/".to_owned());
        });
        let plain = format!("[[storage.dataset]]\nname = \"tank/data\"\n{below}");
        fixture.converge(&plain);
        assert_eq!(fixture.mounted(), ["tank/data on /a/data zfs (rw)", "tank/data/x on /a/data/x zfs (rw)"]);
    }
}
