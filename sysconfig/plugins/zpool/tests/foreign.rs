//! Disks with what real tools have put on them: each is refused by name, and not one byte of any changes.

use plugin_testing::foreign::{self, DISK, files, sh};
use process_runner::Command;
use serde_json::json;
use std::path::Path;
use sysconfig_platform::System;
use sysconfig_platform::fake::Machine;
use sysconfig_plugin::Risk;
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_zpool::ZpoolPlugin;

/// The refusal of a pool that is to have a disk at `/var/tmp/foreign`, which is left as it is.
fn refusal(bytes: u64, fill: impl FnOnce(&Path)) -> String {
    let (_root, host, machine) = Machine::start(System::Illumos);
    for name in ["foreign", "blank"] {
        machine.storage(|storage| storage.add_file(&format!("/var/tmp/{name}"), bytes));
    }
    let mut harness = Harness::start(ZpoolPlugin::new(host.clone()));
    let steps = foreign::untouched(&host.root.locate("/var/tmp/foreign"), bytes, fill, || {
        harness.configure(json!({ "storage.pool": [
            { "name": "tank", "vdevs": [{ "mirror": ["/var/tmp/blank", "/var/tmp/foreign"] }] },
        ] }));
        let steps = harness.plan().unwrap();
        for step in &steps {
            assert_eq!(step.action, "refuse", "{}", step.summary);
            harness.apply(step).unwrap_err();
        }
        one_permission_is_none(&mut harness);
        steps
    });
    let commands = machine.commands();
    assert!(
        commands
            .iter()
            .all(|line| [" status ", " get ", " import -d ", "/swap -l"].iter().any(|look| line.contains(look))),
        "{commands:?}"
    );
    steps.first().expect("the disk is refused").summary.clone()
}

/// With the permission of the configuration, the plan names what would be lost, and waits for the other one. The permission
/// for another device is none.
fn one_permission_is_none(harness: &mut Harness) {
    for (allowed, is_planned) in [("/var/tmp/foreign", true), ("/var/tmp/blank", false)] {
        harness.configure(json!({ "storage.pool": [{
            "name": "tank", "vdevs": [{ "mirror": ["/var/tmp/blank", "/var/tmp/foreign"] }], "allow-destructive": [allowed],
        }] }));
        for step in harness.plan().unwrap() {
            let loses = step.summary.contains("/var/tmp/foreign loses ");
            assert_eq!((step.risk == Risk::Destructive, loses), (is_planned, is_planned), "{}", step.summary);
            assert_eq!(step.action, if is_planned { "create" } else { "refuse" });
        }
    }
}

#[test]
fn what_real_tools_have_put_on_a_disk_is_refused_by_name() {
    foreign::each(|what, bytes, fill| {
        let refusal = refusal(bytes, fill);
        assert!(refusal.contains(&format!("/var/tmp/foreign holds {what} (at byte ")), "{what}: {refusal}");
    });
}

/// A permission for the disk is one for all that is in it, so all of it is named.
#[test]
fn what_lies_in_each_partition_is_named() {
    for (program, package) in [("sgdisk", "gdisk"), ("mke2fs", "e2fsprogs")] {
        if test_judge::find(program, package).is_none() {
            return;
        }
    }
    let scratch = tempfile::tempdir().unwrap();
    let files = files(scratch.path());
    let script = "sgdisk -n 1:2048:+16M -n 2:0:+16M -n 3:0:0 $1 >/dev/null
        mke2fs -q -F -E offset=1048576 $1 16M
        dd if=$2/a of=$1 bs=1M seek=33 conv=notrunc 2>/dev/null";
    let refusal = refusal(DISK, |disk| drop(sh(script, disk, &files)));
    for part in [
        "holds a GUID partition table (at byte 512)",
        "in slice 0 an ext2, ext3 or ext4 file system (at byte 1080)",
        "in slice 2 text (at byte 0)",
    ] {
        assert!(refusal.contains(part), "{refusal}");
    }
    assert!(!refusal.contains("slice 1"), "{refusal}");
}

#[test]
fn a_blank_disk_is_taken() {
    let (_root, host, machine) = Machine::start(System::Illumos);
    machine.storage(|storage| storage.add_file("/var/tmp/blank", DISK));
    let mut harness = Harness::start(ZpoolPlugin::new(host));
    harness.configure(json!({ "storage.pool": [{ "name": "tank", "vdevs": ["/var/tmp/blank"] }] }));
    assert_eq!(harness.plan().unwrap()[0].action, "create");
}

/// LVM wants a block device.
#[test]
fn privileged_lvm_is_refused_by_name() {
    for (program, package) in [("pvcreate", "lvm2"), ("losetup", "mount")] {
        if test_judge::find(program, package).is_none() {
            return;
        }
    }
    let can_loop = Command::new("/bin/sh")
        .args(["-c", "losetup -f >/dev/null 2>&1"])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin")
        .run_any();
    if !can_loop.is_ok_and(|output| output.success()) {
        test_judge::skip("loop devices need root");
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let files = files(scratch.path());
    let script =
        "loop=$(losetup -f --show $1); trap 'losetup -d $loop' EXIT; pvcreate --devicesfile '' -q $loop 2>/dev/null";
    let refusal = refusal(DISK, |disk| drop(sh(script, disk, &files)));
    assert!(refusal.contains("/var/tmp/foreign holds an LVM physical volume (at byte 512)"), "{refusal}");
}
