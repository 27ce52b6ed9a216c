//! The plugin on a simulated machine.

use serde_json::Value;
use sysconfig_platform::System;
use sysconfig_plugin_filesystem::FilesystemPlugin;

pub(crate) use plugin_testing::summaries;
pub(crate) type Fixture = plugin_testing::Fixture<FilesystemPlugin>;

const KEYS: &[&str] = &["storage.dataset", "storage.mount"];

/// The parts of the plugin in a configuration as it is written.
pub(crate) fn config(text: &str) -> Value {
    plugin_testing::config(text, KEYS)
}

pub(crate) fn illumos() -> Fixture {
    Fixture::start(System::Illumos, FilesystemPlugin::new, KEYS)
}

/// A Linux without ZFS.
pub(crate) fn linux() -> Fixture {
    let fixture = Fixture::start(System::Linux, FilesystemPlugin::new, KEYS);
    std::fs::create_dir_all(fixture.host.root.locate("/var")).unwrap();
    fixture
}

/// A Linux with a pool.
pub(crate) fn linux_with_zfs() -> Fixture {
    let fixture = linux();
    fixture.machine.storage(|storage| {
        storage.has_zfs = true;
        storage.add_pool("tank", 64 << 30);
    });
    fixture
}

/// An illumos with a second pool.
pub(crate) fn illumos_with_tank() -> Fixture {
    let fixture = illumos();
    fixture.machine.storage(|storage| storage.add_pool("tank", 64 << 30));
    fixture
}
