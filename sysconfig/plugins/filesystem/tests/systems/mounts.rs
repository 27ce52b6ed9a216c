//! Mounts of every kind.

use crate::support::{Fixture, illumos, linux, summaries};
use sysconfig_platform::fake::storage::UsedSwap;
use sysconfig_plugin::Risk;

const TMPFS: &str =
    "[[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/scratch\"\ntype = \"tmpfs\"\noptions = [\"size=512m\"]\n";

#[test]
fn every_type_of_illumos() {
    let mut fixture = illumos();
    fixture.machine.storage(|storage| {
        storage.add_device("/dev/dsk/c1t0d0s6", 1 << 30, Some("ufs"));
        storage.add_device("/dev/dsk/c2t0d0p0:1", 1 << 30, Some("pcfs"));
        storage.add_device("/dev/dsk/c3t0d0s2", 1 << 30, Some("hsfs"));
        storage.shares.insert("10.0.2.2:/srv/share".to_owned());
    });
    std::fs::create_dir_all(fixture.host.root.locate("/export/src")).unwrap();
    let entry = |device: &str, point: &str, fstype: &str, options: &str| {
        format!(
            "[[storage.mount]]\ndevice = \"{device}\"\nmountpoint = \"{point}\"\ntype = \"{fstype}\"\noptions = [{options}]\n"
        )
    };
    let text = [
        entry("swap", "/scratch", "tmpfs", "\"size=512m\""),
        entry("10.0.2.2:/srv/share", "/mnt/share", "nfs", "\"ro\", \"vers=3\""),
        entry("/dev/dsk/c1t0d0s6", "/mnt/ufs", "ufs", "\"logging\""),
        entry("/dev/dsk/c2t0d0p0:1", "/mnt/fat", "pcfs", ""),
        entry("/dev/dsk/c3t0d0s2", "/mnt/cd", "hsfs", "\"ro\""),
        entry("/export/src", "/mnt/again", "lofs", ""),
    ]
    .concat();
    fixture.converge(&text);
    let commands = fixture.machine.commands();
    let mounting: Vec<_> = commands.iter().filter(|line| line.starts_with("/usr/sbin/mount ")).collect();
    assert_eq!(mounting[0], "/usr/sbin/mount -F tmpfs -o size=512m swap /scratch");
    assert!(mounting.iter().all(|line| line.contains(" -F ")), "{mounting:?}");
    assert_eq!(mounting.len(), 6);
    fixture.machine.storage(sysconfig_platform::fake::storage::Storage::reboot);
    assert_eq!(fixture.converge(&text), [""; 0], "the rows do the same at boot");
}

#[test]
fn every_type_of_linux() {
    let mut fixture = linux();
    fixture.machine.storage(|storage| {
        storage.add_device("/dev/disk/by-id/b-part1", 1 << 30, Some("ext4"));
        storage.add_device("/dev/sdc1", 1 << 30, Some("vfat"));
        storage.shares.insert("10.0.2.2:/srv/share".to_owned());
    });
    let root = fixture.host.root.clone();
    std::fs::create_dir_all(root.locate("/srv/src")).unwrap();
    std::fs::create_dir_all(root.locate("/dev/disk/by-label")).unwrap();
    std::os::unix::fs::symlink("../../sdc1", root.locate("/dev/disk/by-label/MY\\x20DISK")).unwrap();
    let text = "[[storage.mount]]\ndevice = \"/dev/disk/by-id/b-part1\"\nmountpoint = \"/mnt/a b\"\ntype = \"ext4\"\noptions = [\"noatime\", \"nofail\"]\nfsck-pass = 2\n\
        [[storage.mount]]\ndevice = \"10.0.2.2:/srv/share\"\nmountpoint = \"/mnt/share\"\ntype = \"nfs\"\nat-boot = false\n\
        [[storage.mount]]\ndevice = \"/srv/src\"\nmountpoint = \"/mnt/again\"\ntype = \"bind\"\noptions = [\"ro\"]\n\
        [[storage.mount]]\ndevice = \"tmpfs\"\nmountpoint = \"/scratch\"\ntype = \"tmpfs\"\noptions = [\"size=64m\", \"mode=0700\"]\n";
    fixture.converge(text);
    assert_eq!(
        fixture.read("/etc/fstab").lines().skip(2).collect::<Vec<_>>(),
        [
            "/dev/disk/by-id/b-part1\t/mnt/a\\040b\text4\tnoatime,nofail\t0\t2",
            "/srv/src\t/mnt/again\tnone\tbind,ro\t0\t0",
            "tmpfs\t/scratch\ttmpfs\tsize=64m,mode=0700\t0\t0",
            // A server may be away, so it is asked last.
            "10.0.2.2:/srv/share\t/mnt/share\tnfs\tnoauto\t0\t0",
        ]
    );
    assert!(
        fixture.mounted().iter().any(|line| line.starts_with("/dev/vda1 on /mnt/again ext4")),
        "{:?}",
        fixture.mounted()
    );
    let by_label = "[[storage.mount]]\ndevice = \"LABEL=MY DISK\"\nmountpoint = \"/mnt/label\"\ntype = \"vfat\"\n";
    // The simulated mount takes no labels; one that is mounted already is known by its label.
    fixture.machine.storage(|storage| storage.add_mount("/dev/sdc1", "/mnt/label", "vfat", &["rw"]));
    assert_eq!(fixture.converge(&format!("{text}{by_label}")), ["mount /mnt/label at boot"]);
}

