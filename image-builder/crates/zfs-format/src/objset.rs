//! Object sets: the dnodes of a dataset, or of the pool itself.
//!
//! Source: `dmu_objset.h` (`objset_phys_t`: the meta dnode, the header of the intent log at 512, type and flags at 704, and the
//! dnodes of the space accounting at 1024, 1536 and 2048).

use crate::dnode::{DNODE_BYTES, Dnode, DnodeError, word};
use crate::object::ObjsetType;

/// Bits of `os_flags`.
pub mod objset_flags {
    /// The accounts of users and groups are complete.
    pub const USERACCOUNTING_COMPLETE: u64 = 1;
    /// The accounts of their objects are, too.
    pub const USEROBJACCOUNTING_COMPLETE: u64 = 2;
    /// So are those of projects.
    pub const PROJECTQUOTA_COMPLETE: u64 = 4;
}

/// Which form an object set has, by the software that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjsetForm {
    /// 1024 bytes: `OBJSET_PHYS_SIZE_V1`, without space accounting.
    Plain,
    /// 2048 bytes: `OBJSET_PHYS_SIZE_V2`, with accounts of users and groups.
    Accounts,
    /// 4096 bytes: `OBJSET_PHYS_SIZE_V3`, with accounts of projects as well.
    Projects,
}

impl ObjsetForm {
    /// Bytes of the form.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Plain => 1024,
            Self::Accounts => 2048,
            Self::Projects => 4096,
        }
    }
}

const TYPE: usize = 704;
const FLAGS: usize = 712;
const ACCOUNTS: [usize; 3] = [1024, 1536, 2048];

/// `objset_phys_t`, with an intent log that is empty and without authentication codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjsetPhys {
    /// The object whose data are the dnodes of all others.
    pub meta_dnode: Dnode,
    /// What the objects mean.
    pub kind: ObjsetType,
    /// See [`objset_flags`].
    pub flags: u64,
    /// Space by user.
    pub user_used: Option<Dnode>,
    /// Space by group.
    pub group_used: Option<Dnode>,
    /// Space by project.
    pub project_used: Option<Dnode>,
}

impl ObjsetPhys {
    /// The object set as it is on disk. Accounts that the form has no place for are left out.
    ///
    /// # Errors
    /// When a dnode cannot be.
    pub fn encode(&self, form: ObjsetForm) -> Result<Vec<u8>, DnodeError> {
        let mut bytes = vec![0; form.bytes()];
        bytes[..DNODE_BYTES].copy_from_slice(&self.meta_dnode.encode()?);
        bytes[TYPE..TYPE + 8].copy_from_slice(&self.kind.number().to_le_bytes());
        bytes[FLAGS..FLAGS + 8].copy_from_slice(&self.flags.to_le_bytes());
        let accounts = [&self.user_used, &self.group_used, &self.project_used];
        for (at, account) in ACCOUNTS.into_iter().zip(accounts) {
            if let (Some(place), Some(dnode)) = (bytes.get_mut(at..at + DNODE_BYTES), account) {
                place.copy_from_slice(&dnode.encode()?);
            }
        }
        Ok(bytes)
    }

    /// Reads an object set of any form; those with 1024 bytes have no accounts.
    ///
    /// # Errors
    /// When a dnode or the type is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, DnodeError> {
        if bytes.len() < ObjsetForm::Plain.bytes() {
            return Err(DnodeError::Short { needed: ObjsetForm::Plain.bytes(), bytes: bytes.len() });
        }
        let account = |at: usize| bytes.get(at..at + DNODE_BYTES).map_or(Ok(None), Dnode::decode);
        let number = word(bytes, TYPE);
        Ok(Self {
            meta_dnode: Dnode::decode(bytes)?.ok_or(DnodeError::Pointers(0))?,
            kind: ObjsetType::from_number(number).ok_or(DnodeError::ObjsetType(number))?,
            flags: word(bytes, FLAGS),
            user_used: account(ACCOUNTS[0])?,
            group_used: account(ACCOUNTS[1])?,
            project_used: account(ACCOUNTS[2])?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::BlockPointer;
    use crate::object::ObjectType;
    use proptest::prelude::*;

    fn dnode(kind: ObjectType) -> Dnode {
        Dnode {
            kind,
            indirect_shift: 17,
            levels: 1,
            data_block_bytes: 16384,
            pointers: vec![BlockPointer::ABSENT],
            ..Dnode::default()
        }
    }

    #[test]
    fn object_sets_come_back_in_every_form() {
        let objset = ObjsetPhys {
            meta_dnode: dnode(ObjectType::DNODE),
            kind: ObjsetType::Zfs,
            flags: objset_flags::USERACCOUNTING_COMPLETE,
            user_used: Some(dnode(ObjectType::USERGROUP_USED)),
            group_used: Some(dnode(ObjectType::USERGROUP_USED)),
            project_used: None,
        };
        for form in [ObjsetForm::Accounts, ObjsetForm::Projects] {
            assert_eq!(ObjsetPhys::decode(&objset.encode(form).unwrap()), Ok(objset.clone()));
        }
        let plain = ObjsetPhys { user_used: None, group_used: None, ..objset.clone() };
        assert_eq!(ObjsetPhys::decode(&objset.encode(ObjsetForm::Plain).unwrap()), Ok(plain));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 1024)) {
            let _ = ObjsetPhys::decode(&bytes);
        }
    }
}
