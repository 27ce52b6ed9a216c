//! Access control lists as file systems of version 5 keep them, and the flags of files.
//!
//! Sources: `acl.h` (`ACE_*`), `zfs_acl.h` (`zfs_ace_hdr_t`, `zfs_ace_t`), `zfs_znode.h` (`ZFS_*` flags),
//! `acl_common.c` (`acl_trivial_access_masks`), `zfs_acl.c` (`zfs_acl_chmod`, `zfs_mode_compute`).

/// Bits of an access mask.
pub mod mask {
    /// Read a file, list a directory.
    pub const READ_DATA: u32 = 0x1;
    /// Write a file, add a file to a directory.
    pub const WRITE_DATA: u32 = 0x2;
    /// Append to a file, add a subdirectory.
    pub const APPEND_DATA: u32 = 0x4;
    /// Read extended attributes.
    pub const READ_NAMED_ATTRS: u32 = 0x8;
    /// Write extended attributes.
    pub const WRITE_NAMED_ATTRS: u32 = 0x10;
    /// Execute a file, search a directory.
    pub const EXECUTE: u32 = 0x20;
    /// Delete what is in a directory.
    pub const DELETE_CHILD: u32 = 0x40;
    /// Read times, size and the like.
    pub const READ_ATTRIBUTES: u32 = 0x80;
    /// Set times.
    pub const WRITE_ATTRIBUTES: u32 = 0x100;
    /// Read the access control list.
    pub const READ_ACL: u32 = 0x2_0000;
    /// Write the access control list.
    pub const WRITE_ACL: u32 = 0x4_0000;
    /// Change owner and group.
    pub const WRITE_OWNER: u32 = 0x8_0000;
    /// Wait for the file.
    pub const SYNCHRONIZE: u32 = 0x10_0000;
}

/// The flags of a file, attribute `ZPL_FLAGS`.
pub mod flag {
    /// `ZFS_XATTR`: the object is an extended attribute, or the directory of such.
    pub const XATTR: u64 = 0x1;
    /// `ZFS_INHERIT_ACE`: an entry of the list is inherited by new files.
    pub const INHERIT_ACE: u64 = 0x2;
    /// `ZFS_ACL_TRIVIAL`: the list says no more than the mode.
    pub const ACL_TRIVIAL: u64 = 0x4;
    /// `ZFS_NO_EXECS_DENIED`: everybody may search or execute, so that a lookup need not read the list.
    pub const NO_EXECS_DENIED: u64 = 0x100;
    /// `ZFS_ARCHIVE`: changed since the last archiving.
    pub const ARCHIVE: u64 = 0x8_0000_0000;
    /// `ZFS_AV_MODIFIED`: changed since the last virus scan.
    pub const AV_MODIFIED: u64 = 0x400_0000_0000;
    /// `ZFS_PROJID`: the attributes hold a project.
    pub const PROJECT: u64 = 0x8000_0000_0000;
}

/// Whom an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// `owner@`.
    Owner,
    /// `group@`: the owning group.
    Group,
    /// `everyone@`.
    Everyone,
    /// A user, by number.
    User(u64),
    /// A group, by number.
    NamedGroup(u64),
}

/// One entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ace {
    /// Whom it is about.
    pub who: Who,
    /// 0 allows, 1 denies.
    pub kind: u16,
    /// Inheritance flags (`ACE_FILE_INHERIT_ACE` and so on), without those that say whom it is about.
    pub inherit: u16,
    /// What is allowed or denied, bits of [`mask`].
    pub mask: u32,
}

/// `ACE_ACCESS_ALLOWED_ACE_TYPE`.
pub const ALLOW: u16 = 0;
/// `ACE_ACCESS_DENIED_ACE_TYPE`.
pub const DENY: u16 = 1;

const OWNER: u16 = 0x1000;
const GROUP: u16 = 0x2000;
const EVERYONE: u16 = 0x4000;
const IDENTIFIER_GROUP: u16 = 0x40;
const TYPE_FLAGS: u16 = OWNER | GROUP | EVERYONE | IDENTIFIER_GROUP;