#[test]
fn options_are_changed_in_place_where_that_is_possible() {
    for mut fixture in [illumos(), linux()] {
        fixture.converge(TMPFS);
        let larger = TMPFS.replace("512m", "1g");
        let steps = fixture.plan(&larger);
        assert_eq!((steps[0].action.as_str(), steps[0].risk), ("remount", Risk::Disruptive));
        let done = fixture.converge(&larger);
        assert_eq!(done, ["change the options of /scratch", "mount /scratch at boot"]);
        // Drift: somebody makes it read-only.
        fixture.machine.storage(|storage| {
            let mount = storage.mounts.last_mut().unwrap();
            mount.options.push("ro".to_owned());
        });
        assert_eq!(fixture.converge(&larger), ["change the options of /scratch"]);
    }
}

#[test]
fn another_device_takes_the_place_of_ours_and_what_lies_below_comes_back() {
    let mut fixture = illumos();
    fixture.machine.storage(|storage| {
        storage.add_device("/dev/dsk/c1t0d0s6", 1 << 30, Some("ufs"));
        storage.add_device("/dev/dsk/c1t0d0s7", 1 << 30, Some("ufs"));
    });
    let text = "[[storage.mount]]\ndevice = \"/dev/dsk/c1t0d0s6\"\nmountpoint = \"/mnt/a\"\ntype = \"ufs\"\n\
        [[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/mnt/a/tmp\"\ntype = \"tmpfs\"\n";
    fixture.converge(text);
    let other = text.replace("s6", "s7");
    let done = fixture.converge(&other);
    assert_eq!(
        done,
        [
            "unmount /mnt/a/tmp, where swap is",
            "unmount /mnt/a, where /dev/dsk/c1t0d0s6 is",
            "mount /dev/dsk/c1t0d0s7 at /mnt/a",
            "mount /mnt/a at boot",
            "mount swap at /mnt/a/tmp",
        ]
    );
    // What somebody else has mounted below keeps it from going.
    fixture.machine.storage(|storage| storage.add_mount("swap", "/mnt/a/foreign", "tmpfs", &[]));
    let steps = fixture.plan(text);
    assert!(
        summaries(&steps)[0].starts_with("leave /mnt/a alone: swap is mounted below it at /mnt/a/foreign"),
        "{:?}",
        summaries(&steps)
    );
    assert!(summaries(&steps)[1].contains("it needs /mnt/a, which is left alone"), "{:?}", summaries(&steps));
}

#[test]
fn what_leaves_the_configuration_is_unmounted_with_its_row_and_directory() {
    for mut fixture in [illumos(), linux()] {
        let table = if fixture.machine.storage(|storage| storage.system()) == sysconfig_platform::System::Illumos {
            "/etc/vfstab"
        } else {
            "/etc/fstab"
        };
        let before = fixture.read(table);
        fixture.converge(TMPFS);
        fixture.machine.storage(|storage| storage.set_users("/scratch", &[(99, "sleep")]));
        let (message, help) = fixture.fail("[storage]\nmount = []\n");
        assert_eq!(message, "cannot unmount /scratch: /scratch is used by sleep (process 99)");
        assert!(help.contains("end what uses /scratch"), "{help}");
        assert!(!fixture.machine.commands().iter().any(|line| line.contains("umount -")), "never by force");
        fixture.machine.storage(|storage| storage.set_users("/scratch", &[]));
        fixture.converge("[storage]\nmount = []\n");
        assert_eq!(fixture.mounted(), [""; 0]);
        assert_eq!(fixture.read(table), before, "byte for byte");
        assert!(!fixture.host.root.exists("/scratch").unwrap(), "the directory was ours");
    }
}

