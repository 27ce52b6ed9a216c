//! Places that are reached through links, and places that cannot be looked at.

use crate::support::{Fixture, illumos, illumos_with_tank, linux, linux_with_zfs, summaries};
use std::os::unix::fs::symlink;

const TMPFS: &str = "[[storage.mount]]\ndevice = \"tmpfs\"\nmountpoint = \"/home/work\"\ntype = \"tmpfs\"\n";
const NOTHING: &str = "[storage]\nmount = []\n";

/// `/home` is a link, as it is on many machines.
fn with_link(fixture: Fixture) -> Fixture {
    std::fs::create_dir_all(fixture.host.root.locate("/export/home")).unwrap();
    symlink("/export/home", fixture.host.root.locate("/home")).unwrap();
    fixture
}

fn table(fixture: &Fixture) -> String {
    fixture.read(sysconfig_platform::boot_table::path(fixture.host.system()))
}

/// The kernel shows where the links lead; who does not know that mounts once more at every apply, over what is there.
#[test]
fn a_mount_point_behind_a_link_is_mounted_once() {
    for fixture in [illumos(), linux()] {
        let mut fixture = with_link(fixture);
        let before = table(&fixture);
        let done = fixture.converge(TMPFS);
        assert_eq!(done, ["mount tmpfs at /export/home/work", "mount /export/home/work at boot"]);
        assert!(fixture.mounted()[0].contains(" on /export/home/work "), "{:?}", fixture.mounted());
        assert_eq!(fixture.mounted().len(), 1);
        fixture.machine.storage(sysconfig_platform::fake::storage::Storage::reboot);
        assert_eq!(fixture.converge(TMPFS), [""; 0]);
        // Written otherwise, it is the same place.
        assert_eq!(fixture.converge(&TMPFS.replace("/home", "/export/home")), [""; 0]);
        let below = format!("{TMPFS}{}", TMPFS.replace("work", "work/in"));
        assert_eq!(fixture.converge(&below)[0], "mount tmpfs at /export/home/work/in");
        fixture.converge(NOTHING);
        assert_eq!((fixture.mounted().len(), table(&fixture)), (0, before));
        assert!(!fixture.host.root.exists("/export/home/work").unwrap() && fixture.host.root.exists("/home").unwrap());
    }
}

#[test]
fn a_dataset_behind_a_link_is_where_it_should_be() {
    for fixture in [illumos_with_tank(), linux_with_zfs()] {
        let mut fixture = with_link(fixture);
        let text = "[[storage.dataset]]\nname = \"tank/a\"\nproperties = { mountpoint = \"/home/a\" }\n";
        let inside = TMPFS.replace("/home/work", "/export/home/a/in");
        let done = fixture.converge(&format!("{inside}{text}"));
        assert_eq!(done[..2], ["create the dataset tank/a at /export/home/a", "mount tmpfs at /export/home/a/in"]);
        fixture.converge(&format!("{NOTHING}{}", text.replace("/home/a", "/home/b")));
        assert!(fixture.mounted()[0].contains(" on /export/home/b "), "{:?}", fixture.mounted());
    }
}

#[test]
fn two_entries_of_one_place_are_told() {
    let mut fixture = with_link(linux());
    let both = format!("{TMPFS}{}", TMPFS.replace("/home", "/export/home").replace("\"tmpfs\"\nm", "\"other\"\nm"));
    let steps = fixture.plan(&both);
    assert_eq!(
        summaries(&steps),
        [
            "mount tmpfs at /export/home/work",
            "mount /export/home/work at boot",
            "leave /export/home/work alone: it is the place of another entry already, and other has none"
        ]
    );
}

