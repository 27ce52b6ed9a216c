//! Partitions with what real tools have put on them: none becomes swap, and not one byte of any changes.

use plugin_testing::foreign;
use serde_json::json;
use std::path::Path;
use sysconfig_platform::System;
use sysconfig_platform::fake::Machine;
use sysconfig_plugin::Risk;
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_swap::SwapPlugin;

#[test]
fn what_real_tools_have_put_on_a_partition_is_left_alone_by_name() {
    foreign::each(left_alone);
}

#[test]
fn privileged_members_of_other_storage_are_left_alone_by_name() {
    foreign::each_on_loops(left_alone);
}

fn left_alone(what: &str, bytes: u64, fill: &dyn Fn(&Path)) {
    // A partition with the header of Linux is swap on Linux already, and may hold anything on illumos.
    let (system, path) = match what {
        "swap space" => (System::Illumos, "/dev/dsk/c9t0d0s1"),
        _ => (System::Linux, "/dev/disk/by-partlabel/swap"),
    };
    let (_root, host, machine) = Machine::start(system);
    machine.storage(|storage| storage.add_device(path, bytes, None));
    let mut harness = Harness::start(SwapPlugin::new(host.clone()));
    foreign::untouched(&host.root.locate(path), bytes, fill, || {
        harness.configure(json!({ "storage.swap": [{ "device": path }] }));
        let steps = harness.plan().unwrap();
        let summaries: Vec<_> = steps.iter().map(|step| step.summary.as_str()).collect();
        assert_eq!(summaries.len(), 1, "{summaries:?}");
        let begin = format!("leave {path} alone: it is not ours, and holds {what}");
        assert!(summaries[0].starts_with(&begin), "{what}: {summaries:?}");
        harness.apply(&steps[0]).unwrap_err();
        // With the permission of the configuration alone there is no step that may be done.
        harness.configure(json!({ "storage.swap": [{ "device": path, "allow-destructive": true }] }));
        let steps = harness.plan().unwrap();
        assert!(!steps.is_empty() && steps.iter().all(|step| step.risk == Risk::Destructive), "{what}: {steps:?}");
        assert!(steps[0].summary.contains(&format!("which loses {what}")), "{what}: {steps:?}");
    });
    assert_eq!(machine.storage(|storage| storage.changes), 0, "no command changes anything");
}
