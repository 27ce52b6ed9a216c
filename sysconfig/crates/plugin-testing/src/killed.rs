//! A plugin in a process of its own, on a machine that the test simulates: when the machine kills it in the middle of a command,
//! it ends as after `kill -9`, without another instruction.

use process_runner::Command;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use sysconfig_platform::fake::{Machine, remote};
use sysconfig_platform::hostname::KernelNodeName;
use sysconfig_platform::{Host, Root, System};
use sysconfig_plugin::{Context, Plugin};

/// The variables that tell the process what to do.
const ROOT: &str = "KILLED_ROOT";
const SYSTEM: &str = "KILLED_SYSTEM";
const SOCKET: &str = "KILLED_SOCKET";
const CONFIG: &str = "KILLED_CONFIG";
const DONE: &str = "everything is applied";

/// Observes, plans and applies in another process, which is killed at a changing command: after how many others, and whether
/// that one still takes effect. Answers whether it came to that.
///
/// The process is this very program, with its test `killed_process`, which calls [`process`].
///
/// # Panics
/// When the process fails otherwise.
pub fn apply(machine: &Machine, host: &Host, config: &Value, kill: (usize, bool)) -> bool {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let socket = directory.path().join("machine");
    remote::serve(machine.runner(), &socket, Duration::ZERO);
    machine.storage(|storage| storage.kill = Some(kill));
    let output = Command::new(std::env::current_exe().expect("a program knows where it is"))
        .args(["killed_process", "--ignored", "--nocapture"])
        .env(ROOT, host.root.locate("/"))
        .env(SYSTEM, if host.system == System::Illumos { "illumos" } else { "linux" })
        .env(SOCKET, &socket)
        .env(CONFIG, config.to_string())
        .deadline(Duration::from_secs(120))
        .run_any()
        .expect("the process starts and ends");
    machine.storage(|storage| storage.kill = None);
    let said = format!("{}{}", output.stdout_text(), output.stderr_text());
    let was_killed = output.signal == Some(9);
    assert!(was_killed || said.contains(DONE), "{said}");
    was_killed
}

/// What the process does, when it is one.
///
/// # Panics
/// When the plugin fails.
pub fn process<P: Plugin>(new: fn(Host) -> P) {
    let variable = |name| std::env::var(name).expect("the test sets them all");
    let Ok(socket) = std::env::var(SOCKET) else { return };
    let system = if variable(SYSTEM) == "illumos" { System::Illumos } else { System::Linux };
    let (root, runner) = (Root::new(variable(ROOT)), Arc::new(remote::Remote::new(Path::new(&socket))));
    let mut plugin = new(Host::assembled(system, root, runner, Arc::new(KernelNodeName)));
    let config: P::Config = serde_json::from_str(&variable(CONFIG)).expect("the plugin reads its configuration");
    let context = Context::detached();
    let state = plugin.observe(&config, &context).expect("the plugin observes");
    for step in plugin.plan(&config, &state).expect("the plugin plans") {
        plugin.apply(&step.change, &context).expect("the plugin applies");
    }
    // The test's own words, which it looks for.
    say(DONE);
}

#[expect(clippy::print_stdout, reason = "the other process listens")]
fn say(words: &str) {
    println!("{words}");
}
