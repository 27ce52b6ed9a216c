//! Simulated machines for tests: fakes with state, not recorded answers.
//!
//! They accept what the real programs accept and reject what those reject,
//! with the same exit statuses, so that a wrong option fails a test here
//! instead of a boot there. Files live in a temporary root.

pub mod illumos;
pub mod linux;
pub mod remote;
pub mod stops;
pub mod storage;

use crate::{Completed, Host, Invocation, Runner, System};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// With these words the thread unwinds that runs a command in whose middle the process is to be killed.
const KILLED: &str = "killed";

/// A simulated machine of either system, for what both have.
#[derive(Clone, Debug)]
pub enum Machine {
    /// illumos.
    Illumos(Arc<illumos::Machine>),
    /// Linux.
    Linux(Arc<linux::Machine>),
}

impl Machine {
    /// A fresh machine; its root lives as long as the first part of the answer.
    ///
    /// # Panics
    /// When its root cannot be filled.
    #[must_use]
    pub fn start(system: System) -> (TempDir, Host, Self) {
        match system {
            System::Illumos => {
                let (directory, host, machine) = illumos::Machine::start();
                (directory, host, Self::Illumos(machine))
            }
            System::Linux => {
                let (directory, host, machine) = linux::Machine::start();
                (directory, host, Self::Linux(machine))
            }
        }
    }

    /// Looks at disks, pools, datasets, mounts and swap, or interferes with them.
    pub fn storage<T>(&self, look: impl FnOnce(&mut storage::Storage) -> T) -> T {
        match self {
            Self::Illumos(machine) => machine.storage(look),
            Self::Linux(machine) => machine.storage(look),
        }
    }

    /// Every command line that was run, in order.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        match self {
            Self::Illumos(machine) => machine.commands(),
            Self::Linux(machine) => machine.commands(),
        }
    }

    /// The machine as what runs its programs.
    #[must_use]
    pub fn runner(&self) -> Arc<dyn Runner> {
        match self {
            Self::Illumos(machine) => machine.clone(),
            Self::Linux(machine) => machine.clone(),
        }
    }

    /// Runs a command of `/usr/sbin` as somebody at a terminal would.
    ///
    /// # Panics
    /// When the command is not one of the machine's, or fails.
    pub fn type_in(&self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let program = format!("/usr/sbin/{}", words.next().expect("a command has a name"));
        let completed = self.runner().run(&Invocation::new(program, words)).expect("the machine has the command");
        assert_eq!(completed.code, 0, "{line}: {}", completed.stderr);
        completed.stdout
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn printed(stdout: impl Into<String>) -> Completed {
    Completed { stdout: stdout.into(), ..Completed::default() }
}

fn failed(code: i32, stderr: impl Into<String>) -> Completed {
    Completed { code, stderr: stderr.into(), ..Completed::default() }
}

/// Options with their values, which are empty where there is none.
type Given<'a> = Vec<(char, &'a str)>;

/// The options before the operands as getopt(3C) takes them, in any order, an option with a value being followed by `:` in
/// `known`; none where one is not known or has no value.
fn options<'a, 'b>(args: &'b [&'a str], known: &str) -> Option<(Given<'a>, &'b [&'a str])> {
    let (mut given, mut rest) = (Vec::new(), args);
    while let [word, others @ ..] = rest {
        let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else { break };
        rest = others;
        for (at, letter) in letters.char_indices() {
            let (_, behind) = known.split_once(letter).filter(|_| letter != ':')?;
            if !behind.starts_with(':') {
                given.push((letter, ""));
                continue;
            }
            let value = &letters[at + letter.len_utf8()..];
            if value.is_empty() {
                let (next, others) = rest.split_first()?;
                (given, rest) = ([given, vec![(letter, *next)]].concat(), others);
            } else {
                given.push((letter, value));
            }
            break;
        }
    }
    Some((given, rest))
}
