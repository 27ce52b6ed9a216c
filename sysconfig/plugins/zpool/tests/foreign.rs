//! Disks with what real tools have put on them: each is refused by name, and not one byte of any changes.

use plugin_testing::foreign::{self, DISK, files, sh};
use process_runner::Command;
use serde_json::json;
use std::path::Path;
use sysconfig_platform::System;
use sysconfig_platform::fake::Machine;
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
        steps
    });
    let commands = machine.commands();
    assert!(
        commands.iter().all(|line| [" status ", " get ", " import -d "].iter().any(|look| line.contains(look))),
        "{commands:?}"
    );
    steps.first().expect("the disk is refused").summary.clone()
}

#[test]
fn what_real_tools_have_put_on_a_disk_is_refused_by_name() {
    foreign::each(|what, bytes, fill| {
        let refusal = refusal(bytes, fill);
        assert!(refusal.contains(&format!("/var/tmp/foreign holds {what} (at byte ")), "{what}: {refusal}");
    });
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
