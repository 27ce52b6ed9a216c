//! The numbers behind the names of owners, as the image knows them. The host's names have no part in it.

use std::collections::BTreeMap;

use super::table::Table;

/// Names of users and groups with their numbers.
#[derive(Debug, Default)]
pub struct Owners {
    pub(super) users: BTreeMap<String, u32>,
    pub(super) groups: BTreeMap<String, u32>,
}

impl Owners {
    /// The names that the texts of an image's `/etc/passwd` and `/etc/group` have.
    #[must_use]
    pub fn of_tables(passwd: &str, group: &str) -> Self {
        let mut owners = Self::default();
        owners.add_files(Some(&Table::new(passwd)), Some(&Table::new(group)));
        owners
    }

    /// The number of a user.
    #[must_use]
    pub fn uid(&self, name: &str) -> Option<u32> {
        self.users.get(name).copied()
    }

    /// The number of a group.
    #[must_use]
    pub fn gid(&self, name: &str) -> Option<u32> {
        self.groups.get(name).copied()
    }

    /// Adds what `/etc/passwd` and `/etc/group` say; names that are known already keep their numbers.
    pub(super) fn add_files(&mut self, passwd: Option<&Table>, group: Option<&Table>) {
        for entry in passwd.into_iter().flat_map(|table| table.entries(7)) {
            if let Ok(uid) = entry[2].parse() {
                self.users.entry(entry[0].to_owned()).or_insert(uid);
            }
        }
        for entry in group.into_iter().flat_map(|table| table.entries(4)) {
            if let Ok(gid) = entry[2].parse() {
                self.groups.entry(entry[0].to_owned()).or_insert(gid);
            }
        }
    }
}