#[test]
fn what_has_ended_up_elsewhere_is_taken_away_again() {
    for mut fixture in [illumos(), linux()] {
        let steps = fixture.plan(&TMPFS.replace("/home", "/srv"));
        // A link has come since the plan.
        let srv = fixture.host.root.locate("/srv");
        std::fs::create_dir_all(fixture.host.root.locate("/other")).unwrap();
        symlink("/other", &srv).unwrap();
        let error = fixture.harness.apply(&steps[0]).unwrap_err();
        assert!(error.message.contains("links lead from there to /other/work now"), "{error:?}");
        std::fs::remove_file(&srv).unwrap();
        // Or comes while it is mounted.
        fixture.machine.storage(|storage| storage.mounts_elsewhere = Some("/other".to_owned()));
        let error = fixture.harness.apply(&steps[0]).unwrap_err();
        assert!(error.message.contains("/srv/work shows nothing, although tmpfs was mounted"), "{error:?}");
        assert_eq!(fixture.mounted(), [""; 0]);
        assert!(!fixture.host.root.exists("/srv").unwrap(), "nor does its directory stay");
        fixture.machine.storage(|storage| storage.mounts_elsewhere = None);
        fixture.converge(&TMPFS.replace("/home", "/srv"));
    }
}

/// Whoever looks into what a dead server has waits for it, and everything else waits with him.
#[test]
fn a_place_on_a_server_that_is_away_holds_up_no_others() {
    for mut fixture in [illumos(), linux()] {
        let (below, beside) = (TMPFS.replace("/home/work", "/mnt/nfs/in"), TMPFS.replace("/home/work", "/srv"));
        let theirs = "[[storage.mount]]\ndevice = \"server:/x\"\nmountpoint = \"/mnt/nfs\"\ntype = \"nfs\"\npersistent = false\n";
        let all = format!("{theirs}{below}{beside}");
        fixture.machine.storage(|storage| {
            storage.add_mount("server:/x", "/mnt/nfs", "nfs", &[]);
            storage.away.insert("server:/x".to_owned());
        });
        // Not even a look at it that fails is made.
        std::fs::write(fixture.host.root.locate("/mnt/nfs/in"), "a file").unwrap();
        let steps = fixture.plan(&all);
        let left =
            "leave /mnt/nfs/in alone: cannot look at /mnt/nfs/in: it lies in /mnt/nfs, and server:/x does not answer";
        assert_eq!(summaries(&steps), ["mount tmpfs at /srv", "mount /srv at boot", left]);
        fixture.fail(&all);
        assert!(fixture.mounted().iter().any(|line| line.contains(" on /srv ")), "{:?}", fixture.mounted());
        std::fs::remove_file(fixture.host.root.locate("/mnt/nfs/in")).unwrap();
        fixture.machine.storage(|storage| storage.away.clear());
        fixture.converge(&all);
    }
}

/// As above, and what is to be mounted lies there.
#[test]
fn a_directory_or_image_on_a_server_that_is_away_holds_up_no_others() {
    for (mut fixture, fstype, device) in [
        (illumos(), "lofs", "/mnt/nfs/in"),
        (linux(), "bind", "/mnt/nfs/in"),
        (linux(), "bind", "/data/in"),
        (linux(), "iso9660", "/data/in"),
    ] {
        let beside = TMPFS.replace("/home/work", "/srv");
        let shown = format!(
            "[[storage.mount]]\ndevice = \"{device}\"\nmountpoint = \"/again\"\ntype = \"{fstype}\"\npersistent = false\n"
        );
        fixture.machine.storage(|storage| {
            storage.add_mount("server:/x", "/mnt/nfs", "nfs", &[]);
            storage.away.insert("server:/x".to_owned());
        });
        std::os::unix::fs::symlink("/mnt/nfs", fixture.host.root.locate("/data")).unwrap();
        let steps = fixture.plan(&format!("{shown}{beside}"));
        let left = "leave /again alone: cannot look at /mnt/nfs/in: it lies in /mnt/nfs, and server:/x does not answer";
        assert_eq!(summaries(&steps), ["mount tmpfs at /srv", "mount /srv at boot", left], "{fstype} of {device}");
    }
}

