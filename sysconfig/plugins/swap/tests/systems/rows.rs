//! Rows of the boot table: those of others change on request only, and by whatever name they call the area.

use crate::support::{Fixture, linux, summaries};

const GIB: u64 = 1 << 30;

#[test]
fn rows_of_others() {
    let setup = |row: &str| {
        let fixture = linux();
        fixture.machine.storage(|storage| storage.add_device("/dev/sdb1", GIB, Some("swap")));
        let path = fixture.host.root.locate("/etc/fstab");
        std::fs::write(path, format!("/dev/vda1 / ext4 defaults 0 1\n{row}")).unwrap();
        fixture
    };
    let text = "[[storage.swap]]\ndevice = \"/dev/sdb1\"\npriority = 5\n";
    let mut same = setup("/dev/sdb1   none swap   sw,pri=5  0 0\n");
    assert_eq!(same.converge(text), ["use /dev/sdb1 as swap"], "a row that says the same is good");
    assert!(same.read("/etc/fstab").ends_with("/dev/sdb1   none swap   sw,pri=5  0 0\n"));
    let mut other = setup("/dev/sdb1 none swap sw 0 0\n");
    let steps = other.plan(text);
    assert_eq!(
        summaries(&steps)[1],
        "leave /dev/sdb1 alone: its row in /etc/fstab differs, and is not ours: /dev/sdb1 none swap sw 0 0"
    );
    other.converge(&format!("{text}adopt = true\n"));
    assert!(other.read("/etc/fstab").ends_with("/dev/sdb1\tnone\tswap\tpri=5\t0\t0\n"));
    // Only the priority can be configured, so only that is compared, and changed.
    let options = "nofail,discard,x-systemd.device-timeout=5";
    let mut more = setup(&format!("/dev/sdb1 none swap sw,{options} 0 0\n"));
    assert_eq!(more.converge("[[storage.swap]]\ndevice = \"/dev/sdb1\"\n"), ["use /dev/sdb1 as swap"]);
    more.converge(&format!("{text}adopt = true\n"));
    assert!(more.read("/etc/fstab").ends_with(&format!("/dev/sdb1\tnone\tswap\t{options},pri=5\t0\t0\n")));
    more.converge("[[storage.swap]]\ndevice = \"/dev/sdb1\"\n");
    assert!(more.read("/etc/fstab").ends_with(&format!("/dev/sdb1\tnone\tswap\t{options}\t0\t0\n")));
    let mut twice = setup("/dev/sdb1 none swap sw 0 0\n/dev/sdb1 none swap sw,pri=5 0 0\n");
    let steps = twice.plan(&format!("{text}adopt = true\n"));
    assert!(summaries(&steps)[1].contains("there are 2 rows about it"), "{:?}", summaries(&steps));
}

/// Installers write rows by UUID or label.
#[test]
fn a_row_by_another_name_is_a_row_about_it() {
    for (name, link) in [("UUID=1-2", "by-uuid/1-2"), ("LABEL=s", "by-label/s"), ("/dev/disk/by-id/x", "by-id/x")] {
        let mut fixture = linux();
        fixture.machine.storage(|storage| storage.add_device("/dev/sdb1", GIB, Some("swap")));
        let link = fixture.host.root.locate(format!("/dev/disk/{link}"));
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("../../sdb1", link).unwrap();
        let table = fixture.host.root.locate("/etc/fstab");
        let before = format!("/dev/vda1 / ext4 defaults 0 1\n{name}  none swap sw 0 0\n");
        std::fs::write(&table, &before).unwrap();
        let text = "[[storage.swap]]\ndevice = \"/dev/sdb1\"\n";
        assert_eq!(fixture.converge(text), ["use /dev/sdb1 as swap"], "{name}");
        assert_eq!(fixture.read("/etc/fstab"), before);
        let other = format!("{text}priority = 4\nadopt = true\n");
        fixture.harness.configure(crate::support::config(&other));
        let steps = fixture.harness.converge().unwrap().steps;
        let after = format!("/dev/vda1 / ext4 defaults 0 1\n{name}\tnone\tswap\tpri=4\t0\t0\n");
        assert_eq!(fixture.read("/etc/fstab"), after, "the row stays the only one");
        for (step, _) in steps.iter().rev() {
            fixture.harness.undo(step).unwrap();
        }
        assert_eq!(fixture.read("/etc/fstab"), before, "byte for byte");
        fixture.converge(&other);
        fixture.converge("[storage]\nswap = []\n");
        assert_eq!(fixture.read("/etc/fstab"), "/dev/vda1 / ext4 defaults 0 1\n");
    }
}

