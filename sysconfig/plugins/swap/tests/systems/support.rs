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

/// A Linux with a partition that bears the header of a swap area, and has several names.
pub(crate) fn linux_with_links() -> Fixture {
    let fixture = linux();
    fixture.machine.storage(|storage| storage.add_device("/dev/sdb1", 64 << 20, Some("swap")));
    for name in ["by-id/x", "by-partuuid/y"] {
        let link = fixture.host.root.locate(format!("/dev/disk/{name}"));
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("../../sdb1", link).unwrap();
    }
    fixture
}