impl Ace {
    /// Appends the entry: 8 bytes, and 8 more for a user or group by number.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (flags, id) = match self.who {
            Who::Owner => (OWNER, None),
            Who::Group => (GROUP | IDENTIFIER_GROUP, None),
            Who::Everyone => (EVERYONE, None),
            Who::User(id) => (0, Some(id)),
            Who::NamedGroup(id) => (IDENTIFIER_GROUP, Some(id)),
        };
        out.extend_from_slice(&self.kind.to_le_bytes());
        out.extend_from_slice(&(flags | self.inherit).to_le_bytes());
        out.extend_from_slice(&self.mask.to_le_bytes());
        if let Some(id) = id {
            out.extend_from_slice(&id.to_le_bytes());
        }
    }

    /// Reads the list that [`Ace::encode`] wrote; none if the bytes end inside an entry.
    #[must_use]
    pub fn decode_all(mut bytes: &[u8]) -> Option<Vec<Self>> {
        let mut aces = Vec::new();
        while !bytes.is_empty() {
            let (header, rest) = bytes.split_at_checked(8)?;
            bytes = rest;
            let flags = u16::from_le_bytes([header[2], header[3]]);
            let who = match flags & TYPE_FLAGS {
                OWNER => Who::Owner,
                EVERYONE => Who::Everyone,
                kind if kind == GROUP | IDENTIFIER_GROUP => Who::Group,
                kind => {
                    let (id, rest) = bytes.split_at_checked(8)?;
                    bytes = rest;
                    let id = u64::from_le_bytes(id.try_into().ok()?);
                    if kind & IDENTIFIER_GROUP == 0 { Who::User(id) } else { Who::NamedGroup(id) }
                }
            };
            aces.push(Self {
                who,
                kind: u16::from_le_bytes([header[0], header[1]]),
                inherit: flags & !TYPE_FLAGS,
                mask: u32::from_le_bytes([header[4], header[5], header[6], header[7]]),
            });
        }
        Some(aces)
    }
}

/// Appends the entries to bytes, as the attribute `ZPL_DACL_ACES` holds them.
#[must_use]
pub fn encode(aces: &[Ace]) -> Vec<u8> {
    let mut out = Vec::with_capacity(aces.len() * 8);
    aces.iter().for_each(|ace| ace.encode(&mut out));
    out
}

/// The mask of one class of a mode: `bits` are its `rwx`.
fn class_mask(bits: u32, is_dir: bool) -> u32 {
    let mut mask = 0;
    if bits & 4 != 0 {
        mask |= mask::READ_DATA;
    }
    if bits & 2 != 0 {
        mask |= mask::WRITE_DATA | mask::APPEND_DATA;
        if is_dir {
            mask |= mask::DELETE_CHILD;
        }
    }
    if bits & 1 != 0 {
        mask |= mask::EXECUTE;
    }
    mask
}

/// The list that ZFS itself makes for a mode: `owner@`, `group@`, `everyone@`, and before them what is needed when a
/// class has more than the one before it.
#[must_use]
pub fn trivial(mode: u32, is_dir: bool) -> Vec<Ace> {
    let (owner, group, other) = (mode >> 6 & 7, mode >> 3 & 7, mode & 7);
    let mut aces = Vec::with_capacity(3);
    let mut add = |who, kind, mask| aces.push(Ace { who, kind, inherit: 0, mask });
    let only_owner_and_others = owner & !group & other;
    if only_owner_and_others != 0 {
        add(Who::Owner, ALLOW, class_mask(only_owner_and_others, is_dir));
    }
    let not_owner = !owner & (group | other);
    if not_owner != 0 {
        add(Who::Owner, DENY, class_mask(not_owner, is_dir));
    }
    let not_group = !group & other;
    if not_group != 0 {
        add(Who::Group, DENY, class_mask(not_group, is_dir));
    }
    let everyone = mask::READ_ACL | mask::READ_ATTRIBUTES | mask::READ_NAMED_ATTRS | mask::SYNCHRONIZE;
    let owners = mask::WRITE_ATTRIBUTES | mask::WRITE_OWNER | mask::WRITE_ACL | mask::WRITE_NAMED_ATTRS;
    add(Who::Owner, ALLOW, class_mask(owner, is_dir) | everyone | owners);
    add(Who::Group, ALLOW, class_mask(group, is_dir) | everyone);
    add(Who::Everyone, ALLOW, class_mask(other, is_dir) | everyone);
    aces
}

/// The flags of a file with that list, whose content was written: what ZFS has set after that (`zfs_aclset_common`,
/// `zfs_mode_compute`).
#[must_use]
pub fn flags_of(aces: &[Ace], mode: u32, is_dir: bool) -> u64 {
    /// `ACE_FILE_INHERIT_ACE | ACE_DIRECTORY_INHERIT_ACE`.
    const INHERITED_BY_NEW: u16 = 0x3;
    if aces == trivial(mode, is_dir) {
        return flags(mode);
    }
    let denies = |ace: &Ace| ace.kind == DENY && ace.mask & mask::EXECUTE != 0;
    let is_inherited = aces.iter().any(|ace| ace.inherit & INHERITED_BY_NEW != 0);
    let inherit = if is_inherited { flag::INHERIT_ACE } else { 0 };
    let execute = if aces.iter().any(denies) { flag::NO_EXECS_DENIED } else { 0 };
    flags(mode) & !(flag::ACL_TRIVIAL | execute) | inherit
}

