//! Access control lists between trees and file systems.

use std::sync::Arc;

use image_tree::{AclEntry, AclKind, AclWho};
use zfs_format::acl::{self, Ace, Who, flag};
use zfs_format::sa::Znode;

/// The entries as a file system has them.
pub(crate) fn to_aces(entries: &[AclEntry]) -> Vec<Ace> {
    let ace = |entry: &AclEntry| Ace {
        who: match entry.who {
            AclWho::Owner => Who::Owner,
            AclWho::Group => Who::Group,
            AclWho::Everyone => Who::Everyone,
            AclWho::User(id) => Who::User(u64::from(id)),
            AclWho::NamedGroup(id) => Who::NamedGroup(u64::from(id)),
        },
        kind: u16::from(entry.kind as u8),
        inherit: entry.flags,
        mask: entry.mask,
    };
    entries.iter().map(ace).collect()
}

/// The list of a file for a tree: none if it says no more than the mode.
///
/// # Errors
/// What a tree cannot hold.
pub(crate) fn from_znode(znode: &Znode) -> Result<Option<Arc<[AclEntry]>>, &'static str> {
    let kind = znode.mode & 0o170_000;
    if znode.flags & flag::ACL_TRIVIAL != 0 || znode.aces.is_empty() || kind == 0o120_000 {
        return Ok(None);
    }
    let aces = Ace::decode_all(&znode.aces).ok_or("an access control list that ends inside an entry")?;
    if aces == acl::trivial((znode.mode & 0o777) as u32, kind == 0o040_000) {
        return Ok(None);
    }
    let entries: Option<Vec<AclEntry>> = aces.iter().map(from_ace).collect();
    entries.map(|entries| Some(entries.into())).ok_or("an access control list with entries that a tree does not have")
}

fn from_ace(ace: &Ace) -> Option<AclEntry> {
    let who = match ace.who {
        Who::Owner => AclWho::Owner,
        Who::Group => AclWho::Group,
        Who::Everyone => AclWho::Everyone,
        Who::User(id) => AclWho::User(u32::try_from(id).ok()?),
        Who::NamedGroup(id) => AclWho::NamedGroup(u32::try_from(id).ok()?),
    };
    let entry = AclEntry { who, kind: AclKind::from_number(ace.kind)?, flags: ace.inherit, mask: ace.mask };
    entry.is_valid().then_some(entry)
}
