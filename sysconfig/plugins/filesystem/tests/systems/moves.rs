//! A dataset leaves the place where it is mounted while something is mounted in it.

use crate::support::{Fixture, illumos_with_tank, linux_with_zfs, summaries};
use sysconfig_plugin::Risk;

const BOTH: [fn() -> Fixture; 2] = [illumos_with_tank, linux_with_zfs];

/// A dataset, at `/srv` or where it inherits it, and a tmpfs at `/srv/in`.
fn config(dataset: &str, more: &str) -> String {
    format!(
        "[[storage.dataset]]\nname = \"tank/a\"\n{dataset}\n\
        [[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/srv/in\"\ntype = \"tmpfs\"\npersistent = false\n{more}"
    )
}

const AT_SRV: &str = "properties = { mountpoint = \"/srv\" }";

#[test]
fn what_is_mounted_in_it_goes_first_and_comes_back() {
    for start in BOTH {
        for (dataset, set) in [
            ("properties = { mountpoint = \"/mnt\" }", "set mountpoint=/mnt on tank/a"),
            ("properties = { mountpoint = \"/srv\", canmount = \"off\" }", "set canmount=off on tank/a"),
            ("", "set no mountpoint on tank/a"),
        ] {
            let mut fixture = start();
            fixture.converge(&config(AT_SRV, ""));
            let done = fixture.converge(&config(dataset, ""));
            assert_eq!(done, ["unmount /srv/in, where swap is", set, "mount swap at /srv/in"]);
        }
    }
}

/// A dataset that had its mount point from its parent, with the parent's place taken by something else: that came before
/// the mount in it had gone.
#[test]
fn something_else_takes_its_place() {
    for start in BOTH {
        let mut fixture = start();
        fixture.converge(&config(AT_SRV, ""));
        let tmpfs =
            "[[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/srv\"\ntype = \"tmpfs\"\npersistent = false\n";
        let done = fixture.converge(&config("", tmpfs));
        assert_eq!(
            done,
            [
                "unmount /srv/in, where swap is",
                "set no mountpoint on tank/a",
                "mount swap at /srv",
                "mount swap at /srv/in"
            ]
        );
    }
}

#[test]
fn what_somebody_else_has_mounted_in_it_keeps_it_there() {
    for start in BOTH {
        let mut fixture = start();
        fixture.converge(&config(AT_SRV, ""));
        fixture.machine.storage(|storage| storage.add_mount("theirs", "/srv/deep", "tmpfs", &[]));
        let before = fixture.mounted();
        let moved = config("properties = { mountpoint = \"/mnt\" }", "");
        let steps = fixture.plan(&moved);
        // Ours stays mounted as well: it would be for nothing that it goes.
        assert_eq!(summaries(&steps), ["leave tank/a alone: theirs is mounted in it at /srv/deep, and is not ours"]);
        let (error, help) = fixture.fail(&moved);
        assert!(error.contains("theirs") && help.contains("unmount it by hand"), "{error} {help}");
        assert_eq!(fixture.mounted(), before);
        // What does not concern its mount need not wait.
        let moved = config("properties = { mountpoint = \"/mnt\", quota = \"1G\" }", "");
        let left = "leave tank/a alone: theirs is mounted in it at /srv/deep, and is not ours";
        assert_eq!(summaries(&fixture.plan(&moved)), ["set quota=1073741824 on tank/a", left]);
        fixture.fail(&moved);
        assert_eq!(summaries(&fixture.plan(&moved)), [left]);
        assert_eq!(fixture.mounted(), before);
        fixture.machine.storage(|storage| storage.drop_mount("/srv/deep"));
        fixture.converge(&moved);
    }
}