/// No process has a swap file open, or what lies behind a loop device.
#[test]
fn what_else_keeps_a_mount_busy_is_named() {
    let mut fixture = linux();
    fixture.machine.storage(|storage| storage.add_device("/dev/disk/by-id/a", 1 << 30, Some("ext4")));
    fixture.converge("[[storage.mount]]\ndevice = \"/dev/disk/by-id/a\"\nmountpoint = \"/data\"\ntype = \"ext4\"\n");
    let swap = fixture.host.root.locate("/data/swap");
    std::fs::write(&swap, "").unwrap();
    fixture.machine.storage(|storage| {
        storage.swaps.push(UsedSwap { path: "/data/swap".to_owned(), bytes: 1 << 20, priority: -2 });
    });
    let backing = fixture.host.root.locate("/sys/block/loop3/loop");
    std::fs::create_dir_all(&backing).unwrap();
    std::fs::write(backing.join("backing_file"), "/data/a.iso\n").unwrap();
    let (message, _) = fixture.fail("[storage]\nmount = []\n");
    let used = "/data is used by the swap file /data/swap, /dev/loop3, behind which /data/a.iso lies";
    assert!(message.ends_with(used), "{message}");
    std::fs::remove_file(swap).unwrap();
    fixture.machine.storage(|storage| storage.swaps.clear());
    fixture.converge("[storage]\nmount = []\n");
}

/// A server that is away, and a place that somebody uses, keep nothing from being done that has nothing to do with them.
#[test]
fn what_may_fail_comes_last() {
    for mut fixture in [illumos(), linux()] {
        let entry = |device: &str, point: &str, fstype: &str| {
            format!(
                "[[storage.mount]]\ndevice = \"{device}\"\nmountpoint = \"{point}\"\ntype = \"{fstype}\"\npersistent = false\n"
            )
        };
        let (away, inside) = (entry("server:/x", "/mnt/x", "nfs"), entry("swap", "/mnt/x/in", "tmpfs"));
        let other = entry("swap", "/srv", "tmpfs");
        fixture.converge(&entry("swap", "/scratch", "tmpfs"));
        fixture.machine.storage(|storage| storage.set_users("/scratch", &[(99, "sleep")]));
        let all = format!("{away}{inside}{other}");
        let steps = fixture.plan(&all);
        assert_eq!(
            summaries(&steps),
            [
                "mount swap at /srv",
                "mount server:/x at /mnt/x",
                "mount swap at /mnt/x/in",
                "unmount /scratch, where swap is"
            ]
        );
        let (message, _) = fixture.fail(&all);
        assert!(message.contains("cannot mount server:/x"), "{message}");
        assert_eq!(fixture.mounted().len(), 2, "{:?}", fixture.mounted());
        fixture.machine.storage(|storage| storage.shares.insert("server:/x".to_owned()));
        let (message, _) = fixture.fail(&all);
        assert!(message.contains("/scratch is used by sleep"), "{message}");
        fixture.machine.storage(|storage| storage.set_users("/scratch", &[]));
        fixture.converge(&all);
    }
}

/// What is in memory only is nobody's to throw away.
#[test]
fn a_file_system_in_memory_that_holds_something_is_not_unmounted() {
    for mut fixture in [illumos(), linux()] {
        fixture.converge(TMPFS);
        let before = fixture.mounted();
        let scratch = fixture.host.root.locate("/scratch");
        let gone = "[storage]\nmount = []\n";
        let unmount = fixture.plan(gone).into_iter().find(|step| step.action == "unmount").unwrap();
        std::fs::write(scratch.join("thesis"), "x").unwrap();
        let left = "leave /scratch alone: what is in /scratch is in memory only, and would be lost by unmounting it";
        assert!(summaries(&fixture.plan(gone)).contains(&left), "{:?}", summaries(&fixture.plan(gone)));
        let error = fixture.harness.apply(&unmount).unwrap_err();
        assert!(error.message.contains("is in memory only"), "what was written after the plan: {error:?}");
        let (_, help) = fixture.fail(gone);
        assert!(help.contains("move away"), "{help}");
        assert_eq!((fixture.mounted(), scratch.join("thesis").exists()), (before, true));
        std::fs::remove_file(scratch.join("thesis")).unwrap();
        fixture.converge(gone);
        assert_eq!(fixture.mounted(), [""; 0]);
    }
}

