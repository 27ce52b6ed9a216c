//! What only Linux has.

use crate::support::{linux, linux_with_zfs, summaries};
use sysconfig_plugin::Risk;

const FILE: &str = "[[storage.swap]]\nfile = \"/var/swap\"\nsize = \"64 MiB\"\n";

#[test]
fn a_file_is_made_whole_before_it_is_there() {
    let mut fixture = linux();
    let before = fixture.read("/etc/fstab");
    let done = fixture.converge(FILE);
    assert_eq!(
        done,
        ["create the file /var/swap with 64 MiB", "use /var/swap as swap", "use /var/swap as swap at boot"]
    );
    assert_eq!(fixture.read("/etc/fstab"), format!("{before}/var/swap\tnone\tswap\tsw\t0\t0\n"));
    let mode = std::fs::metadata(fixture.host.root.locate("/var/swap")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o7777, 0o600, "nobody else reads memory");
    fixture.converge(&FILE.replace("64", "128"));
    assert_eq!(fixture.used(), ["/var/swap 128"]);
    fixture.machine.storage(sysconfig_platform::fake::storage::Storage::reboot);
    assert_eq!(fixture.converge(&FILE.replace("64", "128")), [""; 0]);
    let names: Vec<_> =
        std::fs::read_dir(fixture.host.root.locate("/var")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("sysconfig-new")), "{names:?}");
}

/// What is left over fills the file system, and is nobody's.
#[test]
fn a_resize_that_fails_leaves_nothing_beside_the_file() {
    let mut fixture = linux();
    fixture.converge(FILE);
    fixture.machine.storage(|storage| storage.memory_is_short = true);
    let larger = FILE.replace("64", "128");
    fixture.fail(&larger);
    assert!(!fixture.host.root.exists("/var/.swap.sysconfig-new").unwrap());
    // One that was left behind beside a file of somebody else's is seen, too.
    std::fs::remove_file(fixture.host.root.locate("/var/lib/sysconfig/swap.json")).unwrap();
    std::fs::write(fixture.host.root.locate("/var/.swap.sysconfig-new"), "half").unwrap();
    let steps = fixture.plan(FILE);
    assert_eq!(summaries(&steps), ["remove what an interrupted run has left beside /var/swap"]);
}

/// A new kernel counts a little more or less.
#[test]
fn a_size_by_rule_does_not_follow_every_flutter_of_the_memory() {
    let mut fixture = linux();
    let text = FILE.replace("64 MiB", "0.5 x memory");
    fixture.converge(&text);
    fixture.machine.storage(|storage| {
        storage.memory -= 100 << 20;
        storage.refresh();
    });
    assert_eq!(fixture.converge(&text), [""; 0]);
    fixture.machine.storage(|storage| {
        storage.memory *= 2;
        storage.refresh();
    });
    assert_eq!(fixture.converge(&text).len(), 1);
    assert_eq!(fixture.used(), ["/var/swap 3996"]);
}

/// A row by UUID= is dead when the area gets another one.
#[test]
fn an_area_keeps_its_uuid_and_label() {
    let mut fixture = linux_with_zfs();
    let text = "[[storage.swap]]\nvolume = \"rpool/swap1\"\nsize = \"1 GiB\"\n";
    fixture.converge(text);
    let node = fixture.host.root.locate("/dev/zvol/rpool/swap1");
    let names = || std::fs::read(&node).unwrap()[1036..1068].to_vec();
    let file = std::fs::OpenOptions::new().write(true).open(&node).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"work", 1052).unwrap();
    let before = names();
    assert!(before[..16] != [0; 16]);
    fixture.converge(&text.replace("1 GiB", "512 MiB"));
    assert!(names() == before);
}

#[test]
fn a_partition_that_may_hold_data_needs_two_permissions() {
    const DEVICE: &str = "/dev/disk/by-partlabel/swap";
    let mut fixture = linux();
    fixture.machine.storage(|storage| storage.add_device(DEVICE, 1 << 30, Some("ext4")));
    let text = format!("[[storage.swap]]\ndevice = \"{DEVICE}\"\n");
    let steps = fixture.plan(&text);
    let holds = "an ext2, ext3 or ext4 file system (at byte 1080)";
    assert_eq!(summaries(&steps), [format!("leave {DEVICE} alone: it is not ours, and holds {holds}")]);
    assert!(fixture.harness.apply(&steps[0]).unwrap_err().data.unwrap().help.unwrap().contains("--allow-destructive"));
    let allowed = format!("{text}allow-destructive = true\n");
    let steps = fixture.plan(&allowed);
    assert!(steps.iter().all(|step| step.risk == Risk::Destructive), "{steps:?}");
    assert_eq!(steps[0].summary, format!("make a swap area of {DEVICE}, which loses {holds}"));
    assert_eq!(fixture.used(), [""; 0]);
    fixture.converge_up_to(&allowed, Risk::Destructive);
    assert_eq!(fixture.used(), [format!("{DEVICE} 1024")]);
    assert_eq!(fixture.converge(&text), [""; 0], "the permission can go when it is done");
}

#[test]
fn a_partition_that_is_swap_already_is_used() {
    let mut fixture = linux();
    fixture.machine.storage(|storage| storage.add_device("/dev/sdb1", 1 << 30, Some("swap")));
    let text = "[[storage.swap]]\ndevice = \"/dev/sdb1\"\npriority = 5\n";
    assert_eq!(fixture.converge(text), ["use /dev/sdb1 as swap", "use /dev/sdb1 as swap at boot"]);
    assert!(fixture.read("/etc/fstab").ends_with("/dev/sdb1\tnone\tswap\tpri=5\t0\t0\n"));
    let other = text.replace('5', "7");
    let done = fixture.converge(&other);
    assert_eq!(done[..2], ["stop using /dev/sdb1 as swap", "use /dev/sdb1 as swap"], "{done:?}");
    assert_eq!(fixture.machine.storage(|storage| storage.swaps[0].priority), 7);
}

#[test]
fn volumes_work_where_there_is_zfs_and_are_left_out_where_not() {
    let text = "[[storage.swap]]\nvolume = \"rpool/swap1\"\nsize = \"1 GiB\"\n";
    let mut fixture = linux_with_zfs();
    fixture.converge(text);
    assert_eq!(fixture.used(), ["/dev/zvol/rpool/swap1 1024"]);
    fixture.converge(&text.replace("1 GiB", "512 MiB"));
    assert_eq!(fixture.used(), ["/dev/zvol/rpool/swap1 512"]);
    let mut without = linux();
    assert_eq!(summaries(&without.plan(text)), ["leave /dev/zvol/rpool/swap1 alone: there is no dataset rpool"]);
}
