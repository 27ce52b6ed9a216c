//! The method of `svc:/system/dev-9p-mount`.

use std::time::{Duration, Instant};

use crate::guest::{Guest, with_each_shell};

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(180);

const MIRROR: &str = "usr/lib/ninep-mirror";

fn with_each_guest(test: impl Fn(&Guest)) {
    with_each_shell("openindiana/dev-9p-mount", |guest| {
        guest.command("mount", "printf 'repo\\t%s\\t9pfs\\tro\\t0\\n' \"$REPO\" >>\"$MNTTAB\"");
        guest.command("umount", "printf '' >\"$MNTTAB\"");
        guest.write("bin/sleep", "#!/bin/sh\nexec /bin/sleep 0.05\n");
        test(guest);
    });
}

#[test]
fn without_a_file_system_the_mirror_is_started() {
    with_each_guest(|guest| {
        guest.program(MIRROR, "exit 0");
        assert_eq!(guest.run(&["start"]).0, Some(0));
        let expected = "ninep-mirror --smf --dest /repo --tag repo --expect sysconfig/Cargo.toml --ready-within 240s\n";
        assert_eq!(guest.log(), expected);
    });
}

#[test]
fn the_rows_message_size_is_the_mirrors() {
    with_each_guest(|guest| {
        guest.program(MIRROR, "exit 0");
        let vfstab = std::fs::read_to_string(guest.path("etc/vfstab")).unwrap();
        guest.write("etc/vfstab", &vfstab.replace("version=9p2000.L", "version=9p2000.L,msize=8192"));
        assert_eq!(guest.run(&["start"]).0, Some(0));
        assert!(guest.log().ends_with("--ready-within 240s --msize 8192\n"), "{}", guest.log());
        // The tag is the option's, and the row's device where there is none.
        for (options, tag) in
            [("ro,tag=other,version=9p2000.L", "other"), ("tag=this,mytag=no", "this"), ("mytag=no", "repo")]
        {
            let vfstab = vfstab.replace("tag=repo,trans=virtio,version=9p2000.L", options);
            guest.write("etc/vfstab", &vfstab);
            assert_eq!(guest.run(&["start"]).0, Some(0));
            let log = guest.log();
            let last = log.lines().last().unwrap_or_default();
            assert!(last.contains(&format!("--tag {tag} --expect")), "{options}: {last}");
        }
    });
}

#[test]
fn what_the_mirror_ends_with_is_what_smf_is_told() {
    with_each_guest(|guest| {
        for (mirror, expected) in [(1, 95), (3, 95), (95, 95), (96, 96), (137, 95)] {
            guest.program(MIRROR, &format!("exit {mirror}"));
            assert_eq!(guest.run(&["start"]).0, Some(expected), "mirror's {mirror}");
        }
    });
}

#[test]
fn what_is_missing_is_said() {
    with_each_guest(|guest| {
        let (status, said) = guest.run(&["start"]);
        assert_eq!(status, Some(96));
        let expected = "dev-9p-mount: this system has no file system of type 9pfs (/usr/lib/fs/9pfs/mount) and no \
                        /usr/lib/ninep-mirror\n";
        assert_eq!(said, expected);
        guest.write("etc/vfstab", "#device\nswap\t-\t/tmp\ttmpfs\t-\tyes\t-\n");
        assert_eq!(guest.run(&["start"]), (Some(96), "dev-9p-mount: /etc/vfstab has no row for /repo\n".to_owned()));
        assert_eq!(guest.run(&[]).0, Some(96));
    });
}

#[test]
fn a_native_file_system_is_mounted_watched_and_unmounted() {
    with_each_guest(|guest| {
        guest.write("usr/lib/fs/9pfs/mount", "");
        guest.program(MIRROR, "exit 0");
        assert_eq!(guest.run(&["start"]).0, Some(0));
        let mounted = "mount -F 9pfs -o tag=repo,trans=virtio,version=9p2000.L repo /repo\n";
        assert_eq!(guest.log(), mounted);
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(guest.said(), "", "the process that stays watches");
        // A second start, after its process was killed, finds the mount and does not mount it again.
        assert_eq!(guest.run(&["start"]).0, Some(0));
        assert_eq!(guest.log(), mounted);
        assert_eq!(guest.run(&["stop", "77"]).0, Some(0));
        assert_eq!(guest.log(), format!("{mounted}killed contract 77 with TERM within 30 s\numount /repo\n"));
        // The watchers notice and end.
        std::fs::write(guest.path("said"), "").unwrap();
        assert_eq!(guest.run(&["start"]).0, Some(0));
        std::fs::write(guest.path("etc/mnttab"), "").unwrap();
        let give_up = Instant::now() + PATIENCE;
        while !guest.said().contains("/repo is not mounted any more") {
            assert!(Instant::now() < give_up, "{}", guest.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    });
}

#[test]
fn stopping_the_mirror_unmounts_nothing() {
    with_each_guest(|guest| {
        assert_eq!(guest.run(&["stop", "78"]).0, Some(0));
        assert_eq!(guest.log(), "killed contract 78 with TERM within 30 s\n");
    });
}

/// A mirror that does not end, and a service of which nothing runs.
#[test]
fn stopping_ends_in_any_case() {
    with_each_guest(|guest| {
        guest.write("etc/mnttab", &format!("repo\t{}\t9pfs\tro\t0\n", guest.path("repo").display()));
        assert_eq!(guest.run_with(&["stop", "79"], &[("HANGS", "yes")]).0, Some(0));
        let killed = "killed contract 79 with TERM within 30 s\nkilled contract 79 with KILL\numount /repo\n";
        assert_eq!(guest.log(), killed);
        assert_eq!(guest.run(&["stop", ""]).0, Some(0));
        assert_eq!(guest.log(), killed, "nothing to kill, and nothing mounted any more");
    });
}

#[test]
fn what_stays_does_not_take_itself_for_a_method() {
    with_each_guest(|guest| {
        guest.program(MIRROR, "env | grep SMF_ >>\"$LOG\"; exit 0");
        assert_eq!(guest.run(&["start"]).0, Some(0));
        assert!(!guest.log().contains("SMF_"), "{}", guest.log());
    });
}

#[test]
fn a_mount_that_fails_is_told() {
    with_each_guest(|guest| {
        guest.write("usr/lib/fs/9pfs/mount", "");
        guest.command("mount", "echo 'mount: no such device' >&2; exit 1");
        assert_eq!(guest.run(&["start"]), (Some(95), "mount: no such device\n".to_owned()));
    });
}
