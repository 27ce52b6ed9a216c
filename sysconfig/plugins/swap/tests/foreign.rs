//! Partitions with what real tools have put on them: none becomes swap, and not one byte of any changes.

use plugin_testing::foreign;
use serde_json::json;
use sysconfig_platform::System;
use sysconfig_platform::fake::Machine;
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_swap::SwapPlugin;

#[test]
fn what_real_tools_have_put_on_a_partition_is_left_alone_by_name() {
    foreign::each(|what, bytes, fill| {
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
            let begin = format!("leave {path} alone: it is not ours, and holds {what} (at byte ");
            assert!(summaries[0].starts_with(&begin), "{what}: {summaries:?}");
            harness.apply(&steps[0]).unwrap_err();
        });
        assert_eq!(machine.storage(|storage| storage.changes), 0, "no command changes anything");
    });
}
