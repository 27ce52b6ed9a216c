//! What the tests of several plugins share.
//!
//! * [`Fixture`]: a plugin on a simulated machine, driven as the daemon drives it;
//! * [`foreign`]: disks with what real tools have put on them;
//! * [`killed`]: a plugin in a process of its own, which ends in the middle of a command;
//! * [`stopped`]: a plugin that stops for good at a command or at a change of a file, on a thread of this process;
//! * [`namespace`]: a test that runs in namespaces of the real kernel;
//! * [`zfs_fuse`]: a real ZFS there;
//! * [`judged`]: a plugin as a program, asked what is wrong with a configuration;
//! * [`examples`]: what a document shows, to be tried.

mod fixture;
pub mod foreign;
pub mod killed;
pub mod namespace;
pub mod stopped;
pub mod zfs_fuse;

pub use fixture::{Fixture, config, summaries};

use std::path::{Path, PathBuf};
use sysconfig::config::{Settings, SourceFile, parse};
use sysconfig::discovery::Search;
use sysconfig::offline::Plugins;
pub use sysconfig::offline::Target;
use sysconfig_protocol::admin::Problem;

/// The examples in a document of the project, `docs/network.md`: what stands in its blocks of TOML.
///
/// # Panics
/// When there is no such document.
#[must_use]
pub fn examples(document: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").join(document);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.split("```toml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.to_owned())).collect()
}

/// What a plugin, the program at `program`, finds wrong with a configuration, as `sysconfigctl config check --offline` tells it:
/// lines, and messages.
///
/// # Panics
/// When the configuration cannot be read, or the program is no plugin.
#[must_use]
pub fn judged(program: &Path, text: &str) -> Vec<(usize, String)> {
    let problems = problems(program, text, Target::Another).into_iter();
    problems.map(|problem| (problem.place.map_or(0, |place| place.line), problem.message)).collect()
}

/// The same in full, for a machine.
///
/// # Panics
/// When the configuration cannot be read, or the program is no plugin.
#[must_use]
pub fn problems(program: &Path, text: &str, target: Target) -> Vec<Problem> {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let name = program.file_name().expect("a program has a name");
    std::fs::copy(program, directory.path().join(name)).expect("the program can be copied");
    let source = SourceFile::new(PathBuf::from("test.toml"), text);
    let config = parse(vec![source]).expect("the configuration can be read");
    let search = Search { path: vec![directory.path().to_owned()], allow_untrusted_owner: true };
    let mut plugins = Plugins::start(search, &Settings::default().plugins.deadlines).expect("the plugin starts");
    plugins.judge(&config, target)
}
