//! The plugin on a simulated machine.

use serde_json::Value;
use sysconfig_platform::System;
use sysconfig_plugin_swap::SwapPlugin;

pub(crate) use plugin_testing::summaries;
pub(crate) type Fixture = plugin_testing::Fixture<SwapPlugin>;

const KEYS: &[&str] = &["storage.swap"];

/// The part of the plugin in a configuration as it is written.
pub(crate) fn config(text: &str) -> Value {
    plugin_testing::config(text, KEYS)
}

pub(crate) fn illumos() -> Fixture {
    Fixture::start(System::Illumos, SwapPlugin::new, KEYS)
}

/// A Linux without ZFS.
pub(crate) fn linux() -> Fixture {
    let fixture = Fixture::start(System::Linux, SwapPlugin::new, KEYS);
    std::fs::create_dir_all(fixture.host.root.locate("/var")).unwrap();
    fixture
}

/// A Linux with a pool.
pub(crate) fn linux_with_zfs() -> Fixture {
    let fixture = linux();
    fixture.machine.storage(|storage| {
        storage.has_zfs = true;
        storage.add_pool("rpool", 64 << 30);
    });
    fixture
}