/// The flags of a file with the trivial list of its mode, whose content was written: what ZFS has set after that.
#[must_use]
pub fn flags(mode: u32) -> u64 {
    let execute = if mode & 0o111 == 0o111 { flag::NO_EXECS_DENIED } else { 0 };
    flag::ACL_TRIVIAL | flag::ARCHIVE | flag::AV_MODIFIED | execute
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masks(mode: u32, is_dir: bool) -> Vec<(Who, u16, u32)> {
        trivial(mode, is_dir).iter().map(|ace| (ace.who, ace.kind, ace.mask)).collect()
    }

    #[test]
    fn the_lists_are_those_of_zfs() {
        // As `ls -v` of illumos shows them: owner@ 0x1e019f for rw-, group@ 0x120089 for r--.
        let usual = [(Who::Owner, ALLOW, 0x1e_019f), (Who::Group, ALLOW, 0x12_0089), (Who::Everyone, ALLOW, 0x12_0089)];
        assert_eq!(masks(0o644, false), usual);
        let directory =
            [(Who::Owner, ALLOW, 0x1e_01ff), (Who::Group, ALLOW, 0x12_00a9), (Who::Everyone, ALLOW, 0x12_00a9)];
        assert_eq!(masks(0o755, true), directory);
    }

    #[test]
    fn a_class_with_more_than_the_one_before_needs_denials() {
        let expected = [
            (Who::Owner, ALLOW, mask::READ_DATA),
            (Who::Group, DENY, mask::READ_DATA),
            (Who::Owner, ALLOW, 0x1e_019f),
            (Who::Group, ALLOW, 0x12_0088),
            (Who::Everyone, ALLOW, 0x12_0089),
        ];
        assert_eq!(masks(0o604, false), expected);
        assert_eq!(masks(0o077, false)[0], (Who::Owner, DENY, 0x27));
        assert_eq!(masks(0o777, false).len(), 3);
    }

    /// What the list grants, read as the kernel evaluates it, is what the mode grants.
    #[test]
    fn every_mode_is_granted_exactly() {
        for mode in 0..0o1000 {
            let aces = trivial(mode, false);
            let granted = |applies: &dyn Fn(Who) -> bool| {
                let (mut allowed, mut decided) = (0, 0);
                for ace in aces.iter().filter(|ace| applies(ace.who)) {
                    allowed |= if ace.kind == ALLOW { ace.mask & !decided } else { 0 };
                    decided |= ace.mask;
                }
                let bit = |mask, bit| if allowed & mask == mask { bit } else { 0 };
                bit(mask::READ_DATA, 4) | bit(mask::WRITE_DATA, 2) | bit(mask::EXECUTE, 1)
            };
            // The owner is met by everyone@ too, and so is a member of the group.
            assert_eq!(granted(&|who| matches!(who, Who::Owner | Who::Everyone)), mode >> 6 & 7, "owner {mode:o}");
            assert_eq!(granted(&|who| matches!(who, Who::Group | Who::Everyone)), mode >> 3 & 7, "group {mode:o}");
            assert_eq!(granted(&|who| who == Who::Everyone), mode & 7, "everyone {mode:o}");
        }
    }

    #[test]
    fn lists_are_read_back() {
        let mut aces = trivial(0o604, true);
        aces.push(Ace { who: Who::User(100), kind: ALLOW, inherit: 3, mask: mask::READ_DATA });
        aces.push(Ace { who: Who::NamedGroup(7), kind: DENY, inherit: 0, mask: mask::EXECUTE });
        let bytes = encode(&aces);
        assert_eq!(bytes.len(), 5 * 8 + 2 * 16);
        assert_eq!(Ace::decode_all(&bytes), Some(aces));
        assert_eq!(Ace::decode_all(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn flags_tell_whether_everybody_may_execute() {
        assert_eq!(flags(0o755), 0x408_0000_0104);
        assert_eq!(flags(0o754), 0x408_0000_0004);
        let mut aces = trivial(0o755, true);
        assert_eq!(flags_of(&aces, 0o755, true), flags(0o755));
        aces.push(Ace { who: Who::User(5), kind: DENY, inherit: 0, mask: mask::READ_DATA });
        assert_eq!(flags_of(&aces, 0o755, true), 0x408_0000_0100);
        aces.push(Ace { who: Who::User(6), kind: DENY, inherit: 2, mask: mask::EXECUTE });
        assert_eq!(flags_of(&aces, 0o755, true), 0x408_0000_0002);
    }
}
