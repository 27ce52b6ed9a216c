//! Datasets: `zfs`. Only what illumos and OpenZFS both have is used: `-H` and `-p`, tabs and exact numbers, never JSON,
//! which illumos has not.

pub mod family;
pub mod followers;
mod get;
pub mod property;

use crate::storage::StorageError;
use crate::{Completed, Host, Invocation, System};
pub use get::{mount_points, properties, properties_of, where_set};
pub use property::{Properties, Property, Source};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The property that says which plugin made a dataset. It lies in the pool, so it goes where the pool goes, and comes
/// into being in the same transaction as the dataset. Children inherit it, so only the source `local` counts.
pub const OWNER: &str = "sysconfig:owner";
/// The property that tells a dataset from others that were or will be of the same name.
pub const GUID: &str = "guid";
/// How often a dataset that is busy is tried again, because that often passes.
const BUSY_RETRIES: u32 = 2;
/// How many polls lie between two tries.
const POLLS_BETWEEN_TRIES: u32 = 10;
/// How long the device of a new volume may take to appear.
const NODE_PATIENCE: Duration = Duration::from_secs(10);
/// How long `zfs` may take: destroying much takes its time.
const DEADLINE: Duration = Duration::from_secs(120);
/// How long it may take when it only looks, and the verbs that do: a plugin that looks must answer in time that ZFS does not.
const LOOK_DEADLINE: Duration = Duration::from_secs(30);
const LOOKS: &[&str] = &["list", "get", "status"];

/// What a dataset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A file system.
    Filesystem,
    /// A volume.
    Volume,
}

/// A line of `zfs list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Whether it is mounted; everything but `yes` counts as no.
    pub mounted: bool,
}

/// The invocation of `zpool` or `zfs`, wherever the machine has it.
///
/// illumos has them in `/usr/sbin`; on Linux distributions disagree, and what comes first of the usual places is it.
pub(crate) fn invocation<A: Into<String>>(host: &Host, program: &str, args: impl IntoIterator<Item = A>) -> Invocation {
    let places: &[&str] = match host.system() {
        System::Illumos => &["/usr/sbin"],
        System::Linux => &["/usr/sbin", "/sbin", "/usr/local/sbin"],
    };
    let paths: Vec<_> = places.iter().map(|place| format!("{place}/{program}")).collect();
    let found = paths.iter().find(|path| host.root.exists(path).unwrap_or(false));
    let invocation = Invocation::new(found.unwrap_or(&paths[0]), args);
    let is_look = invocation.args.first().is_some_and(|verb| LOOKS.contains(&verb.as_str()));
    Invocation { deadline: if is_look { LOOK_DEADLINE } else { DEADLINE }, ..invocation }
}

/// Every file system and volume; none on a Linux without ZFS.
///
/// # Errors
/// [`StorageError::Command`].
pub fn datasets(host: &Host) -> Result<Vec<Dataset>, StorageError> {
    match run(host, ["list", "-Hp", "-t", "filesystem,volume", "-o", "name,type,mounted"], "list the datasets") {
        Ok(answer) => Ok(parse_list(&answer.stdout)),
        Err(error) if host.system() == System::Linux && is_without_zfs(&error) => Ok(Vec::new()),
        Err(error) if error.said().contains("no datasets available") => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Whether the program or the kernel's module is missing.
pub(crate) fn is_without_zfs(error: &StorageError) -> bool {
    let missing = matches!(error, StorageError::Command { source, .. } if source.is_not_found());
    missing || error.said().contains("modules are not loaded") || error.said().contains("/dev/zfs")
}

/// `zfs list -Hp -o name,type,mounted`; lines in another form are passed over.
#[must_use]
pub fn parse_list(text: &str) -> Vec<Dataset> {
    let line = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [name, kind, mounted] = columns[..] else { return None };
        let kind = match kind {
            "filesystem" => Kind::Filesystem,
            "volume" => Kind::Volume,
            _ => return None,
        };
        (!name.is_empty()).then(|| Dataset { name: name.to_owned(), kind, mounted: mounted == "yes" })
    };
    text.lines().filter_map(line).collect()
}

/// A volume that is to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeSize {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its block size in bytes; the system's own without.
    pub block: Option<u64>,
}

/// Creates a file system or, with a size, a volume, with its properties.
///
/// # Errors
/// [`StorageError::Command`].
pub fn create(
    host: &Host,
    name: &str,
    properties: &BTreeMap<String, String>,
    volume: Option<VolumeSize>,
) -> Result<(), StorageError> {
    let mut args = vec!["create".to_owned()];
    if let Some(block) = volume.and_then(|volume| volume.block) {
        args.extend(["-b".to_owned(), block.to_string()]);
    }
    for (property, value) in properties {
        args.extend(["-o".to_owned(), format!("{property}={value}")]);
    }
    if let Some(volume) = volume {
        args.extend(["-V".to_owned(), volume.bytes.to_string()]);
    }
    args.push(name.to_owned());
    run(host, args, &format!("create {name}")).map(drop)
}