/// Boot goes through all rows, and mounts both, one over the other.
#[test]
fn a_row_about_the_same_place_in_other_words_is_not_doubled() {
    for fixture in [illumos(), linux()] {
        let mut fixture = with_link(fixture);
        let is_illumos = fixture.host.system() == sysconfig_platform::System::Illumos;
        let row = |point: &str, end: &str| match is_illumos {
            true => format!("theirs - {point} tmpfs - yes {end}\n"),
            false => format!("theirs {point} tmpfs defaults 0 {end}\n"),
        };
        let before = table(&fixture);
        let good = if is_illumos { "-" } else { "0" };
        for (theirs, why) in [
            (row("/home/work", good), "its row in"),
            (row("/export/home/work/", good), "its row in"),
            (row("/export/home/work", "x y"), "has a row that cannot be read, and may be about it: theirs"),
        ] {
            let place = fixture.host.root.locate(sysconfig_platform::boot_table::path(fixture.host.system()));
            std::fs::write(&place, format!("{before}{theirs}")).unwrap();
            let (message, help) = fixture.fail(TMPFS);
            assert!(message.contains(why), "{theirs}: {message}");
            assert!(!help.is_empty());
            assert_eq!(table(&fixture), format!("{before}{theirs}"));
            if why == "its row in" {
                let adopted = format!("{TMPFS}adopt = true\n");
                assert_eq!(fixture.converge(&adopted), ["mount /export/home/work at boot"]);
                assert_eq!(table(&fixture).matches("home/work").count(), 1, "{}", table(&fixture));
            }
            fixture.converge(NOTHING);
        }
    }
}

/// Whoever unmounts what a dead server has waits for it, and what is to go with it, or after it, waits with him.
#[test]
fn a_server_that_is_away_holds_up_no_unmounting_and_no_destruction() {
    for mut fixture in [illumos_with_tank(), linux_with_zfs()] {
        let entry = |device: &str, point: &str, fstype: &str| {
            format!(
                "[[storage.mount]]\ndevice = \"{device}\"\nmountpoint = \"{point}\"\ntype = \"{fstype}\"\npersistent = false\n"
            )
        };
        let dataset = "[[storage.dataset]]\nname = \"tank/old\"\nproperties = { mountpoint = \"/old\" }\n";
        let (first, second) = (entry("server:/x", "/a", "nfs"), entry("server:/y", "/old/b", "nfs"));
        let (below, beside) = (entry("swap", "/a/in", "tmpfs"), entry("swap", "/z", "tmpfs"));
        fixture.machine.storage(|storage| {
            storage.shares.extend(["server:/x".to_owned(), "server:/y".to_owned()]);
        });
        fixture.converge(&format!("{dataset}{first}{second}{below}{beside}"));
        fixture.machine.storage(|storage| storage.away.extend(["server:/x".to_owned(), "server:/y".to_owned()]));
        let gone = "[[storage.dataset]]\nname = \"tank/old\"\nabsent = true\nallow-destructive = true\n";
        let steps = fixture.plan(&format!("{gone}{NOTHING}"));
        let waits = |device: &str, point: &str| {
            format!("leave {point} alone: {device} does not answer, and whoever unmounts {point} waits for it")
        };
        assert_eq!(
            summaries(&steps),
            [
                "unmount /z, where swap is",
                &waits("server:/x", "/a"),
                &waits("server:/x", "/a/in"),
                &waits("server:/y", "/old/b"),
                "leave tank/old alone: server:/y is mounted in it at /old/b",
            ]
        );
        // Nor is another dataset kept that has nothing to do with it.
        let others = gone.replace("tank/old", "tank/other");
        fixture.machine.type_in("zfs create -o mountpoint=none tank/other");
        fixture.machine.type_in("zfs set sysconfig:owner=filesystem tank/other");
        let (message, help) = fixture.fail(&format!("{others}{dataset}{NOTHING}"));
        assert!(message.contains("server:/x does not answer") && help.contains("bring its server back"), "{message}");
        let left = fixture.machine.storage(|storage| storage.datasets.contains_key("tank/other"));
        assert!(!left && !fixture.mounted().iter().any(|line| line.contains(" /z ")), "{:?}", fixture.mounted());
        // One whose options are to change has to be unmounted as well.
        let changed = first.replace("persistent", "options = [\"ro\"]\npersistent");
        let steps = fixture.plan(&format!("{changed}{second}{below}"));
        assert!(summaries(&steps).contains(&waits("server:/x", "/a").as_str()), "{:?}", summaries(&steps));
        fixture.machine.storage(|storage| storage.away.clear());
        fixture.converge_up_to(&format!("{gone}{NOTHING}"), sysconfig_plugin::Risk::Destructive);
    }
}
