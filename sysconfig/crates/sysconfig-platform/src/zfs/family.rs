//! What a dataset has that would go with it: children, snapshots, and what was cloned from those.

use super::{is_without_zfs, run};
use crate::storage::StorageError;
use crate::{Host, System};
use serde::{Deserialize, Serialize};

/// A file system or volume among its relatives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relative {
    /// Its name.
    pub name: String,
    /// What tells it from others that were or will be of the same name.
    pub guid: String,
    /// The snapshot that it was cloned from.
    pub origin: Option<String>,
}

impl Relative {
    /// Whether it lies below a dataset.
    #[must_use]
    pub fn lies_in(&self, dataset: &str) -> bool {
        self.name.strip_prefix(dataset).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Whether it was cloned from a snapshot of a dataset.
    #[must_use]
    pub fn was_cloned_from(&self, dataset: &str) -> bool {
        let origin = self.origin.as_deref().and_then(|origin| origin.strip_prefix(dataset));
        origin.is_some_and(|rest| rest.starts_with('@'))
    }
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name, `DATASET@SNAPSHOT`.
    pub name: String,
    /// What tells it from others that were or will be of the same name.
    pub guid: String,
    /// Whether somebody keeps it from being destroyed, zfs-hold(8).
    #[serde(default)]
    pub held: bool,
}

impl Snapshot {
    /// Whether it is that very snapshot, held or not.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (&self.name, &self.guid) == (&other.name, &other.guid)
    }
}

/// Every file system and volume of the pool of a dataset, because what was cloned from it may be anywhere in there; none when
/// there is no such pool, or no ZFS.
///
/// # Errors
/// [`StorageError::Command`].
pub fn relatives(host: &Host, dataset: &str) -> Result<Vec<Relative>, StorageError> {
    let pool = dataset.split('/').next().unwrap_or_default();
    let args = ["list", "-Hp", "-r", "-t", "filesystem,volume", "-o", "name,guid,origin", pool];
    Ok(parse_relatives(&listed(host, args, &format!("look at the datasets of {pool}"))?))
}

/// The snapshots of a dataset, and of nothing below it.
///
/// # Errors
/// [`StorageError::Command`].
pub fn snapshots(host: &Host, dataset: &str) -> Result<Vec<Snapshot>, StorageError> {
    let args = ["list", "-Hp", "-r", "-t", "snapshot", "-o", "name,guid,userrefs", dataset];
    Ok(parse_snapshots(dataset, &listed(host, args, &format!("look at the snapshots of {dataset}"))?))
}

fn listed(host: &Host, args: [&str; 8], operation: &str) -> Result<String, StorageError> {
    match run(host, args, operation) {
        Ok(answer) => Ok(answer.stdout),
        Err(error) if error.said().contains("dataset does not exist") => Ok(String::new()),
        Err(error) if host.system() == System::Linux && is_without_zfs(&error) => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// `zfs list -Hp -o name,guid,origin`; lines in another form are passed over.
#[must_use]
pub fn parse_relatives(text: &str) -> Vec<Relative> {
    let line = |line: &str| {
        let [name, guid, origin] = line.split('\t').collect::<Vec<_>>()[..] else { return None };
        let origin = (origin != "-").then(|| origin.to_owned());
        (!name.is_empty()).then(|| Relative { name: name.to_owned(), guid: guid.to_owned(), origin })
    };
    text.lines().filter_map(line).collect()
}

/// `zfs list -Hp -r -t snapshot -o name,guid,userrefs`; those of what lies below, and lines in another form, are passed over.
#[must_use]
pub fn parse_snapshots(dataset: &str, text: &str) -> Vec<Snapshot> {
    let line = |line: &str| {
        let [name, guid, holds] = line.split('\t').collect::<Vec<_>>()[..] else { return None };
        let is_its = name.strip_prefix(dataset).is_some_and(|rest| rest.starts_with('@'));
        // Pools of old versions have no holds, and `-` there.
        let held = !matches!(holds, "0" | "-");
        is_its.then(|| Snapshot { name: name.to_owned(), guid: guid.to_owned(), held })
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relatives_are_read() {
        let found = parse_relatives("tank\t1\t-\ntank/a\t2\t-\ntank/a/b\t3\t-\ntank/ab\t4\ttank/a@s\nodd\n");
        let names = |which: fn(&Relative) -> bool| {
            found.iter().filter(|one| which(one)).map(|one| one.name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(names(|_| true), ["tank", "tank/a", "tank/a/b", "tank/ab"]);
        assert_eq!(names(|one| one.lies_in("tank/a")), ["tank/a/b"]);
        assert_eq!(names(|one| one.was_cloned_from("tank/a")), ["tank/ab"]);
        assert_eq!(names(|one| one.was_cloned_from("tank/")), [""; 0]);
    }

    #[test]
    fn snapshots_of_what_lies_below_are_not_its_own() {
        let text = "tank/a@s\t5\t0\ntank/a@t\t8\t2\ntank/a@u\t9\t-\ntank/a/b@s\t6\t0\ntank/ab@s\t7\t0\nodd\n";
        let found = parse_snapshots("tank/a", text);
        let found: Vec<_> = found.iter().map(|found| (&found.name[..], &found.guid[..], found.held)).collect();
        assert_eq!(found, [("tank/a@s", "5", false), ("tank/a@t", "8", true), ("tank/a@u", "9", false)]);
    }
}