/// What is under a mount that goes is seen only when it is gone; then the step looks, and needs no second apply.
#[test]
fn a_place_that_is_still_hidden_is_looked_at_by_the_step() {
    for (mut fixture, is_filled) in [(illumos(), true), (linux(), true), (illumos(), false), (linux(), false)] {
        let hidden = fixture.host.root.locate("/scratch/in");
        std::fs::create_dir_all(&hidden).unwrap();
        std::fs::write(hidden.parent().unwrap().join("theirs"), "x").unwrap();
        if is_filled {
            std::fs::write(hidden.join("theirs"), "x").unwrap();
        }
        fixture.converge_up_to(&format!("{TMPFS}overlay = true\n"), Risk::Disruptive);
        let (inside, other) = (TMPFS.replace("/scratch", "/scratch/in"), TMPFS.replace("/scratch", "/other"));
        let both = format!("{inside}{other}");
        if !is_filled {
            let done = fixture.converge(&both);
            assert_eq!(
                done[1..],
                [
                    "unmount /scratch, where swap is",
                    "mount swap at /other",
                    "mount /other at boot",
                    "mount swap at /scratch/in",
                    "mount /scratch/in at boot"
                ]
            );
            continue;
        }
        // What is found there holds nobody else up, and from then on it is planned for.
        assert!(fixture.fail(&both).0.contains("cannot mount swap at /scratch/in: the directory is not empty"));
        assert!(fixture.mounted()[0].contains(" on /other "), "{:?}", fixture.mounted());
        assert_eq!(summaries(&fixture.plan(&both)), ["leave /scratch/in alone: the directory is not empty"]);
        assert!(hidden.join("theirs").exists());
        // With the permission to cover it, it is covered at once.
        fixture.converge(&other);
        fixture.converge_up_to(&format!("{TMPFS}overlay = true\n{other}"), Risk::Disruptive);
        fixture.converge(&format!("{inside}overlay = true\n{other}"));
    }
}

#[test]
fn somebody_elses_in_memory_at_a_place_that_was_ours_stays() {
    let mut fixture = linux();
    fixture.converge(TMPFS);
    fixture.machine.storage(|storage| {
        storage.drop_mount("/scratch");
        storage.add_mount("theirs", "/scratch", "tmpfs", &[]);
    });
    let done = fixture.converge("[storage]\nmount = []\n");
    assert_eq!(done, ["forget the mount at /scratch, which is gone", "no longer mount /scratch at boot"]);
    assert_eq!(fixture.mounted().len(), 1);
}

/// What is no longer wanted must not stay in force unnoticed.
#[test]
fn options_that_leave_the_configuration_are_given_back() {
    for mut fixture in [illumos(), linux()] {
        let with = |options: &str| {
            format!(
                "[[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/scratch\"\ntype = \"tmpfs\"\n\
                persistent = false\noptions = [{options}]\n"
            )
        };
        fixture.converge(&with("\"size=64m\", \"nosuid\""));
        let done = fixture.converge(&with("\"size=64m\""));
        assert_eq!(done, ["change the options of /scratch"]);
        // A value stays when it is not told anew, so this takes another mount.
        let done = fixture.converge(&with(""));
        assert_eq!(done, ["unmount /scratch, where swap is", "mount swap at /scratch"]);
        assert!(!fixture.mounted()[0].contains("size="), "{:?}", fixture.mounted());
    }
}

#[test]
fn a_row_is_written_only_for_what_it_mounts() {
    let mut fixture = linux();
    let steps = fixture.plan(TMPFS);
    let row = steps.iter().find(|step| step.action == "write").unwrap();
    fixture.machine.storage(|storage| storage.add_mount("/dev/vdb1", "/scratch", "ext4", &[]));
    let error = fixture.harness.apply(row).unwrap_err();
    assert!(error.message.contains("is not mounted at /scratch, so no row"), "{error:?}");
}

/// Between plan and step somebody has put his own in the place of ours.
#[test]
fn what_somebody_mounts_in_the_place_of_ours_after_the_plan_is_not_unmounted() {
    for mut fixture in [illumos(), linux()] {
        fixture.converge(TMPFS);
        let steps = fixture.plan("[storage]\nmount = []\n");
        let unmount = steps.iter().find(|step| step.action == "unmount").unwrap();
        fixture.machine.storage(|storage| {
            storage.drop_mount("/scratch");
            storage.add_mount("theirs", "/scratch", "tmpfs", &[]);
        });
        let before = fixture.mounted();
        let error = fixture.harness.apply(unmount).unwrap_err();
        assert!(error.message.contains("theirs is mounted there now, and is not ours"), "{error:?}");
        assert_eq!(fixture.mounted(), before);
    }
}