/// Sets a property.
///
/// # Errors
/// [`StorageError::Command`].
pub fn set(host: &Host, name: &str, property: &str, value: &str) -> Result<(), StorageError> {
    let assignment = format!("{property}={value}");
    run(host, ["set", &assignment, name], &format!("set {assignment} on {name}")).map(drop)
}

/// Gives a property the value of the parent, or its default.
///
/// # Errors
/// [`StorageError::Command`].
pub fn inherit(host: &Host, name: &str, property: &str) -> Result<(), StorageError> {
    run(host, ["inherit", property, name], &format!("inherit {property} on {name}")).map(drop)
}

/// Gives a property the value that came with `zfs receive`.
///
/// # Errors
/// [`StorageError::Command`].
pub fn inherit_received(host: &Host, name: &str, property: &str) -> Result<(), StorageError> {
    let args = ["inherit", "-S", property, name];
    run(host, args, &format!("give {name} the {property} back that it was received with")).map(drop)
}

/// What no dataset has from the one above, so that `zfs inherit` refuses it, with the word that stands for nobody having set it
/// (zfsprops(7)).
const OF_ITS_OWN: &[(&str, &str)] = &[
    ("canmount", "on"),
    ("filesystem_limit", "none"),
    ("quota", "none"),
    ("refquota", "none"),
    ("refreservation", "none"),
    ("reservation", "none"),
    ("snapshot_limit", "none"),
];

/// The word for a property that nobody has set, where that is not the value of the dataset above.
#[must_use]
pub fn unset_word(property: &str) -> Option<&'static str> {
    OF_ITS_OWN.iter().find(|(name, _)| *name == property).map(|(_, word)| *word)
}

/// Gives a property back the value that it has without being set.
///
/// # Errors
/// [`StorageError::Command`].
pub fn give_back(host: &Host, name: &str, property: &str) -> Result<(), StorageError> {
    match unset_word(property) {
        Some(word) => set(host, name, property, word),
        None => inherit(host, name, property),
    }
}

/// Mounts a file system at its mount point, and shares it where its properties say so, which `zfs mount` does not do by itself; being
/// mounted and shared already is success. What keeps it from being shared is handed back: it is mounted all the same, as on a
/// machine that has no server.
///
/// # Errors
/// [`StorageError::Command`] when it cannot be mounted.
pub fn mount(host: &Host, name: &str) -> Result<Option<StorageError>, StorageError> {
    match run(host, ["mount", name], &format!("mount {name}")) {
        Err(error) if error.said().contains("filesystem already mounted") => {}
        answer => drop(answer?),
    }
    Ok(share(host, name).err())
}

fn share(host: &Host, name: &str) -> Result<(), StorageError> {
    let properties = properties_of(host, name)?.unwrap_or_default();
    let shares = |property: &str| properties.get(property).is_some_and(|found| !["off", "-"].contains(&&*found.value));
    if !shares("sharenfs") && !shares("sharesmb") {
        return Ok(());
    }
    match run(host, ["share", name], &format!("share {name}, which is mounted")) {
        Err(error) if error.said().contains("already shared") => Ok(()),
        answer => answer.map(drop),
    }
}

/// Unmounts a file system, never by force; not being mounted is success.
///
/// # Errors
/// [`StorageError::Command`].
pub fn unmount(host: &Host, name: &str) -> Result<(), StorageError> {
    match when_free(host, ["unmount", name], &format!("unmount {name}")) {
        Err(error) if error.said().contains("not currently mounted") => Ok(()),
        answer => answer,
    }
}

/// Destroys one dataset or snapshot, and nothing below it or made from it.
///
/// # Errors
/// [`StorageError::Command`].
pub fn destroy(host: &Host, name: &str) -> Result<(), StorageError> {
    when_free(host, ["destroy", name], &format!("destroy {name}"))
}

/// A dataset that is busy often is so for a moment only, so that is tried again.
fn when_free(host: &Host, args: [&str; 2], operation: &str) -> Result<(), StorageError> {
    let mut tries = 0;
    loop {
        match run(host, args, operation) {
            Err(error) if tries < BUSY_RETRIES && error.said().contains("busy") => {
                tries += 1;
                std::thread::sleep(host.poll_interval * POLLS_BETWEEN_TRIES);
            }
            answer => return answer.map(drop),
        }
    }
}

/// The block device of a volume.
#[must_use]
pub fn volume_path(system: System, name: &str) -> String {
    match system {
        System::Illumos => format!("/dev/zvol/dsk/{name}"),
        System::Linux => format!("/dev/zvol/{name}"),
    }
}

