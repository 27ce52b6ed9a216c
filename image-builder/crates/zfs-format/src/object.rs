//! Object types, object-set types and the well-known objects and names inside a pool.
//!
//! Sources: `dmu.h` (`dmu_object_type_t`, `DMU_OTN_*`, `DMU_POOL_*`), `zfs_znode.h` (master node keys),
//! `dmu_objset.h` (`dmu_objset_type_t`).

use std::fmt;

/// What the blocks of an object hold: `dn_type`, one byte.
///
/// Values below [`ObjectType::COUNT`] are numbered one by one; those with the top bit set say by bits how to
/// treat an object that the reader's version may not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectType(pub u8);

macro_rules! object_types {
    ($($number:literal $name:ident $text:literal $metadata:literal $shape:ident;)*) => {
        impl ObjectType {
            $(
                #[doc = concat!("`DMU_OT_", stringify!($name), "`: ", $text, ".")]
                pub const $name: Self = Self($number);
            )*
        }

        const TABLE: &[(&str, bool, Shape)] = &[$(($text, $metadata, Shape::$shape),)*];
    };
}

/// How the bytes of an object are made up, as far as a generic reader cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Bytes,
    Words,
    Zap,
    Other,
}

object_types! {
    0 NONE "unallocated" true Bytes;
    1 OBJECT_DIRECTORY "object directory" true Zap;
    2 OBJECT_ARRAY "object array" true Words;
    3 PACKED_NVLIST "packed nvlist" true Bytes;
    4 PACKED_NVLIST_SIZE "packed nvlist size" true Words;
    5 BPOBJ "bpobj" true Words;
    6 BPOBJ_HDR "bpobj header" true Words;
    7 SPACE_MAP_HEADER "SPA space map header" true Words;
    8 SPACE_MAP "SPA space map" true Words;
    9 INTENT_LOG "ZIL intent log" true Words;
    10 DNODE "DMU dnode" true Other;
    11 OBJSET "DMU objset" true Other;
    12 DSL_DIR "DSL directory" true Words;
    13 DSL_DIR_CHILD_MAP "DSL directory child map" true Zap;
    14 DSL_DS_SNAP_MAP "DSL dataset snap map" true Zap;
    15 DSL_PROPS "DSL props" true Zap;
    16 DSL_DATASET "DSL dataset" true Words;
    17 ZNODE "ZFS znode" true Other;
    18 OLDACL "ZFS V0 ACL" true Other;
    19 PLAIN_FILE_CONTENTS "ZFS plain file" false Bytes;
    20 DIRECTORY_CONTENTS "ZFS directory" true Zap;
    21 MASTER_NODE "ZFS master node" true Zap;
    22 UNLINKED_SET "ZFS delete queue" true Zap;
    23 ZVOL "zvol object" false Bytes;
    24 ZVOL_PROP "zvol prop" true Zap;
    25 PLAIN_OTHER "other uint8[]" false Bytes;
    26 UINT64_OTHER "other uint64[]" false Words;
    27 ZAP_OTHER "other ZAP" true Zap;
    28 ERROR_LOG "persistent error log" true Zap;
    29 SPA_HISTORY "SPA history" true Bytes;
    30 SPA_HISTORY_OFFSETS "SPA history offsets" true Words;
    31 POOL_PROPS "pool properties" true Zap;
    32 DSL_PERMS "DSL permissions" true Zap;
    33 ACL "ZFS ACL" true Other;
    34 SYSACL "ZFS SYSACL" true Other;
    35 FUID "FUID table" true Bytes;
    36 FUID_SIZE "FUID table size" true Words;
    37 NEXT_CLONES "DSL dataset next clones" true Zap;
    38 SCAN_QUEUE "scan work queue" true Zap;
    39 USERGROUP_USED "ZFS user/group used" true Zap;
    40 USERGROUP_QUOTA "ZFS user/group quota" true Zap;
    41 USERREFS "snapshot refcount tags" true Zap;
    42 DDT_ZAP "DDT ZAP algorithm" true Zap;
    43 DDT_STATS "DDT statistics" true Zap;
    44 SA "System attributes" true Other;
    45 SA_MASTER_NODE "SA master node" true Zap;
    46 SA_ATTR_REGISTRATION "SA attr registration" true Zap;
    47 SA_ATTR_LAYOUTS "SA attr layouts" true Zap;
    48 SCAN_XLATE "scan translations" true Zap;
    49 DEDUP "deduplicated block" false Bytes;
    50 DEADLIST "DSL deadlist map" true Zap;
    51 DEADLIST_HDR "DSL deadlist map hdr" true Words;
    52 DSL_CLONES "DSL dir clones" true Zap;
    53 BPOBJ_SUBOBJ "bpobj subobj" true Words;
}

