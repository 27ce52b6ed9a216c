//! Access control lists in the way of NFS version 4, as illumos keeps them: they say more than a mode can.
//!
//! The text is that of `ls -v` and of archives, `acl(7)`: entries with commas between them, each
//! `WHO[:NAME]:PERMISSIONS[:FLAGS]:TYPE[:ID]`. Permissions and flags are letters, with or without a dash for each
//! that is missing, or words with slashes between them.

use std::fmt::Write;

/// `MAX_ACL_ENTRIES`: longer lists are refused by illumos.
pub const ACL_ENTRIES_MAX: usize = 1024;

/// Whom an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AclWho {
    /// `owner@`.
    Owner,
    /// `group@`: the owning group.
    Group,
    /// `everyone@`.
    Everyone,
    /// A user, by number.
    User(u32),
    /// A group, by number.
    NamedGroup(u32),
}

/// What an entry does; the discriminants are those of `a_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AclKind {
    /// Allows.
    Allow = 0,
    /// Denies.
    Deny = 1,
    /// Has the access written down.
    Audit = 2,
    /// Has somebody told of the access.
    Alarm = 3,
}

/// One entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AclEntry {
    /// Whom it is about.
    pub who: AclWho,
    /// What it does.
    pub kind: AclKind,
    /// How new files inherit it, and which accesses an audit is about: `ACE_FILE_INHERIT_ACE` and so on, within
    /// [`ACL_FLAGS`].
    pub flags: u16,
    /// The accesses: `ACE_READ_DATA` and so on, within [`ACL_MASK`].
    pub mask: u32,
}

/// A text that is no list, or one that cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an access control list {0}")]
pub struct AclError(&'static str);

/// Bit, letter, and words; a second word is that for directories.
type Word = (u32, u8, &'static [&'static str]);

/// `acl.h`, in the order of the letters.
const PERMISSIONS: [Word; 14] = [
    (0x1, b'r', &["read_data", "list_directory"]),
    (0x2, b'w', &["write_data", "add_file"]),
    (0x20, b'x', &["execute"]),
    (0x4, b'p', &["append_data", "add_subdirectory"]),
    (0x1_0000, b'd', &["delete"]),
    (0x40, b'D', &["delete_child"]),
    (0x80, b'a', &["read_attributes"]),
    (0x100, b'A', &["write_attributes"]),
    (0x8, b'R', &["read_xattr"]),
    (0x10, b'W', &["write_xattr"]),
    (0x2_0000, b'c', &["read_acl"]),
    (0x4_0000, b'C', &["write_acl"]),
    (0x8_0000, b'o', &["write_owner"]),
    (0x10_0000, b's', &["synchronize"]),
];

const FLAGS: [Word; 7] = [
    (0x1, b'f', &["file_inherit"]),
    (0x2, b'd', &["dir_inherit"]),
    (0x8, b'i', &["inherit_only"]),
    (0x4, b'n', &["no_propagate"]),
    (0x10, b'S', &["successful_access"]),
    (0x20, b'F', &["failed_access"]),
    (0x80, b'I', &["inherited"]),
];

const KINDS: [(AclKind, &str); 4] =
    [(AclKind::Allow, "allow"), (AclKind::Deny, "deny"), (AclKind::Audit, "audit"), (AclKind::Alarm, "alarm")];

/// All bits that [`AclEntry::mask`] may have.
pub const ACL_MASK: u32 = 0x1f_01ff;
/// All bits that [`AclEntry::flags`] may have.
pub const ACL_FLAGS: u16 = 0xbf;

impl AclEntry {
    /// Whether illumos would take the entry.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.mask & !ACL_MASK == 0 && self.flags & !ACL_FLAGS == 0
    }
}

impl AclKind {
    /// The kind with that number.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        KINDS.iter().map(|(kind, _)| *kind).find(|kind| u16::from(*kind as u8) == number)
    }
}

/// Reads a list from its text.
///
/// # Errors
/// It is none, is empty or too long, or names somebody without a number.
pub fn parse_acl(text: &[u8]) -> Result<Vec<AclEntry>, AclError> {
    let text = std::str::from_utf8(text).map_err(|_| AclError("is not text"))?;
    let parts = text.split([',', '\n']).filter(|part| !part.is_empty());
    let mut entries = Vec::new();
    for part in parts {
        if entries.len() == ACL_ENTRIES_MAX {
            return Err(AclError("has more than 1024 entries"));
        }
        entries.push(parse_entry(part)?);
    }
    if entries.is_empty() { Err(AclError("has no entry")) } else { Ok(entries) }
}

fn parse_entry(text: &str) -> Result<AclEntry, AclError> {
    let mut fields = text.split(':').peekable();
    let mut next = || fields.next();
    let is_group = match next() {
        Some("owner@") => Err(AclWho::Owner),
        Some("group@") => Err(AclWho::Group),
        Some("everyone@") => Err(AclWho::Everyone),
        Some("user") => Ok(false),
        Some("group") => Ok(true),
        _ => return Err(AclError("is about somebody unknown")),
    };
    let name = if is_group.is_ok() { next() } else { None };
    let mask = bits(next().ok_or(AclError("ends early"))?, &PERMISSIONS)?;
    let kind_of = |text: &str| KINDS.iter().find(|(_, name)| *name == text).map(|(kind, _)| *kind);
    let mut field = next().ok_or(AclError("ends early"))?;
    let mut flags = 0;
    if kind_of(field).is_none() {
        flags = bits(field, &FLAGS)? as u16;
        field = next().ok_or(AclError("ends early"))?;
    }
    let kind = kind_of(field).ok_or(AclError("neither allows nor denies"))?;
    let id = next().or(name);
    if next().is_some() {
        return Err(AclError("has too many fields"));
    }
    let number = || id.and_then(|id| id.parse().ok()).ok_or(AclError("names somebody without a number"));
    let who = match is_group {
        Err(who) => who,
        Ok(false) => AclWho::User(number()?),
        Ok(true) => AclWho::NamedGroup(number()?),
    };
    Ok(AclEntry { who, kind, flags, mask })
}