#[test]
fn what_is_in_memory_in_it_keeps_it_there() {
    for start in BOTH {
        let mut fixture = start();
        fixture.converge(&config(AT_SRV, ""));
        let file = fixture.host.root.locate("/srv/in/thesis");
        std::fs::write(&file, "x").unwrap();
        let moved = config("properties = { mountpoint = \"/mnt\" }", "");
        let left = "leave tank/a alone: what is in /srv/in is in memory only, and would be lost by unmounting it";
        assert_eq!(summaries(&fixture.plan(&moved)), [left]);
        std::fs::remove_file(&file).unwrap();
        fixture.converge(&moved);
    }
}

/// A dataset that cannot come to its new place stays where it is, with what is mounted in it.
#[test]
fn it_is_not_emptied_when_it_has_to_stay() {
    for start in BOTH {
        let mut fixture = start();
        fixture.converge(&config(AT_SRV, ""));
        let taken = fixture.host.root.locate("/mnt");
        std::fs::create_dir_all(&taken).unwrap();
        std::fs::write(taken.join("theirs"), "x").unwrap();
        let steps = fixture.plan(&config("properties = { mountpoint = \"/mnt\" }", ""));
        assert_eq!(summaries(&steps), ["leave tank/a alone: the directory /mnt is not empty"]);
    }
}

#[test]
fn children_that_inherit_their_places_are_taken_along() {
    for start in BOTH {
        let mut fixture = start();
        let child = "[[storage.dataset]]\nname = \"tank/a/x\"\n";
        fixture.converge(&format!("{child}{}", config(AT_SRV, "")));
        let done = fixture.converge(&format!("{child}{}", config("properties = { mountpoint = \"/mnt\" }", "")));
        assert!(done.contains(&"set mountpoint=/mnt on tank/a".to_owned()), "{done:?}");
        assert!(
            fixture.mounted().iter().any(|line| line.starts_with("tank/a/x on /mnt/x ")),
            "{:?}",
            fixture.mounted()
        );
    }
}

#[test]
fn nothing_is_destroyed_in_which_something_is_mounted() {
    for start in BOTH {
        let mut fixture = start();
        fixture.converge(&config(AT_SRV, ""));
        let absent = "absent = true\nallow-destructive = true";
        let steps = fixture.plan(&config(absent, ""));
        assert_eq!(summaries(&steps), ["leave tank/a alone: swap is mounted in it at /srv/in"]);
        // When that goes as well, it goes first.
        let all = format!("[storage]\nmount = []\n[[storage.dataset]]\nname = \"tank/a\"\n{absent}\n");
        let done = fixture.converge_up_to(&all, Risk::Destructive);
        assert_eq!(done, ["unmount /srv/in, where swap is", "destroy the dataset tank/a and everything in it"]);
    }
}

/// What comes into a place below that of a dataset that leaves waits until it has left.
#[test]
fn one_comes_below_the_place_that_another_leaves() {
    for start in BOTH {
        let mut fixture = start();
        fixture.converge(
            "[[storage.dataset]]\nname = \"tank/a\"\n\
            [[storage.dataset]]\nname = \"tank/b\"\nproperties = { mountpoint = \"/mnt\" }\n",
        );
        let done = fixture.converge(
            "[[storage.dataset]]\nname = \"tank/a\"\nproperties = { mountpoint = \"/mnt/deep\" }\n\
            [[storage.dataset]]\nname = \"tank/b\"\n",
        );
        assert_eq!(done[0], "set no mountpoint on tank/b", "{done:?}");
    }
}

/// A child with a mount point of its own stays where it is when its parent moves, whatever is mounted in it.
#[test]
fn a_child_with_a_place_of_its_own_stays() {
    for start in BOTH {
        let mut fixture = start();
        let others = "[[storage.dataset]]\nname = \"tank/a/x\"\nproperties = { mountpoint = \"/mnt\" }\n\
            [[storage.dataset]]\nname = \"tank/b\"\nproperties = { mountpoint = \"/mnt/deep\" }\n";
        let parent = "[[storage.dataset]]\nname = \"tank/a\"\n";
        fixture.converge(&format!("{parent}properties = {{ mountpoint = \"/srv\" }}\n{others}"));
        let done = fixture.converge(&format!("{parent}{others}"));
        assert_eq!(done, ["set no mountpoint on tank/a"]);
    }
}