/// It may lie on a server that is gone, where looking takes for ever: what is no device is not followed.
#[test]
fn what_others_mount_from_elsewhere_is_not_looked_at() {
    let mut fixture = linux();
    fixture.machine.storage(|storage| storage.add_device("/dev/sdb1", GIB, Some("swap")));
    let link = fixture.host.root.locate("/mnt/nfs/x");
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/sdb1", link).unwrap();
    fixture.machine.storage(|storage| storage.add_row("/mnt/nfs/x /srv none bind 0 0\n"));
    let done = fixture.converge("[[storage.swap]]\ndevice = \"/dev/sdb1\"\n");
    assert_eq!(done, ["use /dev/sdb1 as swap", "use /dev/sdb1 as swap at boot"]);
}

/// The plugin itself says that `/dev/sdb1` should be called otherwise; who does so has not given it up.
#[test]
fn what_is_configured_by_another_name_stays_in_use() {
    let mut fixture = crate::support::linux_with_links();
    let text = |name: &str| format!("[[storage.swap]]\ndevice = \"{name}\"\n");
    fixture.converge(&text("/dev/sdb1"));
    let (used, table) = (fixture.used(), fixture.read("/etc/fstab"));
    for name in ["/dev/disk/by-id/x", "/dev/disk/by-partuuid/y"] {
        let done = fixture.converge(&text(name));
        assert!(done.len() == 1 && done[0].ends_with(&format!("by its other name {name}")), "{done:?}");
        assert_eq!((fixture.used(), fixture.read("/etc/fstab")), (used.clone(), table.clone()));
    }
    let both = format!("{}{}", text("/dev/disk/by-id/x"), text("/dev/disk/by-partuuid/y"));
    let (message, _) = fixture.fail(&both);
    assert!(message.contains("is another name of /dev/disk/by-"), "{message}");
    assert_eq!(fixture.used(), used);
    // It is ours still, and goes when it leaves.
    fixture.converge("[storage]\nswap = []\n");
    assert_eq!((fixture.used(), fixture.read("/etc/fstab").contains("swap")), (Vec::new(), false));
}

/// It reads all units for each telling; and one that cannot be told keeps no area from being used.
#[test]
fn systemd_is_told_once_of_all_rows_that_an_apply_changes() {
    let entry = |at: usize| format!("[[storage.swap]]\nfile = \"/var/{at}\"\nsize = \"2 MiB\"\n");
    let all: String = (0..3).map(entry).collect();
    for listens in [true, false] {
        let mut fixture = linux();
        match listens {
            true => fixture.machine.storage(sysconfig_platform::fake::storage::Storage::start_systemd),
            false => std::fs::create_dir_all(fixture.host.root.locate("/run/systemd/system")).unwrap(),
        }
        let before = fixture.read("/etc/fstab");
        fixture.harness.configure(crate::support::config(&all));
        let done = fixture.harness.converge().unwrap().steps;
        let told =
            |fixture: &Fixture| fixture.machine.commands().iter().filter(|line| line.contains("daemon-reload")).count();
        assert_eq!((fixture.used().len(), told(&fixture)), (3, 1));
        let warned = fixture.harness.logs().iter().filter(|log| log.message.contains("the next apply tries")).count();
        assert_eq!(warned, usize::from(!listens));
        if listens {
            for (step, _) in done.iter().rev() {
                fixture.harness.undo(step).unwrap();
            }
            assert_eq!((fixture.used().len(), fixture.read("/etc/fstab"), told(&fixture)), (0, before, 2));
        }
    }
}
