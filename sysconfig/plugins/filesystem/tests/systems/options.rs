//! Options that the table shows in other words than they were given, and options that go.

use crate::support::{Fixture, illumos_with_tank, linux, linux_with_zfs, summaries};
use sysconfig_platform::fake::storage::Storage;

fn entry(device: &str, point: &str, fstype: &str, options: &str) -> String {
    format!(
        "[[storage.mount]]\ndevice = \"{device}\"\nmountpoint = \"{point}\"\ntype = \"{fstype}\"\noptions = [{options}]\n"
    )
}

const NFS: &str = "server:/x";

fn machine() -> Fixture {
    let fixture = linux();
    std::fs::write(fixture.host.root.locate("/etc/passwd"), "root:x:0:0::/:/bin/sh\nalice:x:1000:1000::/:/bin/sh\n")
        .unwrap();
    fixture.machine.storage(|storage| {
        storage.shares.insert(NFS.to_owned());
        storage.add_device("/dev/disk/by-id/a", 1 << 30, Some("ext4"));
        storage.add_device("/dev/disk/by-id/b", 1 << 30, Some("vfat"));
    });
    fixture
}

fn everything() -> String {
    [
        entry(NFS, "/mnt/nfs", "nfs", "\"vers=4\", \"rsize=1048576\", \"nosuid\", \"hard\""),
        entry(
            "tmpfs",
            "/scratch",
            "tmpfs",
            "\"size=1000000\", \"nr_inodes=1m\", \"mode=0700\", \"uid=alice\", \"strictatime\"",
        ),
        entry("tmpfs", "/half", "tmpfs", "\"size=50%\""),
        entry("/dev/disk/by-id/a", "/srv", "ext4", "\"noatime\", \"nofail\", \"x-systemd.device-timeout=5\""),
        entry("/dev/disk/by-id/b", "/fat", "vfat", "\"uid=alice\", \"umask=0022\""),
    ]
    .concat()
}

