//! System attributes: how mode, owner, times and the rest of a file lie in its bonus buffer and spill block.
//!
//! Every file system keeps a registry (name of an attribute to number and length) and its layouts (number to the
//! attributes in order). The buffers hold a header with the number of the layout, and the values one after the other.
//!
//! Sources: `sa_impl.h` (`sa_hdr_phys_t`, `SA_ATTR_ENCODE`), `sa.c` (`sa_find_sizes`, `sa_build_layouts`),
//! `zfs_sa.c` (`zfs_attr_table`), `zfs_znode.c` (`zfs_mknode`: the order).

mod decode;
mod encode;
mod znode;

pub use decode::{Attributes, decode};
pub use encode::{Encoded, Layouts, encode};
pub use znode::{LEGACY_ZNODE_BYTES, Time, Znode};

use crate::zap::{Value, ZapEntry};

/// `SA_MAGIC`: the first word of every buffer.
pub const MAGIC: u32 = 0x2F_505A;
/// The number of the first layout that a file system makes; 0 and 1 are fixed in the code of ZFS.
pub const FIRST_LAYOUT: u16 = 2;

/// An attribute that the ZPL knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are those of zfs_attr_table; what they mean stands at Znode")]
pub enum Attribute {
    Atime,
    Mtime,
    Ctime,
    Crtime,
    Gen,
    Mode,
    Size,
    Parent,
    Links,
    Xattr,
    Rdev,
    Flags,
    Uid,
    Gid,
    Pad,
    ZnodeAcl,
    DaclCount,
    Symlink,
    Scanstamp,
    DaclAces,
    Dxattr,
    Projid,
}

/// Name, length in bytes (0 is variable), and how bytes are swapped (`sa_bswap_type_t`), in the order in which the
/// kernel registers them, which is also the order of [`Attribute`].
const TABLE: [(Attribute, &str, u16, u8); 22] = [
    (Attribute::Atime, "ZPL_ATIME", 16, 0),
    (Attribute::Mtime, "ZPL_MTIME", 16, 0),
    (Attribute::Ctime, "ZPL_CTIME", 16, 0),
    (Attribute::Crtime, "ZPL_CRTIME", 16, 0),
    (Attribute::Gen, "ZPL_GEN", 8, 0),
    (Attribute::Mode, "ZPL_MODE", 8, 0),
    (Attribute::Size, "ZPL_SIZE", 8, 0),
    (Attribute::Parent, "ZPL_PARENT", 8, 0),
    (Attribute::Links, "ZPL_LINKS", 8, 0),
    (Attribute::Xattr, "ZPL_XATTR", 8, 0),
    (Attribute::Rdev, "ZPL_RDEV", 8, 0),
    (Attribute::Flags, "ZPL_FLAGS", 8, 0),
    (Attribute::Uid, "ZPL_UID", 8, 0),
    (Attribute::Gid, "ZPL_GID", 8, 0),
    (Attribute::Pad, "ZPL_PAD", 32, 0),
    (Attribute::ZnodeAcl, "ZPL_ZNODE_ACL", 88, 3),
    (Attribute::DaclCount, "ZPL_DACL_COUNT", 8, 0),
    (Attribute::Symlink, "ZPL_SYMLINK", 0, 3),
    (Attribute::Scanstamp, "ZPL_SCANSTAMP", 32, 3),
    (Attribute::DaclAces, "ZPL_DACL_ACES", 0, 4),
    (Attribute::Dxattr, "ZPL_DXATTR", 0, 3),
    (Attribute::Projid, "ZPL_PROJID", 8, 0),
];

impl Attribute {
    /// All attributes in the order in which the kernel registers them.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(attribute, ..)| *attribute)
    }

    /// The name in the registry.
    #[must_use]
    pub fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// The length in bytes; 0 if it is variable.
    #[must_use]
    pub fn length(self) -> u16 {
        TABLE[self as usize].2
    }

    /// The number in a registry that this crate writes.
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }

    /// The attribute of that name.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        TABLE.iter().find(|(_, known, ..)| known.as_bytes() == name).map(|(attribute, ..)| *attribute)
    }
}

/// The entries of the registry ZAP: number in bits 0–15, byte order in 16–23, length in 24–39.
#[must_use]
pub fn registry_entries() -> Vec<ZapEntry> {
    TABLE
        .iter()
        .map(|(attribute, name, length, swap)| {
            let value = u64::from(*length) << 24 | u64::from(*swap) << 16 | u64::from(attribute.number());
            ZapEntry::integer(*name, value)
        })
        .collect()
}

