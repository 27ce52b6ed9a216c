//! The kinds of actions.

use std::fmt;

/// What an action is. Kinds order as actions are executed when packages are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActionKind {
    /// A statement about the package itself.
    Set,
    /// A dependency on another package.
    Depend,
    /// A group of users, in `/etc/group`.
    Group,
    /// A user, in `/etc/passwd` and `/etc/shadow`.
    User,
    /// A directory.
    Dir,
    /// A regular file with its payload.
    File,
    /// Another name of a file.
    Hardlink,
    /// A symbolic link.
    Link,
    /// A device driver, in the tables below `/etc`.
    Driver,
    /// Something that the publishing tool did not know.
    Unknown,
    /// A licence with its payload.
    License,
    /// The entry of a SVR4 package that this package replaces.
    Legacy,
    /// A signature of the manifest.
    Signature,
}

impl ActionKind {
    /// All kinds in the order of execution.
    pub const ALL: [Self; 13] = [
        Self::Set,
        Self::Depend,
        Self::Group,
        Self::User,
        Self::Dir,
        Self::File,
        Self::Hardlink,
        Self::Link,
        Self::Driver,
        Self::Unknown,
        Self::License,
        Self::Legacy,
        Self::Signature,
    ];

    /// The word by which manifests call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Depend => "depend",
            Self::Group => "group",
            Self::User => "user",
            Self::Dir => "dir",
            Self::File => "file",
            Self::Hardlink => "hardlink",
            Self::Link => "link",
            Self::Driver => "driver",
            Self::Unknown => "unknown",
            Self::License => "license",
            Self::Legacy => "legacy",
            Self::Signature => "signature",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether the action comes with a payload, whose hash stands after the name of the kind.
    #[must_use]
    pub fn has_payload(self) -> bool {
        matches!(self, Self::File | Self::License | Self::Signature)
    }

    /// The attributes without which such an action says nothing. The first one is the key: it names the object.
    #[must_use]
    pub fn required_attributes(self) -> &'static [&'static str] {
        match self {
            Self::Set => &["name", "value"],
            Self::Depend => &["fmri", "type"],
            Self::Group => &["groupname"],
            Self::User => &["username"],
            Self::Dir | Self::File => &["path"],
            Self::Hardlink | Self::Link => &["path", "target"],
            Self::Driver => &["name"],
            Self::Unknown => &[],
            Self::License => &["license"],
            Self::Legacy => &["pkg"],
            Self::Signature => &["value"],
        }
    }

    /// Whether the attribute may stand once only in such an action, because it names the object.
    #[must_use]
    pub fn is_single(self, attribute: &str) -> bool {
        let is_listed = matches!((self, attribute), (Self::Depend, "fmri") | (Self::Set, "value"));
        !is_listed && self.required_attributes().contains(&attribute)
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
