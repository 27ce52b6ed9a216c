//! A simulated machine with pools: `zpool`, what of `zfs` concerns root datasets, and disks.
//!
//! It is a fake with state. Disks are sparse files below a temporary root, and what ZFS writes on them, labels and a
//! partition table, is really there, so that whoever reads disks reads these. The commands accept what the real ones
//! accept and reject what those reject.

mod disk;
mod pool;
mod show;
mod zfs;
mod zpool;

pub use pool::{Device, Pool, Slot, Top};

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use sysconfig_platform::hostname::KernelNodeName;
use sysconfig_platform::{CommandError, Completed, Host, Invocation, Root, Runner, System};
use tempfile::TempDir;

/// The machine; its state is behind a lock, so a test can look and interfere while a plugin holds a [`Host`].
#[derive(Debug)]
pub struct Machine {
    world: Mutex<World>,
}

/// All that is on the machine.
#[derive(Debug)]
pub struct World {
    pub(crate) system: System,
    pub(crate) root: Root,
    /// Imported pools by name.
    pub pools: BTreeMap<String, Pool>,
    /// Pools that are on disks and not imported.
    pub exported: Vec<Pool>,
    /// Every command line that was run, in order.
    pub commands: Vec<String>,
    /// How many more changing commands run before whoever runs them is killed; and whether the last one takes effect.
    pub kill: Option<(usize, bool)>,
    /// For how many looks a replaced device is shown beside its successor.
    pub resilver_looks: u32,
    /// Whether commands that change something only fail, because the pool's devices do not answer.
    pub suspended: bool,
    next_guid: u64,
}

impl Machine {
    /// A machine without pools and disks, its root in a temporary directory that lives as long as the first part of the
    /// answer.
    ///
    /// # Panics
    /// When the directory cannot be filled.
    #[must_use]
    pub fn start(system: System) -> (TempDir, Host, Arc<Self>) {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let root = Root::new(directory.path());
        for place in ["/dev/dsk", "/dev/rdsk", "/dev/disk/by-id", "/etc", "/var/tmp", "/usr/sbin"] {
            std::fs::create_dir_all(root.locate(place)).expect("the temporary directory can be filled");
        }
        let world = World {
            system,
            root: root.clone(),
            pools: BTreeMap::new(),
            exported: Vec::new(),
            commands: Vec::new(),
            kill: None,
            resilver_looks: 0,
            suspended: false,
            next_guid: 1000,
        };
        let machine = Arc::new(Self { world: Mutex::new(world) });
        let host = Host::assembled(system, root, machine.clone(), Arc::new(KernelNodeName));
        (directory, host, machine)
    }

    /// Looks at the machine, or interferes with it.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a command as somebody at a terminal would.
    ///
    /// # Panics
    /// When the command is not one of the machine's, or fails.
    pub fn type_in(&self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let program = format!("/usr/sbin/{}", words.next().expect("a command has a name"));
        let completed = self.run(&Invocation::new(program, words)).expect("the machine has the command");
        assert_eq!(completed.code, 0, "{line}: {}", completed.stderr);
        completed.stdout
    }
}

/// The commands that only look.
fn is_change(invocation: &Invocation) -> bool {
    let args: Vec<&str> = invocation.args.iter().map(String::as_str).collect();
    let looks = matches!(args.first(), Some(&("status" | "list" | "get")) | None)
        || args.contains(&"-n")
        || (args[0] == "import" && args[1..].chunks(2).all(|pair| pair[0] == "-d"));
    !looks && !invocation.program.ends_with("diskinfo")
}

impl Runner for Machine {
    fn run(&self, invocation: &Invocation) -> Result<Completed, CommandError> {
        let mut world = self.world();
        world.commands.push(invocation.to_string());
        let is_change = is_change(invocation);
        let dies = match &mut world.kill {
            Some((0, takes_effect)) if is_change => Some(*takes_effect),
            Some((left, _)) if is_change => {
                *left -= 1;
                None
            }
            _ => None,
        };
        if dies == Some(false) {
            killed();
        }
        let args: Vec<&str> = invocation.args.iter().map(String::as_str).collect();
        let completed = match invocation.program.as_str() {
            "/usr/sbin/zpool" => world.zpool(&args),
            "/usr/sbin/zfs" => world.zfs(&args),
            "/usr/sbin/diskinfo" if world.system == System::Illumos => world.diskinfo(&args),
            program => {
                return Err(CommandError::NotFound {
                    program: program.to_owned(),
                    source: io::ErrorKind::NotFound.into(),
                });
            }
        };
        drop(world);
        if dies == Some(true) {
            killed();
        }
        Ok(completed)
    }
}

/// The process ends here, without another instruction; in a test that is its thread.
fn killed() -> ! {
    std::panic::resume_unwind(Box::new("killed"))
}

fn printed(stdout: impl Into<String>) -> Completed {
    Completed { stdout: stdout.into(), ..Completed::default() }
}

fn failed(code: i32, stderr: impl Into<String>) -> Completed {
    Completed { code, stderr: stderr.into(), ..Completed::default() }
}
