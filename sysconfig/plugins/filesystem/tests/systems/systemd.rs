//! systemd goes by the units that it has made of the boot table, until it is told of another one.

use crate::support::{Fixture, linux, summaries};
use std::os::unix::fs::symlink;

const NOTHING: &str = "[storage]\nmount = []\n";

fn disk(name: &str) -> String {
    format!("[[storage.mount]]\ndevice = \"/dev/disk/by-uuid/{name}\"\nmountpoint = \"/data\"\ntype = \"ext4\"\n")
}

/// A machine with these rows and the disk `new`; that of `old` is gone.
fn machine(rows: &str) -> Fixture {
    let fixture = linux();
    fixture.machine.storage(|storage| {
        storage.add_row(rows);
        storage.add_device("/dev/disk/by-uuid/new", 64 << 20, Some("ext4"));
        storage.start_systemd();
    });
    fixture
}

fn reloads(fixture: &Fixture) -> usize {
    fixture.machine.commands().iter().filter(|line| line.contains("daemon-reload")).count()
}

/// The disk of the old row was replaced: systemd would unmount the new one at once, because that of its unit is not there.
#[test]
fn the_row_of_a_disk_that_is_gone_makes_room_first() {
    let old = "/dev/disk/by-uuid/old\t/data\text4\tdefaults\t0\t0\n";
    let mut fixture = machine(old);
    let before = fixture.read("/etc/fstab");
    let (message, help) = fixture.fail(&disk("new"));
    assert!(message.contains("names a device that is not there, so that systemd would unmount"), "{message}");
    assert!(help.contains("systemctl daemon-reload"), "{help}");
    assert_eq!((fixture.read("/etc/fstab"), fixture.mounted()), (before.clone(), Vec::new()));
    let (adopted, mounted) =
        (format!("{}adopt = true\n", disk("new")), "/dev/disk/by-uuid/new on /data ext4 (rw,relatime)");
    fixture.harness.configure(crate::support::config(&adopted));
    let done = fixture.harness.converge().unwrap().steps;
    let said: Vec<_> = done.iter().map(|(step, _)| step.summary.as_str()).collect();
    let gone = "no longer mount /dev/disk/by-uuid/old at /data at boot, which is not there";
    assert_eq!(said, [gone, "mount /dev/disk/by-uuid/new at /data", "mount /data at boot"]);
    assert_eq!(fixture.mounted(), [mounted]);
    assert_eq!(fixture.read("/etc/fstab"), before.replace("/old", "/new"));
    for (step, _) in done.iter().rev() {
        fixture.harness.undo(step).unwrap();
    }
    assert_eq!((fixture.read("/etc/fstab"), fixture.mounted()), (before, Vec::new()));
    assert_eq!(reloads(&fixture), 4, "behind the row that goes and behind those that come, each way");
}

/// It reads all units for each telling, which takes long where there are many.
#[test]
fn systemd_is_told_once_of_all_rows_that_go_and_once_of_those_that_come() {
    let mut fixture = machine("");
    let entry = |at: usize, size: &str| {
        format!(
            "[[storage.mount]]\ndevice = \"tmpfs\"\nmountpoint = \"/m/{at}\"\ntype = \"tmpfs\"\noptions = [\"size={size}\"]\n"
        )
    };
    let all = |size: &str| -> String { (0..4).map(|at| entry(at, size)).collect() };
    let mut before = 0;
    let mut told = |fixture: &Fixture| {
        let (new, all) = (reloads(fixture) - before, reloads(fixture));
        before = all;
        assert!(!fixture.host.root.exists("/var/lib/sysconfig/fstab-untold").unwrap());
        new
    };
    fixture.converge(&all("1m"));
    assert_eq!(told(&fixture), 1);
    fixture.converge(&all("2m"));
    assert_eq!(told(&fixture), 1);
    // Behind the rows that go, and as soon as nothing else is done, because something does not work.
    let (fewer, broken) =
        (entry(1, "2m"), entry(9, "3m").replace("tmpfs\"\no", "ext4\"\no").replace("\"tmpfs", "\"/dev/none"));
    fixture.fail(&format!("{fewer}{}{broken}", entry(8, "3m")));
    assert_eq!(told(&fixture), 2);
    let (mounted, table) = (fixture.mounted(), fixture.read("/etc/fstab"));
    fixture.harness.configure(crate::support::config(NOTHING));
    let done = fixture.harness.converge().unwrap().steps;
    assert_eq!((fixture.mounted().len(), told(&fixture)), (0, 1), "{done:?}");
    for (step, _) in done.iter().rev() {
        fixture.harness.undo(step).unwrap();
    }
    assert_eq!((fixture.mounted().len(), fixture.read("/etc/fstab"), told(&fixture)), (mounted.len(), table, 1));
}

