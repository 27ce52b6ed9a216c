//! The fixed tables of users and groups: never the host's database, never the image's.

/// Users by name; what illumos ships with, and what the original image builder knows.
const USERS: &[(&str, u32)] = &[("root", 0), ("daemon", 1), ("bin", 2), ("sys", 3), ("adm", 4)];

/// Groups by name.
const GROUPS: &[(&str, u32)] = &[("root", 0), ("other", 1), ("bin", 2), ("sys", 3), ("adm", 4)];

/// One of the two tables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    /// The word used in messages: `user` or `group`.
    pub(crate) what: &'static str,
    /// The code of the diagnostic for a name that is not in the table.
    pub(crate) code: &'static str,
    entries: &'static [(&'static str, u32)],
}

/// The table for `owner`.
pub(crate) const USER: Table = Table { what: "user", code: "template::unknown-owner", entries: USERS };

/// The table for `group`.
pub(crate) const GROUP: Table = Table { what: "group", code: "template::unknown-group", entries: GROUPS };

impl Table {
    /// The id of a name.
    pub(crate) fn id(&self, name: &str) -> Option<u32> {
        self.entries.iter().find(|(known, _)| *known == name).map(|(_, id)| *id)
    }

    /// The names in the table's order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.entries.iter().map(|(name, _)| *name)
    }
}

/// The name that templates have for a user.
#[must_use]
pub fn user_name(uid: u32) -> Option<&'static str> {
    USERS.iter().find(|(_, known)| *known == uid).map(|(name, _)| *name)
}

/// The name that templates have for a group.
#[must_use]
pub fn group_name(gid: u32) -> Option<&'static str> {
    GROUPS.iter().find(|(_, known)| *known == gid).map(|(name, _)| *name)
}
