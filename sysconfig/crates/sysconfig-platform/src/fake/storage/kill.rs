//! Commands in whose course the process is killed that runs them.

use super::Storage;
use super::disk::write_at;
use std::fs::{self, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// When a process is killed that runs a command which changes the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing of the command is done. Where nobody has written a file since the command before, that is the moment after it, and
    /// does not count.
    Before,
    /// Half of it is done: a dataset is made and not mounted, a file has not its whole length. Only commands count that have halves.
    Within,
    /// The whole disks that a pool is given have a partition table, and nothing else is done. Only such commands count.
    Prepared,
    /// Everything is done, and nobody has heard of it.
    After,
}

/// How many commands count, of those that were run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// For [`Moment::Before`].
    pub before: usize,
    /// For [`Moment::Within`].
    pub within: usize,
    /// For [`Moment::Prepared`].
    pub prepared: usize,
}

/// Bytes at the beginning of a swap area that `mkswap` clears before it writes the header there.
const HEADER: usize = 4096;

impl Storage {
    /// Kills the process that runs commands at one of them: how many of those that count it may still run, and when it ends at the
    /// next one.
    pub fn kill_at(&mut self, left: usize, moment: Moment) {
        (self.kill, self.places, self.files_then) = (Some((left, moment)), Places::default(), None);
    }

    /// Kills nobody any more. Answers at how many commands one could have been killed.
    pub fn kill_nobody(&mut self) -> Places {
        self.kill = None;
        self.places
    }

    /// When the process ends that runs a command; none when it goes on.
    pub(super) fn dies_at(&mut self, program: &str, args: &[&str]) -> Option<Moment> {
        let (left, moment) = self.kill?;
        let has_halves = self.has_halves(program, args);
        let prepares = !self.given_disks(program, args).is_empty();
        let is_written = self.files_then.is_none_or(|then| then != self.files());
        self.places.before += usize::from(is_written);
        self.places.within += usize::from(has_halves);
        self.places.prepared += usize::from(prepares);
        let counts = match moment {
            Moment::Before => is_written,
            Moment::Within => has_halves,
            Moment::Prepared => prepares,
            Moment::After => true,
        };
        if !counts {
            return None;
        }
        self.kill = left.checked_sub(1).map(|left| (left, moment));
        (left == 0).then_some(moment)
    }

    /// Notes what the files are like when a command has ended.
    pub(super) fn note_files(&mut self) {
        self.files_then = self.kill.map(|_| self.files());
    }

    /// Tells whether a file was written; what the machine itself shows of its devices and processes does not count.
    fn files(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let own = ["dev", "proc"].map(|name| self.root.locate(name));
        hash_files(&self.root.locate("/"), &own, &mut hasher);
        hasher.finish()
    }

    fn has_halves(&self, program: &str, args: &[&str]) -> bool {
        let is_mounted = |name: &str| self.datasets.get(name).is_some_and(|dataset| dataset.mounted);
        match (word(program), args) {
            ("mkfile" | "fallocate" | "mkswap", _) | ("zpool", ["create" | "import", ..]) => true,
            ("zfs", ["create", rest @ ..]) => !rest.contains(&"-V"),
            ("zfs", ["set", assignment, _]) => is_about_mounts(assignment),
            ("zfs", ["inherit", property, _]) => is_about_mounts(property),
            ("zfs", ["destroy", name]) => is_mounted(name),
            _ => false,
        }
    }

    /// The whole disks that a command gives to a pool.
    fn given_disks(&self, program: &str, args: &[&str]) -> Vec<String> {
        let given = match (word(program), args) {
            ("zpool", ["create" | "add", rest @ ..]) => rest,
            ("zpool", ["attach" | "replace", .., new]) => std::slice::from_ref(new),
            _ => &[],
        };
        let is_disk =
            |path: &&&str| path.starts_with("/dev/") && self.label_path(path).is_some_and(|part| part != **path);
        given.iter().filter(is_disk).map(|path| (*path).to_owned()).collect()
    }

    /// Puts a table on the disks that a command gives to a pool.
    pub(super) fn prepare_given(&mut self, program: &str, args: &[&str]) {
        for path in self.given_disks(program, args) {
            self.prepare(&path);
        }
    }

    /// Does half of what a command does.
    pub(super) fn half(&mut self, program: &str, args: &[&str]) {
        match (word(program), args) {
            ("mkfile" | "fallocate", [.., path]) => {
                drop(self.answer(program, args));
                let file = OpenOptions::new().write(true).open(self.root.locate(path));
                // What could not be made has no half.
                let _ = file.and_then(|file| file.set_len(file.metadata()?.len() / 2));
            }
            ("mkswap", [path]) => write_at(&self.root.locate(path), 0, &[0; HEADER]),
            ("zfs", ["destroy", name]) => drop(self.zfs_unmount(name)),
            _ => {
                self.mounts_nothing = true;
                drop(self.answer(program, args));
                self.mounts_nothing = false;
            }
        }
    }
}

/// Files that are longer are the same when their lengths are.
const SHORT: u64 = 1 << 16;

fn hash_files(directory: &Path, without: &[PathBuf], hasher: &mut DefaultHasher) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| !without.contains(path)).collect();
    paths.sort();
    for path in paths {
        path.hash(hasher);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => hash_files(&path, without, hasher),
            Ok(metadata) if metadata.is_file() && metadata.len() <= SHORT => fs::read(&path).ok().hash(hasher),
            metadata => metadata.map_or(0, |metadata| metadata.len()).hash(hasher),
        }
    }
}

fn word(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

fn is_about_mounts(assignment: &str) -> bool {
    ["mountpoint", "canmount"].contains(&assignment.split('=').next().unwrap_or_default())
}

/// The process ends here, without another instruction; in a test that is its thread.
pub(super) fn killed() -> ! {
    std::panic::resume_unwind(Box::new(super::super::KILLED))
}