impl ObjectType {
    /// `DMU_OT_NUMTYPES`: how many numbered types there are.
    pub const COUNT: u8 = 54;
    /// `DMU_OT_NEWTYPE`: set in a type that describes itself by bits.
    pub const NEW_TYPE: u8 = 0x80;
    /// `DMU_OT_METADATA`: in a new type, the blocks are metadata.
    pub const METADATA: u8 = 0x40;
    /// `DMU_OT_ENCRYPTED`: in a new type, the blocks may be encrypted.
    pub const ENCRYPTED: u8 = 0x20;
    /// `DMU_OT_BYTESWAP_MASK`: in a new type, how to swap bytes.
    pub const BYTESWAP_MASK: u8 = 0x1f;

    /// `DMU_OTN_UINT8_METADATA`.
    pub const OTN_UINT8_METADATA: Self = Self(0xc0);
    /// `DMU_OTN_UINT64_DATA`.
    pub const OTN_UINT64_DATA: Self = Self(0x83);
    /// `DMU_OTN_UINT64_METADATA`.
    pub const OTN_UINT64_METADATA: Self = Self(0xc3);
    /// `DMU_OTN_ZAP_DATA`.
    pub const OTN_ZAP_DATA: Self = Self(0x84);
    /// `DMU_OTN_ZAP_METADATA`: the type of the feature ZAPs, the vdev ZAPs and extensible dataset dnodes.
    pub const OTN_ZAP_METADATA: Self = Self(0xc4);

    /// Whether the number is one that ZFS accepts in a dnode or block pointer.
    #[must_use]
    pub fn is_valid(self) -> bool {
        if self.0 & Self::NEW_TYPE == 0 { self.0 < Self::COUNT } else { self.0 & Self::BYTESWAP_MASK <= 9 }
    }

    /// Whether blocks of this type are metadata: they are compressed and stored in more copies than data.
    #[must_use]
    pub fn is_metadata(self) -> bool {
        if self.0 & Self::NEW_TYPE != 0 {
            return self.0 & Self::METADATA != 0;
        }
        TABLE.get(usize::from(self.0)).is_some_and(|(_, metadata, _)| *metadata)
    }

    /// Whether objects of this type are ZAPs.
    #[must_use]
    pub fn is_zap(self) -> bool {
        self.shape() == Some(Shape::Zap)
    }

    /// Whether objects of this type are arrays of 64-bit integers.
    #[must_use]
    pub fn is_words(self) -> bool {
        self.shape() == Some(Shape::Words)
    }

    fn shape(self) -> Option<Shape> {
        if self.0 & Self::NEW_TYPE != 0 {
            return Some(match self.0 & Self::BYTESWAP_MASK {
                0 => Shape::Bytes,
                3 => Shape::Words,
                4 => Shape::Zap,
                _ => Shape::Other,
            });
        }
        TABLE.get(usize::from(self.0)).map(|(_, _, shape)| *shape)
    }
}

impl fmt::Display for ObjectType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((text, _, _)) = TABLE.get(usize::from(self.0)) {
            return formatter.write_str(text);
        }
        let kind = if self.is_metadata() { "metadata" } else { "data" };
        match self.shape() {
            Some(Shape::Bytes) => write!(formatter, "uint8 ({kind})"),
            Some(Shape::Words) => write!(formatter, "uint64 ({kind})"),
            Some(Shape::Zap) => write!(formatter, "zap ({kind})"),
            _ => write!(formatter, "type {:#04x}", self.0),
        }
    }
}

/// What an object set is for: `os_type`, and with it what its objects mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjsetType {
    /// `DMU_OST_META`: the meta object set of the pool.
    Meta,
    /// `DMU_OST_ZFS`: a file system.
    Zfs,
    /// `DMU_OST_ZVOL`: a volume.
    Zvol,
}

impl ObjsetType {
    /// The number on disk.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::Meta => 1,
            Self::Zfs => 2,
            Self::Zvol => 3,
        }
    }

    /// The type of that number; none for those that no released pool has.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::Meta),
            2 => Some(Self::Zfs),
            3 => Some(Self::Zvol),
            _ => None,
        }
    }
}

/// `DMU_POOL_DIRECTORY_OBJECT`: the object directory of the meta object set.
pub const POOL_DIRECTORY_OBJECT: u64 = 1;
/// `MASTER_NODE_OBJ`: the master node of a file system.
pub const MASTER_NODE_OBJECT: u64 = 1;
/// `ZVOL_OBJ`: the data of a volume.
pub const ZVOL_OBJECT: u64 = 1;
/// `ZVOL_ZAP_OBJ`: the properties of a volume.
pub const ZVOL_PROPERTIES_OBJECT: u64 = 2;
/// `DN_MAX_OBJECT_SHIFT`: object numbers are below 2 to this.
pub const MAX_OBJECT_SHIFT: u32 = 48;

