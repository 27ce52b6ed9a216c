//! Commands that change pools.

use super::Kind;
use super::import::those_present;
use crate::zfs::invocation;
use crate::{Host, Invocation};
use std::time::Duration;

/// Labelling disks and starting a pool can take a while on slow ones.
const DEADLINE: Duration = Duration::from_secs(300);

/// The words that say vdevs to `zpool create` and `zpool add`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Vec<String>);

impl Words {
    /// Adds one vdev for data.
    pub fn data(&mut self, kind: Kind, devices: &[String]) {
        self.0.extend(kind_word(kind));
        self.0.extend_from_slice(devices);
    }

    /// Adds the vdevs for the intent log, all at once: the word may stand there only once. Single devices come first,
    /// because one behind a mirror would become a member of it.
    pub fn logs(&mut self, vdevs: &[(Kind, Vec<String>)]) {
        if vdevs.is_empty() {
            return;
        }
        self.0.push("log".to_owned());
        let (single, groups): (Vec<_>, Vec<_>) = vdevs.iter().partition(|(kind, _)| *kind == Kind::Device);
        for (kind, devices) in single.into_iter().chain(groups) {
            self.data(*kind, devices);
        }
    }

    /// Adds devices for the cache.
    pub fn cache(&mut self, devices: &[String]) {
        self.section("cache", devices);
    }

    /// Adds spares.
    pub fn spares(&mut self, devices: &[String]) {
        self.section("spare", devices);
    }

    fn section(&mut self, word: &str, devices: &[String]) {
        if !devices.is_empty() {
            self.0.push(word.to_owned());
            self.0.extend_from_slice(devices);
        }
    }
}

fn kind_word(kind: Kind) -> Option<String> {
    (kind != Kind::Device).then(|| kind.word().to_owned())
}

fn slow(host: &Host, args: Vec<String>) -> Invocation {
    Invocation { deadline: DEADLINE, ..invocation(host, "zpool", args) }
}

fn verb(verb: &str, force: bool) -> Vec<String> {
    let mut args = words(&[verb]);
    args.extend(force.then(|| "-f".to_owned()));
    args
}

fn words(text: &[&str]) -> Vec<String> {
    text.iter().map(|&word| word.to_owned()).collect()
}

/// A pool to be made.
#[derive(Clone, Debug, Default)]
pub struct Creation {
    /// Its name.
    pub pool: String,
    /// Properties of the pool.
    pub pool_properties: Vec<(String, String)>,
    /// Properties of its root dataset.
    pub root_properties: Vec<(String, String)>,
    /// Its vdevs.
    pub vdevs: Words,
}

impl Creation {
    fn args(&self, force: bool) -> Vec<String> {
        let mut args = verb("create", force);
        for (name, value) in &self.pool_properties {
            args.extend(["-o".to_owned(), format!("{name}={value}")]);
        }
        for (name, value) in &self.root_properties {
            match name.as_str() {
                // Every version takes the mountpoint of the root dataset this way.
                "mountpoint" => args.extend(words(&["-m", value])),
                _ => args.extend(["-O".to_owned(), format!("{name}={value}")]),
            }
        }
        args.push(self.pool.clone());
        args.extend(self.vdevs.0.iter().cloned());
        args
    }
}

/// The command that makes a pool; with `force` over what the devices hold.
#[must_use]
pub fn create(host: &Host, force: bool, creation: &Creation) -> Invocation {
    slow(host, creation.args(force))
}

/// The command that imports a pool by its guid under a name, and mounts nothing; `directories` take the place of the usual
/// ones.
#[must_use]
pub fn import_pool(host: &Host, directories: &[String], guid: u64, name: Option<&str>) -> Invocation {
    let mut args = words(&["import"]);
    let directories = those_present(host, directories);
    args.extend(directories.into_iter().flat_map(|directory| words(&["-d", directory])));
    args.extend(words(&["-N", &guid.to_string()]));
    args.extend(name.map(str::to_owned));
    slow(host, args)
}

/// The command that lets go of a pool.
#[must_use]
pub fn export(host: &Host, pool: &str) -> Invocation {
    slow(host, words(&["export", pool]))
}

/// The command that adds vdevs; with `force` over what the devices hold.
#[must_use]
pub fn add(host: &Host, force: bool, pool: &str, vdevs: &Words) -> Invocation {
    let mut args = verb("add", force);
    args.push(pool.to_owned());
    args.extend(vdevs.0.iter().cloned());
    slow(host, args)
}

/// The command that makes `new` a mirror of `old`; with `force` over what `new` holds.
#[must_use]
pub fn attach(host: &Host, force: bool, pool: &str, old: &str, new: &str) -> Invocation {
    let mut args = verb("attach", force);
    args.extend(words(&[pool, old, new]));
    slow(host, args)
}

/// The command that takes a member out of a mirror.
#[must_use]
pub fn detach(host: &Host, pool: &str, device: &str) -> Invocation {
    slow(host, words(&["detach", pool, device]))
}

/// The command that puts `new` in the place of `old`, whose data is copied first where it can be; with `force` over what
/// `new` holds.
#[must_use]
pub fn replace(host: &Host, force: bool, pool: &str, old: &str, new: &str) -> Invocation {
    let mut args = verb("replace", force);
    args.extend(words(&[pool, old, new]));
    slow(host, args)
}

/// The command that takes away a device of the log, the cache or the spares.
#[must_use]
pub fn remove(host: &Host, pool: &str, device: &str) -> Invocation {
    slow(host, words(&["remove", pool, device]))
}

/// The command that uses all of a device that has grown.
#[must_use]
pub fn expand(host: &Host, pool: &str, device: &str) -> Invocation {
    slow(host, words(&["online", "-e", pool, device]))
}

/// The command that sets a property of a pool.
#[must_use]
pub fn set(host: &Host, property: &str, value: &str, pool: &str) -> Invocation {
    invocation(host, "zpool", words(&["set", &format!("{property}={value}"), pool]))
}

/// The command that uses a member again that has come back.
#[must_use]
pub fn online(host: &Host, pool: &str, device: &str) -> Invocation {
    slow(host, words(&["online", pool, device]))
}
