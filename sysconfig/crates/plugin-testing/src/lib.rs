//! What the tests of several plugins share.
//!
//! * [`Fixture`]: a plugin on a simulated machine, driven as the daemon drives it;
//! * [`foreign`]: disks with what real tools have put on them;
//! * [`killed`]: a plugin in a process of its own, which ends in the middle of a command;
//! * [`namespace`]: a test that runs in namespaces of the real kernel;
//! * [`zfs_fuse`]: a real ZFS there;
//! * [`judged`]: a plugin as a program, asked what is wrong with a configuration.

mod fixture;
pub mod foreign;
pub mod killed;
pub mod namespace;
pub mod zfs_fuse;

pub use fixture::{Fixture, config, summaries};

use std::path::{Path, PathBuf};
use sysconfig::config::{Settings, SourceFile, parse};
use sysconfig::discovery::Search;
use sysconfig::offline::Plugins;

/// What a plugin, the program at `program`, finds wrong with a configuration, as `sysconfigctl config check` tells it: lines, and
/// messages.
///
/// # Panics
/// When the configuration cannot be read, or the program is no plugin.
#[must_use]
pub fn judged(program: &Path, text: &str) -> Vec<(usize, String)> {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let name = program.file_name().expect("a program has a name");
    std::fs::copy(program, directory.path().join(name)).expect("the program can be copied");
    let source = SourceFile { path: PathBuf::from("test.toml"), text: text.to_owned() };
    let config = parse(vec![source]).expect("the configuration can be read");
    let search = Search { path: vec![directory.path().to_owned()], allow_untrusted_owner: true };
    let mut plugins = Plugins::start(search, &Settings::default().plugins.deadlines).expect("the plugin starts");
    let problems = plugins.judge(&config).into_iter();
    problems.map(|problem| (problem.place.map_or(0, |place| place.line), problem.message)).collect()
}