/// Names in the object directory (`DMU_POOL_*`).
pub mod pool_directory {
    /// The packed pool configuration.
    pub const CONFIG: &str = "config";
    /// Enabled features that a reader has to know, with their reference counts.
    pub const FEATURES_FOR_READ: &str = "features_for_read";
    /// Enabled features that only a writer has to know.
    pub const FEATURES_FOR_WRITE: &str = "features_for_write";
    /// What each feature is, in words.
    pub const FEATURE_DESCRIPTIONS: &str = "feature_descriptions";
    /// The transaction group in which each feature was enabled.
    pub const FEATURE_ENABLED_TXG: &str = "feature_enabled_txg";
    /// The DSL directory of the pool's root dataset.
    pub const ROOT_DATASET: &str = "root_dataset";
    /// Block pointers to be freed in the next transaction group.
    pub const SYNC_BPOBJ: &str = "sync_bplist";
    /// Errors found by the running scrub.
    pub const ERRLOG_SCRUB: &str = "errlog_scrub";
    /// Errors found since the last scrub.
    pub const ERRLOG_LAST: &str = "errlog_last";
    /// Spares of the pool.
    pub const SPARES: &str = "spares";
    /// Whether space is accounted after RAID-Z deflation; 1 in every pool of this century.
    pub const DEFLATE: &str = "deflate";
    /// The history log.
    pub const HISTORY: &str = "history";
    /// The pool's properties.
    pub const PROPS: &str = "pool_props";
    /// Cache devices.
    pub const L2CACHE: &str = "l2cache";
    /// Datasets that are being destroyed for want of their last hold.
    pub const TMP_USERREFS: &str = "tmp_userrefs";
    /// Deduplication statistics.
    pub const DDT_STATS: &str = "DDT-statistics";
    /// The version that the pool was created with.
    pub const CREATION_VERSION: &str = "creation_version";
    /// State of the last or the running scrub.
    pub const SCAN: &str = "scan";
    /// Block pointers of destroyed datasets.
    pub const FREE_BPOBJ: &str = "free_bpobj";
    /// Trees of destroyed datasets (feature `async_destroy`).
    pub const BPTREE_OBJ: &str = "bptree_obj";
    /// The one empty bpobj that all deadlists share (feature `empty_bpobj`).
    pub const EMPTY_BPOBJ: &str = "empty_bpobj";
    /// The salt of the keyed checksums.
    pub const CHECKSUM_SALT: &str = "org.illumos:checksum_salt";
    /// All vdev ZAPs, by object number.
    pub const VDEV_ZAP_MAP: &str = "com.delphix:vdev_zap_map";
}

/// Names in the master node of a file system (`zfs_znode.h`).
pub mod master_node {
    /// The ZPL version, 5.
    pub const VERSION: &str = "VERSION";
    /// The root directory.
    pub const ROOT: &str = "ROOT";
    /// The files that are open but have no name.
    pub const DELETE_QUEUE: &str = "DELETE_QUEUE";
    /// The master node of the system attributes.
    pub const SA_ATTRS: &str = "SA_ATTRS";
    /// The table of foreign ids.
    pub const FUID: &str = "FUID";
    /// The directory of shares.
    pub const SHARES: &str = "SHARES";
    /// Creation-time property: Unicode normalization of names.
    pub const NORMALIZATION: &str = "normalization";
    /// Creation-time property: names have to be UTF-8.
    pub const UTF8_ONLY: &str = "utf8only";
    /// Creation-time property: case of names.
    pub const CASE_SENSITIVITY: &str = "casesensitivity";
    /// Quotas of users.
    pub const USER_QUOTA: &str = "userquota@";
    /// Quotas of groups.
    pub const GROUP_QUOTA: &str = "groupquota@";
    /// In the SA master node: the attribute registry.
    pub const SA_REGISTRY: &str = "REGISTRY";
    /// In the SA master node: the layouts.
    pub const SA_LAYOUTS: &str = "LAYOUTS";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_numbered_type_once() {
        assert_eq!(TABLE.len(), usize::from(ObjectType::COUNT));
        assert_eq!(TABLE[usize::from(ObjectType::SA.0)].0, "System attributes");
        assert_eq!(TABLE[usize::from(ObjectType::BPOBJ_SUBOBJ.0)].0, "bpobj subobj");
    }

    #[test]
    fn new_types_tell_their_shape_by_bits() {
        assert!(ObjectType::OTN_ZAP_METADATA.is_zap() && ObjectType::OTN_ZAP_METADATA.is_metadata());
        assert!(ObjectType::OTN_UINT64_DATA.is_words() && !ObjectType::OTN_UINT64_DATA.is_metadata());
        assert!(!ObjectType(54).is_valid() && !ObjectType(0x8a).is_valid() && ObjectType(0xc4).is_valid());
        assert_eq!(ObjectType::OTN_ZAP_METADATA.to_string(), "zap (metadata)");
    }
}