/// How a device number is kept in [`Attribute::Rdev`]: each kernel stores its own form unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceNumbers {
    /// `makedevice` of a 64-bit illumos kernel: the major number in the upper 32 bits, the minor in the lower.
    Illumos,
    /// `MKDEV` of Linux: the minor number in the lower 20 bits, the major above.
    Linux,
}

impl DeviceNumbers {
    /// The attribute; none if the numbers do not fit.
    #[must_use]
    pub fn encode(self, major: u32, minor: u32) -> Option<u64> {
        match self {
            Self::Illumos => Some(u64::from(major) << 32 | u64::from(minor)),
            Self::Linux => (major < 1 << 12 && minor < 1 << 20).then(|| u64::from(major << 20 | minor)),
        }
    }

    /// Major and minor number.
    #[must_use]
    pub fn decode(self, rdev: u64) -> (u32, u32) {
        match self {
            Self::Illumos => ((rdev >> 32) as u32, rdev as u32),
            Self::Linux => ((rdev >> 20) as u32, rdev as u32 & 0xf_ffff),
        }
    }
}

/// What is wrong with attributes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SaError {
    /// A buffer does not begin with [`MAGIC`], in either byte order.
    #[error("system attributes: begin with {0:#x} instead of the magic")]
    Magic(u32),
    /// A buffer or a registry ends early, or a number in it is impossible.
    #[error("system attributes: {0}")]
    Impossible(&'static str),
    /// A buffer has a layout that the file system does not list.
    #[error("system attributes: layout {0} is not known")]
    UnknownLayout(u16),
    /// More layouts than the 10 bits of their number can tell apart.
    #[error("system attributes: more than 1023 layouts")]
    TooManyLayouts,
    /// A value of a fixed length has another.
    #[error("system attributes: {name} has {bytes} bytes")]
    Length {
        /// The name of the attribute.
        name: &'static str,
        /// How many bytes it was given.
        bytes: usize,
    },
    /// The attributes do not fit into a spill block.
    #[error("system attributes: {0} bytes, more than a spill block holds")]
    TooLong(usize),
}

/// A file system's registry and layouts, as read from its ZAPs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    /// Length and, if it is known here, meaning, by number.
    attributes: std::collections::BTreeMap<u16, (u16, Option<Attribute>)>,
    layouts: std::collections::BTreeMap<u16, Vec<u16>>,
}

impl Registry {
    /// Puts the registry together from the entries of the two ZAPs.
    ///
    /// # Errors
    /// An entry with a value of the wrong kind, or a layout whose name is no number.
    pub fn from_entries(registry: &[ZapEntry], layouts: &[ZapEntry]) -> Result<Self, SaError> {
        let mut result = Self::default();
        for entry in registry {
            let value = entry.value.as_u64().ok_or(SaError::Impossible("a registry entry is no number"))?;
            let attribute = Attribute::from_name(&entry.name);
            result.attributes.insert(value as u16, ((value >> 24) as u16, attribute));
        }
        for entry in layouts {
            let name = std::str::from_utf8(&entry.name).ok().and_then(|name| name.parse().ok());
            let number = name.ok_or(SaError::Impossible("the name of a layout is no number"))?;
            let Value::U16(attributes) = &entry.value else {
                return Err(SaError::Impossible("a layout is not made of 16-bit numbers"));
            };
            result.layouts.insert(number, attributes.clone());
        }
        Ok(result)
    }

    /// The registry that this crate writes, with `layouts`.
    #[must_use]
    pub fn standard(layouts: &Layouts) -> Self {
        let built = Self::from_entries(&registry_entries(), &layouts.zap_entries());
        built.unwrap_or_default()
    }

    /// The layouts in order of their numbers.
    pub fn layouts(&self) -> impl Iterator<Item = (u16, &[u16])> {
        self.layouts.iter().map(|(number, attributes)| (*number, attributes.as_slice()))
    }

    /// Length (0 is variable) and meaning of the attribute with that number.
    #[must_use]
    pub fn attribute(&self, number: u16) -> Option<(u16, Option<Attribute>)> {
        self.attributes.get(&number).copied()
    }
}

#[cfg(test)]
mod tests;