/// Letters, or words with slashes between them.
fn bits(text: &str, table: &[Word]) -> Result<u32, AclError> {
    let letter = |byte: u8| match byte {
        b'-' => Some(0),
        _ => table.iter().find(|(_, letter, _)| *letter == byte).map(|(bit, ..)| *bit),
    };
    let word = |text: &str| table.iter().find(|(.., words)| words.contains(&text)).map(|(bit, ..)| *bit);
    let all = |mut bits: Box<dyn Iterator<Item = Option<u32>> + '_>| bits.try_fold(0, |all, bit| Some(all | bit?));
    let letters = all(Box::new(text.bytes().map(letter)));
    letters.or_else(|| all(Box::new(text.split('/').map(word)))).ok_or(AclError("has an unknown permission or flag"))
}

/// The text of a list: letters, and numbers for names.
#[must_use]
pub fn format_acl(entries: &[AclEntry]) -> String {
    let mut text = String::new();
    for entry in entries {
        if !text.is_empty() {
            text.push(',');
        }
        let id = match entry.who {
            AclWho::Owner => None,
            AclWho::Group => None,
            AclWho::Everyone => None,
            AclWho::User(id) | AclWho::NamedGroup(id) => Some(id),
        };
        text.push_str(match entry.who {
            AclWho::Owner => "owner@",
            AclWho::Group => "group@",
            AclWho::Everyone => "everyone@",
            AclWho::User(_) => "user",
            AclWho::NamedGroup(_) => "group",
        });
        // The number stands for the name, and behind the entry once more, where readers look first.
        let _ = id.map(|id| write!(text, ":{id}"));
        for (bits, table) in [(entry.mask, &PERMISSIONS[..]), (u32::from(entry.flags), &FLAGS[..])] {
            text.push(':');
            text.extend(table.iter().map(|(bit, letter, _)| if bits & bit == 0 { '-' } else { char::from(*letter) }));
        }
        let kind = KINDS.iter().find(|(kind, _)| *kind == entry.kind).map_or("", |(_, name)| name);
        let _ = write!(text, ":{kind}");
        let _ = id.map(|id| write!(text, ":{id}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_is_read() {
        // As illumos tar, libarchive, and `ls -v` write one and the same entry.
        let expected = AclEntry { who: AclWho::User(100), kind: AclKind::Allow, flags: 0x3, mask: 0x12_0089 };
        for text in [
            "user:webservd:r-----a-R-c--s:fd-----:allow:100",
            "user:webservd:raRcs:fd:allow:100",
            "user:100:r-----a-R-c--s:fd-----:allow",
            "user:100:read_data/read_attributes/read_xattr/read_acl/synchronize:file_inherit/dir_inherit:allow",
        ] {
            assert_eq!(parse_acl(text.as_bytes()), Ok(vec![expected]), "{text}");
        }
        assert_eq!(format_acl(&[expected]), "user:100:r-----a-R-c--s:fd-----:allow:100");
        let three = b"owner@:rwxpdDaARWcCos:-------:allow,group@:list_directory:deny,everyone@::-------:audit";
        let entries = parse_acl(three).expect("a list");
        assert_eq!(entries.iter().map(|entry| entry.mask).collect::<Vec<_>>(), [ACL_MASK, 1, 0]);
        assert_eq!(parse_acl(format_acl(&entries).as_bytes()), Ok(entries));
    }

    #[test]
    fn the_tables_are_complete() {
        assert_eq!(PERMISSIONS.iter().fold(0, |all, (bit, ..)| all | bit), ACL_MASK);
        assert_eq!(FLAGS.iter().fold(0, |all, (bit, ..)| all | bit), u32::from(ACL_FLAGS));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for (text, why) in [
            ("", "has no entry"),
            ("user::rwx", "ends early"),
            ("mask:rwx", "is about somebody unknown"),
            ("owner@:rz:allow", "has an unknown permission or flag"),
            ("owner@:r:fd", "ends early"),
            ("owner@:r:fd:permit", "neither allows nor denies"),
            ("user:joe:r:allow", "names somebody without a number"),
            ("user:joe:r:allow:4294967296", "names somebody without a number"),
            ("owner@:r:fd:allow:1:2", "has too many fields"),
            ("usersid:S-1-5-21:r:allow:S-1-5-21", "is about somebody unknown"),
        ] {
            assert_eq!(parse_acl(text.as_bytes()), Err(AclError(why)), "{text}");
        }
        assert!(parse_acl(&b"owner@:r:allow,".repeat(ACL_ENTRIES_MAX)).is_ok());
        assert!(parse_acl(&b"owner@:r:allow,".repeat(ACL_ENTRIES_MAX + 1)).is_err());
        assert_eq!(parse_acl(b"\xff"), Err(AclError("is not text")));
    }
}
