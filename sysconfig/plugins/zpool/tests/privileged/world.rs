//! The plugin in front of zfs-fuse.

use serde_json::Value;
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_zpool::ZpoolPlugin;

pub(crate) use plugin_testing::zfs_fuse::{DISKS, build, eventually, programs, run, sh};

pub(crate) fn plugin() -> Harness {
    Harness::start(ZpoolPlugin::new(plugin_testing::zfs_fuse::host()))
}

pub(crate) fn config(text: &str) -> Value {
    plugin_testing::config(&text.replace('@', DISKS), &["storage.pool"])
}

/// A configuration of one pool named `tank`, its devices written `@/d0`.
pub(crate) fn tank(rest: &str) -> String {
    format!("[[storage.pool]]\nname = \"tank\"\n{rest}\n")
}

/// Applies, and checks that nothing is left to do; answers what was done, and what was warned of.
pub(crate) fn converge(harness: &mut Harness, text: &str) -> (Vec<String>, Vec<String>) {
    let config = config(text);
    assert_eq!(harness.validate(config.clone()), [], "{text}");
    harness.configure(config);
    let converged = harness.converge().unwrap_or_else(|error| panic!("{error:?}\n{}", sh("zpool status")));
    let errors: Vec<_> = converged.diagnostics.iter().filter(|found| found.is_error()).collect();
    assert!(errors.is_empty(), "{errors:?}\n{}", sh("zpool status"));
    let left = harness.plan().unwrap();
    assert!(left.is_empty(), "the second plan is empty: {left:#?}");
    let done = converged.steps.into_iter().map(|(step, _)| step.summary).collect();
    (done, converged.diagnostics.into_iter().map(|found| found.message).collect())
}
