//! Snapshots, and what is cloned from them.

use super::super::{failed, printed};
use super::dataset::next_guid;
use super::{FakeDataset, Storage};
use crate::Completed;
use std::fmt::Write;

impl Storage {
    /// The datasets of which a name is the topmost.
    fn family<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a String, &'a FakeDataset)> {
        let is_in =
            move |other: &str| other == name || other.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
        self.datasets.iter().filter(move |(other, _)| is_in(other))
    }

    pub(super) fn relatives(&self, name: &str) -> Completed {
        if !self.datasets.contains_key(name) {
            return failed(1, format!("cannot open '{name}': dataset does not exist\n"));
        }
        let row = |(name, dataset): (&String, &FakeDataset)| {
            format!("{name}\t{}\t{}\n", dataset.guid, dataset.origin.as_deref().unwrap_or("-"))
        };
        printed(self.family(name).map(row).collect::<String>())
    }

    pub(super) fn list_snapshots(&self, name: &str) -> Completed {
        if !self.datasets.contains_key(name) {
            return failed(1, format!("cannot open '{name}': dataset does not exist\n"));
        }
        let mut text = String::new();
        for (name, dataset) in self.family(name) {
            for (snapshot, guid) in &dataset.snapshots {
                let snapshot = format!("{name}@{snapshot}");
                let holds = u8::from(self.held.contains(&snapshot));
                let _ = writeln!(text, "{snapshot}\t{guid}\t{holds}");
            }
        }
        printed(text)
    }

    pub(super) fn snapshot(&mut self, name: &str) -> Completed {
        let found =
            name.split_once('@').and_then(|(dataset, snapshot)| Some((self.datasets.get_mut(dataset)?, snapshot)));
        let Some((dataset, snapshot)) = found else {
            return failed(1, format!("cannot create snapshot '{name}': dataset does not exist\n"));
        };
        if dataset.snapshots.contains_key(snapshot) {
            return failed(1, format!("cannot create snapshot '{name}': dataset already exists\n"));
        }
        dataset.snapshots.insert(snapshot.to_owned(), next_guid());
        printed("")
    }

    pub(super) fn clone_snapshot(&mut self, origin: &str, name: &str) -> Completed {
        let source = origin.split_once('@').and_then(|(dataset, snapshot)| {
            let dataset = self.datasets.get(dataset)?;
            dataset.snapshots.contains_key(snapshot).then_some(dataset.kind)
        });
        let Some(kind) = source else {
            return failed(1, format!("cannot open '{origin}': dataset does not exist\n"));
        };
        if self.datasets.contains_key(name) {
            return failed(1, format!("cannot create '{name}': dataset already exists\n"));
        }
        let clone = FakeDataset { kind, origin: Some(origin.to_owned()), ..FakeDataset::filesystem([]) };
        self.datasets.insert(name.to_owned(), clone);
        self.mount_dataset(name);
        printed("")
    }

    pub(super) fn destroy_snapshot(&mut self, name: &str) -> Completed {
        if let Some((clone, _)) = self.datasets.iter().find(|(_, other)| other.origin.as_deref() == Some(name)) {
            let why = "snapshot has dependent clones\nuse '-R' to destroy the following datasets:";
            return failed(1, format!("cannot destroy '{name}': {why}\n{clone}\n"));
        }
        if self.held.contains(name) {
            return failed(1, format!("cannot destroy '{name}': dataset is busy\n"));
        }
        let found = name
            .split_once('@')
            .and_then(|(dataset, snapshot)| self.datasets.get_mut(dataset)?.snapshots.remove(snapshot));
        match found {
            Some(_) => printed(""),
            None => failed(1, "could not find any snapshots to destroy; check snapshot names.\n"),
        }
    }
}