/// A machine whose disk is gone; the row, which is ours, is there still.
fn machine_that_lost_its_disk() -> Fixture {
    let mut fixture = machine("");
    fixture.machine.storage(|storage| storage.add_device("/dev/disk/by-uuid/old", 64 << 20, Some("ext4")));
    fixture.converge(&disk("old"));
    std::fs::remove_file(fixture.host.root.locate("/dev/disk/by-uuid/old")).unwrap();
    fixture.machine.storage(|storage| {
        storage.devices.remove("/dev/disk/by-uuid/old");
        storage.drop_mount("/data");
    });
    fixture
}

/// Systemd ends what is mounted where a row of a disk that is gone was, unless it has heard that the row went.
#[test]
fn what_comes_without_a_row_of_its_own_waits_until_systemd_knows_that_the_old_one_is_gone() {
    let mut fixture = machine_that_lost_its_disk();
    let other = "[[storage.mount]]\ndevice = \"tmpfs\"\nmountpoint = \"/x\"\ntype = \"tmpfs\"\n";
    fixture.converge(&format!("{}persistent = false\n{other}", disk("new")));
    assert!(fixture.mounted().iter().any(|line| line.contains(" on /data ")), "{:?}", fixture.mounted());
}

/// The disk of the old row was replaced, and the row is ours.
#[test]
fn our_row_of_a_disk_that_is_gone_makes_room_first() {
    let mut fixture = machine_that_lost_its_disk();
    assert_eq!(fixture.converge(&disk("new")).len(), 3);
    assert_eq!(fixture.mounted(), ["/dev/disk/by-uuid/new on /data ext4 (rw,relatime)"]);
    fixture.converge(NOTHING);
    assert_eq!(fixture.mounted(), [""; 0]);
    assert!(!fixture.read("/etc/fstab").contains("/data"));
}

/// A row by UUID, LABEL or PARTUUID counts as one of a disk that is gone when udev has no such link.
#[test]
fn rows_by_tag_are_looked_up() {
    for (tag, is_gone) in [("UUID=there", false), ("UUID=gone", true), ("LABEL=gone", true), ("PARTUUID=gone", true)] {
        let mut fixture = machine(&format!("{tag} /data ext4 defaults 0 0\n"));
        symlink("../../sdb1", fixture.host.root.locate("/dev/disk/by-uuid/there")).unwrap();
        fixture.machine.storage(|storage| storage.add_device("/dev/sdb1", 64 << 20, Some("ext4")));
        let steps = fixture.plan(&disk("new"));
        let is_left = summaries(&steps)[0].contains("is not there, so that systemd would unmount");
        assert_eq!(is_left, is_gone, "{tag}: {:?}", summaries(&steps));
    }
}

fn is_untold(message: &str) -> bool {
    message.contains("tell systemd of /etc/fstab, which is changed")
}