/// A directory of homes that is not mounted itself, with somebody's home in it, which nobody has asked to be moved.
fn with_alice(start: fn() -> Fixture) -> (Fixture, impl Fn(&str, &str) -> String) {
    let homes = |point: &str, more: &str| {
        format!(
            "[[storage.dataset]]\nname = \"tank/home\"\nproperties = {{ canmount = \"off\", mountpoint = \"{point}\" }}\n{more}"
        )
    };
    let mut fixture = start();
    fixture.converge(&homes("/home", ""));
    fixture.machine.type_in("zfs create tank/home/alice");
    assert!(fixture.mounted().iter().any(|line| line.starts_with("tank/home/alice on /home/alice ")));
    (fixture, homes)
}

#[test]
fn what_comes_along_is_told_and_looked_at() {
    for start in BOTH {
        let (mut fixture, homes) = with_alice(start);
        let moved = homes("/export/home", "");
        let steps = fixture.plan(&moved);
        assert_eq!((steps.len(), steps[0].risk), (1, Risk::Disruptive), "somebody's home is unmounted: {steps:?}");
        assert!(steps[0].changes.iter().any(|change| change.field == "tank/home/alice"), "{steps:?}");
        // Where she would come to, something is.
        let taken = fixture.host.root.locate("/export/home/alice");
        std::fs::create_dir_all(&taken).unwrap();
        std::fs::write(taken.join("theirs"), "x").unwrap();
        let before = fixture.mounted();
        let left = "leave tank/home alone: tank/home/alice would come along to /export/home/alice: \
                    the directory /export/home/alice is not empty";
        assert_eq!(summaries(&fixture.plan(&moved)), [left]);
        let error = fixture.harness.apply(&steps[0]).unwrap_err();
        assert!(error.message.contains("tank/home/alice would come along to /export/home/alice"), "{error:?}");
        assert_eq!(fixture.mounted(), before);
        std::fs::remove_file(taken.join("theirs")).unwrap();
        let done = fixture.plan(&moved).remove(0);
        fixture.converge_up_to(&moved, Risk::Disruptive);
        assert!(fixture.mounted().iter().any(|line| line.starts_with("tank/home/alice on /export/home/alice ")));
        // Back again, it is looked at as well.
        let old = fixture.host.root.locate("/home/alice");
        std::fs::create_dir_all(&old).unwrap();
        std::fs::write(old.join("theirs"), "x").unwrap();
        let error = fixture.harness.undo(&done).unwrap_err();
        assert!(error.message.contains("tank/home/alice would come along to /home/alice"), "{error:?}");
        std::fs::remove_file(old.join("theirs")).unwrap();
        fixture.harness.undo(&done).unwrap();
        assert_eq!(fixture.mounted(), before);
    }
}

#[test]
fn what_is_mounted_in_what_comes_along_goes_first_or_keeps_it_there() {
    for start in BOTH {
        let (mut fixture, homes) = with_alice(start);
        let ours = "[[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/home/alice/tmp\"\ntype = \"tmpfs\"\npersistent = false\n";
        fixture.converge(&homes("/home", ours));
        let there = ours.replace("/home/alice", "/export/home/alice");
        let done = fixture.converge(&homes("/export/home", &there));
        assert_eq!(done[0], "unmount /home/alice/tmp, where swap is", "{done:?}");
        assert_eq!(done[2], "mount swap at /export/home/alice/tmp", "{done:?}");
        // Somebody works in her home.
        fixture.machine.storage(|storage| storage.set_users("/export/home/alice", &[(77, "vi")]));
        let (message, _) = fixture.fail(&homes("/home", ours));
        assert!(message.contains("/export/home/alice is used by vi (process 77)"), "{message}");
        fixture.machine.storage(|storage| {
            storage.set_users("/export/home/alice", &[]);
            storage.add_mount("theirs", "/export/home/alice/x", "tmpfs", &[]);
        });
        let left = "leave tank/home alone: theirs is mounted in it at /export/home/alice/x, and is not ours";
        let summaries: Vec<String> = fixture.plan(&homes("/home", ours)).into_iter().map(|step| step.summary).collect();
        assert!(summaries.contains(&left.to_owned()), "{summaries:?}");
    }
}