/// Waits for the device of a new volume: it appears some time after the volume.
///
/// # Errors
/// [`StorageError`].
pub fn wait_for_node(host: &Host, path: &str, until: Option<Instant>) -> Result<(), StorageError> {
    let mine = Instant::now() + NODE_PATIENCE;
    let until = until.map_or(mine, |until| until.min(mine));
    let operation = format!("find the device {path}");
    loop {
        if host.root.exists(path).map_err(StorageError::file(operation.clone()))? {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(StorageError::NotSo { operation, said: "it has not appeared in time".to_owned() });
        }
        std::thread::sleep(host.poll_interval);
    }
}

fn run<A: Into<String>>(
    host: &Host,
    args: impl IntoIterator<Item = A>,
    operation: &str,
) -> Result<Completed, StorageError> {
    host.run(&invocation(host, "zfs", args)).map_err(StorageError::command(operation))
}

/// Why a text cannot be the name of a dataset: components of letters, digits and `_-.:` with slashes between, the first
/// beginning with a letter (zfs(8)).
#[must_use]
pub fn name_fault(name: &str) -> Option<String> {
    const LONGEST: usize = 255;
    if name.len() > LONGEST {
        return Some(format!("it has more than {LONGEST} characters"));
    }
    if let Some(odd) =
        name.chars().find(|character| !character.is_ascii_alphanumeric() && !"_-.:/".contains(*character))
    {
        return Some(format!("{odd:?} cannot be part of it"));
    }
    if name.split('/').any(str::is_empty) {
        return Some("a component is empty".to_owned());
    }
    if name.split('/').any(|component| component == "." || component == "..") {
        return Some("a component is no name".to_owned());
    }
    let pool = name.split('/').next().unwrap_or_default();
    if !pool.starts_with(|character: char| character.is_ascii_alphabetic()) {
        return Some("a pool's name begins with a letter".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CommandError;
    use crate::fake::Machine;

    /// The daemon gives a plugin 60 s to look.
    #[test]
    fn a_look_that_hangs_is_told_in_time() {
        let (_directory, host, _machine) = Machine::start(System::Illumos);
        let hung = |verb: &str| {
            let invocation = invocation(&host, "zfs", [verb, "tank"]);
            let (command, deadline) = (invocation.to_string(), invocation.deadline);
            let source = CommandError::Deadline { command, deadline, tail: String::new() };
            (deadline.as_secs(), StorageError::command("look")(source).help().unwrap_or_default())
        };
        for verb in ["list", "get", "status"] {
            let (seconds, help) = hung(verb);
            assert!(
                seconds == 30 && help.contains("does not answer") && help.contains("zpool clear"),
                "{verb}: {help}"
            );
        }
        assert_eq!(hung("destroy").0, 120);
    }

    #[test]
    fn answers_are_read() {
        let text = "rpool\tfilesystem\tyes\nrpool/swap\tvolume\t-\nrpool/x\tfilesystem\tno\nrpool/y@s\tsnapshot\t-\n";
        let datasets = parse_list(text);
        let mounted: Vec<_> = datasets.iter().map(|dataset| (dataset.name.as_str(), dataset.mounted)).collect();
        assert_eq!(mounted, [("rpool", true), ("rpool/swap", false), ("rpool/x", false)], "a hyphen is no yes");
    }

    #[test]
    fn names_of_datasets() {
        for good in ["tank", "tank/a-b_c.d:e", "t/1"] {
            assert_eq!(name_fault(good), None, "{good}");
        }
        for bad in ["", "/tank", "tank/", "tank//a", "1tank", "tank/a b", "tank@s", "tank/../a", &"t".repeat(256)] {
            assert!(name_fault(bad).is_some(), "{bad}");
        }
    }
    /// Which dataset it is decides what is destroyed, so that only a ZFS that knows no guids is taken to have none.
    #[test]
    fn guids_are_told_unless_zfs_is_too_old_for_them() {
        let usage =
            "usage:\n\tget ...\n\nThe following properties are supported:\n".to_owned() + &"\tproperty\n".repeat(80);
        for (refusal, is_old) in [
            (format!("bad property list: invalid property 'guid'\n{usage}"), true),
            ("cannot open 'rpool': permission denied\n".to_owned(), false),
            ("internal error: out of memory\n".to_owned(), false),
        ] {
            let (_root, host, machine) = crate::fake::Machine::start(System::Illumos);
            let read = || properties_of(&host, "rpool").map(|found| found.unwrap().contains_key(GUID));
            assert!(read().unwrap());
            machine.storage(|storage| storage.guid_refusal = Some(refusal.clone()));
            match read() {
                Ok(has_guid) => assert!(is_old && !has_guid, "{refusal}"),
                Err(error) => assert!(!is_old && refusal.contains(error.said()), "{error} {refusal}"),
            }
        }
    }
}