/// Whoever takes another spelling for another value mounts anew at every apply.
#[test]
fn what_is_shown_in_other_words_is_as_wanted_from_then_on() {
    let mut fixture = machine();
    fixture.converge(&everything());
    let shown = fixture.mounted().join("\n");
    for word in ["vers=4.2,rsize=65536", "size=980k,nr_inodes=1048576,mode=700,uid=1000", "(rw,noatime)"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    // After the next boot another server agrees on less, and the machine has more memory.
    fixture.machine.storage(|storage| {
        (storage.server_block, storage.memory) = (4096, 8 << 30);
        storage.reboot();
    });
    assert_eq!(fixture.converge(&everything()), [""; 0]);
    assert!(fixture.mounted().join("\n").contains("rsize=4096"));
    // What is really another value is put right.
    let other = everything().replace("vers=4", "vers=3").replace("size=1000000", "size=2000000");
    let done = fixture.converge(&other);
    assert!(done.contains(&"unmount /mnt/nfs, where server:/x is".to_owned()), "{done:?}");
    assert!(done.contains(&"change the options of /scratch".to_owned()), "{done:?}");
    assert_eq!(done.iter().filter(|line| line.starts_with("change") || line.starts_with("unmount")).count(), 2);
}

#[test]
fn a_value_that_somebody_changes_is_put_right_whatever_it_was_called() {
    let mut fixture = machine();
    fixture.converge(&everything());
    fixture.machine.storage(|storage| {
        let mount = storage.mounts.iter_mut().find(|mount| mount.mount_point == "/half").unwrap();
        mount.options = vec!["rw".to_owned(), "relatime".to_owned(), "size=4k".to_owned()];
    });
    assert_eq!(fixture.converge(&everything()), ["change the options of /half"]);
}

/// Without a word about times of access the kernel keeps what it has.
#[test]
fn times_of_access_are_as_usual_when_nothing_is_wanted_any_longer() {
    for option in ["noatime", "strictatime", "nodiratime", "sync"] {
        let mut fixture = machine();
        let with = entry("/dev/disk/by-id/a", "/srv", "ext4", &format!("\"{option}\""));
        fixture.converge(&with);
        let without = entry("/dev/disk/by-id/a", "/srv", "ext4", "");
        let change = fixture.plan(&without).remove(0);
        let done = fixture.converge(&without);
        assert_eq!(done, ["change the options of /srv", "mount /srv at boot"]);
        assert_eq!(fixture.mounted(), ["/dev/disk/by-id/a on /srv ext4 (rw,relatime)"], "{option}");
        fixture.harness.undo(&change).unwrap();
        assert!(!fixture.mounted()[0].ends_with("(rw,relatime)"), "{option}: {:?}", fixture.mounted());
    }
}

/// After a boot there is nothing but a place at which systemd waits for somebody to come.
#[test]
fn what_is_mounted_on_demand_counts_as_mounted() {
    let mut fixture = machine();
    let text = entry(NFS, "/mnt/nfs", "nfs", "\"x-systemd.automount\", \"x-systemd.idle-timeout=60\"");
    fixture.converge(&text);
    fixture.machine.storage(Storage::reboot);
    assert_eq!(fixture.mounted(), ["systemd-1 on /mnt/nfs autofs (rw,relatime)"]);
    assert_eq!(fixture.converge(&text), [""; 0]);
    // Its row can be changed without waking it.
    let longer = text.replace("=60", "=90");
    assert_eq!(fixture.converge(&longer), ["mount /mnt/nfs at boot"]);
    // Somebody comes.
    fixture.machine.storage(|storage| storage.add_mount(NFS, "/mnt/nfs", "nfs", &["rw", "vers=4.2"]));
    assert_eq!(fixture.converge(&longer), [""; 0]);
    fixture.machine.storage(|storage| storage.drop_mount("/mnt/nfs"));
    // A place that waits for something else is somebody else's.
    let steps = fixture.plan(&longer.replace(NFS, "other:/y"));
    assert!(summaries(&steps)[0].contains("systemd-1 of type autofs is mounted there, and is not ours"), "{steps:?}");
    let done = fixture.converge("[storage]\nmount = []\n");
    assert_eq!(done, ["forget the mount at /mnt/nfs, which is gone", "no longer mount /mnt/nfs at boot"]);
}

fn value(fixture: &Fixture, property: &str, dataset: &str) -> String {
    let row = fixture.machine.type_in(&format!("zfs get -Hp -o name,property,value,source {property} {dataset}"));
    row.split('\t').nth(2).unwrap_or_default().to_owned()
}

/// What no dataset has from the one above cannot be inherited, which ZFS refuses.
#[test]
fn what_is_no_longer_configured_is_given_back_whether_or_not_it_is_inherited() {
    for mut fixture in [illumos_with_tank(), linux_with_zfs()] {
        let text = |properties: &str| {
            format!(
                "[[storage.dataset]]\nname = \"tank/data\"\nproperties = {{ mountpoint = \"/data\", {properties} }}\n"
            )
        };
        let all = "canmount = \"noauto\", quota = \"1 GiB\", reservation = \"1 MiB\", compression = \"gzip\"";
        fixture.converge(&text(""));
        fixture.converge(&text(all));
        fixture.converge(&text(""));
        let now = ["canmount", "quota", "reservation", "compression"].map(|one| value(&fixture, one, "tank/data"));
        assert_eq!(now, ["on", "0", "0", "off"]);
        // The same backwards, from where nobody had set anything.
        fixture.machine.type_in("zfs create -o mountpoint=/other tank/other");
        let other = |rest: &str| text(rest).replace("data", "other") + "adopt = true\n";
        fixture.harness.configure(crate::support::config(&other("canmount = \"noauto\", quota = \"1 GiB\"")));
        let steps = fixture.harness.converge().unwrap().steps;
        for (step, _) in steps.iter().rev() {
            fixture.harness.undo(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
        }
        assert_eq!(["canmount", "quota"].map(|one| value(&fixture, one, "tank/other")), ["on", "0"]);
    }
}

/// What is read-only was taken for another part of the file system, and had to be unmounted for other options.
#[test]
fn a_part_of_btrfs_that_is_read_only_gets_other_options_where_it_is() {
    let mut fixture = linux();
    fixture.machine.storage(|storage| storage.add_device("/dev/disk/by-id/a", 1 << 30, Some("btrfs")));
    let part = |options: &str| entry("/dev/disk/by-id/a", "/srv", "btrfs", &format!("\"subvol=/data\"{options}"));
    fixture.converge(&part(", \"ro\""));
    for options in [", \"ro\", \"noatime\"", ", \"noatime\""] {
        let done = fixture.converge(&part(options));
        assert!(done.iter().all(|step| !step.contains("unmount")) && !done.is_empty(), "{options}: {done:?}");
    }
    assert!(fixture.mounted().join("\n").contains("noatime"), "{:?}", fixture.mounted());
}
