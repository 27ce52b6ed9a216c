//! Every example of `docs/storage.md` about pools, on a simulated machine.

use serde_json::{Value, json};
use std::path::Path;
use sysconfig_platform::System;
use sysconfig_platform::fake::Machine;
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_zpool::ZpoolPlugin;

fn examples() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/storage.md");
    let text = std::fs::read_to_string(path).unwrap();
    let all = text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    all.filter(|example| example.contains("[[storage.pool]]")).collect()
}

/// The pool that the example about guids names, as another machine has left it.
fn leave_a_pool(machine: &Machine, guid: u64) {
    machine.storage(|storage| storage.add_disk("c9t0d0", 128 << 20));
    machine.storage(|storage| storage.next_guid_is(guid));
    machine.type_in("zpool create old /dev/dsk/c9t0d0");
    machine.type_in("zpool export old");
}

#[test]
fn every_example_works() {
    for example in examples() {
        let (_directory, host, machine) = Machine::start(System::Illumos);
        for disk in ["c1t0d0", "c1t1d0", "c1t2d0", "c1t3d0", "c1t4d0", "c1t5d0", "c2t0d0", "c2t1d0", "c2t2d0"] {
            machine.storage(|storage| storage.add_disk(disk, 128 << 20));
        }
        if example.contains("allow-destructive") {
            machine.storage(|storage| storage.scribble("/dev/dsk/c1t0d0", 1080, &[0x53, 0xef]));
        }
        let document: Value = toml::from_str(&example).unwrap();
        let pools = document["storage"]["pool"].clone();
        if let Some(guid) = pools[0].get("guid").and_then(Value::as_str) {
            leave_a_pool(&machine, guid.parse().unwrap());
        }
        let mut harness = Harness::start(ZpoolPlugin::new(host));
        let config = json!({ "storage.pool": pools });
        assert_eq!(harness.validate(config.clone()), [], "{example}");
        harness.configure(config);
        let converged = harness.converge().unwrap_or_else(|error| panic!("{example}\n{error:?}"));
        assert_eq!(converged.diagnostics, [], "{example}");
        assert!(harness.plan().unwrap().is_empty(), "{example}");
    }
}

#[test]
fn there_are_examples() {
    assert!(examples().len() >= 4, "the document is read wrongly");
}