/// What comes in the place of a row that systemd still goes by would be unmounted.
#[test]
fn nothing_is_mounted_before_systemd_knows_that_there_is_room() {
    let mut fixture = linux();
    fixture.machine.storage(|storage| {
        storage.add_row("/dev/disk/by-uuid/old\t/data\text4\tdefaults\t0\t0\n");
        storage.add_device("/dev/disk/by-uuid/new", 64 << 20, Some("ext4"));
    });
    std::fs::create_dir_all(fixture.host.root.locate("/run/systemd/system")).unwrap();
    let (message, _) = fixture.fail(&format!("{}adopt = true\n", disk("new")));
    assert!(is_untold(&message), "{message}");
    assert_eq!(fixture.mounted(), [""; 0]);
}

/// Which of two disks that are both away is to come back, nobody knows; and a container has no units of devices.
#[test]
fn no_row_makes_room_for_a_disk_that_is_not_there_or_in_a_container() {
    for (row, container) in [
        ("/dev/disk/by-uuid/old", false),
        ("UUID=away", false),
        ("/dev/disk/by-uuid/away", false),
        ("/dev/disk/by-uuid/old", true),
    ] {
        let mut fixture = machine(&format!("{row}\t/data\text4\tdefaults\t0\t0\n"));
        if container {
            std::fs::write(fixture.host.root.locate("/run/systemd/container"), "lxc").unwrap();
        }
        let before = fixture.read("/etc/fstab");
        let name = if container { "new" } else { "away" };
        let steps = fixture.plan(&format!("{}adopt = true\n", disk(name)));
        assert!(!summaries(&steps).iter().any(|step| step.contains("no longer mount")), "{:?}", summaries(&steps));
        if !container {
            fixture.fail(&format!("{}adopt = true\n", disk(name)));
            assert_eq!((fixture.read("/etc/fstab"), fixture.mounted()), (before, Vec::new()), "{row}");
        }
    }
}

/// Of several rows none is taken out, and systemd would unmount what comes there if one is of a disk that is gone.
#[test]
fn a_place_with_several_rows_of_which_one_is_gone_stays_as_it_is() {
    let mut fixture = machine("/dev/disk/by-uuid/old /data ext4 ro 0 0\n/dev/disk/by-uuid/new /data ext4 ro 0 0\n");
    let before = fixture.read("/etc/fstab");
    let (message, _) = fixture.fail(&format!("{}adopt = true\n", disk("new")));
    assert!(message.contains("there are 2 rows about it in /etc/fstab, of which one names a device"), "{message}");
    assert_eq!((fixture.read("/etc/fstab"), fixture.mounted()), (before, Vec::new()));
}

/// The row stays ours, and systemd is told as soon as it listens, or reads the table itself.
#[test]
fn a_systemd_that_cannot_be_told_is_told_later() {
    for restarts in [false, true] {
        let mut fixture = linux();
        fixture.machine.storage(|storage| storage.add_device("/dev/disk/by-uuid/new", 64 << 20, Some("ext4")));
        std::fs::create_dir_all(fixture.host.root.locate("/run/systemd/system")).unwrap();
        // The mount is there, and no other comes in its place.
        fixture.harness.configure(crate::support::config(&disk("new")));
        assert_eq!(fixture.harness.converge().unwrap().steps.len(), 2);
        let warned = |fixture: &Fixture| fixture.harness.logs().iter().filter(|log| is_untold(&log.message)).count();
        assert_eq!(warned(&fixture), 1, "{:?}", fixture.harness.logs());
        let told = "tell systemd of /etc/fstab, which an interrupted step has changed";
        assert_eq!(summaries(&fixture.plan(&disk("new"))), [told]);
        fixture.machine.storage(|storage| {
            if restarts {
                storage.reboot();
            }
            storage.start_systemd();
        });
        let expected: &[&str] = if restarts { &[] } else { &[told] };
        assert_eq!(fixture.converge(&disk("new")), expected);
        assert!(fixture.converge(NOTHING).contains(&"no longer mount /data at boot".to_owned()));
    }
}
