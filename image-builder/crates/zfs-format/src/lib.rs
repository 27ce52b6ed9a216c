//! The on-disk format of ZFS: offsets, encodings, checksums and compressions; no policy, no I/O.

pub mod acl;
pub mod block;
pub mod checksum;
pub mod compress;
pub mod dnode;
pub mod dsl;
pub mod feature;
pub mod label;
pub mod name;
pub mod nvlist;
pub mod object;
pub mod objset;
pub mod property;
pub mod sa;
pub mod space_map;
pub mod uberblock;
pub mod zap;
