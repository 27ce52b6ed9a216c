//! A plugin in a process of its own, on a machine that the test simulates: when the machine kills it in the middle of a command,
//! or strace(1) before it changes a file, it ends as after `kill -9`, without another instruction.

use crate::fixture::Fixture;
use process_runner::Command;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use sysconfig_platform::fake::storage::{Moment, Places, Storage};
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
/// Every run of a way is like the others.
const AS_OFTEN: &str = "it comes to as many kills as before";
/// What stands before the change that it begins with.
const BEGINS: &str = "begins: ";

/// How the kernel is asked to change files; each is a place at which to die. What is put in its place whole is renamed, so that
/// comes first, and the others with the soak tests.
const DECISIVE: usize = 2;
const CHANGES_OF_FILES: [&str; 5] = ["rename", "linkat", "unlink", "mkdir", "fsync"];

/// A way from one configuration to another.
#[derive(Debug)]
pub struct Way<P> {
    /// Where it begins.
    pub machine: fn() -> Fixture<P>,
    /// What is applied first.
    pub from: &'static str,
    /// What somebody does then.
    pub meanwhile: fn(&Fixture<P>),
    /// In the middle of whose application the process is killed.
    pub to: &'static str,
}

impl<P: Plugin + Send + 'static> Way<P> {
    /// One on which nobody does anything in between.
    #[must_use]
    pub const fn new(machine: fn() -> Fixture<P>, from: &'static str, to: &'static str) -> Self {
        Self { machine, from, meanwhile: |_| (), to }
    }

    /// A machine at the beginning of the way.
    #[must_use]
    pub fn start(&self) -> Fixture<P> {
        let mut fixture = (self.machine)();
        fixture.converge(self.from);
        (self.meanwhile)(&fixture);
        fixture
    }
}

/// Leaves what a process has noted that was killed between a change of the boot table and telling systemd of it.
///
/// # Panics
/// When the machine cannot be written to.
pub fn leave_untold<P>(fixture: &Fixture<P>) {
    let at = |path: &str| fixture.host.root.locate(path);
    let boot = std::fs::read(at("/proc/sys/kernel/random/boot_id")).expect("a boot has an id");
    std::fs::write(at("/var/lib/sysconfig/fstab-untold"), boot).expect("the root can be written");
}

/// Where the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// At a command that changes the machine: after how many others that count, see [`Moment`].
    Command(usize, Moment),
    /// Before a system call of this name, the first being 1.
    Call(&'static str, usize),
}

/// The change that was under way when the process was killed; none when it was still looking.
#[derive(Clone, Debug, PartialEq)]
pub struct Killed(Option<Value>);

/// Observes, plans and applies in another process, which is killed; answers in the middle of what.
///
/// The process is this very program, with its test `killed_process`, which calls [`process`].
///
/// # Errors
/// When everything is applied before it comes to that: at how many commands it could have been killed.
///
/// # Panics
/// When the process fails otherwise.
pub fn apply(machine: &Machine, host: &Host, config: &Value, kill: Kill) -> Result<Killed, Places> {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let socket = directory.path().join("machine");
    remote::serve(machine.runner(), &socket, Duration::ZERO);
    let program = std::env::current_exe().expect("a program knows where it is");
    let command = match kill {
        Kill::Command(after, moment) => {
            machine.storage(|storage| storage.kill_at(after, moment));
            Command::new(program)
        }
        Kill::Call(name, number) => {
            let at = format!("inject={name}:signal=KILL:when={number}");
            Command::new("strace")
                .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={name}"), "-e", &at])
                .arg(program)
        }
    };
    let output = command
        .args(["killed_process", "--ignored", "--nocapture"])
        .env(ROOT, host.root.locate("/"))
        .env(SYSTEM, if host.system() == System::Illumos { "illumos" } else { "linux" })
        .env(SOCKET, &socket)
        .env(CONFIG, config.to_string())
        .deadline(Duration::from_secs(120))
        .run_any()
        .expect("the process starts and ends");
    let places = machine.storage(Storage::kill_nobody);
    let said = output.stdout_text();
    if output.signal != Some(9) {
        assert!(said.contains(DONE), "{said}{}", output.stderr_text());
        return Err(places);
    }
    let begun = said.lines().rev().find_map(|line| line.split_once(BEGINS)).map(|(_, change)| change);
    Ok(Killed(begun.map(|change| serde_json::from_str(change).expect("the process has written it"))))
}