#[test]
fn a_damaged_record_is_told_and_kept() {
    let mut fixture = linux();
    fixture.converge(TMPFS);
    std::fs::write(fixture.host.root.locate("/var/lib/sysconfig/filesystem.json"), "{").unwrap();
    assert_eq!(fixture.plan("[storage]\nmount = []\n").len(), 0);
    let logs = fixture.harness.logs();
    assert!(logs.iter().any(|log| log.message.contains("filesystem.json is damaged")), "{logs:?}");
    fixture
        .converge(&format!("{TMPFS}[[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/other\"\ntype = \"tmpfs\"\n"));
    assert_eq!(fixture.read("/var/lib/sysconfig/filesystem.json.damaged"), "{");
}

#[test]
fn without_the_key_nothing_is_looked_at_and_an_empty_list_takes_ours_away() {
    let mut fixture = linux();
    fixture.converge(TMPFS);
    assert_eq!(fixture.plan("[storage]\ndataset = []\n").len(), 0);
    fixture.machine.storage(|storage| storage.drop_mount("/scratch"));
    let done = fixture.converge("[storage]\nmount = []\n");
    assert_eq!(done, ["forget the mount at /scratch, which is gone", "no longer mount /scratch at boot"]);
}

#[test]
fn a_mount_that_fails_leaves_nothing_behind() {
    let check = |mut fixture: Fixture, text: &str, part: &str| {
        let (message, _) = fixture.fail(text);
        assert!(message.contains(part), "{message}");
        assert!(!fixture.host.root.exists("/mnt/x").unwrap(), "the directory is gone again");
        assert!(!fixture.read("/etc/vfstab").contains("/mnt/x") && !fixture.read("/etc/fstab").contains("/mnt/x"));
        assert!(!fixture.read("/var/lib/sysconfig/filesystem.json").contains("/mnt/x"));
    };
    let entry = |device: &str, fstype: &str| {
        format!("[[storage.mount]]\ndevice = \"{device}\"\nmountpoint = \"/mnt/x\"\ntype = \"{fstype}\"\n")
    };
    check(illumos(), &entry("10.0.2.2:/gone", "nfs"), "NFS server is not responding");
    check(illumos(), &entry("/dev/dsk/c9t0d0s0", "ufs"), "No such file or directory");
    check(linux(), &entry("/dev/disk/by-id/z-part1", "ext4"), "No such file or directory");
}

#[test]
fn steps_are_undone_from_the_last_to_the_first() {
    for mut fixture in [illumos(), linux()] {
        let table = sysconfig_platform::boot_table::path(fixture.machine.storage(|storage| storage.system()));
        let before = fixture.read(table);
        fixture.harness.configure(crate::support::config(TMPFS));
        let made = fixture.harness.converge().unwrap().steps;
        let with = (fixture.read(table), fixture.mounted());
        fixture.harness.configure(crate::support::config(&TMPFS.replace("512m", "1g")));
        let changed = fixture.harness.converge().unwrap().steps;
        for (step, _) in changed.iter().rev() {
            fixture.harness.undo(step).unwrap();
        }
        assert_eq!((fixture.read(table), fixture.mounted()), with);
        for (step, _) in made.iter().rev() {
            fixture.harness.undo(step).unwrap();
        }
        assert_eq!((fixture.read(table), fixture.mounted()), (before, Vec::new()));
        assert!(!fixture.host.root.exists("/scratch").unwrap());
    }
}

/// Ours is gone, and there is somebody else's with somebody else's word.
#[test]
fn the_options_of_another_file_system_in_memory_are_left_alone() {
    for mut fixture in [illumos(), linux()] {
        fixture.converge(TMPFS);
        let theirs = |fixture: &Fixture| {
            fixture.machine.storage(|storage| {
                storage.drop_mount("/scratch");
                storage.add_mount("theirs", "/scratch", "tmpfs", &["size=7m"]);
            });
            fixture.mounted()
        };
        let larger = TMPFS.replace("512m", "1g");
        let steps = fixture.plan(&larger);
        assert_eq!(steps[0].action, "remount");
        let before = theirs(&fixture);
        let error = fixture.harness.apply(&steps[0]).unwrap_err();
        assert!(error.message.contains("theirs is mounted there now, and is not ours"), "{error:?}");
        let error = fixture.harness.undo(&steps[0]).unwrap_err();
        assert!(error.message.contains("is not ours"), "{error:?}");
        assert_eq!(fixture.mounted(), before);
        assert!(!fixture.read("/var/lib/sysconfig/filesystem.json").contains("theirs"), "nor is it taken for ours");
        // Unless that is what is asked for.
        let adopted = format!("{larger}adopt = true\n");
        fixture.converge_up_to(&adopted, sysconfig_plugin::Risk::Destructive);
    }
}
