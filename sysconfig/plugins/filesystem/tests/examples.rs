//! Every example of `docs/storage.md` that is about datasets, mounts and swap, on a simulated machine of the system that
//! it names, or of both.

use serde_json::{Map, Value};
use std::path::Path;
use sysconfig_platform::fake::storage::{FakeDataset, Storage};
use sysconfig_platform::fake::{illumos, linux};
use sysconfig_platform::{Host, System};
use sysconfig_plugin::Plugin;
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_filesystem::FilesystemPlugin;
use sysconfig_plugin_swap::SwapPlugin;

fn examples() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/storage.md");
    let text = std::fs::read_to_string(path).unwrap();
    text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn is_for(example: &str, system: System) -> bool {
    match example.lines().next() {
        Some("# illumos") => system == System::Illumos,
        Some("# Linux") => system == System::Linux,
        _ => true,
    }
}

/// Applies the part of a plugin, when the example has one; nothing may be left to do.
fn apply<P: Plugin + Send + 'static>(plugin: P, keys: &[&str], document: &Value, example: &str) -> bool {
    let parts = keys.iter().filter_map(|key| Some((format!("storage.{key}"), document["storage"].get(key)?.clone())));
    let config: Map<String, Value> = parts.collect();
    if config.is_empty() {
        return false;
    }
    let config = Value::Object(config);
    let mut harness = Harness::start(plugin);
    assert_eq!(harness.validate(config.clone()), [], "{example}");
    harness.configure(config);
    let converged = harness.converge().unwrap_or_else(|error| panic!("{example}\n{error:?}"));
    assert_eq!(converged.diagnostics, [], "{example}");
    assert_eq!(harness.plan().unwrap(), [], "{example}");
    true
}

fn apply_all(host: &Host, example: &str) -> bool {
    let document: Value = toml::from_str(example).unwrap_or_else(|error| panic!("{error}\n{example}"));
    let filesystem = apply(FilesystemPlugin::new(host.clone()), &["dataset", "mount"], &document, example);
    let swap = apply(SwapPlugin::new(host.clone()), &["swap"], &document, example);
    filesystem || swap
}

/// What the examples take for granted.
fn furnish(host: &Host, storage: &mut Storage) {
    std::fs::create_dir_all(host.root.locate("/var")).unwrap();
    storage.has_zfs = true;
    storage.add_pool("rpool", 64 << 30);
    storage.add_pool("tank", 64 << 30);
    let scratch = FakeDataset::filesystem([("mountpoint", "none"), ("sysconfig:owner", "filesystem")]);
    storage.add_dataset("tank/scratch", scratch);
    storage.shares.insert("10.0.2.2:/srv/share".to_owned());
    storage.add_device("/dev/dsk/c1t0d0s6", 1 << 30, Some("ufs"));
    storage.add_device("/dev/disk/by-partuuid/0f5c2e9b-02", 1 << 30, Some("ext4"));
    storage.add_device("/dev/sdc1", 1 << 30, Some("swap"));
}

#[test]
fn every_example_works() {
    let (mut on_illumos, mut on_linux) = (0, 0);
    for example in examples() {
        if is_for(&example, System::Illumos) {
            let (_directory, host, machine) = illumos::Machine::start();
            machine.storage(|storage| furnish(&host, storage));
            on_illumos += usize::from(apply_all(&host, &example));
        }
        if is_for(&example, System::Linux) {
            let (_directory, host, machine) = linux::Machine::start();
            machine.storage(|storage| furnish(&host, storage));
            on_linux += usize::from(apply_all(&host, &example));
        }
    }
    assert!(on_illumos >= 6 && on_linux >= 6, "the document is read wrongly: {on_illumos}, {on_linux}");
}