/// With a mount point of its own, or one from in between, a child does not come along.
#[test]
fn only_what_has_its_mount_point_from_it_comes_along() {
    for start in BOTH {
        let (mut fixture, homes) = with_alice(start);
        for line in [
            "zfs create -o mountpoint=/bob tank/home/bob",
            "zfs create tank/home/bob/deep",
            "zfs create -o canmount=noauto tank/home/carol",
        ] {
            fixture.machine.type_in(line);
        }
        for taken in ["/export/home/bob", "/export/home/carol"] {
            let taken = fixture.host.root.locate(taken);
            std::fs::create_dir_all(&taken).unwrap();
            std::fs::write(taken.join("theirs"), "x").unwrap();
        }
        fixture.converge(&homes("/export/home", ""));
        assert!(fixture.mounted().iter().any(|line| line.starts_with("tank/home/bob/deep on /bob/deep ")));
    }
}

/// ZFS mounts at once what follows a file system that had no mount point, over whatever is there.
#[test]
fn what_follows_unmounted_is_not_mounted_over_what_is_there() {
    for start in BOTH {
        let mut fixture = start();
        for command in
            ["zfs create -o canmount=off -o mountpoint=none tank/a", "zfs create tank/a/b", "zfs create tank/a/c"]
        {
            fixture.machine.type_in(command);
        }
        let theirs = fixture.host.root.locate("/srv/c/theirs");
        std::fs::create_dir_all(theirs.parent().unwrap()).unwrap();
        std::fs::write(&theirs, "x").unwrap();
        let wanted = "[[storage.dataset]]\nname = \"tank/a\"\nadopt = true\nproperties = { mountpoint = \"/srv\" }\n";
        let steps = fixture.plan(wanted);
        let errors = steps.iter().filter_map(|step| Some(fixture.harness.apply(step).err()?.chain()));
        let told = errors.collect::<Vec<_>>().join("\n");
        assert!(told.contains("tank/a/c would come along to /srv/c: the directory is not empty"), "{told}");
        let mounted = fixture.mounted().join("\n");
        assert!(theirs.exists() && !mounted.contains("/srv"), "{mounted}");
        std::fs::remove_file(&theirs).unwrap();
        fixture.converge(wanted);
        let mounted = fixture.mounted().join("\n");
        assert!(mounted.contains("tank/a/b on /srv/b") && mounted.contains("tank/a/c on /srv/c"), "{mounted}");
    }
}

/// ZFS mounts what lies below a dataset when that comes from no place to one.
#[test]
fn those_below_it_are_not_in_the_way_of_what_is_mounted_for_the_first_time() {
    for start in BOTH {
        let mut fixture = start();
        let child = "[[storage.dataset]]\nname = \"tank/a/x\"\n";
        let parent = "[[storage.dataset]]\nname = \"tank/a\"\n";
        fixture.converge(&format!("{parent}properties = {{ canmount = \"off\" }}\n{child}"));
        assert_eq!(fixture.mounted(), [""; 0]);
        let done = fixture.converge(&format!("{parent}{AT_SRV}\n"));
        assert_eq!(done, ["set mountpoint=/srv, no canmount on tank/a", "mount tank/a at /srv"]);
        assert_eq!(fixture.mounted(), ["tank/a on /srv zfs (rw)", "tank/a/x on /srv/x zfs (rw)"]);
    }
}