/// Kills a process before, in the middle of, and after every command of an apply, and where it puts a file in its place; with the
/// soak tests also at every other change of a file. `run` lets each kill happen to a new machine, on which it then goes on, and
/// answers what [`apply`] did. Answers the changes in whose middle the process was killed.
///
/// # Panics
/// When `run` does, or it came to no kill.
pub fn everywhere<C: DeserializeOwned>(mut run: impl FnMut(Kill) -> Result<Killed, Places>) -> Vec<C> {
    let (mut kills, before) = commands(&mut run);
    kills.extend((0..before).map(|after| run(Kill::Command(after, Moment::Before)).expect(AS_OFTEN)));
    if has_strace() {
        for (at, name) in CHANGES_OF_FILES.into_iter().enumerate() {
            if at < DECISIVE || kills.is_empty() || test_judge::soak() {
                kills.extend((1..).map_while(|number| run(Kill::Call(name, number)).ok()));
            }
        }
    }
    changes(kills)
}

/// The same for a plugin that writes no files of its own, so that after a command and before the next one are one.
///
/// # Panics
/// As [`everywhere`].
pub fn at_commands<C: DeserializeOwned>(mut run: impl FnMut(Kill) -> Result<Killed, Places>) -> Vec<C> {
    changes(commands(&mut run).0)
}

/// The kills after and in the middle of commands, and how many there can be before some.
fn commands(run: &mut impl FnMut(Kill) -> Result<Killed, Places>) -> (Vec<Killed>, usize) {
    let mut kills = Vec::new();
    let places = loop {
        match run(Kill::Command(kills.len(), Moment::After)) {
            Ok(killed) => kills.push(killed),
            Err(places) => break places,
        }
    };
    kills.extend((0..places.within).map(|after| run(Kill::Command(after, Moment::Within)).expect(AS_OFTEN)));
    kills.extend((0..places.prepared).map(|after| run(Kill::Command(after, Moment::Prepared)).expect(AS_OFTEN)));
    (kills, places.before)
}

fn changes<C: DeserializeOwned>(kills: Vec<Killed>) -> Vec<C> {
    assert!(!kills.is_empty(), "nothing is changed");
    let changes = kills.into_iter().filter_map(|Killed(change)| change);
    changes.map(|change| serde_json::from_value(change).expect("a change is read again")).collect()
}

/// strace(1); its absence is told once more for each table.
fn has_strace() -> bool {
    test_judge::find("strace", "strace").is_some()
}

/// Checks that each operation was killed; those without commands are killed by strace(1) only.
///
/// # Panics
/// When one was not.
pub fn all_were_killed(operations: &[&str], without_commands: &[&str], killed: &BTreeSet<&str>) {
    let can_be = |name: &&str| has_strace() || !without_commands.contains(name);
    let missed: Vec<_> = operations.iter().copied().filter(can_be).filter(|name| !killed.contains(name)).collect();
    assert!(missed.is_empty(), "never killed in the middle of {missed:?}");
}

/// `OPERATIONS`, the names of a plugin's changes, and `operation`, which says which one a change is; `besides` is the change that does
/// nothing. A change that is not named does not compile.
#[macro_export]
macro_rules! operations {
    ($change:ident, besides $idle:ident: $($operation:ident)*) => {
        const OPERATIONS: &[&str] = &[$(stringify!($operation)),*];

        fn operation(change: &$change) -> Option<&'static str> {
            match change {
                $($change::$operation { .. } => Some(stringify!($operation)),)*
                $change::$idle { .. } => None,
            }
        }
    };
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
        say(&format!("{BEGINS}{}", serde_json::to_string(&step.change).expect("a change is written in journals")));
        plugin.apply(&step.change, &context).expect("the plugin applies");
    }
    // The test's own words, which it looks for.
    say(DONE);
}

#[expect(clippy::print_stdout, reason = "the other process listens")]
fn say(words: &str) {
    println!("{words}");
}
